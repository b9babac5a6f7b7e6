//! Rules of L7 policies (`reference/api.md` §3.6).

use octavia_model::{
    L7Policy, L7PolicyAction, L7PolicyId, Listener, ListenerId, ListenerProtocol, LoadBalancerGraph,
    OperatingStatus, PoolId, ProvisioningStatus, Statuses,
};

use super::{BY_STORE, listener, new_tags, not_leaving, touch, unique_tags, unsupported};
use crate::body::Sent;
use crate::fault::Fault;
use crate::request::l7policy::L7PolicyBody;

/// What a redirect answers with if nothing else is said.
const FOUND: u16 = 302;

pub(crate) fn create_precheck(graph: &LoadBalancerGraph, body: &L7PolicyBody) -> Result<(), Fault> {
    let listener = home(graph, body.listener_id.required("listener_id")?)?;
    let verdict = Verdict::of_create(body)?;
    check_pool(graph, listener, verdict.pool)
}

pub(crate) fn create(
    graph: &mut LoadBalancerGraph,
    body: &L7PolicyBody,
    id: L7PolicyId,
) -> Result<(), Fault> {
    create_precheck(graph, body)?;
    let listener = body.listener_id.required("listener_id")?;
    add(graph, listener, body, id)?;
    touch_listener(graph, listener);
    Ok(())
}

/// The policy itself; the state of its listener is the caller's business.
pub(super) fn add(
    graph: &mut LoadBalancerGraph,
    listener: ListenerId,
    body: &L7PolicyBody,
    id: L7PolicyId,
) -> Result<(), Fault> {
    let listener = home(graph, listener)?;
    let verdict = Verdict::of_create(body)?;
    check_pool(graph, listener, verdict.pool)?;
    not_leaving(&listener.statuses, "Listener", listener.id)?;
    data_plane(graph, listener)?;
    let policy = L7Policy {
        id,
        listener_id: listener.id,
        load_balancer_id: graph.load_balancer.id,
        project_id: graph.load_balancer.project_id.clone(),
        name: body.name.get().cloned().unwrap_or_default(),
        description: body.description.get().cloned().unwrap_or_default(),
        admin_state_up: body.admin_state_up.or_null(true, false),
        statuses: Statuses::created(OperatingStatus::Offline),
        action: verdict.action,
        redirect_pool_id: verdict.pool,
        redirect_url: verdict.url,
        redirect_prefix: verdict.prefix,
        redirect_http_code: verdict.code,
        position: L7Policy::POSITION_MAX,
        tags: new_tags(body.tags.get(), Fault::AlreadyExists)?,
        created_at: BY_STORE,
        updated_at: None,
    };
    graph.l7policies.push(policy);
    graph.l7policy_place(id, body.position.or(L7Policy::POSITION_MAX));
    Ok(())
}

pub(crate) fn update_precheck(
    graph: &LoadBalancerGraph,
    id: L7PolicyId,
    body: &L7PolicyBody,
) -> Result<(), Fault> {
    let policy = find(graph, id)?;
    let verdict = Verdict::of_update(policy, body)?;
    // The pool it had was looked at before.
    if verdict.pool == policy.redirect_pool_id {
        return Ok(());
    }
    check_pool(graph, home(graph, policy.listener_id)?, verdict.pool)
}

pub(crate) fn update(
    graph: &mut LoadBalancerGraph,
    id: L7PolicyId,
    body: &L7PolicyBody,
) -> Result<(), Fault> {
    update_precheck(graph, id, body)?;
    let policy = find_mut(graph, id)?;
    not_leaving(&policy.statuses, "L7 Policy", id)?;
    let verdict = Verdict::of_update(policy, body)?;
    body.name.change(&mut policy.name, String::new());
    body.description.change(&mut policy.description, String::new());
    body.admin_state_up.change(&mut policy.admin_state_up, false);
    policy.action = verdict.action;
    policy.redirect_pool_id = verdict.pool;
    policy.redirect_url = verdict.url;
    policy.redirect_prefix = verdict.prefix;
    policy.redirect_http_code = verdict.code;
    // Null clears them here, other than on most resources.
    body.tags.as_ref().map(|tags| unique_tags(tags)).change(&mut policy.tags, vec![]);
    touch(&mut policy.statuses);
    let listener = policy.listener_id;
    if let Some(position) = body.position.value() {
        graph.l7policy_place(id, position);
    }
    touch_listener(graph, listener);
    Ok(())
}

