//! Many users make load balancers while the daemons that make them are killed at random: each has to be made exactly
//! once, and none may be stuck.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};
use serde_json::{Value, json};
use tokio::sync::Mutex as AsyncMutex;

use crate::daemons::{Daemons, Role};
use crate::origin::{self, lock};
use crate::rest::text;
use crate::{LoadPlan, Mode, Populated, wait_for};

#[derive(Debug, Clone, Copy)]
pub struct SiegeOptions {
    pub load_balancers: usize,
    pub clients: usize,
    /// Of the random choices.
    pub seed: u64,
    /// How long it takes at most from one kill to the next.
    pub calm: Duration,
    /// So many at least, of either kind; the first is that of a worker.
    pub kills: u64,
    /// The longest pause of a user between two.
    pub pause: Duration,
    /// For all load balancers to be ACTIVE once nobody is killed any more; and for all to be gone in the end.
    pub settle: Duration,
}

/// What was seen.
#[derive(Debug, Default)]
pub struct SiegeReport {
    pub killed: BTreeMap<String, u64>,
    pub stopped: BTreeMap<String, u64>,
    /// Requests that were sent again, for want of a good answer.
    pub repeated: u64,
    pub creating: Duration,
    pub settling: Duration,
    pub deleting: Duration,
    /// Most leases held at a moment, and by how many workers at most.
    pub leases_most: u64,
    pub holders_most: usize,
    /// Most leases whose holders were dead.
    pub run_out_most: u64,
    pub oldest_lease: f64,
}

impl std::fmt::Display for SiegeReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let counted = |counts: &BTreeMap<String, u64>| {
            counts.iter().map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>().join(", ")
        };
        writeln!(f, "  SIGKILL: {}", counted(&self.killed))?;
        writeln!(f, "  SIGTERM: {}", counted(&self.stopped))?;
        writeln!(f, "  requests sent again: {}", self.repeated)?;
        let seconds = |duration: Duration| duration.as_secs_f64();
        writeln!(
            f,
            "  asked for within {:.1} s, all ACTIVE {:.1} s after the last kill, all gone in {:.1} s",
            seconds(self.creating),
            seconds(self.settling),
            seconds(self.deleting)
        )?;
        write!(
            f,
            "  leases by the metrics: at most {} at a time, of {} workers, the oldest {:.1} s old; of the dead at most {}",
            self.leases_most, self.holders_most, self.oldest_lease, self.run_out_most
        )
    }
}

const PORT: u16 = 8080;

struct Scene<'a> {
    options: SiegeOptions,
    daemons: &'a AsyncMutex<Daemons>,
    apis: Vec<String>,
    metrics: Vec<String>,
    token: String,
    subnet_id: String,
    member: SocketAddr,
    made: Mutex<BTreeMap<String, String>>,
    next: AtomicUsize,
    repeated: AtomicU64,
    over: AtomicBool,
}

/// Plays it to the end.
///
/// # Errors
///
/// What was not as it has to be.
pub async fn besiege(daemons: &AsyncMutex<Daemons>, options: SiegeOptions) -> Result<SiegeReport> {
    let origins = origin::start_many(1)?;
    let scene = {
        let daemons_now = daemons.lock().await;
        let demo = daemons_now.rest("demo").await?;
        Scene {
            options,
            daemons,
            apis: daemons_now.api_urls(),
            metrics: daemons_now.all().iter().filter_map(|daemon| daemon.metrics.clone()).collect(),
            token: demo.token(),
            subnet_id: demo.subnet_id("private-subnet").await?,
            member: origins.first().context("no origin")?.address(),
            made: Mutex::default(),
            next: AtomicUsize::new(0),
            repeated: AtomicU64::new(0),
            over: AtomicBool::new(false),
        }
    };
    let report = Mutex::new(SiegeReport::default());
    let started = Instant::now();
    let users = async {
        let users = (0..options.clients).map(|user| user_run(&scene, user as u64));
        let ended = futures::future::join_all(users).await;
        lock(&report).creating = started.elapsed();
        // Kills go on until everything that was asked for is under way.
        scene.over.store(true, Relaxed);
        ended.into_iter().collect::<Result<Vec<()>>>()
    };
    let settled = AtomicBool::new(false);
    let story = async {
        let (users, killer) = futures::join!(users, killer_run(&scene, &report));
        let outcome = match users.and(killer) {
            Ok(()) => settle(&scene, &report).await,
            Err(error) => Err(error),
        };
        settled.store(true, Relaxed);
        outcome
    };
    let (outcome, ()) = futures::join!(story, watch_leases(&scene, &report, &settled));
    outcome?;
    check_leases(&lock(&report))?;
    let deleting = Instant::now();
    delete_all(&scene).await?;
    let mut report = report.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    report.deleting = deleting.elapsed();
    report.repeated = scene.repeated.load(Relaxed);
    Ok(report)
}

