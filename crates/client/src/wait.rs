//! Waiting for the service to finish what was asked.

use std::time::Duration;

use tokio::time::Instant;

use crate::table::printable;
use crate::{Api, Error, Kind, Object};

/// How long a wait lasts if nothing else is said.
pub const WAIT_TIMEOUT: Duration = Duration::from_secs(300);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// What a wait is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goal {
    /// `ACTIVE`; `ERROR` ends the wait with its reason.
    Active,
    /// Not there any more; `ERROR` ends the wait with its reason.
    Gone,
}

impl Api {
    /// Polls a load balancer until the goal is reached. `progress` is told the status at every look.
    pub async fn lb_wait(
        &self,
        id: &str,
        goal: Goal,
        timeout: Duration,
        mut progress: impl FnMut(&Object, Duration),
    ) -> Result<(), Error> {
        let look = || self.show(Kind::LoadBalancer, id);
        poll(id, goal, timeout, look, |seen, elapsed| seen.map_or((), |object| progress(object, elapsed)))
            .await
    }
}

/// Looks again and again, at most a second apart. A service that cannot be asked for a while (it restarts, say) does
/// not end the wait.
pub(crate) async fn poll<F: Future<Output = Result<Object, Error>>>(
    label: &str,
    goal: Goal,
    timeout: Duration,
    mut look: impl FnMut() -> F,
    mut progress: impl FnMut(Result<&Object, &Error>, Duration),
) -> Result<(), Error> {
    let start = Instant::now();
    let mut pause = FIRST_PAUSE;
    loop {
        let object = match look().await {
            Ok(object) => object,
            Err(e) if goal == Goal::Gone && e.is_not_found() => return Ok(()),
            Err(e) if e.is_passing() && start.elapsed() < timeout => {
                progress(Err(&e), start.elapsed());
                tokio::time::sleep(LONGEST_PAUSE.min(timeout.saturating_sub(start.elapsed()))).await;
                continue;
            }
            Err(e) => return Err(e),
        };
        progress(Ok(&object), start.elapsed());
        let what = || match object.label() {
            "" => label.to_owned(),
            label => printable(label),
        };
        match (object.provisioning_status(), goal) {
            ("ACTIVE", Goal::Active) | ("DELETED", Goal::Gone) => return Ok(()),
            ("ERROR", _) => {
                return Err(Error::WentToError {
                    what: what(),
                    reason: object.reason().map(|r| printable(&r)),
                });
            }
            (status, _) if start.elapsed() >= timeout => {
                return Err(Error::WaitTimeout { what: what(), status: status.to_owned(), after: timeout });
            }
            _ => {}
        }
        tokio::time::sleep(pause.min(timeout.saturating_sub(start.elapsed()))).await;
        pause = (pause * 3 / 2).min(LONGEST_PAUSE);
    }
}
