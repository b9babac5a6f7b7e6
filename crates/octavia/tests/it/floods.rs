//! Clients without patience: many at once, who ask for something and are gone before it is there.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use octavia_testkit::proc::memory_peak;
use octavia_testkit::wait_for;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::world::{LIMIT, World};

const CLIENTS: usize = 2_000;
/// Who waits for an answer has it by then, on a loaded machine, too.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes that the controller may grow by. Its connections (512 at once) and writes (256) are most of it.
const GROWTH: u64 = 64 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn creates_of_clients_that_hang_up() -> Result<()> {
    let world = World::start_noop().await?;
    let pid = world.product.controller_pid().context("it runs")?;
    let address = world.product.url().trim_start_matches("http://").to_owned();
    let create = json!({"name": "unwaited", "vip_subnet_id": world.subnet_id});
    let body = json!({ "loadbalancer": create }).to_string();
    let request = format!(
        "POST /v2/lbaas/loadbalancers HTTP/1.1\r\nHost: {address}\r\nX-Auth-Token: {}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        world.rest.token(),
        body.len()
    );
    // What the first requests take is not of the flood.
    world.rest.lb_create(&create).await?;
    let before = memory_peak(pid)?;
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let (address, request) = (address.clone(), request.clone());
        clients.spawn(async move {
            // One that is not let in has nothing to hang up.
            if let Ok(mut stream) = TcpStream::connect(address).await {
                let _ = stream.write_all(request.as_bytes()).await;
            }
        });
    }
    let mut slowest = Duration::ZERO;
    while !clients.is_empty() {
        let asked = Instant::now();
        world.rest.get("/lbaas/providers").await?;
        slowest = slowest.max(asked.elapsed());
        while clients.try_join_next().is_some() {}
    }
    // Nothing of it goes on for long.
    let settled = Instant::now();
    wait_for("the end of what was begun", LIMIT, async || {
        let asked = Instant::now();
        world.rest.lb_create(&create).await.map_err(|error| error.to_string())?;
        slowest = slowest.max(asked.elapsed());
        if asked.elapsed() < Duration::from_secs(1) { Ok(()) } else { Err("it is busy".to_owned()) }
    })
    .await?;
    let most = memory_peak(pid)?;
    let made = world.rest.get("/lbaas/loadbalancers?fields=id").await?;
    eprintln!(
        "{} made; {before} bytes before, {most} at most; slowest answer {slowest:?}, quiet after {:?}",
        made["loadbalancers"].as_array().map_or(0, Vec::len),
        settled.elapsed()
    );
    ensure!(slowest < PATIENCE, "somebody waited for {slowest:?}");
    ensure!(most < before + GROWTH, "{before} bytes before, {most} at most");
    Ok(())
}
