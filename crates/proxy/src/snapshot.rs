//! The configuration traffic runs on: a validated spec, compiled, immutable, swapped whole.
//!
//! A connection keeps the [`ListenerConf`] it came through; each request reads the current [`Snapshot`], so one
//! request never sees two configurations.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ipnet::IpNet;
use newtype_uuid::GenericUuid;
use octavia_model::{Algorithm, ListenerId, ListenerProtocol, MemberId, PoolId, PoolProtocol};
use octavia_wire::{
    AmphoraSpec, InsertHeader, ListenerSpec, MonitorSpec, PoolSpec, SharingKey, SorryPageSpec, SpecError,
    TicketSpec, TimeoutsSpec, TlsError,
};

use crate::access_log::LogConf;
use crate::balance::{self, Peer, Rotation};
use crate::layer7::{Action, Policy};
use crate::persistence::{Claim, Persistence};
use crate::proxy_protocol::ProxyProtocol;
use crate::state::{Health, ListenerState, MemberState, Registry, RouteState, Tally};
use crate::stick::Secret;
use crate::tls::{MemberTls, TlsConf};

/// One configuration of the whole data plane.
#[derive(Debug, Default)]
pub struct Snapshot {
    generation: u64,
    fence: u64,
    listeners: HashMap<ListenerId, Arc<ListenerConf>>,
    pools: HashMap<PoolId, Arc<PoolConf>>,
    /// By serial.
    members: HashMap<u64, Way>,
    /// Listeners that are not there because their TLS cannot be used.
    faults: Vec<(ListenerId, TlsError)>,
    /// `None` = there is no access log.
    log: Option<Arc<LogConf>>,
}

/// How connections to a member are made.
#[derive(Debug)]
struct Way {
    address: SocketAddr,
    tls: Option<Arc<MemberTls>>,
}

/// What a listener does with the bytes of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Requests are read, and each goes to a member (HTTP and TERMINATED_HTTPS listeners).
    Http,
    /// The connection goes to a member, byte for byte (TCP and HTTPS listeners).
    Tcp,
    /// Requests are read, and we tell what we count (PROMETHEUS listeners).
    Metrics,
    /// Each datagram goes to the member of its session, if it comes here at all and the kernel does not forward it (UDP and
    /// SCTP listeners).
    Udp,
}

/// A pool, as one listener leads to it.
#[derive(Debug, Clone)]
pub struct Route {
    pub pool: Arc<PoolConf>,
    pub(crate) state: Arc<RouteState>,
}

#[derive(Debug)]
pub struct ListenerConf {
    pub id: ListenerId,
    pub mode: Mode,
    pub port: u16,
    /// Concurrent connections; `None` = as many as file descriptors allow.
    pub connection_limit: Option<u32>,
    /// To the default pool.
    pub route: Option<Route>,
    /// In the order in which they are looked at.
    pub policies: Box<[Policy]>,
    pub insert_headers: InsertHeaders,
    /// How TLS is terminated; `None` = clients speak in clear.
    pub tls: Option<Arc<TlsConf>>,
    /// The value of `Strict-Transport-Security` in every response.
    pub hsts: Option<Box<[u8]>>,
    /// What clients get when no member can take their request; `None` = the plain answer.
    pub sorry: Option<Arc<SorryPage>>,
    pub timeouts: Timeouts,
    /// Empty = everyone.
    pub allowed_cidrs: Vec<IpNet>,
    /// Proxies that say whose their connections are; empty = nobody.
    pub accept_proxy: Vec<IpNet>,
    pub state: Arc<ListenerState>,
}

impl ListenerConf {
    /// The pool of what the policy at this place in `policies` has taken; the default one if none has.
    pub fn pool_for(&self, policy: Option<u16>) -> Option<&Arc<PoolConf>> {
        self.route_for(policy).map(|route| &route.pool)
    }

    #[inline]
    pub(crate) fn route_for(&self, policy: Option<u16>) -> Option<&Route> {
        match policy.map(|place| &self.policies[usize::from(place)].action) {
            None => self.route.as_ref(),
            Some(Action::Pool(route)) => Some(route),
            Some(_) => None,
        }
    }

    /// Every pool it leads to, some perhaps more than once.
    pub(crate) fn routes(&self) -> impl Iterator<Item = &Route> {
        let chosen = self.policies.iter().filter_map(|policy| match &policy.action {
            Action::Pool(route) => Some(route),
            Action::Reject | Action::Redirect(_) => None,
        });
        self.route.iter().chain(chosen)
    }

