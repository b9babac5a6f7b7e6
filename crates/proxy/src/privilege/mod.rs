//! Giving up what the proxy does not need: privileges before the first traffic thread exists, system calls once all do.
//!
//! Nothing of it needs a privilege itself. Afterwards the proxy can use the descriptors it has, take more from its
//! agent, and make connections; it cannot open files, start programs, listen, or make memory executable.

mod calls;

use std::collections::BTreeMap;

use rustix::io::Errno;
use rustix::process::{Gid, Uid, geteuid};
use rustix::thread::{
    CapabilitySet, CapabilitySets, remove_capability_from_bounding_set, set_capabilities, set_no_new_privs,
    set_thread_groups, set_thread_res_gid, set_thread_res_uid,
};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch, apply_filter_all_threads,
};

use self::calls::{ALLOWED, Allowed, REFUSED};
use crate::sys;

/// The user and group `nobody`, by its usual number: the system's user database is not asked.
const NOBODY: u32 = 65_534;

#[derive(Debug, thiserror::Error)]
pub enum PrivilegeError {
    #[error("{what}: {error}")]
    Step { what: &'static str, error: Errno },
    #[error("system call filter: {0}")]
    Filter(#[from] seccompiler::Error),
    #[error("system call filter: {0}")]
    Backend(#[from] seccompiler::BackendError),
    #[error("signal handler: {0}")]
    Handler(#[from] std::io::Error),
}

/// Gives up user, groups and capabilities of this thread, and of all it starts from now on. Must run while there are
/// no others.
pub(crate) fn drop_all() -> Result<(), PrivilegeError> {
    let step = |what| move |error| PrivilegeError::Step { what, error };
    set_no_new_privs(true).map_err(step("no_new_privs"))?;
    // Needs a capability of its own, so it is for those who have something to lose.
    for capability in CapabilitySet::all().iter() {
        match remove_capability_from_bounding_set(capability) {
            // Not permitted = an ordinary user; invalid = unknown to this kernel.
            Ok(()) | Err(Errno::PERM | Errno::INVAL) => {}
            Err(error) => return Err(step("capability bounding set")(error)),
        }
    }
    if geteuid().is_root() {
        let (uid, gid) = (Uid::from_raw(NOBODY), Gid::from_raw(NOBODY));
        set_thread_groups(&[]).map_err(step("setgroups"))?;
        set_thread_res_gid(gid, gid, gid).map_err(step("setresgid"))?;
        set_thread_res_uid(uid, uid, uid).map_err(step("setresuid"))?;
    }
    let none = CapabilitySets {
        effective: CapabilitySet::empty(),
        permitted: CapabilitySet::empty(),
        inheritable: CapabilitySet::empty(),
    };
    set_capabilities(None, none).map_err(step("capset"))
}

/// From now on a system call that is not on the list ends the process, in every thread.
pub(crate) fn confine() -> Result<(), PrivilegeError> {
    sys::log_refused_calls()?;
    // Several filters may judge a call, and the sternest wins: so calls that are asked for in good faith (by a panic
    // that wants to show where it was, say) fail with an error, and all other strangers end the process.
    let refusals = REFUSED.iter().map(|&(error, calls)| {
        let rules = calls.iter().map(|&call| (call, vec![])).collect();
        filter(rules, SeccompAction::Allow, SeccompAction::Errno(error.unsigned_abs()))
    });
    let refusals = refusals.collect::<Result<Vec<_>, _>>()?;
    let mut allowed = Rules::new();
    for &(call, condition) in ALLOWED {
        allowed.insert(call, rules(condition)?);
    }
    allowed.extend(REFUSED.iter().flat_map(|(_, calls)| *calls).map(|&call| (call, vec![])));
    let allowance = filter(allowed, SeccompAction::Trap, SeccompAction::Allow)?;
    for filter in refusals.iter().chain([&allowance]) {
        apply_filter_all_threads(filter)?;
    }
    Ok(())
}

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

fn filter(
    rules: Rules,
    otherwise: SeccompAction,
    on_match: SeccompAction,
) -> Result<BpfProgram, PrivilegeError> {
    let arch = TargetArch::try_from(std::env::consts::ARCH)?;
    Ok(SeccompFilter::new(rules, otherwise, on_match, arch)?.try_into()?)
}

/// An empty list = always.
fn rules(condition: Allowed) -> Result<Vec<SeccompRule>, PrivilegeError> {
    let rule = |argument, operator, value| {
        let condition = SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value)?;
        SeccompRule::new(vec![condition])
    };
    Ok(match condition {
        Allowed::Always => vec![],
        Allowed::ArgumentIs(argument, values) => {
            values.iter().map(|&value| rule(argument, SeccompCmpOp::Eq, value)).collect::<Result<_, _>>()?
        }
        Allowed::Without(argument, bits) => vec![rule(argument, SeccompCmpOp::MaskedEq(bits), 0)?],
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::{CommandExt, ExitStatusExt};
    use std::process::{Command, Output};

    use super::*;

    const DEED: &str = "OCTAVIA_TEST_DEED";

    /// Runs [`confined`] in a process of its own, which the filter cannot leave.
    fn run(deed: &str) -> Output {
        Command::new(std::env::current_exe().unwrap())
            .args(["privilege::tests::confined", "--exact", "--nocapture"])
            .env(DEED, deed)
            .env("RUST_BACKTRACE", "1")
            .output()
            .unwrap()
    }

    /// Not a test: does a deed after all is given up, if the environment names one.
    #[test]
    fn confined() {
        let Ok(deed) = std::env::var(DEED) else { return };
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        drop_all().unwrap();
        confine().unwrap();
        match deed.as_str() {
            "nothing" => {}
            "work" => {
                let address = listener.local_addr().unwrap();
                let client = std::net::TcpStream::connect(address).unwrap();
                listener.accept().unwrap();
                client.set_nodelay(true).unwrap();
                let words: Vec<_> =
                    (0..4).map(|n| std::thread::spawn(move || vec![n; 8 << 20].len())).collect();
                assert!(words.into_iter().all(|thread| thread.join().unwrap() == 8 << 20));
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            "open" => {
                let error = std::fs::File::open("/etc/passwd").unwrap_err();
                assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied);
            }
            "panic" => panic!("as one does"),
            "abort" => std::process::abort(),
            "listen" => drop(std::net::TcpListener::bind("127.0.0.1:0")),
            "execute" => drop(Command::new("/bin/true").exec()),
            "unix" => drop(std::os::unix::net::UnixDatagram::unbound()),
            "kill" => {
                let _ =
                    rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::CONT);
            }
            "root" => drop(set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT)),
            other => panic!("{other}"),
        }
    }

    #[test]
    fn work_goes_on_and_mischief_ends_the_process() {
        for (deed, code, text) in [
            ("nothing", 0, ""),
            ("work", 0, ""),
            ("open", 0, ""),
            // A panic is told, backtrace and all it can find, and is not taken for mischief.
            ("panic", 101, "as one does"),
            ("abort", -6, ""),
            ("listen", 159, "system call"),
            ("execute", 159, "system call"),
            ("unix", 159, "system call"),
            ("kill", 159, "system call"),
            ("root", 159, "system call"),
        ] {
            let output = run(deed);
            let told = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
            let ended = output.status.code().or(output.status.signal().map(|signal| -signal));
            assert_eq!(ended, Some(code), "{deed}: {told}");
            assert!(told.contains(text), "{deed}: {told}");
        }
    }

    #[test]
    fn every_call_is_listed_once() {
        let mut calls: Vec<_> = ALLOWED.iter().map(|(call, _)| *call).collect();
        calls.extend(REFUSED.iter().flat_map(|(_, calls)| *calls));
        let listed = calls.len();
        calls.sort_unstable();
        calls.dedup();
        assert_eq!(calls.len(), listed);
    }
}
