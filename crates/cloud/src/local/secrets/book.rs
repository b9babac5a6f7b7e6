//! What is kept, and who may do what with it. Pure: the clock and new ids are arguments.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::local::time;

/// Secrets of a project, and containers of a project, at most.
const PER_PROJECT_MAX: usize = 1000;
/// Consumers of one secret or container at most.
const CONSUMERS_MAX: usize = 1000;

/// Content of a secret; in files as base64, and those are sealed.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Content(pub(super) Zeroizing<Vec<u8>>);

impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl Serialize for Content {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Zeroizing::new(STANDARD.encode(&*self.0)).as_str().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Zeroizing::new(String::deserialize(deserializer)?);
        let bytes = STANDARD.decode(text.as_bytes());
        bytes.map(|bytes| Self(Zeroizing::new(bytes))).map_err(serde::de::Error::custom)
    }
}

/// What secrets and containers have in common.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) id: Uuid,
    pub(super) project: String,
    pub(super) creator: String,
    pub(super) name: Option<String>,
    pub(super) acl: Option<Acl>,
    pub(super) consumers: Vec<Consumer>,
    #[serde(with = "time")]
    pub(super) created: Timestamp,
    #[serde(with = "time")]
    pub(super) updated: Timestamp,
}

/// Who may read besides the owner's project, and whether that may.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Acl {
    pub(super) users: Vec<String>,
    pub(super) project_access: bool,
    #[serde(with = "time")]
    pub(super) created: Timestamp,
    #[serde(with = "time")]
    pub(super) updated: Timestamp,
}

