//! `octavia all-in-one`: API, controller and local cloud in one process, over one state directory.
//!
//! A `kill -9` of it harms no traffic: amphorae are processes of their own, and the next start finds them again.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use jiff::SignedDuration;
use octavia_api::{ApiMetrics, ApiState, Audit, Authentication};
use octavia_cloud::local::{
    IDENTITY_PATH, LOAD_BALANCER_PATH, LocalCloud, LocalKind, LocalOptions, NETWORK_PATH, SECRETS_PATH,
};
use octavia_cloud::{Compute, Identity, Network, NoopCompute, NoopNetwork, Secrets};
use octavia_control::{
    Agents, BootOptions, Controller, ControllerOptions, HealthMetrics, HealthOptions, HeartbeatKey,
    HousekeepingOptions, MutualTlsAgents, MutualTlsOptions, NoopAgents, Parts, SystemClock, SystemRandom,
    WorkerMetrics, WorkerOptions,
};
use octavia_store::Store;
use octavia_wire::TicketRoot;
use prometheus_client::registry::Registry;
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::args::{AuthStrategy, NetworkKind};
use crate::audit::AuditWriter;
use crate::metrics::Metrics;
use crate::settings::Settings;
use crate::signal::StopSignals;
use crate::state_dir::StateDir;
use crate::{policy, server};

/// A hundred years.
const NEVER: SignedDuration = SignedDuration::from_hours(100 * 365 * 24);
const HEARTBEAT_PORT: u16 = 5555;
/// How long work under way, and then records that wait, may take when the service stops.
const GRACE: Duration = Duration::from_secs(15);

pub(crate) async fn run(state_dir: PathBuf, settings: Settings) -> anyhow::Result<ExitCode> {
    let mut signals = StopSignals::listen()?;
    let service = AllInOne::start(&state_dir, &settings).await?;
    tracing::info!(
        url = service.url(),
        clouds_yaml = %service.clouds_yaml().display(),
        "ready; try: export OS_CLIENT_CONFIG_FILE={} OS_CLOUD=demo; octavia lb list",
        service.clouds_yaml().display(),
    );
    let signal = signals.next().await;
    tracing::info!(signal, "stopping; amphorae go on carrying traffic");
    service.stop().await;
    Ok(ExitCode::SUCCESS)
}

/// Everything, running.
#[derive(Debug)]
pub(crate) struct AllInOne {
    url: String,
    clouds_yaml: PathBuf,
    controller: Controller,
    servers: Vec<JoinHandle<()>>,
    /// How long requests may take to end.
    grace: Duration,
    audit: Option<AuditWriter>,
    policy_watch: JoinHandle<()>,
    stop: watch::Sender<bool>,
    // Last, so that the directory is ours until all else has ended.
    _cloud: Arc<LocalCloud>,
    _state: StateDir,
}

