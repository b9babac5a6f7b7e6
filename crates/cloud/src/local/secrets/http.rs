//! Barbican v1 over HTTP: secrets, containers, their access control lists and consumers.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::book::{Acl, Act, Book, BookError, Caller, Change, Consumer, Container, Entry, Secret};
use super::{LocalSecrets, request};
use crate::local::http::{Call, empty, json as answer};
use crate::local::identity::LocalIdentity;
use crate::local::{IDENTITY_PATH, SECRETS_PATH};
use crate::{CloudError, Identity, Reader};

/// Entries of a page, unless `limit` says another number; and at most.
const PAGE: usize = 10;
const PAGE_MAX: usize = 100;

pub(in crate::local) fn router(secrets: Arc<LocalSecrets>, identity: Arc<LocalIdentity>) -> Router {
    Router::new().fallback(move |request: Request| {
        let (secrets, identity) = (Arc::clone(&secrets), Arc::clone(&identity));
        async move {
            let Some(call) = Call::read(request).await else {
                return Refusal(StatusCode::PAYLOAD_TOO_LARGE, "The body is too large.".into()).respond("");
            };
            let barbican = Barbican { secrets: &secrets, identity: &identity, call: &call };
            let auth_uri = identity.auth_uri();
            barbican.dispatch().await.unwrap_or_else(|refusal| refusal.respond(auth_uri))
        }
    })
}

/// A status, and a sentence that says why.
#[derive(Debug)]
struct Refusal(StatusCode, String);

impl Refusal {
    fn bad(text: impl Into<String>) -> Self {
        Self(StatusCode::BAD_REQUEST, text.into())
    }

    fn not_found() -> Self {
        Self(StatusCode::NOT_FOUND, "Not Found. Sorry but your resource is in another castle.".into())
    }

    fn respond(self, auth_uri: &str) -> Response {
        let Self(status, text) = self;
        let title = status.canonical_reason().unwrap_or_default();
        let mut response =
            answer(status, &json!({"code": status.as_u16(), "title": title, "description": text}));
        if status == StatusCode::UNAUTHORIZED
            && let Ok(value) = HeaderValue::try_from(format!("Keystone uri=\"{auth_uri}\""))
        {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, value);
        }
        response
    }
}

impl From<BookError> for Refusal {
    fn from(error: BookError) -> Self {
        let status = match &error {
            BookError::NotFound(_) | BookError::NoConsumer | BookError::PartUnknown(_) => {
                StatusCode::NOT_FOUND
            }
            BookError::Forbidden(_) | BookError::Full(_) | BookError::ConsumersFull => StatusCode::FORBIDDEN,
            BookError::HasContent => StatusCode::CONFLICT,
        };
        Self(status, error.to_string())
    }
}

impl From<CloudError> for Refusal {
    fn from(error: CloudError) -> Self {
        Self(StatusCode::SERVICE_UNAVAILABLE, error.message)
    }
}

struct Barbican<'a> {
    secrets: &'a LocalSecrets,
    identity: &'a LocalIdentity,
    call: &'a Call,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Secret,
    Container,
}

