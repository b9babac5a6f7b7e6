//! `wrk`: HTTP/1.1 on connections that are kept, or new for each request.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::load::{Load, Outcome};
use crate::shell::run_quietly;

const REPORT: &str = r#"
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format('\nREPORT {"requests":%d,"us":%d,"bytes":%d,"connect":%d,"read":%d,"write":%d,"status":%d,"timeout":%d,"p50":%d,"p99":%d}\n',
    summary.requests, summary.duration, summary.bytes, e.connect, e.read, e.write, e.status, e.timeout,
    latency:percentile(50), latency:percentile(99)))
end
"#;

/// Runs it in `dir` (for its script).
pub(super) fn run(dir: &Path, load: Load) -> Result<Outcome> {
    let script = dir.join("report.lua");
    std::fs::write(&script, REPORT)?;
    let mut command = Command::new("wrk");
    command
        .args(["-t1", "--timeout", "10s"])
        .arg(format!("-c{}", load.connections))
        .arg(format!("-d{}s", load.seconds))
        .arg("-s")
        .arg(&script);
    if !load.keep_alive {
        command.args(["-H", "Connection: close"]);
    }
    let text = run_quietly(command.arg(load.url()))?;
    let report = text.lines().find_map(|line| line.strip_prefix("REPORT ")).context("wrk gave no report")?;
    let report: Value = serde_json::from_str(report)?;
    let number = |key: &str| report[key].as_f64().unwrap_or(f64::NAN);
    for error in ["connect", "read", "write", "status", "timeout"] {
        ensure!(number(error) == 0.0, "failed requests ({load:?}): {report}");
    }
    let requests = number("requests");
    ensure!(requests > 0.0, "no request was answered ({load:?})");
    #[expect(clippy::cast_precision_loss, reason = "a length of a body")]
    let least = requests * load.length as f64;
    ensure!(number("bytes") >= least, "bodies too short ({load:?}): {report}");
    Ok(Outcome { requests, seconds: number("us") / 1e6, p50_us: number("p50"), p99_us: number("p99") })
}
