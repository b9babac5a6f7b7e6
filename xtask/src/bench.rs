//! Benchmarks: printed for people, written to `target/bench` for machines. Nothing here is a timed test; `--check`
//! makes a run fail when a bound of the performance specification is broken.

mod ab;
mod api;
mod closed;
mod comparison;
mod create;
mod dataplane;
mod ground;
mod h2load;
mod heartbeats;
mod http;
mod idle;
mod latency;
mod load;
mod members;
mod memory;
mod numbers;
mod paced;
mod peers;
mod push;
mod servers;
mod swap;
mod talk;
mod threads;
mod wrk;

use std::path::PathBuf;

use anyhow::Result;
use clap::Subcommand;

use crate::shell::{cargo, run, target_dir};

#[derive(Debug, Subcommand)]
pub(crate) enum Bench {
    /// CPU time per request of the data plane beside HAProxy, in one interleaved run
    Http(http::Arguments),
    /// CPU time per request of the data plane beside HAProxy and nginx, both tuned: HTTP, HTTPS, HTTP/2 and TCP
    Dataplane(dataplane::Arguments),
    /// 99th percentile of the data plane at half load, beside HAProxy
    Latency(latency::Arguments),
    /// Memory of idle connections, beside HAProxy and nginx
    Memory(memory::Arguments),
    /// Time until a large spec is in force, and what clients notice of it
    Swap(swap::Arguments),
    /// What a second traffic thread brings and costs
    Threads(threads::Arguments),
    /// The tables of the talk that introduced Octavia (ab, 16 at once), HAProxy and ours side by side
    Talk(talk::Arguments),
    /// Speed and memory of the API server, or of any endpoint of Octavia's API
    Api(api::Arguments),
    /// How many heartbeats one health manager on one core takes
    Heartbeats(heartbeats::Arguments),
    /// Time from POST of a fully populated load balancer to its first answer, and memory per load balancer
    Create(create::Arguments),
}

pub(crate) fn run_one(bench: &Bench) -> Result<()> {
    match bench {
        Bench::Http(arguments) => http::run(arguments),
        Bench::Dataplane(arguments) => dataplane::run(arguments),
        Bench::Latency(arguments) => latency::run(arguments),
        Bench::Memory(arguments) => memory::run(arguments),
        Bench::Swap(arguments) => swap::run(arguments),
        Bench::Threads(arguments) => threads::run(arguments),
        Bench::Talk(arguments) => talk::run(arguments),
        Bench::Api(arguments) => api::run(arguments),
        Bench::Heartbeats(arguments) => heartbeats::run(arguments),
        Bench::Create(arguments) => create::run(arguments),
    }
}

/// The program that is to be measured: the one that was named, or ours, built for release.
fn binary(named: Option<&PathBuf>) -> Result<PathBuf> {
    named.map_or_else(release_binary, |named| Ok(named.clone()))
}

/// Builds the product for release and answers where it is.
pub(crate) fn release_binary() -> Result<PathBuf> {
    run(cargo().args(["build", "--release", "--quiet", "--package", "octavia"]))?;
    Ok(target_dir()?.join("release/octavia"))
}

/// Writes `target/bench/NAME.json`, and says so.
fn write_json(name: &str, value: &serde_json::Value) -> Result<()> {
    let dir = target_dir()?.join("bench");
    std::fs::create_dir_all(&dir)?;
    let path = dir.join(format!("{name}.json"));
    std::fs::write(&path, serde_json::to_string_pretty(value)? + "\n")?;
    println!("written: {}", path.display());
    Ok(())
}
