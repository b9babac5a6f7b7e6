//! `h2load`: HTTP/2 on connections that are kept.

use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::load::{Load, Outcome};
use crate::shell::run_quietly;

/// Requests at once on each connection.
const STREAMS: &str = "10";

pub(super) fn run(load: Load) -> Result<Outcome> {
    let mut command = Command::new("h2load");
    command.args(["-t", "1", "-m", STREAMS, "-c", &load.connections.to_string()]);
    command.args(["-D", &load.seconds.to_string(), &load.url()]);
    let text = run_quietly(&mut command)?;
    let counts = |label: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(label));
        line.with_context(|| format!("h2load told no {label}\n{text}"))
    };
    // requests: 1000 total, 1000 started, 1000 done, 1000 succeeded, 0 failed, 0 errored, 0 timeout
    let of = |counts: &str, what: &str| -> Result<f64> {
        let count = counts.split(',').find_map(|count| count.trim().strip_suffix(what));
        Ok(count.with_context(|| format!("h2load told nothing of {what}\n{text}"))?.trim().parse()?)
    };
    let (requests, statuses) = (counts("requests:")?, counts("status codes:")?);
    let done = of(requests, "succeeded")?;
    for (counts, what) in [
        (requests, "failed"),
        (requests, "errored"),
        (requests, "timeout"),
        (statuses, "4xx"),
        (statuses, "5xx"),
    ] {
        if of(counts, what)? > 0.0 {
            bail!("failed requests ({load:?}):\n{text}");
        }
    }
    if !text.contains("Application protocol: h2") {
        bail!("HTTP/2 was not spoken ({load:?}):\n{text}");
    }
    Ok(Outcome { requests: done, seconds: load.seconds.into(), p50_us: f64::NAN, p99_us: f64::NAN })
}
