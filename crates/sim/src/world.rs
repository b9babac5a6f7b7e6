//! The simulated cloud: servers, addresses and certificates, kept in memory, behind gates.
//!
//! Every call stops before its effect, where it can fail, and after it, where its answer can be lost. Listings can
//! be stale; answers about one object never are, for that is what the traits promise. What goes on inside a server
//! (the agent, the data plane) is in [`crate::agents`].

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use newtype_uuid::GenericUuid;
use octavia_cloud::{
    Authority, CertIssuer, CloudError, Compute, HeartbeatKey, IssuedCert, Network, NetworkInfo, PortInfo,
    Server, ServerRequest, ServerState, SubnetInfo, Trust, VipPort, VipRequest,
};
use octavia_model::{AmphoraId, LoadBalancerId, NetworkId, PortId, SecurityGroupId, SubnetId};
use uuid::Uuid;

use crate::agents::SimAgent;
use crate::journal::Journal;
use crate::stage::{Gate, Gates, Verdict};

/// Every secret of the simulation holds this text: wherever it shows up, a secret leaked.
pub const SECRET_MARK: &str = "XxSECRETxX";
/// Listings before this many changes may still be answered.
const STALE_LISTINGS: usize = 4;

/// The cloud's facts, shared by everyone who plays a part of it.
#[derive(Debug, Clone)]
pub struct World {
    pub(crate) gates: Gates,
    pub(crate) journal: Journal,
    state: Arc<Mutex<WorldState>>,
}

#[derive(Debug, Default)]
pub struct WorldState {
    pub servers: BTreeMap<AmphoraId, SimServer>,
    pub vips: BTreeMap<LoadBalancerId, VipPort>,
    /// Ports users made themselves.
    pub ports: BTreeMap<PortId, PortInfo>,
    /// What the next listing of servers answers instead of the truth.
    pub stale_servers: Option<Vec<Server>>,
    pub stale_vips: Option<Vec<LoadBalancerId>>,
    past_servers: VecDeque<Vec<Server>>,
    past_vips: VecDeque<Vec<LoadBalancerId>>,
    made: u64,
    /// How often operators changed authority and heartbeat key.
    pub rolls: u64,
    /// Those before the last change are still good.
    pub rolling: bool,
    /// How long the next server takes to start.
    pub boot_time: SignedDuration,
    /// Calls for servers are refused: the cloud is full.
    pub full: bool,
    /// Addresses whose port somebody removed; nobody else is given them by chance.
    pub lost: BTreeSet<IpAddr>,
    /// Load balancers whose address was given back since somebody looked.
    pub released: Vec<LoadBalancerId>,
}

#[derive(Debug, Clone)]
pub struct SimServer {
    /// For whom it was made; of a spare, nobody.
    pub load_balancer: Option<LoadBalancerId>,
    pub compute_id: String,
    pub state: ServerState,
    pub address: SocketAddr,
    /// When a server that is building is up.
    pub up_at: Timestamp,
    pub agent: SimAgent,
}

impl World {
    pub fn new(gates: Gates, journal: Journal) -> Self {
        Self { gates, journal, state: Arc::default() }
    }

    pub fn state(&self) -> MutexGuard<'_, WorldState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A call with an effect: fails before it, or loses its answer after it, as the director says.
    async fn call<T>(
        &self,
        what: String,
        effect: impl FnOnce(&mut WorldState, Timestamp) -> Result<T, CloudError> + Send,
    ) -> Result<T, CloudError> {
        if self.gates.pass(Gate::Before, what.clone()).await == Verdict::Fault {
            return Err(CloudError::unavailable("the simulated cloud is out of order"));
        }
        let result = {
            let now = self.gates.now();
            let mut state = self.state();
            state.boot(now);
            let result = effect(&mut state, now);
            state.remember();
            result
        };
        if self.gates.pass(Gate::After, what).await == Verdict::Fault {
            return Err(CloudError::unavailable("the simulated cloud's answer was lost"));
        }
        result
    }

    /// A question: fails, or is answered with what is true (or was, for listings) when it is asked.
    pub(crate) async fn ask<T>(
        &self,
        what: String,
        answer: impl FnOnce(&mut WorldState) -> T + Send,
    ) -> Result<T, CloudError> {
        if self.gates.pass(Gate::Before, what).await == Verdict::Fault {
            return Err(CloudError::unavailable("the simulated cloud does not answer"));
        }
        // The caller stops at its next gate, so the answer may be old when it is acted upon.
        let now = self.gates.now();
        let mut state = self.state();
        state.boot(now);
        Ok(answer(&mut state))
    }

