//! Interfaces and listening sockets: when they are looked at, and what the core knows of them.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;

use octavia_model::VrrpState;
use octavia_wire::{AmphoraSpec, Mac, NetworkSpec, SocketName, VrrpReport, VrrpSpec};
use rustix::process::{Resource, getrlimit};
use tokio::time::Instant;

use super::fault::ApplyError;
use super::router::Router;
use super::{Agent, RETRY};
use crate::namespace::{Namespace, within};
use crate::network::{Announce, Fault, LOOK, Network, News, SETTLE, Vips, listener_faults};
use crate::socket::{most, wanted};
use crate::vrrp::Announcer;

/// Of an amphora without a namespace for its traffic it has nothing to do.
#[derive(Debug, Default)]
pub(super) struct Plumber {
    network: Option<Network>,
    news: Option<News>,
    /// When to look what is there.
    look_at: Option<Instant>,
    faults: Vec<Fault>,
    /// Of the spec: which of several amphorae holds the VIPs is for VRRP to say.
    vrrp: Option<VrrpSpec>,
    router: Option<Router>,
}

impl Plumber {
    /// `renewed` = the process was an agent before, and its router may have held the VIPs.
    pub(super) fn new(namespace: Option<&Namespace>, renewed: bool) -> io::Result<Self> {
        let Some(namespace) = namespace else { return Ok(Self::default()) };
        let announcer = namespace.within(Announcer::open)??;
        let network = Network::open(namespace, Box::new(announcer))?;
        let router = Some(Router::new(network.clone(), namespace.clone(), renewed));
        Ok(Self { network: Some(network), news: Some(News::of(namespace)?), router, ..Self::default() })
    }

    /// Whether there are interfaces that are the spec's to say.
    pub(super) fn is_one(&self) -> bool {
        self.network.is_some()
    }

    pub(super) fn due(&self) -> Option<Instant> {
        self.look_at
    }

    /// Of interfaces that are not as they should be, as far as is known.
    pub(super) fn faults(&self) -> &[Fault] {
        &self.faults
    }

    /// Makes the interfaces as the spec wants them, and leaves the VIPs where they are.
    pub(super) fn plumb(&mut self, spec: Option<&AmphoraSpec>) {
        let Some(network) = &self.network else { return };
        self.vrrp = spec.and_then(|spec| spec.network.as_ref()?.vrrp.clone());
        match spec {
            Some(spec) => network.want(spec.network.clone().unwrap_or_default()),
            None => network.leave(),
        }
        // What an earlier life has left is nobody's before there is something to serve.
        if let (Some(router), Some(spec)) = (&mut self.router, &self.vrrp) {
            router.keep(spec);
        }
        self.looked();
    }

    /// The proxy has a spec: an amphora that is alone takes the VIPs, where nobody would have answered before; one that has
    /// peers may from now on. Whether the faults are others now.
    pub(super) fn serve(&mut self) -> bool {
        let (Some(network), Some(router)) = (&self.network, &mut self.router) else { return false };
        match &self.vrrp {
            Some(spec) => {
                router.keep(spec);
                router.set_health(true);
            }
            None => {
                router.stop();
                // What stands against it is among the faults.
                let _ = network.place_vips(Vips::Here);
            }
        }
        self.looked()
    }

    /// Whether the proxy serves, as often as it is asked: one that does not leaves the VIPs to peers.
    pub(super) fn judge(&mut self, serves: bool) {
        if let Some(router) = &mut self.router {
            router.set_health(serves);
        }
    }

    /// What is known of who holds the VIPs, where that is for VRRP to say.
    pub(super) fn vrrp(&self) -> Option<VrrpReport> {
        self.router.as_ref()?.report()
    }

    /// What a heartbeat says of it: a master is who has the VIPs on its interface.
    pub(super) fn part(&self) -> Option<VrrpState> {
        let report = self.vrrp()?;
        Some(if report.state == VrrpState::Master && !report.holds {
            VrrpState::Backup
        } else {
            report.state
        })
    }

