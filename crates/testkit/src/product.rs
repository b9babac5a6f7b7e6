//! The product, started as its users start it: `octavia all-in-one` in a directory of its own.

use std::ffi::OsString;
use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::proc::{self, Process};
use crate::{Rest, net, wait_for};

/// From the start of the process to the first answer of its API.
const START_LIMIT: Duration = Duration::from_secs(30);

#[derive(Debug, Clone)]
pub struct AllInOneOptions {
    /// The `octavia` binary.
    pub binary: PathBuf,
    /// Absolute; made if absent. Log and URL of a run lie in it too.
    pub state_dir: PathBuf,
    /// Where the API listens; stays the same over restarts.
    pub bind: SocketAddr,
    /// A command in front of the binary, such as `setpriv …`.
    pub wrapper: Vec<OsString>,
    pub arguments: Vec<OsString>,
}

impl AllInOneOptions {
    pub fn new(binary: impl Into<PathBuf>, state_dir: impl Into<PathBuf>) -> Result<Self> {
        Ok(Self {
            binary: binary.into(),
            state_dir: state_dir.into(),
            bind: net::free_address()?,
            wrapper: vec![],
            arguments: vec![],
        })
    }
}

/// A running (or killed) controller with its amphorae. Dropping it kills every process of its directory.
#[derive(Debug)]
pub struct AllInOne {
    options: AllInOneOptions,
    child: Option<Child>,
}

impl AllInOne {
    pub async fn start(options: AllInOneOptions) -> Result<Self> {
        std::fs::create_dir_all(&options.state_dir)?;
        let mut product = Self { options, child: None };
        product.restart().await?;
        Ok(product)
    }

    /// Starts the controller again on the same directory and address, and waits until it answers.
    pub async fn restart(&mut self) -> Result<()> {
        self.kill_controller();
        let mut words = self.options.wrapper.iter().map(OsString::as_os_str).collect::<Vec<_>>();
        words.push(self.options.binary.as_os_str());
        let log = File::options().create(true).append(true).open(self.log_path())?;
        let child = Command::new(words[0])
            .args(&words[1..])
            .arg("all-in-one")
            .arg("--state-dir")
            .arg(&self.options.state_dir)
            .arg("--bind")
            .arg(self.options.bind.to_string())
            .args(&self.options.arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("start {}", self.options.binary.display()))?;
        self.child = Some(child);
        let http = crate::rest::client()?;
        let url = self.url();
        let answered = wait_for("the API", START_LIMIT, async || {
            if let Some(status) = self.child.as_mut().and_then(|child| child.try_wait().ok().flatten()) {
                return Ok(Err(status));
            }
            match http.get(&url).send().await {
                Ok(_) if self.clouds_yaml().exists() => Ok(Ok(())),
                Ok(_) => Err("answers, but there is no clouds.yaml".to_owned()),
                Err(error) => Err(format!("{error:#}")),
            }
        })
        .await
        .with_context(|| self.log_tail())?;
        if let Err(status) = answered {
            bail!("all-in-one ended with {status}:\n{}", self.log_tail());
        }
        Ok(())
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.options.bind)
    }

    pub fn state_dir(&self) -> &Path {
        &self.options.state_dir
    }

    pub fn binary(&self) -> &Path {
        &self.options.binary
    }

    pub fn clouds_yaml(&self) -> PathBuf {
        self.options.state_dir.join("clouds.yaml")
    }

    /// Beside the state directory, which belongs to the product.
    pub fn log_path(&self) -> PathBuf {
        self.options.state_dir.with_extension("log")
    }

    /// The last lines of the controller's output, for a failed test.
    pub fn log_tail(&self) -> String {
        let text = std::fs::read_to_string(self.log_path()).unwrap_or_default();
        // Clients that wait ask many times a second.
        let lines: Vec<_> = text.lines().filter(|line| !line.contains("method=GET")).collect();
        lines[lines.len().saturating_sub(60)..].join("\n")
    }

    /// A client for one of the clouds of `clouds.yaml`.
    pub async fn rest(&self, cloud: &str) -> Result<Rest> {
        Rest::login(&self.clouds_yaml(), cloud).await
    }

    /// The password of a user of the embedded cloud.
    pub fn password(&self, cloud: &str) -> Result<String> {
        let cloud = crate::rest::cloud_read(&self.clouds_yaml(), cloud)?;
        let password = cloud["auth"]["password"].as_str().context("no password in clouds.yaml")?;
        Ok(password.to_owned())
    }

    pub fn controller_pid(&self) -> Option<i32> {
        i32::try_from(self.child.as_ref()?.id()).ok()
    }

    /// `kill -9` of the controller alone; its amphorae stay.
    pub fn kill_controller(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// SIGTERM, and its exit status; the amphorae stay.
    pub async fn stop(&mut self, limit: Duration) -> Result<ExitStatus> {
        let mut child = self.child.take().context("not running")?;
        proc::terminate(i32::try_from(child.id())?);
        proc::ended(&mut child, "the controller", limit).await
    }

    /// Every process of this state directory.
    pub fn processes(&self) -> Vec<Process> {
        proc::processes_under(&self.options.state_dir)
    }

    /// Agents (`amphora`) or data planes (`proxy`), of one amphora or of all.
    pub fn amphora_processes(&self, subcommand: &str, amphora_id: Option<&str>) -> Vec<Process> {
        let mut processes = self.processes();
        processes.retain(|process| {
            process.subcommand() == subcommand
                && amphora_id.is_none_or(|id| process.command.iter().any(|word| word.contains(id)))
        });
        processes
    }
}

impl Drop for AllInOne {
    fn drop(&mut self) {
        self.kill_controller();
        let _ = proc::kill_under(&self.options.state_dir);
    }
}
