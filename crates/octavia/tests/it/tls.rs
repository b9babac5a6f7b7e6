//! TLS ends at the load balancer: certificates from the key manager, clients that verify them, and what happens when
//! they change or cannot be had.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use octavia_testkit::rest::{Method, text};
use octavia_testkit::{body, tree, wait_for};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore, StreamOwned};
use serde_json::{Value, json};

use crate::world::{LIMIT, World, origins};

pub(crate) const TLS_PORT: u16 = 8443;

pub(crate) struct Authority(pub(crate) CertifiedIssuer<'static, KeyPair>);

pub(crate) struct Certified {
    pub(crate) certificate: rcgen::Certificate,
    pub(crate) key: KeyPair,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Result<Self> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Ok(Self(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?))
    }

    pub(crate) fn issue(&self, common_name: &str, names: &[&str]) -> Result<Certified> {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, common_name);
        let key = KeyPair::generate()?;
        Ok(Certified { certificate: params.signed_by(&key, &self.0)?, key })
    }
}

impl Certified {
    /// Certificate and key in one text.
    pub(crate) fn bundle(&self) -> String {
        format!("{}{}", self.certificate.pem(), self.key.serialize_pem())
    }
}

pub(crate) fn client(authority: &Authority, own: Option<&Certified>) -> Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.0.der().clone())?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let builder = builder.with_root_certificates(roots);
    let mut config = match own {
        Some(own) => {
            let key = PrivatePkcs8KeyDer::from(own.key.serialize_der());
            builder.with_client_auth_cert(vec![own.certificate.der().clone()], key.into())?
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

pub(crate) struct Fetched {
    pub(crate) text: Vec<u8>,
    shown: CertificateDer<'static>,
    resumed: bool,
}

/// One request on a connection of its own, to the end of the answer.
fn fetch(config: &Arc<ClientConfig>, vip: SocketAddr, name: &str, request: &[u8]) -> Result<Fetched> {
    let tcp = TcpStream::connect_timeout(&vip, Duration::from_secs(5))?;
    tcp.set_read_timeout(Some(LIMIT))?;
    tcp.set_write_timeout(Some(LIMIT))?;
    let session = ClientConnection::new(Arc::clone(config), ServerName::try_from(name.to_owned())?)?;
    let mut stream = StreamOwned::new(session, tcp);
    stream.write_all(request)?;
    stream.flush()?;
    let mut text = vec![];
    stream.read_to_end(&mut text).context("the answer broke off")?;
    let shown = stream.conn.peer_certificates().context("no certificate")?[0].clone();
    let resumed = stream.conn.handshake_kind() == Some(HandshakeKind::Resumed);
    Ok(Fetched { text, shown, resumed })
}

pub(crate) fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").into_bytes()
}

/// As [`fetch`], on a thread that may block.
pub(crate) async fn fetched(
    config: &Arc<ClientConfig>,
    vip: SocketAddr,
    name: &str,
    request: Vec<u8>,
) -> Result<Fetched> {
    let (config, name) = (Arc::clone(config), name.to_owned());
    blocking(move || fetch(&config, vip, &name, &request)).await?
}

/// On a thread of its own.
#[expect(clippy::disallowed_methods, reason = "a test has few, and waits for each")]
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    Ok(tokio::task::spawn_blocking(work).await?)
}

async fn status(config: &Arc<ClientConfig>, vip: SocketAddr, name: &str) -> Result<String> {
    let answer = fetched(config, vip, name, get("/bytes/40")).await?;
    let text = String::from_utf8_lossy(&answer.text).into_owned();
    Ok(text.split(' ').nth(1).unwrap_or_default().to_owned())
}

struct Front {
    lb: String,
    listener: String,
    vip: SocketAddr,
}

