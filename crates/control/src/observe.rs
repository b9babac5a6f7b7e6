//! Asking the world what the planner needs to know.

use std::net::SocketAddr;

use futures::future::join_all;
use octavia_cloud::{Server, ServerState};
use octavia_model::{Amphora, AmphoraStatus, Known, Topology};
use octavia_plan::{Desired, Observed, ObservedAmphora, ObservedServer, ServerPower};

use crate::papers::papers_wanted;
use crate::{AgentAddress, Parts};

/// What was learned, and what could not be asked.
#[derive(Debug)]
pub(crate) struct Observation {
    pub(crate) observed: Observed,
    pub(crate) troubles: Vec<String>,
}

/// Asks about everything the load balancer needs, side by side. A deletion needs to know nothing.
pub(crate) async fn observe(parts: &Parts, desired: &Desired, agent_port: u16) -> Observation {
    let mut observation = Observation {
        observed: Observed {
            vip: Known::Unknown,
            amphorae: Default::default(),
            silence_trusted: false,
            agreeing: parts.compute.has_ports()
                && desired.graph.load_balancer.topology == Topology::ActiveStandby,
            trust: Some(papers_wanted(parts.certs.as_ref())),
        },
        troubles: vec![],
    };
    if desired.deleting {
        return observation;
    }
    let amphorae = desired.amphorae.iter().filter(|a| a.status != AmphoraStatus::PendingDelete);
    let asked = amphorae
        .map(|amphora| async move { (amphora.id, observe_amphora(parts, amphora, agent_port).await) });
    let (vip, seen) = futures::join!(observe_vip(parts, desired), join_all(asked));
    let (known, trouble) = vip;
    observation.observed.vip = known;
    observation.troubles.extend(trouble);
    for (id, (amphora, troubles)) in seen {
        observation.observed.amphorae.insert(id, amphora);
        observation.troubles.extend(troubles);
    }
    observation
}

/// The address is looked at every time: a port that somebody removed is missed by nobody else until it is given away.
async fn observe_vip(parts: &Parts, desired: &Desired) -> (Known<()>, Option<String>) {
    let lb = &desired.graph.load_balancer;
    match parts.network.port_get(lb.vip.port_id).await {
        Ok(Some(_)) => (Known::Yes(()), None),
        Ok(None) => (Known::No, None),
        Err(error) => (Known::Unknown, Some(error.to_string())),
    }
}

pub(crate) async fn observe_amphora(
    parts: &Parts,
    amphora: &Amphora,
    agent_port: u16,
) -> (ObservedAmphora, Vec<String>) {
    let mut troubles = vec![];
    let server = match parts.compute.server_find(amphora.id).await {
        Ok(Some(server)) => Known::Yes(observed_server(server)),
        Ok(None) => Known::No,
        Err(error) => {
            troubles.push(error.to_string());
            Known::Unknown
        }
    };
    let agent = match agent_address(amphora, &server, agent_port) {
        Some(address) => match parts.agents.info(AgentAddress { amphora: amphora.id, address }).await {
            Ok(info) => Some(info),
            Err(error) => {
                troubles.push(error.to_string());
                None
            }
        },
        None => None,
    };
    (ObservedAmphora { server, agent }, troubles)
}

/// Where to ask: what the compute service says, else what the row remembers. A stopped server is not asked.
pub(crate) fn agent_address(
    amphora: &Amphora,
    server: &Known<ObservedServer>,
    agent_port: u16,
) -> Option<SocketAddr> {
    let remembered = amphora.lb_network_ip.map(|ip| SocketAddr::new(ip, agent_port));
    match server {
        Known::Yes(server) if server.power == ServerPower::Stopped => None,
        Known::Yes(server) => server.agent.or(remembered),
        Known::No | Known::Unknown => remembered,
    }
}

pub(crate) fn observed_server(server: Server) -> ObservedServer {
    let power = match server.state {
        ServerState::Building => ServerPower::Building,
        ServerState::Running => ServerPower::Running,
        ServerState::Stopped => ServerPower::Stopped,
        ServerState::Error => ServerPower::Failed,
    };
    ObservedServer { compute_id: server.compute_id, power, agent: server.agent }
}
