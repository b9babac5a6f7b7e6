//! Certificates out of PEM, DER and PKCS#7, and what is in them.

use cms::cert::CertificateChoices;
use cms::content_info::ContentInfo;
use cms::signed_data::SignedData;
use pkcs8::der::{Decode, Encode};
use rustls_pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use crate::{TlsError, pem};

const CERTIFICATE_LABELS: &[&str] = &["CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE"];
const PKCS7_LABELS: &[&str] = &["PKCS7", "CMS"];
/// Of PKCS#7 signed data (RFC 5652 §5.1).
const SIGNED_DATA: &str = "1.2.840.113549.1.7.2";

/// All certificates of a part, in its order, each once; at least one and at most `max`.
pub(crate) fn certificates(bytes: &[u8], max: usize) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let mut found: Vec<CertificateDer<'static>> = vec![];
    let mut add = |der: Vec<u8>| {
        parse(&der)?;
        let certificate = CertificateDer::from(der);
        if !found.contains(&certificate) {
            if found.len() == max {
                return Err(TlsError::TooMany(max));
            }
            found.push(certificate);
        }
        Ok(())
    };
    if pem::is_pem(bytes) {
        for block in pem::blocks(bytes)? {
            if CERTIFICATE_LABELS.contains(&block.label) {
                add(block.content.0.to_vec())?;
            } else if PKCS7_LABELS.contains(&block.label) {
                pkcs7(&block.content.0)?.into_iter().try_for_each(&mut add)?;
            }
        }
    } else if parse(bytes).is_ok() {
        add(bytes.to_vec())?;
    } else if ContentInfo::from_der(bytes).is_ok() {
        pkcs7(bytes)?.into_iter().try_for_each(&mut add)?;
    }
    if found.is_empty() { Err(TlsError::NoCertificate) } else { Ok(found) }
}

fn pkcs7(der: &[u8]) -> Result<Vec<Vec<u8>>, TlsError> {
    let content = ContentInfo::from_der(der).map_err(|_| TlsError::Pkcs7)?;
    if content.content_type.to_string() != SIGNED_DATA {
        return Err(TlsError::Pkcs7);
    }
    let signed: SignedData = content.content.decode_as().map_err(|_| TlsError::Pkcs7)?;
    let certificates = signed.certificates.ok_or(TlsError::NoCertificate)?;
    let plain = certificates.0.into_vec().into_iter().filter_map(|choice| match choice {
        CertificateChoices::Certificate(certificate) => Some(certificate.to_der()),
        CertificateChoices::Other(_) => None,
    });
    plain.collect::<Result<_, _>>().map_err(|_| TlsError::Pkcs7)
}

/// One certificate and nothing after it.
pub(crate) fn parse(der: &[u8]) -> Result<X509Certificate<'_>, TlsError> {
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Ok(certificate),
        _ => Err(TlsError::Certificate),
    }
}

/// The bits of the public key, as the certificate has them.
pub(crate) fn public_key(der: &[u8]) -> Result<Vec<u8>, TlsError> {
    Ok(parse(der)?.public_key().subject_public_key.data.to_vec())
}

/// Common names and DNS names, each once and in lower case, for choosing by server name.
pub(crate) fn names(der: &[u8]) -> Result<Vec<String>, TlsError> {
    let certificate = parse(der)?;
    let mut names: Vec<String> = vec![];
    let mut add = |name: &str| {
        let name = name.to_ascii_lowercase();
        if !name.is_empty() && !names.contains(&name) {
            names.push(name);
        }
    };
    for attribute in certificate.subject().iter_common_name() {
        attribute.as_str().into_iter().for_each(&mut add);
    }
    if let Ok(Some(alternative)) = certificate.subject_alternative_name() {
        for name in &alternative.value.general_names {
            if let GeneralName::DNSName(name) = name {
                add(name);
            }
        }
    }
    Ok(names)
}

/// The certificate at the head, then its issuer, that one's issuer and so on; what is linked to none of them comes last,
/// in the order it had (cross-signed chains need it).
pub(crate) fn linked(
    head: CertificateDer<'static>,
    mut rest: Vec<CertificateDer<'static>>,
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    rest.retain(|certificate| *certificate != head);
    let mut chain = vec![head];
    while let Some(last) = chain.last() {
        let issuer = parse(last)?.issuer().as_raw().to_vec();
        let next = rest.iter().position(|certificate| {
            parse(certificate).is_ok_and(|certificate| certificate.subject().as_raw() == issuer)
        });
        match next {
            Some(next) => chain.push(rest.remove(next)),
            None => break,
        }
    }
    chain.append(&mut rest);
    Ok(chain)
}
