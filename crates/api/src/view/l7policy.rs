//! L7 policies.

use octavia_model::{L7Policy, L7RuleId, LoadBalancerGraph};
use serde::Serialize;

use super::l7rule::L7RuleView;
use super::{Children, IdRef, StatusView, Time};

#[derive(Debug, Serialize)]
pub(crate) struct L7PolicyView {
    id: String,
    project_id: String,
    tenant_id: String,
    name: String,
    description: String,
    admin_state_up: bool,
    #[serde(flatten)]
    statuses: StatusView,
    listener_id: String,
    action: &'static str,
    redirect_pool_id: Option<String>,
    redirect_url: Option<String>,
    redirect_prefix: Option<String>,
    redirect_http_code: Option<u16>,
    position: u32,
    rules: Children<L7RuleView>,
    tags: Vec<String>,
    created_at: Time,
    updated_at: Option<Time>,
}

impl L7PolicyView {
    pub(crate) fn flat(policy: &L7Policy, rules: impl IntoIterator<Item = L7RuleId>) -> Self {
        Self::new(policy, Children::Ids(IdRef::all(rules)))
    }

    pub(crate) fn one(graph: &LoadBalancerGraph, policy: &L7Policy) -> Self {
        let mut view = Self::flat(policy, graph.l7policy_rules(policy.id).map(|rule| rule.id));
        view.statuses.with_reason(&policy.statuses);
        view
    }

    pub(crate) fn in_graph(graph: &LoadBalancerGraph, policy: &L7Policy) -> Self {
        let rules = graph.l7policy_rules(policy.id).map(L7RuleView::flat).collect();
        Self::new(policy, Children::Whole(rules))
    }

    fn new(policy: &L7Policy, rules: Children<L7RuleView>) -> Self {
        Self {
            id: policy.id.to_string(),
            project_id: policy.project_id.to_string(),
            tenant_id: policy.project_id.to_string(),
            name: policy.name.clone(),
            description: policy.description.clone(),
            admin_state_up: policy.admin_state_up,
            statuses: (&policy.statuses).into(),
            listener_id: policy.listener_id.to_string(),
            action: policy.action.as_str(),
            redirect_pool_id: policy.redirect_pool_id.map(|id| id.to_string()),
            redirect_url: policy.redirect_url.clone(),
            redirect_prefix: policy.redirect_prefix.clone(),
            redirect_http_code: policy.redirect_http_code,
            position: policy.position,
            rules,
            tags: policy.tags.clone(),
            created_at: policy.created_at.into(),
            updated_at: policy.updated_at.map(Into::into),
        }
    }
}
