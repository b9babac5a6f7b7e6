//! Flavors, availability zones and their profiles.

use super::*;
use crate::openapi::attribute::{Filters, attributes};
use crate::request::profile::DATA_MAX;

const ENABLED: &str = "Whether new load balancers may choose it.";
const PROVIDER_NAME: &str = "The provider whose words the data is in.";

pub(in crate::openapi) const FLAVOR: Resource = Resource {
    schema: "Flavor",
    noun: "flavor",
    plural: "flavors",
    page: "flavor",
    root: "flavor",
    list: "flavors",
    links: Some("flavors_links"),
    filters: Filters::Stored(octavia_store::Resource::Flavor),
    one_of: &[],
    about: "A kind of load balancer that operators offer and users choose when they create one. It cannot be deleted \
            while a load balancer has it.",
    examples: &[
        ("Make one", "openstack loadbalancer flavor create --name single --flavorprofile single --enable"),
        ("With curl", r#"curl -H "X-Auth-Token: $TOKEN" $URL/v2/lbaas/flavors"#),
    ],
    attributes: attributes! {
        "id", Uuid, No No No Yes, 6, ID;
        "name", Text(TEXT), Must No May Yes, 6, "For people; unique.";
        "description", Text(TEXT), May No May Yes, 6, DESCRIPTION;
        "enabled", Flag, Set No Set Yes, 6, ENABLED;
        "flavor_profile_id", Uuid, Must No No Yes, 6, "What it means to a provider.";
    },
};

pub(in crate::openapi) const FLAVOR_PROFILE: Resource = Resource {
    schema: "FlavorProfile",
    noun: "flavor profile",
    plural: "flavor profiles",
    page: "flavor_profile",
    root: "flavorprofile",
    list: "flavorprofiles",
    links: Some("flavorprofile_links"),
    filters: Filters::Stored(octavia_store::Resource::FlavorProfile),
    one_of: &[],
    about: "What a flavor means to a provider. While a flavor has it, only its name may change.",
    examples: &[
        (
            "Make one",
            r#"openstack loadbalancer flavorprofile create --name single --provider amphora --flavor-data '{"loadbalancer_topology": "SINGLE"}'"#,
        ),
        (
            "With curl",
            r#"curl -X POST -H "X-Auth-Token: $TOKEN" -H "Content-Type: application/json" $URL/v2/lbaas/flavorprofiles -d '
{"flavorprofile": {"name": "single", "provider_name": "amphora", "flavor_data": "{\"loadbalancer_topology\": \"SINGLE\"}"}}'"#,
        ),
    ],
    attributes: attributes! {
        "id", Uuid, No No No Yes, 6, ID;
        "name", Text(TEXT), Must No Set Yes, 6, NAME;
        "provider_name", Text(TEXT), Must No Set Yes, 6, PROVIDER_NAME;
        "flavor_data", Text(DATA_MAX), Must No Set Yes, 6, "A JSON object, as a text; its keys are the provider's flavor capabilities.";
    },
};

pub(in crate::openapi) const AVAILABILITY_ZONE: Resource = Resource {
    schema: "AvailabilityZone",
    noun: "availability zone",
    plural: "availability zones",
    page: "availability_zone",
    root: "availability_zone",
    list: "availability_zones",
    links: Some("availability_zones_links"),
    filters: Filters::Stored(octavia_store::Resource::AvailabilityZone),
    one_of: &[],
    about: "A place for load balancers that operators offer; called by its name. It cannot be deleted while a load \
            balancer has it.",
    examples: &[
        (
            "Make one",
            "openstack loadbalancer availabilityzone create --name east --availabilityzoneprofile east --enable",
        ),
        ("With curl", r#"curl -H "X-Auth-Token: $TOKEN" $URL/v2/lbaas/availabilityzones/east"#),
    ],
    attributes: attributes! {
        "name", Pattern(TEXT, "^."), Must No No Yes, 14, "Unique; what it is called by.";
        "description", Text(TEXT), May No May Yes, 14, DESCRIPTION;
        "enabled", Flag, Set No Set Yes, 14, ENABLED;
        "availability_zone_profile_id", Uuid, Must No No Yes, 14, "What it means to a provider.";
    },
};

pub(in crate::openapi) const AVAILABILITY_ZONE_PROFILE: Resource = Resource {
    schema: "AvailabilityZoneProfile",
    noun: "availability zone profile",
    plural: "availability zone profiles",
    page: "availability_zone_profile",
    root: "availability_zone_profile",
    list: "availability_zone_profiles",
    links: Some("availability_zone_profile_links"),
    filters: Filters::Stored(octavia_store::Resource::AvailabilityZoneProfile),
    one_of: &[],
    about: "What an availability zone means to a provider. While a zone has it, only its name may change.",
    examples: &[
        (
            "Make one",
            r#"openstack loadbalancer availabilityzoneprofile create --name east --provider amphora --availability-zone-data '{"valid_vip_networks": ["NETWORK"]}'"#,
        ),
        ("With curl", r#"curl -H "X-Auth-Token: $TOKEN" $URL/v2/lbaas/availabilityzoneprofiles"#),
    ],
    attributes: attributes! {
        "id", Uuid, No No No Yes, 14, ID;
        "name", Text(TEXT), Must No Set Yes, 14, NAME;
        "provider_name", Text(TEXT), Must No Set Yes, 14, PROVIDER_NAME;
        "availability_zone_data", Text(DATA_MAX), Must No Set Yes, 14, "A JSON object, as a text; its keys are the provider's availability zone capabilities.";
    },
};
