#![allow(clippy::unwrap_used, reason = "a test says by it that it failed")]

mod oracle;
mod reading;
