//! What a second traffic thread brings, and what it costs: requests per second and CPU time per request with one thread
//! and with two. If threads shared anything on their way, a request would cost more where there are two.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::json;

use super::comparison::Series;
use super::ground::Ground;
use super::load::{Load, Tool};
use super::numbers::{median, spread, table};
use super::peers::{self, Front};
use super::{binary, write_json};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Measurements of each workload with each number of threads
    #[arg(long, default_value_t = 7)]
    rounds: u32,
    /// Length of one measurement, in seconds
    #[arg(long, default_value_t = 3)]
    seconds: u32,
    #[arg(long, default_value_t = 64)]
    connections: u32,
    #[arg(long, default_value_t = 16)]
    members: u8,
    /// Only workloads whose name contains this
    #[arg(long, default_value = "")]
    only: String,
    /// Use this program instead of building `octavia` for release; it is given `proxy --spec FILE --threads N`
    #[arg(long)]
    binary: Option<PathBuf>,
    /// Fail where two threads give less than their share of requests, and each request costs more
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
    Workload { name: "HTTP, new connection, 40 B", front: Front::Http, length: 40, keep_alive: false },
    Workload { name: "HTTPS, keep-alive, 1 KB", front: Front::HttpsP256, length: 1_000, keep_alive: true },
    Workload { name: "TCP, new connection, 40 B", front: Front::Tcp, length: 40, keep_alive: false },
];

/// Two threads answer at least so many times as much as one, …
const GAIN_MIN: f64 = 1.8;
/// … or, where the tool and the members are slower than they are, need at most so many times the CPU time a request.
const COST_MAX: f64 = 1.1;

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    Tool::Wrk.require()?;
    let count = std::thread::available_parallelism()?.get();
    ensure!(count > 1, "this takes two CPUs");
    let binary = binary(arguments.binary.as_ref())?;
    let workloads: Vec<_> = WORKLOADS.iter().filter(|load| load.name.contains(&arguments.only)).collect();
    let lengths: Vec<_> = workloads.iter().map(|load| load.length).collect();
    let ground = Ground::prepare(arguments.members, &lengths)?;
    // One thread may run where two may: otherwise it would keep its caches, and they would not.
    let cpus = cpus(count);
    let sides = [peers::ours_on(&ground, &binary, &cpus, 1)?, peers::ours_on(&ground, &binary, &cpus, 2)?];
    let mut results: Vec<[Series; 2]> = workloads.iter().map(|_| Default::default()).collect();
    for round in 0..arguments.rounds {
        for (workload, series) in workloads.iter().zip(&mut results) {
            for (side, series) in sides.iter().zip(series) {
                let load = Load {
                    tool: Tool::Wrk,
                    scheme: workload.front.scheme(),
                    target: side.front(workload.front).context("a side without the front")?,
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
    report(&workloads, &results, arguments)
}

/// The last two of so many. With three the tool and the members have the first to themselves.
fn cpus(count: usize) -> [usize; 2] {
    [count.saturating_sub(2), count - 1]
}

fn report(workloads: &[&Workload], results: &[[Series; 2]], arguments: &Arguments) -> Result<()> {
    let heading = [
        "",
        "µs/request, 1 thread",
        "2 threads",
        "ratio",
        "by round",
        "at most",
        "requests/s",
        "ratio",
        "at least",
        "busy",
    ];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    let (mut documents, mut missed) = (vec![], vec![]);
    for (workload, [one, two]) in workloads.iter().zip(results) {
        let cost = median(&two.cpu_us) / median(&one.cpu_us);
        let gain = median(&two.rate) / median(&one.rate);
        let by_round: Vec<_> = one.cpu_us.iter().zip(&two.cpu_us).map(|(one, two)| two / one).collect();
        let (least, most) = spread(&by_round);
        let busy = |series: &Series| median(&series.cpu_us) * median(&series.rate) / 1e6;
        rows.push(vec![
            workload.name.to_owned(),
            format!("{:.1}", median(&one.cpu_us)),
            format!("{:.1}", median(&two.cpu_us)),
            format!("{cost:.2}"),
            format!("{least:.2}–{most:.2}"),
            format!("{COST_MAX:.2}"),
            format!("{:.0} / {:.0}", median(&one.rate), median(&two.rate)),
            format!("{gain:.2}"),
            format!("{GAIN_MIN:.2}"),
            format!("{:.2} / {:.2}", busy(one), busy(two)),
        ]);
        documents.push(json!({
            "workload": workload.name,
            "one": one.json(),
            "two": two.json(),
            "cpu_ratio": cost,
            "rate_ratio": gain,
        }));
        if cost > COST_MAX && gain < GAIN_MIN {
            missed.push(format!(
                "{} ({cost:.2} times the CPU time, {gain:.2} times the requests)",
                workload.name
            ));
        }
    }
    println!(
        "One traffic thread and two, {} members, {} connections, medians of {} × {} s; busy = cores that the threads\n\
         used: where that is less than there are threads, the tool or the members were slower\n{}",
        arguments.members,
        arguments.connections,
        arguments.rounds,
        arguments.seconds,
        table(&rows)
    );
    write_json("threads", &json!({ "workloads": documents }))?;
    if arguments.check && !missed.is_empty() {
        bail!("a second thread costs more than it may: {}", missed.join(", "));
    }
    Ok(())
}
