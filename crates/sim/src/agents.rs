//! The simulated agents and data planes inside the servers.

use std::collections::BTreeMap;

use async_trait::async_trait;
use jiff::Timestamp;
use newtype_uuid::GenericUuid;
use octavia_cloud::{BootFile, CertIssuer, ServerState};
use octavia_control::{AgentAddress, AgentError, Agents};
use octavia_model::{AmphoraId, ReasonCode};
use octavia_wire::{
    AgentFault, AgentInfo, AmphoraSpec, ApplyOutcome, BootConfig, Heartbeat, ListenerFault, ListenerReport,
    ListenerStats, ListenerWord, MemberWord, Papers, PapersReport, PoolReport, PoolWord, WIRE_VERSION,
};
use uuid::Uuid;

use crate::stage::{Gate, Verdict};
use crate::world::{SimServer, World, WorldState};

/// What is inside one server: survives its restarts, as the durable spec does.
#[derive(Debug, Clone, Default)]
pub struct SimAgent {
    /// The agent process answers.
    pub alive: bool,
    /// The proxy carries traffic; it outlives its agent.
    pub carries: bool,
    pub spec: Option<AmphoraSpec>,
    /// As it was given them last; none only before it was ever started.
    pub papers: Option<Papers>,
    pub boots: u64,
    pub seq: u64,
    /// Since the start.
    pub beats: u64,
    /// Controllers cannot reach it; it goes on, and beats.
    pub unreachable: bool,
    /// Its beats get lost.
    pub mute: bool,
    /// Members whose checks fail.
    pub members_down: bool,
    /// The proxy cannot be started, whatever is tried.
    pub no_proxy: bool,
}

impl SimAgent {
    /// The files that a server is started with.
    pub(crate) fn born(&mut self, files: &[BootFile]) {
        let text = |name: &std::path::Path| {
            let file = files.iter().find(|file| std::path::Path::new(&file.name) == name);
            file.map(|file| String::from_utf8_lossy(&file.content).into_owned()).unwrap_or_default()
        };
        let Ok(boot) = serde_json::from_str::<BootConfig>(&text(BootConfig::FILE.as_ref())) else { return };
        self.papers = Some(Papers {
            fence: boot.papers.fence,
            mark: boot.papers.mark.clone(),
            server_cert: text(&boot.server_cert),
            client_ca: text(&boot.client_ca),
            heartbeat_key: boot.heartbeat_key,
        });
    }

    /// Whether it and a controller that believes these authorities believe each other.
    fn is_trusted(&self, authorities: &[String]) -> bool {
        let Some(papers) = &self.papers else { return true };
        let names =
            |pem: &str| authorities.iter().any(|name| pem.lines().any(|line| line.ends_with(name.as_str())));
        names(&papers.server_cert) && names(&papers.client_ca)
    }

    /// The server came up: both processes start, with the durable spec.
    pub(crate) fn start(&mut self, now: Timestamp) {
        self.alive = true;
        self.carries = !self.no_proxy;
        self.boots += 1;
        self.beats = 0;
        // As real ones do: a server made anew under the same name remembers nothing.
        self.seq = u64::try_from(now.as_microsecond()).unwrap_or(0).max(self.seq + 1);
    }

    fn boot(&self, id: AmphoraId) -> Uuid {
        Uuid::from_u128(id.into_untyped_uuid().as_u128() ^ (u128::from(self.boots) << 64))
    }

    fn faults(&self) -> Vec<ListenerFault> {
        let Some(spec) = &self.spec else { return vec![] };
        let denied = spec.listeners.iter().filter(|listener| listener.port < 1024);
        let denied = denied.map(|listener| ListenerFault {
            listener: listener.id,
            address: spec.vips[0],
            code: ReasonCode::PortNotPermitted,
            text: format!("Port {} needs a privilege.", listener.port),
            advice: "Use a port from 1024 up.".to_owned(),
        });
        denied.chain(spec.tls_faults()).collect()
    }

    fn precedence(&self) -> (u64, u64) {
        self.spec.as_ref().map_or((0, 0), AmphoraSpec::precedence)
    }

