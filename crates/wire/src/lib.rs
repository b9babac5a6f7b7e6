//! What crosses controller ↔ agent and agent ↔ proxy.
//!
//! Every spec carries the version of this crate that it takes to understand it; a receiver refuses what it does not speak.
//! Fields are only ever added, with a default; one that must not be passed over raises the version of specs that have it.

#![forbid(unsafe_code)]

mod agent;
pub mod channel;
mod estate;
#[cfg(test)]
mod fixtures;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod heartbeat;
mod log_place;
mod mac;
mod memory;
mod process;
mod proxy;
pub mod sharing;
mod spec;
mod text;

pub use agent::{
    AgentFault, AgentInfo, ApplyOutcome, BootConfig, InterfaceFault, ListenerFault, Papers, PapersReport,
    TakeoverReport, VrrpReport, paths,
};
pub use estate::{Counts, Estate, MemberHealth, Reckoning, StickEntries, StickSubject};
pub use heartbeat::{
    Heartbeat, HeartbeatError, ListenerReport, ListenerStats, ListenerWord, MAX_DATAGRAM, MemberWord,
    PoolReport, PoolWord, pool_of_key,
};
pub use log_place::LogPlace;
pub use mac::{Mac, NotAMac};
pub use memory::clean_mappings;
pub use process::{NotAProcessId, ProcessId, files};
pub use proxy::{MemberStats, ProxyCommand, ProxyEvent, ProxyPoolReport, ProxyReport, SocketName};
pub use spec::{
    AccessLogFault, AccessLogSpec, AmphoraSpec, COOKIE_NAME_MAX, CertificateSpec, Der, HttpCheck,
    IdentitySpec, InsertHeader, InterfaceSpec, KeySpec, L7ActionSpec, L7Fault, L7PATTERNS_MAX,
    L7POLICIES_MAX, L7PolicySpec, L7RULES_MAX, L7RuleSpec, L7TEXT_MAX, ListenerSpec, LogField, LogFormat,
    LogFormatError, LogFormatSpec, LogPiece, LogTarget, MemberSpec, MonitorSpec, NetworkFault, NetworkSpec,
    PLUMBED_VIPS_MAX, PROXIES_MAX, PersistenceSpec, PoolIdentitySpec, PoolSpec, PoolTlsSpec, RouteSpec,
    SHARING_PORT, SharingKey, SharingSpec, SorryPageFault, SorryPageSpec, SpecError, StapleSpec, TicketKey,
    TicketRoot, TicketSpec, TimeoutsSpec, TlsError, TlsFault, TlsSpec, VrrpFault, VrrpPassword, VrrpSpec,
    VrrpVersion,
};

/// The newest version of everything in this crate.
pub const WIRE_VERSION: u32 = 5;
/// The oldest that is spoken.
pub const WIRE_VERSION_MIN: u32 = 1;
