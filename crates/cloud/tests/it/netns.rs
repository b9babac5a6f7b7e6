//! Servers in namespaces, with packets between them. Needs root, `ip`, `nft` and `tc`; without root it passes by.
//!
//! Sockets stay in the namespace where they were made, so they are made on a thread that is there and used from here. What
//! must not arrive is sent first, and after it, the same way, what must: what arrives first is the second.

use std::fs::File;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use octavia_cloud::local::{self, HostView, LocalKind, LocalOptions, NetnsOptions};
use octavia_cloud::{
    Compute, IpFamily, Network, Placement, Port, PortRequest, PortRole, PortSubnet, RuleProtocol,
    SecurityRule, Server, ServerRequest, VipRequest, suite,
};
use octavia_model::{AmphoraId, LoadBalancerId, NetworkId, ProjectId, SubnetId};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use serde_json::{Value, json};

use crate::kit::{Cloud, options};

/// What arrives, arrives within this; only a failing test waits for it.
const SOON: Duration = Duration::from_secs(20);

#[expect(clippy::print_stderr, reason = "who runs the tests should know")]
fn root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("passed by: namespaces need root");
    }
    root
}

fn netns_options(hosts: u8, zones: u8) -> LocalOptions {
    LocalOptions { kind: LocalKind::Netns(NetnsOptions { hosts, zones }), ..options() }
}

/// A cloud of namespaces. Everything goes when it is dropped.
struct World {
    cloud: Option<Cloud>,
    compute: Arc<dyn Compute>,
    options: LocalOptions,
}

impl World {
    fn new(hosts: u8, zones: u8) -> Self {
        let options = netns_options(hosts, zones);
        let cloud = Cloud::with(options.clone());
        let compute = cloud.local.compute(&stand_in()).unwrap();
        Self { cloud: Some(cloud), compute, options }
    }

    fn cloud(&self) -> &Cloud {
        self.cloud.as_ref().unwrap()
    }

    fn network(&self) -> Arc<dyn Network> {
        self.cloud().local.network()
    }

    fn path(&self) -> &Path {
        self.cloud().path()
    }

    /// As after a crash of the controller.
    fn restarted(mut self) -> Self {
        let cloud = self.cloud.take().unwrap().restarted(self.options.clone());
        self.compute = cloud.local.compute(&stand_in()).unwrap();
        self.cloud = Some(cloud);
        self
    }

    /// Of all names in use here, and of no others.
    fn prefix(&self) -> String {
        let IpAddr::V4(address) = self.cloud().local.management_address() else { panic!() };
        format!("oct{}-", address.octets()[1])
    }

    fn server_netns(&self, amphora: AmphoraId) -> String {
        format!("{}{}", self.prefix(), &amphora.to_string().replace('-', "")[..12])
    }

    fn traffic_netns(&self, amphora: AmphoraId) -> String {
        format!("{}-t", self.server_netns(amphora))
    }

    fn hosts(&self) -> Vec<HostView> {
        local::hosts(self.path()).unwrap().into_iter().map(|(host, _)| host).collect()
    }

    async fn nets(&self, name: &str) -> (NetworkId, [SubnetId; 2]) {
        let token = self.cloud().token("demo").await;
        let body = self.cloud().get(&token, &format!("/networking/v2.0/networks?name={name}")).await.body;
        let net = &body["networks"][0];
        let id = |value: &Value| value.as_str().unwrap().to_owned();
        let subnets = [0, 1].map(|at| id(&net["subnets"][at]).parse().unwrap());
        (id(&net["id"]).parse().unwrap(), subnets)
    }

    async fn server(&self, placement: Placement) -> (ServerRequest, Server) {
        let request = ServerRequest { placement, ..suite::server_request() };
        self.compute.server_ensure(&request).await.unwrap();
        let server = suite::server_up(&*self.compute, request.amphora_id).await;
        (request, server)
    }

