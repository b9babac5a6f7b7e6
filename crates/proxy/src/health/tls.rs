//! The TLS of checks. Of members that are spoken to in clear nobody's certificate is verified, as the original's monitors
//! verify none; where traffic is secured, checks are as traffic is.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::{ClientConfig, ClientConnection, Error};
use rustls_pki_types::ServerName;

use crate::tls::AnyCertificate;

/// Settings for all TLS checks of members that are spoken to in clear.
pub(super) fn config() -> Result<Arc<ClientConfig>, Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = AnyCertificate::new(provider.signature_verification_algorithms);
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    // Each check shall be a whole handshake, and nothing of it stays in memory.
    config.resumption = rustls::client::Resumption::disabled();
    Ok(Arc::new(config))
}

/// A connection that names nobody: members are known by address.
pub(super) fn connection(config: &Arc<ClientConfig>, address: SocketAddr) -> Result<ClientConnection, Error> {
    ClientConnection::new(Arc::clone(config), ServerName::IpAddress(address.ip().into()))
}

/// What the first bytes after a ClientHello say: a ServerHello of any version is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hello {
    Incomplete,
    Server,
    Alert(u8),
    NotTls,
}

/// Reads a record's header and the type of the message in it.
pub(super) fn hello(seen: &[u8]) -> Hello {
    const HANDSHAKE: u8 = 22;
    const ALERT: u8 = 21;
    const SERVER_HELLO: u8 = 2;
    match *seen {
        [] | [HANDSHAKE | ALERT] => Hello::Incomplete,
        [HANDSHAKE | ALERT, major, ..] if major != 3 => Hello::NotTls,
        [HANDSHAKE, _, _, _, _, kind, ..] if kind == SERVER_HELLO => Hello::Server,
        [ALERT, _, _, _, _, _, description, ..] => Hello::Alert(description),
        [HANDSHAKE, ..] if seen.len() < 6 => Hello::Incomplete,
        [ALERT, ..] => Hello::Incomplete,
        _ => Hello::NotTls,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_a_server_hello() {
        use Hello::{Alert, Incomplete, NotTls, Server};
        for (seen, expected) in [
            (&[22, 3, 3, 0, 90, 2, 0][..], Server),
            (&[22, 3, 1, 0, 90, 2], Server),
            (&[], Incomplete),
            (&[22], Incomplete),
            (&[22, 3, 3, 0, 90], Incomplete),
            (&[22, 3, 3, 0, 90, 1], NotTls),
            (&[22, 2, 3], NotTls),
            (&[21, 3, 3, 0, 2, 2, 40], Alert(40)),
            (&[21, 3, 3, 0, 2, 2], Incomplete),
            (b"HTTP/1.1 400 Bad Request", NotTls),
            (b"SSH-2.0", NotTls),
            (&[0], NotTls),
        ] {
            assert_eq!(hello(seen), expected, "{seen:?}");
        }
    }

    #[test]
    fn a_client_hello_fits_and_names_nobody() {
        let mut connection = connection(&config().unwrap(), "127.0.0.1:443".parse().unwrap()).unwrap();
        let mut bytes = vec![];
        connection.write_tls(&mut bytes).unwrap();
        assert_eq!(&bytes[..2], [22, 3]);
        assert!(!connection.wants_write());
    }
}
