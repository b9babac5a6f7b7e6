//! Doing what was planned: one arm for each step, each idempotent, each result stored under the lease.

use futures::future::join_all;
use jiff::Timestamp;
use newtype_uuid::GenericUuid;
use octavia_cloud::{CloudError, Placement, PortSubnet, ServerRequest, VipRequest};
use octavia_model::{
    Amphora, AmphoraId, AmphoraRole, AmphoraStatus, Blame, Known, Reason, ReasonCode, Retry, Topology,
};
use octavia_plan::{Desired, Observed, Step, agent_lacks_proxy, compile, terminating};
use octavia_store::{Lease, Settled, Settlement, StoreError};
use octavia_wire::TicketSpec;

use crate::boot::boot_files;
use crate::observe::{agent_address, observe_amphora};
use crate::papers::{Issued, papers_issue};
use crate::plumbing::{Plumbed, plumb, ports_remove};
use crate::secrets::{SecretsUnread, identities};
use crate::turn::turn_take;
use crate::{AgentAddress, AgentError, Parts, WorkerOptions};

/// Spares that are asked at once whether they are well.
const SPARES_ASKED: usize = 4;

/// Runs steps of one plan, made from `desired` and `observed`, under one lease.
#[derive(Debug)]
pub(crate) struct Executor<'a> {
    pub(crate) parts: &'a Parts,
    pub(crate) options: &'a WorkerOptions,
    pub(crate) lease: &'a Lease,
    pub(crate) desired: &'a Desired,
    pub(crate) observed: &'a Observed,
    /// Of the requests that this is done for.
    pub(crate) request_ids: &'a [String],
}

