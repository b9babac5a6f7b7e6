//! Clients that have asked for something once, and then keep their connection: very many of them.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rustix::net::{AddressFamily, SocketType};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};

use super::paced::Answer;

/// Connections from one address: fewer than it has ports.
const PER_ADDRESS: u32 = 10_000;
/// For one answer.
const LIMIT: Duration = Duration::from_secs(10);

/// An open connection.
pub(super) enum Client {
    Clear(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

/// How clients speak: in clear, or over TLS.
#[derive(Debug, Clone)]
pub(super) enum Speech {
    Clear,
    Tls(Arc<ClientConfig>),
}

impl Speech {
    /// TLS, with a full handshake for each connection and no look at certificates.
    pub(super) fn tls() -> Result<Self> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
            .with_no_client_auth();
        config.resumption = Resumption::disabled();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self::Tls(Arc::new(config)))
    }
}

/// So many clients, each with one answer of `length` bytes behind it.
pub(super) fn open(target: SocketAddr, speech: &Speech, count: u32, length: usize) -> Result<Vec<Client>> {
    let one = |number: u32| {
        let mut client = Client::connect(target, speech, number / PER_ADDRESS)?;
        client.ask(target, length)?;
        anyhow::Ok(client)
    };
    (0..count).map(|number| one(number).with_context(|| format!("connection {number}"))).collect()
}

impl Client {
    /// From the address with this number.
    fn connect(target: SocketAddr, speech: &Speech, address: u32) -> Result<Self> {
        let source = Ipv4Addr::from(Ipv4Addr::LOCALHOST.to_bits() + address);
        let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None)?;
        rustix::net::bind(&socket, &SocketAddr::from((source, 0)))?;
        rustix::net::connect(&socket, &target)?;
        let stream = TcpStream::from(socket);
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(LIMIT))?;
        Ok(match speech {
            Speech::Clear => Self::Clear(stream),
            Speech::Tls(config) => {
                let name = ServerName::try_from("bench.test")?;
                let connection = ClientConnection::new(Arc::clone(config), name)?;
                Self::Tls(Box::new(StreamOwned::new(connection, stream)))
            }
        })
    }

    /// Asks for so many bytes, and reads them; the connection goes on.
    pub(super) fn ask(&mut self, target: SocketAddr, length: usize) -> Result<()> {
        match self {
            Self::Clear(stream) => ask(stream, target, length),
            Self::Tls(stream) => ask(stream, target, length),
        }
    }

    fn socket(&self) -> &TcpStream {
        match self {
            Self::Clear(stream) => stream,
            Self::Tls(stream) => &stream.sock,
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // By a reset, so that no port is kept for what may still be on its way.
        let _ = rustix::net::sockopt::set_socket_linger(self.socket(), Some(Duration::ZERO));
    }
}

fn ask(stream: &mut (impl Read + Write), target: SocketAddr, length: usize) -> Result<()> {
    let request = format!("GET /bytes/{length} HTTP/1.1\r\nHost: {target}\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let (mut answer, mut buffer) = (Answer::new(length), [0; 4_096]);
    loop {
        let read = stream.read(&mut buffer)?;
        ensure!(read > 0, "the connection ended");
        if answer.take(&buffer[..read])? {
            return Ok(());
        }
    }
}

/// Lets this process, and those it starts, have as many open files as the system allows; says how many.
pub(super) fn raise_file_limit() -> Result<u64> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?;
    Ok(limit.maximum.unwrap_or(u64::MAX))
}

/// Whoever shows a certificate: it was made for this run, and nobody is told a secret.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use octavia_testkit::Origin;

    use super::*;

    #[test]
    fn connections_are_kept_and_asked_again() {
        let origin = Origin::start(([127, 0, 0, 1], 0).into(), "one").unwrap();
        let mut clients = open(origin.address(), &Speech::Clear, 5, 1_000).unwrap();
        assert_eq!(clients.len(), 5);
        for client in &mut clients {
            client.ask(origin.address(), 40).unwrap();
        }
        drop(origin);
        assert!(clients[0].ask(([127, 0, 0, 1], 1).into(), 40).is_err(), "nobody is there any more");
    }
}
