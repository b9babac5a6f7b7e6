//! What is wrong between a member and us, for whoever looks after the member.

use std::fmt;

use rustls::{CertificateError, Error, OtherError};

/// Shows an error of TLS without the names that it has in a library.
pub(crate) struct InWords<'a>(pub(crate) &'a Error);

impl fmt::Display for InWords<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Error::InvalidCertificate(error) => match sentence(error) {
                Some(sentence) => write!(f, "invalid peer certificate: {sentence}"),
                None => write!(f, "invalid peer certificate: {}", spaced(&format!("{error:?}"))),
            },
            Error::PeerIncompatible(why) => {
                write!(f, "peer is incompatible: {}", spaced(&format!("{why:?}")))
            }
            Error::PeerMisbehaved(why) => write!(f, "peer misbehaved: {}", spaced(&format!("{why:?}"))),
            Error::AlertReceived(alert) => {
                write!(f, "received fatal alert: {}", spaced(&format!("{alert:?}")))
            }
            other => other.fmt(f),
        }
    }
}

/// `None` = a name has to do.
fn sentence(error: &CertificateError) -> Option<&'static str> {
    use CertificateError as E;
    Some(match error {
        E::BadEncoding => "it cannot be read",
        E::Expired | E::ExpiredContext { .. } => "it has expired",
        E::NotValidYet | E::NotValidYetContext { .. } => "it is not valid yet",
        E::Revoked => "it is revoked",
        E::UnknownIssuer => "it is of no authority that the pool trusts",
        E::UnknownRevocationStatus => "no revocation list is of its issuer",
        E::ExpiredRevocationList | E::ExpiredRevocationListContext { .. } => {
            "the revocation list of its issuer is out of date"
        }
        E::InvalidPurpose | E::InvalidPurposeContext { .. } => "it is not for servers",
        E::NotValidForName | E::NotValidForNameContext { .. } => "it is not of the name that was asked for",
        E::BadSignature => "a signature is wrong",
        E::Other(OtherError(error)) => match error.downcast_ref::<webpki::Error>()? {
            webpki::Error::CaUsedAsEndEntity => "it is an authority's, not a server's",
            webpki::Error::EndEntityUsedAsCa => "what issued it is no authority",
            webpki::Error::InvalidSignatureForPublicKey => "a signature is wrong",
            webpki::Error::UnsupportedCertVersion => "it is not of version 3",
            webpki::Error::NameConstraintViolation => "its authority may not speak for this name",
            webpki::Error::PathLenConstraintViolated | webpki::Error::MaximumPathDepthExceeded => {
                "too many authorities are between it and one that the pool trusts"
            }
            _ => return None,
        },
        _ => return None,
    })
}

/// `HandshakeFailure` as "handshake failure"; what is in brackets stays out, but for what wraps another's name.
fn spaced(name: &str) -> String {
    let name =
        name.trim_start_matches("Other(OtherError(").split(['(', ')', ' ', '{']).next().unwrap_or_default();
    let mut words = String::with_capacity(name.len() + 8);
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.push(letter.to_ascii_lowercase());
    }
    words
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::{AlertDescription, PeerIncompatible};

    use super::*;

    #[test]
    fn errors_have_no_names_of_the_library() {
        let other = |error| Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(error))));
        for (error, expected) in [
            (
                CertificateError::UnknownIssuer.into(),
                "invalid peer certificate: it is of no authority that the pool trusts",
            ),
            (
                CertificateError::ApplicationVerificationFailure.into(),
                "invalid peer certificate: application verification failure",
            ),
            (
                other(webpki::Error::CaUsedAsEndEntity),
                "invalid peer certificate: it is an authority's, not a server's",
            ),
            (other(webpki::Error::MalformedExtensions), "invalid peer certificate: malformed extensions"),
            (
                Error::AlertReceived(AlertDescription::HandshakeFailure),
                "received fatal alert: handshake failure",
            ),
            (
                Error::PeerIncompatible(PeerIncompatible::NoCipherSuitesInCommon),
                "peer is incompatible: no cipher suites in common",
            ),
            (Error::DecryptError, "cannot decrypt peer's message"),
        ] {
            assert_eq!(InWords(&error).to_string(), expected);
        }
    }
}