    /// Waits for news, and has them looked at; or until another holds the VIPs than before, which is `true`. May be dropped and
    /// called again at any time.
    pub(super) async fn news(&mut self) -> bool {
        tokio::select! {
            () = News::come(self.news.as_ref()) => {}
            () = Router::turned(self.router.as_mut()) => return true,
        }
        let soon = Instant::now() + SETTLE;
        self.look_at = self.look_at.map(|due| due.min(soon)).or(Some(soon));
        false
    }

    /// Undoes what others have done; whether the faults are others now.
    pub(super) fn look(&mut self) -> bool {
        let (Some(network), Some(router)) = (&self.network, &mut self.router) else { return false };
        network.look();
        if let Some(spec) = &self.vrrp {
            router.keep(spec);
        }
        self.looked()
    }

    fn looked(&mut self) -> bool {
        self.look_at = self.network.as_ref().map(|_| Instant::now() + LOOK);
        let mut faults = self.network.as_ref().map(Network::faults).unwrap_or_default();
        faults.extend(self.router.as_ref().and_then(Router::fault).cloned());
        let others = faults != self.faults;
        self.faults = faults;
        others
    }

    /// Hands the VIPs over to a peer, if there is one: what comes from now on is for that one.
    pub(super) async fn hand_over(&mut self) {
        if let Some(router) = &mut self.router {
            router.leave().await;
        }
    }

    /// Takes the VIPs away: whoever asks for them is to find another amphora, not one that refuses.
    pub(super) fn withdraw(&self) {
        if let Some(network) = &self.network
            && let Err(error) = network.place_vips(Vips::Elsewhere)
            // Without a spec there were none.
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::error!(%error, "VIPs may be left");
        }
    }
}

impl Announce for Announcer {
    fn announce(&mut self, interface: u32, mac: Mac, addresses: &[IpAddr]) {
        for address in addresses {
            if let Err(error) = Self::announce(self, interface, mac, *address) {
                tracing::warn!(%address, %error, "neighbours are not told where it is");
            }
        }
    }
}

impl Agent {
    /// Opens what the spec wants, closes nothing, notes the faults; returns what is wanted.
    pub(super) fn open_sockets(&mut self) -> Result<BTreeSet<SocketName>, ApplyError> {
        let (Some(spec), Some(proxy)) = (&self.spec, &self.proxy) else { return Ok(BTreeSet::new()) };
        let wanted = wanted(spec, proxy.threads);
        let most = most(getrlimit(Resource::Nofile).current);
        if wanted.len() > most {
            return Err(ApplyError::TooManySockets(wanted.len(), most));
        }
        let mut faults = vec![];
        if self.sockets.lack(&wanted) {
            let plumbed = spec.network.iter().flat_map(NetworkSpec::vips).collect();
            let (sockets, namespace) = (&mut self.sockets, self.launch.namespace.as_ref());
            let opened = within(namespace, || sockets.open(&wanted, &plumbed));
            faults = opened.map_err(|error| {
                self.retry_at = Some(Instant::now() + RETRY);
                ApplyError::Namespace(error)
            })?;
        }
        // Of these nothing is known here that could be tried again: who pushed the spec does that.
        self.retry_at = (!faults.is_empty()).then(|| Instant::now() + RETRY);
        faults.extend(listener_faults(&spec.listeners, self.plumber.faults()));
        faults.extend(spec.tls_faults());
        faults.extend(self.forwarding.iter().flat_map(|forwarding| forwarding.faults(spec)));
        for fault in faults.iter().filter(|fault| !self.faults.contains(fault)) {
            tracing::warn!(listener = %fault.listener, code = %fault.code, "{}", fault.text);
        }
        if faults != self.faults {
            self.pace.hurry();
        }
        self.faults = faults;
        Ok(wanted)
    }
}
