//! What the amphora provider reads in flavor data and availability zone data (`reference/api.md` §9.4, §9.5).
//!
//! A profile may hold whatever the provider's schema knows, so that an operator can prepare what a later version does.
//! A load balancer is made only of what this version does: the rest is refused then, never ignored.

use octavia_model::{NetworkId, Topology};
use octavia_store::ProfileChange;
use serde_json::{Map, Value};

use crate::body::{Sent, repr};
use crate::fault::Fault;
use crate::options::ApiOptions;
use crate::request::profile::{ProfileBody, ProfileKind};

/// One key of the provider's data.
#[derive(Debug)]
pub(crate) struct Capability {
    pub(crate) name: &'static str,
    /// Clients compare that of `loadbalancer_topology` and that of `compute_zone` with these very texts.
    pub(crate) description: &'static str,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Text,
    Flag,
    Words(&'static [&'static str]),
    Texts,
}

const FLAVOR: &[Capability] = &[
    Capability {
        name: "loadbalancer_topology",
        description: "The load balancer topology. One of: SINGLE - One amphora per load balancer. ACTIVE_STANDBY - Two amphora per load balancer.",
        kind: Kind::Words(&["ACTIVE_STANDBY", "SINGLE"]),
    },
    Capability {
        name: "compute_flavor",
        description: "The compute flavor of amphorae. Not available yet.",
        kind: Kind::Text,
    },
    Capability {
        name: "amp_image_tag",
        description: "The tag of the image amphorae are started from. Not available yet.",
        kind: Kind::Text,
    },
    Capability {
        name: "sriov_vip",
        description: "Whether the port of the VIP is an SR-IOV one. Only false is available yet.",
        kind: Kind::Flag,
    },
    Capability {
        name: "allow_member_sriov",
        description: "Whether members may have SR-IOV ports. Only false is available yet.",
        kind: Kind::Flag,
    },
];

const AVAILABILITY_ZONE: &[Capability] = &[
    Capability { name: "compute_zone", description: "The compute availability zone.", kind: Kind::Text },
    Capability {
        name: "volume_zone",
        description: "The volume availability zone. Not available yet.",
        kind: Kind::Text,
    },
    Capability {
        name: "management_network",
        description: "The id of the network controllers reach amphorae by. Not available yet.",
        kind: Kind::Text,
    },
    Capability {
        name: "valid_vip_networks",
        description: "A list of the ids of the networks VIPs may be on.",
        kind: Kind::Texts,
    },
];

/// What the provider knows in data of this kind.
pub(crate) const fn capabilities(kind: ProfileKind) -> &'static [Capability] {
    match kind {
        ProfileKind::Flavor => FLAVOR,
        ProfileKind::AvailabilityZone => AVAILABILITY_ZONE,
    }
}

pub(crate) fn check_provider(provider: &str, options: &ApiOptions) -> Result<(), Fault> {
    if options.enabled_providers.iter().any(|(name, _)| name == provider) {
        Ok(())
    } else {
        Err(Fault::ProviderNotEnabled(provider.to_owned()))
    }
}

/// What a new profile holds: name, provider, data.
pub(crate) fn create(
    kind: ProfileKind,
    body: ProfileBody,
    options: &ApiOptions,
) -> Result<(String, String, String), Fault> {
    let (provider, data) = (body.provider_name.or(String::new()), body.data.or(String::new()));
    let parsed = parse(kind.data_key(), &data)?;
    check_provider(&provider, options)?;
    check(kind, &provider, &parsed)?;
    Ok((body.name.or(String::new()), provider, data))
}

/// What an update makes of a profile of this provider and data.
pub(crate) fn update(
    kind: ProfileKind,
    body: ProfileBody,
    (stored_provider, stored_data): (&str, &str),
    options: &ApiOptions,
) -> Result<ProfileChange, Fault> {
    let data_key = kind.data_key();
    let sent = [("name", &body.name), ("provider_name", &body.provider_name), (data_key, &body.data)];
    if let Some((option, _)) = sent.into_iter().find(|(_, value)| value.is_null()) {
        return Err(invalid("None", option));
    }
    if body.provider_name.is_sent() || body.data.is_sent() {
        // The original names this attribute for both kinds.
        let parsed = parse("flavor_data", body.data.get().map_or(stored_data, String::as_str))?;
        let provider = body.provider_name.get().map_or(stored_provider, String::as_str);
        check_provider(provider, options)?;
        check(kind, provider, &parsed)?;
    }
    let value = Sent::value;
    Ok(ProfileChange {
        name: value(body.name),
        provider_name: value(body.provider_name),
        data: value(body.data),
    })
}

fn invalid(value: &str, option: &str) -> Fault {
    Fault::InvalidOption { value: value.to_owned(), option: option.to_owned() }
}

