//! Whether a service works on a store, as far as rows tell.

use jiff::Timestamp;
use sea_orm::{ColumnTrait, EntityTrait, QuerySelect};

use crate::entity::codec::Decode;
use crate::entity::{amphora, load_balancer};
use crate::{CopyError, Store, StoreError};

/// What a running service moves: heartbeats come every few seconds as long as there are amphorae, and workers renew
/// their leases. Without a load balancer a service leaves no trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Activity {
    /// The newest of any amphora.
    pub heartbeat_at: Option<Timestamp>,
    /// When the last lease ends.
    pub leased_until: Option<Timestamp>,
}

impl Store {
    /// Its newest traces, and the time by the store's clock. Two answers that differ were not given by a store at rest.
    ///
    /// # Errors
    ///
    /// Another schema than this version's.
    pub async fn activity(&self) -> Result<(Activity, Timestamp), CopyError> {
        self.check_schema().await?;
        self.activity_once().await.map_err(CopyError::Read)
    }

    async fn activity_once(&self) -> Result<(Activity, Timestamp), StoreError> {
        let heartbeat: Option<Option<i64>> = amphora::Entity::find()
            .select_only()
            .column_as(amphora::Column::LastHeartbeatAt.max(), "at")
            .into_tuple()
            .one(self.reader())
            .await?;
        let lease: Option<Option<i64>> = load_balancer::Entity::find()
            .select_only()
            .column_as(load_balancer::Column::LeaseUntil.max(), "until")
            .into_tuple()
            .one(self.reader())
            .await?;
        let activity = Activity {
            heartbeat_at: Decode("amphora").time_option("last_heartbeat_at", heartbeat.flatten())?,
            leased_until: Decode("load_balancer").time_option("lease_until", lease.flatten())?,
        };
        Ok((activity, self.clock(self.reader()).await?))
    }
}
