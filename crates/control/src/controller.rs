//! The parts of a controller, started and stopped together.

use std::time::Duration;

use octavia_model::WorkerId;
use octavia_store::Store;
use tokio::net::UdpSocket;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::stop::Stopper;
use crate::{
    HealthManager, HealthOptions, Housekeeping, HousekeepingOptions, Parts, SpareKeeper, SpareKeeperOptions,
    Worker, WorkerOptions,
};

/// One statement on a database that answers.
const LEASES_RETURNED_WITHIN: Duration = Duration::from_secs(5);

/// Which parts to run, and how. A daemon of its own runs one of them, all-in-one all.
#[derive(Debug, Default)]
pub struct ControllerOptions {
    pub worker: Option<WorkerOptions>,
    /// With the socket heartbeats come to.
    pub health: Option<(HealthOptions, UdpSocket)>,
    pub housekeeping: Option<HousekeepingOptions>,
    /// With housekeeping, and for any number of workers.
    pub spares: Option<SpareKeeperOptions>,
}

/// Running parts. Dropping it ends them in the midst of what they do, which is as safe as a crash: everything is
/// taken up again at the next start.
#[derive(Debug)]
pub struct Controller {
    stopper: Stopper,
    tasks: JoinSet<()>,
    store: Store,
    worker: Option<WorkerId>,
}

impl Controller {
    /// Starts the parts on the current runtime.
    pub fn start(parts: Parts, options: ControllerOptions) -> Self {
        let (stopper, stop) = Stopper::new();
        let mut tasks = JoinSet::new();
        let store = parts.store.clone();
        let worker = options.worker.map(|options| Worker::new(parts.clone(), options, stop.clone()));
        let id = worker.as_ref().map(Worker::id);
        if let Some(worker) = worker {
            tasks.spawn(worker.run());
        }
        if let Some((options, socket)) = options.health {
            let health =
                HealthManager::new(parts.store.clone(), parts.clock.clone(), parts.certs.clone(), options);
            tasks.spawn(health.run(socket, stop.clone()));
        }
        if let Some(options) = options.housekeeping {
            tasks.spawn(Housekeeping::new(parts.clone(), options).run(stop.clone()));
        }
        if let Some(options) = options.spares {
            tasks.spawn(SpareKeeper::new(parts, options).run(stop));
        }
        Self { stopper, tasks, store, worker: id }
    }

    /// The owner of the leases of the worker, if there is one among the parts.
    pub const fn worker(&self) -> Option<WorkerId> {
        self.worker
    }

    /// Lets steps under way finish, gives leases back, writes what was heard; then returns whether all of that was done.
    /// What takes longer than `limit` is dropped, as safely as by a crash, and its leases are given back all the same.
    pub async fn stop(mut self, limit: Duration) -> bool {
        self.stopper.stop();
        if timeout(limit, self.ended()).await.is_ok() {
            return true;
        }
        self.tasks.shutdown().await;
        if let Some(worker) = self.worker {
            match timeout(LEASES_RETURNED_WITHIN, self.store.leases_return(worker)).await {
                Ok(Ok(leases)) => tracing::warn!(leases, "work was dropped; others take it up at once"),
                Ok(Err(error)) => tracing::warn!(%error, "leases could not be given back, and run out"),
                Err(_) => tracing::warn!("leases could not be given back in time, and run out"),
            }
        }
        false
    }

    async fn ended(&mut self) {
        while let Some(ended) = self.tasks.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "a part of the controller ended badly");
            }
        }
    }
}