fn parse(option: &str, text: &str) -> Result<Value, Fault> {
    serde_json::from_str(text).map_err(|_| invalid(text, option))
}

fn unsupported(provider: &str, message: String) -> Fault {
    Fault::UnsupportedOption { provider: provider.to_owned(), message }
}

/// Whether the data is of the provider's schema; the texts are those of the original's schema checker.
fn check<'d>(kind: ProfileKind, provider: &str, data: &'d Value) -> Result<&'d Map<String, Value>, Fault> {
    let refused = |message| unsupported(provider, message);
    let Some(entries) = data.as_object() else {
        return Err(refused(format!("{} is not of type 'object'", repr::inside(data))));
    };
    let known = capabilities(kind);
    let named = |key: &str| known.iter().find(|capability| capability.name == key);
    let strange: Vec<String> = entries
        .keys()
        .filter(|key| named(key).is_none())
        .map(|key| repr::inside(&Value::from(key.as_str())))
        .collect();
    if !strange.is_empty() {
        let verb = if strange.len() == 1 { "was" } else { "were" };
        return Err(refused(format!(
            "Additional properties are not allowed ({} {verb} unexpected)",
            strange.join(", ")
        )));
    }
    for (key, value) in entries {
        if let Some(fault) = named(key).and_then(|capability| capability.kind.fault(value)) {
            return Err(refused(format!("{key} {fault}")));
        }
    }
    Ok(entries)
}

impl Kind {
    /// Why a value is not of this kind.
    fn fault(&self, value: &Value) -> Option<String> {
        let not_a = |value: &Value, kind: &str| format!("{} is not of type '{kind}'", repr::inside(value));
        match self {
            Self::Flag => (!value.is_boolean()).then(|| not_a(value, "boolean")),
            Self::Text => (!value.is_string()).then(|| not_a(value, "string")),
            Self::Words(words) => match value.as_str() {
                None => Some(not_a(value, "string")),
                Some(word) if words.contains(&word) => None,
                Some(_) => Some(format!(
                    "{} is not one of {}",
                    repr::inside(value),
                    repr::inside(&words.iter().copied().collect())
                )),
            },
            Self::Texts => match value.as_array() {
                None => Some(not_a(value, "array")),
                Some(items) => items.iter().find(|item| !item.is_string()).map(|item| not_a(item, "string")),
            },
        }
    }
}

/// Reads stored data again: it may be older than the schema.
fn read(kind: ProfileKind, provider: &str, data: &str) -> Result<Map<String, Value>, Fault> {
    check(kind, provider, &parse(kind.data_key(), data)?).cloned()
}

/// The topology of a load balancer of a flavor with this data; `None` = it does not say. `pairs` = it may have two
/// amphorae.
pub(crate) fn flavor(provider: &str, data: &str, pairs: bool) -> Result<Option<Topology>, Fault> {
    let mut topology = None;
    for (key, value) in read(ProfileKind::Flavor, provider, data)? {
        let available = match key.as_str() {
            "loadbalancer_topology" if pairs && value == Topology::ActiveStandby.as_str() => {
                topology = Some(Topology::ActiveStandby);
                true
            }
            "loadbalancer_topology" => {
                topology = Some(Topology::Single);
                value == Topology::Single.as_str()
            }
            "sriov_vip" | "allow_member_sriov" => value == false,
            _ => false,
        };
        if !available {
            return Err(unsupported(
                provider,
                format!("The flavor's {key} {} is not available yet.", repr::inside(&value)),
            ));
        }
    }
    Ok(topology)
}

