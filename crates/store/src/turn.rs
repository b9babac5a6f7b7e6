//! Whose turn it is to have servers made. What decides is handed in, and sees all that wait and build; nobody else decides
//! meanwhile.

use jiff::Timestamp;
use octavia_model::{AmphoraStatus, LoadBalancerId, OperationId, ProjectId, Turn};
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::OnConflict;
use sea_orm::{ColumnTrait, ConnectionTrait, DatabaseTransaction, DbErr, EntityTrait, QueryFilter};

use crate::entity::turn::{ActiveModel, Column, Entity};
use crate::entity::{amphora, codec};
use crate::lease::fence;
use crate::migration::gate_of_turns;
use crate::options::Call;
use crate::retry::framed;
use crate::{Lease, Store, StoreError};

/// Kind of the ledger's entry that says that a load balancer waits.
pub const TURN_WAIT: &str = "turn_wait";

/// What a worker says when it asks for a turn.
#[derive(Debug, Clone)]
pub struct TurnClaim {
    pub project_id: ProjectId,
    pub urgent: bool,
    /// Of the ledger's entry that it waits, if it is the first to ask.
    pub operation_id: OperationId,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TurnAsked {
    pub turn: Turn,
    /// Nobody had asked before.
    pub is_new: bool,
    /// It was taken just now, not before.
    pub just_taken: bool,
}

type Decide<'a> = &'a (dyn Fn(&[Turn], Timestamp) -> bool + Send + Sync);

impl Store {
    /// Takes the turn if `its_turn` says so of all turns, the own one among them; else the load balancer waits, in its
    /// place. Who has taken it keeps it.
    pub async fn turn_ask(
        &self,
        lease: &Lease,
        claim: &TurnClaim,
        its_turn: impl Fn(&[Turn], Timestamp) -> bool + Send + Sync,
    ) -> Result<TurnAsked, StoreError> {
        framed!(self, Call::of_lease("turn_ask", lease), self.turn_ask_once(lease, claim, &its_turn))
    }

    async fn turn_ask_once(
        &self,
        lease: &Lease,
        claim: &TurnClaim,
        its_turn: Decide<'_>,
    ) -> Result<TurnAsked, StoreError> {
        let tx = self.begin_write().await?;
        fence(&tx, lease).await?;
        if let Some(gate) = gate_of_turns(self.backend()) {
            tx.query_one_raw(gate).await?;
        }
        let now = self.clock(&tx).await?;
        let mut turns = turns(&tx).await?;
        let place = turns.iter().position(|turn| turn.load_balancer_id == lease.lb);
        let at = place.unwrap_or_else(|| {
            turns.push(Turn {
                load_balancer_id: lease.lb,
                project_id: claim.project_id.clone(),
                urgent: claim.urgent,
                since: now,
                asked_at: now,
                taken_at: None,
                operation_id: claim.operation_id,
            });
            turns.len() - 1
        });
        turns[at].asked_at = now;
        turns[at].urgent = claim.urgent;
        let just_taken = turns[at].taken_at.is_none() && its_turn(&turns, now);
        let mut turn = turns.swap_remove(at);
        if just_taken {
            turn.taken_at = Some(now);
        }
        let row = ActiveModel {
            load_balancer_id: Set(codec::id(turn.load_balancer_id)),
            project_id: Set(turn.project_id.to_string()),
            urgent: Set(turn.urgent),
            since: Set(codec::micros(turn.since)),
            asked_at: Set(codec::micros(turn.asked_at)),
            taken_at: Set(turn.taken_at.map(codec::micros)),
            operation_id: Set(codec::id(turn.operation_id)),
        };
        let again = OnConflict::column(Column::LoadBalancerId)
            .update_columns([Column::Urgent, Column::AskedAt, Column::TakenAt])
            .to_owned();
        Entity::insert(row).on_conflict(again).exec_without_returning(&tx).await?;
        tx.commit().await?;
        Ok(TurnAsked { turn, is_new: place.is_none(), just_taken })
    }

    /// The load balancer's servers are made, or are not made for now: others may come. Unless it is `through`, one that
    /// waits stays in its place, and one with a server that boots keeps its turn. Answers the turn that was there, and is not
    /// any more.
    pub async fn turn_leave(&self, lease: &Lease, through: bool) -> Result<Option<Turn>, StoreError> {
        framed!(self, Call::of_lease("turn_leave", lease), self.turn_leave_once(lease, through))
    }

    async fn turn_leave_once(&self, lease: &Lease, through: bool) -> Result<Option<Turn>, StoreError> {
        // Nearly always there is none, and nothing to be locked.
        let Some(row) = Entity::find_by_id(codec::id(lease.lb)).one(self.reader()).await? else {
            return Ok(None);
        };
        if row.taken_at.is_none() && !through {
            return Ok(None);
        }
        let tx = self.begin_write().await?;
        fence(&tx, lease).await?;
        let boots = amphora::Entity::find()
            .filter(amphora::Column::LoadBalancerId.eq(codec::id(lease.lb)))
            .filter(amphora::Column::Status.eq(AmphoraStatus::Booting.as_str()))
            .one(&tx)
            .await?;
        if boots.is_some() && !through {
            tx.rollback().await?;
            return Ok(None);
        }
        turn_remove(&tx, lease.lb).await?;
        tx.commit().await?;
        Ok(Some(Turn::try_from(row)?))
    }

    /// All that wait or build, in no order.
    pub async fn turn_list(&self) -> Result<Vec<Turn>, StoreError> {
        framed!(self, Call::of("turn_list"), turns(self.reader()))
    }
}

async fn turns(db: &impl ConnectionTrait) -> Result<Vec<Turn>, StoreError> {
    Entity::find().all(db).await?.into_iter().map(Turn::try_from).collect()
}

/// Of a load balancer that needs no servers any more.
pub(crate) async fn turn_remove(tx: &DatabaseTransaction, lb: LoadBalancerId) -> Result<(), DbErr> {
    Entity::delete_many().filter(Column::LoadBalancerId.eq(codec::id(lb))).exec(tx).await.map(drop)
}
