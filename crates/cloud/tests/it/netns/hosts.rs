//! What is made on hosts, found again, lost, and removed.

use std::sync::Arc;

use octavia_cloud::local::{self, LocalKind, LocalOptions};
use octavia_cloud::{IpFamily, Placement, ServerRequest, suite};
use octavia_model::LoadBalancerId;

use super::{World, connects, listener, received, root, rule, run, within};
use crate::kit::options;

#[tokio::test(flavor = "multi_thread")]
async fn pass_the_suites() {
    if !root() {
        return;
    }
    let world = World::new(2, 1);
    suite::compute_suite(&*world.compute).await;
    let (network_id, subnets) = world.nets("private").await;
    for subnet in subnets {
        suite::network_suite(&*world.network(), network_id, subnet).await;
    }
    suite::additional_vips_suite(&*world.network(), network_id, subnets).await;
    suite::ports_suite(&*world.compute, &*world.network(), network_id, subnets).await;
    let (client, keeper) = world.cloud().kept_with(Arc::clone(&world.compute));
    suite::ports_suite(&*client.compute(), &*client.network(), network_id, subnets).await;
    drop((client, keeper));
    let prefix = world.prefix();
    let names = run(&["ip"], "netns list");
    let mut left: Vec<_> =
        names.lines().filter_map(|line| line.split(' ').next()?.strip_prefix(&prefix)).collect();
    left.sort_unstable();
    assert_eq!(left, ["fabric", "h1", "h2"], "servers leave no namespace");
    for host in world.hosts() {
        let links = run(&["ip", "-n", &host.netns, "-o"], "link show type veth");
        assert_eq!(links.lines().count(), 3, "no cable but to the fabric: {links}");
        let rules = within(Some(&host.netns), || run(&["nft"], "list table bridge octavia"));
        assert!(!rules.contains("from-"), "no rules: {rules}");
    }
    drop(world);
    assert!(
        !run(&["ip"], "netns list").contains(&prefix) && !run(&["ip", "-o"], "link show").contains(&prefix)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_are_apart_and_can_be_lost() {
    if !root() {
        return;
    }
    let world = World::new(3, 2);
    let zones: Vec<_> = world.hosts().into_iter().map(|host| (host.name, host.zone, host.up)).collect();
    let expected = [("h1", "zone-1", true), ("h2", "zone-2", true), ("h3", "zone-1", true)];
    assert_eq!(zones, expected.map(|(host, zone, up)| (host.to_owned(), zone.to_owned(), up)));
    let (first, server) =
        world.server(Placement { zone: Some("zone-1".into()), ..Placement::default() }).await;
    assert_eq!((server.host.as_deref(), server.zone.as_deref()), (Some("h1"), Some("zone-1")));
    let apart = |strictly, zone: Option<&str>| Placement {
        apart_from: vec![first.amphora_id],
        strictly,
        zone: zone.map(str::to_owned),
    };
    let (_, second) = world.server(apart(true, Some("zone-1"))).await;
    assert_eq!(second.host.as_deref(), Some("h3"));
    let nowhere = ServerRequest {
        placement: Placement { zone: Some("zone-9".into()), ..Placement::default() },
        ..suite::server_request()
    };
    let refused = world.compute.server_ensure(&nowhere).await.unwrap_err();
    assert_eq!(refused.blame, octavia_model::Blame::Caller, "{refused}");
    assert_eq!(world.compute.server_find(nowhere.amphora_id).await, Ok(None), "it leaves nothing");

    let agent = server.agent.unwrap();
    let _listening = listener(Some(&world.server_netns(first.amphora_id)), agent.ip(), agent.port());
    assert!(connects(None, (agent.ip(), agent.port()), true));
    local::host_set(world.path(), "h1", false).unwrap();
    assert!(!connects(None, (agent.ip(), agent.port()), false), "cut off");
    local::host_set(world.path(), "h3", false).unwrap();
    let world = world.restarted();
    assert_eq!(
        world.hosts().iter().map(|host| host.up).collect::<Vec<_>>(),
        [false, true, false],
        "they stay so"
    );
    assert_eq!(world.server(Placement::default()).await.1.host.as_deref(), Some("h2"), "the only one left");
    let full = ServerRequest {
        placement: Placement { zone: Some("zone-1".into()), ..Placement::default() },
        ..suite::server_request()
    };
    let full = world.compute.server_ensure(&full).await.unwrap_err();
    assert_eq!(full.retry, octavia_model::Retry::Safe, "{full}");
    local::host_set(world.path(), "h1", true).unwrap();
    assert!(connects(None, (agent.ip(), agent.port()), true), "joined again");
    assert!(local::host_set(world.path(), "h9", true).is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_controller_finds_everything() {
    if !root() {
        return;
    }
    let world = World::new(2, 1);
    let lb = LoadBalancerId::new_v4();
    let network = world.network();
    network.security_group_ensure(lb, &[rule(IpFamily::V4, 7000)]).await.unwrap();
    let (ours, client) = (
        world.amphora(lb, "private", &[]).await,
        world.amphora(LoadBalancerId::new_v4(), "private", &[]).await,
    );
    let server = suite::server_up(&*world.compute, ours.request.amphora_id).await;
    // As if the machine's rules had been flushed meanwhile.
    for host in world.hosts() {
        within(Some(&host.netns), || run(&["nft"], "flush ruleset"));
    }
    drop(network);
    let world = world.restarted();
    assert_eq!(world.compute.server_find(ours.request.amphora_id).await, Ok(Some(server)));
    assert_eq!(world.network().port_ensure(&ours.request).await.as_ref(), Ok(&ours.port));
    let sockets = [7000, 7001].map(|port| ours.udp(ours.address(IpFamily::V4), port));
    let sender = client.udp(client.address(IpFamily::V4), 0);
    for (port, socket) in [7001, 7000].into_iter().zip(["7001", "7000"]) {
        sender.send_to(socket.as_bytes(), (ours.address(IpFamily::V4), port)).unwrap();
    }
    assert_eq!(received(&sockets[0]), "7000");
    sockets[1].set_nonblocking(true).unwrap();
    assert!(sockets[1].recv(&mut [0; 10]).is_err(), "the rules are back");
    let other = LocalOptions { kind: LocalKind::Loopback, ..options() };
    let refused = octavia_cloud::local::LocalCloud::open(world.path(), other).unwrap_err().to_string();
    assert!(refused.contains("--network netns"), "{refused}");
}
