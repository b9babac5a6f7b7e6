//! HTTP with Keystone, and the service's own token.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use reqwest::{RequestBuilder, Response, StatusCode, Url};
use tokio::sync::Mutex;

use super::OpenError;
use super::catalogue::{Catalogue, Wanted};
use super::document::{self, Found};
use super::login::Login;
use super::tls::{self, TlsOptions};

/// Bytes of an answer at most: one with the catalogue of a large cloud has some hundred thousand.
const ANSWER_MAX: usize = 4 << 20;
/// Before it ends, our own token is renewed.
const RENEW_BEFORE: SignedDuration = SignedDuration::from_secs(60);
/// Before the first further try; twice that before the next.
const RETRY_AFTER: Duration = Duration::from_millis(250);

/// How to reach a Keystone, and as whom.
#[derive(Debug, Clone)]
pub struct SessionOptions {
    /// The section of `octavia.conf` that says so, for who reads errors.
    pub section: &'static str,
    /// Where to log in, with or without `/v3`.
    pub auth_url: String,
    pub login: Login,
    pub tls: TlsOptions,
    pub connect_timeout: Duration,
    /// For one request, all in all.
    pub request_timeout: Duration,
    /// How often a request is tried again that got no answer.
    pub retries: u32,
}

pub(super) struct Session {
    http: reqwest::Client,
    options: SessionOptions,
    /// `…/v3`
    auth_url: String,
    own: Mutex<Own>,
}

#[derive(Default)]
struct Own {
    token: Option<OwnToken>,
    /// When a login last failed, and why.
    failed: Option<(Instant, String)>,
}

#[derive(Clone)]
pub(super) struct OwnToken {
    pub(super) token: String,
    pub(super) user_id: String,
    expires_at: Timestamp,
    pub(super) catalogue: Arc<Catalogue>,
}

impl std::fmt::Debug for Session {
    /// Without tokens.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("auth_url", &self.auth_url).finish_non_exhaustive()
    }
}

