//! A listener's side of handshakes, driven as a traffic thread does it, and clients that remember their sessions.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use newtype_uuid::{GenericUuid, TypedUuid};
use octavia_model::{Cipher, ClientAuthentication, ListenerId, LoadBalancerId, TlsVersion};
use octavia_wire::{CertificateSpec, Der, IdentitySpec, KeySpec, TicketSpec, TlsSpec};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, IsCa, KeyIdMethod,
    KeyPair, KeyUsagePurpose, SerialNumber,
};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{
    ClientSessionMemoryCache, ClientSessionStore, Resumption, Tls12ClientSessionValue,
    Tls13ClientSessionValue,
};
use rustls::crypto::aws_lc_rs as provider;
use rustls::time_provider::TimeProvider;
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, HandshakeKind, NamedGroup, ServerConnection,
    SignatureScheme,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};

use super::super::{AnyCertificate, TlsConf, Visit, version};

pub(super) const HOUR: u64 = 3_600;
pub(super) const VERSIONS: [TlsVersion; 2] = [TlsVersion::Tls12, TlsVersion::Tls13];

pub(super) fn listener(n: u128) -> ListenerId {
    TypedUuid::from_untyped_uuid(uuid::Uuid::from_u128(n))
}

pub(super) fn lb(n: u128) -> LoadBalancerId {
    TypedUuid::from_untyped_uuid(uuid::Uuid::from_u128(n))
}

#[derive(Debug, Clone)]
pub(super) struct Clock(Arc<AtomicU64>);

impl Clock {
    pub(super) fn at(seconds: u64) -> Self {
        Self(Arc::new(AtomicU64::new(seconds)))
    }

    pub(super) fn set(&self, seconds: u64) {
        self.0.store(seconds, SeqCst);
    }
}

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(std::time::Duration::from_secs(self.0.load(SeqCst))))
    }
}

pub(super) fn start(
    clock: &Clock,
    listener: ListenerId,
    tls: &TlsSpec,
    tickets: Option<&TicketSpec>,
    before: Option<&Arc<TlsConf>>,
) -> Arc<TlsConf> {
    TlsConf::compile_by(Arc::new(clock.clone()), listener, tls, tickets, before).unwrap().unwrap()
}

/// A server's certificate, and an authority of clients.
pub(super) struct Pki {
    server: CertificateSpec,
    clients: CertifiedIssuer<'static, KeyPair>,
}

pub(super) type Own = (CertificateDer<'static>, PrivateKeyDer<'static>);

impl Pki {
    pub(super) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let der = CertificateParams::new(vec!["a.example".to_owned()]).unwrap().self_signed(&key).unwrap();
        let server = CertificateSpec {
            chain: vec![Der(der.der().to_vec())],
            key: KeySpec::new(&key.serialize_der()),
            names: vec!["a.example".to_owned()],
            staple: None,
        };
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let clients = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Self { server, clients }
    }

    pub(super) fn tls(&self) -> TlsSpec {
        TlsSpec {
            identity: Some(IdentitySpec {
                certificates: vec![self.server.clone()],
                client_authorities: vec![],
                client_revocations: vec![],
            }),
            versions: TlsVersion::ALL.to_vec(),
            ciphers: Cipher::ALL.to_vec(),
            alpn: vec![],
            client_authentication: ClientAuthentication::None,
            hsts: None,
            fault: None,
        }
    }

    /// With revocation lists that are good until these seconds.
    pub(super) fn asking(&self, mode: ClientAuthentication, lists: &[u64]) -> TlsSpec {
        let mut tls = TlsSpec { client_authentication: mode, ..self.tls() };
        let identity = tls.identity.as_mut().unwrap();
        identity.client_authorities = vec![Der(self.clients.der().to_vec())];
        identity.client_revocations = lists.iter().map(|&until| self.list(until)).collect();
        tls
    }

    fn list(&self, until: u64) -> Der {
        let params = CertificateRevocationListParams {
            this_update: rcgen::date_time_ymd(2022, 1, 1),
            next_update: rcgen::date_time_ymd(1970, 1, 1) + std::time::Duration::from_secs(until),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: vec![],
            key_identifier_method: KeyIdMethod::Sha256,
        };
        Der(params.signed_by(&self.clients).unwrap().der().to_vec())
    }

    /// A client's certificate that is valid until these seconds.
    pub(super) fn client(&self, until: u64) -> Own {
        let mut params = CertificateParams::default();
        params.not_before = rcgen::date_time_ymd(2022, 1, 1);
        params.not_after = rcgen::date_time_ymd(1970, 1, 1) + std::time::Duration::from_secs(until);
        let key = KeyPair::generate().unwrap();
        let der = params.signed_by(&key, &self.clients).unwrap().der().clone();
        (der, PrivatePkcs8KeyDer::from(key.serialize_der()).into())
    }
}

/// A client of one version, whose own clock stands still. It offers its last session to whoever it comes to.
pub(super) struct Visitor(ClientConfig, Arc<Anybody>);

