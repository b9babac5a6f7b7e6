//! Schemas that belong to no one resource: errors, links, statistics, the status tree, versions.

use octavia_model::{HealthMonitorType, OperatingStatus, ProvisioningStatus};
use octavia_plan::Effect;
use serde_json::{Map, Value, json};

use super::schema::{array, reference};

/// The bodies of errors, and what has no table.
pub(super) fn schemas() -> Map<String, Value> {
    let rows = [
        ("Error", error()),
        ("AlternateError", alternate_error()),
        ("UnauthorizedError", unauthorized_error()),
        ("Reference", whole(&[("id", json!({ "type": "string", "format": "uuid" }))], "Another object.")),
        ("Link", link()),
        (
            "Statistics",
            statistics(&[], "Of all amphorae together; what was counted before a failover stays."),
        ),
        (
            "AmphoraStatistics",
            statistics(&["id", "listener_id", "loadbalancer_id"], "Of one listener on one amphora."),
        ),
        ("StatusTree", status_tree()),
        ("DryRun", dry_run()),
        ("Versions", versions()),
    ];
    rows.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect()
}

/// An object that has all of these.
fn whole(properties: &[(&str, Value)], description: &str) -> Value {
    let names: Vec<&str> = properties.iter().map(|(name, _)| *name).collect();
    let properties: Map<String, Value> =
        properties.iter().map(|(name, schema)| ((*name).to_owned(), schema.clone())).collect();
    json!({ "type": "object", "description": description, "properties": properties, "required": names })
}

fn error() -> Value {
    whole(
        &[
            (
                "faultcode",
                json!({ "type": "string", "enum": ["Client", "Server"], "description": "Whose fault it is." }),
            ),
            ("faultstring", json!({ "type": "string", "description": "What is wrong." })),
            ("debuginfo", json!({ "type": "null" })),
        ],
        "Most errors.",
    )
}

fn alternate_error() -> Value {
    whole(
        &[
            ("code", json!({ "type": "integer", "description": "The status." })),
            ("title", json!({ "type": "string" })),
            ("description", json!({ "type": "string", "description": "What is wrong." })),
        ],
        "Errors that are found before or beside the resource: paths, methods, `Accept`, the syntax of `limit` and \
         sort keys, and the absence of the pool or L7 policy in whose place the path leads on.",
    )
}

fn unauthorized_error() -> Value {
    let error = whole(
        &[
            ("code", json!({ "type": "integer", "const": 401 })),
            ("title", json!({ "type": "string" })),
            ("message", json!({ "type": "string" })),
        ],
        "What is wrong.",
    );
    whole(&[("error", error)], "The token is missing or not valid.")
}

fn link() -> Value {
    whole(
        &[
            ("href", json!({ "type": "string", "description": "The URL of the page." })),
            ("rel", json!({ "type": "string", "enum": ["next", "previous"] })),
        ],
        "Another page of a list.",
    )
}

fn statistics(ids: &[&str], description: &str) -> Value {
    let count = |text: &str| json!({ "type": "integer", "minimum": 0, "description": text });
    let mut properties = vec![
        ("bytes_in", count("Bytes from clients.")),
        ("bytes_out", count("Bytes to clients.")),
        ("active_connections", count("Connections that are open now.")),
        ("total_connections", count("Connections there have been.")),
        ("request_errors", count("Requests that could not be read or sent on.")),
    ];
    properties.extend(ids.iter().map(|id| (*id, json!({ "type": "string", "format": "uuid" }))));
    whole(&properties, description)
}

