//! What can go wrong when asking a cloud.

use octavia_model::{Blame, Retry};

/// A cloud's refusal or failure, with blame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CloudError {
    pub blame: Blame,
    pub retry: Retry,
    /// Fit for the user's eyes: no secrets, no internals.
    pub message: String,
}

impl CloudError {
    /// The cloud is in trouble, or did not answer: try again later.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self { blame: Blame::Dependency, retry: Retry::Safe, message: message.into() }
    }

    /// The request itself cannot be met.
    pub fn refused(message: impl Into<String>) -> Self {
        Self { blame: Blame::Caller, retry: Retry::Never, message: message.into() }
    }

    /// A defect on our side of the fence.
    pub fn internal(message: impl Into<String>) -> Self {
        Self { blame: Blame::Us, retry: Retry::Safe, message: message.into() }
    }
}
