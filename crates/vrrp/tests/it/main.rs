//! Routers on a simulated network: of every seed comes a history, which is the same in every run.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod chance;
mod seeds;
mod world;