    /// An amphora with a port on a network, configured as its agent would.
    async fn amphora(&self, load_balancer_id: LoadBalancerId, network: &str, allowed: &[IpAddr]) -> Amphora {
        let (request, server) = self.server(Placement::default()).await;
        let (network_id, subnets) = self.nets(network).await;
        let request = PortRequest {
            amphora_id: request.amphora_id,
            load_balancer_id,
            network_id,
            role: PortRole::Vip,
            subnets: subnets.map(|subnet_id| PortSubnet { subnet_id, address: None }).into(),
            allowed: allowed.to_vec(),
            qos_policy_id: None,
        };
        let port = self.network().port_ensure(&request).await.unwrap();
        self.compute.port_attach(request.amphora_id, &port).await.unwrap();
        let amphora = Amphora { netns: self.traffic_netns(request.amphora_id), request, port, server };
        let link = amphora.link();
        amphora.ip(&format!("link set dev {link} up"));
        for fixed in &amphora.port.fixed_ips {
            amphora.address_add(fixed.address, fixed.prefix_len);
        }
        amphora
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let Some(cloud) = self.cloud.take() else { return };
        let Cloud { dir, local, .. } = cloud;
        drop(local);
        let path = dir.path().to_owned();
        let removed = std::thread::spawn(move || {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap()
                .block_on(local::remove(&path))
        });
        let removed = removed.join().unwrap();
        if !std::thread::panicking() {
            removed.unwrap();
        }
    }
}

struct Amphora {
    netns: String,
    request: PortRequest,
    port: Port,
    server: Server,
}

impl Amphora {
    fn link(&self) -> String {
        format!("p{}", &self.port.id.to_string().replace('-', "")[..12])
    }

    fn ip(&self, arguments: &str) {
        run(&["ip", "-n", &self.netns], arguments);
    }

    fn address_add(&self, address: IpAddr, prefix: u8) {
        let at_once = if address.is_ipv6() { " nodad" } else { "" };
        self.ip(&format!("address replace {address}/{prefix} dev {}{at_once}", self.link()));
    }

    fn address(&self, family: IpFamily) -> IpAddr {
        self.port.fixed_ips.iter().map(|fixed| fixed.address).find(|a| IpFamily::of(*a) == family).unwrap()
    }

    fn udp(&self, address: IpAddr, port: u16) -> UdpSocket {
        udp(Some(&self.netns), address, port)
    }
}

fn stand_in() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/stand-in.sh")
}

fn run(program: &[&str], arguments: &str) -> String {
    let output = Command::new(program[0]).args(&program[1..]).args(arguments.split(' ')).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program:?} {arguments}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

fn within<T: Send>(netns: Option<&str>, work: impl FnOnce() -> T + Send) -> T {
    let Some(netns) = netns else { return work() };
    let namespace = File::open(Path::new("/run/netns").join(netns)).unwrap();
    std::thread::scope(|scope| {
        let worker = scope.spawn(move || {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            work()
        });
        worker.join().unwrap()
    })
}

fn udp(netns: Option<&str>, address: IpAddr, port: u16) -> UdpSocket {
    let socket = within(netns, || UdpSocket::bind((address, port)).unwrap());
    socket.set_read_timeout(Some(SOON)).unwrap();
    socket
}

fn received(socket: &UdpSocket) -> String {
    let mut buffer = [0; 100];
    let (length, _) = socket.recv_from(&mut buffer).unwrap();
    String::from_utf8_lossy(&buffer[..length]).into_owned()
}

fn listener(netns: Option<&str>, address: IpAddr, port: u16) -> TcpListener {
    within(netns, || TcpListener::bind((address, port)).unwrap())
}

/// Whether a connection comes about; one that must not is given little time.
fn connects(netns: Option<&str>, to: (IpAddr, u16), expected: bool) -> bool {
    let patience = if expected { SOON } else { Duration::from_millis(200) };
    within(netns, || TcpStream::connect_timeout(&SocketAddr::from(to), patience)).is_ok()
}

fn rule(family: IpFamily, port: u16) -> SecurityRule {
    SecurityRule::any(family, RuleProtocol::Udp, port)
}

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
    suite::ports_suite(&*world.compute, &*world.network(), network_id, subnets).await;
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
