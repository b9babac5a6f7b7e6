//! Servers as processes, with a script in the place of the `octavia` binary.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use octavia_cloud::{BootFile, Compute, ServerRequest, ServerState, suite};
use octavia_model::AmphoraId;
use octavia_wire::ProcessId;
use rustix::process::{Pid, Signal, kill_process};

use crate::kit::Cloud;

fn stand_in() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/stand-in.sh")
}

/// A cloud, and its servers with the stand-in. Whatever a failing test leaves is ended on drop.
struct Servers {
    cloud: Cloud,
    compute: Arc<dyn Compute>,
}

impl Servers {
    fn new() -> Self {
        let cloud = Cloud::new();
        let compute = cloud.local.compute(&stand_in()).unwrap();
        Self { cloud, compute }
    }

    fn dir(&self, id: AmphoraId) -> PathBuf {
        self.cloud.path().join("amphorae").join(id.to_string())
    }

    fn process(&self, id: AmphoraId, file: &str) -> ProcessId {
        ProcessId::read(&self.dir(id).join(file)).unwrap().unwrap()
    }

    async fn up(&self, request: &ServerRequest) -> octavia_cloud::Server {
        self.compute.server_ensure(request).await.unwrap();
        let server = suite::server_up(&*self.compute, request.amphora_id).await;
        if !request.files.iter().any(|file| file.name == "unnamed") {
            until("the proxy is there", || self.dir(request.amphora_id).join("proxy.pid").exists()).await;
        }
        server
    }

    async fn state(&self, id: AmphoraId) -> Option<ServerState> {
        self.compute.server_find(id).await.unwrap().map(|server| server.state)
    }

    async fn until_state(&self, id: AmphoraId, state: ServerState) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while self.state(id).await != Some(state) {
            assert!(Instant::now() < deadline, "not {state:?} in time");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        for id in processes_of(self.cloud.path()) {
            kill(id, Signal::KILL);
        }
    }
}

/// Living processes that are the stand-in at work below `dir`: not what it runs for a moment, such as `mv`, which
/// ends by itself.
fn processes_of(dir: &Path) -> Vec<ProcessId> {
    let pids =
        fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter(|pid: &u32| {
        let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let command = String::from_utf8_lossy(&command);
        command.contains("stand-in.sh") && command.contains(dir.to_str().unwrap())
    })
    .filter_map(|pid| ProcessId::of(pid).unwrap())
    .collect()
}

fn kill(id: ProcessId, signal: Signal) {
    let _ = kill_process(Pid::from_raw(id.pid as i32).unwrap(), signal);
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}: not in time");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn request(extra: &[&str]) -> ServerRequest {
    let mut request = suite::server_request();
    let file = |name: &&str| BootFile { name: (*name).to_owned(), content: vec![] };
    request.files.extend(extra.iter().map(file));
    request
}

#[tokio::test(flavor = "multi_thread")]
async fn passes_the_suite() {
    let servers = Servers::new();
    suite::compute_suite(&*servers.compute).await;
    let (client, _keeper) = servers.cloud.kept_with(Arc::clone(&servers.compute));
    suite::compute_suite(&*client.compute()).await;
    assert_eq!(processes_of(servers.cloud.path()), []);
    assert_eq!(fs::read_dir(servers.cloud.path().join("amphorae")).unwrap().count(), 0);
}

#[tokio::test]
async fn refuses_files_that_would_leave_the_directory() {
    let servers = Servers::new();
    for name in ["../x", "a/b", "", "agent.pid"] {
        let request = request(&[name]);
        let error = servers.compute.server_ensure(&request).await.unwrap_err();
        assert_eq!(error.blame, octavia_model::Blame::Caller, "{name:?}");
        assert_eq!(servers.state(request.amphora_id).await, None, "{name:?}");
    }
}

#[tokio::test]
async fn a_server_is_a_private_directory_and_processes_apart_from_ours() {
    let servers = Servers::new();
    let request = request(&[]);
    let server = servers.up(&request).await;
    let dir = servers.dir(request.amphora_id);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir), 0o700);
    assert_eq!(mode(&dir.join("boot.json")), 0o600);
    assert_eq!(mode(&dir.join("agent.log")), 0o600);
    let agent = servers.process(request.amphora_id, "agent.pid");
    let session = rustix::process::getsid(Pid::from_raw(agent.pid as i32)).unwrap();
    assert_eq!(session.as_raw_pid(), agent.pid as i32, "what it needs to lead a session is left to it");
    let environment = fs::read_to_string(format!("/proc/{}/environ", agent.pid)).unwrap();
    assert!(environment.contains("PATH=") && !environment.contains("HOME="), "{environment}");
    let address = server.agent.unwrap();
    assert_eq!(address.port(), 9443);
    let command = fs::read_to_string(format!("/proc/{}/cmdline", agent.pid)).unwrap();
    assert!(command.ends_with(&format!("--bind\0{address}\0")), "{command:?}");
    servers.compute.server_delete(request.amphora_id).await.unwrap();
}

