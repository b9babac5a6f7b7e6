//! The state machine (RFC 9568 §6.4), and what goes beyond the RFC:
//!
//! - *Fault*: who could not serve, or could not put the addresses on, stays out, as keepalived's tracked scripts do it.
//! - *Leaving*: a master that leaves on purpose holds the addresses until another does.
//! - A master that was stopped for so long that another followed does not take the addresses back, unless it preempts.
//! - A master announces again where the addresses are after another one was heard: they have no MAC of their own here.

#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::time::Duration;

use crate::{Advertisement, Datagram, Malformed, Settings, TTL, Version};

/// What keepalived leaves the hop limit of unicast packets at, unless it is told otherwise: the system's.
const TTL_OF_KEEPALIVED: u8 = 64;
/// After the addresses were put on: some may have lost the first announcement, or been told otherwise in between.
const ANNOUNCE_AFTER: [Duration; 5] = [
    Duration::ZERO,
    Duration::from_millis(100),
    Duration::from_millis(300),
    Duration::from_millis(1_000),
    Duration::from_millis(3_000),
];
/// The least time between two rows of them: others must not be able to cause a storm.
const ANNOUNCE_PAUSE: Duration = Duration::from_secs(1);
/// From the first advertisement of who follows to having its addresses on.
const HAND_OVER: Duration = Duration::from_millis(100);
/// How long a router that could not put the addresses on leaves them to others.
const HOLD_RETRY: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// It takes no part; it has left.
    Initialize,
    /// It takes no part before it can serve.
    Fault,
    /// It listens whether there is a master.
    Backup,
    /// It holds the addresses.
    Master,
    /// It holds them until another does.
    Leaving,
}

/// What the owner of a router has to do, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Send the advertisement of this priority to every peer.
    Advertise(u8),
    /// Put all addresses on, and those that are none any more off; then say [`Router::held`] or [`Router::hold_failed`].
    Hold,
    /// Take the addresses off.
    Release,
    /// Announce where the addresses are.
    Announce,
}

/// The last advertisement that was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heard {
    pub peer: IpAddr,
    pub priority: u8,
    pub at: Duration,
}

/// Why a packet was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Discard {
    #[error("it comes from {0}, which is no peer")]
    Stranger(IpAddr),
    #[error("it comes through a router: its time to live is {0}")]
    Ttl(u8),
    #[error("it {0}")]
    Malformed(#[from] Malformed),
    #[error("it is of version {0:?}")]
    Version(Version),
    #[error("it is of virtual router {0}")]
    RouterId(u8),
    #[error("it has no password, another one, or one too many")]
    Password,
    #[error("it says that one comes every {0:?}, which version 2 wants to be the same everywhere")]
    Interval(Duration),
}

/// One router of a virtual router.
#[derive(Debug)]
pub struct Router {
    settings: Settings,
    state: State,
    healthy: bool,
    /// Of the master (and of who leaves) when it advertises next, of the backup when it becomes it, of a fault when it is
    /// over; `None` = nothing happens by itself.
    timer: Option<Duration>,
    /// Active_Adver_Interval: what the master says of itself.
    master_interval: Duration,
    /// When who leaves lets go of the addresses.
    leave_by: Duration,
    /// Whether who leaves has heard who follows.
    followed: bool,
    announcing: Option<Announcing>,
    heard: Option<Heard>,
}

#[derive(Debug)]
struct Announcing {
    began: Duration,
    /// How many of those that follow the start are over.
    made: usize,
    next: Option<Duration>,
}

impl Router {
    /// Does not hold the addresses, and listens first.
    pub fn new(settings: Settings, healthy: bool, now: Duration) -> Self {
        let master_interval = settings.interval;
        let mut router = Self {
            settings,
            state: State::Fault,
            healthy,
            timer: None,
            master_interval,
            leave_by: Duration::ZERO,
            followed: false,
            announcing: None,
            heard: None,
        };
        router.startup(now);
        router
    }

    /// Goes on as the master that it was a moment ago, in another process: the addresses are on.
    pub fn resume(settings: Settings, now: Duration, actions: &mut Vec<Action>) -> Self {
        let mut router = Self::new(settings, true, now);
        router.become_master(now, actions);
        router
    }

    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    pub fn state(&self) -> State {
        self.state
    }

    pub fn heard(&self) -> Option<Heard> {
        self.heard
    }

    /// The packet that [`Action::Advertise`] asks for.
    pub fn packet(&self, priority: u8, to: IpAddr) -> Vec<u8> {
        self.settings.advertisement(priority).encode(self.settings.source, to)
    }

    /// When [`Self::on_timer`] wants to be called; `None` = not before something else happens.
    pub fn deadline(&self) -> Option<Duration> {
        let announcing = self.announcing.as_ref().and_then(|announcing| announcing.next);
        [self.timer, announcing].into_iter().flatten().min()
    }

