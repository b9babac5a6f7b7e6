//! A router of ours in a process of its own, which can be killed: this very program, asked to be one.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::IpAddr;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use octavia_agent::vrrp::{Addresses, Begin, State, Vrrp, VrrpSockets};
use octavia_wire::VrrpSpec;

use super::net::{Host, INTERFACE};
use crate::amphora::eventually;

const SPEC: &str = "OCTAVIA_IT_VRRP";
const RENEWED: &str = "OCTAVIA_IT_VRRP_RENEWED";
const SLOW_MS: &str = "OCTAVIA_IT_VRRP_SLOW_MS";
const STATES: [State; 5] = [State::Initialize, State::Fault, State::Backup, State::Master, State::Leaving];

/// Not a test: a router, if the environment says so.
#[test]
fn router() {
    let Ok(spec) = std::env::var(SPEC) else { return };
    let spec: VrrpSpec = serde_json::from_str(&spec).unwrap();
    let sockets = VrrpSockets::open(&spec).unwrap();
    let begin = if std::env::var_os(RENEWED).is_some() { Begin::Master } else { Begin::Backup };
    let slow = std::env::var(SLOW_MS).map_or(0, |millis| millis.parse().unwrap());
    let addresses = IpCommand { slow: Duration::from_millis(slow) };
    let vrrp = Vrrp::start(&spec, sockets, begin, addresses).unwrap();
    let status = vrrp.status();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lines() {
            let _ = tell.send(line.unwrap());
        }
    });
    runtime.block_on(async {
        let (mut state, mut heard) = (None, None);
        let mut tick = tokio::time::interval(Duration::from_millis(5));
        let mut vrrp = Some(vrrp);
        loop {
            let now = status.borrow().clone();
            if state != Some(now.state) {
                state = Some(now.state);
                println!("\nstate {:?}", now.state);
            }
            let priority = now.heard.map(|heard| heard.priority);
            if heard != priority {
                heard = priority;
                println!("\nheard {}", heard.unwrap());
            }
            tokio::select! {
                _ = tick.tick() => {}
                line = told.recv() => {
                    let line = line.unwrap();
                    match line.split_once(' ') {
                        Some(("update", spec)) => {
                            vrrp.as_ref().unwrap().update(&serde_json::from_str(spec).unwrap()).unwrap();
                        }
                        _ if line == "leave" => return vrrp.take().unwrap().leave().await,
                        _ => vrrp.as_ref().unwrap().set_health(line == "well"),
                    }
                }
            }
        }
    });
}

struct IpCommand {
    /// How long it takes to put addresses on.
    slow: Duration,
}

fn ip(arguments: &str) -> std::io::Result<()> {
    let output = Command::new("ip").args(arguments.split(' ')).output()?;
    if output.status.success() { Ok(()) } else { Err(std::io::Error::other(format!("{output:?}"))) }
}

/// An address of one host, and what else `ip` has to know.
fn words(vip: IpAddr) -> (String, &'static str) {
    if vip.is_ipv4() { (format!("{vip}/32"), "") } else { (format!("{vip}/128"), " nodad") }
}

impl Addresses for IpCommand {
    fn hold(&mut self, vips: &[IpAddr]) -> std::io::Result<()> {
        std::thread::sleep(self.slow);
        vips.iter().try_for_each(|vip| {
            let (address, nodad) = words(*vip);
            ip(&format!("addr replace {address} dev {INTERFACE}{nodad}"))
        })
    }

    fn release(&mut self, vips: &[IpAddr]) -> std::io::Result<()> {
        for vip in vips {
            // Mostly, it is not there.
            let _ = ip(&format!("addr del {} dev {INTERFACE}", words(*vip).0));
        }
        Ok(())
    }
}

pub(crate) struct Ours {
    process: Child,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Ours {
    pub(crate) fn start(host: &Host, spec: &VrrpSpec) -> Self {
        Self::start_with(host, spec, &[])
    }

    /// As the master that it was a moment ago.
    pub(crate) fn start_renewed(host: &Host, spec: &VrrpSpec) -> Self {
        Self::start_with(host, spec, &[(RENEWED, "1")])
    }

    /// It takes so long to put addresses on.
    pub(crate) fn start_slow(host: &Host, spec: &VrrpSpec, slow: Duration) -> Self {
        Self::start_with(host, spec, &[(SLOW_MS, &slow.as_millis().to_string())])
    }

    fn start_with(host: &Host, spec: &VrrpSpec, variables: &[(&str, &str)]) -> Self {
        let mut process = host
            .command(std::env::current_exe().unwrap())
            .args(["vrrp::ours::router", "--exact", "--nocapture"])
            .env(SPEC, serde_json::to_string(spec).unwrap())
            .envs(variables.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        let lines = Arc::new(Mutex::new(vec![]));
        let told = Arc::clone(&lines);
        std::thread::spawn(move || {
            output.lines().map_while(Result::ok).for_each(|line| told.lock().unwrap().push(line));
        });
        Self { process, lines }
    }

    fn last(&self, word: &str) -> Option<String> {
        let lines = self.lines.lock().unwrap();
        lines.iter().rev().find_map(|line| line.strip_prefix(word).map(str::to_owned))
    }

    pub(crate) fn state(&self) -> Option<State> {
        let last = self.last("state ")?;
        STATES.into_iter().find(|state| format!("{state:?}") == last)
    }

    #[track_caller]
    pub(crate) fn is(&self, state: State) {
        eventually(&format!("{state:?}"), || (self.state() == Some(state)).then_some(()));
    }

    /// At some time it has heard an advertisement of this priority.
    #[track_caller]
    pub(crate) fn hears(&self, priority: u8) {
        let expected = format!("heard {priority}");
        eventually(&expected, || self.lines.lock().unwrap().contains(&expected).then_some(()));
    }

    pub(crate) fn say(&mut self, line: &str) {
        writeln!(self.process.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    /// By itself.
    #[track_caller]
    pub(crate) fn ends(mut self) {
        let ended = eventually("it ends", || self.process.try_wait().unwrap());
        assert!(ended.success());
    }

    pub(crate) fn kill(self) {
        drop(self);
    }
}

impl Drop for Ours {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            eprintln!("ours said: {:?}", self.lines.lock());
        }
    }
}