    /// Where a thread counts what goes on with a member of the pool of what that policy has taken.
    #[inline]
    pub(crate) fn tally<'a>(
        &'a self,
        policy: Option<u16>,
        member: &'a MemberState,
        thread: usize,
    ) -> Tally<'a> {
        let route = self.route_for(policy).map(|route| &route.state.on(thread).upstream);
        Tally { route, member: member.on(thread) }
    }

    /// How clients come back to members of that pool.
    pub(crate) fn persistence_for(&self, policy: Option<u16>) -> Option<&Persistence> {
        self.pool_for(policy)?.persistence.as_deref()
    }

    /// As many connections are open as may be.
    pub fn is_full(&self) -> bool {
        self.connection_limit.is_some_and(|limit| self.state.stats().conns >= u64::from(limit))
    }

    /// Whether a connection from this address is taken.
    pub(crate) fn lets_in(&self, peer: IpAddr) -> bool {
        self.admits(peer) || self.believes(peer)
    }

    /// Whether a connection from this address says first whose it is, and is believed.
    pub fn believes(&self, proxy: IpAddr) -> bool {
        self.accept_proxy.iter().any(|net| net.contains(&proxy))
    }

    /// Whether a client at this address may connect.
    pub fn admits(&self, client: IpAddr) -> bool {
        self.allowed_cidrs.is_empty() || self.allowed_cidrs.iter().any(|net| net.contains(&client))
    }
}

/// An answer in the operator's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SorryPage {
    pub status: u16,
    pub content_type: String,
    pub body: String,
}

/// The set of headers a listener inserts into requests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct InsertHeaders(u16);

impl InsertHeaders {
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub const fn contains(self, header: InsertHeader) -> bool {
        self.0 & 1 << header as u8 != 0
    }

    pub fn iter(self) -> impl Iterator<Item = InsertHeader> {
        InsertHeader::ALL.iter().copied().filter(move |&header| self.contains(header))
    }
}

impl FromIterator<InsertHeader> for InsertHeaders {
    fn from_iter<T: IntoIterator<Item = InsertHeader>>(headers: T) -> Self {
        Self(headers.into_iter().fold(0, |set, header| set | 1 << header as u8))
    }
}

/// Milliseconds; `None` = for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// Silence of a client we wait for.
    pub client_data: Option<u32>,
    /// Making a connection to a member.
    pub member_connect: Option<u32>,
    /// Silence of a member we wait for.
    pub member_data: Option<u32>,
}

impl From<TimeoutsSpec> for Timeouts {
    fn from(spec: TimeoutsSpec) -> Self {
        let limit = |ms| (ms > 0).then_some(ms);
        Self {
            client_data: limit(spec.client_data),
            member_connect: limit(spec.member_connect),
            member_data: limit(spec.member_data),
        }
    }
}

#[derive(Debug)]
pub struct PoolConf {
    pub id: PoolId,
    pub protocol: PoolProtocol,
    pub algorithm: Algorithm,
    pub(crate) persistence: Option<Box<Persistence>>,
    /// How TLS is spoken with members; `None` = in clear.
    pub tls: Option<Arc<MemberTls>>,
    ready: bool,
    pub members: Vec<MemberConf>,
    /// What the health checker shall do.
    pub monitor: Option<Monitor>,
    rotation: Mutex<Rotation>,
}

/// A pool's health monitor, for the health checker.
#[derive(Debug, Clone, PartialEq)]
pub struct Monitor {
    pub spec: MonitorSpec,
    pub delay: Duration,
    pub timeout: Duration,
}

#[derive(Debug)]
pub struct MemberConf {
    pub id: MemberId,
    pub address: SocketAddr,
    /// Where checks go.
    pub monitor_address: SocketAddr,
    /// 0–256; 0 = drained: what is open goes on, nothing new comes.
    pub weight: u16,
    pub backup: bool,
    /// `false` = maintenance: no traffic, no checks.
    pub enabled: bool,
    pub state: Arc<MemberState>,
}

impl Snapshot {
    /// Compiles a spec. Nothing changes for traffic until the snapshot is given to the engine.
    pub fn compile(spec: &AmphoraSpec, registry: &Registry) -> Result<Self, SpecError> {
        spec.validate()?;
        let shared = spec.sharing().map(|sharing| &sharing.key);
        let pool = |pool: &PoolSpec| Ok((pool.id, Arc::new(PoolConf::compile(pool, shared, registry)?)));
        let pools = spec.pools.iter().map(pool);
        let pools = pools.collect::<Result<HashMap<_, _>, SpecError>>()?;
        let pages = sorry_pages(spec);
        let (mut listeners, mut faults) = (HashMap::new(), vec![]);
        // One without what it takes to open it is not there.
        for listener in spec.listeners.iter().filter(|listener| listener.is_ready()) {
            let sorry = pages.get(&listener.id).map(Arc::clone);
            match ListenerConf::compile(listener, &pools, sorry, spec.tickets.as_ref(), registry) {
                Ok(conf) => _ = listeners.insert(listener.id, Arc::new(conf)),
                // Neither is one whose keys and certificates, which nobody has looked into before, are of no use: no
                // other listener has to wait for them.
                Err(SpecError::Tls { listener, fault }) => faults.push((listener, fault)),
                Err(error) => return Err(error),
            }
        }
        let ways = pools.values().flat_map(|pool| {
            let way = |m: &MemberConf| Way { address: m.address, tls: pool.tls.clone() };
            pool.members.iter().map(move |member| (member.state.serial, way(member)))
        });
        let members = ways.collect();
        let log = LogConf::compile(spec).map_err(SpecError::AccessLog)?.map(Arc::new);
        Ok(Self { generation: spec.generation, fence: spec.fence, listeners, pools, members, faults, log })
    }

