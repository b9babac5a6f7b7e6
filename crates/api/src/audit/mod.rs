//! Records of who wrote what, or tried to: one JSON object for each request that is no read, after the Cloud Auditing
//! Data Federation's model of an event (DMTF DSP0262), with what the write changed.
//!
//! A record holds what views show, and views show no secrets. Texts of clients in it are cut.

mod trail;

use std::fmt::Debug;
use std::net::IpAddr;
use std::sync::Arc;

use http::{Method, StatusCode};
use jiff::Timestamp;
use octavia_cloud::{AUDIT_IDS_MAX, RequestContext};
use serde_json::{Map, Value, json};

use crate::endpoint::Endpoint;
use crate::fault::Fault;
pub(crate) use trail::Trail;

/// Where records go. Called while a request is answered: it must not wait.
pub trait AuditSink: Send + Sync + Debug {
    /// Takes one record: a line of JSON without its end. Of what `Nobody` we know did, less may wait, so that a flood
    /// of it does not push out the rest.
    fn record(&self, who: Who, line: String);
}

/// Whose request a record tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// A caller whom the identity service knows.
    Caller,
    Nobody,
}

/// Whether records are made. Cheap to clone; made by default: none.
#[derive(Debug, Clone, Default)]
pub struct Audit {
    sink: Option<Arc<dyn AuditSink>>,
    /// Methods of which nothing is recorded, in capitals.
    ignored_methods: Arc<[String]>,
}

impl Audit {
    pub fn new(sink: Arc<dyn AuditSink>, ignored_methods: impl IntoIterator<Item = String>) -> Self {
        Self { sink: Some(sink), ignored_methods: ignored_methods.into_iter().collect() }
    }

    /// Where a record of such a request goes; `None` = none is made.
    pub(crate) fn sink_for(&self, method: &Method) -> Option<&Arc<dyn AuditSink>> {
        let reads = [Method::GET, Method::HEAD, Method::OPTIONS, Method::TRACE];
        let ignored = self.ignored_methods.iter().any(|ignored| ignored == method.as_str());
        self.sink.as_ref().filter(|_| !reads.contains(method) && !ignored)
    }
}

/// Characters of a path, a reason or an agent's name at most.
const TEXT_MAX: usize = 300;
const ROLES_MAX: usize = 50;

/// What is known of a request when it is over.
pub(crate) struct Event<'a> {
    pub(crate) at: Timestamp,
    pub(crate) request_id: &'a str,
    pub(crate) global_id: Option<&'a str>,
    pub(crate) method: &'a Method,
    pub(crate) path: &'a str,
    pub(crate) client: Option<IpAddr>,
    pub(crate) peer: Option<IpAddr>,
    pub(crate) agent: Option<&'a str>,
    pub(crate) caller: Option<&'a RequestContext>,
    pub(crate) endpoint: Option<(&'static Endpoint, &'a [String])>,
    pub(crate) status: StatusCode,
    pub(crate) reason: Option<&'a str>,
    /// What was answered.
    pub(crate) answer: Option<&'a Value>,
    pub(crate) trail: &'a Trail,
}

