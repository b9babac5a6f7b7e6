//! Rules of L7 rules (`reference/api.md` §3.7).

use octavia_model::{
    L7Policy, L7PolicyId, L7Regex, L7Rule, L7RuleCompareType, L7RuleId, L7RuleType, LoadBalancerGraph,
    OperatingStatus, ProvisioningStatus, Statuses,
};

use super::l7policy::touch_listener;
use super::{BY_STORE, change_statuses, new_tags, not_leaving, touch, unique_tags};
use crate::fault::Fault;
use crate::options::ApiOptions;
use crate::request::l7rule::L7RuleBody;

/// Rules of one policy.
const RULES_MAX: usize = 50;

pub(crate) fn create_precheck(
    graph: &LoadBalancerGraph,
    policy: L7PolicyId,
    body: &L7RuleBody,
) -> Result<(), Fault> {
    Condition::of_create(body)?.check()?;
    if graph.l7policy_rules(policy).count() >= RULES_MAX {
        return Err(Fault::TooManyRules(policy));
    }
    Ok(())
}

pub(crate) fn create(
    graph: &mut LoadBalancerGraph,
    policy: L7PolicyId,
    body: &L7RuleBody,
    id: L7RuleId,
    options: &ApiOptions,
) -> Result<(), Fault> {
    open_policy(graph, policy, options)?;
    add(graph, policy, body, id)?;
    touch_policy(graph, policy);
    Ok(())
}

/// The rule itself; the state of its policy is the caller's business.
pub(super) fn add(
    graph: &mut LoadBalancerGraph,
    policy: L7PolicyId,
    body: &L7RuleBody,
    id: L7RuleId,
) -> Result<(), Fault> {
    create_precheck(graph, policy, body)?;
    let condition = Condition::of_create(body)?;
    graph.l7rules.push(L7Rule {
        id,
        l7policy_id: policy,
        load_balancer_id: graph.load_balancer.id,
        project_id: graph.load_balancer.project_id.clone(),
        admin_state_up: body.admin_state_up.or_null(true, false),
        statuses: Statuses::created(OperatingStatus::Offline),
        kind: condition.kind,
        compare_type: condition.compare_type,
        key: condition.key,
        value: condition.value,
        invert: body.invert.or(false),
        tags: new_tags(body.tags.get(), Fault::AlreadyExists)?,
        created_at: BY_STORE,
        updated_at: None,
    });
    Ok(())
}

pub(crate) fn update_precheck(
    graph: &LoadBalancerGraph,
    id: L7RuleId,
    body: &L7RuleBody,
) -> Result<(), Fault> {
    Condition::of_update(find(graph, id)?, body)?.check()
}

pub(crate) fn update(
    graph: &mut LoadBalancerGraph,
    policy: L7PolicyId,
    id: L7RuleId,
    body: &L7RuleBody,
    options: &ApiOptions,
) -> Result<(), Fault> {
    update_precheck(graph, id, body)?;
    open_policy(graph, policy, options)?;
    let rule = find_mut(graph, id)?;
    not_leaving(&rule.statuses, "L7 Rule", id)?;
    let condition = Condition::of_update(rule, body)?;
    rule.kind = condition.kind;
    rule.compare_type = condition.compare_type;
    rule.key = condition.key;
    rule.value = condition.value;
    body.invert.change(&mut rule.invert, false);
    body.admin_state_up.change(&mut rule.admin_state_up, false);
    // Null clears them here, other than on most resources.
    body.tags.as_ref().map(|tags| unique_tags(tags)).change(&mut rule.tags, vec![]);
    touch(&mut rule.statuses);
    touch_policy(graph, policy);
    Ok(())
}

pub(crate) fn delete(
    graph: &mut LoadBalancerGraph,
    policy: L7PolicyId,
    id: L7RuleId,
    options: &ApiOptions,
) -> Result<(), Fault> {
    open_policy(graph, policy, options)?;
    let rule = find_mut(graph, id)?;
    not_leaving(&rule.statuses, "L7 Rule", id)?;
    rule.statuses.provisioning = ProvisioningStatus::PendingDelete;
    touch_policy(graph, policy);
    Ok(())
}

pub(crate) fn find(graph: &LoadBalancerGraph, id: L7RuleId) -> Result<&L7Rule, Fault> {
    graph.l7rule(id).ok_or_else(|| Fault::not_found("L7 Rule", id))
}

fn find_mut(graph: &mut LoadBalancerGraph, id: L7RuleId) -> Result<&mut L7Rule, Fault> {
    graph.l7rule_mut(id).ok_or_else(|| Fault::not_found("L7 Rule", id))
}

/// The policy below which something is to be changed.
fn open_policy<'g>(
    graph: &'g LoadBalancerGraph,
    id: L7PolicyId,
    options: &ApiOptions,
) -> Result<&'g L7Policy, Fault> {
    let policy = graph.l7policy(id).ok_or_else(|| Fault::not_found("L7Policy", id))?;
    if change_statuses(options.pending_writes).contains(&policy.statuses.provisioning) {
        Ok(policy)
    } else {
        Err(Fault::Immutable { resource: "L7Policy", id: id.to_string() })
    }
}

/// What the policy's status says before the load balancer's is looked at.
pub(crate) fn policy_precheck(
    graph: &LoadBalancerGraph,
    id: L7PolicyId,
    options: &ApiOptions,
) -> Result<(), Fault> {
    open_policy(graph, id, options).map(drop)
}

