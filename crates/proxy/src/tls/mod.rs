//! TLS on the side of clients: a listener's [`TlsSpec`] as rustls wants it, which certificate a client is shown, and
//! what there is to say of a client's own. On the side of members it is in `member`.
//!
//! Pure: bytes in, decisions out. Who moves the bytes of a handshake is `worker::tls`.

mod certificate;
mod clients;
mod fingerprint;
mod member;
mod names;
#[cfg(test)]
mod tests;
mod tickets;
mod verify;
mod visit;
mod words;

use std::fmt;
use std::sync::Arc;

use newtype_uuid::GenericUuid as _;
use octavia_model::{Cipher, ListenerId, TlsVersion};
use octavia_wire::{CertificateSpec, Der, IdentitySpec, TicketSpec, TlsError, TlsSpec};
use rustls::crypto::aws_lc_rs as provider;
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::server::{NoServerSessionStorage, UnbufferedServerConnection};
use rustls::sign::CertifiedKey;
use rustls::time_provider::{DefaultTimeProvider, TimeProvider};
use rustls::{
    Error, InconsistentKeys, RootCertStore, ServerConfig, SupportedCipherSuite, SupportedProtocolVersion,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

#[cfg(any(test, fuzzing))]
pub(crate) use self::certificate::next_update;
pub use self::certificate::{ClientCertificate, VALUE_MAX};
use self::fingerprint::{Fingerprint, Press};
pub use self::member::MemberTls;
use self::names::{Chooser, Shown};
use self::tickets::Tickets;
pub(crate) use self::verify::AnyCertificate;
pub(crate) use self::visit::Visit;
pub(crate) use self::words::InWords;

/// Tickets given to a client of TLS 1.3 after its handshake; as many as OpenSSL gives.
const TICKETS: usize = 2;

/// What clients and members may agree on, most wanted first. The first is safe from who records today and has a quantum
/// computer later; it is taken only where the other side has it.
static KEY_EXCHANGES: [&dyn SupportedKxGroup; 4] = [
    provider::kx_group::X25519MLKEM768,
    provider::kx_group::X25519,
    provider::kx_group::SECP256R1,
    provider::kx_group::SECP384R1,
];

/// How a listener terminates TLS. The same spec gives the same one again.
pub struct TlsConf {
    pub(crate) server: Arc<ServerConfig>,
    tickets: Arc<Tickets>,
    print: Fingerprint,
    /// Of what is shown with certificates: it changes, and sessions stay good.
    staples: Fingerprint,
}

/// What of a connection's TLS requests are told about; `None` where there is no TLS.
#[derive(Debug, Clone, Copy, Default)]
pub struct Seen<'a> {
    /// The client's certificate, verified.
    pub certificate: Option<ClientCertificate<'a>>,
}

impl fmt::Debug for TlsConf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsConf")
    }
}

impl TlsConf {
    /// `None` when the spec has no identity to terminate TLS with. `before` is what the listener had until now.
    pub(crate) fn compile(
        listener: ListenerId,
        spec: &TlsSpec,
        tickets: Option<&TicketSpec>,
        before: Option<&Arc<Self>>,
    ) -> Result<Option<Arc<Self>>, TlsError> {
        Self::compile_by(Arc::new(DefaultTimeProvider), listener, spec, tickets, before)
    }

    /// The same by another clock.
    fn compile_by(
        clock: Arc<dyn TimeProvider>,
        listener: ListenerId,
        spec: &TlsSpec,
        tickets: Option<&TicketSpec>,
        before: Option<&Arc<Self>>,
    ) -> Result<Option<Arc<Self>>, TlsError> {
        let Some(identity) = spec.identity.as_ref().filter(|_| spec.is_ready()) else { return Ok(None) };
        let print = fingerprint(listener, spec, identity);
        let staples = staples(identity);
        let same = before.filter(|before| before.print == print && before.tickets.is_of(tickets));
        if let Some(same) = same.filter(|same| same.staples == staples) {
            return Ok(Some(Arc::clone(same)));
        }
        let crypto = crypto(&spec.ciphers);
        let tickets = match same {
            Some(same) => Arc::clone(&same.tickets),
            None => Arc::new(Tickets::new(tickets, print, Arc::clone(&clock), crypto.secure_random)?),
        };
        let mut server = server_config(spec, identity, crypto, clock)?;
        server.ticketer = Arc::clone(&tickets) as _;
        let server = Arc::new(server);
        // Whatever else the library may find wrong with it: not when there is a client.
        let tried = UnbufferedServerConnection::new(Arc::clone(&server));
        tried.map_err(|_| TlsError::Unusable("TLS configuration"))?;
        Ok(Some(Arc::new(Self { server, tickets, print, staples })))
    }
}

