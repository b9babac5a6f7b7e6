//! What an operator sees of the running product: health, numbers, records, the end.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use octavia_testkit::{AllInOneOptions, wait_for};
use serde_json::{Value, json};

use crate::world::{LIMIT, World, binary};

/// The value of the first sample whose line begins like this.
fn sample(text: &str, begins: &str) -> Option<f64> {
    text.lines().find(|line| line.starts_with(begins))?.rsplit(' ').next()?.parse().ok()
}

/// Every line is what the text format allows (OpenMetrics 1.0, "Text format"), and nothing follows the end.
fn check_format(text: &str) -> Result<()> {
    let (samples, end) = text.rsplit_once("# EOF\n").context("no end")?;
    ensure!(end.is_empty(), "{end}");
    for line in samples.lines() {
        let word = line.split(' ').nth(1).unwrap_or_default();
        if line.starts_with('#') {
            ensure!(["HELP", "TYPE", "UNIT"].contains(&word), "{line}");
            continue;
        }
        let (name, value) = line.rsplit_once(' ').context("no value")?;
        ensure!(value.parse::<f64>().is_ok(), "{line}");
        let name = name.split('{').next().unwrap_or_default();
        ensure!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'), "{line}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn health_numbers_and_records() -> Result<()> {
    let dir = tempfile::Builder::new().prefix("octavia-it-").tempdir()?;
    let path = |name: &str| dir.path().join(name);
    let (config, records, off) = (path("octavia.conf"), path("audit.log"), path("off"));
    std::fs::write(
        &config,
        format!(
            "[api_settings]\nhealthcheck_enabled = true\n\
             [healthcheck]\nbackends = disable_by_file, octavia_db_check\ndisable_by_file_path = {}\n\
             [oslo_middleware]\nenable_proxy_headers_parsing = true\n\
             [cors]\nallowed_origin = https://dashboard.test\n\
             [audit]\nenabled = true\nfile = {}\n\
             [metrics]\nenabled = true\nbind_port = 0\nrefresh_interval = 1\n",
            off.display(),
            records.display()
        ),
    )?;
    let mut options = AllInOneOptions::new(binary(), path("state"))?;
    options.arguments = vec!["--config-file".into(), config.clone().into()];
    let mut world = World::start_with(dir, options).await?;
    let http = octavia_testkit::rest::client()?;
    let url = world.product.url();

    let health = http.get(format!("{url}/healthcheck")).send().await?;
    ensure!(health.status() == 200 && health.headers().contains_key("x-openstack-request-id"));
    ensure!(health.text().await? == "OK\nOK");
    let head = http.head(format!("{url}/load-balancer/healthcheck")).send().await?;
    ensure!(head.status() == 204, "{head:?}");
    std::fs::write(&off, "")?;
    let health = http.get(format!("{url}/healthcheck")).send().await?;
    ensure!(health.status() == 503 && health.text().await?.starts_with("DISABLED BY FILE"));

    let proxied = http
        .get(format!("{url}/load-balancer"))
        .header("Forwarded", "for=198.51.100.7;proto=https;host=lb.test")
        .header("Origin", "https://dashboard.test");
    let answer = proxied.send().await?;
    ensure!(answer.headers()["access-control-allow-origin"] == "https://dashboard.test", "{answer:?}");
    let versions: Value = answer.json().await?;
    let href = &versions["versions"][0]["links"][0]["href"];
    ensure!(href == "https://lb.test/load-balancer/v2", "{versions}");

    // A write, a refused write, and a read of nothing that has a row.
    let lb = json!({"loadbalancer": {"name": "seen", "vip_subnet_id": world.subnet_id}});
    let lb = world.rest.post("/lbaas/loadbalancers", &lb).await?["loadbalancer"]["id"].take();
    let id = lb.as_str().context("no id")?;
    world.rest.lb_active(id, LIMIT).await?;
    ensure!(world.rest.delete("/lbaas/pools/nothing").await.is_err());
    let hostile = http.get(format!("{url}/v2/\"}}evil{{x=\"%0A")).send().await?;
    ensure!(hostile.status().is_client_error());

    let least = [
        ("octavia_heartbeats_accepted_total", 1.0),
        ("octavia_build_info{version=", 1.0),
        ("octavia_database_up", 1.0),
        ("octavia_worker_due", 0.0),
        ("octavia_load_balancer_pending_oldest_seconds", 0.0),
        ("octavia_api_requests_total{endpoint=\"loadbalancers\",method=\"POST\",status=\"2xx\"}", 1.0),
        ("octavia_api_requests_total{endpoint=\"pools/{id}\",method=\"DELETE\",status=\"4xx\"}", 1.0),
        ("octavia_api_requests_total{endpoint=\"healthcheck\",method=\"GET\",status=\"5xx\"}", 1.0),
        ("octavia_api_requests_total{endpoint=\"none\",method=\"GET\",status=\"4xx\"}", 1.0),
        ("octavia_api_request_duration_seconds_count{endpoint=\"loadbalancers\",method=\"POST\"}", 1.0),
        ("octavia_api_requests_in_flight", 0.0),
        ("octavia_store_operations_total{operation=\"census\"}", 1.0),
        ("octavia_worker_reconciliations_total{result=\"done\"}", 1.0),
        ("octavia_worker_reconciliation_duration_seconds_count", 1.0),
        ("octavia_amphorae_silent", 0.0),
        ("octavia_audit_records_total", 2.0),
        ("octavia_audit_records_lost_total", 0.0),
        ("process_cpu_seconds_total", 0.0),
        ("process_resident_memory_bytes", 1_000_000.0),
        ("process_open_fds", 5.0),
        ("process_max_fds", 5.0),
    ];
    let metrics = std::fs::read_to_string(world.product.state_dir().join("metrics.url"))?;
    // What was done is counted afterwards.
    let text = wait_for("the numbers", LIMIT, async || {
        let text = scrape(&http, metrics.trim()).await.map_err(|error| format!("{error:#}"))?;
        let active = "octavia_load_balancers{provisioning_status=\"ACTIVE\",operating_status=";
        if sample(&text, active) != Some(1.0) {
            return Err(text);
        }
        let low =
            least.iter().find(|(begins, least)| sample(&text, begins).is_none_or(|value| value < *least));
        low.map_or(Ok(text.clone()), |low| Err(format!("not {low:?} in\n{text}")))
    })
    .await?;
    check_format(&text)?;
    ensure!(!text.contains("evil") && !text.contains(id), "what clients write is no label");
    ensure!(
        http.get(format!("{url}/metrics")).send().await?.status() == 401,
        "the API does not show numbers"
    );

    let recorded = |records: &std::path::Path| -> Result<Vec<Value>> {
        let text = std::fs::read_to_string(records)?;
        text.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
    };
    // They are written after the answers.
    let found = wait_for("both records", LIMIT, async || match recorded(&records) {
        Ok(found) if found.len() >= 2 => Ok(found),
        other => Err(format!("{other:?}")),
    })
    .await?;
    ensure!(found.len() == 2, "{found:?}");
    ensure!(found[0]["target"]["id"] == lb && found[0]["outcome"] == "success", "{}", found[0]);
    ensure!(found[0]["initiator"]["host"]["address"] == "127.0.0.1", "{}", found[0]);
    let ids = &found[0]["initiator"]["credential"]["assertions"]["audit_ids"];
    ensure!(ids.as_array().is_some_and(|ids| ids.len() == 1), "{}", found[0]);
    ensure!(found[1]["reason"]["reasonCode"] == "404", "{}", found[1]);

    // Rotation: SIGHUP does not end the process, and the next record is in a new file.
    let old = records.with_extension("1");
    std::fs::rename(&records, &old)?;
    let pid = rustix::process::Pid::from_raw(world.product.controller_pid().context("not running")?);
    rustix::process::kill_process(pid.context("no pid")?, rustix::process::Signal::HUP)?;
    wait_for("the new file", LIMIT, async || {
        let _ = world.rest.delete("/lbaas/pools/nothing").await;
        recorded(&records).map_err(|error| error.to_string())
    })
    .await?;

    let status = world.product.stop(Duration::from_secs(30)).await?;
    ensure!(status.success(), "{status}");
    // What was recorded last is written.
    let written = recorded(&records)?.len() + recorded(&old)?.len();
    let answered = std::fs::read_to_string(world.product.log_path())?;
    let writes = answered.lines().filter(|line| {
        line.contains("answered")
            && (line.contains("method=DELETE") || line.contains("method=POST"))
            && line.contains("/load-balancer/v2")
    });
    ensure!(written == writes.count(), "{written}\n{answered}");
    ensure!(answered.contains(&format!("lb={id} generation=1")), "no line tells what the write was");
    Ok(())
}

/// By the id that a caller gave its request, and by the one it was answered, what became of it is found in the log of
/// every process that did something for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_found_in_every_log() -> Result<()> {
    let world = World::start().await?;
    let global = "req-2f3a0a3c-5d6e-4f70-8192-a3b4c5d6e7f8";
    let lb = json!({"loadbalancer": {"name": "found", "vip_subnet_id": world.subnet_id}});
    let answer = octavia_testkit::rest::client()?
        .post(format!("{}/lbaas/loadbalancers", world.rest.endpoint()))
        .header("X-Auth-Token", world.rest.token())
        .header("X-Openstack-Request-Id", global)
        .json(&lb)
        .send()
        .await?
        .error_for_status()?;
    let own = answer.headers()["x-openstack-request-id"].to_str()?.to_owned();
    let lb = answer.json::<Value>().await?["loadbalancer"]["id"].take();
    let id = lb.as_str().context("no id")?;
    world.rest.lb_active(id, LIMIT).await?;

    let pair = format!("request_ids=\"{global} {own}\"");
    // Steps that took no time are noted after they were done.
    let operations = format!("/lbaas/loadbalancers/{id}/operations");
    wait_for("the operations", LIMIT, async || {
        let listed = world.rest.get(&operations).await.map_err(|error| format!("{error:#}"))?;
        let found = listed["operations"][0]["request_ids"] == json!([global, own]);
        if found { Ok(()) } else { Err(listed.to_string()) }
    })
    .await?;
    let amphorae = world.product.rest("admin").await?.get("/octavia/amphorae").await?;
    let amphora = amphorae["amphorae"][0]["id"].as_str().context("no amphora")?.to_owned();
    let directory = find(world.product.state_dir(), &amphora)?.context("no directory of the amphora")?;
    // The controller says so after it is so.
    for (log, line) in [
        (world.product.log_path(), "settled"),
        (directory.join("agent.log"), "spec in force"),
        (directory.join("proxy.log"), "configuration in force"),
    ] {
        wait_for(line, LIMIT, async || {
            let text = std::fs::read_to_string(&log).map_err(|error| error.to_string())?;
            let found = text.lines().any(|one| one.contains(line) && one.contains(&pair));
            if found { Ok(()) } else { Err(format!("no {line} with {pair} in {}:\n{text}", log.display())) }
        })
        .await?;
    }
    Ok(())
}

/// The directory of this name, somewhere below.
fn find(below: &Path, name: &str) -> Result<Option<PathBuf>> {
    for entry in std::fs::read_dir(below)? {
        let entry = entry?;
        if !entry.file_type()?.is_dir() {
            continue;
        }
        if entry.file_name() == name {
            return Ok(Some(entry.path()));
        }
        if let Some(found) = find(&entry.path(), name)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

async fn scrape(http: &reqwest::Client, url: &str) -> Result<String> {
    let answer = http.get(url).send().await?.error_for_status()?;
    let kind = answer.headers()["content-type"].to_str()?;
    ensure!(kind.starts_with("application/openmetrics-text; version=1.0.0"), "{kind}");
    Ok(answer.text().await?)
}
