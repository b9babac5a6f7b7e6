//! Which L7 policies reach the data plane, and in which order.

use octavia_model::{
    L7PolicyAction as A, L7RuleCompareType, L7RuleType, ListenerProtocol, LoadBalancerGraph,
    OperatingStatus as O, ProvisioningStatus as P,
};
use octavia_plan::{Identities, SpecOptions, compile, rollup};
use octavia_wire::{AmphoraSpec, Heartbeat, L7ActionSpec, L7RuleSpec, PoolReport, PoolWord};

use crate::fixture::{amphora_id, graph, listener, member, policy, policy_id, pool, pool_id, rule, statuses};

/// Listener 1 → pool 1. Policies by position: 1 to pool 2, 2 refuses, 3 to a URL, 4 to pool 3, 5 to a prefix, 6 refuses;
/// each with one rule.
fn tree() -> LoadBalancerGraph {
    let mut graph = graph();
    graph.listeners.push(listener(1, 80));
    graph.listeners[0].default_pool_id = Some(pool_id(1));
    graph.pools = vec![pool(1), pool(2), pool(3), pool(4)];
    graph.members = (1..=4).map(|n| member(n, n)).collect();
    let actions =
        [A::RedirectToPool, A::Reject, A::RedirectToUrl, A::RedirectToPool, A::RedirectPrefix, A::Reject];
    for (n, action) in (1..).zip(actions) {
        let mut policy = policy(n, 1, action);
        match n {
            1 => policy.redirect_pool_id = Some(pool_id(2)),
            3 => (policy.redirect_url, policy.redirect_http_code) = (Some("http://a/".to_owned()), Some(301)),
            4 => policy.redirect_pool_id = Some(pool_id(3)),
            5 => policy.redirect_prefix = Some("http://b".to_owned()),
            _ => {}
        }
        graph.l7rules.push(rule(n, &policy, &format!("/{n}")));
        graph.l7policies.push(policy);
    }
    graph
}

fn compiled(change: impl FnOnce(&mut LoadBalancerGraph)) -> AmphoraSpec {
    let mut graph = tree();
    change(&mut graph);
    compile(&graph, amphora_id(1), 7, &Identities::new(), &SpecOptions::default())
}

/// The numbers of the policies as they are looked at, and of the pools that are there.
fn shape(spec: &AmphoraSpec) -> (Vec<u16>, Vec<u16>) {
    let number = |found: &dyn Fn(u16) -> bool| (1..=9).find(|n| found(*n)).unwrap();
    let policies = spec.listeners.iter().flat_map(|l| &l.l7policies);
    (
        policies.map(|policy| number(&|n| policy_id(n) == policy.id)).collect(),
        spec.pools.iter().map(|pool| number(&|n| pool_id(n) == pool.id)).collect(),
    )
}

#[test]
fn who_refuses_comes_first_then_who_redirects() {
    let check = |what: &str, policies: &[u16], pools: &[u16], change: &dyn Fn(&mut LoadBalancerGraph)| {
        let spec = compiled(change);
        assert_eq!(spec.validate(), Ok(()), "{what}");
        assert_eq!(shape(&spec), (policies.to_vec(), pools.to_vec()), "{what}");
    };
    check("as it is", &[2, 6, 3, 5, 1, 4], &[1, 2, 3], &|_| {});
    check("moved", &[6, 2, 5, 3, 4, 1], &[1, 2, 3], &|g| {
        g.l7policies.iter_mut().for_each(|p| p.position = 7 - p.position);
    });
    check("policy disabled", &[6, 3, 5, 1, 4], &[1, 2, 3], &|g| g.l7policies[1].admin_state_up = false);
    check("policy goes", &[2, 6, 3, 5, 4], &[1, 3], &|g| {
        g.l7policies[0].statuses = statuses(P::PendingDelete);
    });
    check("its rule disabled", &[2, 6, 3, 5, 1], &[1, 2], &|g| g.l7rules[3].admin_state_up = false);
    check("its rule goes", &[2, 6, 3, 5, 1], &[1, 2], &|g| {
        g.l7rules[3].statuses = statuses(P::PendingDelete);
    });
    check("no rules", &[], &[1], &|g| g.l7rules.clear());
    check("pool disabled", &[2, 6, 3, 5, 4], &[1, 3], &|g| g.pools[1].admin_state_up = false);
    check("pool goes", &[2, 6, 3, 5, 4], &[1, 3], &|g| g.pools[1].statuses = statuses(P::PendingDelete));
    check("pool is gone", &[2, 6, 3, 5, 4], &[1, 3], &|g| drop(g.pools.remove(1)));
    check("the default pool is one, too", &[2, 6, 3, 5, 1, 4], &[2, 3], &|g| {
        g.listeners[0].default_pool_id = Some(pool_id(2));
    });
    check("no default pool", &[2, 6, 3, 5, 1, 4], &[2, 3], &|g| g.listeners[0].default_pool_id = None);
    check("nowhere to redirect to", &[2, 6, 5, 1, 4], &[1, 2, 3], &|g| g.l7policies[2].redirect_url = None);
    check("listener disabled", &[], &[], &|g| g.listeners[0].admin_state_up = false);
    check("load balancer disabled", &[], &[], &|g| g.load_balancer.admin_state_up = false);
    for protocol in [ListenerProtocol::Tcp, ListenerProtocol::Https] {
        check(protocol.as_str(), &[], &[1], &|g| g.listeners[0].protocol = protocol);
    }
    for status in [P::PendingCreate, P::PendingUpdate, P::Error] {
        check(status.as_str(), &[2, 6, 3, 5, 1, 4], &[1, 2, 3], &|g| {
            g.l7policies.iter_mut().for_each(|p| p.statuses = statuses(status));
            g.l7rules.iter_mut().for_each(|r| r.statuses = statuses(status));
        });
    }
    // Not built yet, but compiled as it will be.
    let terminated = compiled(|g| g.listeners[0].protocol = ListenerProtocol::TerminatedHttps);
    assert_eq!(shape(&terminated).0, [2, 6, 3, 5, 1, 4]);
}

