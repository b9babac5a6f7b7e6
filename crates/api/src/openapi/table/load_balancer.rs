use octavia_model::VnicType;

use super::*;
use crate::openapi::attribute::{Filters, attributes};

pub(in crate::openapi) const LOAD_BALANCER: Resource = Resource {
    schema: "LoadBalancer",
    noun: "load balancer",
    plural: "load balancers",
    page: "load_balancer",
    root: "loadbalancer",
    list: "loadbalancers",
    links: Some("loadbalancers_links"),
    filters: Filters::Stored(octavia_store::Resource::LoadBalancer),
    one_of: &["vip_port_id", "vip_network_id", "vip_subnet_id"],
    about: "The root of everything: an address (the VIP) and all that is behind it. A create needs at least one of \
            `vip_port_id`, `vip_network_id` and `vip_subnet_id`; with `listeners` and `pools` it makes a whole tree in \
            one request, and answers it whole.",
    examples: &[
        ("Make one", "octavia lb create --name web --vip-subnet-id private-subnet --wait"),
        (
            "The same with the OpenStack client",
            "openstack loadbalancer create --name web --vip-subnet-id private-subnet --wait",
        ),
        ("What is wrong with it", "openstack loadbalancer status show web"),
        ("Delete it with all that is below it", "openstack loadbalancer delete --cascade web"),
        (
            "A whole tree in one request",
            r#"curl -X POST -H "X-Auth-Token: $TOKEN" -H "Content-Type: application/json" $URL/v2/lbaas/loadbalancers -d '
{"loadbalancer": {"name": "web", "vip_subnet_id": "'$SUBNET'",
  "listeners": [{"protocol": "HTTP", "protocol_port": 80, "default_pool": {"name": "web"}}],
  "pools": [{"name": "web", "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN",
    "members": [{"address": "192.0.2.10", "protocol_port": 8080}]}]}}'"#,
        ),
    ],
    attributes: attributes! {
        "id", Uuid, No No No Yes, 0, ID;
        "name", Text(TEXT), May No May Yes, 0, NAME;
        "description", Text(TEXT), May No May Yes, 0, DESCRIPTION;
        "admin_state_up", Flag, May No May Yes, 0, ADMIN_STATE_UP;
        "vip_subnet_id", Uuid, May No No Yes, 0, "The subnet its address is of.";
        "vip_network_id", Uuid, May No No Yes, 0, "The network its address is of; a subnet is chosen if none is named.";
        "vip_port_id", Uuid, May No No Yes, 0, "The port that has its address; made if none is named.";
        "vip_address", Address, May No No Yes, 0, "The address clients connect to.";
        "vip_qos_policy_id", Uuid, May No May Null, 0, "The QoS policy of its port.";
        "vip_sg_ids", Uuids, May No May Yes, 29, "Security groups of its port; an update replaces them all.";
        "vip_vnic_type", Word(VnicType::WORDS), No No No Yes, 28, "What its port is made of; the flavor decides.";
        "additional_vips", Objects(ADDITIONAL_VIP), May No No Yes, 26, "More addresses, of other subnets of the same network.";
        "provider", Text(64), May No No Yes, 0, "Who implements it; shown by the name it was asked for.";
        "flavor_id", Uuid, Set No No Null, 6, "The kind of load balancer, out of those that operators offer.";
        "availability_zone", Text(TEXT), Set No No Null, 14, "The place, out of those that operators offer.";
        "project_id", Text(PROJECT_MAX), May No No Yes, 0, "The project it belongs to; the token's if none is named.";
        "tenant_id", Text(PROJECT_MAX), May No No Yes, 0, "The older name of `project_id`; wins if a request has both.";
        "listeners", Children("Listener"), May No No Yes, 0, "What it listens on.";
        "pools", Children("Pool"), May No No Yes, 0, "Where its traffic goes.";
        "provisioning_status", Word(STATUSES), No No No Yes, 0, PROVISIONING;
        "operating_status", Word(OPERATING_STATUSES), No No No Yes, 0, OPERATING;
        "status_reason", Text(0), No No No Some, 0, REASON;
        "tags", Texts(TEXT), May No May Yes, 5, TAGS;
        "created_at", Time, No No No Yes, 0, CREATED;
        "updated_at", Time, No No No Null, 0, UPDATED;
    },
};

const ADDITIONAL_VIP: &[super::super::attribute::Attribute] = attributes! {
    "subnet_id", Uuid, Must No No Yes, 26, "The subnet the address is of.";
    "ip_address", Address, May No No Yes, 26, "The address; any free one if none is named.";
    "port_id", Uuid, May No No Yes, 26, "The port that has it: the VIP's; what a request says is not used.";
};
