//! Statistics.

use octavia_store::{AmphoraStatistics, Statistics};
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

/// What one amphora counted for one listener.
#[derive(Debug, Serialize)]
pub(crate) struct AmphoraStatsView {
    #[serde(flatten)]
    statistics: StatsView,
    /// The amphora.
    id: String,
    listener_id: String,
    loadbalancer_id: String,
}

impl From<&AmphoraStatistics> for AmphoraStatsView {
    fn from(row: &AmphoraStatistics) -> Self {
        Self {
            statistics: StatsView::from(&row.statistics),
            id: row.amphora_id.to_string(),
            listener_id: row.listener_id.to_string(),
            loadbalancer_id: row.load_balancer_id.to_string(),
        }
    }
}
