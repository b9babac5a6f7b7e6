//! What the API counts. Labels are rows of the table of endpoints and a few words, never what a client wrote.

use std::time::Duration;

use http::{Method, StatusCode};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

type Labels<const N: usize> = [(&'static str, &'static str); N];

/// Seconds.
const BUCKETS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// Cheap to clone; clones count together.
#[derive(Debug, Clone)]
pub struct ApiMetrics {
    requests: Family<Labels<3>, Counter>,
    seconds: Family<Labels<2>, Histogram, fn() -> Histogram>,
    pub(crate) in_flight: Gauge,
}

impl Default for ApiMetrics {
    fn default() -> Self {
        Self {
            requests: Family::default(),
            seconds: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
            in_flight: Gauge::default(),
        }
    }
}

impl ApiMetrics {
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "api_requests",
            "Requests answered, by endpoint, method and class of status",
            self.requests.clone(),
        );
        registry.register(
            "api_request_duration_seconds",
            "Time from the head of a request to its answer, by endpoint and method",
            self.seconds.clone(),
        );
        registry.register(
            "api_requests_in_flight",
            "Requests that are being answered",
            self.in_flight.clone(),
        );
    }

    pub(crate) fn answered(
        &self,
        endpoint: &'static str,
        method: &Method,
        status: StatusCode,
        elapsed: Duration,
    ) {
        let (endpoint, method) = (("endpoint", endpoint), ("method", word(method)));
        self.requests.get_or_create(&[endpoint, method, ("status", class(status))]).inc();
        self.seconds.get_or_create(&[endpoint, method]).observe(elapsed.as_secs_f64());
    }
}

/// Clients may send any word for a method.
fn word(method: &Method) -> &'static str {
    const KNOWN: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"];
    KNOWN.into_iter().find(|known| method.as_str() == *known).unwrap_or("other")
}

fn class(status: StatusCode) -> &'static str {
    match status.as_u16() / 100 {
        1 => "1xx",
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        _ => "5xx",
    }
}