/// Refuses a VIP on this network that may not be in an availability zone with this data; `true` if a list of the zone's
/// own has the network.
pub(crate) fn availability_zone(provider: &str, data: &str, network: NetworkId) -> Result<bool, Fault> {
    let mut listed = false;
    for (key, value) in read(ProfileKind::AvailabilityZone, provider, data)? {
        if key != "valid_vip_networks" {
            return Err(unsupported(
                provider,
                format!("The availability zone's {key} {} is not available yet.", repr::inside(&value)),
            ));
        }
        let networks = value.as_array().map(Vec::as_slice).unwrap_or_default();
        // As in the original, a list of none is no list.
        let named = |item: &Value| item.as_str().and_then(|text| text.parse().ok()) == Some(network);
        if !networks.is_empty() && !networks.iter().any(named) {
            return Err(Fault::validation(format!(
                "Network {network} is none of those the availability zone has for VIPs."
            )));
        }
        listed = !networks.is_empty();
    }
    Ok(listed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NETWORK: &str = "11111111-1111-4111-8111-111111111111";

    fn text<T>(outcome: Result<T, Fault>) -> String {
        match outcome {
            Ok(_) => "good".to_owned(),
            Err(Fault::UnsupportedOption { message, .. }) => message,
            Err(fault) => fault.to_string(),
        }
    }

    /// Data, what a profile says to it, and what a load balancer then says (`=` the same).
    #[test]
    fn flavor_data() {
        for (data, profile, load_balancer) in [
            ("{}", "good", "good"),
            (r#" {"loadbalancer_topology": "SINGLE"} "#, "good", "good"),
            (r#"{"sriov_vip": false, "allow_member_sriov": false}"#, "good", "good"),
            (
                r#"{"loadbalancer_topology": "ACTIVE_STANDBY"}"#,
                "good",
                "The flavor's loadbalancer_topology 'ACTIVE_STANDBY' is not available yet.",
            ),
            (r#"{"compute_flavor": "7"}"#, "good", "The flavor's compute_flavor '7' is not available yet."),
            (r#"{"amp_image_tag": ""}"#, "good", "The flavor's amp_image_tag '' is not available yet."),
            (r#"{"sriov_vip": true}"#, "good", "The flavor's sriov_vip True is not available yet."),
            (
                r#"{"allow_member_sriov": true}"#,
                "good",
                "The flavor's allow_member_sriov True is not available yet.",
            ),
            ("", " is not a valid option for flavor_data", "="),
            ("{", "{ is not a valid option for flavor_data", "="),
            ("[]", "[] is not of type 'object'", "="),
            ("null", "None is not of type 'object'", "="),
            (
                r#"{"loadbalancer_topology": "single"}"#,
                "loadbalancer_topology 'single' is not one of ['ACTIVE_STANDBY', 'SINGLE']",
                "=",
            ),
            (r#"{"loadbalancer_topology": 1}"#, "loadbalancer_topology 1 is not of type 'string'", "="),
            (r#"{"compute_flavor": null}"#, "compute_flavor None is not of type 'string'", "="),
            (r#"{"sriov_vip": "true"}"#, "sriov_vip 'true' is not of type 'boolean'", "="),
            (r#"{"sriov_vip": 1}"#, "sriov_vip 1 is not of type 'boolean'", "="),
            (
                r#"{"compute_flavor": 1, "x": 1}"#,
                "Additional properties are not allowed ('x' was unexpected)",
                "=",
            ),
            (
                r#"{"b'": 1, "a": 1}"#,
                "Additional properties are not allowed ('a', \"b'\" were unexpected)",
                "=",
            ),
            (
                r#"{"compute_zone": "x"}"#,
                "Additional properties are not allowed ('compute_zone' was unexpected)",
                "=",
            ),
        ] {
            let kind = ProfileKind::Flavor;
            assert_eq!(text(read(kind, "amphora", data)), profile, "{data}");
            let expected = if load_balancer == "=" { profile } else { load_balancer };
            assert_eq!(text(flavor("amphora", data, false)), expected, "{data}");
        }
    }

    #[test]
    fn pairs_where_they_can_be() {
        for (data, topology) in [
            (r#"{"loadbalancer_topology": "ACTIVE_STANDBY"}"#, Some(Topology::ActiveStandby)),
            (r#"{"loadbalancer_topology": "SINGLE"}"#, Some(Topology::Single)),
            ("{}", None),
        ] {
            assert_eq!(flavor("amphora", data, true).unwrap(), topology, "{data}");
        }
    }

    #[test]
    fn availability_zone_data() {
        let on_list = |list: &str| format!(r#"{{"valid_vip_networks": {list}}}"#);
        let elsewhere = format!(
            "Validation failure: Network {NETWORK} is none of those the availability zone has for VIPs."
        );
        for (data, profile, load_balancer) in [
            ("{}".to_owned(), "good", "good"),
            (on_list("[]"), "good", "good"),
            (on_list(&format!(r#"["x", "{}"]"#, NETWORK.replace('-', "").to_uppercase())), "good", "good"),
            (on_list(r#"["x"]"#), "good", &elsewhere),
            (
                r#"{"compute_zone": "z"}"#.to_owned(),
                "good",
                "The availability zone's compute_zone 'z' is not available yet.",
            ),
            (
                r#"{"volume_zone": "z"}"#.to_owned(),
                "good",
                "The availability zone's volume_zone 'z' is not available yet.",
            ),
            (
                r#"{"management_network": "z"}"#.to_owned(),
                "good",
                "The availability zone's management_network 'z' is not available yet.",
            ),
            (on_list("\"x\""), "valid_vip_networks 'x' is not of type 'array'", "="),
            (on_list("[1]"), "valid_vip_networks 1 is not of type 'string'", "="),
            ("[".to_owned(), "[ is not a valid option for availability_zone_data", "="),
        ] {
            let kind = ProfileKind::AvailabilityZone;
            assert_eq!(text(read(kind, "amphora", &data)), profile, "{data}");
            let expected = if load_balancer == "=" { profile } else { load_balancer };
            let network = NETWORK.parse().expect("an id");
            assert_eq!(text(availability_zone("amphora", &data, network)), expected, "{data}");
        }
    }
}
