//! L7 rules.

use octavia_model::L7Rule;
use serde::Serialize;

use super::{StatusView, Time};

#[derive(Debug, Serialize)]
pub(crate) struct L7RuleView {
    id: String,
    project_id: String,
    tenant_id: String,
    admin_state_up: bool,
    #[serde(flatten)]
    statuses: StatusView,
    r#type: &'static str,
    compare_type: &'static str,
    key: Option<String>,
    value: String,
    invert: bool,
    tags: Vec<String>,
    created_at: Time,
    updated_at: Option<Time>,
}

impl L7RuleView {
    pub(crate) fn flat(rule: &L7Rule) -> Self {
        Self {
            id: rule.id.to_string(),
            project_id: rule.project_id.to_string(),
            tenant_id: rule.project_id.to_string(),
            admin_state_up: rule.admin_state_up,
            statuses: (&rule.statuses).into(),
            r#type: rule.kind.as_str(),
            compare_type: rule.compare_type.as_str(),
            key: rule.key.clone(),
            value: rule.value.clone(),
            invert: rule.invert,
            tags: rule.tags.clone(),
            created_at: rule.created_at.into(),
            updated_at: rule.updated_at.map(Into::into),
        }
    }

    pub(crate) fn one(rule: &L7Rule) -> Self {
        let mut view = Self::flat(rule);
        view.statuses.with_reason(&rule.statuses);
        view
    }
}
