//! How fast the API answers: ours on one core, or any endpoint of Octavia's API in the same words.
//!
//! The server is `all-in-one` with the noop network and SQLite, pinned to one core; the client runs on the other. What
//! is measured is the API server: no worker runs beside it (`--controller` lets it, on the same core). CPU time per
//! request is told with everything, since a busy machine does not disturb it.

mod figure;
mod fill;
mod subject;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use octavia_testkit::{AllInOne, Rest, proc};
use serde_json::{Value, json};

use self::figure::{Bound, Figure, Figures, HEADING, Take};
use self::subject::{Target, measured};
use super::numbers::table;
use super::servers::Cpus;
use super::{release_binary, write_json};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Measure this endpoint, without the version, such as http://127.0.0.1:9876, and start nothing
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
    /// The token to call the endpoint with, of an administrator
    #[arg(long, requires = "endpoint", default_value = "")]
    token: String,
    /// Log in with this file instead of a token, and find the endpoint in the catalogue
    #[arg(long, value_name = "FILE", requires = "cloud", conflicts_with = "endpoint")]
    clouds_yaml: Option<PathBuf>,
    /// An administrator's cloud in the file
    #[arg(long, requires = "clouds_yaml")]
    cloud: Option<String>,
    /// Processes of the endpoint on this machine, for CPU time and memory
    #[arg(long, value_name = "PID,…", value_delimiter = ',')]
    pids: Vec<i32>,
    /// The subnet of VIPs; where no network is behind the API any will do
    #[arg(long, value_name = "ID", default_value = "5b7a5c1e-8c0c-4d6f-9a51-0a3e8a6f2d10")]
    subnet: String,
    /// Let a worker work on the same core
    #[arg(long)]
    controller: bool,
    /// How often everything is measured
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// Length of one measurement under load, in seconds
    #[arg(long, default_value_t = 4)]
    seconds: u32,
    /// Clients at once, under load
    #[arg(long, default_value_t = 32)]
    connections: usize,
    /// Load balancers in the large store; 0 = do without
    #[arg(long, default_value_t = 100_000)]
    fill: u32,
    /// Use this program instead of building `octavia` for release
    #[arg(long)]
    binary: Option<PathBuf>,
    /// Fail when a target is missed
    #[arg(long)]
    check: bool,
}

/// Load balancers in one list.
const LIST: u64 = 1_000;
/// Requests of what is measured one after the other.
const ONE_BY_ONE: u64 = 50;
const MEMBERS: u8 = 20;
/// Requests per second.
const SHOWS_MIN: f64 = 3_000.0;
const CREATES_MIN: f64 = 800.0;
/// Milliseconds.
const LIST_MAX: f64 = 12.0;
const POPULATED_MAX: f64 = 8.0;
const HALF_LOAD_MAX: f64 = 20.0;
const LARGE_MAX: f64 = 30.0;
/// MiB.
const MEMORY_MAX: f64 = 150.0;

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let elsewhere = arguments.endpoint.is_some() || arguments.clouds_yaml.is_some();
    let binary = match (&arguments.binary, elsewhere) {
        (Some(binary), _) => binary.clone(),
        (None, true) => PathBuf::new(),
        (None, false) => release_binary()?,
    };
    let cpus = Cpus::choose();
    if !elsewhere {
        // Our threads inherit it; the server is put elsewhere.
        let mut set = rustix::thread::CpuSet::new();
        set.set(cpus.others);
        rustix::thread::sched_setaffinity(None, &set)?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let figures = runtime.block_on(async {
        if elsewhere { endpoint(arguments).await } else { ours(arguments, binary, cpus).await }
    })?;
    report(arguments, &figures)
}

/// Somebody else's server: the same, without the large store.
async fn endpoint(arguments: &Arguments) -> Result<Figures> {
    let rest = match (&arguments.endpoint, &arguments.clouds_yaml, &arguments.cloud) {
        (Some(url), ..) => Rest::with_token(url, &arguments.token)?,
        (None, Some(file), Some(cloud)) => Rest::login(file, cloud).await?,
        _ => bail!("--endpoint with --token, or --clouds-yaml with --cloud"),
    };
    let mut bench = Bench::new(arguments, &rest, arguments.pids.clone())?;
    bench.small_store(&rest).await?;
    bench.memory("memory, most")?;
    Ok(bench.figures)
}

