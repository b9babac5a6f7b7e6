//! What a worker would do if nothing went wrong: plan after plan, in a world in which every step succeeds at once.
//!
//! It shows people what a change leads to before they make it. Nothing decides by it.

use std::net::IpAddr;

use jiff::Timestamp;
use newtype_uuid::GenericUuid;
use octavia_model::{
    Amphora, AmphoraId, AmphoraRole, AmphoraStatus, Known, LoadBalancerGraph, ProvisioningStatus, Statuses,
    VrrpState,
};
use octavia_wire::{AgentInfo, VrrpReport, WIRE_VERSION};

use crate::planner::{Plan, PlanOptions, peers, plan};
use crate::step::Step;
use crate::world::{Desired, Observed, ObservedAmphora, ObservedServer, ServerPower};

/// Plans at most; every load balancer converges within fewer.
const ROUNDS: usize = 50;

/// The steps in order, without those that only note what was observed.
#[derive(Debug, Clone, PartialEq)]
pub struct Forecast {
    pub steps: Vec<Step>,
    /// Stand-ins for the ids that new amphorae would get.
    pub new_amphorae: Vec<AmphoraId>,
}

/// Begins where rows say that things are, and takes them for true: what has a server runs, and has the generation that
/// it said last. `agreeing` = amphorae of a pair agree by themselves on who holds the VIPs, and do.
pub fn forecast(desired: Desired, agreeing: bool, now: Timestamp, options: &PlanOptions) -> Forecast {
    let mut world = World::new(desired, agreeing, now);
    let mut steps = vec![];
    for _ in 0..ROUNDS {
        let Plan::Run(batch) = plan(&world.desired, &world.observed, now, options) else { break };
        let ends = batch.contains(&Step::LoadBalancerDelete);
        for step in batch {
            world.apply(&step);
            if !matches!(step, Step::AmphoraRecord(_)) {
                steps.push(step);
            }
        }
        if ends {
            break;
        }
    }
    Forecast { steps, new_amphorae: world.made }
}

struct World {
    desired: Desired,
    observed: Observed,
    now: Timestamp,
    made: Vec<AmphoraId>,
}

impl World {
    fn new(desired: Desired, agreeing: bool, now: Timestamp) -> Self {
        let amphorae = desired.amphorae.iter().map(|row| (row.id, seen(row))).collect();
        let observed =
            Observed { vip: Known::Yes(()), amphorae, silence_trusted: false, agreeing, trust: None };
        let mut world = Self { desired, observed, now, made: vec![] };
        for id in world.desired.amphorae.iter().map(|row| row.id).collect::<Vec<_>>() {
            world.inform(id);
        }
        world
    }

    /// Its agent knows of all others that there are now.
    fn inform(&mut self, id: AmphoraId) {
        let peers = peers(&self.desired.amphorae, id).into_iter().collect();
        let report = VrrpReport { state: VrrpState::Backup, holds: false, peers };
        let report = Some(report).filter(|_| self.observed.agreeing);
        if let Some(agent) = self.observed.amphorae.get_mut(&id).and_then(|seen| seen.agent.as_mut()) {
            agent.vrrp = report;
        }
    }