    /// Takes what a socket has received. Whoever was late for a timer passes what came meanwhile before it calls
    /// [`Self::on_timer`]: silence is what nobody broke, not what nobody listened to.
    ///
    /// # Errors
    ///
    /// If it is not for this router; then nothing has changed.
    pub fn receive(
        &mut self,
        datagram: &Datagram<'_>,
        now: Duration,
        actions: &mut Vec<Action>,
    ) -> Result<(), Discard> {
        let advertisement = self.check(datagram)?;
        let (peer, priority) = (datagram.from, advertisement.priority);
        self.heard = Some(Heard { peer, priority, at: now });
        match self.state {
            State::Initialize | State::Fault => {}
            State::Backup => self.hear_as_backup(&advertisement, now),
            State::Master => self.hear_as_master(peer, &advertisement, now, actions),
            State::Leaving if priority > 0 && !self.followed => {
                self.followed = true;
                self.leave_by = now + HAND_OVER;
                self.timer = Some(self.leave_by);
            }
            State::Leaving => {}
        }
        Ok(())
    }

    /// RFC 9568 §7.1. That addresses are the same is not asked for: when one more comes, one router knows it before the
    /// other.
    fn check(&self, datagram: &Datagram<'_>) -> Result<Advertisement, Discard> {
        let settings = &self.settings;
        if !settings.peers.contains(&datagram.from) {
            return Err(Discard::Stranger(datagram.from));
        }
        let comes_near = match datagram.ttl {
            TTL => true,
            TTL_OF_KEEPALIVED => datagram.from.is_ipv6(),
            _ => false,
        };
        if !comes_near {
            return Err(Discard::Ttl(datagram.ttl));
        }
        let advertisement = Advertisement::decode(datagram.payload, datagram.from, datagram.to)?;
        if advertisement.version != settings.version {
            return Err(Discard::Version(advertisement.version));
        }
        if advertisement.router_id != settings.router_id {
            return Err(Discard::RouterId(advertisement.router_id));
        }
        if advertisement.password != settings.password {
            return Err(Discard::Password);
        }
        if settings.version == Version::V2 && advertisement.interval != settings.interval {
            return Err(Discard::Interval(advertisement.interval));
        }
        Ok(advertisement)
    }

    fn hear_as_backup(&mut self, advertisement: &Advertisement, now: Duration) {
        if advertisement.priority == 0 {
            // Said again, it must not put off what was begun.
            let soon = now + self.settings.skew_time(self.master_interval);
            self.timer = self.timer.map(|timer| timer.min(soon));
        } else if !self.settings.preempt || advertisement.priority >= self.settings.priority {
            self.follow(advertisement, now);
        }
    }

    fn hear_as_master(
        &mut self,
        peer: IpAddr,
        advertisement: &Advertisement,
        now: Duration,
        actions: &mut Vec<Action>,
    ) {
        let (theirs, own) = ((advertisement.priority, peer), (self.settings.priority, self.settings.source));
        if advertisement.priority > 0 && (theirs > own || self.was_stopped(now)) {
            actions.push(Action::Release);
            self.announcing = None;
            self.state = State::Backup;
            return self.follow(advertisement, now);
        }
        // If one of two that both believe to be first answered every word of the other, there would be a storm.
        if self.timer.is_none_or(|timer| timer <= now + self.settings.interval * 3 / 4) {
            self.advertise(now, actions);
        }
        // The other one may have announced itself.
        if let Some(announcing) = &mut self.announcing
            && now >= announcing.began + ANNOUNCE_PAUSE
        {
            *announcing = Announcing { began: now, made: 0, next: Some(now) };
        }
    }

    /// Whether three of its advertisements in a row are missing: others go on without it.
    fn was_stopped(&self, now: Duration) -> bool {
        let missed = |due| now >= due + 2 * self.settings.interval;
        !self.settings.preempt && self.timer.is_some_and(missed)
    }

    fn follow(&mut self, advertisement: &Advertisement, now: Duration) {
        self.master_interval = advertisement.interval;
        self.timer = Some(now + self.settings.down_interval(self.master_interval));
    }

    pub fn on_timer(&mut self, now: Duration, actions: &mut Vec<Action>) {
        if self.timer.is_some_and(|timer| timer <= now) {
            match self.state {
                State::Initialize => self.timer = None,
                State::Fault => self.startup(now),
                State::Backup => self.become_master(now, actions),
                State::Master => self.advertise(now, actions),
                State::Leaving if now >= self.leave_by => self.shutdown(State::Initialize, actions),
                State::Leaving => self.resign(now, actions),
            }
        }
        self.announce(now, actions);
    }

    /// It can serve, or it cannot.
    pub fn set_health(&mut self, healthy: bool, now: Duration, actions: &mut Vec<Action>) {
        if std::mem::replace(&mut self.healthy, healthy) == healthy {
            return;
        }
        match self.state {
            State::Fault if healthy && self.timer.is_none() => self.startup(now),
            State::Backup | State::Master if !healthy => self.shutdown(State::Fault, actions),
            State::Leaving if !healthy => self.shutdown(State::Initialize, actions),
            _ => {}
        }
    }

