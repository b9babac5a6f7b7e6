//! Quotas of projects: limits, and that no create goes beyond them.
//!
//! What a project has is counted when a create needs to know, under the lock of the project's row; no counter is kept.
//! A counter would have to be right through every way a row comes and goes: settling, cascades, a process that is killed,
//! and every such write would have to wait for the project's row. A count is right whatever happened, what is
//! released needs no code at all, and projects without limits (the default) pay for one read by key and wait for nobody.
//! The price is a count by index for creates under a limit, which it bounds.
//!
//! Order of locks: the load balancer's row, then the project's. Whoever creates a load balancer takes the project's row
//! first, but waits for nothing after it: its other rows are its own.

use octavia_model::{
    Demand, Limit, LoadBalancerGraph, OwnLimits, ProjectId, ProvisioningStatus, Quota, QuotaKind,
};
use sea_orm::sea_query::{Expr, OnConflict, Query, SelectStatement, SubQueryStatement};
use sea_orm::{ConnectionTrait, DatabaseTransaction, EntityTrait, ExprTrait, IntoActiveModel, QuerySelect};

use crate::entity::quota::{ActiveModel, Column, Entity, Model};
use crate::list::{page_of, select, storable};
use crate::options::Call;
use crate::retry::framed;
use crate::{ListError, ListQuery, Page, Resource, Store, StoreError};

/// What a change needs of its project's quota.
#[derive(Clone, Copy)]
pub struct Claim<'a> {
    /// The load balancer's.
    pub project: &'a ProjectId,
    /// Limits of projects that have none of their own.
    pub defaults: &'a Quota<Limit>,
    /// How much the change adds to the graph as it is; pure, as it is called again after a conflict.
    pub demand: &'a (dyn Fn(&LoadBalancerGraph) -> Demand + Send + Sync),
}

impl std::fmt::Debug for Claim<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Claim").field("project", self.project).finish_non_exhaustive()
    }
}

/// The record of a project: one that ever created something, or was given limits, has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuotaRecord {
    pub project_id: ProjectId,
    pub limits: OwnLimits,
}

impl TryFrom<Model> for QuotaRecord {
    type Error = StoreError;

    fn try_from(row: Model) -> Result<Self, StoreError> {
        Ok(Self { limits: OwnLimits::try_from(&row)?, project_id: ProjectId::new(row.project_id) })
    }
}

impl Store {
    /// The limits set for the project; `None` when it has no record.
    pub async fn quota_fetch(&self, project: &ProjectId) -> Result<Option<OwnLimits>, StoreError> {
        framed!(self, Call::of("quota_fetch"), self.quota_fetch_once(project))
    }

    async fn quota_fetch_once(&self, project: &ProjectId) -> Result<Option<OwnLimits>, StoreError> {
        if !storable(project.as_str()) {
            return Ok(None);
        }
        let row = Entity::find_by_id(project.as_str()).one(self.reader()).await?;
        row.as_ref().map(OwnLimits::try_from).transpose()
    }

    /// The records of projects.
    pub async fn quota_list(&self, query: &ListQuery) -> Result<Page<QuotaRecord>, ListError> {
        framed!(self, Call::of("quota_list"), self.quota_list_once(query))
    }

    async fn quota_list_once(&self, query: &ListQuery) -> Result<Page<QuotaRecord>, ListError> {
        let rows = select(self.reader(), Resource::Quota, Entity::find(), query).await?;
        page_of(rows, QuotaRecord::try_from)
    }

    /// Changes the project's limits, whatever it has already; the answer holds them as stored. `project` has at most 36
    /// characters, none of them NUL.
    pub async fn quota_set(
        &self,
        project: &ProjectId,
        change: impl Fn(&mut OwnLimits),
    ) -> Result<OwnLimits, StoreError> {
        framed!(self, Call::of("quota_set"), self.quota_set_once(project, &change))
    }

    async fn quota_set_once(
        &self,
        project: &ProjectId,
        change: &impl Fn(&mut OwnLimits),
    ) -> Result<OwnLimits, StoreError> {
        if !self.behalf.rehearses {
            record_ensure(self.writer(), project).await?;
        }
        let tx = self.begin_write().await?;
        if self.behalf.rehearses {
            record_ensure(&tx, project).await?;
        }
        let mut limits = record_lock(&tx, project).await?;
        change(&mut limits);
        limits_write(&tx, project, &limits).await?;
        self.conclude(tx).await?;
        Ok(limits)
    }

    /// Takes the project's own limits away; false when it has no record.
    pub async fn quota_reset(&self, project: &ProjectId) -> Result<bool, StoreError> {
        framed!(self, Call::of("quota_reset"), self.quota_reset_once(project))
    }

    async fn quota_reset_once(&self, project: &ProjectId) -> Result<bool, StoreError> {
        if !storable(project.as_str()) {
            return Ok(false);
        }
        let tx = self.begin_write().await?;
        let written = limits_write(&tx, project, &OwnLimits::default()).await?;
        self.conclude(tx).await?;
        Ok(written > 0)
    }

    /// Whether the project has room for so much now. A hint, for before something costly: the create decides.
    pub async fn quota_check(
        &self,
        project: &ProjectId,
        demand: &Demand,
        defaults: &Quota<Limit>,
    ) -> Result<(), StoreError> {
        framed!(self, Call::of("quota_check"), self.quota_check_once(project, demand, defaults))
    }

    async fn quota_check_once(
        &self,
        project: &ProjectId,
        demand: &Demand,
        defaults: &Quota<Limit>,
    ) -> Result<(), StoreError> {
        let own = self.quota_fetch_once(project).await?.unwrap_or_default();
        fits(self.reader(), project, demand, &own.or(defaults)).await
    }

