//! A token, the catalogue that came with it, and requests that carry it.

use std::sync::Arc;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::Error;
use crate::api::named;
use crate::clouds::{Auth, CloudConfig, Domain, Scope, Secret, User};

/// Attempts after the first when nothing listens, or the service says 503: 0.25, 0.5, 1, 2 s apart.
const RETRIES: u32 = 4;
const FIRST_BACKOFF: Duration = Duration::from_millis(250);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(120);
/// The largest answer that is read, in bytes.
const MAX_ANSWER: usize = 64 << 20;

/// The services this client calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    LoadBalancer,
    Network,
}

impl Service {
    /// Its type in the catalogue.
    pub const fn catalog_type(self) -> &'static str {
        match self {
            Self::LoadBalancer => "load-balancer",
            Self::Network => "network",
        }
    }
}

/// Credentials in use. Cheap to clone; a token is fetched when first needed, and again when it is refused.
#[derive(Clone)]
pub struct Session {
    inner: Arc<Inner>,
}

struct Inner {
    http: reqwest::Client,
    cloud: CloudConfig,
    token: Mutex<Option<Arc<Token>>>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("cloud", &self.inner.cloud).finish_non_exhaustive()
    }
}

struct Token {
    id: Secret,
    /// The `catalog` list as Keystone gave it.
    catalog: Value,
}

/// One request, before credentials are added.
#[derive(Debug, Clone)]
pub(crate) struct Request<'a> {
    pub(crate) service: Service,
    pub(crate) method: Method,
    /// Below the versioned endpoint, with a leading slash.
    pub(crate) path: &'a str,
    pub(crate) query: &'a [(&'a str, String)],
    pub(crate) body: Option<&'a Value>,
}

