//! The thread of a router.

use std::io;
use std::net::IpAddr;
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use octavia_vrrp::{Action, Router, Settings, State};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::sync::watch;

use super::keeper::{Order, keep};
use super::sockets::VrrpSockets;
use super::{Addresses, Begin, PeerHeard, Shared, VrrpStatus};
use crate::complaints::Complaints;

/// Longer than any packet that is taken, and as long as what rtnetlink says at once.
const BUFFER: usize = 32 << 10;
/// So many packets are read before timers are looked at again: a flood must not stop them.
const BATCH: u32 = 64;
/// After a socket failed: it may fail again at once, for ever.
const PAUSE: Duration = Duration::from_millis(10);
/// What it does is little, and late it is worse than not done: before the traffic threads, if that is allowed.
const NICENESS: i32 = -10;

/// Answers where its status is to be seen, until it is over.
pub(super) fn start(
    settings: Settings,
    sockets: VrrpSockets,
    begin: Begin,
    shared: Arc<Shared>,
    addresses: impl Addresses,
) -> io::Result<watch::Receiver<VrrpStatus>> {
    let (orders, received) = channel();
    let reports = Arc::clone(&shared);
    let report = move |done| reports.wish(|wishes| wishes.done.push(done));
    let keeper = std::thread::Builder::new().name("vrrp-keeper".to_owned());
    let keeper = keeper.spawn(move || keep(addresses, &received, report))?;

    let origin = Instant::now();
    let mut actions = vec![];
    let router = match begin {
        Begin::Master => Router::resume(settings, Duration::ZERO, &mut actions),
        Begin::Backup | Begin::Fault => {
            // Whatever an earlier life has left.
            actions.push(Action::Release);
            Router::new(settings, begin == Begin::Backup, Duration::ZERO)
        }
    };
    let first =
        VrrpStatus { state: router.state(), since: origin, holds: begin == Begin::Master, heard: None };
    let (status, seen) = watch::channel(first);
    let thread = Thread {
        router,
        sockets,
        shared,
        orders,
        keeper,
        status,
        origin,
        actions,
        carrier: true,
        ordered: 0,
        holds: begin == Begin::Master,
        discarded: Complaints::default(),
        failed: Complaints::default(),
    };
    std::thread::Builder::new().name("vrrp".to_owned()).spawn(move || thread.run())?;
    Ok(seen)
}

struct Thread {
    router: Router,
    sockets: VrrpSockets,
    shared: Arc<Shared>,
    orders: Sender<Order>,
    keeper: JoinHandle<()>,
    status: watch::Sender<VrrpStatus>,
    /// Of the router's time.
    origin: Instant,
    /// What is still to be done, in this order.
    actions: Vec<Action>,
    /// Whether the interface can carry anything.
    carrier: bool,
    /// The number of the last order to the keeper; what becomes of others is old news.
    ordered: u64,
    holds: bool,
    discarded: Complaints,
    failed: Complaints,
}

impl Thread {
    fn run(mut self) {
        let _ = rustix::process::setpriority_process(None, NICENESS);
        tracing::info!(link = self.sockets.link(), state = ?self.router.state(), "VRRP began");
        let mut buffer = vec![0; BUFFER];
        loop {
            // What came while it slept has come before the timers that are due now.
            let more = self.listen(&mut buffer);
            self.look(&mut buffer);
            self.grant();
            let now = self.now();
            self.router.on_timer(now, &mut self.actions);
            self.act();
            self.tell();
            if self.router.state() == State::Initialize {
                break;
            }
            if !more {
                self.wait();
            }
        }
        let Self { orders, keeper, status, .. } = self;
        // It does what it was ordered before it ends.
        drop(orders);
        if keeper.join().is_err() {
            tracing::error!("who keeps VIPs has panicked");
        }
        drop(status);
    }

    fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    /// Takes packets; whether there may be more.
    fn listen(&mut self, buffer: &mut [u8]) -> bool {
        for _ in 0..BATCH {
            let now = self.now();
            match self.sockets.receive(buffer) {
                Ok(None) => {}
                Ok(Some(datagram)) => {
                    let Err(discard) = self.router.receive(&datagram, now, &mut self.actions) else {
                        continue;
                    };
                    if let Some(unsaid) = self.discarded.note(Instant::now().into()) {
                        tracing::warn!(from = %datagram.from, %discard, unsaid, "a packet of VRRP was not taken");
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.complain(&error, "packets of VRRP cannot be received");
                    std::thread::sleep(PAUSE);
                    return false;
                }
            }
        }
        true
    }

    /// Takes note of how the interface is.
    fn look(&mut self, buffer: &mut [u8]) {
        match self.sockets.carrier().news(buffer) {
            Ok(None) => {}
            Ok(Some(carrier)) => {
                if std::mem::replace(&mut self.carrier, carrier) != carrier {
                    tracing::warn!(link = self.sockets.link(), carrier, "the interface of VRRP has changed");
                }
            }
            Err(error) => {
                self.complain(&error, "it is not known how the interface of VRRP is");
                std::thread::sleep(PAUSE);
            }
        }
    }

    /// Takes note of what its owner wishes, and what the keeper has done.
    fn grant(&mut self) {
        // Rung later, it rings again.
        let _ = rustix::io::read(&self.shared.bell, &mut [0; 8]);
        let (healthy, leaving, settings, done) = {
            let mut wishes = self.shared.wishes();
            let done = std::mem::take(&mut wishes.done);
            (wishes.healthy, wishes.leaving, wishes.settings.take(), done)
        };
        let now = self.now();
        let (router, actions) = (&mut self.router, &mut self.actions);
        for done in done {
            if done.serial != self.ordered || !matches!(router.state(), State::Master | State::Leaving) {
                continue;
            }
            self.holds = done.good;
            if done.good {
                router.held(now, actions);
            } else {
                router.hold_failed(now, actions);
            }
        }
        if let Some(settings) = settings {
            router.reconfigure(settings, now, actions);
        }
        // Whoever hears nobody is not to take that for silence.
        router.set_health(healthy && self.carrier, now, actions);
        if leaving {
            router.leave(now, actions);
        }
    }

    fn act(&mut self) {
        for action in std::mem::take(&mut self.actions) {
            match action {
                Action::Advertise(priority) => self.advertise(priority),
                Action::Hold => self.order(true),
                Action::Release => {
                    self.holds = false;
                    self.order(false);
                }
                Action::Announce => self.announce(),
            }
        }
    }

    fn advertise(&mut self, priority: u8) {
        for place in 0.. {
            let Some(peer) = self.router.settings().peers.get(place).copied() else { return };
            let packet = self.router.packet(priority, peer);
            if let Err(error) = self.sockets.send(&packet, peer) {
                self.complain(&error, "an advertisement of VRRP cannot be sent");
            }
        }
    }

    fn announce(&mut self) {
        let vips: Vec<IpAddr> = self.router.settings().vips.clone();
        for vip in vips {
            if let Err(error) = self.sockets.announce(vip) {
                self.complain(&error, "a VIP cannot be announced");
            }
        }
    }

    fn order(&mut self, hold: bool) {
        self.ordered += 1;
        let vips = self.router.settings().vips.clone();
        let order = Order { hold, vips, serial: self.ordered };
        if self.orders.send(order).is_err() && hold {
            // Who keeps them has panicked.
            let now = self.now();
            self.router.hold_failed(now, &mut self.actions);
        }
    }

    fn complain(&mut self, error: &io::Error, what: &'static str) {
        if let Some(unsaid) = self.failed.note(Instant::now().into()) {
            tracing::warn!(link = self.sockets.link(), %error, unsaid, "{what}");
        }
    }

    /// Tells how it is; only of what is worth it, those who wait are woken.
    fn tell(&mut self) {
        let state = self.router.state();
        let holds = self.holds;
        let heard = self.router.heard().map(|heard| PeerHeard {
            peer: heard.peer,
            priority: heard.priority,
            at: self.origin + heard.at,
        });
        self.status.send_if_modified(|status| {
            status.heard = heard;
            let changed = (status.state, status.holds) != (state, holds);
            if status.state != state {
                status.since = Instant::now();
                tracing::info!(before = ?status.state, now = ?state, ?heard, "VRRP");
            }
            (status.state, status.holds) = (state, holds);
            changed
        });
    }

    fn wait(&self) {
        let timeout = if self.actions.is_empty() {
            self.router.deadline().map(|deadline| deadline.saturating_sub(self.now()))
        } else {
            Some(Duration::ZERO)
        };
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        let [vrrp, carrier] = self.sockets.readable();
        let mut fds =
            [vrrp, carrier, self.shared.bell.as_fd()].map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
        // Whatever it says, everything is looked at.
        let _ = poll(&mut fds, timeout.as_ref());
    }
}
