//! Who may do what (`reference/api.md` §8): every endpoint names a policy, every policy is a row of one table.
//!
//! Both sets of the original's defaults are accepted side by side: Keystone's own roles (admin, member, reader) and
//! the older `load-balancer_*` roles, so that a cloud need not choose before it can start.

use octavia_cloud::RequestContext;
use octavia_model::ProjectId;

use crate::fault::Fault;

/// Callers a rule can name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    Admin,
    GlobalObserver,
    MemberOfProject,
    ObserverOfProject,
    QuotaAdmin,
    Service,
}

use Who::{Admin, GlobalObserver, MemberOfProject, ObserverOfProject, QuotaAdmin, Service};

/// Callers who may, any one of them.
type Rule = &'static [Who];

const READ: Rule = &[ObserverOfProject, GlobalObserver, MemberOfProject, Admin];
const READ_GLOBAL: Rule = &[GlobalObserver, Admin];
const READ_OR_SERVICE: Rule = &[ObserverOfProject, GlobalObserver, MemberOfProject, Admin, Service];
const WRITE: Rule = &[MemberOfProject, Admin];
const READ_QUOTA: Rule = &[ObserverOfProject, GlobalObserver, MemberOfProject, QuotaAdmin, Admin];
const READ_QUOTA_GLOBAL: Rule = &[GlobalObserver, QuotaAdmin, Admin];
const WRITE_QUOTA: Rule = &[QuotaAdmin, Admin];
const ADMIN: Rule = &[Admin];

/// Policies by name, without the prefix `os_load-balancer_api:`.
const POLICIES: &[(&str, Rule)] = &[
    ("loadbalancer:get_all", READ),
    ("loadbalancer:get_all-global", READ_GLOBAL),
    ("loadbalancer:post", WRITE),
    ("loadbalancer:post:vip_sg_ids", WRITE),
    ("loadbalancer:get_one", READ),
    ("loadbalancer:get_stats", READ),
    ("loadbalancer:get_status", READ),
    ("loadbalancer:put", WRITE),
    ("loadbalancer:put:vip_sg_ids", WRITE),
    ("loadbalancer:delete", WRITE),
    ("loadbalancer:put_failover", ADMIN),
    ("listener:get_all", READ),
    ("listener:get_all-global", READ_GLOBAL),
    ("listener:post", WRITE),
    ("listener:get_one", READ),
    ("listener:get_stats", READ),
    ("listener:put", WRITE),
    ("listener:delete", WRITE),
    ("pool:get_all", READ),
    ("pool:get_all-global", READ_GLOBAL),
    ("pool:post", WRITE),
    ("pool:get_one", READ),
    ("pool:put", WRITE),
    ("pool:delete", WRITE),
    ("member:get_all", READ_OR_SERVICE),
    ("member:post", WRITE),
    ("member:get_one", READ),
    ("member:put", WRITE),
    ("member:delete", WRITE),
    ("healthmonitor:get_all", READ),
    ("healthmonitor:get_all-global", READ_GLOBAL),
    ("healthmonitor:post", WRITE),
    ("healthmonitor:get_one", READ),
    ("healthmonitor:put", WRITE),
    ("healthmonitor:delete", WRITE),
    ("l7policy:get_all", READ),
    ("l7policy:get_all-global", READ_GLOBAL),
    ("l7policy:post", WRITE),
    ("l7policy:get_one", READ),
    ("l7policy:put", WRITE),
    ("l7policy:delete", WRITE),
    ("l7rule:get_all", READ),
    ("l7rule:post", WRITE),
    ("l7rule:get_one", READ),
    ("l7rule:put", WRITE),
    ("l7rule:delete", WRITE),
    ("quota:get_all", READ_QUOTA),
    ("quota:get_all-global", READ_QUOTA_GLOBAL),
    ("quota:get_one", READ_QUOTA),
    ("quota:get_defaults", READ_QUOTA),
    ("quota:put", WRITE_QUOTA),
    ("quota:delete", WRITE_QUOTA),
    ("provider:get_all", READ),
    ("provider-flavor:get_all", ADMIN),
    ("provider-availability-zone:get_all", ADMIN),
    ("flavor:get_all", READ),
    ("flavor:get_one", READ),
    ("flavor:post", ADMIN),
    ("flavor:put", ADMIN),
    ("flavor:delete", ADMIN),
    ("flavor-profile:get_all", ADMIN),
    ("flavor-profile:get_one", ADMIN),
    ("flavor-profile:post", ADMIN),
    ("flavor-profile:put", ADMIN),
    ("flavor-profile:delete", ADMIN),
    ("availability-zone:get_all", READ),
    ("availability-zone:get_one", READ),
    ("availability-zone:post", ADMIN),
    ("availability-zone:put", ADMIN),
    ("availability-zone:delete", ADMIN),
    ("availability-zone-profile:get_all", ADMIN),
    ("availability-zone-profile:get_one", ADMIN),
    ("availability-zone-profile:post", ADMIN),
    ("availability-zone-profile:put", ADMIN),
    ("availability-zone-profile:delete", ADMIN),
    ("amphora:get_all", ADMIN),
    ("amphora:get_one", ADMIN),
    ("amphora:delete", ADMIN),
    ("amphora:put_config", ADMIN),
    ("amphora:put_failover", ADMIN),
    ("amphora:get_stats", ADMIN),
];

