//! Listeners that terminate TLS: their keys come with the spec, survive the proxy, and are kept when they cannot be had;
//! and so do sessions survive the proxy that they were made with.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::time::SystemTime;

use octavia_model::{Cipher, ClientAuthentication, ListenerProtocol, LoadBalancerId, ReasonCode, TlsVersion};
use octavia_wire::{
    AmphoraSpec, CertificateSpec, Der, IdentitySpec, KeySpec, StapleSpec, TicketRoot, TicketSpec, TlsFault,
    TlsSpec, files,
};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, HandshakeKind, SupportedProtocolVersion};

use crate::amphora::{Amphora, PATIENCE, eventually};
use crate::member::Member;

fn identity() -> (IdentitySpec, CertificateDer<'static>) {
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
    let der = params.self_signed(&key).unwrap().der().clone();
    let certificate = CertificateSpec {
        chain: vec![Der(der.to_vec())],
        key: KeySpec::new(&key.serialize_der()),
        names: vec!["a.example".to_owned()],
        staple: None,
    };
    (
        IdentitySpec {
            certificates: vec![certificate],
            client_authorities: vec![],
            client_revocations: vec![],
        },
        der,
    )
}

fn tls(identity: Option<IdentitySpec>) -> TlsSpec {
    let fault = TlsFault {
        code: ReasonCode::SecretUnreadable,
        text: "The secret is gone.".to_owned(),
        advice: "Name another.".to_owned(),
    };
    TlsSpec {
        fault: identity.is_none().then_some(fault),
        identity,
        versions: TlsVersion::ALL.to_vec(),
        ciphers: Cipher::ALL.to_vec(),
        alpn: vec![],
        client_authentication: ClientAuthentication::None,
        hsts: None,
    }
}

