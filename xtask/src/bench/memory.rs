//! What a connection costs that is kept open and says nothing: the growth of a process's resident memory by very many of
//! them, ours beside HAProxy and nginx.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use octavia_testkit::proc;
use serde_json::json;

use super::ground::Ground;
use super::idle::{self, Speech};
use super::numbers::{median, spread, table};
use super::peers::{self, Front, Side};
use super::{binary, write_json};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Measurements of each side, each of a new process
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// Open connections
    #[arg(long, default_value_t = 10_000)]
    connections: u32,
    #[arg(long, default_value_t = 16)]
    members: u8,
    /// Use this program instead of building `octavia` for release; it is given `proxy --spec FILE --threads 1`
    #[arg(long)]
    binary: Option<PathBuf>,
    /// Fail when a connection costs more than its bound, or more than HAProxy's
    #[arg(long)]
    check: bool,
}

struct Workload {
    name: &'static str,
    front: Front,
    /// The most a connection may cost, in bytes.
    bound: f64,
}

const WORKLOADS: [Workload; 2] = [
    Workload { name: "HTTP", front: Front::Http, bound: 1_024.0 },
    Workload { name: "HTTPS", front: Front::HttpsP256, bound: 9.0 * 1_024.0 },
];

/// Bytes of an answer.
const LENGTH: usize = 1_000;
/// Connections before it is measured: what a process makes at its first ones is no cost of each.
const WARM: u32 = 200;
/// Memory is what it is when it has not changed by more than that, in bytes, for so long.
const STEADY: u64 = 64 << 10;
const STEADY_FOR: Duration = Duration::from_secs(6);
const STEADY_WITHIN: Duration = Duration::from_secs(60);
const NAMES: [&str; 3] = ["ours", "HAProxy", "nginx"];

/// Bytes a connection, round by round.
#[derive(Debug, Default)]
struct Series {
    resident: Vec<f64>,
    /// The kernel's, both ends of the connection together.
    kernel: Vec<f64>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let binary = binary(arguments.binary.as_ref())?;
    let files = idle::raise_file_limit()?;
    let connections = arguments.connections.min(most_connections(files));
    if connections < arguments.connections {
        println!(
            "a process may have {files} open files here: {connections} connections instead of {}",
            arguments.connections
        );
    }
    let ground = Ground::prepare(arguments.members, &[LENGTH])?.for_clients(connections + WARM);
    let mut results: [[Series; 3]; 2] = Default::default();
    for round in 0..arguments.rounds {
        for (workload, series) in WORKLOADS.iter().zip(&mut results) {
            let speech = if workload.front == Front::Http { Speech::Clear } else { Speech::tls()? };
            for (name, series) in NAMES.iter().zip(series) {
                // A new process: one that had connections before grows by less.
                let side = start(name, &ground, &binary)?;
                series
                    .measure(&side, workload.front, &speech, connections)
                    .with_context(|| format!("{name}, {}", workload.name))?;
            }
        }
        eprintln!("xtask: round {} of {} measured", round + 1, arguments.rounds);
    }
    report(&results, connections, arguments)
}

/// Of the files a process may have, ours keeps three of eight for clients, and as many for members.
fn most_connections(files: u64) -> u32 {
    u32::try_from(files / 8 * 3).unwrap_or(u32::MAX).saturating_sub(WARM)
}

fn start(name: &str, ground: &Ground, binary: &Path) -> Result<Side> {
    match name {
        "HAProxy" => peers::haproxy(ground),
        "nginx" => peers::nginx(ground),
        _ => peers::ours(ground, binary),
    }
}

impl Series {
    fn measure(&mut self, side: &Side, front: Front, speech: &Speech, connections: u32) -> Result<()> {
        let target = side.front(front).context("a side without the front")?;
        let pid = side.server.pid()?;
        drop(idle::open(target, speech, WARM, LENGTH)?);
        let (before, kernel_before) = (steady(pid)?, kernel_memory()?);
        let mut clients = idle::open(target, speech, connections, LENGTH)?;
        let (after, kernel_after) = (steady(pid)?, kernel_memory()?);
        for (number, client) in clients.iter_mut().enumerate() {
            client.ask(target, LENGTH).with_context(|| format!("connection {number} was not kept"))?;
        }
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let of_each = |before: u64, after: u64| (after as f64 - before as f64) / f64::from(connections);
        self.resident.push(of_each(before, after));
        self.kernel.push(of_each(kernel_before, kernel_after));
        Ok(())
    }
}

