//! L7 policies and their rules.

use super::*;
use crate::openapi::attribute::{Filters, attributes};

const URL: &str = r"^[Hh][Tt][Tt][Pp][Ss]?://\S+$";
const ONE_LINE: &str = r"^[^\r\n]*$";
const ONE_FULL_LINE: &str = r"^[^\r\n]+$";
const ACTIONS: &[&str] = &["REJECT", "REDIRECT_TO_URL", "REDIRECT_TO_POOL", "REDIRECT_PREFIX"];
const TYPES: &[&str] = &[
    "HOST_NAME",
    "PATH",
    "FILE_TYPE",
    "HEADER",
    "COOKIE",
    "SSL_CONN_HAS_CERT",
    "SSL_VERIFY_RESULT",
    "SSL_DN_FIELD",
];
const COMPARE_TYPES: &[&str] = &["REGEX", "STARTS_WITH", "ENDS_WITH", "CONTAINS", "EQUAL_TO"];
const TAGS_CLEARED: &str = "Free words to find it by; an update replaces them all, and null clears them.";

pub(in crate::openapi) const L7_POLICY: Resource = Resource {
    schema: "L7Policy",
    noun: "L7 policy",
    plural: "L7 policies",
    page: "l7policy",
    root: "l7policy",
    list: "l7policies",
    links: Some("l7policies_links"),
    filters: Filters::Stored(octavia_store::Resource::L7Policy),
    one_of: &[],
    about: "What happens to requests of a listener for which all rules of the policy hold. Policies are looked at by \
            position; the first that holds decides. `REDIRECT_TO_POOL` needs `redirect_pool_id`, `REDIRECT_TO_URL` \
            needs `redirect_url`, `REDIRECT_PREFIX` needs `redirect_prefix`; a target alone changes the action.",
    examples: &[
        (
            "Make one",
            "openstack loadbalancer l7policy create --action REDIRECT_TO_URL --redirect-url https://example.org/ http",
        ),
        (
            "With curl",
            r#"curl -X POST -H "X-Auth-Token: $TOKEN" -H "Content-Type: application/json" $URL/v2/lbaas/l7policies -d '
{"l7policy": {"listener_id": "'$LISTENER'", "action": "REJECT"}}'"#,
        ),
    ],
    attributes: attributes! {
        "id", Uuid, No No No Yes, 0, ID;
        "name", Text(TEXT), May May May Yes, 0, NAME;
        "description", Text(TEXT), May May May Yes, 0, DESCRIPTION;
        "admin_state_up", Flag, May May May Yes, 0, ADMIN_STATE_UP;
        "listener_id", Uuid, Must No No Yes, 0, "The listener whose requests it decides over.";
        "action", Word(ACTIONS), Must Must Set Yes, 0, "What happens.";
        "redirect_pool_id", Uuid, May No May Null, 0, "The pool that serves.";
        "redirect_pool", Child("Pool"), No May No No, 0, "A pool to be made with it, or by its name one that the same request makes.";
        "redirect_url", Pattern(TEXT, URL), May May May Null, 0, "Where clients are sent.";
        "redirect_prefix", Pattern(TEXT, URL), May May May Null, 0, "What clients are sent to, with the path they asked for.";
        "redirect_http_code", OneOf(&[301, 302, 303, 307, 308]), May May May Null, 9, "The status clients are sent away with.";
        "position", Integer(1, MOST), May May May Yes, 0, "Its place among the listener's policies; one that is too large means the last.";
        "rules", Children("L7Rule"), No May No Yes, 0, "What has to hold.";
        "project_id", Text(PROJECT_MAX), May No No Yes, 0, PROJECT;
        "tenant_id", Text(PROJECT_MAX), May No No Yes, 0, TENANT;
        "provisioning_status", Word(STATUSES), No No No Yes, 0, PROVISIONING;
        "operating_status", Word(OPERATING_STATUSES), No No No Yes, 0, OPERATING;
        "status_reason", Text(0), No No No Some, 0, REASON;
        "tags", Texts(TEXT), May May May Yes, 5, TAGS_CLEARED;
        "created_at", Time, No No No Yes, 0, CREATED;
        "updated_at", Time, No No No Null, 0, UPDATED;
    },
};

pub(in crate::openapi) const L7_RULE: Resource = Resource {
    schema: "L7Rule",
    noun: "L7 rule",
    plural: "L7 rules",
    page: "l7rule",
    root: "rule",
    list: "rules",
    links: Some("rules_links"),
    filters: Filters::Stored(octavia_store::Resource::L7Rule),
    one_of: &[],
    about: "One thing that has to hold of a request, below its policy. A policy has at most 50. `key` is needed by \
            HEADER, COOKIE and SSL_DN_FIELD, and refused by SSL_CONN_HAS_CERT and SSL_VERIFY_RESULT.",
    examples: &[
        (
            "Make one",
            "openstack loadbalancer l7rule create --type PATH --compare-type STARTS_WITH --value /api POLICY",
        ),
        (
            "With curl",
            r#"curl -X POST -H "X-Auth-Token: $TOKEN" -H "Content-Type: application/json" $URL/v2/lbaas/l7policies/$POLICY/rules -d '
{"rule": {"type": "HOST_NAME", "compare_type": "EQUAL_TO", "value": "www.example.org"}}'"#,
        ),
    ],
    attributes: attributes! {
        "id", Uuid, No No No Yes, 0, ID;
        "type", Word(TYPES), Must Must Set Yes, 0, "What of the request is looked at.";
        "compare_type", Word(COMPARE_TYPES), Must Must Set Yes, 0, "How it is compared.";
        "key", Pattern(TEXT, ONE_LINE), May May May Null, 0, "The header, cookie or field that is looked at.";
        "value", Pattern(TEXT, ONE_FULL_LINE), Must Must Set Yes, 0, "What it is compared with.";
        "invert", Flag, May May May Yes, 0, "Whether the rule holds when the comparison does not.";
        "admin_state_up", Flag, May May May Yes, 0, ADMIN_STATE_UP;
        "project_id", Text(PROJECT_MAX), May No No Yes, 0, PROJECT;
        "tenant_id", Text(PROJECT_MAX), May No No Yes, 0, TENANT;
        "provisioning_status", Word(STATUSES), No No No Yes, 0, PROVISIONING;
        "operating_status", Word(OPERATING_STATUSES), No No No Yes, 0, OPERATING;
        "status_reason", Text(0), No No No Some, 0, REASON;
        "tags", Texts(TEXT), May May May Yes, 5, TAGS_CLEARED;
        "created_at", Time, No No No Yes, 0, CREATED;
        "updated_at", Time, No No No Null, 0, UPDATED;
    },
};