impl Session {
    pub(super) fn open(options: SessionOptions) -> Result<Self, OpenError> {
        let auth_url = versioned(&options.auth_url)
            .ok_or_else(|| OpenError(format!("{:?} is not an http or https URL", options.auth_url)))?;
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls::client_config(&options.tls).map_err(OpenError)?)
            .connect_timeout(options.connect_timeout)
            .timeout(options.request_timeout)
            // Where a redirect led, the service's password would follow.
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .map_err(|error| OpenError(format!("no HTTP client: {error}")))?;
        Ok(Self { http, options, auth_url, own: Mutex::default() })
    }

    /// What Keystone, at the address that `identity` has in the catalogue, knows of a token, `None` = nothing; the error
    /// says why it could not be asked.
    pub(super) async fn token_show(
        &self,
        identity: &Wanted,
        token: &str,
        allow_expired: bool,
    ) -> Result<Option<Found>, String> {
        let mut own = self.own_token(None).await?;
        for renewed in [false, true] {
            let endpoint = own.catalogue.endpoint(identity).and_then(versioned);
            let url = format!("{}/auth/tokens", endpoint.as_ref().unwrap_or(&self.auth_url));
            let mut request = self.http.get(url).query(&[("nocatalog", "1")]);
            if allow_expired {
                request = request.query(&[("allow_expired", "1")]);
            }
            let request = request.header("x-auth-token", &own.token).header("x-subject-token", token);
            let response = self.send(request).await?;
            match response.status() {
                StatusCode::OK => {
                    return document::found(&body(response).await?).map(Some);
                }
                StatusCode::NOT_FOUND => return Ok(None),
                StatusCode::UNAUTHORIZED if !renewed => {
                    // Taken back, or Keystone has other keys now.
                    own = self.own_token(Some(&own.token)).await?;
                }
                StatusCode::UNAUTHORIZED => {
                    return Err("it refuses the token it has just given us".to_owned());
                }
                StatusCode::FORBIDDEN => {
                    return Err(format!(
                        "the user of [{}] may not check tokens: it needs the role service or admin",
                        self.options.section
                    ));
                }
                status => return Err(format!("it answered {status}")),
            }
        }
        Err("it refuses every token of ours".to_owned())
    }

    /// Our token, and not the refused one. One login at a time: the others wait for what it brings, be it a failure.
    pub(super) async fn own_token(&self, refused: Option<&str>) -> Result<OwnToken, String> {
        let asked = Instant::now();
        let mut own = self.own.lock().await;
        if let Some(known) = own.token.as_ref().filter(|known| Some(known.token.as_str()) != refused)
            && Timestamp::now() + RENEW_BEFORE < known.expires_at
        {
            return Ok(known.clone());
        }
        if let Some((at, why)) = &own.failed
            && *at > asked
        {
            return Err(why.clone());
        }
        let new = self.log_in().await;
        own.failed = new.as_ref().err().map(|why| (Instant::now(), why.clone()));
        own.token = new.as_ref().ok().cloned();
        new
    }

    async fn log_in(&self) -> Result<OwnToken, String> {
        let request = self.http.post(format!("{}/auth/tokens", self.auth_url));
        let response = self.send(request.json(&self.options.login.request())).await?;
        let status = response.status();
        if status != StatusCode::CREATED {
            return Err(match status {
                StatusCode::UNAUTHORIZED => format!("it refuses the login of [{}]", self.options.section),
                status => format!("it answered our login with {status}"),
            });
        }
        let token = response.headers().get("x-subject-token").and_then(|token| token.to_str().ok());
        let token = token.ok_or("it answered our login without a token")?.to_owned();
        let document::Own { user_id, expires_at, catalogue } = document::own(&body(response).await?)?;
        tracing::debug!(section = self.options.section, %expires_at, "logged in to Keystone");
        Ok(OwnToken { token, user_id, expires_at, catalogue: Arc::new(catalogue) })
    }

    /// Tries again where nothing can have come of it: no connection.
    async fn send(&self, request: RequestBuilder) -> Result<Response, String> {
        let mut wait = RETRY_AFTER;
        for _ in 0..self.options.retries {
            let Some(request) = request.try_clone() else { break };
            match request.send().await {
                Err(error) if error.is_connect() => {
                    tracing::debug!(error = reason(&error), "Keystone cannot be reached; trying again");
                }
                other => return other.map_err(|error| reason(&error)),
            }
            tokio::time::sleep(wait).await;
            wait *= 2;
        }
        request.send().await.map_err(|error| reason(&error))
    }
}

/// Reads no more than enough.
async fn body(mut response: Response) -> Result<Vec<u8>, String> {
    let mut body = vec![];
    while let Some(chunk) = response.chunk().await.map_err(|error| reason(&error))? {
        if body.len() + chunk.len() > ANSWER_MAX {
            return Err(format!("its answer is longer than {ANSWER_MAX} bytes"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The innermost cause: the outer ones repeat the URL.
fn reason(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "it did not answer in time".to_owned();
    }
    let mut reason: &dyn std::error::Error = error;
    while let Some(source) = reason.source() {
        reason = source;
    }
    reason.to_string()
}

/// Ends with `/v3`, as catalogues and configurations may or may not write it.
fn versioned(url: &str) -> Option<String> {
    let parsed = Url::parse(url).ok()?;
    if !matches!(parsed.scheme(), "http" | "https") || parsed.query().is_some() {
        return None;
    }
    let base = url.trim_end_matches('/');
    Some(if base.ends_with("/v3") { base.to_owned() } else { format!("{base}/v3") })
}

#[cfg(test)]
mod tests {
    use super::versioned;

    #[test]
    fn urls_get_their_version_once() {
        for (given, wanted) in [
            ("http://h", Some("http://h/v3")),
            ("http://h/", Some("http://h/v3")),
            ("https://h:5000/identity/", Some("https://h:5000/identity/v3")),
            ("http://h/v3", Some("http://h/v3")),
            ("http://h/v3/", Some("http://h/v3")),
            ("h/v3", None),
            ("ftp://h/v3", None),
            ("http://", None),
            ("", None),
        ] {
            assert_eq!(versioned(given).as_deref(), wanted, "{given}");
        }
    }
}
