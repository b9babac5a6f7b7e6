//! The right of one worker to act on one load balancer until a time, and what is due.
//!
//! Clocks are stepped, also back. So a time is past when it has come, or when it lies further ahead than anything is
//! ever put ([`StoreOptions::horizon`](crate::StoreOptions::horizon)): else what was written by a clock an hour ahead
//! would wait for an hour.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use octavia_model::{LoadBalancerId, ProvisioningStatus, WorkerId};
use sea_orm::sea_query::{Expr, Func, IntoCondition, Query};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DatabaseTransaction, EntityTrait, ExprTrait, FromQueryResult,
    QueryFilter, QueryOrder, QuerySelect, Value,
};

use crate::entity::codec::{self, Decode};
use crate::entity::load_balancer::{Column, Entity, Model};
use crate::fetch::root_lock;
use crate::options::Call;
use crate::promise::Promise;
use crate::retry::framed;
use crate::{Store, StoreError};

/// Load balancers that [`Store::work_resume`] makes due at the same moment, by one statement.
const RESUMED_TOGETHER: usize = 50;

/// In the place of a time that is absent.
const NEVER: i64 = -1;

/// A lease as it was taken. Every write of a worker carries it; a stale epoch changes nothing.
#[derive(Debug, Clone)]
pub struct Lease {
    pub lb: LoadBalancerId,
    pub owner: WorkerId,
    /// Moves by one with every lease of this load balancer: the fence.
    pub epoch: u64,
    /// As taken; [`Store::lease_renew`] moves it in the database.
    pub until: Timestamp,
    /// How many wake-ups the holder has seen: set when taken and with every load, compared on release.
    pub(crate) seen_wakes: Arc<AtomicI64>,
}

impl Lease {
    /// Whether the row is still under this lease. That it ran out does not matter while nobody else took it.
    pub(crate) fn holds(&self, root: &Model) -> bool {
        !Promise::Fence.is_kept()
            || (root.lease_epoch == codec::count(self.epoch)
                && (!Promise::Lease.is_kept() || root.lease_owner == Some(codec::id(self.owner))))
    }

    /// The same as a condition on the row.
    pub(crate) fn condition(&self) -> Condition {
        let mut condition = Column::Id.eq(codec::id(self.lb)).into_condition();
        if Promise::Fence.is_kept() {
            condition = condition.add(Column::LeaseEpoch.eq(codec::count(self.epoch)));
            if Promise::Lease.is_kept() {
                condition = condition.add(Column::LeaseOwner.eq(codec::id(self.owner)));
            }
        }
        condition
    }
}

/// How a worker leaves a load balancer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// When to look again, within the horizon. Brought forward to now if something was asked for since the last
    /// [`Store::desired_load`].
    pub next_attempt_at: Timestamp,
    /// Failed attempts in a row; 0 after success.
    pub attempts: u32,
    pub last_error: Option<String>,
}

impl Store {
    /// Load balancers that are due and not leased, the longest due first. A hint: [`Store::lease_acquire`] decides.
    pub async fn work_due(&self, limit: usize) -> Result<Vec<LoadBalancerId>, StoreError> {
        framed!(self, Call::of("work_due"), self.work_due_once(limit))
    }

    async fn work_due_once(&self, limit: usize) -> Result<Vec<LoadBalancerId>, StoreError> {
        let past = self.past(self.clock(self.reader()).await?);
        let ids: Vec<String> = Entity::find()
            .select_only()
            .column(Column::Id)
            .filter(due(past))
            .order_by_asc(Column::NextAttemptAt)
            .limit(limit as u64)
            .into_tuple()
            .all(self.reader())
            .await?;
        ids.iter().map(|id| Decode("load_balancer").parse("id", id)).collect()
    }

