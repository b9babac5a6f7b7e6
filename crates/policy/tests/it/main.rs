//! The rules beside those of oslo.policy.

#![allow(clippy::unwrap_used, reason = "in tests an unwrap is an assertion")]

mod oracle;
