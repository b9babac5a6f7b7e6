//! What is measured: a server of ours on a core of its own, or an endpoint somebody else runs.

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use octavia_testkit::{AllInOne, AllInOneOptions, LoadPlan, LoadReport, Rest, Script, proc};

use crate::bench::servers::Cpus;

/// An endpoint, and who calls it.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) address: SocketAddr,
    host: String,
    /// Before `/lbaas`.
    prefix: String,
    token: String,
}

impl Target {
    pub(super) fn of(rest: &Rest) -> Result<Self> {
        let url = rest.endpoint();
        let rest_of =
            url.strip_prefix("http://").with_context(|| format!("{url}: only http:// is measured"))?;
        let (host, path) = rest_of.split_once('/').unwrap_or((rest_of, ""));
        let with_port = if host.contains(':') { host.to_owned() } else { format!("{host}:80") };
        let address =
            with_port.to_socket_addrs()?.next().with_context(|| format!("{host} has no address"))?;
        Ok(Self { address, host: host.to_owned(), prefix: format!("/{path}"), token: rest.token() })
    }

    /// A request as it goes over the wire; `path` begins with `/lbaas`.
    pub(super) fn request(&self, method: &str, path: &str, body: &str) -> Bytes {
        let Self { host, prefix, token, .. } = self;
        let content = if body.is_empty() {
            String::new()
        } else {
            format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len())
        };
        format!(
            "{method} {prefix}{path} HTTP/1.1\r\nHost: {host}\r\nX-Auth-Token: {token}\r\n\
             Accept: application/json\r\n{content}\r\n{body}"
        )
        .into()
    }

    /// Closed loops of `connections` over these paths in turn.
    pub(super) fn reads(&self, connections: usize, paths: Vec<String>) -> LoadPlan {
        let requests: Vec<_> = paths.iter().map(|path| self.request("GET", path, "")).collect();
        let count = requests.len().max(1) as u64;
        #[expect(clippy::cast_possible_truncation, reason = "less than the number of paths")]
        let script = Script::new(move |number| requests[(number % count) as usize].clone());
        LoadPlan::script(self.address, connections, 200, script)
    }

    /// Closed loops of `connections` that post what `body` makes of the request's number.
    pub(super) fn creates(
        &self,
        connections: usize,
        body: impl Fn(u64) -> String + Send + Sync + 'static,
    ) -> LoadPlan {
        let target = self.clone();
        let script = Script::new(move |number| target.request("POST", "/lbaas/loadbalancers", &body(number)));
        LoadPlan::script(self.address, connections, 201, script)
    }
}

/// Runs the plan: what it saw, and the CPU time of the processes per request in milliseconds.
pub(super) async fn measured(plan: LoadPlan, pids: &[i32]) -> Result<(LoadReport, Option<f64>)> {
    let used = || pids.iter().map(|pid| proc::cpu_time(*pid)).sum::<Result<Duration>>();
    let before = used()?;
    let report = plan.run().await;
    let used = used()? - before;
    if let Err(failures) = report.all_good() {
        bail!("{failures}");
    }
    #[expect(clippy::cast_precision_loss, reason = "a count of requests")]
    let cpu = used.as_secs_f64() * 1e3 / report.ok as f64;
    Ok((report, (!pids.is_empty()).then_some(cpu)))
}

/// `all-in-one` without anything behind it, on one core; the rest of the machine is ours.
pub(super) async fn start(binary: PathBuf, state: PathBuf, controller: bool, cpus: Cpus) -> Result<AllInOne> {
    let mut options = AllInOneOptions::new(binary, state)?;
    options.wrapper = ["taskset", "-c", &cpus.measured.to_string()].map(Into::into).to_vec();
    options.arguments = ["--network", "noop"].map(Into::into).to_vec();
    if !controller {
        options.arguments.push("--no-controller".into());
    }
    AllInOne::start(options).await
}
