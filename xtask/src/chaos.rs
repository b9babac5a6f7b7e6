//! Users and SIGKILL at random, then the question whether everything is as it says.
//!
//! Two kinds of load balancers. *Steady* ones carry traffic all the time, are changed all the time, and never have
//! their proxy killed: not one of their requests may fail, also while the controller is down. *Stormy* ones are
//! created, changed and deleted, and any of their processes may be killed. In the end, faults stopped, every load
//! balancer must be ACTIVE or gone within a bound, its statuses true, and nothing left that belongs to nobody.

mod daemons;
mod killer;
mod ledger;
mod takeover;
mod user;
mod verdict;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use octavia_testkit::{
    AllInOne, AllInOneOptions, LoadHandle, LoadPlan, Mode, Origin, Populated, Rest, rest, tree,
};
use rand::SeedableRng as _;
use rand::rngs::StdRng;

use self::ledger::Ledger;
use crate::shell::{cargo, run as run_command, target_dir};

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    other: Option<Other>,
    /// How long users and faults go on
    #[arg(long, default_value_t = 120)]
    seconds: u64,
    /// Of the random choices; processes still race
    #[arg(long)]
    seed: Option<u64>,
    /// Load balancers under traffic
    #[arg(long, default_value_t = 3)]
    steady: u32,
    /// Load balancers that come and go, at most at a time
    #[arg(long, default_value_t = 8)]
    stormy: usize,
    /// Use this program instead of building `octavia` for release
    #[arg(long)]
    binary: Option<PathBuf>,
    /// Keep the state directory for a look, and say where it is
    #[arg(long)]
    keep: bool,
}

#[derive(Debug, clap::Subcommand)]
enum Other {
    /// No faults: changes without end, and newer binaries that take over under load of every kind
    Takeover(takeover::Arguments),
    /// Several daemons over one database, killed at random while many users make load balancers
    Daemons(daemons::Arguments),
}

/// Everything is settled at the latest this long after the last fault.
const SETTLE_LIMIT: Duration = Duration::from_secs(90);
const LIMIT: Duration = Duration::from_secs(60);

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    match &arguments.other {
        Some(Other::Takeover(arguments)) => return takeover::run(arguments),
        Some(Other::Daemons(arguments)) => return daemons::run(arguments),
        None => {}
    }
    let binary = binary(arguments.binary.as_deref())?;
    let seed = arguments.seed.unwrap_or_else(rand::random);
    println!("chaos for {} s, seed {seed}", arguments.seconds);
    tokio::runtime::Runtime::new()?.block_on(chaos(arguments, binary, seed))
}

/// The given one, or what is built for release.
fn binary(given: Option<&Path>) -> Result<PathBuf> {
    if let Some(binary) = given {
        return Ok(binary.to_owned());
    }
    run_command(cargo().args(["build", "--release", "--quiet", "--package", "octavia"]))?;
    Ok(target_dir()?.join("release/octavia"))
}

/// What everybody looks at.
struct Scene {
    /// The user whose load balancers these are.
    demo: Rest,
    admin: Rest,
    subnet_id: String,
    origins: Vec<Origin>,
    /// A member's address where nobody ever listens.
    dead: SocketAddr,
    until: Instant,
    stormy_most: usize,
    ledger: Ledger,
}

impl Scene {
    fn over(&self) -> bool {
        Instant::now() >= self.until
    }

    fn origin_at(&self, address: SocketAddr) -> Option<&Origin> {
        self.origins.iter().find(|origin| origin.address() == address)
    }
}

