//! Changes without end and binaries that take over, under load of every kind: nobody may notice.
//!
//! One load balancer with HTTP, HTTPS, TCP and WebSocket traffic, in connections of all ages. A user changes members,
//! weights, certificates, L7 rules and listeners that nobody uses, one after the other; an operator puts another binary in
//! place, again and again, and has the agents renew themselves.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use octavia_testkit::rest::text;
use octavia_testkit::{
    AllInOne, AllInOneOptions, EchoOrigin, Kind, Lasting, LoadHandle, LoadPlan, Mode, Origin, Rest,
    UpgradeOrigin, tree, wait_for,
};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::{Value, json};

use crate::shell::run_quietly;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Changes of the load balancer, each waited for
    #[arg(long, default_value_t = 10_000)]
    changes: u64,
    /// Binaries that take over, evenly among them
    #[arg(long, default_value_t = 5)]
    takeovers: u64,
    /// Of the random choices
    #[arg(long)]
    seed: Option<u64>,
    /// Use this program instead of building `octavia` for release
    #[arg(long)]
    binary: Option<PathBuf>,
}

const LIMIT: Duration = Duration::from_secs(60);
const HTTP: u16 = 8080;
const WEBSOCKET: u16 = 8081;
const HTTPS: u16 = 8443;
const TCP: u16 = 9000;
/// Of the listeners that come and go.
const UNUSED: u16 = 7000;
/// In certificates.
const NAME: &str = "takeover.test";
/// So many certificates take turns.
const CERTIFICATES: usize = 3;

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let binary = super::binary(arguments.binary.as_deref())?;
    let seed = arguments.seed.unwrap_or_else(rand::random);
    println!("{} changes, {} take-overs, seed {seed}", arguments.changes, arguments.takeovers);
    tokio::runtime::Runtime::new()?.block_on(play(arguments, &binary, seed))
}

