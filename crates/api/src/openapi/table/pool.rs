use octavia_model::{Algorithm, PoolProtocol, SessionPersistenceType};

use super::*;
use crate::body::COOKIE_NAME;
use crate::openapi::attribute::{Attribute, Filters, attributes};
use crate::request::{ALPN_IDS, CIPHERS_MAX, TLS_VERSIONS as VERSIONS};

pub(in crate::openapi) const POOL: Resource = Resource {
    schema: "Pool",
    noun: "pool",
    plural: "pools",
    page: "pool",
    root: "pool",
    list: "pools",
    links: Some("pools_links"),
    filters: Filters::Stored(octavia_store::Resource::Pool),
    one_of: &["loadbalancer_id", "listener_id"],
    about: "Members that serve the same thing, and how they are chosen. A create needs `loadbalancer_id` or \
            `listener_id`; with the latter it becomes the listener's default pool. Inside a load balancer that is made \
            whole, a pool with nothing but a `name` stands for the one of that name which the same request makes; any \
            other needs `protocol` and `lb_algorithm`.",
    examples: &[
        (
            "Make one",
            "openstack loadbalancer pool create --name web --protocol HTTP --lb-algorithm ROUND_ROBIN --listener http",
        ),
        (
            "With curl",
            r#"curl -X POST -H "X-Auth-Token: $TOKEN" -H "Content-Type: application/json" $URL/v2/lbaas/pools -d '
{"pool": {"loadbalancer_id": "'$LB'", "protocol": "HTTP", "lb_algorithm": "LEAST_CONNECTIONS"}}'"#,
        ),
    ],
    attributes: attributes! {
        "id", Uuid, No No No Yes, 0, ID;
        "name", Text(TEXT), May May May Yes, 0, NAME;
        "description", Text(TEXT), May May May Yes, 0, DESCRIPTION;
        "admin_state_up", Flag, May May May Yes, 0, ADMIN_STATE_UP;
        "loadbalancer_id", Uuid, May No No No, 0, "The load balancer it is of.";
        "listener_id", Uuid, May No No No, 0, "The listener whose default pool it becomes.";
        "loadbalancers", Refs, No No No Flat, 0, "The load balancer it is of, as a list of one.";
        "listeners", Refs, No No No Yes, 0, "Listeners whose traffic can reach it.";
        "protocol", Word(PoolProtocol::WORDS), Must May No Yes, 0, "What is spoken with the members.";
        "lb_algorithm", Word(Algorithm::WORDS), Must May Set Yes, 0, "How a member is chosen.";
        "session_persistence", Object(SESSION_PERSISTENCE), May May May Null, 0, "How a client comes back to the same member; null = not at all.";
        "healthmonitor_id", Uuid, No No No FlatSome, 0, "Its health monitor; left out when there is none.";
        "healthmonitor", Child("HealthMonitor"), No May No Tree, 0, "Its health monitor.";
        "members", Children("Member"), No May No Yes, 0, "Who serves.";
        "tls_enabled", Flag, May May Set Yes, 8, "Whether TLS is spoken with the members.";
        "tls_container_ref", Text(TEXT), May May May Null, 8, "The certificate and key that members are shown, if they ask.";
        "ca_tls_container_ref", Text(TEXT), May May May Null, 8, "The authorities that members' certificates have to be of; null = members are not verified.";
        "crl_container_ref", Text(TEXT), May May May Null, 8, "What these authorities have revoked.";
        "tls_ciphers", Text(CIPHERS_MAX), May May May Null, 15, TLS_CIPHERS;
        "tls_versions", Words(VERSIONS), May May May Null, 18, TLS_VERSIONS;
        "alpn_protocols", Words(ALPN_IDS), May May May Null, 24, ALPN;
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

const SESSION_PERSISTENCE: &[Attribute] = attributes! {
    "type", Word(SessionPersistenceType::WORDS), Must Must May Yes, 0, "What a client is known by.";
    "cookie_name", Pattern(TEXT, COOKIE_NAME), May May May Null, 0, "The application's cookie, for `APP_COOKIE`.";
    "persistence_timeout", Integer(i32::MIN as i64, MOST), May May May Null, 2, "Seconds a client is remembered; UDP and SCTP only.";
    "persistence_granularity", Address, May May May Null, 2, "A netmask: clients of one network count as one; UDP and SCTP only.";
};
