//! Certificates, authorities and heartbeat keys are changed under traffic, and nobody notices.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use octavia_testkit::{AllInOneOptions, LoadPlan, Mode, Rest, rest, wait_for};
use serde_json::Value;

use crate::world::{LIMIT, World, binary, origins, output};

/// Seconds that a certificate is good; it is renewed when half of them are over.
const VALIDITY: u32 = 40;

fn trust(world: &World, what: &str) -> Result<String> {
    let mut command = Command::new(binary());
    command.args(["trust", what, "--state-dir"]).arg(world.product.state_dir());
    // What the environment says of databases is for others.
    output(command.env_remove("OCTAVIA_DATABASE_URL"))
}

/// Until when the certificate of each amphora is good.
async fn ends(admin: &Rest) -> Result<BTreeMap<String, String>> {
    let answer = admin.get("/octavia/amphorae").await?;
    let rows = answer["amphorae"].as_array().context("no list")?;
    let end = |row: &Value| Ok((rest::text(&row["id"])?, rest::text(&row["cert_expiration"])?));
    rows.iter().map(end).collect()
}

/// How many authorities each amphora believes.
fn believed(amphorae: &Path) -> Result<Vec<usize>> {
    let mut counts = vec![];
    for entry in std::fs::read_dir(amphorae)? {
        let file = entry?.path().join("client-ca.pem");
        if file.exists() {
            counts.push(std::fs::read_to_string(file)?.matches("BEGIN CERTIFICATE").count());
        }
    }
    Ok(counts)
}

async fn sample(world: &World, begins: &str) -> Result<f64> {
    let url = std::fs::read_to_string(world.product.state_dir().join("metrics.url"))?;
    let text = rest::client()?.get(url.trim()).send().await?.error_for_status()?.text().await?;
    let value = text.lines().find_map(|line| line.strip_prefix(begins)?.split(' ').next_back()?.parse().ok());
    Ok(value.unwrap_or(0.0))
}

