//! Processes: whether one is ours, and ending it without ever signalling a stranger.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use octavia_wire::ProcessId;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::{Instant, timeout_at};

use super::server::ServerDir;

/// The process lives, and works in `dir` as `role`.
pub(super) fn runs(id: ProcessId, role: &str, dir: &Path) -> io::Result<bool> {
    Ok(id.is_alive()?
        && match command_of(id.pid)? {
            Command::Line(line) => works_in(&line, &[role], dir),
            Command::NotYet => true,
            Command::Gone => false,
        })
}

/// What a process was started as.
enum Command {
    /// Arguments, each ended by NUL.
    Line(Vec<u8>),
    /// In the middle of execve(2): the old arguments are gone, the new ones not there.
    NotYet,
    /// No such process any more, or one of the kernel's.
    Gone,
}

fn command_of(pid: u32) -> io::Result<Command> {
    match command_line(pid) {
        Ok(line) if !line.is_empty() => Ok(Command::Line(line)),
        // Threads of the kernel have no arguments either, but no file that they execute.
        Ok(_) if std::fs::read_link(format!("/proc/{pid}/exe")).is_ok() => Ok(Command::NotYet),
        Ok(_) => Ok(Command::Gone),
        Err(error) if gone(&error) => Ok(Command::Gone),
        Err(error) => Err(error),
    }
}

/// The first [`COMMAND_MAX`] bytes, by a single read(2): what a second one returns may be of another command, of an
/// execve(2) in between.
fn command_line(pid: u32) -> io::Result<Vec<u8>> {
    let mut line = vec![0; COMMAND_MAX];
    let read = File::open(format!("/proc/{pid}/cmdline"))?.read(&mut line)?;
    line.truncate(read);
    Ok(line)
}

/// Where `… role … --dir DIR …` of ours surely ends: paths have 4,096 bytes at most.
const COMMAND_MAX: usize = 16 << 10;

/// Whether a command line reads `… role … --dir DIR …`.
fn works_in(command: &[u8], roles: &[&str], dir: &Path) -> bool {
    use std::os::unix::ffi::OsStrExt;

    let arguments: Vec<_> = command.split(|&byte| byte == 0).collect();
    let Some(option) =
        arguments.windows(2).position(|pair| pair[0] == b"--dir" && pair[1] == dir.as_os_str().as_bytes())
    else {
        return false;
    };
    arguments[..option].iter().any(|argument| roles.iter().any(|role| role.as_bytes() == *argument))
}

fn gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
        || error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error())
}

/// Ends agent and proxy: asks the agent, which ends its proxy, and kills it after `grace`; a proxy that is still
/// there has a third of that. Returns when they are gone.
pub(super) async fn end(dir: &ServerDir, grace: Duration) -> io::Result<()> {
    for agent in [dir.starting()?, dir.agent()?].into_iter().flatten() {
        end_one(agent, grace).await?;
    }
    // No agent, so nobody starts another proxy.
    if let Some(proxy) = dir.proxy()? {
        end_one(proxy, grace / 3).await?;
    }
    // What was spawned by an agent that ended before it could say so.
    for _ in 0..SWEEPS_MAX {
        match workers_in(dir.path())? {
            (left, Certain::Yes) if left.is_empty() => return Ok(()),
            (left, Certain::No) if left.is_empty() => tokio::time::sleep(SWEEP_PAUSE).await,
            (left, _) => {
                for id in left {
                    end_one(id, Duration::ZERO).await?;
                }
            }
        }
    }
    match workers_in(dir.path())? {
        // One that never has arguments is none of ours.
        (left, _) if left.is_empty() => Ok(()),
        _ => Err(io::Error::new(io::ErrorKind::TimedOut, "its processes do not end")),
    }
}

const SWEEPS_MAX: u32 = 20;
const SWEEP_PAUSE: Duration = Duration::from_millis(5);

/// Whether every process could be told apart.
enum Certain {
    Yes,
    No,
}

