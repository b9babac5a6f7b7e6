//! Authorities, certificates and clients, made for a test.

use std::sync::Arc;

use octavia_model::{Cipher, ClientAuthentication, ListenerProtocol, TlsVersion};
use octavia_wire::{CertificateSpec, Der, IdentitySpec, KeySpec, PoolIdentitySpec, PoolTlsSpec, TlsSpec};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType, IsCa,
    KeyIdMethod, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, RevokedCertParams,
    SerialNumber,
};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};

use crate::rig::{Client, Origin, Rig};

pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate of its own, as `openssl req -x509` makes them: it may sign others.
pub(crate) fn self_signed(name: &str, until: i32) -> Certified {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.not_before = rcgen::date_time_ymd(2021, 2, 3);
    params.not_after = rcgen::date_time_ymd(until, 1, 1);
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let der = params.self_signed(&key).unwrap().der().clone();
    Certified { der, key, names: vec![name.to_owned()] }
}

pub(crate) struct Certified {
    pub(crate) der: CertificateDer<'static>,
    key: KeyPair,
    names: Vec<String>,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "Example");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    pub(crate) fn der(&self) -> CertificateDer<'static> {
        self.0.der().clone()
    }

    /// For a server of these names.
    pub(crate) fn server(&self, names: &[&str]) -> Certified {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names.clone()).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        self.sign(params, names)
    }

    /// For a client with this common name.
    pub(crate) fn client(&self, name: &str, serial: u64) -> Certified {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CountryName, "FR");
        params.distinguished_name.push(DnType::OrganizationName, "Example \"of\" one");
        params.distinguished_name.push(DnType::CommonName, name);
        params.serial_number = Some(SerialNumber::from(serial));
        params.not_before = rcgen::date_time_ymd(2021, 2, 3);
        params.not_after = rcgen::date_time_ymd(2049, 12, 31);
        self.sign(params, vec![])
    }

    /// For a server that is known by its common name alone.
    pub(crate) fn common(&self, name: &str) -> Certified {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        self.sign(params, vec![])
    }

    /// For a server whose time is over.
    pub(crate) fn expired(&self, name: &str) -> Certified {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2001, 1, 1);
        params.not_after = rcgen::date_time_ymd(2002, 1, 1);
        self.sign(params, vec![])
    }

    /// For a server of this name, with a serial number to revoke it by.
    pub(crate) fn numbered(&self, name: &str, serial: u64) -> Certified {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.serial_number = Some(SerialNumber::from(serial));
        self.sign(params, vec![])
    }

    fn sign(&self, params: CertificateParams, names: Vec<String>) -> Certified {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let der = params.signed_by(&key, &self.0).unwrap().der().clone();
        Certified { der, key, names }
    }

    /// A list that is good until this year.
    pub(crate) fn revokes(&self, serials: &[u64], year: i32) -> Der {
        let revoked = serials.iter().map(|&serial| RevokedCertParams {
            serial_number: SerialNumber::from(serial),
            revocation_time: rcgen::date_time_ymd(2022, 1, 1),
            reason_code: None,
            invalidity_date: None,
        });
        let params = CertificateRevocationListParams {
            this_update: rcgen::date_time_ymd(2022, 1, 1),
            next_update: rcgen::date_time_ymd(year, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        Der(params.signed_by(&self.0).unwrap().der().to_vec())
    }
}

impl Certified {
    pub(crate) fn spec(&self) -> CertificateSpec {
        CertificateSpec {
            chain: vec![Der(self.der.to_vec())],
            key: KeySpec::new(&self.key.serialize_der()),
            names: self.names.clone(),
            staple: None,
        }
    }

    /// As a server that speaks these versions; with an authority, to clients of it alone.
    pub(crate) fn server(&self, versions: &[TlsVersion], clients: Option<&Authority>) -> ServerConfig {
        let versions: Vec<_> = versions.iter().map(|&version| supported(version)).collect();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_protocol_versions(&versions).unwrap();
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(clients) => {
                let mut roots = RootCertStore::empty();
                roots.add(clients.der()).unwrap();
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                builder.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        builder.with_single_cert(vec![self.der.clone()], self.key()).unwrap()
    }

    fn key(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key.serialize_der()).into()
    }
}

/// What a listener needs to show these certificates.
pub(crate) fn tls(certificates: &[&Certified]) -> TlsSpec {
    TlsSpec {
        identity: Some(IdentitySpec {
            certificates: certificates.iter().map(|certificate| certificate.spec()).collect(),
            client_authorities: vec![],
            client_revocations: vec![],
        }),
        versions: TlsVersion::ALL.to_vec(),
        ciphers: Cipher::ALL.to_vec(),
        alpn: vec!["http/1.1".to_owned()],
        client_authentication: ClientAuthentication::None,
        hsts: None,
        fault: None,
    }
}

pub(crate) fn identity(tls: &mut TlsSpec) -> &mut IdentitySpec {
    tls.identity.as_mut().unwrap()
}

/// An engine with one listener that terminates TLS.
pub(crate) fn rig(members: &[&Origin], tls: TlsSpec) -> Rig {
    Rig::start(ListenerProtocol::TerminatedHttps, members, |spec| spec.listeners[0].tls = Some(tls))
}

/// How a pool speaks TLS with members of this authority; with any, if there is none.
pub(crate) fn member_tls(authority: Option<&Authority>) -> PoolTlsSpec {
    let authorities = authority.iter().map(|authority| Der(authority.der().to_vec())).collect();
    PoolTlsSpec {
        identity: Some(PoolIdentitySpec { authorities, ..PoolIdentitySpec::default() }),
        verify: authority.is_some(),
        versions: TlsVersion::ALL.to_vec(),
        ciphers: Cipher::ALL.to_vec(),
        alpn: vec!["http/1.1".to_owned()],
        fault: None,
    }
}

/// A member that speaks TLS, and does this with who comes.
pub(crate) fn secure(config: ServerConfig, handle: impl Fn(Client) + Send + Sync + 'static) -> Origin {
    let config = Arc::new(config);
    Origin::start(move |client| {
        // Who goes away in the middle has its reasons.
        if let Ok(client) = client.served(ServerConnection::new(Arc::clone(&config)).unwrap()) {
            handle(client);
        }
    })
}

/// A server with a certificate of X.509 version 1.
pub(crate) fn version_1_server() -> ServerConfig {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let key = PrivateKeyDer::try_from(&include_bytes!("version_1.key.der")[..]).unwrap().clone_key();
    let key = provider.key_provider.load_private_key(key).unwrap();
    let chain = vec![CertificateDer::from(include_bytes!("version_1.der").to_vec())];
    let resolver = rustls::sign::SingleCertAndKey::from(rustls::sign::CertifiedKey::new(chain, key));
    let builder = ServerConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    builder.with_no_client_auth().with_cert_resolver(Arc::new(resolver))
}

fn supported(version: TlsVersion) -> &'static rustls::SupportedProtocolVersion {
    match version {
        TlsVersion::Tls12 => &rustls::version::TLS12,
        TlsVersion::Tls13 => &rustls::version::TLS13,
    }
}