    fn apply(&mut self, step: &Step) {
        let generation = self.desired.graph.load_balancer.generation;
        match step {
            Step::VipEnsure => self.observed.vip = Known::Yes(()),
            Step::AmphoraCreate { role } => self.amphora_create(*role),
            Step::ServerEnsure { amphora } => {
                self.update(*amphora, |row| row.status = AmphoraStatus::Booting);
                let started = ObservedAmphora { server: running(), agent: Some(agent(*amphora, 0, 0)) };
                self.observed.amphorae.insert(*amphora, started);
            }
            Step::SpecPush { amphora } => {
                self.update(*amphora, |row| {
                    row.status = AmphoraStatus::Allocated;
                    row.applied_generation = generation;
                });
                let said = agent(*amphora, generation, self.desired.fence);
                let pushed = ObservedAmphora { server: running(), agent: Some(said) };
                self.observed.amphorae.insert(*amphora, pushed);
                self.inform(*amphora);
            }
            Step::AmphoraRecord(row) => self.update(row.id, |old| old.clone_from(row)),
            Step::AmphoraRetire { amphora, .. } => {
                let now = self.now;
                self.update(*amphora, |row| {
                    row.status = AmphoraStatus::PendingDelete;
                    row.updated_at = Some(now);
                });
            }
            Step::AmphoraDelete { amphora } => {
                self.desired.amphorae.retain(|row| row.id != *amphora);
                self.observed.amphorae.remove(amphora);
            }
            Step::Settle { generation, .. } => settle(&mut self.desired.graph, *generation),
            Step::Fail { reason, .. } => {
                let statuses = &mut self.desired.graph.load_balancer.statuses;
                statuses.provisioning = ProvisioningStatus::Error;
                statuses.reason = Some(reason.clone());
            }
            Step::PortsEnsure { amphora } => {
                // Unlike any other, and of no network.
                let stand_in = IpAddr::from(amphora.into_untyped_uuid().into_bytes());
                self.update(*amphora, |row| row.vrrp_ip = Some(stand_in));
            }
            Step::PapersPush { .. } | Step::LoadBalancerDelete => {}
        }
    }

    fn amphora_create(&mut self, role: AmphoraRole) {
        // No random id is like it.
        let id = AmphoraId::from_untyped_uuid(uuid::Uuid::from_u128(1 + self.made.len() as u128));
        self.made.push(id);
        self.desired.amphorae.push(Amphora::new(id, self.desired.graph.load_balancer.id, role, self.now));
        self.observed.amphorae.insert(id, ObservedAmphora { server: Known::No, agent: None });
    }

    fn update(&mut self, id: AmphoraId, change: impl FnOnce(&mut Amphora)) {
        if let Some(row) = self.desired.amphorae.iter_mut().find(|row| row.id == id) {
            change(row);
        }
    }
}

fn seen(row: &Amphora) -> ObservedAmphora {
    match row.status {
        AmphoraStatus::PendingCreate => ObservedAmphora { server: Known::No, agent: None },
        _ => ObservedAmphora { server: running(), agent: Some(agent(row.id, row.applied_generation, 0)) },
    }
}

fn running() -> Known<ObservedServer> {
    Known::Yes(ObservedServer { compute_id: String::new(), power: ServerPower::Running, agent: None })
}

fn agent(amphora_id: AmphoraId, generation: u64, fence: u64) -> AgentInfo {
    AgentInfo {
        amphora_id,
        api_version: String::new(),
        software_version: String::new(),
        wire_version: WIRE_VERSION,
        boot: Some(uuid::Uuid::nil()),
        fence,
        generation,
        faults: vec![],
        interfaces: vec![],
        vrrp: None,
        refresh_at: None,
        papers: None,
        takeover: None,
        predecessors: 0,
    }
}

/// What is pending ends, and what is leaving is gone.
fn settle(graph: &mut LoadBalancerGraph, generation: u64) {
    fn children<T>(children: &mut Vec<T>, statuses: impl Fn(&mut T) -> &mut Statuses) {
        children.retain_mut(|child| {
            let statuses = statuses(child);
            let stays = !statuses.provisioning.is_leaving();
            *statuses = Statuses {
                provisioning: ProvisioningStatus::Active,
                operating: statuses.operating,
                reason: None,
            };
            stays
        });
    }
    let root = &mut graph.load_balancer;
    root.applied_generation = generation;
    root.statuses.provisioning = ProvisioningStatus::Active;
    root.statuses.reason = None;
    children(&mut graph.listeners, |listener| &mut listener.statuses);
    children(&mut graph.pools, |pool| &mut pool.statuses);
    children(&mut graph.members, |member| &mut member.statuses);
    children(&mut graph.health_monitors, |monitor| &mut monitor.statuses);
    children(&mut graph.l7policies, |policy| &mut policy.statuses);
    children(&mut graph.l7rules, |rule| &mut rule.statuses);
}