    fn info(&self, id: AmphoraId) -> AgentInfo {
        let (fence, generation) = if self.no_proxy { (0, 0) } else { self.precedence() };
        AgentInfo {
            amphora_id: id,
            api_version: "2.0".to_owned(),
            software_version: "simulated".to_owned(),
            wire_version: WIRE_VERSION,
            boot: (!self.no_proxy).then(|| self.boot(id)),
            fence,
            generation,
            faults: self.faults(),
            interfaces: vec![],
            vrrp: None,
            refresh_at: None,
            papers: self.papers.as_ref().map(report),
            takeover: None,
            predecessors: 0,
        }
    }

    /// The next beat; `None` = nobody is there to send it.
    pub fn beat(&mut self, id: AmphoraId) -> Option<Heartbeat> {
        if !self.alive {
            return None;
        }
        self.seq += 1;
        if self.mute {
            return None;
        }
        self.beats += 1;
        let beats = self.beats;
        let faults = self.faults();
        let mut listeners = BTreeMap::new();
        let mut pools = BTreeMap::new();
        if let Some(spec) = self.spec.as_ref().filter(|_| !self.no_proxy) {
            for listener in spec.listeners.iter().filter(|l| !faults.iter().any(|f| f.listener == l.id)) {
                let stats = ListenerStats {
                    rx: beats * 100,
                    tx: beats * 1000,
                    conns: 1,
                    totconns: beats * 10,
                    ereq: 0,
                };
                listeners.insert(listener.id, ListenerReport { status: ListenerWord::Open, stats });
                let word = |checked: bool| match (checked, self.members_down) {
                    (false, _) => MemberWord::NoCheck,
                    (true, true) => MemberWord::Down,
                    (true, false) => MemberWord::Up,
                };
                for pool in listener.pools().filter_map(|id| spec.pools.iter().find(|p| p.id == id)) {
                    let members = pool.members.iter().map(|m| (m.id, word(pool.monitor.is_some()))).collect();
                    let down = pool.monitor.is_some() && self.members_down && !pool.members.is_empty();
                    let status = if down { PoolWord::Down } else { PoolWord::Up };
                    pools.insert(
                        format!("{}:{}", pool.id, listener.id),
                        PoolReport { status, members, checks: BTreeMap::new() },
                    );
                }
            }
        }
        Some(Heartbeat {
            id,
            seq: self.seq,
            ver: 2,
            listeners,
            pools,
            boot: (!self.no_proxy).then(|| self.boot(id)),
            generation: self.spec.as_ref().filter(|_| !self.no_proxy).map(|spec| spec.generation),
            faults,
            partial: false,
            vrrp: None,
        })
    }
}

/// The rules of a real agent: nothing of a lower fence, nothing by which the controller would be locked out.
fn take(agent: &mut SimAgent, papers: &Papers) -> Result<PapersReport, AgentError> {
    let newest = agent.papers.as_ref().map_or(0, |papers| papers.fence).max(agent.precedence().0);
    if papers.fence < newest {
        return Err(AgentError::Superseded(fault(409, "newer papers are there")));
    }
    agent.papers = Some(papers.clone());
    Ok(report(papers))
}

impl World {
    /// Names of the authorities that controllers believe now.
    fn believed(&self) -> Vec<String> {
        self.trust().authorities().map(|authority| authority.name.clone()).collect()
    }

    fn amphora_label(&self, id: AmphoraId) -> String {
        self.journal.name("amp", id.into_untyped_uuid())
    }

