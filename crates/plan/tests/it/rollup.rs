//! Every row of the operating status table (`reference/api.md` §5.5).

use std::collections::BTreeMap;

use octavia_model::{
    LoadBalancerGraph, OperatingStatus as O, ProvisioningStatus as P, Reason, ReasonCode as R, Statuses,
};
use octavia_plan::{StatusChanges, is_lifeless, lacks_proxy, rollup, rollup_silent};
use octavia_wire::{
    Heartbeat, ListenerFault, ListenerReport, ListenerWord, MemberWord, PoolReport, PoolWord,
};

use crate::fixture::{amphora_id, graph, listener, listener_id, member, member_id, pool, pool_id};

/// Listener 1 → pool 1 with members 1 and 2; all `OFFLINE`, as created.
fn tree() -> LoadBalancerGraph {
    let mut graph = graph();
    graph.listeners.push(listener(1, 80));
    graph.listeners[0].default_pool_id = Some(pool_id(1));
    graph.pools.push(pool(1));
    graph.members = vec![member(1, 1), member(2, 1)];
    let all =
        [&mut graph.load_balancer.statuses, &mut graph.listeners[0].statuses, &mut graph.pools[0].statuses];
    for statuses in all.into_iter().chain(graph.members.iter_mut().map(|m| &mut m.statuses)) {
        statuses.operating = O::Offline;
    }
    graph
}

fn beat(listener: Option<ListenerWord>, pool: Option<(PoolWord, &[MemberWord])>) -> Heartbeat {
    let report = |status| ListenerReport { status, stats: Default::default() };
    Heartbeat {
        id: amphora_id(1),
        seq: 1,
        ver: 2,
        listeners: listener.map(|word| (listener_id(1), report(word))).into_iter().collect(),
        pools: pool
            .map(|(status, members)| {
                let members = (1..).map(member_id).zip(members.iter().copied()).collect();
                (
                    format!("{}:{}", pool_id(1), listener_id(1)),
                    PoolReport { status, members, checks: BTreeMap::new() },
                )
            })
            .into_iter()
            .collect(),
        boot: None,
        generation: Some(1),
        faults: vec![],
        partial: false,
        vrrp: None,
    }
}

fn apply(graph: &mut LoadBalancerGraph, changes: StatusChanges) {
    let set = |statuses: &mut Statuses, change: octavia_plan::StatusChange| {
        statuses.operating = change.operating;
        statuses.reason = change.reason;
    };
    if let Some(change) = changes.load_balancer {
        set(&mut graph.load_balancer.statuses, change);
    }
    for (id, change) in changes.listeners {
        set(&mut graph.listener_mut(id).unwrap().statuses, change);
    }
    for (id, change) in changes.pools {
        set(&mut graph.pool_mut(id).unwrap().statuses, change);
    }
    for (id, change) in changes.members {
        set(&mut graph.member_mut(id).unwrap().statuses, change);
    }
}

/// Rolls a beat up and returns `load balancer, listener, pool, members`; a second time nothing may change.
fn rolled(graph: &mut LoadBalancerGraph, beat: &Heartbeat) -> (O, O, O, Vec<O>) {
    let changes = rollup(graph, beat);
    apply(graph, changes);
    assert_eq!(rollup(graph, beat), StatusChanges::default(), "only differences are written");
    let bad = |s: &Statuses| matches!(s.operating, O::Error | O::Degraded);
    for statuses in [&graph.load_balancer.statuses, &graph.listeners[0].statuses, &graph.pools[0].statuses] {
        assert_eq!(bad(statuses), statuses.reason.is_some(), "bad news has a reason: {statuses:?}");
    }
    (
        graph.load_balancer.statuses.operating,
        graph.listeners[0].statuses.operating,
        graph.pools[0].statuses.operating,
        graph.members.iter().map(|m| m.statuses.operating).collect(),
    )
}

