//! Listeners that terminate TLS: their keys come with the spec, survive the proxy, and are kept when they cannot be had.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use octavia_model::{Cipher, ClientAuthentication, ListenerProtocol, ReasonCode, TlsVersion};
use octavia_wire::{AmphoraSpec, CertificateSpec, Der, IdentitySpec, KeySpec, TlsFault, TlsSpec, files};
use rustls::pki_types::{CertificateDer, ServerName};

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

/// The body of an answer, to who believes this certificate.
fn get(vip: SocketAddr, believed: &CertificateDer<'static>) -> Result<String, String> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(believed.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("a.example").unwrap();
    let session = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    let tcp = TcpStream::connect(vip).map_err(|error| error.to_string())?;
    tcp.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut stream = rustls::StreamOwned::new(session, tcp);
    let request = b"GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n";
    stream.write_all(request).map_err(|error| error.to_string())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(|error| error.to_string())?;
    Ok(answer.split("\r\n\r\n").nth(1).unwrap_or_default().to_owned())
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
