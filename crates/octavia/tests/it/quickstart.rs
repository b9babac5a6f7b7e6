//! The README's first command, as a user without any privilege.

use std::io::Read as _;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use octavia_testkit::{net, proc, wait_for};
use tempfile::TempDir;

use crate::ports::{for_nobody, without_privilege};

/// A home and a directory for temporary files, both empty and ours alone, so that anything left behind is seen.
struct Place {
    dir: TempDir,
}

impl Place {
    fn new() -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("octavia-it-").tempdir()?;
        for name in ["home", "tmp"] {
            let path = dir.path().join(name);
            std::fs::create_dir(&path)?;
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700))?;
            if rustix::process::geteuid().is_root() {
                chown(&path, Some(65_534), Some(65_534))?;
            }
        }
        Ok(Self { dir })
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    fn start(&self, arguments: &[&str]) -> Result<Child> {
        let binary = for_nobody(self.dir.path())?;
        let mut words = without_privilege();
        words.push(binary.into());
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).arg("quickstart").args(arguments);
        command.arg("--bind").arg(net::free_address()?.to_string());
        command.current_dir(self.path("home")).env("HOME", self.path("home")).env("TMPDIR", self.path("tmp"));
        let out = std::fs::File::create(self.path("out"))?;
        Ok(command.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out).spawn()?)
    }

    fn output(&self) -> String {
        std::fs::read_to_string(self.path("out")).unwrap_or_default()
    }

    /// No process, and no file or socket in home or temporary directory.
    async fn nothing_left(&self) -> Result<()> {
        wait_for("its processes to end", Duration::from_secs(5), async || {
            let left = proc::processes_under(self.dir.path());
            if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
        })
        .await?;
        for name in ["home", "tmp"] {
            let left: Vec<_> =
                std::fs::read_dir(self.path(name))?.flatten().map(|entry| entry.path()).collect();
            ensure!(left.is_empty(), "left behind: {left:?}");
        }
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = proc::kill_under(self.dir.path());
    }
}

async fn ended(child: &mut Child, limit: Duration, place: &Place) -> Result<std::process::ExitStatus> {
    proc::ended(child, "quickstart", limit).await.with_context(|| place.output())
}

#[tokio::test(flavor = "multi_thread")]
async fn quickstart_finishes_by_itself() -> Result<()> {
    let place = Place::new()?;
    let mut child = place.start(&["--exit"])?;
    let status = ended(&mut child, Duration::from_secs(120), &place).await?;
    let text = place.output();
    eprintln!("{text}");
    ensure!(status.success(), "{status}: {text}");
    for word in ["member-1", "member-2", "member-3", "killed", "back"] {
        ensure!(text.contains(word), "says nothing of {word}: {text}");
    }
    place.nothing_left().await
}

#[tokio::test(flavor = "multi_thread")]
async fn quickstart_stays_until_ctrl_c() -> Result<()> {
    let place = Place::new()?;
    let mut child = place.start(&[])?;
    let url = wait_for("its invitation", Duration::from_secs(120), async || {
        let text = place.output();
        let url = text.lines().find_map(|line| line.trim().strip_prefix("load balancer")).map(str::trim);
        match url {
            Some(url) if text.contains("clouds.yaml") => Ok(url.to_owned()),
            _ => Err(text),
        }
    })
    .await?;
    let vip = url.trim_start_matches("http://").trim_end_matches('/');
    answers(vip)?;
    proc::interrupt(i32::try_from(child.id())?);
    let status = ended(&mut child, Duration::from_secs(30), &place).await?;
    ensure!(status.success(), "{status}: {}", place.output());
    ensure!(answers(vip).is_err(), "{vip} still answers");
    place.nothing_left().await
}

/// With a state directory of the user's own, nothing lies outside of it.
#[tokio::test(flavor = "multi_thread")]
async fn quickstart_keeps_to_its_state_directory() -> Result<()> {
    let place = Place::new()?;
    let state = place.path("home").join("state");
    let mut child = place.start(&["--exit", "--state-dir", &state.display().to_string()])?;
    let status = ended(&mut child, Duration::from_secs(120), &place).await?;
    ensure!(status.success(), "{status}: {}", place.output());
    ensure!(is_private(&state)?, "others may read the state directory");
    std::fs::remove_dir_all(&state)?;
    place.nothing_left().await
}

fn is_private(dir: &Path) -> Result<bool> {
    Ok(std::fs::metadata(dir)?.permissions().mode() & 0o077 == 0)
}

fn answers(vip: &str) -> Result<()> {
    use std::io::Write as _;

    let mut stream = std::net::TcpStream::connect(vip)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    write!(stream, "GET / HTTP/1.1\r\nHost: {vip}\r\nConnection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    ensure!(text.starts_with("HTTP/1.1 200"), "{text}");
    Ok(())
}
