//! What amphorae say of themselves: operating statuses, liveness, counters. Never a provisioning status, and not
//! bound to a lease.

use std::collections::BTreeMap;

use jiff::Timestamp;
use octavia_model::{
    Amphora, AmphoraId, AmphoraStatus, ListenerId, LoadBalancerGraph, LoadBalancerId, MemberId,
    OperatingStatus, PoolId, ProvisioningStatus, Reason, SEQ_FOR_LIFE,
};
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, Condition, DatabaseTransaction, EntityTrait, ExprTrait, IntoActiveModel,
    Iterable, QueryFilter, QueryOrder, QuerySelect,
};
use uuid::Uuid;

use crate::amphora::amphora_read;
use crate::entity::codec::{self, Decode};
use crate::entity::{amphora, listener, listener_statistics, load_balancer, member, pool};
use crate::fetch::{graph_load, root_lock, root_read};
use crate::options::Call;
use crate::retry::framed;
use crate::write::CHUNK;
use crate::{Statistics, Store, StoreError, stats};

/// For agents that count anew when they start again: a beat with a number not higher than the last one's is late or
/// double within this time, in microseconds, of it. Datagrams do not travel longer.
const REORDERED: i64 = 5_000_000;

/// A sign of life further ahead than this, in microseconds, of a newer one is of a clock that has gone back since.
const AHEAD: i64 = 60_000_000;

/// What the roll-up of a heartbeat is judged against.
#[derive(Debug, Clone, PartialEq)]
pub struct HealthContext {
    pub amphora: Amphora,
    pub graph: LoadBalancerGraph,
}

/// An operating status that differs from the row's, and why it is not good news.
///
/// Where the row's provisioning status is `ERROR`, the reason there stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusWrite {
    pub operating: OperatingStatus,
    pub reason: Option<Reason>,
}

/// Only what differs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StatusWrites {
    pub load_balancer: Option<StatusWrite>,
    pub listeners: BTreeMap<ListenerId, StatusWrite>,
    pub pools: BTreeMap<PoolId, StatusWrite>,
    pub members: BTreeMap<MemberId, StatusWrite>,
}

/// How the counters of a heartbeat count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Report {
    /// Since the data plane's start, which the id names; `None` where it does not say (the original's version 2).
    Totals { boot: Option<Uuid> },
    /// Since the last heartbeat (the original's version 3).
    Differences,
}

/// One accepted heartbeat.
#[derive(Debug, Clone, PartialEq)]
pub struct HeartbeatWrite {
    pub amphora: AmphoraId,
    /// A beat whose number is not higher than the last one's is late, double or replayed, and changes nothing. Only
    /// where that was below [`SEQ_FOR_LIFE`], five seconds later it is an agent that started again.
    pub seq: u64,
    pub received_at: Timestamp,
    /// Whether the beat counts as a sign of life (it does not when nothing carries the traffic).
    pub alive: bool,
    /// The generation the data plane runs; `None` leaves the row's.
    pub applied_generation: Option<u64>,
    pub report: Report,
    /// Counters by listener; listeners unknown to the amphora's load balancer are left out.
    pub statistics: BTreeMap<ListenerId, Statistics>,
    pub statuses: StatusWrites,
}

/// An amphora that has not been heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SilentAmphora {
    pub id: AmphoraId,
    pub load_balancer_id: Option<LoadBalancerId>,
    /// `None` = never heard.
    pub last_heartbeat_at: Option<Timestamp>,
    /// The number of the last beat that counted.
    pub seq: Option<u64>,
}

impl Store {
    /// The amphora and its load balancer; `None` when either is absent or `DELETED`.
    pub async fn health_context(&self, amphora: AmphoraId) -> Result<Option<HealthContext>, StoreError> {
        framed!(self, Call::of("health_context"), self.health_context_once(amphora))
    }

    async fn health_context_once(&self, id: AmphoraId) -> Result<Option<HealthContext>, StoreError> {
        let tx = self.begin_read().await?;
        let Some(row) = amphora_read(&tx, id).await? else { return Ok(None) };
        let amphora = Amphora::try_from(row)?;
        let root = match amphora.load_balancer_id {
            Some(lb) => root_read(&tx, lb).await?,
            None => None,
        };
        let Some(root) = root else { return Ok(None) };
        let graph = graph_load(&tx, &root).await?;
        tx.commit().await?;
        Ok(Some(HealthContext { amphora, graph }))
    }

    /// Writes what a heartbeat says. Returns false when it was late, double, or of an amphora that is gone: then
    /// nothing was written.
    pub async fn heartbeat_apply(&self, beat: &HeartbeatWrite) -> Result<bool, StoreError> {
        let call = Call::of("heartbeat_apply");
        framed!(self, call, self.heartbeat_apply_once(beat))
    }

