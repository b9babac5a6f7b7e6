//! How many heartbeats one health manager on one core takes, over a database on another.
//!
//! The rows are those of real load balancers, the datagrams those of real amphorae: signed, each with a number and with
//! statistics of its own. What is not counted as taken is lost; who is not written as living in time is behind.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use jiff::{SignedDuration, Timestamp};
use octavia_model::{
    AmphoraId, AmphoraRole, AmphoraStatus, Listener, ListenerId, LoadBalancer, LoadBalancerGraph,
    LoadBalancerId, Member, MemberId, NetworkId, OperatingStatus, Pool, PoolId, PortId, ProjectId,
    ProvisioningStatus, SEQ_FOR_LIFE, Statuses, SubnetId, Vip,
};
use octavia_store::{Store, StoreOptions};
use octavia_testkit::daemons::Role;
use octavia_testkit::{Daemons, DaemonsOptions, DatabaseKind, DatabaseServer, proc};
use octavia_wire::{
    Heartbeat, ListenerReport, ListenerStats, ListenerWord, MemberWord, PoolReport, PoolWord,
};
use serde_json::json;
use uuid::Uuid;

use super::servers::Cpus;
use super::{binary, write_json};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Amphorae, each of a load balancer of its own
    #[arg(long, default_value_t = 20_000)]
    amphorae: u32,
    /// Heartbeats a second, of all together
    #[arg(long, default_value_t = 20_000)]
    rate: u32,
    /// Listeners of each, each with a pool of two members
    #[arg(long, default_value_t = 10)]
    listeners: u8,
    /// How long they beat, in seconds
    #[arg(long, default_value_t = 15)]
    seconds: u32,
    /// PostgreSQL if not given
    #[arg(long)]
    mariadb: bool,
    /// Use this program instead of building `octavia` for release
    #[arg(long)]
    binary: Option<PathBuf>,
    /// Fail when a heartbeat is lost, or a living amphora is not written in time
    #[arg(long)]
    check: bool,
}

/// As it is by default.
const TIMEOUT: SignedDuration = SignedDuration::from_secs(10);
/// Rows in one transaction while the database is filled.
const TOGETHER: usize = 200;
/// How long the first heartbeat of each, all of which are news, may take to be dealt with.
const FIRST: Duration = Duration::from_secs(600);

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let binary = binary(arguments.binary.as_ref())?;
    tokio::runtime::Runtime::new()?.block_on(measure(arguments, binary))
}

/// An amphora, and what its heartbeats are about.
struct Amphora {
    id: AmphoraId,
    graph: LoadBalancerGraph,
}

async fn measure(arguments: &Arguments, binary: PathBuf) -> Result<()> {
    let cpus = Cpus::choose();
    // What is started inherits it.
    stay_on(std::process::id().cast_signed(), cpus.others)?;
    let kind = if arguments.mariadb { DatabaseKind::Mariadb } else { DatabaseKind::Postgresql };
    let server = DatabaseServer::start(kind)?;
    let server = server.with_context(|| format!("{} is not installed", kind.name()))?;
    let dir = tempfile::Builder::new().prefix("octavia-bench-").tempdir()?;
    let url = server.database("octavia")?;
    let mut daemons = Daemons::start(DaemonsOptions {
        binary,
        dir: dir.path().canonicalize()?,
        database: url.clone(),
        apis: 1,
        workers: 0,
        health_managers: 1,
        housekeepers: 0,
        config: format!("heartbeat_timeout = {}\nheartbeat_interval = 1\n", TIMEOUT.as_secs()),
    })
    .await?;
    let at = |role| daemons.all().iter().position(|daemon| daemon.role == role).context("not started");
    let (api, manager) = (at(Role::Api)?, at(Role::HealthManager)?);
    daemons.kill(api);
    let store = Store::connect(&url, StoreOptions::default()).await?;
    let amphorae = fill(&store, arguments).await?;
    let key = heartbeat_key(&daemons.state_dir())?;
    let address: SocketAddr = {
        let of = |word: &str| word.strip_prefix("--bind=").map(str::to_owned);
        daemons.all()[manager].arguments().iter().find_map(|word| of(word)).context("no address")?.parse()?
    };
    let pid = daemons.all()[manager].pid().context("it does not run")?;
    stay_on(pid, cpus.measured)?;
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.connect(address)?;

    let took = first(&store, &amphorae, &socket, &key).await?;
    println!(
        "first heartbeats of {} amphorae, each of {} listeners, judged and written in {took:.1?}: {:.0}/s",
        amphorae.len(),
        arguments.listeners,
        amphorae.len() as f64 / took.as_secs_f64()
    );

    let count = arguments.rate as usize * arguments.seconds as usize;
    let beats = seal(&amphorae, count, &key)?;
    let bytes = beats.iter().map(Vec::len).sum::<usize>() / count;
    let before = (proc::cpu_time(pid)?, accepted(&daemons, manager).await?);
    let (start, rate) = (Instant::now(), arguments.rate);
    let sender = std::thread::spawn(move || send(&socket, &beats, rate));
    let behind = watch(&store, arguments.seconds).await?;
    let took = sender.join().map_err(|_| anyhow::anyhow!("the sender panicked"))??;
    let cpu = (proc::cpu_time(pid)? - before.0).as_secs_f64();
    let taken = accepted(&daemons, manager).await? - before.1;
    let share = cpu / start.elapsed().as_secs_f64();
    let lost = count as u64 - taken.min(count as u64);
    println!(
        "{count} heartbeats of {bytes} bytes in {took:.1?} ({:.0}/s): {lost} lost; {:.1} µs of CPU each, \
         {share:.2} of a core; written as living at most {behind:.1} s ago (bound {:.1})",
        count as f64 / took.as_secs_f64(),
        cpu / count as f64 * 1e6,
        BEHIND_MAX.as_secs_f64()
    );
    write_json(
        "heartbeats",
        &json!({
            "amphorae": arguments.amphorae, "listeners": arguments.listeners, "database": kind.name(),
            "rate": count as f64 / took.as_secs_f64(), "lost": lost, "bytes": bytes,
            "cpu_us": cpu / count as f64 * 1e6, "behind_s": behind,
        }),
    )?;
    let held = lost == 0 && behind <= BEHIND_MAX.as_secs_f64();
    ensure!(!arguments.check || held, "heartbeats are lost, or written too late");
    Ok(())
}

