//! Bodies of load balancers.

use std::collections::HashSet;
use std::net::IpAddr;

use octavia_model::{FlavorId, NetworkId, PortId, SecurityGroupId, SubnetId};

use super::listener::ListenerBody;
use super::pool::PoolBody;
use super::{Call, listener, pool, project, tags};
use crate::body::{Document, Object, Sent, TEXT_MAX};
use crate::fault::Fault;

pub(crate) const ARGUMENT: &str = "load_balancer";
pub(crate) const ROOT: &str = "loadbalancer";

pub(crate) const CREATE: &[&str] = &[
    "name",
    "description",
    "admin_state_up",
    "vip_subnet_id",
    "vip_network_id",
    "vip_port_id",
    "vip_address",
    "vip_qos_policy_id",
    "vip_sg_ids",
    "additional_vips",
    "provider",
    "flavor_id",
    "availability_zone",
    "project_id",
    "tenant_id",
    "listeners",
    "pools",
    "tags",
];

pub(crate) const UPDATE: &[&str] =
    &["name", "description", "admin_state_up", "vip_qos_policy_id", "vip_sg_ids", "tags"];

#[derive(Debug, Default)]
pub(crate) struct LoadBalancerBody {
    pub(crate) name: Sent<String>,
    pub(crate) description: Sent<String>,
    pub(crate) admin_state_up: Sent<bool>,
    pub(crate) vip: VipBody,
    pub(crate) provider: Sent<String>,
    pub(crate) flavor_id: Sent<FlavorId>,
    pub(crate) availability_zone: Sent<String>,
    pub(crate) project_id: Sent<String>,
    pub(crate) listeners: Vec<ListenerBody>,
    pub(crate) pools: Vec<PoolBody>,
    pub(crate) tags: Sent<Vec<String>>,
}

/// Everything about the address, before it is resolved.
#[derive(Debug, Default)]
pub(crate) struct VipBody {
    pub(crate) subnet_id: Sent<SubnetId>,
    pub(crate) network_id: Sent<NetworkId>,
    pub(crate) port_id: Sent<PortId>,
    pub(crate) address: Sent<IpAddr>,
    pub(crate) qos_policy_id: Sent<uuid::Uuid>,
    pub(crate) sg_ids: Sent<Vec<SecurityGroupId>>,
    pub(crate) additional: Vec<AdditionalVipBody>,
}

#[derive(Debug)]
pub(crate) struct AdditionalVipBody {
    pub(crate) subnet_id: SubnetId,
    pub(crate) address: Option<IpAddr>,
}

impl LoadBalancerBody {
    pub(crate) fn decode(document: &Document, call: Call) -> Result<Self, Fault> {
        let object = document.object(ROOT, if call == Call::Update { UPDATE } else { CREATE })?;
        Ok(Self {
            name: object.label("name")?,
            description: object.label("description")?,
            admin_state_up: object.boolean("admin_state_up")?,
            vip: VipBody::decode(&object)?,
            provider: object.text("provider", 64)?,
            flavor_id: object.id("flavor_id")?,
            availability_zone: object.text("availability_zone", TEXT_MAX)?,
            project_id: project(&object)?,
            listeners: object
                .objects("listeners", listener::NESTED)?
                .or(vec![])
                .iter()
                .map(|item| ListenerBody::read(item, Call::Nested))
                .collect::<Result<_, _>>()?,
            pools: object
                .objects("pools", pool::NESTED)?
                .or(vec![])
                .iter()
                .map(|item| PoolBody::read(item, Call::Nested))
                .collect::<Result<_, _>>()?,
            tags: tags(&object)?,
        })
    }
}

impl VipBody {
    fn decode(object: &Object<'_>) -> Result<Self, Fault> {
        Ok(Self {
            subnet_id: object.id("vip_subnet_id")?,
            network_id: object.id("vip_network_id")?,
            port_id: object.id("vip_port_id")?,
            address: object.address("vip_address")?.map(|(address, _)| address),
            qos_policy_id: object.uuid("vip_qos_policy_id")?,
            sg_ids: object.ids("vip_sg_ids")?.map(|ids| {
                let mut seen = HashSet::new();
                ids.into_iter().filter(|id| seen.insert(*id)).collect()
            }),
            additional: object
                .objects("additional_vips", &["subnet_id", "ip_address", "port_id"])?
                .or(vec![])
                .iter()
                .map(AdditionalVipBody::read)
                .collect::<Result<_, _>>()?,
        })
    }
}

impl AdditionalVipBody {
    fn read(object: &Object<'_>) -> Result<Self, Fault> {
        let address = object.address("ip_address")?.map(|(address, _)| address).value();
        object.uuid("port_id")?;
        Ok(Self { subnet_id: object.id("subnet_id")?.required("subnet_id")?, address })
    }
}
