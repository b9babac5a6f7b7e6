//! The configuration that the original would render of a spec (`reference/amphora.md` §9 and §10).
//!
//! As it is for one load balancer on a machine with one CPU, but for what has to do with the machine: addresses are
//! listening sockets that it inherits, there is no log and no socket for statistics. Of what tests do not ask it about
//! (monitors, TLS, headers that the original does not know) it renders nothing, and says so.

use std::fmt::{self, Display, Formatter, Write as _};
use std::os::fd::RawFd;

use octavia_model::{Algorithm, L7RuleCompareType, L7RuleType, ListenerProtocol, PoolProtocol};
use octavia_wire::{
    AmphoraSpec, InsertHeader, L7ActionSpec, L7RuleSpec, ListenerSpec, MemberSpec, PersistenceSpec, PoolSpec,
};

/// What a listener has without a limit of its own.
const CONNECTIONS: u32 = 50_000;

/// `sockets` are those of the listeners, in their order.
pub(super) fn render(spec: &AmphoraSpec, sockets: &[RawFd]) -> String {
    let limits = spec.listeners.iter().map(limit);
    let mut config = format!(
        "global\n    maxconn {}\n    nbthread 1\ndefaults\n    no log\n    retries 3\n    option redispatch\n    \
         option splice-request\n    option splice-response\n    option http-keep-alive\n",
        limits.sum::<u32>().min(1_000_000)
    );
    for (listener, socket) in spec.listeners.iter().zip(sockets) {
        frontend(spec, listener, *socket, &mut config).unwrap();
        let policies = listener.l7policies.iter().filter_map(|policy| match policy.action {
            L7ActionSpec::RedirectToPool(pool) => Some(pool),
            _ => None,
        });
        let mut pools: Vec<_> = listener.default_pool.into_iter().chain(policies).collect();
        pools.sort();
        pools.dedup();
        for id in pools {
            let pool = spec.pools.iter().find(|pool| pool.id == id).unwrap();
            backend(listener, pool, &mut config).unwrap();
        }
    }
    config
}

fn limit(listener: &ListenerSpec) -> u32 {
    listener.connection_limit.unwrap_or(CONNECTIONS)
}

fn is_http(listener: &ListenerSpec) -> bool {
    match listener.protocol {
        ListenerProtocol::Http => true,
        ListenerProtocol::Tcp | ListenerProtocol::Https => false,
        protocol => panic!("{protocol} is not rendered"),
    }
}

fn mode(http: bool) -> &'static str {
    if http { "http" } else { "tcp" }
}

fn frontend(spec: &AmphoraSpec, listener: &ListenerSpec, socket: RawFd, config: &mut String) -> fmt::Result {
    let timeouts = &listener.timeouts;
    writeln!(config, "frontend {}\n    maxconn {}", listener.id, limit(listener))?;
    spec.vips.iter().try_for_each(|_| writeln!(config, "    bind fd@{socket}"))?;
    writeln!(config, "    mode {}", mode(is_http(listener)))?;
    for policy in listener.l7policies.iter().filter(|policy| !policy.rules.is_empty()) {
        let mut condition = String::new();
        for (n, rule) in policy.rules.iter().enumerate() {
            // The original calls each by its id.
            writeln!(config, "    acl {}.{n} {}", policy.id, Acl(rule))?;
            write!(condition, " {}{}.{n}", if rule.invert { "!" } else { "" }, policy.id)?;
        }
        match &policy.action {
            L7ActionSpec::Reject => writeln!(config, "    http-request deny if{condition}")?,
            L7ActionSpec::RedirectToUrl { location, code } => {
                writeln!(config, "    redirect code {code} location {} if{condition}", Word(location))?;
            }
            L7ActionSpec::RedirectPrefix { prefix, code } => {
                writeln!(config, "    redirect code {code} prefix {} if{condition}", Word(prefix))?;
            }
            L7ActionSpec::RedirectToPool(pool) => {
                writeln!(config, "    use_backend {pool}:{} if{condition}", listener.id)?;
            }
        }
    }
    if let Some(pool) = listener.default_pool {
        writeln!(config, "    default_backend {pool}:{}", listener.id)?;
    }
    writeln!(config, "    timeout client {}", timeouts.client_data)?;
    if timeouts.tcp_inspect > 0 {
        writeln!(config, "    tcp-request inspect-delay {}", timeouts.tcp_inspect)?;
    }
    Ok(())
}