    /// When the next load balancer will be due, or has been; `None` when there is none.
    pub async fn work_next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        framed!(self, Call::of("work_next_due"), self.work_next_due_once())
    }

    async fn work_next_due_once(&self) -> Result<Option<Timestamp>, StoreError> {
        let now = self.clock(self.reader()).await?;
        // A leased load balancer is due when its lease runs out, at the latest. Each of these is one look at an index.
        let of = |column: Column, leased: bool, latest: bool| {
            let lease = if leased { Column::LeaseUntil.is_not_null() } else { Column::LeaseUntil.is_null() };
            let column = Expr::col(column);
            let end = if latest { column.max() } else { column.min() };
            Expr::from(sub(Query::select().expr(end).from(Entity).and_where(lease).take()))
        };
        let select = Query::select()
            .expr_as(of(Column::NextAttemptAt, false, false), "free")
            .expr_as(of(Column::LeaseUntil, true, false), "leased")
            .expr_as(of(Column::NextAttemptAt, false, true), "free_latest")
            .expr_as(of(Column::LeaseUntil, true, true), "leased_latest")
            .take();
        let Some(row) = self.reader().query_one(&select).await? else { return Ok(None) };
        let mut times: Vec<i64> = vec![];
        for name in ["free", "leased"] {
            times.extend(row.try_get::<Option<i64>>("", name)?);
        }
        for name in ["free_latest", "leased_latest"] {
            let beyond = row.try_get::<Option<i64>>("", name)?.filter(|at| self.past(now).holds(*at));
            times.extend(beyond.map(|_| codec::micros(now)));
        }
        Decode("load_balancer").time_option("next_attempt_at", times.into_iter().min())
    }

    /// Takes the lease for `ttl` from now if the load balancer is due and no living lease is on it.
    pub async fn lease_acquire(
        &self,
        lb: LoadBalancerId,
        owner: WorkerId,
        ttl: Duration,
    ) -> Result<Option<Lease>, StoreError> {
        let call = Call { worker: Some(owner), ..Call::of_lb("lease_acquire", lb) };
        framed!(self, call, self.lease_acquire_once(lb, owner, ttl))
    }

    async fn lease_acquire_once(
        &self,
        lb: LoadBalancerId,
        owner: WorkerId,
        ttl: Duration,
    ) -> Result<Option<Lease>, StoreError> {
        let Some(seen) = Entity::find_by_id(codec::id(lb)).into_model::<Seen>().one(self.writer()).await?
        else {
            return Ok(None);
        };
        let now = self.clock(self.writer()).await?;
        if !seen.is_free(self.past(now)) {
            return Ok(None);
        }
        let until = self.ahead(now, ttl);
        let next = if Promise::Lease.is_kept() { seen.lease_epoch + 1 } else { seen.lease_epoch };
        // Whatever makes a free load balancer not free moves one of these two.
        let taken = Entity::update_many()
            .col_expr(Column::LeaseOwner, Expr::value(codec::id(owner)))
            .col_expr(Column::LeaseUntil, Expr::value(codec::micros(until)))
            .col_expr(Column::LeaseEpoch, Expr::value(next))
            .filter(Column::Id.eq(codec::id(lb)))
            .filter(Column::LeaseEpoch.eq(seen.lease_epoch))
            .filter(beside_key(Column::LeaseUntil, NEVER).eq(seen.lease_until.unwrap_or(NEVER)))
            .exec(self.writer())
            .await?
            .rows_affected;
        if taken == 0 {
            return Ok(None);
        }
        let epoch = Decode("load_balancer").int("lease_epoch", next)?;
        // Wakes may have moved since they were read: then the release makes the load balancer due once too often.
        Ok(Some(Lease { lb, owner, epoch, until, seen_wakes: Arc::new(AtomicI64::new(seen.wakes)) }))
    }

    /// Makes the lease last `ttl` from now. A lease that ran out, but was taken by nobody, is renewed too.
    pub async fn lease_renew(&self, lease: &Lease, ttl: Duration) -> Result<(), StoreError> {
        framed!(self, Call::of_lease("lease_renew", lease), self.lease_renew_once(lease, ttl))
    }

    async fn lease_renew_once(&self, lease: &Lease, ttl: Duration) -> Result<(), StoreError> {
        let until = self.ahead(self.clock(self.writer()).await?, ttl);
        let renewed = Entity::update_many()
            .col_expr(Column::LeaseUntil, Expr::value(codec::micros(until)))
            .filter(lease.condition())
            .exec(self.writer())
            .await?;
        if renewed.rows_affected == 0 { Err(StoreError::LeaseLost) } else { Ok(()) }
    }

    /// Gives the lease back.
    pub async fn lease_release(&self, lease: &Lease, release: Release) -> Result<(), StoreError> {
        let call = Call::of_lease("lease_release", lease);
        framed!(self, call, self.lease_release_once(lease, &release))
    }

    async fn lease_release_once(&self, lease: &Lease, release: &Release) -> Result<(), StoreError> {
        let now = self.clock(self.writer()).await?;
        // The worker's clock may be ahead of the database's.
        let next = codec::micros(release.next_attempt_at.min(self.ahead(now, Duration::MAX)));
        let now = codec::micros(now);
        let seen = lease.seen_wakes.load(Ordering::Relaxed);
        let next =
            Expr::case(Column::Wakes.eq(seen), Expr::value(next)).finally(Expr::value(Ord::min(now, next)));
        // Whose work is through has nothing to do with what comes later.
        let through = Column::Wakes
            .eq(seen)
            .and(Expr::col(Column::AppliedGeneration).eq(Expr::col(Column::Generation)));
        let requests = Expr::case(
            if release.attempts == 0 { through } else { Expr::value(false) },
            Expr::value(Option::<String>::None),
        )
        .finally(Expr::col(Column::RequestIds));
        let released = Entity::update_many()
            .col_expr(Column::NextAttemptAt, next.into())
            .col_expr(Column::Attempts, Expr::value(i64::from(release.attempts)))
            .col_expr(Column::LastError, Expr::value(release.last_error.clone()))
            .col_expr(Column::RequestIds, requests.into())
            .col_expr(Column::LeaseOwner, Expr::value(Option::<String>::None))
            .col_expr(Column::LeaseUntil, Expr::value(Option::<i64>::None))
            .filter(lease.condition())
            .exec(self.writer())
            .await?;
        if released.rows_affected == 0 { Err(StoreError::LeaseLost) } else { Ok(()) }
    }

    /// Ends every lease at once: for a controller that knows that it is alone with the database, so that whoever
    /// held them is dead. Otherwise a start after `kill -9` waits for them to run out. Answers how many there were.
    pub async fn leases_end(&self) -> Result<u64, StoreError> {
        framed!(self, Call::of("leases_end"), self.leases_end_once())
    }

    async fn leases_end_once(&self) -> Result<u64, StoreError> {
        let ended = Entity::update_many()
            .col_expr(Column::LeaseOwner, Expr::value(Option::<String>::None))
            .col_expr(Column::LeaseUntil, Expr::value(Option::<i64>::None))
            .filter(Column::LeaseUntil.is_not_null())
            .exec(self.writer())
            .await?;
        Ok(ended.rows_affected)
    }

    /// Gives back every lease of a worker that has been ended in the midst of its work, so that others need not wait until
    /// they run out; what it held is due at once. Answers how many there were.
    pub async fn leases_return(&self, owner: WorkerId) -> Result<u64, StoreError> {
        let call = Call { worker: Some(owner), ..Call::of("leases_return") };
        framed!(self, call, self.leases_return_once(owner))
    }

    async fn leases_return_once(&self, owner: WorkerId) -> Result<u64, StoreError> {
        let now = codec::micros(self.clock(self.writer()).await?);
        let returned = Entity::update_many()
            .col_expr(Column::LeaseOwner, Expr::value(Option::<String>::None))
            .col_expr(Column::LeaseUntil, Expr::value(Option::<i64>::None))
            .col_expr(Column::NextAttemptAt, Expr::value(now))
            .filter(Column::LeaseOwner.eq(codec::id(owner)))
            .exec(self.writer())
            .await?;
        Ok(returned.rows_affected)
    }

    /// Makes the load balancer due now, whoever works on it; nothing happens when it is absent.
    pub async fn lb_wake(&self, lb: LoadBalancerId) -> Result<(), StoreError> {
        framed!(self, Call::of_lb("lb_wake", lb), self.lb_wake_once(lb))?;
        self.signal_work();
        Ok(())
    }

    /// For a worker that starts: while none ran, nobody looked. What is due later becomes due soon, in the order it
    /// was, `pace` apart on average, so that many do not come at once. Nothing is put off. Returns how many load
    /// balancers were brought forward.
    pub async fn work_resume(&self, pace: Duration) -> Result<u64, StoreError> {
        let resumed = framed!(self, Call::of("work_resume"), self.work_resume_once(pace))?;
        self.signal_work();
        Ok(resumed)
    }

    async fn work_resume_once(&self, pace: Duration) -> Result<u64, StoreError> {
        let now = self.clock(self.writer()).await?;
        let later: Vec<String> = Entity::find()
            .select_only()
            .column(Column::Id)
            .filter(Column::NextAttemptAt.gt(codec::micros(now)))
            .filter(Column::ProvisioningStatus.ne(ProvisioningStatus::Deleted.as_str()))
            .order_by_asc(Column::NextAttemptAt)
            .into_tuple()
            .all(self.reader())
            .await?;
        let mut resumed = 0;
        let mut at = now;
        for ids in later.chunks(RESUMED_TOGETHER) {
            let forward = Entity::update_many()
                .col_expr(Column::NextAttemptAt, Expr::value(codec::micros(at)))
                .filter(Column::Id.is_in(ids.iter().cloned()))
                .filter(Column::NextAttemptAt.gt(codec::micros(at)))
                .exec(self.writer())
                .await?;
            resumed += forward.rows_affected;
            at = after(at, pace.saturating_mul(RESUMED_TOGETHER as u32)).min(self.ahead(now, Duration::MAX));
        }
        Ok(resumed)
    }

    /// `delay` from now, within the horizon.
    fn ahead(&self, now: Timestamp, delay: Duration) -> Timestamp {
        after(now, delay.min(self.horizon()))
    }

    fn past(&self, now: Timestamp) -> Past {
        Past { now: codec::micros(now), horizon: codec::micros(self.ahead(now, Duration::MAX)) }
    }

    /// Leases that hold at this moment, and those that have run out and that nobody has taken since.
    pub(crate) fn leases_at(&self, now: Timestamp) -> (Condition, Condition) {
        let run_out = self.past(now).condition(Column::LeaseUntil);
        (Condition::all().add(Column::LeaseUntil.is_not_null()).add(run_out.clone().not()), run_out)
    }

    /// Who is due at this moment.
    pub(crate) fn due_at(&self, now: Timestamp) -> Condition {
        due(self.past(now))
    }

    async fn lb_wake_once(&self, lb: LoadBalancerId) -> Result<(), StoreError> {
        let now = codec::micros(self.clock(self.writer()).await?);
        Entity::update_many()
            .col_expr(Column::NextAttemptAt, Expr::value(now))
            .col_expr(Column::Wakes, Expr::col(Column::Wakes).add(1))
            .filter(Column::Id.eq(codec::id(lb)))
            .filter(beside_key(Column::ProvisioningStatus, "").ne(ProvisioningStatus::Deleted.as_str()))
            .exec(self.writer())
            .await?;
        Ok(())
    }
}

