//! What crosses controller ↔ agent and agent ↔ proxy.
//!
//! Every message carries [`WIRE_VERSION`]; a receiver refuses what it does not speak. Fields are only ever added,
//! with a default, within one version.

#![forbid(unsafe_code)]

mod agent;
pub mod channel;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod heartbeat;
mod memory;
mod process;
mod proxy;
mod spec;
mod text;

pub use agent::{AgentFault, AgentInfo, ApplyOutcome, BootConfig, ListenerFault, paths};
pub use heartbeat::{
    Heartbeat, HeartbeatError, ListenerReport, ListenerStats, ListenerWord, MAX_DATAGRAM, MemberWord,
    PoolReport, PoolWord, pool_of_key,
};
pub use memory::clean_mappings;
pub use process::{NotAProcessId, ProcessId, files};
pub use proxy::{MemberStats, ProxyCommand, ProxyEvent, ProxyPoolReport, ProxyReport, SocketName};
pub use spec::{
    AmphoraSpec, COOKIE_NAME_MAX, CertificateSpec, Der, HttpCheck, IdentitySpec, InsertHeader, KeySpec,
    L7ActionSpec, L7Fault, L7PATTERNS_MAX, L7POLICIES_MAX, L7PolicySpec, L7RULES_MAX, L7RuleSpec, L7TEXT_MAX,
    ListenerSpec, MemberSpec, MonitorSpec, PersistenceSpec, PoolSpec, SpecError, TimeoutsSpec, TlsError,
    TlsFault, TlsSpec,
};

/// The version of everything in this crate.
pub const WIRE_VERSION: u32 = 1;
