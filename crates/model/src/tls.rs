//! The versions and ciphers of TLS that are spoken here, and what they are chosen by: words of OpenSSL.
//!
//! Of what OpenSSL knows only that is spoken which keeps what was said secret when a key leaks later (an ephemeral key
//! exchange on curves) and notices every change of it (AEAD).

use crate::resource::Tls;
use crate::text_enum::text_enum;

text_enum! {
    /// Versions of TLS that are spoken; the API knows older ones by name.
    TlsVersion {
        Tls12 = "TLSv1.2",
        Tls13 = "TLSv1.3",
    }
}

text_enum! {
    /// Ciphers that are spoken, by OpenSSL's names, in order of preference.
    Cipher {
        Aes128GcmSha256 = "TLS_AES_128_GCM_SHA256",
        Aes256GcmSha384 = "TLS_AES_256_GCM_SHA384",
        Chacha20Poly1305Sha256 = "TLS_CHACHA20_POLY1305_SHA256",
        EcdheEcdsaAes128Gcm = "ECDHE-ECDSA-AES128-GCM-SHA256",
        EcdheRsaAes128Gcm = "ECDHE-RSA-AES128-GCM-SHA256",
        EcdheEcdsaAes256Gcm = "ECDHE-ECDSA-AES256-GCM-SHA384",
        EcdheRsaAes256Gcm = "ECDHE-RSA-AES256-GCM-SHA384",
        EcdheEcdsaChacha20 = "ECDHE-ECDSA-CHACHA20-POLY1305",
        EcdheRsaChacha20 = "ECDHE-RSA-CHACHA20-POLY1305",
    }
}

impl Cipher {
    /// The one version it is for.
    pub const fn version(self) -> TlsVersion {
        match self {
            Self::Aes128GcmSha256 | Self::Aes256GcmSha384 | Self::Chacha20Poly1305Sha256 => TlsVersion::Tls13,
            _ => TlsVersion::Tls12,
        }
    }

    /// Whether a keyword of OpenSSL's cipher strings (ciphers(1)) names it. Those of TLS 1.3 are named only by their
    /// own names, as there.
    fn is_a(self, keyword: &str) -> bool {
        let name = self.as_str();
        if keyword == name {
            return true;
        }
        if self.version() == TlsVersion::Tls13 {
            return false;
        }
        // RSA is a way to exchange keys, and SHA256 and SHA384 are ways to notice changes: none of these has them, whatever
        // is in its name.
        match keyword {
            "ALL" | "DEFAULT" | "HIGH" | "TLSv1.2" => true,
            "ECDH" | "ECDHE" | "EECDH" | "kECDHE" | "kEECDH" => true,
            "ECDSA" | "aECDSA" => name.contains("-ECDSA-"),
            "aRSA" => name.contains("-RSA-"),
            "AES" | "AESGCM" | "FIPS" => name.contains("-AES"),
            "AES128" => name.contains("-AES128-"),
            "AES256" => name.contains("-AES256-"),
            "CHACHA20" => name.contains("-CHACHA20-"),
            _ => false,
        }
    }
}

impl Tls {
    /// Those of its versions that are spoken, oldest first; all of them when it names none.
    pub fn spoken_versions(&self) -> Vec<TlsVersion> {
        let Some(names) = &self.versions else { return TlsVersion::ALL.to_vec() };
        TlsVersion::ALL.iter().copied().filter(|v| names.iter().any(|name| name == v.as_str())).collect()
    }

    /// What is offered of its ciphers, most wanted first; all of them when it has no list.
    ///
    /// As with OpenSSL, the list chooses those of TLS 1.2, and those of TLS 1.3 are all there; but a list that names
    /// some of these has only them.
    pub fn spoken_ciphers(&self) -> Vec<Cipher> {
        let Some(list) = &self.ciphers else { return Cipher::ALL.to_vec() };
        let (mut offered, killed) = listed(list);
        if offered.is_empty() {
            return offered;
        }
        if !offered.iter().any(|cipher| cipher.version() == TlsVersion::Tls13) {
            let newest = Cipher::ALL.iter().filter(|cipher| cipher.version() == TlsVersion::Tls13);
            offered.extend(newest.filter(|cipher| !killed.contains(cipher)));
        }
        let versions = self.spoken_versions();
        offered.retain(|cipher| versions.contains(&cipher.version()));
        offered
    }
}

