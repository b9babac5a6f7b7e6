//! A real Keystone: installed, started, and asked through our client.

use std::time::Duration;

use anyhow::Result;

use super::services::{self, PASSWORD, Service};
use crate::shell::{self, cargo};

/// The tests wait for one to end.
const TOKEN_LIFETIME: Duration = Duration::from_secs(45);

pub(super) fn run() -> Result<()> {
    let keystone = Service::keystone(&services::install()?, TOKEN_LIFETIME)?;
    shell::run(
        cargo()
            .args(["nextest", "run", "-p", "octavia-keystone", "--run-ignored", "only", "real_keystone"])
            .env("OCTAVIA_TEST_KEYSTONE", &keystone.url)
            .env("OCTAVIA_TEST_KEYSTONE_PASSWORD", PASSWORD)
            .envs([("RUST_BACKTRACE", "0"), ("RUST_LIB_BACKTRACE", "0")]),
    )
}
