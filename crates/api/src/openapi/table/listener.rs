use octavia_model::{ClientAuthentication, ListenerProtocol, Timeouts};

use super::*;
use crate::openapi::attribute::{Filters, attributes};
use crate::request::{ALPN_IDS, CIPHERS_MAX, TLS_VERSIONS as VERSIONS};

const TIMEOUT_MAX: i64 = Timeouts::MAX as i64;

pub(in crate::openapi) const LISTENER: Resource = Resource {
    schema: "Listener",
    noun: "listener",
    plural: "listeners",
    page: "listener",
    root: "listener",
    list: "listeners",
    links: Some("listeners_links"),
    filters: Filters::Stored(octavia_store::Resource::Listener),
    one_of: &[],
    about: "A port of the VIP and its protocol. Two listeners of a load balancer may share a port only if one of them \
            is UDP or SCTP.",
    examples: &[
        (
            "Make one",
            "openstack loadbalancer listener create --name http --protocol HTTP --protocol-port 80 web",
        ),
        ("What passes through it", "openstack loadbalancer listener stats show http"),
        (
            "With curl",
            r#"curl -X POST -H "X-Auth-Token: $TOKEN" -H "Content-Type: application/json" $URL/v2/lbaas/listeners -d '
{"listener": {"loadbalancer_id": "'$LB'", "protocol": "HTTP", "protocol_port": 80}}'"#,
        ),
    ],
    attributes: attributes! {
        "id", Uuid, No No No Yes, 0, ID;
        "name", Text(TEXT), May May May Yes, 0, NAME;
        "description", Text(TEXT), May May May Yes, 0, DESCRIPTION;
        "admin_state_up", Flag, May May May Yes, 0, ADMIN_STATE_UP;
        "loadbalancer_id", Uuid, Must No No No, 0, "The load balancer it is of.";
        "loadbalancers", Refs, No No No Flat, 0, "The load balancer it is of, as a list of one.";
        "protocol", Word(ListenerProtocol::WORDS), Must Must No Yes, 0, "What is spoken on the port.";
        "protocol_port", Integer(PORT.0, PORT.1), Must Must No Yes, 0, "The port.";
        "connection_limit", Integer(-1, MOST), May May May Null, 0, "Connections at a time; -1 = as many as there are.";
        "default_pool_id", Uuid, May May May Null, 0, "Where traffic goes that no L7 policy sends elsewhere; null detaches it.";
        "default_pool", Child("Pool"), No May No No, 0, "A pool to be made with it, or by its name one that the same request makes.";
        "l7policies", Children("L7Policy"), No May No Yes, 0, "What is decided over requests, by position.";
        "insert_headers", Map(TEXT), May May May Yes, 0, "Headers that requests get on their way, such as `X-Forwarded-For`, each with the text `true` or `false`.";
        "default_tls_container_ref", Text(TEXT), May May May Null, 0, "The certificate and key it terminates TLS with.";
        "sni_container_refs", Texts(128), May May May Yes, 0, "More certificates with keys, chosen by the name a client asks for.";
        "client_ca_tls_container_ref", Text(TEXT), May May May Null, 8, "The authorities that clients' certificates may be of.";
        "client_authentication", Word(ClientAuthentication::WORDS), Set Set May Yes, 8, "Whether clients show a certificate.";
        "client_crl_container_ref", Text(TEXT), May May May Null, 8, "Certificates of clients that are revoked.";
        "timeout_client_data", Integer(0, TIMEOUT_MAX), May May May Yes, 1, "Milliseconds a client may be silent.";
        "timeout_member_connect", Integer(0, TIMEOUT_MAX), May May May Yes, 1, "Milliseconds a connection to a member may take.";
        "timeout_member_data", Integer(0, TIMEOUT_MAX), May May May Yes, 1, "Milliseconds a member may be silent.";
        "timeout_tcp_inspect", Integer(0, TIMEOUT_MAX), May May May Yes, 1, "Milliseconds to wait for more content before it is looked at.";
        "allowed_cidrs", Cidrs, May May May Null, 12, "Where clients may come from; null = from anywhere. Host bits are cleared.";
        "tls_ciphers", Text(CIPHERS_MAX), May May May Null, 15, TLS_CIPHERS;
        "tls_versions", Words(VERSIONS), May May May Null, 17, TLS_VERSIONS;
        "alpn_protocols", Words(ALPN_IDS), May May May Null, 20, ALPN;
        "hsts_max_age", Integer(0, MOST), May May May Null, 27, "Seconds of HTTP Strict Transport Security; null = none.";
        "hsts_include_subdomains", Flag, May May May Yes, 27, "Whether HSTS is for subdomains too.";
        "hsts_preload", Flag, May May May Yes, 27, "Whether browsers may know of HSTS beforehand.";
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
