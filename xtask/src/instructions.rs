//! `cargo xtask instructions`: what the hot paths of the data plane cost, in instructions that callgrind counts, beside
//! the counts that are checked in. A count does not depend on who else uses the machine, so it may fail a change.
//!
//! What is counted is `crates/proxy/examples/hot_paths.rs`, with the data plane compiled as for a release and its
//! dependencies as the tests have them: so CI compiles one crate more, and no dependency twice.

mod callgrind;
mod table;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use self::table::Table;
use crate::shell::{cargo, root, run_quietly};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Write the counts down, instead of comparing them
    #[arg(long)]
    update: bool,
}

const EXAMPLE: &str = "hot_paths";

/// Made part of the profile of tests: whose instructions count is compiled for speed, and in one unit, so that what is
/// inlined does not depend on how the crate was cut up.
const PROFILE: &[&str] = &[
    "profile.dev.package.octavia-proxy.opt-level=3",
    "profile.dev.package.octavia-proxy.codegen-units=1",
    "profile.dev.package.octavia-proxy.debug-assertions=false",
    "profile.dev.package.octavia-proxy.overflow-checks=false",
    "profile.dev.package.httparse.opt-level=3",
];

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    if arguments.update { update() } else { compare() }
}

fn file() -> PathBuf {
    root().join("crates/proxy/examples/instructions.txt")
}

fn update() -> Result<()> {
    let table = Table { made_by: made_by()?, counts: counts()? };
    std::fs::write(file(), table.to_string())?;
    print!("{table}");
    Ok(())
}

/// # Errors
/// When a path takes more or fewer instructions than were written down for this compiler.
pub(crate) fn compare() -> Result<()> {
    let (path, made_by) = (file(), made_by()?);
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let expected: Table = text.parse().with_context(|| path.display().to_string())?;
    if expected.made_by != made_by {
        println!(
            "instructions: not compared, since the counts are of\n  {}\nand this is\n  {made_by}\n\
             (`cargo xtask instructions --update` makes counts of this)",
            expected.made_by
        );
        return Ok(());
    }
    let complaints = expected.complaints(&counts()?);
    if complaints.is_empty() {
        println!("instructions: {} hot paths cost what they did", expected.counts.len());
        return Ok(());
    }
    bail!(
        "instructions of hot paths:\n  {}\nif that is meant to be: cargo xtask instructions --update",
        complaints.join("\n  ")
    )
}

/// What else counts depend on: compilers, libraries and processors choose instructions.
fn made_by() -> Result<String> {
    let output = |program: &str, argument: &str| {
        let text = run_quietly(std::process::Command::new(program).arg(argument))?;
        anyhow::Ok(text.trim().to_owned())
    };
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let compiler = output(&rustc, "-vV")?;
    let of = |key: &str| compiler.lines().find_map(|line| line.strip_prefix(key)).unwrap_or("unknown");
    let version = compiler.lines().next().unwrap_or_default();
    let flags = std::env::var("RUSTFLAGS").unwrap_or_default();
    Ok([
        version,
        of("host: "),
        &output("getconf", "GNU_LIBC_VERSION")?,
        &output("valgrind", "--version")?,
        if has_avx2() { "AVX2" } else { "no AVX2" },
        &flags,
    ]
    .into_iter()
    .filter(|part| !part.is_empty())
    .collect::<Vec<_>>()
    .join(", "))
}

fn has_avx2() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("avx2");
    #[cfg(not(target_arch = "x86_64"))]
    return false;
}

/// Instructions by hot path.
fn counts() -> Result<Vec<(String, u64)>> {
    callgrind::count(&build()?)
}

/// Where the compiled example is.
fn build() -> Result<PathBuf> {
    let mut command = cargo();
    // All of the workspace, so that dependencies have the features they have in its tests.
    command.args(["build", "--quiet", "--workspace", "--example", EXAMPLE, "--message-format=json"]);
    for setting in PROFILE {
        command.args(["--config", setting]);
    }
    // A linter that compiles leaves out what the compiler does before it hands code on.
    command.env_remove("RUSTC_WORKSPACE_WRAPPER");
    command.envs([("CARGO_INCREMENTAL", "0"), ("CARGO_PROFILE_DEV_DEBUG", "0")]);
    let text = run_quietly(&mut command)?;
    let messages = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let executable = messages
        .filter(|message| message["target"]["name"] == EXAMPLE)
        .find_map(|message| message["executable"].as_str().map(PathBuf::from));
    executable.filter(|path| Path::exists(path)).context("cargo told no executable")
}