/// A user who makes load balancers, one after the other, and asks again with the same key until there is an answer.
async fn user_run(scene: &Scene<'_>, user: u64) -> Result<()> {
    let mut random = StdRng::seed_from_u64(scene.options.seed ^ (user + 1));
    let http = crate::rest::client()?;
    loop {
        let number = scene.next.fetch_add(1, Relaxed);
        if number >= scene.options.load_balancers {
            return Ok(());
        }
        let name = format!("siege-{number}");
        let body = Populated {
            name: &name,
            subnet_id: &scene.subnet_id,
            protocol: "HTTP",
            port: PORT,
            algorithm: "ROUND_ROBIN",
            members: &[scene.member],
            monitor: None,
        }
        .body();
        let body = json!({"loadbalancer": body});
        let deadline = Instant::now() + Duration::from_secs(120);
        loop {
            let api = scene.apis.choose(&mut random).context("no API")?;
            let sent = http
                .post(format!("{api}/v2.0/lbaas/loadbalancers"))
                .header("X-Auth-Token", &scene.token)
                .header("Idempotency-Key", &name)
                .json(&body)
                .send()
                .await;
            let seen = match sent {
                Ok(answer) => {
                    let status = answer.status().as_u16();
                    match answer.json::<Value>().await {
                        Ok(made) if status == 201 => {
                            let id = text(&made["loadbalancer"]["id"])?;
                            lock(&scene.made).insert(name.clone(), id);
                            let pause = scene.options.pause.mul_f64(random.random());
                            tokio::time::sleep(pause).await;
                            break;
                        }
                        Ok(said) if (400..500).contains(&status) && status != 409 => {
                            bail!("{name}: answered {status}: {said}")
                        }
                        said => format!("{status}: {said:?}"),
                    }
                }
                Err(error) => format!("{error:#}"),
            };
            ensure!(Instant::now() < deadline, "{name} cannot be asked for; last seen: {seen}");
            scene.repeated.fetch_add(1, Relaxed);
            tokio::time::sleep(Duration::from_millis(random.random_range(20..200))).await;
        }
    }
}

/// Kills one after the other, and starts each again a moment later.
async fn killer_run(scene: &Scene<'_>, report: &Mutex<SiegeReport>) -> Result<()> {
    let mut random = StdRng::seed_from_u64(scene.options.seed);
    let calm = u64::try_from(scene.options.calm.as_millis())?;
    let mut kills = 0;
    while !scene.over.load(Relaxed) || kills < scene.options.kills {
        tokio::time::sleep(Duration::from_millis(random.random_range(calm / 4..calm))).await;
        let mut daemons = scene.daemons.lock().await;
        let roles: Vec<_> = daemons.all().iter().map(|daemon| daemon.role).collect();
        // The one that cannot be there twice, less often.
        let first = usize::from(roles[0] == Role::Keeper && !random.random_bool(0.3));
        let worker = roles.iter().position(|role| *role == Role::Worker).filter(|_| kills == 0);
        let victim = worker.unwrap_or_else(|| random.random_range(first..roles.len()));
        let name = daemons.all()[victim].name().to_owned();
        kills += 1;
        if worker.is_some() || random.random_bool(0.7) {
            daemons.kill(victim);
            *lock(report).killed.entry(name).or_default() += 1;
        } else {
            daemons.stop(victim).await?;
            *lock(report).stopped.entry(name).or_default() += 1;
        }
        tokio::time::sleep(Duration::from_millis(random.random_range(0..calm))).await;
        daemons.restart(victim).await?;
    }
    Ok(())
}

/// Reads what the metrics say of leases, again and again.
async fn watch_leases(scene: &Scene<'_>, report: &Mutex<SiegeReport>, settled: &AtomicBool) {
    let Ok(http) = crate::rest::client() else { return };
    while !settled.load(Relaxed) {
        for url in &scene.metrics {
            // Of one that is dead there is none.
            let Ok(answer) = http.get(url).send().await else { continue };
            let Ok(text) = answer.text().await else { continue };
            let values = |name: &str| -> Vec<f64> {
                let lines = text
                    .lines()
                    .filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])));
                lines.filter_map(|line| line.rsplit(' ').next()?.parse().ok()).collect()
            };
            let held = values("octavia_leases");
            let mut report = lock(report);
            report.leases_most = report.leases_most.max(held.iter().sum::<f64>() as u64);
            report.holders_most = report.holders_most.max(held.len());
            let run_out = values("octavia_leases_run_out").into_iter().fold(0.0, f64::max);
            report.run_out_most = report.run_out_most.max(run_out as u64);
            let oldest = values("octavia_worker_lease_oldest_seconds").into_iter().fold(0.0, f64::max);
            report.oldest_lease = report.oldest_lease.max(oldest);
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

