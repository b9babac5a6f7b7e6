//! What is told of a request when it is over, however it ends: counted, and if it was a write, recorded.

use std::sync::Arc;
use std::time::Instant;

use http::request::Parts;
use http::{HeaderMap, Method, StatusCode, header};
use jiff::Timestamp;
use octavia_cloud::RequestContext;
use octavia_model::{REQUEST_ID_HEADER, is_request_id};
use serde_json::Value;

use crate::ApiState;
use crate::audit::{Event, Trail, Who};
use crate::endpoint::Endpoint;
use crate::forwarded::Approach;

/// What a request asked for, in the words of the metrics.
pub(crate) const HEALTHCHECK: &str = "healthcheck";
pub(crate) const PREFLIGHT: &str = "preflight";
pub(crate) const VERSIONS: &str = "versions";
pub(crate) const ROOT: &str = "root";
const NOTHING: &str = "none";

/// Closed by dropping it: also when the request's task panics.
#[derive(Debug)]
pub(crate) struct Account {
    state: ApiState,
    pub(crate) request_id: String,
    global_id: Option<String>,
    method: Method,
    path: String,
    pub(crate) approach: Approach,
    agent: Option<String>,
    started: Instant,
    at: Timestamp,
    /// Until something is known of it.
    pub(crate) label: &'static str,
    pub(crate) endpoint: Option<(&'static Endpoint, Vec<String>)>,
    pub(crate) caller: Option<RequestContext>,
    pub(crate) trail: Trail,
    /// A dry run: it writes nothing, so it is recorded as little as a read.
    rehearses: bool,
    pub(crate) answer: Option<Value>,
    pub(crate) reason: Option<String>,
    /// `None` = no answer was come to.
    pub(crate) status: Option<StatusCode>,
}

impl Account {
    pub(crate) fn open(
        state: &ApiState,
        parts: &Parts,
        path: &str,
        approach: &Approach,
        request_id: &str,
    ) -> Self {
        state.metrics.in_flight.inc();
        let recorded = state.audit.sink_for(&parts.method).is_some();
        let agent = parts.headers.get(header::USER_AGENT).filter(|_| recorded);
        Self {
            state: state.clone(),
            request_id: request_id.to_owned(),
            global_id: global_request_id(&parts.headers).map(str::to_owned),
            method: parts.method.clone(),
            path: path.to_owned(),
            approach: approach.clone(),
            agent: agent.map(|agent| String::from_utf8_lossy(agent.as_bytes()).into_owned()),
            started: Instant::now(),
            at: Timestamp::now(),
            label: NOTHING,
            endpoint: None,
            caller: None,
            trail: if recorded { Trail::on() } else { Trail::default() },
            rehearses: false,
            answer: None,
            reason: None,
            status: None,
        }
    }

    /// The request is a dry run: the trail is for its answer.
    pub(crate) fn rehearse(&mut self) {
        self.rehearses = true;
        self.trail = Trail::on();
    }

    /// By which ids the work that the request makes is found: its caller's, and its own.
    pub(crate) fn request_ids(&self) -> Arc<[String]> {
        self.global_id.iter().chain([&self.request_id]).cloned().collect()
    }

    fn record(&self, status: StatusCode) {
        if self.rehearses {
            return;
        }
        let Some(sink) = self.state.audit.sink_for(&self.method) else { return };
        let event = Event {
            at: self.at,
            request_id: &self.request_id,
            global_id: self.global_id.as_deref(),
            method: &self.method,
            path: &self.path,
            client: self.approach.client,
            peer: self.approach.peer,
            agent: self.agent.as_deref(),
            caller: self.caller.as_ref(),
            endpoint: self.endpoint.as_ref().map(|(endpoint, parameters)| (*endpoint, parameters.as_slice())),
            status,
            reason: self.reason.as_deref(),
            answer: self.answer.as_ref(),
            trail: &self.trail,
        };
        let who = if self.caller.is_some() { Who::Caller } else { Who::Nobody };
        sink.record(who, event.line());
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let status = self.status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let metrics = &self.state.metrics;
        metrics.in_flight.dec();
        let label = self.endpoint.as_ref().map_or(self.label, |(endpoint, _)| endpoint.path);
        metrics.answered(label, &self.method, status, self.started.elapsed());
        self.record(status);
    }
}

/// The id a caller gave to a chain of requests, if it is one.
pub(crate) fn global_request_id(headers: &HeaderMap) -> Option<&str> {
    headers.get(REQUEST_ID_HEADER)?.to_str().ok().filter(|text| is_request_id(text))
}
