//! TLS on the side of members: a pool's [`PoolTlsSpec`] as rustls wants it.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use octavia_wire::{PoolIdentitySpec, PoolTlsSpec, TlsError};
use rustls::client::danger::ServerCertVerifier;
use rustls::client::{Resumption, UnbufferedClientConnection};
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, Error};
use rustls_pki_types::{DnsName, ServerName};

use super::fingerprint::{Fingerprint, Press};
use super::verify::{AnyCertificate, Authorities};
use super::{certified, crypto, versions};

/// Sessions of one member kept for resumption; in eights, one eight a server's name. A member may give tickets of 64 KiB.
const SESSIONS: usize = 64;

/// What members are offered, and may choose (RFC 9113 §3.2).
const HTTP2: &[u8] = b"h2";

/// How a pool speaks TLS with its members. The same spec gives the same one again, so that sessions are resumed, and
/// connections that are open are used, across changes of other things.
pub struct MemberTls {
    /// As it is for any member.
    config: ClientConfig,
    /// HTTP/2 is among what is offered.
    offers_http2: bool,
    checks: Arc<ClientConfig>,
    /// By member serial, and whether HTTP/2 is offered: sessions are resumed with who they were made with.
    members: Mutex<HashMap<(u64, bool), Arc<ClientConfig>>>,
    print: Fingerprint,
}

impl fmt::Debug for MemberTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MemberTls")
    }
}

impl MemberTls {
    /// `None` when the spec lacks what it takes. `before` is what the pool had until now.
    pub(crate) fn compile(
        spec: &PoolTlsSpec,
        before: Option<&Arc<Self>>,
    ) -> Result<Option<Arc<Self>>, TlsError> {
        let Some(identity) = spec.identity.as_ref().filter(|_| spec.is_ready()) else { return Ok(None) };
        let print = fingerprint(spec, identity);
        if let Some(same) = before.filter(|before| before.print == print) {
            return Ok(Some(Arc::clone(same)));
        }
        let mut config = client_config(spec, identity)?;
        config.resumption = Resumption::disabled();
        let offers_http2 = config.alpn_protocols.iter().any(|protocol| protocol == HTTP2);
        let checks = Arc::new(config.clone());
        // Whatever else the library may find wrong with it: not when there is a request.
        let nobody = ServerName::IpAddress(IpAddr::from([127, 0, 0, 1]).into());
        let tried = UnbufferedClientConnection::new(Arc::clone(&checks), nobody);
        tried.map_err(|_| TlsError::Unusable("TLS configuration"))?;
        Ok(Some(Arc::new(Self { config, offers_http2, checks, members: Mutex::default(), print })))
    }

    /// Members may choose HTTP/2.
    pub(crate) fn offers_http2(&self) -> bool {
        self.offers_http2
    }

    /// Begins a session with the member of this serial at this address, asking for this name if there is one; `http2` =
    /// that may be offered.
    pub(crate) fn session(
        &self,
        serial: u64,
        address: IpAddr,
        name: Option<&str>,
        http2: bool,
    ) -> Result<UnbufferedClientConnection, Error> {
        let config = {
            let mut members = self.members();
            let made = members.entry((serial, http2)).or_insert_with(|| {
                let config = self.config.clone();
                let mut config = if http2 { config } else { without_http2(config) };
                config.resumption = Resumption::in_memory_sessions(SESSIONS);
                Arc::new(config)
            });
            Arc::clone(made)
        };
        UnbufferedClientConnection::new(config, server_name(address, name))
    }

    /// For health checks: each shall be a whole handshake, and nothing of it stays in memory.
    pub(crate) fn checks(&self) -> &Arc<ClientConfig> {
        &self.checks
    }

    /// Forgets the sessions of members that `stays` does not name.
    pub(crate) fn retain_members(&self, stays: impl Fn(u64) -> bool) {
        self.members().retain(|&(serial, _), _| stays(serial));
    }

    fn members(&self) -> MutexGuard<'_, HashMap<(u64, bool), Arc<ClientConfig>>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// For who would not understand it.
fn without_http2(mut config: ClientConfig) -> ClientConfig {
    config.alpn_protocols.retain(|protocol| protocol != HTTP2);
    config
}

/// An address is never sent (RFC 6066 §3), and not looked for in certificates.
fn server_name(address: IpAddr, name: Option<&str>) -> ServerName<'static> {
    match name.and_then(|name| DnsName::try_from(name.to_owned()).ok()) {
        Some(name) => ServerName::DnsName(name),
        None => ServerName::IpAddress(address.into()),
    }
}

fn client_config(spec: &PoolTlsSpec, identity: &PoolIdentitySpec) -> Result<ClientConfig, TlsError> {
    let crypto = crypto(&spec.ciphers);
    let algorithms = crypto.signature_verification_algorithms;
    let verifier: Arc<dyn ServerCertVerifier> = if spec.verify {
        Arc::new(Authorities::new(&identity.authorities, &identity.revocations, algorithms)?)
    } else {
        Arc::new(AnyCertificate::new(algorithms))
    };
    let own = identity.certificate.as_ref().map(|own| certified(own, &crypto)).transpose()?;
    let builder = ClientConfig::builder_with_provider(crypto)
        .with_protocol_versions(&versions(&spec.versions))
        .map_err(|_| TlsError::Unusable("set of ciphers and versions"))?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = match own {
        Some(own) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(own))),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = spec.alpn.iter().map(|protocol| protocol.clone().into_bytes()).collect();
    Ok(config)
}

fn fingerprint(spec: &PoolTlsSpec, identity: &PoolIdentitySpec) -> Fingerprint {
    let mut press = Press::default();
    press.number(usize::from(identity.certificate.is_some()));
    identity.certificate.iter().for_each(|certificate| press.certificate(certificate));
    press.number(usize::from(spec.verify));
    press.ders(&identity.authorities);
    press.ders(&identity.revocations);
    press.terms(&spec.versions, &spec.ciphers, &spec.alpn);
    press.print()
}
