//! One request on its way through: what handlers get and what they give back.

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use newtype_uuid::{GenericUuid, TypedUuid, TypedUuidKind};
use octavia_model::ProjectId;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::audit::Trail;
use crate::body::Document;
use crate::endpoint::Endpoint;
use crate::fault::Fault;
use crate::policy::Caller;
use crate::query::Query;
use crate::rehearsal::Rehearsal;
use crate::secrets::{Admission, Token};
use crate::{ApiState, policy, view};

/// A request that has found its endpoint and its caller.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) state: ApiState,
    pub(crate) endpoint: &'static Endpoint,
    pub(crate) parameters: Vec<String>,
    pub(crate) caller: Caller,
    pub(crate) token: Option<Token>,
    pub(crate) query: Query,
    pub(crate) body: Body,
    /// The URL as the client wrote it, without the query.
    pub(crate) url: String,
    /// What the record of a write will tell of it.
    pub(crate) trail: Trail,
    pub(crate) rehearsal: Rehearsal,
    /// The id that what the request makes is to have; `None` = any.
    pub(crate) made: Option<uuid::Uuid>,
    /// What is answered as soon as it is known that the caller may make the request: who may not hears of that alone.
    pub(crate) veto: Option<Fault>,
    pub(crate) admission: Admission,
}

#[derive(Debug)]
pub(crate) struct Body {
    pub(crate) content_type: Option<String>,
    pub(crate) bytes: Bytes,
}

impl Body {
    pub(crate) fn new(headers: &HeaderMap, bytes: Bytes) -> Self {
        let content_type = headers.get(header::CONTENT_TYPE);
        Self {
            content_type: content_type.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()),
            bytes,
        }
    }

    /// A body must say that it is JSON.
    pub(crate) fn check_type(&self) -> Result<(), Fault> {
        if self.bytes.is_empty() {
            return Ok(());
        }
        let given = self.content_type.as_deref().unwrap_or_default();
        let kind = given.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match kind.as_str() {
            "application/json" | "text/javascript" | "application/javascript" => Ok(()),
            "application/x-www-form-urlencoded" => Err(Fault::FormBody),
            _ => Err(Fault::ContentType(kind)),
        }
    }
}

impl Call {
    /// The parsed body, under the name messages call it by.
    pub(crate) fn document(&self, argument: &'static str) -> Result<Document, Fault> {
        Document::parse(argument, &self.body.bytes)
    }

    /// The id of what the request makes.
    pub(crate) fn new_id<K: TypedUuidKind>(&self) -> TypedUuid<K> {
        TypedUuid::from_untyped_uuid(self.made.unwrap_or_else(uuid::Uuid::new_v4))
    }

    pub(crate) fn parameter(&self, index: usize) -> &str {
        self.parameters.get(index).map_or("", String::as_str)
    }

    /// An id of the path. Ids are compared as text: other spellings of an UUID name nothing.
    pub(crate) fn id<K: TypedUuidKind>(
        &self,
        index: usize,
        resource: &'static str,
    ) -> Result<TypedUuid<K>, Fault> {
        let text = self.parameter(index);
        text.parse::<TypedUuid<K>>()
            .ok()
            .filter(|id| id.to_string() == text)
            .ok_or_else(|| Fault::not_found(resource, text))
    }

    /// Refuses callers whom the endpoint's policy does not allow to act on this project.
    pub(crate) fn authorize(&self, target: &ProjectId) -> Result<(), Fault> {
        policy::enforce(self.endpoint.policy, &self.caller, Some(target))?;
        self.veto()
    }

    /// As [`Call::authorize`], for what belongs to no project: it is checked against the caller's own.
    pub(crate) fn authorize_own(&self) -> Result<(), Fault> {
        policy::enforce(self.endpoint.policy, &self.caller, self.caller.project_id.as_ref())?;
        self.veto()
    }

    fn veto(&self) -> Result<(), Fault> {
        self.veto.clone().map_or(Ok(()), Err)
    }

    pub(crate) fn fields(&self) -> Vec<String> {
        self.query.fields(&self.state.options)
    }
}

/// What a handler answers.
#[derive(Debug)]
pub(crate) enum Answer {
    Json(StatusCode, Value),
    /// JSON that is written already.
    Text(StatusCode, Bytes),
    Empty(StatusCode),
}

impl Answer {
    /// `{"<root>": view}`
    pub(crate) fn one(status: StatusCode, root: &str, view: &impl Serialize) -> Self {
        Self::selected(status, root, view, &[])
    }

    /// As [`Answer::one`] with only the named attributes, if any are named.
    pub(crate) fn selected(status: StatusCode, root: &str, view: &impl Serialize, fields: &[String]) -> Self {
        let mut document = Map::new();
        document.insert(root.to_owned(), view::render(view, fields));
        Self::Json(status, Value::Object(document))
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        match self {
            Self::Json(status, value) => (status, axum::Json(value)).into_response(),
            Self::Text(status, text) => {
                let json = HeaderValue::from_static("application/json");
                (status, [(header::CONTENT_TYPE, json)], text).into_response()
            }
            Self::Empty(status) => status.into_response(),
        }
    }
}