/// The policy leaves with its rules; those after it move up at once.
pub(crate) fn delete(graph: &mut LoadBalancerGraph, id: L7PolicyId) -> Result<(), Fault> {
    let policy = find(graph, id)?;
    not_leaving(&policy.statuses, "L7 Policy", id)?;
    let listener = policy.listener_id;
    leave(graph, |policy| policy.id == id);
    graph.l7policies_close(listener);
    touch_listener(graph, listener);
    Ok(())
}

/// Sends policies on their way out, with their rules.
pub(super) fn leave(graph: &mut LoadBalancerGraph, which: impl Fn(&L7Policy) -> bool) {
    let leaving = ProvisioningStatus::PendingDelete;
    for policy in graph.l7policies.iter_mut().filter(|policy| which(policy)) {
        policy.statuses.provisioning = leaving;
        for rule in graph.l7rules.iter_mut().filter(|rule| rule.l7policy_id == policy.id) {
            rule.statuses.provisioning = leaving;
        }
    }
}

pub(crate) fn find(graph: &LoadBalancerGraph, id: L7PolicyId) -> Result<&L7Policy, Fault> {
    graph.l7policy(id).ok_or_else(|| Fault::not_found("L7 Policy", id))
}

fn find_mut(graph: &mut LoadBalancerGraph, id: L7PolicyId) -> Result<&mut L7Policy, Fault> {
    graph.l7policy_mut(id).ok_or_else(|| Fault::not_found("L7 Policy", id))
}

pub(super) fn touch_listener(graph: &mut LoadBalancerGraph, id: ListenerId) {
    if let Some(listener) = graph.listener_mut(id) {
        touch(&mut listener.statuses);
    }
}

/// A listener that may have policies.
fn home(graph: &LoadBalancerGraph, id: ListenerId) -> Result<&Listener, Fault> {
    let listener = graph.listener(id).ok_or_else(|| Fault::not_found("Listener", id))?;
    if listener.protocol == ListenerProtocol::Prometheus {
        return Err(Fault::ChildlessListener(listener.protocol.to_string()));
    }
    Ok(listener)
}

/// A pool may be redirected to if it is there to stay and speaks a protocol the listener may use.
fn check_pool(graph: &LoadBalancerGraph, listener: &Listener, pool: Option<PoolId>) -> Result<(), Fault> {
    let Some(id) = pool else { return Ok(()) };
    let pool = graph.pool(id).ok_or_else(|| Fault::not_found("Pool", id))?;
    listener::fits(listener.protocol, pool)?;
    not_leaving(&pool.statuses, "Pool", id)
}

fn data_plane(graph: &LoadBalancerGraph, listener: &Listener) -> Result<(), Fault> {
    match listener.protocol {
        ListenerProtocol::Http | ListenerProtocol::TerminatedHttps => Ok(()),
        other => {
            Err(unsupported(graph, format!("{other} listeners cannot look at requests for L7 policies.")))
        }
    }
}

/// What becomes of requests, after the attributes that say so were brought in line (`reference/api.md` §3.6.1).
#[derive(Debug, Clone, PartialEq, Eq)]
struct Verdict {
    action: L7PolicyAction,
    pool: Option<PoolId>,
    url: Option<String>,
    prefix: Option<String>,
    code: Option<u16>,
}

impl Verdict {
    /// A target that is there decides, whatever the action says: a pool before a URL before a prefix.
    fn of_create(body: &L7PolicyBody) -> Result<Self, Fault> {
        let action = body.action.required("action")?;
        let target = Target::sent(Some(action), body)?;
        Ok(Self::to(target, body.redirect_http_code.value()).unwrap_or(Self {
            action,
            pool: None,
            url: None,
            prefix: None,
            code: body.redirect_http_code.value(),
        }))
    }

