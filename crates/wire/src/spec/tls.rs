//! What a listener needs to terminate TLS.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use octavia_model::{Cipher, ClientAuthentication, ListenerId, ReasonCode, TlsVersion};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

use super::{AmphoraSpec, ListenerSpec, SpecError};
use crate::ListenerFault;

/// Certificates of one listener with a key each.
const CERTIFICATES_MAX: usize = 1_024;
/// Certificates of one chain, and revocation lists of one listener or pool.
pub(super) const CHAIN_MAX: usize = 32;
/// Certificates of authorities of one listener or pool.
pub(super) const AUTHORITIES_MAX: usize = 512;
/// Names of one certificate.
const NAMES_MAX: usize = 1_024;
/// Bytes of a certificate, a key or a revocation list.
const DER_MAX: usize = 256 << 10;
/// The longest name a certificate is chosen by, in bytes.
const NAME_MAX: usize = 255;

/// TLS on the side of a listener's clients.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsSpec {
    /// `None` = it could not be had, and `fault` says why: a receiver goes on with what it has for this listener.
    pub identity: Option<IdentitySpec>,
    /// At least one.
    #[serde(with = "words")]
    pub versions: Vec<TlsVersion>,
    /// Most wanted first; at least one.
    #[serde(with = "words")]
    pub ciphers: Vec<Cipher>,
    /// Protocols to agree on by ALPN (RFC 7301), most wanted first; empty = clients' wishes are not looked at.
    pub alpn: Vec<String>,
    /// Whether clients are asked for a certificate.
    #[serde(with = "crate::text")]
    pub client_authentication: ClientAuthentication,
    /// The value of `Strict-Transport-Security` (RFC 6797) in every response.
    #[serde(default)]
    pub hsts: Option<String>,
    /// Why there is no identity.
    #[serde(default)]
    pub fault: Option<TlsFault>,
}

/// What a listener proves itself with, and whom it believes; all of it came out of secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdentitySpec {
    /// The first is for clients that name no server, or one that no certificate is for; at least one.
    pub certificates: Vec<CertificateSpec>,
    /// Authorities whose certificates clients may show.
    #[serde(default)]
    pub client_authorities: Vec<Der>,
    /// What these have revoked.
    #[serde(default)]
    pub client_revocations: Vec<Der>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateSpec {
    /// The certificate, its issuer, that one's issuer and so on.
    pub chain: Vec<Der>,
    pub key: KeySpec,
    /// Host names it is chosen by, in lower case; `*.` at the start stands for one label.
    pub names: Vec<String>,
    /// What its authority says of it now, if anybody asks that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub staple: Option<StapleSpec>,
}

/// An answer about a certificate (OCSP, RFC 6960) that clients are shown with it, whoever wants to see one. Times are in
/// seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StapleSpec {
    /// `None` = there is none to show now.
    pub response: Option<Der>,
    /// From then on it says nothing, and is not shown.
    pub until: u64,
    /// When a controller asks again.
    pub refresh_at: u64,
    /// Where there is none, one that a receiver has for the same certificate is shown on, as long as it holds.
    pub keeps: bool,
}

/// Why what a listener or a pool refers to could not be had; no secret is in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsFault {
    #[serde(with = "crate::text")]
    pub code: ReasonCode,
    pub text: String,
    pub advice: String,
}

/// A certificate or a revocation list; base64 on the wire.
#[derive(Clone, PartialEq, Eq)]
pub struct Der(pub Vec<u8>);

/// A private key: PKCS#8, PKCS#1 or SEC 1, not encrypted; base64 on the wire. `Debug` hides it; zeroed when it goes.
#[derive(Clone, PartialEq, Eq)]
pub struct KeySpec(Zeroizing<Vec<u8>>);

impl KeySpec {
    pub fn new(der: &[u8]) -> Self {
        Self(Zeroizing::new(der.to_vec()))
    }

    /// For a TLS stack; it must not be logged, or stored where others can read it.
    pub fn reveal(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for KeySpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeySpec(<secret>)")
    }
}

