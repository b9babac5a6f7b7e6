//! The vocabulary of load balancing: typed ids, resources, statuses and validated values.
//!
//! No I/O, no database, no HTTP, no serialisation: what crosses a wire is defined by the crate that owns
//! that wire. Attribute names, ranges and words follow the Octavia v2 API.

#![forbid(unsafe_code)]

mod amphora;
mod catalogue;
mod error;
mod graph;
mod id;
mod known;
mod l7_regex;
mod layer7;
mod quota;
mod reason;
mod request_id;
mod resource;
mod status;
mod text_enum;
mod tls;
mod turn;
mod word;

pub use amphora::{Amphora, AmphoraRole, AmphoraStatus, SEQ_FOR_LIFE, VrrpState};
pub use catalogue::{AvailabilityZone, AvailabilityZoneProfile, Flavor, FlavorProfile};
pub use error::{Blame, Retry};
pub use graph::LoadBalancerGraph;
pub use id::{
    AmphoraId, AvailabilityZoneProfileId, FlavorId, FlavorProfileId, HealthMonitorId, IdKind, L7PolicyId,
    L7RuleId, ListenerId, LoadBalancerId, MemberId, NetworkId, OperationId, PoolId, PortId, ProjectId,
    SecurityGroupId, SubnetId, WorkerId,
};
pub use known::Known;
pub use l7_regex::{L7Regex, L7RegexError};
pub use layer7::{L7Policy, L7Rule};
pub use quota::{Demand, Limit, OwnLimits, Quota, QuotaKind};
pub use reason::{Reason, ReasonCode};
pub use request_id::{REQUEST_ID_HEADER, REQUEST_IDS_MAX, is_request_id};
pub use resource::{
    AdditionalVip, HealthMonitor, Listener, LoadBalancer, Member, Pool, SessionPersistence, Timeouts, Tls,
    Vip,
};
pub use status::{OperatingStatus, ProvisioningStatus, Statuses};
pub use text_enum::UnknownWord;
pub use tls::{Cipher, TlsVersion};
pub use turn::Turn;
pub use word::{
    Algorithm, ClientAuthentication, HealthMonitorType, HttpMethod, L7PolicyAction, L7RuleCompareType,
    L7RuleType, ListenerProtocol, PoolProtocol, SessionPersistenceType, Topology, Transport, VnicType,
};
