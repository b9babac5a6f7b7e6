//! [`Secrets`] in a Barbican elsewhere, over HTTP.
//!
//! The service reads with a token of its own, for which it has to be on the secret's access control list. When a caller of
//! the API is behind the request, the caller's own token must open the secret, too: nobody has us use what is not theirs
//! to read. Callers who may change the list have the service put on it by naming the secret, as with the original
//! (`barbican_acl_auth`), when nothing else speaks against their request; the others learn which command the owner has to
//! run.

mod http;

use ::http::Method;
use async_trait::async_trait;
use serde_json::{Value, json};
use tokio::sync::Mutex;
use zeroize::Zeroizing;

pub use self::http::HttpOptions;
use self::http::{Answer, Http};
use crate::{
    CloudError, Consumer, Container, Forbidden, Payload, Reader, RefKind, SecretError, SecretRef, Secrets,
};

/// As whom the service itself asks.
#[derive(Clone)]
pub struct ServiceIdentity {
    pub user_id: String,
    pub token: String,
    /// Where the service's catalogue has the key manager, if it has one.
    pub endpoint: Option<String>,
}

impl std::fmt::Debug for ServiceIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ServiceIdentity({})", self.user_id)
    }
}

/// Where the service's own token comes from.
#[async_trait]
pub trait ServiceTokens: Send + Sync + std::fmt::Debug {
    /// A token that holds for a minute at least; `stale` is one that was just refused.
    async fn service_identity(&self, stale: Option<&str>) -> Result<ServiceIdentity, CloudError>;
}

/// A Barbican, by its API version 1.1.
#[derive(Debug)]
pub struct Barbican {
    /// In place of the catalogue's.
    endpoint: Option<Http>,
    options: HttpOptions,
    tokens: Box<dyn ServiceTokens>,
    /// A list is read and then written whole: one at a time.
    lists: Mutex<()>,
}

impl Barbican {
    /// `endpoint`: with or without `/v1`; `None` = what the catalogue says.
    pub fn new(
        endpoint: Option<&str>,
        options: HttpOptions,
        tokens: Box<dyn ServiceTokens>,
    ) -> Result<Self, CloudError> {
        let endpoint = endpoint.map(|endpoint| Http::new(endpoint, options.clone())).transpose()?;
        Ok(Self { endpoint, options, tokens, lists: Mutex::new(()) })
    }

    fn http(&self, identity: &ServiceIdentity) -> Result<Http, CloudError> {
        match (&self.endpoint, &identity.endpoint) {
            (Some(http), _) => Ok(http.clone()),
            (None, Some(endpoint)) => Http::new(endpoint, self.options.clone()).map_err(|error| {
                tracing::warn!(%error, "the catalogue is of no use");
                CloudError::unavailable("the catalogue names no usable address of the key manager")
            }),
            (None, None) => Err(CloudError::unavailable("the catalogue has no key manager")),
        }
    }

    /// What the service is answered, be it that it may not; with a new token if the first is no longer taken.
    async fn asked(
        &self,
        method: Method,
        of: &SecretRef,
        tail: &str,
        accept: &str,
        body: Option<&Value>,
    ) -> Result<(Answer, ServiceIdentity), SecretError> {
        let mut identity = self.tokens.service_identity(None).await?;
        let (http, path) = (self.http(&identity)?, path(of, tail));
        let mut answer = http.call(method.clone(), &path, &identity.token, accept, body).await?;
        if answer.status == 401 {
            identity = self.tokens.service_identity(Some(&identity.token)).await?;
            answer = http.call(method, &path, &identity.token, accept, body).await?;
        }
        match answer.status {
            401 => Err(CloudError::unavailable("the key manager does not take the service's token").into()),
            403 => Ok((answer, identity)),
            _ => Ok((checked(answer, of)?, identity)),
        }
    }

    async fn as_service(
        &self,
        method: Method,
        of: &SecretRef,
        tail: &str,
        accept: &str,
        body: Option<&Value>,
    ) -> Result<Answer, SecretError> {
        match self.asked(method, of, tail, accept, body).await? {
            (Answer { status: 403, .. }, identity) => Err(SecretError::forbidden(&identity.user_id, of)),
            (answer, _) => Ok(answer),
        }
    }

    /// What is known of a secret or a container, if all who must be allowed to read it are. For [`Reader::Admitting`], the
    /// service is put on its list if the caller may do so; if not, the second value says who lacks the right.
    async fn metadata(
        &self,
        of: &SecretRef,
        reader: Reader<'_>,
    ) -> Result<(Value, Option<Forbidden>), SecretError> {
        let known = match reader {
            Reader::Service => {
                return Ok((self.as_service(Method::GET, of, "", JSON, None).await?.json()?, None));
            }
            Reader::Caller(context, Some(token))
            | Reader::Admitting(context, Some(token))
            | Reader::Rehearsal(context, Some(token)) => {
                let http = self.http(&self.tokens.service_identity(None).await?)?;
                let answer = http.call(Method::GET, &path(of, ""), token, JSON, None).await?;
                match answer.status {
                    401 | 403 => return Err(SecretError::forbidden(&context.user_id, of)),
                    _ => Some((checked(answer, of)?.json()?, http, token)),
                }
            }
            Reader::Caller(context, None)
            | Reader::Admitting(context, None)
            | Reader::Rehearsal(context, None) => {
                if !context.is_admin {
                    return Err(SecretError::forbidden(&context.user_id, of));
                }
                None
            }
        };
        if let (Reader::Rehearsal(..), Some((known, ..))) = (reader, &known) {
            return Ok((known.clone(), None));
        }
        let (answer, identity) = self.asked(Method::GET, of, "", JSON, None).await?;
        if answer.status != 403 {
            return Ok((answer.json()?, None));
        }
        let forbidden = Forbidden::new(&identity.user_id, of);
        let Some((known, http, token)) = known else { return Err(SecretError::Forbidden(forbidden)) };
        if let Reader::Caller(..) = reader {
            return Err(SecretError::NotAdmitted);
        }
        let admitted = {
            let _turn = self.lists.lock().await;
            admit(&http, of, token, &identity.user_id).await?
        };
        Ok((known, (!admitted).then_some(forbidden)))
    }

