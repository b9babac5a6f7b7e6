//! The address a load balancer was given, after the network service had to make its port again.

use octavia_model::{LoadBalancer, PortId};
use sea_orm::ActiveValue::Set;

use crate::entity::{codec, load_balancer};
use crate::lease::fence;
use crate::options::Call;
use crate::retry::framed;
use crate::write::root_write;
use crate::{Lease, Store, StoreError};

impl Store {
    /// The VIP's port was lost and another made for the same addresses. Nothing an amphora runs depends on it, so the
    /// generation stays.
    pub async fn vip_port_record(&self, lease: &Lease, port: PortId) -> Result<(), StoreError> {
        let call = Call::of_lease("vip_port_record", lease);
        framed!(self, call, self.vip_port_record_once(lease, port))
    }

    async fn vip_port_record_once(&self, lease: &Lease, port: PortId) -> Result<(), StoreError> {
        let tx = self.begin_write().await?;
        let root = fence(&tx, lease).await?;
        let mut lb = LoadBalancer::try_from(&root)?;
        for vip in &mut lb.additional_vips {
            vip.port_id = port;
        }
        let row = load_balancer::ActiveModel {
            vip_port_id: Set(codec::id(port)),
            additional_vips: Set(codec::additional_vips(&lb.additional_vips)),
            ..Default::default()
        };
        root_write(&tx, lease.lb, row).await?;
        Ok(tx.commit().await?)
    }
}
