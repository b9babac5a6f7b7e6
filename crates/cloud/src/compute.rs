//! Servers for amphorae.

use std::net::SocketAddr;

use async_trait::async_trait;
use octavia_model::{AmphoraId, LoadBalancerId, PortId};
use serde::{Deserialize, Serialize};

use crate::{CloudError, Port};

/// The service that makes servers (Nova; process pairs on the local machine).
#[async_trait]
pub trait Compute: Send + Sync + std::fmt::Debug {
    /// Makes the amphora's server, or starts the one that is there but stopped. Returns without waiting for it to
    /// be up; look again with [`Compute::server_find`].
    async fn server_ensure(&self, request: &ServerRequest) -> Result<Server, CloudError>;

    /// `Ok(None)` = surely not there. An error = could not ask.
    async fn server_find(&self, amphora: AmphoraId) -> Result<Option<Server>, CloudError>;

    /// Ends the server and removes what it left. `Ok` when it is gone, also if it never was.
    async fn server_delete(&self, amphora: AmphoraId) -> Result<(), CloudError>;

    /// Every server that carries our mark, for finding orphans.
    async fn server_list(&self) -> Result<Vec<Server>, CloudError>;

    /// Whether servers have interfaces that ports are attached to. If not, VIPs and members are reached some other way,
    /// and nobody asks for ports.
    fn has_ports(&self) -> bool {
        false
    }

    /// Puts the port's interface, with its MAC, still down and without addresses, where the amphora's traffic is.
    /// Returns when it is there; twice is once. A port that was attached before its addresses or rules changed needs
    /// no second call.
    async fn port_attach(&self, _amphora: AmphoraId, _port: &Port) -> Result<(), CloudError> {
        Err(CloudError::internal("these servers have no ports"))
    }

    /// Takes the interface away. `Ok` when it is gone, also if it never was, or there is no such server.
    async fn port_detach(&self, _amphora: AmphoraId, _port: PortId) -> Result<(), CloudError> {
        Ok(())
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ServerRequest {
    pub amphora_id: AmphoraId,
    /// `None` = of no load balancer yet.
    pub load_balancer_id: Option<LoadBalancerId>,
    /// Laid into the server before it starts.
    pub files: Vec<BootFile>,
    /// Of a server that is there already it changes nothing.
    pub placement: Placement,
}

/// Where a new server is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    /// Amphorae on whose hosts it should not be.
    pub apart_from: Vec<AmphoraId>,
    /// Rather no server than one on such a host.
    pub strictly: bool,
    /// The availability zone, as the compute service calls it. `None` = any.
    pub zone: Option<String>,
}

/// A file for a new server, written with mode 0600.
#[derive(Clone, Serialize, Deserialize)]
pub struct BootFile {
    /// A plain file name, relative to the amphora's directory.
    pub name: String,
    pub content: Vec<u8>,
}

impl std::fmt::Debug for BootFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "BootFile({}, {} bytes)", self.name, self.content.len())
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Server {
    pub amphora_id: AmphoraId,
    /// The compute service's own name for it.
    pub compute_id: String,
    pub state: ServerState,
    /// Where its agent's REST API listens, once known.
    pub agent: Option<SocketAddr>,
    /// The port of its own address on the VIP's subnet, where it has one.
    pub vip_subnet_port: Option<PortId>,
    /// The ports whose interfaces it has, in no order.
    pub ports: Vec<PortId>,
    /// The machine it is on, where the compute service tells.
    pub host: Option<String>,
    /// The availability zone it is in.
    pub zone: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ServerState {
    Building,
    Running,
    /// There, but not running: [`Compute::server_ensure`] starts it again.
    Stopped,
    Error,
}
