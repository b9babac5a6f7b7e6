//! The two tables of the talk that introduced Octavia: requests per second by ab, 16 at once, 100, 1,000 and 10,000
//! requests of 40 B, 100 KB and 1 MB, over HTTP and HTTPS, each on a new connection; HAProxy and ours side by side.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use serde_json::json;

use super::ab;
use super::ground::Ground;
use super::load::{Load, Tool};
use super::numbers::{median, table};
use super::peers::{self, Front, Side};
use super::{binary, write_json};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// How often everything is measured
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    #[arg(long, default_value_t = 16)]
    members: u8,
    /// Use this program instead of building `octavia` for release; it is given `proxy --spec FILE --threads 1`
    #[arg(long)]
    binary: Option<PathBuf>,
}

const CONCURRENT: u32 = 16;
const REQUESTS: [u32; 3] = [100, 1_000, 10_000];
/// Fewer at a time say little, and are asked for as often as it takes to make so many.
const REQUESTS_MIN: u32 = 1_000;
const LENGTHS: [(usize, &str); 3] = [(40, "40 B"), (100_000, "100 KB"), (1_000_000, "1 MB")];

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    Tool::Ab.require()?;
    let binary = binary(arguments.binary.as_ref())?;
    let ground = Ground::prepare(arguments.members, &LENGTHS.map(|(length, _)| length))?;
    let sides = [peers::ours(&ground, &binary)?, peers::haproxy(&ground)?];
    let mut documents = vec![];
    for (title, front) in [("HTTP", Front::Http), ("HTTPS, RSA-2048", Front::HttpsRsa2048)] {
        let mut rows =
            vec![["requests/s", "requests", "ours", "HAProxy", "ratio"].map(str::to_owned).to_vec()];
        for (length, shown) in LENGTHS {
            for requests in REQUESTS {
                let [ours, haproxy] = alternating(&sides, front, length, requests, arguments.rounds)?;
                rows.push(vec![
                    shown.to_owned(),
                    requests.to_string(),
                    format!("{ours:.0}"),
                    format!("{haproxy:.0}"),
                    format!("{:.2}", ours / haproxy),
                ]);
                documents.push(json!({
                    "front": title, "body_bytes": length, "requests": requests,
                    "ours_per_second": ours, "haproxy_per_second": haproxy, "ratio": ours / haproxy,
                }));
            }
        }
        println!(
            "{title}: ab, {CONCURRENT} at once, a connection for each; medians of {} (for {}: of {})",
            arguments.rounds,
            REQUESTS[0],
            arguments.rounds * REQUESTS_MIN / REQUESTS[0]
        );
        println!("{}", table(&rows));
    }
    write_json("talk", &json!({ "rows": documents }))
}

/// Requests per second of each side.
fn alternating(
    sides: &[Side; 2],
    front: Front,
    length: usize,
    requests: u32,
    rounds: u32,
) -> Result<[f64; 2]> {
    let mut rates: [Vec<f64>; 2] = Default::default();
    for _ in 0..rounds * (REQUESTS_MIN / requests).max(1) {
        for (side, rates) in sides.iter().zip(&mut rates) {
            let target = side.front(front).context("a side without the front")?;
            let load = Load {
                tool: Tool::Ab,
                scheme: front.scheme(),
                target,
                length,
                keep_alive: false,
                connections: CONCURRENT,
                seconds: 0,
            };
            rates.push(ab::rate(load, requests)?);
        }
    }
    Ok(rates.map(|rates| median(&rates)))
}
