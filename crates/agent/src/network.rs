//! The interfaces of an amphora that has some of its own: somebody puts them into its traffic namespace, and here they are
//! made as the spec describes them.
//!
//! What is there is looked at with each spec, when the kernel tells of a change, and now and then; what differs from what is
//! wanted is changed ([`wanted`], [`diff`]: pure). So what somebody takes away comes back, and what nobody wants any more goes,
//! if it is of the agent's making.

mod diff;
mod faults;
mod message;
mod netlink;
mod state;
#[cfg(test)]
mod tests;
mod wanted;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use octavia_wire::{Mac, NetworkSpec};
use tokio::io::unix::AsyncFd;

use self::diff::{Change, diff};
pub(crate) use self::faults::{Fault, listener_faults, no_router};
use self::netlink::{Kernel, discard_news, open_news};
use self::state::{Found, Index, Link};
pub(crate) use self::wanted::Vips;
use self::wanted::wanted;
use crate::namespace::Namespace;
use crate::sys::watch;

/// How often it is looked at though nothing was heard of.
pub(crate) const LOOK: Duration = Duration::from_secs(5);
/// After news: more of them may be on their way, and nobody can make the agent do nothing but look.
pub(crate) const SETTLE: Duration = Duration::from_millis(50);
/// A change may bring others with it, such as addresses that go with the one they came after.
const ROUNDS: u32 = 4;

/// Tells the neighbours of an interface that addresses are there now, so that none of them sends to where they were: by
/// gratuitous ARP and unsolicited neighbour advertisements.
pub(crate) trait Announce: Debug + Send {
    /// May not take long. What fails is its own to tell of: neighbours find out by themselves, later.
    fn announce(&mut self, interface: Index, mac: Mac, addresses: &[IpAddr]);
}

/// For whoever may say where the VIPs are, from whatever thread: it takes effect at once, and does not wait for the
/// agent, which may be waiting for its proxy.
#[derive(Debug, Clone)]
pub(crate) struct Network(Arc<Mutex<Plumbing>>);

#[derive(Debug)]
struct Plumbing {
    namespace: Namespace,
    kernel: Kernel,
    announce: Box<dyn Announce>,
    /// `None` = the spec is not known, and everything stays as it is.
    spec: Option<Arc<NetworkSpec>>,
    vips: Vips,
    faults: Vec<Fault>,
    /// Nothing can be done about it: the settings of the system cannot be written.
    believes_routers: bool,
}

impl Network {
    pub(crate) fn open(namespace: &Namespace, announce: Box<dyn Announce>) -> io::Result<Self> {
        Ok(Self(Arc::new(Mutex::new(Plumbing {
            namespace: namespace.clone(),
            kernel: namespace.within(Kernel::open)??,
            announce,
            spec: None,
            vips: Vips::AsTheyAre,
            faults: vec![],
            believes_routers: false,
        }))))
    }

    fn plumbing(&self) -> MutexGuard<'_, Plumbing> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes it as this spec describes it.
    pub(crate) fn want(&self, spec: NetworkSpec) {
        let mut plumbing = self.plumbing();
        plumbing.spec = Some(Arc::new(spec));
        plumbing.make_true();
    }

    /// The spec is not known any more: all stays as it is.
    pub(crate) fn leave(&self) {
        let mut plumbing = self.plumbing();
        plumbing.spec = None;
        plumbing.faults.clear();
    }

    /// Says where the VIPs are; their addresses come or go before this returns, or it says why not all of them. Then they do
    /// as soon as they can.
    pub(crate) fn place_vips(&self, vips: Vips) -> io::Result<()> {
        let mut plumbing = self.plumbing();
        if plumbing.spec.is_none() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "which they are is not known"));
        }
        if plumbing.vips != vips {
            tracing::info!(?vips, "VIPs");
            plumbing.vips = vips;
        }
        plumbing.make_true();
        match plumbing.faults.iter().find(|fault| fault.misplaces) {
            Some(fault) => Err(io::Error::other(fault.told.text.clone())),
            None => Ok(()),
        }
    }

    /// Whether all of these are on interfaces now.
    pub(crate) fn has(&self, vips: &[IpAddr]) -> bool {
        let Ok(found) = self.plumbing().kernel.look() else { return false };
        vips.iter().all(|vip| found.addresses.iter().any(|(address, _)| address.address.addr() == *vip))
    }

    /// Whether something was changed by others is looked at, and made undone.
    pub(crate) fn look(&self) {
        self.plumbing().make_true();
    }

    pub(crate) fn faults(&self) -> Vec<Fault> {
        self.plumbing().faults.clone()
    }
}

