//! A keeper of a few secrets, each at an id of its own.

use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use octavia_cloud::suite::TlsMaterial;
use octavia_cloud::{CloudError, Consumer, Container, Payload, Reader, SecretError, SecretRef, Secrets};

pub(crate) const BUNDLE: &str = "55555555-5555-4555-8555-555555555551";
pub(crate) const AUTHORITY: &str = "55555555-5555-4555-8555-555555555552";
pub(crate) const CRL: &str = "55555555-5555-4555-8555-555555555553";
pub(crate) const FOREIGN_CRL: &str = "55555555-5555-4555-8555-555555555554";
/// A revocation list as `openssl ca -gencrl` makes it when it is not told of extensions.
pub(crate) const OLD_CRL: &str = "55555555-5555-4555-8555-55555555555a";
/// Text that is nothing of the kind.
pub(crate) const PLAIN: &str = "55555555-5555-4555-8555-555555555555";
pub(crate) const MISMATCHED: &str = "55555555-5555-4555-8555-555555555556";
pub(crate) const FORBIDDEN: &str = "55555555-5555-4555-8555-555555555557";
/// The caller may let the service read it.
pub(crate) const CLOSED: &str = "55555555-5555-4555-8555-555555555559";
/// Asking for it fails.
pub(crate) const AWAY: &str = "55555555-5555-4555-8555-555555555558";

pub(crate) fn reference(id: &str) -> String {
    format!("http://secrets.test/v1/secrets/{id}")
}

#[derive(Debug)]
pub(crate) struct FakeSecrets {
    material: TlsMaterial,
    /// Whom callers have let read [`CLOSED`]: the service, and how often.
    pub(crate) admitted: AtomicUsize,
}

impl FakeSecrets {
    pub(crate) fn new() -> Self {
        Self { material: TlsMaterial::new(), admitted: AtomicUsize::new(0) }
    }
}

#[async_trait]
impl Secrets for FakeSecrets {
    async fn payload_fetch(&self, secret: &SecretRef, reader: Reader<'_>) -> Result<Payload, SecretError> {
        let (Reader::Caller(context, Some(token))
        | Reader::Admitting(context, Some(token))
        | Reader::Rehearsal(context, Some(token))) = reader
        else {
            panic!("the API asks for its callers")
        };
        assert!(token.contains('@'), "with the caller's token");
        let Self { material, admitted } = self;
        let text = match secret.id.to_string().as_str() {
            BUNDLE => material.everything(),
            AUTHORITY => material.authority.clone(),
            CRL => material.crl.clone(),
            OLD_CRL => include_str!("version_1.crl.pem").to_owned(),
            FOREIGN_CRL => material.foreign_crl.clone(),
            CLOSED => {
                match reader {
                    Reader::Caller(..) if admitted.load(Ordering::Relaxed) == 0 => {
                        return Err(SecretError::NotAdmitted);
                    }
                    Reader::Admitting(..) => _ = admitted.fetch_add(1, Ordering::Relaxed),
                    _ => {}
                }
                material.everything()
            }
            PLAIN => "open sesame".to_owned(),
            MISMATCHED => format!("{}{}", material.certificate, material.other_key),
            FORBIDDEN => return Err(SecretError::forbidden(&context.user_id, secret)),
            AWAY => return Err(CloudError::unavailable("connection refused").into()),
            _ => return Err(SecretError::not_found(secret)),
        };
        Ok(Payload::new(text.into_bytes()))
    }

    async fn container_fetch(&self, container: &SecretRef, _: Reader<'_>) -> Result<Container, SecretError> {
        Err(SecretError::not_found(container))
    }

    async fn consumer_register(&self, _: &SecretRef, _: Consumer) -> Result<(), SecretError> {
        Ok(())
    }

    async fn consumer_unregister(&self, _: &SecretRef, _: Consumer) -> Result<(), SecretError> {
        Ok(())
    }
}
