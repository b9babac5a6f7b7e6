//! What the services are put together of, whether in one process or in several.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use jiff::SignedDuration;
use octavia_api::{ApiMetrics, ApiState, Audit, Authentication};
use octavia_cloud::local::{LocalClient, LocalCloud};
use octavia_cloud::{CertIssuer, Compute, Identity, Network, NoopCompute, NoopNetwork, Secrets};
use octavia_control::{
    Agents, BootOptions, HealthMetrics, HealthOptions, HousekeepingOptions, MutualTlsAgents,
    MutualTlsOptions, NoopAgents, Parts, SpareKeeperOptions, SystemClock, SystemRandom, WorkerMetrics,
    WorkerOptions,
};
use octavia_plan::SpareOptions;
use octavia_store::{Schema, Store};
use octavia_wire::TicketRoot;
use prometheus_client::registry::Registry;
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::args::{AuthStrategy, NetworkKind};
use crate::audit::AuditWriter;
use crate::metrics::Metrics;
use crate::settings::Settings;
use crate::settings::pairs::agreement_patience;
use crate::{policy, server};

/// A hundred years.
const NEVER: SignedDuration = SignedDuration::from_hours(100 * 365 * 24);

/// Spares in the making at once.
const SPARE_BUILDS: usize = 4;
/// How often spares are looked at.
const SPARES_EVERY: Duration = Duration::from_secs(1);

/// The world outside the service.
#[derive(Debug, Clone)]
pub(crate) struct Outside {
    pub(crate) compute: Arc<dyn Compute>,
    pub(crate) network: Arc<dyn Network>,
    /// Of who is not to be found in a Keystone.
    identity: Arc<dyn Identity>,
    secrets: Arc<dyn Secrets>,
    certs: Arc<dyn CertIssuer>,
    agents: Arc<dyn Agents>,
    tickets: TicketRoot,
    /// Where this machine is to the amphorae.
    management: IpAddr,
    /// Whether amphorae are more than names.
    built: bool,
}

impl Outside {
    /// With the cloud in this process.
    pub(crate) fn of_cloud(cloud: &LocalCloud, settings: &Settings) -> anyhow::Result<Self> {
        let (network, compute, agents): (Arc<dyn Network>, Arc<dyn Compute>, Arc<dyn Agents>) =
            match settings.network {
                NetworkKind::Loopback | NetworkKind::Netns => {
                    (cloud.network(), local_compute(cloud)?, agents(cloud.cert_issuer(), settings))
                }
                NetworkKind::Noop => (
                    Arc::new(NoopNetwork),
                    Arc::new(NoopCompute::default()),
                    Arc::new(NoopAgents::new(uuid::Uuid::new_v4())),
                ),
            };
        Ok(Self {
            compute,
            network,
            agents,
            identity: cloud.identity(),
            secrets: settings.secrets.open(cloud.secrets())?,
            certs: cloud.cert_issuer(),
            tickets: TicketRoot::new(cloud.ticket_key().as_bytes()),
            management: cloud.management_address(),
            built: settings.network != NetworkKind::Noop,
        })
    }

    /// With a cloud that another process keeps.
    pub(crate) fn of_client(cloud: &LocalClient, settings: &Settings) -> anyhow::Result<Self> {
        Ok(Self {
            compute: cloud.compute(),
            network: cloud.network(),
            agents: agents(cloud.cert_issuer(), settings),
            identity: cloud.identity(),
            secrets: settings.secrets.open(cloud.secrets())?,
            certs: cloud.cert_issuer(),
            tickets: TicketRoot::new(cloud.ticket_key().as_bytes()),
            management: cloud.management_address(),
            built: true,
        })
    }

    pub(crate) fn parts(&self, store: Store) -> Parts {
        Parts {
            store,
            compute: Arc::clone(&self.compute),
            network: Arc::clone(&self.network),
            certs: Arc::clone(&self.certs),
            secrets: Arc::clone(&self.secrets),
            agents: Arc::clone(&self.agents),
            clock: Arc::new(SystemClock),
            random: Arc::new(SystemRandom),
        }
    }

