//! Changing a large configuration under load: how long until a pushed spec is in force, and whether clients notice.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use octavia_model::{
    Algorithm, AmphoraId, ListenerId, ListenerProtocol, LoadBalancerId, MemberId, PoolId, PoolProtocol,
    Timeouts,
};
use octavia_testkit::net;
use octavia_wire::{AmphoraSpec, ListenerSpec, MemberSpec, PoolSpec, SocketName, TimeoutsSpec, WIRE_VERSION};
use serde_json::json;

use super::ground::Ground;
use super::idle::raise_file_limit;
use super::numbers::{median, spread, table};
use super::paced::{Latencies, Paced};
use super::push::{self, Line, Push};
use super::servers::{LOOPBACK, member};
use super::{binary, write_json};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Measurements without changes, and as many with them
    #[arg(long, default_value_t = 7)]
    rounds: u32,
    /// Length of one measurement, in seconds
    #[arg(long, default_value_t = 5)]
    seconds: u32,
    /// Between the starts of two changes, in milliseconds
    #[arg(long, default_value_t = 500)]
    every: u32,
    #[arg(long, default_value_t = 1_000)]
    listeners: u16,
    /// Members of each listener's pool
    #[arg(long, default_value_t = 10)]
    members: u8,
    /// Requests per second meanwhile, to one of the listeners
    #[arg(long, default_value_t = 5_000.0)]
    rate: f64,
    #[arg(long, default_value_t = 32)]
    connections: usize,
    /// Use this program instead of building `octavia` for release; it is given `proxy --dir DIR --threads 1`
    #[arg(long)]
    binary: Option<PathBuf>,
    /// Fail when a change takes too long, or clients notice it
    #[arg(long)]
    check: bool,
}

/// Milliseconds, the median.
const SWAP_MAX: f64 = 50.0;
/// Bytes of an answer.
const LENGTH: usize = 1_000;

#[derive(Debug, Default)]
struct Measured {
    /// Milliseconds, of each change.
    swaps: Vec<f64>,
    /// Milliseconds of CPU time that a change took, round by round: what the proxy used more than without changes.
    cpu: Vec<f64>,
    /// Without changes.
    calm: Waits,
    /// With them.
    changing: Waits,
}

/// Microseconds, round by round.
#[derive(Debug, Default)]
struct Waits {
    p50: Vec<f64>,
    p99: Vec<f64>,
    most: Vec<f64>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let binary = binary(arguments.binary.as_ref())?;
    // Each listener has a socket, which is in three processes' hands while it is handed over.
    raise_file_limit()?;
    let ground = Ground::prepare(arguments.members, &[LENGTH])?;
    let mut spec = spec(&ground.members, arguments)?;
    let (server, mut line) = push::proxy(ground.dir(), &binary, ground.cpus.measured)?;
    let sockets = push::sockets(&spec)?;
    let names: Vec<_> = sockets.iter().map(|(name, _)| *name).collect();
    let first = line.push(Push::new(spec.clone(), sockets, vec![])?)?;
    let mut measured = Measured::default();
    for round in 0..arguments.rounds {
        let start = server.cpu_time()?;
        measured.calm.add(&load(&spec, arguments).run()?);
        let calm = server.cpu_time()? - start;
        let pushes = next_specs(&mut spec, &names, arguments)?;
        let load = load(&spec, arguments);
        let start = server.cpu_time()?;
        // A thread of its own, so that requests do not wait for an answer to a push.
        let clients = std::thread::spawn(move || load.run());
        let swaps = push_all(&mut line, pushes, arguments);
        let latencies = clients.join().map_err(|_| anyhow::anyhow!("the load generator panicked"))?;
        let changing = server.cpu_time()? - start;
        let swaps = swaps?;
        #[expect(clippy::cast_precision_loss, reason = "a count of changes")]
        measured.cpu.push((changing.as_secs_f64() - calm.as_secs_f64()) * 1e3 / swaps.len() as f64);
        measured.changing.add(&latencies?);
        measured.swaps.extend(swaps);
        eprintln!("xtask: round {} of {} measured", round + 1, arguments.rounds);
    }
    report(&measured, first, arguments)
}