/// Half of what counts as silence.
const BEHIND_MAX: Duration = Duration::from_secs(5);

async fn fill(store: &Store, arguments: &Arguments) -> Result<Vec<Amphora>> {
    let start = Instant::now();
    let mut all = vec![];
    for index in 0..arguments.amphorae {
        let graph = graph(index, arguments.listeners);
        all.push(Amphora { id: AmphoraId::new_v4(), graph });
    }
    for some in all.chunks(TOGETHER) {
        let graphs: Vec<_> = some.iter().map(|amphora| amphora.graph.clone()).collect();
        store.lb_import(&graphs).await?;
        let rows: Vec<_> = some.iter().map(row).collect();
        store.amphorae_import(&rows).await?;
    }
    eprintln!("xtask: {} load balancers stored in {:.0?}", all.len(), start.elapsed());
    Ok(all)
}

/// As a worker leaves it: all is there, and nothing heard.
fn graph(index: u32, listeners: u8) -> LoadBalancerGraph {
    let statuses = || Statuses {
        provisioning: ProvisioningStatus::Active,
        operating: OperatingStatus::Offline,
        reason: None,
    };
    let at = Timestamp::now();
    let address = Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 64, 0, 0)) + index);
    let vip = Vip::new(address.into(), SubnetId::new_v4(), NetworkId::new_v4(), PortId::new_v4());
    let project = ProjectId::new("bench".to_owned());
    let mut lb = LoadBalancer::new(LoadBalancerId::new_v4(), project, vip, at);
    (lb.statuses, lb.applied_generation) = (statuses(), lb.generation);
    let mut graph = LoadBalancerGraph::new(lb);
    for number in 0..listeners {
        let lb = &graph.load_balancer;
        let pool = Pool { statuses: statuses(), ..Pool::new(PoolId::new_v4(), lb, at) };
        let listener = Listener::new(ListenerId::new_v4(), lb, 80 + u16::from(number), at);
        let listener = Listener { statuses: statuses(), default_pool_id: Some(pool.id), ..listener };
        for host in 1..=2 {
            let member = Member::new(MemberId::new_v4(), &pool, format!("192.0.2.{host}"), 8080, at);
            graph.members.push(Member { statuses: statuses(), ..member });
        }
        graph.pools.push(pool);
        graph.listeners.push(listener);
    }
    graph
}

fn row(amphora: &Amphora) -> octavia_model::Amphora {
    let lb = &amphora.graph.load_balancer;
    octavia_model::Amphora {
        status: AmphoraStatus::Allocated,
        applied_generation: lb.generation,
        ..octavia_model::Amphora::new(amphora.id, lb.id, AmphoraRole::Standalone, lb.created_at)
    }
}

