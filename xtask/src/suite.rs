//! `cargo xtask test`: everything CI runs, on a machine that had nothing but Rust.

use anyhow::Result;

use crate::setup;
use crate::shell::{cargo, run};

pub(crate) fn run_all(nextest: &[String]) -> Result<()> {
    setup::run()?;
    run(cargo().args(["test", "--quiet", "--workspace", "--doc"]))?;
    // Last, so that the output ends with the runner's summary. End-to-end tests run alone, see .config/nextest.toml.
    run(cargo()
        .args(["nextest", "run", "--workspace"])
        .args(nextest)
        .env("OCTAVIA_TEST_DATABASES", "all")
        .env("OCTAVIA_TEST_VENV", setup::venv())
        // An error says what failed; where in the test is in its text.
        .env("RUST_LIB_BACKTRACE", "0"))
}
