//! Keeping the database small, and telling what may be removed from the world.

use std::collections::BTreeSet;

use jiff::Timestamp;
use octavia_model::{AmphoraId, AmphoraStatus, LoadBalancerId, ProjectId, ProvisioningStatus};
use sea_orm::{ColumnTrait, EntityTrait, ExprTrait, QueryFilter, QueryOrder, QuerySelect};

use crate::entity::codec::{self, Decode};
use crate::entity::{amphora, load_balancer, operation, outbox};
use crate::options::Call;
use crate::retry::framed;
use crate::write::CHUNK;
use crate::{Store, StoreError};

/// Something that happened to a load balancer, to be told to others once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxEntry {
    pub id: i64,
    pub load_balancer_id: LoadBalancerId,
    pub project_id: ProjectId,
    /// `create.start`, `update.start`, `delete.start`, `settled`, `failed`, `delete.end`.
    pub event: String,
    pub generation: u64,
    pub created_at: Timestamp,
}

impl Store {
    /// Removes `DELETED` load balancers and amphorae last changed before `before`, and ledger and outbox entries older
    /// than it. Returns how many load balancers and amphorae went.
    pub async fn deleted_purge(&self, before: Timestamp) -> Result<u64, StoreError> {
        framed!(self, Call::of("deleted_purge"), self.deleted_purge_once(codec::micros(before)))
    }

    async fn deleted_purge_once(&self, before: i64) -> Result<u64, StoreError> {
        let db = self.writer();
        let amphorae = amphora::Entity::delete_many()
            .filter(amphora::Column::Status.eq(AmphoraStatus::Deleted.as_str()))
            .filter(amphora::Column::UpdatedAt.lt(before))
            .exec(db)
            .await?;
        // What was below them went when they were deleted.
        let load_balancers = load_balancer::Entity::delete_many()
            .filter(load_balancer::Column::ProvisioningStatus.eq(ProvisioningStatus::Deleted.as_str()))
            .filter(load_balancer::Column::UpdatedAt.lt(before))
            .exec(db)
            .await?;
        operation::Entity::delete_many().filter(operation::Column::StartedAt.lt(before)).exec(db).await?;
        outbox::Entity::delete_many().filter(outbox::Column::CreatedAt.lt(before)).exec(db).await?;
        Ok(amphorae.rows_affected + load_balancers.rows_affected)
    }

    /// Removes the oldest entries of the ledger and of the outbox, so that about `operations` of each load balancer
    /// and about `outbox` in all are left. Returns how many went.
    pub async fn records_trim(&self, operations: u64, outbox: u64) -> Result<u64, StoreError> {
        framed!(self, Call::of("records_trim"), self.records_trim_once(operations, outbox))
    }

    async fn records_trim_once(&self, operations: u64, outbox: u64) -> Result<u64, StoreError> {
        let of = |lb: &str| operation::Column::LoadBalancerId.eq(lb);
        let crowded: Vec<String> = operation::Entity::find()
            .select_only()
            .column(operation::Column::LoadBalancerId)
            .group_by(operation::Column::LoadBalancerId)
            .having(operation::Column::Id.count().gt(operations))
            .into_tuple()
            .all(self.reader())
            .await?;
        let mut removed = 0;
        for lb in crowded {
            let newest_to_go: Option<i64> = operation::Entity::find()
                .select_only()
                .column(operation::Column::StartedAt)
                .filter(of(&lb))
                .order_by_desc(operation::Column::StartedAt)
                .offset(operations)
                .limit(1)
                .into_tuple()
                .one(self.reader())
                .await?;
            let Some(newest_to_go) = newest_to_go else { continue };
            removed += operation::Entity::delete_many()
                .filter(of(&lb))
                .filter(operation::Column::StartedAt.lte(newest_to_go))
                .exec(self.writer())
                .await?
                .rows_affected;
        }
        let newest_to_go: Option<i64> = outbox::Entity::find()
            .select_only()
            .column(outbox::Column::Id)
            .order_by_desc(outbox::Column::Id)
            .offset(outbox)
            .limit(1)
            .into_tuple()
            .one(self.reader())
            .await?;
        if let Some(newest_to_go) = newest_to_go {
            removed += outbox::Entity::delete_many()
                .filter(outbox::Column::Id.lte(newest_to_go))
                .exec(self.writer())
                .await?
                .rows_affected;
        }
        Ok(removed)
    }