impl AllInOne {
    pub(crate) async fn start(state_dir: &Path, settings: &Settings) -> anyhow::Result<Self> {
        let state = StateDir::open(state_dir)?;
        let listener = listen(settings.bind).await?;
        let url = format!("http://{}", reachable(listener.local_addr()?));

        let kind = match settings.network {
            NetworkKind::Netns => LocalKind::Netns(settings.netns),
            NetworkKind::Loopback | NetworkKind::Noop => LocalKind::Loopback,
        };
        let options = LocalOptions { url: url.clone(), kind, ..LocalOptions::default() };
        let cloud = LocalCloud::open(state.path(), options).context("the embedded cloud does not open")?;
        let cloud = Arc::new(cloud);
        let store = open_store(&state, settings).await?;
        let network: Arc<dyn Network> = match settings.network {
            NetworkKind::Loopback | NetworkKind::Netns => cloud.network(),
            NetworkKind::Noop => Arc::new(NoopNetwork),
        };
        let secrets = settings.secrets.open(&cloud)?;
        let counters = Counters::default();
        let audit = match settings.audit.enabled {
            true => Some(AuditWriter::start(&settings.audit)?),
            false => None,
        };
        let metrics_listener = match settings.metrics.enabled {
            true => Some(listen_for_metrics(&state, settings.metrics.bind).await?),
            false => None,
        };
        let controller =
            start_controller(&cloud, &store, Arc::clone(&network), Arc::clone(&secrets), settings, &counters)
                .await?;
        let (stop, stopped) = watch::channel(false);
        let mut servers = vec![];
        if let Some(listener) = metrics_listener {
            let metrics = Metrics::new(store.clone(), settings.metrics.refresh, |registry| {
                counters.register(registry);
                settings.store.metrics.register(registry);
                audit.iter().for_each(|audit| audit.log().register(registry));
            });
            servers.push(tokio::spawn(server::serve(listener, metrics.router(), stopped.clone())));
        }

        let (policy, policy_watch) = policy::start(&settings.policy)?;
        let authentication = match settings.auth_strategy {
            AuthStrategy::Keystone => Authentication::Keystone(identity(&cloud, settings)?),
            AuthStrategy::Noauth => Authentication::NoAuth,
        };
        let api = octavia_api::router(ApiState {
            store,
            network,
            secrets,
            authentication,
            policy,
            options: Arc::new(settings.api.clone()),
            metrics: counters.api.clone(),
            audit: audit.as_ref().map_or_else(Audit::default, |writer| {
                Audit::new(Arc::new(writer.log().clone()), settings.audit.ignored_methods.clone())
            }),
        });
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
        let grace = settings.grace;
        Ok(Self {
            url,
            clouds_yaml,
            controller,
            servers,
            policy_watch,
            grace,
            audit,
            stop,
            _cloud: cloud,
            _state: state,
        })
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn clouds_yaml(&self) -> &Path {
        &self.clouds_yaml
    }

    /// No new requests, then no new work; what is under way ends well.
    pub(crate) async fn stop(self) {
        let _ = self.stop.send(true);
        let requests = futures::future::join_all(self.servers);
        if tokio::time::timeout(self.grace, requests).await.is_err() {
            tracing::warn!("some requests did not end in {:?}", self.grace);
        }
        self.policy_watch.abort();
        if tokio::time::timeout(GRACE, self.controller.stop()).await.is_err() {
            tracing::warn!("some work did not end; the next start takes it up");
        }
        if let Some(audit) = self.audit {
            audit.stop(GRACE).await;
        }
    }
}

/// Where metrics are asked for. Before anything else runs: an address that cannot be had ends the start.
async fn listen_for_metrics(state: &StateDir, bind: SocketAddr) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind(bind)
        .await
        .with_context(|| format!("[metrics] bind_host, bind_port: cannot listen at {bind}"))?;
    let url = format!("http://{}/metrics", reachable(listener.local_addr()?));
    write_atomically(&state.join("metrics.url"), &format!("{url}\n"))?;
    Ok(listener)
}

/// What the parts of the service count, but for the store, which has its own.
#[derive(Debug, Default)]
struct Counters {
    api: ApiMetrics,
    worker: WorkerMetrics,
    health: HealthMetrics,
}

impl Counters {
    fn register(&self, registry: &mut Registry) {
        self.api.register(registry);
        self.worker.register(registry);
        self.health.register(registry);
    }
}

/// The embedded Neutron, which hands on what was its own service once, as its proxy plug-in did: clients of LBaaS v2
/// look for load balancers there.
fn networking(neutron: Router, api: &Router) -> Router {
    Router::new().route_service("/v2.0/lbaas/{*path}", api.clone().into_service()).fallback_service(neutron)
}

/// The Keystone that is configured, or the embedded one.
fn identity(cloud: &LocalCloud, settings: &Settings) -> anyhow::Result<Arc<dyn Identity>> {
    match &settings.keystone {
        Some(keystone) => {
            tracing::info!(
                auth_url = %octavia_config::without_userinfo(&keystone.options.session.auth_url),
                "tokens are Keystone's; the embedded one's are not taken"
            );
            Ok(Arc::new(keystone.open()?))
        }
        None => Ok(cloud.identity()),
    }
}

async fn open_store(state: &StateDir, settings: &Settings) -> anyhow::Result<Store> {
    let url = match &settings.database {
        Some(url) => url.clone(),
        None => {
            let path = state.join("octavia.db");
            private_file(&path)?;
            format!("sqlite://{}?mode=rwc", path.display())
        }
    };
    let store = Store::connect(&url, settings.store.clone()).await.context("the database does not open")?;
    store.migrate().await.context("the database's schema cannot be brought up to date")?;
    if settings.database.is_none() {
        // The database lies in the directory whose lock we hold: no other controller lives.
        store.leases_end().await.context("the leases of the last run cannot be ended")?;
    }
    Ok(store)
}

