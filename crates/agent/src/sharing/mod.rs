//! Clients keep their members when the other amphora of a pair takes over: each has the other's stick tables
//! ([`octavia_wire::sharing`]).
//!
//! One task listens at the amphora's own address for its peers, and one for each peer asks it. The tables are the proxy's, with
//! which the agent's one task speaks: so both put their questions to that ([`Sharing::asked`]).

mod answering;
mod asking;
mod line;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use octavia_model::PoolId;
use octavia_wire::sharing::{Answer, Ask, SharedTables};
use octavia_wire::{AmphoraSpec, PersistenceSpec, PoolSpec, SharingSpec};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use crate::namespace::Namespace;

/// Questions waiting for the agent's one task; who asks more, waits.
const QUESTIONS: usize = 4;

/// What has to be put to the proxy, with the way back.
#[derive(Debug)]
pub(crate) enum Question {
    News(Ask, oneshot::Sender<Answer>),
    Learn(SharedTables, oneshot::Sender<Vec<PoolId>>),
}

/// Who shares with whom.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Circle {
    source: IpAddr,
    peers: Vec<IpAddr>,
    sharing: SharingSpec,
}

impl Circle {
    /// `None` = there is nobody to share with, or nothing: clients are not remembered.
    fn of(spec: &AmphoraSpec) -> Option<Self> {
        let remembers = |pool: &PoolSpec| {
            let persistence = pool.persistence.as_ref();
            persistence.is_some_and(|persistence| *persistence != PersistenceSpec::HttpCookie)
        };
        let sharing = spec.sharing().filter(|_| spec.pools.iter().any(remembers))?;
        let vrrp = spec.network.as_ref()?.vrrp.as_ref().filter(|vrrp| !vrrp.peers.is_empty())?;
        Some(Self { source: vrrp.source, peers: vrrp.peers.clone(), sharing: sharing.clone() })
    }
}

#[derive(Debug)]
pub(crate) struct Sharing {
    /// Where the addresses are.
    namespace: Option<Namespace>,
    circle: Option<Circle>,
    /// They end with it.
    tasks: JoinSet<()>,
    /// The VIPs are here: clients come, and nothing new is to be expected from peers.
    serves: Arc<AtomicBool>,
    questions: (mpsc::Sender<Question>, mpsc::Receiver<Question>),
}

impl Sharing {
    pub(crate) fn new(namespace: Option<Namespace>) -> Self {
        let (circle, tasks, serves) = (None, JoinSet::new(), Arc::default());
        Self { namespace, circle, tasks, serves, questions: mpsc::channel(QUESTIONS) }
    }

    /// Shares as the spec says, which is in force. What cannot be is tried again by itself.
    pub(crate) fn keep(&mut self, spec: Option<&AmphoraSpec>) {
        let circle = spec.and_then(Circle::of);
        if circle != self.circle {
            self.circle = circle;
            self.begin();
        }
    }

    /// The tables are empty: with the next spec that is in force, all there is has to be asked for.
    pub(crate) fn forget(&mut self) {
        self.circle = None;
        self.begin();
    }

    pub(crate) fn set_serves(&self, serves: bool) {
        self.serves.store(serves, Relaxed);
    }

    fn begin(&mut self) {
        self.tasks = JoinSet::new();
        let Some(circle) = &self.circle else { return };
        let (namespace, questions) = (&self.namespace, &self.questions.0);
        self.tasks.spawn(answering::always(circle.clone(), namespace.clone(), questions.clone()));
        for peer in &circle.peers {
            let asker = asking::Asker {
                circle: circle.clone(),
                peer: *peer,
                namespace: namespace.clone(),
                questions: questions.clone(),
                serves: Arc::clone(&self.serves),
            };
            self.tasks.spawn(asker.always());
        }
    }

    /// Waits for a question to the proxy. May be dropped and called again at any time.
    pub(crate) async fn asked(&mut self) -> Question {
        match self.questions.1.recv().await {
            Some(question) => question,
            // There is a sender: ours.
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests;
