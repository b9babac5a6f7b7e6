//! Rows of amphorae, written by the worker that holds the lease of their load balancer.

use jiff::Timestamp;
use octavia_model::{Amphora, AmphoraId, AmphoraStatus};
use sea_orm::ActiveValue::Set;
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter};

use crate::entity::amphora::{self, ActiveModel, Column, Entity};
use crate::entity::codec;
use crate::lease::fence;
use crate::options::Call;
use crate::retry::framed;
use crate::{Duplicate, Lease, Store, StoreError};

impl Store {
    /// Stores a new amphora; `created_at` is set by the store.
    pub async fn amphora_insert(&self, lease: &Lease, amphora: &Amphora) -> Result<(), StoreError> {
        let call = Call::of_lease("amphora_insert", lease);
        framed!(self, call, self.amphora_insert_once(lease, amphora))
    }

    async fn amphora_insert_once(&self, lease: &Lease, amphora: &Amphora) -> Result<(), StoreError> {
        let tx = self.begin_write().await?;
        fence(&tx, lease).await?;
        let row = amphora::new_row(amphora, self.clock(&tx).await?);
        Entity::insert(row)
            .exec_without_returning(&tx)
            .await
            .map_err(|error| StoreError::of_insert(error, Duplicate::Amphora))?;
        Ok(tx.commit().await?)
    }

    /// Writes everything but what heartbeats (`last_heartbeat_at`) and operators (`to_replace`, `refresh_after`) write, and
    /// what [`Store::amphora_papers`] does; `applied_generation` is written as given.
    pub async fn amphora_update(&self, lease: &Lease, amphora: &Amphora) -> Result<(), StoreError> {
        let call = Call::of_lease("amphora_update", lease);
        framed!(self, call, self.amphora_write(lease, amphora.id, amphora::worker_columns(amphora)))
    }

    /// Until when the agent's certificate is good, and of which authority it is.
    pub async fn amphora_papers(
        &self,
        lease: &Lease,
        id: AmphoraId,
        authority: &str,
        expires_at: Timestamp,
    ) -> Result<(), StoreError> {
        let call = Call::of_lease("amphora_papers", lease);
        let row = ActiveModel {
            cert_expiration: Set(Some(codec::micros(expires_at))),
            cert_authority: Set(Some(authority.to_owned())),
            ..Default::default()
        };
        framed!(self, call, self.amphora_write(lease, id, row.clone()))
    }

    /// The amphora is gone: its row becomes `DELETED`, and is purged later.
    pub async fn amphora_delete_mark(&self, lease: &Lease, id: AmphoraId) -> Result<(), StoreError> {
        let call = Call::of_lease("amphora_delete_mark", lease);
        let deleted = ActiveModel { status: Set(AmphoraStatus::Deleted.to_string()), ..Default::default() };
        framed!(self, call, self.amphora_write(lease, id, deleted.clone()))
    }

    async fn amphora_write(&self, lease: &Lease, id: AmphoraId, row: ActiveModel) -> Result<(), StoreError> {
        let tx = self.begin_write().await?;
        fence(&tx, lease).await?;
        let updated_at = Set(Some(codec::micros(self.clock(&tx).await?)));
        Entity::update_many()
            .set(ActiveModel { updated_at, ..row })
            .filter(Column::Id.eq(codec::id(id)))
            .filter(Column::Status.ne(AmphoraStatus::Deleted.as_str()))
            .exec(&tx)
            .await?;
        Ok(tx.commit().await?)
    }

    /// One amphora; `None` when absent or `DELETED`.
    pub async fn amphora_fetch(&self, id: AmphoraId) -> Result<Option<Amphora>, StoreError> {
        framed!(self, Call::of("amphora_fetch"), self.amphora_fetch_once(id))
    }

    async fn amphora_fetch_once(&self, id: AmphoraId) -> Result<Option<Amphora>, StoreError> {
        amphora_read(self.reader(), id).await?.map(Amphora::try_from).transpose()
    }
}

/// The amphora's row; `None` when absent or `DELETED`.
pub(crate) async fn amphora_read(
    db: &impl ConnectionTrait,
    id: AmphoraId,
) -> Result<Option<amphora::Model>, StoreError> {
    let row = Entity::find_by_id(codec::id(id)).one(db).await?;
    Ok(row.filter(|row| row.status != AmphoraStatus::Deleted.as_str()))
}
