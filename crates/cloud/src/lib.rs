//! What the service asks of a cloud, as traits, and the embedded local cloud that answers on one machine.
//!
//! Every verb is idempotent and keyed by an id of ours: *ensure* twice is once, *delete* of what is absent is fine,
//! *find* after a lost answer finds what was made. Implementations name or tag what they make with our id before
//! they make it.

#![forbid(unsafe_code)]

mod barbican;
mod cert;
mod compute;
mod error;
mod identity;
pub mod local;
mod material;
mod network;
mod noauth;
mod noop;
mod project_text;
mod secrets;
pub mod suite;

pub use barbican::{Barbican, HttpOptions, ServiceIdentity, ServiceTokens};
pub use cert::{Authority, CertIssuer, HeartbeatKey, IssuedCert, Trust};
pub use compute::{BootFile, Compute, Placement, Server, ServerRequest, ServerState};
pub use error::CloudError;
pub use identity::{AUDIT_IDS_MAX, Identity, IdentityError, RequestContext, ServiceContext};
pub use network::{
    BandwidthLimit, FixedIp, HostRoute, IpFamily, Network, NetworkInfo, Port, PortInfo, PortRequest,
    PortRole, PortSubnet, RuleProtocol, SecurityRule, SubnetInfo, VipPort, VipRequest,
};
pub use noauth::Noauth;
pub use noop::{NoopCompute, NoopNetwork, NoopSecrets};
pub use secrets::{
    Consumer, Container, Forbidden, Payload, Reader, RefKind, Right, SecretError, SecretRef, Secrets,
};
