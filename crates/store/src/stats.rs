//! Traffic counters.

use octavia_model::{AmphoraId, AmphoraStatus, ListenerId, LoadBalancerId};
use sea_orm::sea_query::Query;
use sea_orm::{ColumnTrait, Condition, EntityTrait, QueryFilter};

use crate::entity::amphora;
use crate::entity::codec::{self, Decode};
use crate::entity::listener_statistics::{Column, Entity, Model};
use crate::options::Call;
use crate::retry::framed;
use crate::{Report, Store, StoreError};

/// Counters of a listener, or a sum of them. They saturate instead of overflowing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Statistics {
    pub bytes_in: u64,
    pub bytes_out: u64,
    /// Now, not so far; in sums only of amphorae that are `ALLOCATED`.
    pub active_connections: u64,
    pub total_connections: u64,
    pub request_errors: u64,
}

/// What one amphora counted for one listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AmphoraStatistics {
    pub amphora_id: AmphoraId,
    pub listener_id: ListenerId,
    pub load_balancer_id: LoadBalancerId,
    pub statistics: Statistics,
}

impl Statistics {
    fn add(&mut self, other: &Self) {
        self.bytes_in = self.bytes_in.saturating_add(other.bytes_in);
        self.bytes_out = self.bytes_out.saturating_add(other.bytes_out);
        self.active_connections = self.active_connections.saturating_add(other.active_connections);
        self.total_connections = self.total_connections.saturating_add(other.total_connections);
        self.request_errors = self.request_errors.saturating_add(other.request_errors);
    }
}

impl Store {
    /// Sum over amphorae; zeros when nothing was counted, or there is no such listener.
    pub async fn listener_stats(&self, id: ListenerId) -> Result<Statistics, StoreError> {
        let rows = Column::ListenerId.eq(codec::id(id)).into();
        framed!(self, Call::of("listener_stats"), self.sum(&rows))
    }

    /// Sum over listeners and amphorae.
    pub async fn lb_stats(&self, id: LoadBalancerId) -> Result<Statistics, StoreError> {
        let rows = Column::LoadBalancerId.eq(codec::id(id)).into();
        framed!(self, Call::of_lb("lb_stats", id), self.sum(&rows))
    }

    /// One entry for each listener; empty when nothing was counted.
    pub async fn amphora_stats(&self, id: AmphoraId) -> Result<Vec<AmphoraStatistics>, StoreError> {
        framed!(self, Call::of("amphora_stats"), self.amphora_stats_once(id))
    }

    async fn amphora_stats_once(&self, id: AmphoraId) -> Result<Vec<AmphoraStatistics>, StoreError> {
        let rows = Entity::find().filter(Column::AmphoraId.eq(codec::id(id))).all(self.reader()).await?;
        let decode = Decode("listener_statistics");
        let mut entries = rows
            .iter()
            .map(|row| {
                Ok(AmphoraStatistics {
                    amphora_id: id,
                    listener_id: decode.parse("listener_id", &row.listener_id)?,
                    load_balancer_id: decode.parse("load_balancer_id", &row.load_balancer_id)?,
                    statistics: shown(row),
                })
            })
            .collect::<Result<Vec<_>, StoreError>>()?;
        entries.sort_by_key(|entry| entry.listener_id);
        Ok(entries)
    }

    /// Few rows: one for each listener and amphora of a load balancer.
    async fn sum(&self, rows: &Condition) -> Result<Statistics, StoreError> {
        let all = Entity::find().filter(rows.clone()).all(self.reader()).await?;
        if all.is_empty() {
            return Ok(Statistics::default());
        }
        let allocated = Query::select()
            .column(amphora::Column::Id)
            .from(amphora::Entity)
            .and_where(amphora::Column::Status.eq(AmphoraStatus::Allocated.as_str()))
            .take();
        let now = Entity::find()
            .filter(rows.clone())
            .filter(Column::AmphoraId.in_subquery(allocated))
            .all(self.reader())
            .await?;
        let mut sum = Statistics::default();
        all.iter().for_each(|row| sum.add(&Statistics { active_connections: 0, ..shown(row) }));
        now.iter().for_each(|row| {
            sum.add(&Statistics {
                active_connections: unsigned(row.active_connections),
                ..Default::default()
            });
        });
        Ok(sum)
    }
}

fn shown(row: &Model) -> Statistics {
    let total = |base: i64, current: i64| unsigned(base.saturating_add(current));
    Statistics {
        bytes_in: total(row.base_bytes_in, row.bytes_in),
        bytes_out: total(row.base_bytes_out, row.bytes_out),
        active_connections: unsigned(row.active_connections),
        total_connections: total(row.base_total_connections, row.total_connections),
        request_errors: total(row.base_request_errors, row.request_errors),
    }
}

fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

/// Nothing counted yet.
pub(crate) fn fresh(listener_id: String, amphora_id: String, load_balancer_id: String) -> Model {
    Model {
        listener_id,
        amphora_id,
        load_balancer_id,
        boot: None,
        base_bytes_in: 0,
        base_bytes_out: 0,
        base_total_connections: 0,
        base_request_errors: 0,
        bytes_in: 0,
        bytes_out: 0,
        total_connections: 0,
        request_errors: 0,
        active_connections: 0,
    }
}

/// Takes a report into the row.
///
/// Totals of the same start only grow, so the greater one is the newer one and a late or double report changes nothing;
/// of another start (or lower, where the start has no name) they begin anew on top of what was counted before.
pub(crate) fn count(row: &mut Model, report: Report, statistics: &Statistics) {
    let new =
        [statistics.bytes_in, statistics.bytes_out, statistics.total_connections, statistics.request_errors]
            .map(codec::count);
    row.active_connections = codec::count(statistics.active_connections);
    let same_start = match report {
        Report::Differences => {
            fold(row, new);
            return;
        }
        Report::Totals { boot: Some(boot) } => {
            let boot = Some(boot.to_string());
            std::mem::replace(&mut row.boot, boot.clone()) == boot
        }
        Report::Totals { boot: None } => {
            row.boot.take().is_none() && new.iter().zip(current(row)).all(|(n, c)| *n >= c)
        }
    };
    let kept = current(row);
    let current = if same_start {
        [0, 1, 2, 3].map(|at| Ord::max(new[at], kept[at]))
    } else {
        fold(row, kept);
        new
    };
    [row.bytes_in, row.bytes_out, row.total_connections, row.request_errors] = current;
}

const fn current(row: &Model) -> [i64; 4] {
    [row.bytes_in, row.bytes_out, row.total_connections, row.request_errors]
}

fn fold(row: &mut Model, counted: [i64; 4]) {
    let base = [
        &mut row.base_bytes_in,
        &mut row.base_bytes_out,
        &mut row.base_total_connections,
        &mut row.base_request_errors,
    ];
    for (base, counted) in base.into_iter().zip(counted) {
        *base = base.saturating_add(counted);
    }
}
