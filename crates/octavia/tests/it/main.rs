//! The product from outside: the real binary, the real clients, real traffic, real signals.
//!
//! Each test has the machine to itself (`.config/nextest.toml`), because most of them count failed requests or
//! measure how long something takes.

#![allow(clippy::print_stderr, reason = "the runner shows it for failed tests")]

mod access;
mod cli;
mod config;
mod configured;
mod daemons;
mod db;
mod disk;
mod explain;
mod failover;
mod floods;
mod forwarded;
mod framing;
mod http2;
mod lbaas_v2;
mod local_cloud;
mod members;
mod members_tls;
mod native;
mod operator;
mod pair;
mod pair_clients;
mod pair_keepalived;
mod ports;
mod prometheus;
mod quickstart;
mod sdk;
mod secrets;
mod spares;
mod stapling;
mod survival;
mod tls;
mod traffic;
mod trust;
mod udp;
mod world;
