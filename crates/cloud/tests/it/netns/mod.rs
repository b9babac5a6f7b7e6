//! Servers in namespaces, with packets between them. Needs root, `ip`, `nft` and `tc`; without root it passes by.
//!
//! Sockets stay in the namespace where they were made, so they are made on a thread that is there and used from here. What
//! must not arrive is sent first, and after it, the same way, what must: what arrives first is the second.

mod api;
mod hosts;
mod traffic;

use std::fs::File;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use octavia_cloud::local::{self, HostView, LocalKind, LocalOptions, NetnsOptions};
use octavia_cloud::{
    Compute, IpFamily, Network, Placement, Port, PortRequest, PortRole, PortSubnet, RuleProtocol,
    SecurityRule, Server, ServerRequest, suite,
};
use octavia_model::{AmphoraId, LoadBalancerId, NetworkId, SubnetId};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use serde_json::Value;

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
