//! How the processes of an amphora are found again: the files in its directory, and who a pid is.

use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;
use std::str::FromStr;

/// Names in an amphora's directory besides [`BootConfig::FILE`](crate::BootConfig::FILE).
pub mod files {
    /// The [`ProcessId`](super::ProcessId) of the agent; of the proxy.
    pub const AGENT_PID: &str = "agent.pid";
    pub const PROXY_PID: &str = "proxy.pid";
    /// Held with `flock` by the process for its life: two agents, or two proxies, in one directory cannot be.
    pub const AGENT_LOCK: &str = "agent.lock";
    pub const PROXY_LOCK: &str = "proxy.lock";
    /// From which number the agent's heartbeats count since its last start.
    pub const AGENT_BEATS: &str = "agent.beats";
    /// Where the proxy listens for the agent.
    pub const PROXY_SOCKET: &str = "proxy.sock";
    /// Added to the names of the proxy's lock, pid file and socket while it is to take over from another; the socket of
    /// the one that was taken over from has its pid there.
    pub const NEXT: &str = ".next";
    /// What the proxy writes to its standard output and error.
    pub const PROXY_LOG: &str = "proxy.log";
    /// The durable [`AmphoraSpec`](crate::AmphoraSpec).
    pub const SPEC: &str = "spec.json";
}

/// A pid and when its process started, in clock ticks since the machine's boot: together they are never used again,
/// so nobody signals a stranger that got a dead process's pid. As text: `PID START\n`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessId {
    pub pid: u32,
    pub start_time: u64,
}

impl ProcessId {
    pub fn current() -> io::Result<Self> {
        Self::of(std::process::id())?.ok_or_else(|| io::Error::other("no /proc entry of this process"))
    }

    /// `None` = no such process, or one that has ended and only waits to be reaped.
    pub fn of(pid: u32) -> io::Result<Option<Self>> {
        match std::fs::read(format!("/proc/{pid}/stat")) {
            Ok(stat) => Ok(start_time(&stat).map(|start_time| Self { pid, start_time })),
            // ESRCH: it ended between open and read.
            Err(error)
                if error.kind() == io::ErrorKind::NotFound
                    || error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()) =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// The process that is meant still runs.
    pub fn is_alive(&self) -> io::Result<bool> {
        Ok(Self::of(self.pid)? == Some(*self))
    }

    /// `None` = no file, or nothing in it that can be understood.
    pub fn read(path: &Path) -> io::Result<Option<Self>> {
        match std::fs::read_to_string(path) {
            Ok(text) => Ok(text.parse().ok()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes the file whole or not at all; on a full disk, over what is there, which takes no space: a process that
    /// can serve shall not fail for it, and half of this and half of that names nobody.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let mut new = path.as_os_str().to_owned();
        new.push(".new");
        match std::fs::write(&new, self.to_string()).and_then(|()| std::fs::rename(&new, path)) {
            Err(error)
                if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) =>
            {
                let _ = std::fs::remove_file(&new);
                self.write_over(path)
            }
            result => result,
        }
    }

    fn write_over(&self, path: &Path) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).open(path)?;
        let text = self.to_string();
        file.write_all(text.as_bytes())?;
        file.set_len(text.len() as u64)
    }
}

impl fmt::Display for ProcessId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} {}", self.pid, self.start_time)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a pid and a start time")]
pub struct NotAProcessId;

impl FromStr for ProcessId {
    type Err = NotAProcessId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (pid, start_time) = text.trim_end().split_once(' ').ok_or(NotAProcessId)?;
        let pid = pid.parse().map_err(|_| NotAProcessId)?;
        let start_time = start_time.parse().map_err(|_| NotAProcessId)?;
        // 0 and what does not fit an i32 have other meanings to kill(2).
        if pid == 0 || i32::try_from(pid).is_err() {
            Err(NotAProcessId)
        } else {
            Ok(Self { pid, start_time })
        }
    }
}

/// Field 22 of `/proc/PID/stat` (proc(5)), unless field 3 says that the process is dead. The second field, the
/// command, may hold anything, parentheses too.
pub(crate) fn start_time(stat: &[u8]) -> Option<u64> {
    let after = stat.iter().rposition(|&byte| byte == b')')? + 1;
    let mut fields = std::str::from_utf8(&stat[after..]).ok()?.split_ascii_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X" | "x") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_start_time_behind_any_command() {
        let tail = "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4242 20 21";
        for (stat, expected) in [
            (format!("7 (octavia) S {tail}"), Some(4242)),
            (format!("7 (a) b) (c) R {tail}"), Some(4242)),
            (format!("7 (octavia) Z {tail}"), None),
            ("7 (octavia) S 1 2".to_owned(), None),
            ("7 octavia S".to_owned(), None),
            (String::new(), None),
        ] {
            assert_eq!(start_time(stat.as_bytes()), expected, "{stat}");
        }
    }

    #[test]
    fn knows_itself_and_no_stranger() {
        let me = ProcessId::current().unwrap();
        assert!(me.is_alive().unwrap());
        assert!(!ProcessId { start_time: me.start_time + 1, ..me }.is_alive().unwrap());
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.pid");
        assert_eq!(ProcessId::read(&path).unwrap(), None);
        me.write(&path).unwrap();
        assert_eq!(ProcessId::read(&path).unwrap(), Some(me));
    }

    #[test]
    fn a_full_disk_is_no_obstacle() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.pid");
        let full = || std::os::unix::fs::symlink("/dev/full", dir.path().join("x.pid.new")).unwrap();
        let me = ProcessId::current().unwrap();
        full();
        me.write(&path).unwrap_err();
        std::fs::write(&path, "4000000 99999999999999999\n").unwrap();
        full();
        me.write(&path).unwrap();
        assert_eq!(ProcessId::read(&path).unwrap(), Some(me));
        assert!(!dir.path().join("x.pid.new").is_symlink());
    }

    #[test]
    fn a_zombie_is_not_alive() {
        let mut child = std::process::Command::new("/bin/sleep").arg("60").spawn().unwrap();
        let id = ProcessId::of(child.id()).unwrap().unwrap();
        child.kill().unwrap();
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while id.is_alive().unwrap() {
            assert!(std::time::Instant::now() < deadline);
            std::thread::yield_now();
        }
        child.wait().unwrap();
        assert!(!id.is_alive().unwrap());
    }

    #[test]
    fn refuses_what_is_no_process() {
        for text in ["", "1", "1 ", " 1", "0 1", "-1 1", "4294967295 1", "1 2 3", "x y", "1\t2"] {
            assert_eq!(text.parse::<ProcessId>(), Err(NotAProcessId), "{text:?}");
        }
    }
}
