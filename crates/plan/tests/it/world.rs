//! A world in which steps succeed: applies plans, so that scenarios and properties see where they lead.

use std::collections::BTreeMap;
use std::net::IpAddr;

use jiff::{SignedDuration, Timestamp};
use octavia_model::{Amphora, AmphoraId, AmphoraStatus, Known, ProvisioningStatus, Statuses, VrrpState};
use octavia_plan::{
    Desired, Observed, ObservedAmphora, ObservedServer, Plan, PlanOptions, ServerPower, Step, peers, plan,
};
use octavia_wire::{AgentInfo, ListenerFault, PapersReport, VrrpReport};

use crate::fixture::{amphora, amphora_id, graph, start};

#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) desired: Desired,
    pub(crate) observed: Observed,
    pub(crate) now: Timestamp,
    pub(crate) options: PlanOptions,
    /// A server that is started answers at once.
    pub(crate) boots_at_once: bool,
    /// What an agent finds when it applies a spec.
    pub(crate) faults: BTreeMap<AmphoraId, Vec<ListenerFault>>,
    /// When agents want what authorities say anew, in seconds since 1970.
    pub(crate) refreshes: BTreeMap<AmphoraId, u64>,
    pub(crate) papers: BTreeMap<AmphoraId, PapersReport>,
    pub(crate) amphorae_made: u16,
    /// These cannot speak VRRP.
    pub(crate) mute: Vec<AmphoraId>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self {
            desired: Desired {
                graph: graph(),
                amphorae: vec![],
                deleting: false,
                pending_since: None,
                attempts: 0,
                last_error: None,
                fence: 1,
            },
            observed: Observed {
                vip: Known::Yes(()),
                amphorae: BTreeMap::new(),
                silence_trusted: true,
                agreeing: false,
                trust: None,
            },
            now: start() + SignedDuration::from_hours(24),
            options: PlanOptions::default(),
            boots_at_once: true,
            faults: BTreeMap::new(),
            refreshes: BTreeMap::new(),
            papers: BTreeMap::new(),
            amphorae_made: 0,
            mute: vec![],
        }
    }

    pub(crate) fn plan(&self) -> Plan {
        plan(&self.desired, &self.observed, self.now, &self.options)
    }

    pub(crate) fn seen(&mut self, id: AmphoraId) -> &mut ObservedAmphora {
        self.observed.amphorae.entry(id).or_insert(ObservedAmphora { server: Known::No, agent: None })
    }

    pub(crate) fn row(&mut self, id: AmphoraId) -> &mut Amphora {
        self.desired.amphorae.iter_mut().find(|a| a.id == id).expect("a row for every step")
    }

    pub(crate) fn server(power: ServerPower) -> Known<ObservedServer> {
        let agent = Some("127.100.0.9:9443".parse().unwrap());
        Known::Yes(ObservedServer { compute_id: "server".to_owned(), power, agent })
    }

    pub(crate) fn agent(&self, id: AmphoraId, generation: u64, fence: u64) -> AgentInfo {
        AgentInfo {
            amphora_id: id,
            api_version: "2.0".to_owned(),
            software_version: "test".to_owned(),
            wire_version: octavia_wire::WIRE_VERSION,
            boot: Some(uuid::Uuid::nil()),
            fence,
            generation,
            faults: if generation == 0 { vec![] } else { self.faults.get(&id).cloned().unwrap_or_default() },
            interfaces: vec![],
            vrrp: None,
            refresh_at: self.refreshes.get(&id).copied(),
            papers: self.papers.get(&id).cloned(),
            takeover: None,
            predecessors: 0,
        }
    }

    /// It has its own address since its ports were made, and was told of the others.
    pub(crate) fn agreeing(&mut self, id: AmphoraId) -> VrrpReport {
        let place = self.desired.amphorae.iter().position(|row| row.id == id).expect("a row") as u8;
        let row = self.row(id);
        row.vrrp_ip.get_or_insert(IpAddr::from([192, 0, 2, 11 + place]));
        let peers = peers(&self.desired.amphorae, id).into_iter().collect();
        VrrpReport { state: VrrpState::Backup, holds: false, peers }
    }

    pub(crate) fn apply(&mut self, step: Step) {
        let generation = self.desired.graph.load_balancer.generation;
        let now = self.now;
        match step {
            Step::VipEnsure => self.observed.vip = Known::Yes(()),
            Step::AmphoraCreate { role } => {
                self.amphorae_made += 1;
                let mut row = amphora(self.amphorae_made, AmphoraStatus::PendingCreate, now);
                row.role = Some(role);
                self.seen(row.id);
                self.desired.amphorae.push(row);
            }
            Step::ServerEnsure { amphora } => {
                let agent = self.boots_at_once.then(|| self.agent(amphora, 0, 0));
                *self.seen(amphora) = ObservedAmphora { server: Self::server(ServerPower::Running), agent };
                let row = self.row(amphora);
                row.status = AmphoraStatus::Booting;
                row.compute_id = Some("server".to_owned());
                row.lb_network_ip = Some("127.100.0.9".parse().unwrap());
                row.updated_at = Some(now);
            }
            Step::PortsEnsure { amphora } => {
                self.agreeing(amphora);
            }
            Step::SpecPush { amphora } => {
                let mut agent = self.agent(amphora, generation, self.desired.fence);
                if self.observed.agreeing {
                    let report = self.agreeing(amphora);
                    agent.vrrp = Some(report).filter(|_| !self.mute.contains(&amphora));
                }
                self.seen(amphora).agent = Some(agent);
                let row = self.row(amphora);
                row.status = AmphoraStatus::Allocated;
                row.applied_generation = generation;
            }
            Step::PapersPush { amphora } => {
                let wanted = self.observed.trust.clone().expect("papers are renewed as somebody wants them");
                let has = PapersReport { fence: self.desired.fence, mark: wanted.mark };
                self.papers.insert(amphora, has.clone());
                if let Some(agent) = &mut self.seen(amphora).agent {
                    agent.papers = Some(has);
                }
                let row = self.row(amphora);
                row.cert_expiration = Some(now + SignedDuration::from_hours(24 * 30));
                row.cert_authority = Some(wanted.authority);
            }
            Step::AmphoraRecord(row) => self.row(row.id).clone_from(&row),
            Step::AmphoraRetire { amphora, .. } => {
                let row = self.row(amphora);
                row.status = AmphoraStatus::PendingDelete;
                row.updated_at = Some(now);
            }
            Step::AmphoraDelete { amphora } => {
                self.desired.amphorae.retain(|a| a.id != amphora);
                self.observed.amphorae.remove(&amphora);
            }
            Step::Settle { generation: settled, faults } => {
                assert_eq!(settled, generation);
                let graph = &mut self.desired.graph;
                let settle = |statuses: &mut Statuses| {
                    statuses.provisioning = ProvisioningStatus::Active;
                    statuses.reason = None;
                };
                settle(&mut graph.load_balancer.statuses);
                graph.load_balancer.applied_generation = settled;
                graph.listeners.retain(|l| !l.statuses.provisioning.is_leaving());
                for listener in &mut graph.listeners {
                    settle(&mut listener.statuses);
                    if let Some(reason) = faults.get(&listener.id) {
                        listener.statuses.provisioning = ProvisioningStatus::Error;
                        listener.statuses.reason = Some(reason.clone());
                    }
                }
                self.desired.pending_since = None;
            }
            Step::Fail { reason, .. } => {
                self.desired.graph.load_balancer.statuses.provisioning = ProvisioningStatus::Error;
                self.desired.graph.load_balancer.statuses.reason = Some(reason);
            }
            Step::LoadBalancerDelete => {
                assert!(
                    self.desired.amphorae.is_empty(),
                    "an address is given back only when nobody uses it"
                );
                self.desired.graph.load_balancer.statuses.provisioning = ProvisioningStatus::Deleted;
            }
        }
    }

    pub(crate) fn is_deleted(&self) -> bool {
        self.desired.graph.load_balancer.statuses.provisioning == ProvisioningStatus::Deleted
    }

    /// The amphora's name in scenarios: `a1`, `a2`, …
    pub(crate) fn amphora_named(name: &str) -> AmphoraId {
        amphora_id(
            name.strip_prefix('a').and_then(|n| n.parse().ok()).unwrap_or_else(|| panic!("amphora {name:?}")),
        )
    }
}
