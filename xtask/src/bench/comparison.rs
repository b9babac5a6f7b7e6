//! Sides under the same load, alternating every few seconds, so that whatever else the machine does hits all alike.

use std::path::Path;

use anyhow::Result;
use serde_json::json;

use super::load::{self, Load};
use super::numbers::median;
use super::servers::{Cpus, Server};

/// What was measured of one side under one workload, round by round.
#[derive(Debug, Default)]
pub(super) struct Series {
    pub(super) cpu_us: Vec<f64>,
    pub(super) rate: Vec<f64>,
    pub(super) p50_us: Vec<f64>,
    pub(super) p99_us: Vec<f64>,
}

impl Series {
    /// One more round, with the tool started in `dir`.
    pub(super) fn measure(&mut self, dir: &Path, side: &Server, load: Load) -> Result<()> {
        let before = side.cpu_time()?;
        let outcome = load::run(dir, load)?;
        let used = side.cpu_time()? - before;
        self.cpu_us.push(used.as_secs_f64() * 1e6 / outcome.requests);
        self.rate.push(outcome.requests / outcome.seconds);
        self.p50_us.push(outcome.p50_us);
        self.p99_us.push(outcome.p99_us);
        Ok(())
    }

    pub(super) fn json(&self) -> serde_json::Value {
        json!({
            "cpu_us_per_request": median(&self.cpu_us),
            "requests_per_second": median(&self.rate),
            "latency_p50_us": median(&self.p50_us),
            "latency_p99_us": median(&self.p99_us),
            "rounds_cpu_us": self.cpu_us,
        })
    }
}

/// Keeps this process, and the load generators it starts, off the CPU of what is measured.
pub(super) fn pin(cpus: Cpus) -> Result<()> {
    let mut set = rustix::thread::CpuSet::new();
    set.set(cpus.others);
    Ok(rustix::thread::sched_setaffinity(None, &set)?)
}
