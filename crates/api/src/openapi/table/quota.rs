use octavia_model::Limit;

use super::*;
use crate::openapi::attribute::{Filters, Kind, attributes};

const LIMIT: Kind = Kind::Integer(-1, Limit::MAX as i64);

pub(in crate::openapi) const QUOTA: Resource = Resource {
    schema: "Quota",
    noun: "quota",
    plural: "quotas",
    page: "quota",
    root: "quota",
    list: "quotas",
    links: Some("quotas_links"),
    filters: Filters::Project,
    one_of: &[],
    about: "How many objects of each kind a project may have: -1 = any number, null in a request = the configured \
            limit again. The list has only limits that were set, the others are null there; one project's quota has \
            all that count. `defaults` in the place of a project means the configured ones.",
    examples: &[
        ("What counts for a project", "openstack loadbalancer quota show PROJECT"),
        ("Set a limit", "openstack loadbalancer quota set --loadbalancer 10 PROJECT"),
        (
            "Back to what is configured",
            r#"curl -X DELETE -H "X-Auth-Token: $TOKEN" $URL/v2/lbaas/quotas/$PROJECT"#,
        ),
    ],
    attributes: attributes! {
        "project_id", Text(PROJECT_MAX), No No No Yes, 0, "Whose quota it is.";
        "tenant_id", Text(PROJECT_MAX), No No No Yes, 0, TENANT;
        "loadbalancer", LIMIT, No No May Null, 0, "Load balancers.";
        "load_balancer", LIMIT, No No May Null, 0, "The same as `loadbalancer`, which wins if a request has both.";
        "listener", LIMIT, No No May Null, 0, "Listeners.";
        "pool", LIMIT, No No May Null, 0, "Pools.";
        "member", LIMIT, No No May Null, 0, "Members.";
        "healthmonitor", LIMIT, No No May Null, 0, "Health monitors.";
        "health_monitor", LIMIT, No No May Null, 0, "The same as `healthmonitor`, which wins if a request has both.";
        "l7policy", LIMIT, No No May Null, 19, "L7 policies.";
        "l7rule", LIMIT, No No May Null, 19, "L7 rules.";
    },
};
