//! UDP and SCTP through amphorae that have interfaces of their own: the kernel forwards, and the product says how it goes.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use octavia_testkit::rest::text;
use octavia_testkit::sctp::{Association, Peer};
use octavia_testkit::{proc, tree, wait_for};
use serde_json::{Value, json};
use tokio::net::UdpSocket;

use crate::pair::Centre;
use crate::world::LIMIT;

const DNS: u16 = 53;
const DIAMETER: u16 = 3868;

/// A socket that answers every datagram that has something in it with this name.
async fn echo(own: IpAddr, name: &'static str) -> Result<SocketAddr> {
    let socket = UdpSocket::bind((own, 0)).await?;
    let address = socket.local_addr()?;
    tokio::spawn(async move {
        let mut buffer = [0; 64];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            if length > 0 {
                let _ = socket.send_to(name.as_bytes(), from).await;
            }
        }
    });
    Ok(address)
}

/// Who answers on this flow; what is lost is said again.
async fn ask(flow: &UdpSocket) -> Result<String> {
    wait_for("an answer through the VIP", LIMIT, async || {
        flow.send(b"who?").await.map_err(|error| error.to_string())?;
        let mut answer = [0; 64];
        match tokio::time::timeout(Duration::from_secs(1), flow.recv(&mut answer)).await {
            Ok(Ok(length)) => Ok(String::from_utf8_lossy(&answer[..length]).into_owned()),
            other => Err(format!("{other:?}")),
        }
    })
    .await
}

async fn flow(own: IpAddr, vip: IpAddr) -> Result<UdpSocket> {
    let flow = UdpSocket::bind((own, 0)).await?;
    flow.connect((vip, DNS)).await?;
    Ok(flow)
}

fn association(own: IpAddr, vip: IpAddr) -> Result<Association> {
    for _ in 0..10 {
        if let Some(association) = Association::open(own, SocketAddr::new(vip, DIAMETER))? {
            return Ok(association);
        }
    }
    anyhow::bail!("nobody takes an association")
}

fn listener(protocol: &str, port: u16, monitor: &str, members: &[SocketAddr]) -> Value {
    let members: Vec<_> = members.iter().map(|member| tree::member(*member, 1)).collect();
    let monitor = json!({"type": monitor, "delay": 3, "timeout": 1, "max_retries": 1, "max_retries_down": 1});
    json!({
        "protocol": protocol, "protocol_port": port,
        "default_pool": {
            "name": protocol, "protocol": protocol, "lb_algorithm": "ROUND_ROBIN",
            "members": members, "healthmonitor": monitor,
        },
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn udp_and_sctp_through_an_amphora_of_its_own() -> Result<()> {
    let Some(centre) = Centre::start().await? else { return Ok(()) };
    let rest = &centre.rest;
    let own = centre.origin.address().ip();
    let udp = [echo(own, "a").await?, echo(own, "b").await?];
    let peers = [(3001, "c"), (3002, "d")].map(|(port, name)| Peer::start(SocketAddr::new(own, port), name));
    let [first, second] = peers;
    let (first, second) = (first?, second?);

    let subnet = rest.subnet_id("private-subnet").await?;
    let mut body = json!({"name": "forwarded", "vip_subnet_id": subnet});
    body["listeners"] = json!([
        listener("UDP", DNS, "UDP-CONNECT", &udp),
        listener("SCTP", DIAMETER, "SCTP", &[first.address(), second.address()]),
    ]);
    let made = rest.lb_create(&body).await?;
    let id = text(&made["id"])?;
    rest.lb_active(&id, LIMIT).await?;
    let vip: IpAddr = text(&made["vip_address"])?.parse()?;
    let members = [udp[0], udp[1], first.address(), second.address()];
    let online = |tree: &Value| {
        let listeners = tree["listeners"].as_array().into_iter().flatten();
        let found: Vec<_> =
            listeners.filter_map(|of| of["pools"][0]["members"].as_array()).flatten().collect();
        found.len() == members.len() && found.iter().all(|member| member["operating_status"] == "ONLINE")
    };
    rest.lb_status_wait(&id, "everything ONLINE", LIMIT, online).await?;

    let mut counts = BTreeMap::new();
    let mut flows = vec![];
    for _ in 0..6 {
        let flow = flow(own, vip).await?;
        *counts.entry(ask(&flow).await?).or_insert(0) += 1;
        flows.push(flow);
    }
    ensure!(counts == BTreeMap::from([("a".to_owned(), 3), ("b".to_owned(), 3)]), "{counts:?}");
    let taken = [association(own, vip)?, association(own, vip)?];
    let served: Vec<_> = taken.iter().filter_map(|association| Some(association.ask()?.0)).collect();
    ensure!(served == ["c", "d"] || served == ["d", "c"], "{served:?}");

    for (protocol, opened) in [("UDP", 6), ("SCTP", 2)] {
        let mut listeners = made["listeners"].as_array().context("no list")?.iter();
        let listener = listeners.find(|of| of["protocol"] == protocol).context("no such listener")?;
        let listener = text(&listener["id"])?;
        wait_for("the statistics", LIMIT, async || {
            let path = format!("/lbaas/listeners/{listener}/stats");
            let stats = rest.get(&path).await.map_err(|error| format!("{error:#}"))?["stats"].take();
            let good = stats["total_connections"].as_u64() >= Some(opened)
                && stats["active_connections"].as_u64() >= Some(opened)
                && stats["bytes_in"].as_u64() > Some(0)
                && stats["bytes_out"].as_u64() > Some(0);
            if good { Ok(()) } else { Err(stats.to_string()) }
        })
        .await?;
    }

    // Who is with b stays there, whatever becomes of a, and of the amphora's processes.
    let pool = rest.get(&format!("/lbaas/pools?name=UDP&loadbalancer_id={id}")).await?;
    let pool = text(&pool["pools"][0]["id"])?;
    let listed = rest.get(&format!("/lbaas/pools/{pool}/members")).await?;
    let listed = listed["members"].as_array().context("no list")?;
    let a =
        listed.iter().find(|member| member["protocol_port"] == udp[0].port()).context("no such member")?;
    let path = format!("/lbaas/pools/{pool}/members/{}", text(&a["id"])?);
    rest.delete(&path).await?;
    rest.lb_active(&id, LIMIT).await?;
    for process in centre.product.amphora_processes("proxy", None) {
        proc::kill(process.pid);
    }
    for flow in &flows {
        ensure!(ask(flow).await? == "b");
    }
    ensure!(taken.iter().all(|association| association.ask().is_some()), "associations go on");
    rest.lb_delete(&id, LIMIT).await
}