async fn play(arguments: &Arguments, binary: &Path, seed: u64) -> Result<()> {
    let dir = tempfile::Builder::new().prefix("octavia-takeover-").tempdir()?;
    let installed = dir.path().join("octavia");
    install(binary, &installed)?;
    let product = AllInOne::start(AllInOneOptions::new(&installed, dir.path().join("state"))?).await?;
    let scene = Scene::set(&product, dir.path()).await?;
    let traffic = Traffic::start(&scene)?;
    traffic.wait(&scene).await?;
    let started = Instant::now();
    let progress = AtomicU64::new(0);
    let user = async {
        let mut random = StdRng::seed_from_u64(seed);
        let mut changes = Changes::default();
        for _ in 0..arguments.changes {
            changes.make_one(&scene, &mut random).await?;
            let done = progress.fetch_add(1, SeqCst) + 1;
            if done.is_multiple_of(1_000) {
                println!("  {done} changes in {:.0?}", started.elapsed());
            }
        }
        Ok(changes)
    };
    let operator = async {
        for number in 1..=arguments.takeovers {
            let due = arguments.changes * number / (arguments.takeovers + 1);
            while progress.load(SeqCst) < due {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            install(binary, &installed)?;
            let took = take_over(&product).await?;
            println!("  take-over {number} after {} changes: {took:.2?}", progress.load(SeqCst));
        }
        Ok::<_, anyhow::Error>(())
    };
    let outcome = futures::future::try_join(user, operator).await;
    let (changes, ()) = outcome.with_context(|| product.log_tail())?;
    println!("{changes}in {:.0?}", started.elapsed());
    let violations = traffic.stop(&scene).await?;
    if violations.is_empty() {
        println!("no failed request, no broken stream (seed {seed})");
        return Ok(());
    }
    bail!("seed {seed}: {} violations:\n  {}", violations.len(), violations.join("\n  "))
}

/// As an operator does: aside first, then by renaming.
fn install(binary: &Path, place: &Path) -> Result<()> {
    let new = place.with_extension("new");
    std::fs::copy(binary, &new)?;
    std::fs::rename(new, place)?;
    Ok(())
}

/// Asks every agent to renew itself, and waits until other proxies serve.
async fn take_over(product: &AllInOne) -> Result<Duration> {
    let started = Instant::now();
    let proxies = |product: &AllInOne| -> Result<Vec<(PathBuf, String)>> {
        let mut found = vec![];
        for entry in std::fs::read_dir(product.state_dir().join("amphorae"))? {
            let file = entry?.path().join("proxy.pid");
            found.push((file.clone(), std::fs::read_to_string(&file)?));
        }
        Ok(found)
    };
    let before = proxies(product)?;
    ensure!(!before.is_empty(), "there is no amphora");
    for agent in product.amphora_processes("amphora", None) {
        run_quietly(Command::new("kill").arg("-USR2").arg(agent.pid.to_string()))?;
    }
    wait_for("other proxies", LIMIT, async || {
        let now = proxies(product).map_err(|error| error.to_string())?;
        let left = now.iter().filter(|proxy| before.contains(proxy)).count();
        if left == 0 { Ok(()) } else { Err(format!("{left} are those of before")) }
    })
    .await?;
    Ok(started.elapsed())
}

struct Scene {
    rest: Rest,
    load_balancer: String,
    vip: std::net::IpAddr,
    listeners: [(&'static str, u16, String); 4],
    pool: String,
    members: Vec<String>,
    /// One that comes and goes.
    guest: SocketAddr,
    /// References to certificates.
    certificates: Vec<String>,
    tls: Arc<rustls::ClientConfig>,
    _origins: Vec<Origin>,
    _streams: (EchoOrigin, UpgradeOrigin),
}

impl Scene {
    async fn set(product: &AllInOne, dir: &Path) -> Result<Self> {
        let rest = product.rest("demo").await?;
        let here = SocketAddr::from(([127, 0, 0, 1], 0));
        let origins = octavia_testkit::origin::start_many(4)?;
        let (tcp, upgraded) = (EchoOrigin::start(here, "tcp")?, UpgradeOrigin::start(here, "upgraded")?);
        let subnet = rest.subnet_id("private-subnet").await?;
        let made = rest.lb_create(&json!({"name": "takeover", "vip_subnet_id": subnet})).await?;
        let load_balancer = text(&made["id"])?;
        rest.lb_active(&load_balancer, LIMIT).await?;
        let mut scene = Self {
            vip: text(&made["vip_address"])?.parse()?,
            listeners: [
                ("HTTP", HTTP, String::new()),
                ("HTTP", WEBSOCKET, String::new()),
                ("TCP", TCP, String::new()),
                ("TERMINATED_HTTPS", HTTPS, String::new()),
            ],
            pool: String::new(),
            members: vec![],
            guest: origins[3].address(),
            certificates: vec![],
            tls: tls(dir)?,
            _origins: vec![],
            _streams: (tcp, upgraded),
            rest,
            load_balancer,
        };
        for number in 0..CERTIFICATES {
            let bundle = certificate(dir, &format!("certificate-{number}"), true)?;
            scene.certificates.push(scene.rest.secret_store("takeover", &bundle).await?);
        }
        let http: Vec<_> = origins[..3].iter().map(Origin::address).collect();
        scene.pool = scene.pool_make("HTTP", &http, Some(tree::http_monitor(3, 1))).await?;
        let upgraded = [scene._streams.1.address()];
        let upgraded = scene.pool_make("HTTP", &upgraded, None).await?;
        let tcp = [scene._streams.0.address()];
        let tcp = scene.pool_make("TCP", &tcp, None).await?;
        let pools = [scene.pool.clone(), upgraded, tcp, scene.pool.clone()];
        for (place, pool) in pools.into_iter().enumerate() {
            let (protocol, port, _) = scene.listeners[place];
            let mut listener = json!({"loadbalancer_id": scene.load_balancer, "protocol": protocol, "protocol_port": port, "default_pool_id": pool});
            if protocol == "TERMINATED_HTTPS" {
                listener["default_tls_container_ref"] = scene.certificates[0].clone().into();
            }
            let made = scene.rest.post("/lbaas/listeners", &json!({"listener": listener})).await?;
            scene.listeners[place].2 = text(&made["listener"]["id"])?;
            scene.settled().await?;
        }
        let members = scene.rest.get(&format!("/lbaas/pools/{}/members", scene.pool)).await?;
        let ids = members["members"].as_array().context("members")?.iter().map(|member| text(&member["id"]));
        scene.members = ids.collect::<Result<_>>()?;
        scene._origins = origins;
        Ok(scene)
    }

    async fn pool_make(
        &self,
        protocol: &str,
        members: &[SocketAddr],
        monitor: Option<Value>,
    ) -> Result<String> {
        let pool = json!({"loadbalancer_id": self.load_balancer, "protocol": protocol, "lb_algorithm": "ROUND_ROBIN"});
        let made = self.rest.post("/lbaas/pools", &json!({"pool": pool})).await?;
        let pool = text(&made["pool"]["id"])?;
        self.settled().await?;
        for member in members {
            let body = json!({"member": tree::member(*member, 1)});
            self.rest.post(&format!("/lbaas/pools/{pool}/members"), &body).await?;
            self.settled().await?;
        }
        if let Some(mut monitor) = monitor {
            monitor["pool_id"] = pool.clone().into();
            self.rest.post("/lbaas/healthmonitors", &json!({"healthmonitor": monitor})).await?;
            self.settled().await?;
        }
        Ok(pool)
    }

    async fn settled(&self) -> Result<()> {
        self.rest.lb_active(&self.load_balancer, LIMIT).await.map(drop)
    }

    fn at(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.vip, port)
    }

    /// By place: connections that were counted.
    async fn connections(&self) -> Result<Vec<u64>> {
        let mut all = vec![];
        for (_, _, id) in &self.listeners {
            let stats = self.rest.get(&format!("/lbaas/listeners/{id}/stats")).await?;
            all.push(stats["stats"]["total_connections"].as_u64().context("total_connections")?);
        }
        Ok(all)
    }
}

/// Trusts the authority that signs our certificates, which is made here.
fn tls(dir: &Path) -> Result<Arc<rustls::ClientConfig>> {
    certificate(dir, "authority", false)?;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(dir.join("authority.crt"))?)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder =
        rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Arc::new(config))
}

