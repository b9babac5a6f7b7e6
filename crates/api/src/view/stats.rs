//! Statistics.

use octavia_store::Statistics;
use serde::Serialize;

#[derive(Debug, Serialize)]
pub(crate) struct StatsView {
    bytes_in: u64,
    bytes_out: u64,
    active_connections: u64,
    total_connections: u64,
    request_errors: u64,
}

impl From<&Statistics> for StatsView {
    fn from(statistics: &Statistics) -> Self {
        Self {
            bytes_in: statistics.bytes_in,
            bytes_out: statistics.bytes_out,
            active_connections: statistics.active_connections,
            total_connections: statistics.total_connections,
            request_errors: statistics.request_errors,
        }
    }
}
