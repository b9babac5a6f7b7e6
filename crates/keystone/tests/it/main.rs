//! Keystone as a client, beside the embedded Keystone, a fake one that does everything wrong, and a real one.

#![allow(clippy::unwrap_used, reason = "in tests an unwrap is an assertion")]

mod client;
#[allow(dead_code, reason = "the tests of the embedded cloud use the rest of it")]
#[path = "../../../cloud/tests/it/kit.rs"]
mod kit;
mod real_keystone;