/// Marks a policy and its listener.
fn touch_policy(graph: &mut LoadBalancerGraph, id: L7PolicyId) {
    if let Some(policy) = graph.l7policy_mut(id) {
        touch(&mut policy.statuses);
        let listener = policy.listener_id;
        touch_listener(graph, listener);
    }
}

/// What a rule looks at, and what it looks for.
#[derive(Debug)]
struct Condition {
    kind: L7RuleType,
    compare_type: L7RuleCompareType,
    key: Option<String>,
    value: String,
}

impl Condition {
    fn of_create(body: &L7RuleBody) -> Result<Self, Fault> {
        let condition = Self {
            kind: body.kind.required("type")?,
            compare_type: body.compare_type.required("compare_type")?,
            key: body.key.get().cloned(),
            value: body.value.clone().required("value")?,
        };
        Ok(condition.without_idle_key())
    }

    /// What it will be.
    fn of_update(rule: &L7Rule, body: &L7RuleBody) -> Result<Self, Fault> {
        let null = |key: &str| invalid(&format!("a rule needs a {key}."));
        let condition = Self {
            kind: body.kind.merged(Some(rule.kind)).ok_or_else(|| null("type"))?,
            compare_type: body
                .compare_type
                .merged(Some(rule.compare_type))
                .ok_or_else(|| null("compare_type"))?,
            key: body.key.merged(rule.key.clone()),
            value: body.value.merged(Some(rule.value.clone())).ok_or_else(|| null("value"))?,
        };
        Ok(condition.without_idle_key())
    }

    /// Kinds that need no key and do not mind one.
    fn without_idle_key(self) -> Self {
        let idle = matches!(self.kind, L7RuleType::HostName | L7RuleType::Path | L7RuleType::FileType);
        Self { key: self.key.filter(|_| !idle), ..self }
    }

    fn check(&self) -> Result<(), Fault> {
        use L7RuleCompareType::{EqualTo, Regex};

        let kind = self.kind;
        let allowed: &[L7RuleCompareType] = match kind {
            L7RuleType::FileType => &[EqualTo, Regex],
            L7RuleType::SslConnHasCert | L7RuleType::SslVerifyResult => &[EqualTo],
            _ => L7RuleCompareType::ALL,
        };
        if !allowed.contains(&self.compare_type) {
            return Err(invalid(&format!("{kind} cannot be compared by {}.", self.compare_type)));
        }
        self.check_key()?;
        self.check_value()
    }

    fn check_key(&self) -> Result<(), Fault> {
        let kind = self.kind;
        let (is_key, what): (fn(&str) -> bool, _) = match kind {
            L7RuleType::HostName | L7RuleType::Path | L7RuleType::FileType => return Ok(()),
            L7RuleType::SslConnHasCert | L7RuleType::SslVerifyResult => {
                return match self.key {
                    None => Ok(()),
                    Some(_) => Err(invalid(&format!("{kind} takes no key."))),
                };
            }
            L7RuleType::Header => (is_token, "the name of a header"),
            L7RuleType::Cookie => (is_token, "the name of a cookie"),
            L7RuleType::SslDnField => (is_name_field, "the name of a field of a distinguished name"),
        };
        match &self.key {
            None => Err(invalid(&format!("{kind} needs a key."))),
            Some(key) if is_key(key) => Ok(()),
            Some(_) => Err(invalid(&format!("the key is not {what}."))),
        }
    }

    fn check_value(&self) -> Result<(), Fault> {
        let value = self.value.as_str();
        if value.is_empty() {
            return Err(invalid("the value is empty."));
        }
        if value.contains(['\r', '\n']) {
            return Err(invalid("the value must be of one line."));
        }
        if self.compare_type == L7RuleCompareType::Regex {
            return match L7Regex::new(value) {
                Ok(_) => Ok(()),
                Err(error) => Err(invalid(&format!("the value is not a regular expression: {error}"))),
            };
        }
        let (is_valid, what) = match self.kind {
            L7RuleType::HostName | L7RuleType::Path | L7RuleType::FileType | L7RuleType::Header => {
                (is_header_value(value), "the value is not that of a header: quote it if it has spaces.")
            }
            L7RuleType::Cookie => (value.bytes().all(is_cookie_byte), "the value is not that of a cookie."),
            L7RuleType::SslConnHasCert => {
                (value.eq_ignore_ascii_case("true"), "the value can only be true; invert it for false.")
            }
            L7RuleType::SslVerifyResult => {
                (value.bytes().all(|byte| byte.is_ascii_digit()), "the value is not a number of 0 or more.")
            }
            L7RuleType::SslDnField => (true, ""),
        };
        if is_valid { Ok(()) } else { Err(invalid(what)) }
    }
}

fn invalid(detail: &str) -> Fault {
    Fault::L7Rule(detail.to_owned())
}

/// A name of a header or cookie (RFC 9110 §5.6.2).
fn is_token(text: &str) -> bool {
    let is_token_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_token_byte)
}

fn is_name_field(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// Printable ASCII; spaces and tabs inside double quotes only.
fn is_header_value(text: &str) -> bool {
    let inside = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    match inside {
        Some(inside) => inside.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ' || byte == b'\t'),
        None => text.bytes().all(|byte| byte.is_ascii_graphic()),
    }
}

fn is_cookie_byte(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"\",;\\".contains(&byte)
}
