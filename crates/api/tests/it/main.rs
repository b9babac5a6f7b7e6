//! The API as its clients see it, over a real store in memory and a small network and identity of the tests' own.

// The state of a request is made of many futures, one inside the other.
#![recursion_limit = "256"]

mod accepted;
mod admission;
mod audit;
mod authorization;
mod cases;
mod catalogue;
mod complete;
mod create;
mod deployment;
mod dry_run;
mod failover;
mod failures;
mod hostile;
mod idempotency;
mod layer7;
mod lists;
mod openapi;
mod operator;
mod pending;
mod quotas;
mod refused;
mod resources;
mod schema;
mod transport;
mod validators;
mod world;
