//! Secrets kept on this machine, sealed, and the Barbican v1 API in front of them.

mod book;
mod http;
mod request;
mod vault;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use jiff::Timestamp;

use self::book::{Act, Book, BookError, Caller, Change};
pub(super) use self::http::router;
use self::vault::Vault;
use super::OpenError;
use super::blocking::Blocking;
use crate::{
    CloudError, Consumer, Container, Payload, Reader, RefKind, RequestContext, SecretError, SecretRef,
    Secrets,
};

const SECRET: &str = "secret";
const CONTAINER: &str = "container";

/// [`Secrets`] in files that are sealed with a key beside them.
#[derive(Debug, Clone)]
pub struct LocalSecrets(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    vault: Vault,
    book: Mutex<Book>,
    /// One writer at a time: no change is decided on a book that another is about to change.
    writer: Blocking,
}

impl LocalSecrets {
    pub(super) fn open(cloud_dir: &Path) -> Result<Self, OpenError> {
        let vault = Vault::open(cloud_dir)?;
        let book = Mutex::new(Book::new(vault.load(SECRET)?, vault.load(CONTAINER)?));
        Ok(Self(Arc::new(Inner { vault, book, writer: Blocking::new(1) })))
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Decides on the book, makes the change durable, then enters it.
    async fn change<T: Send + 'static, E: From<CloudError> + Send + 'static>(
        &self,
        decide: impl FnOnce(&Book, Timestamp) -> Result<(T, Change), E> + Send + 'static,
    ) -> Result<T, E> {
        let this = self.clone();
        self.0
            .writer
            .run(move || {
                let (answer, change) = decide(&this.book(), Timestamp::now())?;
                this.store(&change).map_err(|error| {
                    CloudError::unavailable(format!("the change of a secret could not be stored: {error}"))
                })?;
                this.book().apply(change);
                Ok(answer)
            })
            .await?
    }

    fn store(&self, change: &Change) -> std::io::Result<()> {
        let vault = &self.0.vault;
        match change {
            Change::Nothing => Ok(()),
            Change::Secret(secret) => vault.store(SECRET, secret.entry.id, secret),
            Change::SecretGone(id) => vault.remove(SECRET, *id),
            Change::Container(container) => vault.store(CONTAINER, container.entry.id, container),
            Change::ContainerGone(id) => vault.remove(CONTAINER, *id),
        }
    }

    /// Adds or removes a consumer; removing does not mind what is absent.
    async fn consumer_change(
        &self,
        used: &SecretRef,
        consumer: Consumer,
        add: bool,
    ) -> Result<(), SecretError> {
        let used = used.clone();
        let consumer = match used.kind {
            RefKind::Secret => book::Consumer {
                service: Consumer::SERVICE.into(),
                resource_type: consumer.resource.into(),
                resource: consumer.id.to_string(),
            },
            RefKind::Container => book::Consumer {
                service: Consumer::SERVICE.into(),
                resource_type: String::new(),
                resource: consumer.url(),
            },
        };
        self.change(move |book, now| {
            let change = |entry: &mut book::Entry| match add {
                true => entry.consumer_add(consumer),
                false => entry.consumer_remove(&consumer),
            };
            let changed = match used.kind {
                RefKind::Secret => book.secret(used.id, &EVERYTHING, Act::Manage, now).and_then(|secret| {
                    let mut secret = secret.clone();
                    change(&mut secret.entry).map(|()| Change::Secret(Box::new(secret)))
                }),
                RefKind::Container => {
                    book.container(used.id, &EVERYTHING, Act::Manage).and_then(|container| {
                        let mut container = container.clone();
                        change(&mut container.entry).map(|()| Change::Container(Box::new(container)))
                    })
                }
            };
            match changed {
                Ok(change) => Ok(((), change)),
                Err(BookError::NotFound(_) | BookError::NoConsumer) if !add => Ok(((), Change::Nothing)),
                Err(error) => Err(refusal(&error, &used, &EVERYTHING)),
            }
        })
        .await
    }
}

/// The service keeps the key anyway; what it may use is judged when a caller names it.
const EVERYTHING: Caller =
    Caller { user: String::new(), project: None, member: false, admin: false, everything: true };

fn caller(reader: Reader<'_>) -> Caller {
    match reader {
        Reader::Service => EVERYTHING,
        Reader::Caller(RequestContext { user_id, project_id, roles, is_admin, .. }, _)
        | Reader::Admitting(RequestContext { user_id, project_id, roles, is_admin, .. }, _)
        | Reader::Rehearsal(RequestContext { user_id, project_id, roles, is_admin, .. }, _) => {
            let has = |wanted: &str| roles.iter().any(|role| role == wanted);
            Caller {
                user: user_id.clone(),
                project: project_id.as_ref().map(|project| project.as_str().to_owned()),
                member: has("member") || has("admin"),
                admin: has("admin"),
                everything: *is_admin,
            }
        }
    }
}

fn refusal(error: &BookError, reference: &SecretRef, caller: &Caller) -> SecretError {
    match error {
        BookError::NotFound(_) => SecretError::not_found(reference),
        BookError::Forbidden(_) => SecretError::forbidden(&caller.user, reference),
        other => CloudError::refused(other.to_string()).into(),
    }
}

#[async_trait]
impl Secrets for LocalSecrets {
    async fn payload_fetch(&self, secret: &SecretRef, reader: Reader<'_>) -> Result<Payload, SecretError> {
        let caller = caller(reader);
        let book = self.book();
        let found = book.secret(secret.id, &caller, Act::Read, Timestamp::now());
        let found = found.map_err(|error| refusal(&error, secret, &caller))?;
        let content = found.content.as_ref().map(|content| content.0.clone());
        content.ok_or_else(|| SecretError::NoPayload(secret.id.to_string()))
    }

    async fn container_fetch(
        &self,
        container: &SecretRef,
        reader: Reader<'_>,
    ) -> Result<Container, SecretError> {
        let caller = caller(reader);
        let book = self.book();
        let found = book.container(container.id, &caller, Act::Read);
        let found = found.map_err(|error| refusal(&error, container, &caller))?;
        // The secrets are where the container is.
        let base = container.text.trim_end_matches('/').rsplitn(3, '/').nth(2).unwrap_or_default();
        let part = |(name, id): &(Option<String>, uuid::Uuid)| {
            let text = format!("{base}/secrets/{id}");
            (name.clone().unwrap_or_default(), SecretRef { kind: RefKind::Secret, id: *id, text })
        };
        let secrets = found.secrets.iter().map(part).collect();
        Ok(Container { kind: found.kind.clone(), secrets, forbidden: None })
    }

    async fn consumer_register(&self, used: &SecretRef, consumer: Consumer) -> Result<(), SecretError> {
        self.consumer_change(used, consumer, true).await
    }

    async fn consumer_unregister(&self, used: &SecretRef, consumer: Consumer) -> Result<(), SecretError> {
        self.consumer_change(used, consumer, false).await
    }
}