/// What would tell of a heartbeat that was lost to the change: a signature nobody knows, an amphora that is not heard.
async fn all_heard(world: &World, lbs: &[String]) -> Result<()> {
    let refused = sample(world, "octavia_heartbeats_refused_total{reason=\"signature\"}").await?;
    ensure!(refused == 0.0, "{refused} heartbeats of an unknown key");
    ensure!(sample(world, "octavia_amphorae_silent").await? == 0.0, "an amphora is not heard");
    for lb in lbs {
        let lb = world.rest.lb_get(lb).await?;
        ensure!(lb["operating_status"] == "ONLINE" && lb["provisioning_status"] == "ACTIVE", "{lb}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_changed_under_traffic() -> Result<()> {
    let dir = tempfile::Builder::new().prefix("octavia-it-").tempdir()?;
    let config = dir.path().join("octavia.conf");
    let text = format!(
        "[certificates]\ncert_validity_time = {VALIDITY}\n[metrics]\nenabled = true\nbind_port = 0\n"
    );
    std::fs::write(&config, text)?;
    let mut options = AllInOneOptions::new(binary(), dir.path().join("state"))?;
    options.arguments = vec!["--config-file".into(), config.into()];
    let world = World::start_with(dir, options).await?;
    let origins = origins(2)?;
    let (mut lbs, mut loads) = (vec![], vec![]);
    for name in ["one", "two", "three"] {
        let lb = world.http_lb(name, &origins, None).await?;
        loads.push(LoadPlan::bytes(lb.vip, Mode::Short, 1, 1_000).rate(25.0).start());
        loads.push(LoadPlan::bytes(lb.vip, Mode::KeepAlive, 1, 1_000).rate(25.0).start());
        lbs.push(lb.id);
    }
    wait_for("statuses by heartbeat", LIMIT, async || {
        all_heard(&world, &lbs).await.map_err(|error| format!("{error:#}"))
    })
    .await?;
    let admin = world.product.rest("admin").await?;
    let first = ends(&admin).await?;
    ensure!(trust(&world, "finish").is_err(), "no change is under way");

    trust(&world, "roll")?;
    ensure!(trust(&world, "roll").is_err(), "the last change is not finished");
    let at_once = trust(&world, "show")?;
    ensure!(at_once.matches("authority").count() >= 2 && at_once.contains("is believed still"), "{at_once}");
    wait_for("all certificates of the new authority", LIMIT, async || {
        all_heard(&world, &lbs).await.map_err(|error| format!("{error:#}"))?;
        trust(&world, "finish").map_err(|error| format!("{error:#}"))
    })
    .await?;
    let shown = trust(&world, "show")?;
    ensure!(shown.contains("issues") && shown.contains("certificates of 3 amphorae"), "{shown}");
    ensure!(!shown.contains("believed still"), "{shown}");
    wait_for("amphorae that believe the new authority alone", LIMIT, async || {
        all_heard(&world, &lbs).await.map_err(|error| format!("{error:#}"))?;
        let believed = believed(&world.product.state_dir().join("amphorae"));
        match believed.map_err(|error| format!("{error:#}"))? {
            counts if counts == [1, 1, 1] => Ok(()),
            counts => Err(format!("{counts:?}")),
        }
    })
    .await?;

    // Certificates of so short a life would be over before this is, had nobody renewed them.
    let changed = ends(&admin).await?;
    ensure!(changed.iter().all(|(id, end)| end > &first[id]), "{first:?} {changed:?}");
    wait_for("certificates that are renewed by themselves", LIMIT * 2, async || {
        all_heard(&world, &lbs).await.map_err(|error| format!("{error:#}"))?;
        let now = ends(&admin).await.map_err(|error| format!("{error:#}"))?;
        if now.iter().all(|(id, end)| end > &changed[id]) { Ok(()) } else { Err(format!("{now:?}")) }
    })
    .await?;
    for lb in &lbs {
        // Agents are reached as ever: it takes a push to come into force.
        world
            .rest
            .put(
                &format!("/lbaas/loadbalancers/{lb}"),
                &serde_json::json!({"loadbalancer": {"name": "changed"}}),
            )
            .await?;
        world.rest.lb_active(lb, LIMIT).await?;
    }
    all_heard(&world, &lbs).await?;
    ensure!(sample(&world, "octavia_heartbeats_signed_total{key=\"newest\"}").await? > 0.0);
    for load in loads {
        let report = load.stop().await;
        eprintln!("longest gap {:?}: {report}", report.longest_gap);
        ensure!(report.failed() == 0 && report.ok > 100, "{report}");
    }
    ensure!(ends(&admin).await?.len() == 3, "no amphora was replaced");
    Ok(())
}

/// A new key of octavia.conf reaches amphorae that sign with the old one, and the old one can go then.
#[tokio::test(flavor = "multi_thread")]
async fn the_heartbeat_key_of_the_configuration_changes() -> Result<()> {
    let dir = tempfile::Builder::new().prefix("octavia-it-").tempdir()?;
    let config = dir.path().join("octavia.conf");
    let write = |keys: &str| {
        std::fs::write(
            &config,
            format!("[metrics]\nenabled = true\nbind_port = 0\n[health_manager]\n{keys}\n"),
        )
    };
    write("heartbeat_key = first")?;
    let mut options = AllInOneOptions::new(binary(), dir.path().join("state"))?;
    options.arguments = vec!["--config-file".into(), config.clone().into()];
    let mut world = World::start_with(dir, options).await?;
    let origins = origins(1)?;
    let lb = world.http_lb("lb", &origins, None).await?.id;
    let heard = async |world: &World| {
        all_heard(world, std::slice::from_ref(&lb)).await?;
        sample(world, "octavia_heartbeats_signed_total{key=\"newest\"}").await
    };
    for keys in [
        "heartbeat_key = second\nprevious_heartbeat_keys = first",
        // Nobody needs it any more.
        "heartbeat_key = second",
    ] {
        write(keys)?;
        world.product.restart().await?;
        wait_for("heartbeats of the newest key", LIMIT, async || match heard(&world).await {
            Ok(beats) if beats >= 3.0 => Ok(()),
            Ok(beats) => Err(format!("{beats} beats")),
            Err(error) => Err(format!("{error:#}")),
        })
        .await?;
        heard(&world).await?;
    }
    let admin = world.product.rest("admin").await?;
    ensure!(ends(&admin).await?.len() == 1, "no amphora was replaced");
    Ok(())
}
