//! Asking loops to end.

use tokio::sync::watch;

/// Tells loops that it is time to end. Dropping it does, too.
#[derive(Debug)]
pub struct Stopper(watch::Sender<bool>);

/// Hears a [`Stopper`].
#[derive(Debug, Clone)]
pub struct Stop(watch::Receiver<bool>);

impl Stopper {
    pub fn new() -> (Self, Stop) {
        let (sender, receiver) = watch::channel(false);
        (Self(sender), Stop(receiver))
    }

    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

impl Stop {
    pub fn is_asked(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }

    /// Returns once asked to stop.
    pub async fn asked(&mut self) {
        // An error means the stopper is gone, which is the same.
        let _ = self.0.wait_for(|stop| *stop).await;
    }
}
