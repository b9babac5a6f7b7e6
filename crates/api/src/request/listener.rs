//! Bodies of listeners.

use std::collections::BTreeMap;
use std::sync::Arc;

use ipnet::IpNet;
use octavia_model::{ClientAuthentication, ListenerProtocol, LoadBalancerId, PoolId, Timeouts};

use super::l7policy::L7PolicyBody;
use super::pool::PoolBody;
use super::{Call, TlsBody, l7policy, pool, project, tags};
use crate::body::{Document, Object, Sent, TEXT_MAX};
use crate::fault::Fault;
use crate::rules::secrets::Found;

pub(crate) const ARGUMENT: &str = "listener_";
pub(crate) const ROOT: &str = "listener";

macro_rules! keys {
    ($($extra:literal),*) => {
        &[
            "name",
            "description",
            "admin_state_up",
            "connection_limit",
            "default_pool_id",
            "insert_headers",
            "default_tls_container_ref",
            "sni_container_refs",
            "client_ca_tls_container_ref",
            "client_authentication",
            "client_crl_container_ref",
            "timeout_client_data",
            "timeout_member_connect",
            "timeout_member_data",
            "timeout_tcp_inspect",
            "allowed_cidrs",
            "tls_ciphers",
            "tls_versions",
            "alpn_protocols",
            "hsts_max_age",
            "hsts_include_subdomains",
            "hsts_preload",
            "tags",
            $($extra),*
        ]
    };
}

pub(crate) const UPDATE: &[&str] = keys!();
pub(crate) const CREATE: &[&str] =
    keys!("protocol", "protocol_port", "loadbalancer_id", "project_id", "tenant_id");
pub(crate) const NESTED: &[&str] = keys!("protocol", "protocol_port", "default_pool", "l7policies");

#[derive(Debug, Default)]
pub(crate) struct ListenerBody {
    pub(crate) name: Sent<String>,
    pub(crate) description: Sent<String>,
    pub(crate) admin_state_up: Sent<bool>,
    pub(crate) load_balancer_id: Sent<LoadBalancerId>,
    pub(crate) protocol: Sent<ListenerProtocol>,
    pub(crate) protocol_port: Sent<u16>,
    pub(crate) connection_limit: Sent<i32>,
    pub(crate) default_pool_id: Sent<PoolId>,
    pub(crate) default_pool: Sent<PoolBody>,
    pub(crate) l7policies: Vec<L7PolicyBody>,
    pub(crate) insert_headers: Sent<BTreeMap<String, String>>,
    pub(crate) default_tls_container_ref: Sent<String>,
    pub(crate) sni_container_refs: Sent<Vec<String>>,
    pub(crate) client_ca_tls_container_ref: Sent<String>,
    pub(crate) client_authentication: Sent<ClientAuthentication>,
    pub(crate) client_crl_container_ref: Sent<String>,
    pub(crate) timeouts: TimeoutsBody,
    pub(crate) allowed_cidrs: Sent<Vec<IpNet>>,
    pub(crate) tls: TlsBody,
    pub(crate) hsts_max_age: Sent<u32>,
    pub(crate) hsts_include_subdomains: Sent<bool>,
    pub(crate) hsts_preload: Sent<bool>,
    pub(crate) tags: Sent<Vec<String>>,
    /// What its references point at, once that was fetched.
    pub(crate) found: Arc<Found>,
}

/// Milliseconds.
#[derive(Debug, Default)]
pub(crate) struct TimeoutsBody {
    pub(crate) client_data: Sent<u32>,
    pub(crate) member_connect: Sent<u32>,
    pub(crate) member_data: Sent<u32>,
    pub(crate) tcp_inspect: Sent<u32>,
}

impl ListenerBody {
    pub(crate) fn decode(document: &Document, call: Call) -> Result<Self, Fault> {
        let object = document.object(ROOT, if call == Call::Update { UPDATE } else { CREATE })?;
        Self::read(&object, call)
    }

    pub(crate) fn read(object: &Object<'_>, call: Call) -> Result<Self, Fault> {
        let body = Self {
            name: object.label("name")?,
            description: object.label("description")?,
            admin_state_up: object.boolean("admin_state_up")?,
            protocol: object.word("protocol")?,
            protocol_port: object.integer("protocol_port", 1, 65_535)?,
            connection_limit: object.integer("connection_limit", -1, i32::MAX.into())?,
            default_tls_container_ref: object.text("default_tls_container_ref", TEXT_MAX)?,
            sni_container_refs: object.texts("sni_container_refs", 128)?,
            default_pool_id: object.id("default_pool_id")?,
            default_pool: match object.object("default_pool", pool::NESTED)? {
                Sent::Value(item) => Sent::Value(PoolBody::read(&item, Call::Nested)?),
                Sent::Absent | Sent::Null => Sent::Absent,
            },
            // The original breaks on null.
            l7policies: object
                .objects("l7policies", l7policy::NESTED)?
                .or(vec![])
                .iter()
                .map(|item| L7PolicyBody::read(item, Call::Nested))
                .collect::<Result<_, _>>()?,
            insert_headers: object.text_map("insert_headers", TEXT_MAX)?,
            timeouts: TimeoutsBody::read(object)?,
            client_ca_tls_container_ref: object.text("client_ca_tls_container_ref", TEXT_MAX)?,
            client_authentication: object.word("client_authentication")?,
            client_crl_container_ref: object.text("client_crl_container_ref", TEXT_MAX)?,
            allowed_cidrs: object.cidrs("allowed_cidrs")?,
            tls: TlsBody::decode(object)?,
            hsts_max_age: object.integer("hsts_max_age", 0, i32::MAX.into())?,
            hsts_include_subdomains: object.boolean("hsts_include_subdomains")?,
            hsts_preload: object.boolean("hsts_preload")?,
            tags: tags(object)?,
            load_balancer_id: object.id("loadbalancer_id")?,
            found: Arc::default(),
        };
        project(object)?;
        if call != Call::Update {
            body.protocol.required("protocol")?;
            body.protocol_port.required("protocol_port")?;
            if body.client_authentication.is_null() {
                body.client_authentication.required("client_authentication")?;
            }
        }
        if call == Call::Create {
            body.load_balancer_id.required("loadbalancer_id")?;
        }
        Ok(body)
    }
}

impl TimeoutsBody {
    fn read(object: &Object<'_>) -> Result<Self, Fault> {
        let timeout = |key| object.integer(key, 0, Timeouts::MAX.into());
        Ok(Self {
            client_data: timeout("timeout_client_data")?,
            member_connect: timeout("timeout_member_connect")?,
            member_data: timeout("timeout_member_data")?,
            tcp_inspect: timeout("timeout_tcp_inspect")?,
        })
    }
}
