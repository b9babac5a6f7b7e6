//! How a listener terminates TLS (`reference/amphora.md` §9.3).

use octavia_model::{Cipher, Listener, ReasonCode, TlsVersion};
use octavia_wire::{IdentitySpec, TlsFault, TlsSpec};

/// Protocols that are spoken to clients, of those that ALPN can name.
const PROTOCOLS: [&str; 2] = ["http/1.1", "http/1.0"];

/// `identity` is what its references lead to, if anybody has looked.
pub(super) fn tls(listener: &Listener, identity: Option<&Result<IdentitySpec, TlsFault>>) -> TlsSpec {
    let (mut versions, mut ciphers) = (listener.tls.spoken_versions(), listener.tls.spoken_ciphers());
    let (mut identity, mut fault) = match identity.cloned() {
        Some(Ok(identity)) => (Some(identity), None),
        Some(Err(fault)) => (None, Some(fault)),
        None => (None, None),
    };
    if versions.is_empty() || ciphers.is_empty() {
        (versions, ciphers) = (TlsVersion::ALL.to_vec(), Cipher::ALL.to_vec());
        (identity, fault) = (None, Some(unspoken()));
    }
    let mut spec = TlsSpec {
        identity,
        versions,
        ciphers,
        alpn: alpn(listener),
        client_authentication: listener.client_authentication,
        hsts: hsts(listener),
        fault,
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

/// The API lets no such list in; another one may have.
fn unspoken() -> TlsFault {
    TlsFault {
        code: ReasonCode::ConfigurationRefused,
        text: "None of the TLS versions and ciphers that the listener names is spoken here.".to_owned(),
        advice: "Set tls_versions to TLSv1.2, TLSv1.3 or both, and tls_ciphers to null for the default list."
            .to_owned(),
    }
}

/// Each once, however often users name it.
fn alpn(listener: &Listener) -> Vec<String> {
    let mut offered: Vec<String> = vec![];
    for wanted in listener.tls.alpn_protocols.iter().flatten() {
        if PROTOCOLS.contains(&wanted.as_str()) && !offered.contains(wanted) {
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
