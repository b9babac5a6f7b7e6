//! The client against files and a small fake of the services, over real HTTP.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod clouds;
mod commands;
mod dry_run;
mod fake;
mod layer7;
