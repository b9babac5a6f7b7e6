//! The product as several processes over one database: the local cloud's keeper, and any number of each daemon.

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use crate::proc::{self, Process};
use crate::{Rest, net, wait_for};

/// From the start of a process to the first answer.
const START_LIMIT: Duration = Duration::from_secs(60);
/// From SIGTERM to the end.
const STOP_LIMIT: Duration = Duration::from_secs(40);

#[derive(Debug, Clone)]
pub struct DaemonsOptions {
    /// The `octavia` binary.
    pub binary: PathBuf,
    /// Absolute; logs and `octavia.conf` are beside the state directory in it.
    pub dir: PathBuf,
    /// Of the database that all share; empty.
    pub database: String,
    pub apis: usize,
    pub workers: usize,
    pub health_managers: usize,
    pub housekeepers: usize,
    /// What `octavia.conf` has besides `[database]` and `[health_manager] controller_ip_port_list`: sections and lines.
    pub config: String,
}

/// Which process of them all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// `octavia local serve`.
    Keeper,
    Api,
    Worker,
    HealthManager,
    Housekeeping,
}

impl Role {
    const fn words(self) -> &'static [&'static str] {
        match self {
            Self::Keeper => &["local", "serve"],
            Self::Api => &["api"],
            Self::Worker => &["worker"],
            Self::HealthManager => &["health-manager"],
            Self::Housekeeping => &["housekeeping"],
        }
    }
}

#[derive(Debug)]
pub struct Daemon {
    pub role: Role,
    name: String,
    arguments: Vec<String>,
    /// Where it answers HTTP: of an API itself, of the others their metrics; of the keeper its Keystone.
    url: String,
    /// `None` = the keeper has none.
    pub metrics: Option<String>,
    child: Option<Child>,
}

impl Daemon {
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where an API answers.
    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn runs(&self) -> bool {
        self.child.is_some()
    }

    /// `None` = it does not run.
    pub fn pid(&self) -> Option<i32> {
        self.child.as_ref().and_then(|child| i32::try_from(child.id()).ok())
    }

    /// What follows the words that say which it is, but for the state directory.
    pub fn arguments(&self) -> &[String] {
        &self.arguments
    }
}

/// Dropping it kills every process of its directory.
#[derive(Debug)]
pub struct Daemons {
    options: DaemonsOptions,
    all: Vec<Daemon>,
}

impl Daemons {
    /// Makes the schema, and starts everything.
    pub async fn start(options: DaemonsOptions) -> Result<Self> {
        std::fs::create_dir_all(options.dir.join("state"))?;
        let beats = (0..options.health_managers).map(|_| free_udp()).collect::<Result<Vec<_>>>()?;
        let list = beats.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let text = format!(
            "[database]\nconnection = {}\n[health_manager]\ncontroller_ip_port_list = {list}\n{}",
            options.database, options.config
        );
        std::fs::write(options.dir.join("octavia.conf"), text)?;
        let mut daemons = Self { options, all: vec![] };
        let apis = (0..daemons.options.apis).map(|_| net::free_address()).collect::<Result<Vec<_>>>()?;
        daemons.add_keeper(apis.first().context("no API")?)?;
        daemons.restart(0).await?;
        daemons.schema()?;
        for (index, address) in apis.iter().enumerate() {
            daemons.add(
                Role::Api,
                index,
                vec![format!("--bind={address}")],
                Some(format!("http://{address}")),
            )?;
        }
        for index in 0..daemons.options.workers {
            daemons.add(Role::Worker, index, vec![], None)?;
        }
        for (index, address) in beats.iter().enumerate() {
            daemons.add(Role::HealthManager, index, vec![format!("--bind={address}")], None)?;
        }
        for index in 0..daemons.options.housekeepers {
            daemons.add(Role::Housekeeping, index, vec![], None)?;
        }
        for index in 1..daemons.all.len() {
            daemons.restart(index).await?;
        }
        Ok(daemons)
    }

    fn add_keeper(&mut self, api: &SocketAddr) -> Result<()> {
        let address = net::free_address()?;
        self.all.push(Daemon {
            role: Role::Keeper,
            name: "local-cloud".to_owned(),
            arguments: vec![format!("--bind={address}"), format!("--load-balancer-url=http://{api}")],
            url: format!("http://{address}/identity"),
            metrics: None,
            child: None,
        });
        Ok(())
    }

    fn add(
        &mut self,
        role: Role,
        index: usize,
        mut arguments: Vec<String>,
        url: Option<String>,
    ) -> Result<()> {
        let metrics = net::free_address()?;
        arguments.push(format!("--metrics={metrics}"));
        arguments.push(format!("--config-file={}", self.options.dir.join("octavia.conf").display()));
        let metrics = format!("http://{metrics}/metrics");
        let name = format!("{}-{}", role.words().join("-"), index + 1);
        let url = url.unwrap_or_else(|| metrics.clone());
        self.all.push(Daemon { role, name, arguments, url, metrics: Some(metrics), child: None });
        Ok(())
    }

