//! The native command-line client and the REST client under it.
//!
//! [`Command`] is flattened into the binary's command line and executed by [`run`]. Everything else speaks through
//! [`Api`]: a [`Session`] holds the token and the catalogue, an [`Api`] names the calls. Nothing here knows how the
//! service works inside: it is a client like any other, and works against any Octavia.

#![forbid(unsafe_code)]

mod api;
mod args;
mod clouds;
mod command;
mod console;
mod drill;
mod error;
mod populated;
mod rehearsal;
mod session;
mod table;
mod tree;
mod wait;

pub use api::{Api, Kind, Object};
pub use args::Command;
pub use clouds::{Auth, CloudConfig, Domain, Environment, Overrides, Scope, Secret, User};
pub use command::{run, run_until, run_with};
pub use console::Console;
pub use error::Error;
pub use populated::{ListenerSpec, MemberSpec, MonitorSpec, Populated};
pub use session::{Service, Session};
pub use wait::{Goal, WAIT_TIMEOUT};
