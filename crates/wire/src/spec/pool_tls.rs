//! What a pool needs to speak TLS with its members.

use octavia_model::{Cipher, PoolId, TlsVersion};
use serde::{Deserialize, Serialize};

use super::tls::{AUTHORITIES_MAX, CHAIN_MAX, check_terms, few, sized, words};
use super::{
    AmphoraSpec, CertificateSpec, Der, ListenerSpec, PoolSpec, SpecError, StapleSpec, TlsError, TlsFault,
};
use crate::ListenerFault;

/// TLS on the side of a pool's members.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolTlsSpec {
    /// `None` = it could not be had, and `fault` says why: a receiver goes on with what it has for this pool.
    pub identity: Option<PoolIdentitySpec>,
    /// Whether a member has to prove who it is; `false` = any certificate is good.
    pub verify: bool,
    /// At least one.
    #[serde(with = "words")]
    pub versions: Vec<TlsVersion>,
    /// Most wanted first; at least one.
    #[serde(with = "words")]
    pub ciphers: Vec<Cipher>,
    /// Protocols offered by ALPN (RFC 7301), most wanted first; empty = nothing is said of them.
    pub alpn: Vec<String>,
    /// Why there is no identity.
    #[serde(default)]
    pub fault: Option<TlsFault>,
}

/// What a pool proves itself with, and by whom it knows members; all of it came out of secrets.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolIdentitySpec {
    /// Shown to members that ask for one.
    pub certificate: Option<CertificateSpec>,
    /// Authorities whose certificates members may show.
    #[serde(default)]
    pub authorities: Vec<Der>,
    /// What these have revoked.
    #[serde(default)]
    pub revocations: Vec<Der>,
}

impl PoolTlsSpec {
    /// Whether there is all it takes: who shall verify members does not go on without knowing whom to believe.
    pub fn is_ready(&self) -> bool {
        let believes = |identity: &PoolIdentitySpec| !identity.authorities.is_empty();
        self.identity.as_ref().is_some_and(|identity| !self.verify || believes(identity))
    }

    fn check(&self) -> Result<(), TlsError> {
        check_terms(&self.versions, &self.ciphers, &self.alpn)?;
        let Some(identity) = &self.identity else { return Ok(()) };
        identity.certificate.as_ref().map_or(Ok(()), CertificateSpec::check)?;
        few("certificates of authorities", identity.authorities.len(), AUTHORITIES_MAX)?;
        few("revocation lists", identity.revocations.len(), CHAIN_MAX)?;
        identity.authorities.iter().try_for_each(|der| sized("certificate", &der.0))?;
        identity.revocations.iter().try_for_each(|der| sized("revocation list", &der.0))
    }
}

/// Checks the TLS of a pool that speaks it with its members.
pub(super) fn check(pool: &PoolSpec) -> Result<(), SpecError> {
    let checked = pool.tls.as_ref().map_or(Ok(()), PoolTlsSpec::check);
    checked.map_err(|fault| SpecError::PoolTls { pool: pool.id, fault })
}

impl AmphoraSpec {
    /// Listeners and pools whose identity could not be had get the one they have in `before`, if they are there and
    /// have one.
    pub fn keep_identities(&mut self, before: &Self) {
        for listener in &mut self.listeners {
            let Some(tls) = listener.tls.as_mut().filter(|tls| tls.identity.is_none()) else { continue };
            let known = before.listeners.iter().find(|known| known.id == listener.id);
            tls.identity = known.and_then(|known| known.tls.as_ref()?.identity.clone());
        }
        self.keep_staples(before);
        for pool in &mut self.pools {
            let Some(tls) = pool.tls.as_mut().filter(|tls| tls.identity.is_none()) else { continue };
            let known = before.pools.iter().find(|known| known.id == pool.id);
            tls.identity = known.and_then(|known| known.tls.as_ref()?.identity.clone());
        }
    }

    fn keep_staples(&mut self, before: &Self) {
        for listener in &mut self.listeners {
            let known = before.listeners.iter().find(|known| known.id == listener.id);
            let known = known.and_then(|known| known.tls.as_ref()?.identity.as_ref());
            let Some(own) = listener.tls.as_mut().and_then(|tls| tls.identity.as_mut()) else { continue };
            for certificate in &mut own.certificates {
                let same = |known: &&CertificateSpec| known.chain.first() == certificate.chain.first();
                let known = known.and_then(|known| known.certificates.iter().find(same)?.staple.as_ref());
                let lacks = |staple: &&mut StapleSpec| staple.response.is_none() && staple.keeps;
                if let (Some(staple), Some(known)) = (certificate.staple.as_mut().filter(lacks), known) {
                    (staple.response, staple.until) = (known.response.clone(), known.until);
                }
            }
        }
    }

    /// Listeners that do not run as they should for want of what they, or the pools they lead to, refer to; one fault
    /// each.
    pub fn tls_faults(&self) -> Vec<ListenerFault> {
        let Some(&address) = self.vips.first() else { return vec![] };
        let of_pool = |id: PoolId| {
            let pool = self.pools.iter().find(|pool| pool.id == id)?;
            let fault = pool.tls.as_ref()?.fault.clone()?;
            Some(TlsFault { text: format!("Pool {id}: {}", fault.text), ..fault })
        };
        let fault = |listener: &ListenerSpec| {
            let own = listener.tls.as_ref().and_then(|tls| tls.fault.clone());
            let TlsFault { code, text, advice } = own.or_else(|| listener.pools().find_map(of_pool))?;
            Some(ListenerFault { listener: listener.id, address, code, text, advice })
        };
        self.listeners.iter().filter_map(fault).collect()
    }
}

