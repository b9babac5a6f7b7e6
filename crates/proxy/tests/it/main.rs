//! The engine with real sockets on loopback.
#![allow(clippy::unwrap_used)]

mod access_log;
mod change;
mod exposition;
mod failure;
mod haproxy;
mod http;
mod http2;
mod introduction;
mod layer7;
mod limit;
mod persistence;
mod proxy_protocol;
mod rig;
mod sorry;
mod storm;
mod strict;
mod tcp;
mod tls;
mod udp;
