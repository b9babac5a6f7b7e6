//! What the embedded Keystone, Neutron and Barbican have in common as HTTP servers.

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::Response;
use serde_json::Value;

use super::list::{Query, percent_decoded};

/// The most a request's body may have, in bytes: as Octavia's own API.
const BODY_MAX: usize = 114_688;

/// A request, read whole.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) headers: HeaderMap,
    pub(super) query: Query,
    pub(super) body: Vec<u8>,
    segments: Vec<String>,
}

impl Call {
    /// `None` = the body is too large, or did not arrive whole.
    pub(super) async fn read(request: Request) -> Option<Self> {
        let (parts, body) = request.into_parts();
        let body = axum::body::to_bytes(body, BODY_MAX).await.ok()?.to_vec();
        Some(Self {
            segments: segments(&parts.uri),
            query: Query::parse(parts.uri.query().unwrap_or_default()),
            method: parts.method,
            headers: parts.headers,
            body,
        })
    }

    /// The path, without empty parts: a slash at the end makes no difference.
    pub(super) fn path(&self) -> Vec<&str> {
        self.segments.iter().map(String::as_str).collect()
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok()).filter(|text| !text.is_empty())
    }

    /// Scheme and host as the client named them, for links; `otherwise` when it named none.
    pub(super) fn base(&self, otherwise: &str) -> String {
        let host = self.header(header::HOST.as_str()).filter(|host| {
            host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte))
        });
        host.map_or_else(|| otherwise.to_owned(), |host| format!("http://{host}"))
    }
}

fn segments(uri: &Uri) -> Vec<String> {
    uri.path().split('/').filter(|part| !part.is_empty()).map(percent_decoded).collect()
}

pub(super) fn json(status: StatusCode, document: &Value) -> Response {
    let mut response = Response::new(Body::from(document.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response
}

pub(super) fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}