/// A certificate with its key in one text, signed by our authority, or the authority.
fn certificate(dir: &Path, name: &str, signed: bool) -> Result<String> {
    let file = |name: &str, kind: &str| dir.join(name).with_extension(kind);
    let mut command = Command::new("openssl");
    command.args(["req", "-x509", "-nodes", "-days", "2", "-subj", &format!("/CN={name}")]);
    command.args(["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]);
    if signed {
        command.arg("-CA").arg(file("authority", "crt")).arg("-CAkey").arg(file("authority", "key"));
        command.args(["-addext", &format!("subjectAltName=DNS:{NAME}")]);
        command.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
    } else {
        command.args(["-addext", "keyUsage=critical,keyCertSign"]);
    }
    command.arg("-keyout").arg(file(name, "key")).arg("-out").arg(file(name, "crt"));
    run_quietly(&mut command)?;
    Ok(std::fs::read_to_string(file(name, "crt"))? + &std::fs::read_to_string(file(name, "key"))?)
}

/// What changed, and what is there to be changed back.
#[derive(Debug, Default)]
struct Changes {
    weights: u64,
    members: u64,
    certificates: u64,
    rules: u64,
    listeners: u64,
    guest: Option<String>,
    policy: Option<String>,
    unused: Option<String>,
}

impl std::fmt::Display for Changes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { weights, members, certificates, rules, listeners, .. } = self;
        writeln!(f, "  changes of weights       {weights:>6}")?;
        writeln!(f, "  changes of members       {members:>6}")?;
        writeln!(f, "  changes of certificates  {certificates:>6}")?;
        writeln!(f, "  changes of L7 policies   {rules:>6}")?;
        writeln!(f, "  listeners come and gone  {listeners:>6}")
    }
}

impl Changes {
    async fn make_one(&mut self, scene: &Scene, random: &mut StdRng) -> Result<()> {
        let rest = &scene.rest;
        let members = format!("/lbaas/pools/{}/members", scene.pool);
        match random.random_range(0..5) {
            0 => {
                self.weights += 1;
                let member = &scene.members[random.random_range(0..scene.members.len())];
                let body = json!({"member": {"weight": random.random_range(1..=20)}});
                rest.put(&format!("{members}/{member}"), &body).await?;
            }
            1 => {
                self.members += 1;
                match self.guest.take() {
                    Some(guest) => rest.delete(&format!("{members}/{guest}")).await?,
                    None => {
                        let body = json!({"member": tree::member(scene.guest, 1)});
                        self.guest = Some(text(&rest.post(&members, &body).await?["member"]["id"])?);
                    }
                }
            }
            2 => {
                self.certificates += 1;
                let reference = &scene.certificates[random.random_range(0..CERTIFICATES)];
                let body = json!({"listener": {"default_tls_container_ref": reference}});
                rest.put(&format!("/lbaas/listeners/{}", scene.listeners[3].2), &body).await?;
            }
            3 => {
                match self.policy.take() {
                    Some(policy) => {
                        self.rules += 1;
                        rest.delete(&format!("/lbaas/l7policies/{policy}")).await?;
                    }
                    None => {
                        // It says nothing before it has its rule.
                        self.rules += 3;
                        let place = [0, 3][random.random_range(0..2)];
                        let body = json!({"l7policy": {
                            "listener_id": scene.listeners[place].2, "action": "REJECT", "admin_state_up": false,
                        }});
                        let made = rest.post("/lbaas/l7policies", &body).await?;
                        let policy = format!("/lbaas/l7policies/{}", text(&made["l7policy"]["id"])?);
                        scene.settled().await?;
                        let rule =
                            json!({"type": "PATH", "compare_type": "STARTS_WITH", "value": "/nowhere"});
                        rest.post(&format!("{policy}/rules"), &json!({"rule": rule})).await?;
                        scene.settled().await?;
                        rest.put(&policy, &json!({"l7policy": {"admin_state_up": true}})).await?;
                        self.policy = Some(text(&made["l7policy"]["id"])?);
                    }
                }
            }
            _ => {
                self.listeners += 1;
                match self.unused.take() {
                    Some(listener) => rest.delete(&format!("/lbaas/listeners/{listener}")).await?,
                    None => {
                        let body = json!({"listener": {
                            "loadbalancer_id": scene.load_balancer, "protocol": "HTTP",
                            "protocol_port": UNUSED + random.random_range(0..50),
                        }});
                        self.unused =
                            Some(text(&rest.post("/lbaas/listeners", &body).await?["listener"]["id"])?);
                    }
                }
            }
        }
        scene.settled().await
    }
}