    fn of_update(policy: &L7Policy, body: &L7PolicyBody) -> Result<Self, Fault> {
        if body.is_empty {
            return Err(arguments("nothing to update was sent."));
        }
        if body.action.is_null() {
            return Err(Fault::L7Action("None".to_owned()));
        }
        let action = body.action.value();
        let target = Target::sent(action, body)?;
        if let Some(verdict) = Self::to(target, body.redirect_http_code.value()) {
            return Ok(verdict);
        }
        if action == Some(L7PolicyAction::Reject) {
            let code = body.redirect_http_code.value();
            return Ok(Self { action: L7PolicyAction::Reject, pool: None, url: None, prefix: None, code });
        }
        // Neither an action nor a target: what there is stays. Nulls must not take away what it needs.
        let verdict = Self {
            action: policy.action,
            pool: body.redirect_pool_id.merged(policy.redirect_pool_id),
            url: body.redirect_url.merged(policy.redirect_url.clone()),
            prefix: body.redirect_prefix.merged(policy.redirect_prefix.clone()),
            code: match (policy.action, body.redirect_http_code) {
                (L7PolicyAction::RedirectToPool, _) => None,
                (_, Sent::Absent) => policy.redirect_http_code,
                (L7PolicyAction::Reject, sent) => sent.value(),
                (_, sent) => Some(sent.or(FOUND)),
            },
        };
        let target =
            Target { pool: verdict.pool, url: verdict.url.as_ref(), prefix: verdict.prefix.as_ref() };
        target.suffices(policy.action)?;
        Ok(verdict)
    }

    /// The redirect a target stands for; `None` = it is none.
    fn to(target: Target<'_>, code: Option<u16>) -> Option<Self> {
        use L7PolicyAction::{RedirectPrefix, RedirectToPool, RedirectToUrl};

        let code = Some(code.unwrap_or(FOUND));
        let none = Self { action: RedirectToPool, pool: None, url: None, prefix: None, code: None };
        match target {
            Target { pool: Some(pool), .. } => Some(Self { pool: Some(pool), ..none }),
            Target { url: Some(url), .. } => {
                Some(Self { action: RedirectToUrl, url: Some(url.clone()), code, ..none })
            }
            Target { prefix: Some(prefix), .. } => {
                Some(Self { action: RedirectPrefix, prefix: Some(prefix.clone()), code, ..none })
            }
            Target { .. } => None,
        }
    }
}

/// Where a redirect leads.
#[derive(Debug, Clone, Copy)]
struct Target<'b> {
    pool: Option<PoolId>,
    url: Option<&'b String>,
    prefix: Option<&'b String>,
}

impl<'b> Target<'b> {
    /// What was sent, less what does not go with the action.
    fn sent(action: Option<L7PolicyAction>, body: &'b L7PolicyBody) -> Result<Self, Fault> {
        let mut target = Self {
            pool: body.redirect_pool_id.value(),
            url: body.redirect_url.get(),
            prefix: body.redirect_prefix.get(),
        };
        match action {
            Some(L7PolicyAction::Reject) => (target.pool, target.url) = (None, None),
            Some(L7PolicyAction::RedirectToUrl) => target.pool = None,
            Some(L7PolicyAction::RedirectToPool) => target.url = None,
            Some(L7PolicyAction::RedirectPrefix) | None => {}
        }
        if let Some(action) = action {
            target.suffices(action)?;
        }
        if target.pool.is_some() && (target.url.is_some() || target.prefix.is_some()) {
            return Err(arguments("a request goes either to a pool or to a URL."));
        }
        Ok(target)
    }

    fn suffices(&self, action: L7PolicyAction) -> Result<(), Fault> {
        let (is_there, key) = match action {
            L7PolicyAction::Reject => return Ok(()),
            L7PolicyAction::RedirectToPool => (self.pool.is_some(), "redirect_pool_id"),
            L7PolicyAction::RedirectToUrl => (self.url.is_some(), "redirect_url"),
            L7PolicyAction::RedirectPrefix => (self.prefix.is_some(), "redirect_prefix"),
        };
        if is_there { Ok(()) } else { Err(arguments(&format!("{action} needs {key}."))) }
    }
}

fn arguments(text: &str) -> Fault {
    Fault::L7Arguments(text.to_owned())
}