/// What decides whether a load balancer may be leased.
#[derive(Debug, FromQueryResult)]
struct Seen {
    provisioning_status: String,
    lease_epoch: i64,
    lease_until: Option<i64>,
    next_attempt_at: Option<i64>,
    wakes: i64,
}

impl Seen {
    /// Due, and under no living lease.
    fn is_free(&self, past: Past) -> bool {
        let leased = self.lease_until.is_some_and(|until| !past.holds(until)) && Promise::Lease.is_kept();
        let due = self.next_attempt_at.is_some_and(|at| past.holds(at));
        due && !leased && self.provisioning_status != ProvisioningStatus::Deleted.as_str()
    }
}

/// Takes the root's row for a worker's write; the row, if the lease still holds.
pub(crate) async fn fence(tx: &DatabaseTransaction, lease: &Lease) -> Result<Model, StoreError> {
    root_lock(tx, lease.lb).await?.filter(|root| lease.holds(root)).ok_or(StoreError::LeaseLost)
}

/// The column for a condition on a row that is found by its key, in a form that no index serves: MariaDB may otherwise
/// go by an index on the column, and lock index and row in the opposite order to everybody else.
fn beside_key(column: Column, null: impl Into<Value>) -> Expr {
    Func::coalesce([Expr::col(column), Expr::value(null)]).into()
}

