//! Heartbeats: what is said, when, and to whom.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use octavia_model::{AmphoraId, PoolId, VrrpState};
use octavia_wire::{
    AmphoraSpec, Heartbeat, HeartbeatError, ListenerFault, MAX_DATAGRAM, MemberWord, PoolReport,
    ProxyPoolReport, ProxyReport, pool_of_key,
};
use tokio::time::Instant;
use uuid::Uuid;

use crate::complaints::Complaints;

/// No two heartbeats are closer than this, whatever changes.
const CLOSEST: Duration = Duration::from_millis(100);

/// What is told of a failed check, in characters.
const LONGEST_CHECK: usize = 200;

/// The message of one beat. Without a proxy it has no listeners, as the original's has none without HAProxy.
pub(crate) fn compose(
    id: AmphoraId,
    seq: u64,
    spec: Option<&AmphoraSpec>,
    proxy: Option<(Uuid, ProxyReport)>,
    faults: &[ListenerFault],
    vrrp: Option<VrrpState>,
) -> Heartbeat {
    let boot = proxy.as_ref().map(|(boot, _)| *boot);
    let generation = proxy.as_ref().map(|(_, report)| report.generation);
    let report = proxy.map(|(_, report)| report).unwrap_or_default();
    let mut pools = BTreeMap::new();
    for (id, pool) in report.pools {
        let report = pool_report(pool);
        let keys = pool_keys(id, spec);
        pools.extend(keys.into_iter().map(|key| (key, report.clone())));
    }
    Heartbeat {
        id,
        seq,
        ver: 2,
        listeners: report.listeners,
        pools,
        boot,
        generation,
        faults: faults.to_vec(),
        partial: false,
        vrrp,
    }
}

/// As much of a beat as fits into a datagram, sealed: an amphora of which nothing is heard is taken for dead. What is
/// left out first is what is told twice, then what is only for people, then members that take traffic, in turns.
fn seal(beat: &Heartbeat, key: &[u8]) -> Result<Vec<u8>, HeartbeatError> {
    // No packing makes a random id shorter than its 16 bytes, so the hopeless need not be tried.
    let fits = |beat: &Heartbeat| {
        let ids: usize = beat.pools.values().map(|pool| 1 + pool.members.len()).sum();
        if ids * 16 > MAX_DATAGRAM { Err(HeartbeatError::TooLarge) } else { beat.seal(key) }
    };
    let too_large = |sealed: &Result<_, _>| matches!(sealed, Err(HeartbeatError::TooLarge));
    let mut sealed = fits(beat);
    if !too_large(&sealed) {
        return sealed;
    }
    let mut less = beat.clone();
    let mut told = BTreeSet::new();
    less.pools.retain(|key, _| pool_of_key(key).is_none_or(|pool| told.insert(pool)));
    sealed = fits(&less);
    if !too_large(&sealed) {
        return sealed;
    }
    less.pools.values_mut().for_each(|pool| pool.checks.clear());
    sealed = fits(&less);
    // While there is room, whoever does not take traffic is always told.
    let with_down = (1..=4).map(|power| (1 << power, true));
    let without = (1..=12).map(|power| (1 << power, false));
    for (turns, keep_down) in with_down.chain(without) {
        if !too_large(&sealed) {
            break;
        }
        let mut part = less.clone();
        part.partial = true;
        for (place, pool) in part.pools.values_mut().enumerate() {
            let mut turn = beat.seq + place as u64;
            pool.members.retain(|_, word| {
                turn += 1;
                turn.is_multiple_of(turns) || (keep_down && *word == MemberWord::Down)
            });
        }
        sealed = fits(&part);
    }
    sealed
}

