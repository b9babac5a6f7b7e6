//! Who may do what (`reference/api.md` §8): every endpoint names a policy, and the rules in force say whom it lets in.

use std::ops::Deref;
use std::sync::Arc;

use arc_swap::ArcSwap;
use octavia_cloud::{RequestContext, ServiceContext};
use octavia_model::ProjectId;
use octavia_policy::{Credentials, Enforcer, Options, PREFIX, Target, defaults};

use crate::fault::Fault;

/// The rules in force. They can be replaced while requests are answered: each request is judged by those that were in
/// force when it came. Cheap to clone; all clones are one.
#[derive(Debug, Clone)]
pub struct Policy(Arc<ArcSwap<Enforcer>>);

impl Policy {
    pub fn new(enforcer: Enforcer) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(enforcer)))
    }

    pub fn replace(&self, enforcer: Enforcer) {
        self.0.store(Arc::new(enforcer));
    }

    pub(crate) fn caller(&self, context: RequestContext) -> Caller {
        Caller::new(context, self.0.load_full())
    }
}

impl Default for Policy {
    /// What is built in.
    fn default() -> Self {
        #[expect(clippy::expect_used, reason = "a test sees that they are right")]
        let (enforcer, _) = Enforcer::new(defaults(), &[], Options::default()).expect("the built-in rules");
        Self::new(enforcer)
    }
}

/// Who makes a request, and the rules it is judged by.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    context: RequestContext,
    credentials: Credentials,
    rules: Arc<Enforcer>,
}

impl Caller {
    fn new(context: RequestContext, rules: Arc<Enforcer>) -> Self {
        let mut credentials = credentials(&context);
        let is_admin = rules.allows("context_is_admin", &credentials, &credentials.as_target());
        credentials.is_admin = context.is_admin || is_admin;
        Self { context, credentials, rules }
    }
}

impl Deref for Caller {
    type Target = RequestContext;

    fn deref(&self) -> &RequestContext {
        &self.context
    }
}

/// The attributes that rules can name, as oslo.context calls them.
fn credentials(context: &RequestContext) -> Credentials {
    let project = |project: &Option<ProjectId>| project.as_ref().map(ToString::to_string);
    let none = ServiceContext::default();
    let service = context.service.as_ref().unwrap_or(&none);
    let user = |id: &String| (!id.is_empty()).then(|| id.clone());
    Credentials::default()
        .with("user_id", user(&context.user_id))
        .with("user_domain_id", context.user_domain_id.clone())
        .with("system_scope", context.system_scope.clone())
        .with("domain_id", context.domain_id.clone())
        .with("project_id", project(&context.project_id))
        .with("project_domain_id", context.project_domain_id.clone())
        .with("roles", context.roles.clone())
        .with("service_user_id", user(&service.user_id))
        .with("service_user_domain_id", service.user_domain_id.clone())
        .with("service_project_id", project(&service.project_id))
        .with("service_project_domain_id", service.project_domain_id.clone())
        .with("service_roles", service.roles.clone())
}

/// Refuses a caller whom the policy does not allow to act on the project's things. A policy that is not built in
/// allows nobody.
pub(crate) fn enforce(policy: &str, caller: &Caller, target: Option<&ProjectId>) -> Result<(), Fault> {
    if allows(policy, caller, target) { Ok(()) } else { Err(Fault::Policy) }
}

pub(crate) fn allows(policy: &str, caller: &Caller, target: Option<&ProjectId>) -> bool {
    let target = target.map(|project| Target::default().with("project_id", project.to_string()));
    caller.rules.allows(&format!("{PREFIX}{policy}"), &caller.credentials, &target.unwrap_or_default())
}

/// Whether a list under this policy may show every project: its `-global` companion decides.
pub(crate) fn allows_global(policy: &str, caller: &Caller) -> bool {
    allows(&format!("{policy}-global"), caller, None)
}

#[cfg(test)]
mod tests {
    use octavia_policy::PolicyFile;

    use super::*;