/// Which times are past.
#[derive(Debug, Clone, Copy)]
struct Past {
    now: i64,
    horizon: i64,
}

impl Past {
    /// Has come, or lies where only a clock that has gone back since can have put it.
    fn holds(self, at: i64) -> bool {
        at <= self.now || at > self.horizon
    }

    fn condition(self, column: Column) -> Condition {
        Condition::any().add(column.lte(self.now)).add(column.gt(self.horizon))
    }
}

/// Load balancers that are due and under no living lease. Written so that SQLite takes each range from the index: of a
/// longer list of alternatives it reads the table.
fn due(past: Past) -> Condition {
    let due = past.condition(Column::NextAttemptAt);
    let free = past.condition(Column::LeaseUntil).add(Column::LeaseUntil.is_null());
    let all = Condition::all().add(due);
    if Promise::Lease.is_kept() { all.add(free) } else { all }
}

fn after(now: Timestamp, ttl: Duration) -> Timestamp {
    let ttl = SignedDuration::try_from(ttl).unwrap_or(SignedDuration::MAX);
    now.saturating_add(ttl).unwrap_or(Timestamp::MAX)
}

fn sub(select: sea_orm::sea_query::SelectStatement) -> sea_orm::sea_query::SubQueryStatement {
    sea_orm::sea_query::SubQueryStatement::SelectStatement(select)
}