/// Takes any certificate, and notes what is shown with it.
#[derive(Debug)]
struct Anybody {
    taken: AnyCertificate,
    staple: Mutex<Vec<u8>>,
}

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        more: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        staple: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        *self.staple.lock().unwrap() = staple.to_vec();
        self.taken.verify_server_cert(shown, more, name, staple, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.taken.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.taken.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.taken.supported_verify_schemes()
    }
}

impl Visitor {
    pub(super) fn new(only: TlsVersion, own: Option<Own>) -> Self {
        let crypto = provider::default_provider();
        let taken = AnyCertificate::new(crypto.signature_verification_algorithms);
        let anybody = Arc::new(Anybody { taken, staple: Mutex::default() });
        let builder = ClientConfig::builder_with_details(Arc::new(crypto), Arc::new(Clock::at(super::START)))
            .with_protocol_versions(&[version(only)])
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(&anybody) as _);
        let mut config = match own {
            Some((der, key)) => builder.with_client_auth_cert(vec![der], key).unwrap(),
            None => builder.with_no_client_auth(),
        };
        config.resumption = Resumption::store(Arc::new(OfAnyName(ClientSessionMemoryCache::new(32))));
        Self(config, anybody)
    }

    /// Whether a session was resumed, or why there is none.
    pub(super) fn visit(&self, conf: &TlsConf, name: &str) -> Result<bool, String> {
        let mut meeting = Meeting::new(&self.0, conf, name);
        while meeting.step()? {}
        assert!(!meeting.client.is_handshaking());
        Ok(meeting.client.handshake_kind() == Some(HandshakeKind::Resumed))
    }

    /// What was shown with the last certificate that it saw; empty = nothing.
    pub(super) fn staple(&self) -> Vec<u8> {
        self.1.staple.lock().unwrap().clone()
    }
}

/// Remembers no names.
#[derive(Debug)]
struct OfAnyName(ClientSessionMemoryCache);

impl ClientSessionStore for OfAnyName {
    fn set_kx_hint(&self, _: ServerName<'static>, group: NamedGroup) {
        self.0.set_kx_hint(server_name("any"), group);
    }

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        self.0.kx_hint(&server_name("any"))
    }

    fn set_tls12_session(&self, _: ServerName<'static>, value: Tls12ClientSessionValue) {
        self.0.set_tls12_session(server_name("any"), value);
    }

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.0.tls12_session(&server_name("any"))
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {
        self.0.remove_tls12_session(&server_name("any"));
    }

    fn insert_tls13_ticket(&self, _: ServerName<'static>, value: Tls13ClientSessionValue) {
        self.0.insert_tls13_ticket(server_name("any"), value);
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.0.take_tls13_ticket(&server_name("any"))
    }
}

/// All of them, each one step after the other.
pub(super) fn visit_at_once(conf: &TlsConf, visitors: &[&Visitor]) {
    let mut meetings: Vec<_> = visitors.iter().map(|v| Meeting::new(&v.0, conf, "a.example")).collect();
    let mut go_on = true;
    while go_on {
        go_on = false;
        for meeting in &mut meetings {
            go_on |= meeting.step().unwrap();
        }
    }
    assert!(meetings.iter().all(|meeting| !meeting.client.is_handshaking()));
}

/// A client and a listener that shake hands.
struct Meeting {
    client: ClientConnection,
    server: ServerConnection,
    visit: Visit,
    /// What the client has said and the server has not heard.
    said: Vec<u8>,
}

impl Meeting {
    fn new(config: &ClientConfig, conf: &TlsConf, name: &str) -> Self {
        Self {
            client: ClientConnection::new(Arc::new(config.clone()), server_name(name)).unwrap(),
            server: ServerConnection::new(Arc::clone(&conf.server)).unwrap(),
            visit: Visit::new(),
            said: vec![],
        }
    }

    /// A few bytes there, and what is said to them; `false` = nobody has anything to say.
    fn step(&mut self) -> Result<bool, String> {
        while self.client.wants_write() {
            self.client.write_tls(&mut self.said).unwrap();
        }
        let crumb: Vec<_> = self.said.drain(..self.said.len().min(100)).collect();
        std::mem::replace(&mut self.visit, Visit::new()).resume();
        let mut heard = Ok(());
        if !crumb.is_empty() {
            self.server.read_tls(&mut &crumb[..]).unwrap();
            heard = self.server.process_new_packets().map(drop);
        }
        self.visit = Visit::pause();
        heard.map_err(|error| error.to_string())?;
        let mut answer = vec![];
        while self.server.wants_write() {
            self.server.write_tls(&mut answer).unwrap();
        }
        let mut rest = &answer[..];
        while !rest.is_empty() {
            self.client.read_tls(&mut rest).unwrap();
            self.client.process_new_packets().map_err(|error| error.to_string())?;
        }
        Ok(!crumb.is_empty() || !answer.is_empty())
    }
}

fn server_name(name: &str) -> ServerName<'static> {
    ServerName::try_from(name.to_owned()).unwrap()
}
