//! What listeners and pools refer to, fetched with the service's own rights when it is needed and kept nowhere: it goes to
//! the amphora, and is dropped.

use std::fmt;

use octavia_cloud::{Reader, SecretError, Secrets};
use octavia_model::{Blame, Listener, ListenerId, LoadBalancerGraph, Pool, PoolId, ReasonCode};
use octavia_plan::{Identities, encrypting, terminating};
use octavia_wire::{CertificateSpec, Der, IdentitySpec, KeySpec, PoolIdentitySpec, TlsFault};

/// Names a certificate is chosen by, at most, and bytes of each: what is beyond is no host's name.
const NAMES_MAX: usize = 1_024;
const NAME_MAX: usize = 255;
/// Bytes of keys, certificates and lists of one load balancer, at most. An agent takes specs of 8 MiB, in which they are
/// written in base64; and a worker holds them while it pushes, so that users must not say how much that is.
const BYTES_MAX: usize = 4 << 20;

/// The key manager, or what is between, is in trouble: tried again with backoff.
#[derive(Debug, thiserror::Error)]
#[error("what {owner} refers to, {reference}, cannot be read: {error}")]
pub(crate) struct SecretsUnread {
    owner: Owner,
    reference: String,
    error: SecretError,
}

/// Why a listener or a pool has no identity.
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

#[derive(Debug, Clone, Copy)]
enum Owner {
    Listener(ListenerId),
    Pool(PoolId),
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listener(id) => write!(f, "listener {id}"),
            Self::Pool(id) => write!(f, "pool {id}"),
        }
    }
}

impl Owner {
    /// What it is, and with what it does without an identity.
    const fn goes_on(self) -> (&'static str, &'static str) {
        match self {
            Self::Listener(_) => ("listener", "the certificates it has, if it has any"),
            Self::Pool(_) => ("pool", "what it has, if it has it, or serves nobody"),
        }
    }
}

/// What the listeners that terminate TLS and the pools that speak it with their members refer to. What is for its owner to
/// put right is told in place of it, and concerns that listener or pool alone.
pub(crate) async fn identities(
    secrets: &dyn Secrets,
    graph: &LoadBalancerGraph,
) -> Result<Identities, SecretsUnread> {
    let mut identities = Identities::new();
    let mut room = Room(BYTES_MAX);
    for listener in terminating(graph) {
        let mut reader = OwnersReader { secrets, owner: Owner::Listener(listener.id), room: Room(room.0) };
        let found = reader.listener(listener).await;
        identities.listeners.insert(listener.id, reader.told(found, &mut room)?);
    }
    for pool in encrypting(graph) {
        let mut reader = OwnersReader { secrets, owner: Owner::Pool(pool.id), room: Room(room.0) };
        let found = reader.pool(pool).await;
        identities.pools.insert(pool.id, reader.told(found, &mut room)?);
    }
    Ok(identities)
}

/// Reads for a listener or a pool.
struct OwnersReader<'a> {
    secrets: &'a dyn Secrets,
    owner: Owner,
    /// What is left when all it refers to has been read.
    room: Room,
}