    fn amphora_name(&self, id: AmphoraId) -> String {
        self.journal.name("amp", id.into_untyped_uuid())
    }

    fn lb_name(&self, id: LoadBalancerId) -> String {
        self.journal.name("lb", id.into_untyped_uuid())
    }
}

impl WorldState {
    /// Servers whose time has come are up.
    pub fn boot(&mut self, now: Timestamp) {
        for server in self.servers.values_mut() {
            if server.state == ServerState::Building && server.up_at <= now {
                server.state = ServerState::Running;
                server.agent.start(now);
            }
        }
    }

    fn listing(&self) -> Vec<Server> {
        self.servers.iter().map(|(id, server)| server.show(*id)).collect()
    }

    fn remember(&mut self) {
        let (servers, vips) = (self.listing(), self.vips.keys().copied().collect());
        self.past_servers.push_back(servers);
        self.past_vips.push_back(vips);
        while self.past_servers.len() > STALE_LISTINGS {
            self.past_servers.pop_front();
            self.past_vips.pop_front();
        }
    }

    /// The next listings answer what was true up to [`STALE_LISTINGS`] changes ago.
    pub fn make_listings_stale(&mut self) {
        self.stale_servers = self.past_servers.front().cloned();
        self.stale_vips = self.past_vips.front().cloned();
    }

    fn next(&mut self) -> u64 {
        self.made += 1;
        self.made
    }

    fn address_free(&self, address: IpAddr) -> bool {
        !self.vips.values().any(|vip| vip.address == address)
            && !self.ports.values().any(|port| port.fixed_ips.iter().any(|(_, ip)| *ip == address))
    }

    fn vip_place(&self, request: &VipRequest) -> Result<Place, CloudError> {
        if let Some(vip) = self.vips.get(&request.load_balancer_id) {
            return match request.address {
                Some(address) if address != vip.address => {
                    Err(CloudError::refused(format!("the load balancer has {}, not {address}", vip.address)))
                }
                _ => Ok(Place::Held(vip.clone())),
            };
        }
        if request.subnet_id != subnet_id() || request.network_id != network_id() {
            return Err(CloudError::refused("no such subnet"));
        }
        let brought = match request.port_id {
            Some(id) => match self.ports.get(&id) {
                Some(port) if port.device_id.is_empty() => Some(port.clone()),
                Some(_) => return Err(CloudError::refused("the port is in use")),
                None => return Err(CloudError::refused("no such port")),
            },
            None => None,
        };
        if request.address.is_some_and(|address| !SUBNET_CIDR.contains(&address)) {
            return Err(CloudError::refused("the address is not of the subnet"));
        }
        let address = match (&brought, request.address) {
            (Some(port), _) => port.fixed_ips[0].1,
            (None, Some(address)) if !self.address_free(address) => {
                return Err(CloudError::refused(format!("{address} is in use")));
            }
            (None, Some(address)) => address,
            (None, None) => {
                let mut hosts = (2..SUBNET_HOSTS).map(subnet_address);
                hosts
                    .find(|a| self.address_free(*a) && !self.lost.contains(a))
                    .ok_or_else(|| CloudError::refused("the subnet is full"))?
            }
        };
        Ok(Place::Free { brought, address })
    }
}

/// Where a VIP is, or could be.
enum Place {
    Held(VipPort),
    Free { brought: Option<PortInfo>, address: IpAddr },
}

impl SimServer {
    pub fn show(&self, id: AmphoraId) -> Server {
        let agent = matches!(self.state, ServerState::Running).then_some(self.address);
        let compute_id = self.compute_id.clone();
        Server {
            amphora_id: id,
            compute_id,
            state: self.state,
            agent,
            vip_subnet_port: None,
            ports: vec![],
            host: None,
            zone: None,
        }
    }
}

