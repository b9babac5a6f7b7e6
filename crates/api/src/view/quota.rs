//! Quotas.

use octavia_model::{Limit, OwnLimits, ProjectId, Quota};
use serde::Serialize;

/// Two attributes in both of their spellings: clients read either.
#[derive(Debug, Serialize)]
pub(crate) struct QuotaView {
    project_id: String,
    tenant_id: String,
    loadbalancer: Option<i32>,
    load_balancer: Option<i32>,
    listener: Option<i32>,
    pool: Option<i32>,
    member: Option<i32>,
    healthmonitor: Option<i32>,
    health_monitor: Option<i32>,
    l7policy: Option<i32>,
    l7rule: Option<i32>,
}

impl QuotaView {
    /// The limits that count.
    pub(crate) fn new(project: &ProjectId, limits: &Quota<Limit>) -> Self {
        Self::flat(project, &Quota::from_fn(|kind| Some(*limits.get(kind))))
    }

    /// As a list has it: limits that were never set are null.
    pub(crate) fn flat(project: &ProjectId, limits: &OwnLimits) -> Self {
        let number = |limit: Option<Limit>| limit.map(Limit::number);
        Self {
            project_id: project.to_string(),
            tenant_id: project.to_string(),
            loadbalancer: number(limits.load_balancer),
            load_balancer: number(limits.load_balancer),
            listener: number(limits.listener),
            pool: number(limits.pool),
            member: number(limits.member),
            healthmonitor: number(limits.health_monitor),
            health_monitor: number(limits.health_monitor),
            l7policy: number(limits.l7policy),
            l7rule: number(limits.l7rule),
        }
    }
}