    /// Listeners that are not there because their TLS cannot be used, and why.
    pub fn faults(&self) -> &[(ListenerId, TlsError)] {
        &self.faults
    }

    /// The first of them.
    pub(crate) fn fault(&self) -> Option<SpecError> {
        let (listener, fault) = self.faults.first()?.clone();
        Some(SpecError::Tls { listener, fault })
    }

    pub(crate) fn log(&self) -> Option<&Arc<LogConf>> {
        self.log.as_ref()
    }

    pub fn generation(&self) -> u64 {
        self.generation
    }

    pub fn fence(&self) -> u64 {
        self.fence
    }

    pub fn listener(&self, id: ListenerId) -> Option<&Arc<ListenerConf>> {
        self.listeners.get(&id)
    }

    pub fn listeners(&self) -> impl Iterator<Item = &Arc<ListenerConf>> {
        self.listeners.values()
    }

    pub fn pools(&self) -> impl Iterator<Item = &Arc<PoolConf>> {
        self.pools.values()
    }

    /// Goes on with the rotations of the configuration before.
    pub(crate) fn inherit(&self, before: &Self) {
        for pool in self.pools.values() {
            if let Some(before) = before.pools.get(&pool.id) {
                pool.inherit(before);
            }
        }
    }

    /// Whether the member with this state serial is at this address, and spoken to like that.
    pub(crate) fn leads_to(&self, serial: u64, address: SocketAddr, tls: Option<&Arc<MemberTls>>) -> bool {
        self.members.get(&serial).is_some_and(|way| {
            let same_tls = match (&way.tls, tls) {
                (Some(one), Some(other)) => Arc::ptr_eq(one, other),
                (one, other) => one.is_none() && other.is_none(),
            };
            same_tls && way.address == address
        })
    }
}

impl ListenerConf {
    fn compile(
        spec: &ListenerSpec,
        pools: &HashMap<PoolId, Arc<PoolConf>>,
        sorry: Option<Arc<SorryPage>>,
        tickets: Option<&TicketSpec>,
        registry: &Registry,
    ) -> Result<Self, SpecError> {
        let routes = spec.pools().filter_map(|id| {
            let pool = Arc::clone(pools.get(&id)?);
            Some((id, Route { pool, state: registry.route(spec.id, id) }))
        });
        let routes: HashMap<_, _> = routes.collect();
        let policies = spec.l7policies.iter().map(|policy| Policy::compile(policy, &routes));
        let state = registry.listener(spec.id);
        let tls = match &spec.tls {
            Some(tls) => state.tls(|before| TlsConf::compile(spec.id, tls, tickets, before)),
            None => Ok(None),
        };
        Ok(Self {
            id: spec.id,
            mode: match spec.protocol {
                ListenerProtocol::Http | ListenerProtocol::TerminatedHttps => Mode::Http,
                ListenerProtocol::Prometheus => Mode::Metrics,
                ListenerProtocol::Udp | ListenerProtocol::Sctp => Mode::Udp,
                ListenerProtocol::Tcp | ListenerProtocol::Https => Mode::Tcp,
            },
            port: spec.port,
            connection_limit: spec.connection_limit,
            route: spec.default_pool.and_then(|id| routes.get(&id)).cloned(),
            policies: policies.collect::<Result<_, _>>()?,
            insert_headers: spec.insert_headers.iter().copied().collect(),
            tls: tls.map_err(|fault| SpecError::Tls { listener: spec.id, fault })?,
            hsts: spec.tls.as_ref().and_then(|tls| Some(tls.hsts.as_ref()?.as_bytes().into())),
            sorry,
            timeouts: spec.timeouts.into(),
            allowed_cidrs: spec.allowed_cidrs.clone(),
            accept_proxy: spec.accept_proxy.clone(),
            state,
        })
    }
}

fn sorry_pages(spec: &AmphoraSpec) -> HashMap<ListenerId, Arc<SorryPage>> {
    let mut pages = HashMap::new();
    for SorryPageSpec { listeners, status, content_type, body } in &spec.sorry_pages {
        let (content_type, body) = (content_type.clone(), body.clone());
        let page = Arc::new(SorryPage { status: *status, content_type, body });
        pages.extend(listeners.iter().map(|&listener| (listener, Arc::clone(&page))));
    }
    pages
}

