//! TLS preferences, alike on listeners and pools.

use octavia_model::{Cipher, Tls, TlsVersion};

use crate::fault::Fault;
use crate::options::{ApiOptions, TlsDefaults};
use crate::request::{TLS_VERSIONS, TlsBody};

/// `strict`: empty lists and versions below the lowest are refused too, which the original does only where they would
/// take effect.
pub(super) fn check(body: &TlsBody, strict: bool, options: &ApiOptions) -> Result<(), Fault> {
    if let Some(ciphers) = body.ciphers.get() {
        if ciphers.is_empty() || !ciphers.bytes().all(is_cipher_byte) {
            return Err(Fault::validation("Invalid characters in tls_ciphers."));
        }
        let prohibited: Vec<_> = ciphers
            .split(':')
            .filter(|cipher| options.tls_cipher_prohibit_list.iter().any(|bad| bad == cipher))
            .collect();
        if !prohibited.is_empty() {
            return Err(Fault::validation(format!(
                "These ciphers are not allowed in this deployment: {}",
                prohibited.join(", ")
            )));
        }
    }
    if strict && body.versions.get().is_some_and(Vec::is_empty) {
        return Err(Fault::validation("At least one TLS version must be named."));
    }
    if let Some(lowest) = options.minimum_tls_version.as_deref().filter(|_| strict) {
        let low = below(body.versions.get().map_or(&[], Vec::as_slice), lowest);
        if !low.is_empty() {
            return Err(Fault::validation(format!(
                "TLS versions below {lowest} are not allowed in this deployment: {}",
                low.join(", ")
            )));
        }
    }
    if strict && body.alpn_protocols.get().is_some_and(Vec::is_empty) {
        return Err(Fault::validation("At least one ALPN protocol must be named."));
    }
    Ok(())
}

/// Those that are older than `lowest`.
fn below<'a>(versions: &'a [String], lowest: &str) -> Vec<&'a str> {
    let age = |version: &str| TLS_VERSIONS.iter().position(|known| *known == version);
    versions.iter().map(String::as_str).filter(|version| age(version) < age(lowest)).collect()
}

/// Why nobody, or not everybody who is meant, could agree with the data plane on such preferences; `None` = they can.
///
/// A version is asked for by name, for clients that have no other; a list of ciphers is what may be taken, and those
/// that are not spoken are passed over as long as one is left.
pub(super) fn unspoken(tls: &Tls) -> Option<String> {
    let spoken = TlsVersion::WORDS;
    let odd: Vec<_> =
        tls.versions.iter().flatten().filter(|v| !spoken.contains(&v.as_str())).map(String::as_str).collect();
    if !odd.is_empty() {
        return Some(format!(
            "TLS is spoken in the versions {}; tls_versions names {}.",
            spoken.join(" and "),
            odd.join(", ")
        ));
    }
    if tls.spoken_ciphers().is_empty() {
        let of = |version| {
            let all = Cipher::ALL.iter().filter(|cipher| cipher.version() == version);
            all.map(|cipher| cipher.as_str()).collect::<Vec<_>>().join(", ")
        };
        return Some(format!(
            "None of the ciphers in tls_ciphers is spoken with these tls_versions. Spoken are, with TLSv1.2: {}; with \
             TLSv1.3: {}.",
            of(TlsVersion::Tls12),
            of(TlsVersion::Tls13)
        ));
    }
    None
}

fn is_cipher_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-+!:@=_.".contains(&byte)
}

/// `spoken`: what was not sent has its default, as TLS needs all three.
pub(super) fn create(body: &TlsBody, spoken: bool, defaults: &TlsDefaults) -> Tls {
    let list = |default: &Vec<String>| spoken.then(|| default.clone());
    Tls {
        ciphers: body.ciphers.get().cloned().or(spoken.then(|| defaults.ciphers.clone())),
        versions: body.versions.get().cloned().or(list(&defaults.versions)),
        alpn_protocols: body.alpn_protocols.get().cloned().or(list(&defaults.alpn_protocols)),
    }
}

/// `null_alpn` is what null makes of the ALPN list: the defaults on a listener, nothing on a pool.
pub(super) fn update(tls: &mut Tls, body: &TlsBody, defaults: &TlsDefaults, null_alpn: Option<Vec<String>>) {
    body.ciphers.clone().map(Some).change(&mut tls.ciphers, Some(defaults.ciphers.clone()));
    body.versions.clone().map(Some).change(&mut tls.versions, Some(defaults.versions.clone()));
    body.alpn_protocols.clone().map(Some).change(&mut tls.alpn_protocols, null_alpn);
}
