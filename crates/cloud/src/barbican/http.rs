//! One request at a time, with an end to everything: connecting, waiting, reading.

use std::sync::Arc;
use std::time::Duration;

use ::http::{HeaderValue, Method, Request, Uri, header};
use axum::body::{Body, Bytes};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::CloudError;

const MICROVERSION: &str = "key-manager 1.1";

#[derive(Debug, Clone)]
pub struct HttpOptions {
    /// For one request, from connecting to the last byte.
    pub timeout: Duration,
    /// Bytes of an answer at most.
    pub body_max: usize,
    /// For endpoints of https.
    pub tls: Option<Arc<ClientConfig>>,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(10), body_max: 1 << 20, tls: None }
    }
}

#[derive(Debug, Clone)]
pub(super) struct Http {
    /// Without the version, and without a slash at its end.
    base: String,
    host: String,
    port: u16,
    /// Connector and name, for https.
    tls: Option<Tls>,
    options: HttpOptions,
}

#[derive(Debug, Clone)]
struct Tls {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Bytes,
}

impl Answer {
    pub(super) fn json(&self) -> Result<Value, CloudError> {
        serde_json::from_slice(&self.body)
            .map_err(|_| CloudError::unavailable("the key manager answered something that is not JSON"))
    }
}

impl Http {
    pub(super) fn new(endpoint: &str, options: HttpOptions) -> Result<Self, CloudError> {
        let bad = |why: &str| CloudError::refused(format!("The key manager's endpoint {endpoint} {why}."));
        let uri: Uri = endpoint.parse().map_err(|_| bad("is no URL"))?;
        let host = uri.host().ok_or_else(|| bad("names no host"))?.to_owned();
        let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let (tls, port) = match uri.scheme_str() {
            Some("http") => (None, 80),
            Some("https") => {
                let config =
                    options.tls.clone().ok_or_else(|| bad("is of https, and no authority is trusted"))?;
                let name = ServerName::try_from(bare.clone()).map_err(|_| bad("has no host name"))?;
                (Some(Tls { config, name }), 443)
            }
            _ => return Err(bad("is neither of http nor of https")),
        };
        let path = uri.path().trim_end_matches('/');
        let base = path.strip_suffix("/v1").unwrap_or(path).trim_end_matches('/').to_owned();
        Ok(Self { base, host: bare, port: uri.port_u16().unwrap_or(port), tls, options })
    }

    pub(super) async fn call(
        &self,
        method: Method,
        path: &str,
        token: &str,
        accept: &str,
        body: Option<&Value>,
    ) -> Result<Answer, CloudError> {
        let request = self.request(method, path, token, accept, body)?;
        let exchange = async {
            let stream = TcpStream::connect((self.host.as_str(), self.port)).await.map_err(away)?;
            match &self.tls {
                None => self.exchange(stream, request).await,
                Some(tls) => {
                    let connector = TlsConnector::from(tls.config.clone());
                    let stream = connector.connect(tls.name.clone(), stream).await.map_err(away)?;
                    self.exchange(stream, request).await
                }
            }
        };
        tokio::time::timeout(self.options.timeout, exchange)
            .await
            .map_err(|_| CloudError::unavailable("the key manager did not answer in time"))?
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        token: &str,
        accept: &str,
        body: Option<&Value>,
    ) -> Result<Request<Body>, CloudError> {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        let mut token = HeaderValue::try_from(token)
            .map_err(|_| CloudError::unavailable("the token cannot be sent as a header"))?;
        token.set_sensitive(true);
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header(header::HOST, format!("{host}:{}", self.port))
            .header(header::ACCEPT, accept)
            .header("x-auth-token", token)
            .header("openstack-api-version", MICROVERSION);
        let request = match body {
            None => request.body(Body::empty()),
            Some(body) => {
                request.header(header::CONTENT_TYPE, "application/json").body(Body::from(body.to_string()))
            }
        };
        request.map_err(|_| {
            CloudError::unavailable("the key manager's answer names a type that cannot be asked for")
        })
    }

    async fn exchange<S>(&self, stream: S, request: Request<Body>) -> Result<Answer, CloudError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(away)?;
        let exchange = async {
            let response = sender.send_request(request).await.map_err(away)?;
            let status = response.status().as_u16();
            let body = axum::body::to_bytes(Body::new(response.into_body()), self.options.body_max).await;
            let body = body.map_err(|_| {
                CloudError::unavailable("the key manager's answer is too large, or was cut off")
            })?;
            Ok(Answer { status, body })
        };
        // The connection is driven here, so that nothing of it outlives the request.
        tokio::pin!(exchange);
        tokio::select! {
            outcome = &mut exchange => outcome,
            end = connection => {
                end.map_err(away)?;
                exchange.await
            }
        }
    }
}

fn away(error: impl std::error::Error) -> CloudError {
    tracing::debug!(%error, "the key manager could not be asked");
    CloudError::unavailable("the key manager could not be reached")
}