/// Everything that goes through the load balancer.
struct Traffic {
    http: Vec<(&'static str, LoadHandle)>,
    /// With the place of their listener.
    lasting: Vec<(&'static str, usize, Lasting)>,
}

impl Traffic {
    fn start(scene: &Scene) -> Result<Self> {
        let http = scene.at(HTTP);
        let day = |plan: LoadPlan| plan.for_duration(Duration::from_secs(24 * 3600)).start();
        let tls = Some((Arc::clone(&scene.tls), ServerName::try_from(NAME)?));
        let h2 = |tls| Kind::Http2 { length: 1_000, tls };
        let lasting = |name, place: usize, kind: &Kind, count| {
            (name, place, Lasting::start(scene.at(scene.listeners[place].1), kind, count))
        };
        Ok(Self {
            http: vec![
                ("HTTP/1.1, kept", day(LoadPlan::bytes(http, Mode::KeepAlive, 4, 1_000).rate(100.0))),
                (
                    "HTTP/1.1, kept and mostly idle",
                    day(LoadPlan::bytes(http, Mode::KeepAlive, 8, 40).rate(8.0)),
                ),
                ("HTTP/1.1, new", day(LoadPlan::bytes(http, Mode::Short, 2, 40).rate(50.0))),
                ("HTTP/1.1, large", day(LoadPlan::bytes(http, Mode::KeepAlive, 1, 200_000).rate(5.0))),
            ],
            lasting: vec![
                lasting("HTTP/2", 0, &h2(None), 2),
                lasting("HTTP/2 over TLS", 3, &h2(tls), 2),
                lasting("TCP, short", 2, &Kind::Tcp { blocks: 40 }, 2),
                lasting("TCP, to the end", 2, &Kind::Tcp { blocks: u64::MAX }, 4),
                lasting("WebSocket, short", 1, &Kind::Upgraded { blocks: 40 }, 2),
                lasting("WebSocket, to the end", 1, &Kind::Upgraded { blocks: u64::MAX }, 4),
            ],
        })
    }

    /// Until everything has something to show.
    async fn wait(&self, _scene: &Scene) -> Result<()> {
        wait_for("traffic of every kind", LIMIT, async || {
            let mut silent: Vec<_> =
                self.http.iter().filter(|(_, load)| load.report().ok == 0).map(|(name, _)| *name).collect();
            silent.extend(
                self.lasting.iter().filter(|(.., load)| load.tally().ok == 0).map(|(name, ..)| *name),
            );
            if silent.is_empty() { Ok(()) } else { Err(silent.join(", ")) }
        })
        .await
    }

    /// Ends it, prints what there was, and says what was wrong.
    async fn stop(self, scene: &Scene) -> Result<Vec<String>> {
        let mut violations = vec![];
        let mut connections = vec![0; scene.listeners.len()];
        for (name, load) in self.http {
            let report = load.stop().await;
            connections[0] += report.connects;
            println!("  {name:<32} {:>9} requests, {} failed", report.ok, report.failed());
            violations.extend(report.all_good().err().map(|why| format!("{name}: {why}")));
        }
        for (name, place, load) in self.lasting {
            let tally = load.stop().await;
            connections[place] += tally.connects;
            let what = if name.starts_with("HTTP/2") { "requests" } else { "blocks" };
            println!(
                "  {name:<32} {:>9} {what} on {} connections, {} failed",
                tally.ok, tally.connects, tally.failed
            );
            violations.extend(tally.all_good().err().map(|why| format!("{name}: {why}")));
        }
        // Every process has told what it counted, and nobody's connections count twice.
        let counted = wait_for("the connections that were made to be counted", LIMIT, async || {
            let counted = scene.connections().await.map_err(|error| format!("{error:#}"))?;
            if counted == connections { Ok(()) } else { Err(format!("{counted:?}, not {connections:?}")) }
        });
        match counted.await {
            Ok(()) => println!("  connections, all counted once: {connections:?}"),
            Err(error) => violations.push(format!("{error:#}")),
        }
        Ok(violations)
    }
}
