//! What gets through, and how fast.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, TcpStream};
use std::time::{Duration, Instant};

use octavia_cloud::{IpFamily, Placement, PortRequest, PortRole, RuleProtocol, SecurityRule, VipRequest};
use octavia_model::{LoadBalancerId, ProjectId};
use serde_json::{Value, json};

use super::{Amphora, World, connects, listener, received, root, rule, run, udp, within};

#[tokio::test(flavor = "multi_thread")]
async fn management_is_between_controller_and_agents_alone() {
    if !root() {
        return;
    }
    let world = World::new(2, 1);
    let ((one, server), (two, _)) =
        (world.server(Placement::default()).await, world.server(Placement::default()).await);
    let [one, two] = [one, two].map(|request| world.server_netns(request.amphora_id));
    let controller = world.cloud().local.management_address();
    let agent = server.agent.unwrap();
    assert_eq!(agent.port(), 9443);
    let _listening = [9443, 9444].map(|port| listener(Some(&one), agent.ip(), port));
    assert!(connects(None, (agent.ip(), 9443), true), "the controller reaches the agent");
    assert!(!connects(None, (agent.ip(), 9444), false), "and nothing else of it");
    assert!(!connects(Some(&two), (agent.ip(), 9443), false), "amphorae do not reach each other");
    let _ours = listener(None, controller, 9876);
    assert!(!connects(Some(&one), (controller, 9876), false), "nor anything of the machine");

    let (heartbeats, other) = (udp(None, controller, 5555), udp(None, controller, 5556));
    let sender = udp(Some(&one), agent.ip(), 0);
    sender.send_to(b"no", (controller, 5556)).unwrap();
    sender.send_to(b"heartbeat", (controller, 5555)).unwrap();
    assert_eq!(received(&heartbeats), "heartbeat");
    other.set_nonblocking(true).unwrap();
    assert_eq!(other.recv(&mut [0; 10]).unwrap_err().kind(), ErrorKind::WouldBlock);

    let stolen: IpAddr = "10.99.99.99".parse().unwrap();
    run(&["ip", "-n", &one], &format!("address add {stolen}/32 dev mgmt0"));
    udp(Some(&one), stolen, 0).send_to(b"spoofed", (controller, 5555)).unwrap();
    sender.send_to(b"honest", (controller, 5555)).unwrap();
    assert_eq!(received(&heartbeats), "honest");
    let traffic = format!("{one}-t");
    assert!(!run(&["ip", "-n", &traffic, "-o"], "link show").contains("mgmt"), "traffic knows no management");
}

