//! The agent's router of VRRP: started when there is something to serve, changed with the spec, left at the end.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use octavia_model::VrrpState;
use octavia_wire::{VrrpReport, VrrpSpec};
use tokio::sync::watch;

use crate::namespace::Namespace;
use crate::network::{Fault, Network, Vips, no_router};
use crate::vrrp::{Addresses, Begin, State, Vrrp, VrrpError, VrrpSockets, VrrpStatus};

/// Whoever follows needs three intervals at most, and then the VIPs go in any case.
const LEAVING: Duration = Duration::from_secs(3);

#[derive(Debug)]
pub(super) struct Router {
    network: Network,
    namespace: Namespace,
    running: Option<(Vrrp, VrrpSpec)>,
    /// Of the running one.
    status: Option<watch::Receiver<VrrpStatus>>,
    /// Cleared when another router follows the running one, or none.
    current: Arc<AtomicBool>,
    healthy: bool,
    /// The process was an agent before.
    renewed: bool,
    fault: Option<Fault>,
}

impl Router {
    pub(super) fn new(network: Network, namespace: Namespace, renewed: bool) -> Self {
        let current = Arc::default();
        Self {
            network,
            namespace,
            running: None,
            status: None,
            current,
            healthy: false,
            renewed,
            fault: None,
        }
    }

    /// Has it run as the spec says, and take part. What cannot be is a fault; it is tried again with each call.
    pub(super) fn keep(&mut self, spec: &VrrpSpec) {
        if let Some((router, wanted)) = &mut self.running {
            // It is gone when its thread has panicked.
            if router.status().has_changed().is_ok() {
                if wanted == spec {
                    return;
                }
                if router.update(spec).is_ok() {
                    wanted.clone_from(spec);
                    return;
                }
            }
            self.stop();
        }
        match self.start(spec) {
            Ok(router) => {
                self.status = Some(router.status());
                self.running = Some((router, spec.clone()));
                self.fault = None;
            }
            Err(error) => self.fault = Some(no_router(spec, &error)),
        }
    }

    fn start(&mut self, spec: &VrrpSpec) -> Result<Vrrp, VrrpError> {
        let opened = self.namespace.within(|| VrrpSockets::open(spec));
        let sockets = opened.map_err(|error| VrrpError::Socket { what: "the namespace", error })??;
        let begin = match () {
            // Its peers have not noticed that anything was.
            () if std::mem::take(&mut self.renewed) && self.network.has(&spec.vips) => Begin::Master,
            () if self.healthy => Begin::Backup,
            () => Begin::Fault,
        };
        self.current = Arc::new(AtomicBool::new(true));
        let interface = Interface { network: self.network.clone(), current: Arc::clone(&self.current) };
        Vrrp::start(spec, sockets, begin, interface)
    }

    /// The spec wants none any more; where the VIPs are then is the caller's to say.
    pub(super) fn stop(&mut self) {
        self.current.store(false, Relaxed);
        self.running = None;
        self.fault = None;
    }

    /// Whether there is something to serve; a router that starts later begins like that.
    pub(super) fn set_health(&mut self, healthy: bool) {
        if std::mem::replace(&mut self.healthy, healthy) == healthy {
            return;
        }
        if let Some((router, _)) = &self.running {
            router.set_health(healthy);
        }
    }

    pub(super) fn fault(&self) -> Option<&Fault> {
        self.fault.as_ref()
    }

    /// Waits until its state is another; for ever without a router. May be dropped and called again at any time.
    pub(super) async fn turned(router: Option<&mut Self>) {
        let Some(router) = router else { return std::future::pending().await };
        if let Some(status) = &mut router.status {
            if status.changed().await.is_ok() {
                return;
            }
            // It is gone; that is noticed when it is looked at.
            router.status = None;
        }
        std::future::pending().await
    }

    pub(super) fn report(&self) -> Option<VrrpReport> {
        let (router, spec) = self.running.as_ref()?;
        let status = router.status();
        let status = status.borrow();
        Some(VrrpReport { state: told(status.state), holds: status.holds, peers: spec.peers.clone() })
    }

    /// Hands the VIPs over, if there is somebody to take them.
    pub(super) async fn leave(&mut self) {
        if let Some((router, _)) = self.running.take() {
            let _ = tokio::time::timeout(LEAVING, router.leave()).await;
        }
    }
}

fn told(state: State) -> VrrpState {
    match state {
        State::Initialize | State::Fault => VrrpState::Fault,
        State::Backup => VrrpState::Backup,
        State::Master | State::Leaving => VrrpState::Master,
    }
}

/// Where the master puts the VIPs: those of the spec, which are its own. One that another has followed takes its time to
/// leave, and does not have them any more.
struct Interface {
    network: Network,
    current: Arc<AtomicBool>,
}

impl Interface {
    fn place(&self, vips: Vips) -> io::Result<()> {
        if self.current.load(Relaxed) { self.network.place_vips(vips) } else { Ok(()) }
    }
}

impl Addresses for Interface {
    fn hold(&mut self, _: &[IpAddr]) -> io::Result<()> {
        self.place(Vips::Here)
    }

    fn release(&mut self, _: &[IpAddr]) -> io::Result<()> {
        self.place(Vips::Elsewhere)
    }
}
