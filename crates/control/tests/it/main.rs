//! The controller's shells against fakes of the outside.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod agents;
mod certs;
mod failover;
mod fake;
mod health;
mod housekeeping;
mod papers;
mod rig;
mod secrets;
mod spares;
mod staples;
mod tickets;
mod turns;
mod worker;