    pub(crate) fn worker(
        &self,
        settings: &Settings,
        metrics: &WorkerMetrics,
    ) -> anyhow::Result<WorkerOptions> {
        let boot = BootOptions {
            controllers: settings.heartbeats.destinations(self.management),
            heartbeat_interval: settings.heartbeat_interval,
            controller_name: MutualTlsOptions::default().controller_name,
            cert_lifetime: settings.trust.cert_lifetime,
            // Many amphorae share this machine; its cores are used by many processes, not by many threads.
            proxy_threads: 1,
        };
        let mut worker = WorkerOptions::new(boot);
        // Of amphorae that exist in name only, nobody is heard.
        worker.plan.heartbeat_timeout = if self.built { settings.heartbeat_timeout } else { NEVER };
        worker.plan.renew_before = settings.trust.renew_before;
        worker.spares = settings.spares > 0;
        worker.builds = settings.builds;
        worker.tickets = Some(self.tickets.clone());
        worker.vrrp = settings.vrrp;
        worker.stapling = settings.stapling.start();
        worker.spec.default_connection_limit = settings.default_connection_limit;
        worker.spec.access_log = settings.access_log.options();
        let pages = settings.sorry.load().map_err(|what| anyhow::anyhow!("[sorry_page]: {what}"))?;
        worker.spec.sorry_pages = Arc::new(pages);
        worker.resync = SignedDuration::from_secs(10);
        worker.metrics = metrics.clone();
        Ok(worker)
    }

    /// With the socket that heartbeats come to; `None` = nobody is there to be heard of.
    pub(crate) async fn health(
        &self,
        settings: &Settings,
        metrics: &HealthMetrics,
    ) -> anyhow::Result<Option<(HealthOptions, UdpSocket)>> {
        if !self.built {
            return Ok(None);
        }
        let address = settings.heartbeats.address(self.management);
        let socket = UdpSocket::bind(address)
            .await
            .with_context(|| format!("heartbeats cannot be received at {address}"))?;
        make_room(&socket);
        let health = HealthOptions {
            heartbeat_timeout: settings.heartbeat_timeout,
            metrics: metrics.clone(),
            scan_interval: settings.health_check_interval,
            agreement_patience: agreement_patience(settings.vrrp),
            ..HealthOptions::default()
        };
        Ok(Some((health, socket)))
    }

    /// The API, and what keeps its policy up to date.
    pub(crate) fn api(
        &self,
        store: Store,
        settings: &Settings,
        metrics: &ApiMetrics,
        audit: Option<&AuditWriter>,
    ) -> anyhow::Result<(Router, JoinHandle<()>)> {
        let (policy, policy_watch) = policy::start(&settings.policy)?;
        let authentication = match settings.auth_strategy {
            AuthStrategy::Keystone => Authentication::Keystone(self.identity(settings)?),
            AuthStrategy::Noauth => Authentication::NoAuth,
        };
        let api = octavia_api::router(ApiState {
            store,
            network: Arc::clone(&self.network),
            secrets: Arc::clone(&self.secrets),
            authentication,
            policy,
            options: Arc::new(settings.api.clone()),
            metrics: metrics.clone(),
            audit: audit.map_or_else(Audit::default, |writer| {
                Audit::new(Arc::new(writer.log().clone()), settings.audit.ignored_methods.clone())
            }),
        });
        Ok((api, policy_watch))
    }

    /// The Keystone that is configured, or the embedded one.
    fn identity(&self, settings: &Settings) -> anyhow::Result<Arc<dyn Identity>> {
        match &settings.keystone {
            Some(keystone) => {
                tracing::info!(
                    auth_url = %octavia_config::without_userinfo(&keystone.options.session.auth_url),
                    "tokens are Keystone's; the embedded one's are not taken"
                );
                Ok(Arc::new(keystone.open()?))
            }
            None => Ok(Arc::clone(&self.identity)),
        }
    }
}

fn agents(certs: Arc<dyn CertIssuer>, settings: &Settings) -> Arc<dyn Agents> {
    let tls = MutualTlsOptions {
        connect_timeout: settings.agent_connect_timeout,
        request_timeout: settings.agent_request_timeout,
        ..MutualTlsOptions::default()
    };
    Arc::new(MutualTlsAgents::new(certs, tls))
}

/// Amphorae that are processes of this program.
pub(crate) fn local_compute(cloud: &LocalCloud) -> anyhow::Result<Arc<dyn Compute>> {
    let executable = std::env::current_exe().context("this program's own path is not known")?;
    cloud.compute(&executable).context("the compute driver does not start")
}

/// Also where none are wanted: those of before have to go.
pub(crate) fn spares(worker: &WorkerOptions, settings: &Settings) -> SpareKeeperOptions {
    let plan = &worker.plan;
    SpareKeeperOptions {
        spares: SpareOptions {
            size: settings.spares,
            builds: SPARE_BUILDS,
            boot_timeout: plan.boot_timeout,
            heartbeat_timeout: plan.heartbeat_timeout,
            renew_before: plan.renew_before,
        },
        boot: worker.boot.clone(),
        agent_port: worker.agent_port,
        interval: if settings.spares > 0 { SPARES_EVERY } else { settings.cleanup_interval },
    }
}

