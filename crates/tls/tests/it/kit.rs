//! Certificates made for one test, and the `openssl` command for forms that nothing else writes.

use std::path::Path;
use std::process::Command;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType, IsCa,
    KeyIdMethod, KeyPair, KeyUsagePurpose, SerialNumber,
};

pub(crate) type Authority = CertifiedIssuer<'static, KeyPair>;

pub(crate) fn authority(name: &str, above: Option<&Authority>) -> Authority {
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = KeyPair::generate().unwrap();
    match above {
        None => CertifiedIssuer::self_signed(params, key).unwrap(),
        Some(above) => CertifiedIssuer::signed_by(params, key, above).unwrap(),
    }
}

/// Root, one between, and a certificate for `www.example.test` as PEM with its key.
pub(crate) struct Set {
    pub(crate) root: Authority,
    pub(crate) between: Authority,
    pub(crate) certificate: String,
    pub(crate) certificate_der: Vec<u8>,
    pub(crate) key: KeyPair,
}

impl Set {
    pub(crate) fn new() -> Self {
        let root = authority("root", None);
        let between = authority("between", Some(&root));
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["alt.example.test".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, "WWW.example.test");
        let certificate = params.signed_by(&key, &between).unwrap();
        Self {
            root,
            between,
            certificate: certificate.pem(),
            certificate_der: certificate.der().to_vec(),
            key,
        }
    }

    /// The two authorities, the root first.
    pub(crate) fn intermediates(&self) -> String {
        format!("{}{}", self.root.pem(), self.between.pem())
    }

    /// The certificate and what links it, in the order in which it is served.
    pub(crate) fn chain(&self) -> Vec<Vec<u8>> {
        vec![self.certificate_der.clone(), self.between.der().to_vec(), self.root.der().to_vec()]
    }
}

pub(crate) fn crl(authority: &Authority) -> String {
    let time = |year| rcgen::date_time_ymd(year, 1, 1);
    let params = CertificateRevocationListParams {
        this_update: time(2026),
        next_update: time(2036),
        crl_number: SerialNumber::from(1),
        issuing_distribution_point: None,
        revoked_certs: vec![],
        key_identifier_method: KeyIdMethod::Sha256,
    };
    params.signed_by(authority).unwrap().pem().unwrap()
}

/// Runs `openssl WORDS` in the directory.
pub(crate) fn openssl(dir: &Path, words: &str) {
    let output = Command::new("openssl").current_dir(dir).args(words.split_whitespace()).output();
    let output = output.expect("the openssl command is needed; `cargo xtask setup` installs it");
    assert!(output.status.success(), "openssl {words}: {}", String::from_utf8_lossy(&output.stderr));
}
