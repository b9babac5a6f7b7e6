//! What a change would lead to.

use jiff::SignedDuration;
use octavia_model::{AmphoraRole, AmphoraStatus, LoadBalancerGraph, ProvisioningStatus, Topology};
use octavia_plan::{Affected, Desired, Effect, Forecast, Impact, PlanOptions, Step, forecast, impacts};

use crate::fixture::{
    amphora, amphora_id, graph, listener, listener_id, member, member_id, pool, pool_id, start, statuses,
};

/// `running` amphorae in service, `marked` of them to be replaced; the desired generation is 2, theirs 1.
fn desired(graph: LoadBalancerGraph, running: u16, marked: u16) -> Desired {
    let pair = graph.load_balancer.topology == Topology::ActiveStandby;
    let role = |n| match (pair, n) {
        (false, _) => AmphoraRole::Standalone,
        (true, 1) => AmphoraRole::Master,
        (true, _) => AmphoraRole::Backup,
    };
    let row = |n| {
        let mut row = amphora(n, AmphoraStatus::Allocated, start());
        (row.applied_generation, row.to_replace, row.role) = (1, n <= marked, Some(role(n)));
        row
    };
    let deleting = graph.load_balancer.statuses.provisioning == ProvisioningStatus::PendingDelete;
    Desired {
        graph,
        amphorae: (1..=running).map(row).collect(),
        deleting,
        pending_since: None,
        attempts: 0,
        last_error: None,
        fence: u64::MAX,
    }
}

fn told(desired: &Desired) -> Forecast {
    told_of(desired, false)
}

fn told_of(desired: &Desired, agreeing: bool) -> Forecast {
    forecast(desired.clone(), agreeing, start() + SignedDuration::from_hours(1), &PlanOptions::default())
}

fn served(generation: u64, root: ProvisioningStatus) -> LoadBalancerGraph {
    let mut graph = graph();
    graph.load_balancer.generation = generation;
    graph.load_balancer.statuses = statuses(root);
    graph.listeners = vec![listener(1, 80)];
    graph.listeners[0].default_pool_id = Some(pool_id(1));
    graph.pools = vec![pool(1)];
    graph.members = vec![member(1, 1), member(2, 1)];
    graph
}

#[test]
fn steps_until_there_is_nothing_to_do() {
    use ProvisioningStatus::{Active, PendingCreate, PendingDelete, PendingUpdate};
    let boot = "amphora_create server_ensure spec_push settle";
    for (topology, root, generation, running, marked, steps, made) in [
        (Topology::Single, PendingCreate, 1, 0, 0, boot, 1),
        (Topology::Single, PendingUpdate, 2, 1, 0, "spec_push settle", 0),
        (Topology::Single, Active, 1, 1, 0, "", 0),
        (Topology::Single, PendingDelete, 2, 1, 0, "amphora_delete load_balancer_delete", 0),
        (Topology::Single, PendingDelete, 2, 0, 0, "load_balancer_delete", 0),
        (
            Topology::Single,
            PendingUpdate,
            2,
            1,
            1,
            "spec_push amphora_create server_ensure amphora_retire amphora_delete spec_push settle",
            1,
        ),
        (
            Topology::ActiveStandby,
            PendingCreate,
            1,
            0,
            0,
            "amphora_create amphora_create server_ensure server_ensure spec_push spec_push settle",
            2,
        ),
        (
            Topology::ActiveStandby,
            PendingDelete,
            2,
            2,
            0,
            "amphora_delete amphora_delete load_balancer_delete",
            0,
        ),
    ] {
        let mut graph = served(generation, root);
        graph.load_balancer.topology = topology;
        let told = told(&desired(graph, running, marked));
        let names: Vec<_> = told.steps.iter().map(|step| step.name()).collect();
        assert_eq!(names.join(" "), steps, "{topology} {root} {running} {marked}");
        assert_eq!(told.new_amphorae.len(), made);
    }
}

/// Amphorae that agree on who holds the VIPs need no other one to go before they have their spec.
#[test]
fn pairs_that_agree() {
    use ProvisioningStatus::{Active, PendingCreate, PendingUpdate};
    for (root, generation, running, marked, steps, made) in [
        (
            PendingCreate,
            1,
            0,
            0,
            "amphora_create amphora_create server_ensure server_ensure ports_ensure ports_ensure spec_push \
             spec_push settle",
            2,
        ),
        (PendingUpdate, 2, 2, 0, "spec_push spec_push settle", 0),
        (Active, 1, 2, 0, "", 0),
        // All are told of the new one, which serves before the old one goes; then that this is gone.
        (
            Active,
            1,
            2,
            1,
            "amphora_create server_ensure ports_ensure spec_push spec_push spec_push amphora_retire \
             amphora_delete spec_push spec_push",
            1,
        ),
    ] {
        let mut graph = served(generation, root);
        graph.load_balancer.topology = Topology::ActiveStandby;
        let mut desired = desired(graph, running, marked);
        for (row, last) in desired.amphorae.iter_mut().zip(11..) {
            row.vrrp_ip = Some([192, 0, 2, last].into());
        }
        let told = told_of(&desired, true);
        let names: Vec<_> = told.steps.iter().map(|step| step.name()).collect();
        assert_eq!(names.join(" "), steps, "{root} {running} {marked}");
        assert_eq!(told.new_amphorae.len(), made);
    }
}

