//! Checks of members that traffic speaks TLS with.

use octavia_model::{Cipher, TlsVersion};
use octavia_wire::{CertificateSpec, Der, KeySpec, PoolIdentitySpec, PoolTlsSpec};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection};
use rustls_pki_types::PrivatePkcs8KeyDer;

use super::*;

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn issue(&self) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["m.example".to_owned()]).unwrap();
        (params.signed_by(&key, &self.0).unwrap(), key)
    }

    /// A member that answers a request over TLS with 200; with an authority, only to its clients.
    fn member(&self, clients: Option<&Self>) -> SocketAddr {
        let (certificate, key) = self.issue();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_safe_default_protocol_versions().unwrap();
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(clients) => {
                let mut roots = RootCertStore::empty();
                roots.add(clients.0.der().clone()).unwrap();
                let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
                builder.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        let chain = vec![certificate.der().clone()];
        let config = Arc::new(builder.with_single_cert(chain, key.into()).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let session = ServerConnection::new(Arc::clone(&config)).unwrap();
                std::thread::spawn(move || {
                    let mut stream = rustls::StreamOwned::new(session, stream);
                    if stream.read(&mut [0; 4096]).is_ok_and(|n| n > 0) {
                        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
                    }
                    let _ = stream.read(&mut [0; 4096]);
                });
            }
        });
        address
    }

    fn tls(&self) -> PoolTlsSpec {
        PoolTlsSpec {
            identity: Some(PoolIdentitySpec {
                authorities: vec![Der(self.0.der().to_vec())],
                ..PoolIdentitySpec::default()
            }),
            verify: true,
            versions: TlsVersion::ALL.to_vec(),
            ciphers: Cipher::ALL.to_vec(),
            alpn: vec!["http/1.1".to_owned()],
            fault: None,
        }
    }
}

#[test]
fn checks_are_secured_as_traffic_is() {
    use HealthMonitorType::{Http, Https, Tcp, TlsHello};
    const ALL: [HealthMonitorType; 4] = [Tcp, TlsHello, Http, Https];

    let (ca, other) = (Authority::new(), Authority::new());
    let (known, unknown) = (ca.member(None), other.member(None));
    let guarded = ca.member(Some(&other));
    let any = PoolTlsSpec { verify: false, ..ca.tls() };
    let mut own = ca.tls();
    let (certificate, key) = other.issue();
    own.identity.as_mut().unwrap().certificate = Some(CertificateSpec {
        chain: vec![Der(certificate.der().to_vec())],
        key: KeySpec::new(&key.serialize_der()),
        names: vec![],
        staple: None,
    });
    let untrusted = Err("TLS: invalid peer certificate");
    type Case<'a> =
        (&'a str, SocketAddr, Option<PoolTlsSpec>, &'a [HealthMonitorType], Result<(), &'static str>);
    let cases: Vec<Case<'_>> = vec![
        ("verified", known, Some(ca.tls()), &ALL, Ok(())),
        ("of another authority", unknown, Some(ca.tls()), &ALL, untrusted),
        ("not verified", unknown, Some(any), &ALL, Ok(())),
        ("shown who asks", guarded, Some(own), &ALL, Ok(())),
        // In TLS 1.3 a member that does not want us says so only when it is asked for something.
        ("not shown who asks", guarded, Some(ca.tls()), &[Http, Https], Err("TLS: received fatal alert")),
        ("in clear", member(good), Some(ca.tls()), &ALL, Err("TLS: ")),
        ("silent", member(silent), Some(ca.tls()), &ALL, Err("no answer in time")),
        ("rude", member(rude), Some(ca.tls()), &ALL, Err("closed without")),
        ("flooding", member(false_records), Some(ca.tls()), &ALL, Err("TLS: ")),
        // Where traffic is in clear only the monitor says otherwise.
        ("of anybody", unknown, None, &[TlsHello, Https], Ok(())),
        ("asked in clear", known, None, &[Http], Err("")),
    ];
    for (what, address, tls, kinds, expected) in cases {
        for &kind in kinds {
            let mut rig = Rig::new();
            let mut spec = spec(kind, address, 1);
            spec.pools[0].tls.clone_from(&tls);
            let _snapshot = rig.configure(&spec);
            rig.run(1);
            let (health, text) = rig.seen();
            match expected {
                Ok(()) => assert_eq!((health, text), (Health::Up, None), "{what}: {kind}"),
                Err(expected) => {
                    assert_eq!(health, Health::Down, "{what}: {kind}");
                    let text = text.unwrap();
                    assert!(text.contains(expected), "{what}: {kind}: {text}");
                }
            }
        }
    }
}

