//! Secrets that users keep elsewhere and refer to: certificates with their keys, authorities, revocation lists.

use async_trait::async_trait;
use octavia_model::Blame;
use octavia_tls::{CaBundle, Crls, Parts, TlsBundle, TlsError};
use tokio::sync::Semaphore;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::{CloudError, RequestContext};

/// Bytes of one secret; zeroed when they go.
pub type Payload = Zeroizing<Vec<u8>>;

/// The service that keeps secrets (Barbican; the embedded vault).
///
/// A reference is the URL of a secret or of a container. What to ask is up to the implementation; what to make of the
/// answers is here, the same for all.
#[async_trait]
pub trait Secrets: Send + Sync + std::fmt::Debug {
    /// The content of a secret.
    async fn payload_fetch(&self, secret: &SecretRef, reader: Reader<'_>) -> Result<Payload, SecretError>;

    /// What a container refers to.
    async fn container_fetch(
        &self,
        container: &SecretRef,
        reader: Reader<'_>,
    ) -> Result<Container, SecretError>;

    /// Notes that something uses it, for the eyes of who wants to delete it. Twice is once.
    async fn consumer_register(&self, used: &SecretRef, consumer: Consumer) -> Result<(), SecretError>;

    /// Absent is fine, also when what was used is gone.
    async fn consumer_unregister(&self, used: &SecretRef, consumer: Consumer) -> Result<(), SecretError>;

    /// Certificate, chain and key behind a reference: a secret with PKCS#12 (or PEM) in it, or a container of
    /// certificate, private key, intermediates and passphrase.
    async fn bundle_fetch(&self, reference: &str, reader: Reader<'_>) -> Result<TlsBundle, SecretError> {
        let reference = SecretRef::parse(reference)?;
        if reference.kind == RefKind::Secret {
            let payload = self.payload_fetch(&reference, reader).await?;
            return parse(reader, move || TlsBundle::from_one(&payload)).await;
        }
        let container = self.container_fetch(&reference, reader).await?;
        if container.kind != "certificate" {
            return Err(SecretError::ContainerType(container.kind));
        }
        let mut payloads: [Option<Payload>; PARTS.len()] = Default::default();
        let mut forbidden = container.forbidden.clone();
        for (part, payload) in PARTS.iter().zip(&mut payloads) {
            let Some(secret) = container.secret(part) else { continue };
            match self.payload_fetch(secret, reader).await {
                Ok(bytes) => *payload = Some(bytes),
                // All at once, so that the owner hears of each.
                Err(SecretError::Forbidden(found)) => match &mut forbidden {
                    Some(all) => all.rights.extend(found.rights),
                    None => forbidden = Some(found),
                },
                Err(error) => return Err(error),
            }
        }
        if let Some(forbidden) = forbidden {
            return Err(SecretError::Forbidden(forbidden));
        }
        let [certificate, private_key, intermediates, passphrase] = payloads;
        let certificate = certificate.ok_or(SecretError::Incomplete("certificate"))?;
        let private_key = private_key.ok_or(SecretError::Incomplete("private_key"))?;
        parse(reader, move || {
            TlsBundle::from_parts(&Parts {
                certificate: &certificate,
                private_key: &private_key,
                intermediates: intermediates.as_ref().map(|bytes| bytes.as_slice()),
                passphrase: passphrase.as_ref().map(|bytes| bytes.as_slice()),
            })
        })
        .await
    }

    /// Certificates of authorities: a secret with PEM (or DER) in it.
    async fn ca_fetch(&self, reference: &str, reader: Reader<'_>) -> Result<CaBundle, SecretError> {
        let payload = self.payload_fetch(&SecretRef::parse_secret(reference)?, reader).await?;
        parse(reader, move || CaBundle::read(&payload)).await
    }

    /// Certificate revocation lists: a secret with PEM (or DER) in it.
    async fn crl_fetch(&self, reference: &str, reader: Reader<'_>) -> Result<Crls, SecretError> {
        let payload = self.payload_fetch(&SecretRef::parse_secret(reference)?, reader).await?;
        parse(reader, move || Crls::read(&payload)).await
    }
}

/// Parts of a container, as the original names them.
const PARTS: [&str; 4] = ["certificate", "private_key", "intermediates", "private_key_passphrase"];

/// Opening keys takes a processor's time and, by intention of who encrypted them, memory: one at a time.
static PARSING: Semaphore = Semaphore::const_new(1);
/// And one for the service itself: callers who ask for much of it, which takes a second for each key, do not keep it from
/// pushing what others have asked for.
static PARSING_FOR_SERVICE: Semaphore = Semaphore::const_new(1);

async fn parse<T: Send + 'static>(
    reader: Reader<'_>,
    work: impl FnOnce() -> Result<T, TlsError> + Send + 'static,
) -> Result<T, SecretError> {
    let turn = if matches!(reader, Reader::Service) { &PARSING_FOR_SERVICE } else { &PARSING };
    let permit = turn.acquire().await.map_err(|_| CloudError::internal("secrets are no longer read"))?;
    #[expect(clippy::disallowed_methods, reason = "bounded by the semaphore")]
    let task = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        work()
    });
    match task.await {
        Ok(result) => result.map_err(SecretError::Content),
        Err(_) => Err(CloudError::internal("the reader of certificates failed").into()),
    }
}

