//! How long a user waits for a new load balancer, and what it costs to have one.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use futures::future::try_join_all;
use octavia_testkit::proc::{self, Memory};
use octavia_testkit::{AllInOne, AllInOneOptions, LoadPlan, Mode, Origin, Populated, Rest, tree};
use serde_json::json;

use super::numbers::{median, spread};
use super::{binary, write_json};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Load balancers created one after the other
    #[arg(long, default_value_t = 20)]
    count: u32,
    /// Load balancers created at once
    #[arg(long, default_value_t = 50)]
    burst: u32,
    /// Use this program instead of building `octavia` for release
    #[arg(long)]
    binary: Option<PathBuf>,
    /// Fail when a bound is broken
    #[arg(long)]
    check: bool,
}

/// The bounds of the performance specification.
const MEDIAN_MAX: Duration = Duration::from_millis(500);
const BURST_MAX: Duration = Duration::from_secs(15);
const MEMORY_MAX: u64 = 24 << 20;

/// A load balancer that nobody changed or used for so long is idle.
const IDLE_AFTER: Duration = Duration::from_secs(5);

/// Longer than this is a failure, not a slow run.
const LIMIT: Duration = Duration::from_secs(60);
const PORT: u16 = 8080;

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let binary = binary(arguments.binary.as_ref())?;
    tokio::runtime::Runtime::new()?.block_on(measure(arguments, binary))
}

struct Bench {
    rest: Rest,
    subnet_id: String,
    members: Vec<SocketAddr>,
}

async fn measure(arguments: &Arguments, binary: PathBuf) -> Result<()> {
    let dir = tempfile::Builder::new().prefix("octavia-bench-").tempdir()?;
    let product = AllInOne::start(AllInOneOptions::new(binary, dir.path().join("state"))?).await?;
    let origins = octavia_testkit::origin::start_many(3)?;
    let rest = product.rest("demo").await?;
    let bench = Bench {
        subnet_id: rest.subnet_id("private-subnet").await?,
        members: origins.iter().map(Origin::address).collect(),
        rest,
    };

    let mut times = vec![];
    for index in 0..arguments.count {
        let (id, took) = bench.create_and_wait(&format!("one-{index}")).await?;
        times.push(took.as_secs_f64() * 1e3);
        bench.rest.lb_active(&id, LIMIT).await?;
        bench.rest.lb_delete(&id, LIMIT).await?;
    }
    let one = median(&times);
    let (least, most) = spread(&times);
    println!(
        "POST to first 200 through the VIP: median {one:.0} ms of {} ({least:.0}–{most:.0} ms); bound {MEDIAN_MAX:?}",
        arguments.count
    );

    let start = Instant::now();
    let created = try_join_all((0..arguments.burst).map(|index| {
        let bench = &bench;
        async move { bench.create_and_wait(&format!("burst-{index}")).await }
    }))
    .await?;
    let burst = start.elapsed();
    println!(
        "{} created at once: all serving after {:.2} s; bound {BURST_MAX:?}",
        arguments.burst,
        burst.as_secs_f64()
    );

    for (id, _) in &created {
        bench.rest.lb_active(id, LIMIT).await?;
    }
    let busy = memory_of_each(&product, created.len())?;
    // Both processes give back what only starting took, once nobody has asked them anything for a while.
    tokio::time::sleep(IDLE_AFTER).await;
    let memory = memory_of_each(&product, created.len())?;
    let median_of = |value: fn(&Memory) -> u64| median_mib(&memory, value);
    let rss_most = memory.iter().map(|memory| memory.rss).max().unwrap_or(0);
    println!(
        "memory of a load balancer (agent and proxy, idle): resident {:.1} MiB (most {:.1}; bound {} MiB), \
         proportional {:.1} MiB, private {:.1} MiB; resident just after its start {:.1} MiB",
        median_of(|memory| memory.rss),
        mib(rss_most),
        MEMORY_MAX >> 20,
        median_of(|memory| memory.pss),
        median_of(|memory| memory.private),
        median_mib(&busy, |memory| memory.rss)
    );
    let controller = product.controller_pid().context("the controller is gone")?;
    println!(
        "memory of the controller with {}: {:.1} MiB",
        created.len(),
        mib(proc::memory(controller)?.rss)
    );

    try_join_all(created.iter().map(|(id, _)| bench.rest.lb_delete(id, LIMIT))).await?;
    let left: Vec<_> = product.processes().into_iter().filter(|process| process.pid != controller).collect();
    ensure!(left.is_empty(), "all are deleted, but these still run: {left:?}");

    write_json(
        "create",
        &json!({
            "create_ms": times,
            "create_median_ms": one,
            "burst": arguments.burst,
            "burst_s": burst.as_secs_f64(),
            "rss_bytes_median": median_of(|memory| memory.rss) * f64::from(1 << 20),
            "rss_bytes_most": rss_most,
            "rss_bytes_median_just_started": median_mib(&busy, |memory| memory.rss) * f64::from(1 << 20),
            "pss_bytes_median": median_of(|memory| memory.pss) * f64::from(1 << 20),
        }),
    )?;
    if arguments.check {
        let broken = one > MEDIAN_MAX.as_secs_f64() * 1e3 || burst > BURST_MAX || rss_most > MEMORY_MAX;
        if broken {
            bail!("a bound is broken, see above");
        }
    }
    Ok(())
}

impl Bench {
    /// Creates one, and asks its VIP until it answers: the id, and the time since just before the POST.
    async fn create_and_wait(&self, name: &str) -> Result<(String, Duration)> {
        let body = Populated {
            name,
            subnet_id: &self.subnet_id,
            protocol: "HTTP",
            port: PORT,
            algorithm: "ROUND_ROBIN",
            members: &self.members,
            monitor: Some(tree::http_monitor(3, 2)),
        }
        .body();
        let start = Instant::now();
        let created = self.rest.lb_create(&body).await?;
        let id = octavia_testkit::rest::text(&created["id"])?;
        let address = octavia_testkit::rest::text(&created["vip_address"])?;
        let vip = SocketAddr::new(address.parse()?, PORT);
        loop {
            let answer = LoadPlan::bytes(vip, Mode::Short, 1, 40).for_requests(1).run().await;
            if answer.ok == 1 {
                return Ok((id, start.elapsed()));
            }
            ensure!(start.elapsed() < LIMIT, "{name} at {vip} never answered: {answer}");
        }
    }
}

/// The memory of every amphora: its agent and its proxy together.
fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

fn median_mib(memory: &[Memory], value: fn(&Memory) -> u64) -> f64 {
    median(&memory.iter().map(|memory| mib(value(memory))).collect::<Vec<_>>())
}

fn memory_of_each(product: &AllInOne, count: usize) -> Result<Vec<Memory>> {
    let agents = product.amphora_processes("amphora", None);
    let proxies = product.amphora_processes("proxy", None);
    ensure!(
        agents.len() == count && proxies.len() == count,
        "{} agents, {} proxies",
        agents.len(),
        proxies.len()
    );
    let mut all = vec![];
    for agent in &agents {
        // Both carry `--dir DIR` of the same amphora.
        let dir =
            agent.command.iter().find(|word| word.contains("amphorae")).context("an agent without --dir")?;
        let proxy =
            proxies.iter().find(|proxy| proxy.command.contains(dir)).context("an agent without a proxy")?;
        let mut memory = proc::memory(agent.pid)?;
        memory += proc::memory(proxy.pid)?;
        all.push(memory);
    }
    Ok(all)
}