impl fmt::Debug for Der {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Der({} bytes)", self.0.len())
    }
}

impl Serialize for Der {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl Serialize for KeySpec {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&Zeroizing::new(STANDARD.encode(&*self.0)))
    }
}

impl<'de> Deserialize<'de> for Der {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(text).map(Self).map_err(|_| D::Error::custom("it is not base64"))
    }
}

impl<'de> Deserialize<'de> for KeySpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // What is wrong with it is not said: an error must not repeat a byte of a key.
        let wrong = |_| D::Error::custom("a private key is not base64");
        let text = Zeroizing::new(String::deserialize(deserializer)?);
        let mut der = Zeroizing::new(vec![0; base64::decoded_len_estimate(text.len())]);
        let length = STANDARD.decode_slice(text.as_bytes(), &mut der).map_err(wrong)?;
        der.truncate(length);
        Ok(Self(der))
    }
}

/// What is wrong with the TLS of a listener, or of a pool.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TlsError {
    #[error("has no TLS, and terminates it")]
    Missing,
    #[error("has TLS, and does not terminate it")]
    Unused,
    #[error("names no {0}")]
    None(&'static str),
    #[error("has {count} {what}, allowed are {allowed}")]
    Many { what: &'static str, count: usize, allowed: usize },
    #[error("has a {0} of {1} bytes, allowed are 1-{DER_MAX}")]
    Size(&'static str, usize),
    #[error("has a certificate name that is empty, longer than {NAME_MAX} bytes, or not in lower case")]
    Name,
    #[error("has an ALPN protocol of {0} bytes, allowed are 1-255")]
    Protocol(usize),
    #[error("has a Strict-Transport-Security value that is no header value")]
    Hsts,
    #[error("cannot use a {0}")]
    Unusable(&'static str),
}

impl TlsSpec {
    /// Whether there is all it takes: a listener that shall ask its clients for certificates does not go on without
    /// knowing whom to believe.
    pub fn is_ready(&self) -> bool {
        let believes = |identity: &IdentitySpec| !identity.client_authorities.is_empty();
        let asks = self.client_authentication != ClientAuthentication::None;
        self.identity.as_ref().is_some_and(|identity| !asks || believes(identity))
    }

    fn check(&self) -> Result<(), TlsError> {
        check_terms(&self.versions, &self.ciphers, &self.alpn)?;
        let visible = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
        if self.hsts.as_ref().is_some_and(|value| value.len() > NAME_MAX || !value.bytes().all(visible)) {
            return Err(TlsError::Hsts);
        }
        self.identity.as_ref().map_or(Ok(()), IdentitySpec::check)
    }
}

impl IdentitySpec {
    fn check(&self) -> Result<(), TlsError> {
        if self.certificates.is_empty() {
            return Err(TlsError::None("certificate"));
        }
        few("certificates", self.certificates.len(), CERTIFICATES_MAX)?;
        few("certificates of authorities", self.client_authorities.len(), AUTHORITIES_MAX)?;
        few("revocation lists", self.client_revocations.len(), CHAIN_MAX)?;
        self.certificates.iter().try_for_each(CertificateSpec::check)?;
        self.client_authorities.iter().try_for_each(|der| sized("certificate", &der.0))?;
        self.client_revocations.iter().try_for_each(|der| sized("revocation list", &der.0))
    }
}

impl CertificateSpec {
    pub(super) fn check(&self) -> Result<(), TlsError> {
        if self.chain.is_empty() {
            return Err(TlsError::None("certificate in a chain"));
        }
        few("certificates in a chain", self.chain.len(), CHAIN_MAX)?;
        few("names of a certificate", self.names.len(), NAMES_MAX)?;
        self.chain.iter().try_for_each(|der| sized("certificate", &der.0))?;
        sized("private key", self.key.reveal())?;
        if let Some(response) = self.staple.as_ref().and_then(|staple| staple.response.as_ref()) {
            sized("OCSP response", &response.0)?;
        }
        let lower = |name: &String| !name.bytes().any(|byte| byte.is_ascii_uppercase());
        if !self.names.iter().all(|name| (1..=NAME_MAX).contains(&name.len()) && lower(name)) {
            return Err(TlsError::Name);
        }
        Ok(())
    }
}

/// What is offered, or agreed to, alike on the sides of clients and of members.
pub(super) fn check_terms(
    versions: &[TlsVersion],
    ciphers: &[Cipher],
    alpn: &[String],
) -> Result<(), TlsError> {
    let some = |what, empty| if empty { Err(TlsError::None(what)) } else { Ok(()) };
    some("version", versions.is_empty())?;
    some("cipher", ciphers.is_empty())?;
    few("ciphers", ciphers.len(), Cipher::ALL.len())?;
    few("versions", versions.len(), TlsVersion::ALL.len())?;
    few("ALPN protocols", alpn.len(), 16)?;
    match alpn.iter().find(|protocol| !(1..=255).contains(&protocol.len())) {
        Some(odd) => Err(TlsError::Protocol(odd.len())),
        None => Ok(()),
    }
}

pub(super) fn few(what: &'static str, count: usize, allowed: usize) -> Result<(), TlsError> {
    if count > allowed { Err(TlsError::Many { what, count, allowed }) } else { Ok(()) }
}

pub(super) fn sized(what: &'static str, der: &[u8]) -> Result<(), TlsError> {
    if (1..=DER_MAX).contains(&der.len()) { Ok(()) } else { Err(TlsError::Size(what, der.len())) }
}

/// Checks the TLS of a listener that terminates it, or does not.
pub(super) fn check(listener: &ListenerSpec, terminates: bool) -> Result<(), SpecError> {
    let checked = match &listener.tls {
        None if terminates => Err(TlsError::Missing),
        Some(_) if !terminates => Err(TlsError::Unused),
        tls => tls.as_ref().map_or(Ok(()), TlsSpec::check),
    };
    checked.map_err(|fault| SpecError::Tls { listener: listener.id, fault })
}

impl ListenerSpec {
    /// Whether there is all it takes to open it.
    pub fn is_ready(&self) -> bool {
        self.tls.as_ref().is_none_or(TlsSpec::is_ready)
    }
}

impl AmphoraSpec {
    /// What is told of a listener whose TLS cannot be used; `None` without an address to tell it of.
    pub fn tls_fault(&self, listener: ListenerId, error: &TlsError) -> Option<ListenerFault> {
        Some(ListenerFault {
            listener,
            address: *self.vips.first()?,
            code: ReasonCode::SecretUnreadable,
            text: format!("The listener {error}."),
            advice: "Let it refer to another secret. Until then it goes on with the certificates it has, if it has any."
                .to_owned(),
        })
    }

    /// When a controller shall ask again what authorities say of certificates, in seconds since 1970; `None` = it does not.
    pub fn refresh_at(&self) -> Option<u64> {
        let identities =
            self.listeners.iter().filter_map(|listener| listener.tls.as_ref()?.identity.as_ref());
        let certificates = identities.flat_map(|identity| &identity.certificates);
        certificates.filter_map(|certificate| Some(certificate.staple.as_ref()?.refresh_at)).min()
    }

    /// Takes the identities of these listeners away, as if they could not be had.
    pub fn forgo_identities(&mut self, faults: &[ListenerFault]) {
        for listener in &mut self.listeners {
            let fault = faults.iter().find(|fault| fault.listener == listener.id);
            let (Some(fault), Some(tls)) = (fault, &mut listener.tls) else { continue };
            let ListenerFault { code, text, advice, .. } = fault.clone();
            (tls.identity, tls.fault) = (None, Some(TlsFault { code, text, advice }));
        }
    }
}

/// A list of words of `model`.
pub(super) mod words {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(crate) fn serialize<T: Display, S: Serializer>(all: &[T], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(all.iter().map(ToString::to_string))
    }

    pub(crate) fn deserialize<'de, T, D>(deserializer: D) -> Result<Vec<T>, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        let words = Vec::<String>::deserialize(deserializer)?;
        words.iter().map(|word| word.parse().map_err(D::Error::custom)).collect()
    }
}

#[cfg(test)]
mod tests {
    use newtype_uuid::{GenericUuid, TypedUuid};
    use octavia_model::{IdKind, ListenerProtocol};

    use super::*;
    use crate::fixtures;

    fn id<K: IdKind>(n: u128) -> TypedUuid<K> {
        TypedUuid::from_untyped_uuid(uuid::Uuid::from_u128(n))
    }

    fn tls() -> TlsSpec {
        TlsSpec {
            identity: Some(IdentitySpec {
                certificates: vec![CertificateSpec {
                    chain: vec![Der(vec![1, 2])],
                    key: KeySpec::new(b"QzX7 is the key"),
                    names: vec!["a.example".to_owned(), "*.b.example".to_owned()],
                    staple: None,
                }],
                client_authorities: vec![],
                client_revocations: vec![],
            }),
            versions: TlsVersion::ALL.to_vec(),
            ciphers: Cipher::ALL.to_vec(),
            alpn: vec!["http/1.1".to_owned()],
            client_authentication: ClientAuthentication::None,
            hsts: Some("max-age=1; preload;".to_owned()),
            fault: None,
        }
    }

    fn spec(protocol: ListenerProtocol, tls: Option<TlsSpec>) -> AmphoraSpec {
        fixtures::spec(vec![ListenerSpec { id: id(1), tls, ..fixtures::listener(protocol, 443) }])
    }

    #[test]
    fn it_crosses_the_wire_and_the_key_is_not_shown() {
        let spec = spec(ListenerProtocol::TerminatedHttps, Some(tls()));
        assert_eq!(spec.validate(), Ok(()));
        let text = serde_json::to_string(&spec).unwrap();
        assert_eq!(serde_json::from_str::<AmphoraSpec>(&text).unwrap(), spec);
        let shown = format!("{spec:?}");
        let key = tls().identity.unwrap().certificates[0].key.clone();
        let bytes = format!("{:?}", key.reveal());
        assert!(shown.contains("KeySpec(<secret>)") && !shown.contains("QzX7") && !shown.contains(&bytes));
        let broken = text.replace(&STANDARD.encode(key.reveal()), "QzX7~");
        let error = serde_json::from_str::<AmphoraSpec>(&broken).unwrap_err().to_string();
        assert!(error.contains("a private key is not base64") && !error.contains("QzX7"), "{error}");
    }

    #[test]
    fn what_is_refused_and_why() {
        let check = |change: &dyn Fn(&mut TlsSpec), expected: TlsError| {
            let mut tls = tls();
            change(&mut tls);
            let spec = spec(ListenerProtocol::TerminatedHttps, Some(tls));
            assert_eq!(spec.validate(), Err(SpecError::Tls { listener: id(1), fault: expected }));
        };
        fn first(tls: &mut TlsSpec) -> &mut CertificateSpec {
            &mut tls.identity.as_mut().unwrap().certificates[0]
        }
        check(&|tls| tls.versions.clear(), TlsError::None("version"));
        check(&|tls| tls.ciphers.clear(), TlsError::None("cipher"));
        check(&|tls| tls.alpn.push(String::new()), TlsError::Protocol(0));
        check(&|tls| tls.hsts = Some("a\r\nb: c".to_owned()), TlsError::Hsts);
        check(&|tls| tls.identity.as_mut().unwrap().certificates.clear(), TlsError::None("certificate"));
        check(&|tls| first(tls).chain.clear(), TlsError::None("certificate in a chain"));
        check(&|tls| first(tls).chain[0].0.clear(), TlsError::Size("certificate", 0));
        check(&|tls| first(tls).key = KeySpec::new(&[]), TlsError::Size("private key", 0));
        for name in ["", "A.example", &"a".repeat(256)] {
            check(&|tls| first(tls).names[0] = name.to_owned(), TlsError::Name);
        }
        let many = |what, count, allowed| TlsError::Many { what, count, allowed };
        let long = |tls: &mut TlsSpec| first(tls).chain = vec![Der(vec![1]); 33];
        check(&long, many("certificates in a chain", 33, 32));
        let protocols = |tls: &mut TlsSpec| tls.alpn = vec!["x".to_owned(); 17];
        check(&protocols, many("ALPN protocols", 17, 16));
        for (protocol, tls, fault) in [
            (ListenerProtocol::TerminatedHttps, None, TlsError::Missing),
            (ListenerProtocol::Http, Some(tls()), TlsError::Unused),
        ] {
            let refused = spec(protocol, tls).validate();
            assert_eq!(refused, Err(SpecError::Tls { listener: id(1), fault }));
        }
    }

    #[test]
    fn answers_about_certificates_are_kept_while_there_is_no_other() {
        let stapled = |response: Option<u8>, until, refresh_at, keeps| {
            let mut spec = spec(ListenerProtocol::TerminatedHttps, Some(tls()));
            let response = response.map(|byte| Der(vec![byte]));
            first(&mut spec).staple = Some(StapleSpec { response, until, refresh_at, keeps });
            spec
        };
        fn first(spec: &mut AmphoraSpec) -> &mut CertificateSpec {
            &mut spec.listeners[0].tls.as_mut().unwrap().identity.as_mut().unwrap().certificates[0]
        }
        let before = stapled(Some(7), 100, 50, true);
        for (mut after, response, until) in [
            (stapled(None, 0, 60, true), Some(7), 100),
            (stapled(None, 0, 60, false), None, 0),
            (stapled(Some(8), 200, 60, true), Some(8), 200),
        ] {
            after.keep_identities(&before);
            let staple = first(&mut after).staple.clone().unwrap();
            assert_eq!((staple.response, staple.until), (response.map(|byte| Der(vec![byte])), until));
            assert_eq!(after.refresh_at(), Some(60));
            assert_eq!(after.validate(), Ok(()));
        }
        let mut other = stapled(None, 0, 60, true);
        first(&mut other).chain[0] = Der(vec![9]);
        other.keep_identities(&before);
        assert_eq!(first(&mut other).staple.clone().unwrap().response, None, "of another certificate");
        let plain = spec(ListenerProtocol::TerminatedHttps, Some(tls()));
        assert_eq!(plain.refresh_at(), None);
        assert!(!serde_json::to_string(&plain).unwrap().contains("staple"));
        let mut great = stapled(Some(7), 1, 1, true);
        first(&mut great).staple.as_mut().unwrap().response = Some(Der(vec![0; DER_MAX + 1]));
        assert!(great.validate().is_err());
    }

    #[test]
    fn what_cannot_be_had_is_kept() {
        let before = spec(ListenerProtocol::TerminatedHttps, Some(tls()));
        let fault = TlsFault { code: ReasonCode::Internal, text: "gone".into(), advice: "find it".into() };
        let lacking = TlsSpec { identity: None, fault: Some(fault), ..tls() };
        let mut after = spec(ListenerProtocol::TerminatedHttps, Some(lacking.clone()));
        assert!(!after.listeners[0].is_ready());
        after.keep_identities(&after.clone());
        assert!(!after.listeners[0].is_ready());
        after.keep_identities(&before);
        assert!(after.listeners[0].is_ready());
        assert_eq!(after.tls_faults()[0].text, "gone");
        let kept = after.listeners[0].tls.as_mut().unwrap();
        assert_eq!(kept.identity, tls().identity);
        // What was had and cannot be used is as what cannot be had.
        let error = TlsError::Unusable("private key");
        let fault = before.tls_fault(before.listeners[0].id, &error).unwrap();
        assert_eq!(fault.text, "The listener cannot use a private key.");
        let mut forgone = before;
        forgone.forgo_identities(std::slice::from_ref(&fault));
        assert!(!forgone.listeners[0].is_ready());
        assert_eq!(forgone.tls_faults(), [fault]);
        assert_eq!(forgone.validate(), Ok(()));
        let kept = after.listeners[0].tls.as_mut().unwrap();
        // Who shall be asked for a certificate is not let in without one for want of the authority.
        kept.client_authentication = ClientAuthentication::Mandatory;
        assert!(!after.listeners[0].is_ready());
    }
}
