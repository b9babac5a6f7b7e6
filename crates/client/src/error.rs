//! What can go wrong, in words for the person at the terminal.

use std::process::ExitCode;
use std::time::Duration;

/// Why a command did not do what it was asked. `Display` is the sentence; [`Error::advice`] says what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The command line or the configuration cannot be understood.
    #[error("{0}")]
    Usage(String),
    #[error("{0}")]
    Config(String),
    /// The identity service does not know these credentials.
    #[error("the identity service at {url} refused {who}: {message}")]
    Unauthorized { url: String, who: String, message: String },
    /// The service answered with an error.
    #[error("{message} (HTTP {status}{})", request_id.as_ref().map(|id| format!(", request {id}")).unwrap_or_default())]
    Api { status: u16, message: String, request_id: Option<String> },
    #[error("cannot reach {url}: {reason}")]
    Unreachable { url: String, reason: String },
    /// What came back is not what this API answers.
    #[error("{url} gave an answer that is not understood: {reason}")]
    Answer { url: String, reason: String },
    #[error("the service catalogue has no endpoint for {service}{}", region.as_ref().map(|r| format!(" in region {r}")).unwrap_or_default())]
    NoEndpoint { service: &'static str, region: Option<String> },
    #[error("no {what} is called {name:?}")]
    NotFound { what: &'static str, name: String },
    #[error("{} {what}s are called {name:?}: {}", ids.len(), ids.join(", "))]
    Ambiguous { what: &'static str, name: String, ids: Vec<String> },
    /// A wait ended with an object in `ERROR`.
    #[error("{what} went to ERROR{}", reason.as_ref().map(|r| format!(": {r}")).unwrap_or_default())]
    WentToError { what: String, reason: Option<String> },
    #[error("{what} is still {status} after {} s", after.as_secs())]
    WaitTimeout { what: String, status: String, after: Duration },
    /// A drill could not be made, or did not end well.
    #[error("{0}")]
    Drill(String),
    /// Nothing was done: it was a dry run.
    #[error("this was a dry run")]
    Rehearsed,
    #[error("cannot write the answer: {0}")]
    Output(#[from] std::io::Error),
}

impl Error {
    /// 2 for what the caller typed or configured wrong, 1 for everything else.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Usage(_) | Self::Config(_) | Self::Ambiguous { .. } => ExitCode::from(2),
            _ => ExitCode::FAILURE,
        }
    }

    /// What to do about it, if there is something to say beyond the error itself.
    pub fn advice(&self) -> Option<String> {
        let advice = match self {
            Self::Unauthorized { .. } => {
                "check user, password and project in clouds.yaml or the OS_* variables"
            }
            Self::Api { status: 401, .. } => {
                "the token is missing or not valid: check --os-cloud or OS_TOKEN"
            }
            Self::Api { status: 403, message, .. } if message.contains("Quota") => {
                "delete something of that kind, or ask an administrator for a larger quota"
            }
            Self::Api { status: 403, .. } => {
                "this needs another role (reader to look, member to change, admin for amphorae)"
            }
            Self::Api { status: 400, message, .. }
                if message.contains("cascade") || message.contains("has children") =>
            {
                "--cascade deletes what is below it too"
            }
            Self::Api { status: 409, message, .. }
                if message.contains("immutable") || message.contains("Invalid state") =>
            {
                "a change is under way: try again when `octavia lb show` says ACTIVE (--wait on the change before does that)"
            }
            Self::Api { status: 503, .. } => "the service is busy or starting: try again",
            Self::Unreachable { .. } => {
                "is the service running, and is its URL right (--os-cloud, OS_AUTH_URL, --os-endpoint)?"
            }
            Self::Answer { .. } => "is this the URL of an OpenStack service?",
            Self::NoEndpoint { .. } => {
                "give it with --os-endpoint (or --os-network-endpoint), or choose another --os-region-name or --os-interface"
            }
            Self::Ambiguous { .. } => "use an id instead of the name",
            Self::WaitTimeout { .. } => {
                "the service goes on working on it; look again with `show`, or wait longer with --wait-timeout"
            }
            _ => return None,
        };
        Some(advice.to_owned())
    }

    /// The lines for the terminal.
    pub fn render(&self) -> String {
        match self.advice() {
            Some(advice) => format!("error: {self}\n  hint: {advice}\n"),
            None => format!("error: {self}\n"),
        }
    }

    /// The service could not be asked, and may well answer later.
    pub(crate) fn is_passing(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Api { status: 502..=504, .. })
    }

    /// The object is surely not there.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Api { status: 404, .. } | Self::NotFound { .. })
    }
}