    /// Which of the ids belong to load balancers that are not `DELETED`: what is made for another id is an orphan.
    pub async fn lb_existing(&self, ids: &[LoadBalancerId]) -> Result<BTreeSet<LoadBalancerId>, StoreError> {
        framed!(self, Call::of("lb_existing"), self.lb_existing_once(ids))
    }

    async fn lb_existing_once(&self, ids: &[LoadBalancerId]) -> Result<BTreeSet<LoadBalancerId>, StoreError> {
        let mut existing = BTreeSet::new();
        for ids in ids.chunks(CHUNK) {
            let found = load_balancer::Entity::find()
                .select_only()
                .column(load_balancer::Column::Id)
                .filter(load_balancer::Column::Id.is_in(ids.iter().map(ToString::to_string)))
                .filter(load_balancer::Column::ProvisioningStatus.ne(ProvisioningStatus::Deleted.as_str()))
                .into_tuple::<String>()
                .all(self.reader())
                .await?;
            for id in found {
                existing.insert(Decode("load_balancer").parse("id", &id)?);
            }
        }
        Ok(existing)
    }

    /// Which of the ids belong to amphorae that are not `DELETED`.
    pub async fn amphora_existing(&self, ids: &[AmphoraId]) -> Result<BTreeSet<AmphoraId>, StoreError> {
        framed!(self, Call::of("amphora_existing"), self.amphora_existing_once(ids))
    }

    async fn amphora_existing_once(&self, ids: &[AmphoraId]) -> Result<BTreeSet<AmphoraId>, StoreError> {
        let mut existing = BTreeSet::new();
        for ids in ids.chunks(CHUNK) {
            let found = amphora::Entity::find()
                .select_only()
                .column(amphora::Column::Id)
                .filter(amphora::Column::Id.is_in(ids.iter().map(ToString::to_string)))
                .filter(amphora::Column::Status.ne(AmphoraStatus::Deleted.as_str()))
                .into_tuple::<String>()
                .all(self.reader())
                .await?;
            for id in found {
                existing.insert(Decode("amphora").parse("id", &id)?);
            }
        }
        Ok(existing)
    }

    /// The oldest entries of the outbox. They stay until acknowledged: at least once, not exactly once.
    pub async fn outbox_take(&self, limit: usize) -> Result<Vec<OutboxEntry>, StoreError> {
        framed!(self, Call::of("outbox_take"), self.outbox_take_once(limit))
    }

    async fn outbox_take_once(&self, limit: usize) -> Result<Vec<OutboxEntry>, StoreError> {
        let rows = outbox::Entity::find()
            .order_by_asc(outbox::Column::Id)
            .limit(limit as u64)
            .all(self.reader())
            .await?;
        let decode = Decode("outbox");
        let entry = |row: outbox::Model| {
            Ok(OutboxEntry {
                id: row.id,
                load_balancer_id: decode.parse("load_balancer_id", &row.load_balancer_id)?,
                project_id: ProjectId::new(row.project_id),
                event: row.event,
                generation: decode.int("generation", row.generation)?,
                created_at: decode.time("created_at", row.created_at)?,
            })
        };
        rows.into_iter().map(entry).collect()
    }

    /// These entries were told; they are removed.
    pub async fn outbox_ack(&self, ids: &[i64]) -> Result<(), StoreError> {
        framed!(self, Call::of("outbox_ack"), self.outbox_ack_once(ids))
    }

    async fn outbox_ack_once(&self, ids: &[i64]) -> Result<(), StoreError> {
        for ids in ids.chunks(CHUNK) {
            outbox::Entity::delete_many()
                .filter(outbox::Column::Id.is_in(ids.iter().copied()))
                .exec(self.writer())
                .await?;
        }
        Ok(())
    }
}
