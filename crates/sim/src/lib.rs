//! The real control, plan and store against a simulated cloud, simulated agents and a simulated clock, with faults
//! from a seed; the invariants of the design are checked after every event.

mod agents;
mod clock;
mod journal;
mod stage;
mod wish;
mod world;

pub use agents::SimAgent;
pub use clock::{SimClock, SimRandom};
pub use journal::Journal;
pub use stage::{ActorId, Gate, Gates, Stage, Verdict, Waiting};
pub use wish::{Wish, new_graph};
pub use world::{SECRET_MARK, SimServer, World, WorldState, network_id, subnet_id};

/// When every simulation starts: milliseconds since 1970.
pub(crate) const START_MILLIS: i64 = 1_800_000_000_000;
