//! Bodies that would be accepted, which cases vary.

use serde_json::{Value, json};

use super::Case;
use crate::world::merge;

impl Case<'_> {
    /// The body with what is laid over, names not expanded.
    pub(crate) fn sent(&self) -> Option<String> {
        let Some(extra) = self.body?.strip_prefix("+ ") else { return self.body.map(str::to_owned) };
        let extra: Value = serde_json::from_str(extra).unwrap_or_else(|_| panic!("not JSON: {extra}"));
        let (root, mut good) = good_body(self.method, self.path);
        merge(&mut good, &extra);
        Some(json!({ root: good }).to_string())
    }
}

/// The root key of a body at this path, and what is below it: everything a create has to have, nothing for an update.
pub(crate) fn good_body(method: &str, path: &str) -> (&'static str, Value) {
    let path = path.split('?').next().unwrap_or_default();
    let (root, body) = match path.split('/').collect::<Vec<_>>().as_slice() {
        ["loadbalancers", ..] => ("loadbalancer", json!({ "vip_subnet_id": "$subnet" })),
        ["listeners", ..] => {
            ("listener", json!({ "loadbalancer_id": "$lb", "protocol": "HTTP", "protocol_port": 8080 }))
        }
        ["pools"] | ["pools", _] => {
            ("pool", json!({ "loadbalancer_id": "$lb", "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN" }))
        }
        ["pools", ..] => ("member", json!({ "address": "192.0.2.7", "protocol_port": 80 })),
        ["healthmonitors", ..] => (
            "healthmonitor",
            json!({ "pool_id": "$free_pool", "type": "HTTP", "delay": 5, "timeout": 3, "max_retries": 2 }),
        ),
        ["l7policies"] | ["l7policies", _] => {
            ("l7policy", json!({ "listener_id": "$listener", "action": "REJECT" }))
        }
        ["l7policies", ..] => {
            ("rule", json!({ "type": "PATH", "compare_type": "STARTS_WITH", "value": "/api" }))
        }
        ["flavors", ..] => ("flavor", json!({ "name": "new", "flavor_profile_id": "$profile" })),
        ["flavorprofiles", ..] => {
            ("flavorprofile", json!({ "name": "new", "provider_name": "amphora", "flavor_data": "{}" }))
        }
        ["availabilityzones", ..] => {
            ("availability_zone", json!({ "name": "new", "availability_zone_profile_id": "$zone_profile" }))
        }
        ["availabilityzoneprofiles", ..] => (
            "availability_zone_profile",
            json!({ "name": "new", "provider_name": "amphora", "availability_zone_data": "{}" }),
        ),
        ["quotas", ..] => ("quota", json!({})),
        other => panic!("no good body for {other:?}"),
    };
    (root, if method == "POST" { body } else { json!({}) })
}
