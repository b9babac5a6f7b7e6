//! Datagrams through the product: spread, checked, counted.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use octavia_testkit::{Populated, proc, rest, wait_for};
use serde_json::{Value, json};
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

use crate::world::{LIMIT, Lb, PORT, World, tree_member};

/// A member that answers every datagram with its name. Dropping it frees its port.
struct Member {
    address: SocketAddr,
    /// Datagrams with something in them: checks have nothing.
    asked: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Member {
    async fn start(name: u8, address: SocketAddr) -> Result<Self> {
        let socket = UdpSocket::bind(address).await?;
        let address = socket.local_addr()?;
        let asked = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&asked);
        let task = tokio::spawn(async move {
            let mut buffer = [0; 2048];
            while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
                if length > 0 {
                    count.fetch_add(1, SeqCst);
                }
                let _ = socket.send_to(&[name], from).await;
            }
        });
        Ok(Self { address, asked, task })
    }

    async fn kill(self) -> SocketAddr {
        self.task.abort();
        let _ = self.task.await;
        self.address
    }
}

/// Who answers a client with a port of its own; a word that is lost is said again.
async fn ask(vip: SocketAddr) -> Result<u8> {
    let client = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    client.connect(vip).await?;
    wait_for("an answer through the VIP", LIMIT, async || {
        client.send(b"who?").await.map_err(|error| error.to_string())?;
        let mut answer = [0; 8];
        match tokio::time::timeout(Duration::from_secs(1), client.recv(&mut answer)).await {
            Ok(Ok(1)) => Ok(answer[0]),
            other => Err(format!("{other:?}")),
        }
    })
    .await
}

async fn ask_many(vip: SocketAddr, clients: u32) -> Result<BTreeMap<u8, u32>> {
    let mut answers = BTreeMap::new();
    for _ in 0..clients {
        *answers.entry(ask(vip).await?).or_default() += 1;
    }
    Ok(answers)
}

#[tokio::test(flavor = "multi_thread")]
async fn datagrams_through_a_vip() -> Result<()> {
    let world = World::start().await?;
    let rest = &world.rest;
    let mut members = vec![];
    for name in *b"abc" {
        members.push(Member::start(name, SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?);
    }
    let addresses: Vec<_> = members.iter().map(|member| member.address).collect();
    let body = Populated {
        name: "names",
        subnet_id: &world.subnet_id,
        protocol: "UDP",
        port: PORT,
        algorithm: "ROUND_ROBIN",
        members: &addresses,
        monitor: Some(json!({
            "type": "UDP-CONNECT", "delay": 3, "timeout": 1, "max_retries": 1, "max_retries_down": 1,
        })),
    };
    let created = rest.lb_create(&body.body()).await?;
    let lb = Lb::of(&created)?;
    rest.lb_active(&lb.id, LIMIT).await?;
    let words = |tree: &Value| addresses.iter().map(|a| tree_member(tree, *a)).collect::<Vec<_>>();
    let all_online = |tree: &Value| words(tree).iter().all(|m| m["operating_status"] == "ONLINE");
    rest.lb_status_wait(&lb.id, "everything ONLINE", LIMIT, all_online).await?;

    let answers = ask_many(lb.vip, 30).await?;
    ensure!(answers == BTreeMap::from([(b'a', 10), (b'b', 10), (b'c', 10)]), "{answers:?}");
    let listener = rest::text(&created["listeners"][0]["id"])?;
    wait_for("the statistics", LIMIT, async || {
        let path = format!("/lbaas/listeners/{listener}/stats");
        let stats = rest.get(&path).await.map_err(|error| format!("{error:#}"))?["stats"].take();
        let expected = json!({
            "bytes_in": 120, "bytes_out": 30, "total_connections": 30, "active_connections": 30,
            "request_errors": 0,
        });
        if stats == expected { Ok(()) } else { Err(stats.to_string()) }
    })
    .await?;

    // TCP has the same port for itself.
    let tcp = json!({"listener": {"loadbalancer_id": lb.id, "protocol": "TCP", "protocol_port": PORT}});
    rest.post("/lbaas/listeners", &tcp).await?;
    rest.lb_active(&lb.id, LIMIT).await?;

    // A member that is gone is found out, and nobody is sent there any more.
    let gone = members.remove(0).kill().await;
    let bad = |tree: &Value| tree_member(tree, gone)["operating_status"] == "ERROR";
    rest.lb_status_wait(&lb.id, "the killed member in ERROR", LIMIT, bad).await?;
    let asked = || members.iter().map(|member| member.asked.load(SeqCst)).sum::<u64>();
    let before = asked();
    let answers = ask_many(lb.vip, 20).await?;
    ensure!(answers == BTreeMap::from([(b'b', 10), (b'c', 10)]), "{answers:?}");
    ensure!(asked() == before + 20, "a datagram was lost on a dead member");
    let _back = Member::start(b'd', gone).await?;
    rest.lb_status_wait(&lb.id, "everything ONLINE again", LIMIT, all_online).await?;
    ensure!(ask_many(lb.vip, 30).await?.contains_key(&b'd'));

    // Without its proxy: what is said meanwhile waits for the next.
    let [proxy] = &world.product.amphora_processes("proxy", None)[..] else { bail!("not one proxy") };
    proc::kill(proxy.pid);
    ask(lb.vip).await?;
    rest.lb_delete(&lb.id, LIMIT).await
}
