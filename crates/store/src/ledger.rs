//! The ledger of steps, for people: what was done to a load balancer, when, and how it ended. Nothing decides by it.

use jiff::Timestamp;
use octavia_model::{AmphoraId, LoadBalancerId, OperationId, WorkerId};
use sea_orm::sea_query::{Expr, Query, SelectStatement, UnionType};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, ExprTrait, QueryFilter, QueryOrder, QuerySelect,
};

use crate::entity::codec::{self, Decode};
use crate::entity::load_balancer;
use crate::entity::operation::{Column, Entity, Model};
use crate::options::Call;
use crate::retry::framed;
use crate::{Lease, ListError, Store, StoreError};

/// A step about to be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperationStart {
    /// The caller's choice, so that a simulation is deterministic.
    pub id: OperationId,
    /// The step's name, at most 64 characters.
    pub kind: String,
    pub amphora_id: Option<AmphoraId>,
    pub generation: u64,
}

/// A step that was taken, with the worker's times: noted afterwards, since most steps take no time worth a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperationRecord {
    pub step: OperationStart,
    pub started_at: Timestamp,
    pub finished_at: Timestamp,
    pub outcome: Result<(), String>,
}

/// One entry of the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    pub id: OperationId,
    pub load_balancer_id: LoadBalancerId,
    pub amphora_id: Option<AmphoraId>,
    pub worker_id: WorkerId,
    pub kind: String,
    pub generation: u64,
    pub started_at: Timestamp,
    /// `None` = under way, or its worker died.
    pub finished_at: Option<Timestamp>,
    /// What it failed with; `None` = done, or under way.
    pub error: Option<String>,
    /// The requests that there was work for when it was noted, the oldest first; a few at most. Empty = the worker acted
    /// by itself.
    pub request_ids: Vec<String>,
}

/// Where a page of the ledger lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OperationPage {
    First,
    /// What is older than this entry.
    After(OperationId),
    /// What is newer, up to this entry.
    Before(OperationId),
}

impl Store {
    /// Notes steps that begin.
    pub async fn operation_start(
        &self,
        lease: &Lease,
        operations: &[OperationStart],
    ) -> Result<(), StoreError> {
        if operations.is_empty() {
            return Ok(());
        }
        framed!(self, Call::of_lease("operation_start", lease), self.operation_start_once(lease, operations))
    }

    async fn operation_start_once(
        &self,
        lease: &Lease,
        operations: &[OperationStart],
    ) -> Result<(), StoreError> {
        let now = codec::micros(self.clock(self.writer()).await?);
        self.operations_insert(lease, operations.iter().map(|step| (step, now, None, None))).await
    }

    /// Notes steps that ended already, all in one write.
    pub async fn operation_record(
        &self,
        lease: &Lease,
        records: &[OperationRecord],
    ) -> Result<(), StoreError> {
        if records.is_empty() {
            return Ok(());
        }
        framed!(self, Call::of_lease("operation_record", lease), self.operation_record_once(lease, records))
    }

    async fn operation_record_once(
        &self,
        lease: &Lease,
        records: &[OperationRecord],
    ) -> Result<(), StoreError> {
        let rows = records.iter().map(|record| {
            let (started, finished) = (codec::micros(record.started_at), codec::micros(record.finished_at));
            (&record.step, started, Some(finished), record.outcome.as_ref().err().cloned())
        });
        self.operations_insert(lease, rows).await
    }

    async fn operations_insert<'a>(
        &self,
        lease: &Lease,
        operations: impl Iterator<Item = (&'a OperationStart, i64, Option<i64>, Option<String>)> + Send,
    ) -> Result<(), StoreError> {
        // Selected from the root's row under the condition of the lease: a lost lease selects nothing.
        let mut selects = operations.map(|(step, started, finished, error)| {
            Query::select()
                .exprs([
                    Expr::value(codec::id(step.id)),
                    Expr::value(codec::id(lease.lb)),
                    Expr::value(step.amphora_id.map(codec::id)),
                    Expr::value(codec::id(lease.owner)),
                    Expr::value(step.kind.clone()),
                    Expr::value(codec::count(step.generation)),
                    Expr::value(started),
                    Expr::value(finished),
                    Expr::value(error),
                    Expr::col(load_balancer::Column::RequestIds),
                ])
                .from(load_balancer::Entity)
                .cond_where(lease.condition())
                .take()
        });
        let Some(mut rows) = selects.next() else { return Ok(()) };
        rows.unions(selects.map(|select| (UnionType::All, select)));
        let mut insert = Query::insert();
        insert.into_table(Entity).columns([
            Column::Id,
            Column::LoadBalancerId,
            Column::AmphoraId,
            Column::WorkerId,
            Column::Kind,
            Column::Generation,
            Column::StartedAt,
            Column::FinishedAt,
            Column::Error,
            Column::RequestIds,
        ]);
        insert.select_from(rows).map_err(|error| DbErr::Custom(error.to_string()))?;
        let written = self.writer().execute(&insert).await?.rows_affected();
        if written == 0 { Err(StoreError::LeaseLost) } else { Ok(()) }
    }