    async fn heartbeat_apply_once(&self, beat: &HeartbeatWrite) -> Result<bool, StoreError> {
        let tx = self.begin_write().await?;
        let id = codec::id(beat.amphora);
        if !beat.statuses.is_empty() {
            // The root comes first, as in every other write, so that no two writers wait for each other.
            let lb = amphora_read(&tx, beat.amphora).await?.and_then(|row| row.load_balancer_id);
            let lb = Decode("amphora").parse_option("load_balancer_id", lb.as_deref())?;
            let root = match lb {
                Some(lb) => root_lock(&tx, lb).await?,
                None => None,
            };
            if root.is_none() {
                tx.rollback().await?;
                return Ok(false);
            }
        }
        let row = amphora::Entity::find_by_id(id).lock_exclusive().one(&tx).await?;
        let row = row.filter(|row| row.status != AmphoraStatus::Deleted.as_str() && !is_late(row, beat));
        let Some((row, lb)) = row.and_then(|row| row.load_balancer_id.clone().map(|lb| (row, lb))) else {
            tx.rollback().await?;
            return Ok(false);
        };
        amphora::Entity::update_many()
            .set(sign_of_life(&row, beat))
            .filter(amphora::Column::Id.eq(&row.id))
            .exec(&tx)
            .await?;
        statistics_write(&tx, &lb, beat).await?;
        statuses_write(&tx, &lb, &beat.statuses).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Writes operating statuses of one load balancer without a heartbeat, such as after silence.
    pub async fn statuses_apply(
        &self,
        lb: LoadBalancerId,
        statuses: &StatusWrites,
    ) -> Result<(), StoreError> {
        if statuses.is_empty() {
            return Ok(());
        }
        framed!(self, Call::of_lb("statuses_apply", lb), self.statuses_apply_once(lb, statuses))
    }

    async fn statuses_apply_once(
        &self,
        lb: LoadBalancerId,
        statuses: &StatusWrites,
    ) -> Result<(), StoreError> {
        let tx = self.begin_write().await?;
        if root_lock(&tx, lb).await?.is_some() {
            statuses_write(&tx, &codec::id(lb), statuses).await?;
        }
        Ok(tx.commit().await?)
    }

    /// `ALLOCATED` amphorae last heard (or, never heard, updated) before `since`, the longest silent first.
    pub async fn amphorae_silent(&self, since: Timestamp) -> Result<Vec<SilentAmphora>, StoreError> {
        framed!(self, Call::of("amphorae_silent"), self.amphorae_silent_once(codec::micros(since)))
    }

    async fn amphorae_silent_once(&self, since: i64) -> Result<Vec<SilentAmphora>, StoreError> {
        use amphora::Column;
        type Row = (String, Option<String>, Option<i64>, Option<i64>);

        let never = Condition::all()
            .add(Column::LastHeartbeatAt.is_null())
            .add(Expr::col(Column::UpdatedAt).if_null(Expr::col(Column::CreatedAt)).lt(since));
        let rows: Vec<Row> = amphora::Entity::find()
            .select_only()
            .column(Column::Id)
            .column(Column::LoadBalancerId)
            .column(Column::LastHeartbeatAt)
            .column(Column::BeatSeq)
            .filter(Column::Status.eq(AmphoraStatus::Allocated.as_str()))
            .filter(Condition::any().add(Column::LastHeartbeatAt.lt(since)).add(never))
            .order_by_asc(Column::LastHeartbeatAt)
            .into_tuple()
            .all(self.reader())
            .await?;
        let decode = Decode("amphora");
        rows.into_iter()
            .map(|(id, lb, at, seq)| {
                Ok(SilentAmphora {
                    id: decode.parse("id", &id)?,
                    load_balancer_id: decode.parse_option("load_balancer_id", lb.as_deref())?,
                    last_heartbeat_at: decode.time_option("last_heartbeat_at", at)?,
                    seq: decode.int_option("beat_seq", seq)?,
                })
            })
            .collect()
    }
}

impl StatusWrites {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Whether a beat that counted already was sent after this one, or is this one.
fn is_late(row: &amphora::Model, beat: &HeartbeatWrite) -> bool {
    let (Some(seq), Some(at)) = (row.beat_seq, row.beat_at) else { return false };
    if seq >= codec::count(SEQ_FOR_LIFE) {
        return codec::count(beat.seq) <= seq;
    }
    let of_an_older_start = match beat.report {
        Report::Totals { boot: Some(boot) } => row.previous_boot == Some(boot.to_string()),
        Report::Totals { boot: None } | Report::Differences => false,
    };
    // Only soon: a beat from two starts ago makes the start in between the older one, and the living one unheard.
    let since = codec::micros(beat.received_at).saturating_sub(at);
    let soon = (-AHEAD..REORDERED).contains(&since);
    soon && (of_an_older_start || codec::count(beat.seq) <= seq)
}

fn sign_of_life(row: &amphora::Model, beat: &HeartbeatWrite) -> amphora::ActiveModel {
    let at = codec::micros(beat.received_at);
    let mut write = amphora::ActiveModel {
        beat_seq: Set(Some(codec::count(beat.seq))),
        beat_at: Set(Some(at)),
        ..Default::default()
    };
    if beat.alive {
        let ahead = row.last_heartbeat_at.filter(|last| *last <= at.saturating_add(AHEAD));
        write.last_heartbeat_at = Set(Some(Ord::max(at, ahead.unwrap_or(at))));
    }
    if let Some(generation) = beat.applied_generation {
        // A worker may have recorded a higher one since the beat was judged.
        write.applied_generation = Set(Ord::max(codec::count(generation), row.applied_generation));
    }
    if let Report::Totals { boot: Some(boot) } = beat.report {
        let boot = boot.to_string();
        if row.boot.as_ref() != Some(&boot) {
            write.previous_boot = Set(row.boot.clone());
            write.boot = Set(Some(boot));
        }
    }
    write
}

/// Takes the counters in; of those that did not move nothing is written.
async fn statistics_write(
    tx: &DatabaseTransaction,
    lb: &str,
    beat: &HeartbeatWrite,
) -> Result<(), StoreError> {
    use listener_statistics::{Column, Entity};

    if beat.statistics.is_empty() {
        return Ok(());
    }
    let amphora = codec::id(beat.amphora);
    let rows = Entity::find().filter(Column::AmphoraId.eq(&amphora)).all(tx).await?;
    let mut rows: BTreeMap<_, _> = rows.into_iter().map(|row| (row.listener_id.clone(), row)).collect();
    let known: Option<Vec<String>> = if beat.statistics.keys().all(|id| rows.contains_key(&codec::id(*id))) {
        None
    } else {
        let listeners = listener::Entity::find()
            .select_only()
            .column(listener::Column::Id)
            .filter(listener::Column::LoadBalancerId.eq(lb));
        Some(listeners.into_tuple().all(tx).await?)
    };
    let mut changed = vec![];
    for (listener, statistics) in &beat.statistics {
        let id = codec::id(*listener);
        let (mut row, is_new) = match rows.remove(&id) {
            Some(row) => (row, false),
            None if known.as_ref().is_some_and(|known| known.contains(&id)) => {
                (stats::fresh(id, amphora.clone(), lb.to_owned()), true)
            }
            None => continue,
        };
        let old = row.clone();
        stats::count(&mut row, beat.report, statistics);
        if is_new || row != old {
            changed.push(row.into_active_model().reset_all());
        }
    }
    for rows in changed.chunks(CHUNK) {
        let counters =
            Column::iter().filter(|column| !matches!(column, Column::ListenerId | Column::AmphoraId));
        Entity::insert_many(rows.to_vec())
            .on_conflict(
                OnConflict::columns([Column::ListenerId, Column::AmphoraId])
                    .update_columns(counters)
                    .to_owned(),
            )
            .exec_without_returning(tx)
            .await?;
    }
    Ok(())
}

/// Rows that become the same are written together. The root's row is held by the caller.
async fn statuses_write(
    tx: &DatabaseTransaction,
    lb: &str,
    statuses: &StatusWrites,
) -> Result<(), StoreError> {
    macro_rules! write {
        ($entity:ident, $writes:expr) => {
            for (write, ids) in grouped($writes) {
                use $entity::Column;

                let failed = Column::ProvisioningStatus.eq(ProvisioningStatus::Error.as_str());
                let reason = Expr::case(failed, Expr::col(Column::Reason))
                    .finally(Expr::value(codec::reason(write.reason.as_ref())));
                for ids in ids.chunks(CHUNK) {
                    $entity::Entity::update_many()
                        .col_expr(Column::OperatingStatus, Expr::value(write.operating.as_str()))
                        .col_expr(Column::Reason, reason.clone().into())
                        .filter(Column::Id.is_in(ids.iter().cloned()))
                        .exec(tx)
                        .await?;
                }
            }
        };
    }
    write!(load_balancer, statuses.load_balancer.iter().map(|write| (lb, write)));
    write!(listener, statuses.listeners.iter().map(|(id, write)| (*id, write)));
    write!(pool, statuses.pools.iter().map(|(id, write)| (*id, write)));
    write!(member, statuses.members.iter().map(|(id, write)| (*id, write)));
    Ok(())
}

fn grouped<'a, I: std::fmt::Display>(
    writes: impl Iterator<Item = (I, &'a StatusWrite)>,
) -> Vec<(&'a StatusWrite, Vec<String>)> {
    let mut groups: Vec<(&StatusWrite, Vec<String>)> = vec![];
    for (id, write) in writes {
        match groups.iter_mut().find(|(other, _)| *other == write) {
            Some((_, ids)) => ids.push(id.to_string()),
            None => groups.push((write, vec![id.to_string()])),
        }
    }
    groups
}
