//! Ports on cables: what a change of the book means for those that are attached.

use std::sync::PoisonError;

use octavia_model::{AmphoraId, PortId};

use super::{Change, HostNumber, LocalNetwork, PortWiring, trouble};
use crate::CloudError;
use crate::local::netns::port_link;

impl LocalNetwork {
    /// Whether amphorae have interfaces here.
    pub(super) fn has_ports(&self) -> bool {
        self.0.netns.is_some()
    }

    /// Everything that may hang on a cable.
    pub(in crate::local) fn wirings(&self) -> Vec<PortWiring> {
        let book = self.book();
        book.amphora_ports(None).filter_map(|port| book.wiring(port.id)).collect()
    }

    /// Of an amphora, those whose links are there.
    pub(in crate::local) fn ports_with_links(
        &self,
        amphora: AmphoraId,
        links: &std::collections::BTreeSet<String>,
    ) -> Vec<PortId> {
        let book = self.book();
        let ids = book.amphora_ports(Some(amphora)).map(|port| port.id);
        ids.filter(|id| links.contains(&port_link(*id))).collect()
    }

    /// In its turn with changes, so that the cable has what the book says after both. `guard` is kept until the work is
    /// done, also when nobody waits for it any more.
    pub(in crate::local) async fn attach(
        &self,
        port: PortId,
        amphora: AmphoraId,
        host: HostNumber,
        guard: impl Send + 'static,
    ) -> Result<(), CloudError> {
        let this = self.clone();
        let attach = move || {
            let _guard = guard;
            let netns =
                this.0.netns.as_ref().ok_or_else(|| CloudError::internal("nothing is attached here"))?;
            let wiring = this.book().wiring(port).filter(|wiring| wiring.amphora_id == amphora);
            let wiring = wiring
                .ok_or_else(|| CloudError::refused(format!("port {port} is not one of amphora {amphora}")))?;
            netns.port_attach(host, &wiring).map_err(|error| trouble("attached", &error))
        };
        self.0.writer.run(attach).await?
    }

    /// As [`LocalNetwork::attach`].
    pub(in crate::local) async fn detach(
        &self,
        port: PortId,
        guard: impl Send + 'static,
    ) -> Result<(), CloudError> {
        let this = self.clone();
        let detach = move || {
            let _guard = guard;
            match &this.0.netns {
                Some(netns) => netns.port_detach(port).map_err(|error| trouble("detached", &error)),
                None => Ok(()),
            }
        };
        self.0.writer.run(detach).await?
    }

    /// The ports whose cables a change may concern.
    pub(super) fn cables(&self, change: &Change) -> Vec<PortId> {
        if self.0.netns.is_none() {
            return vec![];
        }
        let book = self.book();
        let of = |wanted: &dyn Fn(&super::Port) -> bool| {
            book.amphora_ports(None).filter(|port| wanted(port)).map(|port| port.id).collect()
        };
        let of_group = |load_balancer| {
            of(&|port| port.amphora.as_ref().is_some_and(|port| port.load_balancer_id == load_balancer))
        };
        match change {
            Change::Nothing | Change::Remove(_) => vec![],
            Change::Put(port) => port.amphora.iter().map(|_| port.id).collect(),
            Change::GroupPut(group) => of_group(group.load_balancer_id),
            Change::GroupRemove(load_balancer) => of_group(*load_balancer),
            Change::PolicyPut(policy) => of(&|port| port.qos_policy_id == Some(policy.id)),
            Change::PolicyRemove(id) => of(&|port| port.qos_policy_id == Some(*id)),
        }
    }

    /// Those that cannot be brought up to date are an error, though the change is stored; they come again with the next
    /// change, whatever it is.
    pub(super) fn cables_refresh(&self, ports: Vec<PortId>) -> Result<(), CloudError> {
        let Some(netns) = &self.0.netns else { return Ok(()) };
        let mut stale = self.0.stale.lock().unwrap_or_else(PoisonError::into_inner);
        stale.extend(ports);
        let mut outcome = Ok(());
        stale.retain(|port| {
            let wiring = self.book().wiring(*port);
            let refreshed = wiring.map_or(Ok(()), |wiring| netns.port_refresh(&wiring));
            refreshed.inspect_err(|error| outcome = Err(trouble("brought up to date", error))).is_err()
        });
        outcome
    }
}