fn backend(listener: &ListenerSpec, pool: &PoolSpec, config: &mut String) -> fmt::Result {
    assert!(pool.monitor.is_none() && pool.tls.is_none(), "monitors and TLS are not rendered");
    let http = match pool.protocol {
        PoolProtocol::Http => true,
        PoolProtocol::Tcp | PoolProtocol::Https => false,
        PoolProtocol::Proxy | PoolProtocol::ProxyV2 => is_http(listener),
        protocol => panic!("{protocol} is not rendered"),
    };
    writeln!(config, "backend {}:{}\n    mode {}", pool.id, listener.id, mode(http))?;
    if http {
        writeln!(config, "    http-reuse safe")?;
    }
    let balance = match pool.algorithm {
        Algorithm::RoundRobin => "roundrobin",
        Algorithm::LeastConnections => "leastconn",
        Algorithm::SourceIp => "source",
        algorithm => panic!("the original does not know {algorithm}"),
    };
    writeln!(config, "    balance {balance}")?;
    match &pool.persistence {
        None => {}
        Some(PersistenceSpec::SourceIp { .. }) => {
            writeln!(config, "    stick-table type ipv6 size 10k\n    stick on src")?;
        }
        Some(PersistenceSpec::AppCookie { name }) => writeln!(
            config,
            "    stick-table type string len 64 size 10k\n    stick store-response res.cook({name})\n    \
             stick match req.cook({name})"
        )?,
        Some(PersistenceSpec::HttpCookie) => writeln!(config, "    cookie SRV insert indirect nocache")?,
    }
    for header in &listener.insert_headers {
        match header {
            InsertHeader::XForwardedFor => writeln!(config, "    option forwardfor")?,
            InsertHeader::XForwardedPort => {
                writeln!(config, "    http-request set-header X-Forwarded-Port %[dst_port]")?;
            }
            InsertHeader::XForwardedProto => {
                writeln!(config, "    http-request set-header X-Forwarded-Proto http")?;
            }
            header => panic!("the original does not know {}, or not here", header.name()),
        }
    }
    writeln!(config, "    fullconn {}\n    option allbackups", limit(listener))?;
    writeln!(config, "    timeout connect {}", listener.timeouts.member_connect)?;
    writeln!(config, "    timeout server {}", listener.timeouts.member_data)?;
    pool.members.iter().try_for_each(|member| server(pool, member, config))
}

fn server(pool: &PoolSpec, member: &MemberSpec, config: &mut String) -> fmt::Result {
    let MemberSpec { id, address, port, weight, .. } = member;
    write!(config, "    server {id} {address}:{port} weight {weight}")?;
    if pool.persistence == Some(PersistenceSpec::HttpCookie) {
        write!(config, " cookie {id}")?;
    }
    match pool.protocol {
        PoolProtocol::Proxy => config.push_str(" send-proxy"),
        PoolProtocol::ProxyV2 => config.push_str(" send-proxy-v2"),
        _ => {}
    }
    if member.backup {
        config.push_str(" backup");
    }
    if !member.enabled {
        config.push_str(" disabled");
    }
    config.push('\n');
    Ok(())
}

/// What a rule asks.
pub(super) struct Acl<'a>(pub(super) &'a L7RuleSpec);

impl Display for Acl<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let rule = self.0;
        let key = rule.key.as_deref().unwrap_or_default();
        match rule.kind {
            L7RuleType::HostName => write!(f, "req.hdr(host) -i")?,
            L7RuleType::Path => write!(f, "path")?,
            L7RuleType::FileType => write!(f, "path_end")?,
            L7RuleType::Header => write!(f, "req.hdr({key})")?,
            L7RuleType::Cookie => write!(f, "req.cook({key})")?,
            L7RuleType::SslConnHasCert => return write!(f, "ssl_c_used"),
            L7RuleType::SslVerifyResult => return write!(f, "ssl_c_verify eq {}", rule.value),
            L7RuleType::SslDnField => write!(f, "ssl_c_s_dn({key})")?,
        }
        let compare = match rule.compare_type {
            L7RuleCompareType::Regex => " -m reg",
            L7RuleCompareType::StartsWith => " -m beg",
            L7RuleCompareType::EndsWith => " -m end",
            L7RuleCompareType::Contains => " -m sub",
            L7RuleCompareType::EqualTo if rule.kind == L7RuleType::FileType => "",
            L7RuleCompareType::EqualTo => " -m str",
        };
        let text = if rule.compare_type == L7RuleCompareType::Regex { &rule.value } else { rule.text() };
        write!(f, "{compare} -- {}", Word(text))
    }
}

/// One word of a configuration, whatever is in it.
struct Word<'a>(&'a str);

impl Display for Word<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            if " \"'#\\".contains(c) {
                f.write_char('\\')?;
            }
            f.write_char(c)?;
        }
        Ok(())
    }
}
