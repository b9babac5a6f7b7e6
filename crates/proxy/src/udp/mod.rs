//! Datagrams of UDP listeners: one thread for all of them, started with the first.
//!
//! A *session* is what one client, an address and a port, exchanges with one member. It has a socket of its own towards the
//! member, so answers find their way back, and the kernel says when nobody listens there. A session ends when it is silent for
//! as long as IPVS would wait, or when there is no room ([`sessions`]); it changes its member when that cannot go on.

mod relay;
mod sessions;

use std::io;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use octavia_wire::SocketName;

use self::relay::Relay;
use crate::snapshot::Snapshot;
use crate::state::Registry;
use crate::sys;

/// How many sessions there may be, and for how long one may be silent.
#[derive(Debug, Clone, Copy)]
pub struct UdpBounds {
    pub sessions: usize,
    pub timeout: Duration,
}

impl UdpBounds {
    /// Each session has a port of this machine, of which there are 28,232 for everything on it.
    const MOST: usize = 8_192;

    /// Half of the files that neither connections nor their pipes may have; IPVS's timeout.
    pub(crate) fn of(files: u64) -> Self {
        let share = usize::try_from(files / 16).unwrap_or(usize::MAX);
        Self { sessions: share.clamp(1, Self::MOST), timeout: Duration::from_secs(300) }
    }
}

/// Bytes of datagrams that may wait in the socket of a VIP, if the system lets them.
const QUEUE: usize = 1 << 20;

/// Prepares a socket for the datagrams of an address.
pub(crate) fn prepare(fd: &OwnedFd) -> io::Result<()> {
    sys::datagram_options(fd, QUEUE)
}

/// Control thread → relay.
#[derive(Debug)]
enum Command {
    /// The configuration and the sockets from now on; says when it is in force.
    Configure {
        snapshot: Arc<Snapshot>,
        sockets: Vec<(SocketName, Arc<OwnedFd>)>,
        done: Sender<()>,
    },
    /// Take no more from clients; answers still go to them.
    Drain,
    Stop,
}

/// The relay's thread, from outside. Dropping it stops the thread.
#[derive(Debug)]
pub(crate) struct Handle {
    commands: Sender<Command>,
    wake: Arc<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

impl Handle {
    pub(crate) fn start(registry: Arc<Registry>, bounds: UdpBounds) -> io::Result<Self> {
        let wake = Arc::new(sys::eventfd()?);
        let (commands, receiver) = channel();
        let relay = Relay::new(registry, bounds, Arc::clone(&wake), receiver)?;
        let thread = std::thread::Builder::new().name("datagrams".to_owned()).spawn(|| {
            // As with the traffic threads: better no process, and then a new one.
            let result = catch_unwind(AssertUnwindSafe(|| relay.run()));
            if !matches!(result, Ok(Ok(()))) {
                tracing::error!(?result, "the thread for datagrams broke down");
                std::process::abort();
            }
        })?;
        Ok(Self { commands, wake, thread: Some(thread) })
    }

    /// Takes a configuration into force; `false` = the thread is gone.
    pub(crate) fn configure(
        &self,
        snapshot: Arc<Snapshot>,
        sockets: Vec<(SocketName, Arc<OwnedFd>)>,
    ) -> bool {
        let (done, answer) = channel();
        self.send(Command::Configure { snapshot, sockets, done }) && answer.recv().is_ok()
    }

    pub(crate) fn drain(&self) {
        self.send(Command::Drain);
    }

    fn send(&self, command: Command) -> bool {
        let sent = self.commands.send(command).is_ok();
        sys::eventfd_signal(&self.wake);
        sent
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.send(Command::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
