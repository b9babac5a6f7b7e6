//! The embedded local cloud from outside: through its traits, its HTTP APIs and its files.

#![allow(clippy::unwrap_used, reason = "in tests an unwrap is an assertion")]

mod barbican;
mod barbican_client;
mod cert;
mod compute;
mod directory;
mod keystone;
mod kit;
mod netns;
mod neutron;
mod remote;
mod state;
