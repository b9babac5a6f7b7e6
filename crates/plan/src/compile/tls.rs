//! How a listener terminates TLS, and how a pool speaks it with its members (`reference/amphora.md` §9.3, §9.5).

use octavia_model::{Cipher, Listener, Pool, ReasonCode, Tls, TlsVersion};
use octavia_wire::{IdentitySpec, PoolIdentitySpec, PoolTlsSpec, TlsFault, TlsSpec};

/// Protocols that are spoken, of those that ALPN can name.
const SPOKEN: &[&str] = &["h2", "http/1.1", "http/1.0"];

/// `identity` is what its references lead to, if anybody has looked.
pub(super) fn tls(listener: &Listener, identity: Option<&Result<IdentitySpec, TlsFault>>) -> TlsSpec {
    let terms = Terms::of(&listener.tls, identity, "listener");
    let mut spec = TlsSpec {
        identity: terms.identity,
        versions: terms.versions,
        ciphers: terms.ciphers,
        alpn: alpn(&listener.tls),
        client_authentication: listener.client_authentication,
        hsts: hsts(listener),
        fault: terms.fault,
    };
    // An update may take the authority away. Whom it believed until then is not believed any longer.
    if spec.identity.is_some() && !spec.is_ready() {
        spec.fault = Some(no_authority());
    }
    spec
}

fn no_authority() -> TlsFault {
    TlsFault {
        code: ReasonCode::ConfigurationRefused,
        text: "The listener asks clients for certificates, and there is no authority to check them by: it is closed."
            .to_owned(),
        advice: "Set client_ca_tls_container_ref, or client_authentication to NONE.".to_owned(),
    }
}

/// The same of a pool that speaks TLS with its members. As with the original, they are verified if there is an authority
/// to do it by.
pub(super) fn pool_tls(pool: &Pool, identity: Option<&Result<PoolIdentitySpec, TlsFault>>) -> PoolTlsSpec {
    let terms = Terms::of(&pool.tls, identity, "pool");
    PoolTlsSpec {
        identity: terms.identity,
        verify: pool.ca_tls_container_ref.is_some(),
        versions: terms.versions,
        ciphers: terms.ciphers,
        alpn: alpn(&pool.tls),
        fault: terms.fault,
    }
}

/// What can be spoken of what is stored, and what was found for it.
struct Terms<I> {
    identity: Option<I>,
    versions: Vec<TlsVersion>,
    ciphers: Vec<Cipher>,
    fault: Option<TlsFault>,
}

impl<I: Clone> Terms<I> {
    fn of(tls: &Tls, identity: Option<&Result<I, TlsFault>>, whose: &str) -> Self {
        let (mut versions, mut ciphers) = (tls.spoken_versions(), tls.spoken_ciphers());
        let (mut identity, mut fault) = match identity.cloned() {
            Some(Ok(identity)) => (Some(identity), None),
            Some(Err(fault)) => (None, Some(fault)),
            None => (None, None),
        };
        if versions.is_empty() || ciphers.is_empty() {
            (versions, ciphers) = (TlsVersion::ALL.to_vec(), Cipher::ALL.to_vec());
            (identity, fault) = (None, Some(unspoken(whose)));
        }
        Self { identity, versions, ciphers, fault }
    }
}

/// The API lets no such list in; another one may have.
fn unspoken(whose: &str) -> TlsFault {
    TlsFault {
        code: ReasonCode::ConfigurationRefused,
        text: format!("None of the TLS versions and ciphers that the {whose} names is spoken here."),
        advice: "Set tls_versions to TLSv1.2, TLSv1.3 or both, and tls_ciphers to null for the default list."
            .to_owned(),
    }
}

/// Each once, however often users name it.
fn alpn(tls: &Tls) -> Vec<String> {
    let mut offered: Vec<String> = vec![];
    for wanted in tls.alpn_protocols.iter().flatten() {
        if SPOKEN.contains(&wanted.as_str()) && !offered.contains(wanted) {
            offered.push(wanted.clone());
        }
    }
    offered
}

/// In the words, and with the semicolons, of the original.
fn hsts(listener: &Listener) -> Option<String> {
    let mut value = format!("max-age={};", listener.hsts_max_age?);
    for (wanted, word) in
        [(listener.hsts_include_subdomains, " includeSubDomains;"), (listener.hsts_preload, " preload;")]
    {
        value.push_str(if wanted { word } else { "" });
    }
    Some(value)
}
