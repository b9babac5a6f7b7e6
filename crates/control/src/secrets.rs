//! What listeners refer to, fetched with the service's own rights when it is needed and kept nowhere: it goes to the
//! amphora, and is dropped.

use octavia_cloud::{Reader, SecretError, Secrets};
use octavia_model::{Blame, Listener, ListenerId, LoadBalancerGraph, ReasonCode};
use octavia_plan::{Identities, terminating};
use octavia_wire::{CertificateSpec, Der, IdentitySpec, KeySpec, TlsFault};

/// Names a certificate is chosen by, at most, and bytes of each: what is beyond is no host's name.
const NAMES_MAX: usize = 1_024;
const NAME_MAX: usize = 255;
/// Bytes of keys, certificates and lists of one load balancer, at most. An agent takes specs of 8 MiB, in which they are
/// written in base64; and a worker holds them while it pushes, so that users must not say how much that is.
const BYTES_MAX: usize = 4 << 20;

/// The key manager, or what is between, is in trouble: tried again with backoff.
#[derive(Debug, thiserror::Error)]
#[error("what listener {listener} refers to, {reference}, cannot be read: {error}")]
pub(crate) struct SecretsUnread {
    listener: ListenerId,
    reference: String,
    error: SecretError,
}

/// Why a listener has no identity.
enum Lack {
    Unread(SecretsUnread),
    /// It refers to no certificate: an update may take the last one away.
    Nothing,
    /// There is no room for it.
    TooLarge,
}

/// Bytes that may be fetched yet.
struct Room(usize);

impl Room {
    fn take<'a>(&mut self, parts: impl IntoIterator<Item = &'a Der>) -> Result<(), Lack> {
        parts.into_iter().try_for_each(|der| self.take_bytes(der.0.len()))
    }

    fn take_bytes(&mut self, bytes: usize) -> Result<(), Lack> {
        self.0 = self.0.checked_sub(bytes).ok_or(Lack::TooLarge)?;
        Ok(())
    }
}

/// What the listeners that terminate TLS refer to. What is for its owner to put right is told in place of it, and
/// concerns that listener alone.
pub(crate) async fn identities(
    secrets: &dyn Secrets,
    graph: &LoadBalancerGraph,
) -> Result<Identities, SecretsUnread> {
    let mut identities = Identities::new();
    let mut room = Room(BYTES_MAX);
    for listener in terminating(graph) {
        let before = room.0;
        let found = identity(secrets, listener, &mut room).await;
        if found.is_err() {
            // What is not pushed takes none.
            room.0 = before;
        }
        let found = match found {
            Ok(identity) => Ok(identity),
            Err(Lack::Unread(unread)) if unread.error.blame() == Blame::Caller => {
                tracing::warn!(listener = %listener.id, error = %unread.error, "a secret cannot be used");
                Err(unread_fault(&unread))
            }
            Err(Lack::Unread(unread)) => return Err(unread),
            Err(Lack::Nothing) => Err(no_certificate()),
            Err(Lack::TooLarge) => {
                tracing::warn!(listener = %listener.id, "there is no room for its secrets");
                Err(too_large())
            }
        };
        identities.insert(listener.id, found);
    }
    Ok(identities)
}

async fn identity(secrets: &dyn Secrets, listener: &Listener, room: &mut Room) -> Result<IdentitySpec, Lack> {
    let unread = |reference: &String| {
        let reference = reference.clone();
        move |error| Lack::Unread(SecretsUnread { listener: listener.id, reference, error })
    };
    let reader = Reader::Service;
    let mut identity =
        IdentitySpec { certificates: vec![], client_authorities: vec![], client_revocations: vec![] };
    let mut references: Vec<&String> = vec![];
    for reference in listener.default_tls_container_ref.iter().chain(&listener.sni_container_refs) {
        if !references.contains(&reference) {
            references.push(reference);
        }
    }
    if references.is_empty() {
        return Err(Lack::Nothing);
    }
    for reference in references {
        let bundle = secrets.bundle_fetch(reference, reader).await.map_err(unread(reference))?;
        let names = bundle.names().iter().filter(|name| name.len() <= NAME_MAX);
        let certificate = CertificateSpec {
            chain: bundle.chain().iter().map(|der| Der(der.to_vec())).collect(),
            key: KeySpec::new(bundle.key().der().secret_der()),
            names: names.take(NAMES_MAX).cloned().collect(),
        };
        room.take(&certificate.chain)?;
        room.take_bytes(certificate.key.reveal().len())?;
        certificate.names.iter().try_for_each(|name| room.take_bytes(name.len()))?;
        identity.certificates.push(certificate);
    }
    if let Some(reference) = &listener.client_ca_tls_container_ref {
        let bundle = secrets.ca_fetch(reference, reader).await.map_err(unread(reference))?;
        identity.client_authorities = bundle.certificates().iter().map(|der| Der(der.to_vec())).collect();
        room.take(&identity.client_authorities)?;
    }
    if let Some(reference) = &listener.client_crl_container_ref {
        let lists = secrets.crl_fetch(reference, reader).await.map_err(unread(reference))?;
        identity.client_revocations = lists.lists().iter().map(|der| Der(der.to_vec())).collect();
        room.take(&identity.client_revocations)?;
    }
    Ok(identity)
}

fn unread_fault(unread: &SecretsUnread) -> TlsFault {
    TlsFault {
        code: ReasonCode::SecretUnreadable,
        text: format!("{} cannot be used: {}", unread.reference, unread.error),
        advice: "Put it right, or let the listener refer to another. It is looked at again by itself; until then the \
                 listener goes on with the certificates it has, if it has any."
            .to_owned(),
    }
}

fn no_certificate() -> TlsFault {
    TlsFault {
        code: ReasonCode::ConfigurationRefused,
        text: "The listener terminates TLS, and refers to no certificate.".to_owned(),
        advice: "Set default_tls_container_ref or sni_container_refs. Until then it goes on with the certificates it has, \
                 if it has any."
            .to_owned(),
    }
}

fn too_large() -> TlsFault {
    TlsFault {
        code: ReasonCode::SecretUnreadable,
        text: format!(
            "What the listeners of this load balancer refer to is more than {BYTES_MAX} bytes of certificates, keys and \
             revocation lists together: there is no room for what this one refers to."
        ),
        advice: "Refer to fewer or smaller ones, or have another load balancer for some. Until then the listener goes on \
                 with the certificates it has, if it has any."
            .to_owned(),
    }
}