/// Of a secret: service, type and id of the resource. Of a container: a name, nothing, an URL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Consumer {
    pub(super) service: String,
    pub(super) resource_type: String,
    pub(super) resource: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Secret {
    pub(super) entry: Entry,
    pub(super) secret_type: String,
    pub(super) algorithm: Option<String>,
    pub(super) bit_length: Option<u64>,
    pub(super) mode: Option<String>,
    /// Second since the epoch.
    pub(super) expiration: Option<i64>,
    pub(super) content_type: Option<String>,
    pub(super) content: Option<Content>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Container {
    pub(super) entry: Entry,
    pub(super) kind: String,
    /// Name of the part, id of the secret.
    pub(super) secrets: Vec<(Option<String>, Uuid)>,
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Caller {
    pub(super) user: String,
    pub(super) project: Option<String>,
    pub(super) member: bool,
    pub(super) admin: bool,
    /// Of a deployment that tells nobody apart.
    pub(super) everything: bool,
}

impl Entry {
    /// By its project, unless it is private: then by its creator and the project's administrators.
    fn is_managed_by(&self, caller: &Caller) -> bool {
        let private = self.acl.as_ref().is_some_and(|acl| !acl.project_access);
        let inside = caller.project.as_deref() == Some(&self.project) && caller.member;
        caller.everything || inside && (!private || caller.admin || caller.user == self.creator)
    }

    pub(super) fn is_read_by(&self, caller: &Caller) -> bool {
        let listed = self.acl.as_ref().is_some_and(|acl| acl.users.contains(&caller.user));
        listed || self.is_managed_by(caller)
    }

    fn is_shared_by(&self, caller: &Caller) -> bool {
        self.is_managed_by(caller) && (caller.everything || caller.admin || caller.user == self.creator)
    }
}

/// What is done to an entry, for the right to do it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    Read,
    Manage,
    Share,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum BookError {
    #[error("Not Found. Sorry but your {0} is in another castle.")]
    NotFound(&'static str),
    #[error("Your roles, or the access control list of this {0}, do not allow this.")]
    Forbidden(&'static str),
    #[error("Secret already has data, cannot modify it.")]
    HasContent,
    #[error("A project has at most {PER_PROJECT_MAX} {0}.")]
    Full(&'static str),
    #[error("There are at most {CONSUMERS_MAX} consumers.")]
    ConsumersFull,
    #[error("Consumer not found.")]
    NoConsumer,
    #[error("Secret provided for '{0}' doesn't exist.")]
    PartUnknown(String),
}

/// Something to make durable, then to enter.
#[derive(Debug)]
pub(super) enum Change {
    Nothing,
    Secret(Box<Secret>),
    SecretGone(Uuid),
    Container(Box<Container>),
    ContainerGone(Uuid),
}

#[derive(Debug, Default)]
pub(super) struct Book {
    secrets: BTreeMap<Uuid, Secret>,
    containers: BTreeMap<Uuid, Container>,
}

impl Book {
    pub(super) fn new(secrets: Vec<Secret>, containers: Vec<Container>) -> Self {
        Self {
            secrets: secrets.into_iter().map(|secret| (secret.entry.id, secret)).collect(),
            containers: containers.into_iter().map(|container| (container.entry.id, container)).collect(),
        }
    }

    pub(super) fn apply(&mut self, change: Change) {
        match change {
            Change::Nothing => {}
            Change::Secret(secret) => {
                self.secrets.insert(secret.entry.id, *secret);
            }
            Change::SecretGone(id) => {
                self.secrets.remove(&id);
            }
            Change::Container(container) => {
                self.containers.insert(container.entry.id, *container);
            }
            Change::ContainerGone(id) => {
                self.containers.remove(&id);
            }
        }
    }

    /// One that has expired is not there, except for its deletion.
    pub(super) fn secret(
        &self,
        id: Uuid,
        caller: &Caller,
        act: Act,
        now: Timestamp,
    ) -> Result<&Secret, BookError> {
        let secret = self.secrets.get(&id).ok_or(BookError::NotFound("secret"))?;
        let expired = secret.expiration.is_some_and(|expiration| expiration <= now.as_second());
        if expired && act != Act::Manage {
            return Err(BookError::NotFound("secret"));
        }
        allowed(&secret.entry, caller, act).then_some(secret).ok_or(BookError::Forbidden("secret"))
    }

    pub(super) fn container(&self, id: Uuid, caller: &Caller, act: Act) -> Result<&Container, BookError> {
        let container = self.containers.get(&id).ok_or(BookError::NotFound("container"))?;
        allowed(&container.entry, caller, act).then_some(container).ok_or(BookError::Forbidden("container"))
    }

    /// The caller's project's, oldest first.
    pub(super) fn secrets(&self, caller: &Caller, now: Timestamp) -> Vec<&Secret> {
        let live = |secret: &&Secret| secret.expiration.is_none_or(|expiration| now.as_second() < expiration);
        let mut all: Vec<_> =
            self.secrets.values().filter(|secret| listed(&secret.entry, caller)).filter(live).collect();
        all.sort_by_key(|secret| (secret.entry.created, secret.entry.id));
        all
    }

    pub(super) fn containers(&self, caller: &Caller) -> Vec<&Container> {
        let mut all: Vec<_> =
            self.containers.values().filter(|container| listed(&container.entry, caller)).collect();
        all.sort_by_key(|container| (container.entry.created, container.entry.id));
        all
    }

    pub(super) fn secret_new(&self, secret: Secret) -> Result<Change, BookError> {
        let of_project = |other: &&Secret| other.entry.project == secret.entry.project;
        if self.secrets.values().filter(of_project).count() >= PER_PROJECT_MAX {
            return Err(BookError::Full("secrets"));
        }
        Ok(Change::Secret(Box::new(secret)))
    }

    pub(super) fn container_new(
        &self,
        container: Container,
        caller: &Caller,
        now: Timestamp,
    ) -> Result<Change, BookError> {
        let of_project = |other: &&Container| other.entry.project == container.entry.project;
        if self.containers.values().filter(of_project).count() >= PER_PROJECT_MAX {
            return Err(BookError::Full("containers"));
        }
        for (name, secret) in &container.secrets {
            let part = || BookError::PartUnknown(name.clone().unwrap_or_default());
            self.secret(*secret, caller, Act::Read, now).map_err(|_| part())?;
        }
        Ok(Change::Container(Box::new(container)))
    }
}

impl Secret {
    pub(super) fn with_content(
        &self,
        content: Content,
        content_type: String,
        now: Timestamp,
    ) -> Result<Self, BookError> {
        if self.content.is_some() {
            return Err(BookError::HasContent);
        }
        let entry = Entry { updated: now, ..self.entry.clone() };
        Ok(Self { entry, content: Some(content), content_type: Some(content_type), ..self.clone() })
    }
}

impl Entry {
    /// Twice is once.
    pub(super) fn consumer_add(&mut self, consumer: Consumer) -> Result<(), BookError> {
        if self.consumers.contains(&consumer) {
            return Ok(());
        }
        if self.consumers.len() >= CONSUMERS_MAX {
            return Err(BookError::ConsumersFull);
        }
        self.consumers.push(consumer);
        Ok(())
    }

    pub(super) fn consumer_remove(&mut self, consumer: &Consumer) -> Result<(), BookError> {
        let before = self.consumers.len();
        self.consumers.retain(|known| known != consumer);
        if self.consumers.len() == before { Err(BookError::NoConsumer) } else { Ok(()) }
    }
}

fn allowed(entry: &Entry, caller: &Caller, act: Act) -> bool {
    match act {
        Act::Read => entry.is_read_by(caller),
        Act::Manage => entry.is_managed_by(caller),
        Act::Share => entry.is_shared_by(caller),
    }
}

fn listed(entry: &Entry, caller: &Caller) -> bool {
    caller.project.as_deref() == Some(&entry.project) && entry.is_managed_by(caller)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_do_what() {
        let caller = |user: &str, project: &str, member, admin| Caller {
            user: user.into(),
            project: Some(project.into()),
            member,
            admin,
            everything: false,
        };
        let acl = |users: &[&str], project_access| {
            Some(Acl {
                users: users.iter().map(|user| (*user).to_owned()).collect(),
                project_access,
                created: Timestamp::UNIX_EPOCH,
                updated: Timestamp::UNIX_EPOCH,
            })
        };
        let everybody = [
            caller("creator", "p", true, false),
            caller("colleague", "p", true, false),
            caller("chief", "p", true, true),
            caller("onlooker", "p", false, false),
            caller("creator", "q", true, false),
            caller("friend", "q", true, false),
            caller("root", "q", true, true),
        ];
        // Read, manage, share; a dot for what is refused.
        for (acl, expected) in [
            (None, "rms rm. rms ... ... ... ..."),
            (acl(&["friend"], true), "rms rm. rms ... ... r.. ..."),
            (acl(&[], false), "rms ... rms ... ... ... ..."),
            (acl(&["friend", "colleague"], false), "rms r.. rms ... ... r.. ..."),
        ] {
            let entry = Entry {
                id: Uuid::nil(),
                project: "p".into(),
                creator: "creator".into(),
                name: None,
                acl: acl.clone(),
                consumers: vec![],
                created: Timestamp::UNIX_EPOCH,
                updated: Timestamp::UNIX_EPOCH,
            };
            let rights = |caller: &Caller| -> String {
                let acts = [(Act::Read, 'r'), (Act::Manage, 'm'), (Act::Share, 's')];
                acts.map(|(act, letter)| if allowed(&entry, caller, act) { letter } else { '.' })
                    .iter()
                    .collect()
            };
            let found: Vec<_> = everybody.iter().map(rights).collect();
            assert_eq!(found.join(" "), expected, "{acl:?}");
        }
    }
}
