//! From bytes to a [`Call`] and back: request ids, authentication, content rules, dispatch.

use std::time::Instant;

use axum::Router;
use axum::extract::{OriginalUri, Request, State};
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use tracing::Instrument;

use crate::ApiState;
use crate::call::{Answer, Body, Call};
use crate::endpoint::{self, Target};
use crate::fault::Fault;
use crate::handler;
use crate::query::Query;
use crate::view::version::VersionsView;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-openstack-request-id");

/// The whole API, at `/` and, as many clouds have it, below `/load-balancer`. It may be nested elsewhere as well:
/// links carry the path a request came by.
pub fn router(state: ApiState) -> Router {
    Router::new().fallback(serve).with_state(state)
}

async fn serve(
    State(state): State<ApiState>,
    OriginalUri(original): OriginalUri,
    request: Request,
) -> Response {
    let request_id = format!("req-{}", uuid::Uuid::new_v4());
    let started = Instant::now();
    let (parts, body) = request.into_parts();
    let span = tracing::info_span!(
        "request",
        id = %request_id,
        global_id = global_request_id(&parts.headers),
        method = %parts.method,
        path = original.path(),
    );
    // A task of its own: a client that hangs up does not cut a write in half, and a panic ends one request only.
    let task = tokio::spawn(answer(state, parts, original, body).instrument(span.clone()));
    let mut response = match task.await {
        Ok(Ok(response)) => response,
        Ok(Err(fault)) => {
            span.in_scope(|| tracing::debug!(%fault, "refused"));
            fault.into_response()
        }
        Err(error) => {
            span.in_scope(|| tracing::error!(%error, "the request's task died"));
            Fault::Internal.into_response()
        }
    };
    if let Ok(value) = HeaderValue::try_from(&request_id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    span.in_scope(|| {
        tracing::info!(status = response.status().as_u16(), elapsed = ?started.elapsed(), "answered");
    });
    response
}

/// The id a caller gave to a chain of requests, if it looks like one; only ever logged.
fn global_request_id(headers: &HeaderMap) -> Option<&str> {
    let text = headers.get(REQUEST_ID)?.to_str().ok()?;
    let uuid = text.strip_prefix("req-")?;
    uuid::Uuid::try_parse(uuid).ok().map(|_| text)
}

async fn answer(
    state: ApiState,
    parts: Parts,
    original: Uri,
    body: axum::body::Body,
) -> Result<Response, Fault> {
    if parts.method == Method::OPTIONS {
        return Ok(StatusCode::OK.into_response());
    }
    let path = endpoint::below_mount(parts.uri.path());
    if path.trim_end_matches('/') == "/healthcheck" {
        return Err(Fault::UnknownPath);
    }
    let caller = if endpoint::is_public(path) {
        None
    } else {
        Some(state.authentication.caller(&parts.headers).await?)
    };
    check_accept(&parts.headers)?;
    let url = full_url(&state, &parts.headers, &original);
    let (endpoint, parameters, caller) = match (endpoint::resolve(&parts.method, path)?, caller) {
        (Target::Endpoint(endpoint, parameters), Some(caller)) => (endpoint, parameters, caller),
        (Target::Root, _) => return Ok(axum::Json("v2").into_response()),
        (Target::Versions | Target::Endpoint(..), _) => {
            return Ok(axum::Json(VersionsView::new(&url)).into_response());
        }
    };
    let query = Query::parse(&parts.uri);
    if parts.method == Method::GET {
        query.check_syntax(&state.options)?;
    }
    let limit = state.options.max_body;
    let bytes = tokio::time::timeout(state.options.body_timeout, axum::body::to_bytes(body, limit));
    let bytes = bytes.await.map_err(|_| Fault::TooSlow)?.map_err(|_| Fault::TooLarge(limit))?;
    let body = Body::new(&parts.headers, bytes);
    if parts.method == Method::POST || parts.method == Method::PUT {
        body.check_type()?;
    }
    let call = Call { state, endpoint, parameters, caller, query, body, url };
    handler::dispatch(&call).await.map(Answer::into_response)
}

/// Only JSON is answered: some range of the Accept header must allow it.
fn check_accept(headers: &HeaderMap) -> Result<(), Fault> {
    let mut ranges = headers
        .get_all(header::ACCEPT)
        .iter()
        .flat_map(|value| value.to_str().unwrap_or_default().split(','))
        .map(|range| range.trim().to_ascii_lowercase())
        .filter(|range| !range.is_empty())
        .peekable();
    if ranges.peek().is_none() {
        return Ok(());
    }
    let allows_json = |range: String| {
        let mut parts = range.split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default();
        let refused = parts
            .any(|part| matches!(part.replace(' ', "").as_str(), "q=0" | "q=0.0" | "q=0.00" | "q=0.000"));
        !refused && matches!(kind, "application/json" | "application/*" | "*/*" | "*")
    };
    if ranges.any(allows_json) { Ok(()) } else { Err(Fault::NotAcceptable) }
}

/// The URL the client wrote, without the query.
fn full_url(state: &ApiState, headers: &HeaderMap, original: &Uri) -> String {
    let path = original.path();
    if let Some(base) = &state.options.api_base_uri {
        return format!("{}{path}", base.trim_end_matches('/'));
    }
    let named = headers
        .get(header::HOST)
        .and_then(|host| Authority::try_from(host.as_bytes()).ok())
        .or_else(|| original.authority().cloned());
    let host = named.as_ref().map_or("localhost", Authority::as_str);
    format!("http://{host}{path}")
}
