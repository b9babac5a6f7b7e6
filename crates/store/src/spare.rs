//! Amphorae of no load balancer yet. No lease is about them: each write says which status the row shall have had, and
//! changes nothing otherwise.

use jiff::Timestamp;
use octavia_model::{Amphora, AmphoraId, AmphoraRole, AmphoraStatus, LoadBalancer};
use sea_orm::ActiveValue::Set;
use sea_orm::{ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder};

use crate::entity::amphora::{self, ActiveModel, Column, Entity};
use crate::entity::codec;
use crate::lease::fence;
use crate::options::Call;
use crate::retry::framed;
use crate::{Duplicate, Lease, Store, StoreError};

/// What a spare can be.
const STATUSES: [AmphoraStatus; 4] = [
    AmphoraStatus::PendingCreate,
    AmphoraStatus::Booting,
    AmphoraStatus::Ready,
    AmphoraStatus::PendingDelete,
];

impl Store {
    /// All there are, the oldest first; with a status, those that have it.
    pub async fn spare_list(&self, status: Option<AmphoraStatus>) -> Result<Vec<Amphora>, StoreError> {
        framed!(self, Call::of("spare_list"), self.spare_list_once(status))
    }

    async fn spare_list_once(&self, status: Option<AmphoraStatus>) -> Result<Vec<Amphora>, StoreError> {
        let statuses = STATUSES.into_iter().filter(|other| status.is_none_or(|status| status == *other));
        let rows = Entity::find()
            .filter(Column::LoadBalancerId.is_null())
            .filter(Column::Status.is_in(statuses.map(|status| status.to_string())))
            .order_by_asc(Column::CreatedAt)
            .order_by_asc(Column::Id)
            .all(self.reader())
            .await?;
        rows.into_iter().map(Amphora::try_from).collect()
    }

    /// A row for a spare that is still to be made.
    pub async fn spare_insert(&self, id: AmphoraId) -> Result<(), StoreError> {
        framed!(self, Call::of("spare_insert"), self.spare_insert_once(id))
    }

    async fn spare_insert_once(&self, id: AmphoraId) -> Result<(), StoreError> {
        let tx = self.begin_write().await?;
        let now = self.clock(&tx).await?;
        let row = amphora::new_row(&Amphora::spare(id, now), now);
        Entity::insert(row)
            .exec_without_returning(&tx)
            .await
            .map_err(|error| StoreError::of_insert(error, Duplicate::Amphora))?;
        Ok(tx.commit().await?)
    }

    /// Writes what is known of a spare, its papers too, if it is one still and has this status. Answers whether it had.
    pub async fn spare_update(&self, amphora: &Amphora, was: AmphoraStatus) -> Result<bool, StoreError> {
        framed!(self, Call::of("spare_update"), self.spare_update_once(amphora, was))
    }

    async fn spare_update_once(&self, amphora: &Amphora, was: AmphoraStatus) -> Result<bool, StoreError> {
        let tx = self.begin_write().await?;
        let row = ActiveModel {
            cert_expiration: Set(amphora.cert_expiration.map(codec::micros)),
            cert_authority: Set(amphora.cert_authority.clone()),
            updated_at: Set(Some(codec::micros(self.clock(&tx).await?))),
            ..amphora::worker_columns(amphora)
        };
        let written =
            Entity::update_many().set(row).filter(is_spare(amphora.id, was)).exec(&tx).await?.rows_affected;
        tx.commit().await?;
        Ok(written > 0)
    }

    /// That a spare lives. Answers whether it is one.
    pub async fn spare_heard(&self, id: AmphoraId, at: Timestamp) -> Result<bool, StoreError> {
        framed!(self, Call::of("spare_heard"), self.spare_heard_once(id, at))
    }

    async fn spare_heard_once(&self, id: AmphoraId, at: Timestamp) -> Result<bool, StoreError> {
        let row = ActiveModel { last_heartbeat_at: Set(Some(codec::micros(at))), ..Default::default() };
        let heard = Entity::update_many()
            .set(row)
            .filter(Column::Id.eq(codec::id(id)))
            .filter(Column::LoadBalancerId.is_null())
            .filter(Column::Status.ne(AmphoraStatus::Deleted.as_str()))
            .exec(self.writer())
            .await?;
        Ok(heard.rows_affected > 0)
    }

    /// Makes a spare that is `READY` the load balancer's whose lease it is. Answers whether it was there to be had: of
    /// two that want it, one gets it.
    pub async fn spare_adopt(
        &self,
        lease: &Lease,
        id: AmphoraId,
        role: AmphoraRole,
        lb: &LoadBalancer,
    ) -> Result<bool, StoreError> {
        let call = Call::of_lease("spare_adopt", lease);
        framed!(self, call, self.spare_adopt_once(lease, id, role, lb))
    }

    async fn spare_adopt_once(
        &self,
        lease: &Lease,
        id: AmphoraId,
        role: AmphoraRole,
        lb: &LoadBalancer,
    ) -> Result<bool, StoreError> {
        let tx = self.begin_write().await?;
        fence(&tx, lease).await?;
        let row = ActiveModel {
            load_balancer_id: Set(Some(codec::id(lb.id))),
            role: Set(Some(role.to_string())),
            // It has booted, and waits for its spec.
            status: Set(AmphoraStatus::Booting.to_string()),
            ha_ip: Set(Some(lb.vip.address.to_string())),
            ha_port_id: Set(Some(codec::id(lb.vip.port_id))),
            updated_at: Set(Some(codec::micros(self.clock(&tx).await?))),
            ..Default::default()
        };
        let ready = is_spare(id, AmphoraStatus::Ready);
        let adopted = Entity::update_many().set(row).filter(ready).exec(&tx).await?.rows_affected;
        tx.commit().await?;
        Ok(adopted > 0)
    }
}

fn is_spare(id: AmphoraId, status: AmphoraStatus) -> Condition {
    Condition::all()
        .add(Column::Id.eq(codec::id(id)))
        .add(Column::LoadBalancerId.is_null())
        .add(Column::Status.eq(status.as_str()))
}