    /// Notes how steps ended: done, or the error.
    pub async fn operation_finish(
        &self,
        lease: &Lease,
        outcomes: &[(OperationId, Result<(), String>)],
    ) -> Result<(), StoreError> {
        let call = Call::of_lease("operation_finish", lease);
        let done: Vec<_> =
            outcomes.iter().filter(|(_, outcome)| outcome.is_ok()).map(|(id, _)| *id).collect();
        if !done.is_empty() {
            framed!(self, call, self.operation_finish_once(lease, &done, None))?;
        }
        for (id, outcome) in outcomes {
            if let Err(error) = outcome {
                framed!(self, call, self.operation_finish_once(lease, &[*id], Some(error)))?;
            }
        }
        Ok(())
    }

    async fn operation_finish_once(
        &self,
        lease: &Lease,
        ids: &[OperationId],
        error: Option<&str>,
    ) -> Result<(), StoreError> {
        let now = codec::micros(self.clock(self.writer()).await?);
        let held: SelectStatement = Query::select()
            .expr(Expr::value(1))
            .from(load_balancer::Entity)
            .cond_where(lease.condition())
            .take();
        let written = Entity::update_many()
            .col_expr(Column::FinishedAt, Expr::value(now))
            .col_expr(Column::Error, Expr::value(error.map(str::to_owned)))
            .filter(Column::Id.is_in(ids.iter().map(ToString::to_string)))
            .filter(Expr::exists(held))
            .exec(self.writer())
            .await?;
        if written.rows_affected == 0 { Err(StoreError::LeaseLost) } else { Ok(()) }
    }

    /// Entries of a load balancer, the newest first, at most `limit`.
    pub async fn operation_list(
        &self,
        lb: LoadBalancerId,
        page: OperationPage,
        limit: usize,
    ) -> Result<Vec<Operation>, ListError> {
        framed!(self, Call::of_lb("operation_list", lb), self.operation_list_once(lb, page, limit))
    }

    async fn operation_list_once(
        &self,
        lb: LoadBalancerId,
        page: OperationPage,
        limit: usize,
    ) -> Result<Vec<Operation>, ListError> {
        let entries = || Entity::find().filter(Column::LoadBalancerId.eq(codec::id(lb)));
        let mut rows = entries().limit(limit as u64);
        let backwards = matches!(page, OperationPage::Before(_));
        if let OperationPage::After(id) | OperationPage::Before(id) = page {
            let marker = entries().filter(Column::Id.eq(codec::id(id))).one(self.reader()).await?;
            let marker = marker.ok_or_else(|| ListError::UnknownMarker(id.to_string()))?;
            let same_time = Column::StartedAt.eq(marker.started_at);
            rows = rows.filter(if backwards {
                Column::StartedAt.gt(marker.started_at).or(same_time.and(Column::Id.lt(marker.id)))
            } else {
                Column::StartedAt.lt(marker.started_at).or(same_time.and(Column::Id.gt(marker.id)))
            });
        }
        rows = if backwards {
            rows.order_by_asc(Column::StartedAt).order_by_desc(Column::Id)
        } else {
            rows.order_by_desc(Column::StartedAt).order_by_asc(Column::Id)
        };
        let rows = rows.all(self.reader()).await?;
        let mut list = rows.into_iter().map(Operation::try_from).collect::<Result<Vec<_>, _>>()?;
        if backwards {
            list.reverse();
        }
        Ok(list)
    }
}

impl TryFrom<Model> for Operation {
    type Error = StoreError;

    fn try_from(row: Model) -> Result<Self, StoreError> {
        let decode = Decode("operation");
        Ok(Self {
            id: decode.parse("id", &row.id)?,
            load_balancer_id: decode.parse("load_balancer_id", &row.load_balancer_id)?,
            amphora_id: decode.parse_option("amphora_id", row.amphora_id.as_deref())?,
            worker_id: decode.parse("worker_id", &row.worker_id)?,
            kind: row.kind,
            generation: decode.int("generation", row.generation)?,
            started_at: decode.time("started_at", row.started_at)?,
            finished_at: decode.time_option("finished_at", row.finished_at)?,
            error: row.error,
            request_ids: codec::words(row.request_ids.as_deref()),
        })
    }
}