/// A client that believes an authority.
pub(crate) struct Visitor {
    pub(crate) config: ClientConfig,
}

impl Visitor {
    pub(crate) fn new(authority: &Authority, certificate: Option<&Certified>) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(authority.der()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider);
        let builder = builder.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
        let config = match certificate {
            Some(own) => builder.with_client_auth_cert(vec![own.der.clone()], own.key()).unwrap(),
            None => builder.with_no_client_auth(),
        };
        Self { config }
    }

    /// Speaks only this version.
    pub(crate) fn only(mut self, version: TlsVersion) -> Self {
        let version = supported(version);
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider);
        let builder = builder.with_protocol_versions(&[version]).unwrap();
        let verifier = Arc::new(Nobody);
        let mut config = builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
        config.client_auth_cert_resolver = self.config.client_auth_cert_resolver.clone();
        self.config = config;
        self
    }

    /// Shows another certificate beside its own, as one in between.
    pub(crate) fn showing(mut self, own: &Certified, more: &Certified) -> Self {
        let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&own.key()).unwrap();
        let shown = rustls::sign::CertifiedKey::new(vec![own.der.clone(), more.der.clone()], key);
        self.config.client_auth_cert_resolver = Arc::new(rustls::sign::SingleCertAndKey::from(shown));
        self
    }

    pub(crate) fn session(&self, name: &str) -> ClientConnection {
        let name = ServerName::try_from(name.to_owned()).unwrap();
        ClientConnection::new(Arc::new(self.config.clone()), name).unwrap()
    }

    pub(crate) fn connect(&self, rig: &Rig, name: &str) -> Result<Client, String> {
        rig.client().with_tls(self.session(name))
    }

    /// The certificate shown for this name.
    pub(crate) fn shown(&self, rig: &Rig, name: &str) -> CertificateDer<'static> {
        let mut client = self.connect(rig, name).unwrap();
        client.tls().peer_certificates().unwrap()[0].clone()
    }
}

/// Believes everything: who asks for one version is asked for nothing else.
#[derive(Debug)]
struct Nobody;

impl rustls::client::danger::ServerCertVerifier for Nobody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        use rustls::SignatureScheme as S;
        vec![S::ECDSA_NISTP256_SHA256, S::ECDSA_NISTP384_SHA384, S::RSA_PSS_SHA256, S::RSA_PKCS1_SHA256]
    }
}
