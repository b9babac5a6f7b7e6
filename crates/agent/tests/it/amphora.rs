//! One amphora on addresses of its own, and a controller that pushes at it and hears its heartbeats.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::SeqCst};
use std::time::{Duration, Instant};

use octavia_model::{AmphoraId, LoadBalancerId};
use octavia_wire::{
    AgentFault, AgentInfo, AmphoraSpec, ApplyOutcome, BootConfig, Heartbeat, PapersReport, ProcessId, files,
    paths,
};
use rustix::process::{Pid, Signal, kill_process};

use crate::certs::{Authority, request};
use crate::role;

/// Longer than anything here takes, also on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
pub(crate) const CONTROLLER: &str = "octavia-controller";
pub(crate) const KEY: &str = "heartbeat key";

pub(crate) struct Amphora {
    temp: tempfile::TempDir,
    pub(crate) id: AmphoraId,
    pub(crate) lb: LoadBalancerId,
    /// An address that no other test uses.
    pub(crate) ip: IpAddr,
    pub(crate) authority: Authority,
    tls: Arc<rustls::ClientConfig>,
    /// What its heartbeats are signed with.
    pub(crate) key: String,
    controller: UdpSocket,
    /// The namespace of its traffic.
    pub(crate) traffic: Option<PathBuf>,
    agent: Option<Child>,
}

/// Waits until something is so.
#[track_caller]
pub(crate) fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

impl Amphora {
    /// Prepared, with a running agent.
    pub(crate) fn start() -> Self {
        let mut amphora = Self::prepare();
        amphora.start_agent();
        amphora
    }

    /// Prepared, not started.
    pub(crate) fn prepare() -> Self {
        static NEXT: AtomicU8 = AtomicU8::new(1);
        let [.., high, low] = std::process::id().to_be_bytes();
        let ip = IpAddr::V4(Ipv4Addr::new(127, 160 + high % 64, low, NEXT.fetch_add(1, SeqCst)));
        let id = AmphoraId::new_v4();
        let authority = Authority::new();
        let tls = authority.client(Some(&authority.issue(CONTROLLER)));
        let controller = UdpSocket::bind((ip, 0)).unwrap();
        let amphora = Self {
            // Too long a path for the address of a Unix socket.
            temp: tempfile::Builder::new().prefix(&"long-".repeat(25)).tempdir().unwrap(),
            id,
            lb: LoadBalancerId::new_v4(),
            ip,
            authority,
            tls,
            key: KEY.to_owned(),
            controller,
            traffic: None,
            agent: None,
        };
        let boot = BootConfig {
            amphora_id: id,
            load_balancer_id: Some(amphora.lb),
            controllers: vec![amphora.controller.local_addr().unwrap()],
            heartbeat_interval_ms: 500,
            heartbeat_key: KEY.to_owned(),
            server_cert: PathBuf::from("server.pem"),
            client_ca: PathBuf::from("client_ca.pem"),
            controller_name: CONTROLLER.to_owned(),
            proxy_threads: 2,
            papers: PapersReport::default(),
        };
        std::fs::write(amphora.file(BootConfig::FILE), serde_json::to_vec(&boot).unwrap()).unwrap();
        std::fs::write(amphora.file("server.pem"), amphora.authority.issue(&id.to_string())).unwrap();
        std::fs::write(amphora.file("client_ca.pem"), &amphora.authority.pem).unwrap();
        amphora
    }

    /// As a controller.
    pub(crate) fn tls(&self) -> &Arc<rustls::ClientConfig> {
        &self.tls
    }

    pub(crate) fn set_tls(&mut self, tls: Arc<rustls::ClientConfig>) {
        self.tls = tls;
    }

    pub(crate) fn dir(&self) -> &Path {
        self.temp.path()
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir().join(name)
    }

    pub(crate) fn api(&self) -> SocketAddr {
        SocketAddr::new(self.ip, 9443)
    }

    /// Starts an agent and waits until it answers.
    pub(crate) fn start_agent(&mut self) {
        self.start_agent_with(true);
    }

    pub(crate) fn start_agent_with(&mut self, low_ports: bool) {
        let traffic = self.traffic.as_deref();
        self.started(role::start_agent(self.dir(), self.api(), low_ports, None, traffic));
    }