#[async_trait]
impl Compute for World {
    async fn server_ensure(&self, request: &ServerRequest) -> Result<Server, CloudError> {
        let name = self.amphora_name(request.amphora_id);
        let (id, lb) = (request.amphora_id, request.load_balancer_id);
        self.call(format!("server_ensure {name}"), move |state, now| {
            let boot_time = state.boot_time;
            if let Some(server) = state.servers.get_mut(&id) {
                if server.state == ServerState::Stopped {
                    server.agent.born(&request.files);
                    server.state = ServerState::Building;
                    server.up_at = now + boot_time;
                }
            } else {
                if state.full {
                    return Err(CloudError::refused("no room for another server"));
                }
                let n = state.next();
                let [.., high, low] = n.to_be_bytes();
                let mut server = SimServer {
                    load_balancer: lb,
                    compute_id: format!("server-{n}"),
                    state: ServerState::Building,
                    address: SocketAddr::from((Ipv4Addr::new(127, 200, high, low), 9443)),
                    up_at: now + boot_time,
                    agent: SimAgent::default(),
                };
                server.agent.born(&request.files);
                state.servers.insert(id, server);
            }
            // A server that takes no time to start is up at once.
            state.boot(now);
            Ok(state.servers[&id].show(id))
        })
        .await
    }

    async fn server_find(&self, amphora: AmphoraId) -> Result<Option<Server>, CloudError> {
        let what = format!("server_find {}", self.amphora_name(amphora));
        self.ask(what, move |state| state.servers.get(&amphora).map(|server| server.show(amphora))).await
    }

    async fn server_delete(&self, amphora: AmphoraId) -> Result<(), CloudError> {
        let what = format!("server_delete {}", self.amphora_name(amphora));
        self.call(what, move |state, _| {
            state.servers.remove(&amphora);
            Ok(())
        })
        .await
    }

    async fn server_list(&self) -> Result<Vec<Server>, CloudError> {
        self.ask("server_list".to_owned(), |state| {
            state.stale_servers.take().unwrap_or_else(|| state.listing())
        })
        .await
    }
}

/// The one network of the simulated cloud.
pub fn network_id() -> NetworkId {
    NetworkId::from_untyped_uuid(Uuid::from_u128(0x0a))
}

/// Its one subnet.
pub fn subnet_id() -> SubnetId {
    SubnetId::from_untyped_uuid(Uuid::from_u128(0x0b))
}

fn subnet_address(host: u64) -> IpAddr {
    let [.., high, low] = host.to_be_bytes();
    IpAddr::V4(Ipv4Addr::new(127, 201, high, low))
}

const SUBNET_HOSTS: u64 = 16_380;

#[async_trait]
impl Network for World {
    async fn subnet_get(&self, id: SubnetId) -> Result<Option<SubnetInfo>, CloudError> {
        self.ask("subnet_get".to_owned(), move |state| {
            (id == subnet_id()).then(|| SubnetInfo {
                id,
                network_id: network_id(),
                name: "private-subnet".to_owned(),
                cidr: SUBNET_CIDR,
                free: SUBNET_HOSTS - state.vips.len() as u64,
            })
        })
        .await
    }

    async fn network_get(&self, id: NetworkId) -> Result<Option<NetworkInfo>, CloudError> {
        self.ask("network_get".to_owned(), move |_| {
            (id == network_id()).then(|| NetworkInfo {
                id,
                name: "private".to_owned(),
                subnets: vec![subnet_id()],
                port_security_enabled: true,
            })
        })
        .await
    }

    async fn port_get(&self, id: PortId) -> Result<Option<PortInfo>, CloudError> {
        self.ask("port_get".to_owned(), move |state| {
            let owned = state.vips.iter().find(|(_, vip)| vip.port_id == id);
            owned
                .map(|(lb, vip)| PortInfo {
                    id,
                    network_id: vip.network_id,
                    fixed_ips: vec![(vip.subnet_id, vip.address)],
                    project_id: None,
                    device_id: format!("lb-{lb}"),
                    qos_policy_id: None,
                })
                .or_else(|| state.ports.get(&id).cloned())
        })
        .await
    }

    async fn security_group_exists(&self, _: SecurityGroupId) -> Result<bool, CloudError> {
        self.ask("security_group_exists".to_owned(), |_| false).await
    }

    async fn qos_policy_exists(&self, _: Uuid) -> Result<bool, CloudError> {
        self.ask("qos_policy_exists".to_owned(), |_| false).await
    }