impl Session {
    /// Reads certificates and prepares connections; sends nothing yet.
    pub fn new(cloud: CloudConfig) -> Result<Self, Error> {
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("octavia/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(ANSWER_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .tls_backend_preconfigured(tls(&cloud)?);
        if cloud.urls().any(is_loopback) {
            // A proxy from the environment cannot reach this machine's loopback.
            builder = builder.no_proxy();
        }
        let http = builder.build().map_err(|e| Error::Config(format!("cannot set up HTTP: {e}")))?;
        Ok(Self { inner: Arc::new(Inner { http, cloud, token: Mutex::new(None) }) })
    }

    /// The URL of a service with its version, without a slash at the end.
    pub async fn endpoint(&self, service: Service) -> Result<String, Error> {
        let cloud = &self.inner.cloud;
        let fixed = match service {
            Service::LoadBalancer => &cloud.load_balancer_endpoint,
            Service::Network => &cloud.network_endpoint,
        };
        let url = match fixed {
            Some(url) => url.clone(),
            None => {
                let found = match self.token(None).await? {
                    Some(token) => {
                        catalog_url(&token.catalog, service, cloud.region.as_deref(), &cloud.interface)
                    }
                    None => None,
                };
                found.ok_or_else(|| Error::NoEndpoint {
                    service: service.catalog_type(),
                    region: cloud.region.clone(),
                })?
            }
        };
        Ok(versioned(&url))
    }

    /// Sends, retries what is safe and likely to help, and gives the JSON of a 2xx answer (`Null` if it has no body).
    pub(crate) async fn request(&self, request: Request<'_>) -> Result<Value, Error> {
        // A path with an empty part would be that of all of them.
        request.path.split('/').skip(1).try_for_each(named)?;
        let url = format!("{}{}", self.endpoint(request.service).await?, request.path);
        let mut token = self.token(None).await?;
        // A repetition makes nothing again, where the service knows such keys.
        let key = (request.method == Method::POST).then(|| uuid::Uuid::new_v4().to_string());
        let mut attempt = 0;
        let mut renewed = false;
        loop {
            let mut builder = self
                .inner
                .http
                .request(request.method.clone(), &url)
                .header("accept", "application/json")
                .query(request.query);
            if let Some(token) = &token {
                builder = builder.header("x-auth-token", token.id.expose());
            }
            if let Some(key) = &key {
                builder = builder.header("idempotency-key", key);
            }
            if let Some(body) = request.body {
                builder = builder.json(body);
            }
            match builder.send().await {
                Err(e) if e.is_connect() && attempt < RETRIES => {}
                Err(e) => return Err(unreachable(&url, &e)),
                Ok(answer) if answer.status() == StatusCode::SERVICE_UNAVAILABLE && attempt < RETRIES => {}
                Ok(answer) if answer.status() == StatusCode::UNAUTHORIZED && !renewed && self.can_renew() => {
                    renewed = true;
                    token = self.token(token.as_ref()).await?;
                    continue;
                }
                Ok(answer) => return read(answer, &url).await,
            }
            tokio::time::sleep(FIRST_BACKOFF * 2_u32.pow(attempt)).await;
            attempt += 1;
        }
    }

    fn can_renew(&self) -> bool {
        matches!(self.inner.cloud.auth, Auth::Password { .. } | Auth::ApplicationCredential { .. })
    }

    /// The token in use, unless it is `refused`: then a new one.
    async fn token(&self, refused: Option<&Arc<Token>>) -> Result<Option<Arc<Token>>, Error> {
        let mut held = self.inner.token.lock().await;
        if let Some(token) = held.as_ref()
            && !refused.is_some_and(|r| Arc::ptr_eq(r, token))
        {
            return Ok(Some(token.clone()));
        }
        let cloud = &self.inner.cloud;
        let token = match &cloud.auth {
            Auth::None => return Ok(None),
            Auth::Token { auth_url: None, token, .. } => Token { id: token.clone(), catalog: Value::Null },
            // With the endpoint given there is nothing to ask the identity service for.
            Auth::Token { token, .. } if cloud.load_balancer_endpoint.is_some() => {
                Token { id: token.clone(), catalog: Value::Null }
            }
            Auth::Token { auth_url: Some(url), .. }
            | Auth::Password { auth_url: url, .. }
            | Auth::ApplicationCredential { auth_url: url, .. } => self.authenticate(url).await?,
        };
        let token = Arc::new(token);
        *held = Some(token.clone());
        Ok(Some(token))
    }

    async fn authenticate(&self, auth_url: &str) -> Result<Token, Error> {
        let url = format!("{}/auth/tokens", identity_v3(auth_url));
        let body = auth_body(&self.inner.cloud.auth);
        let mut attempt = 0;
        let answer = loop {
            match self.inner.http.post(&url).header("accept", "application/json").json(&body).send().await {
                Err(e) if e.is_connect() && attempt < RETRIES => {}
                Err(e) => return Err(unreachable(&url, &e)),
                Ok(answer) if answer.status() == StatusCode::SERVICE_UNAVAILABLE && attempt < RETRIES => {}
                Ok(answer) => break answer,
            }
            tokio::time::sleep(FIRST_BACKOFF * 2_u32.pow(attempt)).await;
            attempt += 1;
        };
        let subject = answer.headers().get("x-subject-token").and_then(|v| v.to_str().ok()).map(Secret::new);
        let refused = answer.status() == StatusCode::UNAUTHORIZED;
        match read(answer, &url).await {
            Ok(mut document) => {
                let id = subject.ok_or_else(|| Error::Answer {
                    url,
                    reason: "no X-Subject-Token came with it".to_owned(),
                })?;
                Ok(Token { id, catalog: document["token"]["catalog"].take() })
            }
            Err(Error::Api { message, .. }) if refused => Err(Error::Unauthorized {
                url: auth_url.to_owned(),
                who: who(&self.inner.cloud.auth),
                message,
            }),
            Err(other) => Err(other),
        }
    }
}

impl CloudConfig {
    fn urls(&self) -> impl Iterator<Item = &str> {
        let auth_url = match &self.auth {
            Auth::None => None,
            Auth::Token { auth_url, .. } => auth_url.as_deref(),
            Auth::Password { auth_url, .. } | Auth::ApplicationCredential { auth_url, .. } => {
                Some(auth_url.as_str())
            }
        };
        [auth_url, self.load_balancer_endpoint.as_deref()].into_iter().flatten()
    }
}

fn is_loopback(url: &str) -> bool {
    let Ok(url) = reqwest::Url::parse(url) else { return false };
    match url.host_str() {
        Some("localhost") => true,
        Some(host) => host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback()),
        None => false,
    }
}

fn who(auth: &Auth) -> String {
    match auth {
        Auth::Password { user, .. } => user.to_string(),
        Auth::ApplicationCredential { .. } => "the application credential".to_owned(),
        Auth::Token { .. } => "the token".to_owned(),
        Auth::None => "nobody".to_owned(),
    }
}

fn domain_json(domain: &Domain) -> Value {
    match domain {
        Domain::Id(id) => json!({ "id": id }),
        Domain::Name(name) => json!({ "name": name }),
    }
}

fn user_json(user: &User) -> Value {
    match user {
        User::Id(id) => json!({ "id": id }),
        User::Name { name, domain } => json!({ "name": name, "domain": domain_json(domain) }),
    }
}