#[tokio::test(flavor = "multi_thread")]
async fn in_comes_what_the_security_group_says() {
    if !root() {
        return;
    }
    let world = World::new(2, 1);
    let lb = LoadBalancerId::new_v4();
    let (ours, client) = (
        world.amphora(lb, "private", &[]).await,
        world.amphora(LoadBalancerId::new_v4(), "private", &[]).await,
    );
    assert_ne!(ours.server.host, client.server.host);
    let network = world.network();
    for family in [IpFamily::V4, IpFamily::V6] {
        let (to, from) = (ours.address(family), client.address(family));
        let sockets = [7000, 7001].map(|port| ours.udp(to, port));
        let sender = client.udp(from, 7100);
        let order = |first: u16, second: u16| {
            for port in [first, second] {
                sender.send_to(port.to_string().as_bytes(), (to, port)).unwrap();
            }
        };
        let nothing = |at: usize| {
            sockets[at].set_nonblocking(true).unwrap();
            let outcome = sockets[at].recv(&mut [0; 10]).map_err(|error| error.kind());
            sockets[at].set_nonblocking(false).unwrap();
            assert_eq!(outcome, Err(ErrorKind::WouldBlock), "{to}");
        };
        network.security_group_ensure(lb, &[rule(family, 7001)]).await.unwrap();
        order(7000, 7001);
        assert_eq!(received(&sockets[1]), "7001");
        nothing(0);
        // Nobody may ask the client, but it may be answered.
        sockets[0].send_to(b"asked", (from, 7101)).unwrap();
        let bystander = client.udp(from, 7101);
        sockets[1].send_to(b"answer", (from, 7100)).unwrap();
        assert_eq!(received(&sender), "answer");
        bystander.set_nonblocking(true).unwrap();
        assert_eq!(bystander.recv(&mut [0; 10]).unwrap_err().kind(), ErrorKind::WouldBlock);

        // A change holds on what is attached; what is established stays, so this comes from another port.
        let elsewhere = if family == IpFamily::V4 { "192.0.2.0/24" } else { "2001:db8::/32" };
        let here = if family == IpFamily::V4 { format!("{from}/32") } else { format!("{from}/64") };
        let narrow =
            |remote: &str, port| SecurityRule { remote: Some(remote.parse().unwrap()), ..rule(family, port) };
        let rules = [narrow(elsewhere, 7001), narrow(&here, 7000)];
        network.security_group_ensure(lb, &rules).await.unwrap();
        let sender = client.udp(from, 7102);
        sender.send_to(b"7001", (to, 7001)).unwrap();
        sender.send_to(b"7000", (to, 7000)).unwrap();
        assert_eq!(received(&sockets[0]), "7000");
        nothing(1);
    }
    network.security_group_delete(lb).await.unwrap();
    let to = ours.address(IpFamily::V4);
    let _listening = listener(Some(&ours.netns), to, 8000);
    assert!(!connects(Some(&client.netns), (to, 8000), false), "without a group nothing comes in");
    network
        .security_group_ensure(lb, &[SecurityRule::any(IpFamily::V4, RuleProtocol::Tcp, 8000)])
        .await
        .unwrap();
    assert!(connects(Some(&client.netns), (to, 8000), true));
    assert!(connects(None, (to, 8000), true), "this machine is on the network, too");
    let gateway = format!("{}private", world.prefix());
    assert!(run(&["ip", "-o"], &format!("address show dev {gateway}")).contains("fd"), "of either version");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_sends_as_somebody_else() {
    if !root() {
        return;
    }
    let world = World::new(2, 1);
    let lb = LoadBalancerId::new_v4();
    let (victim, thief) = (world.amphora(lb, "private", &[]).await, world.amphora(lb, "private", &[]).await);
    let rules = [rule(IpFamily::V4, 7000), rule(IpFamily::V6, 7000)];
    let network = world.network();
    network.security_group_ensure(lb, &rules).await.unwrap();
    for (family, stolen, prefix) in
        [(IpFamily::V4, "10.250.250.250", 32), (IpFamily::V6, "2001:db8::bad", 128)]
    {
        let (to, stolen) = (victim.address(family), stolen.parse().unwrap());
        let receiver = victim.udp(to, 7000);
        thief.address_add(stolen, prefix);
        let (honest, spoofed) = (thief.udp(thief.address(family), 0), thief.udp(stolen, 0));
        let both = |order: &str| {
            spoofed.send_to(format!("spoofed {order}").as_bytes(), (to, 7000)).unwrap();
            honest.send_to(format!("honest {order}").as_bytes(), (to, 7000)).unwrap();
        };
        both("1");
        assert_eq!(received(&receiver), "honest 1");
        // What it may take over, it may use; and no longer when it may not.
        let allowed = PortRequest { allowed: vec![stolen], ..thief.request.clone() };
        network.port_ensure(&allowed).await.unwrap();
        both("2");
        assert_eq!([received(&receiver), received(&receiver)], ["spoofed 2", "honest 2"]);
        network.port_ensure(&thief.request).await.unwrap();
        both("3");
        assert_eq!(received(&receiver), "honest 3");
    }
    // With another MAC it is nobody.
    let to = victim.address(IpFamily::V4);
    let receiver = victim.udp(to, 7000);
    let link = thief.link();
    let honest = thief.udp(thief.address(IpFamily::V4), 0);
    thief.ip(&format!("link set dev {link} address 02:00:00:00:00:01"));
    honest.send_to(b"masked", (to, 7000)).unwrap();
    thief.ip(&format!("link set dev {link} address {}", thief.port.mac));
    honest.send_to(b"honest", (to, 7000)).unwrap();
    assert_eq!(received(&receiver), "honest");
}

/// As two amphorae of a load balancer do it: one address, first here, then there.
#[tokio::test(flavor = "multi_thread")]
async fn a_vip_moves_between_hosts() {
    if !root() {
        return;
    }
    let world = World::new(2, 1);
    let (lb, network) = (LoadBalancerId::new_v4(), world.network());
    let (network_id, subnets) = world.nets("public").await;
    for subnet_id in subnets {
        let request = VipRequest {
            load_balancer_id: LoadBalancerId::new_v4(),
            project_id: ProjectId::new("p"),
            network_id,
            subnet_id,
            address: None,
            port_id: None,
            additional: vec![],
        };
        let vip = network.vip_ensure(&request).await.unwrap().address;
        network.security_group_ensure(lb, &[rule(IpFamily::of(vip), 7000)]).await.unwrap();
        let (one, two) =
            (world.amphora(lb, "public", &[vip]).await, world.amphora(lb, "public", &[vip]).await);
        assert_ne!(one.server.host, two.server.host);
        let prefix = if vip.is_ipv6() { 128 } else { 32 };
        let client =
            udp(None, if vip.is_ipv6() { "::".parse().unwrap() } else { "0.0.0.0".parse().unwrap() }, 0);
        let mut previous: Option<&Amphora> = None;
        for holder in [&one, &two, &one] {
            if let Some(previous) = previous {
                previous.ip(&format!("address delete {vip}/{prefix} dev {}", previous.link()));
            }
            holder.address_add(vip, prefix);
            let socket = holder.udp(vip, 7000);
            // A client learns who has it when its old neighbour is forgotten, or is told; here it forgets.
            let gateway = format!("{}public", world.prefix());
            run(&["ip"], &format!("neighbour flush dev {gateway}"));
            client.send_to(b"hello", (vip, 7000)).unwrap();
            assert_eq!(received(&socket), "hello", "{vip}");
            previous = Some(holder);
        }
        for amphora in [one, two] {
            network.port_delete(amphora.port.id).await.unwrap();
            world.compute.server_delete(amphora.request.amphora_id).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_qos_policy_holds_in_both_directions() {
    if !root() {
        return;
    }
    const KBPS: u32 = 8000;
    const BYTES: usize = 1_000_000;
    let world = World::new(2, 1);
    let admin = world.cloud().token("admin").await;
    let post = async |path: &str, body: Value| {
        let path = format!("/networking/v2.0/qos/{path}");
        let answer = world.cloud().send("POST", &path, &[("x-auth-token", &admin)], &body.to_string()).await;
        assert_eq!(answer.status, 201, "{}", answer.body);
        answer.body
    };
    let policy = post("policies", json!({"policy": {"name": "slow"}})).await["policy"]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let lb = LoadBalancerId::new_v4();
    let (ours, client) = (world.amphora(lb, "private", &[]).await, world.amphora(lb, "private", &[]).await);
    let network = world.network();
    network
        .security_group_ensure(lb, &[SecurityRule::any(IpFamily::V4, RuleProtocol::Tcp, 8000)])
        .await
        .unwrap();
    let limited = PortRequest { qos_policy_id: Some(policy.parse().unwrap()), ..ours.request.clone() };
    network.port_ensure(&limited).await.unwrap();
    // Rules come later, and hold on what has the policy already.
    for direction in ["egress", "ingress"] {
        let rule = json!({"bandwidth_limit_rule": {"direction": direction, "max_kbps": KBPS}});
        post(&format!("policies/{policy}/bandwidth_limit_rules"), rule).await;
    }
    let took = |from: &Amphora, to: &Amphora| {
        let address = to.address(IpFamily::V4);
        let listener = listener(Some(&to.netns), address, 8000);
        let mut stream = within(Some(&from.netns), || TcpStream::connect((address, 8000)).unwrap());
        let (mut got, _) = listener.accept().unwrap();
        let start = Instant::now();
        std::thread::scope(|scope| {
            scope.spawn(move || stream.write_all(&vec![0; BYTES]).unwrap());
            let mut all = vec![];
            got.read_to_end(&mut all).unwrap();
            assert_eq!(all.len(), BYTES);
        });
        start.elapsed()
    };
    // At the limit it takes a second. Faster by more than a tenth is never right; slower is the machine.
    let least = Duration::from_millis(900);
    let (out, back) = (took(&ours, &client), took(&client, &ours));
    assert!(out > least && back > least, "{out:?} {back:?}");
    eprintln!("{BYTES} bytes at {KBPS} kbit/s: out in {out:?}, in in {back:?}");
    network.port_ensure(&ours.request).await.unwrap();
    let (out, back) = (took(&ours, &client), took(&client, &ours));
    assert!(out < least && back < least, "without the policy: {out:?} {back:?}");
    let path = format!("/networking/v2.0/qos/policies/{policy}");
    assert_eq!(world.cloud().send("DELETE", &path, &[("x-auth-token", &admin)], "").await.status, 204);
}

/// As `docs/local-cloud.md` says it.
#[tokio::test(flavor = "multi_thread")]
async fn a_member_is_a_namespace_on_a_bridge() {
    if !root() {
        return;
    }
    let world = World::new(1, 1);
    let token = world.cloud().token("demo").await;
    let (network_id, _) = world.nets("private").await;
    let body = json!({"port": {"network_id": network_id, "name": "member-1"}}).to_string();
    let headers = [("x-auth-token", token.as_str())];
    let made = world.cloud().send("POST", "/networking/v2.0/ports", &headers, &body).await;
    let address: IpAddr = made.body["port"]["fixed_ips"][0]["ip_address"].as_str().unwrap().parse().unwrap();
    // Named so that it goes with the others.
    let (fabric, member) = (format!("{}fabric", world.prefix()), format!("{}member", world.prefix()));
    run(&["ip"], &format!("netns add {member}"));
    run(&["ip"], &format!("link add m1 netns {fabric} type veth peer name eth0 netns {member}"));
    run(&["ip", "-n", &fabric], "link set m1 master private up");
    run(&["ip", "-n", &member], &format!("address add {address}/18 dev eth0"));
    run(&["ip", "-n", &member], "link set eth0 up");

    let amphora = world.amphora(LoadBalancerId::new_v4(), "private", &[]).await;
    let as_member = PortRequest { role: PortRole::Member, ..amphora.request.clone() };
    world.network().port_ensure(&as_member).await.unwrap();
    let ours = amphora.address(IpFamily::V4);
    let (serves, asks) = (udp(Some(&member), address, 7000), amphora.udp(ours, 7100));
    let closed = amphora.udp(ours, 7101);
    asks.send_to(b"request", (address, 7000)).unwrap();
    assert_eq!(received(&serves), "request");
    serves.send_to(b"nobody asked", (ours, 7101)).unwrap();
    serves.send_to(b"response", (ours, 7100)).unwrap();
    assert_eq!(received(&asks), "response");
    closed.set_nonblocking(true).unwrap();
    assert_eq!(closed.recv(&mut [0; 10]).unwrap_err().kind(), ErrorKind::WouldBlock);
}
