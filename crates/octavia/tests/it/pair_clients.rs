//! What clients of a pair keep when the other amphora takes over: their member, and what was counted.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use octavia_testkit::origin::ID_HEADER;
use octavia_testkit::rest::text;
use octavia_testkit::{Origin, Rest, tree, wait_for};
use serde_json::json;

use crate::pair::{Centre, LONGEST_GAP};
use crate::world::LIMIT;

/// Which member answers a connection of its own.
fn member(vip: SocketAddr) -> Result<String> {
    let mut stream = TcpStream::connect_timeout(&vip, Duration::from_millis(500))?;
    stream.set_read_timeout(Some(Duration::from_millis(500)))?;
    stream.write_all(b"GET /bytes/10 HTTP/1.1\r\nHost: centre\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    ensure!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let named =
        answer.lines().find_map(|line| line.to_lowercase().strip_prefix(ID_HEADER).map(str::to_owned));
    Ok(named.context("no member is named")?.trim_start_matches([':', ' ']).to_owned())
}

async fn served(vip: SocketAddr, limit: Duration) -> Result<String> {
    wait_for("an answer", limit, async || member(vip).map_err(|error| format!("{error:#}"))).await
}

/// Connections of all clients so far, as the API shows them.
async fn connections(rest: &Rest, id: &str) -> Result<u64> {
    let stats = rest.get(&format!("/lbaas/loadbalancers/{id}/stats")).await?;
    stats["stats"]["total_connections"].as_u64().with_context(|| format!("no number: {stats}"))
}

/// Waits until an amphora has been told by its peer, over the connection that it asks on, where a client is sent.
async fn told(centre: &Centre, amphora: &str) -> Result<()> {
    // Greeting, and the length, the name of a pool and the seal of one answer with an entry in it.
    const LEAST: u64 = 21 + 4 + 36 + 32 + 100;
    let namespace = centre.traffic_namespace(amphora);
    wait_for("its peer to tell it of a client", LIMIT, async || {
        let ss = ["netns", "exec", &namespace, "ss", "-Htin", "state", "established", "dport", "=", ":1025"];
        let output = Command::new("ip").args(ss).output().map_err(|error| error.to_string())?;
        let output = String::from_utf8_lossy(&output.stdout).into_owned();
        let received = output.split_whitespace().filter_map(|word| word.strip_prefix("bytes_received:"));
        let most = received.filter_map(|count| count.parse::<u64>().ok()).max();
        if most.is_some_and(|most| most >= LEAST) { Ok(()) } else { Err(output) }
    })
    .await
}

/// Each amphora says of itself, through the API, whether it has the VIP.
async fn stated(centre: &Centre, admin: &Rest, id: &str, holder: &str) -> Result<()> {
    wait_for("the API to show the holder", LIMIT, async || {
        let rows = centre.amphorae(admin, id).await.map_err(|error| error.to_string())?;
        let good =
            rows.iter().all(|row| row["vrrp_state"] == if row["id"] == holder { "MASTER" } else { "BACKUP" });
        if good && rows.len() == 2 { Ok(()) } else { Err(format!("{rows:?}")) }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_keep_their_member_and_totals_go_on() -> Result<()> {
    let Some(centre) = Centre::start().await? else { return Ok(()) };
    let admin = centre.product.rest("admin").await?;
    let flavor = centre.pair_flavor(&admin).await?;
    let two = Origin::start((centre.origin.address().ip(), 0).into(), "two")?;
    let made = centre
        .rest
        .lb_create(&json!({
            "name": "clients",
            "vip_subnet_id": centre.rest.subnet_id("private-subnet").await?,
            "additional_vips": [{"subnet_id": centre.rest.subnet_id("private-subnet-v6").await?}],
            "flavor_id": flavor,
            "listeners": [{
                "protocol": "HTTP", "protocol_port": 80,
                "default_pool": {
                    "name": "clients",
                    "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN",
                    "session_persistence": {"type": "SOURCE_IP"},
                    "members": [tree::member(centre.origin.address(), 1), tree::member(two.address(), 1)],
                },
            }],
        }))
        .await?;
    let id = text(&made["id"])?;
    centre.rest.lb_active(&id, LIMIT).await?;
    let vip = SocketAddr::new(text(&made["vip_address"])?.parse()?, 80);
    let additional: IpAddr = text(&made["additional_vips"][0]["ip_address"])?.parse()?;
    let ours = served(vip, LIMIT).await?;

    // From now on only those who know it come to this member.
    let address = if ours == "two" { two.address() } else { centre.origin.address() };
    let pool = text(&made["pools"][0]["id"])?;
    let members = centre.rest.get(&format!("/lbaas/pools/{pool}/members")).await?;
    let members = members["members"].as_array().context("no list")?;
    let drained = members.iter().find(|member| member["protocol_port"] == address.port());
    let drained = text(&drained.context("no such member")?["id"])?;
    let path = format!("/lbaas/pools/{pool}/members/{drained}");
    centre.rest.put(&path, &json!({"member": {"weight": 0}})).await?;
    centre.rest.lb_active(&id, LIMIT).await?;
    let stranger = served(SocketAddr::new(additional, 80), LIMIT).await?;
    ensure!(stranger != ours, "a client with another address is sent to {stranger}, which is drained");

    let rows = centre.amphorae(&admin, &id).await?;
    let mut counted = 0;
    for round in 0..3 {
        let holder = centre.holder(&rows, vip.ip()).await?;
        stated(&centre, &admin, &id, &holder).await?;
        let other = rows.iter().filter_map(|row| row["id"].as_str()).find(|id| *id != holder);
        let other = other.context("there are two")?.to_owned();
        ensure!(member(vip)? == ours, "before take-over {round}");
        told(&centre, &other).await?;
        let before = wait_for("connections to be counted", LIMIT, async || {
            let now = connections(&centre.rest, &id).await.map_err(|error| error.to_string())?;
            if now > counted { Ok(now) } else { Err(format!("{now}, after {counted}")) }
        })
        .await?;

        centre.kill(&holder);
        wait_for("its peer to hold the VIP", LONGEST_GAP, async || match centre.holds(&other, vip.ip()) {
            Ok(true) => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await?;
        let now = served(vip, LONGEST_GAP).await?;
        ensure!(now == ours, "after take-over {round} the client is sent to {now}");
        counted = connections(&centre.rest, &id).await?;
        ensure!(counted >= before, "{before} connections were counted, {counted} are now");
        // Of those that were made by this test, with more than enough for those that waited.
        ensure!(counted < 1_000, "{counted} connections");
    }
    stated(&centre, &admin, &id, &centre.holder(&rows, vip.ip()).await?).await?;
    centre.rest.lb_delete(&id, LIMIT).await
}