/// Who believes this certificate, and remembers sessions.
fn client(
    believed: &CertificateDer<'static>,
    versions: &[&'static SupportedProtocolVersion],
) -> Arc<ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(believed.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}

/// The body of an answer, and whether the session was resumed.
fn ask(vip: SocketAddr, client: &Arc<ClientConfig>) -> Result<(String, bool), String> {
    let tcp = TcpStream::connect(vip).map_err(|error| error.to_string())?;
    // It takes a session out of memory, which nobody gets if there is nobody.
    let name = ServerName::try_from("a.example").unwrap();
    let session = rustls::ClientConnection::new(Arc::clone(client), name).unwrap();
    tcp.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut stream = rustls::StreamOwned::new(session, tcp);
    let request = b"GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n";
    stream.write_all(request).map_err(|error| error.to_string())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(|error| error.to_string())?;
    let resumed = stream.conn.handshake_kind() == Some(HandshakeKind::Resumed);
    Ok((answer.split("\r\n\r\n").nth(1).unwrap_or_default().to_owned(), resumed))
}

/// The body of an answer, to who believes this certificate.
fn get(vip: SocketAddr, believed: &CertificateDer<'static>) -> Result<String, String> {
    Ok(ask(vip, &client(believed, rustls::ALL_VERSIONS))?.0)
}

/// Of now, in seconds since 1970, as a controller has it.
fn tickets(lb: LoadBalancerId, periods_ago: u64) -> TicketSpec {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    TicketRoot::new(b"a controller's").of(lb, TicketSpec::first_at(now.as_secs()) - periods_ago)
}

#[test]
fn keys_are_kept_where_nobody_else_reads_them_and_used_again() {
    let mut amphora = Amphora::start();
    let member = Member::start(amphora.ip, "one");
    let (own, certificate) = identity();
    let mut spec = amphora.spec(amphora.free_port(), &[member.address]);
    spec.listeners[0].protocol = ListenerProtocol::TerminatedHttps;
    spec.listeners[0].tls = Some(tls(Some(own)));
    let vip = SocketAddr::new(amphora.ip, spec.listeners[0].port);
    assert_eq!(amphora.push(&spec).unwrap().faults, []);
    assert_eq!(get(vip, &certificate).unwrap(), "one");
    let mode = std::fs::metadata(amphora.file(files::SPEC)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    amphora.kill_proxy();
    eventually("another proxy serves", || get(vip, &certificate).ok());
    amphora.kill_agent();
    amphora.kill_proxy();
    amphora.start_agent();
    eventually("another agent has another proxy serve", || get(vip, &certificate).ok());
}

#[test]
fn what_cannot_be_had_is_kept_and_told() {
    let amphora = Amphora::start();
    let (one, two) = (Member::start(amphora.ip, "one"), Member::start(amphora.ip, "two"));
    let mut spec = amphora.spec(amphora.free_port(), &[one.address]);
    spec.listeners[0].protocol = ListenerProtocol::TerminatedHttps;
    spec.listeners[0].tls = Some(tls(None));
    let vip = SocketAddr::new(amphora.ip, spec.listeners[0].port);
    // There is nothing to keep: the listener is not there, and everything else is.
    let outcome = amphora.push(&spec).unwrap();
    assert_eq!((outcome.faults.len(), outcome.faults[0].code), (1, ReasonCode::SecretUnreadable));
    assert!(TcpStream::connect(vip).is_err());

    let (own, certificate) = identity();
    spec.generation = 2;
    spec.listeners[0].tls = Some(tls(Some(own)));
    assert_eq!(amphora.push(&spec).unwrap().faults, []);
    assert_eq!(get(vip, &certificate).unwrap(), "one");

    let mut without = AmphoraSpec { generation: 3, ..spec.clone() };
    without.listeners[0].tls = Some(tls(None));
    without.pools[0].members[0].port = two.address.port();
    let outcome = amphora.push(&without).unwrap();
    assert_eq!(outcome.faults[0].text, "The secret is gone.");
    assert_eq!(get(vip, &certificate).unwrap(), "two", "the change is in force, with the key from before");
    assert_eq!(amphora.info().faults, outcome.faults);
    amphora.kill_proxy();
    eventually("another proxy serves with it", || get(vip, &certificate).ok());

    spec.generation = 4;
    assert_eq!(amphora.push(&spec).unwrap().faults, []);
}

#[test]
fn what_authorities_say_is_kept_until_they_say_something_else() {
    let amphora = Amphora::start();
    let member = Member::start(amphora.ip, "one");
    let (own, certificate) = identity();
    let mut spec = amphora.spec(amphora.free_port(), &[member.address]);
    spec.listeners[0].protocol = ListenerProtocol::TerminatedHttps;
    spec.listeners[0].tls = Some(tls(Some(own)));
    let mut push = |response: Option<&[u8]>, refresh_at| {
        spec.generation += 1;
        let response = response.map(|response| Der(response.to_vec()));
        let until = response.as_ref().map_or(0, |_| 4_000_000_000);
        let staple = StapleSpec { response, until, refresh_at, keeps: true };
        let tls = spec.listeners[0].tls.as_mut().unwrap();
        tls.identity.as_mut().unwrap().certificates[0].staple = Some(staple);
        assert_eq!(amphora.push(&spec).unwrap().faults, []);
        assert_eq!(amphora.info().refresh_at, Some(refresh_at));
        let stored: AmphoraSpec =
            serde_json::from_slice(&std::fs::read(amphora.file(files::SPEC)).unwrap()).unwrap();
        let stored = stored.listeners[0].tls.as_ref().unwrap().identity.as_ref().unwrap();
        stored.certificates[0].staple.as_ref().unwrap().response.clone()
    };
    assert_eq!(push(None, 5), None);
    assert_eq!(push(Some(b"good"), 6), Some(Der(b"good".to_vec())));
    assert_eq!(push(None, 7), Some(Der(b"good".to_vec())));
    let vip = SocketAddr::new(amphora.ip, spec.listeners[0].port);
    assert_eq!(get(vip, &certificate).unwrap(), "one");
}

#[test]
fn sessions_are_resumed_by_the_next_proxy() {
    let mut amphora = Amphora::start();
    let member = Member::start(amphora.ip, "one");
    let (own, certificate) = identity();
    let mut spec = amphora.spec(amphora.free_port(), &[member.address]);
    spec.listeners[0].protocol = ListenerProtocol::TerminatedHttps;
    spec.listeners[0].tls = Some(tls(Some(own)));
    let vip = SocketAddr::new(amphora.ip, spec.listeners[0].port);
    let clients =
        [&rustls::version::TLS12, &rustls::version::TLS13].map(|version| client(&certificate, &[version]));
    let visit = |resumed, what: &str| {
        for client in &clients {
            let (body, was) = eventually("somebody serves", || ask(vip, client).ok());
            assert_eq!((body.as_str(), was), ("one", resumed), "{what} {client:?}");
        }
    };
    // Of before controllers had a secret.
    assert_eq!(amphora.push(&spec).unwrap().faults, []);
    visit(false, "the first time");
    visit(true, "by the same proxy");
    amphora.kill_proxy();
    visit(false, "by a proxy that knows nothing of it");

    (spec.generation, spec.tickets) = (2, Some(tickets(amphora.lb, 0)));
    assert_eq!(amphora.push(&spec).unwrap().faults, []);
    visit(false, "with other keys");
    visit(true, "by the same proxy");
    amphora.take_over();
    visit(true, "after a take-over");
    let boot = amphora.info().boot;
    amphora.kill_proxy();
    eventually("another proxy is there", || (amphora.info().boot != boot).then_some(()));
    visit(true, "after its proxy was killed");
    amphora.kill_agent();
    amphora.kill_proxy();
    amphora.start_agent();
    visit(true, "after all of it was killed");

    // A push of later on.
    (spec.generation, spec.tickets) = (3, spec.tickets.map(|tickets| tickets.at(tickets.period() + 1)));
    assert_eq!(amphora.push(&spec).unwrap().faults, []);
    visit(true, "after a push");
    (spec.generation, spec.tickets) = (4, Some(tickets(LoadBalancerId::new_v4(), 0)));
    assert_eq!(amphora.push(&spec).unwrap().faults, []);
    visit(false, "with another secret");
}

#[test]
fn secrets_of_tickets_do_not_stay_on_the_disk() {
    let amphora = Amphora::start();
    let member = Member::start(amphora.ip, "one");
    let (own, certificate) = identity();
    let mut spec = amphora.spec(amphora.free_port(), &[member.address]);
    spec.listeners[0].protocol = ListenerProtocol::TerminatedHttps;
    spec.listeners[0].tls = Some(tls(Some(own)));
    amphora.push(&spec).unwrap();
    (spec.generation, spec.tickets) = (2, Some(tickets(amphora.lb, 40)));
    amphora.push(&spec).unwrap();
    let text = eventually("what is over is forgotten", || {
        let text = std::fs::read_to_string(amphora.file(files::SPEC)).unwrap();
        let stored: AmphoraSpec = serde_json::from_str(&text).unwrap();
        (stored.tickets? == tickets(amphora.lb, 0)).then_some(text)
    });
    // The spec of before had no secret; but that is how one with an older one goes, too.
    eventually("nothing else is kept", || (!amphora.file("spec.json.old").exists()).then_some(()));
    // Nothing else has changed, and it is in force.
    let stored: AmphoraSpec = serde_json::from_str(&text).unwrap();
    assert_eq!(AmphoraSpec { tickets: spec.tickets.clone(), ..stored }, spec);
    assert_eq!(amphora.info().generation, 2);
    let vip = SocketAddr::new(amphora.ip, spec.listeners[0].port);
    assert_eq!(get(vip, &certificate).unwrap(), "one");
    // What a controller sends now is what is there.
    let boot = amphora.info().boot;
    spec.tickets = Some(tickets(amphora.lb, 0));
    amphora.push(&spec).unwrap();
    assert_eq!(amphora.info().boot, boot);
    // Nowhere is it told.
    let secrets = serde_json::to_value(&spec.tickets).unwrap();
    for log in ["agent.log", files::PROXY_LOG] {
        let log = std::fs::read_to_string(amphora.file(log)).unwrap_or_default();
        for name in ["secret", "season"] {
            assert!(!log.contains(secrets[name].as_str().unwrap()), "{log}");
        }
    }
}
