//! Members.

use octavia_model::Member;
use serde::Serialize;

use super::{Id, StatusView, Time};

#[derive(Debug, Serialize)]
pub(crate) struct MemberView {
    id: Id,
    project_id: String,
    tenant_id: String,
    name: String,
    admin_state_up: bool,
    #[serde(flatten)]
    statuses: StatusView,
    address: String,
    protocol_port: u16,
    weight: Option<u16>,
    backup: bool,
    subnet_id: Option<Id>,
    monitor_address: Option<String>,
    monitor_port: Option<u16>,
    vnic_type: &'static str,
    tags: Vec<String>,
    created_at: Time,
    updated_at: Option<Time>,
}

impl MemberView {
    pub(crate) fn flat(member: &Member) -> Self {
        Self {
            id: member.id.into(),
            project_id: member.project_id.to_string(),
            tenant_id: member.project_id.to_string(),
            name: member.name.clone(),
            admin_state_up: member.admin_state_up,
            statuses: (&member.statuses).into(),
            address: member.address.clone(),
            protocol_port: member.protocol_port,
            weight: member.weight,
            backup: member.backup,
            subnet_id: member.subnet_id.map(Into::into),
            monitor_address: member.monitor_address.clone(),
            monitor_port: member.monitor_port,
            vnic_type: member.vnic_type.as_str(),
            tags: member.tags.clone(),
            created_at: member.created_at.into(),
            updated_at: member.updated_at.map(Into::into),
        }
    }

    pub(crate) fn one(member: &Member) -> Self {
        let mut view = Self::flat(member);
        view.statuses.with_reason(&member.statuses);
        view
    }
}
