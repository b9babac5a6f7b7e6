//! What references must point at (`reference/api.md` §3.2.3), judged over what was found there.

use std::collections::BTreeMap;

use octavia_cloud::SecretError;
use octavia_model::Blame;
use octavia_tls::{CaBundle, Crls, TlsError};

use crate::fault::Fault;

/// What the references of a request, and those stored beside them, point at; fetched before any rule is asked.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) bundles: BTreeMap<String, Result<(), SecretError>>,
    pub(crate) authorities: BTreeMap<String, Result<CaBundle, SecretError>>,
    pub(crate) lists: BTreeMap<String, Result<Crls, SecretError>>,
}

impl Found {
    /// Whether the service may not read something yet that the caller may read.
    pub(crate) fn lacks_admission(&self) -> bool {
        let lacks = |error: Option<&SecretError>| error == Some(&SecretError::NotAdmitted);
        self.bundles.values().any(|found| lacks(found.as_ref().err()))
            || self.authorities.values().any(|found| lacks(found.as_ref().err()))
            || self.lists.values().any(|found| lacks(found.as_ref().err()))
    }

    /// Certificates with their keys: every one must be there and readable; the answer names all that are not.
    pub(crate) fn check_bundles<'a>(&self, references: impl Iterator<Item = &'a str>) -> Result<(), Fault> {
        let mut bad = vec![];
        for reference in references {
            match self.bundles.get(reference).ok_or_else(changed)? {
                Ok(()) => {}
                Err(SecretError::Content(error @ (TlsError::Pkcs12 | TlsError::Nameless))) => {
                    return Err(Fault::CertificateUnusable(format!("{error} ({reference})")));
                }
                Err(error) if error.blame() == Blame::Caller => bad.push((reference, error)),
                Err(error) => return Err(trouble(error)),
            }
        }
        if bad.is_empty() {
            return Ok(());
        }
        let quoted: Vec<_> = bad.iter().map(|(reference, _)| format!("'{reference}'")).collect();
        let reasons: Vec<_> = bad.iter().map(|(reference, error)| format!("{reference}: {error}")).collect();
        Err(Fault::CertificateRetrieval {
            references: format!("[{}]", quoted.join(", ")),
            reasons: reasons.join(" "),
        })
    }

    /// An authority, and the list of what it revoked.
    pub(crate) fn check_authority(&self, authority: &str, list: Option<&str>) -> Result<(), Fault> {
        let certificates = self.authorities.get(authority).ok_or_else(changed)?;
        let certificates =
            certificates.as_ref().map_err(|error| unreadable("CA certificate", authority, error))?;
        let Some(reference) = list else { return Ok(()) };
        let list = self.lists.get(reference).ok_or_else(changed)?;
        let list =
            list.as_ref().map_err(|error| unreadable("certificate revocation list", reference, error))?;
        list.check_signed_by(certificates).map_err(|error| {
            Fault::validation(format!("{error} The list is {reference}, the authority {authority}."))
        })
    }
}

fn unreadable(what: &str, reference: &str, error: &SecretError) -> Fault {
    match error {
        SecretError::Content(error) => {
            Fault::validation(format!("The {what} {reference} is not valid. {error}"))
        }
        error if error.blame() == Blame::Caller => {
            Fault::CertificateRetrieval { references: reference.to_owned(), reasons: error.to_string() }
        }
        error => trouble(error),
    }
}

fn trouble(error: &SecretError) -> Fault {
    match error.blame() {
        Blame::Us => {
            tracing::error!(%error, "secrets could not be read");
            Fault::Internal
        }
        Blame::Caller | Blame::Dependency => {
            tracing::warn!(%error, "the key manager could not be asked");
            Fault::Unavailable("The key manager could not be asked; try again later.".to_owned())
        }
    }
}

/// Another write brought in a reference after ours were fetched.
fn changed() -> Fault {
    Fault::Unavailable("Its certificates are being changed by another request; try again.".to_owned())
}
