//! When the amphora's interfaces are looked at, and what the core knows of them.

use std::io;

use octavia_wire::AmphoraSpec;
use tokio::time::Instant;

use crate::namespace::Namespace;
use crate::network::{Fault, LOOK, Network, News, SETTLE, Unannounced, Vips};

/// Of an amphora without a namespace for its traffic it has nothing to do.
#[derive(Debug, Default)]
pub(super) struct Plumber {
    network: Option<Network>,
    news: Option<News>,
    /// When to look what is there.
    look_at: Option<Instant>,
    faults: Vec<Fault>,
}

impl Plumber {
    pub(super) fn new(namespace: Option<&Namespace>) -> io::Result<Self> {
        let Some(namespace) = namespace else { return Ok(Self::default()) };
        let network = Some(Network::open(namespace, Box::new(Unannounced))?);
        Ok(Self { network, news: Some(News::of(namespace)?), ..Self::default() })
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
        match spec {
            Some(spec) => network.want(spec.network.clone().unwrap_or_default()),
            None => network.leave(),
        }
        self.looked();
    }

    /// The proxy has a spec: an amphora that is alone takes the VIPs, where nobody would have answered before. Whether the
    /// faults are others now.
    pub(super) fn serve(&mut self) -> bool {
        let Some(network) = &self.network else { return false };
        network.place_vips(Vips::Here);
        self.looked()
    }

    /// Waits for news, and has them looked at. May be dropped and called again at any time.
    pub(super) async fn news(&mut self) {
        News::come(self.news.as_ref()).await;
        let soon = Instant::now() + SETTLE;
        self.look_at = self.look_at.map(|due| due.min(soon)).or(Some(soon));
    }

    /// Undoes what others have done; whether the faults are others now.
    pub(super) fn look(&mut self) -> bool {
        let Some(network) = &self.network else { return false };
        network.look();
        self.looked()
    }

    fn looked(&mut self) -> bool {
        self.look_at = self.network.as_ref().map(|_| Instant::now() + LOOK);
        let faults = self.network.as_ref().map(Network::faults).unwrap_or_default();
        let others = faults != self.faults;
        self.faults = faults;
        others
    }

    /// Takes the VIPs away: whoever asks for them is to find another amphora, not one that refuses.
    pub(super) fn withdraw(&self) {
        if let Some(network) = &self.network {
            network.place_vips(Vips::Elsewhere);
        }
    }
}
