//! [`Secrets`] in a Barbican elsewhere, over HTTP.
//!
//! The service reads with a token of its own, for which the owner has put it on the secret's access control list. When a
//! caller of the API is behind the request, the caller's own token must open the secret, too: nobody has us use what is
//! not theirs to read.

mod http;

use ::http::Method;
use async_trait::async_trait;
use serde_json::{Value, json};
use zeroize::Zeroizing;

pub use self::http::HttpOptions;
use self::http::{Answer, Http};
use crate::{CloudError, Consumer, Container, Payload, Reader, RefKind, SecretError, SecretRef, Secrets};

/// As whom the service itself asks.
#[derive(Clone)]
pub struct ServiceIdentity {
    pub user_id: String,
    pub token: String,
}

impl std::fmt::Debug for ServiceIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ServiceIdentity({})", self.user_id)
    }
}

/// Where the service's own token comes from.
#[async_trait]
pub trait ServiceTokens: Send + Sync + std::fmt::Debug {
    /// A token that holds for some minutes at least; `stale` is one that was just refused.
    async fn service_identity(&self, stale: Option<&str>) -> Result<ServiceIdentity, CloudError>;
}

/// A Barbican, by its API version 1.1.
#[derive(Debug)]
pub struct Barbican {
    http: Http,
    tokens: Box<dyn ServiceTokens>,
}

impl Barbican {
    /// `endpoint` = what the service catalogue says of `key-manager`, without `/v1`.
    pub fn new(
        endpoint: &str,
        options: HttpOptions,
        tokens: Box<dyn ServiceTokens>,
    ) -> Result<Self, CloudError> {
        Ok(Self { http: Http::new(endpoint, options)?, tokens })
    }

    /// Asks as the service; once more with a new token if the first is no longer taken.
    async fn as_service(
        &self,
        method: Method,
        of: &SecretRef,
        tail: &str,
        accept: &str,
        body: Option<&Value>,
    ) -> Result<Answer, SecretError> {
        let mut identity = self.tokens.service_identity(None).await?;
        let path = path(of, tail);
        let mut answer = self.http.call(method.clone(), &path, &identity.token, accept, body).await?;
        if answer.status == 401 {
            identity = self.tokens.service_identity(Some(&identity.token)).await?;
            answer = self.http.call(method, &path, &identity.token, accept, body).await?;
        }
        match answer.status {
            401 => Err(CloudError::unavailable("the key manager does not take the service's token").into()),
            403 => Err(SecretError::forbidden(&identity.user_id, of)),
            _ => checked(answer, of),
        }
    }

    /// What is known of a secret or a container, seen with the eyes of all who must be allowed to read it.
    async fn metadata(&self, of: &SecretRef, reader: Reader<'_>) -> Result<Value, SecretError> {
        if let Reader::Caller(context, token) = reader {
            match token {
                Some(token) => {
                    let answer = self.http.call(Method::GET, &path(of, ""), token, JSON, None).await?;
                    match answer.status {
                        401 | 403 => return Err(SecretError::forbidden(&context.user_id, of)),
                        _ => checked(answer, of)?,
                    };
                }
                None if context.is_admin => {}
                None => return Err(SecretError::forbidden(&context.user_id, of)),
            }
        }
        let answer = self.as_service(Method::GET, of, "", JSON, None).await?;
        Ok(answer.json()?)
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
        let metadata = self.metadata(secret, reader).await?;
        let kind = metadata["content_types"]["default"].as_str();
        let kind = kind.ok_or_else(|| SecretError::NoPayload(secret.id.to_string()))?;
        let answer = self.as_service(Method::GET, secret, "/payload", kind, None).await?;
        Ok(Zeroizing::new(answer.body.to_vec()))
    }

    async fn container_fetch(
        &self,
        container: &SecretRef,
        reader: Reader<'_>,
    ) -> Result<Container, SecretError> {
        let metadata = self.metadata(container, reader).await?;
        let entries = metadata["secret_refs"].as_array().map(Vec::as_slice).unwrap_or_default();
        let mut secrets = vec![];
        for entry in entries {
            let reference = SecretRef::parse(entry["secret_ref"].as_str().unwrap_or_default())?;
            secrets.push((entry["name"].as_str().unwrap_or_default().to_owned(), reference));
        }
        Ok(Container { kind: metadata["type"].as_str().unwrap_or_default().to_owned(), secrets })
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