/// A pool is told once for each listener that uses it; by its bare id if none is known to.
fn pool_keys(id: PoolId, spec: Option<&AmphoraSpec>) -> Vec<String> {
    let listeners = spec.into_iter().flat_map(|spec| &spec.listeners);
    let keys: Vec<_> = listeners
        .filter(|listener| listener.pools().any(|pool| pool == id))
        .map(|listener| format!("{id}:{}", listener.id))
        .collect();
    if keys.is_empty() { vec![id.to_string()] } else { keys }
}

fn pool_report(pool: ProxyPoolReport) -> PoolReport {
    let mut report = PoolReport { status: pool.status, members: BTreeMap::new(), checks: BTreeMap::new() };
    for (id, member) in pool.members {
        report.members.insert(id, member.status);
        let told = matches!(member.status, MemberWord::Down | MemberWord::NoCheck);
        if let Some(check) = member.check.filter(|_| told) {
            report.checks.insert(id, check.chars().take(LONGEST_CHECK).collect());
        }
    }
    report
}

/// When the next beat is due: every interval, and at once after a change, but never too often.
#[derive(Debug)]
pub(crate) struct Pace {
    interval: Duration,
    last: Option<Instant>,
    urgent: bool,
}

impl Pace {
    pub(crate) fn new(interval: Duration) -> Self {
        Self { interval: interval.max(CLOSEST), last: None, urgent: true }
    }

    pub(crate) fn hurry(&mut self) {
        self.urgent = true;
    }

    pub(crate) fn due(&self, now: Instant) -> Instant {
        match self.last {
            None => now,
            Some(last) if self.urgent => last + CLOSEST,
            Some(last) => last + self.interval,
        }
    }

    pub(crate) fn beaten(&mut self, now: Instant) {
        self.last = Some(now);
        self.urgent = false;
    }
}

/// Sends to one controller a beat, in rotation.
#[derive(Debug)]
pub(crate) struct Sender {
    controllers: Vec<SocketAddr>,
    key: String,
    next: usize,
    v4: Option<UdpSocket>,
    v6: Option<UdpSocket>,
    complaints: Complaints,
}

impl Sender {
    pub(crate) fn new(controllers: Vec<SocketAddr>, key: String) -> Self {
        Self { controllers, key, next: 0, v4: None, v6: None, complaints: Complaints::default() }
    }

    /// Signs with this key from now on.
    pub(crate) fn sign_with(&mut self, key: String) {
        self.key = key;
    }

    pub(crate) fn send(&mut self, heartbeat: &Heartbeat) {
        let Some(&controller) = self.controllers.get(self.next) else { return };
        self.next = (self.next + 1) % self.controllers.len();
        if let Err(error) = self.try_send(heartbeat, controller)
            && let Some(unsaid) = self.complaints.note(Instant::now())
        {
            tracing::warn!(%error, %controller, unsaid, "a heartbeat was not sent");
        }
    }