    /// The rules of a real agent: a lower `(fence, generation)` is refused, an equal one is a no-op.
    fn apply(
        &self,
        state: &mut WorldState,
        id: AmphoraId,
        trusted: &[String],
        spec: &AmphoraSpec,
    ) -> Result<ApplyOutcome, AgentError> {
        let name = self.amphora_label(id);
        let server = reachable(state, id, trusted)?;
        if spec.amphora_id != id {
            return Err(AgentError::Refused(fault(400, "this is not my spec")));
        }
        spec.validate().map_err(|error| AgentError::Refused(fault(400, &error.to_string())))?;
        if spec.precedence() < server.agent.precedence() {
            let (generation, fence) = (spec.generation, spec.fence);
            self.journal.note(format!("{name} has a newer spec than generation {generation} fence {fence}"));
            return Err(AgentError::Superseded(fault(409, "a newer spec is in force")));
        }
        if let Some(old) = &server.agent.spec {
            if spec.generation < old.generation {
                self.journal.broken(format!(
                    "I4: {name} went from generation {} back to {}",
                    old.generation, spec.generation
                ));
            }
            let same = AmphoraSpec { fence: old.fence, ..spec.clone() } == *old;
            if spec.generation == old.generation && !same {
                self.journal
                    .broken(format!("I4: {name} got two different specs of generation {}", spec.generation));
            }
        }
        let mut spec = spec.clone();
        if let Some(old) = &server.agent.spec {
            spec.keep_identities(old);
        }
        server.agent.spec = Some(spec.clone());
        if server.agent.no_proxy {
            return Err(AgentError::Failed(fault(503, "the spec is stored, but not in force: no proxy")));
        }
        self.journal.note(format!("{name} applies generation {} fence {}", spec.generation, spec.fence));
        Ok(ApplyOutcome { generation: spec.generation, fence: spec.fence, faults: server.agent.faults() })
    }
}

fn fault(http_code: u16, error: &str) -> AgentFault {
    AgentFault { error: error.to_owned(), http_code }
}

fn unreachable(why: &str) -> AgentError {
    AgentError::Unreachable(why.to_owned())
}

fn report(papers: &Papers) -> PapersReport {
    PapersReport { fence: papers.fence, mark: papers.mark.clone() }
}

/// `trusted`: the names of authorities that the controller believes.
fn reachable<'a>(
    state: &'a mut WorldState,
    id: AmphoraId,
    trusted: &[String],
) -> Result<&'a mut SimServer, AgentError> {
    let server = state.servers.get_mut(&id).ok_or_else(|| unreachable("no route to host"))?;
    if server.state != ServerState::Running || !server.agent.alive || server.agent.unreachable {
        return Err(unreachable("connection refused"));
    }
    if !server.agent.is_trusted(trusted) {
        return Err(AgentError::Untrusted("unknown authority".to_owned()));
    }
    Ok(server)
}

#[async_trait]
impl Agents for World {
    async fn spec_push(
        &self,
        agent: AgentAddress,
        spec: &AmphoraSpec,
        _: &[String],
    ) -> Result<ApplyOutcome, AgentError> {
        let what = format!(
            "spec_push {} generation {} fence {}",
            self.amphora_label(agent.amphora),
            spec.generation,
            spec.fence
        );
        if self.gates.pass(Gate::Before, what.clone()).await == Verdict::Fault {
            return Err(unreachable("connection timed out"));
        }
        let trusted = self.believed();
        let outcome = {
            let now = self.gates.now();
            let mut state = self.state();
            state.boot(now);
            self.apply(&mut state, agent.amphora, &trusted, spec)
        };
        if self.gates.pass(Gate::After, what).await == Verdict::Fault {
            return Err(unreachable("connection reset before the answer"));
        }
        outcome
    }

    async fn papers_push(&self, agent: AgentAddress, papers: &Papers) -> Result<PapersReport, AgentError> {
        let what = format!("papers_push {} fence {}", self.amphora_label(agent.amphora), papers.fence);
        if self.gates.pass(Gate::Before, what.clone()).await == Verdict::Fault {
            return Err(unreachable("connection timed out"));
        }
        let trusted = self.believed();
        let outcome = {
            let now = self.gates.now();
            let mut state = self.state();
            state.boot(now);
            reachable(&mut state, agent.amphora, &trusted).and_then(|server| take(&mut server.agent, papers))
        };
        if self.gates.pass(Gate::After, what).await == Verdict::Fault {
            return Err(unreachable("connection reset before the answer"));
        }
        outcome
    }

    async fn info(&self, agent: AgentAddress) -> Result<AgentInfo, AgentError> {
        let what = format!("agent_info {}", self.amphora_label(agent.amphora));
        if self.gates.pass(Gate::Before, what).await == Verdict::Fault {
            return Err(unreachable("connection timed out"));
        }
        let (now, trusted) = (self.gates.now(), self.believed());
        let mut state = self.state();
        state.boot(now);
        reachable(&mut state, agent.amphora, &trusted).map(|server| server.agent.info(agent.amphora))
    }
}
