//! What cases are played on: one spec for all cases of a theme, a listener each, with pools and members of its own.
//!
//! | setting | is |
//! |---|---|
//! | `protocol TCP` | the listener's; HTTP otherwise |
//! | `pool blue ROUND_ROBIN a b*2 c:backup` | a pool and its members, with weights; they may be `:off`, or `:dead`; without any there is one, with member `a` |
//! | `persistence cookie`, `source`, `app NAME` | of the pool before |
//! | `default none` | no default pool; otherwise it is the first |
//! | `policy reject if RULE & RULE` | also `pool NAME`, `url CODE URL`, `prefix CODE URL`; a rule is `[!]TYPE COMPARE KEY VALUE` |
//! | `insert NAME NAME` | headers |
//! | `timeouts client=50` | also `connect`, `member`; milliseconds |
//! | `victim off` | nobody else comes afterwards |

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;

use newtype_uuid::{GenericUuid, TypedUuid};
use octavia_model::{Algorithm, IdKind, ListenerProtocol, PoolProtocol};
use octavia_proxy::listen;
use octavia_wire::{
    AmphoraSpec, InsertHeader, L7ActionSpec, L7PolicySpec, ListenerSpec, MemberSpec, PersistenceSpec,
    PoolSpec, TimeoutsSpec, WIRE_VERSION,
};
use socket2::{Domain, Socket, Type};
use uuid::Uuid;

use super::case::{Case, Theme};
use super::play::{Member, Place};
use crate::haproxy::rules::rule;

/// Milliseconds: longer than a case takes.
const PATIENCE: u32 = 60_000;

pub(super) struct Stage {
    pub(super) spec: AmphoraSpec,
    /// Listening, one a listener.
    pub(super) sockets: Vec<OwnedFd>,
    /// One a case.
    pub(super) places: Vec<Place>,
    /// Ports of members that are dead.
    _dead: Vec<Socket>,
}

impl Stage {
    pub(super) fn set(theme: &Theme) -> Self {
        raise_file_limit();
        let mut builder = Builder { ids: 0, sockets: vec![], pools: vec![], dead: vec![] };
        let mut settle = builder.listener(ListenerProtocol::Http);
        // HAProxy takes sockets with numbers that are not much larger than this.
        settle.connection_limit = Some(1_000);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, settle.port));
        let mut listeners = vec![settle];
        let mut places = vec![];
        for case in &theme.cases {
            let (listener, mut place) = builder.case(case);
            place.settle = address;
            listeners.push(listener);
            places.push(place);
        }
        let spec = AmphoraSpec {
            version: WIRE_VERSION,
            amphora_id: builder.id(),
            load_balancer_id: builder.id(),
            generation: 1,
            fence: 1,
            vips: vec![Ipv4Addr::LOCALHOST.into()],
            listeners,
            pools: builder.pools,
            access_log: None,
            sorry_pages: vec![],
            network: None,
            tickets: None,
        };
        Self { spec, sockets: builder.sockets, places, _dead: builder.dead }
    }
}

/// A theme has some hundreds of sockets.
fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
}

struct Builder {
    ids: u128,
    sockets: Vec<OwnedFd>,
    pools: Vec<PoolSpec>,
    dead: Vec<Socket>,
}

impl Builder {
    fn id<K: IdKind>(&mut self) -> TypedUuid<K> {
        self.ids += 1;
        TypedUuid::from_untyped_uuid(Uuid::from_u128(self.ids))
    }

    fn listener(&mut self, protocol: ListenerProtocol) -> ListenerSpec {
        let socket = listen::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let address = socket2::SockRef::from(&socket).local_addr().unwrap().as_socket().unwrap();
        self.sockets.push(socket);
        ListenerSpec {
            id: self.id(),
            protocol,
            port: address.port(),
            connection_limit: Some(8),
            default_pool: None,
            insert_headers: vec![],
            timeouts: TimeoutsSpec {
                client_data: PATIENCE,
                member_connect: PATIENCE,
                member_data: PATIENCE,
                tcp_inspect: 0,
            },
            allowed_cidrs: vec![],
            accept_proxy: vec![],
            l7policies: vec![],
            tls: None,
        }
    }