impl Plumbing {
    fn make_true(&mut self) {
        let Some(spec) = self.spec.clone() else { return };
        let faults = self.work(&spec);
        for Fault { told, .. } in faults.iter().filter(|fault| !self.faults.contains(fault)) {
            tracing::warn!(mac = ?told.mac, code = %told.code, "{}", told.text);
        }
        for Fault { told, .. } in self.faults.iter().filter(|fault| !faults.contains(fault)) {
            tracing::info!(mac = ?told.mac, "no more: {}", told.text);
        }
        self.faults = faults;
    }

    /// Looks and changes until nothing differs; answers what cannot be done.
    fn work(&mut self, spec: &NetworkSpec) -> Vec<Fault> {
        let mut come: BTreeMap<Index, Vec<IpAddr>> = BTreeMap::new();
        let mut faults = vec![];
        for _ in 0..ROUNDS {
            let found = match self.kernel.look() {
                Ok(found) => found,
                Err(error) => return vec![faults::unseen(spec, &error)],
            };
            let wanted = wanted(spec, self.vips, &found);
            let missing = wanted.missing.iter();
            faults = missing.map(|mac| faults::missing(spec, self.vips, *mac)).collect::<Vec<_>>();
            let mut changes = diff(&wanted, &found);
            changes.retain(|change| !matches!(change, Change::StopBelieving(_)) || !self.believes_routers);
            let mut changed = false;
            for change in changes {
                let link =
                    change.link().and_then(|index| found.links.iter().find(|link| link.index == index));
                match self.change(&change, link) {
                    Ok(()) => {
                        changed = true;
                        tracing::info!(interface = link.map(|link| &link.name), "{change}");
                        if let Change::AddAddress(address) = change {
                            come.entry(address.link).or_default().push(address.address.addr());
                        }
                    }
                    // What the spec wants goes before what strangers say; so it is no fault.
                    Err(error) if matches!(change, Change::StopBelieving(_)) => {
                        tracing::warn!(%error, "whoever says that he is a router is believed");
                        self.believes_routers = true;
                    }
                    Err(error) => faults.push(faults::failed(spec, &change, link, &error)),
                }
            }
            self.tell(&mut come, &found);
            if !changed {
                break;
            }
        }
        faults
    }

    fn change(&mut self, change: &Change, link: Option<&Link>) -> io::Result<()> {
        match (change, link) {
            (Change::StopBelieving(_), Some(link)) => {
                // These settings have no other door, and which namespace's they are depends on who opens it.
                let setting = format!("/proc/sys/net/ipv6/conf/{}/accept_ra", link.name);
                self.namespace.within(|| std::fs::write(setting, "0"))?
            }
            _ => self.kernel.change(change),
        }
    }

    /// Of addresses that have come.
    fn tell(&mut self, come: &mut BTreeMap<Index, Vec<IpAddr>>, found: &Found) {
        while let Some((index, addresses)) = come.pop_first() {
            let link = found.links.iter().find(|link| link.index == index);
            if let Some(mac) = link.and_then(|link| link.mac) {
                self.announce.announce(index, mac, &addresses);
            }
        }
    }
}

/// Hears that something has changed in a namespace.
#[derive(Debug)]
pub(crate) struct News(AsyncFd<OwnedFd>);

impl News {
    pub(crate) fn of(namespace: &Namespace) -> io::Result<Self> {
        Ok(Self(watch(namespace.within(open_news)??)?))
    }

    /// Waits for the next ones; for ever without a namespace. May be dropped and called again at any time.
    pub(crate) async fn come(news: Option<&Self>) {
        let Some(Self(socket)) = news else { return std::future::pending().await };
        match socket.readable().await {
            Ok(mut ready) => {
                discard_news(socket.get_ref());
                ready.clear_ready();
            }
            Err(error) => {
                tracing::error!(%error, "changes of the network are noticed late");
                std::future::pending().await
            }
        }
    }
}
