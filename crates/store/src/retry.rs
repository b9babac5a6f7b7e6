//! Trying again when the database refuses because of concurrent writers.

use std::time::Duration;

use rand::Rng;

use crate::{ChangeError, ListError, StoreError};

/// Whether an operation failed only because somebody else wrote at the same time.
pub(crate) trait Conflicting {
    /// The store's own error, if it is one.
    fn of_store(&self) -> Option<&StoreError>;

    fn is_conflict(&self) -> bool {
        matches!(self.of_store(), Some(StoreError::Conflict(_)))
    }
}

impl Conflicting for StoreError {
    fn of_store(&self) -> Option<&StoreError> {
        Some(self)
    }
}

impl<E> Conflicting for ChangeError<E> {
    fn of_store(&self) -> Option<&StoreError> {
        if let Self::Store(error) = self { Some(error) } else { None }
    }
}

impl Conflicting for ListError {
    fn of_store(&self) -> Option<&StoreError> {
        if let Self::Store(error) = self { Some(error) } else { None }
    }
}

/// The tries of one operation.
#[derive(Debug)]
pub(crate) struct Tries {
    left: u32,
    made: u32,
}

impl Tries {
    pub(crate) fn new(attempts: u32) -> Self {
        Self { left: attempts.saturating_sub(1), made: 0 }
    }

    /// Whether to try once more after this error.
    pub(crate) fn again(&mut self, error: &impl Conflicting) -> bool {
        if !error.is_conflict() || self.left == 0 {
            return false;
        }
        self.left -= 1;
        self.made += 1;
        true
    }

    /// At once the first time, then after a random part of 10 ms, 20 ms … 320 ms.
    pub(crate) async fn pause(&self) {
        if self.made > 1 {
            let most = Duration::from_millis(10) * (1 << (self.made - 2).min(5));
            let part = rand::rng().random::<f64>();
            tokio::time::sleep(most.mul_f64(part)).await;
        }
    }
}

/// The frame of a public operation: interceptor, tries, interceptor. `$attempt` is evaluated for every try.
macro_rules! framed {
    ($store:expr, $call:expr, $attempt:expr) => {{
        let (store, call) = (&$store, $call);
        let mut tries = $crate::retry::Tries::new(store.options.attempts);
        store.options.metrics.begun(call.name);
        let outcome = loop {
            let outcome = match store.enter(&call).await {
                Ok(()) => {
                    let outcome = $attempt.await;
                    store.attempted(&call);
                    outcome
                }
                Err(error) => Err(error.into()),
            };
            match outcome {
                Err(error) if tries.again(&error) => {
                    store.options.metrics.tried_again(call.name);
                    tries.pause().await;
                }
                outcome => break outcome,
            }
        };
        match outcome {
            Ok(value) => store.leave(&call).await.map(|()| value).map_err(Into::into),
            Err(error) => {
                let of_store = $crate::retry::Conflicting::of_store(&error);
                store.options.metrics.failed(call.name, of_store);
                Err(error)
            }
        }
    }};
}

pub(crate) use framed;
