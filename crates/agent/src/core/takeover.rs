//! That another proxy, of the binary that is on disk now, takes over from the one that serves, and then the agent becomes
//! that binary, too.
//!
//! Nothing changes until the new one serves: whatever goes wrong before, the old one goes on.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use octavia_wire::TakeoverReport;
use tokio::task::JoinHandle;

use super::{Agent, Renewal, STOP_GRACE};
use crate::link::LinkError;
use crate::logs::{Logs, Opened};
use crate::predecessors;
use crate::proxy::{Configured, Proxy, ProxyError};
use crate::renewal::{self, RenewalError};

/// The one that is to take over, while it starts.
pub(super) type Successor = JoinHandle<Result<Proxy, ProxyError>>;

#[derive(Debug, thiserror::Error)]
pub(super) enum TakeoverError {
    #[error("one is under way already")]
    UnderWay,
    #[error("{most} proxies that were taken over from still carry connections", most = predecessors::MOST)]
    TooMany,
    #[error("the new proxy did not start: {0}")]
    Start(#[from] ProxyError),
    #[error("the new proxy broke down at its start")]
    BrokeDown,
    #[error("there is no proxy to take over from")]
    NoProxy,
    #[error("the spec in force is not known")]
    NoSpec,
    #[error("the proxy that serves does not hand over: {0}")]
    Old(LinkError),
    #[error("the new proxy does not take over: {0}")]
    New(LinkError),
    #[error("the new proxy refuses the spec: {0}")]
    Refused(String),
    #[error("the new proxy could not be given its names: {0}")]
    Names(#[from] io::Error),
}

impl Agent {
    /// Begins; the end comes to `hand_over`.
    pub(super) fn take_over(&mut self) {
        if let Err(error) = self.begin() {
            self.conclude(&Err(error));
        }
    }

    fn begin(&mut self) -> Result<(), TakeoverError> {
        if self.successor.is_some() || !matches!(self.renewal, Renewal::None) {
            return Err(TakeoverError::UnderWay);
        }
        if self.predecessors.len() >= predecessors::MOST {
            return Err(TakeoverError::TooMany);
        }
        let proxy = self.proxy.as_ref().ok_or(TakeoverError::NoProxy)?;
        self.takeover = None;
        tracing::info!(pid = proxy.pid(), "another proxy is to take over");
        let (directory, launch) = (self.directory.clone(), self.launch.clone());
        // As many threads, since each has sockets of its own.
        let threads = proxy.threads;
        let leaving = self.leaving.take();
        self.successor = Some(tokio::spawn(async move {
            if let Some(leaving) = leaving {
                // Its files have the names that those of the next one will have.
                let _ = leaving.await;
            }
            Proxy::start_next(&directory, &launch, threads).await
        }));
        Ok(())
    }

    /// Waits for the one that starts; for ever if there is none. May be dropped and called again at any time.
    pub(super) async fn successor(successor: &mut Option<Successor>) -> Result<Proxy, TakeoverError> {
        let Some(starting) = successor else { return std::future::pending().await };
        let started = starting.await;
        *successor = None;
        Ok(started.map_err(|_| TakeoverError::BrokeDown)??)
    }

    pub(super) async fn hand_over(&mut self, started: Result<Proxy, TakeoverError>) {
        let outcome = match started {
            Ok(next) => self.hand_over_to(next).await,
            Err(error) => Err(error),
        };
        match outcome {
            // The binary is good for something: now it is the agent's turn.
            Ok(()) if !self.agent_command.is_empty() => self.begin_renewal(),
            outcome => self.conclude(&outcome),
        }
        self.settle_predecessors().await;
        self.pace.hurry();
    }

    fn conclude(&mut self, outcome: &Result<(), TakeoverError>) {
        let text = match outcome {
            Ok(()) => String::new(),
            Err(error) => {
                tracing::error!(%error, "no take-over: everything goes on as it was");
                error.to_string()
            }
        };
        self.takeover = Some(TakeoverReport { done: outcome.is_ok(), text });
    }

    fn begin_renewal(&mut self) {
        let command = self.agent_command.clone();
        self.renewal = Renewal::Checking(tokio::spawn(async move { renewal::check(&command).await }));
    }

    /// Waits for what the binary says; for ever if it is not asked. May be dropped and called again at any time.
    pub(super) async fn checked(renewal: &mut Renewal) -> Result<(), RenewalError> {
        let Renewal::Checking(checking) = renewal else { return std::future::pending().await };
        let checked = checking.await;
        *renewal = Renewal::None;
        checked.unwrap_or(Err(RenewalError::BrokeDown))
    }

    pub(super) fn checked_renewal(&mut self, checked: Result<(), RenewalError>) {
        match checked {
            Ok(()) => self.renewal = Renewal::Due,
            Err(error) => self.not_renewed(&error),
        }
    }

    /// Only the proxy is new.
    pub(super) fn not_renewed(&mut self, error: &RenewalError) {
        tracing::error!(%error, "the agent stays what it was; its proxy is new");
        self.takeover = Some(TakeoverReport { done: false, text: error.to_string() });
    }

    async fn hand_over_to(&mut self, mut next: Proxy) -> Result<(), TakeoverError> {
        let prepared = match self.prepare(&mut next).await {
            Ok(()) => self.proxy.as_ref().ok_or(TakeoverError::NoProxy).map(Proxy::pid),
            Err(error) => Err(error),
        };
        let promoted = prepared.and_then(|pid| Ok((pid, self.directory.promote(pid)?)));
        let pid = match promoted {
            Ok((pid, ())) => pid,
            Err(error) => {
                if let Some(proxy) = &self.proxy {
                    // Some of the names may have changed.
                    let _ = proxy.write_pid(&self.directory);
                }
                // It may have begun to serve.
                self.leaving = Some(tokio::spawn(async move {
                    next.stop(STOP_GRACE).await;
                }));
                return Err(error);
            }
        };
        next.socket = octavia_wire::files::PROXY_SOCKET.to_owned();
        tracing::info!(pid = next.pid(), from = pid, boot = %next.boot, "a new proxy has taken over");
        self.breaks = 0;
        self.pending = false;
        self.request_ids = None;
        let Some(mut old) = self.proxy.replace(next) else { return Ok(()) };
        old.socket = format!("{}.{pid}", octavia_wire::files::PROXY_SOCKET);
        let told = old.step_aside(self.predecessors.limit()).await;
        match &told {
            Ok(()) => self.hand_newest_clients(&mut old).await,
            Err(error) => tracing::warn!(pid, %error, "the old proxy is told to step aside later"),
        }
        self.predecessors.push(old, told.is_ok());
        Ok(())
    }

    /// When this returns well, both serve.
    async fn prepare(&mut self, next: &mut Proxy) -> Result<(), TakeoverError> {
        let old = self.proxy.as_mut().ok_or(TakeoverError::NoProxy)?;
        let estate = old.estate().await.map_err(TakeoverError::Old)?;
        next.inherit(estate).await.map_err(TakeoverError::New)?;
        let Some(spec) = &self.spec else {
            return if old.running == (0, 0) { Ok(()) } else { Err(TakeoverError::NoSpec) };
        };
        for pool in spec.pools.iter().filter(|pool| pool.persistence.is_some()) {
            next.inherit_table(pool.id, old).await.map_err(TakeoverError::New)?;
        }
        let wanted = octavia_wire::SocketName::wanted(spec, next.threads);
        let sockets = wanted.filter_map(|name| Some((name, Arc::clone(self.sockets.get(&name)?)))).collect();
        // It has nothing of what the old one was given.
        let mut logs = Logs::default();
        let opened = if next.takes_logs { logs.open(spec, self.directory.path()) } else { Opened::default() };
        match next.configure(spec, sockets, BTreeSet::new(), &opened, self.request_ids.as_ref()).await {
            Ok(Configured::Applied) => {
                logs.told(opened);
                self.logs = logs;
                Ok(())
            }
            Ok(Configured::Refused(error, _)) => Err(TakeoverError::Refused(error)),
            Err(error) => Err(TakeoverError::New(error)),
        }
    }

    /// Clients whom the old one has sent somewhere since its tables were handed over.
    async fn hand_newest_clients(&mut self, old: &mut Proxy) {
        let (Some(proxy), Some(spec)) = (&mut self.proxy, &self.spec) else { return };
        for pool in spec.pools.iter().filter(|pool| pool.persistence.is_some()) {
            if let Err(error) = proxy.inherit_table(pool.id, old).await {
                tracing::warn!(%error, pool = %pool.id, "the newest clients of a pool may be sent elsewhere");
                return;
            }
        }
    }

    pub(super) async fn settle_predecessors(&mut self) {
        self.predecessors.settle(&self.directory, self.spec.as_ref(), self.proxy.as_mut()).await;
    }
}
