//! The `octavia` binary: arguments, wiring, signals. No logic lives here.

#![forbid(unsafe_code)]

mod all_in_one;
mod args;
mod logging;
mod quickstart;
mod state_dir;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Args, Command};

fn main() -> ExitCode {
    let args = Args::parse();
    match run(args) {
        Ok(code) => code,
        Err(error) => {
            // The whole chain in one line: what failed, then why.
            eprintln!("octavia: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.command {
        Command::Quickstart(options) => multi_threaded(quickstart::run(options)),
        Command::AllInOne(options) => {
            logging::init(&options.log);
            multi_threaded(all_in_one::run(options))
        }
        Command::Amphora(options) => {
            logging::init(&options.log);
            octavia_agent::run(options.into())?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Proxy(options) => {
            logging::init(&options.log);
            octavia_proxy::run(options.into())?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Client(command) => single_threaded(octavia_client::run(command)),
    }
}

fn multi_threaded(work: impl Future<Output = anyhow::Result<ExitCode>>) -> anyhow::Result<ExitCode> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(work)
}

fn single_threaded(work: impl Future<Output = anyhow::Result<ExitCode>>) -> anyhow::Result<ExitCode> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}
