//! The native client: the same binary's `lb`, `listener`, `pool`, `member`.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use octavia_testkit::{AllInOne, EchoOrigin, LoadPlan, Mode, rest, tcp};
use serde_json::Value;

use crate::world::{LIMIT, PORT, World, binary, cloud_command, origins, output, serving};

fn octavia(product: &AllInOne, words: &str) -> Result<String> {
    output(cloud_command(binary(), product).args(words.split_whitespace()))
}

fn octavia_json(product: &AllInOne, words: &str) -> Result<Value> {
    let text = octavia(product, &format!("{words} --format json"))?;
    serde_json::from_str(&text).with_context(|| text.clone())
}

fn vip(lb: &Value, port: u16) -> Result<SocketAddr> {
    Ok(SocketAddr::new(rest::text(&lb["vip_address"])?.parse()?, port))
}

#[tokio::test(flavor = "multi_thread")]
async fn http_step_by_step() -> Result<()> {
    let world = World::start().await?;
    let origins = origins(2)?;
    let product = &world.product;
    let lb = octavia_json(product, "lb create --name web --vip-subnet-id private-subnet --wait")?;
    ensure!(lb["provisioning_status"] == "ACTIVE", "{lb}");
    octavia(
        product,
        &format!("listener create web --name front --protocol http --protocol-port {PORT} --wait"),
    )?;
    octavia(
        product,
        "pool create --name back --listener front --protocol HTTP --lb-algorithm ROUND_ROBIN --wait",
    )?;
    for origin in &origins {
        let address = origin.address();
        octavia(
            product,
            &format!(
                "member create back --address {} --protocol-port {} --wait",
                address.ip(),
                address.port()
            ),
        )?;
    }
    octavia(
        product,
        "healthmonitor create back --type HTTP --delay 1 --timeout 1 --max-retries 2 --url-path /health --wait",
    )?;
    let vip = vip(&lb, PORT)?;
    serving(vip).await?;
    let report = LoadPlan::bytes(vip, Mode::Short, 2, 1000).for_requests(100).run().await;
    report.all_good().map_err(anyhow::Error::msg)?;
    ensure!(report.members.values().all(|count| count.abs_diff(50) <= 5), "{report}");

    let rows = octavia_json(product, "lb list")?;
    ensure!(rows[0]["name"] == "web", "{rows}");
    let table = octavia(product, "member list back")?;
    ensure!(table.contains(&origins[0].address().ip().to_string()), "{table}");
    ensure!(octavia(product, "lb status web")?.contains("front"));

    // A mistake is one readable line, not a trace.
    let error = format!("{:#}", octavia(product, "lb show no-such").err().context("no error")?);
    ensure!(error.contains("no-such") && !error.contains("panicked"), "{error}");

    octavia(product, "lb delete web --cascade --wait")?;
    ensure!(octavia_json(product, "lb list")?.as_array().is_some_and(Vec::is_empty));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn tcp_in_one_call() -> Result<()> {
    let world = World::start().await?;
    let origins = (0..2u8)
        .map(|index| EchoOrigin::start(SocketAddr::from(([127, 0, 0, 1 + index], 0)), &format!("e{index}")))
        .collect::<Result<Vec<_>>>()?;
    let members = origins.iter().map(|origin| format!(" --member {}", origin.address())).collect::<String>();
    let lb = octavia_json(
        &world.product,
        &format!("lb create --name raw --vip-subnet-id private-subnet --listener TCP:7000{members} --wait"),
    )?;
    ensure!(lb["provisioning_status"] == "ACTIVE", "{lb}");
    let vip = vip(&lb, 7000)?;
    octavia_testkit::wait_for("an echo through the VIP", LIMIT, async || {
        tcp::echo_session(vip, 1, 10, Duration::from_secs(5)).await
    })
    .await?;
    let mut shares = std::collections::BTreeMap::<_, u32>::new();
    for _ in 0..40 {
        let origin = tcp::echo_session(vip, 3, 100_000, LIMIT).await.map_err(anyhow::Error::msg)?;
        *shares.entry(origin).or_default() += 1;
    }
    ensure!(shares.len() == 2 && shares.values().all(|count| count.abs_diff(20) <= 4), "{shares:?}");
    octavia(&world.product, "lb delete raw --cascade --wait")?;
    ensure!(tcp::Session::open(vip, Duration::from_secs(1)).await.is_err(), "the VIP still answers");
    Ok(())
}