/// The body of Keystone's `POST /v3/auth/tokens`.
fn auth_body(auth: &Auth) -> Value {
    let (identity, scope) = match auth {
        Auth::None => (json!({}), &Scope::Unscoped),
        Auth::Token { token, scope, .. } => {
            (json!({ "methods": ["token"], "token": { "id": token.expose() } }), scope)
        }
        Auth::Password { user, password, scope, .. } => {
            let mut user = user_json(user);
            user["password"] = password.expose().into();
            (json!({ "methods": ["password"], "password": { "user": user } }), scope)
        }
        Auth::ApplicationCredential { id, name, user, secret, .. } => {
            let mut credential = json!({ "secret": secret.expose() });
            if let Some(id) = id {
                credential["id"] = id.as_str().into();
            } else if let Some(name) = name {
                credential["name"] = name.as_str().into();
                if let Some(user) = user {
                    credential["user"] = user_json(user);
                }
            }
            (
                json!({ "methods": ["application_credential"], "application_credential": credential }),
                &Scope::Unscoped,
            )
        }
    };
    let mut auth = json!({ "identity": identity });
    match scope {
        Scope::Unscoped => {}
        Scope::ProjectId(id) => auth["scope"] = json!({ "project": { "id": id } }),
        Scope::ProjectName { name, domain } => {
            auth["scope"] = json!({ "project": { "name": name, "domain": domain_json(domain) } });
        }
        Scope::System => auth["scope"] = json!({ "system": { "all": true } }),
    }
    json!({ "auth": auth })
}

/// `auth_url` with `/v3` at its end, whatever it had.
fn identity_v3(auth_url: &str) -> String {
    let base = auth_url.trim_end_matches('/');
    let base = base.strip_suffix("/v2.0").unwrap_or(base);
    if base.ends_with("/v3") { base.to_owned() } else { format!("{base}/v3") }
}

/// The endpoint with `/v2.0` at its end, whatever it had.
fn versioned(url: &str) -> String {
    let base = url.trim_end_matches('/');
    let base = base.strip_suffix("/v2").unwrap_or(base);
    if base.ends_with("/v2.0") { base.to_owned() } else { format!("{base}/v2.0") }
}

fn catalog_url(catalog: &Value, service: Service, region: Option<&str>, interface: &str) -> Option<String> {
    catalog
        .as_array()?
        .iter()
        .filter(|entry| entry["type"] == service.catalog_type())
        .filter_map(|entry| entry["endpoints"].as_array())
        .flatten()
        .filter(|endpoint| endpoint["interface"] == interface)
        .filter(|endpoint| region.is_none_or(|r| endpoint["region_id"] == r || endpoint["region"] == r))
        .find_map(|endpoint| endpoint["url"].as_str().map(str::to_owned))
}

async fn read(mut answer: reqwest::Response, url: &str) -> Result<Value, Error> {
    let status = answer.status();
    let request_id =
        answer.headers().get("x-openstack-request-id").and_then(|v| v.to_str().ok()).map(str::to_owned);
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|e| unreachable(url, &e))? {
        if body.len() + chunk.len() > MAX_ANSWER {
            return Err(Error::Answer {
                url: url.to_owned(),
                reason: format!("more than {MAX_ANSWER} bytes"),
            });
        }
        body.extend_from_slice(&chunk);
    }
    if status.is_success() {
        if body.is_empty() {
            return Ok(Value::Null);
        }
        return serde_json::from_slice(&body)
            .map_err(|e| Error::Answer { url: url.to_owned(), reason: format!("not JSON: {e}") });
    }
    Err(Error::Api {
        status: status.as_u16(),
        message: fault_text(&body).unwrap_or_else(|| match status.canonical_reason() {
            Some(reason) => reason.to_owned(),
            None => "no explanation was given".to_owned(),
        }),
        request_id: request_id.filter(|_| status.is_server_error()),
    })
}

/// The sentence in an error's body: Octavia's two shapes, Keystone's and Neutron's.
fn fault_text(body: &[u8]) -> Option<String> {
    let fault: Value = serde_json::from_slice(body).ok()?;
    ["/faultstring", "/error/message", "/NeutronError/message", "/description", "/title", "/message"]
        .iter()
        .filter_map(|path| fault.pointer(path)?.as_str())
        .find(|text| !text.is_empty())
        .map(|text| crate::table::printable(text.trim()))
}

fn unreachable(url: &str, error: &reqwest::Error) -> Error {
    if !reqwest::Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "http" | "https")) {
        return Error::Config(format!("{url:?} is not a URL that begins with http:// or https://"));
    }
    // The outermost error repeats the URL; its source says what happened.
    let mut reason: &dyn std::error::Error = error;
    while let Some(source) = reason.source() {
        reason = source;
    }
    Error::Unreachable { url: url.to_owned(), reason: reason.to_string() }
}

