use octavia_model::{HealthMonitorType, HttpMethod};

use super::*;
use crate::body::{EXPECTED_CODES, HOST_NAME};
use crate::openapi::attribute::{Filters, attributes};

/// A URL's path, which no single expression of the decoder says.
const URL_PATH: &str = r"^/([^/\s].*)?$";

pub(in crate::openapi) const HEALTH_MONITOR: Resource = Resource {
    schema: "HealthMonitor",
    noun: "health monitor",
    plural: "health monitors",
    page: "health_monitor",
    root: "healthmonitor",
    list: "healthmonitors",
    links: Some("healthmonitors_links"),
    filters: Filters::Stored(octavia_store::Resource::HealthMonitor),
    one_of: &[],
    about: "How the members of a pool are checked. A pool has at most one. `http_method`, `url_path` and \
            `expected_codes` are for the types HTTP and HTTPS only.",
    examples: &[
        (
            "Make one",
            "openstack loadbalancer healthmonitor create --type HTTP --delay 5 --timeout 2 --max-retries 3 --url-path /health web",
        ),
        (
            "With curl",
            r#"curl -X POST -H "X-Auth-Token: $TOKEN" -H "Content-Type: application/json" $URL/v2/lbaas/healthmonitors -d '
{"healthmonitor": {"pool_id": "'$POOL'", "type": "TCP", "delay": 5, "timeout": 2, "max_retries": 3}}'"#,
        ),
    ],
    attributes: attributes! {
        "id", Uuid, No No No Yes, 0, ID;
        "name", Text(TEXT), May May May Yes, 0, NAME;
        "admin_state_up", Flag, May May May Yes, 0, ADMIN_STATE_UP;
        "pool_id", Uuid, Must No No No, 0, "The pool whose members it checks.";
        "pools", Refs, No No No Flat, 0, "The pool whose members it checks, as a list of one.";
        "type", Word(HealthMonitorType::WORDS), Must Must No Yes, 0, "What a check is.";
        "delay", Integer(0, MOST), Must Must Set Yes, 0, "Seconds between two checks of a member.";
        "timeout", Integer(0, MOST), Must Must Set Yes, 0, "Seconds a check may take.";
        "max_retries", Integer(1, 10), Must Must Set Yes, 0, "Good checks in a row that make a member `ONLINE`.";
        "max_retries_down", Integer(1, 10), Set Set May Yes, 0, "Bad checks in a row that make a member `ERROR`.";
        "http_method", Word(HttpMethod::WORDS), May May May Null, 0, "The method a check asks with.";
        "url_path", Pattern(TEXT, URL_PATH), May May May Null, 0, "The path a check asks for, of characters that may stand in a URL.";
        "expected_codes", Pattern(64, EXPECTED_CODES), May May May Null, 0, "Statuses that are good: `200`, `200,202` or `200-204`.";
        "http_version", HttpVersion, May May May Null, 10, "The version of HTTP a check speaks.";
        "domain_name", Pattern(TEXT, HOST_NAME), May May May Null, 10, "The `Host` a check asks for; needs `http_version` 1.1. At most 253 characters, without a dot at the end.";
        "project_id", Text(PROJECT_MAX), May No No Yes, 0, PROJECT;
        "tenant_id", Text(PROJECT_MAX), May No No Yes, 0, TENANT;
        "provisioning_status", Word(STATUSES), No No No Yes, 0, PROVISIONING;
        "operating_status", Word(OPERATING_STATUSES), No No No Yes, 0, OPERATING;
        "status_reason", Text(0), No No No Some, 0, REASON;
        "tags", Texts(TEXT), May May May Yes, 5, TAGS;
        "created_at", Time, No No No Yes, 0, CREATED;
        "updated_at", Time, No No No Null, 0, UPDATED;
    },
};
