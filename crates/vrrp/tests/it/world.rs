//! A network of hosts with a router each, and what can happen to them.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use octavia_vrrp::{Action, Datagram, Router, Settings, State, TTL, Version};

use crate::chance::Chance;

pub(crate) const INTERVAL: Duration = Duration::from_millis(200);
/// The longest it takes to put addresses on.
pub(crate) const HOLD: Duration = Duration::from_millis(20);

pub(crate) struct World {
    pub(crate) now: Duration,
    pub(crate) chance: Chance,
    pub(crate) hosts: Vec<Host>,
    pub(crate) network: Network,
    events: BTreeMap<(Duration, u64), Event>,
    serial: u64,
    /// Who became master, and when.
    pub(crate) changes: Vec<(Duration, usize)>,
    /// Since when more than one host has had the addresses.
    pub(crate) twofold: Option<Duration>,
    /// Since when no host has had them.
    pub(crate) unheld: Option<Duration>,
    /// The longest time of either kind.
    pub(crate) longest_twofold: Duration,
    pub(crate) longest_unheld: Duration,
}

pub(crate) struct Host {
    pub(crate) settings: Settings,
    /// `None` = it is down.
    pub(crate) router: Option<Router>,
    /// The addresses are on its interface.
    pub(crate) holds: bool,
    /// What is under way for it belongs to this order; another one supersedes it.
    order: u64,
    /// It does nothing before this time; what comes waits.
    stopped: Option<Duration>,
    waiting: Vec<(IpAddr, Vec<u8>)>,
}

pub(crate) struct Network {
    /// From, to.
    pub(crate) cut: Vec<Vec<bool>>,
    pub(crate) lost_percent: usize,
    /// So many in a row, from one host to another, are not all lost.
    pub(crate) lost_in_a_row_max: usize,
    pub(crate) twice_percent: usize,
    pub(crate) delay_max: Duration,
    pub(crate) hold_fails_percent: usize,
    /// Nothing overtakes anything on its way from one host to another.
    pub(crate) in_order: bool,
    arrived: Vec<Vec<Duration>>,
    lost_in_a_row: Vec<Vec<usize>>,
}

enum Event {
    Packet { from: IpAddr, to: usize, bytes: Vec<u8> },
    Held { host: usize, order: u64, good: bool },
    GoOn { host: usize },
}

fn address(host: usize) -> IpAddr {
    IpAddr::from([192, 0, 2, 10 + host as u8])
}

impl World {
    pub(crate) fn new(seed: u64, priorities: &[u8], preempt: bool) -> Self {
        let count = priorities.len();
        let host = |host: usize| Host {
            settings: Settings {
                version: Version::V3,
                router_id: 1,
                priority: priorities[host],
                interval: INTERVAL,
                preempt,
                source: address(host),
                peers: (0..count).filter(|peer| *peer != host).map(address).collect(),
                password: None,
                vips: vec![IpAddr::from([192, 0, 2, 100])],
                announce_every: Duration::from_secs(5),
                announce_times: 2,
            },
            router: None,
            holds: false,
            order: 0,
            stopped: None,
            waiting: vec![],
        };
        let network = Network {
            cut: vec![vec![false; count]; count],
            lost_percent: 0,
            lost_in_a_row_max: usize::MAX,
            twice_percent: 0,
            delay_max: Duration::from_millis(10),
            hold_fails_percent: 0,
            in_order: true,
            arrived: vec![vec![Duration::ZERO; count]; count],
            lost_in_a_row: vec![vec![0; count]; count],
        };
        Self {
            now: Duration::ZERO,
            chance: Chance::new(seed),
            hosts: (0..count).map(host).collect(),
            network,
            events: BTreeMap::new(),
            serial: 0,
            changes: vec![],
            twofold: None,
            unheld: Some(Duration::ZERO),
            longest_twofold: Duration::ZERO,
            longest_unheld: Duration::ZERO,
        }
    }

