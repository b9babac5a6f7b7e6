//! TLS goes on behind the load balancer: members that prove who they are, and learn who asks; and what happens when what it
//! takes changes or cannot be had.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use octavia_testkit::rest::{Method, text};
use octavia_testkit::{tree, wait_for};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

use crate::tls::{Authority, Certified, blocking, client, fetched, get, secrets_are_kept};
use crate::world::{LIMIT, PORT, World, tree_member};

/// A member that speaks TLS alone. To every request it answers what it was asked for, and how often it was connected to.
struct Member {
    address: SocketAddr,
    connections: Arc<AtomicU64>,
}

impl Member {
    /// With an authority, for its clients alone.
    fn start(own: &Certified, clients: Option<&Authority>) -> Result<Self> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_safe_default_protocol_versions()?;
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(clients) => {
                let mut roots = RootCertStore::empty();
                roots.add(clients.0.der().clone())?;
                let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
                builder.with_client_cert_verifier(verifier.build()?)
            }
        };
        let key = PrivatePkcs8KeyDer::from(own.key.serialize_der());
        let config = Arc::new(builder.with_single_cert(vec![own.certificate.der().clone()], key.into())?);
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let connections = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&connections);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (config, count) = (Arc::clone(&config), Arc::clone(&count));
                std::thread::spawn(move || serve(&config, stream, &count));
            }
        });
        Ok(Self { address, connections })
    }
}

fn serve(config: &Arc<ServerConfig>, tcp: TcpStream, connections: &AtomicU64) -> Option<()> {
    let mut stream = StreamOwned::new(ServerConnection::new(Arc::clone(config)).ok()?, tcp);
    let mut seen = vec![];
    let mut counted = false;
    loop {
        while !seen.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).ok()?;
            seen.push(byte[0]);
        }
        if !std::mem::replace(&mut counted, true) && !seen.starts_with(b"GET /health") {
            connections.fetch_add(1, SeqCst);
        }
        seen.clear();
        let asked = stream.conn.server_name().unwrap_or("nobody").to_owned();
        let shown = stream.conn.peer_certificates().map_or(0, <[_]>::len);
        let body = format!("asked for {asked}, shown {shown}");
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.write_all(&[head, body].concat().into_bytes()).ok()?;
    }
}

/// One request in clear: its status and its body.
fn ask(vip: SocketAddr) -> Result<(u16, String)> {
    let mut tcp = TcpStream::connect_timeout(&vip, Duration::from_secs(5))?;
    tcp.set_read_timeout(Some(LIMIT))?;
    tcp.write_all(&get("/"))?;
    let mut answer = String::new();
    tcp.read_to_string(&mut answer)?;
    let status = answer.split(' ').nth(1).unwrap_or_default().parse()?;
    Ok((status, answer.rsplit("\r\n\r\n").next().unwrap_or_default().to_owned()))
}

async fn asked(vip: SocketAddr) -> Result<(u16, String)> {
    blocking(move || ask(vip)).await?
}

struct Back {
    lb: String,
    pool: String,
    listener: String,
    vip: SocketAddr,
}

impl Back {
    /// A load balancer with a listener in clear over a pool that speaks TLS with its members.
    async fn create(world: &World, member: &Member, pool: Value) -> Result<Self> {
        let mut default_pool = json!({
            "name": "pool", "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN", "tls_enabled": true,
            "members": [tree::member(member.address, 1)],
        });
        for (key, value) in pool.as_object().into_iter().flatten() {
            default_pool[key] = value.clone();
        }
        let body = json!({
            "name": "secure", "vip_subnet_id": world.subnet_id,
            "listeners": [{
                "name": "front", "protocol": "HTTP", "protocol_port": PORT, "default_pool": default_pool,
            }],
        });
        let created = world.rest.lb_create(&body).await?;
        let lb = text(&created["id"])?;
        world.rest.lb_active(&lb, LIMIT).await?;
        Ok(Self {
            lb,
            pool: text(&created["pools"][0]["id"])?,
            listener: text(&created["listeners"][0]["id"])?,
            vip: SocketAddr::new(text(&created["vip_address"])?.parse()?, PORT),
        })
    }

    async fn change(&self, world: &World, change: Value) -> Result<()> {
        world.rest.put(&format!("/lbaas/pools/{}", self.pool), &json!({"pool": change})).await?;
        world.rest.lb_active(&self.lb, LIMIT).await.map(drop)
    }

