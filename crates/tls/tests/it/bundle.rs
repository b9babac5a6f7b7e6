//! Bundles in parts: what is read, and what is refused with which words.

use octavia_tls::{Parts, TlsBundle, TlsError};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};

use crate::kit::Set;

fn parts<'a>(certificate: &'a [u8], private_key: &'a [u8]) -> Parts<'a> {
    Parts { certificate, private_key, intermediates: None, passphrase: None }
}

fn chain(bundle: &TlsBundle) -> Vec<Vec<u8>> {
    bundle.chain().iter().map(|der| der.to_vec()).collect()
}

#[test]
fn the_chain_is_put_in_order() {
    let set = Set::new();
    let key = set.key.serialize_pem();
    let intermediates = set.intermediates();
    let everything = format!("{intermediates}some text\n{}{key}", set.certificate);
    let twice = format!("{}{}{intermediates}", set.certificate, set.certificate);
    let found = [
        TlsBundle::from_parts(&Parts {
            intermediates: Some(intermediates.as_bytes()),
            ..parts(set.certificate.as_bytes(), key.as_bytes())
        }),
        TlsBundle::from_parts(&parts(twice.as_bytes(), &set.key.serialize_der())),
        TlsBundle::from_one(everything.as_bytes()),
    ];
    for bundle in found {
        let bundle = bundle.unwrap();
        assert_eq!(chain(&bundle), set.chain());
        assert_eq!(bundle.names(), ["www.example.test", "alt.example.test"]);
    }
    let bundle = TlsBundle::from_parts(&parts(&set.certificate_der, key.as_bytes())).unwrap();
    assert_eq!(chain(&bundle), std::slice::from_ref(&set.certificate_der));
}

#[test]
fn nothing_shows_the_key() {
    let set = Set::new();
    let bundle = TlsBundle::from_parts(&parts(&set.certificate_der, &set.key.serialize_der())).unwrap();
    assert_eq!(format!("{:?}", bundle.key()), "PrivateKey(Pkcs8)");
    assert!(format!("{bundle:?}").contains("PrivateKey(Pkcs8)"));
}

#[test]
fn malformed_parts_are_refused_in_words() {
    let set = Set::new();
    let other = KeyPair::generate().unwrap().serialize_pem();
    let key = set.key.serialize_pem();
    let certificate = set.certificate.as_str();
    let mut nameless = CertificateParams::new(vec![]).unwrap();
    nameless.distinguished_name = DistinguishedName::new();
    let nameless = nameless.signed_by(&set.key, &set.root).unwrap().pem();
    let cut = &certificate[..certificate.len() / 2];
    let no_base64 = "-----BEGIN CERTIFICATE-----\n????\n-----END CERTIFICATE-----\n";
    let no_x509 = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let old = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n";
    let dsa = "-----BEGIN DSA PRIVATE KEY-----\nAAAA\n-----END DSA PRIVATE KEY-----\n";
    let large = "x".repeat(octavia_tls::PART_MAX + 1);
    let many: String = (0..33).map(|_| Set::new().certificate).collect();
    let two_keys = format!("{key}{other}");
    for (certificate, key, expected) in [
        (certificate, other.as_str(), TlsError::Mismatch),
        ("", &key, TlsError::Empty("certificate")),
        (certificate, "", TlsError::Empty("private key")),
        (&large, &key, TlsError::TooLarge("certificate", octavia_tls::PART_MAX)),
        (cut, &key, TlsError::Pem),
        (no_base64, &key, TlsError::Pem),
        (no_x509, &key, TlsError::Certificate),
        ("nothing", &key, TlsError::NoCertificate),
        (&key, &key, TlsError::NoCertificate),
        (&nameless, &key, TlsError::Nameless),
        (&many, &key, TlsError::TooMany(octavia_tls::CHAIN_MAX)),
        (certificate, certificate, TlsError::NoKey),
        (certificate, "nothing", TlsError::NoKey),
        (certificate, &two_keys, TlsError::ManyKeys),
        (certificate, old, TlsError::OldEncryption),
        (certificate, dsa, TlsError::Key),
        (certificate, &key.replace("PRIVATE KEY", "RSA PRIVATE KEY"), TlsError::Key),
    ] {
        let found = TlsBundle::from_parts(&parts(certificate.as_bytes(), key.as_bytes()));
        assert_eq!(found, Err(expected), "{certificate:.60} {key:.60}");
    }
}

#[test]
fn malformed_single_secrets_are_refused_in_words() {
    let set = Set::new();
    for (bytes, expected) in [
        (b"".as_slice(), TlsError::Empty("bundle")),
        (b"nothing", TlsError::Pkcs12),
        (&set.certificate_der, TlsError::Pkcs12),
        (set.certificate.as_bytes(), TlsError::NoKey),
        (set.key.serialize_pem().as_bytes(), TlsError::NoCertificate),
        (&[0x30, 0x06, 0x02, 0x01, 0x03, 0x30, 0x01, 0x00], TlsError::Pkcs12),
        (b"-----BEGIN X-----\n\xff\n-----END X-----", TlsError::Pem),
    ] {
        assert_eq!(TlsBundle::from_one(bytes), Err(expected), "{}", bytes.escape_ascii());
    }
}
