//! From bytes to a [`Call`] and back: request ids, authentication, content rules, dispatch.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::HttpBody;
use axum::extract::{OriginalUri, Request, State};
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, header};
use octavia_model::REQUEST_ID_HEADER;
use octavia_store::{Behalf, Receipt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tracing::Instrument;

use crate::account::{self, Account, global_request_id};
use crate::call::{Answer, Body, Call};
use crate::endpoint::{self, Target};
use crate::fault::Fault;
use crate::forwarded::{Approach, Peer};
use crate::healthcheck::Healthcheck;
use crate::idempotency::{self, UnderWay};
use crate::query::Query;
use crate::rehearsal::{self, Rehearsal};
use crate::secrets::{Admission, Token};
use crate::validator::{self, Audience};
use crate::view::version::VersionsView;
use crate::{ApiState, audit, cors, handler, openapi};

/// Writes under way at once. More wait their turn: workers and heartbeats, which write to the same store, never wait for
/// more than these.
const WRITES_MAX: usize = 256;

const REQUEST_ID: HeaderName = HeaderName::from_static(REQUEST_ID_HEADER);

/// What the router's clones share.
#[derive(Debug, Clone)]
struct Server {
    state: ApiState,
    /// `None` = there is none.
    healthcheck: Option<Arc<Healthcheck>>,
    under_way: UnderWay,
    writes: Arc<Semaphore>,
}

/// The whole API, at `/` and, as many clouds have it, below `/load-balancer`. It may be nested elsewhere as well:
/// links carry the path a request came by. A [`Peer`] in a request's extensions tells whose it is.
pub fn router(state: ApiState) -> Router {
    let options = &state.options.healthcheck;
    let healthcheck =
        options.enabled.then(|| Arc::new(Healthcheck::new(options.clone(), state.store.clone())));
    let writes = Arc::new(Semaphore::new(WRITES_MAX));
    Router::new().fallback(serve).with_state(Server {
        state,
        healthcheck,
        under_way: UnderWay::default(),
        writes,
    })
}

/// The whole body. One that says it is longer than `limit` bytes is not asked for.
async fn read(mut body: axum::body::Body, limit: usize) -> Result<Bytes, Fault> {
    if usize::try_from(body.size_hint().lower()).map_or(true, |said| said > limit) {
        return Err(Fault::TooLarge(limit));
    }
    let mut bytes = BytesMut::new();
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let Ok(data) = frame.map_err(|_| Fault::BrokenBody)?.into_data() else { continue };
        if bytes.len() + data.len() > limit {
            return Err(Fault::TooLarge(limit));
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes.freeze())
}

async fn serve(
    State(server): State<Server>,
    OriginalUri(original): OriginalUri,
    request: Request,
) -> Response {
    let request_id = format!("req-{}", uuid::Uuid::new_v4());
    let started = Instant::now();
    let (parts, body) = request.into_parts();
    let is_head = parts.method == Method::HEAD;
    let options = Arc::clone(&server.state.options);
    let peer = parts.extensions.get::<Peer>().copied();
    let approach = Approach::of(&parts.headers, &original, peer, options.proxy_headers);
    let span = tracing::info_span!(
        "request",
        id = %request_id,
        global_id = global_request_id(&parts.headers),
        client = approach.client.map(tracing::field::display),
        method = %parts.method,
        path = original.path(),
        // Of a write: by these, lines of the worker are found.
        lb = tracing::field::Empty,
        generation = tracing::field::Empty,
    );
    let asked = cors::Asked::of(&parts.method, &parts.headers);
    let account = Account::open(&server.state, &parts, original.path(), &approach, &request_id);
    let url = approach.url(original.path(), options.api_base_uri.as_deref());
    // Dropped when the client hangs up.
    let (_client, gone) = oneshot::channel();
    // A task of its own: a client that hangs up does not cut a write in half, and a panic ends one request only.
    let task = tokio::spawn(settle(server, account, parts, url, body, gone).instrument(span.clone()));
    let mut response = match task.await {
        Ok(response) => response,
        Err(error) => {
            span.in_scope(|| tracing::error!(%error, "the request's task died"));
            Fault::Internal.into_response()
        }
    };
    if is_head {
        leave_body_out(&mut response);
    }
    cors::permit(&options.cors, asked.as_ref(), response.headers_mut());
    if let Ok(value) = HeaderValue::try_from(&request_id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    span.in_scope(|| {
        tracing::info!(status = response.status().as_u16(), elapsed = ?started.elapsed(), "answered");
    });
    response
}

/// Of what a GET would be answered with (RFC 9110 §9.3.2).
fn leave_body_out(response: &mut Response) {
    let length = response.body().size_hint().exact().filter(|length| *length > 0);
    if let Some(length) = length {
        response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
    }
    *response.body_mut() = axum::body::Body::empty();
}

/// Answers, and closes the account. What is asked for by a client that hangs up is forgotten, so that no more is under way
/// than there are connections; but for writes that have begun.
async fn settle(
    server: Server,
    mut account: Account,
    parts: Parts,
    url: String,
    body: axum::body::Body,
    gone: oneshot::Receiver<()>,
) -> Response {
    let writes = AtomicBool::new(false);
    let outcome = {
        let answer = Box::pin(answer(server, &mut account, parts, url, body, &writes));
        let hung_up = async {
            // An error means that the other end is dropped.
            let _ = gone.await;
            if writes.load(Ordering::Relaxed) {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            biased;
            outcome = answer => outcome,
            () = hung_up => Err(Fault::HungUp),
        }
    };
    let response = match outcome {
        Ok(response) => response,
        Err(fault) => {
            tracing::debug!(%fault, "refused");
            account.reason = Some(audit::reason(&fault));
            fault.into_response()
        }
    };
    account.status = Some(response.status());
    response
}

async fn answer(
    server: Server,
    account: &mut Account,
    mut parts: Parts,
    url: String,
    body: axum::body::Body,
    writes: &AtomicBool,
) -> Result<Response, Fault> {
    let Server { mut state, healthcheck, under_way, writes: turns } = server;
    if parts.method == Method::CONNECT {
        return Err(Fault::MethodNotAllowed { allow: "GET, HEAD".to_owned() });
    }
    if parts.method == Method::OPTIONS {
        account.label = account::PREFLIGHT;
        return Ok(StatusCode::OK.into_response());
    }
    let path = endpoint::below_mount(parts.uri.path());
    if path.trim_end_matches('/') == "/healthcheck" {
        account.label = account::HEALTHCHECK;
        let healthcheck = healthcheck.ok_or(Fault::UnknownPath)?;
        return healthcheck.answer(&parts, account.approach.client).await;
    }
    if parts.method == Method::HEAD {
        parts.method = Method::GET;
    }
    // Before the caller is known: also who is refused asked for something.
    let target = endpoint::resolve(&parts.method, path);
    match &target {
        Ok(Target::Versions) => account.label = account::VERSIONS,
        Ok(Target::Root) => account.label = account::ROOT,
        Ok(Target::Endpoint(endpoint, parameters)) => {
            account.endpoint = Some((endpoint, parameters.clone()));
        }
        Err(_) => {}
    }
    // RFC 9112 §3.2. Who only looks after our health is let off, and who calls us without a connection.
    let hosts = parts.headers.get_all(header::HOST).iter().count();
    if account.approach.peer.is_some() && parts.version == Version::HTTP_11 && hosts != 1 {
        return Err(Fault::Host);
    }
    if path == openapi::PATH {
        check_accept(&parts.headers)?;
        return openapi::answer(&parts);
    }
    let caller = if endpoint::is_public(path) {
        None
    } else {
        Some(state.policy.caller(state.authentication.caller(&parts.headers).await?))
    };
    account.caller = caller.as_deref().cloned();
    check_accept(&parts.headers)?;
    let (endpoint, parameters, caller) = match (target?, caller) {
        (Target::Endpoint(endpoint, parameters), Some(caller)) => (endpoint, parameters, caller),
        (Target::Root, _) => return Ok(axum::Json("v2").into_response()),
        (Target::Versions | Target::Endpoint(..), _) => {
            return Ok(axum::Json(VersionsView::new(&url)).into_response());
        }
    };
    let mut query = Query::parse(&parts.uri);
    let rehearses = if parts.method == Method::GET { false } else { query.take_flag("dry_run")? };
    query.check_repeats()?;
    if parts.method == Method::GET {
        query.check_syntax(&state.options)?;
    }
    if rehearses {
        account.rehearse();
    }
    if parts.method != Method::GET {
        let request_ids = account.request_ids();
        state.store = state.store.on_behalf(Behalf { rehearses, request_ids, receipt: None });
    }
    let bytes = tokio::time::timeout(state.options.body_timeout, read(body, state.options.max_body));
    let bytes = bytes.await.map_err(|_| Fault::TooSlow)??;
    let body = Body::new(&parts.headers, bytes);
    if parts.method == Method::POST || parts.method == Method::PUT {
        body.check_type()?;
    }
    let _turn = match parts.method {
        Method::GET => None,
        _ => Some(turn(turns, state.options.turn_timeout).await?),
    };
    // From here on, nobody's going cuts it in half.
    writes.store(parts.method != Method::GET, Ordering::Relaxed);
    let token = parts.headers.get("x-auth-token").and_then(|token| token.to_str().ok());
    let token = token.map(|token| Token(token.trim().to_owned()));
    let trail = account.trail.clone();
    let mut call = Call {
        state,
        endpoint,
        parameters,
        caller,
        token,
        query,
        body,
        url,
        trail,
        rehearsal: Rehearsal::new(rehearses),
        made: None,
        veto: None,
        admission: Admission::default(),
    };
    if parts.method == Method::POST && !rehearses {
        match idempotency::key(&parts.headers) {
            Ok(None) => {}
            Ok(Some(key)) => return once(&mut call, key, &under_way, account).await,
            Err(fault) => return Err(vetoed(&mut call, fault).await),
        }
    }
    let answer = dispatched(&mut call).await?;
    if rehearses {
        return Ok(rehearsal::told(&call, &answer).await?.into_response());
    }
    note(account, &answer);
    match answer {
        Answer::Json(StatusCode::OK, document) if parts.method == Method::GET => {
            let body = serde_json::to_vec(&document).map_err(|error| {
                tracing::error!(%error, "an answer cannot be written");
                Fault::Internal
            })?;
            Ok(validator::answer(&parts.headers, body.into(), Audience::Caller))
        }
        Answer::Text(StatusCode::OK, body) if parts.method == Method::GET => {
            Ok(validator::answer(&parts.headers, body, Audience::Caller))
        }
        answer => Ok(answer.into_response()),
    }
}

/// The right to write.
async fn turn(turns: Arc<Semaphore>, patience: Duration) -> Result<OwnedSemaphorePermit, Fault> {
    let busy = "Too many requests write at the same time; try again later.";
    match tokio::time::timeout(patience, turns.acquire_owned()).await {
        Ok(turn) => turn.map_err(|_| Fault::Internal),
        Err(_) => Err(Fault::Unavailable(busy.to_owned())),
    }
}

/// Has the request done. One that names what the service may not read yet is rehearsed first, with the rights of its
/// caller: what is refused then has changed no list of a key manager elsewhere.
async fn dispatched(call: &mut Call) -> Result<Answer, Fault> {
    let outcome = handler::dispatch(call).await;
    if !call.admission.is_wanted() {
        return outcome;
    }
    let rehearsing = call.state.store.on_behalf(Behalf { rehearses: true, ..Behalf::default() });
    let store = std::mem::replace(&mut call.state.store, rehearsing);
    call.rehearsal = Rehearsal::new(true);
    let span =
        tracing::info_span!("rehearsal", lb = tracing::field::Empty, generation = tracing::field::Empty);
    handler::dispatch(call).instrument(span).await?;
    call.state.store = store;
    call.rehearsal = Rehearsal::new(false);
    call.admission = Admission::given();
    handler::dispatch(call).await
}

/// For the record, if there will be one.
fn note(account: &mut Account, answer: &Answer) {
    if let Answer::Json(_, document) = answer
        && account.trail.is_on()
    {
        account.answer = Some(document.clone());
    }
}

/// Makes what a POST with a key asks for, unless an earlier one has.
async fn once(
    call: &mut Call,
    key: String,
    under_way: &UnderWay,
    account: &mut Account,
) -> Result<Response, Fault> {
    let Call { endpoint, parameters, query, .. } = &*call;
    let receipt = idempotency::receipt(key, &call.caller, endpoint, parameters, query, &call.body.bytes);
    let _turn = match under_way.enter(&receipt) {
        Ok(turn) => turn,
        Err(fault) => return Err(vetoed(call, fault).await),
    };
    match earlier(call, &receipt).await {
        Ok(None) => {}
        Ok(Some(first)) => return replayed(call, &first, account).await,
        Err(fault @ Fault::KeyReused) => return Err(vetoed(call, fault).await),
        Err(fault) => return Err(fault),
    }
    call.made = receipt.made.parse().ok();
    let receipt = Arc::new(receipt);
    let request_ids = account.request_ids();
    let behalf = Behalf { receipt: Some(receipt.clone()), request_ids, ..Behalf::default() };
    call.state.store = call.state.store.on_behalf(behalf);
    match dispatched(call).await {
        Ok(answer) => {
            note(account, &answer);
            Ok(answer.into_response())
        }
        // Another controller was faster, and is through: nothing was made here.
        Err(fault @ Fault::KeyUnderWay) => match earlier(call, &receipt).await? {
            Some(first) => replayed(call, &first, account).await,
            None => Err(fault),
        },
        Err(fault) => Err(fault),
    }
}

/// The receipt of the first request with this key, if it was the same request.
async fn earlier(call: &Call, receipt: &Receipt) -> Result<Option<Receipt>, Fault> {
    let lifetime = call.state.options.key_lifetime;
    match call.state.store.receipt_fetch(&receipt.owner, &receipt.key, lifetime).await? {
        Some(first) if first.fingerprint != receipt.fingerprint => Err(Fault::KeyReused),
        first => Ok(first),
    }
}

/// The object as it is, or that it is gone.
async fn replayed(call: &mut Call, first: &Receipt, account: &mut Account) -> Result<Response, Fault> {
    let mut response = match handler::replay(call, &first.made).await {
        Ok(answer) => answer.into_response(),
        Err(gone @ (Fault::NotFound { .. } | Fault::ParentNotFound { .. })) => {
            if let Fault::Policy = vetoed(call, gone.clone()).await {
                return Err(Fault::Policy);
            }
            account.reason = Some(audit::reason(&gone));
            gone.into_response()
        }
        Err(fault) => return Err(fault),
    };
    response.headers_mut().insert(idempotency::REPLAYED, HeaderValue::from_static("true"));
    Ok(response)
}

/// What a request is told that is refused with this, unless something is wrong with it that comes before: above all that
/// its caller may not make it.
async fn vetoed(call: &mut Call, fault: Fault) -> Fault {
    call.veto = Some(fault.clone());
    match handler::dispatch(call).await {
        Err(first) => first,
        Ok(_) => fault,
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_write_waits_for_its_turn_and_not_for_ever() {
        const HOUR: Duration = Duration::from_secs(3600);
        for (name, free, patience, granted) in [
            ("room", 1, HOUR, true),
            ("room, no time", 1, Duration::ZERO, true),
            ("full", 0, Duration::ZERO, false),
        ] {
            let turn = turn(Arc::new(Semaphore::new(free)), patience).await;
            assert_eq!(turn.is_ok(), granted, "{name}");
        }
    }
}