    /// With a directory in which programs are looked for first.
    pub(crate) fn start_agent_on_path(&mut self, first: &Path) {
        let path = std::env::join_paths(
            std::iter::once(first.to_owned())
                .chain(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())),
        );
        let traffic = self.traffic.as_deref();
        self.started(role::start_agent_on_path(self.dir(), self.api(), traffic, &path.unwrap()));
    }

    pub(crate) fn start_agent_with_limit(&mut self, drain: Duration) {
        self.started(role::start_agent(self.dir(), self.api(), true, Some(drain), None));
    }

    fn started(&mut self, agent: Child) {
        self.agent = Some(agent);
        eventually("the agent answers", || self.try_request("GET", paths::VERSION, b"").ok());
    }

    pub(crate) fn agent_pid(&self) -> u32 {
        self.agent.as_ref().unwrap().id()
    }

    pub(crate) fn kill_agent(&mut self) {
        let mut agent = self.agent.take().unwrap();
        agent.kill().unwrap();
        agent.wait().unwrap();
    }

    /// SIGTERM, and waits for its end.
    pub(crate) fn stop_agent(&mut self) -> std::process::ExitStatus {
        let mut agent = self.agent.take().unwrap();
        signal(agent.id(), Signal::TERM);
        eventually("the agent ends", || agent.try_wait().unwrap())
    }

    pub(crate) fn proxy(&self) -> Option<ProcessId> {
        ProcessId::read(&self.file(files::PROXY_PID)).unwrap()
    }

    pub(crate) fn kill_proxy(&self) {
        signal(self.proxy().unwrap().pid, Signal::KILL);
    }

    /// Whichever is there now, if one is.
    pub(crate) fn kill_proxy_if_any(&self) {
        if let Some(proxy) = self.proxy()
            && proxy.is_alive().unwrap()
        {
            // It may end by itself in this moment.
            let _ = kill_process(Pid::from_raw(proxy.pid.try_into().unwrap()).unwrap(), Signal::KILL);
        }
    }

    pub(crate) fn try_request(
        &self,
        method: &str,
        path: &str,
        body: &[u8],
    ) -> std::io::Result<(u16, Vec<u8>)> {
        let head = format!("{method} {path} HTTP/1.1");
        request(&self.tls, &self.id.to_string(), self.api(), &head, body)
    }

    #[track_caller]
    pub(crate) fn request(&self, method: &str, path: &str, body: &[u8]) -> (u16, Vec<u8>) {
        self.try_request(method, path, body).unwrap()
    }

    #[track_caller]
    pub(crate) fn push(&self, spec: &AmphoraSpec) -> Result<ApplyOutcome, AgentFault> {
        let (status, body) = self.request("PUT", paths::SPEC, &serde_json::to_vec(spec).unwrap());
        if status == 200 {
            return Ok(serde_json::from_slice(&body).unwrap());
        }
        let fault: AgentFault = serde_json::from_slice(&body).unwrap();
        assert_eq!(fault.http_code, status);
        Err(fault)
    }

    #[track_caller]
    pub(crate) fn info(&self) -> AgentInfo {
        let (status, body) = self.request("GET", paths::INFO, b"");
        assert_eq!(status, 200);
        serde_json::from_slice(&body).unwrap()
    }

    /// Waits for a heartbeat of which this is true.
    #[track_caller]
    pub(crate) fn heartbeat(&self, what: &str, mut is_it: impl FnMut(&Heartbeat) -> bool) -> Heartbeat {
        self.controller.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let mut datagram = vec![0; 65_536];
        eventually(what, || {
            let length = self.controller.recv(&mut datagram).ok()?;
            let beat = Heartbeat::open(&datagram[..length], self.key.as_bytes()).unwrap();
            assert_eq!(beat.id, self.id);
            is_it(&beat).then_some(beat)
        })
    }

    /// Forgets heartbeats that came before now.
    pub(crate) fn forget_heartbeats(&self) {
        self.controller.set_nonblocking(true).unwrap();
        while self.controller.recv(&mut [0; 1]).is_ok() {}
        self.controller.set_nonblocking(false).unwrap();
    }

    /// A port free on this amphora's address.
    pub(crate) fn free_port(&self) -> u16 {
        std::net::TcpListener::bind((self.ip, 0)).unwrap().local_addr().unwrap().port()
    }

    pub(crate) fn spec(&self, port: u16, members: &[SocketAddr]) -> AmphoraSpec {
        crate::spec::spec(self.id, self.lb, self.ip, port, members)
    }
}

impl Drop for Amphora {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for log in ["agent.log", files::PROXY_LOG] {
                let text = std::fs::read_to_string(self.file(log)).unwrap_or_default();
                eprintln!("---- {log} ----\n{text}");
            }
        }
        if let Some(mut agent) = self.agent.take() {
            let _ = agent.kill();
            let _ = agent.wait();
        }
        if let Some(proxy) = self.proxy()
            && proxy.is_alive().unwrap_or(false)
        {
            signal(proxy.pid, Signal::KILL);
        }
        // Predecessors are called by their pids.
        let others = std::fs::read_dir(self.dir()).unwrap().filter_map(|entry| {
            entry.unwrap().file_name().to_str()?.strip_prefix("proxy.sock.")?.parse().ok()
        });
        for pid in others.filter_map(|pid: i32| Pid::from_raw(pid)) {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

pub(crate) fn signal(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(pid.try_into().unwrap()).unwrap(), signal).unwrap();
}