/// A member that chooses HTTP/2, and answers requests in these frames.
fn chooses_http2(ca: &Authority, frames: &'static [u8]) -> SocketAddr {
    let (certificate, key) = ca.issue();
    let builder =
        ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    let mut config = builder.with_single_cert(vec![certificate.der().clone()], key.into()).unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let session = ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = rustls::StreamOwned::new(session, stream);
            let mut preface = [0; 24];
            if stream.read_exact(&mut preface).is_ok() && preface == *crate::http2::PREFACE {
                let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
                let _ = stream.write_all(&[&settings[..], frames].concat());
            }
            let _ = stream.read(&mut [0; 4096]);
        }
    });
    address
}

#[test]
fn checks_speak_what_members_choose() {
    use HealthMonitorType::{Http, Https};
    let ca = Authority::new();
    for (frames, expected) in [
        // `:status` of 200 and of 404, the second after an interim response.
        (&b"\0\0\x01\x01\x05\0\0\0\x01\x88"[..], Ok(())),
        (b"\0\0\x05\x01\x04\0\0\0\x01\x08\x03103\0\0\x01\x01\x05\0\0\0\x01\x8d", Err("HTTP status 404")),
        (b"\0\0\x04\x03\0\0\0\0\x01\0\0\0\x07", Err("the request was refused")),
        (b"\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\0", Err("the request was refused")),
        (b"HTTP/1.1 200 OK\r\n\r\n", Err("the answer is not HTTP")),
        (b"", Err("closed without a complete answer")),
    ] {
        for kind in [Http, Https] {
            let mut rig = Rig::new();
            let mut spec = spec(kind, chooses_http2(&ca, frames), 1);
            let alpn = vec!["h2".to_owned(), "http/1.1".to_owned()];
            spec.pools[0].tls = Some(PoolTlsSpec { alpn, ..ca.tls() });
            let _snapshot = rig.configure(&patient(spec));
            rig.run(1);
            let (health, text) = rig.seen();
            match expected {
                Ok(()) => assert_eq!((health, text), (Health::Up, None), "{kind}"),
                Err(why) => assert_eq!(text.as_deref(), Some(why), "{kind}"),
            }
        }
    }
}

#[test]
fn checks_that_go_elsewhere_are_in_clear_unless_the_monitor_says_so() {
    use HealthMonitorType::{Http, Https};
    let (ca, other) = (Authority::new(), Authority::new());
    let nobody = 1;
    for (kind, elsewhere, expected) in [
        (Http, member(good), Health::Up),
        (Https, ca.member(None), Health::Up),
        (Http, ca.member(None), Health::Down),
        // It is the pool's authority that counts there, too.
        (Https, other.member(None), Health::Down),
    ] {
        let mut rig = Rig::new();
        let mut spec = spec(kind, elsewhere, 1);
        spec.pools[0].tls = Some(ca.tls());
        spec.pools[0].members[0].monitor_port = Some(elsewhere.port());
        spec.pools[0].members[0].port = nobody;
        let _snapshot = rig.configure(&spec);
        rig.run(1);
        assert_eq!(rig.seen().0, expected, "{kind}: {:?}", rig.seen());
    }
}

#[test]
fn nobody_is_checked_without_what_it_takes() {
    let ca = Authority::new();
    let mut rig = Rig::new();
    let mut spec = spec(HealthMonitorType::Http, ca.member(None), 1);
    spec.pools[0].tls = Some(PoolTlsSpec { identity: None, ..ca.tls() });
    let snapshot = rig.configure(&spec);
    assert!(!snapshot.pools().next().unwrap().is_usable());
    assert_eq!((rig.seen(), rig.prober.next_wake()), ((Health::NoCheck, None), None));
    spec.pools[0].tls = Some(ca.tls());
    let _snapshot = rig.configure(&spec);
    rig.run(1);
    assert_eq!(rig.seen(), (Health::Up, None));
}
