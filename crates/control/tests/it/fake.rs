//! A cloud and its agents in memory, with switches for what can go wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use octavia_cloud::{
    CloudError, Compute, Network, NetworkInfo, PortInfo, Server, ServerRequest, ServerState, SubnetInfo,
    VipPort, VipRequest,
};
use octavia_control::{AgentAddress, AgentError, Agents};
use octavia_model::{AmphoraId, LoadBalancerId, NetworkId, PortId, SecurityGroupId, SubnetId};
use octavia_wire::{
    AgentFault, AgentInfo, AmphoraSpec, ApplyOutcome, BootConfig, ListenerFault, Papers, PapersReport,
    WIRE_VERSION,
};
use uuid::Uuid;

/// Cheap to clone; clones are the same cloud.
#[derive(Debug, Clone, Default)]
pub(crate) struct FakeCloud(Arc<Mutex<Facts>>);

#[derive(Debug, Default)]
pub(crate) struct Facts {
    pub(crate) servers: BTreeMap<AmphoraId, FakeServer>,
    pub(crate) vips: BTreeSet<LoadBalancerId>,
    pub(crate) faults: Vec<ListenerFault>,
    /// How often an agent is asked in vain before a new server's answers.
    pub(crate) boot_polls: u32,
    pub(crate) compute_down: bool,
    pub(crate) compute_refuses: bool,
    pub(crate) agents_down: bool,
    pub(crate) agents_refuse: bool,
    /// The proxies of these cannot be started.
    pub(crate) no_proxy: BTreeSet<AmphoraId>,
    /// A push hangs for ever.
    pub(crate) pushes_hang: bool,
    /// Ids of the requests that each push was made for.
    pub(crate) pushed_for: Vec<String>,
    /// What was asked for, in order.
    pub(crate) calls: Vec<String>,
}

#[derive(Debug, Clone)]
pub(crate) struct FakeServer {
    pub(crate) load_balancer: Option<LoadBalancerId>,
    pub(crate) state: ServerState,
    pub(crate) polls_left: u32,
    pub(crate) spec: Option<AmphoraSpec>,
    pub(crate) files: BTreeMap<String, Vec<u8>>,
    /// Renewed since it started.
    pub(crate) papers: Option<Papers>,
    pub(crate) starts: u32,
}

pub(crate) const AGENT: &str = "127.0.0.1:9443";

impl FakeCloud {
    pub(crate) fn facts(&self) -> MutexGuard<'_, Facts> {
        self.0.lock().unwrap()
    }
}

impl Facts {
    fn compute(&mut self, call: String) -> Result<(), CloudError> {
        self.calls.push(call);
        if self.compute_down { Err(CloudError::unavailable("the compute service is away")) } else { Ok(()) }
    }

    fn show(&self, id: AmphoraId) -> Option<Server> {
        let address: SocketAddr = AGENT.parse().unwrap();
        let server = self.servers.get(&id)?;
        Some(Server {
            amphora_id: id,
            compute_id: format!("server of {id}"),
            state: server.state,
            agent: Some(address),
            vip_subnet_port: None,
            ports: vec![],
            host: None,
            zone: None,
        })
    }

    pub(crate) fn calls_of(&self, name: &str) -> usize {
        self.calls.iter().filter(|call| *call == name).count()
    }
}

#[async_trait]
impl Compute for FakeCloud {
    async fn server_ensure(&self, request: &ServerRequest) -> Result<Server, CloudError> {
        let mut facts = self.facts();
        facts.compute("server_ensure".to_owned())?;
        if facts.compute_refuses {
            return Err(CloudError::refused("no flavor of this name"));
        }
        let polls_left = facts.boot_polls;
        let server = facts.servers.entry(request.amphora_id).or_insert(FakeServer {
            load_balancer: request.load_balancer_id,
            state: ServerState::Stopped,
            polls_left,
            spec: None,
            files: BTreeMap::new(),
            papers: None,
            starts: 0,
        });
        if server.state == ServerState::Stopped {
            server.state = ServerState::Running;
            server.starts += 1;
            server.polls_left = polls_left;
            server.files = request.files.iter().map(|f| (f.name.clone(), f.content.clone())).collect();
        }
        Ok(facts.show(request.amphora_id).unwrap())
    }

    async fn server_find(&self, amphora: AmphoraId) -> Result<Option<Server>, CloudError> {
        let mut facts = self.facts();
        facts.compute("server_find".to_owned())?;
        Ok(facts.show(amphora))
    }

    async fn server_delete(&self, amphora: AmphoraId) -> Result<(), CloudError> {
        let mut facts = self.facts();
        facts.compute("server_delete".to_owned())?;
        facts.servers.remove(&amphora);
        Ok(())
    }

    async fn server_list(&self) -> Result<Vec<Server>, CloudError> {
        let mut facts = self.facts();
        facts.compute("server_list".to_owned())?;
        Ok(facts.servers.keys().filter_map(|id| facts.show(*id)).collect())
    }
}

#[async_trait]
impl Network for FakeCloud {
    async fn subnet_get(&self, _: SubnetId) -> Result<Option<SubnetInfo>, CloudError> {
        Ok(None)
    }

    async fn network_get(&self, _: NetworkId) -> Result<Option<NetworkInfo>, CloudError> {
        Ok(None)
    }

