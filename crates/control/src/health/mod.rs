//! Receives heartbeats, writes what they mean, and notices silence.
//!
//! What is heard is kept in memory, the latest of each amphora, and written in batches; only differences are
//! written. Silence is noticed by everybody at once or not at all: after a start, after trouble with the database,
//! and when most amphorae fell silent together, nobody is blamed.

mod heard;
mod manager;
mod pairs;

pub use manager::HealthManager;
