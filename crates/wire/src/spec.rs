//! The whole desired configuration of one amphora: always sent whole, never as a difference.

mod access_log;
mod layer7;
mod network;
mod persistence;
mod pool_tls;
mod sharing;
mod sorry;
mod tickets;
mod tls;
mod vrrp;

use std::net::IpAddr;

use ipnet::IpNet;
use octavia_model::{
    Algorithm, AmphoraId, HealthMonitorId, HealthMonitorType, HttpMethod, L7PolicyId, L7RuleCompareType,
    L7RuleType, ListenerId, ListenerProtocol, LoadBalancerId, MemberId, PoolId, PoolProtocol, Transport,
};
use serde::{Deserialize, Serialize};

pub use self::access_log::{
    AccessLogFault, AccessLogSpec, LogField, LogFormat, LogFormatError, LogFormatSpec, LogPiece, LogTarget,
};
pub use self::layer7::{L7Fault, L7PATTERNS_MAX, L7POLICIES_MAX, L7RULES_MAX, L7TEXT_MAX};
pub use self::network::{InterfaceSpec, NetworkFault, NetworkSpec, PLUMBED_VIPS_MAX, RouteSpec};
pub use self::persistence::{COOKIE_NAME_MAX, PersistenceSpec};
pub use self::pool_tls::{PoolIdentitySpec, PoolTlsSpec};
pub use self::sharing::{SHARING_PORT, SharingKey, SharingSpec};
pub use self::sorry::{SorryPageFault, SorryPageSpec};
pub use self::tickets::{TicketKey, TicketRoot, TicketSpec};
pub use self::tls::{CertificateSpec, Der, IdentitySpec, KeySpec, StapleSpec, TlsError, TlsFault, TlsSpec};
pub use self::vrrp::{VrrpFault, VrrpPassword, VrrpSpec, VrrpVersion};
use crate::{WIRE_VERSION, WIRE_VERSION_MIN};

/// What an amphora shall do, as of one generation of one load balancer.
///
/// A receiver that has applied `(fence, generation)` refuses any spec with a lower pair, so a worker that lost
/// its lease cannot undo the work of its successor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AmphoraSpec {
    /// The oldest version of the wire whose speakers understand all of it.
    pub version: u32,
    pub amphora_id: AmphoraId,
    pub load_balancer_id: LoadBalancerId,
    pub generation: u64,
    /// Epoch of the lease under which the spec was compiled.
    pub fence: u64,
    /// Every address each listener is bound to: the VIP, then the additional VIPs.
    pub vips: Vec<IpAddr>,
    /// Only listeners that shall take traffic: disabled ones are left out.
    pub listeners: Vec<ListenerSpec>,
    /// Only pools that some listener of this spec can reach.
    pub pools: Vec<PoolSpec>,
    /// `None` = finished requests and connections are told of nowhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_log: Option<AccessLogSpec>,
    /// Of listeners without one, the plain answer is given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sorry_pages: Vec<SorryPageSpec>,
    /// `None` = the VIPs are addresses of the machine, and it has no interfaces of its own. Since version 4.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<NetworkSpec>,
    /// What the keys of session tickets are made of, alike for all amphorae of the load balancer; `None` = each proxy makes
    /// its own at its start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tickets: Option<TicketSpec>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ListenerSpec {
    pub id: ListenerId,
    #[serde(with = "crate::text")]
    pub protocol: ListenerProtocol,
    pub port: u16,
    /// Concurrent connections; `None` = unlimited (the proxy's own ceiling still holds).
    pub connection_limit: Option<u32>,
    pub default_pool: Option<PoolId>,
    pub insert_headers: Vec<InsertHeader>,
    pub timeouts: TimeoutsSpec,
    /// Empty = everyone.
    pub allowed_cidrs: Vec<IpNet>,
    /// Proxies that say whose their connections are (PROXY protocol), and are believed. Empty = nobody.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accept_proxy: Vec<IpNet>,
    /// In the order in which they are looked at; the first that matches decides. Only where the proxy reads HTTP.
    #[serde(default)]
    pub l7policies: Vec<L7PolicySpec>,
    /// Of TERMINATED_HTTPS listeners.
    #[serde(default)]
    pub tls: Option<TlsSpec>,
}

