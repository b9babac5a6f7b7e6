//! Who of an amphora pair holds the VIPs: a router of VRRP ([`octavia_vrrp`]) with sockets, a clock, and somebody who puts
//! addresses on an interface.
//!
//! It has a thread of its own, which waits in poll(2) for packets, timers and its owner's wishes, and for nothing else: the
//! agent's one task may wait for a disk, a proxy or a controller for seconds, and where an advertisement is
//! three intervals late, another router becomes master. Who puts addresses on has another thread, for the same reason.

mod announcer;
mod carrier;
mod keeper;
mod sockets;
mod thread;

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub use octavia_vrrp::State;
use octavia_vrrp::{Password, Settings, Version};
use octavia_wire::{Mac, VrrpFault, VrrpSpec, VrrpVersion};
use rustix::event::{EventfdFlags, eventfd};
use tokio::sync::watch;

pub use self::announcer::Announcer;
pub use self::sockets::VrrpSockets;

/// Puts VIPs on an interface, and takes them off again. It may take its time, but then others do without the VIPs.
pub trait Addresses: Send + 'static {
    /// All of these shall be on, and no other VIP. Without waiting for duplicate address detection: another router may still
    /// have them for a moment. Done twice, it is as done once.
    ///
    /// # Errors
    ///
    /// If one of them could not be put on: then they are taken off, and another router is to hold them.
    fn hold(&mut self, vips: &[IpAddr]) -> io::Result<()>;

    /// None of these shall be on; also when it was another life of the agent that has put them on.
    ///
    /// # Errors
    ///
    /// If one could not be taken off; it is tried again.
    fn release(&mut self, vips: &[IpAddr]) -> io::Result<()>;
}

/// How a router begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begin {
    /// Not before [`Vrrp::set_health`] says that it can serve. The VIPs are taken off.
    Fault,
    /// It listens first. The VIPs are taken off.
    Backup,
    /// As the master that this agent was before it became another binary, less than three intervals ago.
    Master,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VrrpStatus {
    pub state: State,
    pub since: Instant,
    /// The VIPs are on the interface.
    pub holds: bool,
    /// The last advertisement of a peer; that another one came is not told to those who wait for a change.
    pub heard: Option<PeerHeard>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerHeard {
    pub peer: IpAddr,
    /// 0 = it has stopped being master.
    pub priority: u8,
    pub at: Instant,
}

/// Why there can be no router.
#[derive(Debug, thiserror::Error)]
pub enum VrrpError {
    #[error("the virtual router {0}")]
    Spec(#[from] VrrpFault),
    #[error("no interface has the address {0}")]
    NoLink(Mac),
    #[error("more than one interface has the address {0}")]
    ManyLinks(Mac),
    #[error("{what}: {error}")]
    Socket { what: &'static str, error: io::Error },
    #[error("no thread: {0}")]
    Thread(io::Error),
    #[error("another interface, version, router id or own address needs another start")]
    Another,
}

/// A router that runs. Dropped, it leaves, and nobody waits for that.
#[derive(Debug)]
pub struct Vrrp {
    shared: Arc<Shared>,
    status: watch::Receiver<VrrpStatus>,
    identity: (Mac, VrrpVersion, u8, IpAddr),
}

impl Vrrp {
    /// The sockets are those of the same spec.
    ///
    /// # Errors
    ///
    /// If the spec is none, or there can be no thread.
    pub fn start(
        spec: &VrrpSpec,
        sockets: VrrpSockets,
        begin: Begin,
        addresses: impl Addresses,
    ) -> Result<Self, VrrpError> {
        spec.check()?;
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK);
        let bell = bell.map_err(|error| VrrpError::Socket { what: "a bell", error: error.into() })?;
        let wishes = Wishes { healthy: begin != Begin::Fault, leaving: false, settings: None, done: vec![] };
        let shared = Arc::new(Shared { wishes: Mutex::new(wishes), bell });
        let status = thread::start(settings(spec), sockets, begin, Arc::clone(&shared), addresses);
        Ok(Self { shared, status: status.map_err(VrrpError::Thread)?, identity: identity(spec) })
    }

    /// The state, now and as it changes. It ends with the router: when it has left, or has panicked.
    pub fn status(&self) -> watch::Receiver<VrrpStatus> {
        self.status.clone()
    }

    /// Whether the amphora can serve: one that cannot, leaves the VIPs to another.
    pub fn set_health(&self, healthy: bool) {
        self.shared.wish(|wishes| wishes.healthy = healthy);
    }

    /// Goes on with other priorities, intervals, peers, VIPs: who is master stays it.
    ///
    /// # Errors
    ///
    /// If the spec is none, or needs other sockets.
    pub fn update(&self, spec: &VrrpSpec) -> Result<(), VrrpError> {
        spec.check()?;
        if identity(spec) != self.identity {
            return Err(VrrpError::Another);
        }
        self.shared.wish(|wishes| wishes.settings = Some(settings(spec)));
        Ok(())
    }

    /// Leaves: a master hands the VIPs over to another, who follows at once. Done when they are off.
    pub async fn leave(self) {
        let mut status = self.status.clone();
        drop(self);
        while status.changed().await.is_ok() {}
    }
}

impl Drop for Vrrp {
    fn drop(&mut self) {
        self.shared.wish(|wishes| wishes.leaving = true);
    }
}

/// What the threads of a router and its owner share.
#[derive(Debug)]
struct Shared {
    wishes: Mutex<Wishes>,
    /// Rung when there is something to read.
    bell: OwnedFd,
}

#[derive(Debug)]
struct Wishes {
    healthy: bool,
    leaving: bool,
    settings: Option<Settings>,
    done: Vec<keeper::Done>,
}

impl Shared {
    fn wishes(&self) -> MutexGuard<'_, Wishes> {
        // Nothing in it is ever half done.
        self.wishes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wish(&self, change: impl FnOnce(&mut Wishes)) {
        change(&mut self.wishes());
        // That it is full says that it was rung.
        let _ = rustix::io::write(self.bell.as_fd(), &1_u64.to_ne_bytes());
    }
}

fn identity(spec: &VrrpSpec) -> (Mac, VrrpVersion, u8, IpAddr) {
    (spec.interface, spec.version, spec.router_id, spec.source)
}

fn settings(spec: &VrrpSpec) -> Settings {
    Settings {
        version: match spec.version {
            VrrpVersion::V2 => Version::V2,
            VrrpVersion::V3 => Version::V3,
        },
        router_id: spec.router_id,
        priority: spec.priority,
        interval: Duration::from_millis(spec.advert_interval_ms.into()),
        preempt: spec.preempt,
        source: spec.source,
        peers: spec.peers.clone(),
        password: spec.password.as_ref().map(|password| Password::new(password.reveal().as_bytes())),
        vips: spec.vips.clone(),
        announce_every: Duration::from_secs(spec.announce_refresh_s.into()),
        announce_times: spec.announce_refresh_count,
    }
}