fn status_tree() -> Value {
    let member = node(
        &[("address", json!({ "type": "string" })), ("protocol_port", json!({ "type": "integer" }))],
        "Who serves.",
    );
    let monitor = node(
        &[("type", json!({ "type": "string", "enum": HealthMonitorType::WORDS }))],
        "How members are checked.",
    );
    let pool = node(
        &[("health_monitor", json!({ "anyOf": [monitor, { "type": "null" }] })), ("members", array(member))],
        "A pool that the listener's traffic can reach.",
    );
    let listener = node(&[("pools", array(pool))], "What the load balancer listens on.");
    let root = node(&[("listeners", array(listener))], "The root.");
    whole(
        &[("loadbalancer", root)],
        "A load balancer and what is below it, with their statuses. Pools that no listener uses are not in it.",
    )
}

/// What every node of the status tree has, and more. The reason is there only if there is one.
fn node(more: &[(&str, Value)], description: &str) -> Value {
    let mut properties = vec![
        ("id", json!({ "type": "string", "format": "uuid" })),
        ("name", json!({ "type": "string" })),
        ("provisioning_status", json!({ "type": "string", "enum": ProvisioningStatus::WORDS })),
        ("operating_status", json!({ "type": "string", "enum": OperatingStatus::WORDS })),
    ];
    properties.extend(more.iter().map(|(name, schema)| (*name, schema.clone())));
    let mut node = whole(&properties, description);
    node["properties"]["status_reason"] =
        json!({ "type": "string", "description": "Why a status is not good, and what helps." });
    node
}

fn dry_run() -> Value {
    let text = || json!({ "type": "string" });
    let id = json!({ "type": ["string", "null"], "description": "`new-…` = it would get one; null = it has none." });
    let mut attribute = json!({ "type": "object", "properties": { "before": {}, "after": {} } });
    attribute["description"] = json!("Absent = nothing; null = known only when it is made.");
    let change = whole(
        &[
            ("type", text()),
            ("id", id),
            ("change", json!({ "type": "string", "enum": ["created", "updated", "deleted"] })),
            ("attributes", json!({ "type": "object", "additionalProperties": attribute })),
        ],
        "What would become of one object.",
    );
    let effect = whole(
        &[
            ("effect", json!({ "type": "string", "enum": Effect::WORDS })),
            ("type", json!({ "type": "string", "enum": ["listener", "member", "amphora"] })),
            ("id", text()),
            ("text", text()),
        ],
        "What connections would see.",
    );
    let step = whole(
        &[
            ("kind", json!({ "type": "string", "description": "As in the list of operations." })),
            ("amphora_id", json!({ "type": ["string", "null"] })),
            ("text", text()),
        ],
        "What a worker would do if nothing goes wrong.",
    );
    let flag = |text: &str| json!({ "type": "boolean", "description": text });
    whole(
        &[
            ("status", json!({ "type": "integer", "description": "What the write would be answered with." })),
            ("changes", array(change)),
            ("cuts_connections", flag("Whether open connections would end in the middle.")),
            (
                "refuses_connections",
                flag(
                    "Whether clients could not connect any more, or for a time, or nobody would serve them.",
                ),
            ),
            ("traffic", array(effect)),
            ("steps", array(step)),
        ],
        "What a write would do.",
    )
}

fn versions() -> Value {
    let link = whole(
        &[("href", json!({ "type": "string" })), ("rel", json!({ "type": "string", "const": "self" }))],
        "Where the version is.",
    );
    let version = whole(
        &[
            ("id", json!({ "type": "string", "pattern": r"^v2\.\d+$" })),
            ("status", json!({ "type": "string", "enum": ["SUPPORTED", "CURRENT"] })),
            ("updated", json!({ "type": "string", "format": "date-time" })),
            ("links", array(link)),
        ],
        "A version of the API.",
    );
    whole(&[("versions", array(version))], "The versions of the API; the newest is `CURRENT`.")
}

/// `{"<key>": schema}`
pub(super) fn under(key: &str, schema: Value) -> Value {
    json!({ "type": "object", "properties": { key: schema }, "required": [key] })
}

/// Either of two shapes of an error.
pub(super) fn either(one: &str, other: &str) -> Value {
    json!({ "anyOf": [reference(one), reference(other)] })
}
