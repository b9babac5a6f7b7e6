//! Why a status is not good news.

use crate::text_enum::text_enum;

text_enum! {
    /// Stable codes for reasons; clients may match on them.
    ReasonCode {
        PortNotPermitted = "PORT_NOT_PERMITTED",
        PortInUse = "PORT_IN_USE",
        InterfaceMissing = "INTERFACE_MISSING",
        NotForwarded = "NOT_FORWARDED",
        ConfigurationRefused = "CONFIGURATION_REFUSED",
        CloudUnavailable = "CLOUD_UNAVAILABLE",
        CloudRefused = "CLOUD_REFUSED",
        AmphoraUnreachable = "AMPHORA_UNREACHABLE",
        AmphoraSilent = "AMPHORA_SILENT",
        NoMaster = "NO_MASTER",
        ManyMasters = "MANY_MASTERS",
        ProxyNotRunning = "PROXY_NOT_RUNNING",
        FailoverAsked = "FAILOVER_ASKED",
        PendingTooLong = "PENDING_TOO_LONG",
        MonitorNotPermitted = "MONITOR_NOT_PERMITTED",
        MemberFailedCheck = "MEMBER_FAILED_CHECK",
        NoHealthyMember = "NO_HEALTHY_MEMBER",
        NotReported = "NOT_REPORTED",
        SecretUnreadable = "SECRET_UNREADABLE",
        ConnectionLimitReached = "CONNECTION_LIMIT_REACHED",
        Internal = "INTERNAL",
    }
}

/// A stable code, a sentence a user understands, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    pub code: ReasonCode,
    pub text: String,
    pub advice: String,
}

impl Reason {
    pub fn new(code: ReasonCode, text: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { code, text: text.into(), advice: advice.into() }
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.code, self.text)?;
        if self.advice.is_empty() { Ok(()) } else { write!(f, " ({})", self.advice) }
    }
}
