//! Health monitors.

use octavia_model::HealthMonitor;
use serde::Serialize;

use super::{IdRef, StatusView, Time};

#[derive(Debug, Serialize)]
pub(crate) struct HealthMonitorView {
    id: String,
    project_id: String,
    tenant_id: String,
    name: String,
    admin_state_up: bool,
    #[serde(flatten)]
    statuses: StatusView,
    /// Absent inside the answer to a create of the whole tree.
    #[serde(skip_serializing_if = "Option::is_none")]
    pools: Option<Vec<IdRef>>,
    r#type: &'static str,
    delay: u32,
    timeout: u32,
    max_retries: u8,
    max_retries_down: u8,
    http_method: Option<&'static str>,
    url_path: Option<String>,
    expected_codes: Option<String>,
    http_version: Option<f64>,
    domain_name: Option<String>,
    tags: Vec<String>,
    created_at: Time,
    updated_at: Option<Time>,
}

impl HealthMonitorView {
    pub(crate) fn flat(monitor: &HealthMonitor) -> Self {
        Self { pools: Some(vec![IdRef::new(monitor.pool_id)]), ..Self::in_graph(monitor) }
    }

    pub(crate) fn one(monitor: &HealthMonitor) -> Self {
        let mut view = Self::flat(monitor);
        view.statuses.with_reason(&monitor.statuses);
        view
    }

    pub(crate) fn in_graph(monitor: &HealthMonitor) -> Self {
        Self {
            id: monitor.id.to_string(),
            project_id: monitor.project_id.to_string(),
            tenant_id: monitor.project_id.to_string(),
            name: monitor.name.clone(),
            admin_state_up: monitor.admin_state_up,
            statuses: (&monitor.statuses).into(),
            pools: None,
            r#type: monitor.kind.as_str(),
            delay: monitor.delay,
            timeout: monitor.timeout,
            max_retries: monitor.max_retries,
            max_retries_down: monitor.max_retries_down,
            http_method: monitor.http_method.map(|method| method.as_str()),
            url_path: monitor.url_path.clone(),
            expected_codes: monitor.expected_codes.clone(),
            // Widening the float itself would show 1.100000023841858.
            http_version: monitor.http_version.map(|version| if version < 1.05 { 1.0 } else { 1.1 }),
            domain_name: monitor.domain_name.clone(),
            tags: monitor.tags.clone(),
            created_at: monitor.created_at.into(),
            updated_at: monitor.updated_at.map(Into::into),
        }
    }
}
