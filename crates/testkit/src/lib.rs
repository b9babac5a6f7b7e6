//! What end-to-end tests, benchmarks and chaos share: small origin servers, a load generator that counts every
//! failure, a REST client, and the product started as a user would start it.
//!
//! Development only: nothing of the product depends on it, and it depends on nothing of the product, so that it
//! judges what crosses the network and what `/proc` shows, not what the code believes.

pub mod body;
pub mod daemons;
pub mod database;
pub mod histogram;
pub mod lasting;
pub mod load;
pub mod net;
pub mod origin;
pub mod proc;
pub mod product;
pub mod rest;
pub mod sctp;
pub mod siege;
pub mod tcp;
pub mod tree;
pub mod wait;

pub use daemons::{Daemons, DaemonsOptions};
pub use database::{DatabaseKind, DatabaseServer};
pub use histogram::Histogram;
pub use lasting::{Kind, Lasting};
pub use load::{Expect, FailureKind, LoadHandle, LoadPlan, LoadReport, Mode, Pace, Script};
pub use origin::{EchoOrigin, Origin, UpgradeOrigin};
pub use product::{AllInOne, AllInOneOptions};
pub use rest::Rest;
pub use tree::Populated;
pub use wait::wait_for;
