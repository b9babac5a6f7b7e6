//! Work that blocks (fsync, fork, password hashing), off the runtime's threads and bounded.

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::CloudError;

/// Runs at most so many blocking calls at a time. A call that was started runs to its end, also when the
/// caller no longer waits for it: nothing is left half done by a cancelled future.
#[derive(Debug, Clone)]
pub(super) struct Blocking(Arc<Semaphore>);

impl Blocking {
    pub(super) fn new(at_once: usize) -> Self {
        Self(Arc::new(Semaphore::new(at_once)))
    }

    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, CloudError> {
        let permit = Arc::clone(&self.0)
            .acquire_owned()
            .await
            .map_err(|_| CloudError::internal("the local cloud is closed"))?;
        #[expect(clippy::disallowed_methods, reason = "bounded by the semaphore")]
        let task = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            work()
        });
        task.await.map_err(|error| CloudError::internal(format!("the local cloud failed: {error}")))
    }
}
