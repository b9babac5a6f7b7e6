//! The real control, plan and store against a simulated cloud, simulated agents and a simulated clock, with faults
//! from a seed; the invariants of the design are checked after every event.

mod actors;
mod agents;
mod clock;
mod database;
mod invariants;
mod journal;
mod mishap;
mod profile;
mod secrets;
mod simulation;
mod stage;
mod tap;
mod wish;
mod world;

pub use agents::SimAgent;
pub use clock::{SimClock, SimRandom};
pub use database::Database;
pub use journal::Journal;
pub use mishap::Mishap;
pub use octavia_store::Promise;
pub use profile::Profile;
pub use simulation::{Act, Outcome};
pub use stage::{ActorId, Gate, Gates, Stage, Verdict, Waiting};
pub use wish::{Wish, new_graph};
pub use world::{SECRET_MARK, SimServer, World, WorldState, network_id, subnet_id};

/// When every simulation starts: milliseconds since 1970.
pub(crate) const START_MILLIS: i64 = 1_800_000_000_000;

/// When every simulation starts.
pub fn start() -> jiff::Timestamp {
    jiff::Timestamp::UNIX_EPOCH + jiff::SignedDuration::from_millis(START_MILLIS)
}
