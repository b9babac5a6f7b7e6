//! The processes under test are this very program, asked to be an agent or a proxy.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use octavia_agent::AgentOptions;
use octavia_proxy::ProxyOptions;
use octavia_wire::files;

const DIR: &str = "OCTAVIA_IT_DIR";
const BIND: &str = "OCTAVIA_IT_BIND";
const NO_LOW_PORTS: &str = "OCTAVIA_IT_NO_LOW_PORTS";
const PROXY_DIR: &str = "OCTAVIA_IT_PROXY_DIR";
const THREADS: &str = "OCTAVIA_IT_THREADS";
const NEXT: &str = "OCTAVIA_IT_NEXT";
const CHECK: &str = "OCTAVIA_IT_CHECK";
/// With a file of this name, no agent can start.
pub(crate) const UNFIT: &str = "unfit";
const DRAIN_LIMIT: &str = "OCTAVIA_IT_DRAIN_LIMIT";
const TRAFFIC: &str = "OCTAVIA_IT_TRAFFIC_NAMESPACE";

/// Not a test: an agent, if the environment says so.
#[test]
fn agent() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    if std::env::var_os(NO_LOW_PORTS).is_some() {
        let mut mine = rustix::thread::capabilities(None).unwrap();
        mine.effective.remove(rustix::thread::CapabilitySet::NET_BIND_SERVICE);
        rustix::thread::set_capabilities(None, mine).unwrap();
    }
    let bind = std::env::var(BIND).unwrap().parse().unwrap();
    // The test harness takes no arguments of ours, so a shell turns them into variables.
    let script = format!(
        "{PROXY_DIR}=\"$2\" {THREADS}=\"$4\" {NEXT}=\"$5\" exec \"$0\" role::proxy --exact --nocapture"
    );
    let proxy_command = vec!["/bin/sh".into(), "-c".into(), script.into(), this_program()];
    let dir = PathBuf::from(dir);
    let drain_limit = std::env::var(DRAIN_LIMIT).map_or(3_600, |limit| limit.parse().unwrap());
    let drain_limit = Duration::from_secs(drain_limit);
    // Whoever goes on as this program keeps the variables; one more says that it is to be checked.
    let script = format!("{CHECK}=\"$1\" exec \"$0\" role::agent --exact --nocapture");
    let agent_command = vec!["/bin/sh".into(), "-c".into(), script.into(), this_program()];
    let traffic_namespace = std::env::var_os(TRAFFIC).map(PathBuf::from);
    let options = AgentOptions { dir, bind, proxy_command, agent_command, drain_limit, traffic_namespace };
    if std::env::var(CHECK).is_ok_and(|check| check == "--check") {
        assert!(!options.dir.join(UNFIT).exists(), "as the test wants it");
        return octavia_agent::check(&options).unwrap();
    }
    octavia_agent::run(options).unwrap();
}

/// Not a test: a proxy, if the environment says so.
#[test]
fn proxy() {
    let Some(dir) = std::env::var_os(PROXY_DIR) else { return };
    let dir = PathBuf::from(dir);
    let is_next = std::env::var(NEXT).is_ok_and(|next| next == "--next");
    if dir.join(crate::fake::SCRIPT).exists() {
        return crate::fake::run(&dir, if is_next { files::NEXT } else { "" });
    }
    let threads = std::env::var(THREADS).unwrap().parse().unwrap();
    octavia_proxy::run(ProxyOptions { dir, next: is_next, threads, sandbox: true }).unwrap();
}

/// With `low_ports` false it has no privilege to listen below 1024.
pub(crate) fn start_agent(
    dir: &Path,
    bind: std::net::SocketAddr,
    low_ports: bool,
    drain_limit: Option<Duration>,
    traffic: Option<&Path>,
) -> Child {
    let mut command = agent_command(traffic);
    if !low_ports {
        command.env(NO_LOW_PORTS, "1");
    }
    if let Some(limit) = drain_limit {
        command.env(DRAIN_LIMIT, limit.as_secs().to_string());
    }
    spawn_agent(command, dir, bind)
}

pub(crate) fn start_agent_on_path(
    dir: &Path,
    bind: std::net::SocketAddr,
    traffic: Option<&Path>,
    path: &std::ffi::OsStr,
) -> Child {
    let mut command = agent_command(traffic);
    command.env("PATH", path);
    spawn_agent(command, dir, bind)
}

fn agent_command(traffic: Option<&Path>) -> Command {
    let mut command = Command::new(this_program());
    if let Some(traffic) = traffic {
        command.env(TRAFFIC, traffic);
    }
    command
}

fn spawn_agent(mut command: Command, dir: &Path, bind: std::net::SocketAddr) -> Child {
    let log = std::fs::OpenOptions::new().create(true).append(true).open(dir.join("agent.log")).unwrap();
    command
        .args(["role::agent", "--exact", "--nocapture"])
        .env(DIR, dir)
        .env(BIND, bind.to_string())
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap()
}

pub(crate) fn start_proxy(dir: &Path) -> Child {
    Command::new(this_program())
        .args(["role::proxy", "--exact", "--nocapture"])
        .env(PROXY_DIR, dir)
        .env(THREADS, "2")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn this_program() -> OsString {
    std::env::current_exe().unwrap().into_os_string()
}
