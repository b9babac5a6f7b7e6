//! Removes what nobody needs: rows of what was deleted long ago, and things outside that no row names. And shows
//! what has been pending for too long, also where its worker hangs.

use std::collections::BTreeSet;
use std::sync::Arc;

use octavia_cloud::CloudError;
use octavia_model::{AmphoraId, LoadBalancerId};
use octavia_store::StoreError;
use tokio::sync::Mutex;

use crate::orphans::Orphans;
use crate::{HousekeepingOptions, Parts, Stop};

#[derive(Debug, Clone)]
pub struct Housekeeping {
    parts: Parts,
    options: Arc<HousekeepingOptions>,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Debug, Default)]
struct Seen {
    servers: Orphans<AmphoraId>,
    ports: Orphans<AmphoraId>,
    vips: Orphans<LoadBalancerId>,
    security_groups: Orphans<LoadBalancerId>,
}

/// What one sweep removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Swept {
    /// Rows purged, receipts among them, and entries of ledger and outbox trimmed.
    pub rows: u64,
    /// Load balancers that had been pending for too long, and are `ERROR` now.
    pub expired: Vec<LoadBalancerId>,
    pub servers: Vec<AmphoraId>,
    /// Amphorae without a row that had ports.
    pub ports: Vec<AmphoraId>,
    pub vips: Vec<LoadBalancerId>,
    pub security_groups: Vec<LoadBalancerId>,
}

/// A sweep, or a part of it, has to wait for the next one.
#[derive(Debug, thiserror::Error)]
enum SweepError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Cloud(#[from] CloudError),
}

impl Housekeeping {
    pub fn new(parts: Parts, options: HousekeepingOptions) -> Self {
        Self { parts, options: Arc::new(options), seen: Arc::default() }
    }

    /// Sweeps now and then until asked to stop.
    pub async fn run(self, mut stop: Stop) {
        while !stop.is_asked() {
            tokio::select! {
                swept = self.sweep() => {
                    if swept != Swept::default() {
                        tracing::info!(?swept, "swept");
                    }
                }
                () = stop.asked() => {}
            }
            tokio::select! {
                () = self.parts.clock.sleep(self.options.interval) => {}
                () = stop.asked() => {}
            }
        }
    }

    /// One look at everything. What could not be asked is left for the next; it is never taken for absent.
    pub async fn sweep(&self) -> Swept {
        let mut swept = Swept::default();
        let now = self.parts.clock.now();
        match self.parts.store.deleted_purge(now - self.options.expiry_age).await {
            Ok(rows) => swept.rows = rows,
            Err(error) => tracing::warn!(%error, "could not purge rows"),
        }
        let (ledger, outbox) = (self.options.ledger_max, self.options.outbox_max);
        match self.parts.store.records_trim(ledger, outbox).await {
            Ok(rows) => swept.rows += rows,
            Err(error) => tracing::warn!(%error, "could not trim ledger and outbox"),
        }
        let (oldest, most) = (now - self.options.receipt_age, self.options.receipts_max);
        match self.parts.store.receipts_purge(oldest, most).await {
            Ok(rows) => swept.rows += rows,
            Err(error) => tracing::warn!(%error, "could not purge receipts"),
        }
        match self.parts.store.pending_expire(now - self.options.max_pending).await {
            Ok(expired) => swept.expired = expired,
            Err(error) => tracing::warn!(%error, "could not look for what has been pending for too long"),
        }
        match self.servers().await {
            Ok(servers) => swept.servers = servers,
            Err(error) => {
                // One of them may still use an address, so addresses have to wait as well.
                tracing::warn!(%error, "could not look for servers without a row");
                return swept;
            }
        }
        match self.ports().await {
            Ok(ports) => swept.ports = ports,
            Err(error) => tracing::warn!(%error, "could not look for ports without a row"),
        }
        match self.vips().await {
            Ok(vips) => swept.vips = vips,
            Err(error) => tracing::warn!(%error, "could not look for addresses without a row"),
        }
        match self.security_groups().await {
            Ok(groups) => swept.security_groups = groups,
            Err(error) => tracing::warn!(%error, "could not look for security groups without a row"),
        }
        swept
    }

    async fn servers(&self) -> Result<Vec<AmphoraId>, SweepError> {
        // The outside first: what is made between the two looks has a row by the second.
        let there: BTreeSet<AmphoraId> =
            self.parts.compute.server_list().await?.iter().map(|s| s.amphora_id).collect();
        let rows = self.parts.store.amphora_existing(&there.iter().copied().collect::<Vec<_>>()).await?;
        let (now, age) = (self.parts.clock.now(), self.options.orphan_age);
        let orphans = self.seen.lock().await.servers.look(there.difference(&rows).copied(), now, age);
        for orphan in &orphans {
            tracing::warn!(amphora = %orphan, "removing a server that belongs to no amphora");
            self.parts.compute.server_delete(*orphan).await?;
        }
        Ok(orphans)
    }

    async fn ports(&self) -> Result<Vec<AmphoraId>, SweepError> {
        let ports = self.parts.network.port_list(None).await?;
        let there: BTreeSet<AmphoraId> = ports.iter().map(|port| port.amphora_id).collect();
        let rows = self.parts.store.amphora_existing(&there.iter().copied().collect::<Vec<_>>()).await?;
        let (now, age) = (self.parts.clock.now(), self.options.orphan_age);
        let orphans = self.seen.lock().await.ports.look(there.difference(&rows).copied(), now, age);
        for port in ports.iter().filter(|port| orphans.contains(&port.amphora_id)) {
            tracing::warn!(port = %port.id, amphora = %port.amphora_id, "removing a port that belongs to no amphora");
            self.parts.network.port_delete(port.id).await?;
        }
        Ok(orphans)
    }

    async fn security_groups(&self) -> Result<Vec<LoadBalancerId>, SweepError> {
        let there: BTreeSet<LoadBalancerId> =
            self.parts.network.security_group_list().await?.into_iter().collect();
        let rows = self.parts.store.lb_existing(&there.iter().copied().collect::<Vec<_>>()).await?;
        let (now, age) = (self.parts.clock.now(), self.options.orphan_age);
        let orphans = self.seen.lock().await.security_groups.look(there.difference(&rows).copied(), now, age);
        for orphan in &orphans {
            tracing::warn!(lb = %orphan, "removing a security group that belongs to no load balancer");
            self.parts.network.security_group_delete(*orphan).await?;
        }
        Ok(orphans)
    }

    async fn vips(&self) -> Result<Vec<LoadBalancerId>, SweepError> {
        let there: BTreeSet<LoadBalancerId> = self.parts.network.vip_list().await?.into_iter().collect();
        let rows = self.parts.store.lb_existing(&there.iter().copied().collect::<Vec<_>>()).await?;
        let (now, age) = (self.parts.clock.now(), self.options.orphan_age);
        let orphans = self.seen.lock().await.vips.look(there.difference(&rows).copied(), now, age);
        for orphan in &orphans {
            tracing::warn!(lb = %orphan, "giving back an address that belongs to no load balancer");
            self.parts.network.vip_release(*orphan).await?;
        }
        Ok(orphans)
    }
}
