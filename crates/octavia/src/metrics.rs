//! Numbers about this service for Prometheus, at `/metrics` of an address of their own.
//!
//! Labels come from our own tables: how many series there are does not depend on what clients do.

mod process;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use octavia_store::{Census, Store};
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use tokio::sync::Mutex;

use process::ProcessCollector;

/// As `prometheus_client` writes it.
const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// After this the database counts as away.
const CENSUS_LIMIT: Duration = Duration::from_secs(5);

#[derive(Debug, Clone)]
pub(crate) struct MetricsSettings {
    pub(crate) enabled: bool,
    pub(crate) bind: SocketAddr,
    /// How long counts of rows are used again.
    pub(crate) refresh: Duration,
}

/// What is shown, and where counts of rows come from.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    store: Store,
    refresh: Duration,
    census: CensusGauges,
    /// When rows were counted last. Who asks meanwhile waits for the same count.
    counted_at: Mutex<Option<Instant>>,
}

#[derive(Debug, Clone, Default)]
struct CensusGauges {
    load_balancers: Family<[(&'static str, &'static str); 2], Gauge>,
    due: Gauge,
    oldest_pending: Gauge,
    leases: Family<[(&'static str, String); 1], Gauge>,
    leases_run_out: Gauge,
    database_up: Gauge,
}

impl Metrics {
    /// `register` adds what the parts of the service count.
    pub(crate) fn new(store: Store, refresh: Duration, register: impl FnOnce(&mut Registry)) -> Self {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(ProcessCollector));
        let ours = registry.sub_registry_with_prefix("octavia");
        let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        ours.register("build", "Version of this program", version);
        let census = CensusGauges::default();
        census.register(ours);
        register(ours);
        Self { registry, store, refresh, census, counted_at: Mutex::default() }
    }

    pub(crate) fn router(self) -> Router {
        Router::new().route("/metrics", get(show)).with_state(Arc::new(self))
    }

    async fn count(&self) {
        let mut counted_at = self.counted_at.lock().await;
        if counted_at.is_some_and(|at| at.elapsed() < self.refresh) {
            return;
        }
        match tokio::time::timeout(CENSUS_LIMIT, self.store.census()).await {
            Ok(Ok(census)) => self.census.set(Some(&census)),
            Ok(Err(error)) => {
                tracing::warn!(%error, "metrics: load balancers cannot be counted");
                self.census.set(None);
            }
            Err(_) => {
                tracing::warn!("metrics: load balancers cannot be counted in {CENSUS_LIMIT:?}");
                self.census.set(None);
            }
        }
        *counted_at = Some(Instant::now());
    }
}

impl CensusGauges {
    fn register(&self, registry: &mut Registry) {
        registry.register(
            "load_balancers",
            "Load balancers by provisioning and operating status; none while the database is away",
            self.load_balancers.clone(),
        );
        registry.register(
            "worker_due",
            "Load balancers that are due and that no worker has taken up",
            self.due.clone(),
        );
        registry.register(
            "load_balancer_pending_oldest_seconds",
            "How long the load balancer that waits longest has been PENDING; 0 = none is",
            self.oldest_pending.clone(),
        );
        registry.register(
            "leases",
            "Leases that workers hold, by worker, in all processes; none while the database is away",
            self.leases.clone(),
        );
        registry.register(
            "leases_run_out",
            "Leases whose workers did not renew them in time, and that no other has taken yet",
            self.leases_run_out.clone(),
        );
        registry.register(
            "database_up",
            "Whether the database answered when load balancers were counted last",
            self.database_up.clone(),
        );
    }

    /// `None` = it is not known. Then nothing is shown rather than old numbers.
    fn set(&self, census: Option<&Census>) {
        self.load_balancers.clear();
        self.leases.clear();
        self.database_up.set(census.is_some().into());
        let Some(census) = census else { return };
        let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        for (provisioning, operating, count) in &census.statuses {
            let labels =
                [("provisioning_status", provisioning.as_str()), ("operating_status", operating.as_str())];
            self.load_balancers.get_or_create(&labels).set(number(*count));
        }
        self.due.set(number(census.due));
        self.oldest_pending.set(number(census.oldest_pending));
        // No more than there are workers at this moment: those of before are gone.
        for (worker, count) in &census.leases {
            self.leases.get_or_create(&[("worker", worker.to_string())]).set(number(*count));
        }
        self.leases_run_out.set(number(census.leases_run_out));
    }
}

async fn show(State(metrics): State<Arc<Metrics>>) -> Response {
    metrics.count().await;
    let mut text = String::new();
    match encode(&mut text, &metrics.registry) {
        Ok(()) => ([(axum::http::header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "metrics cannot be written");
            axum::http::StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    /// The dashboard asks for nothing that is not shown.
    #[test]
    fn the_dashboard_knows_what_there_is() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let text = std::fs::read_to_string(root.join("packaging/grafana/octavia.json")).unwrap();
        let dashboard: Value = serde_json::from_str(&text).unwrap();
        let documented = std::fs::read_to_string(root.join("docs/operating.md")).unwrap();
        let mut names = BTreeSet::new();
        for panel in dashboard["panels"].as_array().unwrap() {
            for target in panel["targets"].as_array().unwrap() {
                let expression = target["expr"].as_str().unwrap();
                let words = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
                names.extend(words.filter(|word| word.starts_with("octavia_")).map(str::to_owned));
            }
        }
        assert!(names.len() > 12, "{names:?}");
        for name in names {
            let name = name.trim_end_matches("_bucket");
            assert!(documented.contains(&format!("`{name}`")), "{name} is not in docs/operating.md");
        }
    }
}