    fn try_send(&mut self, heartbeat: &Heartbeat, controller: SocketAddr) -> io::Result<()> {
        let datagram = seal(heartbeat, self.key.as_bytes()).map_err(io::Error::other)?;
        let (socket, any) = match controller {
            SocketAddr::V4(_) => (&mut self.v4, SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))),
            SocketAddr::V6(_) => (&mut self.v6, SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0))),
        };
        let socket = match socket {
            Some(socket) => socket,
            None => {
                let new = UdpSocket::bind(any)?;
                // A full send buffer loses a beat rather than holding up everything else.
                new.set_nonblocking(true)?;
                socket.insert(new)
            }
        };
        socket.send_to(&datagram, controller).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use octavia_model::{
        Algorithm, L7PolicyId, ListenerId, ListenerProtocol, LoadBalancerId, MemberId, PoolProtocol,
    };
    use octavia_wire::{
        L7ActionSpec, L7PolicySpec, ListenerReport, ListenerSpec, ListenerStats, ListenerWord, MemberStats,
        PoolSpec, PoolWord, TimeoutsSpec, WIRE_VERSION,
    };

    use super::*;

    fn listener(pool: Option<PoolId>) -> ListenerSpec {
        ListenerSpec {
            id: ListenerId::new_v4(),
            protocol: ListenerProtocol::Http,
            port: 80,
            connection_limit: None,
            default_pool: pool,
            insert_headers: vec![],
            timeouts: TimeoutsSpec { client_data: 0, member_connect: 0, member_data: 0, tcp_inspect: 0 },
            allowed_cidrs: vec![],
            accept_proxy: vec![],
            l7policies: vec![],
            tls: None,
        }
    }

    #[test]
    fn says_what_the_proxy_says() {
        let (pool, lonely, member) = (PoolId::new_v4(), PoolId::new_v4(), MemberId::new_v4());
        let mut listeners = [listener(Some(pool)), listener(None), listener(None)];
        listeners[1].l7policies = vec![L7PolicySpec {
            id: L7PolicyId::new_v4(),
            action: L7ActionSpec::RedirectToPool(pool),
            rules: vec![],
        }];
        let pool_spec = |id| PoolSpec {
            id,
            protocol: PoolProtocol::Http,
            algorithm: Algorithm::RoundRobin,
            persistence: None,
            members: vec![],
            monitor: None,
            tls: None,
        };
        let spec = AmphoraSpec {
            version: WIRE_VERSION,
            amphora_id: AmphoraId::nil(),
            load_balancer_id: LoadBalancerId::nil(),
            generation: 8,
            fence: 1,
            vips: vec![],
            listeners: listeners.to_vec(),
            pools: vec![pool_spec(pool), pool_spec(lonely)],
            access_log: None,
            sorry_pages: vec![],
            network: None,
            tickets: None,
        };
        let stats = MemberStats {
            status: MemberWord::Down,
            check: Some("refused".to_owned()),
            active_connections: 0,
            total_connections: 0,
            requests: 0,
            errors: 0,
        };
        let report = ProxyReport {
            generation: 7,
            listeners: BTreeMap::from([(
                listeners[0].id,
                ListenerReport { status: ListenerWord::Open, stats: ListenerStats::default() },
            )]),
            pools: [pool, lonely]
                .map(|id| {
                    (
                        id,
                        ProxyPoolReport {
                            status: PoolWord::Down,
                            members: BTreeMap::from([(member, stats.clone())]),
                        },
                    )
                })
                .into(),
        };
        let boot = Uuid::new_v4();
        let beat = compose(
            AmphoraId::nil(),
            5,
            Some(&spec),
            Some((boot, report.clone())),
            &[],
            Some(VrrpState::Master),
        );
        assert_eq!((beat.ver, beat.seq, beat.boot, beat.generation), (2, 5, Some(boot), Some(7)));
        assert_eq!((&beat.listeners, beat.vrrp), (&report.listeners, Some(VrrpState::Master)));
        let mut keys = vec![
            format!("{pool}:{}", listeners[0].id),
            format!("{pool}:{}", listeners[1].id),
            lonely.to_string(),
        ];
        keys.sort();
        assert_eq!(beat.pools.keys().cloned().collect::<Vec<_>>(), keys);
        assert!(beat.pools.values().all(|pool| pool.members[&member] == MemberWord::Down));
        assert!(beat.pools.values().all(|pool| pool.checks[&member] == "refused"));

        let beat = compose(AmphoraId::nil(), 6, Some(&spec), None, &[], None);
        assert!(beat.listeners.is_empty() && beat.pools.is_empty());
        assert_eq!((beat.boot, beat.generation), (None, None));
    }

    /// A beat of `pools` pools, each of `members` members, each pool used by `listeners` listeners.
    fn large(pools: usize, members: usize, listeners: usize, down: usize) -> Heartbeat {
        let mut beat = compose(AmphoraId::nil(), 0, None, None, &[], None);
        for _ in 0..pools {
            let pool = PoolId::new_v4();
            let mut report =
                PoolReport { status: PoolWord::Up, members: BTreeMap::new(), checks: BTreeMap::new() };
            for member in 1..=members {
                let word = if member <= down { MemberWord::Down } else { MemberWord::Up };
                let id = MemberId::new_v4();
                report.members.insert(id, word);
                if word == MemberWord::Down {
                    report.checks.insert(id, format!("{id} is refused"));
                }
            }
            for _ in 0..listeners {
                let key = format!("{pool}:{}", ListenerId::new_v4());
                beat.pools.insert(key, report.clone());
            }
        }
        beat
    }

    #[test]
    fn a_beat_that_is_too_large_is_told_in_turns() {
        // Pools, members of each, listeners of each, members down of each; and whether it is whole.
        for (pools, members, listeners, down, whole) in [
            (1, 10, 2, 3, true),
            (1, 1_000, 1, 0, true),
            (1, 1_000, 20, 0, true),
            (1, 2_000, 1, 1_500, true),
            (1, 10_000, 1, 0, false),
            (1, 10_000, 3, 100, false),
            (1, 10_000, 1, 10_000, false),
            (100, 100, 1, 5, false),
        ] {
            let what = format!("{pools} {members} {listeners} {down}");
            let mut told = BTreeSet::new();
            let mut beat = large(pools, members, listeners, down);
            for seq in 0..16 {
                beat.seq = seq;
                let sealed = seal(&beat, b"key").unwrap_or_else(|error| panic!("{what}: {error}"));
                assert!(sealed.len() <= MAX_DATAGRAM, "{what}");
                let heard = Heartbeat::open(&sealed, b"key").unwrap();
                assert_eq!(heard.partial, !whole, "{what}");
                for (key, report) in &heard.pools {
                    let all = &beat.pools[key];
                    assert_eq!(report.status, all.status);
                    let downs = report.members.values().filter(|word| **word == MemberWord::Down).count();
                    assert!(downs == down || down > 1_000, "{what}: {downs}");
                    assert!(report.members.iter().all(|(id, word)| all.members[id] == *word));
                    told.extend(report.members.keys().copied());
                }
                let names: BTreeSet<_> = heard.pools.keys().filter_map(|key| pool_of_key(key)).collect();
                assert_eq!(names.len(), pools, "{what}");
            }
            assert_eq!(told.len(), pools * members, "{what}: each in its turn");
        }
    }

    #[test]
    fn beats_in_time_and_never_too_often() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut pace = Pace::new(Duration::from_secs(1));
        assert_eq!(pace.due(at(0)), at(0), "the first at once");
        pace.beaten(at(0));
        assert_eq!(pace.due(at(1)), at(1000));
        pace.hurry();
        assert_eq!(pace.due(at(1)), at(100));
        pace.beaten(at(100));
        assert_eq!(pace.due(at(101)), at(1100));
        pace.beaten(at(1100));
        pace.hurry();
        assert!(pace.due(at(2000)) <= at(2000), "a late change at once");
    }

    #[test]
    fn controllers_take_turns() {
        let controllers: Vec<_> =
            ["127.0.0.1:0", "[::1]:0", "127.0.0.1:0"].iter().map(|a| UdpSocket::bind(a).unwrap()).collect();
        let addresses = controllers.iter().map(|c| c.local_addr().unwrap()).collect();
        let mut sender = Sender::new(addresses, "key".to_owned());
        for seq in 0..6 {
            sender.send(&compose(AmphoraId::nil(), seq, None, None, &[], None));
        }
        for (i, controller) in controllers.iter().enumerate() {
            controller.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            for turn in 0..2 {
                let mut datagram = [0; 2048];
                let length = controller.recv(&mut datagram).unwrap();
                let beat = Heartbeat::open(&datagram[..length], b"key").unwrap();
                assert_eq!(beat.seq, (i + turn * 3) as u64);
            }
        }
    }
}
