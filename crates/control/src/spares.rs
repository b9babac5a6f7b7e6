//! Keeps spares: amphorae that have booted before anybody needs them.
//!
//! As everything here it remembers nothing, may be killed at any await, and any number of them share one database: each
//! change of a row says which status it shall have had, and whoever comes second leaves it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use newtype_uuid::GenericUuid;
use octavia_cloud::{CloudError, Placement, ServerRequest};
use octavia_model::{Amphora, AmphoraId, AmphoraStatus, Blame};
use octavia_plan::{ObservedAmphora, SpareOptions, SpareStep, plan_spares};
use octavia_store::StoreError;

use crate::boot::boot_files;
use crate::observe::{agent_address, observe_amphora};
use crate::papers::{papers_issue, papers_wanted};
use crate::{AgentAddress, AgentError, BootOptions, Parts, Stop};

/// Epochs of leases begin later: whatever a worker brings to a spare that it has adopted is newer.
const FENCE: u64 = 0;

#[derive(Debug, Clone)]
pub struct SpareKeeperOptions {
    pub spares: SpareOptions,
    pub boot: BootOptions,
    /// Where an agent's REST API listens, if the compute service cannot be asked.
    pub agent_port: u16,
    /// How often spares are looked at.
    pub interval: Duration,
}

/// Cheap to clone.
#[derive(Debug, Clone)]
pub struct SpareKeeper {
    parts: Parts,
    options: Arc<SpareKeeperOptions>,
}

/// A step did not do what it says; the next look goes on from what is there.
#[derive(Debug, thiserror::Error)]
enum SpareError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Cloud(#[from] CloudError),
    #[error(transparent)]
    Agent(#[from] AgentError),
}

impl SpareKeeper {
    pub fn new(parts: Parts, options: SpareKeeperOptions) -> Self {
        Self { parts, options: Arc::new(options) }
    }

    /// Looks at spares until asked to stop.
    pub async fn run(self, mut stop: Stop) {
        while !stop.is_asked() {
            tokio::select! {
                () = self.look() => {}
                () = stop.asked() => {}
            }
            tokio::select! {
                () = self.parts.clock.sleep(self.options.interval) => {}
                () = stop.asked() => {}
            }
        }
    }

    /// One look, and the steps that follow from it.
    pub async fn look(&self) {
        let rows = match self.parts.store.spare_list(None).await {
            Ok(rows) => rows,
            Err(error) => return tracing::warn!(%error, "could not ask which spares there are"),
        };
        let there = rows.iter().filter(|row| row.status != AmphoraStatus::PendingDelete);
        let asked = there.map(|row| async move {
            let (seen, _) = observe_amphora(&self.parts, row, self.options.agent_port).await;
            (row.id, seen)
        });
        let seen: BTreeMap<_, _> = join_all(asked).await.into_iter().collect();
        let (trust, now) = (papers_wanted(self.parts.certs.as_ref()), self.parts.clock.now());
        let steps = plan_spares(&rows, &seen, &trust, now, &self.options.spares);
        let (rows, seen) = (&rows, &seen);
        join_all(steps.into_iter().map(|step| async move {
            if let Err(error) = self.run_step(step, rows, seen).await {
                tracing::warn!(?step, %error, "a step about a spare failed");
            }
        }))
        .await;
    }

    async fn run_step(
        &self,
        step: SpareStep,
        rows: &[Amphora],
        seen: &BTreeMap<AmphoraId, ObservedAmphora>,
    ) -> Result<(), SpareError> {
        let row = |id: AmphoraId| {
            let row = rows.iter().find(|row| row.id == id);
            row.ok_or_else(|| CloudError::internal(format!("a step names spare {id}, which has no row")))
        };
        let store = &self.parts.store;
        match step {
            SpareStep::Create => {
                let id = AmphoraId::from_untyped_uuid(self.parts.random.uuid());
                Ok(store.spare_insert(id).await?)
            }
            SpareStep::ServerEnsure(id) => self.server_ensure(row(id)?).await,
            SpareStep::Ready(id) => {
                let ready = Amphora { status: AmphoraStatus::Ready, ..row(id)?.clone() };
                if store.spare_update(&ready, row(id)?.status).await? {
                    tracing::info!(amphora = %id, "a spare is ready");
                }
                Ok(())
            }
            SpareStep::PapersPush(id) => self.papers_push(row(id)?, seen.get(&id)).await,
            SpareStep::Retire(id, why) => {
                let leaving = Amphora { status: AmphoraStatus::PendingDelete, ..row(id)?.clone() };
                // Whoever has adopted it since keeps it.
                if store.spare_update(&leaving, row(id)?.status).await? {
                    tracing::info!(amphora = %id, %why, "a spare goes");
                    self.delete(&leaving).await?;
                }
                Ok(())
            }
            SpareStep::Delete(id) => self.delete(row(id)?).await,
        }
    }

    async fn server_ensure(&self, row: &Amphora) -> Result<(), SpareError> {
        let boot = &self.options.boot;
        let issued = papers_issue(self.parts.certs.as_ref(), row.id, FENCE, boot.cert_lifetime).await?;
        let files = boot_files(row.id, None, &issued.papers, boot)?;
        let placement = Placement::default();
        let request = ServerRequest { amphora_id: row.id, load_balancer_id: None, files, placement };
        let made = self.parts.compute.server_ensure(&request).await;
        if let Err(error) = &made
            && error.blame == Blame::Caller
        {
            // A cloud that has no room for it may have some later; what users need comes first anyway.
            tracing::warn!(amphora = %row.id, %error, "the cloud refuses a server for a spare");
        }
        let server = made?;
        let booting = Amphora {
            status: AmphoraStatus::Booting,
            compute_id: Some(server.compute_id),
            lb_network_ip: server.agent.map(|address| address.ip()).or(row.lb_network_ip),
            cached_zone: server.zone.or_else(|| row.cached_zone.clone()),
            cert_authority: Some(issued.authority),
            cert_expiration: Some(issued.expires_at),
            ..row.clone()
        };
        self.parts.store.spare_update(&booting, row.status).await?;
        Ok(())
    }

    async fn papers_push(&self, row: &Amphora, seen: Option<&ObservedAmphora>) -> Result<(), SpareError> {
        let address = seen.and_then(|seen| agent_address(row, &seen.server, self.options.agent_port));
        let address =
            address.ok_or_else(|| AgentError::Unreachable("its address is not known".to_owned()))?;
        let lifetime = self.options.boot.cert_lifetime;
        let issued = papers_issue(self.parts.certs.as_ref(), row.id, FENCE, lifetime).await?;
        let agent = AgentAddress { amphora: row.id, address };
        self.parts.agents.papers_push(agent, &issued.papers).await?;
        let renewed = Amphora {
            cert_authority: Some(issued.authority),
            cert_expiration: Some(issued.expires_at),
            ..row.clone()
        };
        self.parts.store.spare_update(&renewed, row.status).await?;
        Ok(())
    }

    async fn delete(&self, row: &Amphora) -> Result<(), SpareError> {
        self.parts.compute.server_delete(row.id).await?;
        let gone = Amphora { status: AmphoraStatus::Deleted, ..row.clone() };
        self.parts.store.spare_update(&gone, AmphoraStatus::PendingDelete).await?;
        Ok(())
    }
}