fn check_leases(report: &SiegeReport) -> Result<()> {
    ensure!(report.leases_most > 0 && report.holders_most > 0, "no metrics told of a lease");
    ensure!(report.oldest_lease > 0.0, "no worker told how old its leases are");
    Ok(())
}

async fn settle(scene: &Scene<'_>, report: &Mutex<SiegeReport>) -> Result<()> {
    let started = Instant::now();
    let daemons = scene.daemons.lock().await;
    ensure!(daemons.all().iter().all(crate::daemons::Daemon::runs), "somebody is dead");
    let (demo, admin) = (daemons.rest("demo").await?, daemons.rest("admin").await?);
    let wanted = lock(&scene.made).clone();
    ensure!(wanted.len() == scene.options.load_balancers, "only {} were accepted", wanted.len());
    let found = wait_for("every load balancer to be ACTIVE", scene.options.settle, async || {
        let found = listed(&demo, "/lbaas/loadbalancers", "loadbalancers")
            .await
            .map_err(|error| format!("{error:#}"))?;
        let waiting: Vec<_> = found.iter().filter(|lb| lb["provisioning_status"] != "ACTIVE").collect();
        match waiting.first() {
            None => Ok(found),
            Some(first) => Err(format!("{} are not, such as {first}", waiting.len())),
        }
    })
    .await?;
    lock(report).settling = started.elapsed();

    // Each exactly once: by name, by the id that was answered, by address, by amphora, by process.
    let names: BTreeMap<_, _> =
        found.iter().map(|lb| Ok((text(&lb["name"])?, text(&lb["id"])?))).collect::<Result<_>>()?;
    ensure!(found.len() == names.len(), "{} load balancers have {} names", found.len(), names.len());
    ensure!(names == wanted, "not what was answered: {names:?}, {wanted:?}");
    let vips: BTreeSet<_> = found.iter().map(|lb| text(&lb["vip_address"])).collect::<Result<_>>()?;
    ensure!(vips.len() == found.len(), "{} addresses for {}", vips.len(), found.len());
    let count = found.len();
    wait_for("one amphora and one port for each", scene.options.settle, async || {
        let amphorae =
            listed(&admin, "/octavia/amphorae", "amphorae").await.map_err(|error| format!("{error:#}"))?;
        let of: BTreeSet<_> =
            amphorae.iter().filter_map(|amphora| amphora["loadbalancer_id"].as_str()).collect();
        let ports = admin.network_get("/v2.0/ports").await.map_err(|error| format!("{error:#}"))?;
        let ports = ports["ports"].as_array().map_or(0, Vec::len);
        let (agents, proxies) =
            (daemons.amphora_processes("amphora").len(), daemons.amphora_processes("proxy").len());
        let seen = [amphorae.len(), of.len(), ports, agents, proxies];
        if seen == [count; 5] {
            Ok(())
        } else {
            Err(format!("amphorae, of load balancers, ports, agents, proxies: {seen:?}"))
        }
    })
    .await?;
    for vip in vips {
        let vip = SocketAddr::new(vip.parse::<IpAddr>()?, PORT);
        wait_for("an answer through the VIP", scene.options.settle, async || {
            LoadPlan::bytes(vip, Mode::Short, 1, 40).for_requests(1).run().await.all_good()
        })
        .await?;
    }
    Ok(())
}

/// All pages.
async fn listed(rest: &crate::Rest, path: &str, key: &str) -> Result<Vec<Value>> {
    let mut all = vec![];
    let mut marker = String::new();
    loop {
        let mut page = rest.get(&format!("{path}?limit=200{marker}")).await?[key].take();
        let page = std::mem::take(page.as_array_mut().context("no list")?);
        let Some(last) = page.last() else { return Ok(all) };
        marker = format!("&marker={}", text(&last["id"])?);
        all.extend(page);
    }
}

async fn delete_all(scene: &Scene<'_>) -> Result<()> {
    let daemons = scene.daemons.lock().await;
    let (demo, admin) = (daemons.rest("demo").await?, daemons.rest("admin").await?);
    let ids: Vec<_> = lock(&scene.made).values().cloned().collect();
    for id in ids {
        demo.delete(&format!("/lbaas/loadbalancers/{id}?cascade=true")).await?;
    }
    wait_for("nothing to be left", scene.options.settle, async || {
        let left = listed(&demo, "/lbaas/loadbalancers", "loadbalancers")
            .await
            .map_err(|error| format!("{error:#}"))?;
        let ports = admin.network_get("/v2.0/ports").await.map_err(|error| format!("{error:#}"))?;
        let ports = ports["ports"].as_array().map_or(0, Vec::len);
        let processes = daemons.amphora_processes("amphora").len() + daemons.amphora_processes("proxy").len();
        match (left.len(), ports, processes) {
            (0, 0, 0) => Ok(()),
            left => Err(format!("load balancers, ports, processes: {left:?}")),
        }
    })
    .await
}