impl Event<'_> {
    /// The record as one line.
    pub(crate) fn line(&self) -> String {
        let success = self.status.is_success();
        let mut record = json!({
            "typeURI": "http://schemas.dmtf.org/cloud/audit/1.0/event",
            "id": uuid::Uuid::new_v4().to_string(),
            "eventType": "activity",
            "eventTime": self.at.to_string(),
            "action": self.action(),
            "outcome": if success { "success" } else { "failure" },
            "reason": { "reasonType": "HTTP", "reasonCode": self.status.as_u16().to_string() },
            "initiator": self.initiator(),
            "target": self.target(),
            "observer": { "typeURI": "service/load-balancer", "id": "octavia" },
            "requestMethod": cut(self.method.as_str()),
            "requestPath": cut(self.path),
            "requestId": self.request_id,
        });
        if let Some(id) = self.global_id {
            record["globalRequestId"] = id.into();
        }
        if let Some(reason) = self.reason {
            record["reason"]["text"] = cut(reason).into();
        }
        if success {
            let (changes, left_out) = self.trail.changes(self.kind(), self.answer);
            record["changes"] = changes.into();
            if left_out > 0 {
                record["changesLeftOut"] = left_out.into();
            }
        }
        record.to_string()
    }

    fn initiator(&self) -> Value {
        let mut host = Map::new();
        for (name, address) in [("address", self.client), ("peer", self.peer)] {
            if let Some(address) = address {
                host.insert(name.to_owned(), address.to_string().into());
            }
        }
        if let Some(agent) = self.agent {
            host.insert("agent".to_owned(), cut(agent).into());
        }
        let mut initiator = match self.caller {
            Some(caller) => json!({
                "typeURI": "service/security/account/user",
                "id": cut(&caller.user_id),
                "name": cut(&caller.user_name),
                "project_id": caller.project_id.as_ref().map(|project| cut(project.as_str())),
                "roles": caller.roles.iter().take(ROLES_MAX).map(|role| cut(role)).collect::<Vec<_>>(),
            }),
            // Nobody we know.
            None => json!({ "typeURI": "service/security/account/user", "id": "unknown" }),
        };
        initiator["host"] = host.into();
        if let Some(credential) = self.caller.and_then(credential) {
            initiator["credential"] = credential;
        }
        initiator
    }

    fn target(&self) -> Value {
        let kind = self.kind();
        let mut target = json!({ "typeURI": format!("service/load-balancer/{kind}") });
        let named = self.endpoint.and_then(|(endpoint, parameters)| target_id(endpoint, parameters));
        let made = || trail::identity(self.answer?);
        if let Some(id) = named.map(cut).or_else(made) {
            target["id"] = id.into();
        }
        if let Some(project) = self.trail.project() {
            target["project_id"] = project.into();
        }
        target
    }

    fn kind(&self) -> &'static str {
        self.endpoint.and_then(|(endpoint, _)| collection(endpoint)).map_or("unknown", |(_, kind)| kind)
    }

    /// The verb, and the word at the end of a path that names no collection.
    fn action(&self) -> String {
        let verb = match *self.method {
            Method::POST => "create",
            Method::PUT | Method::PATCH => "update",
            Method::DELETE => "delete",
            _ => "unknown",
        };
        let last = self.endpoint.and_then(|(endpoint, _)| endpoint.path.rsplit('/').next());
        match last.filter(|last| !last.starts_with('{') && kind_of(last).is_none()) {
            Some(word) => format!("{verb}/{word}"),
            None => verb.to_owned(),
        }
    }
}

/// By what the caller was known. As the original's middleware has it, but that nothing of the token is left: where it
/// was got, and what else was done with it, its audit ids tell. With `noauth` there is none.
fn credential(caller: &RequestContext) -> Option<Value> {
    if caller.is_admin {
        return None;
    }
    let mut credential = json!({ "token": "<secret>", "identity_status": "Confirmed" });
    let audit_ids: Vec<_> = caller.audit_ids.iter().take(AUDIT_IDS_MAX).map(|id| cut(id)).collect();
    if !audit_ids.is_empty() {
        credential["assertions"] = json!({ "audit_ids": audit_ids });
    }
    Some(credential)
}

/// What a collection's name in a path holds.
fn kind_of(collection: &str) -> Option<&'static str> {
    let kind = match collection {
        "loadbalancers" => "loadbalancer",
        "listeners" => "listener",
        "pools" => "pool",
        "members" => "member",
        "healthmonitors" => "healthmonitor",
        "l7policies" => "l7policy",
        "rules" => "rule",
        "quotas" => "quota",
        "providers" => "provider",
        "flavors" => "flavor",
        "flavorprofiles" => "flavorprofile",
        "availabilityzones" => "availabilityzone",
        "availabilityzoneprofiles" => "availabilityzoneprofile",
        "amphorae" => "amphora",
        _ => return None,
    };
    Some(kind)
}

