//! [`Keystone`] beside a real Keystone, which `cargo xtask conformance keystone` installs and starts.

use std::time::{Duration, Instant};

use octavia_cloud::{Identity, IdentityError, suite};
use octavia_keystone::{Keystone, KeystoneOptions, Login, Named, Scope, SessionOptions, TlsOptions};
use serde_json::{Value, json};

/// Keystone's own API, as its administrator and its users use it.
struct Cloud {
    http: reqwest::Client,
    url: String,
    admin_password: String,
}

impl Cloud {
    fn of_environment() -> Self {
        let variable = |name: &str| {
            std::env::var(name)
                .unwrap_or_else(|_| panic!("{name} is not set: `cargo xtask conformance keystone` does it"))
        };
        // Whoever installed a default before is as good.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        Self {
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            url: variable("OCTAVIA_TEST_KEYSTONE"),
            admin_password: variable("OCTAVIA_TEST_KEYSTONE_PASSWORD"),
        }
    }

    /// A token, and what Keystone says of it.
    async fn log_in(&self, user: &str, password: &str, scope: Value) -> (String, Value) {
        let user = json!({ "name": user, "domain": { "id": "default" }, "password": password });
        let identity = json!({ "methods": ["password"], "password": { "user": user } });
        let body = json!({ "auth": { "identity": identity, "scope": scope } });
        let request = self.http.post(format!("{}/auth/tokens", self.url)).json(&body);
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 201);
        let token = response.headers()["x-subject-token"].to_str().unwrap().to_owned();
        (token, response.json().await.unwrap())
    }

    async fn admin(&self) -> String {
        self.log_in("admin", &self.admin_password, project("admin")).await.0
    }

    async fn send(&self, token: &str, method: &str, path: &str, body: Option<Value>) -> Value {
        let method = method.parse().unwrap();
        let mut request =
            self.http.request(method, format!("{}/{path}", self.url)).header("x-auth-token", token);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.unwrap();
        assert!(response.status().is_success(), "{path}: {}", response.status());
        let text = response.text().await.unwrap();
        if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap() }
    }

    /// Makes one and answers its id.
    async fn make(&self, path: &str, root: &str, body: Value) -> String {
        let made = self.send(&self.admin().await, "POST", path, Some(json!({ root: body }))).await;
        made[root]["id"].as_str().unwrap().to_owned()
    }

    async fn role_id(&self, name: &str) -> String {
        let found = self.send(&self.admin().await, "GET", &format!("roles?name={name}"), None).await;
        match found["roles"][0]["id"].as_str() {
            Some(id) => id.to_owned(),
            None => self.make("roles", "role", json!({ "name": name })).await,
        }
    }

    async fn grant(&self, method: &str, project: &str, user: &str, role: &str) {
        let role = self.role_id(role).await;
        let path = format!("projects/{project}/users/{user}/roles/{role}");
        self.send(&self.admin().await, method, &path, None).await;
    }

    fn options(&self, login: Login) -> KeystoneOptions {
        KeystoneOptions {
            session: SessionOptions {
                section: "keystone_authtoken",
                // Without its version, as many a configuration has it.
                auth_url: self.url.trim_end_matches("/v3").to_owned(),
                login,
                tls: TlsOptions::default(),
                connect_timeout: Duration::from_secs(10),
                request_timeout: Duration::from_secs(30),
                retries: 3,
            },
            www_authenticate_uri: self.url.clone(),
            interface: "internal".to_owned(),
            region: Some("RegionOne".to_owned()),
            cache_time: None,
            service_token_roles: vec!["service".to_owned()],
            service_token_roles_required: true,
        }
    }

    fn keystone(&self, login: Login) -> Keystone {
        Keystone::open(self.options(login)).unwrap()
    }
}

fn project(name: &str) -> Value {
    json!({ "project": { "name": name, "domain": { "id": "default" } } })
}

fn named(name: &str) -> Named {
    Named::Name(name.to_owned())
}

