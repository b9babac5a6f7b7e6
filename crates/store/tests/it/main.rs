//! One suite, three databases: every test runs on SQLite, PostgreSQL and MariaDB.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the runner shows it for failed tests")]

mod behalf;
mod catalogue;
mod census;
mod change;
mod copy;
mod crash;
mod databases;
mod failover;
mod frame;
mod health;
mod layer7;
mod lease;
mod list;
mod quota;
mod receipt;
mod sample;
mod schema;
mod settle;
mod spare;
mod speed;
mod turn;
