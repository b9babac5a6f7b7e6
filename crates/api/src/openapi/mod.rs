//! The description of the API in OpenAPI 3.1, made of the code: it is served at [`PATH`], and kept in `docs/` beside
//! pages for people.
//!
//! [`table`] says of every attribute what requests and answers may hold, [`endpoint`] of every endpoint what goes in
//! and comes out; all else follows from these two. Tests hold the tables against decoders, views and the router.
//! A crate that derives schemas from types is of no use here: bodies are decoded by hand, because null, absent and
//! coercions are part of the interface (see [`crate::body`]), so there are no types that say what is accepted.

mod attribute;
mod document;
mod endpoint;
#[cfg(test)]
mod pages;
mod schema;
mod shared;
mod table;
#[cfg(test)]
mod tests;

use std::sync::LazyLock;

use axum::response::Response;
use bytes::Bytes;
use http::Method;
use http::request::Parts;

use crate::fault::Fault;
use crate::validator::{self, Audience};

/// Where the document is; nobody needs a token for it.
pub(crate) const PATH: &str = "/openapi.json";

static TEXT: LazyLock<Bytes> = LazyLock::new(|| document::document().to_string().into());

pub(crate) fn answer(parts: &Parts) -> Result<Response, Fault> {
    if parts.method != Method::GET {
        return Err(Fault::MethodNotAllowed { allow: Method::GET.to_string() });
    }
    Ok(validator::answer(&parts.headers, TEXT.clone(), Audience::Everybody))
}
