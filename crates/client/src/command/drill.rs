//! `octavia drill …`

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};
use tokio::process::Command;
use tokio::time::{Instant, sleep, timeout};

use super::Job;
use crate::args::{DrillCommand, FailoverDrill};
use crate::drill::{Prober, Probes, Probing, Summary};
use crate::table::printable;
use crate::{Error, Kind, Object};

/// How often the service is asked how far it is.
const LOOK: Duration = Duration::from_millis(200);
/// Attempts go on for so long after everything is as before.
const AFTER: Duration = Duration::from_secs(1);
/// How long the command that kills may take.
const KILL_MAX: Duration = Duration::from_secs(60);

pub(super) async fn run(job: &mut Job<'_, '_>, command: DrillCommand) -> Result<(), Error> {
    let DrillCommand::Failover(drill) = command;
    if job.options.dry_run() {
        return Err(Error::Usage("a drill is for real: there is no dry run of it".to_owned()));
    }
    failover(job, &drill).await
}

/// What a drill is about.
struct Stage {
    lb: Object,
    listener: Object,
    probes: Probes,
    /// The one that carries the traffic.
    amphora: Object,
    /// Those in service.
    amphorae: usize,
}

async fn failover(job: &mut Job<'_, '_>, drill: &FailoverDrill) -> Result<(), Error> {
    let stage = set(job, drill).await?;
    let address = stage.probes.address;
    let prober = Prober::start(stage.probes);
    job.console.progress(&format!("trying {address} every {} ms", drill.every), true);
    sleep(Duration::from_secs(drill.before)).await;
    // Those that began last have not ended: a second prober begins where the first ends.
    let before = Summary::of(prober.end().await?);
    if before.failures() > 0 {
        return Err(Error::Drill(format!(
            "nothing was done: before, {} of {} attempts through {address} failed ({}), and a drill needs a load balancer \
             that serves",
            before.failures(),
            before.attempts,
            before.failed_text()
        )));
    }

    let prober = Prober::start(stage.probes);
    let (started_at, start) = (SystemTime::now(), Instant::now());
    let id = printable(stage.amphora.id());
    job.console.progress(&format!("taking amphora {id} away"), true);
    let struck = match &drill.kill {
        Some(command) => kill(command, &stage.amphora).await,
        None => job.api.amphora_failover(stage.amphora.id()).await,
    };
    let redundant = match struck {
        Ok(()) => redundant(job, &stage, start, Duration::from_secs(drill.limit)).await,
        Err(error) => Err(error),
    };
    sleep(AFTER).await;
    let seen = Summary::of(prober.end().await?);
    let report = report(&stage, drill, started_at, &seen, redundant.as_ref().ok().copied().flatten());
    let path = keep(drill.report.as_deref(), &stage, started_at, &report)?;
    job.print_object(&report)?;
    job.console.progress(&format!("the report is kept in {}", path.display()), true);
    if redundant?.is_none() {
        return Err(Error::Drill(format!(
            "after {} s no other amphora has taken its place; `octavia lb show` and `octavia lb operations` may say why",
            drill.limit
        )));
    }
    match drill.at_most.map(Duration::from_millis) {
        Some(most) if seen.outage > most => Err(Error::Drill(format!(
            "clients were without service for {} ms, more than {} ms",
            seen.outage.as_millis(),
            most.as_millis()
        ))),
        _ => Ok(()),
    }
}

async fn set(job: &Job<'_, '_>, drill: &FailoverDrill) -> Result<Stage, Error> {
    let lb = job.api.show_named(Kind::LoadBalancer, &drill.loadbalancer).await?;
    let status = lb.provisioning_status();
    if status != "ACTIVE" {
        return Err(Error::Drill(format!("the load balancer is {status}: a drill needs one that is ACTIVE")));
    }
    let of_lb = [("loadbalancer_id", lb.id().to_owned())];
    let listener = match &drill.listener {
        Some(name) => job.api.show_named(Kind::Listener, name).await?,
        None => {
            let mut all = job.api.list(Kind::Listener, &of_lb).await?.into_iter();
            let fits = |listener: &Object| Probing::of(listener.text("protocol")).is_some();
            all.find(fits).ok_or_else(|| {
                Error::Drill("it has no listener of HTTP or TCP through which to try it".to_owned())
            })?
        }
    };
    if !listener.references("loadbalancers").contains(&lb.id()) {
        return Err(Error::Usage("the listener is of another load balancer".to_owned()));
    }
    let kind = Probing::of(listener.text("protocol")).ok_or_else(|| {
        Error::Usage(format!("listeners of {} cannot be tried from here", listener.text("protocol")))
    })?;
    let amphorae: Vec<_> = in_service(job.api.list(Kind::Amphora, &of_lb).await?).collect();
    let amphora = carrying(&amphorae).ok_or_else(|| {
        Error::Drill("it is not known which of its amphorae carries the traffic".to_owned())
    })?;
    let not_understood = |what: &str| Error::Drill(format!("the service tells no {what} that is understood"));
    let vip: IpAddr = lb.text("vip_address").parse().map_err(|_| not_understood("address of the VIP"))?;
    let port = listener.0.get("protocol_port").and_then(Value::as_u64);
    let port = port.and_then(|port| u16::try_from(port).ok()).ok_or_else(|| not_understood("port"))?;
    let probes = Probes {
        kind,
        address: SocketAddr::new(vip, port),
        every: Duration::from_millis(drill.every),
        patience: Duration::from_millis(drill.patience),
    };
    Ok(Stage { amphora: amphora.clone(), amphorae: amphorae.len(), lb, listener, probes })
}