fn load(spec: &AmphoraSpec, arguments: &Arguments) -> Paced {
    Paced {
        target: SocketAddr::new(LOOPBACK, spec.listeners[0].port),
        length: LENGTH,
        keep_alive: true,
        connections: arguments.connections,
        per_second: arguments.rate,
        time: Duration::from_secs(arguments.seconds.into()),
    }
}

impl Waits {
    fn add(&mut self, latencies: &Latencies) {
        self.p50.push(latencies.quantile(0.5));
        self.p99.push(latencies.quantile(0.99));
        self.most.push(latencies.quantile(1.0));
    }

    fn json(&self) -> serde_json::Value {
        json!({
            "latency_p50_us": median(&self.p50),
            "latency_p99_us": median(&self.p99),
            "latency_most_us": median(&self.most),
            "rounds_p99_us": self.p99,
        })
    }
}

/// The specs of one round, written before it begins: writing is not the proxy's work.
fn next_specs(spec: &mut AmphoraSpec, names: &[SocketName], arguments: &Arguments) -> Result<Vec<Push>> {
    let count = arguments.seconds * 1_000 / arguments.every.max(1);
    (0..count.max(1))
        .map(|_| {
            change(spec);
            Push::new(spec.clone(), vec![], names.to_vec())
        })
        .collect()
}

/// In each pool the last member gives way to another, or, where there is load, counts for more or less.
fn change(spec: &mut AmphoraSpec) {
    spec.generation += 1;
    let weight = 1 + u16::from(spec.generation.is_multiple_of(2));
    for (at, pool) in spec.pools.iter_mut().enumerate() {
        match pool.members.last_mut() {
            Some(last) if at == 0 => last.weight = weight,
            Some(last) => *last = MemberSpec { id: MemberId::new_v4(), ..last.clone() },
            None => {}
        }
    }
}

/// One after the other, at their times: milliseconds.
fn push_all(line: &mut Line, pushes: Vec<Push>, arguments: &Arguments) -> Result<Vec<f64>> {
    let start = Instant::now();
    let every = Duration::from_millis(arguments.every.into());
    let one = |(number, push)| {
        std::thread::sleep((start + every * number).saturating_duration_since(Instant::now()));
        Ok(line.push(push)?.as_secs_f64() * 1e3)
    };
    (0..).zip(pushes).map(one).collect()
}

/// The first listener's members are there; the others' are nowhere, and nobody asks for them.
fn spec(members: &[SocketAddr], arguments: &Arguments) -> Result<AmphoraSpec> {
    let (mut listeners, mut pools) = (vec![], vec![]);
    for number in 0..arguments.listeners {
        let [high, low] = number.to_be_bytes();
        let elsewhere = |host: u8| SocketAddr::new(IpAddr::from([10, high, low, host]), 80);
        let members: Vec<_> = match number {
            0 => members.iter().map(member).collect(),
            _ => (0..arguments.members).map(|host| member(&elsewhere(host))).collect(),
        };
        let pool = PoolSpec {
            id: PoolId::new_v4(),
            protocol: PoolProtocol::Http,
            algorithm: Algorithm::RoundRobin,
            persistence: None,
            members,
            monitor: None,
            tls: None,
        };
        listeners.push(ListenerSpec {
            id: ListenerId::new_v4(),
            protocol: ListenerProtocol::Http,
            port: net::free_port(LOOPBACK)?,
            connection_limit: None,
            default_pool: Some(pool.id),
            insert_headers: vec![],
            timeouts: TimeoutsSpec {
                client_data: Timeouts::DEFAULT.client_data,
                member_connect: Timeouts::DEFAULT.member_connect,
                member_data: Timeouts::DEFAULT.member_data,
                tcp_inspect: Timeouts::DEFAULT.tcp_inspect,
            },
            allowed_cidrs: vec![],
            accept_proxy: vec![],
            l7policies: vec![],
            tls: None,
        });
        pools.push(pool);
    }
    listeners.first().context("no listener")?;
    Ok(AmphoraSpec {
        version: WIRE_VERSION,
        amphora_id: AmphoraId::new_v4(),
        load_balancer_id: LoadBalancerId::new_v4(),
        generation: 1,
        fence: 1,
        vips: vec![LOOPBACK],
        listeners,
        pools,
        access_log: None,
        sorry_pages: vec![],
        network: None,
        tickets: None,
    })
}

