//! Receipts: which object a request with a key of its own has made, stored in the transaction that makes it. So the same
//! request, sent again, finds it, whatever happened to the first answer; of two at once, one is a duplicate.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use sea_orm::ActiveValue::Set;
use sea_orm::{
    ColumnTrait, DatabaseTransaction, EntityTrait, ExprTrait, QueryFilter, QueryOrder, QuerySelect,
};

use crate::entity::codec;
use crate::entity::receipt::{ActiveModel, Column, Entity};
use crate::options::Call;
use crate::retry::framed;
use crate::{Duplicate, Store, StoreError};

/// A receipt, as it is stored with the write. Texts are ASCII.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// In whose name keys are chosen; at most 64 characters.
    pub owner: String,
    /// At most 255 characters.
    pub key: String,
    /// Tells requests apart; at most 64 characters.
    pub fingerprint: String,
    /// The id of what the request makes; at most 255 characters.
    pub made: String,
}

impl Store {
    /// The receipt of an earlier request with this key. One older than `lifetime` is none, and goes.
    pub async fn receipt_fetch(
        &self,
        owner: &str,
        key: &str,
        lifetime: Duration,
    ) -> Result<Option<Receipt>, StoreError> {
        framed!(self, Call::of("receipt_fetch"), self.receipt_fetch_once(owner, key, lifetime))
    }

    async fn receipt_fetch_once(
        &self,
        owner: &str,
        key: &str,
        lifetime: Duration,
    ) -> Result<Option<Receipt>, StoreError> {
        let Some(row) = Entity::find_by_id((owner.to_owned(), key.to_owned())).one(self.reader()).await?
        else {
            return Ok(None);
        };
        let lifetime = SignedDuration::try_from(lifetime).unwrap_or(SignedDuration::MAX);
        let oldest = self.clock(self.reader()).await?.saturating_sub(lifetime).unwrap_or(Timestamp::MIN);
        if row.created_at < codec::micros(oldest) {
            Entity::delete_many()
                .filter(Column::Owner.eq(owner))
                .filter(Column::RequestKey.eq(key))
                .filter(Column::CreatedAt.eq(row.created_at))
                .exec(self.writer())
                .await?;
            return Ok(None);
        }
        let (key, fingerprint, made) = (row.request_key, row.fingerprint, row.made);
        Ok(Some(Receipt { owner: row.owner, key, fingerprint, made }))
    }

    /// Removes receipts from before `before`, and all but about the newest `most` of each owner. Returns how many went.
    pub async fn receipts_purge(&self, before: Timestamp, most: u64) -> Result<u64, StoreError> {
        framed!(self, Call::of("receipts_purge"), self.receipts_purge_once(codec::micros(before), most))
    }

    async fn receipts_purge_once(&self, before: i64, most: u64) -> Result<u64, StoreError> {
        let old = Entity::delete_many().filter(Column::CreatedAt.lt(before)).exec(self.writer()).await?;
        let mut removed = old.rows_affected;
        let crowded: Vec<String> = Entity::find()
            .select_only()
            .column(Column::Owner)
            .group_by(Column::Owner)
            .having(Column::RequestKey.count().gt(most))
            .into_tuple()
            .all(self.reader())
            .await?;
        for owner in crowded {
            let newest_to_go: Option<i64> = Entity::find()
                .select_only()
                .column(Column::CreatedAt)
                .filter(Column::Owner.eq(&owner))
                .order_by_desc(Column::CreatedAt)
                .offset(most)
                .limit(1)
                .into_tuple()
                .one(self.reader())
                .await?;
            let Some(newest_to_go) = newest_to_go else { continue };
            let trimmed = Entity::delete_many()
                .filter(Column::Owner.eq(&owner))
                .filter(Column::CreatedAt.lte(newest_to_go))
                .exec(self.writer())
                .await?;
            removed += trimmed.rows_affected;
        }
        Ok(removed)
    }

    /// Stores the receipt beside what its request makes.
    pub(crate) async fn receipt_write(
        &self,
        tx: &DatabaseTransaction,
        receipt: &Receipt,
    ) -> Result<(), StoreError> {
        let row = ActiveModel {
            owner: Set(receipt.owner.clone()),
            request_key: Set(receipt.key.clone()),
            fingerprint: Set(receipt.fingerprint.clone()),
            made: Set(receipt.made.clone()),
            created_at: Set(codec::micros(self.clock(tx).await?)),
        };
        let written = Entity::insert(row).exec_without_returning(tx).await;
        written.map(drop).map_err(|error| StoreError::of_insert(error, Duplicate::Receipt))
    }
}
