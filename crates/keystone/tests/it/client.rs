//! [`Keystone`] beside the embedded Keystone, and beside one that does everything wrong.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, Method};
use axum::response::Response;
use jiff::{SignedDuration, Timestamp};
use octavia_cloud::local::IDENTITY_PATH;
use octavia_cloud::{Identity, IdentityError, RequestContext, ServiceTokens, suite};
use octavia_keystone::{
    Keystone, KeystoneOptions, Login, Named, Scope, ServiceLogin, SessionOptions, TlsOptions, Wanted,
};
use octavia_model::{Blame, ProjectId};
use serde_json::{Value, json};

use crate::kit::{Cloud, login, project};

/// Serves until the test's runtime ends; answers the URL.
async fn serve(router: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

/// The embedded Keystone over HTTP.
async fn served(cloud: &Cloud) -> String {
    serve(Router::new().nest_service(IDENTITY_PATH, cloud.local.identity_router())).await
}

fn options(url: &str, user: &str, password: &str) -> KeystoneOptions {
    let name = |name: &str| Named::Name(name.to_owned());
    KeystoneOptions {
        session: SessionOptions {
            section: "keystone_authtoken",
            auth_url: url.to_owned(),
            login: Login::Password {
                user: name(user),
                domain: Some(name("Default")),
                password: password.to_owned(),
                scope: Scope::Project { project: name("admin"), domain: Some(name("Default")) },
            },
            tls: TlsOptions::default(),
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(20),
            retries: 0,
        },
        www_authenticate_uri: "https://keystone.test/v3".to_owned(),
        interface: "internal".to_owned(),
        region: None,
        cache_time: Some(Duration::from_secs(300)),
        service_token_roles: vec!["service".to_owned()],
        service_token_roles_required: true,
    }
}

#[tokio::test]
async fn the_embedded_keystone_serves_the_suite() {
    let cloud = Cloud::new();
    let url = format!("{}/identity", served(&cloud).await);
    let answer = cloud.login(&login("demo", &cloud.password("demo"), &project("demo"))).await;
    let holder = cloud.local.identity().verify(&answer.subject()).await.unwrap();
    for cache_time in [None, Some(Duration::from_secs(300))] {
        let options = KeystoneOptions { cache_time, ..options(&url, "admin", &cloud.password("admin")) };
        let keystone = Keystone::open(options).unwrap();
        suite::identity_suite(&keystone, &answer.subject(), &holder).await;
        assert_eq!(keystone.auth_uri(), "https://keystone.test/v3");
    }
    let unscoped = cloud.login(&login("demo", &cloud.password("demo"), &Value::Null)).await;
    let keystone = Keystone::open(options(&url, "admin", &cloud.password("admin"))).unwrap();
    let context = keystone.verify(&unscoped.subject()).await.unwrap();
    assert_eq!((context.project_id, context.roles.len()), (None, 0));
}

#[tokio::test]
async fn a_token_taken_back_is_good_for_the_time_of_the_cache_at_most() {
    let cloud = Cloud::new();
    let url = format!("{}/identity", served(&cloud).await);
    let password = cloud.password("admin");
    let time = Duration::from_millis(300);
    for cache_time in [None, Some(time)] {
        let keystone =
            Keystone::open(KeystoneOptions { cache_time, ..options(&url, "admin", &password) }).unwrap();
        let token = cloud.token("demo").await;
        assert!(keystone.verify(&token).await.is_ok());
        let headers = [("x-auth-token", token.as_str()), ("x-subject-token", token.as_str())];
        assert_eq!(cloud.send("DELETE", "/identity/v3/auth/tokens", &headers, "").await.status, 204);
        let revoked = Instant::now();
        while keystone.verify(&token).await.is_ok() {
            assert!(cache_time.is_some() && revoked.elapsed() < Duration::from_secs(20));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test]
async fn who_may_not_check_tokens_is_no_judge_of_them() {
    let cloud = Cloud::new();
    let url = format!("{}/identity", served(&cloud).await);
    let mut options = options(&url, "demo", &cloud.password("demo"));
    if let Login::Password { scope, .. } = &mut options.session.login {
        *scope = Scope::Project {
            project: Named::Name("demo".to_owned()),
            domain: Some(Named::Id("default".to_owned())),
        };
    }
    let keystone = Keystone::open(options).unwrap();
    let error = keystone.verify(&cloud.token("admin").await).await.unwrap_err();
    assert!(error.to_string().contains("it needs the role service or admin"), "{error}");
    let keystone = Keystone::open(self::options(&url, "admin", "wrong")).unwrap();
    let error = keystone.verify(&cloud.token("demo").await).await.unwrap_err();
    assert!(error.to_string().contains("refuses the login of [keystone_authtoken]"), "{error}");
}

/// What the fake does instead of its work.
#[derive(Debug, Clone, PartialEq)]
enum Fault {
    None,
    /// Says nothing.
    Silent,
    /// Answers this status.
    Status(u16),
    /// Answers the right status with this body.
    Body(String),
    /// A login without a token.
    NoToken,
    /// No token of its own is good.
    RefusesItsOwn,
}

struct Fake {
    fault: Mutex<Fault>,
    /// Whether logins are faulty, or the look at tokens.
    at_login: Mutex<bool>,
    own_lifetime: Mutex<SignedDuration>,
    /// Of what `good` is about.
    lifetime: Mutex<SignedDuration>,
    logins: AtomicUsize,
    shows: AtomicUsize,
    /// The number of the login whose token is good.
    good: AtomicUsize,
}

impl Fake {
    async fn start() -> (Arc<Self>, String) {
        let fake = Arc::new(Self {
            fault: Mutex::new(Fault::None),
            at_login: Mutex::new(false),
            own_lifetime: Mutex::new(SignedDuration::from_hours(1)),
            lifetime: Mutex::new(SignedDuration::from_hours(1)),
            logins: AtomicUsize::new(0),
            shows: AtomicUsize::new(0),
            good: AtomicUsize::new(0),
        });
        let answering = Arc::clone(&fake);
        let router = Router::new().fallback(move |request: Request| {
            let fake = Arc::clone(&answering);
            async move { fake.answer(request).await }
        });
        (fake, serve(router).await)
    }

    fn set(&self, at_login: bool, fault: Fault) {
        *self.fault.lock().unwrap() = fault;
        *self.at_login.lock().unwrap() = at_login;
    }

    fn counts(&self) -> (usize, usize) {
        (self.logins.load(Ordering::SeqCst), self.shows.load(Ordering::SeqCst))
    }

    async fn answer(&self, request: Request) -> Response {
        let is_login = request.method() == Method::POST;
        assert_eq!(request.uri().path(), "/v3/auth/tokens");
        let fault = self.fault.lock().unwrap().clone();
        let faulty = *self.at_login.lock().unwrap() == is_login;
        let fault = if faulty { fault } else { Fault::None };
        let (status, body, token) = if is_login {
            let number = self.logins.fetch_add(1, Ordering::SeqCst) + 1;
            self.good.store(number, Ordering::SeqCst);
            let expires_at = Timestamp::now() + *self.own_lifetime.lock().unwrap();
            (201, token("octavia", &["service"], expires_at), format!("own-{number}"))
        } else {
            self.shows.fetch_add(1, Ordering::SeqCst);
            let header = |headers: &HeaderMap, name: &str| headers[name].to_str().unwrap().to_owned();
            let own = header(request.headers(), "x-auth-token");
            let subject = header(request.headers(), "x-subject-token");
            let expired = request.uri().query().unwrap_or_default().contains("allow_expired=1");
            let expires_at = Timestamp::now() + *self.lifetime.lock().unwrap();
            let past = Timestamp::now() - SignedDuration::from_secs(5);
            let refuses = fault == Fault::RefusesItsOwn;
            if refuses || own != format!("own-{}", self.good.load(Ordering::SeqCst)) {
                (401, Value::Null, String::new())
            } else {
                match subject.as_str() {
                    "good" => (200, token("u", &["member"], expires_at), subject),
                    "expired" if expired => (200, token("u", &["member"], past), subject),
                    "late" => (200, token("u", &["member"], past), subject),
                    "nova" => (200, token("nova", &["Service"], expires_at), subject),
                    "other" => (200, token("other", &["member"], expires_at), subject),
                    _ => (404, Value::Null, String::new()),
                }
            }
        };
        let response = Response::builder();
        match fault {
            Fault::Silent => std::future::pending().await,
            Fault::Status(status) => {
                let response = response.status(status).header("location", "/v3/elsewhere");
                response.body(Body::from("secret internals")).unwrap()
            }
            Fault::Body(body) => {
                response.status(status).header("x-subject-token", token).body(Body::from(body)).unwrap()
            }
            Fault::NoToken => response.status(status).body(Body::from(body.to_string())).unwrap(),
            Fault::None | Fault::RefusesItsOwn => response
                .status(status)
                .header("x-subject-token", token)
                .body(Body::from(body.to_string()))
                .unwrap(),
        }
    }
}

fn token(user: &str, roles: &[&str], expires_at: Timestamp) -> Value {
    let roles: Vec<_> = roles.iter().map(|role| json!({ "id": "r", "name": role })).collect();
    json!({ "token": {
        "user": { "id": user, "name": user, "domain": { "id": "ud", "name": "UD" } },
        "project": { "id": "p", "name": "P", "domain": { "id": "pd", "name": "PD" } },
        "roles": roles, "expires_at": expires_at.to_string(), "unheard_of": [1, 2],
        "audit_ids": ["own", "chain", "not of Keystone"],
    } })
}

fn good() -> RequestContext {
    RequestContext {
        user_id: "u".to_owned(),
        user_name: "u".to_owned(),
        user_domain_id: Some("ud".to_owned()),
        project_id: Some(ProjectId::new("p")),
        project_domain_id: Some("pd".to_owned()),
        roles: vec!["member".to_owned()],
        audit_ids: ["own", "chain"].map(str::to_owned).to_vec(),
        ..RequestContext::default()
    }
}

/// Whatever Keystone does, it is Keystone's fault and not the caller's; and once it is well, all is well.
#[tokio::test]
async fn no_fault_of_keystone_refuses_a_caller() {
    let (fake, url) = Fake::start().await;
    let body = |text: &str| Fault::Body(text.to_owned());
    let not_a_token = "not the description of a token";
    let mut cases = vec![];
    for status in [200, 204, 301, 302, 400, 404, 418, 429, 500, 503] {
        cases.push((true, Fault::Status(status), "answered our login with"));
    }
    for status in [201, 204, 302, 400, 418, 429, 500, 502, 503] {
        cases.push((false, Fault::Status(status), "it answered"));
    }
    for at_login in [true, false] {
        for text in [
            "",
            "<html>",
            "[]",
            "{}",
            "null",
            "{\"token\": {}}",
            "{\"token\": 7}",
            "{\"token\": {\"user\": {\"id\": 7}, \"expires_at\": \"2030-01-01T00:00:00Z\"}}",
            "{\"token\": {\"user\": {\"id\": \"u\"}, \"expires_at\": \"soon\"}}",
            "{\"token\": {\"user\": {\"id\": \"u\"}, \"expires_at\": \"2030-01-01T00:00:00Z\", \"roles\": {}}}",
            "\u{0}\u{fffd}",
        ] {
            cases.push((at_login, body(text), not_a_token));
        }
        cases.push((at_login, body(&"[".repeat(100_000)), not_a_token));
        cases.push((at_login, body(&" ".repeat(5 << 20)), "longer than"));
        cases.push((at_login, Fault::Silent, "did not answer in time"));
    }
    cases.push((
        false,
        body("{\"token\": {\"user\": {\"id\": \"\"}, \"expires_at\": \"2030-01-01T00:00:00Z\"}}"),
        not_a_token,
    ));
    cases.push((true, Fault::Status(401), "refuses the login"));
    cases.push((false, Fault::Status(401), "refuses the token it has just given"));
    cases.push((false, Fault::Status(403), "may not check tokens"));
    cases.push((true, Fault::NoToken, "without a token"));
    for (at_login, fault, wanted) in cases {
        let silent = fault == Fault::Silent;
        let limit = if silent { Duration::from_millis(200) } else { Duration::from_secs(20) };
        let mut options = options(&url, "octavia", "p4ss");
        options.session.request_timeout = limit;
        let keystone = Keystone::open(options).unwrap();
        fake.set(at_login, fault.clone());
        let error = keystone.verify("good").await.expect_err(wanted);
        let text = error.to_string();
        assert!(
            matches!(error, IdentityError::Unavailable(_)) && text.contains(wanted),
            "{fault:.60?}: {text}"
        );
        assert!(!text.contains("p4ss") && !text.contains("own-") && !text.contains("internals"), "{text}");
        fake.set(at_login, Fault::None);
        if !silent {
            assert_eq!(keystone.verify("good").await, Ok(good()), "after {fault:.60?}");
        }
    }
    let closed = {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let mut options = options(&closed, "octavia", "p");
    options.session.retries = 1;
    let keystone = Keystone::open(options).unwrap();
    assert!(matches!(keystone.verify("good").await, Err(IdentityError::Unavailable(_))));
}

#[tokio::test]
async fn our_own_token_is_renewed() {
    let (fake, url) = Fake::start().await;
    let uncached = || KeystoneOptions { cache_time: None, ..options(&url, "octavia", "p") };
    let keystone = Keystone::open(uncached()).unwrap();
    for _ in 0..3 {
        assert_eq!(keystone.verify("good").await, Ok(good()));
    }
    assert_eq!(fake.counts(), (1, 3));
    // Keystone forgets us: one login for all who notice.
    fake.good.store(999, Ordering::SeqCst);
    let (a, b, c) =
        tokio::join!(keystone.verify("good"), keystone.verify("good"), keystone.verify("nothing"));
    assert_eq!((a, b, c), (Ok(good()), Ok(good()), Err(IdentityError::InvalidToken)));
    assert_eq!(fake.counts().0, 2);
    // It does not try for ever.
    fake.set(false, Fault::RefusesItsOwn);
    assert!(matches!(keystone.verify("good").await, Err(IdentityError::Unavailable(_))));
    assert_eq!(fake.counts().0, 3);
    fake.set(false, Fault::None);

    // One that soon ends is not used up to its end.
    *fake.own_lifetime.lock().unwrap() = SignedDuration::from_secs(30);
    let keystone = Keystone::open(uncached()).unwrap();
    for _ in 0..2 {
        assert_eq!(keystone.verify("good").await, Ok(good()));
    }
    assert_eq!(fake.counts().0, 5);
}

/// Those who wait for a login that fails do not wait for one of their own after it.
#[tokio::test]
async fn a_silent_keystone_does_not_make_callers_queue() {
    let (fake, url) = Fake::start().await;
    fake.set(true, Fault::Silent);
    let limit = Duration::from_secs(1);
    let mut options = options(&url, "octavia", "p");
    options.session.request_timeout = limit;
    let keystone = Arc::new(Keystone::open(options).unwrap());
    let started = Instant::now();
    let calls: Vec<_> = (0..30)
        .map(|_| {
            let keystone = Arc::clone(&keystone);
            tokio::spawn(async move { keystone.verify("good").await })
        })
        .collect();
    for call in calls {
        assert!(matches!(call.await.unwrap(), Err(IdentityError::Unavailable(_))));
    }
    assert!(started.elapsed() < limit * 10, "{:?}", started.elapsed());
    assert_eq!(fake.counts().0, 1);
}

#[tokio::test]
async fn what_was_found_good_is_believed_for_a_while() {
    let (fake, url) = Fake::start().await;
    let keystone = Keystone::open(options(&url, "octavia", "p")).unwrap();
    for _ in 0..3 {
        assert_eq!(keystone.verify("good").await, Ok(good()));
    }
    assert_eq!(fake.counts().1, 1);
    for _ in 0..2 {
        assert_eq!(keystone.verify("bad").await, Err(IdentityError::InvalidToken));
        assert_eq!(keystone.verify("late").await, Err(IdentityError::InvalidToken), "expired, says its date");
    }
    assert_eq!(fake.counts().1, 5, "only good tokens are remembered");
    fake.set(false, Fault::Status(503));
    assert_eq!(keystone.verify("good").await, Ok(good()), "also while Keystone is down");

    // Never longer than the token lives.
    fake.set(false, Fault::None);
    *fake.lifetime.lock().unwrap() = SignedDuration::from_millis(1500);
    let keystone = Keystone::open(options(&url, "octavia", "p")).unwrap();
    assert_eq!(keystone.verify("good").await, Ok(good()));
    let (_, asked) = fake.counts();
    let started = Instant::now();
    while fake.counts().1 == asked {
        assert!(started.elapsed() < Duration::from_secs(20), "it is believed for ever");
        assert!(keystone.verify("good").await.is_ok());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn services_come_with_a_token_of_their_own() {
    let (_fake, url) = Fake::start().await;
    let keystone = |required| {
        let options = options(&url, "octavia", "p");
        Keystone::open(KeystoneOptions { service_token_roles_required: required, ..options }).unwrap()
    };
    for (required, token, service, wanted) in [
        (true, "good", "nova", Ok("nova")),
        (true, "expired", "nova", Ok("nova")),
        (true, "bad", "nova", Err(())),
        (true, "good", "bad", Err(())),
        (true, "good", "", Err(())),
        // Any user's token beside it is not a service's.
        (true, "good", "other", Err(())),
        (false, "good", "other", Ok("other")),
        (false, "expired", "other", Err(())),
    ] {
        let found = keystone(required).verify_through(token, service).await;
        match wanted {
            Ok(user) => {
                let found = found.unwrap();
                assert_eq!(found.service.as_ref().map(|service| service.user_id.as_str()), Some(user));
                assert_eq!(RequestContext { service: None, ..found }, good(), "{token} {service}");
            }
            Err(()) => assert_eq!(found, Err(IdentityError::InvalidToken), "{required} {token} {service}"),
        }
    }
    // What an expired token was good for once is not believed without a service.
    let keystone = keystone(true);
    assert!(keystone.verify_through("expired", "nova").await.is_ok());
    assert_eq!(keystone.verify("expired").await, Err(IdentityError::InvalidToken));
}

/// A token and an address for the services beside Keystone, by the same rules.
#[tokio::test]
async fn the_service_logs_in_for_others() {
    let wanted = |kind| Wanted { kind, name: None, interface: "publicURL".to_owned(), region: None };
    let cloud = Cloud::new();
    let url = format!("{}/identity", served(&cloud).await);
    let session = options(&url, "admin", &cloud.password("admin")).session;
    let identity =
        ServiceLogin::open(session, wanted("key-manager")).unwrap().service_identity(None).await.unwrap();
    let admin = cloud.local.identity().verify(&identity.token).await.unwrap();
    assert_eq!(identity.user_id, admin.user_id);
    assert!(identity.endpoint.unwrap().ends_with("/key-manager"));

    let (fake, url) = Fake::start().await;
    let login = ServiceLogin::open(options(&url, "octavia", "p4ss").session, wanted("key-manager")).unwrap();
    let first = login.service_identity(None).await.unwrap();
    assert_eq!((first.user_id.as_str(), first.endpoint), ("octavia", None), "a catalogue without it");
    for (stale, wanted) in
        [(None, "own-1"), (Some("own-0"), "own-1"), (Some("own-1"), "own-2"), (None, "own-2")]
    {
        assert_eq!(login.service_identity(stale).await.unwrap().token, wanted, "{stale:?}");
    }
    fake.set(true, Fault::Status(401));
    let error = login.service_identity(Some("own-2")).await.unwrap_err();
    assert_eq!(error.blame, Blame::Dependency);
    assert_eq!(error.message, "Keystone gives the load balancer service no token");
    assert!(!format!("{login:?}").contains("p4ss"));
}

#[tokio::test]
async fn what_cannot_work_is_said_at_once() {
    let missing = TlsOptions { cafile: Some("/nowhere/ca.pem".into()), insecure: false };
    let url = "https://keystone.test";
    let mut with_ca = options(url, "octavia", "p");
    with_ca.session.tls = missing;
    assert!(Keystone::open(with_ca).unwrap_err().to_string().contains("/nowhere/ca.pem"));
    let error = Keystone::open(options("keystone", "octavia", "p")).unwrap_err();
    assert_eq!(error.to_string(), "\"keystone\" is not an http or https URL");
    let shown = format!("{:?}", Keystone::open(options(url, "octavia", "p4ss")).unwrap());
    assert!(!shown.contains("p4ss"), "{shown}");
}