/// Why a step did not do what it says.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StepError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Cloud(#[from] CloudError),
    #[error(transparent)]
    Agent(#[from] AgentError),
    #[error(transparent)]
    Secret(#[from] SecretsUnread),
    /// Others have servers made first.
    #[error("{0}")]
    Waits(String),
}

impl StepError {
    /// The reason to show at once, for what no retry helps against: a caller's mistake, or what is never to be
    /// tried again. Anything else is retried with backoff, and shown when that takes too long.
    pub(crate) fn verdict(&self) -> Option<Reason> {
        match self {
            Self::Store(_) | Self::Secret(_) | Self::Waits(_) => None,
            Self::Cloud(error) => (error.blame == Blame::Caller || error.retry == Retry::Never).then(|| {
                let advice = "Change what was asked for, or delete the load balancer.";
                Reason::new(ReasonCode::CloudRefused, error.message.clone(), advice)
            }),
            Self::Agent(error) => (error.retry() == Retry::Never).then(|| error.reason()),
        }
    }
}

impl Executor<'_> {
    /// Does the step. What was done before by someone else, or by us before a crash, is found and adopted.
    pub(crate) async fn run(&self, step: &Step) -> Result<(), StepError> {
        match step {
            Step::VipEnsure => self.vip_ensure().await,
            Step::AmphoraCreate { role } => self.amphora_create(*role).await,
            Step::ServerEnsure { amphora } => self.server_ensure(self.row(*amphora)?).await,
            Step::PortsEnsure { amphora } => self.ports_ensure(self.row(*amphora)?).await,
            Step::SpecPush { amphora } => self.spec_push(self.row(*amphora)?).await,
            Step::PapersPush { amphora } => self.papers_push(self.row(*amphora)?).await,
            Step::AmphoraRecord(row) => Ok(self.parts.store.amphora_update(self.lease, row).await?),
            Step::AmphoraRetire { amphora, reason } => {
                tracing::warn!(%amphora, %reason, "replacing an amphora");
                let row = Amphora { status: AmphoraStatus::PendingDelete, ..self.row(*amphora)?.clone() };
                Ok(self.parts.store.amphora_update(self.lease, &row).await?)
            }
            Step::AmphoraDelete { amphora } => {
                self.parts.compute.server_delete(*amphora).await?;
                for port in self.parts.network.port_list(Some(*amphora)).await? {
                    self.parts.network.port_delete(port.id).await?;
                }
                Ok(self.parts.store.amphora_delete_mark(self.lease, *amphora).await?)
            }
            Step::Settle { generation, faults } => {
                let settlement = Settlement { listener_faults: faults.clone() };
                match self.parts.store.lb_settle(self.lease, *generation, &settlement).await? {
                    Settled::Done => tracing::info!(generation, faults = faults.len(), "settled"),
                    Settled::GenerationMoved => {
                        tracing::debug!(generation, "a newer generation came meanwhile")
                    }
                }
                Ok(())
            }
            Step::Fail { generation, reason } => {
                tracing::warn!(%reason, "the load balancer is in error");
                self.parts.store.lb_fail(self.lease, *generation, reason.clone()).await?;
                Ok(())
            }
            Step::LoadBalancerDelete => {
                let id = self.desired.graph.load_balancer.id;
                self.parts.network.security_group_delete(id).await?;
                self.parts.network.vip_release(id).await?;
                Ok(self.parts.store.lb_deleted(self.lease).await?)
            }
        }
    }

    fn row(&self, amphora: AmphoraId) -> Result<&Amphora, StepError> {
        let row = self.desired.amphorae.iter().find(|row| row.id == amphora);
        row.ok_or_else(|| {
            CloudError::internal(format!("a step names amphora {amphora}, which has no row")).into()
        })
    }

    fn now(&self) -> Timestamp {
        self.parts.clock.now()
    }

    async fn vip_ensure(&self) -> Result<(), StepError> {
        let lb = &self.desired.graph.load_balancer;
        let request = VipRequest {
            load_balancer_id: lb.id,
            project_id: lb.project_id.clone(),
            network_id: lb.vip.network_id,
            subnet_id: lb.vip.subnet_id,
            address: Some(lb.vip.address),
            port_id: (!lb.vip.owned).then_some(lb.vip.port_id),
            additional: lb
                .additional_vips
                .iter()
                .map(|vip| PortSubnet { subnet_id: vip.subnet_id, address: Some(vip.address) })
                .collect(),
        };
        let port = self.parts.network.vip_ensure(&request).await?;
        if port.address != lb.vip.address {
            let message = format!("the VIP {} is gone, and {} is not the same", lb.vip.address, port.address);
            return Err(CloudError::refused(message).into());
        }
        if port.port_id != lb.vip.port_id {
            // Somebody removed the port we had made; this one has the same address, which is what users hold on to.
            self.parts.store.vip_port_record(self.lease, port.port_id).await?;
        }
        Ok(())
    }

    /// Only the row: its id is what everything made for the amphora is named by. A spare has its server already.
    async fn amphora_create(&self, role: AmphoraRole) -> Result<(), StepError> {
        if self.options.spares && self.spare_adopt(role).await? {
            return Ok(());
        }
        let lb = &self.desired.graph.load_balancer;
        let id = AmphoraId::from_untyped_uuid(self.parts.random.uuid());
        let row = Amphora {
            ha_ip: Some(lb.vip.address),
            ha_port_id: Some(lb.vip.port_id),
            ..Amphora::new(id, lb.id, role, self.now())
        };
        Ok(self.parts.store.amphora_insert(self.lease, &row).await?)
    }

    /// Makes one of the spares that answer this load balancer's; false = none can be had.
    async fn spare_adopt(&self, role: AmphoraRole) -> Result<bool, StepError> {
        let lb = &self.desired.graph.load_balancer;
        // Spares are anywhere: of a pair, only the first can be one, and the other is made apart from it.
        let alone = match lb.topology {
            Topology::Single => true,
            Topology::ActiveStandby => self.desired.amphorae.is_empty() && role == AmphoraRole::Master,
        };
        if !alone || lb.availability_zone.is_some() {
            return Ok(false);
        }
        let ready = self.parts.store.spare_list(Some(AmphoraStatus::Ready)).await?;
        for spares in ready.chunks(SPARES_ASKED) {
            let asked = spares.iter().map(|row| observe_amphora(self.parts, row, self.options.agent_port));
            for (row, (seen, _)) in spares.iter().zip(join_all(asked).await) {
                let well = seen.agent.is_some_and(|agent| !agent_lacks_proxy(&agent));
                if well && self.parts.store.spare_adopt(self.lease, row.id, role, lb).await? {
                    tracing::info!(amphora = %row.id, "a spare is adopted");
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    async fn server_ensure(&self, row: &Amphora) -> Result<(), StepError> {
        if let Some(limit) = self.options.builds
            && let Some(cause) = turn_take(self.parts, self.lease, &self.desired.graph, limit).await?
        {
            return Err(StepError::Waits(cause));
        }
        let boot = &self.options.boot;
        let issued = self.papers_issue(row).await?;
        let load_balancer_id = Some(self.desired.graph.load_balancer.id);
        let files = boot_files(row.id, load_balancer_id, &issued.papers, boot)?;
        let others = self.desired.amphorae.iter().map(|other| other.id).filter(|other| *other != row.id);
        let placement = Placement { apart_from: others.collect(), ..Placement::default() };
        let request = ServerRequest { amphora_id: row.id, load_balancer_id, files, placement };
        let server = self.parts.compute.server_ensure(&request).await?;
        let row = Amphora {
            status: AmphoraStatus::Booting,
            compute_id: Some(server.compute_id),
            lb_network_ip: server.agent.map(|address| address.ip()).or(row.lb_network_ip),
            vrrp_port_id: server.vip_subnet_port.or(row.vrrp_port_id),
            cached_zone: server.zone.or_else(|| row.cached_zone.clone()),
            updated_at: Some(self.now()),
            ..row.clone()
        };
        self.parts.store.amphora_update(self.lease, &row).await?;
        self.papers_record(row.id, &issued).await
    }

    async fn papers_issue(&self, row: &Amphora) -> Result<Issued, StepError> {
        let (certs, lifetime) = (self.parts.certs.as_ref(), self.options.boot.cert_lifetime);
        Ok(papers_issue(certs, row.id, self.desired.fence, lifetime).await?)
    }

    async fn papers_record(&self, amphora: AmphoraId, issued: &Issued) -> Result<(), StepError> {
        let Issued { authority, expires_at, .. } = issued;
        Ok(self.parts.store.amphora_papers(self.lease, amphora, authority, *expires_at).await?)
    }

    async fn papers_push(&self, row: &Amphora) -> Result<(), StepError> {
        let agent = self.agent(row)?;
        let issued = self.papers_issue(row).await?;
        self.parts.agents.papers_push(agent, &issued.papers).await?;
        tracing::info!(amphora = %row.id, authority = issued.authority, until = %issued.expires_at, "papers renewed");
        self.papers_record(row.id, &issued).await
    }

    /// Where the amphora's agent answers.
    fn agent(&self, row: &Amphora) -> Result<AgentAddress, StepError> {
        let server = self.observed.amphorae.get(&row.id).map_or(Known::Unknown, |seen| seen.server.clone());
        let address = agent_address(row, &server, self.options.agent_port)
            .ok_or_else(|| AgentError::Unreachable("its address is not known".to_owned()))?;
        Ok(AgentAddress { amphora: row.id, address })
    }

    /// Alike for all amphorae of the load balancer; they go on by themselves from there.
    fn tickets(&self) -> Option<TicketSpec> {
        let graph = &self.desired.graph;
        let root = self.options.tickets.as_ref().filter(|_| terminating(graph).next().is_some())?;
        let now = u64::try_from(self.now().as_second()).unwrap_or(0);
        Some(root.of(graph.load_balancer.id, TicketSpec::first_at(now)))
    }

    async fn ports_ensure(&self, row: &Amphora) -> Result<(), StepError> {
        let plumbed = self.plumb(row).await?;
        let row = with_ports(row, &plumbed);
        Ok(self.parts.store.amphora_update(self.lease, &row).await?)
    }

    async fn plumb(&self, row: &Amphora) -> Result<Plumbed, CloudError> {
        let Desired { graph, amphorae, .. } = self.desired;
        plumb(self.parts, graph, amphorae, row, self.options).await
    }

    async fn spec_push(&self, row: &Amphora) -> Result<(), StepError> {
        let agent = self.agent(row)?;
        let graph = &self.desired.graph;
        let mut identities = identities(self.parts.secrets.as_ref(), graph).await?;
        if let Some(stapling) = &self.options.stapling {
            stapling.staple(identities.listeners.values_mut().flatten(), self.parts.clock.as_ref()).await;
        }
        let has_ports = self.parts.compute.has_ports();
        let plumbed = if has_ports { Some(self.plumb(row).await?) } else { None };
        let mut spec = compile(graph, row.id, self.desired.fence, &identities, &self.options.spec);
        spec.tickets = self.tickets();
        let mut row = row.clone();
        if let Some(plumbed) = &plumbed {
            spec = spec.with_network(plumbed.network.clone());
            row = with_ports(&row, plumbed);
        }
        let outcome = self.parts.agents.spec_push(agent, &spec, self.request_ids).await?;
        if let Some(plumbed) = &plumbed {
            ports_remove(self.parts, row.id, &plumbed.needless).await?;
        }
        row.status = AmphoraStatus::Allocated;
        row.applied_generation = row.applied_generation.max(outcome.generation);
        row.updated_at = Some(self.now());
        Ok(self.parts.store.amphora_update(self.lease, &row).await?)
    }
}

fn with_ports(row: &Amphora, plumbed: &Plumbed) -> Amphora {
    let vrrp = plumbed.network.vrrp.as_ref();
    Amphora {
        vrrp_port_id: Some(plumbed.vip_port),
        vrrp_ip: Some(plumbed.vip_port_address),
        vrrp_id: vrrp.map(|vrrp| vrrp.router_id.into()),
        vrrp_priority: vrrp.map(|vrrp| vrrp.priority.into()),
        ..row.clone()
    }
}
