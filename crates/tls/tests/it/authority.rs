//! Authorities and what they revoked.

use octavia_tls::{CaBundle, Crls, TlsError};

use crate::kit::{Set, authority, crl};

#[test]
fn a_list_must_be_the_authoritys() {
    let set = Set::new();
    let list = crl(&set.root);
    // The same name with another key.
    let imposter = authority("root", None);
    for (authorities, lists, expected) in [
        (set.root.pem(), list.clone(), Ok(())),
        (set.intermediates(), list.clone() + &crl(&set.between), Ok(())),
        (set.root.pem(), list.clone() + &crl(&set.between), Err(TlsError::CrlForeign)),
        (set.between.pem(), list.clone(), Err(TlsError::CrlForeign)),
        (imposter.pem(), list.clone(), Err(TlsError::CrlForeign)),
    ] {
        let authorities = CaBundle::read(authorities.as_bytes()).unwrap();
        let lists = Crls::read(lists.as_bytes()).unwrap();
        assert_eq!(lists.check_signed_by(&authorities), expected);
        let der = Crls::read(&lists.lists()[0]).unwrap();
        assert_eq!(der.lists()[0], lists.lists()[0]);
    }
}

#[test]
fn malformed_authorities_and_lists_are_refused_in_words() {
    let set = Set::new();
    let list = crl(&set.root);
    let block = |label: &str| format!("-----BEGIN {label}-----\nMAA=\n-----END {label}-----\n");
    for (text, expected) in [
        ("", TlsError::Empty("certificate authority")),
        ("nothing", TlsError::NoCertificate),
        (list.as_str(), TlsError::NoCertificate),
        (&block("CERTIFICATE"), TlsError::Certificate),
        (&block("PKCS7"), TlsError::Pkcs7),
    ] {
        assert_eq!(CaBundle::read(text.as_bytes()), Err(expected), "{text:.60}");
    }
    for (text, expected) in [
        ("", TlsError::Empty("certificate revocation list")),
        ("nothing", TlsError::NoCrl),
        (set.certificate.as_str(), TlsError::NoCrl),
        (&block("X509 CRL"), TlsError::Crl),
        (&list[..list.len() / 2], TlsError::Pem),
    ] {
        assert_eq!(Crls::read(text.as_bytes()), Err(expected), "{text:.60}");
    }
}