/// Refuses a caller whom the policy does not allow to act on the project's things. A policy that is not in the table
/// allows nobody.
pub(crate) fn enforce(
    policy: &str,
    caller: &RequestContext,
    target: Option<&ProjectId>,
) -> Result<(), Fault> {
    if allows(policy, caller, target) { Ok(()) } else { Err(Fault::Policy) }
}

pub(crate) fn allows(policy: &str, caller: &RequestContext, target: Option<&ProjectId>) -> bool {
    if caller.is_admin {
        return true;
    }
    let Some((_, rule)) = POLICIES.iter().find(|(name, _)| *name == policy) else { return false };
    let own = target.is_some() && caller.project_id.as_ref() == target;
    rule.iter().any(|who| is(*who, caller, own))
}

/// Whether a list under this policy may show every project: its `-global` companion decides.
pub(crate) fn allows_global(policy: &str, caller: &RequestContext) -> bool {
    allows(&format!("{policy}-global"), caller, None)
}

fn is(who: Who, caller: &RequestContext, own_project: bool) -> bool {
    let has = |names: &[&str]| {
        caller.roles.iter().any(|role| names.iter().any(|name| role.eq_ignore_ascii_case(name)))
    };
    match who {
        Admin => has(&["admin", "load-balancer_admin"]),
        GlobalObserver => has(&["admin", "load-balancer_global_observer"]),
        MemberOfProject => own_project && has(&["member", "load-balancer_member"]),
        ObserverOfProject => own_project && has(&["reader", "load-balancer_observer"]),
        QuotaAdmin => has(&["admin", "load-balancer_quota_admin"]),
        Service => has(&["service"]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(roles: &[&str]) -> RequestContext {
        RequestContext {
            user_id: "u".to_owned(),
            user_name: "u".to_owned(),
            project_id: Some(ProjectId::new("own")),
            roles: roles.iter().map(|role| (*role).to_owned()).collect(),
            is_admin: false,
        }
    }

    /// For each role: get_one own, get_one other, list global, post own, post other, failover, members of another
    /// project, quota read of another project, quota write, flavors, flavor profiles.
    #[test]
    fn the_matrix_of_roles() {
        let cases: &[(&[&str], &str)] = &[
            (&[], "-----------"),
            (&["reader"], "y--------y-"),
            (&["load-balancer_observer"], "y--------y-"),
            (&["member"], "y--y-----y-"),
            (&["load-balancer_member"], "y--y-----y-"),
            (&["load-balancer_global_observer"], "yyy---yy-y-"),
            (&["load-balancer_quota_admin"], "-------yy--"),
            (&["load-balancer_admin"], "yyyyyyyyyyy"),
            (&["service"], "------y----"),
            (&["Admin"], "yyyyyyyyyyy"),
        ];
        let (own, other) = (ProjectId::new("own"), ProjectId::new("other"));
        for (roles, expected) in cases {
            let caller = caller(roles);
            let got: String = [
                allows("loadbalancer:get_one", &caller, Some(&own)),
                allows("loadbalancer:get_one", &caller, Some(&other)),
                allows_global("loadbalancer:get_all", &caller),
                allows("loadbalancer:post", &caller, Some(&own)),
                allows("loadbalancer:post", &caller, Some(&other)),
                allows("loadbalancer:put_failover", &caller, Some(&own)),
                allows("member:get_all", &caller, Some(&other)),
                allows("quota:get_one", &caller, Some(&other)),
                allows("quota:put", &caller, Some(&other)),
                allows("flavor:get_all", &caller, Some(&own)),
                allows("flavor-profile:get_all", &caller, Some(&own)),
            ]
            .iter()
            .map(|allowed| if *allowed { 'y' } else { '-' })
            .collect();
            assert_eq!(got, *expected, "{roles:?}");
        }
    }

    #[test]
    fn nobody_without_a_project_owns_what_has_none() {
        let mut caller = caller(&["member", "reader"]);
        caller.project_id = None;
        assert!(!allows("loadbalancer:get_one", &caller, None));
    }

    #[test]
    fn an_unknown_policy_allows_only_the_forced_admin() {
        assert!(!allows("loadbalancer:unheard_of", &caller(&["admin"]), None));
    }

    #[test]
    fn every_endpoint_names_a_policy_of_the_table() {
        for endpoint in crate::endpoint::ENDPOINTS {
            assert!(
                POLICIES.iter().any(|(name, _)| *name == endpoint.policy),
                "{} {} names {}",
                endpoint.method,
                endpoint.path,
                endpoint.policy
            );
        }
    }
}
