//! The two things a plan is made from.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use jiff::Timestamp;
use octavia_model::{Amphora, AmphoraId, Known, LoadBalancerGraph};
use octavia_wire::AgentInfo;

/// What users asked for, and the amphorae we have rows of: nothing here was asked of the world.
#[derive(Debug, Clone, PartialEq)]
pub struct Desired {
    pub graph: LoadBalancerGraph,
    /// Every amphora that is not yet `DELETED`.
    pub amphorae: Vec<Amphora>,
    /// The load balancer shall go, whatever its provisioning status says (a deletion that has taken too long is
    /// `ERROR`, and still a deletion).
    pub deleting: bool,
    /// Since when the load balancer has been `PENDING_*`.
    pub pending_since: Option<Timestamp>,
    /// Failed attempts in a row.
    pub attempts: u32,
    /// What the last of them failed with.
    pub last_error: Option<String>,
    /// Epoch of the lease under which this was loaded.
    pub fence: u64,
}

/// What we last learned of the world.
#[derive(Debug, Clone, PartialEq)]
pub struct Observed {
    /// The VIP's port. `Unknown` also when nobody asked since nothing depends on it.
    pub vip: Known<()>,
    pub amphorae: BTreeMap<AmphoraId, ObservedAmphora>,
    /// Whether silence of an amphora is its own fault: not soon after a start of the controller, nor when most
    /// amphorae fell silent at once, for then the controller is the sick one.
    pub silence_trusted: bool,
    /// Amphorae of a pair agree by themselves on who holds the VIPs: both can run beside one that leaves.
    pub agreeing: bool,
    /// `None` = nobody renews papers here.
    pub trust: Option<WantedPapers>,
}

/// What agents' papers are to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedPapers {
    /// Of the authorities and the heartbeat key that are good now.
    pub mark: String,
    /// The name of the authority that issues.
    pub authority: String,
}

#[derive(Debug, Clone, PartialEq)]
pub struct ObservedAmphora {
    pub server: Known<ObservedServer>,
    /// What the agent said of itself; `None` = it did not answer.
    pub agent: Option<AgentInfo>,
}

impl ObservedAmphora {
    /// Nobody could be asked.
    pub const UNKNOWN: Self = Self { server: Known::Unknown, agent: None };
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedServer {
    pub compute_id: String,
    pub power: ServerPower,
    /// Where the agent's REST API listens.
    pub agent: Option<SocketAddr>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerPower {
    Building,
    Running,
    Stopped,
    /// The compute service gave it up.
    Failed,
}