/// An action for requests that every rule matches; without rules it matches none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct L7PolicySpec {
    pub id: L7PolicyId,
    pub action: L7ActionSpec,
    pub rules: Vec<L7RuleSpec>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum L7ActionSpec {
    /// 403.
    Reject,
    RedirectToPool(PoolId),
    /// To `location` as it is.
    RedirectToUrl {
        location: String,
        code: u16,
    },
    /// To `prefix` with the request's path and query after it.
    RedirectPrefix {
        prefix: String,
        code: u16,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct L7RuleSpec {
    #[serde(with = "crate::text")]
    pub kind: L7RuleType,
    #[serde(with = "crate::text")]
    pub compare_type: L7RuleCompareType,
    /// Header, cookie or field of the distinguished name.
    pub key: Option<String>,
    /// A regular expression, or a text, which may be in quotes.
    pub value: String,
    pub invert: bool,
}

/// A request header the proxy sets, replacing what the client sent under that name
/// (`X-Forwarded-For` is appended, as HAProxy's `option forwardfor` does).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum InsertHeader {
    #[serde(rename = "X-Forwarded-For")]
    XForwardedFor,
    #[serde(rename = "X-Forwarded-Port")]
    XForwardedPort,
    #[serde(rename = "X-Forwarded-Proto")]
    XForwardedProto,
    #[serde(rename = "X-Forwarded-IP")]
    XForwardedIp,
    #[serde(rename = "X-Client-IP")]
    XClientIp,
    #[serde(rename = "X-Real-IP")]
    XRealIp,
    #[serde(rename = "X-SSL-Client-Verify")]
    XSslClientVerify,
    #[serde(rename = "X-SSL-Client-Has-Cert")]
    XSslClientHasCert,
    #[serde(rename = "X-SSL-Client-DN")]
    XSslClientDn,
    #[serde(rename = "X-SSL-Client-CN")]
    XSslClientCn,
    #[serde(rename = "X-SSL-Issuer")]
    XSslIssuer,
    #[serde(rename = "X-SSL-Client-SHA1")]
    XSslClientSha1,
    #[serde(rename = "X-SSL-Client-Not-Before")]
    XSslClientNotBefore,
    #[serde(rename = "X-SSL-Client-Not-After")]
    XSslClientNotAfter,
}

impl InsertHeader {
    pub const ALL: &'static [Self] = &[
        Self::XForwardedFor,
        Self::XForwardedPort,
        Self::XForwardedProto,
        Self::XForwardedIp,
        Self::XClientIp,
        Self::XRealIp,
        Self::XSslClientVerify,
        Self::XSslClientHasCert,
        Self::XSslClientDn,
        Self::XSslClientCn,
        Self::XSslIssuer,
        Self::XSslClientSha1,
        Self::XSslClientNotBefore,
        Self::XSslClientNotAfter,
    ];

    /// Whether it tells of the client's certificate; only where TLS is terminated.
    pub const fn is_of_tls(self) -> bool {
        self as u8 >= Self::XSslClientVerify as u8
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::XForwardedFor => "X-Forwarded-For",
            Self::XForwardedPort => "X-Forwarded-Port",
            Self::XForwardedProto => "X-Forwarded-Proto",
            Self::XForwardedIp => "X-Forwarded-IP",
            Self::XClientIp => "X-Client-IP",
            Self::XRealIp => "X-Real-IP",
            Self::XSslClientVerify => "X-SSL-Client-Verify",
            Self::XSslClientHasCert => "X-SSL-Client-Has-Cert",
            Self::XSslClientDn => "X-SSL-Client-DN",
            Self::XSslClientCn => "X-SSL-Client-CN",
            Self::XSslIssuer => "X-SSL-Issuer",
            Self::XSslClientSha1 => "X-SSL-Client-SHA1",
            Self::XSslClientNotBefore => "X-SSL-Client-Not-Before",
            Self::XSslClientNotAfter => "X-SSL-Client-Not-After",
        }
    }
}

