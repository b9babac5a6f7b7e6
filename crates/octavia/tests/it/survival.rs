//! `kill -9` of every process there is, under load.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use octavia_testkit::rest::Method;
use octavia_testkit::{LoadHandle, LoadPlan, Mode, proc, tree, wait_for};
use serde_json::{Value, json};

use crate::world::{LIMIT, Lb, World, origins, quick_monitor, serving};

fn loads(lb: &Lb) -> [LoadHandle; 2] {
    [
        LoadPlan::bytes(lb.vip, Mode::KeepAlive, 4, 1_000).start(),
        LoadPlan::bytes(lb.vip, Mode::Short, 4, 1_000).start(),
    ]
}

async fn none_failed(loads: [LoadHandle; 2]) -> Result<()> {
    for load in loads {
        let report = load.stop().await;
        eprintln!("{report}");
        report.all_good().map_err(anyhow::Error::msg)?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_controller_is_killed() -> Result<()> {
    let mut world = World::start().await?;
    let origins = origins(3)?;
    let lb = world.http_lb("surviving", &origins[..2], Some(quick_monitor())).await?;
    let token = world.rest.token();
    let before = amphora_pids(&world);
    let shown = world.rest.lb_get(&lb.id).await?;
    let loads = loads(&lb);
    more_traffic(&loads[0], 500).await?;

    world.product.kill_controller();
    more_traffic(&loads[0], 2_000).await?;
    world.product.restart().await?;

    // The same ids, by the same token, on the same processes.
    let answer = world.rest.call(Method::GET, &format!("/lbaas/loadbalancers/{}", lb.id), None).await?;
    let now = answer.good()?["loadbalancer"].take();
    ensure!(world.rest.token() == token, "the token did not survive");
    ensure!(now["vip_address"] == shown["vip_address"] && now["provisioning_status"] == "ACTIVE", "{now}");
    ensure!(world.rest.subnet_id("private-subnet").await? == world.subnet_id, "another subnet id");
    ensure!(amphora_pids(&world) == before, "amphorae were not adopted");

    // And it still does what it is told.
    let third = json!({"member": tree::member(origins[2].address(), 1)});
    world.rest.post(&lb.members_path(), &third).await?;
    world.rest.lb_active(&lb.id, LIMIT).await?;
    wait_for("requests to the new member", LIMIT, async || {
        let report = loads[0].report();
        if report.members.contains_key("m2") { Ok(()) } else { Err(report.to_string()) }
    })
    .await?;
    none_failed(loads).await?;
    ensure!(amphora_pids(&world) == before, "amphorae were not adopted");
    world.rest.lb_delete(&lb.id, LIMIT).await?;
    ensure!(amphora_pids(&world).is_empty(), "amphorae were left");
    Ok(())
}

/// Writes that were accepted just before are carried out after.
#[tokio::test(flavor = "multi_thread")]
async fn the_controller_is_killed_in_the_middle_of_work() -> Result<()> {
    let mut world = World::start().await?;
    let origins = origins(2)?;
    for delay_ms in [0, 3, 10, 30, 100] {
        let members: Vec<_> = origins.iter().map(octavia_testkit::Origin::address).collect();
        let body = octavia_testkit::Populated {
            name: "interrupted",
            subnet_id: &world.subnet_id,
            protocol: "HTTP",
            port: crate::world::PORT,
            algorithm: "ROUND_ROBIN",
            members: &members,
            monitor: None,
        }
        .body();
        let lb = Lb::of(&world.rest.lb_create(&body).await?)?;
        tokio::time::sleep(Duration::from_millis(delay_ms)).await;
        world.product.kill_controller();
        world.product.restart().await?;
        world.rest.lb_active(&lb.id, LIMIT).await?;
        serving(lb.vip).await?;
        world.rest.delete(&format!("/lbaas/loadbalancers/{}?cascade=true", lb.id)).await?;
        tokio::time::sleep(Duration::from_millis(delay_ms)).await;
        world.product.kill_controller();
        world.product.restart().await?;
        world.rest.lb_gone(&lb.id, LIMIT).await?;
        wait_for("its processes to end", LIMIT, async || {
            let left = amphora_pids(&world);
            if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
        })
        .await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_agent_is_killed() -> Result<()> {
    let world = World::start().await?;
    let origins = origins(2)?;
    let lb = world.http_lb("surviving", &origins, Some(quick_monitor())).await?;
    let (agent, proxy) = pair(&world)?;
    let loads = loads(&lb);
    more_traffic(&loads[0], 500).await?;
    proc::kill(agent);
    wait_for("another agent", LIMIT, async || match pair(&world) {
        Ok((new, same)) if new != agent && same == proxy => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await?;
    // The new agent rules the old proxy.
    let listener_id = world.rest.lb_get(&lb.id).await?["listeners"][0]["id"].take();
    let path = format!("/lbaas/listeners/{}", listener_id.as_str().context("no listener")?);
    world.rest.put(&path, &json!({"listener": {"connection_limit": 5000}})).await?;
    world.rest.lb_active(&lb.id, LIMIT).await?;
    none_failed(loads).await?;
    ensure!(pair(&world)?.1 == proxy, "the proxy was replaced");
    online(&world, &lb).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_proxy_is_killed() -> Result<()> {
    let world = World::start().await?;
    let origins = origins(2)?;
    let lb = world.http_lb("respawned", &origins, Some(quick_monitor())).await?;
    let (agent, proxy) = pair(&world)?;
    let load = LoadPlan::bytes(lb.vip, Mode::Short, 2, 100).rate(200.0).start();
    more_traffic(&load, 50).await?;
    proc::kill(proxy);
    wait_for("another proxy", LIMIT, async || match pair(&world) {
        Ok((same, new)) if new != proxy && same == agent => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await?;
    serving(lb.vip).await?;
    let report = load.stop().await;
    eprintln!("{report}");
    // Its listening sockets live on in the agent: nobody is refused, only what was under way is lost.
    let refused = report.failures.get(&octavia_testkit::FailureKind::ConnectRefused);
    ensure!(refused.is_none(), "refused while the proxy was restarted: {report}");
    online(&world, &lb).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_amphora_is_killed() -> Result<()> {
    let world = World::start().await?;
    let origins = origins(2)?;
    let lb = world.http_lb("reborn", &origins, Some(quick_monitor())).await?;
    let (agent, proxy) = pair(&world)?;
    proc::kill(agent);
    proc::kill(proxy);
    wait_for("both again", LIMIT, async || match pair(&world) {
        Ok((new_agent, new_proxy)) if new_agent != agent && new_proxy != proxy => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await?;
    serving(lb.vip).await?;
    world.rest.lb_active(&lb.id, LIMIT).await?;
    online(&world, &lb).await
}

/// Agent and proxy of the only amphora.
fn pair(world: &World) -> Result<(i32, i32)> {
    let agents = world.product.amphora_processes("amphora", None);
    let proxies = world.product.amphora_processes("proxy", None);
    ensure!(agents.len() == 1 && proxies.len() == 1, "agents {agents:?}, proxies {proxies:?}");
    Ok((agents[0].pid, proxies[0].pid))
}

fn amphora_pids(world: &World) -> Vec<i32> {
    let mut pids: Vec<_> = ["amphora", "proxy"]
        .iter()
        .flat_map(|kind| world.product.amphora_processes(kind, None))
        .map(|process| process.pid)
        .collect();
    pids.sort_unstable();
    pids
}

async fn more_traffic(load: &LoadHandle, requests: u64) -> Result<()> {
    let before = load.report().ok;
    wait_for("traffic", LIMIT, async || {
        let report = load.report();
        if report.ok >= before + requests { Ok(()) } else { Err(report.to_string()) }
    })
    .await
}

async fn online(world: &World, lb: &Lb) -> Result<()> {
    let online = |tree: &Value| tree["operating_status"] == "ONLINE";
    world.rest.lb_status_wait(&lb.id, "the load balancer ONLINE", LIMIT, online).await?;
    Ok(())
}