    /// Goes on with other settings, of the same version, router and source.
    pub fn reconfigure(&mut self, settings: Settings, now: Duration, actions: &mut Vec<Action>) {
        if self.settings == settings {
            return;
        }
        let before = std::mem::replace(&mut self.settings, settings);
        match self.state {
            State::Master => {
                self.advertise(now, actions);
                if before.vips != self.settings.vips {
                    actions.push(Action::Hold);
                }
            }
            State::Backup => {
                let down_before = before.down_interval(self.master_interval);
                if self.heard.is_none() {
                    self.master_interval = self.settings.interval;
                }
                // What has passed of the time has passed.
                let down = self.settings.down_interval(self.master_interval);
                self.timer = self.timer.map(|timer| (timer + down).saturating_sub(down_before));
            }
            State::Initialize | State::Fault | State::Leaving => {}
        }
    }

    /// Leaves, for good. A master hands the addresses over: it is [`State::Initialize`] when that is done.
    pub fn leave(&mut self, now: Duration, actions: &mut Vec<Action>) {
        match self.state {
            State::Initialize | State::Leaving => {}
            State::Master if !self.settings.peers.is_empty() => {
                self.state = State::Leaving;
                self.announcing = None;
                self.leave_by = now + self.settings.noticed_after();
                self.resign(now, actions);
            }
            _ => self.shutdown(State::Initialize, actions),
        }
    }

    /// The addresses are on, as [`Action::Hold`] has asked.
    pub fn held(&mut self, now: Duration, actions: &mut Vec<Action>) {
        if self.state == State::Master {
            self.announcing = Some(Announcing { began: now, made: 0, next: Some(now) });
            self.announce(now, actions);
        }
    }

    /// The addresses could not be put on: others are to try.
    pub fn hold_failed(&mut self, now: Duration, actions: &mut Vec<Action>) {
        match self.state {
            State::Master => {
                self.shutdown(State::Fault, actions);
                self.timer = Some(now + HOLD_RETRY);
            }
            State::Leaving => self.shutdown(State::Initialize, actions),
            State::Initialize | State::Fault | State::Backup => {}
        }
    }

    /// Begins to listen, if it may.
    fn startup(&mut self, now: Duration) {
        self.timer = None;
        if self.healthy {
            self.state = State::Backup;
            self.master_interval = self.settings.interval;
            self.timer = Some(now + self.settings.down_interval(self.master_interval));
        }
    }

    /// Takes no part any more, at once.
    fn shutdown(&mut self, state: State, actions: &mut Vec<Action>) {
        match self.state {
            State::Master => actions.extend([Action::Advertise(0), Action::Release]),
            State::Leaving => actions.push(Action::Release),
            State::Initialize | State::Fault | State::Backup => {}
        }
        self.state = state;
        self.timer = None;
        self.announcing = None;
    }

    fn become_master(&mut self, now: Duration, actions: &mut Vec<Action>) {
        self.state = State::Master;
        self.timer = None;
        self.advertise(now, actions);
        actions.push(Action::Hold);
    }

    fn advertise(&mut self, now: Duration, actions: &mut Vec<Action>) {
        actions.push(Action::Advertise(self.settings.priority));
        self.timer = Some(self.next(now));
    }

    /// Says that it stops being master: again and again, since it may be lost.
    fn resign(&mut self, now: Duration, actions: &mut Vec<Action>) {
        if !self.followed {
            actions.push(Action::Advertise(0));
        }
        self.timer = Some(self.next(now).min(self.leave_by));
    }

    /// An interval after it was due, so that delays do not add up; but nothing is made up for.
    fn next(&self, now: Duration) -> Duration {
        let interval = self.settings.interval;
        let due = self.timer.filter(|due| *due <= now && *due + interval > now).unwrap_or(now);
        due + interval
    }

    fn announce(&mut self, now: Duration, actions: &mut Vec<Action>) {
        let Some(announcing) = &mut self.announcing else { return };
        let Some(_) = announcing.next.filter(|next| *next <= now) else { return };
        let Settings { announce_every: every, announce_times: times, .. } = self.settings;
        let is_refresh = announcing.made >= ANNOUNCE_AFTER.len();
        actions.extend(std::iter::repeat_n(Action::Announce, if is_refresh { times.into() } else { 1 }));
        // Those that it is late for are not made up for.
        let left = ANNOUNCE_AFTER.iter().skip(announcing.made + 1);
        let next = left.clone().position(|after| announcing.began + *after > now);
        announcing.made += 1 + next.unwrap_or(left.len());
        announcing.next = match ANNOUNCE_AFTER.get(announcing.made) {
            Some(after) => Some(announcing.began + *after),
            None => (!every.is_zero()).then(|| now + every),
        };
    }
}