    async fn listener(&self, world: &World) -> Result<Value> {
        let path = format!("/lbaas/listeners/{}", self.listener);
        Ok(world.rest.get(&path).await?["listener"].take())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn members_are_believed_as_the_pool_says() -> Result<()> {
    let world = World::start().await?;
    let (ca, other) = (Authority::new("ca")?, Authority::new("other")?);
    let member = Member::start(&ca.issue("member", &["member.example"])?, None)?;
    let monitor = json!({
        "type": "HTTP", "delay": 1, "timeout": 1, "max_retries": 2, "max_retries_down": 2, "url_path": "/health",
    });
    let back = Back::create(&world, &member, json!({"healthmonitor": monitor})).await?;
    // Nobody is verified without an authority.
    ensure!(asked(back.vip).await? == (200, "asked for nobody, shown 0".to_owned()));
    let [good, bad] = [
        world.rest.secret_store("ca", &ca.0.pem()).await?,
        world.rest.secret_store("other", &other.0.pem()).await?,
    ];
    back.change(&world, json!({"ca_tls_container_ref": good})).await?;
    ensure!(asked(back.vip).await?.0 == 200);
    back.change(&world, json!({"ca_tls_container_ref": bad})).await?;
    ensure!(asked(back.vip).await?.0 == 503, "believed, though of another authority");
    // Checks are as traffic is.
    let status = async |wanted: &'static str| {
        let there = |tree: &Value| tree_member(tree, member.address)["operating_status"] == wanted;
        world.rest.lb_status_wait(&back.lb, "the member's status", LIMIT, there).await
    };
    let tree = status("ERROR").await?.to_string();
    ensure!(tree.contains("invalid peer certificate"), "{tree}");
    back.change(&world, json!({"ca_tls_container_ref": good})).await?;
    status("ONLINE").await?;
    ensure!(asked(back.vip).await?.0 == 200);
    // What is not spoken is refused, and changes nothing.
    let path = format!("/lbaas/pools/{}", back.pool);
    let refused = world.rest.put(&path, &json!({"pool": {"tls_versions": ["TLSv1.1"]}})).await;
    ensure!(refused.is_err_and(|error| format!("{error:#}").contains("501")));
    ensure!(asked(back.vip).await?.0 == 200);
    // In clear it does not go.
    back.change(&world, json!({"tls_enabled": false})).await?;
    ensure!(asked(back.vip).await.map_or(true, |(status, _)| status != 200));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn terms_are_replaced_under_requests() -> Result<()> {
    let world = World::start().await?;
    let (ca, clients) = (Authority::new("ca")?, Authority::new("clients")?);
    let member = Member::start(&ca.issue("member", &["member.example"])?, Some(&clients))?;
    let (first, second) = (clients.issue("first", &[])?, clients.issue("second", &[])?);
    let own = [
        world.rest.secret_store("first", &first.bundle()).await?,
        world.rest.secret_store("second", &second.bundle()).await?,
    ];
    let authority = world.rest.secret_store("ca", &ca.0.pem()).await?;
    let terms = json!({"tls_container_ref": own[0], "ca_tls_container_ref": authority});
    let back = Back::create(&world, &member, terms).await?;
    ensure!(asked(back.vip).await? == (200, "asked for nobody, shown 1".to_owned()));

    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let load: Vec<_> = (0..2)
        .map(|_| {
            let (stop, done, vip) = (Arc::clone(&stop), Arc::clone(&done), back.vip);
            std::thread::spawn(move || -> Result<()> {
                while !stop.load(SeqCst) {
                    let (status, text) = ask(vip)?;
                    ensure!((status, &*text) == (200, "asked for nobody, shown 1"), "{status} {text}");
                    done.fetch_add(1, SeqCst);
                }
                Ok(())
            })
        })
        .collect();
    for round in 1..5 {
        let before = done.load(SeqCst);
        back.change(&world, json!({"tls_container_ref": own[round % 2]})).await?;
        wait_for("more requests", LIMIT, async || {
            if done.load(SeqCst) > before + 20 { Ok(()) } else { Err(done.load(SeqCst).to_string()) }
        })
        .await?;
    }
    stop.store(true, SeqCst);
    for thread in load {
        thread.join().map_err(|_| anyhow::anyhow!("a client panicked"))??;
    }
    // Connections were kept, and made anew for each of the terms.
    let (connections, requests) = (member.connections.load(SeqCst), done.load(SeqCst));
    ensure!(connections < requests, "{connections} connections for {requests} requests");
    secrets_are_kept(&world, &[&first, &second])
}

#[tokio::test(flavor = "multi_thread")]
async fn names_go_through() -> Result<()> {
    let world = World::start().await?;
    let (front, ca) = (Authority::new("front")?, Authority::new("ca")?);
    let own = front.issue("www", &["www.example", "other.example"])?;
    let member = Member::start(&ca.issue("member", &["www.example"])?, None)?;
    let reference = world.rest.secret_store("own", &own.bundle()).await?;
    let authority = world.rest.secret_store("ca", &ca.0.pem()).await?;
    let body = json!({
        "name": "secure", "vip_subnet_id": world.subnet_id,
        "listeners": [{
            "name": "front", "protocol": "TERMINATED_HTTPS", "protocol_port": 8443,
            "default_tls_container_ref": reference,
            "default_pool": {
                "name": "pool", "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN", "tls_enabled": true,
                "ca_tls_container_ref": authority, "members": [tree::member(member.address, 1)],
            },
        }],
    });
    let created = world.rest.lb_create(&body).await?;
    world.rest.lb_active(&text(&created["id"])?, LIMIT).await?;
    let vip = SocketAddr::new(text(&created["vip_address"])?.parse()?, 8443);
    let visitor = client(&front, None)?;
    let seen = fetched(&visitor, vip, "www.example", get("/")).await?;
    let seen = String::from_utf8_lossy(&seen.text).into_owned();
    ensure!(seen.ends_with("asked for www.example, shown 0"), "{seen}");
    // The member's certificate is for another name.
    let seen = fetched(&visitor, vip, "other.example", get("/")).await?;
    ensure!(seen.text.starts_with(b"HTTP/1.1 503 "), "{}", String::from_utf8_lossy(&seen.text));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_is_gone_stops_nothing_and_is_told() -> Result<()> {
    let world = World::start().await?;
    let ca = Authority::new("ca")?;
    let one = Member::start(&ca.issue("one", &["one.example"])?, None)?;
    let two = Member::start(&ca.issue("two", &["two.example"])?, None)?;
    let authority = world.rest.secret_store("ca", &ca.0.pem()).await?;
    let back = Back::create(&world, &one, json!({"ca_tls_container_ref": authority})).await?;
    ensure!(asked(back.vip).await?.0 == 200);
    let Some((_, id)) = authority.rsplit_once('/') else { bail!("{authority}") };
    world.rest.secret_call(Method::DELETE, &format!("/v1/secrets/{id}"), None).await?.good()?;
    // A change that has nothing to do with it comes into force all the same.
    let body = json!({"member": tree::member(two.address, 1)});
    world.rest.post(&format!("/lbaas/pools/{}/members", back.pool), &body).await?;
    world.rest.lb_active(&back.lb, LIMIT).await?;
    for _ in 0..4 {
        ensure!(asked(back.vip).await?.0 == 200, "the pool serves no more");
    }
    ensure!(two.connections.load(SeqCst) > 0, "the new member got nothing");
    let listener = back.listener(&world).await?;
    ensure!(listener["provisioning_status"] == "ERROR", "{listener}");
    let tree = world.rest.lb_status(&back.lb).await?.to_string();
    ensure!(tree.contains("SECRET_UNREADABLE") && tree.contains(&format!("Pool {}", back.pool)), "{tree}");

    let authority = world.rest.secret_store("again", &ca.0.pem()).await?;
    back.change(&world, json!({"ca_tls_container_ref": authority})).await?;
    let listener = back.listener(&world).await?;
    ensure!(listener["provisioning_status"] == "ACTIVE", "{listener}");
    ensure!(asked(back.vip).await?.0 == 200);

    // The amphora has what it needs: another proxy asks nobody.
    let [proxy] = &world.product.amphora_processes("proxy", None)[..] else { bail!("not one proxy") };
    octavia_testkit::proc::kill(proxy.pid);
    wait_for("the pool again", LIMIT, async || match asked(back.vip).await {
        Ok((200, _)) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await
}
