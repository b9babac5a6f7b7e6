//! A certificate and all that belongs to it, made up.

/// A certificate, all that belongs to it, and things that do not; each as PEM.
#[derive(Clone)]
pub struct TlsMaterial {
    pub certificate: String,
    pub private_key: String,
    /// The authority that signed the certificate.
    pub authority: String,
    /// Signed by the authority.
    pub crl: String,
    /// Signed by another.
    pub foreign_crl: String,
    /// Of no certificate here.
    pub other_key: String,
}

impl std::fmt::Debug for TlsMaterial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TlsMaterial")
    }
}

impl TlsMaterial {
    /// For the DNS name `www.example.test`.
    ///
    /// # Panics
    ///
    /// If no key can be made.
    pub fn new() -> Self {
        use rcgen::{
            BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, IsCa,
            KeyIdMethod, KeyPair, KeyUsagePurpose, SerialNumber,
        };
        let key = || KeyPair::generate().expect("a key is made");
        let authority = || {
            let mut params = CertificateParams::default();
            params.distinguished_name.push(rcgen::DnType::CommonName, "authority");
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
            CertifiedIssuer::self_signed(params, key()).expect("an authority is made")
        };
        let crl = |authority: &CertifiedIssuer<'_, KeyPair>| {
            let params = CertificateRevocationListParams {
                this_update: rcgen::date_time_ymd(2026, 1, 1),
                next_update: rcgen::date_time_ymd(2036, 1, 1),
                crl_number: SerialNumber::from(1),
                issuing_distribution_point: None,
                revoked_certs: vec![],
                key_identifier_method: KeyIdMethod::Sha256,
            };
            params.signed_by(authority).and_then(|list| list.pem()).expect("a list is made")
        };
        let (own, other, own_key) = (authority(), authority(), key());
        let mut params = CertificateParams::new(vec!["www.example.test".to_owned()]).expect("a DNS name");
        params.distinguished_name = rcgen::DistinguishedName::new();
        let certificate = params.signed_by(&own_key, &own).expect("a certificate is made");
        Self {
            certificate: certificate.pem(),
            private_key: own_key.serialize_pem(),
            authority: own.pem(),
            crl: crl(&own),
            foreign_crl: crl(&other),
            other_key: key().serialize_pem(),
        }
    }

    /// Everything a listener needs, in one text.
    pub fn everything(&self) -> String {
        format!("{}{}{}", self.certificate, self.authority, self.private_key)
    }
}

impl Default for TlsMaterial {
    fn default() -> Self {
        Self::new()
    }
}