    /// Starts a host anew, whatever it was.
    pub(crate) fn start(&mut self, host: usize) {
        self.crash(host);
        let settings = self.hosts[host].settings.clone();
        self.hosts[host].router = Some(Router::new(settings, true, self.now));
    }

    pub(crate) fn crash(&mut self, host: usize) {
        let host = &mut self.hosts[host];
        (host.router, host.holds, host.stopped) = (None, false, None);
        host.order += 1;
        host.waiting.clear();
        self.look();
    }

    /// It does nothing for a while, as a machine that is moved or has no time for it.
    pub(crate) fn stop(&mut self, host: usize, time: Duration) {
        if self.hosts[host].router.is_some() && self.hosts[host].stopped.is_none() {
            self.hosts[host].stopped = Some(self.now + time);
            self.later(time, Event::GoOn { host });
        }
    }

    pub(crate) fn is_stopped(&self, host: usize) -> bool {
        self.hosts[host].stopped.is_some()
    }

    pub(crate) fn set_health(&mut self, host: usize, healthy: bool) {
        self.with(host, |router, now, actions| router.set_health(healthy, now, actions));
    }

    pub(crate) fn leave(&mut self, host: usize) {
        self.with(host, Router::leave);
    }

    pub(crate) fn reconfigure(&mut self, host: usize, priority: u8) {
        self.hosts[host].settings.priority = priority;
        let settings = self.hosts[host].settings.clone();
        self.with(host, |router, now, actions| router.reconfigure(settings, now, actions));
    }

