//! Properties that hold from any state.

use jiff::SignedDuration;
use octavia_model::{AmphoraRole, AmphoraStatus, Known, ProvisioningStatus, Topology};
use octavia_plan::{Plan, ServerPower, Step};
use proptest::prelude::*;

use crate::fixture::{amphora, amphora_id, listener, statuses};
use crate::world::World;

#[derive(Debug, Clone)]
struct Start {
    status: AmphoraStatus,
    server: Option<Option<ServerPower>>,
    agent: Option<u64>,
    heard: Option<i64>,
    age: i64,
    to_replace: bool,
}

fn start() -> impl Strategy<Value = Start> {
    let status = prop::sample::select(vec![
        AmphoraStatus::PendingCreate,
        AmphoraStatus::Booting,
        AmphoraStatus::Allocated,
        AmphoraStatus::PendingDelete,
        AmphoraStatus::Error,
    ]);
    let power = prop::sample::select(vec![
        ServerPower::Building,
        ServerPower::Running,
        ServerPower::Stopped,
        ServerPower::Failed,
    ]);
    let server = prop::option::weighted(0.9, prop::option::weighted(0.8, power));
    let agent = prop::option::of(0..5u64);
    (status, server, agent, prop::option::of(0..200i64), 0..2000i64, prop::bool::weighted(0.3)).prop_map(
        |(status, server, agent, heard, age, to_replace)| Start {
            status,
            server,
            agent,
            heard,
            age,
            to_replace,
        },
    )
}

fn world(starts: &[Start], lb: ProvisioningStatus, standby: bool, trusted: bool) -> World {
    let mut world = World::new();
    let root = &mut world.desired.graph.load_balancer;
    root.generation = 3;
    root.applied_generation = 2;
    root.statuses = statuses(lb);
    root.topology = if standby { Topology::ActiveStandby } else { Topology::Single };
    world.desired.deleting = lb == ProvisioningStatus::PendingDelete;
    world.desired.graph.listeners = vec![listener(1, 80), listener(2, 81)];
    world.desired.graph.listeners[1].statuses = statuses(ProvisioningStatus::PendingDelete);
    world.observed.silence_trusted = trusted;
    for (n, start) in (1..).zip(starts) {
        let id = amphora_id(n);
        let mut row = amphora(n, start.status, world.now - SignedDuration::from_secs(start.age));
        row.last_heartbeat_at = start.heard.map(|ago| world.now - SignedDuration::from_secs(ago));
        row.to_replace = start.to_replace;
        row.role = Some(if standby { AmphoraRole::Master } else { AmphoraRole::Standalone });
        world.desired.amphorae.push(row);
        world.amphorae_made = n;
        let agent = start.agent.map(|generation| world.agent(id, generation, 1));
        let seen = world.seen(id);
        seen.agent = agent;
        seen.server = match start.server {
            None => Known::Unknown,
            Some(None) => Known::No,
            Some(Some(power)) => World::server(power),
        };
    }
    world
}

/// Time passes and the world behaves: what is asked answers, what boots comes up.
fn behave(world: &mut World) {
    world.now += SignedDuration::from_secs(30);
    let ids: Vec<_> = world.desired.amphorae.iter().map(|a| a.id).collect();
    for id in ids {
        let boots = world.agent(id, 0, 0);
        let seen = world.seen(id);
        match &seen.server {
            Known::Unknown => seen.server = Known::No,
            Known::Yes(server) if server.power == ServerPower::Building => {
                seen.server = World::server(ServerPower::Running);
            }
            Known::Yes(server) if server.power == ServerPower::Running && seen.agent.is_none() => {
                seen.agent = Some(boots);
            }
            _ => {}
        }
    }
}

proptest! {
    #[test]
    fn every_state_converges(
        starts in prop::collection::vec(start(), 0..4),
        lb in prop::sample::select(ProvisioningStatus::ALL.to_vec()),
        standby: bool,
        trusted: bool,
    ) {
        prop_assume!(lb != ProvisioningStatus::Deleted);
        let mut world = world(&starts, lb, standby, trusted);
        let wanted = if standby { 2 } else { 1 };
        let at_start = world.desired.amphorae.len();
        for _ in 0..40 {
            match world.plan() {
                Plan::Done => {
                    prop_assert!(!world.desired.deleting);
                    let lb = &world.desired.graph.load_balancer;
                    prop_assert_eq!(lb.statuses.provisioning, ProvisioningStatus::Active);
                    prop_assert_eq!(lb.applied_generation, 3);
                    prop_assert_eq!(world.desired.amphorae.len(), wanted);
                    prop_assert!(!world.desired.amphorae.iter().any(|a| a.to_replace));
                    prop_assert_eq!(world.desired.graph.listeners.len(), 1);
                    return Ok(());
                }
                Plan::Wait(_) => behave(&mut world),
                Plan::Run(steps) => {
                    prop_assert!(!steps.is_empty());
                    let mut amphorae: Vec<_> = steps.iter().filter_map(Step::amphora).collect();
                    let about = amphorae.len();
                    amphorae.sort();
                    amphorae.dedup();
                    prop_assert_eq!(amphorae.len(), about, "one step an amphora: they run side by side");
                    for step in steps {
                        world.apply(step);
                    }
                    prop_assert!(world.desired.amphorae.len() <= at_start.max(wanted + 1));
                    if world.is_deleted() {
                        prop_assert!(world.desired.deleting);
                        return Ok(());
                    }
                }
            }
        }
        prop_assert!(false, "no end: {:?}", world);
    }

    #[test]
    fn could_not_ask_is_not_not_there(starts in prop::collection::vec(start(), 1..3), standby: bool) {
        let mut world = world(&starts, ProvisioningStatus::Active, standby, true);
        for seen in world.observed.amphorae.values_mut() {
            seen.server = Known::Unknown;
            seen.agent = None;
        }
        let retired: Vec<_> = world.desired.amphorae.iter()
            .filter(|a| a.status == AmphoraStatus::PendingDelete).map(|a| a.id).collect();
        let staying = world.desired.amphorae.iter()
            .filter(|a| !a.to_replace || a.status == AmphoraStatus::PendingDelete).count();
        let wanted = if standby { 2 } else { 1 };
        if let Plan::Run(steps) = world.plan() {
            for step in steps {
                match step {
                    Step::AmphoraDelete { amphora } => prop_assert!(retired.contains(&amphora)),
                    Step::AmphoraCreate { .. } => prop_assert!(staying - retired.len() < wanted),
                    // Or somebody asked for just that.
                    Step::AmphoraRetire { amphora, .. } => prop_assert!(
                        world.row(amphora).to_replace || starts.len() - retired.len() > wanted
                    ),
                    step => prop_assert!(false, "{}", step),
                }
            }
        }
    }
}