#[test]
fn every_row_of_the_table() {
    use ListenerWord::{Full, Open};
    use MemberWord::{Down, Drain, Maintenance, NoCheck, Restarting, Up};
    let up = PoolWord::Up;
    let down = PoolWord::Down;
    for (listener, pool, expected) in [
        (Some(Open), Some((up, &[Up, Up][..])), (O::Online, O::Online, O::Online, vec![O::Online; 2])),
        (Some(Full), Some((up, &[Up, Up][..])), (O::Degraded, O::Degraded, O::Online, vec![O::Online; 2])),
        // an active load balancer's enabled listener is missing: it is ERROR, the load balancer is not for it
        (None, Some((up, &[Up, Up][..])), (O::Online, O::Error, O::Online, vec![O::Online; 2])),
        (
            Some(ListenerWord::Unknown),
            Some((up, &[Up, Up][..])),
            (O::Online, O::Offline, O::Online, vec![O::Online; 2]),
        ),
        // pools
        (Some(Open), Some((down, &[Down, Down][..])), (O::Error, O::Online, O::Error, vec![O::Error; 2])),
        (Some(Full), Some((down, &[Down, Down][..])), (O::Error, O::Degraded, O::Error, vec![O::Error; 2])),
        (Some(Open), None, (O::Online, O::Online, O::Offline, vec![O::Offline; 2])),
        (
            Some(Open),
            Some((PoolWord::Unknown, &[Up, Up][..])),
            (O::Online, O::Online, O::Offline, vec![O::Online; 2]),
        ),
        // members
        (
            Some(Open),
            Some((up, &[Up, Down][..])),
            (O::Degraded, O::Online, O::Degraded, vec![O::Online, O::Error]),
        ),
        (
            Some(Open),
            Some((up, &[Up, Drain][..])),
            (O::Online, O::Online, O::Online, vec![O::Online, O::Draining]),
        ),
        (
            Some(Open),
            Some((up, &[Up, Maintenance][..])),
            (O::Online, O::Online, O::Online, vec![O::Online, O::Offline]),
        ),
        (
            Some(Open),
            Some((up, &[NoCheck, NoCheck][..])),
            (O::Online, O::Online, O::Online, vec![O::NoMonitor; 2]),
        ),
        (
            Some(Open),
            Some((up, &[Up, Restarting][..])),
            (O::Online, O::Online, O::Online, vec![O::Online, O::Offline]),
        ),
        (Some(Open), Some((up, &[Up][..])), (O::Online, O::Online, O::Online, vec![O::Online, O::Offline])),
        (Some(Open), Some((down, &[][..])), (O::Error, O::Online, O::Error, vec![O::Offline; 2])),
    ] {
        let beat = beat(listener, pool);
        assert_eq!(rolled(&mut tree(), &beat), expected, "{listener:?} {pool:?}");
    }
}

#[test]
fn a_missing_listener_is_offline_when_disabled_or_not_yet_settled() {
    let mut graph = tree();
    graph.listeners[0].admin_state_up = false;
    assert_eq!(rolled(&mut graph, &beat(None, None)).1, O::Offline);
    for status in [P::PendingCreate, P::PendingUpdate, P::Error] {
        let mut graph = tree();
        graph.load_balancer.statuses.provisioning = status;
        assert_eq!(rollup(&graph, &beat(None, None)).listeners, BTreeMap::new(), "{status}");
    }
}

#[test]
fn a_disabled_load_balancer_is_offline() {
    let mut graph = tree();
    graph.load_balancer.admin_state_up = false;
    assert_eq!(rolled(&mut graph, &beat(Some(ListenerWord::Open), None)).0, O::Offline);
    // FULL and a bad member degrade what is ONLINE only
    assert_eq!(rolled(&mut graph, &beat(Some(ListenerWord::Full), None)).0, O::Offline);
    let down = Some((PoolWord::Up, &[MemberWord::Down][..]));
    assert_eq!(rolled(&mut graph, &beat(None, down)).0, O::Offline);
}

#[test]
fn a_member_without_monitor_stays_so_while_not_reported() {
    let mut graph = tree();
    graph.members[0].statuses.operating = O::NoMonitor;
    assert_eq!(rolled(&mut graph, &beat(None, None)).3, [O::NoMonitor, O::Offline]);
}

