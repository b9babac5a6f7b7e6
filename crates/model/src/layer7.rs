//! L7 policies and their rules: what an HTTP listener does with a request before its default pool gets it.

use jiff::Timestamp;

use crate::{
    L7PolicyAction, L7PolicyId, L7RuleCompareType, L7RuleId, L7RuleType, Listener, ListenerId,
    LoadBalancerId, OperatingStatus, PoolId, ProjectId, Statuses,
};

/// An action, taken when every rule matches.
#[derive(Debug, Clone, PartialEq)]
pub struct L7Policy {
    pub id: L7PolicyId,
    pub listener_id: ListenerId,
    pub load_balancer_id: LoadBalancerId,
    pub project_id: ProjectId,
    pub name: String,
    pub description: String,
    pub admin_state_up: bool,
    pub statuses: Statuses,
    pub action: L7PolicyAction,
    pub redirect_pool_id: Option<PoolId>,
    pub redirect_url: Option<String>,
    pub redirect_prefix: Option<String>,
    /// One of [`L7Policy::REDIRECT_CODES`].
    pub redirect_http_code: Option<u16>,
    /// From 1, without gaps within the listener; never more than [`L7Policy::POSITION_MAX`].
    pub position: u32,
    pub tags: Vec<String>,
    pub created_at: Timestamp,
    pub updated_at: Option<Timestamp>,
}

impl L7Policy {
    pub const REDIRECT_CODES: &'static [u16] = &[301, 302, 303, 307, 308];
    /// What a position that is not said stands for: the end.
    pub const POSITION_MAX: u32 = 2_147_483_647;

    /// Just created, at the end, refusing what it matches, with defaults for what a user need not say.
    pub fn new(id: L7PolicyId, listener: &Listener, created_at: Timestamp) -> Self {
        Self {
            id,
            listener_id: listener.id,
            load_balancer_id: listener.load_balancer_id,
            project_id: listener.project_id.clone(),
            name: String::new(),
            description: String::new(),
            admin_state_up: true,
            statuses: Statuses::created(OperatingStatus::Offline),
            action: L7PolicyAction::Reject,
            redirect_pool_id: None,
            redirect_url: None,
            redirect_prefix: None,
            redirect_http_code: None,
            position: Self::POSITION_MAX,
            tags: vec![],
            created_at,
            updated_at: None,
        }
    }
}

/// One condition of an L7 policy.
#[derive(Debug, Clone, PartialEq)]
pub struct L7Rule {
    pub id: L7RuleId,
    pub l7policy_id: L7PolicyId,
    pub load_balancer_id: LoadBalancerId,
    pub project_id: ProjectId,
    pub admin_state_up: bool,
    pub statuses: Statuses,
    pub kind: L7RuleType,
    pub compare_type: L7RuleCompareType,
    /// The header, cookie or field of the distinguished name that is looked at.
    pub key: Option<String>,
    pub value: String,
    /// Matches what it would not match.
    pub invert: bool,
    pub tags: Vec<String>,
    pub created_at: Timestamp,
    pub updated_at: Option<Timestamp>,
}

impl L7Rule {
    /// Just created: the path is `value`, with defaults for what a user need not say.
    pub fn new(id: L7RuleId, policy: &L7Policy, value: impl Into<String>, created_at: Timestamp) -> Self {
        Self {
            id,
            l7policy_id: policy.id,
            load_balancer_id: policy.load_balancer_id,
            project_id: policy.project_id.clone(),
            admin_state_up: true,
            statuses: Statuses::created(OperatingStatus::Offline),
            kind: L7RuleType::Path,
            compare_type: L7RuleCompareType::EqualTo,
            key: None,
            value: value.into(),
            invert: false,
            tags: vec![],
            created_at,
            updated_at: None,
        }
    }
}
