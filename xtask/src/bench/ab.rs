//! `ab`: a new connection for each request.

use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::load::{Load, Outcome};
use crate::shell::run_quietly;

/// More than anybody answers in the time of a measurement.
const ENDLESS: &str = "100000000";

/// For `load.seconds`.
pub(super) fn run(load: Load) -> Result<Outcome> {
    // The number comes after the time, which sets another.
    let (text, requests) = ab(load, &["-t", &load.seconds.to_string(), "-n", ENDLESS])?;
    let percentile = |percent: &str| -> Result<f64> {
        let line = text.lines().find_map(|line| line.trim().strip_prefix(percent));
        let ms: f64 = line.context("ab told no percentiles")?.trim().parse()?;
        Ok(ms * 1e3)
    };
    let seconds = number(&text, "Time taken for tests:")?;
    Ok(Outcome { requests, seconds, p50_us: percentile("50%")?, p99_us: percentile("99%")? })
}

/// So many requests, however long it takes; how many of them in a second.
pub(super) fn rate(load: Load, requests: u32) -> Result<f64> {
    let (text, _) = ab(load, &["-n", &requests.to_string()])?;
    number(&text, "Requests per second:")
}

/// What it printed, and how many requests were answered.
fn ab(load: Load, how_many: &[&str]) -> Result<(String, f64)> {
    let mut command = Command::new("ab");
    command.arg("-q").args(how_many).args(["-c", &load.connections.to_string()]);
    let text = run_quietly(command.arg(load.url()))?;
    let requests = number(&text, "Complete requests:")?;
    let failed = number(&text, "Failed requests:")? > 0.0 || text.contains("Non-2xx responses:");
    if failed || requests < 1.0 {
        bail!("failed requests ({load:?}):\n{text}");
    }
    Ok((text, requests))
}

fn number(text: &str, label: &str) -> Result<f64> {
    let line = text.lines().find_map(|line| line.trim().strip_prefix(label));
    let number = line.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    number.with_context(|| format!("ab told no {label}\n{text}"))
}
