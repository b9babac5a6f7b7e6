//! CPU time per request of everything the data plane does, ours beside the better of HAProxy and nginx.

use std::path::PathBuf;

use anyhow::{Result, bail};
use serde_json::json;

use super::comparison::Series;
use super::ground::Ground;
use super::load::{Load, Tool};
use super::numbers::{median, spread, table};
use super::peers::{self, Front, Side};
use super::{binary, write_json};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Measurements of each workload on each side
    #[arg(long, default_value_t = 7)]
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
    /// Fail when a ratio is above its bound
    #[arg(long)]
    check: bool,
}

struct Workload {
    name: &'static str,
    front: Front,
    length: usize,
    keep_alive: bool,
    /// The most of the better peer's CPU time per request that ours may need.
    bound: f64,
}

impl Workload {
    fn tool(&self) -> Tool {
        match (self.front, self.keep_alive) {
            (Front::Http2, _) => Tool::H2load,
            (Front::HttpsRsa2048 | Front::HttpsP256, false) => Tool::Ab,
            // A new connection costs a client as much as a proxy, whatever makes it.
            (Front::Tcp, _) | (Front::Http, false) => Tool::Wrk,
            (Front::Http | Front::HttpsRsa2048 | Front::HttpsP256, true) => Tool::Closed,
        }
    }
}

const fn workload(name: &'static str, front: Front, length: usize, keep_alive: bool, bound: f64) -> Workload {
    Workload { name, front, length, keep_alive, bound }
}

const WORKLOADS: &[Workload] = &[
    workload("HTTP, new connection, 40 B", Front::Http, 40, false, 0.75),
    workload("HTTP, new connection, 100 KB", Front::Http, 100_000, false, 0.65),
    workload("HTTP, new connection, 1 MB", Front::Http, 1_000_000, false, 0.75),
    workload("HTTP, keep-alive, 1 KB", Front::Http, 1_000, true, 0.80),
    workload("HTTPS RSA-2048, full handshake, 40 B", Front::HttpsRsa2048, 40, false, 0.75),
    workload("HTTPS RSA-2048, full handshake, 1 MB", Front::HttpsRsa2048, 1_000_000, false, 0.70),
    workload("HTTPS P-256, full handshake, 40 B", Front::HttpsP256, 40, false, 0.50),
    workload("HTTPS, keep-alive, 1 KB", Front::HttpsP256, 1_000, true, 0.80),
    workload("HTTP/2, 1 KB", Front::Http2, 1_000, true, 0.95),
    workload("TCP, new connection, 40 B", Front::Tcp, 40, false, 1.00),
    workload("TCP, kept connection, 1 MB", Front::Tcp, 1_000_000, true, 0.65),
];

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let binary = binary(arguments.binary.as_ref())?;
    let workloads: Vec<_> = WORKLOADS.iter().filter(|load| load.name.contains(&arguments.only)).collect();
    for workload in &workloads {
        workload.tool().require()?;
    }
    let lengths: Vec<_> = workloads.iter().map(|load| load.length).collect();
    let ground = Ground::prepare(arguments.members, &lengths)?;
    let sides = [peers::ours(&ground, &binary)?, peers::haproxy(&ground)?, peers::nginx(&ground)?];
    let mut results: Vec<[Series; 3]> = workloads.iter().map(|_| Default::default()).collect();
    for round in 0..arguments.rounds {
        for (workload, series) in workloads.iter().zip(&mut results) {
            for (side, series) in sides.iter().zip(series) {
                let Some(target) = side.front(workload.front) else { continue };
                let load = Load {
                    tool: workload.tool(),
                    scheme: workload.front.scheme(),
                    target,
                    length: workload.length,
                    keep_alive: workload.keep_alive,
                    connections: arguments.connections,
                    seconds: arguments.seconds,
                };
                series.measure(ground.dir(), &side.server, load)?;
            }
        }
        eprintln!("xtask: round {} of {} measured", round + 1, arguments.rounds);
    }
    report(&workloads, &sides, &results, arguments)
}

fn report(
    workloads: &[&Workload],
    sides: &[Side; 3],
    results: &[[Series; 3]],
    arguments: &Arguments,
) -> Result<()> {
    let heading = ["µs/request", "ours", "HAProxy", "nginx", "ratio", "by round", "at most", "p99 µs"];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    let (mut documents, mut missed) = (vec![], vec![]);
    for (workload, [ours, peers @ ..]) in workloads.iter().zip(results) {
        let measured = peers.iter().filter(|peer| !peer.cpu_us.is_empty());
        let Some(best) = measured.min_by(|a, b| median(&a.cpu_us).total_cmp(&median(&b.cpu_us))) else {
            bail!("{}: no peer was measured", workload.name);
        };
        let ratio = median(&ours.cpu_us) / median(&best.cpu_us);
        let by_round: Vec<_> = ours.cpu_us.iter().zip(&best.cpu_us).map(|(ours, best)| ours / best).collect();
        let (least, most) = spread(&by_round);
        let shown = |series: &Series, values: &[f64]| {
            if series.cpu_us.is_empty() { "–".to_owned() } else { format!("{:.1}", median(values)) }
        };
        rows.push(vec![
            workload.name.to_owned(),
            shown(ours, &ours.cpu_us),
            shown(&peers[0], &peers[0].cpu_us),
            shown(&peers[1], &peers[1].cpu_us),
            format!("{ratio:.2}"),
            format!("{least:.2}–{most:.2}"),
            format!("{:.2}", workload.bound),
            match [median(&ours.p99_us), median(&best.p99_us)] {
                [ours, best] if ours.is_finite() && best.is_finite() => format!("{ours:.0} / {best:.0}"),
                _ => "–".to_owned(),
            },
        ]);
        let by_side: serde_json::Map<_, _> = sides
            .iter()
            .zip([ours].into_iter().chain(peers))
            .filter(|(_, series)| !series.cpu_us.is_empty())
            .map(|(side, series)| (side.name.to_owned(), series.json()))
            .collect();
        documents.push(json!({
            "workload": workload.name,
            "body_bytes": workload.length,
            "keep_alive": workload.keep_alive,
            "sides": by_side,
            "ratio": ratio,
            "bound": workload.bound,
        }));
        if ratio > workload.bound {
            missed.push(format!("{} ({ratio:.2}, at most {:.2})", workload.name, workload.bound));
        }
    }
    println!(
        "CPU time (user + system) per request, one thread, {} members, {} connections, medians of {} × {} s;\n\
         the ratio is to the better of the peers\n{}",
        arguments.members,
        arguments.connections,
        arguments.rounds,
        arguments.seconds,
        table(&rows)
    );
    write_json("dataplane", &json!({ "workloads": documents }))?;
    if arguments.check && !missed.is_empty() {
        bail!("more CPU time per request than allowed: {}", missed.join(", "));
    }
    Ok(())
}