    async fn vip_ensure(&self, request: &VipRequest) -> Result<VipPort, CloudError> {
        let what = format!("vip_ensure {}", self.lb_name(request.load_balancer_id));
        let request = request.clone();
        self.call(what, move |state, _| {
            let (brought, address) = match state.vip_place(&request)? {
                Place::Held(vip) => return Ok(vip),
                Place::Free { brought, address } => (brought, address),
            };
            let port_id = match &brought {
                Some(port) => port.id,
                None => PortId::from_untyped_uuid(Uuid::from_u128(0x0c00_0000 + u128::from(state.next()))),
            };
            state.lost.remove(&address);
            if let Some(port) = state.ports.get_mut(&port_id) {
                port.device_id = format!("lb-{}", request.load_balancer_id);
            }
            let vip = VipPort {
                port_id,
                network_id: request.network_id,
                subnet_id: request.subnet_id,
                address,
                owned: brought.is_none(),
                additional: vec![],
            };
            state.vips.insert(request.load_balancer_id, vip.clone());
            Ok(vip)
        })
        .await
    }

    async fn vip_check(&self, request: &VipRequest) -> Result<(), CloudError> {
        self.ask("vip_check".to_owned(), |state| state.vip_place(request).map(drop)).await?
    }

    async fn vip_release(&self, load_balancer: LoadBalancerId) -> Result<(), CloudError> {
        let what = format!("vip_release {}", self.lb_name(load_balancer));
        self.call(what, move |state, _| {
            if let Some(vip) = state.vips.remove(&load_balancer) {
                state.released.push(load_balancer);
                if let Some(port) = state.ports.get_mut(&vip.port_id) {
                    port.device_id.clear();
                }
            }
            Ok(())
        })
        .await
    }

    async fn vip_list(&self) -> Result<Vec<LoadBalancerId>, CloudError> {
        self.ask("vip_list".to_owned(), |state| {
            state.stale_vips.take().unwrap_or_else(|| state.vips.keys().copied().collect())
        })
        .await
    }
}

const SUBNET_CIDR: ipnet::IpNet =
    ipnet::IpNet::V4(ipnet::Ipv4Net::new_assert(Ipv4Addr::new(127, 201, 0, 0), 18));

#[async_trait]
impl CertIssuer for World {
    async fn issue(&self, name: &str, lifetime: SignedDuration) -> Result<IssuedCert, CloudError> {
        let name = name.to_owned();
        self.call("issue a certificate".to_owned(), move |state, now| {
            let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.'));
            if !plain || name.is_empty() || name.len() > 64 || !lifetime.is_positive() {
                return Err(CloudError::refused("no certificate for such a name or lifetime"));
            }
            let (n, authority) = (state.next(), authority(state.rolls));
            Ok(IssuedCert {
                chain: authority.pem.replace("\nauthority", &format!("\n{n} of {name} by authority")),
                key: format!("-----BEGIN PRIVATE KEY-----\n{SECRET_MARK} {n}\n-----END PRIVATE KEY-----\n"),
                expires_at: now + lifetime,
                authority: authority.name,
                issuer: vec![],
            })
        })
        .await
    }

    async fn issue_each(&self, name: &str, lifetime: SignedDuration) -> Result<Vec<IssuedCert>, CloudError> {
        // Simulated agents are not asked which they believe.
        let mut each = vec![];
        for authority in self.trust().authorities() {
            let cert = self.issue(name, lifetime).await?;
            each.push(IssuedCert { authority: authority.name.clone(), ..cert });
        }
        Ok(each)
    }

    fn trust(&self) -> Arc<Trust> {
        let (rolls, before) = {
            let state = self.state();
            (state.rolls, state.rolling.then(|| state.rolls.saturating_sub(1)))
        };
        Arc::new(Trust {
            issuing: authority(rolls),
            retiring: before.map(authority).into_iter().collect(),
            heartbeat_key: heartbeat_key(rolls),
            previous_keys: before.map(heartbeat_key).into_iter().collect(),
        })
    }
}

fn authority(number: u64) -> Authority {
    Authority {
        name: format!("authority {number}"),
        pem: format!("-----BEGIN CERTIFICATE-----\nauthority {number}\n-----END CERTIFICATE-----\n"),
        expires_at: Timestamp::MAX,
    }
}

fn heartbeat_key(number: u64) -> HeartbeatKey {
    HeartbeatKey::new(format!("{SECRET_MARK} heartbeat key {number}"))
}