/// What agents of this installation sign with.
fn heartbeat_key(state_dir: &Path) -> Result<String> {
    let text = std::fs::read_to_string(state_dir.join("cloud/trust.json"))?;
    let trust: serde_json::Value = serde_json::from_str(&text)?;
    let key = trust["heartbeat_keys"][0].as_str().context("no key of heartbeats")?;
    Ok(key.to_owned())
}

fn beat(amphora: &Amphora, number: u64) -> Heartbeat {
    let lb = &amphora.graph.load_balancer;
    let stats =
        ListenerStats { rx: 1_000 * number, tx: 50_000 * number, conns: 3, totconns: 10 * number, ereq: 0 };
    let report = ListenerReport { status: ListenerWord::Open, stats };
    let pools = amphora.graph.listeners.iter().filter_map(|listener| {
        let pool = listener.default_pool_id?;
        let members = amphora.graph.members.iter().filter(|member| member.pool_id == pool);
        let report = PoolReport {
            status: PoolWord::Up,
            members: members.map(|member| (member.id, MemberWord::Up)).collect(),
            checks: Default::default(),
        };
        Some((format!("{pool}:{}", listener.id), report))
    });
    Heartbeat {
        id: amphora.id,
        seq: SEQ_FOR_LIFE + number,
        ver: 2,
        listeners: amphora.graph.listeners.iter().map(|listener| (listener.id, report.clone())).collect(),
        pools: pools.collect(),
        boot: Some(Uuid::from_u128(1)),
        generation: Some(lb.generation),
        faults: vec![],
        partial: false,
        vrrp: None,
    }
}

/// Each beats for the first time, and again until the rows say that it lives.
async fn first(store: &Store, amphorae: &[Amphora], socket: &UdpSocket, key: &str) -> Result<Duration> {
    let (start, since) = (Instant::now(), Timestamp::now());
    let beats: Vec<_> =
        amphorae.iter().map(|amphora| beat(amphora, 0).seal(key.as_bytes())).collect::<Result<_, _>>()?;
    let sealed = start.elapsed();
    send(socket, &beats, 10_000)?;
    loop {
        let left = store.amphorae_silent(since).await?.len();
        if left == 0 {
            return Ok(start.elapsed() - sealed);
        }
        ensure!(start.elapsed() < FIRST, "after {FIRST:?} {left} are still not written as living");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// The amphorae in turn.
fn seal(amphorae: &[Amphora], count: usize, key: &str) -> Result<Vec<Vec<u8>>> {
    let beat = |number: usize| {
        let beat = beat(&amphorae[number % amphorae.len()], (number / amphorae.len()) as u64 + 1);
        Ok(beat.seal(key.as_bytes())?)
    };
    (0..count).map(beat).collect()
}

/// At a steady rate, in portions of a millisecond.
fn send(socket: &UdpSocket, beats: &[Vec<u8>], rate: u32) -> Result<Duration> {
    let start = Instant::now();
    let mut sent = 0;
    while sent < beats.len() {
        let due = (start.elapsed().as_secs_f64() * f64::from(rate)) as usize;
        for beat in &beats[sent..due.min(beats.len())] {
            socket.send(beat)?;
        }
        sent = due.clamp(sent, beats.len());
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(start.elapsed())
}

/// How long ago, in seconds, some amphora was written as living, at the worst; looked at each second.
async fn watch(store: &Store, seconds: u32) -> Result<f64> {
    let mut worst: f64 = 0.0;
    // At first they have not begun.
    for second in 0..seconds {
        tokio::time::sleep(Duration::from_secs(1)).await;
        if second < 5 {
            continue;
        }
        let now = Timestamp::now();
        let silent = store.amphorae_silent(now).await?;
        let oldest = silent.iter().filter_map(|amphora| amphora.last_heartbeat_at).min();
        worst = worst.max(oldest.map_or(0.0, |at| now.duration_since(at).as_secs_f64()));
    }
    Ok(worst)
}

async fn accepted(daemons: &Daemons, manager: usize) -> Result<u64> {
    let text = daemons.metrics(manager).await?;
    let value = text.lines().find_map(|line| line.strip_prefix("octavia_heartbeats_accepted_total "));
    Ok(value.context("no count of heartbeats")?.parse()?)
}

/// All threads of a process on one core.
fn stay_on(pid: i32, cpu: usize) -> Result<()> {
    let mut set = rustix::thread::CpuSet::new();
    set.set(cpu);
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let name = task?.file_name();
        let id = name.to_str().and_then(|name| name.parse().ok()).and_then(rustix::thread::Pid::from_raw);
        rustix::thread::sched_setaffinity(id, &set)?;
    }
    Ok(())
}