async fn start_controller(
    cloud: &LocalCloud,
    store: &Store,
    network: Arc<dyn Network>,
    secrets: Arc<dyn Secrets>,
    settings: &Settings,
    counters: &Counters,
) -> anyhow::Result<Controller> {
    let heartbeats = SocketAddr::new(cloud.management_address(), HEARTBEAT_PORT);
    let key = HeartbeatKey::new(cloud.heartbeat_key());
    let tls = MutualTlsOptions {
        connect_timeout: settings.agent_connect_timeout,
        request_timeout: settings.agent_request_timeout,
        ..MutualTlsOptions::default()
    };
    let boot = BootOptions {
        controllers: vec![heartbeats],
        heartbeat_interval: settings.heartbeat_interval,
        heartbeat_key: key.clone(),
        controller_name: tls.controller_name.clone(),
        cert_lifetime: settings.cert_lifetime,
        // Many amphorae share this machine; its cores are used by many processes, not by many threads.
        proxy_threads: 1,
    };
    let (compute, agents): (Arc<dyn Compute>, Arc<dyn Agents>) = match settings.network {
        NetworkKind::Loopback | NetworkKind::Netns => {
            let executable = std::env::current_exe().context("this program's own path is not known")?;
            let compute = cloud.compute(&executable).context("the compute driver does not start")?;
            (compute, Arc::new(MutualTlsAgents::new(cloud.cert_issuer(), tls)))
        }
        NetworkKind::Noop => {
            (Arc::new(NoopCompute::default()), Arc::new(NoopAgents::new(uuid::Uuid::new_v4())))
        }
    };
    let parts = Parts {
        store: store.clone(),
        compute,
        network,
        certs: cloud.cert_issuer(),
        secrets,
        agents,
        clock: Arc::new(SystemClock),
        random: Arc::new(SystemRandom),
    };
    let mut worker = WorkerOptions::new(boot);
    worker.plan.heartbeat_timeout = settings.heartbeat_timeout;
    worker.tickets = Some(TicketRoot::new(cloud.ticket_key().as_bytes()));
    worker.stapling = settings.stapling.start();
    worker.spec.default_connection_limit = settings.default_connection_limit;
    worker.spec.access_log = settings.access_log.options();
    let pages = settings.sorry.load().map_err(|what| anyhow::anyhow!("[sorry_page]: {what}"))?;
    worker.spec.sorry_pages = Arc::new(pages);
    worker.resync = SignedDuration::from_secs(10);
    worker.metrics = counters.worker.clone();
    let health = match settings.network {
        NetworkKind::Loopback | NetworkKind::Netns => {
            let socket = UdpSocket::bind(heartbeats)
                .await
                .with_context(|| format!("heartbeats cannot be received at {heartbeats}"))?;
            let mut health = HealthOptions::new(key);
            health.heartbeat_timeout = settings.heartbeat_timeout;
            health.metrics = counters.health.clone();
            health.scan_interval = settings.health_check_interval;
            Some((health, socket))
        }
        NetworkKind::Noop => {
            // Nobody is there to be heard of.
            worker.plan.heartbeat_timeout = NEVER;
            None
        }
    };
    let housekeeping = HousekeepingOptions {
        interval: settings.cleanup_interval,
        expiry_age: settings.expiry_age,
        receipt_age: SignedDuration::try_from(settings.api.key_lifetime).unwrap_or(SignedDuration::MAX),
        orphan_age: SignedDuration::from_secs(30),
        ..HousekeepingOptions::default()
    };
    let options = if settings.controller {
        ControllerOptions { worker: Some(worker), health, housekeeping: Some(housekeeping) }
    } else {
        ControllerOptions::default()
    };
    Ok(Controller::start(parts, options))
}

async fn listen(bind: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(bind).await.map_err(|error| {
        let taken = error.kind() == std::io::ErrorKind::AddrInUse;
        let guess = if taken { ": is another one running?" } else { "" };
        let advice = "(--bind ADDR:PORT chooses another place)";
        anyhow::Error::new(error).context(format!("the API cannot listen at {bind}{guess} {advice}"))
    })
}

/// An address that clients on this machine can use, also when we listen on all.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
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

fn write_atomically(path: &Path, text: &str) -> anyhow::Result<()> {
    let next = path.with_extension("next");
    fs::write(&next, text)
        .and_then(|()| fs::rename(&next, path))
        .with_context(|| format!("cannot write {}", path.display()))
}
