//! Certificates as both ends of mutual TLS use them.

use std::sync::Arc;

use jiff::SignedDuration;
use octavia_cloud::{CertIssuer, IssuedCert, local, suite};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};

use crate::kit::{Cloud, options};

#[tokio::test]
async fn passes_the_suite() {
    suite::cert_suite(&*Cloud::new().local.cert_issuer()).await;
}

#[tokio::test]
async fn both_ends_accept_each_other_and_no_stranger() {
    let (ours, foreign) = (Cloud::new(), Cloud::new());
    let (ours, foreign) = (ours.local.cert_issuer(), foreign.local.cert_issuer());
    let amphora = "0d1e2f3a-4b5c-4d6e-8f90-a1b2c3d4e5f6";
    let good_server = issue(&*ours, amphora).await;
    let good_client = issue(&*ours, "octavia-controller").await;
    for (case, server, client, name, good) in [
        ("ours", &good_server, &good_client, amphora, true),
        ("another name", &good_server, &good_client, "octavia-controller", false),
        ("a foreign server", &issue(&*foreign, amphora).await, &good_client, amphora, false),
        ("a foreign client", &good_server, &issue(&*foreign, "octavia-controller").await, amphora, false),
    ] {
        let outcome = handshake(&ours.trust().bundle(), server, client, name);
        assert_eq!(outcome.is_ok(), good, "{case}: {outcome:?}");
    }
}

/// Two sets of keys and authorities, and whoever has either is believed until the older one is dropped.
#[tokio::test]
async fn authorities_change_over_without_a_gap() {
    let cloud = Cloud::new();
    let issuer = cloud.local.cert_issuer();
    let amphora = "0d1e2f3a-4b5c-4d6e-8f90-a1b2c3d4e5f6";
    let before = issuer.trust();
    let (old_server, old_client) =
        (issue(&*issuer, amphora).await, issue(&*issuer, "octavia-controller").await);
    assert!(local::trust_finish(cloud.path()).is_err(), "nothing is under way");

    let rolled = local::trust_roll(cloud.path()).unwrap();
    let now = issuer.trust();
    assert_eq!(*now, rolled, "an open cloud notices");
    assert_eq!(
        (&now.retiring[..], &now.previous_keys[..]),
        (&[before.issuing.clone()][..], &[before.heartbeat_key.clone()][..])
    );
    assert!(now.mark() != before.mark() && now.heartbeat_key != before.heartbeat_key);
    let (new_server, new_client) =
        (issue(&*issuer, amphora).await, issue(&*issuer, "octavia-controller").await);
    assert_ne!(new_client.issuer, old_client.issuer, "agents tell authorities by their names");
    let each = issuer.issue_each("octavia-controller", SignedDuration::from_hours(1)).await.unwrap();
    assert_eq!(
        each.iter().map(|cert| &cert.issuer).collect::<Vec<_>>(),
        [&new_client.issuer, &old_client.issuer]
    );
    for (server, client) in
        [(&old_server, &new_client), (&new_server, &old_client), (&new_server, &new_client)]
    {
        handshake(&now.bundle(), server, client, amphora).unwrap();
    }
    assert!(handshake(&before.bundle(), &new_server, &old_client, amphora).is_err(), "not of the old alone");
    suite::cert_suite(&*issuer).await;
    assert!(local::trust_roll(cloud.path()).is_err(), "the last one is not finished");

    let cloud = cloud.restarted(options());
    let issuer = cloud.local.cert_issuer();
    assert_eq!(*issuer.trust(), *now, "also after a restart");
    let finished = local::trust_finish(cloud.path()).unwrap();
    assert_eq!(*issuer.trust(), finished);
    assert_eq!((finished.retiring.len(), finished.previous_keys.len()), (0, 0));
    assert_eq!((&finished.issuing, &finished.heartbeat_key), (&now.issuing, &now.heartbeat_key));
    handshake(&finished.bundle(), &new_server, &new_client, amphora).unwrap();
    assert!(handshake(&finished.bundle(), &old_server, &new_client, amphora).is_err());
}

/// As a directory of before `trust.json` is.
#[tokio::test]
async fn an_authority_of_before_is_kept() {
    let cloud = Cloud::new();
    let before = cloud.local.cert_issuer().trust();
    let file = cloud.path().join("cloud/trust.json");
    let stored: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    for (name, what) in [("ca.pem", "certificate"), ("ca.key", "key")] {
        std::fs::write(
            cloud.path().join("cloud").join(name),
            stored["authorities"][0][what].as_str().unwrap(),
        )
        .unwrap();
    }
    std::fs::remove_file(file).unwrap();
    let cloud = cloud.restarted(options());
    assert_eq!(cloud.local.cert_issuer().trust(), before);
    assert!(cloud.path().join("cloud/ca.key").exists(), "a binary of before may come back");
    local::trust_roll(cloud.path()).unwrap();
    assert!(!cloud.path().join("cloud/ca.key").exists(), "until it could not");
}

#[test]
fn a_damaged_file_leaves_everything_as_it_was() {
    let cloud = Cloud::new();
    let issuer = cloud.local.cert_issuer();
    let before = issuer.trust();
    let file = cloud.path().join("cloud/trust.json");
    let good = std::fs::read(&file).unwrap();
    for damage in ["", "{", r#"{"version": 1, "authorities": [], "heartbeat_keys": ["k"]}"#] {
        std::fs::write(&file, damage).unwrap();
        assert_eq!(issuer.trust(), before, "{damage}");
    }
    std::fs::write(&file, good).unwrap();
    assert_eq!(issuer.trust(), before);
    assert!(local::trust_roll(cloud.path()).is_ok());
    assert_ne!(issuer.trust(), before);
}

async fn issue(issuer: &dyn CertIssuer, name: &str) -> IssuedCert {
    issuer.issue(name, SignedDuration::from_hours(1)).await.unwrap()
}

fn handshake(
    authority: &str,
    server: &IssuedCert,
    client: &IssuedCert,
    name: &str,
) -> Result<(), rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_slice_iter(authority.as_bytes()) {
        roots.add(root.unwrap()).unwrap();
    }
    let roots = Arc::new(roots);
    let chain = |cert: &IssuedCert| {
        CertificateDer::pem_slice_iter(cert.chain.as_bytes()).collect::<Result<Vec<_>, _>>().unwrap()
    };
    let key = |cert: &IssuedCert| PrivateKeyDer::from_pem_slice(cert.key.as_bytes()).unwrap();

    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider))
        .build()
        .unwrap();
    let server_config = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain(server), key(server))?;
    let client_config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain(client), key(client))?;
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = ClientConnection::new(Arc::new(client_config), name)?;
    let mut server = ServerConnection::new(Arc::new(server_config))?;
    for _ in 0..10 {
        let mut wire = vec![];
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        let mut rest = wire.as_slice();
        while !rest.is_empty() {
            server.read_tls(&mut rest).unwrap();
        }
        server.process_new_packets()?;
        let mut wire = vec![];
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        let mut rest = wire.as_slice();
        while !rest.is_empty() {
            client.read_tls(&mut rest).unwrap();
        }
        client.process_new_packets()?;
        if !client.is_handshaking() && !server.is_handshaking() {
            return Ok(());
        }
    }
    panic!("no end of the handshake");
}
