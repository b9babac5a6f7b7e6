use octavia_model::VnicType;

use super::*;
use crate::openapi::attribute::{Filters, attributes};

pub(in crate::openapi) const MEMBER: Resource = Resource {
    schema: "Member",
    noun: "member",
    plural: "members",
    page: "member",
    root: "member",
    list: "members",
    links: Some("members_links"),
    filters: Filters::Stored(octavia_store::Resource::Member),
    one_of: &[],
    about: "One address and port that serves, below its pool. A pool has each address and port once. A PUT on the \
            collection replaces all members of the pool: what is new is made, what is there is changed, what is \
            missing is deleted, unless `additive_only` is true.",
    examples: &[
        ("Make one", "openstack loadbalancer member create --address 192.0.2.10 --protocol-port 8080 web"),
        (
            "Let it finish what is open and get nothing new",
            "openstack loadbalancer member set --weight 0 web MEMBER",
        ),
        (
            "Replace all of them",
            r#"curl -X PUT -H "X-Auth-Token: $TOKEN" -H "Content-Type: application/json" $URL/v2/lbaas/pools/$POOL/members -d '
{"members": [{"address": "192.0.2.10", "protocol_port": 8080}, {"address": "192.0.2.11", "protocol_port": 8080, "weight": 3}]}'"#,
        ),
    ],
    attributes: attributes! {
        "id", Uuid, No No No Yes, 0, ID;
        "name", Text(TEXT), May May May Yes, 0, NAME;
        "admin_state_up", Flag, May May May Yes, 0, "False = maintenance: it gets nothing; null means false.";
        "address", Address, Must Must No Yes, 0, "Where it serves; shown as it was typed.";
        "protocol_port", Integer(PORT.0, PORT.1), Must Must No Yes, 0, "Where it serves.";
        "weight", Integer(0, 256), May May May Null, 0, "Its share beside the other members' weights; 0 = drain.";
        "backup", Flag, Set Set May Yes, 1, "Whether it serves only when no other member can.";
        "subnet_id", Uuid, May May No Null, 0, "The subnet it is reached through.";
        "monitor_address", Address, May May May Null, 0, "Where it is checked, if not where it serves.";
        "monitor_port", Integer(PORT.0, PORT.1), May May May Null, 0, "Where it is checked, if not where it serves.";
        "request_sriov", Flag, May May No No, 30, "Whether it is to be reached through an SR-IOV port; the flavor must allow it.";
        "vnic_type", Word(VnicType::WORDS), No No No Yes, 30, "What the port is made of through which it is reached.";
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