fn report(measured: &Measured, first: Duration, arguments: &Arguments) -> Result<()> {
    let Measured { swaps, cpu, calm, changing } = measured;
    let (swap, (quickest, slowest)) = (median(swaps), spread(swaps));
    println!(
        "{} listeners, {} members in all, none of them checked; {} changes, each in force after {swap:.1} ms\n\
         ({quickest:.1}–{slowest:.1}; at most {SWAP_MAX:.0}), with {:.1} ms of CPU time; the first spec, with its listening\n\
         sockets, after {:.1} ms",
        arguments.listeners,
        u32::from(arguments.listeners) * u32::from(arguments.members),
        swaps.len(),
        median(cpu),
        first.as_secs_f64() * 1e3,
    );
    let mut rows = vec![["latency, µs", "p50", "p99", "by round", "most"].map(str::to_owned).to_vec()];
    for (name, waits) in [("without changes", calm), ("with changes", changing)] {
        let (least, most) = spread(&waits.p99);
        rows.push(vec![
            name.to_owned(),
            format!("{:.0}", median(&waits.p50)),
            format!("{:.0}", median(&waits.p99)),
            format!("{least:.0}–{most:.0}"),
            format!("{:.0}", median(&waits.most)),
        ]);
    }
    println!(
        "{:.0} requests/s meanwhile, a change every {} ms, medians of {} × {} s\n{}",
        arguments.rate,
        arguments.every,
        arguments.rounds,
        arguments.seconds,
        table(&rows)
    );
    write_json(
        "swap",
        &json!({
            "listeners": arguments.listeners,
            "members": u32::from(arguments.listeners) * u32::from(arguments.members),
            "swap_ms": swap,
            "swaps_ms": swaps,
            "swap_cpu_ms": median(cpu),
            "first_ms": first.as_secs_f64() * 1e3,
            "calm": calm.json(),
            "changing": changing.json(),
        }),
    )?;
    let mut missed = vec![];
    if swap > SWAP_MAX {
        missed.push(format!("a change takes {swap:.1} ms, at most {SWAP_MAX:.0}"));
    }
    // A rise is what rounds without changes do not show by themselves.
    let (_, worst_calm) = spread(&calm.p99);
    if median(&changing.p99) > worst_calm {
        missed.push(format!(
            "p99 rises to {:.0} µs, in no round without changes above {worst_calm:.0}",
            median(&changing.p99)
        ));
    }
    if arguments.check && !missed.is_empty() {
        bail!("{}", missed.join("; "));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spec_is_valid_and_another() {
        let arguments = Arguments {
            rounds: 1,
            seconds: 1,
            every: 500,
            listeners: 3,
            members: 2,
            rate: 1.0,
            connections: 1,
            binary: None,
            check: false,
        };
        let real = [SocketAddr::from(([127, 0, 0, 2], 80)), SocketAddr::from(([127, 0, 0, 3], 80))];
        let mut spec = spec(&real, &arguments).unwrap();
        let of = |spec: &AmphoraSpec| spec.pools.iter().map(|pool| pool.members.clone()).collect::<Vec<_>>();
        for _ in 0..3 {
            spec.validate().unwrap();
            let before = of(&spec);
            change(&mut spec);
            for (pool, (before, after)) in before.iter().zip(of(&spec)).enumerate() {
                assert_eq!((before.len(), after.len()), (2, 2));
                assert_eq!(before[0], after[0], "pool {pool}");
                assert_ne!(before[1], after[1], "pool {pool}");
            }
            assert_eq!(of(&spec)[0][1].address, real[1].ip(), "where there is load");
        }
    }
}