#[tokio::test]
#[ignore = "it needs a Keystone: cargo xtask conformance keystone"]
async fn a_real_keystone() {
    let cloud = Cloud::of_environment();
    let services = cloud.make("projects", "project", json!({ "name": "services" })).await;
    let tenant = cloud.make("projects", "project", json!({ "name": "tenant" })).await;
    let user = |name: &str| json!({ "name": name, "password": format!("{name}-password") });
    let octavia = cloud.make("users", "user", user("octavia")).await;
    let alice = cloud.make("users", "user", user("alice")).await;
    cloud.grant("PUT", &services, &octavia, "service").await;
    cloud.grant("PUT", &tenant, &alice, "member").await;
    let alice_token = || async { cloud.log_in("alice", "alice-password", project("tenant")).await.0 };

    let default = || Some(Named::Id("default".to_owned()));
    let password = Login::Password {
        user: named("octavia"),
        domain: default(),
        password: "octavia-password".to_owned(),
        scope: Scope::Project { project: named("services"), domain: default() },
    };
    let keystone = cloud.keystone(password.clone());

    // Who it is, and what comes with a role.
    let token = alice_token().await;
    let mut holder = keystone.verify(&token).await.unwrap();
    assert_eq!((holder.user_id.as_str(), holder.user_name.as_str()), (alice.as_str(), "alice"));
    assert_eq!(holder.project_id.as_ref().map(ToString::to_string), Some(tenant.clone()));
    assert_eq!(holder.project_domain_id.as_deref(), Some("default"));
    assert_eq!((&holder.system_scope, &holder.domain_id), (&None, &None));
    holder.roles.sort();
    assert_eq!(holder.roles, ["member", "reader"]);
    let holder = keystone.verify(&token).await.unwrap();
    suite::identity_suite(&keystone, &token, &holder).await;
    let (system, _) =
        cloud.log_in("admin", &cloud.admin_password, json!({ "system": { "all": true } })).await;
    let admin = keystone.verify(&system).await.unwrap();
    assert_eq!((admin.system_scope.as_deref(), admin.project_id), (Some("all"), None));

    // By application credential, named by id and by name.
    let (own, _) = cloud.log_in("octavia", "octavia-password", project("services")).await;
    let path = format!("users/{octavia}/application_credentials");
    let body = json!({ "application_credential": { "name": "api", "secret": "app-secret" } });
    let made = cloud.send(&own, "POST", &path, Some(body)).await;
    let id = made["application_credential"]["id"].as_str().unwrap().to_owned();
    for (credential, user) in [(Named::Id(id), None), (named("api"), Some((named("octavia"), default())))] {
        let secret = "app-secret".to_owned();
        let keystone = cloud.keystone(Login::ApplicationCredential { credential, user, secret });
        assert_eq!(keystone.verify(&alice_token().await).await.unwrap().user_id, alice);
    }
    let wrong = Login::ApplicationCredential {
        credential: named("api"),
        user: Some((named("octavia"), default())),
        secret: "guess".to_owned(),
    };
    assert!(matches!(cloud.keystone(wrong).verify(&token).await, Err(IdentityError::Unavailable(_))));
    // A tenant's user is no judge of other users' tokens.
    let tenant_login = Login::Password {
        user: named("alice"),
        domain: default(),
        password: "alice-password".to_owned(),
        scope: Scope::Project { project: named("tenant"), domain: default() },
    };
    let error = cloud.keystone(tenant_login).verify(&own).await.unwrap_err();
    assert!(error.to_string().contains("needs the role service or admin"), "{error}");

    // Roles that come and go.
    let token = alice_token().await;
    cloud.grant("PUT", &tenant, &alice, "load-balancer_member").await;
    let roles = keystone.verify(&token).await.unwrap().roles;
    assert!(roles.contains(&"load-balancer_member".to_owned()), "{roles:?}");
    for role in ["load-balancer_member", "member"] {
        cloud.grant("DELETE", &tenant, &alice, role).await;
    }
    assert_eq!(keystone.verify(&token).await, Err(IdentityError::InvalidToken), "no role is left");
    cloud.grant("PUT", &tenant, &alice, "member").await;

    // Taken back.
    let token = alice_token().await;
    assert!(keystone.verify(&token).await.is_ok());
    let gone = cloud.http.delete(format!("{}/auth/tokens", cloud.url));
    let gone = gone.header("x-auth-token", &token).header("x-subject-token", &token).send().await.unwrap();
    assert_eq!(gone.status(), 204);
    assert_eq!(keystone.verify(&token).await, Err(IdentityError::InvalidToken));

    // At its end; then only a service may still go on with it. Our own token ends as well and is renewed.
    let token = alice_token().await;
    let started = Instant::now();
    while keystone.verify(&token).await.is_ok() {
        assert!(started.elapsed() < Duration::from_secs(120), "the token does not end");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert_eq!(keystone.verify(&token).await, Err(IdentityError::InvalidToken));
    let (service, _) = cloud.log_in("octavia", "octavia-password", project("services")).await;
    let context = keystone.verify_through(&token, &service).await.unwrap();
    assert_eq!((context.user_id, context.service.unwrap().user_id), (alice, octavia));
    let another = alice_token().await;
    assert_eq!(keystone.verify_through(&token, &another).await, Err(IdentityError::InvalidToken));
}
