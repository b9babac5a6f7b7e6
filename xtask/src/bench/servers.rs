//! The servers of the HTTP benchmark: HAProxy as the measure, ours. The tuned peers of the data plane's other benchmarks are in
//! [`peers`](super::peers).

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use octavia_model::{
    Algorithm, AmphoraId, ListenerId, ListenerProtocol, LoadBalancerId, MemberId, PoolId, PoolProtocol,
    Timeouts,
};
use octavia_testkit::{net, proc};
use octavia_wire::{AmphoraSpec, ListenerSpec, MemberSpec, PoolSpec, TimeoutsSpec, WIRE_VERSION};

/// A server of ours; dropping it ends it with its children.
#[derive(Debug)]
pub(super) struct Server {
    child: Child,
}

impl Server {
    /// Starts `command` and waits until `address` accepts.
    pub(super) fn start(command: Command, address: SocketAddr, log: &Path) -> Result<Self> {
        Self::start_until(command, log, || std::net::TcpStream::connect(address).is_ok())
    }

    /// Starts `command` and waits until it is ready, as somebody else knows.
    pub(super) fn start_until(mut command: Command, log: &Path, ready: impl Fn() -> bool) -> Result<Self> {
        let out = std::fs::File::create(log)?;
        let shown = format!("{command:?}");
        let child = command
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .spawn()
            .with_context(|| shown.clone())?;
        let mut server = Self { child };
        let deadline = Instant::now() + Duration::from_secs(10);
        while !ready() {
            let ended = server.child.try_wait()?;
            if ended.is_some() || Instant::now() > deadline {
                bail!("{shown} does not come up ({ended:?}):\n{}", std::fs::read_to_string(log)?);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(server)
    }

    pub(super) fn pid(&self) -> Result<i32> {
        Ok(i32::try_from(self.child.id())?)
    }

    pub(super) fn cpu_time(&self) -> Result<Duration> {
        proc::cpu_time(self.pid()?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // nginx's master ends its worker on SIGTERM; a child of ours that does not is killed.
        proc::terminate(i32::try_from(self.child.id()).unwrap_or(0));
        let deadline = Instant::now() + Duration::from_secs(3);
        while Instant::now() < deadline {
            if matches!(self.child.try_wait(), Ok(Some(_)) | Err(_)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where the measured process runs, and where everything else does: two different CPUs if there are two.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cpus {
    pub(super) measured: usize,
    pub(super) others: usize,
}

impl Cpus {
    pub(super) fn choose() -> Self {
        let count = std::thread::available_parallelism().map_or(1, usize::from);
        Self { measured: usize::from(count > 1), others: 0 }
    }
}

pub(super) fn on_cpu(cpu: usize, program: &Path) -> Command {
    on_cpus(&[cpu], program)
}

pub(super) fn on_cpus(cpus: &[usize], program: &Path) -> Command {
    let list: Vec<_> = cpus.iter().map(usize::to_string).collect();
    let mut command = Command::new("taskset");
    command.arg("-c").arg(list.join(",")).arg(program);
    command
}

pub(super) const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Members on `127.0.0.2`, `127.0.0.3`, … at one port.
pub(super) fn members(count: u8, port: u16) -> Vec<SocketAddr> {
    (0..count).map(|index| SocketAddr::from(([127, 0, 0, 2 + index], port))).collect()
}

/// HAProxy with the configuration Octavia renders for an HTTP listener and pool, on one thread
/// (its rendering facts: global, defaults, frontend and backend without monitor, persistence and TLS); but with room
/// for 5,000 connections instead of 50,000, which few machines give descriptors for.
pub(super) fn haproxy(dir: &Path, members: &[SocketAddr], cpus: Cpus) -> Result<(Server, SocketAddr)> {
    let address = SocketAddr::new(LOOPBACK, net::free_port(LOOPBACK)?);
    let mut servers = String::new();
    for (index, member) in members.iter().enumerate() {
        writeln!(servers, "    server m{index} {member} weight 1")?;
    }
    let config = format!(
        "global
    nbthread 1
    stats socket {dir}/haproxy.sock mode 0666 level user
    maxconn 5000
defaults
    no log
    retries 3
    option redispatch
    option splice-request
    option splice-response
    option http-keep-alive
frontend listener
    maxconn 5000
    bind {address}
    mode http
    default_backend pool:listener
    timeout client 50000
backend pool:listener
    mode http
    http-reuse safe
    balance roundrobin
    fullconn 5000
    option allbackups
    timeout connect 5000
    timeout server 50000
{servers}",
        dir = dir.display()
    );
    let path = dir.join("haproxy.cfg");
    std::fs::write(&path, config)?;
    let mut command = on_cpu(cpus.measured, &program("haproxy"));
    command.arg("-db").arg("-f").arg(path);
    Ok((Server::start(command, address, &dir.join("haproxy.log"))?, address))
}

/// The data plane alone, with the specification the controller would push.
pub(super) fn ours(
    dir: &Path,
    binary: &Path,
    members: &[SocketAddr],
    cpus: Cpus,
) -> Result<(Server, SocketAddr)> {
    let address = SocketAddr::new(LOOPBACK, net::free_port(LOOPBACK)?);
    let path = dir.join("spec.json");
    std::fs::write(&path, serde_json::to_vec_pretty(&spec(address, members))?)?;
    let mut command = on_cpu(cpus.measured, binary);
    command.arg("proxy").arg("--spec").arg(path).args(["--threads", "1"]);
    Ok((Server::start(command, address, &dir.join("ours.log"))?, address))
}

fn spec(address: SocketAddr, members: &[SocketAddr]) -> AmphoraSpec {
    let pool = PoolId::new_v4();
    AmphoraSpec {
        version: WIRE_VERSION,
        amphora_id: AmphoraId::new_v4(),
        load_balancer_id: LoadBalancerId::new_v4(),
        generation: 1,
        fence: 1,
        vips: vec![address.ip()],
        listeners: vec![ListenerSpec {
            id: ListenerId::new_v4(),
            protocol: ListenerProtocol::Http,
            port: address.port(),
            connection_limit: None,
            default_pool: Some(pool),
            insert_headers: vec![],
            timeouts: TimeoutsSpec {
                client_data: Timeouts::DEFAULT.client_data,
                member_connect: Timeouts::DEFAULT.member_connect,
                member_data: Timeouts::DEFAULT.member_data,
                tcp_inspect: Timeouts::DEFAULT.tcp_inspect,
            },
            allowed_cidrs: vec![],
            accept_proxy: vec![],
            l7policies: vec![],
            tls: None,
        }],
        pools: vec![PoolSpec {
            id: pool,
            protocol: PoolProtocol::Http,
            algorithm: Algorithm::RoundRobin,
            persistence: None,
            members: members.iter().map(member).collect(),
            monitor: None,
            tls: None,
        }],
        access_log: None,
        sorry_pages: vec![],
        network: None,
        tickets: None,
    }
}

pub(super) fn member(address: &SocketAddr) -> MemberSpec {
    MemberSpec {
        id: MemberId::new_v4(),
        address: address.ip(),
        port: address.port(),
        weight: 1,
        backup: false,
        enabled: true,
        monitor_address: None,
        monitor_port: None,
    }
}

/// A server's program, which a user's PATH may lack.
pub(super) fn program(name: &str) -> PathBuf {
    let sbin = Path::new("/usr/sbin").join(name);
    if sbin.exists() { sbin } else { name.into() }
}
