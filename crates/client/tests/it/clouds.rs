//! Which cloud is chosen, and what is understood of it.

use std::collections::BTreeMap;
use std::path::Path;

use octavia_client::{Auth, CloudConfig, Domain, Environment, Error, Overrides, Scope, Secret, User};

const CLOUDS: &str = r#"
clouds:
  demo:
    region_name: RegionOne
    auth:
      auth_url: http://127.0.0.1:9876/identity
      username: demo
      password: "s3cret"
      project_name: demo
      user_domain_name: Default
      project_domain_name: Default
  admin:
    auth: {auth_url: http://127.0.0.1:9876/identity/v3, user_id: u1, password: 12345, project_id: p1}
    interface: internalURL
    verify: false
  open:
    auth_type: none
    auth: {endpoint: http://127.0.0.1:9876}
    network_endpoint_override: http://127.0.0.1:9876/networking
  app:
    auth_type: v3applicationcredential
    auth: {auth_url: http://k/v3, application_credential_id: i, application_credential_secret: s}
  secretless:
    auth: {auth_url: http://k/v3, username: u}
"#;

struct Place {
    directory: tempfile::TempDir,
    variables: BTreeMap<String, String>,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let home = directory.path().join("home").display().to_string();
        Self { directory, variables: BTreeMap::from([("HOME".to_owned(), home)]) }
    }

    fn file(self, name: &str, content: &str) -> Self {
        let path = self.directory.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
        self
    }

    fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    fn load(&self, cloud: Option<&str>, settings: &[(&'static str, &str)]) -> Result<CloudConfig, Error> {
        let environment =
            Environment { variables: self.variables.clone(), directory: self.directory.path().join("cwd") };
        CloudConfig::load(
            &environment,
            &Overrides {
                cloud: cloud.map(str::to_owned),
                settings: settings.iter().map(|(k, v)| (*k, (*v).to_owned())).collect(),
            },
        )
    }
}

fn user_of(config: &CloudConfig) -> String {
    match &config.auth {
        Auth::Password { user: User::Name { name, .. } | User::Id(name), .. } => name.clone(),
        other => format!("{other:?}"),
    }
}

#[test]
fn kinds_of_clouds_are_understood() {
    let place = Place::new().file("cwd/clouds.yaml", CLOUDS);

    let demo = place.load(Some("demo"), &[]).unwrap();
    let default = || Domain::Name("Default".to_owned());
    assert_eq!(
        demo.auth,
        Auth::Password {
            auth_url: "http://127.0.0.1:9876/identity".to_owned(),
            user: User::Name { name: "demo".to_owned(), domain: default() },
            password: Secret::new("s3cret"),
            scope: Scope::ProjectName { name: "demo".to_owned(), domain: default() },
        }
    );
    assert_eq!(
        (demo.region.as_deref(), demo.interface.as_str(), demo.verify),
        (Some("RegionOne"), "public", true)
    );

    let admin = place.load(Some("admin"), &[]).unwrap();
    assert_eq!((admin.interface.as_str(), admin.verify), ("internal", false));
    let Auth::Password { user, password, scope, .. } = admin.auth else { panic!("{:?}", admin.auth) };
    assert_eq!(user, User::Id("u1".to_owned()));
    assert_eq!(password, Secret::new("12345"), "a number in YAML is a password as typed");
    assert_eq!(scope, Scope::ProjectId("p1".to_owned()));

    let open = place.load(Some("open"), &[]).unwrap();
    assert_eq!(open.auth, Auth::None);
    assert_eq!(open.load_balancer_endpoint.as_deref(), Some("http://127.0.0.1:9876"));
    assert_eq!(open.network_endpoint.as_deref(), Some("http://127.0.0.1:9876/networking"));

    let app = place.load(Some("app"), &[]).unwrap();
    assert!(matches!(app.auth, Auth::ApplicationCredential { id: Some(_), user: None, .. }));
}

#[test]
fn precedence() {
    let one = |user: &str| {
        format!("clouds: {{{user}: {{auth: {{auth_url: http://h, username: {user}, password: p}}}}}}")
    };
    let check = |place: Place, cloud: Option<&str>, expected: Result<&str, &str>| match (
        place.load(cloud, &[]),
        expected,
    ) {
        (Ok(config), Ok(user)) => assert_eq!(user_of(&config), user),
        (Err(e), Err(text)) => assert!(e.to_string().contains(text), "{e}"),
        (got, expected) => panic!("{got:?}, not {expected:?}"),
    };
    let with_variables = |place: Place| {
        place.variable("OS_AUTH_URL", "http://v").variable("OS_USERNAME", "var").variable("OS_PASSWORD", "vp")
    };

    // The search order: working directory, user, then a file named outright above all.
    check(Place::new().file("home/.config/openstack/clouds.yaml", &one("home")), None, Ok("home"));
    check(
        Place::new()
            .file("cwd/clouds.yaml", &one("cwd"))
            .file("home/.config/openstack/clouds.yaml", &one("home")),
        None,
        Ok("cwd"),
    );
    check(
        Place::new()
            .file("cwd/clouds.yaml", &one("cwd"))
            .file("cwd/other.yaml", &one("other"))
            .variable("OS_CLIENT_CONFIG_FILE", "other.yaml"),
        None,
        Ok("other"),
    );
    check(Place::new().file("xdg/openstack/clouds.yml", &one("xdg")), None, Err("no clouds.yaml in"));
    check(Place::new().variable("OS_CLIENT_CONFIG_FILE", "absent"), None, Err("/absent;"));

    // Variables speak when no cloud is named, and not when one is.
    check(with_variables(Place::new().file("cwd/clouds.yaml", &one("cwd"))), None, Ok("var"));
    check(with_variables(Place::new().file("cwd/clouds.yaml", &one("cwd"))), Some("cwd"), Ok("cwd"));
    check(
        with_variables(Place::new().file("cwd/clouds.yaml", CLOUDS)).variable("OS_CLOUD", "demo"),
        None,
        Ok("demo"),
    );
    check(Place::new().file("cwd/clouds.yaml", CLOUDS).variable("OS_CLOUD", "demo"), Some("admin"), Ok("u1"));
    // A password that the file leaves out may come from the environment.
    check(
        Place::new().file("cwd/clouds.yaml", CLOUDS).variable("OS_PASSWORD", "p"),
        Some("secretless"),
        Ok("u"),
    );
    check(Place::new().file("cwd/clouds.yaml", CLOUDS), Some("secretless"), Err("lacks password"));
    // secure.yaml beside it fills in.
    check(
        Place::new()
            .file("cwd/clouds.yaml", CLOUDS)
            .file("cwd/secure.yaml", "clouds: {secretless: {auth: {password: p}}}"),
        Some("secretless"),
        Ok("u"),
    );

    check(Place::new().file("cwd/clouds.yaml", CLOUDS), None, Err("name one of"));
    check(Place::new().file("cwd/clouds.yaml", CLOUDS), Some("absent"), Err("it has demo, admin"));
    check(Place::new(), Some("absent"), Err("is not known"));
    check(Place::new(), None, Err("set OS_AUTH_URL"));
}

#[test]
fn options_win_over_everything() {
    let place = Place::new().file("cwd/clouds.yaml", CLOUDS);
    let config = place.load(Some("demo"), &[("region_name", "Two"), ("endpoint", "http://e")]).unwrap();
    assert_eq!(config.region.as_deref(), Some("Two"));
    assert_eq!(config.load_balancer_endpoint.as_deref(), Some("http://e"));
    assert_eq!(user_of(&config), "demo", "with the endpoint given, the cloud's credentials still hold");

    let alone = place.load(None, &[("endpoint", "http://e")]).unwrap();
    assert_eq!(alone.auth, Auth::None);
}

#[test]
fn variables_alone() {
    let check = |variables: &[(&str, &str)], expected: Result<&str, &str>| {
        let place = variables.iter().fold(Place::new(), |place, (k, v)| place.variable(k, v));
        match (place.load(None, &[]), expected) {
            (Ok(config), Ok(text)) => assert!(format!("{:?}", config.auth).contains(text), "{config:?}"),
            (Err(e), Err(text)) => assert!(e.to_string().contains(text), "{e}"),
            (got, _) => panic!("{variables:?}: {got:?}"),
        }
    };
    let url = ("OS_AUTH_URL", "http://k");
    check(&[("OS_ENDPOINT", "http://e")], Ok("None"));
    check(&[("OS_ENDPOINT", "http://e"), ("OS_TOKEN", "t")], Ok("Token { auth_url: None"));
    check(&[url, ("OS_TOKEN", "t"), ("OS_PROJECT_ID", "p")], Ok("ProjectId(\"p\")"));
    check(&[url, ("OS_USERNAME", "u"), ("OS_PASSWORD", "p"), ("OS_TENANT_NAME", "t")], Ok("name: \"t\""));
    check(&[url, ("OS_USERNAME", "u"), ("OS_PASSWORD", "p"), ("OS_DEFAULT_DOMAIN", "d")], Ok("Id(\"d\")"));
    check(&[url, ("OS_USERNAME", "u")], Err("OS_PASSWORD"));
    check(&[url, ("OS_PASSWORD", "u")], Err("OS_USERNAME"));
    check(&[url, ("OS_AUTH_TYPE", "v3kerberos")], Err("is not supported"));
    check(&[("OS_AUTH_URL", "")], Err("no cloud is chosen"));
}

#[test]
fn hostile_files_are_refused_without_quoting_them() {
    for content in [
        "",
        "clouds",
        "clouds: []",
        "clouds: {a: 1}",
        "clouds: {a: {auth: [}}",
        "password: hunter2\n\tx: [hunter2",
        "clouds: {a: {auth: {auth_url: [x], username: {}, password: hunter2}}}",
        "&a [*a, *a]",
        "\u{0}",
    ] {
        let error = Place::new().file("cwd/clouds.yaml", content).load(None, &[]).unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
        assert!(matches!(error, Error::Config(_)), "{error:?}");
    }
    let large = Place::new().file("cwd/clouds.yaml", &" ".repeat((1 << 20) + 1)).load(None, &[]).unwrap_err();
    assert!(large.to_string().contains("too large"), "{large}");
    assert!(CloudConfig::from_file(Path::new("/nonexistent/clouds.yaml"), None).is_err());
}

#[test]
fn debug_shows_no_secret() {
    let place = Place::new().file("cwd/clouds.yaml", CLOUDS);
    let text = format!("{:?}", place.load(Some("demo"), &[]).unwrap());
    assert!(!text.contains("s3cret"), "{text}");
}
