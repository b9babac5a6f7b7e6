//! An operator wants amphorae replaced: under traffic, and with the controller killed in the middle.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use octavia_testkit::rest::Method;
use octavia_testkit::{FailureKind, LoadHandle, LoadPlan, Mode, Rest, rest, wait_for};
use serde_json::Value;

use crate::world::{LIMIT, Lb, World, binary, cloud_command, origins, output, quick_monitor, serving};

/// What a failover costs on the loopback network is the time between two amphorae, both of which want the VIP: nobody
/// waits for the boot of the new one. On a loaded machine it is a small part of this.
const LONGEST_GAP: Duration = Duration::from_secs(4);

/// The amphorae of the load balancer.
async fn amphorae(admin: &Rest, lb: &Lb) -> Result<Vec<Value>> {
    let mut answer = admin.get(&format!("/octavia/amphorae?loadbalancer_id={}", lb.id)).await?;
    Ok(answer["amphorae"].as_array_mut().context("no list")?.drain(..).collect())
}

/// The only one there is, in service.
async fn only(admin: &Rest, lb: &Lb) -> Result<String> {
    let rows = amphorae(admin, lb).await?;
    ensure!(rows.len() == 1 && rows[0]["status"] == "ALLOCATED", "{rows:?}");
    rest::text(&rows[0]["id"])
}

async fn more_traffic(load: &LoadHandle, requests: u64) -> Result<()> {
    let before = load.report().ok;
    wait_for("traffic", LIMIT, async || {
        let report = load.report();
        if report.ok >= before + requests { Ok(()) } else { Err(report.to_string()) }
    })
    .await
}

/// How many connections the listeners are said to have had.
async fn connections(world: &World, lb: &Lb) -> Result<u64> {
    let stats = world.rest.get(&format!("/lbaas/loadbalancers/{}/stats", lb.id)).await?;
    stats["stats"]["total_connections"].as_u64().with_context(|| stats.to_string())
}

/// Asks, and sees the load balancer on its way.
async fn failover(admin: &Rest, path: &str) -> Result<()> {
    let answer = admin.call(Method::PUT, path, None).await?;
    ensure!(answer.status == 202, "{answer:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn under_traffic() -> Result<()> {
    let world = World::start().await?;
    let origins = origins(2)?;
    let lb = world.http_lb("moving", &origins, Some(quick_monitor())).await?;
    let admin = world.product.rest("admin").await?;
    let mut old = only(&admin, &lb).await?;
    let mut counted = 0;
    for by_amphora in [false, true] {
        let path = if by_amphora {
            format!("/octavia/amphorae/{old}/failover")
        } else {
            format!("/lbaas/loadbalancers/{}/failover", lb.id)
        };
        let loads = [
            LoadPlan::bytes(lb.vip, Mode::Short, 4, 1_000).rate(200.0).start(),
            LoadPlan::bytes(lb.vip, Mode::KeepAlive, 4, 1_000).rate(200.0).start(),
        ];
        more_traffic(&loads[0], 100).await?;
        let told = wait_for("a heartbeat that tells of the traffic", LIMIT, async || {
            let now = connections(&world, &lb).await.map_err(|error| format!("{error:#}"))?;
            if now >= counted + 100 { Ok(now) } else { Err(now.to_string()) }
        });
        counted = told.await?;
        failover(&admin, &path).await?;
        world.rest.lb_active(&lb.id, LIMIT).await?;
        let new = only(&admin, &lb).await?;
        ensure!(new != old, "the amphora was not replaced");
        more_traffic(&loads[0], 100).await?;
        for load in loads {
            let report = load.stop().await;
            eprintln!("{path}: {} failed, longest gap {:?}: {report}", report.failed(), report.longest_gap);
            ensure!(report.longest_gap < LONGEST_GAP, "nobody was answered for {:?}", report.longest_gap);
            // Whoever comes between the two is refused, and whoever is there is cut off. Nobody hangs, or gets
            // anything but an answer of a member.
            let costs = [
                FailureKind::ConnectRefused,
                FailureKind::Closed,
                FailureKind::ReuseClosed,
                FailureKind::Reset,
                FailureKind::ShortBody,
            ];
            ensure!(report.failures.keys().all(|kind| costs.contains(kind)), "{report}");
        }
        old = new;
        // Statistics survive it: those of the amphora that went are in the sum.
        let now = connections(&world, &lb).await?;
        ensure!(now >= counted, "{now} connections after {counted}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn survives_a_killed_controller() -> Result<()> {
    let mut world = World::start().await?;
    let origins = origins(1)?;
    let lb = world.http_lb("moving", &origins, None).await?;
    for delay_ms in [0, 10, 50, 150, 400] {
        let admin = world.product.rest("admin").await?;
        let old = only(&admin, &lb).await?;
        failover(&admin, &format!("/lbaas/loadbalancers/{}/failover", lb.id)).await?;
        tokio::time::sleep(Duration::from_millis(delay_ms)).await;
        world.product.kill_controller();
        world.product.restart().await?;
        world.rest.lb_active(&lb.id, LIMIT).await?;
        serving(lb.vip).await?;
        let admin = world.product.rest("admin").await?;
        ensure!(only(&admin, &lb).await? != old, "after {delay_ms} ms: not replaced");
        let agents = world.product.amphora_processes("amphora", None);
        ensure!(agents.len() == 1, "after {delay_ms} ms: {agents:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn by_the_native_client() -> Result<()> {
    let world = World::start().await?;
    let origins = origins(1)?;
    let lb = world.http_lb("moving", &origins, None).await?;
    let admin = world.product.rest("admin").await?;
    let octavia = |words: &str| {
        output(
            cloud_command(binary(), &world.product).env("OS_CLOUD", "admin").args(words.split_whitespace()),
        )
    };
    let old = only(&admin, &lb).await?;
    let load = LoadPlan::bytes(lb.vip, Mode::KeepAlive, 2, 1_000).rate(50.0).start();
    more_traffic(&load, 10).await?;
    octavia(&format!("amphorae configure {old}"))?;
    let operations = format!("lb operations {} -f value -c kind -c error", lb.id);
    wait_for("the spec pushed again", LIMIT, async || {
        let text = octavia(&operations).map_err(|error| error.to_string())?;
        let pushes = text.lines().filter(|line| line.starts_with("spec_push")).count();
        if pushes == 2 { Ok(()) } else { Err(text) }
    })
    .await?;
    ensure!(world.rest.lb_get(&lb.id).await?["provisioning_status"] == "ACTIVE");
    let report = load.stop().await;
    report.all_good().map_err(anyhow::Error::msg)?;

    octavia(&format!("lb failover {} --wait", lb.id))?;
    let new = only(&admin, &lb).await?;
    ensure!(new != old, "the amphora was not replaced");
    // Steps that took no time are noted after they were done.
    wait_for("the steps of the failover", LIMIT, async || {
        let text = octavia(&operations).map_err(|error| error.to_string())?;
        let settled = text.lines().next().is_some_and(|line| line.starts_with("settle"));
        if settled && text.contains("amphora_retire") { Ok(()) } else { Err(text) }
    })
    .await?;
    let error = octavia(&format!("amphorae delete {new}")).err().context("no error")?;
    ensure!(format!("{error:#}").contains("immutable"), "{error:#}");
    wait_for("statistics of the new amphora", LIMIT, async || {
        octavia(&format!("amphorae stats {new} -f value")).map(drop).map_err(|error| format!("{error:#}"))
    })
    .await
}
