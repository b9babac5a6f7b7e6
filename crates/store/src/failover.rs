//! What operators ask of amphorae: facts in their rows, which the next plan is made from.

use std::convert::Infallible;

use octavia_model::{AmphoraId, AmphoraStatus, LoadBalancerGraph, LoadBalancerId, ProvisioningStatus};
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, DatabaseTransaction, DbErr, EntityTrait, ExprTrait, QueryFilter};

use crate::amphora::amphora_read;
use crate::entity::amphora::{Column, Entity};
use crate::entity::codec::{self, Decode};
use crate::entity::load_balancer;
use crate::fetch::root_lock;
use crate::options::Call;
use crate::retry::{Conflicting, framed};
use crate::{Accept, ChangeError, Store, StoreError};

/// The amphorae of a load balancer that are to be replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    All,
    One(AmphoraId),
}

/// Why an operator's wish was not written down.
#[derive(Debug, thiserror::Error)]
pub enum AmphoraError {
    /// Absent or `DELETED`, or its load balancer is.
    #[error("no such amphora")]
    NotFound,
    #[error("not possible while the amphora is {0}")]
    Refused(AmphoraStatus),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<DbErr> for AmphoraError {
    fn from(error: DbErr) -> Self {
        Self::Store(error.into())
    }
}

impl Conflicting for AmphoraError {
    fn of_store(&self) -> Option<&StoreError> {
        if let Self::Store(error) = self { Some(error) } else { None }
    }
}

impl Store {
    /// Asks that amphorae of the load balancer be replaced: they are marked, the load balancer becomes
    /// `PENDING_UPDATE` and its generation moves, in one transaction. Its provisioning status must be one of
    /// `statuses`. The answer holds the graph as stored.
    pub async fn lb_failover(
        &self,
        id: LoadBalancerId,
        statuses: &'static [ProvisioningStatus],
        which: Which,
    ) -> Result<LoadBalancerGraph, ChangeError<Infallible>> {
        let accept = Accept { statuses, root_status_after: Some(ProvisioningStatus::PendingUpdate) };
        let call = Call::of_lb("lb_failover", id);
        let ((), graph, _) =
            framed!(self, call, self.lb_change_once(id, accept, None, Some(which), &mut |_| Ok(())))?;
        self.signal_work();
        Ok(graph)
    }

    /// Asks that the amphora's spec be pushed again, under the first lease that is taken from now on. No status
    /// changes. An amphora of no load balancer is not found.
    pub async fn amphora_refresh(&self, id: AmphoraId) -> Result<(), AmphoraError> {
        framed!(self, Call::of("amphora_refresh"), self.amphora_refresh_once(id))?;
        self.signal_work();
        Ok(())
    }

    async fn amphora_refresh_once(&self, id: AmphoraId) -> Result<(), AmphoraError> {
        let parent = self.amphora_parent(id).await?.ok_or(AmphoraError::NotFound)?;
        let tx = self.begin_write().await?;
        let root = root_lock(&tx, parent).await?.ok_or(AmphoraError::NotFound)?;
        Entity::update_many()
            // Who holds that lease may have pushed already.
            .col_expr(Column::RefreshAfter, Expr::value(root.lease_epoch))
            .filter(Column::Id.eq(codec::id(id)))
            .exec(&tx)
            .await?;
        self.root_wake(&tx, &root).await?;
        Ok(self.conclude(tx).await?)
    }

    /// Asks that an amphora in `ERROR` be removed: it becomes `PENDING_DELETE`. One of no load balancer, for which no
    /// worker would come, is `DELETED` at once; its server is an orphan then, and reaped.
    pub async fn amphora_discard(&self, id: AmphoraId) -> Result<(), AmphoraError> {
        framed!(self, Call::of("amphora_discard"), self.amphora_discard_once(id))?;
        self.signal_work();
        Ok(())
    }

    async fn amphora_discard_once(&self, id: AmphoraId) -> Result<(), AmphoraError> {
        let parent = self.amphora_parent(id).await?;
        let tx = self.begin_write().await?;
        let root = match parent {
            Some(parent) => Some(root_lock(&tx, parent).await?.ok_or(AmphoraError::NotFound)?),
            None => None,
        };
        let row = amphora_read(&tx, id).await?.ok_or(AmphoraError::NotFound)?;
        let status = Decode("amphora").parse("status", &row.status)?;
        if status != AmphoraStatus::Error {
            return Err(AmphoraError::Refused(status));
        }
        let next = if parent.is_some() { AmphoraStatus::PendingDelete } else { AmphoraStatus::Deleted };
        let now = codec::micros(self.clock(&tx).await?);
        Entity::update_many()
            .col_expr(Column::Status, Expr::value(next.as_str()))
            .col_expr(Column::UpdatedAt, Expr::value(now))
            .filter(Column::Id.eq(codec::id(id)))
            .exec(&tx)
            .await?;
        if let Some(root) = root {
            self.root_wake(&tx, &root).await?;
        }
        Ok(self.conclude(tx).await?)
    }

    async fn amphora_parent(&self, id: AmphoraId) -> Result<Option<LoadBalancerId>, AmphoraError> {
        let row = amphora_read(self.reader(), id).await?.ok_or(AmphoraError::NotFound)?;
        Ok(Decode("amphora").parse_option("load_balancer_id", row.load_balancer_id.as_deref())?)
    }

    /// Makes the load balancer due, whose row the transaction holds.
    async fn root_wake(
        &self,
        tx: &DatabaseTransaction,
        root: &load_balancer::Model,
    ) -> Result<(), StoreError> {
        let now = codec::micros(self.clock(tx).await?);
        load_balancer::Entity::update_many()
            .col_expr(load_balancer::Column::NextAttemptAt, Expr::value(now))
            .col_expr(load_balancer::Column::Wakes, Expr::col(load_balancer::Column::Wakes).add(1))
            .col_expr(
                load_balancer::Column::RequestIds,
                Expr::value(self.request_ids(root.request_ids.as_deref())),
            )
            .filter(load_balancer::Column::Id.eq(&root.id))
            .exec(tx)
            .await?;
        Ok(())
    }
}

/// Marks amphorae as to be replaced; the transaction holds the root's row.
pub(crate) async fn amphorae_mark(
    tx: &DatabaseTransaction,
    id: LoadBalancerId,
    which: Which,
) -> Result<(), DbErr> {
    let mut mark = Entity::update_many()
        .col_expr(Column::ToReplace, Expr::value(true))
        .filter(Column::LoadBalancerId.eq(codec::id(id)));
    if let Which::One(amphora) = which {
        mark = mark.filter(Column::Id.eq(codec::id(amphora)));
    }
    mark.exec(tx).await.map(drop)
}