impl Front {
    /// A load balancer with a listener that terminates TLS, over one origin.
    async fn create(world: &World, origin: SocketAddr, reference: &str) -> Result<Self> {
        let body = json!({
            "name": "secure", "vip_subnet_id": world.subnet_id,
            "listeners": [{
                "name": "front", "protocol": "TERMINATED_HTTPS", "protocol_port": TLS_PORT,
                "default_tls_container_ref": reference,
                "insert_headers": {"X-Forwarded-Proto": "true", "X-SSL-Client-CN": "true"},
                "default_pool": {
                    "name": "pool", "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN",
                    "members": [tree::member(origin, 1)],
                },
            }],
        });
        let created = world.rest.lb_create(&body).await?;
        let lb = text(&created["id"])?;
        world.rest.lb_active(&lb, LIMIT).await?;
        let vip = SocketAddr::new(text(&created["vip_address"])?.parse()?, TLS_PORT);
        Ok(Self { lb, listener: text(&created["listeners"][0]["id"])?, vip })
    }

    async fn change(&self, world: &World, change: Value) -> Result<()> {
        let path = format!("/lbaas/listeners/{}", self.listener);
        world.rest.put(&path, &json!({"listener": change})).await?;
        world.rest.lb_active(&self.lb, LIMIT).await.map(drop)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_shown_chosen_and_replaced() -> Result<()> {
    let world = World::start().await?;
    let origins = origins(1)?;
    let ca = Authority::new("ca")?;
    let (first, second) = (ca.issue("first", &["www.example"])?, ca.issue("second", &["www.example"])?);
    let wild = ca.issue("wild", &["*.shop.example"])?;
    let reference = world.rest.secret_store("first", &first.bundle()).await?;
    let front = Front::create(&world, origins[0].address(), &reference).await?;
    let visitor = client(&ca, None)?;

    let seen = fetched(&visitor, front.vip, "www.example", get("/headers")).await?;
    ensure!(seen.shown == *first.certificate.der());
    let text = String::from_utf8_lossy(&seen.text).to_ascii_lowercase();
    ensure!(text.contains("x-forwarded-proto: https\n") && text.contains("x-ssl-client-cn: \"\""), "{text}");
    ensure!(fetched(&visitor, front.vip, "a.shop.example", get("/")).await.is_err(), "not its name");

    let wild_reference = world.rest.secret_store("wild", &wild.bundle()).await?;
    front.change(&world, json!({"sni_container_refs": [wild_reference]})).await?;
    let seen = fetched(&visitor, front.vip, "a.shop.example", get("/bytes/40")).await?;
    ensure!(seen.shown == *wild.certificate.der());

    // Large, both ways.
    let seen = fetched(&visitor, front.vip, "www.example", get("/bytes/5000000")).await?;
    ensure!(seen.text.len() > 5_000_000 && seen.text.ends_with(&body::pattern(5_000_000)));
    let content = body::pattern(3_000_000);
    let mut upload = format!(
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        content.len()
    )
    .into_bytes();
    upload.extend_from_slice(&content);
    let seen = fetched(&visitor, front.vip, "www.example", upload).await?;
    ensure!(seen.text.ends_with(&content), "an upload came back changed");

    // Replaced again and again under load.
    let other = world.rest.secret_store("second", &second.bundle()).await?;
    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let load: Vec<_> = (0..2)
        .map(|_| {
            let (stop, done, visitor) = (Arc::clone(&stop), Arc::clone(&done), Arc::clone(&visitor));
            let vip = front.vip;
            std::thread::spawn(move || -> Result<()> {
                while !stop.load(SeqCst) {
                    let answer = fetch(&visitor, vip, "www.example", &get("/bytes/1000"))?;
                    ensure!(answer.text.ends_with(&body::pattern(1_000)), "a damaged answer");
                    done.fetch_add(1, SeqCst);
                }
                Ok(())
            })
        })
        .collect();
    for (reference, certified) in [(&other, &second), (&reference, &first), (&other, &second)] {
        let before = done.load(SeqCst);
        front.change(&world, json!({"default_tls_container_ref": reference})).await?;
        let seen = fetched(&visitor, front.vip, "www.example", get("/bytes/40")).await?;
        ensure!(seen.shown == *certified.certificate.der(), "the old certificate is still shown");
        wait_for("more requests", LIMIT, async || {
            if done.load(SeqCst) > before + 20 { Ok(()) } else { Err(done.load(SeqCst).to_string()) }
        })
        .await?;
    }
    stop.store(true, SeqCst);
    for thread in load {
        thread.join().map_err(|_| anyhow::anyhow!("a client panicked"))??;
    }

    // A handshake that does not end is ended.
    let start = Instant::now();
    let vip = front.vip;
    blocking(move || -> Result<()> {
        let mut slow = TcpStream::connect(vip)?;
        slow.set_read_timeout(Some(LIMIT))?;
        slow.write_all(&[22, 3, 1, 0, 200])?;
        slow.read_to_end(&mut vec![])?;
        Ok(())
    })
    .await??;
    ensure!(start.elapsed() < Duration::from_secs(15), "it took {:?}", start.elapsed());
    secrets_are_kept(&world, &[&first, &second, &wild])
}

/// What the keys of session tickets follow from, wherever it is: the controller's, and what amphorae have of it.
fn ticket_secrets(world: &World) -> Result<Vec<Vec<u8>>> {
    let mut found = vec![];
    let mut take = |value: &Value| found.extend(value.as_str().map(|text| text.as_bytes().to_vec()));
    let mut dirs = vec![world.product.state_dir().to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(&dir)? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if path.is_dir() {
                dirs.push(path);
            } else if matches!(name, "spec.json" | "cloud.json") {
                let content: Value = serde_json::from_slice(&std::fs::read(&path)?)?;
                [&content["ticket_key"], &content["tickets"]["secret"], &content["tickets"]["season"]]
                    .into_iter()
                    .for_each(&mut take);
            }
        }
    }
    Ok(found)
}

/// No key is in the database or a log; where one is, nobody else may read.
pub(crate) fn secrets_are_kept(world: &World, keys: &[&Certified]) -> Result<()> {
    let tickets = ticket_secrets(world)?;
    ensure!(!tickets.is_empty(), "there is no key of session tickets");
    let needles: Vec<Vec<u8>> = keys
        .iter()
        .flat_map(|certified| {
            let pem = certified.key.serialize_pem();
            let line = pem.lines().nth(1).unwrap_or_default().as_bytes()[30..60].to_vec();
            [line, certified.key.serialize_der()[40..60].to_vec()]
        })
        .chain(tickets)
        .collect();
    let mut with_key = vec![];
    let mut dirs = vec![world.product.state_dir().to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(&dir)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                dirs.push(entry.path());
            } else if kind.is_file() {
                let Ok(content) = std::fs::read(entry.path()) else { continue };
                let holds = |needle: &Vec<u8>| content.windows(needle.len()).any(|window| window == needle);
                if needles.iter().any(holds) {
                    with_key.push(entry.path());
                }
            }
        }
    }
    ensure!(!with_key.is_empty(), "the amphora needs it when it starts again");
    for path in with_key {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        ensure!(
            !name.contains("log") && !name.contains("sqlite") && !name.contains(".db"),
            "{}",
            path.display()
        );
        let mode = std::fs::metadata(&path)?.permissions().mode() & 0o777;
        ensure!(mode == 0o600, "{} may be read by others: {mode:o}", path.display());
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_show_who_they_are() -> Result<()> {
    let world = World::start().await?;
    let origins = origins(1)?;
    let (ca, clients) = (Authority::new("ca")?, Authority::new("clients")?);
    let own = ca.issue("www", &["www.example"])?;
    let reference = world.rest.secret_store("own", &own.bundle()).await?;
    let front = Front::create(&world, origins[0].address(), &reference).await?;
    let authority = world.rest.secret_store("clients", &clients.0.pem()).await?;
    let (alice, mallory) = (clients.issue("alice", &[])?, ca.issue("mallory", &[])?);
    for (mode, nobody, known, unknown) in
        [("NONE", true, true, true), ("OPTIONAL", true, true, false), ("MANDATORY", false, true, false)]
    {
        let change = json!({"client_ca_tls_container_ref": authority, "client_authentication": mode});
        front.change(&world, change).await?;
        for (certified, let_in) in [(None, nobody), (Some(&alice), known), (Some(&mallory), unknown)] {
            let got = status(&client(&ca, certified)?, front.vip, "www.example").await;
            ensure!(got.as_ref().is_ok_and(|status| status == "200") == let_in, "{mode}: {got:?}");
        }
    }
    let seen = fetched(&client(&ca, Some(&alice))?, front.vip, "www.example", get("/headers")).await?;
    let text = String::from_utf8_lossy(&seen.text).to_ascii_lowercase();
    ensure!(text.contains("x-ssl-client-cn: \"alice\"\n"), "{text}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_is_gone_stops_nothing_and_is_told() -> Result<()> {
    let world = World::start().await?;
    let origins = origins(2)?;
    let ca = Authority::new("ca")?;
    let (own, new) = (ca.issue("own", &["www.example"])?, ca.issue("new", &["www.example"])?);
    let reference = world.rest.secret_store("own", &own.bundle()).await?;
    let front = Front::create(&world, origins[0].address(), &reference).await?;
    let visitor = client(&ca, None)?;
    ensure!(status(&visitor, front.vip, "www.example").await? == "200");

    let Some((_, id)) = reference.rsplit_once('/') else { bail!("{reference}") };
    world.rest.secret_call(Method::DELETE, &format!("/v1/secrets/{id}"), None).await?.good()?;
    // A change that has nothing to do with it comes into force all the same.
    let shown = world.rest.lb_get(&front.lb).await?;
    let pool = text(&shown["pools"][0]["id"])?;
    let member = json!({"member": tree::member(origins[1].address(), 1)});
    world.rest.post(&format!("/lbaas/pools/{pool}/members"), &member).await?;
    world.rest.lb_active(&front.lb, LIMIT).await?;
    let before = origins[1].requests();
    for _ in 0..4 {
        ensure!(status(&visitor, front.vip, "www.example").await? == "200", "the listener serves no more");
    }
    ensure!(origins[1].requests() > before, "the new member got nothing");
    let path = format!("/lbaas/listeners/{}", front.listener);
    let listener = world.rest.get(&path).await?["listener"].take();
    ensure!(listener["provisioning_status"] == "ERROR", "{listener}");
    let tree = world.rest.lb_status(&front.lb).await?.to_string();
    ensure!(tree.contains("SECRET_UNREADABLE") && tree.contains("There is no secret"), "{tree}");

    let reference = world.rest.secret_store("new", &new.bundle()).await?;
    front.change(&world, json!({"default_tls_container_ref": reference})).await?;
    let seen = fetched(&visitor, front.vip, "www.example", get("/bytes/40")).await?;
    ensure!(seen.shown == *new.certificate.der());
    let listener = world.rest.get(&path).await?["listener"].take();
    ensure!(listener["provisioning_status"] == "ACTIVE", "{listener}");

    // The amphora has what it needs: another proxy asks nobody.
    let [proxy] = &world.product.amphora_processes("proxy", None)[..] else { bail!("not one proxy") };
    octavia_testkit::proc::kill(proxy.pid);
    wait_for("the listener again", LIMIT, async || {
        status(&visitor, front.vip, "www.example").await.map(drop).map_err(|error| format!("{error:#}"))
    })
    .await?;
    // Nor do sessions end with the proxy that they were made with.
    let fresh = client(&ca, None)?;
    let seen = [
        fetched(&fresh, front.vip, "www.example", get("/bytes/40")).await?,
        fetched(&fresh, front.vip, "www.example", get("/bytes/40")).await?,
    ];
    ensure!(!seen[0].resumed && seen[1].resumed);
    let [proxy] = &world.product.amphora_processes("proxy", None)[..] else { bail!("not one proxy") };
    octavia_testkit::proc::kill(proxy.pid);
    let seen = fetched(&fresh, front.vip, "www.example", get("/bytes/40")).await?;
    ensure!(seen.resumed, "another proxy does not know the session");
    Ok(())
}
