//! Amphorae that have booted before anybody needs them.

use anyhow::{Context as _, Result, ensure};
use octavia_testkit::{AllInOneOptions, Rest, rest, wait_for};
use serde_json::Value;

use crate::world::{LIMIT, World, binary, origins, serving};

/// Amphorae as the API lists them: id, status, load balancer.
async fn listed(admin: &Rest) -> Result<Vec<(String, String, Value)>> {
    let answer = admin.get("/octavia/amphorae").await?;
    let rows = answer["amphorae"].as_array().context("no list")?;
    rows.iter()
        .map(|row| Ok((rest::text(&row["id"])?, rest::text(&row["status"])?, row["loadbalancer_id"].clone())))
        .collect()
}

async fn ready(admin: &Rest, count: usize) -> Result<Vec<String>> {
    wait_for("spares", LIMIT, async || {
        let rows = listed(admin).await.map_err(|error| format!("{error:#}"))?;
        let spares = rows.iter().filter(|(_, status, lb)| status == "READY" && lb.is_null());
        let ids: Vec<_> = spares.map(|(id, ..)| id.clone()).collect();
        if ids.len() == count { Ok(ids) } else { Err(format!("{rows:?}")) }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn are_made_adopted_and_replaced() -> Result<()> {
    let dir = tempfile::Builder::new().prefix("octavia-it-").tempdir()?;
    let config = dir.path().join("octavia.conf");
    std::fs::write(&config, "[house_keeping]\nspare_amphora_pool_size = 2\n")?;
    let mut options = AllInOneOptions::new(binary(), dir.path().join("state"))?;
    options.arguments = vec!["--config-file".into(), config.clone().into()];
    let mut world = World::start_with(dir, options).await?;
    let admin = world.product.rest("admin").await?;
    let mut spares = ready(&admin, 2).await?;

    let origins = origins(1)?;
    let lb = world.http_lb("at once", &origins, None).await?;
    let home = |rows: Vec<(String, String, Value)>| {
        let mut of = rows.into_iter().filter(|(.., home)| *home == lb.id.as_str());
        of.next().context("none").map(|(id, status, _)| (id, status))
    };
    for path in [None, Some(format!("/lbaas/loadbalancers/{}/failover", lb.id))] {
        if let Some(path) = path {
            admin.call(octavia_testkit::rest::Method::PUT, &path, None).await?;
            world.rest.lb_active(&lb.id, LIMIT).await?;
            serving(lb.vip).await?;
        }
        let (id, status) = home(listed(&admin).await?)?;
        ensure!(status == "ALLOCATED" && spares.contains(&id), "{id} is none of {spares:?}");
        spares = ready(&admin, 2).await?;
        ensure!(!spares.contains(&id));
    }
    // They are nobody's to fail over, and go with the option.
    let path = format!("/octavia/amphorae/{}/failover", spares[0]);
    let answer = admin.call(octavia_testkit::rest::Method::PUT, &path, None).await?;
    ensure!(answer.status == 404, "{answer:?}");
    std::fs::write(&config, "")?;
    world.product.restart().await?;
    let admin = world.product.rest("admin").await?;
    wait_for("no spares", LIMIT, async || {
        let rows = listed(&admin).await.map_err(|error| format!("{error:#}"))?;
        let agents = world.product.amphora_processes("amphora", None).len();
        if rows.len() == 1 && agents == 1 { Ok(()) } else { Err(format!("{agents} agents, {rows:?}")) }
    })
    .await?;
    serving(lb.vip).await
}
