//! `cargo xtask test`: everything CI runs, on a machine that had nothing but Rust.

use anyhow::Result;

use crate::conformance;
use crate::instructions;
use crate::setup;
use crate::shell::{cargo, run};

/// What the simulator has to play without breaking an invariant; by hand it plays fewer.
const SIMULATED_SEEDS: &str = "2000";

pub(crate) fn run_all(nextest: &[String]) -> Result<()> {
    setup::run()?;
    // A store that breaks its promises, which the simulator has to notice.
    run(cargo().args(["nextest", "run", "-p", "octavia-sim", "--test", "it", "--features", "breakable"]))?;
    run(cargo().args(["test", "--quiet", "--workspace", "--doc"]))?;
    let binary = conformance::debug_binary()?;
    // Requests are made up on one core; meanwhile the other compiles the tests.
    std::thread::scope(|scope| {
        // Without what is asked of the run: much of that makes no sense to a compilation, and is refused.
        let compiled = scope.spawn(|| {
            run(cargo().args(["nextest", "run", "--workspace", "--no-run"]))?;
            // It takes what was just compiled, and does not mind who else is at work.
            instructions::compare()
        });
        let conformed = conformance::run_in_ci(binary);
        let compiled = compiled.join().unwrap_or_else(|_| Err(anyhow::anyhow!("the compilation panicked")));
        conformed.and(compiled)
    })?;
    // Last, so that the output ends with the runner's summary. Most end-to-end tests run alone, see .config/nextest.toml.
    run(cargo()
        .args(["nextest", "run", "--workspace"])
        .args(nextest)
        .env("OCTAVIA_TEST_DATABASES", "all")
        .env("OCTAVIA_TEST_VENV", setup::venv())
        .env("OCTAVIA_SIM_SEEDS", SIMULATED_SEEDS)
        // A failed test says what and where; backtraces of its runtime only bury that.
        .envs([("RUST_BACKTRACE", "0"), ("RUST_LIB_BACKTRACE", "0")]))
}
