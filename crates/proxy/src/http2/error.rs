//! Error codes (RFC 9113 §7), and what ends a connection.

/// Why a stream or a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Code {
    NoError = 0x0,
    ProtocolError = 0x1,
    InternalError = 0x2,
    FlowControlError = 0x3,
    SettingsTimeout = 0x4,
    StreamClosed = 0x5,
    FrameSizeError = 0x6,
    RefusedStream = 0x7,
    Cancel = 0x8,
    CompressionError = 0x9,
    ConnectError = 0xa,
    EnhanceYourCalm = 0xb,
    InadequateSecurity = 0xc,
    Http11Required = 0xd,
}

/// The other side broke a rule of the connection: nothing after it can be understood, or shall be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{why} ({code:?})")]
pub struct Fault {
    pub code: Code,
    pub why: &'static str,
}

impl Fault {
    pub(super) const fn protocol(why: &'static str) -> Self {
        Self { code: Code::ProtocolError, why }
    }

    pub(super) const fn size(why: &'static str) -> Self {
        Self { code: Code::FrameSizeError, why }
    }

    pub(super) const fn flow(why: &'static str) -> Self {
        Self { code: Code::FlowControlError, why }
    }

    pub(super) const fn flood(why: &'static str) -> Self {
        Self { code: Code::EnhanceYourCalm, why }
    }
}
