//! A port as it is stored, and what may be asked for.

use std::net::IpAddr;

use jiff::Timestamp;
use newtype_uuid::GenericUuid;
use octavia_model::{AmphoraId, LoadBalancerId, NetworkId, PortId, SubnetId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::local::time;
use crate::{PortRole, PortSubnet, VipPort};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::local) struct Fixed {
    pub(in crate::local) subnet_id: SubnetId,
    pub(in crate::local) address: IpAddr,
}

/// A port with its addresses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Stored")]
pub(in crate::local) struct Port {
    pub(in crate::local) id: PortId,
    pub(in crate::local) network_id: NetworkId,
    /// Not empty, no two of one subnet.
    pub(in crate::local) fixed_ips: Vec<Fixed>,
    pub(in crate::local) project_id: String,
    pub(in crate::local) name: String,
    pub(in crate::local) description: String,
    pub(in crate::local) admin_state_up: bool,
    pub(in crate::local) device_id: String,
    pub(in crate::local) device_owner: String,
    /// The load balancer whose VIP it carries.
    pub(in crate::local) load_balancer_id: Option<LoadBalancerId>,
    /// Made for that load balancer, and to go with it.
    pub(in crate::local) owned: bool,
    /// The amphora that it is for.
    pub(in crate::local) amphora: Option<AmphoraPort>,
    pub(in crate::local) qos_policy_id: Option<Uuid>,
    #[serde(with = "time")]
    pub(in crate::local) created_at: Timestamp,
    #[serde(with = "time")]
    pub(in crate::local) updated_at: Timestamp,
    pub(in crate::local) revision: u32,
}

/// What only ports of amphorae have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::local) struct AmphoraPort {
    pub(in crate::local) amphora_id: AmphoraId,
    /// Whose amphora it is.
    pub(in crate::local) load_balancer_id: LoadBalancerId,
    pub(in crate::local) role: PortRole,
    /// Addresses that it may use besides its own.
    pub(in crate::local) allowed: Vec<IpAddr>,
}

/// What a file says, also one from when a port had one address.
#[derive(Debug, Deserialize)]
struct Stored {
    id: PortId,
    network_id: NetworkId,
    #[serde(default)]
    fixed_ips: Vec<Fixed>,
    subnet_id: Option<SubnetId>,
    address: Option<IpAddr>,
    project_id: String,
    name: String,
    description: String,
    admin_state_up: bool,
    device_id: String,
    device_owner: String,
    load_balancer_id: Option<LoadBalancerId>,
    owned: bool,
    #[serde(default)]
    amphora: Option<AmphoraPort>,
    #[serde(default)]
    qos_policy_id: Option<Uuid>,
    #[serde(with = "time")]
    created_at: Timestamp,
    #[serde(with = "time")]
    updated_at: Timestamp,
    revision: u32,
}

impl TryFrom<Stored> for Port {
    type Error = &'static str;

    fn try_from(stored: Stored) -> Result<Self, Self::Error> {
        let mut fixed_ips = stored.fixed_ips;
        if let (true, Some(subnet_id), Some(address)) =
            (fixed_ips.is_empty(), stored.subnet_id, stored.address)
        {
            fixed_ips.push(Fixed { subnet_id, address });
        }
        if fixed_ips.is_empty() {
            return Err("a port has no address");
        }
        Ok(Self {
            id: stored.id,
            network_id: stored.network_id,
            fixed_ips,
            project_id: stored.project_id,
            name: stored.name,
            description: stored.description,
            admin_state_up: stored.admin_state_up,
            device_id: stored.device_id,
            device_owner: stored.device_owner,
            load_balancer_id: stored.load_balancer_id,
            owned: stored.owned,
            amphora: stored.amphora,
            qos_policy_id: stored.qos_policy_id,
            created_at: stored.created_at,
            updated_at: stored.updated_at,
            revision: stored.revision,
        })
    }
}

impl Port {
    /// From the id, so that it is as stable.
    pub(in crate::local) fn mac_address(&self) -> String {
        mac_address(self.id)
    }