/// What an OpenSSL cipher string leaves of the ciphers that are spoken, and what it forbids.
fn listed(list: &str) -> (Vec<Cipher>, Vec<Cipher>) {
    let (mut chosen, mut killed): (Vec<Cipher>, Vec<Cipher>) = (vec![], vec![]);
    for word in list.split([':', ',', ' ']).filter(|word| !word.is_empty() && !word.starts_with('@')) {
        let (sign, rest) = match word.as_bytes()[0] {
            sign @ (b'!' | b'-' | b'+') => (sign, &word[1..]),
            _ => (b' ', word),
        };
        let fits = |cipher: &Cipher| rest.split('+').all(|keyword| cipher.is_a(keyword));
        let named: Vec<Cipher> = Cipher::ALL.iter().copied().filter(fits).collect();
        match sign {
            b'!' => {
                chosen.retain(|cipher| !named.contains(cipher));
                killed.extend(named);
            }
            b'-' => chosen.retain(|cipher| !named.contains(cipher)),
            b'+' => {
                let (last, first): (Vec<_>, Vec<_>) =
                    chosen.iter().partition(|cipher| named.contains(cipher));
                chosen = first;
                chosen.extend(last);
            }
            _ => {
                for cipher in named {
                    if !chosen.contains(&cipher) && !killed.contains(&cipher) {
                        chosen.push(cipher);
                    }
                }
            }
        }
    }
    (chosen, killed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tls(ciphers: Option<&str>, versions: Option<&[&str]>) -> Tls {
        Tls {
            ciphers: ciphers.map(str::to_owned),
            versions: versions.map(|all| all.iter().map(|&name| name.to_owned()).collect()),
            alpn_protocols: None,
        }
    }

    #[test]
    fn versions() {
        for (versions, spoken) in [
            (None, "TLSv1.2 TLSv1.3"),
            (Some(&["TLSv1.3", "TLSv1.2"][..]), "TLSv1.2 TLSv1.3"),
            (Some(&["TLSv1.3"][..]), "TLSv1.3"),
            (Some(&["TLSv1", "TLSv1.1"][..]), ""),
        ] {
            let words: Vec<_> = tls(None, versions).spoken_versions().iter().map(|v| v.as_str()).collect();
            assert_eq!(words.join(" "), spoken);
        }
    }

    #[test]
    fn cipher_strings() {
        const NEWEST: &str = "TLS_AES_128_GCM_SHA256 TLS_AES_256_GCM_SHA384 TLS_CHACHA20_POLY1305_SHA256";
        let both = &["TLSv1.2", "TLSv1.3"][..];
        for (list, versions, offered) in [
            // A cipher that is not spoken is left out.
            (
                "DHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384",
                &["TLSv1.2"][..],
                "ECDHE-RSA-AES256-GCM-SHA384",
            ),
            ("AES128-SHA:ECDHE-RSA-AES128-SHA256:DES-CBC3-SHA", both, ""),
            ("", both, ""),
            ("nonsense:@SECLEVEL=2:@STRENGTH", both, ""),
            // The order is that of the list.
            (
                "ECDHE-RSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES128-GCM-SHA256",
                &["TLSv1.2"],
                "ECDHE-RSA-CHACHA20-POLY1305 ECDHE-ECDSA-AES128-GCM-SHA256",
            ),
            // Those of TLS 1.3 are there unless some are named.
            ("ECDHE-RSA-AES128-GCM-SHA256", both, &format!("ECDHE-RSA-AES128-GCM-SHA256 {NEWEST}")),
            ("ECDHE-RSA-AES128-GCM-SHA256", &["TLSv1.3"], NEWEST),
            ("TLS_AES_256_GCM_SHA384", both, "TLS_AES_256_GCM_SHA384"),
            ("TLS_AES_256_GCM_SHA384", &["TLSv1.2"], ""),
            (
                "ECDHE-RSA-AES128-GCM-SHA256:!TLS_AES_128_GCM_SHA256:!TLS_AES_256_GCM_SHA384",
                both,
                "ECDHE-RSA-AES128-GCM-SHA256 TLS_CHACHA20_POLY1305_SHA256",
            ),
            // Keywords, alone and together.
            ("ECDHE+AESGCM:!aECDSA", &["TLSv1.2"], "ECDHE-RSA-AES128-GCM-SHA256 ECDHE-RSA-AES256-GCM-SHA384"),
            ("HIGH:!aNULL:!MD5:!AES:-aRSA", &["TLSv1.2"], "ECDHE-ECDSA-CHACHA20-POLY1305"),
            // Lists that people take from others (`openssl ciphers` leaves the same of each).
            (
                "ECDH+AESGCM:DH+AESGCM:ECDH+AES256:DH+AES256:!aNULL:!MD5:!DSS",
                &["TLSv1.2"],
                "ECDHE-ECDSA-AES128-GCM-SHA256 ECDHE-RSA-AES128-GCM-SHA256 ECDHE-ECDSA-AES256-GCM-SHA384 \
                 ECDHE-RSA-AES256-GCM-SHA384",
            ),
            ("AES128+aRSA:!SHA1:!SHA256:!SHA384", &["TLSv1.2"], "ECDHE-RSA-AES128-GCM-SHA256"),
            ("CHACHA20:!RSA", &["TLSv1.2"], "ECDHE-ECDSA-CHACHA20-POLY1305 ECDHE-RSA-CHACHA20-POLY1305"),
            ("RSA:SHA256:SHA384:ECDHE-ECDSA:ecdhe", both, ""),
            (
                "ECDHE+ECDSA:+AES128",
                &["TLSv1.2"],
                "ECDHE-ECDSA-AES256-GCM-SHA384 ECDHE-ECDSA-CHACHA20-POLY1305 ECDHE-ECDSA-AES128-GCM-SHA256",
            ),
            // What is forbidden stays so, what is only taken out may come back.
            (
                "!aRSA:ALL:ECDHE-RSA-AES128-GCM-SHA256:-ALL:CHACHA20",
                &["TLSv1.2"],
                "ECDHE-ECDSA-CHACHA20-POLY1305",
            ),
            ("kRSA:RC4:EXP", both, ""),
        ] {
            let words: Vec<_> =
                tls(Some(list), Some(versions)).spoken_ciphers().iter().map(|c| c.as_str()).collect();
            assert_eq!(words.join(" "), offered, "{list}");
        }
        assert_eq!(tls(None, None).spoken_ciphers(), Cipher::ALL);
    }
}
