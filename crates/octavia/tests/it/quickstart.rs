//! The README's first command, as a user without any privilege.

use std::io::Read as _;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use octavia_testkit::{Rest, net, proc, wait_for};
use serde_json::json;
use tempfile::TempDir;

use crate::ports::{for_nobody, without_privilege};
use crate::world::{LIMIT, World, binary, origins, serving};

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

    /// What it says in the end that the name stands for.
    async fn invitation(&self, name: &str) -> Result<String> {
        wait_for("its invitation", Duration::from_secs(120), async || {
            let text = self.output();
            let found = text.lines().find_map(|line| line.trim().strip_prefix(name)).map(str::trim);
            found.map(str::to_owned).ok_or(text)
        })
        .await
    }

    fn output(&self) -> String {
        std::fs::read_to_string(self.path("out")).unwrap_or_default()
    }

    /// No process, and no file or socket in home or temporary directory.
    async fn nothing_left(&self) -> Result<()> {
        wait_for("its processes to end", LIMIT, async || {
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
    let url = place.invitation("load balancer").await?;
    let vip = url.trim_start_matches("http://").trim_end_matches('/');
    answers(vip)?;
    // What users make meanwhile, in any project, has no place to stay either.
    let clouds_yaml = place.invitation("clouds.yaml").await?;
    let admin = Rest::login(Path::new(&clouds_yaml), "admin").await?;
    let subnet = admin.subnet_id("private-subnet").await?;
    admin.lb_create(&json!({"name": "mine", "vip_subnet_id": subnet})).await?;
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

/// Others' load balancers in a state directory that stays are none of the demonstration's business.
#[tokio::test(flavor = "multi_thread")]
async fn quickstart_removes_only_its_own_from_a_state_directory() -> Result<()> {
    let mut world = World::start().await?;
    let origins = origins(1)?;
    let lb = world.http_lb("precious", &origins, None).await?;
    world.product.stop(LIMIT).await?;
    let mut child = Command::new(binary())
        .args(["quickstart", "--exit", "--bind", &net::free_address()?.to_string(), "--state-dir"])
        .arg(world.product.state_dir())
        .stdout(Stdio::piped())
        .spawn()?;
    let status = proc::ended(&mut child, "quickstart", Duration::from_secs(120)).await?;
    let mut text = String::new();
    child.stdout.take().context("no output")?.read_to_string(&mut text)?;
    ensure!(status.success(), "{status}: {text}");
    ensure!(text.contains("1 other load balancer(s)"), "{text}");
    serving(lb.vip).await?;
    world.product.restart().await?;
    world.rest.lb_active(&lb.id, LIMIT).await?;
    world.rest.lb_delete(&lb.id, LIMIT).await
}

/// At whatever moment it is interrupted, nothing is left.
#[tokio::test(flavor = "multi_thread")]
async fn quickstart_cleans_up_whenever_it_is_interrupted() -> Result<()> {
    let hurried = [
        (proc::interrupt as fn(i32), ""),
        (proc::terminate, "Starting"),
        (proc::interrupt, "Starting"),
        (proc::hang_up, "A load balancer serves"),
    ];
    for (signal, said) in hurried {
        let place = Place::new()?;
        let mut child = place.start(&[])?;
        let pid = i32::try_from(child.id())?;
        // Its first file, or its first words.
        let begun = || match said {
            "" => std::fs::read_dir(place.path("tmp")).is_ok_and(|mut files| files.next().is_some()),
            said => place.output().contains(said),
        };
        wait_for("its beginning", Duration::from_secs(60), async || {
            if begun() { Ok(()) } else { Err(place.output()) }
        })
        .await?;
        signal(pid);
        let status = ended(&mut child, Duration::from_secs(60), &place).await?;
        ensure!(status.success(), "after {said:?}: {status}: {}", place.output());
        place.nothing_left().await.with_context(|| format!("after {said:?}: {}", place.output()))?;
    }
    Ok(())
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