#[test]
fn actions_and_rules_as_they_are() {
    let spec = compiled(|g| {
        g.l7policies[5].action = A::RedirectPrefix;
        g.l7policies[5].redirect_prefix = Some("https://c".to_owned());
        g.l7policies[5].redirect_http_code = Some(308);
        let mut second = rule(9, &g.l7policies[1], "b");
        second.kind = L7RuleType::Header;
        second.compare_type = L7RuleCompareType::Contains;
        second.key = Some("X-A".to_owned());
        second.invert = true;
        g.l7rules.push(second);
    });
    let policies = &spec.listeners[0].l7policies;
    let actions: Vec<_> = policies.iter().map(|policy| policy.action.clone()).collect();
    let prefix = |prefix: &str, code| L7ActionSpec::RedirectPrefix { prefix: prefix.to_owned(), code };
    assert_eq!(
        actions,
        [
            L7ActionSpec::Reject,
            L7ActionSpec::RedirectToUrl { location: "http://a/".to_owned(), code: 301 },
            prefix("http://b", 302),
            prefix("https://c", 308),
            L7ActionSpec::RedirectToPool(pool_id(2)),
            L7ActionSpec::RedirectToPool(pool_id(3)),
        ]
    );
    let path = L7RuleSpec {
        kind: L7RuleType::Path,
        compare_type: L7RuleCompareType::EqualTo,
        key: None,
        value: "/2".to_owned(),
        invert: false,
    };
    let header = L7RuleSpec {
        kind: L7RuleType::Header,
        compare_type: L7RuleCompareType::Contains,
        key: Some("X-A".to_owned()),
        value: "b".to_owned(),
        invert: true,
    };
    assert_eq!(policies[0].rules, [path, header]);
}

/// A pool that only a policy uses counts as any other (`reference/api.md` §5.5).
#[test]
fn a_pool_of_a_policy_has_a_status() {
    for (word, pool, root) in [(PoolWord::Up, O::Online, O::Online), (PoolWord::Down, O::Error, O::Error)] {
        let mut graph = tree();
        graph.pools.iter_mut().for_each(|p| p.statuses.operating = O::Offline);
        graph.load_balancer.statuses.operating = O::Offline;
        let report = |status| PoolReport { status, members: Default::default(), checks: Default::default() };
        let listener = graph.listeners[0].id;
        let beat = Heartbeat {
            id: amphora_id(1),
            seq: 1,
            ver: 2,
            listeners: Default::default(),
            pools: [(1, PoolWord::Up), (2, word)]
                .map(|(n, word)| (format!("{}:{listener}", pool_id(n)), report(word)))
                .into(),
            boot: None,
            generation: Some(1),
            faults: vec![],
            partial: false,
            vrrp: None,
        };
        let changes = rollup(&graph, &beat);
        let status = |n| changes.pools.get(&pool_id(n)).map(|change| change.operating);
        assert_eq!([1, 2, 3].map(status), [Some(O::Online), Some(pool), None]);
        assert_eq!(changes.load_balancer.unwrap().operating, root);
    }
}
