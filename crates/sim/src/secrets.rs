//! The simulated key manager: every reference leads to the same certificate, unless nobody answers.

use std::sync::OnceLock;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use octavia_cloud::{CloudError, Consumer, Container, Payload, Reader, SecretError, SecretRef, Secrets};
use octavia_tls::{CaBundle, Crls, TlsBundle};

use crate::world::{SECRET_MARK, World};

/// One key for all simulations: what is made of it is compared, and never shown.
fn bundle() -> Result<TlsBundle, CloudError> {
    static BUNDLE: OnceLock<Option<TlsBundle>> = OnceLock::new();
    let made = BUNDLE.get_or_init(|| {
        let key = rcgen::KeyPair::generate().ok()?;
        let params = rcgen::CertificateParams::new(vec!["www.example.test".to_owned()]).ok()?;
        let certificate = params.self_signed(&key).ok()?;
        TlsBundle::from_one(format!("{}{}", certificate.pem(), key.serialize_pem()).as_bytes()).ok()
    });
    made.clone().ok_or_else(|| CloudError::internal("no certificate could be made"))
}

/// A part of its key, as it would show up where it must not.
pub(crate) fn key_mark() -> String {
    let key = bundle().map(|bundle| STANDARD.encode(bundle.key().der().secret_der()));
    key.ok().and_then(|text| Some(text.get(60..90)?.to_owned())).unwrap_or_else(|| SECRET_MARK.to_owned())
}

#[async_trait]
impl Secrets for World {
    async fn payload_fetch(&self, secret: &SecretRef, _: Reader<'_>) -> Result<Payload, SecretError> {
        Err(SecretError::not_found(secret))
    }

    async fn container_fetch(&self, of: &SecretRef, _: Reader<'_>) -> Result<Container, SecretError> {
        Err(SecretError::not_found(of))
    }

    async fn consumer_register(&self, _: &SecretRef, _: Consumer) -> Result<(), SecretError> {
        Ok(())
    }

    async fn consumer_unregister(&self, _: &SecretRef, _: Consumer) -> Result<(), SecretError> {
        Ok(())
    }

    async fn bundle_fetch(&self, _: &str, _: Reader<'_>) -> Result<TlsBundle, SecretError> {
        Ok(self.ask("bundle_fetch".to_owned(), |_| bundle()).await??)
    }

    async fn ca_fetch(&self, reference: &str, _: Reader<'_>) -> Result<CaBundle, SecretError> {
        Err(SecretError::not_found(&SecretRef::parse(reference)?))
    }

    async fn crl_fetch(&self, reference: &str, _: Reader<'_>) -> Result<Crls, SecretError> {
        Err(SecretError::not_found(&SecretRef::parse(reference)?))
    }
}
