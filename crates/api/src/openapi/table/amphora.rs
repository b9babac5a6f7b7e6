use octavia_model::{AmphoraRole, AmphoraStatus, VrrpState};

use super::*;
use crate::openapi::attribute::{Filters, attributes};

pub(in crate::openapi) const AMPHORA: Resource = Resource {
    schema: "Amphora",
    noun: "amphora",
    plural: "amphorae",
    page: "amphora",
    root: "amphora",
    list: "amphorae",
    links: Some("amphorae_links"),
    filters: Filters::Stored(octavia_store::Resource::Amphora),
    one_of: &[],
    about: "The machine or process pair that carries the traffic of one load balancer. For administrators.",
    examples: &[
        ("Those of a load balancer", "openstack loadbalancer amphora list --loadbalancer web"),
        ("With curl", r#"curl -H "X-Auth-Token: $TOKEN" $URL/v2/octavia/amphorae"#),
    ],
    attributes: attributes! {
        "id", Uuid, No No No Yes, 0, ID;
        "loadbalancer_id", Uuid, No No No Null, 0, "The load balancer whose traffic it carries.";
        "compute_id", Text(0), No No No Null, 0, "What the compute service calls it.";
        "lb_network_ip", Address, No No No Null, 0, "Where controllers reach its agent.";
        "vrrp_ip", Address, No No No Null, 0, "Its own address on the VIP's network.";
        "ha_ip", Address, No No No Null, 0, "The address clients connect to.";
        "vrrp_port_id", Uuid, No No No Null, 0, "The port that has its own address.";
        "ha_port_id", Uuid, No No No Null, 0, "The port that has the VIP.";
        "cert_expiration", Time, No No No Null, 0, "When the certificate of its agent ends.";
        "cert_busy", Flag, No No No Yes, 0, "Always false: certificates are renewed without locking it.";
        "role", Word(AmphoraRole::WORDS), No No No Null, 0, "Its part in a pair.";
        "status", Word(AmphoraStatus::WORDS), No No No Yes, 0, "How far it has got.";
        "vrrp_interface", Text(0), No No No Null, 0, "The interface that VRRP is spoken on.";
        "vrrp_id", Integer(0, MOST), No No No Null, 0, "The virtual router it is of.";
        "vrrp_priority", Integer(0, MOST), No No No Null, 0, "The larger takes the VIP.";
        "vrrp_state", Word(VrrpState::WORDS), No No No Null, 0, "Whether it has the VIP now, as it says: `MASTER` has it, `BACKUP` waits, `FAULT` could not serve. Not in the original.";
        "cached_zone", Text(0), No No No Null, 0, "The compute service's availability zone it is in.";
        "image_id", Uuid, No No No Null, 1, "The image it was started from.";
        "compute_flavor", Text(0), No No No Null, 3, "The compute flavor it has.";
        "created_at", Time, No No No Yes, 0, CREATED;
        "updated_at", Time, No No No Null, 0, UPDATED;
    },
};
