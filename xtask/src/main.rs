//! Development tasks: `cargo xtask <task>`.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool talks on its terminal")]

mod bench;
mod chaos;
mod conformance;
mod fuzz;
mod instructions;
mod setup;
mod shell;
mod structure;
mod suite;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(about = "Development tasks of octavia-rs")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Install what tests and benchmarks need: distribution packages, and the OpenStack clients in target/venv
    Setup,
    /// Run every test, after `setup`; the rest of the line goes to `cargo nextest run`
    Test {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        nextest: Vec<String>,
    },
    /// Measure speed and memory
    #[command(subcommand)]
    Bench(bench::Bench),
    /// Try parts beside the real thing, which is installed for it
    #[command(subcommand)]
    Conformance(conformance::Conformance),
    /// Kill everything at random under users and traffic, then see whether all is as it says
    Chaos(chaos::Arguments),
    /// Look for input that a parser gets wrong
    Fuzz(fuzz::Arguments),
    /// Count the instructions of the data plane's hot paths, and compare them with those that are checked in
    Instructions(instructions::Arguments),
    /// Check the invariants of absence, licences and bans
    Structure,
}

fn main() -> ExitCode {
    let result = match Arguments::parse().task {
        Task::Setup => setup::run(),
        Task::Test { nextest } => suite::run_all(&nextest),
        Task::Bench(bench) => bench::run_one(&bench),
        Task::Chaos(arguments) => chaos::run(&arguments),
        Task::Conformance(suite) => conformance::run(&suite),
        Task::Fuzz(arguments) => fuzz::go(&arguments),
        Task::Instructions(arguments) => instructions::run(&arguments),
        Task::Structure => structure::run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