    fn policy(file: &str, enforce_new_defaults: bool) -> Policy {
        let file = PolicyFile::read("f", file.as_bytes()).unwrap();
        let options = Options { enforce_new_defaults, ..Options::default() };
        Policy::new(Enforcer::new(defaults(), &[file], options).unwrap().0)
    }

    fn context(roles: &[&str]) -> RequestContext {
        RequestContext {
            user_id: "u".to_owned(),
            project_id: Some(ProjectId::new("own")),
            roles: roles.iter().map(|role| (*role).to_owned()).collect(),
            ..RequestContext::default()
        }
    }

    /// For each role: get_one own, get_one other, list global, post own, post other, failover, members of another
    /// project, quota read of another project, quota write, flavors, flavor profiles.
    fn row(caller: &Caller) -> String {
        let (own, other) = (ProjectId::new("own"), ProjectId::new("other"));
        let answers = [
            allows("loadbalancer:get_one", caller, Some(&own)),
            allows("loadbalancer:get_one", caller, Some(&other)),
            allows_global("loadbalancer:get_all", caller),
            allows("loadbalancer:post", caller, Some(&own)),
            allows("loadbalancer:post", caller, Some(&other)),
            allows("loadbalancer:put_failover", caller, Some(&own)),
            allows("member:get_all", caller, Some(&other)),
            allows("quota:get_one", caller, Some(&other)),
            allows("quota:put", caller, Some(&other)),
            allows("flavor:get_all", caller, Some(&own)),
            allows("flavor-profile:get_all", caller, Some(&own)),
        ];
        answers.iter().map(|allowed| if *allowed { 'y' } else { '-' }).collect()
    }

    /// With the defaults as they are now, and with the older ones beside them.
    #[test]
    fn the_matrix_of_roles() {
        let cases: &[(&[&str], &str, &str)] = &[
            (&[], "-----------", "-----------"),
            (&["reader"], "y--------y-", "y--------y-"),
            (&["load-balancer_observer"], "-----------", "y--------y-"),
            (&["member"], "y--y-----y-", "y--y-----y-"),
            (&["load-balancer_member"], "-----------", "y--y-----y-"),
            (&["load-balancer_global_observer"], "-----------", "yyy---yy-y-"),
            (&["load-balancer_quota_admin"], "-----------", "-------yy--"),
            (&["load-balancer_admin"], "-----------", "yyyyyyyyyyy"),
            (&["service"], "------y----", "------y----"),
            (&["Admin"], "yyyyyyyyyyy", "yyyyyyyyyyy"),
        ];
        for (roles, new, old) in cases {
            for (enforce_new_defaults, expected) in [(true, new), (false, old)] {
                let caller = policy("", enforce_new_defaults).caller(context(roles));
                assert_eq!(row(&caller), *expected, "{roles:?} {enforce_new_defaults}");
            }
        }
    }