fn in_service(all: Vec<Object>) -> impl Iterator<Item = Object> {
    all.into_iter().filter(|amphora| amphora.text("status") == "ALLOCATED")
}

/// Of several the one that says that it holds the VIP, and where nobody tells, the one that is meant to.
fn carrying(amphorae: &[Object]) -> Option<&Object> {
    let one = |key: &str| {
        let mut found = amphorae.iter().filter(|amphora| amphora.text(key) == "MASTER");
        found.next().filter(|_| found.next().is_none())
    };
    match amphorae {
        [only] => Some(only),
        _ => one("vrrp_state").or_else(|| one("role")),
    }
}

async fn kill(command: &str, amphora: &Object) -> Result<(), Error> {
    let run = Command::new("sh")
        .args(["-c", command])
        .env("AMPHORA_ID", amphora.id())
        .env("COMPUTE_ID", amphora.text("compute_id"))
        .env("LB_NETWORK_IP", amphora.text("lb_network_ip"))
        .kill_on_drop(true)
        .output();
    let late = |_| Error::Drill(format!("the command has not ended after {} s", KILL_MAX.as_secs()));
    let output = timeout(KILL_MAX, run).await.map_err(late)??;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Error::Drill(format!(
        "the command to kill it failed ({}): {}",
        output.status,
        printable(said.trim())
    )))
}

/// Waits until as many others are in service as before; how long that took, or `None` = longer than the limit. That the
/// service cannot be asked for a while is part of a drill.
async fn redundant(
    job: &mut Job<'_, '_>,
    stage: &Stage,
    start: Instant,
    limit: Duration,
) -> Result<Option<Duration>, Error> {
    let of_lb = [("loadbalancer_id", stage.lb.id().to_owned())];
    loop {
        let seen = async {
            let amphorae = job.api.list(Kind::Amphora, &of_lb).await?;
            Ok((amphorae, job.api.show(Kind::LoadBalancer, stage.lb.id()).await?))
        };
        let text = match seen.await {
            Ok((amphorae, lb)) => {
                let others = in_service(amphorae).filter(|one| one.id() != stage.amphora.id()).count();
                let status = lb.provisioning_status().to_owned();
                if others >= stage.amphorae && status == "ACTIVE" {
                    return Ok(Some(start.elapsed()));
                }
                format!("{others} of {} amphorae, {status}", stage.amphorae)
            }
            Err(error) if Error::is_passing(&error) => "the service cannot be asked".to_owned(),
            Err(error) => return Err(error),
        };
        job.console.progress(&format!("{text} after {} s", start.elapsed().as_secs()), false);
        if start.elapsed() >= limit {
            return Ok(None);
        }
        sleep(LOOK).await;
    }
}

fn report(
    stage: &Stage,
    drill: &FailoverDrill,
    started_at: SystemTime,
    seen: &Summary,
    redundant: Option<Duration>,
) -> Object {
    let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let failed: Map<_, _> =
        seen.failed.iter().map(|(outcome, count)| (outcome.word().to_owned(), json!(count))).collect();
    let fields = json!({
        "loadbalancer_id": stage.lb.id(),
        "listener_id": stage.listener.id(),
        "address": stage.probes.address.to_string(),
        "amphora_id": stage.amphora.id(),
        "kill": drill.kill,
        "started_at": seconds(started_at),
        "attempts": seen.attempts,
        "failed": seen.failures(),
        "failed_by_cause": failed,
        "outage_ms": ms(seen.outage),
        "slowest_ms": ms(seen.slowest),
        "redundant_after_ms": redundant.map(ms),
    });
    Object(fields.as_object().cloned().unwrap_or_default())
}

/// Since 1970.
fn seconds(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Where the report is now.
fn keep(
    wanted: Option<&Path>,
    stage: &Stage,
    started_at: SystemTime,
    report: &Object,
) -> Result<PathBuf, Error> {
    let path = wanted.map_or_else(
        || format!("drill-failover-{}-{}.json", printable(stage.lb.id()), seconds(started_at)).into(),
        Path::to_owned,
    );
    let text = format!("{:#}\n", Value::Object(report.0.clone()));
    std::fs::write(&path, text)
        .map_err(|error| Error::Drill(format!("{} cannot be written: {error}", path.display())))?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_carries_the_traffic() {
        let amphora = |text: &str| {
            let mut words = text.split(' ');
            let mut word = || words.next().unwrap_or_default().to_owned();
            let fields = json!({"id": word(), "role": word(), "vrrp_state": word()});
            Object(fields.as_object().unwrap().clone())
        };
        for (amphorae, wanted) in [
            (&[][..], None),
            (&["a STANDALONE"], Some("a")),
            (&["a MASTER", "b BACKUP"], Some("a")),
            (&["a MASTER BACKUP", "b BACKUP MASTER"], Some("b")),
            // Both, or neither, say so: the one that is meant to, if that is clear.
            (&["a MASTER MASTER", "b BACKUP MASTER"], Some("a")),
            (&["a BACKUP", "b BACKUP"], None),
        ] {
            let amphorae: Vec<_> = amphorae.iter().map(|text| amphora(text)).collect();
            assert_eq!(carrying(&amphorae).map(Object::id), wanted, "{amphorae:?}");
        }
    }
}
