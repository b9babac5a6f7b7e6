//! Identifiers, typed by what they identify, so that a pool's id cannot be passed for a listener's.

use newtype_uuid::{TypedUuid, TypedUuidKind, TypedUuidTag};

macro_rules! ids {
    ($($(#[$meta:meta])* $id:ident, $kind:ident, $tag:literal;)+) => {
        $(
            #[doc = concat!("Kind of the id of a ", $tag, ".")]
            #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
            pub enum $kind {}

            impl TypedUuidKind for $kind {
                fn tag() -> TypedUuidTag {
                    const TAG: TypedUuidTag = TypedUuidTag::new($tag);
                    TAG
                }
            }

            $(#[$meta])*
            pub type $id = TypedUuid<$kind>;
        )+
    };
}

ids! {
    LoadBalancerId, LoadBalancerKind, "load_balancer";
    ListenerId, ListenerKind, "listener";
    PoolId, PoolKind, "pool";
    MemberId, MemberKind, "member";
    HealthMonitorId, HealthMonitorKind, "health_monitor";
    L7PolicyId, L7PolicyKind, "l7policy";
    L7RuleId, L7RuleKind, "l7rule";
    AmphoraId, AmphoraKind, "amphora";
    FlavorId, FlavorKind, "flavor";
    FlavorProfileId, FlavorProfileKind, "flavor_profile";
    AvailabilityZoneProfileId, AvailabilityZoneProfileKind, "availability_zone_profile";
    NetworkId, NetworkKind, "network";
    SubnetId, SubnetKind, "subnet";
    PortId, PortKind, "port";
    SecurityGroupId, SecurityGroupKind, "security_group";
    /// One entry of the operations ledger.
    OperationId, OperationKind, "operation";
    /// One worker process for its lifetime: the owner of leases.
    WorkerId, WorkerKind, "worker";
}

/// What every id kind is; lets other crates be generic over ids.
pub trait IdKind: TypedUuidKind {}
impl<T: TypedUuidKind> IdKind for T {}

/// A project (tenant). Keystone ids are 32 hex digits, but any text of at most 36 characters is a project
/// to the API (`reference/api.md` §3.0).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProjectId(String);

impl ProjectId {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for ProjectId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&self.0)
    }
}