    async fn consumer(
        &self,
        method: Method,
        used: &SecretRef,
        consumer: Consumer,
    ) -> Result<(), SecretError> {
        let body = match used.kind {
            RefKind::Secret => json!({
                "service": Consumer::SERVICE, "resource_type": consumer.resource, "resource_id": consumer.id,
            }),
            RefKind::Container => json!({"name": Consumer::SERVICE, "URL": consumer.url()}),
        };
        self.as_service(method, used, "/consumers", JSON, Some(&body)).await.map(drop)
    }
}

const JSON: &str = "application/json";

/// How often a list is written: somebody else may write it at the same moment.
const ADMISSIONS: usize = 3;

/// Puts the service on the list of who may read, in the caller's name. `false` = the caller may not do that.
///
/// Barbican knows no condition for a write, so that of two who write a list at the same time the later wins. Controllers
/// write the same; whoever else writes it has a moment as long as a request for it, and what is lost of ours is seen.
async fn admit(http: &Http, of: &SecretRef, token: &str, service: &str) -> Result<bool, SecretError> {
    let path = path(of, "/acl");
    let refused = |answer: &Answer| matches!(answer.status, 401 | 403);
    for left in (0..=ADMISSIONS).rev() {
        let answer = http.call(Method::GET, &path, token, JSON, None).await?;
        if refused(&answer) {
            return Ok(false);
        }
        let list = checked(answer, of)?.json()?;
        let mut users = list["read"]["users"].as_array().cloned().unwrap_or_default();
        if users.iter().any(|user| user == service) {
            return Ok(true);
        }
        if left == 0 {
            break;
        }
        users.push(service.into());
        // Whoever has no list has one that lets the project read.
        let project = list["read"]["project-access"].as_bool().unwrap_or(true);
        let body = json!({"read": {"users": users, "project-access": project}});
        let answer = http.call(Method::PUT, &path, token, JSON, Some(&body)).await?;
        if refused(&answer) {
            return Ok(false);
        }
        checked(answer, of)?;
        tracing::info!(reference = of.text, user = service, "put on the list of who may read it");
    }
    Err(CloudError::unavailable("the list of who may read a secret is being changed all the time").into())
}

fn path(of: &SecretRef, tail: &str) -> String {
    let collection = match of.kind {
        RefKind::Secret => "secrets",
        RefKind::Container => "containers",
    };
    format!("/v1/{collection}/{}{tail}", of.id)
}

/// What is neither good nor absent is the key manager's trouble, not the user's.
fn checked(answer: Answer, of: &SecretRef) -> Result<Answer, SecretError> {
    match answer.status {
        200..=299 => Ok(answer),
        404 | 410 => Err(SecretError::not_found(of)),
        status => Err(CloudError::unavailable(format!("the key manager answered {status}")).into()),
    }
}

#[async_trait]
impl Secrets for Barbican {
    async fn payload_fetch(&self, secret: &SecretRef, reader: Reader<'_>) -> Result<Payload, SecretError> {
        let metadata = match self.metadata(secret, reader).await? {
            (_, Some(forbidden)) => return Err(SecretError::Forbidden(forbidden)),
            (metadata, None) => metadata,
        };
        let kind = metadata["content_types"]["default"].as_str();
        let kind = kind.ok_or_else(|| SecretError::NoPayload(secret.id.to_string()))?;
        let answer = match reader {
            // The service may not be allowed to read it yet.
            Reader::Rehearsal(context, Some(token)) => {
                let http = self.http(&self.tokens.service_identity(None).await?)?;
                let answer = http.call(Method::GET, &path(secret, "/payload"), token, kind, None).await?;
                if matches!(answer.status, 401 | 403) {
                    return Err(SecretError::forbidden(&context.user_id, secret));
                }
                checked(answer, secret)?
            }
            _ => self.as_service(Method::GET, secret, "/payload", kind, None).await?,
        };
        Ok(Zeroizing::new(answer.body.to_vec()))
    }

    async fn container_fetch(
        &self,
        container: &SecretRef,
        reader: Reader<'_>,
    ) -> Result<Container, SecretError> {
        let (metadata, forbidden) = self.metadata(container, reader).await?;
        let entries = metadata["secret_refs"].as_array().map(Vec::as_slice).unwrap_or_default();
        let mut secrets = vec![];
        for entry in entries {
            let reference = SecretRef::parse(entry["secret_ref"].as_str().unwrap_or_default())?;
            secrets.push((entry["name"].as_str().unwrap_or_default().to_owned(), reference));
        }
        let kind = metadata["type"].as_str().unwrap_or_default().to_owned();
        Ok(Container { kind, secrets, forbidden })
    }

    async fn consumer_register(&self, used: &SecretRef, consumer: Consumer) -> Result<(), SecretError> {
        self.consumer(Method::POST, used, consumer).await
    }

    async fn consumer_unregister(&self, used: &SecretRef, consumer: Consumer) -> Result<(), SecretError> {
        match self.consumer(Method::DELETE, used, consumer).await {
            Err(SecretError::NotFound(_)) => Ok(()),
            outcome => outcome,
        }
    }
}