/// The resident memory of a process that has come to rest: what it does some seconds later, such as closing connections
/// to members, is done.
fn steady(pid: i32) -> Result<u64> {
    let start = Instant::now();
    let (mut memory, mut since) = (proc::memory(pid)?.rss, Instant::now());
    while since.elapsed() < STEADY_FOR {
        if start.elapsed() > STEADY_WITHIN {
            bail!("memory still changes after {STEADY_WITHIN:?}");
        }
        std::thread::sleep(Duration::from_millis(250));
        let now = proc::memory(pid)?.rss;
        if now.abs_diff(memory) > STEADY {
            (memory, since) = (now, Instant::now());
        }
    }
    Ok(proc::memory(pid)?.rss)
}

/// What the kernel has allocated for itself, in bytes: sockets are of it, and what every other process makes it do.
fn kernel_memory() -> Result<u64> {
    let text = std::fs::read_to_string("/proc/meminfo")?;
    let line =
        text.lines().find_map(|line| line.strip_prefix("Slab:")).context("no Slab in /proc/meminfo")?;
    let kib: u64 = line.trim().trim_end_matches(" kB").trim().parse()?;
    Ok(kib << 10)
}

fn report(results: &[[Series; 3]; 2], connections: u32, arguments: &Arguments) -> Result<()> {
    let heading = ["bytes/connection", "ours", "by round", "HAProxy", "nginx", "at most", "kernel, all"];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    let (mut documents, mut missed) = (vec![], vec![]);
    for (Workload { name, bound, .. }, series) in WORKLOADS.iter().zip(results) {
        let [ours, haproxy, nginx] = series.each_ref().map(|series| median(&series.resident));
        let (least, most) = spread(&series[0].resident);
        let kernel: Vec<_> = series.iter().flat_map(|series| series.kernel.iter().copied()).collect();
        rows.push(vec![
            (*name).to_owned(),
            format!("{ours:.0}"),
            format!("{least:.0}–{most:.0}"),
            format!("{haproxy:.0}"),
            format!("{nginx:.0}"),
            format!("{bound:.0}"),
            format!("{:.0}", median(&kernel)),
        ]);
        if ours > *bound {
            missed.push(format!("{name}: {ours:.0} bytes, at most {bound:.0}"));
        }
        if ours > haproxy {
            missed.push(format!("{name}: {ours:.0} bytes, HAProxy {haproxy:.0}"));
        }
        let sides: serde_json::Map<_, _> = NAMES
            .iter()
            .zip(series)
            .map(|(side, series)| {
                let of = json!({
                    "resident_bytes": median(&series.resident),
                    "rounds_resident_bytes": series.resident,
                    "kernel_bytes_both_ends": median(&series.kernel),
                });
                ((*side).to_owned(), of)
            })
            .collect();
        documents.push(json!({ "front": name, "bound": bound, "sides": sides }));
    }
    println!(
        "Resident memory of an idle connection that had one request: growth by {connections}, medians of {} processes;\n\
         the kernel's is of both ends, and whoever asked\n{}",
        arguments.rounds,
        table(&rows)
    );
    write_json("memory", &json!({ "connections": connections, "fronts": documents }))?;
    if arguments.check && !missed.is_empty() {
        bail!("an idle connection costs more than allowed: {}", missed.join("; "));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_as_there_are_files_for() {
        for (files, most) in
            [(28_268, 10_399), (20_000, 7_300), (1_024, 184), (8, 0), (u64::MAX, u32::MAX - WARM)]
        {
            assert_eq!(most_connections(files), most, "{files}");
        }
    }

    #[test]
    fn the_kernel_has_memory() {
        assert!(kernel_memory().unwrap() > 0);
    }
}
