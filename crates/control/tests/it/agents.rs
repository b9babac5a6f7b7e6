//! Who is believed to be an agent, and what becomes of each kind of answer.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use jiff::SignedDuration;
use octavia_cloud::CertIssuer;
use octavia_control::{AgentAddress, AgentError, Agents, MutualTlsAgents, MutualTlsOptions};
use octavia_model::{AmphoraId, Blame, LoadBalancerId, REQUEST_ID_HEADER, Retry};
use octavia_wire::{AgentInfo, AmphoraSpec, ApplyOutcome, WIRE_VERSION, paths};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::certs::TestAuthority;

/// What the fake agent answers to everything.
#[derive(Clone)]
struct Script {
    status: u16,
    body: String,
    /// Ids of requests that come with a push.
    heard: Heard,
}

type Heard = Arc<Mutex<Vec<String>>>;

impl Script {
    fn new(status: u16, body: String) -> Self {
        Self { status, body, heard: Heard::default() }
    }
}

fn info(amphora: AmphoraId) -> Script {
    let info = AgentInfo {
        amphora_id: amphora,
        api_version: "2.0".to_owned(),
        software_version: "test".to_owned(),
        wire_version: WIRE_VERSION,
        boot: None,
        fence: 2,
        generation: 3,
        faults: vec![],
        interfaces: vec![],
        vrrp: None,
        refresh_at: None,
        papers: None,
        takeover: None,
        predecessors: 0,
    };
    Script::new(200, serde_json::to_string(&info).unwrap())
}

fn fault(status: u16) -> Script {
    Script::new(status, format!(r#"{{"error": "because", "http_code": {status}}}"#))
}

/// An agent with a certificate for `name`, that believes clients of `clients`.
async fn agent(name: &str, servers: &TestAuthority, clients: &TestAuthority, script: Script) -> SocketAddr {
    let believed = clients.trust().bundle();
    agent_believing(name, servers, &believed, script).await
}

/// The same, of clients of these authorities (PEM).
async fn agent_believing(name: &str, servers: &TestAuthority, believed: &str, script: Script) -> SocketAddr {
    let cert = servers.issue(name, SignedDuration::from_hours(1)).await.unwrap();
    let mut roots = rustls::RootCertStore::empty();
    for root in CertificateDer::pem_slice_iter(believed.as_bytes()) {
        roots.add(root.unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build().unwrap();
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(
            CertificateDer::pem_slice_iter(cert.chain.as_bytes()).map(Result::unwrap).collect(),
            PrivateKeyDer::from_pem_slice(cert.key.as_bytes()).unwrap(),
        )
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (tcp, _) = listener.accept().await.unwrap();
            let (acceptor, script) = (acceptor.clone(), script.clone());
            tokio::spawn(async move {
                let Ok(tls) = acceptor.accept(tcp).await else { return };
                let service = service_fn(move |request| {
                    let script = script.clone();
                    async move { answer(script, &request) }
                });
                let _ = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(tls), service)
                    .await;
            });
        }
    });
    address
}

fn answer(script: Script, request: &Request<Incoming>) -> Result<Response<String>, std::convert::Infallible> {
    assert!([paths::INFO, paths::SPEC].contains(&request.uri().path()));
    let ids = request.headers().get_all(REQUEST_ID_HEADER).iter().map(|id| id.to_str().unwrap().to_owned());
    script.heard.lock().unwrap().extend(ids);
    let mut response = Response::new(script.body);
    *response.status_mut() = StatusCode::from_u16(script.status).unwrap();
    Ok(response)
}

fn client(authority: TestAuthority) -> MutualTlsAgents {
    client_with(authority, Duration::from_secs(20))
}

/// One that waits so long for a connection, and as long for an answer.
fn client_with(authority: TestAuthority, patience: Duration) -> MutualTlsAgents {
    let options = MutualTlsOptions {
        connect_timeout: patience,
        request_timeout: patience,
        ..MutualTlsOptions::default()
    };
    MutualTlsAgents::new(Arc::new(authority), options)
}

fn spec(amphora: AmphoraId) -> AmphoraSpec {
    AmphoraSpec {
        version: WIRE_VERSION,
        amphora_id: amphora,
        load_balancer_id: LoadBalancerId::new_v4(),
        generation: 3,
        fence: 2,
        vips: vec!["127.0.0.1".parse().unwrap()],
        listeners: vec![],
        pools: vec![],
        access_log: None,
        sorry_pages: vec![],
        network: None,
        tickets: None,
    }
}