    /// Makes sure that the project has a record, and answers whether any limit counts for it. One that is set from now
    /// on holds for creates that begin later.
    pub(crate) async fn quota_counts(
        &self,
        project: &ProjectId,
        defaults: &Quota<Limit>,
    ) -> Result<bool, StoreError> {
        let own = match self.quota_fetch_once(project).await? {
            Some(own) => own,
            None => {
                if !self.behalf.rehearses {
                    record_ensure(self.writer(), project).await?;
                }
                OwnLimits::default()
            }
        };
        let limits = own.or(defaults);
        Ok(QuotaKind::ALL.iter().any(|kind| !limits.get(*kind).is_unlimited()))
    }

    /// Refuses if the project would have too much of something. From here to the end of the transaction nobody else
    /// creates anything for a project with limits.
    pub(crate) async fn quota_take(
        &self,
        tx: &DatabaseTransaction,
        project: &ProjectId,
        demand: &Demand,
        defaults: &Quota<Limit>,
    ) -> Result<(), StoreError> {
        let own = if self.behalf.rehearses {
            // There may be no record to hold, and nobody has to be kept out.
            let row = Entity::find_by_id(project.as_str()).one(tx).await?;
            row.as_ref().map(OwnLimits::try_from).transpose()?.unwrap_or_default()
        } else {
            record_lock(tx, project).await?
        };
        fits(tx, project, demand, &own.or(defaults)).await
    }
}

/// A statement of its own, but in a rehearsal: were the record part of a transaction that is taken back, those that wait
/// to insert the same one would meet in a deadlock on MariaDB.
async fn record_ensure(db: &impl ConnectionTrait, project: &ProjectId) -> Result<(), StoreError> {
    let row = Model { project_id: project.to_string(), ..Model::default() };
    Entity::insert(row.into_active_model())
        .on_conflict(OnConflict::column(Column::ProjectId).update_column(Column::ProjectId).to_owned())
        .exec_without_returning(db)
        .await?;
    Ok(())
}

/// Takes the project's row, found by key alone.
async fn record_lock(tx: &DatabaseTransaction, project: &ProjectId) -> Result<OwnLimits, StoreError> {
    let row = Entity::find_by_id(project.as_str()).lock_exclusive().one(tx).await?;
    // It was there a moment ago, and only emptying the database removes it.
    let row = row.ok_or_else(|| StoreError::Conflict("the project's quota is gone".to_owned()))?;
    OwnLimits::try_from(&row)
}

async fn fits(
    db: &impl ConnectionTrait,
    project: &ProjectId,
    demand: &Demand,
    limits: &Quota<Limit>,
) -> Result<(), StoreError> {
    let in_use = in_use(db, project, demand.limited(limits)).await?;
    demand.exceeds(limits, &in_use).map_or(Ok(()), |kind| Err(StoreError::QuotaMet(kind)))
}

/// What the project has of these kinds, in one statement; 0 for others. A row counts until it is gone: what is on its
/// way out still counts.
async fn in_use(
    db: &impl ConnectionTrait,
    project: &ProjectId,
    kinds: impl Iterator<Item = QuotaKind>,
) -> Result<Quota<i64>, StoreError> {
    let kinds: Vec<_> = kinds.collect();
    let mut in_use = Quota::default();
    if kinds.is_empty() {
        return Ok(in_use);
    }
    let mut select = Query::select();
    for kind in &kinds {
        let count = SubQueryStatement::SelectStatement(rows_of(*kind, project));
        select.expr_as(Expr::from(count), kind.as_str());
    }
    if let Some(row) = db.query_one(&select).await? {
        let counts: Vec<(QuotaKind, i64)> = kinds
            .iter()
            .map(|kind| Ok((*kind, row.try_get("", kind.as_str())?)))
            .collect::<Result<_, StoreError>>()?;
        in_use =
            Quota::from_fn(|kind| counts.iter().find(|(other, _)| *other == kind).map_or(0, |(_, n)| *n));
    }
    Ok(in_use)
}

/// Kinds are called as their tables are.
fn rows_of(kind: QuotaKind, project: &ProjectId) -> SelectStatement {
    let mut rows = Query::select()
        .expr(Expr::cust("COUNT(*)"))
        .from(kind.as_str())
        .and_where(Expr::col("project_id").eq(project.as_str()))
        .take();
    if kind == QuotaKind::LoadBalancer {
        // Kept for a while after they are gone.
        rows.and_where(Expr::col("provisioning_status").ne(ProvisioningStatus::Deleted.as_str()));
    }
    rows
}

async fn limits_write(
    db: &impl ConnectionTrait,
    project: &ProjectId,
    limits: &OwnLimits,
) -> Result<u64, StoreError> {
    use sea_orm::ActiveValue::{NotSet, Set};
    use sea_orm::{ColumnTrait, QueryFilter};

    let number = |limit: Option<Limit>| Set(limit.map(|limit| i64::from(limit.number())));
    let row = ActiveModel {
        project_id: NotSet,
        load_balancer: number(limits.load_balancer),
        listener: number(limits.listener),
        pool: number(limits.pool),
        member: number(limits.member),
        health_monitor: number(limits.health_monitor),
        l7policy: number(limits.l7policy),
        l7rule: number(limits.l7rule),
    };
    let written =
        Entity::update_many().set(row).filter(Column::ProjectId.eq(project.as_str())).exec(db).await?;
    Ok(written.rows_affected)
}
