//! The agent's REST API, version 2: whole specs over mutual TLS.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use octavia_model::{AmphoraId, ListenerId, LoadBalancerId, Reason, ReasonCode, VrrpState};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Mac;

/// Paths of the agent's API.
pub mod paths {
    /// `GET`, answers `{"api_version": "2.0"}`.
    pub const VERSION: &str = "/";
    /// `PUT` an [`AmphoraSpec`](crate::AmphoraSpec), answers an [`ApplyOutcome`](crate::ApplyOutcome);
    /// [`REQUEST_ID_HEADER`](octavia_model::REQUEST_ID_HEADER), once for each, names the requests that it is done for:
    /// older agents do not read it, and older controllers do not send it. 409 with an [`AgentFault`](crate::AgentFault) when a newer `(fence, generation)` is already there.
    pub const SPEC: &str = "/2.0/spec";
    /// `GET`, answers [`AgentInfo`](crate::AgentInfo).
    pub const INFO: &str = "/2.0/info";
    /// `PUT` [`Papers`](crate::Papers), answers a [`PapersReport`](crate::PapersReport). Whoever says nothing of its papers
    /// in `info` does not know it. 409 when those of a higher fence are already there.
    pub const PAPERS: &str = "/2.0/papers";
}

/// What an agent is given when its server is made: the file [`BootConfig::FILE`], of mode 0600 since it holds the
/// heartbeat key, in the amphora's directory; the paths in it are relative to that directory. Where the REST API
/// listens is not in it: that is for the compute service to say.
#[derive(Clone, Serialize, Deserialize)]
pub struct BootConfig {
    pub amphora_id: AmphoraId,
    pub load_balancer_id: Option<LoadBalancerId>,
    pub controllers: Vec<SocketAddr>,
    pub heartbeat_interval_ms: u32,
    pub heartbeat_key: String,
    /// PEM: the agent's certificate chain and key.
    pub server_cert: PathBuf,
    /// PEM: the authority that signs controllers' client certificates.
    pub client_ca: PathBuf,
    /// The common name a controller's certificate must carry.
    pub controller_name: String,
    /// Threads that carry traffic; 0 = one a core.
    pub proxy_threads: u16,
    /// Of the key and the files above. Renewed with them, as the last thing.
    #[serde(default)]
    pub papers: PapersReport,
}

/// By what agent and controllers know each other, as a controller renews it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Papers {
    /// Epoch of the lease under which they were made out.
    pub fence: u64,
    /// The controller's name for what is in them, but for certificate and key; told back to it.
    pub mark: String,
    /// PEM: the agent's certificate chain and key.
    pub server_cert: String,
    /// PEM: the authorities that sign controllers' client certificates.
    pub client_ca: String,
    /// What signs heartbeats.
    pub heartbeat_key: String,
}

impl std::fmt::Debug for Papers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Papers").field("fence", &self.fence).field("mark", &self.mark).finish_non_exhaustive()
    }
}

/// Which papers an agent has.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PapersReport {
    pub fence: u64,
    /// Empty = from before there were marks.
    pub mark: String,
}

impl BootConfig {
    pub const FILE: &str = "boot.json";
}

impl std::fmt::Debug for BootConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BootConfig")
            .field("amphora_id", &self.amphora_id)
            .field("controllers", &self.controllers)
            .field("heartbeat_key", &"<secret>")
            .finish_non_exhaustive()
    }
}

/// What an amphora of several knows of who has the VIPs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VrrpReport {
    #[serde(with = "crate::text")]
    pub state: VrrpState,
    /// The VIPs are on its interface.
    pub holds: bool,
    /// With whom it agrees on that, by their own addresses.
    pub peers: Vec<IpAddr>,
}

/// What became of a pushed spec.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApplyOutcome {
    pub generation: u64,
    pub fence: u64,
    /// Listeners that could not be opened; everything else of the spec is in force.
    pub faults: Vec<ListenerFault>,
}

/// A listener that could not be opened on an address, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenerFault {
    pub listener: ListenerId,
    pub address: IpAddr,
    #[serde(with = "crate::text")]
    pub code: ReasonCode,
    pub text: String,
    pub advice: String,
}

impl From<ListenerFault> for Reason {
    fn from(fault: ListenerFault) -> Self {
        Self::new(fault.code, fault.text, fault.advice)
    }
}

/// An interface that is not as the spec wants it, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceFault {
    /// `None` = of no interface in particular.
    pub mac: Option<Mac>,
    #[serde(with = "crate::text")]
    pub code: ReasonCode,
    pub text: String,
    pub advice: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentInfo {
    pub amphora_id: AmphoraId,
    pub api_version: String,
    pub software_version: String,
    pub wire_version: u32,
    /// New for every start of the proxy.
    pub boot: Option<Uuid>,
    /// `(fence, generation)` in force; `(0, 0)` before the first spec.
    pub fence: u64,
    pub generation: u64,
    pub faults: Vec<ListenerFault>,
    /// Of those whose interface has a VIP, `faults` tell too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub interfaces: Vec<InterfaceFault>,
    /// `None` = no other amphora could have the VIPs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vrrp: Option<VrrpReport>,
    /// When it wants to be pushed what authorities say of certificates then, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh_at: Option<u64>,
    /// `None` = an agent of before they could be renewed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub papers: Option<PapersReport>,
    /// How the last take-over by another proxy ended that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub takeover: Option<TakeoverReport>,
    /// Proxies that were taken over from and still carry connections.
    #[serde(default)]
    pub predecessors: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TakeoverReport {
    pub done: bool,
    /// Why not.
    pub text: String,
}

/// Body of every refusal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{error}")]
pub struct AgentFault {
    pub error: String,
    pub http_code: u16,
}