#[tokio::test]
async fn a_restarted_controller_takes_over_what_runs() {
    let servers = Servers::new();
    let (kept, stopped) = (request(&[]), request(&[]));
    let before = servers.up(&kept).await;
    let stopped_before = servers.up(&stopped).await;
    kill(servers.process(stopped.amphora_id, "agent.pid"), Signal::KILL);
    servers.until_state(stopped.amphora_id, ServerState::Stopped).await;
    // What a crash in the middle of a removal leaves.
    let remains = servers.cloud.path().join("amphorae").join(format!("{}.tmp", AmphoraId::new_v4()));
    fs::create_dir(&remains).unwrap();

    let again = servers.cloud.local.compute(&stand_in()).unwrap();
    assert!(!remains.exists());
    assert_eq!(again.server_find(kept.amphora_id).await, Ok(Some(before.clone())));
    assert_eq!(again.server_list().await.unwrap().len(), 2);
    let fresh = request(&[]);
    let server = again.server_ensure(&fresh).await.unwrap();
    assert!(server.agent != before.agent && server.agent != stopped_before.agent, "addresses stay taken");
    for id in [kept.amphora_id, stopped.amphora_id, fresh.amphora_id] {
        again.server_delete(id).await.unwrap();
    }
    assert_eq!(processes_of(servers.cloud.path()), []);
}

#[tokio::test]
async fn a_dead_agent_is_started_again_beside_its_proxy() {
    let servers = Servers::new();
    let request = request(&[]);
    let before = servers.up(&request).await;
    let id = request.amphora_id;
    let (agent, proxy) = (servers.process(id, "agent.pid"), servers.process(id, "proxy.pid"));
    kill(agent, Signal::KILL);
    servers.until_state(id, ServerState::Stopped).await;
    assert!(proxy.is_alive().unwrap());
    assert_eq!(servers.up(&request).await, before, "the same address");
    assert_ne!(servers.process(id, "agent.pid"), agent);
    assert_eq!(servers.process(id, "proxy.pid"), proxy);
    servers.compute.server_delete(id).await.unwrap();
    assert!(!proxy.is_alive().unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn many_who_ensure_at_once_start_one_agent() {
    let servers = Servers::new();
    let request = request(&[]);
    let tasks: Vec<_> = (0..16)
        .map(|_| {
            let (compute, request) = (Arc::clone(&servers.compute), request.clone());
            tokio::spawn(async move { compute.server_ensure(&request).await.unwrap() })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    servers.up(&request).await;
    let starts = fs::read_to_string(servers.dir(request.amphora_id).join("starts")).unwrap();
    assert_eq!(starts.lines().filter(|role| *role == "amphora").count(), 1, "{starts}");
    servers.compute.server_delete(request.amphora_id).await.unwrap();
}

#[tokio::test]
async fn nothing_survives_a_delete() {
    for ways in [&["stubborn"][..], &["unnamed"], &["stubborn", "unnamed"], &[]] {
        let servers = Servers::new();
        let request = request(ways);
        servers.up(&request).await;
        until("both run", || processes_of(servers.cloud.path()).len() >= 2).await;
        servers.compute.server_delete(request.amphora_id).await.unwrap();
        assert_eq!(processes_of(servers.cloud.path()), [], "{ways:?}");
        assert_eq!(servers.state(request.amphora_id).await, None, "{ways:?}");
    }
}

#[tokio::test]
async fn an_agent_that_dies_at_once_is_stopped_not_running() {
    let servers = Servers::new();
    let request = request(&["dies"]);
    for _ in 0..2 {
        servers.compute.server_ensure(&request).await.unwrap();
        servers.until_state(request.amphora_id, ServerState::Stopped).await;
    }
    servers.compute.server_delete(request.amphora_id).await.unwrap();
}

#[tokio::test]
async fn a_stranger_with_the_pid_is_left_alone() {
    let servers = Servers::new();
    let mut stranger = std::process::Command::new("/bin/sleep").arg("60").spawn().unwrap();
    let id = ProcessId::of(stranger.id()).unwrap().unwrap();
    let request = request(&[]);
    servers.up(&request).await;
    let dir = servers.dir(request.amphora_id);
    for file in ["agent.pid", "proxy.pid", "start.pid"] {
        id.write(&dir.join(file)).unwrap();
    }
    assert_eq!(servers.state(request.amphora_id).await, Some(ServerState::Stopped));
    servers.compute.server_delete(request.amphora_id).await.unwrap();
    assert_eq!(processes_of(servers.cloud.path()), [], "found without their pid files");
    assert!(id.is_alive().unwrap());
    stranger.kill().unwrap();
    stranger.wait().unwrap();
}

#[tokio::test]
async fn the_log_stays_bounded() {
    let servers = Servers::new();
    let request = request(&[]);
    servers.up(&request).await;
    let log = servers.dir(request.amphora_id).join("agent.log");
    fs::write(&log, vec![b'x'; 2 << 20]).unwrap();
    servers.state(request.amphora_id).await;
    assert_eq!(fs::metadata(&log).unwrap().len(), 0);
    assert_eq!(fs::metadata(log.with_file_name("agent.log.1")).unwrap().len(), 2 << 20);
    servers.compute.server_delete(request.amphora_id).await.unwrap();
}

#[tokio::test]
async fn a_removed_state_directory_leaves_nothing_but_what_is_not_its_own() {
    let servers = Servers::new();
    let request = request(&["unnamed"]);
    servers.up(&request).await;
    let path = servers.cloud.path().to_owned();
    let own = path.join("notes.txt");
    fs::write(&own, "mine").unwrap();
    octavia_cloud::local::remove(&path).await.unwrap();
    assert_eq!(processes_of(&path), []);
    let left: Vec<_> = fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(left, std::slice::from_ref(&own));
    fs::remove_file(own).unwrap();
    assert!(octavia_cloud::local::remove(&path).await.is_err(), "there is no cloud any more");
}
