//! The `octavia` binary: arguments, wiring, signals. No logic lives here.

#![forbid(unsafe_code)]

mod all_in_one;
mod args;
mod assembly;
mod audit;
mod config;
mod daemon;
mod db;
mod demo;
mod doctor;
mod explain;
mod installation;
mod local;
mod logging;
mod metrics;
mod notify;
mod policy;
mod quickstart;
mod running;
mod server;
mod settings;
mod signal;
mod state_dir;
mod trust;
mod upgrade_check;

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use octavia_agent::AgentOptions;

use crate::args::{
    AmphoraOptions, Args, Command, DaemonOptions, ProxyOptions, StatusCommand, UpgradeCommand,
};
use crate::daemon::Part;
use crate::settings::Settings;

fn main() -> ExitCode {
    match run(Args::parse()) {
        Ok(code) => code,
        Err(error) => {
            // The whole chain in one line: what failed, then why.
            let _ = writeln!(std::io::stderr(), "octavia: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: Args) -> anyhow::Result<ExitCode> {
    // Every TLS user of this process names its provider; this is for libraries that ask for a default. An error
    // means that there is one already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    match args.command {
        Command::Quickstart(options) => multi_threaded(quickstart::run(options)),
        Command::AllInOne(options) => {
            let (settings, warnings) = config::settings(&options.config)?;
            let settings = settings.with(&options);
            logging::init(&options.log.or(settings.debug, settings.log_json))?;
            for warning in warnings {
                tracing::warn!("{warning}");
            }
            multi_threaded(all_in_one::run(options.state_dir, settings))
        }
        Command::Api(options) => daemon(Part::Api, &options.daemon, |settings| settings.with_api(&options)),
        Command::Worker(options) => daemon(Part::Worker, &options, |settings| settings),
        Command::HealthManager(options) => {
            daemon(Part::HealthManager, &options.daemon, |settings| settings.with_heartbeats_at(options.bind))
        }
        Command::Housekeeping(options) => daemon(Part::Housekeeping, &options, |settings| settings),
        Command::Status(StatusCommand::Upgrade(UpgradeCommand::Check(options))) => {
            multi_threaded(upgrade_check::run(options))
        }
        Command::Doctor(options) => multi_threaded(doctor::run(options)),
        Command::Config(command) => config::run(command),
        Command::Policy(command) => policy::run(command),
        Command::Local(command) => multi_threaded(local::run(command)),
        Command::Trust(command) => multi_threaded(trust::run(command)),
        Command::Db(command) => multi_threaded(db::run(command)),
        Command::Amphora(options) => amphora(options),
        Command::Proxy(options) => proxy(options),
        Command::Explain(options) => explain::run(&options),
        Command::Client(command) => tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?
            .block_on(octavia_client::run(command)),
    }
}

/// `more`: what the command line of this part says besides.
fn daemon(
    part: Part,
    options: &DaemonOptions,
    more: impl FnOnce(Settings) -> Settings,
) -> anyhow::Result<ExitCode> {
    let (settings, warnings) = config::settings(&options.config)?;
    let settings = more(settings.with_daemon(options));
    logging::init(&options.log.clone().or(settings.debug, settings.log_json))?;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    multi_threaded(daemon::run(part, &options.state_dir, settings))
}

fn multi_threaded(work: impl Future<Output = anyhow::Result<ExitCode>>) -> anyhow::Result<ExitCode> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(work)
}

fn amphora(options: AmphoraOptions) -> anyhow::Result<ExitCode> {
    logging::init(&options.log)?;
    let executable = std::env::current_exe().context("this program's own path is not known")?;
    let executable = executable.into_os_string();
    let again = std::env::args_os().skip(1).filter(|argument| argument != "--check");
    let check = options.check;
    let options = AgentOptions {
        dir: options.dir,
        bind: options.bind,
        proxy_command: vec![executable.clone(), OsString::from("proxy")],
        agent_command: std::iter::once(executable).chain(again).collect(),
        drain_limit: std::time::Duration::from_secs(options.drain_limit.into()),
        traffic_namespace: options.traffic_namespace,
    };
    if check {
        octavia_agent::check(&options)?;
    } else {
        octavia_agent::run(options)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn proxy(options: ProxyOptions) -> anyhow::Result<ExitCode> {
    logging::init(&options.log)?;
    match (options.dir, options.spec) {
        (Some(dir), _) => octavia_proxy::run(octavia_proxy::ProxyOptions {
            dir,
            next: options.next,
            threads: options.threads,
            sandbox: !options.no_sandbox,
        })?,
        (None, Some(path)) => {
            let text = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
            let spec =
                serde_json::from_slice(&text).with_context(|| format!("{} is no spec", path.display()))?;
            octavia_proxy::run_standalone(&spec, threads(options.threads)?)?;
        }
        (None, None) => anyhow::bail!("--dir or --spec is needed"),
    }
    Ok(ExitCode::SUCCESS)
}

/// 0 = one for each core we may use.
fn threads(wanted: u16) -> anyhow::Result<usize> {
    match wanted {
        0 => Ok(std::thread::available_parallelism().context("the number of cores is not known")?.get()),
        n => Ok(n.into()),
    }
}
