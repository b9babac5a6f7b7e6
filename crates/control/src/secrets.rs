//! What listeners refer to, fetched with the service's own rights when it is needed and kept nowhere: it goes to the
//! amphora, and is dropped.

use octavia_cloud::{Reader, SecretError, Secrets};
use octavia_model::{Blame, Listener, ListenerId, LoadBalancerGraph, ReasonCode};
use octavia_plan::{Identities, terminating};
use octavia_wire::{CertificateSpec, Der, IdentitySpec, KeySpec, TlsFault};

/// Names a certificate is chosen by, at most, and bytes of each: what is beyond is no host's name.
const NAMES_MAX: usize = 1_024;
const NAME_MAX: usize = 255;

/// The key manager, or what is between, is in trouble: tried again with backoff.
#[derive(Debug, thiserror::Error)]
#[error("what listener {listener} refers to, {reference}, cannot be read: {error}")]
pub(crate) struct SecretsUnread {
    listener: ListenerId,
    reference: String,
    error: SecretError,
}

/// What the listeners that terminate TLS refer to. What is for its owner to put right is told in place of it, and
/// concerns that listener alone.
pub(crate) async fn identities(
    secrets: &dyn Secrets,
    graph: &LoadBalancerGraph,
) -> Result<Identities, SecretsUnread> {
    let mut identities = Identities::new();
    for listener in terminating(graph) {
        let found = match identity(secrets, listener).await {
            Ok(identity) => Ok(identity),
            Err(unread) if unread.error.blame() == Blame::Caller => {
                tracing::warn!(listener = %listener.id, error = %unread.error, "a secret cannot be used");
                Err(fault(&unread))
            }
            Err(unread) => return Err(unread),
        };
        identities.insert(listener.id, found);
    }
    Ok(identities)
}

async fn identity(secrets: &dyn Secrets, listener: &Listener) -> Result<IdentitySpec, SecretsUnread> {
    let unread = |reference: &String| {
        let reference = reference.clone();
        move |error| SecretsUnread { listener: listener.id, reference, error }
    };
    let reader = Reader::Service;
    let mut identity =
        IdentitySpec { certificates: vec![], client_authorities: vec![], client_revocations: vec![] };
    for reference in listener.default_tls_container_ref.iter().chain(&listener.sni_container_refs) {
        let bundle = secrets.bundle_fetch(reference, reader).await.map_err(unread(reference))?;
        let names = bundle.names().iter().filter(|name| name.len() <= NAME_MAX);
        identity.certificates.push(CertificateSpec {
            chain: bundle.chain().iter().map(|der| Der(der.to_vec())).collect(),
            key: KeySpec::new(bundle.key().der().secret_der()),
            names: names.take(NAMES_MAX).cloned().collect(),
        });
    }
    if let Some(reference) = &listener.client_ca_tls_container_ref {
        let bundle = secrets.ca_fetch(reference, reader).await.map_err(unread(reference))?;
        identity.client_authorities = bundle.certificates().iter().map(|der| Der(der.to_vec())).collect();
    }
    if let Some(reference) = &listener.client_crl_container_ref {
        let lists = secrets.crl_fetch(reference, reader).await.map_err(unread(reference))?;
        identity.client_revocations = lists.lists().iter().map(|der| Der(der.to_vec())).collect();
    }
    Ok(identity)
}

fn fault(unread: &SecretsUnread) -> TlsFault {
    TlsFault {
        code: ReasonCode::SecretUnreadable,
        text: format!("{} cannot be used: {}", unread.reference, unread.error),
        advice: "Put it right, or let the listener refer to another. It is looked at again by itself; until then the \
                 listener goes on with the certificates it has, if it has any."
            .to_owned(),
    }
}