/// For whom something is read.
#[derive(Clone, Copy)]
pub enum Reader<'a> {
    /// A caller of the API: what the caller may not read, the caller may not have us use. With the token, if there is
    /// one, by which a service elsewhere knows the caller. Nothing is changed: where the service may not read it yet, it
    /// is [`SecretError::NotAdmitted`].
    Caller(&'a RequestContext, Option<&'a str>),
    /// The same caller, once nothing else speaks against what is asked for: the service is let read it from now on if
    /// the caller may allow that.
    Admitting(&'a RequestContext, Option<&'a str>),
    /// A caller who asks what a request would do: with the caller's rights alone, and changing nothing.
    Rehearsal(&'a RequestContext, Option<&'a str>),
    /// The service itself, for what a caller who might read it has named before.
    Service,
}

impl std::fmt::Debug for Reader<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Caller(context, _) => write!(f, "Caller({})", context.user_id),
            Self::Admitting(context, _) => write!(f, "Admitting({})", context.user_id),
            Self::Rehearsal(context, _) => write!(f, "Rehearsal({})", context.user_id),
            Self::Service => f.write_str("Service"),
        }
    }
}

/// Where a secret or a container is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretRef {
    pub kind: RefKind,
    pub id: Uuid,
    /// As the user wrote it.
    pub text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefKind {
    Secret,
    Container,
}

impl SecretRef {
    /// `…/v1/secrets/UUID` or `…/v1/containers/UUID`. Which host it names makes no difference: the one that we know is
    /// asked, and no other.
    ///
    /// It is said again in logs and to its owner: what could pass for another line there is no part of a URL.
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(SecretError::Malformed);
        }
        let mut parts = text.trim_end_matches('/').rsplit('/');
        let id = parts.next().and_then(|id| Uuid::try_parse(id).ok());
        let kind = match parts.next() {
            Some("secrets") => Some(RefKind::Secret),
            Some("containers") => Some(RefKind::Container),
            _ => None,
        };
        match (kind, id) {
            (Some(kind), Some(id)) => Ok(Self { kind, id, text: text.to_owned() }),
            _ => Err(SecretError::Malformed),
        }
    }

    fn parse_secret(text: &str) -> Result<Self, SecretError> {
        let reference = Self::parse(text)?;
        if reference.kind == RefKind::Secret { Ok(reference) } else { Err(SecretError::NoSecret) }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// `generic`, `rsa` or `certificate`.
    pub kind: String,
    /// Name of the part, and where it is.
    pub secrets: Vec<(String, SecretRef)>,
    /// Who lacks the right to read the container itself, although who asks for it has shown what is in it.
    pub forbidden: Option<Forbidden>,
}

impl Container {
    fn secret(&self, part: &str) -> Option<&SecretRef> {
        self.secrets.iter().find(|(name, _)| name == part).map(|(_, secret)| secret)
    }
}

/// Who uses a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Consumer {
    /// Of [`Consumer::RESOURCES`].
    pub resource: &'static str,
    pub id: Uuid,
}

