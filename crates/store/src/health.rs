//! What amphorae make of statuses, and who has not been heard. Never a provisioning status, and not bound to a lease.

use std::collections::BTreeMap;

use jiff::Timestamp;
use octavia_model::{
    Amphora, AmphoraId, AmphoraStatus, ListenerId, LoadBalancerGraph, LoadBalancerId, MemberId,
    OperatingStatus, PoolId, ProvisioningStatus, Reason,
};
use sea_orm::sea_query::Expr;
use sea_orm::{
    ColumnTrait, Condition, DatabaseTransaction, EntityTrait, ExprTrait, QueryFilter, QueryOrder, QuerySelect,
};

use crate::amphora::amphora_read;
use crate::entity::codec::{self, Decode};
use crate::entity::{amphora, listener, load_balancer, member, pool};
use crate::fetch::{graph_load, root_lock, root_read};
use crate::options::Call;
use crate::retry::framed;
use crate::write::CHUNK;
use crate::{Mark, Store, StoreError};

/// What the roll-up of a heartbeat is judged against.
#[derive(Debug, Clone, PartialEq)]
pub struct HealthContext {
    pub amphora: Amphora,
    pub graph: LoadBalancerGraph,
    pub mark: Mark,
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
        let amphora = Amphora::try_from(row.clone())?;
        let root = match amphora.load_balancer_id {
            Some(lb) => root_read(&tx, lb).await?,
            None => None,
        };
        let Some(root) = root else { return Ok(None) };
        let graph = graph_load(&tx, &root).await?;
        tx.commit().await?;
        let mark = Mark::of(&root, &row);
        Ok(Some(HealthContext { amphora, graph, mark }))
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

/// Rows that become the same are written together. The root's row is held by the caller.
pub(crate) async fn statuses_write(
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
