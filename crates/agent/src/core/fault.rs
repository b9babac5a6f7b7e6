//! What becomes of a spec that does not come into force.

use std::io;

use octavia_wire::AgentFault;

use crate::link::LinkError;

/// Why a spec is not in force.
#[derive(Debug, thiserror::Error)]
pub(super) enum ApplyError {
    #[error("the proxy refuses the spec: {0}")]
    Refused(String),
    #[error("the spec asks for {0} listening sockets, and at most {1} are possible here")]
    TooManySockets(usize, usize),
    #[error("the spec is stored, but not in force: the proxy does not run: {0}")]
    NoProxy(String),
    #[error("the spec is stored, but not in force: the traffic namespace cannot be entered: {0}")]
    Namespace(io::Error),
    #[error("the spec is stored, but not in force: {0}")]
    Link(#[from] LinkError),
}

impl ApplyError {
    /// Trying again does not help: the spec itself is at fault.
    pub(super) fn is_for_good(&self) -> bool {
        matches!(self, Self::Refused(_) | Self::TooManySockets(..))
    }
}

impl From<ApplyError> for AgentFault {
    fn from(error: ApplyError) -> Self {
        let http_code = if error.is_for_good() { 400 } else { 503 };
        Self { error: error.to_string(), http_code }
    }
}
