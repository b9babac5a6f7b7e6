//! A listener's L7 policies (`reference/amphora.md` §10).
//!
//! The original's proxy looks at all policies that refuse before those that redirect, and at these before those that
//! choose a pool, whatever their positions. So do we: a policy that is found here in another order than it has there
//! would let through what it is there to refuse.

use octavia_model::{L7Policy, L7PolicyAction, L7Rule, Listener, ListenerProtocol, LoadBalancerGraph};
use octavia_wire::{L7ActionSpec, L7PolicySpec, L7RuleSpec};

use super::pool_runs;

/// What a redirect answers with when its row does not say.
const CODE: u16 = 302;

/// The policies that can match something, in the order in which they are looked at.
pub(super) fn policies(graph: &LoadBalancerGraph, listener: &Listener) -> Vec<L7PolicySpec> {
    if !matches!(listener.protocol, ListenerProtocol::Http | ListenerProtocol::TerminatedHttps) {
        return vec![];
    }
    let mut policies: Vec<_> =
        graph.listener_l7policies(listener.id).into_iter().filter_map(|p| policy(graph, p)).collect();
    // Stable: of one kind, they stay in order of position.
    policies.sort_by_key(|policy| turn(&policy.action));
    policies
}

fn turn(action: &L7ActionSpec) -> u8 {
    match action {
        L7ActionSpec::Reject => 0,
        L7ActionSpec::RedirectToUrl { .. } | L7ActionSpec::RedirectPrefix { .. } => 1,
        L7ActionSpec::RedirectToPool(_) => 2,
    }
}

fn policy(graph: &LoadBalancerGraph, policy: &L7Policy) -> Option<L7PolicySpec> {
    if !policy.admin_state_up || policy.statuses.provisioning.is_leaving() {
        return None;
    }
    let rules: Vec<_> = graph.l7policy_rules(policy.id).filter(|rule| rule_runs(rule)).map(rule).collect();
    // A policy that loses its last rule shall not take all requests.
    if rules.is_empty() {
        return None;
    }
    Some(L7PolicySpec { id: policy.id, action: action(graph, policy)?, rules })
}

/// `None` when there is nowhere to go: the requests go on to the next policy.
fn action(graph: &LoadBalancerGraph, policy: &L7Policy) -> Option<L7ActionSpec> {
    let code = policy.redirect_http_code.unwrap_or(CODE);
    Some(match policy.action {
        L7PolicyAction::Reject => L7ActionSpec::Reject,
        L7PolicyAction::RedirectToUrl => {
            L7ActionSpec::RedirectToUrl { location: policy.redirect_url.clone()?, code }
        }
        L7PolicyAction::RedirectPrefix => {
            L7ActionSpec::RedirectPrefix { prefix: policy.redirect_prefix.clone()?, code }
        }
        L7PolicyAction::RedirectToPool => {
            let pool = policy.redirect_pool_id.filter(|id| graph.pool(*id).is_some_and(pool_runs))?;
            L7ActionSpec::RedirectToPool(pool)
        }
    })
}

fn rule_runs(rule: &L7Rule) -> bool {
    rule.admin_state_up && !rule.statuses.provisioning.is_leaving()
}

fn rule(rule: &L7Rule) -> L7RuleSpec {
    L7RuleSpec {
        kind: rule.kind,
        compare_type: rule.compare_type,
        key: rule.key.clone(),
        value: rule.value.clone(),
        invert: rule.invert,
    }
}