pub(crate) fn housekeeping(settings: &Settings) -> HousekeepingOptions {
    HousekeepingOptions {
        interval: settings.cleanup_interval,
        expiry_age: settings.expiry_age,
        receipt_age: SignedDuration::try_from(settings.api.key_lifetime).unwrap_or(SignedDuration::MAX),
        orphan_age: SignedDuration::from_secs(30),
        ..HousekeepingOptions::default()
    }
}

/// Who may change the schema of a database that is not this version's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Migrate {
    /// This process, now.
    Yes,
    /// The operator, when all services can do with it: others may be at work, of the version before.
    No,
}

pub(crate) async fn open_store(url: &str, settings: &Settings, migrate: Migrate) -> anyhow::Result<Store> {
    let store = Store::connect(url, settings.store.clone()).await.context("the database does not open")?;
    let schema = store.schema().await.context("the database does not answer")?;
    match (&schema, migrate) {
        (Schema::Current, _) => {}
        (Schema::Newer(_), _) if schema.serves() => {
            tracing::warn!(
                "the database's schema is of a newer version ({schema}); this one goes on with it"
            );
        }
        (Schema::Newer(_), _) => {
            anyhow::bail!(
                "this version cannot work with the database's schema ({schema}): start the newer version"
            )
        }
        (Schema::Absent | Schema::Older(_), Migrate::No) => anyhow::bail!(
            "the database's schema is not this version's ({schema}): `octavia db upgrade` brings it up to date"
        ),
        (Schema::Absent | Schema::Older(_), Migrate::Yes) => {
            store.migrate().await.context("the database's schema cannot be brought up to date")?;
        }
    }
    Ok(store)
}

/// What the parts of the service count, but for the store, which has its own.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) api: ApiMetrics,
    pub(crate) worker: WorkerMetrics,
    pub(crate) health: HealthMetrics,
}

impl Counters {
    fn register(&self, registry: &mut Registry) {
        self.api.register(registry);
        self.worker.register(registry);
        self.health.register(registry);
    }
}

/// Where metrics are asked for. Before anything else runs: an address that cannot be had ends the start.
pub(crate) async fn listen_for_metrics(settings: &Settings) -> anyhow::Result<Option<TcpListener>> {
    if !settings.metrics.enabled {
        return Ok(None);
    }
    let bind = settings.metrics.bind;
    let listener = TcpListener::bind(bind)
        .await
        .with_context(|| format!("metrics: cannot listen at {bind} ([metrics] bind_host, bind_port)"))?;
    Ok(Some(listener))
}

pub(crate) fn serve_metrics(
    listener: TcpListener,
    store: &Store,
    settings: &Settings,
    counters: &Counters,
    audit: Option<&AuditWriter>,
    stopped: watch::Receiver<bool>,
) -> JoinHandle<()> {
    let metrics = Metrics::new(store.clone(), settings.metrics.refresh, |registry| {
        counters.register(registry);
        settings.store.metrics.register(registry);
        audit.iter().for_each(|audit| audit.log().register(registry));
    });
    tokio::spawn(server::serve(listener, metrics.router(), stopped))
}

pub(crate) async fn listen(what: &str, bind: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(bind).await.map_err(|error| {
        let taken = error.kind() == std::io::ErrorKind::AddrInUse;
        let guess = if taken { ": is another one running?" } else { "" };
        let advice = "(--bind ADDR:PORT chooses another place)";
        anyhow::Error::new(error).context(format!("{what} cannot listen at {bind}{guess} {advice}"))
    })
}

/// An address that clients on this machine can use, also when we listen on all.
pub(crate) fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

pub(crate) fn write_atomically(path: &Path, text: &str) -> anyhow::Result<()> {
    let next = path.with_extension("next");
    std::fs::write(&next, text)
        .and_then(|()| std::fs::rename(&next, path))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// Heartbeats wait in the kernel while others have the processor, in bytes.
const HEARTBEATS_WAITING: usize = 16 << 20;

/// As much as we may: more than the system's `net.core.rmem_max` takes a privilege that we can do without.
fn make_room(socket: &UdpSocket) {
    use rustix::net::sockopt::{set_socket_recv_buffer_size, set_socket_recv_buffer_size_force};

    let forced = set_socket_recv_buffer_size_force(socket, HEARTBEATS_WAITING);
    if let Err(error) = forced.or_else(|_| set_socket_recv_buffer_size(socket, HEARTBEATS_WAITING)) {
        tracing::warn!(%error, "the room for heartbeats that wait is as it was");
    }
}
