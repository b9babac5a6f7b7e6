//! Authorities and what they revoked.

use octavia_tls::{CaBundle, Crls, TlsError};

use crate::kit::{Set, authority, crl, openssl};

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

/// Lists as `openssl ca` makes them, of which the library that verifies by them takes some and not others.
#[test]
fn lists_by_which_nothing_is_verified_are_refused() {
    let (dir, set) = (tempfile::tempdir().unwrap(), Set::new());
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    write("ca.pem", &set.root.pem());
    write("ca.key", &set.root.key().serialize_pem());
    for (what, options, extensions, expected) in [
        ("the default", "", None, Err(TlsError::CrlVersion)),
        ("without extensions", "", Some(""), Err(TlsError::CrlVersion)),
        ("with a number", "crlnumber=number", None, Ok(())),
        ("with what is usual", "crlnumber=number", Some("authorityKeyIdentifier=keyid:always"), Ok(())),
        (
            "one that is not known",
            "crlnumber=number",
            Some("1.2.3.4=critical,DER:0500"),
            Err(TlsError::CrlUnsupported),
        ),
        ("a delta", "crlnumber=number", Some("2.5.29.27=critical,DER:020101"), Err(TlsError::CrlDelta)),
    ] {
        let section = extensions.map_or(String::new(), |lines| format!("crl_extensions=e\n[e]\n{lines}\n"));
        write("index.txt", "");
        write("number", "01\n");
        write(
            "ca.cnf",
            &format!(
                "[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\ndefault_md=sha256\ndefault_crl_days=30\n{options}\n{section}"
            ),
        );
        openssl(dir.path(), "ca -gencrl -config ca.cnf -keyfile ca.key -cert ca.pem -out list.pem");
        let list = std::fs::read(dir.path().join("list.pem")).unwrap();
        assert_eq!(Crls::read(&list).map(drop), expected, "{what}");
    }
}

#[test]
fn one_authority_that_can_be_used_is_enough() {
    let set = Set::new();
    // Whole by its form, and larger than the library takes one.
    let mut params = rcgen::CertificateParams::new(vec![]).unwrap();
    params.custom_extensions = vec![rcgen::CustomExtension::from_oid_content(&[1, 2, 3, 4], vec![0; 70_000])];
    let odd = params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().pem();
    assert_eq!(CaBundle::read(odd.as_bytes()), Err(TlsError::Authority));
    let both = CaBundle::read((odd + &set.root.pem()).as_bytes()).unwrap();
    assert_eq!(both.certificates().len(), 2);
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
