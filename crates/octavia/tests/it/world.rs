//! A started product with a few origins to balance, and helpers to say what a test means.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use octavia_testkit::{
    AllInOne, AllInOneOptions, LoadPlan, Mode, Origin, Populated, Rest, origin, rest, tree,
};
use serde_json::Value;
use tempfile::TempDir;

/// For what should take far less; longer is a failure.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// The port of listeners; nobody needs a privilege for it.
pub(crate) const PORT: u16 = 8080;

pub(crate) fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_octavia"))
}

/// Every process of it ends when it is dropped.
pub(crate) struct World {
    pub(crate) product: AllInOne,
    /// As the user `demo`.
    pub(crate) rest: Rest,
    pub(crate) subnet_id: String,
    // After the product: the directory goes last.
    _dir: TempDir,
}

impl World {
    pub(crate) async fn start() -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("octavia-it-").tempdir()?;
        let options = AllInOneOptions::new(binary(), dir.path().join("state"))?;
        Self::start_with(dir, options).await
    }

    /// With a network where everything is there, and nothing behind it.
    pub(crate) async fn start_noop() -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("octavia-it-").tempdir()?;
        let mut options = AllInOneOptions::new(binary(), dir.path().join("state"))?;
        options.arguments = ["--network", "noop"].map(Into::into).to_vec();
        Self::start_with(dir, options).await
    }

    pub(crate) async fn start_with(dir: TempDir, options: AllInOneOptions) -> Result<Self> {
        let product = AllInOne::start(options).await?;
        let rest = product.rest("demo").await?;
        let subnet_id = rest.subnet_id("private-subnet").await?;
        Ok(Self { product, rest, subnet_id, _dir: dir })
    }

    /// A populated HTTP load balancer over the origins, ACTIVE and serving.
    pub(crate) async fn http_lb(&self, name: &str, origins: &[Origin], monitor: Option<Value>) -> Result<Lb> {
        let members: Vec<_> = origins.iter().map(Origin::address).collect();
        let body = Populated {
            name,
            subnet_id: &self.subnet_id,
            protocol: "HTTP",
            port: PORT,
            algorithm: "ROUND_ROBIN",
            members: &members,
            monitor,
        }
        .body();
        let created = self.rest.lb_create(&body).await?;
        let lb = Lb::of(&created)?;
        self.rest.lb_active(&lb.id, LIMIT).await?;
        serving(lb.vip).await?;
        Ok(lb)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        eprintln!("--- the controller's last words:\n{}", self.product.log_tail());
    }
}

/// What tests need of a populated load balancer.
#[derive(Debug, Clone)]
pub(crate) struct Lb {
    pub(crate) id: String,
    pub(crate) vip: SocketAddr,
    pub(crate) pool_id: String,
}

impl Lb {
    pub(crate) fn of(created: &Value) -> Result<Self> {
        let address: std::net::IpAddr = rest::text(&created["vip_address"])?.parse()?;
        let port = created["listeners"][0]["protocol_port"].as_u64().context("no listener")?;
        Ok(Self {
            id: rest::text(&created["id"])?,
            vip: SocketAddr::new(address, u16::try_from(port)?),
            pool_id: rest::text(&created["pools"][0]["id"])?,
        })
    }

    pub(crate) fn members_path(&self) -> String {
        format!("/lbaas/pools/{}/members", self.pool_id)
    }
}

/// Waits until the VIP answers 200 by way of a member.
pub(crate) async fn serving(vip: SocketAddr) -> Result<()> {
    octavia_testkit::wait_for("an answer through the VIP", LIMIT, async || {
        let report = LoadPlan::bytes(vip, Mode::Short, 1, 40).for_requests(1).run().await;
        report.all_good()
    })
    .await
}

pub(crate) fn origins(count: u8) -> Result<Vec<Origin>> {
    origin::start_many(count)
}

/// A member's monitor that notices within 4 seconds: 1 s × 2 + 1 s, and one more.
pub(crate) fn quick_monitor() -> Value {
    tree::http_monitor(2, 2)
}

/// The first member of the status tree at this address.
pub(crate) fn tree_member(tree: &Value, address: SocketAddr) -> Value {
    let members = tree["listeners"][0]["pools"][0]["members"].as_array();
    let ip = address.ip().to_string();
    let found = members.and_then(|all| {
        all.iter()
            .find(|member| member["address"] == ip.as_str() && member["protocol_port"] == address.port())
    });
    found.cloned().unwrap_or(Value::Null)
}

/// The environment of OpenStack clients, as `cargo xtask test` installs it.
pub(crate) fn venv_program(name: &str) -> Result<PathBuf> {
    let venv = std::env::var_os("OCTAVIA_TEST_VENV")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/venv"), PathBuf::from);
    let program = venv.join("bin").join(name);
    ensure!(program.exists(), "{} is missing; `cargo xtask setup` installs it", program.display());
    Ok(program)
}

/// A command with the product's `clouds.yaml` and no other cloud of the environment.
pub(crate) fn cloud_command(program: &Path, product: &AllInOne) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("OS_") {
            command.env_remove(name);
        }
    }
    command.env("OS_CLIENT_CONFIG_FILE", product.clouds_yaml()).env("OS_CLOUD", "demo");
    command
}

/// Runs it to its end and answers its standard output; fails with both outputs.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let shown = format!("{command:?}");
    let output = command.output().with_context(|| shown.clone())?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(
        output.status.success(),
        "{shown} ended with {}\n{text}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(text)
}