    /// Lets everything happen up to this time.
    pub(crate) fn run_until(&mut self, end: Duration) {
        loop {
            let event = self.events.first_key_value().map(|((at, _), _)| *at);
            let deadlines = self.hosts.iter().enumerate().filter(|(_, host)| host.stopped.is_none());
            let timer =
                deadlines.filter_map(|(index, host)| Some((host.router.as_ref()?.deadline()?, index))).min();
            // What comes at the time of a timer was there before it.
            match (event, timer) {
                (Some(at), _) if at <= end && timer.is_none_or(|(timer, _)| at <= timer) => {
                    self.now = self.now.max(at);
                    if let Some((_, event)) = self.events.pop_first() {
                        self.happen(event);
                    }
                }
                (_, Some((at, host))) if at <= end => {
                    self.now = self.now.max(at);
                    self.with(host, Router::on_timer);
                    let deadline = self.hosts[host].router.as_ref().and_then(Router::deadline);
                    assert!(deadline.is_none_or(|deadline| deadline > self.now), "it asks again at once");
                }
                _ => break,
            }
        }
        self.now = end;
        self.look();
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Packet { from, to, bytes } => {
                if self.hosts[to].stopped.is_some() {
                    self.hosts[to].waiting.push((from, bytes));
                } else {
                    self.receive(to, from, &bytes);
                }
            }
            Event::Held { host, order, good } => {
                if self.hosts[host].order != order {
                } else if let Some(until) = self.hosts[host].stopped {
                    self.later(until - self.now, Event::Held { host, order, good });
                } else if good {
                    self.hosts[host].holds = true;
                    self.with(host, Router::held);
                } else {
                    self.with(host, Router::hold_failed);
                }
            }
            Event::GoOn { host } => {
                // It may have been started anew meanwhile.
                if self.hosts[host].stopped.is_some_and(|until| until <= self.now) {
                    self.hosts[host].stopped = None;
                    for (from, bytes) in std::mem::take(&mut self.hosts[host].waiting) {
                        self.receive(host, from, &bytes);
                    }
                }
            }
        }
    }

    fn receive(&mut self, host: usize, from: IpAddr, bytes: &[u8]) {
        let to = address(host);
        self.with(host, |router, now, actions| {
            router.receive(&Datagram { from, to, ttl: TTL, payload: bytes }, now, actions).unwrap();
        });
    }

    /// Does something with a router that runs, and what it asks for.
    fn with(&mut self, host: usize, event: impl FnOnce(&mut Router, Duration, &mut Vec<Action>)) {
        let now = self.now;
        let Some(router) = &mut self.hosts[host].router else { return };
        let (mut actions, before) = (vec![], router.state());
        event(router, now, &mut actions);
        let after = router.state();
        if after == State::Master && before != State::Master {
            self.changes.push((now, host));
        }
        for action in actions {
            self.act(host, action);
        }
        let may_hold = matches!(after, State::Master | State::Leaving);
        assert!(may_hold || !self.hosts[host].holds, "{after:?} holds the addresses");
        self.look();
    }

    fn act(&mut self, host: usize, action: Action) {
        match action {
            Action::Advertise(priority) => self.advertise(host, priority),
            Action::Hold => {
                self.hosts[host].order += 1;
                let order = self.hosts[host].order;
                let good = !self.chance.percent(self.network.hold_fails_percent);
                let time = self.chance.up_to(HOLD);
                self.later(time, Event::Held { host, order, good });
            }
            Action::Release => {
                self.hosts[host].order += 1;
                self.hosts[host].holds = false;
            }
            Action::Announce => {
                let state = self.hosts[host].router.as_ref().map(Router::state);
                assert_eq!((self.hosts[host].holds, state), (true, Some(State::Master)), "who announces");
            }
        }
    }

    fn advertise(&mut self, from: usize, priority: u8) {
        for to in (0..self.hosts.len()).filter(|to| *to != from) {
            let Some(router) = &self.hosts[from].router else { return };
            let bytes = router.packet(priority, address(to));
            let lost_in_a_row = &mut self.network.lost_in_a_row[from][to];
            let may_be_lost = *lost_in_a_row < self.network.lost_in_a_row_max;
            let lost = self.chance.percent(self.network.lost_percent) && may_be_lost;
            if self.network.cut[from][to] || lost {
                *lost_in_a_row += 1;
                continue;
            }
            *lost_in_a_row = 0;
            let times = if self.chance.percent(self.network.twice_percent) { 2 } else { 1 };
            for _ in 0..times {
                let mut arrives = self.now + self.chance.up_to(self.network.delay_max);
                if self.network.in_order {
                    arrives = arrives.max(self.network.arrived[from][to]);
                    self.network.arrived[from][to] = arrives;
                }
                let event = Event::Packet { from: address(from), to, bytes: bytes.clone() };
                self.later(arrives - self.now, event);
            }
        }
    }

    fn later(&mut self, time: Duration, event: Event) {
        self.serial += 1;
        self.events.insert((self.now + time, self.serial), event);
    }

    /// Takes note of how many have the addresses.
    fn look(&mut self) {
        let now = self.now;
        let holders = self.hosts.iter().filter(|host| host.holds).count();
        let note = |since: &mut Option<Duration>, longest: &mut Duration, is: bool| {
            *longest = since.map_or(*longest, |since| (now - since).max(*longest));
            *since = is.then(|| since.unwrap_or(now));
        };
        note(&mut self.twofold, &mut self.longest_twofold, holders > 1);
        note(&mut self.unheld, &mut self.longest_unheld, holders == 0);
    }

    /// Looks anew for how long more, or less, than one host has them.
    pub(crate) fn forget(&mut self) {
        self.look();
        self.twofold = self.twofold.map(|_| self.now);
        self.unheld = self.unheld.map(|_| self.now);
        (self.longest_twofold, self.longest_unheld) = (Duration::ZERO, Duration::ZERO);
        self.changes.clear();
    }

    pub(crate) fn state(&self, host: usize) -> Option<State> {
        self.hosts[host].router.as_ref().map(Router::state)
    }

    pub(crate) fn masters(&self) -> Vec<usize> {
        (0..self.hosts.len()).filter(|host| self.state(*host) == Some(State::Master)).collect()
    }
}