/// Milliseconds; 0 = no limit for the first three, off for `tcp_inspect`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeoutsSpec {
    pub client_data: u32,
    pub member_connect: u32,
    pub member_data: u32,
    pub tcp_inspect: u32,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PoolSpec {
    pub id: PoolId,
    #[serde(with = "crate::text")]
    pub protocol: PoolProtocol,
    #[serde(with = "crate::text")]
    pub algorithm: Algorithm,
    /// `None` = the algorithm alone says which member serves.
    #[serde(default)]
    pub persistence: Option<PersistenceSpec>,
    pub members: Vec<MemberSpec>,
    pub monitor: Option<MonitorSpec>,
    /// `None` = members are spoken to in clear. Since version 2.
    #[serde(default)]
    pub tls: Option<PoolTlsSpec>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberSpec {
    pub id: MemberId,
    pub address: IpAddr,
    pub port: u16,
    /// 0–256; 0 = drain: what is open goes on, nothing new comes.
    pub weight: u16,
    /// Takes traffic only when no other member can; then all backups do.
    pub backup: bool,
    /// `false` = maintenance: no traffic, no checks.
    pub enabled: bool,
    pub monitor_address: Option<IpAddr>,
    pub monitor_port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MonitorSpec {
    pub id: HealthMonitorId,
    #[serde(with = "crate::text")]
    pub kind: HealthMonitorType,
    /// Seconds between the starts of two checks; 0 is taken as 1.
    pub delay: u32,
    /// Seconds a check may take; 0 is taken as 1.
    pub timeout: u32,
    /// Successes in a row before a bad member is good (1–10).
    pub rise: u8,
    /// Failures in a row before a good member is bad (1–10).
    pub fall: u8,
    /// For HTTP and HTTPS monitors only.
    pub http: Option<HttpCheck>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpCheck {
    #[serde(with = "crate::text")]
    pub method: HttpMethod,
    pub path: String,
    /// `false` = HTTP/1.0.
    pub http11: bool,
    /// Value of the `Host` header.
    pub host: Option<String>,
    /// Inclusive ranges of good status codes.
    pub expected: Vec<(u16, u16)>,
}

/// Members of one pool: receivers number them in 16 bits.
const MEMBERS_MAX: usize = u16::MAX as usize;
/// Networks of proxies that one listener believes: each connection is looked up in all of them.
pub const PROXIES_MAX: usize = 64;

/// Why a spec is refused whole; the one before it runs on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    #[error("wire version {0} is not spoken here (this side speaks {WIRE_VERSION_MIN} to {WIRE_VERSION})")]
    Version(u32),
    #[error("listener {listener} names pool {pool}, which the spec does not define")]
    UnknownPool { listener: ListenerId, pool: PoolId },
    #[error("listeners {0} and {1} take the same port")]
    PortClash(ListenerId, ListenerId),
    #[error("{0} is defined twice")]
    Duplicate(String),
    #[error("no address to listen on")]
    NoVip,
    #[error("listener {0} takes SCTP, for which the amphora has to have interfaces of its own")]
    NoInterfaces(ListenerId),
    #[error("{what} is {value}, allowed is {allowed}")]
    Range { what: &'static str, value: u64, allowed: &'static str },
    #[error("listener {0} has L7 policies, but sees no requests")]
    NoRequests(ListenerId),
    #[error("listener {0} believes proxies, but takes datagrams")]
    NoConnections(ListenerId),
    #[error("listener {0} has a pool, but answers by itself")]
    NoPool(ListenerId),
    #[error("listener {listener} {fault}")]
    Tls { listener: ListenerId, fault: TlsError },
    #[error("pool {pool} {fault}")]
    PoolTls { pool: PoolId, fault: TlsError },
    #[error("L7 policy {policy} {fault}")]
    L7Policy { policy: L7PolicyId, fault: L7Fault },
    #[error("the access log {0}")]
    AccessLog(AccessLogFault),
    #[error("the sorry pages {0}")]
    SorryPage(SorryPageFault),
    #[error("the network {0}")]
    Network(NetworkFault),
}

impl AmphoraSpec {
    /// Checks what every receiver relies on: version, unique ids and ports, resolved references, ranges, patterns that
    /// compile.
    pub fn validate(&self) -> Result<(), SpecError> {
        use std::collections::HashSet;

        if !(WIRE_VERSION_MIN..=WIRE_VERSION).contains(&self.version) {
            return Err(SpecError::Version(self.version));
        }
        if self.vips.is_empty() && !self.listeners.is_empty() {
            return Err(SpecError::NoVip);
        }
        let mut pools = HashSet::new();
        let mut members = HashSet::new();
        for pool in &self.pools {
            if !pools.insert(pool.id) {
                return Err(SpecError::Duplicate(format!("pool {}", pool.id)));
            }
            if pool.members.len() > MEMBERS_MAX {
                return Err(SpecError::Range {
                    what: "the number of members of a pool",
                    value: pool.members.len() as u64,
                    allowed: "0-65535",
                });
            }
            for member in &pool.members {
                if !members.insert(member.id) {
                    return Err(SpecError::Duplicate(format!("member {}", member.id)));
                }
                if member.weight > 256 {
                    return Err(SpecError::Range {
                        what: "weight",
                        value: member.weight.into(),
                        allowed: "0-256",
                    });
                }
            }
            if let Some(persistence) = &pool.persistence {
                persistence.check().map_err(|bytes| SpecError::Range {
                    what: "the number of bytes of a cookie's name",
                    value: bytes as u64,
                    allowed: "1-1020",
                })?;
            }
            pool_tls::check(pool)?;
            if let Some(monitor) = &pool.monitor {
                for (what, value) in [("rise", monitor.rise), ("fall", monitor.fall)] {
                    if !(1..=10).contains(&value) {
                        return Err(SpecError::Range { what, value: value.into(), allowed: "1-10" });
                    }
                }
            }
        }
        let mut listeners = HashSet::new();
        let mut ports = std::collections::HashMap::new();
        for listener in &self.listeners {
            if !listeners.insert(listener.id) {
                return Err(SpecError::Duplicate(format!("listener {}", listener.id)));
            }
            if let Some(other) = ports.insert((listener.protocol.transport(), listener.port), listener.id) {
                return Err(SpecError::PortClash(other, listener.id));
            }
            if listener.protocol.transport() == Transport::Sctp && self.network.is_none() {
                return Err(SpecError::NoInterfaces(listener.id));
            }
            if listener.protocol == ListenerProtocol::Prometheus && listener.default_pool.is_some() {
                return Err(SpecError::NoPool(listener.id));
            }
            if let Some(pool) = listener.default_pool
                && !pools.contains(&pool)
            {
                return Err(SpecError::UnknownPool { listener: listener.id, pool });
            }
            if listener.accept_proxy.len() > PROXIES_MAX {
                return Err(SpecError::Range {
                    what: "the number of networks of believed proxies",
                    value: listener.accept_proxy.len() as u64,
                    allowed: "0-64",
                });
            }
            if !listener.accept_proxy.is_empty() && listener.protocol.transport() != Transport::Tcp {
                return Err(SpecError::NoConnections(listener.id));
            }
            tls::check(listener, listener.protocol == ListenerProtocol::TerminatedHttps)?;
        }
        if let Some(log) = &self.access_log {
            log.check().map_err(SpecError::AccessLog)?;
        }
        sorry::check(self)?;
        network::check(self)?;
        self.tickets.as_ref().map_or(Ok(()), TicketSpec::check)?;
        layer7::check(self, &pools)
    }

    /// The version of a spec with these listeners, pools and interfaces: an agent that would pass over what they say must
    /// refuse them, or it would speak in clear where TLS is asked for, or in HTTP/1.1 where a member has chosen HTTP/2, or
    /// leave its interfaces as they are, or take TCP where SCTP is asked for.
    pub fn version_of(listeners: &[ListenerSpec], pools: &[PoolSpec], network: Option<&NetworkSpec>) -> u32 {
        let of = |tls: &PoolTlsSpec| if tls.alpn.iter().any(|protocol| protocol == "h2") { 3 } else { 2 };
        let pools = pools.iter().filter_map(|pool| pool.tls.as_ref()).map(of);
        let sctp = listeners.iter().any(|listener| listener.protocol == ListenerProtocol::Sctp);
        pools.chain(network.map(|_| 4)).chain(sctp.then_some(5)).max().unwrap_or(WIRE_VERSION_MIN)
    }

    /// The listeners whose packets the kernel brings to members, by rules that the agent makes: where an amphora has
    /// interfaces of its own, those of UDP and SCTP. They have no sockets.
    pub fn forwarded(&self) -> impl Iterator<Item = &ListenerSpec> {
        self.listeners.iter().filter(|listener| self.forwards(listener))
    }

    pub fn forwards(&self, listener: &ListenerSpec) -> bool {
        self.network.is_some() && listener.protocol.transport() != Transport::Tcp
    }

    /// The same for an amphora with interfaces of its own.
    #[must_use]
    pub fn with_network(mut self, network: NetworkSpec) -> Self {
        self.version = Self::version_of(&self.listeners, &self.pools, Some(&network));
        self.network = Some(network);
        self
    }

    /// The order in which specs supersede each other: first the lease's epoch, then the generation.
    pub fn precedence(&self) -> (u64, u64) {
        (self.fence, self.generation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{self, id};

    #[test]
    fn who_tells_what_is_counted_leads_nowhere() {
        let mut spec = fixtures::spec(vec![fixtures::listener(ListenerProtocol::Prometheus, 9100)]);
        spec.version = WIRE_VERSION_MIN;
        let own = spec.listeners[0].id;
        assert_eq!(spec.validate(), Ok(()));
        spec.listeners[0].default_pool = Some(id());
        assert_eq!(spec.validate(), Err(SpecError::NoPool(own)));
        spec.listeners[0].default_pool = None;
        let action = L7ActionSpec::Reject;
        spec.listeners[0].l7policies = vec![L7PolicySpec { id: id(), action, rules: vec![] }];
        assert_eq!(spec.validate(), Err(SpecError::NoRequests(own)));
    }

    #[test]
    fn sctp_is_for_amphorae_with_interfaces() {
        use ListenerProtocol::{Http, Sctp, Udp};
        let mut spec = fixtures::spec([Http, Udp, Sctp].map(|of| fixtures::listener(of, 80)).to_vec());
        assert_eq!(spec.validate(), Err(SpecError::NoInterfaces(spec.listeners[2].id)));
        assert_eq!(spec.forwarded().count(), 0);
        let plumbed = spec.clone().with_network(NetworkSpec::default());
        assert_eq!((plumbed.validate(), plumbed.version), (Ok(()), 5));
        assert_eq!(plumbed.forwarded().map(|of| of.protocol).collect::<Vec<_>>(), [Udp, Sctp]);
        spec.listeners.pop();
        assert_eq!(spec.validate(), Ok(()));
        assert_eq!(spec.with_network(NetworkSpec::default()).version, 4, "older agents take it, too");
    }

    #[test]
    fn whom_a_listener_may_believe() {
        for (protocol, networks, good) in [
            (ListenerProtocol::Tcp, 64, true),
            (ListenerProtocol::Http, 65, false),
            (ListenerProtocol::Udp, 0, true),
            (ListenerProtocol::Udp, 1, false),
        ] {
            let mut listener = fixtures::listener(protocol, 80);
            listener.accept_proxy = vec!["192.0.2.0/24".parse().unwrap(); networks];
            assert_eq!(fixtures::spec(vec![listener]).validate().is_ok(), good, "{protocol} {networks}");
        }
    }

    #[test]
    fn members_of_a_pool_are_numbered_in_16_bits() {
        let member = || MemberSpec {
            id: id(),
            address: IpAddr::from([192, 0, 2, 1]),
            port: 80,
            weight: 1,
            backup: false,
            enabled: true,
            monitor_address: None,
            monitor_port: None,
        };
        let pool = PoolSpec {
            id: id(),
            protocol: PoolProtocol::Http,
            algorithm: Algorithm::RoundRobin,
            persistence: None,
            members: std::iter::repeat_with(member).take(MEMBERS_MAX).collect(),
            monitor: None,
            tls: None,
        };
        let mut spec = AmphoraSpec {
            version: WIRE_VERSION,
            amphora_id: id(),
            load_balancer_id: id(),
            generation: 1,
            fence: 1,
            vips: vec![],
            listeners: vec![],
            pools: vec![pool],
            access_log: None,
            sorry_pages: vec![],
            network: None,
            tickets: None,
        };
        assert_eq!(spec.validate(), Ok(()));
        spec.pools[0].members.push(member());
        assert!(matches!(spec.validate(), Err(SpecError::Range { value: 65_536, .. })));
    }
}
