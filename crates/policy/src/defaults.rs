//! The rules Octavia is shipped with (`reference/api.md` §8): roles, what may be done with them, and one for each
//! thing to do.

/// Before the name of every rule that an endpoint is checked against.
pub const PREFIX: &str = "os_load-balancer_api:";

/// A built-in rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuleDefault {
    pub name: &'static str,
    pub check: &'static str,
    pub about: &'static str,
    /// Scopes of tokens it is meant for: `project`, `system`, `domain`; empty = any. It is looked at only for the
    /// rule that a request is checked against, not for those that it asks.
    pub scope: &'static [&'static str],
    /// What it was before.
    pub deprecated: Option<Deprecated>,
}

/// The name and the text a rule had before. The text is accepted beside the new one unless `enforce_new_defaults`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deprecated {
    pub name: &'static str,
    pub check: &'static str,
}

/// Every rule that can be asked, in the order of a sample file.
pub const fn defaults() -> &'static [RuleDefault] {
    DEFAULTS
}

const PROJECT: &[&str] = &["project"];

const READ: &str = "rule:load-balancer:read";
const READ_GLOBAL: &str = "rule:load-balancer:read-global";
const READ_OR_SERVICE: &str = "rule:load-balancer:read or rule:service";
const WRITE: &str = "rule:load-balancer:write";
const READ_QUOTA: &str = "rule:load-balancer:read-quota";
const READ_QUOTA_GLOBAL: &str = "rule:load-balancer:read-quota-global";
const WRITE_QUOTA: &str = "rule:load-balancer:write-quota";
const ADMIN: &str = "rule:load-balancer:admin";

const fn layer(name: &'static str, check: &'static str, about: &'static str) -> RuleDefault {
    RuleDefault { name, check, about, scope: PROJECT, deprecated: None }
}

/// A rule with the same name and another text before.
const fn changed(
    name: &'static str,
    check: &'static str,
    before: &'static str,
    about: &'static str,
) -> RuleDefault {
    let deprecated = Some(Deprecated { name, check: before });
    RuleDefault { name, check, about, scope: PROJECT, deprecated }
}

macro_rules! api {
    ($name:literal, $check:expr, $about:literal) => {
        RuleDefault {
            name: concat!("os_load-balancer_api:", $name),
            check: $check,
            about: $about,
            scope: &[],
            deprecated: None,
        }
    };
}