#[cfg(test)]
mod tests {
    use newtype_uuid::{GenericUuid, TypedUuid};
    use octavia_model::{Algorithm, IdKind, ListenerProtocol, PoolProtocol, ReasonCode};

    use super::*;
    use crate::{KeySpec, WIRE_VERSION, fixtures};

    fn id<K: IdKind>(n: u128) -> TypedUuid<K> {
        TypedUuid::from_untyped_uuid(uuid::Uuid::from_u128(n))
    }

    fn tls() -> PoolTlsSpec {
        PoolTlsSpec {
            identity: Some(PoolIdentitySpec {
                certificate: Some(CertificateSpec {
                    chain: vec![Der(vec![1, 2])],
                    key: KeySpec::new(b"QzX7 is the key"),
                    names: vec![],
                    staple: None,
                }),
                authorities: vec![Der(vec![3])],
                revocations: vec![Der(vec![4])],
            }),
            verify: true,
            versions: TlsVersion::ALL.to_vec(),
            ciphers: Cipher::ALL.to_vec(),
            alpn: vec!["http/1.1".to_owned()],
            fault: None,
        }
    }

    fn spec(tls: Option<PoolTlsSpec>) -> AmphoraSpec {
        let pool = PoolSpec {
            id: id(1),
            protocol: PoolProtocol::Http,
            algorithm: Algorithm::RoundRobin,
            persistence: None,
            members: vec![],
            monitor: None,
            tls,
        };
        let http = fixtures::listener(ListenerProtocol::Http, 80);
        let listener = ListenerSpec { id: id(1), default_pool: Some(pool.id), ..http };
        AmphoraSpec { pools: vec![pool], ..fixtures::spec(vec![listener]) }
    }

    #[test]
    fn it_crosses_the_wire_and_the_key_is_not_shown() {
        let spec = spec(Some(tls()));
        assert_eq!(spec.validate(), Ok(()));
        let text = serde_json::to_string(&spec).unwrap();
        assert_eq!(serde_json::from_str::<AmphoraSpec>(&text).unwrap(), spec);
        let shown = format!("{spec:?}");
        let bytes = format!("{:?}", b"QzX7 is the key");
        assert!(shown.contains("KeySpec(<secret>)") && !shown.contains("QzX7") && !shown.contains(&bytes));
    }

    #[test]
    fn what_older_agents_must_not_take_has_a_version_they_refuse() {
        let http2 = PoolTlsSpec { alpn: vec!["http/1.1".to_owned(), "h2".to_owned()], ..tls() };
        for (tls, version) in [(None, 1), (Some(tls()), 2), (Some(http2), 3)] {
            let mut spec = spec(tls);
            spec.version = AmphoraSpec::version_of(&spec.listeners, &spec.pools, spec.network.as_ref());
            assert_eq!((spec.version, spec.validate()), (version, Ok(())));
        }
        for version in [0, WIRE_VERSION + 1] {
            let spec = AmphoraSpec { version, ..spec(None) };
            assert_eq!(spec.validate(), Err(SpecError::Version(version)));
        }
    }

    #[test]
    fn what_is_refused_and_why() {
        let check = |change: &dyn Fn(&mut PoolTlsSpec, &mut PoolIdentitySpec), expected: TlsError| {
            let mut tls = tls();
            let mut identity = tls.identity.take().unwrap();
            change(&mut tls, &mut identity);
            tls.identity = Some(identity);
            let refused = SpecError::PoolTls { pool: id(1), fault: expected };
            assert_eq!(spec(Some(tls)).validate(), Err(refused));
        };
        check(&|tls, _| tls.versions.clear(), TlsError::None("version"));
        check(&|tls, _| tls.ciphers.clear(), TlsError::None("cipher"));
        check(&|tls, _| tls.alpn.push(String::new()), TlsError::Protocol(0));
        check(
            &|_, identity| identity.certificate.as_mut().unwrap().chain.clear(),
            TlsError::None("certificate in a chain"),
        );
        check(&|_, identity| identity.authorities[0].0.clear(), TlsError::Size("certificate", 0));
        check(&|_, identity| identity.revocations[0].0.clear(), TlsError::Size("revocation list", 0));
        let many = |what, count, allowed| TlsError::Many { what, count, allowed };
        check(
            &|_, identity| identity.authorities = vec![Der(vec![1]); 513],
            many("certificates of authorities", 513, 512),
        );
        check(&|_, identity| identity.revocations = vec![Der(vec![1]); 33], many("revocation lists", 33, 32));
    }

    #[test]
    fn what_cannot_be_had_is_kept_and_told_on_the_listener() {
        let before = spec(Some(tls()));
        let fault = TlsFault { code: ReasonCode::Internal, text: "gone".into(), advice: "find it".into() };
        let mut after = spec(Some(PoolTlsSpec { identity: None, fault: Some(fault), ..tls() }));
        let is_ready = |spec: &AmphoraSpec| spec.pools[0].tls.as_ref().unwrap().is_ready();
        assert!(!is_ready(&after));
        after.keep_identities(&after.clone());
        assert!(!is_ready(&after));
        after.keep_identities(&before);
        assert!(is_ready(&after));
        let [told] = &after.tls_faults()[..] else { panic!("not one fault") };
        assert_eq!((told.listener, told.code), (id(1), ReasonCode::Internal));
        assert_eq!(told.text, format!("Pool {}: gone", after.pools[0].id));
        // Who shall be verified is not taken at its word for want of the authority.
        after.pools[0].tls.as_mut().unwrap().identity.as_mut().unwrap().authorities.clear();
        assert!(!is_ready(&after));
        after.listeners[0].default_pool = None;
        assert_eq!(after.tls_faults(), []);
    }
}
