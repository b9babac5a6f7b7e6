//! TLS preferences, alike on listeners and pools.

use octavia_model::{Cipher, Tls, TlsVersion};

use crate::fault::Fault;
use crate::options::ApiOptions;
use crate::request::TlsBody;

/// Ciphers of a listener or pool that names none, in order of preference.
pub(super) const DEFAULT_CIPHERS: &str = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:\
TLS_CHACHA20_POLY1305_SHA256:ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:\
ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:\
ECDHE-RSA-CHACHA20-POLY1305:DHE-RSA-AES128-GCM-SHA256:DHE-RSA-AES256-GCM-SHA384:\
DHE-RSA-CHACHA20-POLY1305";

pub(super) fn default_versions() -> Vec<String> {
    ["TLSv1.2", "TLSv1.3"].map(str::to_owned).to_vec()
}

pub(super) fn default_alpn() -> Vec<String> {
    ["h2", "http/1.1", "http/1.0"].map(str::to_owned).to_vec()
}

/// `strict`: empty lists are refused too, which the original does only where they would take effect.
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
    if strict && body.alpn_protocols.get().is_some_and(Vec::is_empty) {
        return Err(Fault::validation("At least one ALPN protocol must be named."));
    }
    Ok(())
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
pub(super) fn create(body: &TlsBody, spoken: bool) -> Tls {
    Tls {
        ciphers: body.ciphers.get().cloned().or(spoken.then(|| DEFAULT_CIPHERS.to_owned())),
        versions: body.versions.get().cloned().or(spoken.then(default_versions)),
        alpn_protocols: body.alpn_protocols.get().cloned().or(spoken.then(default_alpn)),
    }
}

/// `null_alpn` is what null makes of the ALPN list: the defaults on a listener, nothing on a pool.
pub(super) fn update(tls: &mut Tls, body: &TlsBody, null_alpn: Option<Vec<String>>) {
    body.ciphers.clone().map(Some).change(&mut tls.ciphers, Some(DEFAULT_CIPHERS.to_owned()));
    body.versions.clone().map(Some).change(&mut tls.versions, Some(default_versions()));
    body.alpn_protocols.clone().map(Some).change(&mut tls.alpn_protocols, null_alpn);
}