/// The last collection of the endpoint's path: its place, and what it holds.
fn collection(endpoint: &Endpoint) -> Option<(usize, &'static str)> {
    let segments = endpoint.path.split('/').enumerate();
    segments.filter_map(|(place, segment)| Some((place, kind_of(segment)?))).last()
}

/// What an endpoint is about: its kind, and its id, unless that is still to be made.
pub(crate) fn target<'a>(endpoint: &Endpoint, parameters: &'a [String]) -> (&'static str, Option<&'a str>) {
    (collection(endpoint).map_or("unknown", |(_, kind)| kind), target_id(endpoint, parameters))
}

/// The id in the path of what is in the last collection.
fn target_id<'a>(endpoint: &Endpoint, parameters: &'a [String]) -> Option<&'a str> {
    let (place, _) = collection(endpoint)?;
    let segments: Vec<_> = endpoint.path.split('/').collect();
    segments.get(place + 1).filter(|segment| segment.starts_with('{'))?;
    let index = segments[..=place].iter().filter(|segment| segment.starts_with('{')).count();
    parameters.get(index).map(String::as_str)
}

/// Why a request was refused, without what it said.
pub(crate) fn reason(fault: &Fault) -> String {
    match fault {
        Fault::Input { attribute, .. } => format!("Invalid input for field/attribute {attribute}."),
        other => other.to_string(),
    }
}

fn cut(text: &str) -> String {
    text.chars().take(TEXT_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::ENDPOINTS;

    #[test]
    fn actions_and_targets() {
        for (endpoint, parameters, expected) in [
            ("POST loadbalancers", "", "create loadbalancer made"),
            ("PUT loadbalancers/{id}", "a", "update loadbalancer a"),
            ("PUT loadbalancers/{id}/failover", "a", "update/failover loadbalancer a"),
            ("DELETE pools/{id}/members/{member}", "a b", "delete member b"),
            ("POST pools/{id}/members", "a", "create member made"),
            ("PUT pools/{id}/members", "a", "update member made"),
            ("PUT amphorae/{id}/config", "a", "update/config amphora a"),
            ("DELETE l7policies/{id}/rules/{rule}", "a b", "delete rule b"),
            ("DELETE quotas/{project_id}", "a", "delete quota a"),
        ] {
            let found = ENDPOINTS.iter().find(|known| format!("{} {}", known.method, known.path) == endpoint);
            let parameters: Vec<_> = parameters.split(' ').map(str::to_owned).collect();
            let method: Method = endpoint.split(' ').next().unwrap().parse().unwrap();
            let event = Event {
                at: Timestamp::UNIX_EPOCH,
                request_id: "",
                global_id: None,
                method: &method,
                path: "",
                client: None,
                peer: None,
                agent: None,
                caller: None,
                endpoint: Some((found.expect(endpoint), &parameters)),
                status: StatusCode::OK,
                reason: None,
                answer: Some(&json!({ "x": { "id": "made" } })),
                trail: &Trail::default(),
            };
            let record: Value = serde_json::from_str(&event.line()).unwrap();
            let kind = record["target"]["typeURI"].as_str().unwrap();
            let kind = kind.strip_prefix("service/load-balancer/").unwrap();
            let id = record["target"]["id"].as_str().unwrap();
            assert_eq!(format!("{} {kind} {id}", record["action"].as_str().unwrap()), expected);
        }
    }

    /// Whoever adds a collection tells what it holds.
    #[test]
    fn every_endpoint_has_a_kind() {
        for endpoint in ENDPOINTS {
            assert!(collection(endpoint).is_some(), "{}", endpoint.path);
        }
    }
}
