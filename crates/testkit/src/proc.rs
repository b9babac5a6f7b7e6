//! What the kernel says of processes: which belong to a directory, what they used, where they listen.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal};

use crate::wait_for;

/// The unit of times in `/proc`, part of the kernel's interface on every architecture we build for.
const USER_HZ: u64 = 100;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    pub pid: i32,
    pub command: Vec<String>,
}

impl Process {
    /// The subcommand of `octavia …`: the first argument that is no option.
    pub fn subcommand(&self) -> &str {
        self.command.iter().skip(1).find(|word| !word.starts_with('-')).map_or("", String::as_str)
    }

    /// `/proc/PID/stat`'s start time: with the pid, the identity of a process.
    pub fn started(&self) -> Option<u64> {
        stat_field(self.pid, 19)
    }
}

/// Living processes (zombies are dead) whose command line or working directory names `dir` or something below it.
pub fn processes_under(dir: &Path) -> Vec<Process> {
    processes().into_iter().filter(|process| belongs(process, dir)).collect()
}

fn belongs(process: &Process, dir: &Path) -> bool {
    let named = process.command.iter().any(|word| {
        // Also `--dir=DIR`.
        let word = word.split_once('=').map_or(word.as_str(), |(_, value)| value);
        Path::new(word).starts_with(dir)
    });
    named || std::fs::read_link(format!("/proc/{}/cwd", process.pid)).is_ok_and(|cwd| cwd.starts_with(dir))
}

fn processes() -> Vec<Process> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return vec![] };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| *pid != own_pid()).filter_map(read_process).collect()
}

fn own_pid() -> i32 {
    i32::try_from(std::process::id()).unwrap_or(0)
}

fn read_process(pid: i32) -> Option<Process> {
    let raw = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let text = String::from_utf8_lossy(&raw);
    // Empty for kernel threads and zombies.
    let command: Vec<_> = text.split('\0').filter(|word| !word.is_empty()).map(str::to_owned).collect();
    (!command.is_empty() && alive(pid)).then_some(Process { pid, command })
}

/// Whether the process exists and is no zombie.
pub fn alive(pid: i32) -> bool {
    stat_words(pid).is_some_and(|words| words.first().is_some_and(|state| state != "Z" && state != "X"))
}

/// Fields of `/proc/PID/stat` after the name, which may hold anything: `[0]` is the state.
fn stat_words(pid: i32) -> Option<Vec<String>> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = text.rsplit_once(')')?;
    Some(rest.split_ascii_whitespace().map(str::to_owned).collect())
}

fn stat_field(pid: i32, index: usize) -> Option<u64> {
    stat_words(pid)?.get(index)?.parse().ok()
}

/// User and system time of all threads, dead ones included. Resolution: a clock tick (10 ms).
pub fn cpu_time(pid: i32) -> Result<Duration> {
    let words = stat_words(pid).with_context(|| format!("process {pid} is gone"))?;
    let ticks: u64 = [11, 12].iter().filter_map(|at| words.get(*at)?.parse::<u64>().ok()).sum();
    Ok(Duration::from_millis(ticks * 1000 / USER_HZ))
}

/// Resident memory in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Memory {
    /// With pages shared with other processes counted whole.
    pub rss: u64,
    /// With shared pages counted by their share.
    pub pss: u64,
    /// Pages no other process has.
    pub private: u64,
}

impl std::ops::AddAssign for Memory {
    fn add_assign(&mut self, other: Self) {
        self.rss += other.rss;
        self.pss += other.pss;
        self.private += other.private;
    }
}

pub fn memory(pid: i32) -> Result<Memory> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let mut memory = Memory::default();
    for line in text.lines() {
        let Some((key, rest)) = line.split_once(':') else { continue };
        let kib: u64 = rest.trim().trim_end_matches(" kB").trim().parse().unwrap_or(0);
        match key {
            "Rss" => memory.rss = kib << 10,
            "Pss" => memory.pss = kib << 10,
            "Private_Clean" | "Private_Dirty" => memory.private += kib << 10,
            _ => (),
        }
    }
    Ok(memory)
}

/// The most resident memory it ever had, in bytes.
pub fn memory_peak(pid: i32) -> Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
    let kib: u64 = line.trim().trim_end_matches(" kB").trim().parse()?;
    Ok(kib << 10)
}

/// IPv4 TCP sockets in LISTEN, by inode.
fn listening_inodes() -> BTreeMap<u64, SocketAddr> {
    let text = std::fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    text.lines().skip(1).filter_map(listening_line).collect()
}

