//! What an authority says of a certificate, from its responder (`openssl ocsp`) to a client of the listener.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use anyhow::{Context as _, Result, ensure};
use octavia_testkit::{AllInOneOptions, rest, tree};
use rcgen::{CertificateParams, CustomExtension, KeyPair, SerialNumber};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme, StreamOwned,
};
use serde_json::json;

use crate::tls::{Authority, TLS_PORT, blocking, get};
use crate::world::{LIMIT, World, binary, origins};

/// Answers one question a connection, as long as the test lives.
fn responder(authority: &Authority) -> Result<SocketAddr> {
    let dir = tempfile::tempdir()?;
    let signer = format!("{}{}", authority.0.pem(), authority.0.key().serialize_pem());
    std::fs::write(dir.path().join("ca.pem"), signer)?;
    std::fs::write(dir.path().join("index.txt"), "V\t491231235959Z\t\t0D\tunknown\t/CN=www\n")?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            if let Err(error) = answer(&stream, dir.path()) {
                eprintln!("the responder: {error:#}");
            }
        }
    });
    Ok(address)
}

fn answer(mut stream: &TcpStream, dir: &Path) -> Result<()> {
    let mut reader = BufReader::new(stream);
    let (mut line, mut length) = (String::new(), 0);
    while reader.read_line(&mut line)? > 2 {
        if let Some(value) = line.to_ascii_lowercase().trim().strip_prefix("content-length: ") {
            length = value.parse()?;
        }
        line.clear();
    }
    let mut question = vec![0; length];
    reader.read_exact(&mut question)?;
    std::fs::write(dir.join("q.der"), question)?;
    let words = "ocsp -index index.txt -CA ca.pem -rsigner ca.pem -reqin q.der -respout a.der -ndays 4";
    let output = Command::new("openssl").current_dir(dir).args(words.split(' ')).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let body = std::fs::read(dir.join("a.der"))?;
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len())?;
    Ok(stream.write_all(&body)?)
}

/// A certificate that names this responder, with its issuer and key.
fn bundle(authority: &Authority, responder: SocketAddr) -> Result<String> {
    let url = format!("http://{responder}/");
    let element = |tag: u8, content: &[u8]| -> Result<Vec<u8>> {
        Ok([&[tag, u8::try_from(content.len())?], content].concat())
    };
    let method = [0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01];
    let description = element(0x30, &[&method[..], &element(0x86, url.as_bytes())?].concat())?;
    let mut params = CertificateParams::new(vec!["www.example".to_owned()])?;
    params.serial_number = Some(SerialNumber::from(13_u64));
    params.custom_extensions =
        vec![CustomExtension::from_oid_content(&[1, 3, 6, 1, 5, 5, 7, 1, 1], element(0x30, &description)?)];
    let key = KeyPair::generate()?;
    let own = params.signed_by(&key, &authority.0)?;
    Ok(format!("{}{}{}", own.pem(), authority.0.pem(), key.serialize_pem()))
}

/// Verifies as clients do, and notes what is shown beside the certificate.
#[derive(Debug)]
struct Curious {
    strict: Arc<WebPkiServerVerifier>,
    shown: Mutex<Vec<u8>>,
}

impl ServerCertVerifier for Curious {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        more: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        shown: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if let Ok(mut noted) = self.shown.lock() {
            *noted = shown.to_vec();
        }
        self.strict.verify_server_cert(certificate, more, name, shown, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.strict.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.strict.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.strict.supported_verify_schemes()
    }
}

/// What is shown to a client that verifies the certificate, and gets an answer.
fn shown(authority: &CertificateDer<'static>, vip: SocketAddr) -> Result<Vec<u8>> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.clone())?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let strict =
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build()?;
    let curious = Arc::new(Curious { strict, shown: Mutex::default() });
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(&curious) as _)
        .with_no_client_auth();
    let session = ClientConnection::new(Arc::new(config), ServerName::try_from("www.example")?)?;
    let tcp = TcpStream::connect(vip)?;
    tcp.set_read_timeout(Some(LIMIT))?;
    let mut stream = StreamOwned::new(session, tcp);
    stream.write_all(&get("/bytes/40"))?;
    let mut answer = vec![];
    stream.read_to_end(&mut answer)?;
    ensure!(answer.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&answer));
    let shown = curious.shown.lock().ok().context("a verifier panicked")?;
    Ok(shown.clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_are_shown_that_a_certificate_is_good() -> Result<()> {
    let dir = tempfile::Builder::new().prefix("octavia-it-").tempdir()?;
    let conf = dir.path().join("octavia.conf");
    std::fs::write(&conf, "[ocsp_stapling]\nenabled = yes\nallowed_networks = 127.0.0.0/8\ntimeout = 30\n")?;
    let mut options = AllInOneOptions::new(binary(), dir.path().join("state"))?;
    options.arguments = vec!["--config-file".into(), conf.into()];
    let world = World::start_with(dir, options).await?;
    let origins = origins(1)?;
    let authority = Authority::new("ca")?;
    let bundle = bundle(&authority, responder(&authority)?)?;
    let reference = world.rest.secret_store("own", &bundle).await?;
    let body = json!({
        "name": "stapled", "vip_subnet_id": world.subnet_id,
        "listeners": [{
            "name": "front", "protocol": "TERMINATED_HTTPS", "protocol_port": TLS_PORT,
            "default_tls_container_ref": reference,
            "default_pool": {
                "name": "pool", "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN",
                "members": [tree::member(origins[0].address(), 1)],
            },
        }],
    });
    let created = world.rest.lb_create(&body).await?;
    world.rest.lb_active(&rest::text(&created["id"])?, LIMIT).await?;
    let vip = SocketAddr::new(rest::text(&created["vip_address"])?.parse()?, TLS_PORT);
    let der = authority.0.der().clone();
    let shown = blocking(move || shown(&der, vip)).await??;
    // That it is a good one is the worker's to see: it shows no other.
    ensure!(shown.len() > 100 && shown.starts_with(&[0x30]), "{} bytes are shown", shown.len());
    Ok(())
}