fn tls(cloud: &CloudConfig) -> Result<rustls::ClientConfig, Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|e| Error::Config(format!("cannot set up TLS: {e}")))?;
    if !cloud.verify {
        return Ok(builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(danger::AnyCertificate(provider)))
            .with_no_client_auth());
    }
    let mut roots = rustls::RootCertStore::empty();
    match &cloud.ca_cert {
        Some(path) => {
            use rustls::pki_types::pem::PemObject;
            let unreadable = |reason: String| Error::Config(format!("cacert {}: {reason}", path.display()));
            let certificates = rustls::pki_types::CertificateDer::pem_file_iter(path)
                .map_err(|e| unreadable(e.to_string()))?
                .collect::<Result<Vec<_>, _>>()
                .map_err(|e| unreadable(e.to_string()))?;
            if roots.add_parsable_certificates(certificates).0 == 0 {
                return Err(unreadable("no certificate in it".to_owned()));
            }
        }
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
    }
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// What `--insecure` asks for.
mod danger {
    use std::sync::Arc;

    use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
    use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
    use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
    use rustls::{DigitallySignedStruct, Error, SignatureScheme};

    /// Accepts every certificate, but checks that its key signed the handshake.
    #[derive(Debug)]
    pub(super) struct AnyCertificate(pub(super) Arc<CryptoProvider>);

    impl ServerCertVerifier for AnyCertificate {
        fn verify_server_cert(
            &self,
            _: &CertificateDer<'_>,
            _: &[CertificateDer<'_>],
            _: &ServerName<'_>,
            _: &[u8],
            _: UnixTime,
        ) -> Result<ServerCertVerified, Error> {
            Ok(ServerCertVerified::assertion())
        }

        fn verify_tls12_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            verify_tls12_signature(message, cert, signed, &self.0.signature_verification_algorithms)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            verify_tls13_signature(message, cert, signed, &self.0.signature_verification_algorithms)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.0.signature_verification_algorithms.supported_schemes()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_get_their_version_once() {
        for (given, identity, service) in [
            ("http://h/x", "http://h/x/v3", "http://h/x/v2.0"),
            ("http://h/x/", "http://h/x/v3", "http://h/x/v2.0"),
            ("http://h/v3/", "http://h/v3", "http://h/v3/v2.0"),
            ("http://h/v2.0", "http://h/v3", "http://h/v2.0"),
            ("http://h/v2", "http://h/v2/v3", "http://h/v2.0"),
        ] {
            assert_eq!(identity_v3(given), identity);
            assert_eq!(versioned(given), service);
        }
    }

    #[test]
    fn catalog_is_searched_by_type_interface_and_region() {
        let catalog = json!([
            { "type": "identity", "endpoints": [{ "interface": "public", "region": "A", "url": "http://id" }] },
            { "type": "load-balancer", "endpoints": [
                { "interface": "internal", "region": "A", "url": "http://a-internal" },
                { "interface": "public", "region": "A", "url": "http://a" },
                { "interface": "public", "region": "B", "region_id": "B", "url": "http://b" },
            ] },
        ]);
        let find = |region, interface| catalog_url(&catalog, Service::LoadBalancer, region, interface);
        assert_eq!(find(None, "public").as_deref(), Some("http://a"));
        assert_eq!(find(Some("B"), "public").as_deref(), Some("http://b"));
        assert_eq!(find(Some("A"), "internal").as_deref(), Some("http://a-internal"));
        assert_eq!(find(Some("C"), "public"), None);
        assert_eq!(catalog_url(&catalog, Service::Network, None, "public"), None);
        assert_eq!(catalog_url(&json!("nonsense"), Service::Network, None, "public"), None);
    }

    #[test]
    fn fault_texts_of_all_services() {
        for (body, text) in [
            (
                r#"{"faultcode": "Client", "faultstring": "Pool x not found.", "debuginfo": null}"#,
                Some("Pool x not found."),
            ),
            (r#"{"code": 404, "title": "Not Found", "description": ""}"#, Some("Not Found")),
            (r#"{"code": 400, "title": "Bad Request", "description": "no"}"#, Some("no")),
            (r#"{"error": {"code": 401, "title": "Unauthorized", "message": "who?"}}"#, Some("who?")),
            (r#"{"NeutronError": {"message": "no subnet"}}"#, Some("no subnet")),
            (r#"{"faultstring": "a\u001b[31mb"}"#, Some("a\\u{1b}[31mb")),
            ("<html>", None),
            ("", None),
            ("[1]", None),
        ] {
            assert_eq!(fault_text(body.as_bytes()).as_deref(), text, "{body}");
        }
    }
}
