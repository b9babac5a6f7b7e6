//! `octavia all-in-one`: API, controller and local cloud in one process, over one state directory.
//!
//! A `kill -9` of it harms no traffic: amphorae are processes of their own, and the next start finds them again.

use std::fs;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use axum::Router;
use octavia_cloud::local::{
    IDENTITY_PATH, LOAD_BALANCER_PATH, LocalCloud, LocalKind, LocalOptions, NETWORK_PATH, SECRETS_PATH,
};
use octavia_control::{Controller, ControllerOptions};
use octavia_store::Store;
use tokio::sync::watch;

use crate::args::NetworkKind;
use crate::assembly::{
    Counters, Migrate, Outside, housekeeping, listen, listen_for_metrics, open_store, reachable,
    serve_metrics, spares, write_atomically,
};
use crate::audit::AuditWriter;
use crate::running::Running;
use crate::settings::Settings;
use crate::signal::StopSignals;
use crate::state_dir::StateDir;
use crate::{local, notify, server};

pub(crate) async fn run(state_dir: PathBuf, settings: Settings) -> anyhow::Result<ExitCode> {
    let mut signals = StopSignals::listen()?;
    let service = AllInOne::start(&state_dir, &settings).await?;
    tracing::info!(
        url = service.url(),
        clouds_yaml = %service.clouds_yaml().display(),
        "ready; try: export OS_CLIENT_CONFIG_FILE={} OS_CLOUD=demo; octavia lb list",
        service.clouds_yaml().display(),
    );
    notify::ready();
    let signal = signals.next().await;
    notify::stopping();
    tracing::info!(signal, "stopping; amphorae go on carrying traffic");
    service.stop().await;
    Ok(ExitCode::SUCCESS)
}

/// Everything, running.
#[derive(Debug)]
pub(crate) struct AllInOne {
    url: String,
    clouds_yaml: PathBuf,
    running: Running,
    // Last, so that the directory is ours until all else has ended.
    _cloud: Arc<LocalCloud>,
    _state: StateDir,
}

impl AllInOne {
    pub(crate) async fn start(state_dir: &Path, settings: &Settings) -> anyhow::Result<Self> {
        let state = StateDir::open(state_dir)?;
        local::not_kept(&state);
        settings.warn_of_topology();
        let listener = listen("the API", settings.bind).await?;
        let url = format!("http://{}", reachable(listener.local_addr()?));

        let kind = match settings.network {
            NetworkKind::Netns => LocalKind::Netns(settings.netns),
            NetworkKind::Loopback | NetworkKind::Noop => LocalKind::Loopback,
        };
        let heartbeat_keys = settings.trust.heartbeat_keys.clone();
        let options = LocalOptions { url: url.clone(), kind, heartbeat_keys, ..LocalOptions::default() };
        let cloud = LocalCloud::open(state.path(), options).context("the embedded cloud does not open")?;
        let cloud = Arc::new(cloud);
        let outside = Outside::of_cloud(&cloud, settings)?;
        let store = open_own_store(&state, settings).await?;
        let counters = Counters::default();
        let audit = match settings.audit.enabled {
            true => Some(AuditWriter::start(&settings.audit)?),
            false => None,
        };
        let metrics_listener = listen_for_metrics(settings).await?;
        let options = controller_options(&outside, settings, &counters).await?;
        let controller = Controller::start(outside.parts(store.clone()), options);
        let (stop, stopped) = watch::channel(false);
        let mut servers = vec![];
        if let Some(listener) = metrics_listener {
            let metrics_url = format!("http://{}/metrics", reachable(listener.local_addr()?));
            write_atomically(&state.join("metrics.url"), &format!("{metrics_url}\n"))?;
            let stopped = stopped.clone();
            servers.push(serve_metrics(listener, &store, settings, &counters, audit.as_ref(), stopped));
        }
        let (api, policy_watch) = outside.api(store, settings, &counters.api, audit.as_ref())?;
        let app = Router::new()
            .nest_service(IDENTITY_PATH, cloud.identity_router())
            .nest(NETWORK_PATH, networking(cloud.network_router(), &api))
            .nest_service(SECRETS_PATH, cloud.secrets_router())
            .nest(LOAD_BALANCER_PATH, api.clone())
            .fallback_service(api);
        // Whoever gets an answer finds them: the first requests wait in the listening socket.
        let clouds_yaml =
            cloud.clouds_yaml(&format!("{url}{IDENTITY_PATH}")).context("clouds.yaml cannot be written")?;
        write_atomically(&state.join("api.url"), &format!("{url}\n"))?;
        servers.push(tokio::spawn(server::serve(listener, app, stopped)));
        let running = Running {
            controller,
            servers,
            policy_watch: Some(policy_watch),
            audit,
            stop,
            requests_grace: settings.grace,
        };
        Ok(Self { url, clouds_yaml, running, _cloud: cloud, _state: state })
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn clouds_yaml(&self) -> &Path {
        &self.clouds_yaml
    }

    /// No new requests, then no new work; what is under way ends well.
    pub(crate) async fn stop(self) {
        self.running.stop().await;
    }
}

/// The embedded Neutron, which hands on what was its own service once, as its proxy plug-in did: clients of LBaaS v2
/// look for load balancers there.
fn networking(neutron: Router, api: &Router) -> Router {
    Router::new().route_service("/v2.0/lbaas/{*path}", api.clone().into_service()).fallback_service(neutron)
}

async fn open_own_store(state: &StateDir, settings: &Settings) -> anyhow::Result<Store> {
    let url = match &settings.database {
        Some(url) => url.clone(),
        None => {
            let path = state.join("octavia.db");
            private_file(&path)?;
            format!("sqlite://{}?mode=rwc", path.display())
        }
    };
    let store = open_store(&url, settings, Migrate::Yes).await?;
    if settings.database.is_none() {
        // The database lies in the directory whose lock we hold: no other controller lives.
        store.leases_end().await.context("the leases of the last run cannot be ended")?;
    }
    Ok(store)
}

async fn controller_options(
    outside: &Outside,
    settings: &Settings,
    counters: &Counters,
) -> anyhow::Result<ControllerOptions> {
    // Looked at in any case: what is wrong is said at once.
    let worker = outside.worker(settings, &counters.worker)?;
    let health = outside.health(settings, &counters.health).await?;
    if !settings.controller {
        return Ok(ControllerOptions::default());
    }
    let spares = Some(spares(&worker, settings));
    let housekeeping = Some(housekeeping(settings));
    Ok(ControllerOptions { worker: Some(worker), health, housekeeping, spares })
}

/// Makes the file be there, for our eyes only; SQLite gives its companions the same mode.
fn private_file(path: &Path) -> anyhow::Result<()> {
    fs::File::options()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
        .and_then(|file| file.set_permissions(fs::Permissions::from_mode(0o600)))
        .with_context(|| format!("cannot open {} for writing", path.display()))
}