async fn chaos(arguments: &Arguments, binary: PathBuf, seed: u64) -> Result<()> {
    let mut dir = tempfile::Builder::new().prefix("octavia-chaos-").tempdir()?;
    dir.disable_cleanup(arguments.keep);
    let mut product = AllInOne::start(AllInOneOptions::new(binary, dir.path().join("state"))?).await?;
    if arguments.keep {
        println!("state in {}, log beside it", product.state_dir().display());
    }
    let demo = product.rest("demo").await?;
    let mut scene = Scene {
        admin: product.rest("admin").await?,
        subnet_id: demo.subnet_id("private-subnet").await?,
        demo,
        origins: octavia_testkit::origin::start_many(5)?,
        dead: SocketAddr::from(([127, 0, 0, 99], octavia_testkit::net::free_port([127, 0, 0, 99].into())?)),
        until: Instant::now(),
        stormy_most: arguments.stormy,
        ledger: Ledger::default(),
    };

    let (steady_amphorae, loads) = start_steady(&scene, arguments.steady).await?;
    scene.until = Instant::now() + Duration::from_secs(arguments.seconds);
    let mut seeds = StdRng::seed_from_u64(seed);
    let mut another = || StdRng::from_rng(&mut seeds);
    let killer = killer::Killer::new(&mut product, steady_amphorae, &loads);
    let (killed, (), (), (), ()) = futures::join!(
        killer.run(&scene, another()),
        user::stormy(&scene, another()),
        user::stormy(&scene, another()),
        user::steady(&scene, another()),
        user::reader(&scene, another()),
    );
    killed?;

    // Faults are over; traffic goes on until everything is settled.
    let settled = verdict::settle(&scene, &product, SETTLE_LIMIT).await;
    let mut violations = settled.err().map(|error| format!("{error:#}")).into_iter().collect::<Vec<_>>();
    for load in loads {
        let report = load.stop().await;
        scene.ledger.requests(&report);
        if let Err(why) = report.all_good() {
            violations.push(format!("a steady load balancer lost requests: {why}"));
        }
    }
    violations.extend(scene.ledger.violations());
    if let Err(error) = verdict::delete_everything(&scene, &product, LIMIT).await {
        violations.push(format!("{error:#}"));
    }
    println!("{}", scene.ledger.summary());
    if violations.is_empty() {
        println!("no violation (seed {seed})");
        return Ok(());
    }
    eprintln!("--- the controller's last words:\n{}", product.log_tail());
    bail!("seed {seed}: {} violations:\n  {}", violations.len(), violations.join("\n  "))
}

/// Makes the steady load balancers, with traffic: their amphorae, and the running loads.
async fn start_steady(scene: &Scene, count: u32) -> Result<(Vec<String>, Vec<LoadHandle>)> {
    const PORT: u16 = 8080;
    let members: Vec<_> = scene.origins.iter().take(3).map(Origin::address).collect();
    let mut loads = vec![];
    for index in 0..count {
        let body = Populated {
            name: &format!("steady-{index}"),
            subnet_id: &scene.subnet_id,
            protocol: "HTTP",
            port: PORT,
            algorithm: if index % 2 == 0 { "ROUND_ROBIN" } else { "LEAST_CONNECTIONS" },
            members: &members,
            monitor: Some(tree::http_monitor(3, 1)),
        }
        .body();
        let created = scene.demo.lb_create(&body).await?;
        scene.demo.lb_active(&rest::text(&created["id"])?, LIMIT).await?;
        let vip = SocketAddr::new(rest::text(&created["vip_address"])?.parse()?, PORT);
        octavia_testkit::wait_for("an answer through the VIP", LIMIT, async || {
            LoadPlan::bytes(vip, Mode::Short, 1, 40).for_requests(1).run().await.all_good()
        })
        .await?;
        let bounded = |plan: LoadPlan| plan.for_duration(Duration::from_secs(24 * 3600));
        loads.push(bounded(LoadPlan::bytes(vip, Mode::KeepAlive, 4, 1_000).rate(100.0)).start());
        loads.push(bounded(LoadPlan::bytes(vip, Mode::Short, 2, 40).rate(50.0)).start());
        loads.push(bounded(LoadPlan::bytes(vip, Mode::KeepAlive, 1, 200_000).rate(5.0)).start());
    }
    let amphorae = scene.admin.get("/octavia/amphorae").await?["amphorae"].take();
    let ids = amphorae.as_array().into_iter().flatten().filter_map(|amphora| amphora["id"].as_str());
    Ok((ids.map(str::to_owned).collect(), loads))
}