#[tokio::test]
async fn asks_and_pushes() {
    let (authority, amphora) = (TestAuthority::new(), AmphoraId::new_v4());
    let address = agent(&amphora.to_string(), &authority, &authority, info(amphora)).await;
    let outcome = ApplyOutcome { generation: 3, fence: 2, faults: vec![] };
    let script = Script::new(200, serde_json::to_string(&outcome).unwrap());
    let heard = Arc::clone(&script.heard);
    let pushed = agent(&amphora.to_string(), &authority, &authority, script).await;
    let client = client(authority);
    let info = client.info(AgentAddress { amphora, address }).await.unwrap();
    assert_eq!((info.amphora_id, info.generation), (amphora, 3));
    // a second request resumes the session
    client.info(AgentAddress { amphora, address }).await.unwrap();
    let ids: Vec<_> = (0..9).map(|number| format!("req-00000000-0000-4000-8000-{number:012}")).collect();
    let hostile = ["req-1\r\nHost: x".to_owned(), "nonsense".to_owned(), ids[0].clone()];
    for (sent, expected) in
        [(&ids[..0], &ids[..0]), (&ids[..2], &ids[..2]), (&ids[..], &ids[..6]), (&hostile[..], &ids[..1])]
    {
        let answer = client.spec_push(AgentAddress { amphora, address: pushed }, &spec(amphora), sent).await;
        assert_eq!(answer, Ok(outcome.clone()));
        assert_eq!(std::mem::take(&mut *heard.lock().unwrap()), expected);
    }
}

#[tokio::test]
async fn believes_only_the_amphora_and_only_to_its_own_controller() {
    let amphora = AmphoraId::new_v4();
    let other = AmphoraId::new_v4();
    for (what, name, server_ok, client_ok) in [
        ("another amphora's certificate", other, true, true),
        ("another authority's agent", amphora, false, true),
        ("an agent of another authority's controllers", amphora, true, false),
    ] {
        let ours = TestAuthority::new();
        let theirs = TestAuthority::new();
        let servers = if server_ok { &ours } else { &theirs };
        let clients = if client_ok { &ours } else { &theirs };
        let address = agent(&name.to_string(), servers, clients, info(amphora)).await;
        let error = client(ours).info(AgentAddress { amphora, address }).await.unwrap_err();
        assert!(matches!(error, AgentError::Untrusted(_)), "{what}: {error:?}");
        assert_eq!((error.blame(), error.retry()), (Blame::Dependency, Retry::Safe));
    }
}

#[tokio::test]
async fn says_what_became_of_it() {
    let amphora = AmphoraId::new_v4();
    type Check = fn(&AgentError) -> bool;
    for (script, retry, check) in [
        (
            fault(409),
            Retry::Safe,
            (|e| matches!(e, AgentError::Superseded(f) if f.error == "because")) as Check,
        ),
        (fault(400), Retry::Never, |e| matches!(e, AgentError::Refused(_))),
        (fault(500), Retry::Safe, |e| matches!(e, AgentError::Failed(_))),
        (
            Script::new(503, "<html>".to_owned()),
            Retry::Safe,
            |e| matches!(e, AgentError::Failed(f) if f.http_code == 503),
        ),
        (Script::new(200, "{}".to_owned()), Retry::Safe, |e| matches!(e, AgentError::Garbled(_))),
        (Script::new(200, " ".repeat(2 << 20)), Retry::Safe, |e| matches!(e, AgentError::Garbled(_))),
        (
            Script::new(400, format!(r#"{{"error": "{}", "http_code": 400}}"#, "é".repeat(9999))),
            Retry::Never,
            |e| matches!(e, AgentError::Refused(f) if f.error.chars().count() == 300),
        ),
        (info(AmphoraId::new_v4()), Retry::Safe, |e| matches!(e, AgentError::Garbled(_))),
    ] {
        let authority = TestAuthority::new();
        let address = agent(&amphora.to_string(), &authority, &authority, script.clone()).await;
        let error = client(authority).info(AgentAddress { amphora, address }).await.unwrap_err();
        assert!(check(&error), "{} {:.20}: {error:?}", script.status, script.body);
        assert_eq!(error.retry(), retry, "{error:?}");
    }
}

#[tokio::test]
async fn does_not_wait_for_ever() {
    let amphora = AmphoraId::new_v4();
    let client = client_with(TestAuthority::new(), Duration::from_millis(500));
    // nobody listens
    let nobody = "127.0.0.1:1".parse().unwrap();
    // somebody accepts, and says nothing
    let mute = TcpListener::bind("127.0.0.1:0").await.unwrap();
    for address in [nobody, mute.local_addr().unwrap()] {
        let error = client.info(AgentAddress { amphora, address }).await.unwrap_err();
        assert!(matches!(error, AgentError::Unreachable(_)), "{error:?}");
    }
}

/// An agent says whom it believes, and is shown what it can check: so none is out of reach while authorities change.
#[tokio::test]
async fn agents_of_every_time_are_reached_while_authorities_change() {
    let authority = Arc::new(TestAuthority::new());
    let amphora = AmphoraId::new_v4();
    let name = amphora.to_string();
    let before = authority.trust().bundle();
    let old = agent_believing(&name, &authority, &before, info(amphora)).await;
    let client = MutualTlsAgents::new(authority.clone(), MutualTlsOptions::default());
    let ask = async |address| client.info(AgentAddress { amphora, address }).await;
    assert!(ask(old).await.is_ok());

    authority.roll("another key");
    let trust = authority.trust();
    let both = agent_believing(&name, &authority, &trust.bundle(), info(amphora)).await;
    let new = agent_believing(&name, &authority, &trust.issuing.pem, info(amphora)).await;
    for address in [old, both, new, old] {
        ask(address).await.unwrap();
    }

    authority.finish();
    for address in [both, new] {
        ask(address).await.unwrap();
    }
    let error = ask(old).await.unwrap_err();
    assert!(matches!(error, AgentError::Untrusted(_)), "{error}");
}