impl Peer for MemberConf {
    fn weight(&self) -> u16 {
        self.weight
    }

    fn is_backup(&self) -> bool {
        self.backup
    }

    fn is_well(&self) -> bool {
        self.enabled && self.state.health() != Health::Down
    }

    fn active(&self) -> u64 {
        self.state.active()
    }

    fn identity(&self) -> u64 {
        let (high, low) = self.id.into_untyped_uuid().as_u64_pair();
        high ^ low
    }
}

impl PoolConf {
    /// The member that serves `client` next, none of `tried` (places in `members`).
    pub(crate) fn pick(&self, client: SocketAddr, tried: &[u16]) -> Option<usize> {
        balance::pick(self.algorithm, &self.members, &mut self.rotation(), client, tried)
    }

    /// The same for a client that may belong to a member, and whether it got what it claimed. `now` is in milliseconds.
    pub(crate) fn pick_for(
        &self,
        client: SocketAddr,
        claim: Claim,
        tried: &[u16],
        now: u64,
    ) -> Option<(usize, bool)> {
        if !self.ready {
            return None;
        }
        let Some(persistence) = &self.persistence else { return Some((self.pick(client, tried)?, false)) };
        if let Some(place) = persistence.granted(&self.members, client.ip(), claim, tried, now) {
            return Some((place.into(), true));
        }
        let place = self.pick(client, tried)?;
        persistence.given(client.ip(), self.members[place].id, now);
        Some((place, false))
    }

    /// This client is still with that member.
    pub(crate) fn hold(&self, client: SocketAddr, member: MemberId, now: u64) {
        if let Some(persistence) = &self.persistence {
            persistence.given(client.ip(), member, now);
        }
    }

    /// How members are told whose connection it is.
    pub(crate) fn proxy_protocol(&self) -> Option<ProxyProtocol> {
        ProxyProtocol::of(self.protocol)
    }

    /// There is all it takes to speak with members.
    pub(crate) fn is_ready(&self) -> bool {
        self.ready
    }

    /// Some member can take traffic.
    pub fn is_usable(&self) -> bool {
        self.ready && self.members.iter().any(|member| member.weight > 0 && member.is_well())
    }

    fn inherit(&self, before: &Self) {
        let places: HashMap<_, _> =
            before.members.iter().enumerate().map(|(place, m)| (m.id, place)).collect();
        let before = before.rotation().clone();
        self.rotation().inherit(&before, |place| places.get(&self.members[place].id).copied());
    }

    fn rotation(&self) -> MutexGuard<'_, Rotation> {
        self.rotation.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `shared` = what other amphorae's stick tables have in common with ours.
    fn compile(spec: &PoolSpec, shared: Option<&SharingKey>, registry: &Registry) -> Result<Self, SpecError> {
        let members = spec.members.iter().map(|member| MemberConf {
            id: member.id,
            address: SocketAddr::new(member.address, member.port),
            monitor_address: SocketAddr::new(
                member.monitor_address.unwrap_or(member.address),
                member.monitor_port.unwrap_or(member.port),
            ),
            weight: member.weight,
            backup: member.backup,
            enabled: member.enabled,
            state: registry.member(member.id),
        });
        let members: Vec<_> = members.collect();
        let persistence = spec.persistence.as_ref().map(|persistence| {
            let secret = shared.map(|key| key.table_secret(spec.id)).map(|(one, two)| Secret(one, two));
            let table = |subject| registry.stick_table(spec.id, subject, secret);
            Box::new(Persistence::compile(persistence, &members, table))
        });
        let tls = match &spec.tls {
            Some(tls) => registry.member_tls(spec.id, |before| MemberTls::compile(tls, before)),
            None => Ok(None),
        };
        let tls = tls.map_err(|fault| SpecError::PoolTls { pool: spec.id, fault })?;
        if let Some(tls) = &tls {
            let serials: HashSet<u64> = members.iter().map(|member| member.state.serial).collect();
            tls.retain_members(|serial| serials.contains(&serial));
        }
        Ok(Self {
            id: spec.id,
            protocol: spec.protocol,
            algorithm: spec.algorithm,
            persistence,
            ready: spec.tls.is_none() || tls.is_some(),
            tls,
            members,
            rotation: Mutex::new(Rotation::new(spec.members.len())),
            monitor: spec.monitor.as_ref().map(|monitor| Monitor {
                spec: monitor.clone(),
                delay: Duration::from_secs(monitor.delay.max(1).into()),
                timeout: Duration::from_secs(monitor.timeout.max(1).into()),
            }),
        })
    }
}
