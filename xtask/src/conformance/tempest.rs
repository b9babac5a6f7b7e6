//! tempest with octavia-tempest-plugin: installed, configured for our embedded cloud, run, judged.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use octavia_testkit::{AllInOne, AllInOneOptions};

use super::verdict::Verdict;
use crate::setup;
use crate::shell::{root, run_quietly, target_dir};

const ALL: &str = "^octavia_tempest_plugin.tests.api.v2";
/// Who runs what, as regular expressions of Python's: left to chance, one worker gets two of the long classes, and the
/// others wait for it. The last gets whatever there is besides.
const SHARES: [&str; 4] = [
    r"\.HealthMonitorAPITest\.",
    r"\.MemberAPITest1\.",
    r"\.(PoolAPITest|L7PolicyAPITest|LoadBalancerAPITest)\.",
    r"^(?!.*\.(HealthMonitorAPITest|MemberAPITest1|PoolAPITest|L7PolicyAPITest|LoadBalancerAPITest)\.)",
];

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Only tests whose name matches this regular expression of Python's
    #[arg(long, default_value = ALL)]
    regex: String,
    /// Tests at a time, classes spread by chance; by default they are shared out by how long they take
    #[arg(long)]
    concurrency: Option<u32>,
    /// Which roles the tests use: Keystone's own, or those of load balancing, which alone give nothing by default
    #[arg(long, value_enum, default_value_t = Roles::Default)]
    roles: Roles,
    /// Use this program instead of building `octavia`
    #[arg(long)]
    binary: Option<PathBuf>,
    /// Write docs/tempest.md
    #[arg(long)]
    write: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Roles {
    /// load-balancer_member and the others
    Advanced,
    /// member, reader, admin
    Default,
}

impl Roles {
    const fn word(self) -> &'static str {
        match self {
            Self::Advanced => "advanced",
            Self::Default => "keystone_default_roles",
        }
    }
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let venv = target_dir()?.join("venv-tempest");
    setup::environment(&venv, &root().join("xtask/tempest-requirements.txt"), "tempest")?;
    let binary = match &arguments.binary {
        Some(binary) => binary.canonicalize().context("the program")?,
        None => crate::bench::release_binary()?,
    };
    let dir = tempfile::Builder::new().prefix("octavia-tempest-").tempdir()?;
    let runtime = tokio::runtime::Runtime::new()?;
    let mut options = AllInOneOptions::new(binary, dir.path().join("state"))?;
    options.arguments = ["--network", "noop"].map(Into::into).to_vec();
    let product = runtime.block_on(AllInOne::start(options))?;
    let workspace = dir.path().join("tempest");
    prepare(&workspace, &venv, &configuration(&product, arguments.roles, &workspace)?)?;

    let started = Instant::now();
    let program = venv.join("bin/tempest");
    let config = workspace.join("etc/tempest.conf");
    let mut command = Command::new(&program);
    command.current_dir(&workspace).args(["run", "--config-file"]).arg(&config);
    command.args(["--regex", &arguments.regex]);
    match arguments.concurrency {
        Some(concurrency) => command.args(["--concurrency", &concurrency.to_string()]),
        None => command.arg("--worker-file").arg(shares(&workspace)?),
    };
    let output = command
        .env("PYTHONWARNINGS", "ignore")
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| program.display().to_string())?;
    let text = String::from_utf8_lossy(&output.stdout);
    let log = target_dir()?.join("tempest.log");
    std::fs::write(&log, text.as_bytes())?;
    let verdict = Verdict::read(&text);
    println!(
        "tempest: {} passed, {} failed, {} skipped in {:.0} s (all of it: {})",
        verdict.passed,
        verdict.failed.len(),
        verdict.skips(),
        started.elapsed().as_secs_f64(),
        log.display(),
    );
    for (reason, tests) in &verdict.skipped {
        println!("  skipped {:4}: {reason}", tests.len());
    }
    for test in &verdict.failed {
        println!("  failed: {test}");
    }
    if arguments.write {
        std::fs::write(root().join("docs/tempest.md"), verdict.page())?;
    }
    if verdict.passed == 0 || !verdict.failed.is_empty() {
        bail!("tempest is not content");
    }
    Ok(())
}

/// [`SHARES`] as stestr reads them.
fn shares(workspace: &Path) -> Result<PathBuf> {
    let path = workspace.join("etc/workers.yaml");
    let workers: String = SHARES.iter().map(|share| format!("- worker:\n  - '{share}'\n")).collect();
    std::fs::write(&path, workers)?;
    Ok(path)
}

/// A workspace as `tempest init` makes it, with nothing of this machine in it.
fn prepare(workspace: &Path, venv: &Path, configuration: &str) -> Result<()> {
    std::fs::create_dir_all(workspace.join("etc"))?;
    std::fs::write(workspace.join("etc/tempest.conf"), configuration)?;
    let tempest = run_quietly(
        Command::new(venv.join("bin/python"))
            .args(["-c", "import os, tempest; print(os.path.dirname(tempest.__file__), end='')"]),
    )?;
    let top = Path::new(&tempest).parent().context("tempest's directory")?;
    let stestr = format!(
        "[DEFAULT]\ntest_path={tempest}/test_discover\ntop_dir={}\ngroup_regex=([^\\.]*\\.)*\n",
        top.display()
    );
    std::fs::write(workspace.join(".stestr.conf"), stestr)?;
    run_quietly(Command::new(venv.join("bin/stestr")).current_dir(workspace).arg("init"))?;
    Ok(())
}

fn configuration(product: &AllInOne, roles: Roles, workspace: &Path) -> Result<String> {
    let password = product.password("admin")?;
    let url = product.url();
    let lock = workspace.join("lock");
    let (lock, roles) = (lock.display(), roles.word());
    Ok(format!(
        "[DEFAULT]
debug = false
[oslo_concurrency]
lock_path = {lock}
[auth]
admin_username = admin
admin_password = {password}
admin_project_name = admin
admin_domain_name = Default
use_dynamic_credentials = true
create_isolated_networks = false
tempest_roles =
default_credentials_domain_name = Default
[identity]
uri_v3 = {url}/identity/v3
auth_version = v3
region = RegionOne
v3_endpoint_type = public
[identity-feature-enabled]
api_v2 = false
[service_available]
load_balancer = true
octavia = true
nova = false
neutron = false
glance = false
cinder = false
swift = false
horizon = false
[enforce_scope]
octavia = false
[network]
project_networks_reachable = true
[load_balancer]
test_with_noop = true
provider = amphora
RBAC_test_type = {roles}
enabled_provider_drivers = amphora:The Octavia Amphora driver.,octavia:Alias of the amphora provider.
build_interval = 0.1
check_interval = 0.1
lb_build_interval = 0.1
availability_zone = bogus-az-1
availability_zone2 = bogus-az-2
availability_zone3 = bogus-az-3
[loadbalancer-feature-enabled]
not_implemented_is_error = true
"
    ))
}
