//! Bodies of members.

use std::net::IpAddr;

use octavia_model::SubnetId;

use super::{Call, project, tags};
use crate::body::{Document, Object, Sent};
use crate::fault::Fault;

pub(crate) const ARGUMENT: &str = "member_";
pub(crate) const ROOT: &str = "member";
pub(crate) const BATCH_ARGUMENT: &str = "members_";
pub(crate) const BATCH_ROOT: &str = "members";

macro_rules! keys {
    ($($extra:literal),*) => {
        &[
            "name",
            "admin_state_up",
            "weight",
            "backup",
            "monitor_address",
            "monitor_port",
            "tags",
            $($extra),*
        ]
    };
}

pub(crate) const UPDATE: &[&str] = keys!();
pub(crate) const CREATE: &[&str] =
    keys!("address", "protocol_port", "subnet_id", "request_sriov", "project_id", "tenant_id");
pub(crate) const NESTED: &[&str] = keys!("address", "protocol_port", "subnet_id", "request_sriov");

#[derive(Debug, Clone, Default)]
pub(crate) struct MemberBody {
    pub(crate) name: Sent<String>,
    pub(crate) admin_state_up: Sent<bool>,
    /// The address and the text it was typed as.
    pub(crate) address: Sent<(IpAddr, String)>,
    pub(crate) protocol_port: Sent<u16>,
    pub(crate) weight: Sent<u16>,
    pub(crate) backup: Sent<bool>,
    pub(crate) subnet_id: Sent<SubnetId>,
    pub(crate) monitor_address: Sent<(IpAddr, String)>,
    pub(crate) monitor_port: Sent<u16>,
    pub(crate) request_sriov: Sent<bool>,
    pub(crate) tags: Sent<Vec<String>>,
}

impl MemberBody {
    pub(crate) fn decode(document: &Document, call: Call) -> Result<Self, Fault> {
        let object = document.object(ROOT, if call == Call::Update { UPDATE } else { CREATE })?;
        Self::read(&object, call)
    }

    /// The body of a batch: every element as for a create.
    pub(crate) fn decode_batch(document: &Document) -> Result<Vec<Self>, Fault> {
        document.objects(BATCH_ROOT, CREATE)?.iter().map(|object| Self::read(object, Call::Create)).collect()
    }

    pub(crate) fn read(object: &Object<'_>, call: Call) -> Result<Self, Fault> {
        let body = Self {
            name: object.label("name")?,
            admin_state_up: object.boolean("admin_state_up")?,
            address: object.address("address")?,
            protocol_port: object.integer("protocol_port", 1, 65_535)?,
            weight: object.integer("weight", 0, 256)?,
            backup: object.boolean("backup")?,
            subnet_id: object.id("subnet_id")?,
            monitor_port: object.integer("monitor_port", 1, 65_535)?,
            monitor_address: object.address("monitor_address")?,
            request_sriov: object.boolean("request_sriov")?,
            tags: tags(object)?,
        };
        project(object)?;
        if call != Call::Update {
            if !body.address.is_sent() || body.address.is_null() {
                body.address.clone().required("address")?;
            }
            body.protocol_port.required("protocol_port")?;
            if body.backup.is_null() {
                // The original breaks on it.
                body.backup.required("backup")?;
            }
        }
        Ok(body)
    }
}
