//! Tests of the pure decisions, from outside.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod compile;
mod converge;
mod fixture;
mod forecast;
mod layer7;
mod rollup;
mod scenario;
mod tls;
mod world;