#[test]
fn everything_recovers() {
    let mut graph = tree();
    let good = beat(Some(ListenerWord::Open), Some((PoolWord::Up, &[MemberWord::Up, MemberWord::Up])));
    rolled(&mut graph, &good);
    let bad = beat(Some(ListenerWord::Full), Some((PoolWord::Down, &[MemberWord::Down, MemberWord::Down])));
    assert_eq!(rolled(&mut graph, &bad), (O::Error, O::Degraded, O::Error, vec![O::Error; 2]));
    assert_eq!(rolled(&mut graph, &good), (O::Online, O::Online, O::Online, vec![O::Online; 2]));
    assert_eq!(graph.load_balancer.statuses.reason, None);
    assert_eq!(graph.members[0].statuses.reason, None);
}

#[test]
fn an_older_generation_says_nothing_of_what_it_leaves_out() {
    let mut graph = tree();
    let good = beat(Some(ListenerWord::Open), Some((PoolWord::Up, &[MemberWord::Up, MemberWord::Up])));
    rolled(&mut graph, &good);
    graph.load_balancer.generation = 2;
    assert_eq!(rollup(&graph, &beat(None, None)), StatusChanges::default());
    let empty = Heartbeat { generation: Some(0), ..beat(None, None) };
    assert_eq!(rollup(&tree(), &empty), StatusChanges::default(), "nor does one without a spec of anything");
    graph.load_balancer.generation = 1;
    let partial = Heartbeat { partial: true, ..beat(None, None) };
    assert_eq!(rollup(&graph, &partial), StatusChanges::default(), "nor does a part of the rest");
    assert_ne!(rollup(&graph, &beat(None, None)), StatusChanges::default());
}

#[test]
fn a_listener_that_could_not_be_opened_says_why() {
    let mut graph = tree();
    let mut beat = beat(None, None);
    beat.faults.push(ListenerFault {
        listener: listener_id(1),
        address: graph.load_balancer.vip.address,
        code: R::PortNotPermitted,
        text: "Port 80 needs a privilege.".to_owned(),
        advice: "Take a port from 1024 up.".to_owned(),
    });
    assert_eq!(rolled(&mut graph, &beat).1, O::Error);
    assert_eq!(graph.listeners[0].statuses.reason.as_ref().unwrap().code, R::PortNotPermitted);
}

#[test]
fn the_reason_of_a_provisioning_error_stays() {
    let mut graph = tree();
    let reason = Reason::new(R::PortInUse, "Port 80 is taken.", "");
    for statuses in [&mut graph.load_balancer.statuses, &mut graph.listeners[0].statuses] {
        statuses.provisioning = P::Error;
        statuses.reason = Some(reason.clone());
    }
    let changes = rollup(&graph, &beat(Some(ListenerWord::Full), None));
    assert_eq!(changes.load_balancer.unwrap().reason, Some(reason.clone()));
    assert_eq!(changes.listeners[&listener_id(1)].reason, Some(reason));
}

#[test]
fn a_member_says_what_its_check_saw() {
    for (word, check, operating, code, text) in [
        (
            MemberWord::Down,
            Some("connection refused"),
            O::Error,
            Some(R::MemberFailedCheck),
            "fail: connection refused.",
        ),
        (MemberWord::Down, None, O::Error, Some(R::MemberFailedCheck), "fail."),
        (
            MemberWord::NoCheck,
            Some("not allowed"),
            O::NoMonitor,
            Some(R::MonitorNotPermitted),
            "not allowed.",
        ),
        (MemberWord::NoCheck, None, O::NoMonitor, None, ""),
        (MemberWord::Up, Some("an old tale"), O::Online, None, ""),
    ] {
        let mut beat = beat(Some(ListenerWord::Open), Some((PoolWord::Up, &[word])));
        for pool in beat.pools.values_mut() {
            pool.checks = check.map(|check| (member_id(1), check.to_owned())).into_iter().collect();
        }
        let changes = rollup(&tree(), &beat);
        let change = &changes.members[&member_id(1)];
        assert_eq!(change.operating, operating);
        assert_eq!(change.reason.as_ref().map(|reason| reason.code), code);
        assert!(change.reason.iter().all(|reason| reason.text.ends_with(text)), "{change:?}");
    }
}

