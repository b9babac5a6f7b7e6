//! What amphorae of which one is to hold the VIPs say of that.

use std::collections::BTreeMap;

use jiff::Timestamp;
use octavia_model::{AmphoraId, AmphoraStatus, LoadBalancerId, VrrpState};
use sea_orm::sea_query::{Expr, Func, Query};
use sea_orm::{ColumnTrait, EntityTrait, ExprTrait, QueryFilter, QuerySelect};

use crate::entity::amphora::{Column, Entity};
use crate::entity::codec::Decode;
use crate::options::Call;
use crate::retry::framed;
use crate::{Store, StoreError};

/// What an amphora said last of its part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PairClaim {
    pub amphora: AmphoraId,
    /// `None` = it does not say.
    pub state: Option<VrrpState>,
    /// When it said so first.
    pub since: Option<Timestamp>,
    /// When it was heard last.
    pub heard: Option<Timestamp>,
}

impl Store {
    /// What the amphorae say of those load balancers of whose amphorae not exactly one says that it is master, though some say
    /// something.
    pub async fn pairs_without_one_master(
        &self,
    ) -> Result<BTreeMap<LoadBalancerId, Vec<PairClaim>>, StoreError> {
        framed!(self, Call::of("pairs_without_one_master"), self.pairs_without_one_master_once())
    }

    async fn pairs_without_one_master_once(
        &self,
    ) -> Result<BTreeMap<LoadBalancerId, Vec<PairClaim>>, StoreError> {
        type Row = (String, String, Option<String>, Option<i64>, Option<i64>);

        let there = Column::Status.ne(AmphoraStatus::Deleted.as_str());
        let is_master = Expr::case(Column::VrrpState.eq(VrrpState::Master.as_str()), 1).finally(0);
        let odd = Query::select()
            .column(Column::LoadBalancerId)
            .from(Entity)
            .and_where(there.clone())
            .and_where(Column::VrrpState.is_not_null())
            .group_by_col(Column::LoadBalancerId)
            .and_having(Expr::expr(Func::sum(is_master)).ne(1))
            .take();
        let rows: Vec<Row> = Entity::find()
            .select_only()
            .column(Column::LoadBalancerId)
            .column(Column::Id)
            .column(Column::VrrpState)
            .column(Column::VrrpSince)
            .column(Column::LastHeartbeatAt)
            .filter(there)
            .filter(Column::LoadBalancerId.in_subquery(odd))
            .into_tuple()
            .all(self.reader())
            .await?;
        let decode = Decode("amphora");
        let mut pairs: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (lb, id, state, since, heard) in rows {
            let claim = PairClaim {
                amphora: decode.parse("id", &id)?,
                state: decode.parse_option("vrrp_state", state.as_deref())?,
                since: decode.time_option("vrrp_since", since)?,
                heard: decode.time_option("last_heartbeat_at", heard)?,
            };
            pairs.entry(decode.parse("load_balancer_id", &lb)?).or_default().push(claim);
        }
        Ok(pairs)
    }
}
