//! Health checks: who is checked, when, and what becomes of it.
//!
//! The [`Prober`] lives on the control thread's event loop. Decisions are pure: [`machine`] counts, `schedule` says
//! when, `http`, `tls` and `sctp` read answers. What a member was survives a new configuration; its place on the scale does,
//! too, as long as its monitor is the same.

mod check;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod http;
mod http2;
pub mod machine;
mod ping;
mod schedule;
mod sctp;
#[cfg(test)]
mod tests;
mod tls;

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use octavia_model::{HealthMonitorType, MemberId};
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;
use rustls::ClientConfig;

use self::check::{Check, NotStarted, Verdict};
use self::machine::Machine;
pub(crate) use self::ping::Ping;
pub(crate) use self::sctp::Sctp;
use crate::proxy_protocol::ProxyProtocol;
use crate::snapshot::{MemberConf, Monitor, PoolConf, Snapshot};
use crate::state::{Health, MemberState, Registry};

/// Checks have tokens from here up; lower ones are the control thread's own.
pub(crate) const FIRST_TOKEN: u64 = 16;
/// How long a datagram may be on its way and the word that nobody took it on its way back, as with the original's
/// script, in milliseconds.
const SILENCE_MS: u64 = 1_000;
/// Of the sockets for echo requests, and of those for SCTP.
pub(crate) const PING_TOKEN: u64 = FIRST_TOKEN - 1;
pub(crate) const SCTP_TOKEN: u64 = FIRST_TOKEN - 2;

/// Checks every member that is to be checked.
#[derive(Debug)]
pub(crate) struct Prober {
    epoll: Arc<OwnedFd>,
    registry: Arc<Registry>,
    probes: HashMap<MemberId, Probe>,
    /// When each probe has something to do: start a check, or give up on one. Milliseconds.
    wakes: BTreeSet<(u64, MemberId)>,
    in_flight: HashMap<u64, MemberId>,
    next_token: u64,
    tls: Option<Arc<ClientConfig>>,
    ping: Ping,
    sctp: Sctp,
}

/// One member under one monitor.
#[derive(Debug)]
struct Probe {
    state: Arc<MemberState>,
    address: SocketAddr,
    habits: Habits,
    monitor: Monitor,
    machine: Machine,
    /// Its entry in `wakes`.
    wake: u64,
    flight: Option<Flight>,
}

impl Probe {
    fn silence_is_health(&self) -> bool {
        self.monitor.spec.kind == HealthMonitorType::UdpConnect
    }
}

/// How a check goes about it besides what its monitor says: as traffic to its member does.
#[derive(Debug, Clone, Default)]
struct Habits {
    proxy_protocol: Option<ProxyProtocol>,
    tls: Option<Arc<ClientConfig>>,
}

impl Habits {
    /// As with HAProxy: where members get no traffic, they expect no header of it, nor TLS, unless that is what the monitor
    /// is for.
    fn of(pool: &PoolConf, member: &MemberConf, monitor: &Monitor) -> Self {
        let same = member.monitor_address == member.address;
        let secured = same || monitor.spec.kind == HealthMonitorType::Https;
        let tls = pool.tls.as_ref().filter(|_| secured);
        Self {
            proxy_protocol: pool.proxy_protocol().filter(|_| same),
            tls: tls.map(|tls| Arc::clone(tls.checks())),
        }
    }
}

#[derive(Debug)]
struct Flight {
    token: u64,
    /// `None` = an echo request or one of SCTP, which has no socket of its own.
    check: Option<Check>,
}

impl Prober {
    pub(crate) fn new(
        epoll: Arc<OwnedFd>,
        registry: Arc<Registry>,
        ping: Ping,
        sctp: Sctp,
    ) -> rustix::io::Result<Self> {
        let pings = ping.sockets().map(|socket| (socket, PING_TOKEN));
        for (socket, token) in pings.chain(sctp.sockets().map(|socket| (socket, SCTP_TOKEN))) {
            epoll::add(&epoll, socket, EventData::new_u64(token), EventFlags::IN)?;
        }
        Ok(Self {
            epoll,
            registry,
            probes: HashMap::new(),
            wakes: BTreeSet::new(),
            in_flight: HashMap::new(),
            next_token: FIRST_TOKEN,
            tls: None,
            ping,
            sctp,
        })
    }

