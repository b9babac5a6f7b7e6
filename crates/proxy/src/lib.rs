//! The data plane: one process that balances TCP, UDP, HTTP/1.1 and HTTP/2 traffic for one amphora.
//!
//! [`Engine`] owns the traffic threads. Each thread has its own epoll loop, listening sockets, member connections,
//! buffers, timers and counters, and a connection lives and dies on one thread. Threads share the configuration
//! ([`Snapshot`], swapped whole) and the runtime state that survives configurations ([`Registry`]), and nothing else.
//!
//! Datagrams are another thread's (`udp`), which is there once a UDP listener is.
//!
//! One more thread, the control thread ([`run`]), takes the agent's commands and checks members ([`health`]).
//!
//! Decisions (message framing, balancing, timers, rise and fall) are pure cores: [`http1`], [`http2`], [`layer7`],
//! [`tls`], [`balance`], [`health::machine`]; [`explain`] tells what they say of a request without carrying it out.
//! `LIFECYCLE.md` tells the life of a connection and of a request.

mod access_log;
pub mod balance;
mod civil;
mod control;
mod engine;
pub mod explain;
mod exposition;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
pub mod health;
pub mod http1;
pub mod http2;
pub mod layer7;
pub mod listen;
mod persistence;
mod privilege;
mod proxy_protocol;
mod report;
mod slab;
mod snapshot;
mod standalone;
mod state;
pub mod stick;
mod sys;
pub mod tls;
mod udp;
mod vitals;
mod wheel;
mod worker;

pub use control::{ProxyError, ProxyOptions, run};
pub use engine::{Engine, EngineError};
pub use privilege::PrivilegeError;
pub use report::report;
pub use snapshot::{
    InsertHeaders, ListenerConf, MemberConf, Mode, Monitor, PoolConf, Route, Snapshot, SorryPage, Timeouts,
};
pub use standalone::{StandaloneError, run_standalone, start_standalone};
pub use state::{Health, ListenerState, MemberState, Registry, RouteState};
pub use udp::UdpBounds;
