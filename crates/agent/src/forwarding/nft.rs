//! Running `nft` in a namespace.

use std::io;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio::runtime::Handle;

use crate::namespace::Namespace;

/// Far more than any ruleset takes: a program that has not ended then is killed.
const PATIENCE: Duration = Duration::from_secs(10);
/// Where it may be besides, for agents whose environment does not say.
const PLACES: &str = "/usr/sbin:/sbin";
/// So many characters of what it complains of are told.
const COMPLAINT_MAX: usize = 300;

/// Does all that the script says, or nothing.
///
/// # Errors
///
/// If it cannot be run, does not end in time, or complains; with its words.
pub(super) async fn nft(namespace: &Namespace, script: &str) -> io::Result<()> {
    run(namespace, &["-f", "-"], script).await.map(drop)
}

/// The rules of the family `inet` that there are, without what is in sets and maps.
pub(super) async fn list(namespace: &Namespace) -> io::Result<String> {
    run(namespace, &["-t", "list", "ruleset", "inet"], "").await
}

async fn run(namespace: &Namespace, arguments: &[&str], input: &str) -> io::Result<String> {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new("nft");
    command
        .args(arguments)
        .env_clear()
        .env("PATH", format!("{path}:{PLACES}"))
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    // It begins where the thread is that starts it, and is waited for here.
    let runtime = Handle::current();
    let mut child = namespace
        .within(|| {
            let _entered = runtime.enter();
            command.spawn()
        })?
        .map_err(|error| io::Error::new(error.kind(), format!("nft cannot be run: {error}")))?;
    let stdin = child.stdin.take();
    let work = async {
        if let Some(mut stdin) = stdin {
            // One that ends before it has read all says why.
            let _ = stdin.write_all(input.as_bytes()).await;
        }
        child.wait_with_output().await
    };
    let late = |_| io::Error::new(io::ErrorKind::TimedOut, "nft does not end");
    let output = tokio::time::timeout(PATIENCE, work).await.map_err(late)??;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    let words: Vec<_> = words.split_ascii_whitespace().collect();
    let words: String = words.join(" ").chars().take(COMPLAINT_MAX).collect();
    Err(io::Error::other(format!("nft: {words}")))
}