impl Barbican<'_> {
    async fn dispatch(&self) -> Result<Response, Refusal> {
        let path = self.call.path();
        let read = self.call.method == Method::GET || self.call.method == Method::HEAD;
        match path.as_slice() {
            [] if read => {
                return Ok(answer(StatusCode::MULTIPLE_CHOICES, &json!({"versions": [self.version()]})));
            }
            ["v1"] if read => return Ok(answer(StatusCode::OK, &json!({"version": self.version()}))),
            ["v1", ..] => {}
            _ => return Err(Refusal::not_found()),
        }
        let caller = self.caller().await?;
        match &path[1..] {
            ["secrets"] => self.secrets(caller).await,
            ["containers"] => self.containers(caller).await,
            ["orders"] if read => Ok(answer(StatusCode::OK, &json!({"orders": [], "total": 0}))),
            ["secrets", id, rest @ ..] => self.entry(Kind::Secret, identified(id)?, rest, caller).await,
            ["containers", id, rest @ ..] => self.entry(Kind::Container, identified(id)?, rest, caller).await,
            _ => Err(self.not_offered()),
        }
    }

    async fn entry(&self, kind: Kind, id: Uuid, rest: &[&str], caller: Caller) -> Result<Response, Refusal> {
        let method = &self.call.method;
        let read = *method == Method::GET || *method == Method::HEAD;
        match (kind, rest) {
            (Kind::Secret, []) if read && self.wants_content() => self.content(id, &caller),
            (Kind::Secret, []) if read => {
                let document = self.look(|book, now| {
                    book.secret(id, &caller, Act::Read, now).map(|secret| self.secret_document(secret))
                })?;
                Ok(answer(StatusCode::OK, &document))
            }
            (Kind::Secret, []) if *method == Method::PUT => self.content_put(id, caller).await,
            (Kind::Secret, ["payload"]) if read => self.content(id, &caller),
            (Kind::Container, []) if read => {
                let document = self.look(|book, _| {
                    book.container(id, &caller, Act::Read).map(|container| self.container_document(container))
                })?;
                Ok(answer(StatusCode::OK, &document))
            }
            (_, []) if *method == Method::DELETE => self.delete(kind, id, caller).await,
            (_, ["acl"]) => self.acl(kind, id, caller).await,
            (_, ["consumers"]) => self.consumers(kind, id, caller).await,
            _ => Err(self.not_offered()),
        }
    }

    async fn caller(&self) -> Result<Caller, Refusal> {
        let token = self.call.header("x-auth-token").unwrap_or_default();
        let context = self.identity.verify(token).await.map_err(|_| {
            Refusal(StatusCode::UNAUTHORIZED, "The request you have made requires authentication.".into())
        })?;
        let caller = super::caller(Reader::Caller(&context, None));
        if caller.project.is_none() {
            return Err(Refusal(StatusCode::FORBIDDEN, "The token is of no project.".into()));
        }
        Ok(caller)
    }

    fn not_offered(&self) -> Refusal {
        Refusal(
            StatusCode::NOT_IMPLEMENTED,
            format!(
                "{} of this is not offered by the embedded key manager; secrets, containers, their acl and their \
                 consumers are.",
                self.call.method
            ),
        )
    }

    fn root(&self) -> String {
        let own = self.identity.auth_uri();
        format!("{}{SECRETS_PATH}", self.call.base(own.strip_suffix(IDENTITY_PATH).unwrap_or(own)))
    }

    fn reference(&self, collection: &str, id: Uuid) -> String {
        format!("{}/v1/{collection}/{id}", self.root())
    }

    fn version(&self) -> Value {
        json!({
            "id": "v1", "status": "CURRENT", "min_version": "1.0", "max_version": "1.1",
            "links": [{"rel": "self", "href": format!("{}/v1/", self.root())}],
        })
    }

    fn look<T>(&self, read: impl FnOnce(&Book, Timestamp) -> Result<T, BookError>) -> Result<T, Refusal> {
        Ok(read(&self.secrets.book(), Timestamp::now())?)
    }

    fn new_entry(caller: &Caller, name: Option<String>, now: Timestamp) -> Entry {
        Entry {
            id: Uuid::new_v4(),
            project: caller.project.clone().unwrap_or_default(),
            creator: caller.user.clone(),
            name,
            acl: None,
            consumers: vec![],
            created: now,
            updated: now,
        }
    }

    // ---- secrets

    async fn secrets(&self, caller: Caller) -> Result<Response, Refusal> {
        match self.call.method {
            Method::GET | Method::HEAD => {
                let all = self.look(|book, now| {
                    let all = book.secrets(&caller, now).into_iter();
                    Ok(all.map(|secret| self.secret_document(secret)).collect())
                })?;
                self.page("secrets", all, &["name", "secret_type", "algorithm", "mode"])
            }
            Method::POST => {
                can_write(&caller)?;
                let body = self.call.body.clone();
                let decide = move |book: &Book, now| {
                    let new = request::secret(&body, now).map_err(Refusal::bad)?;
                    let (content, content_type) = new.content.unzip();
                    let secret = Secret {
                        entry: Self::new_entry(&caller, new.name, now),
                        secret_type: new.secret_type,
                        algorithm: new.algorithm,
                        bit_length: new.bit_length,
                        mode: new.mode,
                        expiration: new.expiration.map(Timestamp::as_second),
                        content_type,
                        content,
                    };
                    let id = secret.entry.id;
                    Ok::<_, Refusal>((id, book.secret_new(secret)?))
                };
                let id = self.secrets.change(decide).await?;
                Ok(created("secret_ref", &self.reference("secrets", id)))
            }
            _ => Err(self.not_offered()),
        }
    }

    /// The old way to ask for the content: the secret itself, in another type than JSON.
    fn wants_content(&self) -> bool {
        let accept = request::normal(self.call.header("accept").unwrap_or_default());
        !matches!(accept.as_str(), "" | "*/*" | "application/*" | "application/json")
    }

    fn content(&self, id: Uuid, caller: &Caller) -> Result<Response, Refusal> {
        let found = self.look(|book, now| {
            let secret = book.secret(id, caller, Act::Read, now)?;
            Ok(secret.content.clone().zip(secret.content_type.clone()))
        })?;
        let (content, kind) = found.ok_or_else(|| {
            Refusal(StatusCode::NOT_FOUND, "Not Found. Sorry but your secret has no payload.".into())
        })?;
        let accept = self.call.header("accept").unwrap_or("*/*");
        let fits = accept.split(',').map(request::normal).any(|range| {
            let family = kind.split('/').next().unwrap_or_default();
            range == kind || range == "*/*" || range.strip_suffix("/*") == Some(family)
        });
        if !fits {
            return Err(Refusal(StatusCode::NOT_ACCEPTABLE, format!("The payload is of type {kind}.")));
        }
        let mut response = Response::new(Body::from(content.0.to_vec()));
        let kind = if kind == "text/plain" { "text/plain; charset=utf-8".to_owned() } else { kind };
        if let Ok(value) = HeaderValue::try_from(kind) {
            response.headers_mut().insert(header::CONTENT_TYPE, value);
        }
        Ok(response)
    }

    /// The second of two steps: content for a secret that was made without.
    async fn content_put(&self, id: Uuid, caller: Caller) -> Result<Response, Refusal> {
        let kind = self.call.header("content-type").unwrap_or("text/plain");
        let content = request::raw(&self.call.body, kind, self.call.header("content-encoding"));
        let (content, kind) = content.map_err(Refusal::bad)?;
        let decide = move |book: &Book, now| {
            let secret = book.secret(id, &caller, Act::Manage, now)?.with_content(content, kind, now)?;
            Ok::<_, Refusal>(((), Change::Secret(Box::new(secret))))
        };
        self.secrets.change(decide).await?;
        Ok(empty(StatusCode::NO_CONTENT))
    }

    async fn delete(&self, kind: Kind, id: Uuid, caller: Caller) -> Result<Response, Refusal> {
        let decide = move |book: &Book, now| {
            let change = match kind {
                Kind::Secret => book.secret(id, &caller, Act::Manage, now).map(|_| Change::SecretGone(id))?,
                Kind::Container => {
                    book.container(id, &caller, Act::Manage).map(|_| Change::ContainerGone(id))?
                }
            };
            Ok::<_, Refusal>(((), change))
        };
        self.secrets.change(decide).await?;
        Ok(empty(StatusCode::NO_CONTENT))
    }

    fn secret_document(&self, secret: &Secret) -> Value {
        let entry = &secret.entry;
        let mut document = json!({
            "secret_ref": self.reference("secrets", entry.id), "name": entry.name, "status": "ACTIVE",
            "secret_type": secret.secret_type, "algorithm": secret.algorithm, "bit_length": secret.bit_length,
            "mode": secret.mode, "expiration": secret.expiration.and_then(|s| Timestamp::from_second(s).ok()).map(time), "creator_id": entry.creator,
            "created": time(entry.created), "updated": time(entry.updated), "consumers": consumers(Kind::Secret, entry),
        });
        if let (Some(kind), Some(object)) = (&secret.content_type, document.as_object_mut()) {
            object.insert("content_types".into(), json!({"default": kind}));
        }
        document
    }

    // ---- containers

    async fn containers(&self, caller: Caller) -> Result<Response, Refusal> {
        match self.call.method {
            Method::GET | Method::HEAD => {
                let all = self.look(|book, _| {
                    let all = book.containers(&caller).into_iter();
                    Ok(all.map(|container| self.container_document(container)).collect())
                })?;
                self.page("containers", all, &["name", "type"])
            }
            Method::POST => {
                can_write(&caller)?;
                let new = request::container(&self.call.body).map_err(Refusal::bad)?;
                let decide = move |book: &Book, now| {
                    let container = Container {
                        entry: Self::new_entry(&caller, new.name, now),
                        kind: new.kind,
                        secrets: new.secrets,
                    };
                    let id = container.entry.id;
                    Ok::<_, Refusal>((id, book.container_new(container, &caller, now)?))
                };
                let id = self.secrets.change(decide).await?;
                Ok(created("container_ref", &self.reference("containers", id)))
            }
            _ => Err(self.not_offered()),
        }
    }

    fn container_document(&self, container: &Container) -> Value {
        let entry = &container.entry;
        let part = |(name, id): &(Option<String>, Uuid)| {
            let mut part = Map::new();
            if let Some(name) = name {
                part.insert("name".into(), json!(name));
            }
            part.insert("secret_ref".into(), json!(self.reference("secrets", *id)));
            Value::Object(part)
        };
        json!({
            "container_ref": self.reference("containers", entry.id), "name": entry.name, "type": container.kind,
            "status": "ACTIVE", "creator_id": entry.creator, "created": time(entry.created),
            "updated": time(entry.updated), "consumers": consumers(Kind::Container, entry),
            "secret_refs": container.secrets.iter().map(part).collect::<Vec<_>>(),
        })
    }

    // ---- what both have

    /// The entry after a change of what both have in common.
    async fn entry_change<F>(
        &self,
        kind: Kind,
        id: Uuid,
        caller: Caller,
        act: Act,
        change: F,
    ) -> Result<(), Refusal>
    where
        F: FnOnce(&mut Entry, Timestamp) -> Result<(), BookError> + Send + 'static,
    {
        let decide = move |book: &Book, now| {
            let change = match kind {
                Kind::Secret => {
                    let mut secret = book.secret(id, &caller, act, now)?.clone();
                    change(&mut secret.entry, now)?;
                    Change::Secret(Box::new(secret))
                }
                Kind::Container => {
                    let mut container = book.container(id, &caller, act)?.clone();
                    change(&mut container.entry, now)?;
                    Change::Container(Box::new(container))
                }
            };
            Ok::<_, Refusal>(((), change))
        };
        self.secrets.change(decide).await
    }

    fn entry_of(&self, kind: Kind, id: Uuid, caller: &Caller, act: Act) -> Result<Entry, Refusal> {
        self.look(|book, now| match kind {
            Kind::Secret => book.secret(id, caller, act, now).map(|secret| secret.entry.clone()),
            Kind::Container => book.container(id, caller, act).map(|container| container.entry.clone()),
        })
    }

    async fn acl(&self, kind: Kind, id: Uuid, caller: Caller) -> Result<Response, Refusal> {
        match self.call.method {
            Method::GET | Method::HEAD => {
                let entry = self.entry_of(kind, id, &caller, Act::Manage)?;
                let read = entry.acl.map_or_else(
                    || json!({"project-access": true}),
                    |acl| {
                        json!({
                            "users": acl.users, "project-access": acl.project_access,
                            "created": time(acl.created), "updated": time(acl.updated),
                        })
                    },
                );
                Ok(answer(StatusCode::OK, &json!({"read": read})))
            }
            Method::PUT | Method::PATCH => {
                let merge = self.call.method == Method::PATCH;
                let new = request::acl(&self.call.body).map_err(Refusal::bad)?;
                let change = move |entry: &mut Entry, now| {
                    let old = entry.acl.take();
                    let kept = old.as_ref().filter(|_| merge);
                    entry.acl = Some(Acl {
                        users: new.users.or_else(|| kept.map(|acl| acl.users.clone())).unwrap_or_default(),
                        project_access: new
                            .project_access
                            .or(kept.map(|acl| acl.project_access))
                            .unwrap_or(true),
                        created: old.as_ref().map_or(now, |acl| acl.created),
                        updated: now,
                    });
                    Ok(())
                };
                self.entry_change(kind, id, caller, Act::Share, change).await?;
                let reference = format!("{}/acl", self.reference(collection(kind), id));
                Ok(answer(StatusCode::OK, &json!({"acl_ref": reference})))
            }
            Method::DELETE => {
                let change = |entry: &mut Entry, _| {
                    entry.acl = None;
                    Ok(())
                };
                self.entry_change(kind, id, caller, Act::Share, change).await?;
                Ok(empty(StatusCode::OK))
            }
            _ => Err(self.not_offered()),
        }
    }

    async fn consumers(&self, kind: Kind, id: Uuid, caller: Caller) -> Result<Response, Refusal> {
        let consumer = || -> Result<Consumer, Refusal> {
            match kind {
                Kind::Secret => request::secret_consumer(&self.call.body),
                Kind::Container => request::container_consumer(&self.call.body),
            }
            .map_err(Refusal::bad)
        };
        match self.call.method {
            Method::GET | Method::HEAD => {
                let entry = self.entry_of(kind, id, &caller, Act::Read)?;
                return self.page("consumers", consumers(kind, &entry), &[]);
            }
            Method::POST => {
                let consumer = consumer()?;
                let change = move |entry: &mut Entry, _| entry.consumer_add(consumer);
                self.entry_change(kind, id, caller.clone(), Act::Read, change).await?;
            }
            Method::DELETE => {
                let consumer = consumer()?;
                let change = move |entry: &mut Entry, _| entry.consumer_remove(&consumer);
                self.entry_change(kind, id, caller.clone(), Act::Read, change).await?;
            }
            _ => return Err(self.not_offered()),
        }
        let document = self.look(|book, now| match kind {
            Kind::Secret => {
                book.secret(id, &caller, Act::Read, now).map(|secret| self.secret_document(secret))
            }
            Kind::Container => {
                book.container(id, &caller, Act::Read).map(|container| self.container_document(container))
            }
        })?;
        Ok(answer(StatusCode::OK, &document))
    }

    /// `filters`: attributes by which the query may choose, by equality.
    fn page(&self, key: &str, mut all: Vec<Value>, filters: &[&str]) -> Result<Response, Refusal> {
        let query = &self.call.query;
        for filter in filters {
            if let Some(wanted) = query.first(filter) {
                all.retain(|document| document[filter] == wanted);
            }
        }
        let number = |name: &str, otherwise: usize| match query.first(name) {
            None => Ok(otherwise),
            Some(text) => text.parse().map_err(|_| Refusal::bad(format!("{name} is no number."))),
        };
        let (limit, offset) = (number("limit", PAGE)?.min(PAGE_MAX), number("offset", 0)?);
        let total = all.len();
        let shown: Vec<_> = all.into_iter().skip(offset).take(limit).collect();
        let link = |offset: usize| format!("{}/v1/{key}?limit={limit}&offset={offset}", self.root());
        let mut page = json!({key: shown, "total": total});
        if limit > 0 && offset.saturating_add(limit) < total {
            page["next"] = json!(link(offset + limit));
        }
        if limit > 0 && offset > 0 {
            page["previous"] = json!(link(offset.saturating_sub(limit)));
        }
        Ok(answer(StatusCode::OK, &page))
    }
}

const fn collection(kind: Kind) -> &'static str {
    match kind {
        Kind::Secret => "secrets",
        Kind::Container => "containers",
    }
}

fn consumers(kind: Kind, entry: &Entry) -> Vec<Value> {
    let document = |consumer: &Consumer| match kind {
        Kind::Secret => json!({
            "service": consumer.service, "resource_type": consumer.resource_type, "resource_id": consumer.resource,
        }),
        Kind::Container => json!({"name": consumer.service, "URL": consumer.resource}),
    };
    entry.consumers.iter().map(document).collect()
}

fn can_write(caller: &Caller) -> Result<(), Refusal> {
    if caller.member { Ok(()) } else { Err(BookError::Forbidden("project").into()) }
}

fn identified(text: &str) -> Result<Uuid, Refusal> {
    Uuid::try_parse(text).map_err(|_| Refusal::not_found())
}

fn created(key: &str, reference: &str) -> Response {
    let mut response = answer(StatusCode::CREATED, &json!({key: reference}));
    if let Ok(value) = HeaderValue::try_from(reference) {
        response.headers_mut().insert(header::LOCATION, value);
    }
    response
}

/// As Barbican writes times: UTC, without a zone.
fn time(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S").to_string()
}
