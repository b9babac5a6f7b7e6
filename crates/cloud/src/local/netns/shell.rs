//! Running `ip`, `nft` and `tc`, and looking into namespaces. Everything here blocks, for a limited time.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Where iproute2 keeps named namespaces.
const NAMESPACES: &str = "/run/netns";
/// `statfs` of a namespace: `NSFS_MAGIC` of the kernel.
const NSFS: i64 = 0x6e73_6673;
/// A program that has not ended after this is killed. Even a loaded machine needs a fraction of it.
const PATIENCE: Duration = Duration::from_secs(30);
/// So much of what a program complains of is told.
const COMPLAINT_MAX: usize = 500;

/// The file that is a named namespace.
pub(in crate::local) fn path(netns: &str) -> PathBuf {
    Path::new(NAMESPACES).join(netns)
}

/// The namespaces there are. A file that is none is removed if `remains`: it is of an `ip netns add` that was killed, or
/// of one that is under way.
pub(super) fn namespaces(remains: impl Fn(&str) -> bool) -> io::Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    let entries = match fs::read_dir(NAMESPACES) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        match rustix::fs::statfs(entry.path()) {
            #[expect(clippy::useless_conversion, reason = "the field's type is another on other machines")]
            Ok(found_as) if i64::from(found_as.f_type) == NSFS => {
                found.insert(name);
            }
            Ok(_) if remains(&name) => fs::remove_file(entry.path())?,
            // Removed meanwhile, or not ours.
            Ok(_) | Err(_) => {}
        }
    }
    Ok(found)
}

/// Does the work on a thread of its own in the namespace. Processes that it starts begin there.
pub(in crate::local) fn within<T: Send>(netns: &str, work: impl FnOnce() -> T + Send) -> io::Result<T> {
    let namespace = File::open(path(netns))?;
    std::thread::scope(|scope| {
        let worker = scope.spawn(move || {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
            Ok(work())
        });
        worker.join().unwrap_or_else(|_| Err(io::Error::other("a thread in a namespace panicked")))
    })
}

/// The links of a namespace; `None` = of the machine itself.
pub(super) fn links(netns: Option<&str>) -> io::Result<BTreeSet<String>> {
    let read = || fs::read_to_string("/proc/thread-self/net/dev");
    let table = match netns {
        Some(netns) => within(netns, read)??,
        None => read()?,
    };
    Ok(parse_links(&table))
}

/// Two lines of headings, then `name: numbers`.
fn parse_links(table: &str) -> BTreeSet<String> {
    table
        .lines()
        .skip(2)
        .filter_map(|line| Some(line.split_once(':')?.0.trim().to_owned()))
        .filter(|name| !name.is_empty())
        .collect()
}

/// Runs a program that reads `input`, in the namespace or on the machine itself, and answers what it says.
///
/// # Errors
///
/// If it cannot be started, does not end in time, or complains; with its words.
pub(super) fn run(netns: Option<&str>, program: &str, arguments: &[&str], input: &str) -> io::Result<String> {
    let run_here = || run_here(program, arguments, input);
    match netns {
        Some(netns) => within(netns, run_here)?,
        None => run_here(),
    }
}

fn run_here(program: &str, arguments: &[&str], input: &str) -> io::Result<String> {
    // Files in memory: nobody waits for somebody to read or write.
    let memory = || memfd_create(program, MemfdFlags::CLOEXEC).map(File::from);
    let (mut told, mut said, mut complaint) = (memory()?, memory()?, memory()?);
    told.write_all(input.as_bytes())?;
    told.rewind()?;
    let mut child = Command::new(program)
        .args(arguments)
        .env_clear()
        .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
        .env("LC_ALL", "C")
        .stdin(told)
        .stdout(Stdio::from(said.try_clone()?))
        .stderr(Stdio::from(complaint.try_clone()?))
        .spawn()
        .map_err(|error| io::Error::new(error.kind(), format!("{program} cannot be run: {error}")))?;
    let ended = wait(child.id(), PATIENCE);
    if !matches!(ended, Ok(true)) {
        child.kill()?;
    }
    let status = child.wait()?;
    if !ended? {
        return Err(io::Error::new(io::ErrorKind::TimedOut, format!("{program} does not end")));
    }
    let read = |file: &mut File| -> io::Result<String> {
        let mut bytes = vec![];
        file.rewind()?;
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    if status.success() {
        return read(&mut said);
    }
    let mut words = read(&mut complaint)?.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
    let end = words.char_indices().nth(COMPLAINT_MAX).map_or(words.len(), |(at, _)| at);
    words.truncate(end);
    Err(io::Error::other(format!("{program} {}: {words}", arguments.join(" "))))
}

/// Whether the child has ended within the time.
fn wait(pid: u32, limit: Duration) -> io::Result<bool> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::InvalidInput)?;
    let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
    let deadline = Instant::now() + limit;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left).map_err(|_| io::ErrorKind::InvalidInput)?;
        match poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&timeout)) {
            Ok(ready) => return Ok(ready > 0),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// `ip` does the lines one after the other, up to the first that fails.
pub(super) fn ip(netns: Option<&str>, batch: &str) -> io::Result<()> {
    if batch.is_empty() {
        return Ok(());
    }
    run(netns, "ip", &["-batch", "-"], batch).map(drop)
}

/// `nft` does all or nothing.
pub(super) fn nft(netns: &str, script: &str) -> io::Result<()> {
    run(Some(netns), "nft", &["-f", "-"], script).map(drop)
}

pub(super) fn tc(netns: &str, batch: &str) -> io::Result<()> {
    run(Some(netns), "tc", &["-batch", "-"], batch).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_table_of_links() {
        let table = "Inter-|   Receive\n face |bytes\n    lo:  1 2\noct100-mgmt: 0 0\n nonsense\n";
        assert_eq!(parse_links(table).into_iter().collect::<Vec<_>>(), ["lo", "oct100-mgmt"]);
        assert!(parse_links("").is_empty());
        assert!(links(None).unwrap().contains("lo"));
    }

    #[test]
    fn a_program_answers_or_complains() {
        let run = |script: &str| run(None, "sh", &["-c", script], "told\n");
        assert_eq!(run("cat").unwrap(), "told\n");
        let complaint = run("echo no >&2; echo way >&2; exit 3").unwrap_err().to_string();
        assert!(complaint.starts_with("sh -c") && complaint.ends_with(": no way"), "{complaint}");
        let long = run("head -c 100000 /dev/zero | tr '\\0' x >&2; exit 1").unwrap_err().to_string();
        assert!(long.len() < 1000);
        assert!(super::run(None, "no-such-program", &[], "").is_err());
        assert!(within("no-such-namespace", || ()).is_err());
    }

    #[test]
    fn nobody_is_waited_for_too_long() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        assert!(!wait(child.id(), Duration::from_millis(1)).unwrap());
        child.kill().unwrap();
        assert!(wait(child.id(), PATIENCE).unwrap());
        child.wait().unwrap();
    }
}