/// Also from states that are no good, it ends.
#[test]
fn forecasts_end() {
    for status in AmphoraStatus::ALL {
        for root in ProvisioningStatus::ALL {
            let mut desired = desired(served(2, *root), 3, 1);
            desired.amphorae.iter_mut().for_each(|row| row.status = *status);
            for agreeing in [false, true] {
                let told = told_of(&desired, agreeing);
                assert!(told.steps.len() < 20, "{status} {root}: {:?}", told.steps);
            }
        }
    }
}

#[test]
fn what_traffic_sees() {
    type Change = fn(&mut LoadBalancerGraph);
    let leaves = |graph: &mut LoadBalancerGraph| {
        graph.load_balancer.statuses = statuses(ProvisioningStatus::PendingDelete);
        graph.listeners[0].statuses = statuses(ProvisioningStatus::PendingDelete);
    };
    let cases: [(&str, Change, &str); 16] = [
        ("nothing", |_| {}, ""),
        ("a name", |graph| graph.listeners[0].name = "x".to_owned(), ""),
        ("a weight", |graph| graph.members[0].weight = Some(7), ""),
        ("a limit", |graph| graph.listeners[0].connection_limit = Some(1), ""),
        ("drain one", |graph| graph.members[0].weight = Some(0), "drained member 1"),
        ("maintenance", |graph| graph.members[1].admin_state_up = false, "drained member 2"),
        (
            "one leaves",
            |graph| graph.members[0].statuses = statuses(ProvisioningStatus::PendingDelete),
            "drained member 1",
        ),
        ("another address", |graph| graph.members[0].address = "127.0.9.9".to_owned(), "drained member 1"),
        ("all go", |graph| graph.members.clear(), "unserved listener 1, drained member 1, drained member 2"),
        (
            "no pool",
            |graph| graph.listeners[0].default_pool_id = None,
            "unserved listener 1, drained member 1, drained member 2",
        ),
        (
            "the pool is down",
            |graph| graph.pools[0].admin_state_up = false,
            "unserved listener 1, drained member 1, drained member 2",
        ),
        ("one more listener", |graph| graph.listeners.push(listener(2, 81)), "opened listener 2"),
        (
            "the listener goes",
            |graph| graph.listeners.clear(),
            "refused listener 1, drained member 1, drained member 2",
        ),
        (
            "the listener is down",
            |graph| graph.listeners[0].admin_state_up = false,
            "refused listener 1, drained member 1, drained member 2",
        ),
        (
            "all is down",
            |graph| graph.load_balancer.admin_state_up = false,
            "refused listener 1, drained member 1, drained member 2",
        ),
        ("all goes", leaves, "cut amphora 1, refused listener 1"),
    ];
    for (what, change, expected) in cases {
        let before = served(1, ProvisioningStatus::Active);
        let mut after = served(2, ProvisioningStatus::PendingUpdate);
        change(&mut after);
        let desired = desired(after, 1, 0);
        let told = told(&desired);
        let impacts = impacts(Some(&before), &desired.graph, &desired.amphorae, &told.steps);
        assert_eq!(lines(&impacts), expected, "{what}");
    }
}

#[test]
fn whom_a_listener_no_longer_lets_in() {
    for (before, after, expected) in [
        ("", "", ""),
        ("", "10.0.0.0/8", "refused"),
        ("10.0.0.0/8", "", ""),
        ("10.0.0.0/8", "10.0.0.0/8 fd00::/8", ""),
        ("10.0.0.0/8 fd00::/8", "10.0.0.0/8", "refused"),
        ("10.1.0.0/16", "10.0.0.0/8", ""),
        ("10.0.0.0/8", "10.1.0.0/16", "refused"),
    ] {
        let with = |nets: &str, generation| {
            let mut graph = served(generation, ProvisioningStatus::Active);
            let nets = nets.split_whitespace().map(|net| net.parse().unwrap()).collect::<Vec<_>>();
            graph.listeners[0].allowed_cidrs = (!nets.is_empty()).then_some(nets);
            graph
        };
        let found = impacts(Some(&with(before, 1)), &with(after, 2), &[], &[]);
        let effects = found.iter().map(|impact| impact.effect.as_str()).collect::<Vec<_>>().join(", ");
        assert_eq!(effects, expected, "{before} to {after}: {found:?}");
    }
}