async fn ours(arguments: &Arguments, binary: PathBuf, cpus: Cpus) -> Result<Figures> {
    let dir = tempfile::Builder::new().prefix("octavia-bench-").tempdir()?;
    let state = dir.path().join("state");
    let mut product = subject::start(binary, state.clone(), arguments.controller, cpus).await?;
    let pid = |product: &AllInOne| product.controller_pid().context("the server is gone");
    let rest = product.rest("admin").await?;
    let mut bench = Bench::new(arguments, &rest, vec![pid(&product)?])?;
    bench.small_store(&rest).await?;
    bench.memory("memory, most")?;
    if arguments.fill > 0 {
        product.stop(Duration::from_secs(30)).await?;
        let filled = fill::fill(&state, arguments.fill).await?;
        product.restart().await?;
        let rest = product.rest("admin").await?;
        (bench.target, bench.pids) = (Target::of(&rest)?, vec![pid(&product)?]);
        bench.large_store(&filled).await?;
        bench.memory(&format!("of {}: memory, most", arguments.fill))?;
    }
    Ok(bench.figures)
}

struct Bench<'a> {
    arguments: &'a Arguments,
    target: Target,
    pids: Vec<i32>,
    /// Whose load balancers are listed: nobody else's.
    project: String,
    figures: Figures,
}

impl<'a> Bench<'a> {
    fn new(arguments: &'a Arguments, rest: &Rest, pids: Vec<i32>) -> Result<Self> {
        let project = format!("{:032x}", rand::random::<u128>());
        Ok(Self { arguments, target: Target::of(rest)?, pids, project, figures: Figures::default() })
    }

