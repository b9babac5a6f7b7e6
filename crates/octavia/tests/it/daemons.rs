//! A controller as several processes over PostgreSQL and over MariaDB.

use std::process::{Command, Output};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use octavia_testkit::daemons::Role;
use octavia_testkit::siege::{SiegeOptions, besiege};
use octavia_testkit::{
    Daemons, DaemonsOptions, DatabaseKind, DatabaseServer, Populated, proc, rest, wait_for,
};
use serde_json::json;
use tempfile::TempDir;
use tokio::sync::Mutex;

use crate::world::{LIMIT, PORT, binary, origins, serving};

const CONFIG: &str = "heartbeat_timeout = 20\nheartbeat_interval = 2\n[metrics]\nrefresh_interval = 1\n";

/// `None` = it is not installed, and need not be.
fn server(kind: DatabaseKind) -> Result<Option<DatabaseServer>> {
    let server = DatabaseServer::start(kind)?;
    let all = std::env::var("OCTAVIA_TEST_DATABASES").is_ok_and(|wanted| wanted == "all");
    ensure!(server.is_some() || !all, "OCTAVIA_TEST_DATABASES=all, but {} is not installed", kind.name());
    Ok(server)
}

fn options(dir: &TempDir, database: String) -> Result<DaemonsOptions> {
    Ok(DaemonsOptions {
        binary: binary().to_owned(),
        dir: dir.path().canonicalize()?,
        database,
        apis: 2,
        workers: 3,
        health_managers: 2,
        housekeepers: 1,
        config: CONFIG.to_owned(),
    })
}

