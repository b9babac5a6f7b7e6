//! Decisions of the controller, as pure functions: no I/O, no clock, no randomness. Time comes in as an argument.
//!
//! - [`compile`]: a load balancer's tree becomes the [`AmphoraSpec`](octavia_wire::AmphoraSpec) of one amphora.
//! - [`plan`]: what to do next so that observed becomes desired.
//! - [`rollup`]: what a heartbeat means for operating statuses.
//! - [`disagreement`]: whether amphorae agree on which of them holds the VIPs.
//! - [`Sequence`]: which heartbeats are news; [`own_fault`]: whose fault their absence is.
//! - [`queued`]: whose turn it is to have servers made.
//! - [`backoff`]: when to try again.
//! - [`forecast`] and [`impacts`]: what a change would lead to, for people.

#![forbid(unsafe_code)]

mod agreement;
mod backoff;
mod codes;
mod compile;
mod forecast;
mod impact;
mod papers;
mod planner;
mod reason;
mod rollup;
mod sequence;
mod silence;
mod spare;
mod step;
mod succession;
mod turn;
mod world;

pub use agreement::{Claim, Disagreement, disagreement};
pub use backoff::{BACKOFF_MAX, backoff, jittered};
pub use codes::{BadCodes, expected_codes};
pub use compile::{
    AccessLogOptions, Identities, SORRY_TAG, SorryPage, SorryPages, SpecOptions, compile, encrypting,
    terminating,
};
pub use forecast::{Forecast, forecast};
pub use impact::{Affected, Effect, Impact, impacts};
pub use papers::not_yet_of;
pub use planner::{Plan, PlanOptions, Waiting, agent_lacks_proxy, peers, plan};
pub use rollup::{StatusChange, StatusChanges, is_lifeless, lacks_proxy, rollup, rollup_silent};
pub use sequence::{News, Sequence, may_follow};
pub use silence::own_fault;
pub use spare::{SpareOptions, SpareStep, Unfit, plan_spares};
pub use step::Step;
pub use turn::{Queue, is_its_turn, queued};
pub use world::{Desired, Observed, ObservedAmphora, ObservedServer, ServerPower, WantedPapers};