    /// Runs the plan and keeps what it says.
    async fn take(
        &mut self,
        name: &str,
        plan: octavia_testkit::LoadPlan,
        takes: &[(Take, &'static str, Bound)],
    ) -> Result<()> {
        let (report, cpu) = measured(plan, &self.pids).await.with_context(|| name.to_owned())?;
        for (take, unit, bound) in takes {
            self.figures.add(name, unit, *bound, take.of(&report), cpu);
        }
        Ok(())
    }

    async fn small_store(&mut self, rest: &Rest) -> Result<()> {
        let connections = self.arguments.connections;
        let time = Duration::from_secs(self.arguments.seconds.into());
        let plain = |project: &str, subnet: &str| {
            let (project, subnet) = (project.to_owned(), subnet.to_owned());
            move |number: u64| {
                let name = format!("bench-{number}");
                json!({"loadbalancer": {"name": name, "vip_subnet_id": subnet, "project_id": project}})
                    .to_string()
            }
        };
        let listed = plain(&self.project, &self.arguments.subnet);
        measured(self.target.creates(connections, listed).for_requests(LIST), &self.pids).await?;
        let list = format!("/lbaas/loadbalancers?project_id={}", self.project);
        let answer = rest.get(&list).await?;
        let ids: Vec<_> =
            answer["loadbalancers"].as_array().into_iter().flatten().map(|lb| lb["id"].clone()).collect();
        if ids.len() as u64 != LIST {
            bail!("a list of {} load balancers, not of {LIST}", ids.len());
        }
        let shows: Vec<_> =
            ids.iter().filter_map(Value::as_str).map(|id| format!("/lbaas/loadbalancers/{id}")).collect();
        // Not those that are listed.
        let other = format!("{:032x}", rand::random::<u128>());
        let create = plain(&other, &self.arguments.subnet);
        let populated = populated(&other, &self.arguments.subnet);
        let (median, p99) = (Take::Quantile(0.5), Take::Quantile(0.99));
        for round in 0..self.arguments.rounds {
            let plan = self.target.reads(1, vec![list.clone()]).for_requests(ONE_BY_ONE);
            self.take(
                "list of 1,000 load balancers",
                plan,
                &[(median, "ms", Bound::Below(LIST_MAX)), (p99, "ms p99", Bound::None)],
            )
            .await?;
            let plan = self.target.reads(connections, shows.clone()).for_duration(time);
            self.take("show", plan, &[(Take::Rate, "requests/s", Bound::AtLeast(SHOWS_MIN))]).await?;
            let plan = self.target.creates(connections, create.clone()).for_duration(time);
            self.take("create", plan, &[(Take::Rate, "requests/s", Bound::AtLeast(CREATES_MIN))]).await?;
            let body = populated.clone();
            let plan = self.target.creates(1, move |_| body.clone()).for_requests(ONE_BY_ONE);
            self.take(
                "create with listener, pool, monitor and 20 members",
                plan,
                &[(median, "ms", Bound::Below(POPULATED_MAX)), (p99, "ms p99", Bound::None)],
            )
            .await?;
            let rates = [(median, "ms", Bound::None), (p99, "ms p99", Bound::Below(HALF_LOAD_MAX))];
            let plan = self.target.reads(connections, shows.clone()).for_duration(time).rate(SHOWS_MIN / 2.0);
            self.take("show, 1,500 requests/s", plan, &rates).await?;
            let plan =
                self.target.creates(connections, create.clone()).for_duration(time).rate(CREATES_MIN / 2.0);
            self.take("create, 400 requests/s", plan, &rates).await?;
            eprintln!("xtask: round {} of {} measured", round + 1, self.arguments.rounds);
        }
        Ok(())
    }

    /// What a large cloud asks for, one request after the other.
    async fn large_store(&mut self, filled: &fill::Filled) -> Result<()> {
        let (some, late) = (&filled.some.load_balancer, &filled.late.load_balancer);
        let list = |query: String| format!("/lbaas/loadbalancers?{query}");
        let pool = filled.some.pools[0].id;
        let asked = [
            ("first page, 100", list("limit=100".to_owned())),
            ("first page, 1,000", list("limit=1000".to_owned())),
            ("page of 100 after 90 %", list(format!("limit=100&marker={}", late.id))),
            ("a project's", list(format!("project_id={}", some.project_id))),
            ("by name", list(format!("name={}", some.name))),
            ("by VIP address", list(format!("vip_address={}", some.vip.address))),
            ("by subnet", list(format!("vip_subnet_id={}", some.vip.subnet_id))),
            ("by provisioning status, rare", list("provisioning_status=ERROR".to_owned())),
            ("by operating status, rare", list("operating_status=DEGRADED".to_owned())),
            ("by operating status, first 100", list("operating_status=ONLINE&limit=100".to_owned())),
            ("by tag, rare", list(format!("tags={}", fill::RARE_TAG))),
            ("by description, nobody's", list("description=nothing".to_owned())),
            ("by name, first 100", list("sort=name:desc&limit=100".to_owned())),
            ("show", format!("/lbaas/loadbalancers/{}", some.id)),
            ("listeners, first 100", "/lbaas/listeners?limit=100".to_owned()),
            ("pools with their members, first 100", "/lbaas/pools?limit=100".to_owned()),
            ("members of a pool", format!("/lbaas/pools/{pool}/members")),
        ];
        for _ in 0..self.arguments.rounds {
            for (name, path) in &asked {
                let name = format!("of {}: {name}", self.arguments.fill);
                let plan = self.target.reads(1, vec![path.clone()]).for_requests(ONE_BY_ONE);
                self.take(
                    &name,
                    plan,
                    &[
                        (Take::Quantile(0.5), "ms", Bound::None),
                        (Take::Quantile(0.99), "ms p99", Bound::Below(LARGE_MAX)),
                    ],
                )
                .await?;
            }
        }
        Ok(())
    }

    fn memory(&mut self, name: &str) -> Result<()> {
        let peaks = self.pids.iter().map(|pid| proc::memory_peak(*pid)).collect::<Result<Vec<_>>>()?;
        if !peaks.is_empty() {
            #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
            let mib = peaks.iter().sum::<u64>() as f64 / f64::from(1 << 20);
            self.figures.add(name, "MiB", Bound::Below(MEMORY_MAX), mib, None);
        }
        Ok(())
    }
}

/// The body of a fully populated create.
fn populated(project: &str, subnet: &str) -> String {
    let members: Vec<_> = (1..=MEMBERS)
        .map(|host| json!({"address": format!("192.0.2.{host}"), "protocol_port": 80}))
        .collect();
    let pool = json!({
        "name": "p", "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN", "members": members,
        "healthmonitor": {"type": "HTTP", "delay": 5, "timeout": 3, "max_retries": 3},
    });
    json!({"loadbalancer": {
        "name": "tree", "vip_subnet_id": subnet, "project_id": project,
        "listeners": [{"name": "l", "protocol": "HTTP", "protocol_port": 80, "default_pool": pool}],
    }})
    .to_string()
}

fn report(arguments: &Arguments, figures: &Figures) -> Result<()> {
    let mut rows = vec![HEADING.map(str::to_owned).to_vec()];
    rows.extend(figures.0.iter().map(Figure::cells));
    println!(
        "{} rounds; under load {} connections for {} s\n{}",
        arguments.rounds,
        arguments.connections,
        arguments.seconds,
        table(&rows)
    );
    write_json("api", &json!({ "figures": figures.0.iter().map(Figure::json).collect::<Vec<_>>() }))?;
    let missed: Vec<_> =
        figures.0.iter().filter(|figure| !figure.holds()).map(|figure| &*figure.name).collect();
    if arguments.check && !missed.is_empty() {
        bail!("missed: {}", missed.join("; "));
    }
    Ok(())
}
