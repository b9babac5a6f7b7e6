//! A real agent and a real proxy, two processes as in the product, killed and pushed at.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "helpers of tests fail like tests")]

mod amphora;
mod certs;
mod fake;
mod member;
mod role;
mod spec;

mod disk;
mod flood;
mod health;
mod line;
mod logs;
mod misbehaving;
mod network;
mod ports;
mod push;
mod relink;
mod survival;
mod takeover;
mod tls;
mod trust;
mod vrrp;
