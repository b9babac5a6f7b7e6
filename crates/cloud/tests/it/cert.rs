//! Certificates as both ends of mutual TLS use them.

use std::sync::Arc;

use jiff::SignedDuration;
use octavia_cloud::{CertIssuer, IssuedCert, suite};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};

use crate::kit::Cloud;

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
        let outcome = handshake(ours.authority(), server, client, name);
        assert_eq!(outcome.is_ok(), good, "{case}: {outcome:?}");
    }
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
    roots.add(CertificateDer::from_pem_slice(authority.as_bytes()).unwrap()).unwrap();
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