    /// Checks the members of this configuration from now on. Milliseconds.
    pub(crate) fn configure(&mut self, snapshot: &Snapshot, now: u64) {
        let mut before = std::mem::take(&mut self.probes);
        for flight in before.values_mut().filter_map(|probe| probe.flight.as_ref()) {
            self.in_flight.remove(&flight.token);
        }
        self.wakes.clear();
        let members = snapshot.pools().map(|pool| pool.members.len()).sum();
        for pool in snapshot.pools() {
            for member in &pool.members {
                // Of members that nobody can speak to there is nothing to be said.
                match pool.monitor.as_ref().filter(|_| member.enabled && pool.is_ready()) {
                    Some(monitor) => {
                        let habits = Habits::of(pool, member, monitor);
                        let before = before.remove(&member.id);
                        self.probe(member, monitor, habits, members, before, now);
                    }
                    None => {
                        self.publish(&member.state, Health::NoCheck, None, now);
                    }
                }
            }
        }
        if self.probes.is_empty() {
            self.tls = None;
        }
    }

    fn probe(
        &mut self,
        member: &MemberConf,
        monitor: &Monitor,
        habits: Habits,
        members: usize,
        before: Option<Probe>,
        now: u64,
    ) {
        if let Err(why) = self.permitted(monitor, member.monitor_address) {
            if self.publish(&member.state, Health::NoCheck, Some(why.clone()), now) {
                tracing::warn!(member = %member.id, monitor = %monitor.spec.id, why, "the member is not checked");
            }
            return;
        }
        let probe = match before {
            Some(probe) if probe.monitor == *monitor && probe.address == member.monitor_address => {
                Probe { habits, ..probe }
            }
            _ => {
                let up = member.state.health() != Health::Down;
                let health = if up { Health::Up } else { Health::Down };
                self.publish(&member.state, health, member.state.check(), now);
                let machine = Machine::new(monitor.spec.rise, monitor.spec.fall, up);
                Probe {
                    state: Arc::clone(&member.state),
                    address: member.monitor_address,
                    habits,
                    monitor: monitor.clone(),
                    machine: member.state.take_score().map_or(machine, |score| machine.at(score)),
                    wake: schedule::first(member.id, millis(monitor.delay), members, now),
                    flight: None,
                }
            }
        };
        self.wakes.insert((probe.wake, member.id));
        if let Some(flight) = &probe.flight {
            self.in_flight.insert(flight.token, member.id);
        }
        self.probes.insert(member.id, probe);
    }

    fn permitted(&self, monitor: &Monitor, address: SocketAddr) -> Result<(), String> {
        match monitor.spec.kind {
            HealthMonitorType::Ping => self.ping.permitted(address.ip()),
            HealthMonitorType::Sctp => self.sctp.permitted(address.ip()),
            _ => Ok(()),
        }
    }

    /// A member's place on its monitor's scale, if it has one.
    pub(crate) fn score(&self, member: MemberId) -> Option<u8> {
        self.probes.get(&member).map(|probe| probe.machine.score())
    }

    /// When [`Prober::tick`] has something to do, in milliseconds.
    pub(crate) fn next_wake(&self) -> Option<u64> {
        self.wakes.first().map(|(wake, _)| *wake)
    }

    /// Starts the checks that are due, and ends those that took too long.
    pub(crate) fn tick(&mut self, now: u64) {
        while let Some(&(wake, member)) = self.wakes.first()
            && wake <= now
        {
            let flying = self.probes.get(&member).is_some_and(|probe| probe.flight.is_some());
            if flying {
                let silence_is_health =
                    self.probes.get(&member).is_some_and(|probe| probe.silence_is_health());
                let verdict = if silence_is_health { Ok(()) } else { Err("no answer in time".to_owned()) };
                self.conclude(member, verdict, now)
            } else {
                self.start(member, now)
            }
        }
    }

    /// A socket with this token is ready.
    pub(crate) fn ready(&mut self, token: u64, now: u64) {
        match token {
            PING_TOKEN => {
                while let Some((from, token)) = self.ping.receive() {
                    self.answered(HealthMonitorType::Ping, token, |probe| probe.ip() == from, Ok(()), now);
                }
                return;
            }
            SCTP_TOKEN => {
                while let Some(answer) = self.sctp.receive() {
                    let token = answer.token(self.next_token);
                    let from = |probe: SocketAddr| probe == answer.from;
                    self.answered(HealthMonitorType::Sctp, token, from, answer.verdict, now);
                }
                return;
            }
            _ => {}
        }
        let Some(&member) = self.in_flight.get(&token) else { return };
        let flight = self.probes.get_mut(&member).and_then(|probe| probe.flight.as_mut());
        let verdict = flight.and_then(|flight| flight.check.as_mut()).and_then(Check::advance);
        if let Some(verdict) = verdict {
            self.conclude(member, verdict, now);
        }
    }

