//! A listener that tells what its load balancer counts, made and scraped as users do.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};
use octavia_testkit::{LoadPlan, Mode, rest, wait_for};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::world::{LIMIT, World, binary, cloud_command, origins, output, quick_monitor};

/// All of an answer, to a client of HTTP/1.0.
async fn scrape(address: SocketAddr) -> Result<String> {
    let work = async {
        let mut stream = tokio::net::TcpStream::connect(address).await?;
        stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        anyhow::Ok(answer)
    };
    let answer = tokio::time::timeout(LIMIT, work).await.context("no end of the answer")??;
    let (head, text) = answer.split_once("\r\n\r\n").context("no head")?;
    ensure!(head.starts_with("HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4"), "{head}");
    Ok(text.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_balancer_tells_what_it_counts() -> Result<()> {
    let world = World::start().await?;
    let origins = origins(2)?;
    let lb = world.http_lb("told", &origins, Some(quick_monitor())).await?;
    let web = rest::text(&world.rest.lb_get(&lb.id).await?["listeners"][0]["id"])?;
    let octavia =
        |words: &str| output(cloud_command(binary(), &world.product).args(words.split_whitespace()));
    octavia("listener create told --name metrics --protocol prometheus --protocol-port 9100 --wait")?;
    let address = SocketAddr::new(lb.vip.ip(), 9100);
    let id = |text: &str| {
        let lines = text.lines().filter_map(|line| line.strip_prefix("octavia_listener_status{listener=\""));
        lines.filter_map(|rest| rest.split('"').next()).find(|id| *id != web).map(str::to_owned)
    };
    let metrics = id(&scrape(address).await?).context("it does not tell of itself")?;

    LoadPlan::bytes(lb.vip, Mode::Short, 2, 1000)
        .for_requests(40)
        .run()
        .await
        .all_good()
        .map_err(anyhow::Error::msg)?;
    let pool = format!("{}:{web}", lb.pool_id);
    wait_for("lines about the requests", LIMIT, async || {
        let text = scrape(address).await.map_err(|error| error.to_string())?;
        let value = |series: &str| {
            let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
            value.and_then(|value| value.parse::<f64>().ok()).ok_or(format!("no {series} in\n{text}"))
        };
        // One or more were sent before, to find out that it serves.
        for (series, least) in [
            (format!("octavia_listener_http_requests_total{{listener=\"{web}\"}}"), 41.0),
            (format!("octavia_listener_http_responses_total{{listener=\"{web}\",code=\"2xx\"}}"), 41.0),
            (format!("octavia_listener_bytes_out_total{{listener=\"{web}\"}}"), 40_000.0),
            (format!("octavia_listener_status{{listener=\"{metrics}\",state=\"UP\"}}"), 1.0),
            (format!("octavia_pool_http_responses_total{{pool=\"{pool}\",code=\"2xx\"}}"), 41.0),
            (format!("octavia_pool_active_members{{pool=\"{pool}\"}}"), 2.0),
            ("octavia_loadbalancer_listeners".to_owned(), 2.0),
            ("octavia_loadbalancer_cpu".to_owned(), 0.0),
            ("octavia_loadbalancer_memory".to_owned(), 0.1),
        ] {
            let seen = value(&series)?;
            if seen < least {
                return Err(format!("{series} {seen}"));
            }
        }
        let up = text
            .lines()
            .filter(|line| line.starts_with("octavia_member_status{") && line.ends_with("state=\"UP\"} 1"));
        if up.count() == 2 { Ok(()) } else { Err(text.clone()) }
    })
    .await?;

    // It is a listener as every other: it has a status and statistics, allows whom it is told to, and goes.
    let path = format!("/lbaas/listeners/{metrics}");
    wait_for("status and statistics", LIMIT, async || {
        let stats = world.rest.get(&format!("{path}/stats")).await.map_err(|error| error.to_string())?;
        let shown = world.rest.get(&path).await.map_err(|error| error.to_string())?;
        let counted = stats["stats"]["total_connections"].as_u64().is_some_and(|count| count > 0);
        let online = shown["listener"]["operating_status"] == "ONLINE";
        if counted && online { Ok(()) } else { Err(format!("{stats} {shown}")) }
    })
    .await?;
    world.rest.put(&path, &json!({"listener": {"allowed_cidrs": ["192.0.2.0/24"]}})).await?;
    world.rest.lb_active(&lb.id, LIMIT).await?;
    ensure!(scrape(address).await.is_err(), "it answers whom it should not");
    octavia("listener delete metrics --wait")?;
    ensure!(tokio::net::TcpStream::connect(address).await.is_err(), "the port is open");
    Ok(())
}