fn listening_line(line: &str) -> Option<(u64, SocketAddr)> {
    const LISTEN: &str = "0A";
    let words: Vec<_> = line.split_ascii_whitespace().collect();
    let (address, port) = words.get(1)?.split_once(':')?;
    if *words.get(3)? != LISTEN {
        return None;
    }
    let ip = Ipv4Addr::from(u32::from_str_radix(address, 16).ok()?.to_le_bytes());
    let port = u16::from_str_radix(port, 16).ok()?;
    Some((words.get(9)?.parse().ok()?, SocketAddr::new(IpAddr::V4(ip), port)))
}

/// Every address of this machine something listens on (IPv4, TCP).
pub fn listening() -> BTreeSet<SocketAddr> {
    listening_inodes().into_values().collect()
}

/// Where a process listens (IPv4, TCP).
pub fn listening_of(pid: i32) -> BTreeSet<SocketAddr> {
    let inodes = listening_inodes();
    let Ok(entries) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { return BTreeSet::new() };
    entries
        .flatten()
        .filter_map(|entry| {
            let link = std::fs::read_link(entry.path()).ok()?;
            let inode = link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()?;
            inodes.get(&inode).copied()
        })
        .collect()
}

/// Sends SIGKILL to a process found under our own directory; gone already is fine.
pub fn kill(pid: i32) {
    signal(pid, Signal::KILL);
}

/// Asks a process to end, with SIGTERM.
pub fn terminate(pid: i32) {
    signal(pid, Signal::TERM);
}

/// Has a process stand still, with all that it holds.
pub fn pause(pid: i32) {
    signal(pid, Signal::STOP);
}

/// Lets it go on.
pub fn resume(pid: i32) {
    signal(pid, Signal::CONT);
}

/// Presses Ctrl-C for it.
pub fn interrupt(pid: i32) {
    signal(pid, Signal::INT);
}

/// Closes its terminal.
pub fn hang_up(pid: i32) {
    signal(pid, Signal::HUP);
}

fn signal(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid) {
        let _ = rustix::process::kill_process(pid, signal);
    }
}

/// How a child of ours ended; killed if it has not by then, which is an error.
pub async fn ended(child: &mut Child, what: &str, limit: Duration) -> Result<ExitStatus> {
    let ended = wait_for(&format!("{what} to end"), limit, async || match child.try_wait() {
        Ok(Some(status)) => Ok(status),
        other => Err(format!("{other:?}")),
    })
    .await;
    if ended.is_err() {
        let _ = child.kill();
        let _ = child.wait();
    }
    ended
}

/// Kills every process under the directory, also ones started while doing so.
///
/// # Errors
/// When some are still there after ten seconds.
pub fn kill_under(dir: &Path) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(10);
    while Instant::now() < deadline {
        let processes = processes_under(dir);
        if processes.is_empty() {
            return Ok(());
        }
        for process in &processes {
            kill(process.pid);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    anyhow::bail!("still running: {:?}", processes_under(dir))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_its_own_child_by_its_directory_and_kills_it() {
        let dir = tempfile::tempdir().unwrap();
        let mut child =
            std::process::Command::new("sleep").arg("60").current_dir(dir.path()).spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let deadline = std::time::Instant::now() + Duration::from_secs(5);
        while processes_under(dir.path()).is_empty() {
            assert!(std::time::Instant::now() < deadline);
            std::thread::yield_now();
        }
        assert_eq!(processes_under(dir.path())[0].pid, pid);
        assert!(memory(pid).unwrap().rss > 0);
        assert!(cpu_time(pid).unwrap() < Duration::from_secs(1));
        kill_under(dir.path()).unwrap();
        assert!(processes_under(dir.path()).is_empty());
        child.wait().unwrap();
    }

    #[test]
    fn finds_listening_sockets() {
        let listener = std::net::TcpListener::bind("127.0.0.9:0").unwrap();
        let address = listener.local_addr().unwrap();
        assert!(listening().contains(&address));
        assert!(listening_of(own_pid()).contains(&address));
        drop(listener);
        assert!(!listening_of(own_pid()).contains(&address));
    }

    #[test]
    fn reads_hostile_tables() {
        for line in ["", "0: x", "0: 0100007F:1F90 0:0 0A", "0: zz:zz 0:0 0A 0 0 0 0 0 1"] {
            assert_eq!(listening_line(line), None, "{line}");
        }
    }
}