/// All processes of amphora `dir`, by their command lines.
fn workers_in(dir: &Path) -> io::Result<(Vec<ProcessId>, Certain)> {
    let (mut found, mut certain) = (vec![], Certain::Yes);
    for entry in std::fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
        // The id before the command line: if the pid changes hands in between, signalling fails.
        let Ok(Some(id)) = ProcessId::of(pid) else { continue };
        match command_of(pid) {
            Ok(Command::Line(line)) if works_in(&line, &["amphora", "proxy"], dir) => found.push(id),
            Ok(Command::Line(_) | Command::Gone) => {}
            Ok(Command::NotYet) | Err(_) => certain = Certain::No,
        }
    }
    Ok((found, certain))
}

/// SIGTERM, and after `grace` SIGKILL; waits for the end.
async fn end_one(id: ProcessId, grace: Duration) -> io::Result<()> {
    /// A killed process is gone within this, unless the kernel holds it.
    const KILL_WAIT: Duration = Duration::from_secs(10);

    let Some(pidfd) = pidfd_of(id)? else { return Ok(()) };
    #[expect(deprecated, reason = "sound for an `OwnedFd`; its successor is not a safe function")]
    let pidfd = AsyncFd::with_interest(pidfd, Interest::READABLE)?;
    let steps = [(Signal::TERM, grace), (Signal::KILL, KILL_WAIT)];
    for (signal, wait) in steps.into_iter().filter(|(_, wait)| !wait.is_zero()) {
        match pidfd_send_signal(pidfd.get_ref(), signal) {
            Ok(()) => {}
            Err(rustix::io::Errno::SRCH) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        if timeout_at(Instant::now() + wait, pidfd.readable()).await.is_ok() {
            return Ok(());
        }
    }
    Err(io::Error::new(io::ErrorKind::TimedOut, format!("process {} does not end", id.pid)))
}

/// A handle that stays with this very process, whatever becomes of its pid. `None` = it has ended.
fn pidfd_of(id: ProcessId) -> io::Result<Option<OwnedFd>> {
    let Some(pid) = i32::try_from(id.pid).ok().and_then(Pid::from_raw) else { return Ok(None) };
    let pidfd = match pidfd_open(pid, PidfdFlags::NONBLOCK) {
        Ok(pidfd) => pidfd,
        Err(rustix::io::Errno::SRCH) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    // Only now is it sure whom the handle is of.
    Ok(id.is_alive()?.then_some(pidfd))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One that becomes another program again and again stays known, however the reads fall.
    #[test]
    fn knows_its_own_while_it_executes_another() {
        let dir = tempfile::tempdir().unwrap();
        let script = r#"n=$1; shift
            [ $n = 0 ] || exec /usr/bin/env LC_ALL=C /bin/sh -c "$0" "$0" $((n - 1)) "$@"
            : >"$3/done"; read end"#;
        let mut child = std::process::Command::new("/bin/sh")
            .args(["-c", script, script, "400", "amphora", "--dir"])
            .arg(dir.path())
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let id = ProcessId::of(child.id()).unwrap().unwrap();
        let mut known = true;
        while known && !dir.path().join("done").exists() {
            known = runs(id, "amphora", dir.path()).unwrap();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(known, "taken for gone");
    }

    #[test]
    fn knows_its_own_by_the_command_line() {
        let dir = Path::new("/s/amphorae/x");
        for (command, ours) in [
            ("octavia\0amphora\0--dir\0/s/amphorae/x\0--bind\0[::1]:9443\0", true),
            ("/bin/sh\0stand-in\0amphora\0--dir\0/s/amphorae/x\0", true),
            ("octavia\0proxy\0--dir\0/s/amphorae/x\0", true),
            ("octavia\0amphora\0--dir\0/s/amphorae/y\0", false),
            ("ls\0/s/amphorae/x\0", false),
            ("ls\0--dir\0/s/amphorae/x\0amphora\0", false),
            ("octavia\0amphora\0--dir=/s/amphorae/x\0", false),
            ("", false),
        ] {
            assert_eq!(works_in(command.as_bytes(), &["amphora", "proxy"], dir), ours, "{command:?}");
        }
        assert!(!works_in(b"octavia\0proxy\0--dir\0/s/amphorae/x\0", &["amphora"], dir));
    }
}
