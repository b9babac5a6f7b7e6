//! How long clients wait when there is room: 50th and 99th percentile at half of the rate at which the slower side is
//! saturated, ours beside HAProxy.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::json;

use super::comparison::Series;
use super::ground::Ground;
use super::load::{Load, Tool};
use super::numbers::{median, spread, table};
use super::paced::Paced;
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
    /// Fail when the 99th percentile is above HAProxy's
    #[arg(long)]
    check: bool,
}

struct Workload {
    name: &'static str,
    front: Front,
    length: usize,
    keep_alive: bool,
}

const WORKLOADS: &[Workload] = &[
    Workload { name: "HTTP, keep-alive, 1 KB", front: Front::Http, length: 1_000, keep_alive: true },
    Workload { name: "HTTP, keep-alive, 100 KB", front: Front::Http, length: 100_000, keep_alive: true },
    Workload { name: "HTTP, new connection, 40 B", front: Front::Http, length: 40, keep_alive: false },
    Workload { name: "TCP, new connection, 40 B", front: Front::Tcp, length: 40, keep_alive: false },
];

/// Closed loops that look for the rate.
const SATURATIONS: u32 = 3;

/// What was measured of one workload.
#[derive(Debug, Default)]
struct Measured {
    /// Requests per second.
    rate: f64,
    /// Of a core, at saturation: with less than all of it, the members or the tool were slower.
    saturated_busy: [f64; 2],
    sides: [Waits; 2],
}

/// Microseconds, round by round.
#[derive(Debug, Default)]
struct Waits {
    p50: Vec<f64>,
    p99: Vec<f64>,
    /// Of a core.
    busy: Vec<f64>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    Tool::Wrk.require()?;
    let binary = binary(arguments.binary.as_ref())?;
    let workloads: Vec<_> = WORKLOADS.iter().filter(|load| load.name.contains(&arguments.only)).collect();
    let lengths: Vec<_> = workloads.iter().map(|load| load.length).collect();
    let ground = Ground::prepare(arguments.members, &lengths)?;
    let sides = [peers::ours(&ground, &binary)?, peers::haproxy(&ground)?];
    let mut results = vec![];
    for workload in &workloads {
        let mut measured = saturation(&ground, &sides, workload, arguments)?;
        for round in 0..arguments.rounds {
            // Who comes first is another each time.
            for at in [round % 2, 1 - round % 2].map(|at| at as usize) {
                let paced = measured.sides[at].measure(&sides[at], workload, measured.rate, arguments);
                paced.with_context(|| format!("{}, {}", sides[at].name, workload.name))?;
            }
        }
        eprintln!("xtask: {} measured", workload.name);
        results.push(measured);
    }
    report(&workloads, &results, arguments)
}

/// At half of the rate at which the slower side is saturated.
fn saturation(
    ground: &Ground,
    sides: &[Side; 2],
    workload: &Workload,
    arguments: &Arguments,
) -> Result<Measured> {
    let mut found: [Series; 2] = Default::default();
    for _ in 0..SATURATIONS {
        for (side, series) in sides.iter().zip(&mut found) {
            let load = Load {
                tool: Tool::Wrk,
                scheme: "http",
                target: side.front(workload.front).context("a side without the front")?,
                length: workload.length,
                keep_alive: workload.keep_alive,
                connections: arguments.connections,
                seconds: arguments.seconds,
            };
            series.measure(ground.dir(), &side.server, load)?;
        }
    }
    let rates = found.each_ref().map(|series| median(&series.rate));
    let saturated_busy = found.each_ref().map(|series| median(&series.rate) * median(&series.cpu_us) / 1e6);
    Ok(Measured { rate: rates[0].min(rates[1]) / 2.0, saturated_busy, sides: Default::default() })
}

impl Waits {
    fn measure(&mut self, side: &Side, workload: &Workload, rate: f64, arguments: &Arguments) -> Result<()> {
        let time = Duration::from_secs(arguments.seconds.into());
        let before = side.server.cpu_time()?;
        let latencies = Paced {
            target: side.front(workload.front).context("a side without the front")?,
            length: workload.length,
            keep_alive: workload.keep_alive,
            connections: arguments.connections as usize,
            per_second: rate,
            time,
        }
        .run()?;
        let used = side.server.cpu_time()? - before;
        self.busy.push(used.as_secs_f64() / time.as_secs_f64());
        self.p50.push(latencies.quantile(0.5));
        self.p99.push(latencies.quantile(0.99));
        Ok(())
    }

    fn json(&self) -> serde_json::Value {
        json!({
            "latency_p50_us": median(&self.p50),
            "latency_p99_us": median(&self.p99),
            "rounds_p99_us": self.p99,
            "busy": median(&self.busy),
        })
    }
}

fn report(workloads: &[&Workload], results: &[Measured], arguments: &Arguments) -> Result<()> {
    let heading = [
        "",
        "requests/s",
        "p99 µs, ours",
        "by round",
        "HAProxy",
        "by round",
        "p50 µs",
        "busy",
        "at saturation",
    ];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    let (mut documents, mut missed) = (vec![], vec![]);
    for (workload, measured) in workloads.iter().zip(results) {
        let [ours, haproxy] = &measured.sides;
        let pair = |[ours, haproxy]: [f64; 2], digits: usize| format!("{ours:.digits$} / {haproxy:.digits$}");
        let both = |of: fn(&Waits) -> &Vec<f64>| [median(of(ours)), median(of(haproxy))];
        let rounds = |values: &[f64]| {
            let (least, most) = spread(values);
            format!("{least:.0}–{most:.0}")
        };
        let p99 = both(|side| &side.p99);
        rows.push(vec![
            workload.name.to_owned(),
            format!("{:.0}", measured.rate),
            format!("{:.0}", p99[0]),
            rounds(&ours.p99),
            format!("{:.0}", p99[1]),
            rounds(&haproxy.p99),
            pair(both(|side| &side.p50), 0),
            pair(both(|side| &side.busy), 2),
            pair(measured.saturated_busy, 2),
        ]);
        documents.push(json!({
            "workload": workload.name,
            "requests_per_second": measured.rate,
            "busy_at_saturation": measured.saturated_busy,
            "ours": ours.json(),
            "haproxy": haproxy.json(),
        }));
        if p99[0] > p99[1] {
            missed.push(format!("{} ({:.0} µs, HAProxy {:.0})", workload.name, p99[0], p99[1]));
        }
    }
    println!(
        "Latency at half of the rate that saturates the slower side, each request when it is due; one thread, {} members,\n\
         {} connections, medians of {} × {} s; ours / HAProxy; busy = of a core\n{}",
        arguments.members,
        arguments.connections,
        arguments.rounds,
        arguments.seconds,
        table(&rows)
    );
    write_json("latency", &json!({ "workloads": documents }))?;
    if arguments.check && !missed.is_empty() {
        bail!("slower than HAProxy: {}", missed.join(", "));
    }
    Ok(())
}