    /// An answer has come to a socket that many checks share: it counts if it is of whom it should be.
    fn answered(
        &mut self,
        kind: HealthMonitorType,
        token: u64,
        is_from: impl Fn(SocketAddr) -> bool,
        verdict: Verdict,
        now: u64,
    ) {
        let Some(&member) = self.in_flight.get(&token) else { return };
        let asked = self.probes.get(&member).is_some_and(|probe| {
            probe.monitor.spec.kind == kind && is_from(probe.address) && probe.flight.is_some()
        });
        if asked {
            self.conclude(member, verdict, now);
        }
    }

    fn start(&mut self, member: MemberId, now: u64) {
        let Some(probe) = self.probes.get_mut(&member) else {
            self.wakes.retain(|(_, other)| *other != member);
            return;
        };
        let token = self.next_token;
        self.next_token += 1;
        let started = match probe.monitor.spec.kind {
            HealthMonitorType::Ping => {
                self.ping.send(probe.address.ip(), token).map(|()| None).map_err(NotStarted::from)
            }
            HealthMonitorType::Sctp => {
                self.sctp.send(probe.address, token).map(|()| None).map_err(NotStarted::from)
            }
            _ => {
                let Habits { proxy_protocol, tls } = &probe.habits;
                let (spec, address) = (&probe.monitor.spec, probe.address);
                let started = Check::start(spec, address, *proxy_protocol, tls.as_ref(), &mut self.tls);
                started.and_then(|check| {
                    let interest = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
                    epoll::add(&self.epoll, check.socket(), EventData::new_u64(token), interest)?;
                    Ok(Some(check))
                })
            }
        };
        match started {
            Ok(check) => {
                probe.flight = Some(Flight { token, check });
                self.in_flight.insert(token, member);
                let mut deadline = now + millis(probe.monitor.timeout);
                if probe.silence_is_health() {
                    deadline = deadline.min(now + SILENCE_MS);
                }
                self.wake_at(member, deadline);
            }
            Err(NotStarted::Verdict(text)) => self.conclude(member, Err(text), now),
            Err(NotStarted::Unable(error)) => self.postpone(member, error, now),
        }
    }

    /// A check that could not be made is no failed check: the member stays what it was, and is checked in its next turn.
    fn postpone(&mut self, member: MemberId, error: Errno, now: u64) {
        tracing::warn!(%member, %error, "the member cannot be checked now");
        let Some(probe) = self.probes.get(&member) else { return };
        let next = schedule::next(member, millis(probe.monitor.delay), now);
        self.wake_at(member, next);
    }

    fn conclude(&mut self, member: MemberId, verdict: Verdict, now: u64) {
        let Some(probe) = self.probes.get_mut(&member) else { return };
        // The socket closes with its check.
        if let Some(flight) = probe.flight.take() {
            self.in_flight.remove(&flight.token);
        }
        if verdict.is_err() && probe.state.health() != Health::Down {
            probe.state.check_failed();
        }
        let up = probe.machine.checked(verdict.is_ok());
        let health = if up { Health::Up } else { Health::Down };
        let text = match verdict {
            Ok(()) if probe.machine.is_well() => None,
            Ok(()) => probe.state.check(),
            Err(text) => Some(text),
        };
        let state = Arc::clone(&probe.state);
        let next = schedule::next(member, millis(probe.monitor.delay), now);
        self.wake_at(member, next);
        let before = state.health();
        if self.publish(&state, health, text.clone(), now) {
            tracing::info!(%member, ?before, ?health, why = text.unwrap_or_default(), "the member's health changed");
        }
    }

    fn wake_at(&mut self, member: MemberId, wake: u64) {
        if let Some(probe) = self.probes.get_mut(&member) {
            self.wakes.remove(&(probe.wake, member));
            probe.wake = wake;
            self.wakes.insert((wake, member));
        }
    }

    /// Makes it known; `true` = it is news.
    fn publish(&self, state: &MemberState, health: Health, text: Option<String>, now: u64) -> bool {
        state.set_check(text);
        let changed = state.turn(health, now) != health;
        if changed {
            self.registry.mark_changed();
        }
        changed
    }
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX / 4)
}