impl Consumer {
    /// What [`Consumer::resource`] may be.
    pub const RESOURCES: [&'static str; 2] = ["listeners", "pools"];
    /// The name of the service in the lists of consumers.
    pub const SERVICE: &'static str = "octavia";

    /// The same as an URL, which is how consumers of containers are told.
    pub fn url(&self) -> String {
        format!("lbaas://{}/{}", self.resource, self.id)
    }
}

/// Why there is nothing to use. No byte of a secret is in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    #[error(
        "It is no reference: the URL of a secret or a container is expected, …/v1/secrets/ID or …/v1/containers/ID."
    )]
    Malformed,
    #[error("It refers to a container; the URL of a secret is expected, …/v1/secrets/ID.")]
    NoSecret,
    #[error("There is no {0}; was it deleted, or has it expired?")]
    NotFound(String),
    #[error("{0}")]
    Forbidden(Forbidden),
    /// The caller may read it; the service may not, or not yet.
    #[error("The service is not on the list of who may read it.")]
    NotAdmitted,
    #[error("The secret {0} has no payload yet.")]
    NoPayload(String),
    #[error("The container is of type {0}; one of type certificate is expected.")]
    ContainerType(String),
    #[error("The container has no {0}.")]
    Incomplete(&'static str),
    #[error("{0}")]
    Content(TlsError),
    #[error("{0}")]
    Cloud(#[from] CloudError),
}

impl SecretError {
    pub fn blame(&self) -> Blame {
        match self {
            Self::Cloud(error) => error.blame,
            _ => Blame::Caller,
        }
    }

    pub fn not_found(reference: &SecretRef) -> Self {
        let what = match reference.kind {
            RefKind::Secret => "secret",
            RefKind::Container => "container",
        };
        Self::NotFound(format!("{what} {}", reference.id))
    }

    pub fn forbidden(user: &str, reference: &SecretRef) -> Self {
        Self::Forbidden(Forbidden::new(user, reference))
    }
}

/// Rights to read that are lacking: the caller's, the service's, or some of each.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Forbidden {
    pub rights: Vec<Right>,
}

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Right {
    /// The user's id.
    pub user: String,
    pub reference: String,
}

impl Forbidden {
    pub fn new(user: &str, reference: &SecretRef) -> Self {
        Self { rights: vec![Right { user: user.to_owned(), reference: reference.text.clone() }] }
    }
}

impl std::fmt::Display for Forbidden {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut users: Vec<&str> = vec![];
        for Right { user, .. } in &self.rights {
            if !users.contains(&user.as_str()) {
                users.push(user);
            }
        }
        let who = if users.len() == 1 { "User" } else { "Users" };
        write!(f, "{who} {} may not read it. Its owner can allow that:", users.join(" and "))?;
        for (at, Right { user, reference }) in self.rights.iter().enumerate() {
            let before = if at == 0 { "" } else { ";" };
            write!(f, "{before} openstack acl user add --user {user} --operation-type read {reference}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_service_waits_for_no_caller() {
        let _callers = PARSING.acquire().await.unwrap();
        let read = parse(Reader::Service, || Ok(1));
        let read = tokio::time::timeout(std::time::Duration::from_secs(30), read).await;
        assert_eq!(read.expect("its turn"), Ok(1));
    }

    #[test]
    fn each_right_has_its_command() {
        let right = |user: &str, reference: &str| Right { user: user.into(), reference: reference.into() };
        let add = "openstack acl user add --user";
        for (rights, text) in [
            (
                vec![right("u", "r")],
                format!("User u may not read it. Its owner can allow that: {add} u --operation-type read r"),
            ),
            (
                vec![right("u", "r"), right("v", "s"), right("v", "t")],
                format!(
                    "Users u and v may not read it. Its owner can allow that: {add} u --operation-type read r; \
                     {add} v --operation-type read s; {add} v --operation-type read t"
                ),
            ),
        ] {
            assert_eq!(Forbidden { rights }.to_string(), text);
        }
    }

    #[test]
    fn references_are_read() {
        let id = "2b1d9b9e-9b9a-4d5e-8a77-94a5d6a1e1f3";
        for (text, expected) in [
            (format!("http://cloud.example/key-manager/v1/secrets/{id}"), Ok(RefKind::Secret)),
            (format!("https://[::1]:9311/v1/containers/{id}/"), Ok(RefKind::Container)),
            (format!("secrets/{id}"), Ok(RefKind::Secret)),
            (id.to_owned(), Err(SecretError::Malformed)),
            (format!("http://cloud.example/v1/orders/{id}"), Err(SecretError::Malformed)),
            (format!("http://cloud.example/v1/secrets/{id}/payload"), Err(SecretError::Malformed)),
            ("http://cloud.example/v1/secrets/../containers".to_owned(), Err(SecretError::Malformed)),
            (String::new(), Err(SecretError::Malformed)),
            (format!("x\nERROR all is lost/v1/secrets/{id}"), Err(SecretError::Malformed)),
            (format!("http://a\u{1b}[2J/v1/secrets/{id}"), Err(SecretError::Malformed)),
            (format!("http://a/v1/secrets/{id}\u{2028}"), Err(SecretError::Malformed)),
        ] {
            assert_eq!(SecretRef::parse(&text).map(|reference| reference.kind), expected, "{text}");
        }
    }
}
