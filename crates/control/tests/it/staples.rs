//! What authorities say of certificates, on its way to amphorae: asked of `openssl ocsp` behind a small server, and of
//! servers that answer otherwise.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use octavia_control::{Reconciled, Stapling, StaplingOptions};
use octavia_model::{LoadBalancerId, ProvisioningStatus as P};
use octavia_store::Which;
use octavia_wire::StapleSpec;

use crate::rig::Rig;

/// Answers every question by a function of it; closes with the test.
struct Server {
    address: SocketAddr,
    asked: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
}

impl Server {
    fn start(answer: impl Fn(&[u8]) -> Vec<u8> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (asked, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (count, stopped) = (Arc::clone(&asked), Arc::clone(&stop));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(SeqCst) {
                    return;
                }
                count.fetch_add(1, SeqCst);
                let stream = stream.unwrap();
                let question = question(&stream);
                // Who has gone away meanwhile has its reasons.
                let _ = (&stream).write_all(&answer(&question));
            }
        });
        Self { address, asked, stop }
    }

    fn asked(&self) -> usize {
        self.asked.load(SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

fn question(stream: &TcpStream) -> Vec<u8> {
    let mut reader = BufReader::new(stream);
    let (mut line, mut length, mut lines) = (String::new(), 0, vec![]);
    while reader.read_line(&mut line).unwrap() > 2 {
        let lower = line.trim().to_ascii_lowercase();
        if let Some(value) = lower.strip_prefix("content-length: ") {
            length = value.parse().unwrap();
        }
        lines.push(lower);
        line.clear();
    }
    assert_eq!(lines[0], "post /a?b http/1.1");
    assert!(lines.contains(&"content-type: application/ocsp-request".to_owned()), "{lines:?}");
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    body
}

fn http(status: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nLocation: http://127.0.0.1:1/\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

type Authority = rcgen::CertifiedIssuer<'static, rcgen::KeyPair>;

fn authority() -> Authority {
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    rcgen::CertifiedIssuer::self_signed(params, rcgen::KeyPair::generate().unwrap()).unwrap()
}

/// As the authority's responder does: `index` is its book, `words` say for how long.
fn responder(authority: &Authority, index: &'static str, words: &'static str) -> Server {
    let signer = format!("{}{}", authority.pem(), authority.key().serialize_pem());
    Server::start(move |question| {
        let dir = tempfile::tempdir().unwrap();
        for (name, content) in
            [("ca.pem", signer.as_bytes()), ("index.txt", index.as_bytes()), ("q.der", question)]
        {
            std::fs::write(dir.path().join(name), content).unwrap();
        }
        let fixed = "ocsp -index index.txt -CA ca.pem -rsigner ca.pem -reqin q.der -respout a.der";
        let words = fixed.split(' ').chain(words.split(' '));
        let output = Command::new("openssl").current_dir(dir.path()).args(words).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        http("200 OK", &std::fs::read(dir.path().join("a.der")).unwrap())
    })
}

const GOOD: &str = "V\t491231235959Z\t\t0D\tunknown\t/CN=www\n";
const REVOKED: &str = "R\t491231235959Z\t250101000000Z\t0D\tunknown\t/CN=www\n";

/// A certificate that names this responder, with its issuer and key.
fn bundle(authority: &Authority, responder: SocketAddr) -> String {
    let url = format!("http://{responder}/a?b");
    let element = |tag: u8, content: &[u8]| [&[tag, u8::try_from(content.len()).unwrap()], content].concat();
    let method = [0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01];
    let access = element(0x30, &element(0x30, &[&method[..], &element(0x86, url.as_bytes())].concat()));
    let mut params = rcgen::CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
    params.serial_number = Some(rcgen::SerialNumber::from(13_u64));
    let access = rcgen::CustomExtension::from_oid_content(&[1, 3, 6, 1, 5, 5, 7, 1, 1], access);
    params.custom_extensions = vec![access];
    let key = rcgen::KeyPair::generate().unwrap();
    let own = params.signed_by(&key, authority).unwrap();
    format!("{}{}{}", own.pem(), authority.pem(), key.serialize_pem())
}

async fn rig(allowed: &[&str]) -> Rig {
    let mut rig = Rig::new().await;
    rig.options.stapling = Some(Stapling::new(StaplingOptions {
        allowed_networks: allowed.iter().map(|network| network.parse().unwrap()).collect(),
        timeout: Duration::from_secs(20),
    }));
    rig
}

async fn secure(rig: &Rig, bundle: String) -> LoadBalancerId {
    let reference = rig.secrets.keep(bundle);
    let lb = rig.lb_create_secure(&[&reference]).await;
    assert_eq!(rig.reconcile(lb).await, Reconciled::Done);
    lb
}

fn staple(rig: &Rig) -> Option<StapleSpec> {
    let facts = rig.cloud.facts();
    let spec = facts.servers.values().next().unwrap().spec.clone().unwrap();
    let tls = spec.listeners.into_iter().find_map(|listener| listener.tls).unwrap();
    tls.identity.unwrap().certificates.remove(0).staple
}

fn now(rig: &Rig) -> u64 {
    rig.parts.clock.now().as_second().try_into().unwrap()
}

#[tokio::test]
async fn answers_go_along_and_are_asked_for_again() {
    let (rig, authority) = (rig(&["127.0.0.0/8"]).await, authority());
    let server = responder(&authority, GOOD, "-ndays 4");
    let lb = secure(&rig, bundle(&authority, server.address)).await;
    let first = staple(&rig).unwrap();
    assert!(first.response.is_some() && first.keeps);
    let days = |seconds: u64| seconds.abs_diff(now(&rig)) as f64 / 86_400.0;
    assert!((days(first.until) - 4.0).abs() < 0.1 && (days(first.refresh_at) - 2.0).abs() < 0.1, "{first:?}");
    // Another amphora of the same: it is known.
    rig.store.lb_failover(lb, &[P::Active], Which::All).await.unwrap();
    assert_eq!(rig.reconcile(lb).await, Reconciled::Done);
    assert_eq!((staple(&rig), server.asked()), (Some(first.clone()), 1));
    // Half of it is over: the responder, whose clock has not been put forward, says what it has said. That is asked again
    // when half of the rest is over.
    rig.clock.forward(2 * 86_400 + 10);
    rig.store.lb_failover(lb, &[P::Active], Which::All).await.unwrap();
    assert_eq!(rig.reconcile(lb).await, Reconciled::Done);
    let second = staple(&rig).unwrap();
    assert_eq!(server.asked(), 2);
    assert!(second.response.is_some() && second.refresh_at > now(&rig), "{second:?}");
    assert!(second.refresh_at < second.until);
}

#[tokio::test]
async fn what_goes_wrong_holds_nothing_up() {
    let authority = authority();
    let refused = SocketAddr::from(([127, 0, 0, 1], {
        let gone = TcpListener::bind("127.0.0.1:0").unwrap();
        gone.local_addr().unwrap().port()
    }));
    let ok = |body: Vec<u8>| Server::start(move |_| http("200 OK", &body));
    let broken = Server::start(|_| b"nonsense\r\n\r\n".to_vec());
    for (what, server, keeps) in [
        ("nobody", None, true),
        ("a redirect", Some(Server::start(|_| http("302 Found", b""))), true),
        ("an error", Some(Server::start(|_| http("500 Internal Server Error", b"x"))), true),
        ("no HTTP", Some(broken), true),
        ("no answer", Some(ok(b"<html>".to_vec())), true),
        ("too much", Some(ok(vec![0x30; 100_000])), true),
        ("that it is over", Some(responder(&authority, GOOD, "-nmin 0")), true),
        ("that it is not known", Some(responder(&authority, "", "-ndays 4")), true),
        ("that it is revoked", Some(responder(&authority, REVOKED, "-ndays 4")), false),
    ] {
        let rig = rig(&["127.0.0.0/8"]).await;
        let address = server.as_ref().map_or(refused, |server| server.address);
        secure(&rig, bundle(&authority, address)).await;
        let staple = staple(&rig).unwrap();
        assert_eq!((staple.response, staple.keeps), (None, keeps), "{what}");
        assert!(staple.refresh_at > now(&rig), "{what}");
        if let Some(server) = server {
            assert_eq!(server.asked(), 1, "{what}");
        }
    }
}

#[tokio::test]
async fn who_is_not_to_be_asked_is_not() {
    let authority = authority();
    let server = responder(&authority, GOOD, "-ndays 4");
    // Of the internet alone, and of other networks.
    for allowed in [&[][..], &["10.0.0.0/8", "::1/128"]] {
        let rig = rig(allowed).await;
        secure(&rig, bundle(&authority, server.address)).await;
        assert_eq!(staple(&rig).unwrap().response, None);
    }
    // Nor without being told to.
    let rig = Rig::new().await;
    secure(&rig, bundle(&authority, server.address)).await;
    assert_eq!(staple(&rig), None);
    // Who names nobody has nothing to show.
    let mut rig = Rig::new().await;
    rig.options.stapling = self::rig(&["127.0.0.0/8"]).await.options.stapling;
    let (reference, _) = rig.secrets.bundle("a.example");
    let lb = rig.lb_create_secure(&[&reference]).await;
    assert_eq!(rig.reconcile(lb).await, Reconciled::Done);
    assert_eq!((staple(&rig), server.asked()), (None, 0));
}
