//! Numbers for operators: load balancers by status, and how much work waits.

use jiff::Timestamp;
use octavia_model::{OperatingStatus, ProvisioningStatus, WorkerId};
use sea_orm::sea_query::Expr;
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, ExprTrait, QueryFilter, QueryOrder, QuerySelect, Statement,
};

use crate::entity::codec::{self, Decode};
use crate::entity::load_balancer::{Column, Entity};
use crate::options::Call;
use crate::retry::framed;
use crate::{Store, StoreError};

/// What the rows of load balancers say together, at one moment or nearly so.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Census {
    /// How many have each pair of statuses; those that are `DELETED` do not count.
    pub statuses: Vec<(ProvisioningStatus, OperatingStatus, u64)>,
    /// Load balancers that are due and that no worker has taken up.
    pub due: u64,
    /// Seconds; how long the oldest one has been `PENDING_*`; 0 = none is.
    pub oldest_pending: u64,
    /// How many leases each worker holds; of those that hold none, nothing is known here.
    pub leases: Vec<(WorkerId, u64)>,
    /// Leases that have run out, of workers that have died or hang, and that nobody has taken up yet.
    pub leases_run_out: u64,
}

impl Store {
    /// Counts. Costs a look at every row: callers ask now and then, not for every question they get.
    pub async fn census(&self) -> Result<Census, StoreError> {
        framed!(self, Call::of("census"), self.census_once())
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<(), StoreError> {
        framed!(self, Call::of("ping"), self.ping_once())
    }

    async fn ping_once(&self) -> Result<(), StoreError> {
        let statement = Statement::from_string(self.backend(), "SELECT 1");
        self.reader().query_one_raw(statement).await?;
        Ok(())
    }

    async fn census_once(&self) -> Result<Census, StoreError> {
        let now = self.clock(self.reader()).await?;
        let living = Column::ProvisioningStatus.ne(ProvisioningStatus::Deleted.as_str());
        let rows: Vec<(String, String, i64)> = Entity::find()
            .select_only()
            .column(Column::ProvisioningStatus)
            .column(Column::OperatingStatus)
            .column_as(Column::Id.count(), "n")
            .filter(living)
            .group_by(Column::ProvisioningStatus)
            .group_by(Column::OperatingStatus)
            .into_tuple()
            .all(self.reader())
            .await?;
        let decode = Decode("load_balancer");
        let statuses = rows.iter().map(|(provisioning, operating, count)| {
            Ok((
                decode.parse("provisioning_status", provisioning)?,
                decode.parse("operating_status", operating)?,
                decode.int("count", *count)?,
            ))
        });
        let statuses = statuses.collect::<Result<_, StoreError>>()?;
        let due: Option<i64> = Entity::find()
            .select_only()
            .column_as(Column::Id.count(), "n")
            .filter(self.due_at(now))
            .into_tuple()
            .one(self.reader())
            .await?;
        let (held, run_out) = self.leases_at(now);
        let leases: Vec<(String, i64)> = Entity::find()
            .select_only()
            .column(Column::LeaseOwner)
            .column_as(Column::Id.count(), "n")
            .filter(held)
            .group_by(Column::LeaseOwner)
            .order_by_asc(Column::LeaseOwner)
            .into_tuple()
            .all(self.reader())
            .await?;
        let leases = leases
            .iter()
            .map(|(owner, count)| Ok((decode.parse("lease_owner", owner)?, decode.int("count", *count)?)))
            .collect::<Result<_, StoreError>>()?;
        let run_out: Option<i64> = Entity::find()
            .select_only()
            .column_as(Column::Id.count(), "n")
            .filter(run_out)
            .into_tuple()
            .one(self.reader())
            .await?;
        let oldest: Option<Option<i64>> = Entity::find()
            .select_only()
            .column_as(Expr::col(Column::PendingSince).min(), "oldest")
            .into_tuple()
            .one(self.reader())
            .await?;
        let oldest = decode.time_option("pending_since", oldest.flatten())?;
        Ok(Census {
            statuses,
            due: decode.int("count", due.unwrap_or_default())?,
            oldest_pending: oldest.map_or(0, |since| age(since, now)),
            leases,
            leases_run_out: decode.int("count", run_out.unwrap_or_default())?,
        })
    }
}

/// Clocks are stepped: what lies ahead is of no age.
fn age(since: Timestamp, now: Timestamp) -> u64 {
    u64::try_from(codec::micros(now).saturating_sub(codec::micros(since)) / 1_000_000).unwrap_or(0)
}