    async fn port_get(&self, id: PortId) -> Result<Option<PortInfo>, CloudError> {
        let port = PortInfo {
            id,
            network_id: NetworkId::nil(),
            fixed_ips: vec![],
            project_id: None,
            device_id: "lb".to_owned(),
            qos_policy_id: None,
        };
        Ok((!self.facts().vips.is_empty()).then_some(port))
    }

    async fn security_group_exists(&self, _: SecurityGroupId) -> Result<bool, CloudError> {
        Ok(false)
    }

    async fn qos_policy_exists(&self, _: Uuid) -> Result<bool, CloudError> {
        Ok(false)
    }

    async fn vip_ensure(&self, request: &VipRequest) -> Result<VipPort, CloudError> {
        self.facts().vips.insert(request.load_balancer_id);
        Err(CloudError::refused("addresses are handed out by the API in these tests"))
    }

    async fn vip_release(&self, load_balancer: LoadBalancerId) -> Result<(), CloudError> {
        let mut facts = self.facts();
        let uses = |server: &FakeServer| {
            let of = server.spec.as_ref().map(|spec| spec.load_balancer_id).or(server.load_balancer);
            of == Some(load_balancer)
        };
        assert!(!facts.servers.values().any(uses), "still in use");
        facts.vips.remove(&load_balancer);
        Ok(())
    }

    async fn vip_list(&self) -> Result<Vec<LoadBalancerId>, CloudError> {
        Ok(self.facts().vips.iter().copied().collect())
    }
}

#[async_trait]
impl Agents for FakeCloud {
    async fn spec_push(
        &self,
        agent: AgentAddress,
        spec: &AmphoraSpec,
        request_ids: &[String],
    ) -> Result<ApplyOutcome, AgentError> {
        if self.facts().pushes_hang {
            self.facts().calls.push("hanging_push".to_owned());
            std::future::pending::<()>().await;
        }
        let mut facts = self.facts();
        facts.calls.push("spec_push".to_owned());
        facts.pushed_for.push(request_ids.join(" "));
        let refused = facts.agents_refuse;
        let no_proxy = facts.no_proxy.contains(&agent.amphora);
        let mut faults = facts.faults.clone();
        faults.extend(spec.tls_faults());
        let server = facts.agent(agent)?;
        let fault = |error: &str, http_code| AgentFault { error: error.to_owned(), http_code };
        if refused {
            return Err(AgentError::Refused(fault("this does not fit", 400)));
        }
        if server.spec.as_ref().is_some_and(|there| there.precedence() > spec.precedence()) {
            return Err(AgentError::Superseded(fault("there is a newer one", 409)));
        }
        assert_eq!(spec.validate(), Ok(()));
        let of = server.spec.as_ref().map(|spec| spec.load_balancer_id).or(server.load_balancer);
        assert!(of.is_none_or(|of| of == spec.load_balancer_id), "another's");
        server.spec = Some(spec.clone());
        if no_proxy {
            return Err(AgentError::Failed(fault("the proxy does not run", 503)));
        }
        Ok(ApplyOutcome { generation: spec.generation, fence: spec.fence, faults })
    }

    async fn papers_push(&self, agent: AgentAddress, papers: &Papers) -> Result<PapersReport, AgentError> {
        let mut facts = self.facts();
        facts.calls.push("papers_push".to_owned());
        let server = facts.agent(agent)?;
        assert!(papers.fence >= server.papers_report().fence);
        server.papers = Some(papers.clone());
        Ok(server.papers_report())
    }

    async fn info(&self, agent: AgentAddress) -> Result<AgentInfo, AgentError> {
        let mut facts = self.facts();
        facts.calls.push("info".to_owned());
        let faults = facts.faults.clone();
        let no_proxy = facts.no_proxy.contains(&agent.amphora);
        let server = facts.agent(agent)?;
        let spec = server.spec.as_ref().filter(|_| !no_proxy);
        Ok(AgentInfo {
            amphora_id: agent.amphora,
            api_version: "2.0".to_owned(),
            software_version: "fake".to_owned(),
            wire_version: WIRE_VERSION,
            boot: (!no_proxy).then(Uuid::nil),
            fence: spec.map_or(0, |spec| spec.fence),
            generation: spec.map_or(0, |spec| spec.generation),
            faults: spec.map_or(vec![], |spec| faults.into_iter().chain(spec.tls_faults()).collect()),
            interfaces: vec![],
            vrrp: None,
            refresh_at: None,
            papers: Some(server.papers_report()),
            takeover: None,
            predecessors: 0,
        })
    }
}

impl FakeServer {
    pub(crate) fn papers_report(&self) -> PapersReport {
        match &self.papers {
            Some(papers) => PapersReport { fence: papers.fence, mark: papers.mark.clone() },
            None => serde_json::from_slice::<BootConfig>(&self.files[BootConfig::FILE]).unwrap().papers,
        }
    }
}

impl Facts {
    fn agent(&mut self, agent: AgentAddress) -> Result<&mut FakeServer, AgentError> {
        assert_eq!(agent.address, AGENT.parse().unwrap());
        let down = self.agents_down;
        let unreachable = || AgentError::Unreachable("connection refused".to_owned());
        let server = self.servers.get_mut(&agent.amphora).ok_or_else(unreachable)?;
        if down || server.state != ServerState::Running {
            return Err(unreachable());
        }
        if server.polls_left > 0 {
            server.polls_left -= 1;
            return Err(unreachable());
        }
        Ok(server)
    }
}
