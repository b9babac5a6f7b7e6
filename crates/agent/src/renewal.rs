//! That the agent itself goes on as the binary that is on disk now: the same process, by execve(2), with the same listening
//! socket of its API. What it knows is on disk, or told by the proxies when they are found; so nothing else is handed on.

use std::ffi::OsString;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Stdio;
use std::time::Duration;

use rustix::io::{FdFlags, fcntl_setfd};
use tokio::io::AsyncReadExt;

use crate::sys;

/// In the environment: the number of the listening socket.
const LISTENER: &str = "OCTAVIA_AGENT_LISTENER";
/// Has a binary say whether it could be this agent, and end.
const CHECK: &str = "--check";
/// How long that may take.
const CHECK_TIMEOUT: Duration = Duration::from_secs(15);
/// What it says of itself is told up to so many bytes.
const WORDS_MAX: u64 = 500;

#[derive(Debug, thiserror::Error)]
pub(crate) enum RenewalError {
    #[error("the new agent cannot be started: {0}")]
    Exec(#[from] io::Error),
    #[error("the new agent does not start, {0}: {1}")]
    Ended(std::process::ExitStatus, String),
    #[error("the new agent does not say within {CHECK_TIMEOUT:?} that it can start")]
    Silent,
    #[error("its check broke down")]
    BrokeDown,
}

/// Whether the binary could go on from here: afterwards there is no way back.
pub(crate) async fn check(command: &[OsString]) -> Result<(), RenewalError> {
    let (program, arguments) =
        command.split_first().ok_or(io::ErrorKind::InvalidInput).map_err(io::Error::from)?;
    let mut child = tokio::process::Command::new(program)
        .args(arguments)
        .arg(CHECK)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let mut words = vec![];
    let errors = child.stderr.take();
    let told = async {
        if let Some(errors) = errors {
            errors.take(WORDS_MAX).read_to_end(&mut words).await?;
        }
        child.wait().await
    };
    let status = tokio::time::timeout(CHECK_TIMEOUT, told).await.map_err(|_| RenewalError::Silent)??;
    if status.success() {
        return Ok(());
    }
    Err(RenewalError::Ended(status, String::from_utf8_lossy(&words).trim().to_owned()))
}

/// Becomes that binary. Returns only if that fails, and then everything is as it was.
pub(crate) fn become_it(command: &[OsString], listener: &OwnedFd) -> RenewalError {
    let Some((program, arguments)) = command.split_first() else {
        return io::Error::from(io::ErrorKind::InvalidInput).into();
    };
    // Until somebody listens for it again, the signal would end the process.
    let failed = sys::block_renewal().and_then(|()| {
        fcntl_setfd(listener, FdFlags::empty())?;
        Ok(std::process::Command::new(program)
            .args(arguments)
            .env(LISTENER, listener.as_raw_fd().to_string())
            .exec())
    });
    let error = failed.unwrap_or_else(|error| error);
    let _ = fcntl_setfd(listener, FdFlags::CLOEXEC);
    if let Err(error) = sys::allow_renewal() {
        tracing::error!(%error, "the agent will not be asked to renew itself again");
    }
    error.into()
}

/// The listening socket of the API, if this process was an agent before.
pub(crate) fn inherited(bind: SocketAddr) -> Option<OwnedFd> {
    let number = std::env::var(LISTENER).ok()?.parse().ok()?;
    let socket = sys::inherited(number)?;
    let address = rustix::net::getsockname(socket.as_fd()).ok().and_then(|address| address.try_into().ok());
    let listens = rustix::net::sockopt::socket_acceptconn(&socket).unwrap_or(false);
    (listens && address == Some(bind)).then_some(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Vec<OsString> {
        ["/bin/sh", "-c", script].map(OsString::from).into()
    }

    #[tokio::test]
    async fn what_a_binary_says_of_itself() {
        // The shell takes the option for a name of its own.
        for (script, expected) in [
            ("exit 0", Ok(())),
            ("[ \"$0\" = --check ]", Ok(())),
            ("exit 3", Err("exit status: 3")),
            ("echo no such file >&2; exit 1", Err("no such file")),
            ("yes >&2", Err("y\ny")),
        ] {
            let said = check(&shell(script)).await.map_err(|error| error.to_string());
            match (said, expected) {
                (Ok(()), Ok(())) => {}
                (Err(said), Err(expected)) => assert!(said.contains(expected), "{script}: {said}"),
                (said, _) => panic!("{script}: {said:?}"),
            }
        }
        assert!(matches!(check(&["/nowhere".into()]).await, Err(RenewalError::Exec(_))));
        assert!(matches!(check(&[]).await, Err(RenewalError::Exec(_))));
    }

    #[test]
    fn one_that_is_not_there_changes_nothing() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let listener = OwnedFd::from(listener);
        let error = become_it(&["/nowhere".into()], &listener);
        assert!(matches!(error, RenewalError::Exec(_)));
        assert_eq!(rustix::io::fcntl_getfd(&listener).unwrap(), FdFlags::CLOEXEC);
    }
}
