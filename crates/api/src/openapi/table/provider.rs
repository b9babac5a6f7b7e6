//! Providers and what they know; all of them a name and a description.

use super::*;
use crate::openapi::attribute::{Attribute, Filters, attributes};

const ATTRIBUTES: &[Attribute] = attributes! {
    "name", Text(0), No No No Yes, 0, "What it is called by.";
    "description", Text(0), No No No Yes, 0, "For people.";
};

const PLAIN: Resource = Resource {
    schema: "Provider",
    noun: "provider",
    plural: "providers",
    page: "provider",
    root: "",
    list: "providers",
    links: None,
    filters: Filters::Words,
    one_of: &[],
    about: "Who implements load balancers. There is one, `amphora`; `octavia` is its alias. Its capabilities are the \
            keys it knows in the data of flavor profiles and of availability zone profiles.",
    examples: &[
        ("Which there are", "openstack loadbalancer provider list"),
        ("What flavors can say", "openstack loadbalancer provider capability list --flavor amphora"),
        (
            "With curl",
            r#"curl -H "X-Auth-Token: $TOKEN" $URL/v2/lbaas/providers/amphora/flavor_capabilities"#,
        ),
    ],
    attributes: ATTRIBUTES,
};

pub(in crate::openapi) const PROVIDER: Resource = PLAIN;
pub(in crate::openapi) const FLAVOR_CAPABILITY: Resource = Resource {
    schema: "FlavorCapability",
    noun: "flavor capability",
    plural: "flavor capabilities",
    list: "flavor_capabilities",
    ..PLAIN
};
pub(in crate::openapi) const AVAILABILITY_ZONE_CAPABILITY: Resource = Resource {
    schema: "AvailabilityZoneCapability",
    noun: "availability zone capability",
    plural: "availability zone capabilities",
    list: "availability_zone_capabilities",
    ..PLAIN
};
