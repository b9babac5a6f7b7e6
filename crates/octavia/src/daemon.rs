//! `octavia api`, `worker`, `health-manager` and `housekeeping`: each part of a controller as a process of its own.
//!
//! They share the database, which alone decides who works on what, and the local cloud, which another process keeps.
//! Nothing is said from one to another, so any of them may be killed at any time, and any number may run.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use axum::Router;
use octavia_cloud::local::{LOAD_BALANCER_PATH, LocalClient};
use octavia_control::{Controller, ControllerOptions};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::assembly::{
    Counters, Migrate, Outside, housekeeping, listen, listen_for_metrics, open_store, reachable,
    serve_metrics, spares,
};
use crate::audit::AuditWriter;
use crate::running::Running;
use crate::settings::Settings;
use crate::signal::StopSignals;
use crate::{local, notify, server};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Api,
    Worker,
    HealthManager,
    Housekeeping,
}

pub(crate) async fn run(part: Part, state_dir: &Path, settings: Settings) -> anyhow::Result<ExitCode> {
    let mut signals = StopSignals::listen()?;
    let running = Box::pin(start(part, state_dir, settings)).await?;
    notify::ready();
    let signal = signals.next().await;
    notify::stopping();
    tracing::info!(signal, "stopping");
    running.stop().await;
    Ok(ExitCode::SUCCESS)
}

async fn start(part: Part, state_dir: &Path, mut settings: Settings) -> anyhow::Result<Running> {
    let keys = settings.trust.heartbeat_keys.clone();
    let cloud = LocalClient::open(state_dir, &local::url(state_dir)?, keys)?;
    settings.api.interfaces = cloud.has_interfaces();
    if part == Part::Api {
        settings.warn_of_topology();
    }
    let settings = &settings;
    let outside = Outside::of_client(&cloud, settings)?;
    // Addresses first: that one cannot be had is the mistake of whoever starts this.
    let listener = match part {
        Part::Api => Some(listen("the API", settings.bind).await?),
        _ => None,
    };
    let metrics_listener = listen_for_metrics(settings).await?;
    let counters = Counters::default();
    let mut options = ControllerOptions::default();
    match part {
        Part::Api => {}
        Part::Worker => options.worker = Some(outside.worker(settings, &counters.worker)?),
        Part::HealthManager => options.health = outside.health(settings, &counters.health).await?,
        Part::Housekeeping => {
            options.housekeeping = Some(housekeeping(settings));
            options.spares = Some(spares(&outside.worker(settings, &counters.worker)?, settings));
        }
    }
    let store = open_store(shared_database(settings)?, settings, Migrate::No).await?;
    let audit = match part {
        Part::Api if settings.audit.enabled => Some(AuditWriter::start(&settings.audit)?),
        _ => None,
    };
    let (stop, stopped) = watch::channel(false);
    let mut servers = vec![];
    let mut policy_watch = None;
    let at = |listener: &TcpListener| anyhow::Ok(format!("http://{}", reachable(listener.local_addr()?)));
    let mut url = None;
    if let Some(listener) = listener {
        let (api, watch) = outside.api(store.clone(), settings, &counters.api, audit.as_ref())?;
        policy_watch = Some(watch);
        url = Some(at(&listener)?);
        let app = Router::new().nest(LOAD_BALANCER_PATH, api.clone()).fallback_service(api);
        servers.push(tokio::spawn(server::serve(listener, app, stopped.clone())));
    }
    let mut metrics_url = None;
    if let Some(listener) = metrics_listener {
        metrics_url = Some(format!("{}/metrics", at(&listener)?));
        servers.push(serve_metrics(listener, &store, settings, &counters, audit.as_ref(), stopped));
    }
    let controller = Controller::start(outside.parts(store), options);
    let worker = controller.worker().map(tracing::field::display);
    tracing::info!(?part, url, worker, metrics_url, "ready");
    let requests_grace = settings.grace;
    Ok(Running { controller, servers, policy_watch, audit, stop, requests_grace })
}

fn shared_database(settings: &Settings) -> anyhow::Result<&str> {
    let url = settings.database.as_deref();
    let url = url.context("daemons share a database: [database] connection or --database has to name it")?;
    anyhow::ensure!(
        !url.starts_with("sqlite:"),
        "daemons share a database of PostgreSQL or MariaDB; with SQLite there is `octavia all-in-one`"
    );
    Ok(url)
}