const DEFAULTS: &[RuleDefault] = &[
    // Who callers are.
    changed(
        "context_is_admin",
        "role:admin",
        "role:admin or role:load-balancer_admin",
        "Whom is_admin:True means, besides everybody under auth_strategy noauth",
    ),
    layer("load-balancer:owner", "project_id:%(project_id)s", "Callers of the project that owns it"),
    layer(
        "project-member",
        "role:member and project_id:%(project_id)s",
        "Members of the project that owns it",
    ),
    layer(
        "project-reader",
        "role:reader and project_id:%(project_id)s",
        "Readers of the project that owns it",
    ),
    layer("service", "role:service", "Other services of the cloud"),
    changed(
        "load-balancer:admin",
        "is_admin:True or role:admin",
        "is_admin:True or role:admin or role:load-balancer_admin",
        "Administrators of load balancing",
    ),
    changed(
        "load-balancer:global_observer",
        "role:admin",
        "role:load-balancer_global_observer",
        "Those who may look at what every project has",
    ),
    changed(
        "load-balancer:member_and_owner",
        "rule:project-member",
        "role:load-balancer_member and rule:load-balancer:owner",
        "Those who may change what their project has",
    ),
    changed(
        "load-balancer:observer_and_owner",
        "rule:project-reader",
        "role:load-balancer_observer and rule:load-balancer:owner",
        "Those who may look at what their project has",
    ),
    changed(
        "load-balancer:quota-admin",
        "role:admin",
        "role:load-balancer_quota_admin",
        "Those who may change quotas",
    ),
    // What they may do.
    layer(
        "load-balancer:read",
        "rule:load-balancer:observer_and_owner or rule:load-balancer:global_observer or \
         rule:load-balancer:member_and_owner or rule:load-balancer:admin",
        "Look at something",
    ),
    layer(
        "load-balancer:read-global",
        "rule:load-balancer:global_observer or rule:load-balancer:admin",
        "Look at what every project has",
    ),
    layer(
        "load-balancer:write",
        "rule:load-balancer:member_and_owner or rule:load-balancer:admin",
        "Change something",
    ),
    layer(
        "load-balancer:read-quota",
        "rule:load-balancer:observer_and_owner or rule:load-balancer:global_observer or \
         rule:load-balancer:member_and_owner or rule:load-balancer:quota-admin or rule:load-balancer:admin",
        "Look at quotas",
    ),
    layer(
        "load-balancer:read-quota-global",
        "rule:load-balancer:global_observer or rule:load-balancer:quota-admin or rule:load-balancer:admin",
        "Look at the quotas of every project",
    ),
    layer(
        "load-balancer:write-quota",
        "rule:load-balancer:quota-admin or rule:load-balancer:admin",
        "Change quotas",
    ),
    // What there is to do.
    api!("loadbalancer:get_all", READ, "List load balancers"),
    api!("loadbalancer:get_all-global", READ_GLOBAL, "List load balancers of every project"),
    api!("loadbalancer:post", WRITE, "Create a load balancer"),
    api!("loadbalancer:post:vip_sg_ids", WRITE, "Create a load balancer with security groups for its VIP"),
    api!("loadbalancer:get_one", READ, "Show a load balancer"),
    api!("loadbalancer:get_stats", READ, "Show the statistics of a load balancer"),
    // An addition to the original's.
    api!("loadbalancer:get_operations", READ, "Show what workers did and do for a load balancer"),
    api!("loadbalancer:get_status", READ, "Show the statuses of a load balancer and what is below it"),
    api!("loadbalancer:put", WRITE, "Change a load balancer"),
    api!("loadbalancer:put:vip_sg_ids", WRITE, "Change the security groups of a VIP"),
    api!("loadbalancer:delete", WRITE, "Delete a load balancer"),
    api!("loadbalancer:put_failover", ADMIN, "Fail over a load balancer"),
    api!("listener:get_all", READ, "List listeners"),
    api!("listener:get_all-global", READ_GLOBAL, "List listeners of every project"),
    api!("listener:post", WRITE, "Create a listener"),
    api!("listener:get_one", READ, "Show a listener"),
    api!("listener:get_stats", READ, "Show the statistics of a listener"),
    api!("listener:put", WRITE, "Change a listener"),
    api!("listener:delete", WRITE, "Delete a listener"),
    api!("pool:get_all", READ, "List pools"),
    api!("pool:get_all-global", READ_GLOBAL, "List pools of every project"),
    api!("pool:post", WRITE, "Create a pool"),
    api!("pool:get_one", READ, "Show a pool"),
    api!("pool:put", WRITE, "Change a pool"),
    api!("pool:delete", WRITE, "Delete a pool"),
    api!("member:get_all", READ_OR_SERVICE, "List members of a pool"),
    api!("member:post", WRITE, "Add a member to a pool"),
    api!("member:get_one", READ, "Show a member"),
    api!("member:put", WRITE, "Change a member"),
    api!("member:delete", WRITE, "Delete a member"),
    api!("healthmonitor:get_all", READ, "List health monitors"),
    api!("healthmonitor:get_all-global", READ_GLOBAL, "List health monitors of every project"),
    api!("healthmonitor:post", WRITE, "Create a health monitor"),
    api!("healthmonitor:get_one", READ, "Show a health monitor"),
    api!("healthmonitor:put", WRITE, "Change a health monitor"),
    api!("healthmonitor:delete", WRITE, "Delete a health monitor"),
    api!("l7policy:get_all", READ, "List L7 policies"),
    api!("l7policy:get_all-global", READ_GLOBAL, "List L7 policies of every project"),
    api!("l7policy:post", WRITE, "Create an L7 policy"),
    api!("l7policy:get_one", READ, "Show an L7 policy"),
    api!("l7policy:put", WRITE, "Change an L7 policy"),
    api!("l7policy:delete", WRITE, "Delete an L7 policy"),
    api!("l7rule:get_all", READ, "List L7 rules of an L7 policy"),
    api!("l7rule:post", WRITE, "Create an L7 rule"),
    api!("l7rule:get_one", READ, "Show an L7 rule"),
    api!("l7rule:put", WRITE, "Change an L7 rule"),
    api!("l7rule:delete", WRITE, "Delete an L7 rule"),
    api!("quota:get_all", READ_QUOTA, "List quotas of projects"),
    api!("quota:get_all-global", READ_QUOTA_GLOBAL, "List quotas of every project"),
    api!("quota:get_one", READ_QUOTA, "Show the quotas of a project"),
    api!("quota:get_defaults", READ_QUOTA, "Show the quotas of projects that have none of their own"),
    api!("quota:put", WRITE_QUOTA, "Change the quotas of a project"),
    api!("quota:delete", WRITE_QUOTA, "Give a project the default quotas"),
    api!("provider:get_all", READ, "List providers"),
    api!("provider-flavor:get_all", ADMIN, "List flavor capabilities of a provider"),
    api!("provider-availability-zone:get_all", ADMIN, "List availability zone capabilities of a provider"),
    api!("flavor:get_all", READ, "List flavors"),
    api!("flavor:get_one", READ, "Show a flavor"),
    api!("flavor:post", ADMIN, "Create a flavor"),
    api!("flavor:put", ADMIN, "Change a flavor"),
    api!("flavor:delete", ADMIN, "Delete a flavor"),
    api!("flavor-profile:get_all", ADMIN, "List flavor profiles"),
    api!("flavor-profile:get_one", ADMIN, "Show a flavor profile"),
    api!("flavor-profile:post", ADMIN, "Create a flavor profile"),
    api!("flavor-profile:put", ADMIN, "Change a flavor profile"),
    api!("flavor-profile:delete", ADMIN, "Delete a flavor profile"),
    api!("availability-zone:get_all", READ, "List availability zones"),
    api!("availability-zone:get_one", READ, "Show an availability zone"),
    api!("availability-zone:post", ADMIN, "Create an availability zone"),
    api!("availability-zone:put", ADMIN, "Change an availability zone"),
    api!("availability-zone:delete", ADMIN, "Delete an availability zone"),
    api!("availability-zone-profile:get_all", ADMIN, "List availability zone profiles"),
    api!("availability-zone-profile:get_one", ADMIN, "Show an availability zone profile"),
    api!("availability-zone-profile:post", ADMIN, "Create an availability zone profile"),
    api!("availability-zone-profile:put", ADMIN, "Change an availability zone profile"),
    api!("availability-zone-profile:delete", ADMIN, "Delete an availability zone profile"),
    api!("amphora:get_all", ADMIN, "List amphorae"),
    api!("amphora:get_one", ADMIN, "Show an amphora"),
    api!("amphora:delete", ADMIN, "Delete an amphora"),
    api!("amphora:put_config", ADMIN, "Tell an amphora its configuration again"),
    api!("amphora:put_failover", ADMIN, "Fail over an amphora"),
    api!("amphora:get_stats", ADMIN, "Show the statistics of an amphora"),
];
