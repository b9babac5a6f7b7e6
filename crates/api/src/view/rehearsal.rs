//! What a write would do.

use http::StatusCode;
use octavia_plan::{Affected, Effect, Impact, Step};
use serde::Serialize;
use serde_json::Value;

#[derive(Debug, Serialize)]
pub(crate) struct RehearsalView {
    /// What the write would be answered with.
    status: u16,
    changes: Vec<Value>,
    cuts_connections: bool,
    refuses_connections: bool,
    traffic: Vec<EffectView>,
    steps: Vec<StepView>,
}

#[derive(Debug, Serialize)]
struct EffectView {
    effect: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    id: String,
    text: &'static str,
}

#[derive(Debug, Serialize)]
struct StepView {
    /// As in the list of operations.
    kind: &'static str,
    amphora_id: Option<String>,
    text: String,
}

impl RehearsalView {
    pub(crate) fn new(status: StatusCode, changes: Vec<Value>, impacts: &[Impact], steps: &[Step]) -> Self {
        let any = |effects: &[Effect]| impacts.iter().any(|impact| effects.contains(&impact.effect));
        Self {
            status: status.as_u16(),
            changes,
            cuts_connections: any(&[Effect::Cut]),
            refuses_connections: any(&[Effect::Refused, Effect::Unserved]),
            traffic: impacts.iter().map(EffectView::from).collect(),
            steps: steps.iter().map(StepView::from).collect(),
        }
    }
}

impl From<&Impact> for EffectView {
    fn from(impact: &Impact) -> Self {
        let (kind, id) = match impact.affected {
            Affected::Listener(id) => ("listener", id.to_string()),
            Affected::Member(id) => ("member", id.to_string()),
            Affected::Amphora(id) => ("amphora", id.to_string()),
        };
        Self { effect: impact.effect.as_str(), kind, id, text: impact.text }
    }
}

impl From<&Step> for StepView {
    fn from(step: &Step) -> Self {
        let text = match step {
            Step::VipEnsure => "The VIP's port is made again.".to_owned(),
            Step::AmphoraCreate { role } => format!("An amphora is planned, in the role {role}."),
            Step::ServerEnsure { .. } => "Its server is made and boots.".to_owned(),
            Step::PortsEnsure { .. } => "Its ports are made.".to_owned(),
            Step::PapersPush { .. } => "Its agent gets a new certificate.".to_owned(),
            Step::SpecPush { .. } => "It gets its configuration.".to_owned(),
            Step::AmphoraRecord(_) => "What it says of itself is noted.".to_owned(),
            Step::AmphoraRetire { reason, .. } => format!("It is to go. {}", reason.text),
            Step::AmphoraDelete { .. } => "Its server ends and is removed.".to_owned(),
            Step::Settle { .. } => "Everything is in force: what was PENDING_* is ACTIVE or gone.".to_owned(),
            Step::Fail { reason, .. } => format!("The load balancer becomes ERROR: {}", reason.text),
            Step::LoadBalancerDelete => "The VIP is given back, and the load balancer is gone.".to_owned(),
        };
        Self { kind: step.name(), amphora_id: step.amphora().map(|id| id.to_string()), text }
    }
}
