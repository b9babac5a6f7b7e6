//! CPU time per request, ours beside HAProxy: the same members, the same client, alternating every few seconds, so
//! that whatever else the machine does hits both alike.

use std::path::PathBuf;

use anyhow::{Result, bail};
use serde_json::json;

use super::comparison::{Series, pin};
use super::load::{Load, Tool};
use super::members::Members;
use super::numbers::{median, spread, table};
use super::servers::{self, Cpus};
use super::{binary, write_json};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Measurements of each workload on each side
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// Length of one measurement, in seconds
    #[arg(long, default_value_t = 3)]
    seconds: u32,
    #[arg(long, default_value_t = 32)]
    connections: u32,
    #[arg(long, default_value_t = 16)]
    members: u8,
    /// Only workloads whose name contains this
    #[arg(long, default_value = "")]
    only: String,
    /// Use this program instead of building `octavia` for release; it is given `proxy --spec FILE --threads 1`
    #[arg(long)]
    binary: Option<PathBuf>,
    /// Fail when a ratio is above 1.0
    #[arg(long)]
    check: bool,
}

struct Workload {
    name: &'static str,
    length: usize,
    keep_alive: bool,
}

const WORKLOADS: &[Workload] = &[
    Workload { name: "new connection, 40 B", length: 40, keep_alive: false },
    Workload { name: "keep-alive, 1 KB", length: 1_000, keep_alive: true },
    Workload { name: "keep-alive, 100 KB", length: 100_000, keep_alive: true },
    Workload { name: "keep-alive, 1 MB", length: 1_000_000, keep_alive: true },
    Workload { name: "new connection, 100 KB", length: 100_000, keep_alive: false },
    Workload { name: "new connection, 1 MB", length: 1_000_000, keep_alive: false },
];

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let binary = binary(arguments.binary.as_ref())?;
    let cpus = Cpus::choose();
    pin(cpus)?;

    let dir = tempfile::Builder::new().prefix("octavia-bench-").tempdir()?;
    let port = octavia_testkit::net::free_port([127, 0, 0, 2].into())?;
    let members = servers::members(arguments.members, port);
    let workloads: Vec<_> = WORKLOADS.iter().filter(|load| load.name.contains(&arguments.only)).collect();
    let lengths: Vec<_> = workloads.iter().map(|load| load.length).collect();
    let _members = Members::start(&members, &lengths)?;
    let sides =
        [servers::ours(dir.path(), &binary, &members, cpus)?, servers::haproxy(dir.path(), &members, cpus)?];

    let mut results: Vec<[Series; 2]> = workloads.iter().map(|_| Default::default()).collect();
    for round in 0..arguments.rounds {
        for (workload, series) in workloads.iter().zip(&mut results) {
            for ((server, target), series) in sides.iter().zip(series) {
                let load = Load {
                    tool: if workload.keep_alive { Tool::Closed } else { Tool::Wrk },
                    scheme: "http",
                    target: *target,
                    length: workload.length,
                    keep_alive: workload.keep_alive,
                    connections: arguments.connections,
                    seconds: arguments.seconds,
                };
                series.measure(dir.path(), server, load)?;
            }
        }
        eprintln!("xtask: round {} of {} measured", round + 1, arguments.rounds);
    }
    let haproxy = crate::shell::run_quietly(std::process::Command::new("/usr/sbin/haproxy").arg("-v"))?;
    report(&workloads, &results, haproxy.lines().next().unwrap_or_default(), arguments)
}

fn report(
    workloads: &[&Workload],
    results: &[[Series; 2]],
    haproxy_version: &str,
    arguments: &Arguments,
) -> Result<()> {
    let heading =
        ["", "ours µs/req", "HAProxy µs/req", "ratio", "by round", "ours req/s", "HAProxy req/s", "p99 µs"];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    let mut documents = vec![];
    let mut slower = vec![];
    for (workload, [ours, haproxy]) in workloads.iter().zip(results) {
        let ratio = median(&ours.cpu_us) / median(&haproxy.cpu_us);
        let by_round: Vec<_> = ours.cpu_us.iter().zip(&haproxy.cpu_us).map(|(a, b)| a / b).collect();
        let (least, most) = spread(&by_round);
        rows.push(vec![
            workload.name.to_owned(),
            format!("{:.1}", median(&ours.cpu_us)),
            format!("{:.1}", median(&haproxy.cpu_us)),
            format!("{ratio:.2}"),
            format!("{least:.2}–{most:.2}"),
            format!("{:.0}", median(&ours.rate)),
            format!("{:.0}", median(&haproxy.rate)),
            format!("{:.0} / {:.0}", median(&ours.p99_us), median(&haproxy.p99_us)),
        ]);
        documents.push(json!({
            "workload": workload.name,
            "body_bytes": workload.length,
            "keep_alive": workload.keep_alive,
            "ours": ours.json(),
            "haproxy": haproxy.json(),
            "ratio": ratio,
        }));
        if ratio > 1.0 {
            slower.push(format!("{} ({ratio:.2})", workload.name));
        }
    }
    println!(
        "CPU time (user + system) per request, one thread, {} members, {} connections, medians of {} × {} s\n{}",
        arguments.members,
        arguments.connections,
        arguments.rounds,
        arguments.seconds,
        table(&rows)
    );
    println!("beside {haproxy_version}");
    write_json("http", &json!({ "haproxy_version": haproxy_version, "workloads": documents }))?;
    if arguments.check && !slower.is_empty() {
        bail!("more CPU time per request than HAProxy: {}", slower.join(", "));
    }
    Ok(())
}