impl OwnersReader<'_> {
    /// What was found, or what there is to say instead; what is not pushed takes no room.
    fn told<I>(self, found: Result<I, Lack>, room: &mut Room) -> Result<Result<I, TlsFault>, SecretsUnread> {
        Ok(match found {
            Ok(identity) => {
                *room = self.room;
                Ok(identity)
            }
            Err(Lack::Unread(unread)) if unread.error.blame() == Blame::Caller => {
                tracing::warn!(owner = %unread.owner, error = %unread.error, "a secret cannot be used");
                Err(unread_fault(&unread))
            }
            Err(Lack::Unread(unread)) => return Err(unread),
            Err(Lack::Nothing) => Err(no_certificate()),
            Err(Lack::TooLarge) => {
                tracing::warn!(owner = %self.owner, "there is no room for its secrets");
                Err(too_large(self.owner))
            }
        })
    }

    async fn listener(&mut self, listener: &Listener) -> Result<IdentitySpec, Lack> {
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
            identity.certificates.push(self.certificate(reference).await?);
        }
        if let Some(reference) = &listener.client_ca_tls_container_ref {
            identity.client_authorities = self.authorities(reference).await?;
        }
        if let Some(reference) = &listener.client_crl_container_ref {
            identity.client_revocations = self.revocations(reference).await?;
        }
        Ok(identity)
    }

    /// A list says nothing without the authority: as with the original, it is not looked at then.
    async fn pool(&mut self, pool: &Pool) -> Result<PoolIdentitySpec, Lack> {
        let mut identity = PoolIdentitySpec::default();
        if let Some(reference) = &pool.tls_container_ref {
            // It is shown to whoever asks, by no name.
            identity.certificate =
                Some(CertificateSpec { names: vec![], ..self.certificate(reference).await? });
        }
        let Some(reference) = &pool.ca_tls_container_ref else { return Ok(identity) };
        identity.authorities = self.authorities(reference).await?;
        if let Some(reference) = &pool.crl_container_ref {
            identity.revocations = self.revocations(reference).await?;
        }
        Ok(identity)
    }

    async fn certificate(&mut self, reference: &str) -> Result<CertificateSpec, Lack> {
        let read = self.secrets.bundle_fetch(reference, Reader::Service).await;
        let bundle = read.map_err(self.unread(reference))?;
        let names = bundle.names().iter().filter(|name| name.len() <= NAME_MAX);
        let certificate = CertificateSpec {
            chain: bundle.chain().iter().map(|der| Der(der.to_vec())).collect(),
            key: KeySpec::new(bundle.key().der().secret_der()),
            names: names.take(NAMES_MAX).cloned().collect(),
            staple: None,
        };
        self.room.take(&certificate.chain)?;
        self.room.take_bytes(certificate.key.reveal().len())?;
        certificate.names.iter().try_for_each(|name| self.room.take_bytes(name.len()))?;
        Ok(certificate)
    }

    async fn authorities(&mut self, reference: &str) -> Result<Vec<Der>, Lack> {
        let read = self.secrets.ca_fetch(reference, Reader::Service).await;
        let bundle = read.map_err(self.unread(reference))?;
        let all: Vec<_> = bundle.certificates().iter().map(|der| Der(der.to_vec())).collect();
        self.room.take(&all)?;
        Ok(all)
    }

    async fn revocations(&mut self, reference: &str) -> Result<Vec<Der>, Lack> {
        let read = self.secrets.crl_fetch(reference, Reader::Service).await;
        let lists = read.map_err(self.unread(reference))?;
        let all: Vec<_> = lists.lists().iter().map(|der| Der(der.to_vec())).collect();
        self.room.take(&all)?;
        Ok(all)
    }

    fn unread(&self, reference: &str) -> impl FnOnce(SecretError) -> Lack + use<> {
        let (owner, reference) = (self.owner, reference.to_owned());
        move |error| Lack::Unread(SecretsUnread { owner, reference, error })
    }
}

fn unread_fault(unread: &SecretsUnread) -> TlsFault {
    let (whose, keeps) = unread.owner.goes_on();
    TlsFault {
        code: ReasonCode::SecretUnreadable,
        text: format!("{} cannot be used: {}", unread.reference, unread.error),
        advice: format!(
            "Put it right, or let the {whose} refer to another. It is looked at again by itself; until then the {whose} \
             goes on with {keeps}."
        ),
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

fn too_large(owner: Owner) -> TlsFault {
    let (whose, keeps) = owner.goes_on();
    TlsFault {
        code: ReasonCode::SecretUnreadable,
        text: format!(
            "What the listeners and pools of this load balancer refer to is more than {BYTES_MAX} bytes of certificates, \
             keys and revocation lists together: there is no room for what this {whose} refers to."
        ),
        advice: format!(
            "Refer to fewer or smaller ones, or have another load balancer for some. Until then the {whose} goes on with \
             {keeps}."
        ),
    }
}
