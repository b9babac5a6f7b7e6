//! What users store, in every form there is, and what is refused.

#![allow(clippy::unwrap_used, reason = "in tests an unwrap is an assertion")]

mod authority;
mod bundle;
mod forms;
mod kit;
mod ocsp;
