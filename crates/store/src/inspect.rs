//! The rows as they are, for the simulator: asked outside the interceptor, decided upon by nobody.

use std::net::IpAddr;

use jiff::Timestamp;
use octavia_model::{AmphoraId, AmphoraStatus, LoadBalancerId, ProvisioningStatus, WorkerId};
use sea_orm::{ConnectionTrait, DbBackend, EntityTrait, Statement};

use crate::entity::codec::Decode;
use crate::entity::{amphora, load_balancer};
use crate::{Store, StoreError, migration};

/// Load balancers and amphorae, `DELETED` ones included.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Inspection {
    pub load_balancers: Vec<LoadBalancerRow>,
    pub amphorae: Vec<AmphoraRow>,
}

/// A load balancer with its place in the work queue.
#[derive(Debug, Clone, PartialEq)]
pub struct LoadBalancerRow {
    pub id: LoadBalancerId,
    pub provisioning: ProvisioningStatus,
    pub vip_address: IpAddr,
    pub generation: u64,
    pub applied_generation: u64,
    /// Deletion was asked for.
    pub deleting: bool,
    pub pending_since: Option<Timestamp>,
    pub next_attempt_at: Option<Timestamp>,
    pub attempts: u32,
    pub last_error: Option<String>,
    pub lease_owner: Option<WorkerId>,
    pub lease_until: Option<Timestamp>,
    pub lease_epoch: u64,
}

#[derive(Debug, Clone, PartialEq)]
pub struct AmphoraRow {
    pub id: AmphoraId,
    pub load_balancer_id: Option<LoadBalancerId>,
    pub status: AmphoraStatus,
    pub applied_generation: u64,
    pub created_at: Timestamp,
}

impl Store {
    /// What the rows say now.
    pub async fn inspect(&self) -> Result<Inspection, StoreError> {
        let load_balancers = load_balancer::Entity::find().all(self.reader()).await?;
        let amphorae = amphora::Entity::find().all(self.reader()).await?;
        Ok(Inspection {
            load_balancers: load_balancers.iter().map(LoadBalancerRow::try_from).collect::<Result<_, _>>()?,
            amphorae: amphorae.iter().map(AmphoraRow::try_from).collect::<Result<_, _>>()?,
        })
    }

    /// Every row of every table as text, for looking for what must not be there. SQLite only: elsewhere it is empty.
    pub async fn dump(&self) -> Result<String, StoreError> {
        let mut text = String::new();
        if self.backend() != DbBackend::Sqlite {
            return Ok(text);
        }
        for table in migration::tables() {
            let columns = self.query(format!("SELECT name FROM pragma_table_info('{table}')")).await?;
            let row = columns.iter().map(|name| format!("COALESCE({name}, '')")).collect::<Vec<_>>();
            for line in self.query(format!("SELECT {} FROM {table}", row.join(" || ' ' || "))).await? {
                text.push_str(&line);
                text.push('\n');
            }
        }
        Ok(text)
    }

    /// The first column of every row.
    async fn query(&self, sql: String) -> Result<Vec<String>, StoreError> {
        let statement = Statement::from_string(self.backend(), sql);
        let rows = self.reader().query_all_raw(statement).await?;
        Ok(rows.iter().map(|row| row.try_get_by_index(0)).collect::<Result<_, _>>()?)
    }
}

impl TryFrom<&load_balancer::Model> for LoadBalancerRow {
    type Error = StoreError;

    fn try_from(row: &load_balancer::Model) -> Result<Self, StoreError> {
        let decode = Decode("load_balancer");
        Ok(Self {
            id: decode.parse("id", &row.id)?,
            provisioning: decode.parse("provisioning_status", &row.provisioning_status)?,
            vip_address: decode.parse("vip_address", &row.vip_address)?,
            generation: decode.int("generation", row.generation)?,
            applied_generation: decode.int("applied_generation", row.applied_generation)?,
            deleting: row.deleting,
            pending_since: decode.time_option("pending_since", row.pending_since)?,
            next_attempt_at: decode.time_option("next_attempt_at", row.next_attempt_at)?,
            attempts: decode.int("attempts", row.attempts)?,
            last_error: row.last_error.clone(),
            lease_owner: decode.parse_option("lease_owner", row.lease_owner.as_deref())?,
            lease_until: decode.time_option("lease_until", row.lease_until)?,
            lease_epoch: decode.int("lease_epoch", row.lease_epoch)?,
        })
    }
}

impl TryFrom<&amphora::Model> for AmphoraRow {
    type Error = StoreError;

    fn try_from(row: &amphora::Model) -> Result<Self, StoreError> {
        let decode = Decode("amphora");
        Ok(Self {
            id: decode.parse("id", &row.id)?,
            load_balancer_id: decode.parse_option("load_balancer_id", row.load_balancer_id.as_deref())?,
            status: decode.parse("status", &row.status)?,
            applied_generation: decode.int("applied_generation", row.applied_generation)?,
            created_at: decode.time("created_at", row.created_at)?,
        })
    }
}