fn server_config(
    spec: &TlsSpec,
    identity: &IdentitySpec,
    crypto: Arc<CryptoProvider>,
    clock: Arc<dyn TimeProvider>,
) -> Result<ServerConfig, TlsError> {
    let keys = identity.certificates.iter().map(|certificate| {
        let plain = certified(certificate, &crypto)?;
        let stapled = certificate.staple.as_ref().and_then(|staple| {
            let ocsp = Some(staple.response.as_ref()?.0.clone());
            Some((Arc::new(CertifiedKey { ocsp, ..plain.clone() }), staple.until))
        });
        Ok((certificate.names.as_slice(), Shown { plain: Arc::new(plain), stapled }))
    });
    let chooser = Chooser::new(keys.collect::<Result<Vec<_>, TlsError>>()?, Arc::clone(&clock));
    let mut config = ServerConfig::builder_with_details(Arc::clone(&crypto), clock)
        .with_protocol_versions(&versions(&spec.versions))
        .map_err(|_| TlsError::Unusable("set of ciphers and versions"))?
        .with_client_cert_verifier(clients::verifier(spec, identity, crypto)?)
        .with_cert_resolver(Arc::new(chooser));
    config.ignore_client_order = true;
    config.alpn_protocols = spec.alpn.iter().map(|protocol| protocol.clone().into_bytes()).collect();
    // Tickets hold what is to be remembered: threads, and amphorae, share keys and no table.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = TICKETS;
    Ok(config)
}

fn crypto(ciphers: &[Cipher]) -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider {
        cipher_suites: ciphers.iter().map(|&cipher| suite(cipher)).collect(),
        kx_groups: KEY_EXCHANGES.to_vec(),
        ..provider::default_provider()
    })
}

fn certified(spec: &CertificateSpec, crypto: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
    let key = PrivateKeyDer::try_from(spec.key.reveal());
    let key = key.map_err(|_| TlsError::Unusable("private key"))?.clone_key();
    let key = crypto.key_provider.load_private_key(key);
    let key = key.map_err(|_| TlsError::Unusable("private key"))?;
    let chain = spec.chain.iter().map(|der| CertificateDer::from(der.0.clone())).collect();
    let certified = CertifiedKey::new(chain, key);
    // A certificate that the library cannot read, such as one of X.509 version 1, may still be shown: others judge it.
    match certified.keys_match() {
        Err(Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
            Err(TlsError::Unusable("certificate with its private key"))
        }
        _ => Ok(certified),
    }
}

/// One that cannot be used lets nobody in, and keeps nobody out that another knows.
fn roots(authorities: &[Der]) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    let authorities = authorities.iter().map(|der| CertificateDer::from(der.0.clone()));
    match roots.add_parsable_certificates(authorities) {
        (0, _) => Err(TlsError::Unusable("certificate of an authority")),
        _ => Ok(roots),
    }
}

fn versions(all: &[TlsVersion]) -> Vec<&'static SupportedProtocolVersion> {
    all.iter().map(|&one| version(one)).collect()
}

const fn version(version: TlsVersion) -> &'static SupportedProtocolVersion {
    match version {
        TlsVersion::Tls12 => &rustls::version::TLS12,
        TlsVersion::Tls13 => &rustls::version::TLS13,
    }
}

fn suite(cipher: Cipher) -> SupportedCipherSuite {
    use provider::cipher_suite as suite;
    match cipher {
        Cipher::Aes128GcmSha256 => suite::TLS13_AES_128_GCM_SHA256,
        Cipher::Aes256GcmSha384 => suite::TLS13_AES_256_GCM_SHA384,
        Cipher::Chacha20Poly1305Sha256 => suite::TLS13_CHACHA20_POLY1305_SHA256,
        Cipher::EcdheEcdsaAes128Gcm => suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        Cipher::EcdheRsaAes128Gcm => suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        Cipher::EcdheEcdsaAes256Gcm => suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        Cipher::EcdheRsaAes256Gcm => suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        Cipher::EcdheEcdsaChacha20 => suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        Cipher::EcdheRsaChacha20 => suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    }
}

fn staples(identity: &IdentitySpec) -> Fingerprint {
    let mut press = Press::default();
    for staple in identity.certificates.iter().map(|certificate| certificate.staple.as_ref()) {
        let shown = staple.and_then(|staple| Some((staple.response.as_ref()?, staple.until)));
        press.part(shown.map_or(&[], |(response, _)| &response.0));
        press.part(&shown.map_or(0, |(_, until)| until).to_be_bytes());
    }
    press.print()
}

/// What sessions are bound to: with anything of it changed there are other keys for tickets. Amphorae of two versions agree
/// on it as long as it is pressed like this.
fn fingerprint(listener: ListenerId, spec: &TlsSpec, identity: &IdentitySpec) -> Fingerprint {
    let mut press = Press::default();
    press.part(listener.into_untyped_uuid().as_bytes());
    press.number(identity.certificates.len());
    identity.certificates.iter().for_each(|certificate| press.certificate(certificate));
    press.ders(&identity.client_authorities);
    press.ders(&identity.client_revocations);
    press.terms(&spec.versions, &spec.ciphers, &spec.alpn);
    press.part(spec.client_authentication.as_str().as_bytes());
    press.print()
}