async fn siege(kind: DatabaseKind) -> Result<()> {
    let Some(server) = server(kind)? else { return Ok(()) };
    let dir = tempfile::Builder::new().prefix("octavia-it-").tempdir()?;
    let daemons = Mutex::new(Daemons::start(options(&dir, server.database("octavia")?)?).await?);
    let siege = SiegeOptions {
        load_balancers: 40,
        clients: 8,
        seed: 1,
        calm: Duration::from_millis(700),
        kills: 6,
        pause: Duration::from_millis(1500),
        settle: Duration::from_secs(120),
    };
    let report = match besiege(&daemons, siege).await {
        Ok(report) => report,
        Err(error) => {
            eprintln!("{}", daemons.lock().await.log_tails());
            return Err(error);
        }
    };
    eprintln!("{report}");
    ensure!(report.killed.contains_key("worker-1"), "no worker was killed: {report}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_load_balancer_is_made_once_over_postgresql() -> Result<()> {
    siege(DatabaseKind::Postgresql).await
}

#[tokio::test(flavor = "multi_thread")]
async fn each_load_balancer_is_made_once_over_mariadb() -> Result<()> {
    siege(DatabaseKind::Mariadb).await
}

fn said(output: &Output) -> String {
    format!(
        "{}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

fn check(what: &str, output: &Output, code: i32, words: &[&str]) -> Result<()> {
    let said = said(output);
    ensure!(output.status.code() == Some(code), "{what}: not {code}: {said}");
    for word in words {
        ensure!(said.contains(word), "{what}: no {word:?} in {said}");
    }
    Ok(())
}

/// A worker that has held a lease for longer than work takes.
fn held_for_long(metrics: &str) -> Option<String> {
    metrics.lines().find_map(|line| {
        let (worker, age) =
            line.strip_prefix("octavia_worker_lease_oldest_seconds{worker=\"")?.split_once("\"} ")?;
        (age.parse::<f64>().ok()? > 3.0).then(|| worker.to_owned())
    })
}

/// What an operator does, and is told.
#[tokio::test(flavor = "multi_thread")]
async fn an_installation_is_looked_at_made_renewed_and_broken() -> Result<()> {
    let Some(server) = server(DatabaseKind::Postgresql)? else { return Ok(()) };
    let dir = tempfile::Builder::new().prefix("octavia-it-").tempdir()?;
    let url = server.database("octavia")?;
    let run = |words: &[&str]| {
        let state_dir = dir.path().join("state");
        Command::new(binary())
            .args(words)
            .arg("--state-dir")
            .arg(state_dir)
            .args(["--database", &url])
            .output()
    };
    check("no cloud", &run(&["worker"])?, 1, &["`octavia local serve`"])?;
    check(
        "nothing yet",
        &run(&["status", "upgrade", "check"])?,
        0,
        &["| Upgrade Check Results", "It is empty"],
    )?;

    let mut daemons = Daemons::start(options(&dir, url.clone())?).await?;
    let of = |daemons: &Daemons, role: Role| -> Vec<usize> {
        let all = daemons.all().iter().enumerate();
        all.filter(|(_, daemon)| daemon.role == role).map(|(index, _)| index).collect()
    };
    check(
        "all is there",
        &run(&["status", "upgrade", "check"])?,
        0,
        &["Check: Database Schema", "Details: None"],
    )?;
    let words =
        ["ok       database", "it is kept, and answers", "the authority of amphorae ends", "0 errors"];
    let healthy = run(&["doctor"])?;
    ensure!(healthy.status.code().is_some_and(|code| code < 2), "{}", said(&healthy));
    words.iter().try_for_each(|word| {
        ensure!(said(&healthy).contains(word), "no {word:?} in {}", said(&healthy));
        Ok(())
    })?;

    let demo = daemons.rest("demo").await?;
    let origins = origins(1)?;
    let members = [origins[0].address()];
    let subnet_id = demo.subnet_id("private-subnet").await?;
    let body = |name| {
        let (protocol, algorithm) = ("HTTP", "ROUND_ROBIN");
        let (subnet_id, members) = (subnet_id.as_str(), &members[..]);
        Populated { name, subnet_id, protocol, port: PORT, algorithm, members, monitor: None }.body()
    };
    let created = demo.lb_create(&body("first")).await?;
    let id = rest::text(&created["id"])?;
    demo.lb_active(&id, LIMIT).await?;
    let vip = std::net::SocketAddr::new(rest::text(&created["vip_address"])?.parse()?, PORT);
    serving(vip).await?;

    // Without its cloud, an API refuses what it cannot make, traffic goes on, and the doctor knows.
    daemons.kill(of(&daemons, Role::Keeper)[0]);
    let body = json!({"loadbalancer": body("second")});
    let refused = demo.call(rest::Method::POST, "/lbaas/loadbalancers", Some(&body)).await?;
    ensure!(refused.status >= 500, "{refused:?}");
    serving(vip).await?;
    check("no keeper", &run(&["doctor"])?, 2, &["-> Start `octavia local serve`."])?;
    daemons.restart(of(&daemons, Role::Keeper)[0]).await?;

    // A cloud that hangs holds up neither the end of a worker nor, for longer than that, its load balancer.
    let keeper = daemons.all()[of(&daemons, Role::Keeper)[0]].pid().context("no keeper")?;
    proc::pause(keeper);
    let (index, worker) = wait_for("a worker to wait for the cloud", LIMIT, async || {
        for index in of(&daemons, Role::Worker) {
            let text = daemons.metrics(index).await.map_err(|error| format!("{error:#}"))?;
            if let Some(worker) = held_for_long(&text) {
                return Ok((index, worker));
            }
        }
        Err("nobody holds a lease for long".to_owned())
    })
    .await?;
    daemons.stop(index).await?;
    wait_for("its leases to be given back", LIMIT, async || {
        let text = daemons.metrics(of(&daemons, Role::Housekeeping)[0]).await;
        let text = text.map_err(|error| format!("{error:#}"))?;
        let held = text.lines().find(|line| line.starts_with("octavia_leases{") && line.contains(&worker));
        held.map_or(Ok(()), |line| Err(line.to_owned()))
    })
    .await?;
    proc::resume(keeper);
    daemons.restart(index).await?;

    // Every daemon ends well, and one after the other is renewed over a schema of the next version.
    server.execute("octavia", "ALTER TABLE load_balancer ADD COLUMN future BIGINT")?;
    server.execute(
        "octavia",
        "INSERT INTO schema_migration (version, applied_at) VALUES ('m9998_future', 0)",
    )?;
    for index in 0..daemons.all().len() {
        daemons.stop(index).await.with_context(|| daemons.all()[index].name().to_owned())?;
        daemons.restart(index).await?;
    }
    let demo = daemons.rest("demo").await?;
    let second = demo.call(rest::Method::POST, "/lbaas/loadbalancers", Some(&body)).await?.good()?;
    demo.lb_active(&rest::text(&second["loadbalancer"]["id"])?, LIMIT).await?;
    check("newer", &run(&["status", "upgrade", "check"])?, 1, &["Result: Warning", "m9998_future"])?;
    server.execute(
        "octavia",
        "INSERT INTO schema_migration (version, applied_at) VALUES ('m9999_contract_future', 0)",
    )?;
    check("too new", &run(&["status", "upgrade", "check"])?, 2, &["Result: Failure"])?;
    check("too new", &run(&["housekeeping"])?, 1, &["cannot work with the database's schema"])?;
    serving(vip).await
}