    fn case(&mut self, case: &Case) -> (ListenerSpec, Place) {
        let setting = |name: &str| {
            let named = case.settings.iter().filter_map(|line| line.split_once(' '));
            named.filter(|(other, _)| *other == name).map(|(_, value)| value.to_owned()).collect::<Vec<_>>()
        };
        let protocol = setting("protocol").pop().map_or(ListenerProtocol::Http, |text| text.parse().unwrap());
        let mut listener = self.listener(protocol);
        let first = self.pools.len();
        let mut names = vec![];
        let mut members = vec![];
        if setting("pool").is_empty() {
            self.pool(protocol, "main ROUND_ROBIN a", &mut names, &mut members);
        }
        let mut policies = vec![];
        for line in &case.settings {
            let (name, value) = line.split_once(' ').unwrap();
            match name {
                "pool" => self.pool(protocol, value, &mut names, &mut members),
                "persistence" => self.pools.last_mut().unwrap().persistence = Some(persistence(value)),
                "insert" => listener.insert_headers.extend(value.split(' ').map(insert)),
                "policy" => policies.push(value),
                "timeouts" => value.split(' ').for_each(|limit| limit_set(&mut listener.timeouts, limit)),
                "protocol" | "default" | "victim" => {}
                _ => panic!("{}: what is {line}", case.name),
            }
        }
        let pools = self.pools[first..].iter().map(|pool| pool.id).collect::<Vec<_>>();
        let pool = |name: &str| pools[names.iter().position(|other| other == name).unwrap()];
        if setting("default").is_empty() {
            listener.default_pool = Some(pools[0]);
        }
        for text in policies {
            let (action, rules) = text.split_once(" if ").unwrap();
            let words: Vec<_> = action.split(' ').collect();
            let action = match words[..] {
                ["reject"] => L7ActionSpec::Reject,
                ["pool", name] => L7ActionSpec::RedirectToPool(pool(name)),
                ["url", code, url] => {
                    L7ActionSpec::RedirectToUrl { location: url.to_owned(), code: code.parse().unwrap() }
                }
                ["prefix", code, url] => {
                    L7ActionSpec::RedirectPrefix { prefix: url.to_owned(), code: code.parse().unwrap() }
                }
                _ => panic!("{}: what is {action}", case.name),
            };
            let rules = rules.split(" & ").map(rule).collect();
            listener.l7policies.push(L7PolicySpec { id: self.id(), action, rules });
        }
        // As controllers order them.
        listener.l7policies.sort_by_key(|policy| match &policy.action {
            L7ActionSpec::Reject => 0,
            L7ActionSpec::RedirectToUrl { .. } | L7ActionSpec::RedirectPrefix { .. } => 1,
            L7ActionSpec::RedirectToPool(_) => 2,
        });
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, listener.port));
        let place = Place {
            listener: address,
            settle: address,
            members,
            http: protocol == ListenerProtocol::Http,
            victim: protocol == ListenerProtocol::Http && setting("victim").is_empty(),
        };
        (listener, place)
    }

    fn pool(
        &mut self,
        protocol: ListenerProtocol,
        text: &str,
        names: &mut Vec<String>,
        members: &mut Vec<Member>,
    ) {
        let mut words = text.split(' ');
        names.push(words.next().unwrap().to_owned());
        let algorithm: Algorithm = words.next().unwrap().parse().unwrap();
        let members = words.map(|word| self.member(word, members)).collect();
        let http = protocol == ListenerProtocol::Http;
        let pool = PoolSpec {
            id: self.id(),
            protocol: if http { PoolProtocol::Http } else { PoolProtocol::Tcp },
            algorithm,
            persistence: None,
            members,
            monitor: None,
            tls: None,
        };
        self.pools.push(pool);
    }

    fn member(&mut self, word: &str, members: &mut Vec<Member>) -> MemberSpec {
        let mut flags = word.split(':');
        let (name, weight) = flags.next().map(|name| name.split_once('*').unwrap_or((name, "1"))).unwrap();
        let flags: Vec<_> = flags.collect();
        let port = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        port.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
        let address = port.local_addr().unwrap().as_socket().unwrap();
        let socket = if flags.contains(&"dead") {
            self.dead.push(port);
            None
        } else {
            port.listen(64).unwrap();
            port.set_nonblocking(true).unwrap();
            Some(TcpListener::from(port))
        };
        let member = MemberSpec {
            id: self.id(),
            address: address.ip(),
            port: address.port(),
            weight: weight.parse().unwrap(),
            backup: flags.contains(&"backup"),
            enabled: !flags.contains(&"off"),
            monitor_address: None,
            monitor_port: None,
        };
        members.push(Member { name: name.to_owned(), id: member.id.to_string(), socket });
        member
    }
}

fn persistence(text: &str) -> PersistenceSpec {
    match text.split(' ').collect::<Vec<_>>()[..] {
        ["cookie"] => PersistenceSpec::HttpCookie,
        ["source"] => PersistenceSpec::SourceIp { granularity: None, timeout: 0 },
        ["app", name] => PersistenceSpec::AppCookie { name: name.to_owned() },
        _ => panic!("what is {text}"),
    }
}

fn insert(name: &str) -> InsertHeader {
    *InsertHeader::ALL.iter().find(|header| header.name() == name).unwrap()
}

fn limit_set(timeouts: &mut TimeoutsSpec, text: &str) {
    let (name, value) = text.split_once('=').unwrap();
    let limit = match name {
        "client" => &mut timeouts.client_data,
        "connect" => &mut timeouts.member_connect,
        "member" => &mut timeouts.member_data,
        _ => panic!("what is {text}"),
    };
    *limit = value.parse().unwrap();
}
