//! Bodies of pools.

use std::sync::Arc;

use octavia_model::{Algorithm, ListenerId, LoadBalancerId, PoolProtocol, SessionPersistenceType};

use super::health_monitor::HealthMonitorBody;
use super::member::MemberBody;
use super::{Call, TlsBody, health_monitor, member, project, tags};
use crate::body::{COOKIE_NAME, Document, Object, Sent, TEXT_MAX, is_cookie_name};
use crate::fault::Fault;
use crate::rules::secrets::Found;

pub(crate) const ARGUMENT: &str = "pool_";
pub(crate) const ROOT: &str = "pool";

macro_rules! keys {
    ($($extra:literal),*) => {
        &[
            "name",
            "description",
            "admin_state_up",
            "lb_algorithm",
            "session_persistence",
            "tls_enabled",
            "tls_container_ref",
            "ca_tls_container_ref",
            "crl_container_ref",
            "tls_ciphers",
            "tls_versions",
            "alpn_protocols",
            "tags",
            $($extra),*
        ]
    };
}

pub(crate) const UPDATE: &[&str] = keys!();
pub(crate) const CREATE: &[&str] =
    keys!("protocol", "loadbalancer_id", "listener_id", "project_id", "tenant_id");
pub(crate) const NESTED: &[&str] = keys!("protocol", "healthmonitor", "members");

#[derive(Debug, Default)]
pub(crate) struct PoolBody {
    pub(crate) name: Sent<String>,
    pub(crate) description: Sent<String>,
    pub(crate) admin_state_up: Sent<bool>,
    pub(crate) load_balancer_id: Sent<LoadBalancerId>,
    pub(crate) listener_id: Sent<ListenerId>,
    pub(crate) protocol: Sent<PoolProtocol>,
    pub(crate) lb_algorithm: Sent<Algorithm>,
    pub(crate) session_persistence: Sent<SessionPersistenceBody>,
    pub(crate) tls_enabled: Sent<bool>,
    pub(crate) tls_container_ref: Sent<String>,
    pub(crate) ca_tls_container_ref: Sent<String>,
    pub(crate) crl_container_ref: Sent<String>,
    pub(crate) tls: TlsBody,
    pub(crate) tags: Sent<Vec<String>>,
    pub(crate) health_monitor: Option<HealthMonitorBody>,
    pub(crate) members: Vec<MemberBody>,
    /// Has a key besides its name: a definition rather than a reference to one.
    pub(crate) is_definition: bool,
    /// What its references point at, once that was fetched.
    pub(crate) found: Arc<Found>,
}

#[derive(Debug, Default)]
pub(crate) struct SessionPersistenceBody {
    pub(crate) kind: Sent<SessionPersistenceType>,
    pub(crate) cookie_name: Sent<String>,
    pub(crate) persistence_timeout: Sent<i32>,
    pub(crate) persistence_granularity: Sent<String>,
}

impl PoolBody {
    pub(crate) fn decode(document: &Document, call: Call) -> Result<Self, Fault> {
        let object = document.object(ROOT, if call == Call::Update { UPDATE } else { CREATE })?;
        Self::read(&object, call)
    }

    pub(crate) fn read(object: &Object<'_>, call: Call) -> Result<Self, Fault> {
        let body = Self {
            name: object.label("name")?,
            description: object.label("description")?,
            admin_state_up: object.boolean("admin_state_up")?,
            load_balancer_id: object.id("loadbalancer_id")?,
            listener_id: object.id("listener_id")?,
            protocol: object.word("protocol")?,
            lb_algorithm: object.word("lb_algorithm")?,
            session_persistence: match object.object("session_persistence", SESSION_PERSISTENCE)? {
                Sent::Value(item) => Sent::Value(SessionPersistenceBody::read(&item, call)?),
                Sent::Null => Sent::Null,
                Sent::Absent => Sent::Absent,
            },
            tls_enabled: object.boolean("tls_enabled")?,
            tls_container_ref: object.text("tls_container_ref", TEXT_MAX)?,
            ca_tls_container_ref: object.text("ca_tls_container_ref", TEXT_MAX)?,
            crl_container_ref: object.text("crl_container_ref", TEXT_MAX)?,
            tls: TlsBody::decode(object)?,
            tags: tags(object)?,
            health_monitor: match object.object("healthmonitor", health_monitor::NESTED)? {
                Sent::Value(item) => Some(HealthMonitorBody::read(&item, Call::Nested)?),
                Sent::Absent | Sent::Null => None,
            },
            members: object
                .objects("members", member::NESTED)?
                .or(vec![])
                .iter()
                .map(|item| MemberBody::read(item, Call::Nested))
                .collect::<Result<_, _>>()?,
            is_definition: object.has_more_than("name"),
            found: Arc::default(),
        };
        project(object)?;
        if call == Call::Create {
            body.protocol.required("protocol")?;
            body.lb_algorithm.required("lb_algorithm")?;
        }
        // The original breaks on these; a null has no meaning here.
        if call == Call::Update && body.lb_algorithm.is_null() {
            body.lb_algorithm.required("lb_algorithm")?;
        }
        if call == Call::Update && body.tls_enabled.is_null() {
            body.tls_enabled.required("tls_enabled")?;
        }
        Ok(body)
    }
}

const SESSION_PERSISTENCE: &[&str] =
    &["type", "cookie_name", "persistence_timeout", "persistence_granularity"];

impl SessionPersistenceBody {
    fn read(object: &Object<'_>, call: Call) -> Result<Self, Fault> {
        let body = Self {
            kind: object.word("type")?,
            cookie_name: object.text_where(
                "cookie_name",
                TEXT_MAX,
                is_cookie_name,
                &format!("Value should match the pattern {COOKIE_NAME}"),
            )?,
            persistence_timeout: object.integer("persistence_timeout", i32::MIN.into(), i32::MAX.into())?,
            persistence_granularity: object.address("persistence_granularity")?.map(|(_, text)| text),
        };
        if call != Call::Update {
            body.kind.required("type")?;
        }
        Ok(body)
    }
}
