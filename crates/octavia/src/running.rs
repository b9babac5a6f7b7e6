//! What runs in a process, and how it ends.

use std::time::Duration;

use octavia_control::Controller;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::audit::AuditWriter;

/// How long work under way, and then records that wait, may take when the service stops.
const GRACE: Duration = Duration::from_secs(15);

#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) controller: Controller,
    pub(crate) servers: Vec<JoinHandle<()>>,
    pub(crate) policy_watch: Option<JoinHandle<()>>,
    pub(crate) audit: Option<AuditWriter>,
    /// Tells the servers.
    pub(crate) stop: watch::Sender<bool>,
    /// How long requests may take to end.
    pub(crate) requests_grace: Duration,
}

impl Running {
    /// No new requests, then no new work; what is under way ends well, or is left to others.
    pub(crate) async fn stop(self) {
        let _ = self.stop.send(true);
        let requests = futures::future::join_all(self.servers);
        if tokio::time::timeout(self.requests_grace, requests).await.is_err() {
            tracing::warn!("some requests did not end in {:?}", self.requests_grace);
        }
        if let Some(watch) = self.policy_watch {
            watch.abort();
        }
        self.controller.stop(GRACE).await;
        if let Some(audit) = self.audit {
            audit.stop(GRACE).await;
        }
    }
}
