//! Tests of the pure decisions, from outside.

mod compile;
mod converge;
mod fixture;
mod rollup;
mod scenario;
mod world;