    /// The policy files that the original comes with, beside the roles and scopes they are about.
    #[test]
    fn other_policies() {
        let owner_or_admin = "context_is_admin: role:admin or role:load-balancer_admin\n\
            admin_or_owner: is_admin:True or project_id:%(project_id)s\n\
            load-balancer:read: rule:admin_or_owner\nload-balancer:read-global: is_admin:True\n\
            load-balancer:write: rule:admin_or_owner\nload-balancer:read-quota: rule:admin_or_owner\n\
            load-balancer:read-quota-global: is_admin:True\nload-balancer:write-quota: is_admin:True\n";
        let scoped = "system_admin: role:admin and system_scope:all\n\
            system_reader: role:reader and system_scope:all\n\
            project_reader: role:reader and project_id:%(project_id)s\n\
            project_member: role:member and project_id:%(project_id)s\n\
            context_is_admin: role:admin and system_scope:all\n\
            load-balancer:admin: is_admin:True or rule:system_admin or role:load-balancer_admin\n\
            load-balancer:read: is_admin:True or rule:system_reader or rule:project_reader\n\
            load-balancer:read-global: is_admin:True or rule:system_reader\n\
            load-balancer:write: is_admin:True or rule:project_member\n\
            load-balancer:read-quota: is_admin:True or rule:system_reader or rule:project_reader\n\
            load-balancer:read-quota-global: is_admin:True or rule:system_reader\n\
            load-balancer:write-quota: is_admin:True\n";
        let system = |roles: &[&str]| RequestContext {
            project_id: None,
            system_scope: Some("all".to_owned()),
            ..context(roles)
        };
        for (file, context, expected) in [
            (owner_or_admin, context(&[]), "y--y-----y-"),
            (owner_or_admin, context(&["load-balancer_admin"]), "yyyyyyyyyyy"),
            (owner_or_admin, system(&["reader"]), "-----------"),
            (scoped, context(&["admin"]), "-----------"),
            (scoped, context(&["reader"]), "y--------y-"),
            (scoped, context(&["member"]), "---y-------"),
            (scoped, system(&["reader"]), "yyy---yy-y-"),
            // The scope of context_is_admin itself is a project's, so that this is no administrator of everything.
            (scoped, system(&["admin"]), "-----y----y"),
            (scoped, system(&["admin", "reader"]), "yyy--yyy-yy"),
        ] {
            let caller = policy(file, true).caller(context.clone());
            assert_eq!(row(&caller), expected, "{context:?}");
        }
    }

    #[test]
    fn with_noauth_everybody_is_the_administrator() {
        let anybody = RequestContext { is_admin: true, ..RequestContext::default() };
        assert_eq!(row(&Policy::default().caller(anybody.clone())), "yyyyyyyyyyy");
        // Unless rules say otherwise.
        let file = "load-balancer:admin: '!'";
        assert_eq!(row(&policy(file, true).caller(anybody)), "-----------");
    }

    #[test]
    fn nobody_without_a_project_owns_what_has_none() {
        let caller =
            Policy::default().caller(RequestContext { project_id: None, ..context(&["member", "reader"]) });
        assert!(!allows("loadbalancer:get_one", &caller, None));
    }

    #[test]
    fn an_unknown_policy_allows_nobody() {
        let caller = policy("'os_load-balancer_api:loadbalancer:unheard_of': '@'", true);
        assert!(!allows("loadbalancer:unheard_of", &caller.caller(context(&["admin"])), None));
    }

    #[test]
    fn a_request_is_judged_by_the_rules_it_came_under() {
        let shared = Policy::default();
        let before = shared.clone().caller(context(&["admin"]));
        let (nobody, _) = Enforcer::new(&[], &[], Options::default()).unwrap();
        shared.replace(nobody);
        assert!(allows("flavor:post", &before, None));
        assert!(!allows("flavor:post", &shared.caller(context(&["admin"])), None));
    }

    #[test]
    fn what_rules_can_look_at() {
        let text = |text: &str| Some(text.to_owned());
        let context = RequestContext {
            user_domain_id: text("ud"),
            project_domain_id: text("pd"),
            service: Some(ServiceContext {
                user_id: "su".to_owned(),
                user_domain_id: text("sud"),
                project_id: Some(ProjectId::new("sp")),
                project_domain_id: text("spd"),
                roles: vec!["sr".to_owned()],
            }),
            ..context(&["r"])
        };
        for rule in [
            "user_id:u and user_domain_id:ud and project_id:own and project_domain_id:pd and roles:r",
            "service_user_id:su and service_user_domain_id:sud and service_project_id:sp",
            "service_project_domain_id:spd and service_roles:sr",
            "system_scope:None and domain_id:None",
        ] {
            let rules = policy(&format!("'{PREFIX}flavor:post': '{rule}'"), true);
            assert!(allows("flavor:post", &rules.caller(context.clone()), None), "{rule}");
        }
    }

    #[test]
    fn every_endpoint_names_a_policy_that_is_built_in() {
        for endpoint in crate::endpoint::ENDPOINTS {
            let name = format!("{PREFIX}{}", endpoint.policy);
            let known = defaults().iter().any(|default| default.name == name);
            assert!(known, "{} {} names {name}", endpoint.method, endpoint.path);
        }
    }
}