fn named(affected: Affected) -> String {
    let of = |found: Option<u16>| found.map_or("?".to_owned(), |n| n.to_string());
    match affected {
        Affected::Listener(id) => format!("listener {}", of((1..4).find(|n| listener_id(*n) == id))),
        Affected::Member(id) => format!("member {}", of((1..4).find(|n| member_id(*n) == id))),
        Affected::Amphora(id) => format!("amphora {}", of((1..4).find(|n| amphora_id(*n) == id))),
    }
}

#[test]
fn a_replacement_cuts_what_it_carries() {
    for (topology, listens, marked, expected) in [
        (Topology::Single, true, 1, "cut amphora 1, refused listener 1"),
        (Topology::Single, false, 1, ""),
        // One of them is always there; the one that does not carry goes first.
        (Topology::ActiveStandby, true, 2, "cut amphora 2, cut amphora 1"),
        (Topology::ActiveStandby, true, 1, "cut amphora 1"),
        (Topology::Single, true, 0, ""),
    ] {
        let mut graph = served(2, ProvisioningStatus::PendingUpdate);
        graph.load_balancer.topology = topology;
        if !listens {
            graph.listeners.clear();
        }
        let running = if topology == Topology::Single { 1 } else { 2 };
        let desired = desired(graph, running, marked);
        let found = impacts(Some(&desired.graph), &desired.graph, &desired.amphorae, &told(&desired).steps);
        assert_eq!(lines(&found), expected, "{topology} {listens} {marked}: {found:?}");
    }
}

/// So that the one that carries does so until another is ready to take over, and connections move once.
#[test]
fn of_a_pair_the_backup_is_replaced_first() {
    let mut graph = served(2, ProvisioningStatus::PendingUpdate);
    graph.load_balancer.topology = Topology::ActiveStandby;
    let told = told(&desired(graph, 2, 2));
    let (master, backup) = (amphora_id(1), amphora_id(2));
    let order: Vec<_> = told
        .steps
        .iter()
        .filter_map(|step| match step {
            Step::AmphoraCreate { role } => Some(format!("create {role}")),
            Step::AmphoraDelete { amphora } if *amphora == master => Some("delete MASTER".to_owned()),
            Step::AmphoraDelete { amphora } if *amphora == backup => Some("delete BACKUP".to_owned()),
            _ => None,
        })
        .collect();
    assert_eq!(order.join(", "), "create BACKUP, delete BACKUP, create MASTER, delete MASTER");
}

fn lines(impacts: &[Impact]) -> String {
    let line = |impact: &Impact| format!("{} {}", impact.effect.as_str(), named(impact.affected));
    impacts.iter().map(line).collect::<Vec<_>>().join(", ")
}

/// How long nobody can connect is the boot of an amphora only if none is kept for it.
#[test]
fn the_gap_between_two_amphorae() {
    let (old, new) = (amphora_id(1), amphora_id(2));
    let (delete, push) = (Step::AmphoraDelete { amphora: old }, Step::SpecPush { amphora: new });
    let boot = Step::ServerEnsure { amphora: new };
    for (what, steps, expected) in [
        ("booted before", vec![boot.clone(), delete.clone(), push.clone()], Some(false)),
        ("booted in between", vec![delete.clone(), boot.clone(), push.clone()], Some(true)),
        ("configured before", vec![boot.clone(), push.clone(), delete.clone()], None),
        ("nothing comes after", vec![delete, boot], None),
    ] {
        let desired = desired(served(2, ProvisioningStatus::PendingUpdate), 1, 0);
        let found = impacts(Some(&desired.graph), &desired.graph, &desired.amphorae, &steps);
        let refused = found.iter().find(|impact| impact.effect == Effect::Refused);
        assert_eq!(
            refused.map(|impact| impact.text.contains("takes to boot")),
            expected,
            "{what}: {found:?}"
        );
    }
}

/// A new load balancer interrupts nobody.
#[test]
fn what_is_new_opens() {
    let desired = desired(served(1, ProvisioningStatus::PendingCreate), 0, 0);
    let found = impacts(None, &desired.graph, &[], &told(&desired).steps);
    assert_eq!(found.iter().map(|impact| impact.effect.as_str()).collect::<Vec<_>>(), ["opened"]);
}
