//! The parts of a controller, started and stopped together.

use tokio::net::UdpSocket;
use tokio::task::JoinSet;

use crate::stop::Stopper;
use crate::{HealthManager, HealthOptions, Housekeeping, HousekeepingOptions, Parts, Worker, WorkerOptions};

/// Which parts to run, and how. A daemon of its own runs one of them, all-in-one all.
#[derive(Debug, Default)]
pub struct ControllerOptions {
    pub worker: Option<WorkerOptions>,
    /// With the socket heartbeats come to.
    pub health: Option<(HealthOptions, UdpSocket)>,
    pub housekeeping: Option<HousekeepingOptions>,
}

/// Running parts. Dropping it ends them in the midst of what they do, which is as safe as a crash: everything is
/// taken up again at the next start.
#[derive(Debug)]
pub struct Controller {
    stopper: Stopper,
    tasks: JoinSet<()>,
}

impl Controller {
    /// Starts the parts on the current runtime.
    pub fn start(parts: Parts, options: ControllerOptions) -> Self {
        let (stopper, stop) = Stopper::new();
        let mut tasks = JoinSet::new();
        if let Some(options) = options.worker {
            tasks.spawn(Worker::new(parts.clone(), options, stop.clone()).run());
        }
        if let Some((options, socket)) = options.health {
            let health = HealthManager::new(parts.store.clone(), parts.clock.clone(), options);
            tasks.spawn(health.run(socket, stop.clone()));
        }
        if let Some(options) = options.housekeeping {
            tasks.spawn(Housekeeping::new(parts, options).run(stop));
        }
        Self { stopper, tasks }
    }

    /// Lets batches under way finish, gives leases back, writes what was heard; then returns.
    pub async fn stop(mut self) {
        self.stopper.stop();
        while let Some(ended) = self.tasks.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "a part of the controller ended badly");
            }
        }
    }
}