    /// `octavia db upgrade`.
    fn schema(&self) -> Result<()> {
        let output = Command::new(&self.options.binary)
            .args(["db", "upgrade", "--config-file"])
            .arg(self.options.dir.join("octavia.conf"))
            .output()?;
        ensure!(output.status.success(), "db upgrade: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    pub fn all(&self) -> &[Daemon] {
        &self.all
    }

    /// Where the APIs are.
    pub fn api_urls(&self) -> Vec<String> {
        self.all.iter().filter(|daemon| daemon.role == Role::Api).map(|daemon| daemon.url.clone()).collect()
    }

    pub fn state_dir(&self) -> PathBuf {
        self.options.dir.join("state")
    }

    pub fn config_file(&self) -> PathBuf {
        self.options.dir.join("octavia.conf")
    }

    pub fn binary(&self) -> &Path {
        &self.options.binary
    }

    /// A client for one of the clouds of `clouds.yaml`.
    pub async fn rest(&self, cloud: &str) -> Result<Rest> {
        Rest::login(&self.state_dir().join("clouds.yaml"), cloud).await
    }

    fn log_path(&self, index: usize) -> PathBuf {
        self.options.dir.join(format!("{}.log", self.all[index].name))
    }

    /// The last lines of what it said, for a failed test.
    pub fn log_tail(&self, index: usize) -> String {
        let text = std::fs::read_to_string(self.log_path(index)).unwrap_or_default();
        let lines: Vec<_> = text.lines().filter(|line| !line.contains("method=GET")).collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }

    /// The last lines of all.
    pub fn log_tails(&self) -> String {
        let tail = |index: usize| format!("--- {}:\n{}\n", self.all[index].name, self.log_tail(index));
        (0..self.all.len()).map(tail).collect()
    }

    /// Starts it again, and waits until it answers.
    pub async fn restart(&mut self, index: usize) -> Result<()> {
        self.kill(index);
        let log = File::options().create(true).append(true).open(self.log_path(index))?;
        let daemon = &self.all[index];
        let child = Command::new(&self.options.binary)
            .args(daemon.role.words())
            .arg("--state-dir")
            .arg(self.state_dir())
            .args(&daemon.arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("start {}", self.options.binary.display()))?;
        self.all[index].child = Some(child);
        let http = crate::rest::client()?;
        let name = self.all[index].name.clone();
        let answered = wait_for(&name, START_LIMIT, async || {
            let daemon = &mut self.all[index];
            if let Some(status) = daemon.child.as_mut().and_then(|child| child.try_wait().ok().flatten()) {
                return Ok(Err(status));
            }
            match http.get(&daemon.url).send().await {
                Ok(_) => Ok(Ok(())),
                Err(error) => Err(format!("{error:#}")),
            }
        })
        .await
        .with_context(|| self.log_tail(index))?;
        if let Err(status) = answered {
            bail!("{name} ended with {status}:\n{}", self.log_tail(index));
        }
        Ok(())
    }

    /// SIGKILL.
    pub fn kill(&mut self, index: usize) {
        if let Some(mut child) = self.all[index].child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// SIGTERM: it has to end well, and in time.
    pub async fn stop(&mut self, index: usize) -> Result<ExitStatus> {
        let name = self.all[index].name.clone();
        let mut child = self.all[index].child.take().context("not running")?;
        proc::terminate(i32::try_from(child.id())?);
        let status = proc::ended(&mut child, &name, STOP_LIMIT).await?;
        ensure!(status.success(), "{name} ended with {status}:\n{}", self.log_tail(index));
        Ok(status)
    }

    /// What the metrics of one say.
    pub async fn metrics(&self, index: usize) -> Result<String> {
        let url = self.all[index].metrics.as_ref().context("it has no metrics")?;
        Ok(crate::rest::client()?.get(url).send().await?.text().await?)
    }

    /// Agents (`amphora`) or data planes (`proxy`).
    pub fn amphora_processes(&self, subcommand: &str) -> Vec<Process> {
        let mut processes = proc::processes_under(&self.state_dir());
        processes.retain(|process| process.subcommand() == subcommand);
        processes
    }
}

impl Drop for Daemons {
    fn drop(&mut self) {
        for index in 0..self.all.len() {
            self.kill(index);
        }
        let _ = proc::kill_under(&self.options.dir);
    }
}

/// An address for heartbeats that nobody listens at.
fn free_udp() -> Result<SocketAddr> {
    let ip = IpAddr::V4(Ipv4Addr::LOCALHOST);
    for _ in 0..100 {
        let address = SocketAddr::new(ip, net::free_port(ip)?);
        if UdpSocket::bind(address).is_ok() {
            return Ok(address);
        }
    }
    bail!("no free port for heartbeats")
}
