//! Whether a service works on a store, as far as rows tell.

use jiff::Timestamp;
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, DbBackend, EntityTrait, QuerySelect};

use crate::entity::codec::Decode;
use crate::entity::{amphora, load_balancer};
use crate::{CopyError, Store, StoreError};

/// What a running service moves: heartbeats come every few seconds as long as there are amphorae, and workers take leases
/// and look at each load balancer again and again. Without a load balancer, or without workers, a service leaves no trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Activity {
    /// The newest of any amphora.
    pub heartbeat_at: Option<Timestamp>,
    /// When the last lease ends.
    pub leased_until: Option<Timestamp>,
    /// When work is due that is due last, or was.
    pub due_until: Option<Timestamp>,
    /// How many leases there have been.
    pub leases: i64,
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
        use load_balancer::Column;
        // A sum is of another type than what is added, and each database has its own name for ours.
        let integer = if self.backend() == DbBackend::MySql { "SIGNED" } else { "BIGINT" };
        let leases = format!("CAST(SUM(lease_epoch) AS {integer})");
        let work: Option<(Option<i64>, Option<i64>, Option<i64>)> = load_balancer::Entity::find()
            .select_only()
            .column_as(Column::LeaseUntil.max(), "until")
            .column_as(Column::NextAttemptAt.max(), "due")
            .column_as(Expr::cust(leases), "leases")
            .into_tuple()
            .one(self.reader())
            .await?;
        let (lease, due, leases) = work.unwrap_or_default();
        let activity = Activity {
            heartbeat_at: Decode("amphora").time_option("last_heartbeat_at", heartbeat.flatten())?,
            leased_until: Decode("load_balancer").time_option("lease_until", lease)?,
            due_until: Decode("load_balancer").time_option("next_attempt_at", due)?,
            leases: leases.unwrap_or_default(),
        };
        Ok((activity, self.clock(self.reader()).await?))
    }
}