    /// As the VIP of a load balancer, which is its first address, and those that are asked for besides. `None` = it has not
    /// all of them.
    pub(super) fn vip(&self, additional: &[PortSubnet]) -> Option<VipPort> {
        let (first, rest) = self.fixed_ips.split_first()?;
        let has = |wanted: &PortSubnet| {
            let fits = |fixed: &&Fixed| {
                fixed.subnet_id == wanted.subnet_id
                    && wanted.address.is_none_or(|address| address == fixed.address)
            };
            rest.iter().find(fits).map(|fixed| (fixed.subnet_id, fixed.address))
        };
        Some(VipPort {
            port_id: self.id,
            network_id: self.network_id,
            subnet_id: first.subnet_id,
            address: first.address,
            owned: self.owned,
            additional: additional.iter().map(has).collect::<Option<_>>()?,
        })
    }

    pub(super) fn changed(&self, now: Timestamp) -> Self {
        Self { updated_at: now, revision: self.revision + 1, ..self.clone() }
    }
}

pub(super) fn mac_address(id: PortId) -> String {
    let bytes = id.into_untyped_uuid().into_bytes();
    format!("fa:16:3e:{:02x}:{:02x}:{:02x}", bytes[13], bytes[14], bytes[15])
}

/// What a user may say of a new port.
#[derive(Debug, Clone)]
pub(in crate::local) struct NewPort {
    pub(in crate::local) network_id: NetworkId,
    /// Empty = one of each version that the network has.
    pub(in crate::local) fixed_ips: Vec<Wish>,
    pub(in crate::local) project_id: String,
    pub(in crate::local) name: String,
    pub(in crate::local) description: String,
    pub(in crate::local) admin_state_up: bool,
    pub(in crate::local) device_id: String,
    pub(in crate::local) device_owner: String,
}

/// An address that somebody wants: which subnet's, which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::local) struct Wish {
    pub(in crate::local) subnet_id: Option<SubnetId>,
    pub(in crate::local) address: Option<IpAddr>,
}

/// What a user may change of a port; `None` = as it is.
#[derive(Debug, Clone, Default)]
pub(in crate::local) struct PortUpdate {
    pub(in crate::local) name: Option<String>,
    pub(in crate::local) description: Option<String>,
    pub(in crate::local) admin_state_up: Option<bool>,
    pub(in crate::local) device_id: Option<String>,
    pub(in crate::local) device_owner: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_ports_with_one_address_and_with_several() {
        let rest = r#""project_id":"p","name":"","description":"","admin_state_up":true,"device_id":"","device_owner":"",
            "load_balancer_id":null,"owned":false,"created_at":"2026-01-01T00:00:00Z","updated_at":"2026-01-01T00:00:00Z","revision":1"#;
        let id = "00000000-0000-4000-8000-0000000000aa";
        let subnet = "00000000-0000-4000-8000-0000000000bb";
        let ids = format!(r#""id":"{id}","network_id":"{id}""#);
        for (addresses, expected) in [
            (format!(r#""subnet_id":"{subnet}","address":"127.100.64.2""#), Some("127.100.64.2")),
            (
                format!(
                    r#""fixed_ips":[{{"subnet_id":"{subnet}","address":"10.100.64.2"}},{{"subnet_id":"{id}","address":"fd64::2"}}]"#
                ),
                Some("10.100.64.2 fd64::2"),
            ),
            (r#""fixed_ips":[]"#.to_owned(), None),
        ] {
            let read: Result<Port, _> = serde_json::from_str(&format!("{{{ids},{addresses},{rest}}}"));
            let read = read.ok().inspect(|port| {
                let again: Port = serde_json::from_str(&serde_json::to_string(port).unwrap()).unwrap();
                assert_eq!(&again, port);
                assert_eq!(port.mac_address(), "fa:16:3e:00:00:aa");
            });
            let addresses = read.map(|port| {
                port.fixed_ips.iter().map(|fixed| fixed.address.to_string()).collect::<Vec<_>>().join(" ")
            });
            assert_eq!(addresses.as_deref(), expected);
        }
    }
}