#[test]
fn of_several_reports_of_a_pool_the_last_counts() {
    let mut graph = tree();
    let mut beat = beat(Some(ListenerWord::Open), None);
    let report = |status, word| PoolReport {
        status,
        members: BTreeMap::from([(member_id(1), word)]),
        checks: BTreeMap::new(),
    };
    beat.pools.insert(pool_id(1).to_string(), report(PoolWord::Down, MemberWord::Down));
    beat.pools.insert(format!("{}:{}", pool_id(1), listener_id(1)), report(PoolWord::Up, MemberWord::Up));
    beat.pools.insert("nonsense".to_owned(), report(PoolWord::Down, MemberWord::Down));
    assert_eq!(rolled(&mut graph, &beat), (O::Online, O::Online, O::Online, vec![O::Online, O::Offline]));
}

#[test]
fn silence_is_an_error_of_the_load_balancer_alone() {
    let mut graph = tree();
    let changes = rollup_silent(&graph);
    let change = changes.load_balancer.clone().unwrap();
    assert_eq!((change.operating, change.reason.unwrap().code), (O::Error, R::AmphoraSilent));
    assert!(changes.listeners.is_empty() && changes.pools.is_empty() && changes.members.is_empty());
    apply(&mut graph, changes);
    assert!(rollup_silent(&graph).is_empty());
}

#[test]
fn without_a_proxy_nothing_is_served() {
    let silent = || Heartbeat { generation: None, ..beat(None, None) };
    let mut graph = tree();
    assert_eq!(rolled(&mut graph, &silent()), (O::Error, O::Error, O::Offline, vec![O::Offline; 2]));
    for statuses in [&graph.load_balancer.statuses, &graph.listeners[0].statuses] {
        assert_eq!(statuses.reason.as_ref().unwrap().code, R::ProxyNotRunning);
    }
    let good = beat(Some(ListenerWord::Open), Some((PoolWord::Up, &[MemberWord::Up, MemberWord::Up])));
    assert_eq!(rolled(&mut graph, &good), (O::Online, O::Online, O::Online, vec![O::Online; 2]));

    type Change = fn(&mut LoadBalancerGraph, &mut Heartbeat);
    let cases: [(&str, Change, bool); 10] = [
        ("as it is", |_, _| {}, true),
        ("a change is under way", |g, _| g.load_balancer.statuses.provisioning = P::PendingUpdate, true),
        ("of the listener, too", |g, _| g.listeners[0].statuses.provisioning = P::PendingUpdate, true),
        ("a proxy that has no spec", |_, b| b.generation = Some(0), false),
        (
            "an old spec, without listeners",
            |g, b| (g.load_balancer.generation, b.generation) = (9, Some(1)),
            false,
        ),
        (
            "the original's agent",
            |_, b| *b = Heartbeat { generation: None, ..beat(Some(ListenerWord::Open), None) },
            false,
        ),
        (
            "the listener is not in force yet",
            |g, _| g.listeners[0].statuses.provisioning = P::PendingCreate,
            false,
        ),
        ("it is disabled", |g, _| g.listeners[0].admin_state_up = false, false),
        ("the load balancer is", |g, _| g.load_balancer.admin_state_up = false, false),
        ("there is none", |g, _| g.listeners.clear(), false),
    ];
    for (what, change, lacks) in cases {
        let (mut graph, mut beat) = (tree(), silent());
        change(&mut graph, &mut beat);
        assert_eq!(lacks_proxy(&graph, &beat), lacks, "{what}");
        assert_eq!(is_lifeless(&graph, &beat), lacks, "{what}");
        let bare = beat.generation.is_none() && beat.listeners.is_empty();
        graph.load_balancer.statuses.provisioning = P::PendingUpdate;
        assert_eq!(is_lifeless(&graph, &beat), bare, "{what}, and a change has to come into force");
        graph = tree();
        change(&mut graph, &mut beat);
        let root = rollup(&graph, &beat).load_balancer;
        assert_eq!(root.is_some_and(|root| root.operating == O::Error), lacks, "{what}");
    }
}
