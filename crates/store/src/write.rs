//! Writes a difference: few statements, in an order that no foreign key minds.

use octavia_model::{LoadBalancer, LoadBalancerGraph, LoadBalancerId, ProvisioningStatus};
use sea_orm::ActiveValue::{NotSet, Set};
use sea_orm::sea_query::Expr;
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, IntoActiveModel,
    QueryFilter,
};

use crate::difference::{Changes, Child, Difference, Restated};
use crate::entity::{
    codec, health_monitor, l7policy, l7rule, listener, listener_statistics, load_balancer, member, outbox,
    pool, tag, vip_security_group,
};
use crate::{Duplicate, StoreError};

/// Rows or ids in one statement, so that no database's limit on parameters (SQLite: 32,766) is met.
pub(crate) const CHUNK: usize = 400;

/// Applies the difference to everything but the root's row.
pub(crate) async fn children_write(
    tx: &DatabaseTransaction,
    graph: &LoadBalancerGraph,
    difference: &Difference<'_>,
) -> Result<(), StoreError> {
    tables_write(tx, difference).await?;
    indexes_write(tx, &graph.load_balancer, difference).await
}

/// Applies the difference to the children's tables, of one load balancer or of many.
pub(crate) async fn tables_write(
    tx: &DatabaseTransaction,
    difference: &Difference<'_>,
) -> Result<(), StoreError> {
    let Difference { listeners, pools, members, health_monitors, l7policies, l7rules, .. } = difference;
    delete::<l7rule::Entity, _>(tx, l7rule::Column::Id, &l7rules.deleted).await?;
    delete::<l7policy::Entity, _>(tx, l7policy::Column::Id, &l7policies.deleted).await?;
    delete::<health_monitor::Entity, _>(tx, health_monitor::Column::Id, &health_monitors.deleted).await?;
    delete::<member::Entity, _>(tx, member::Column::Id, &members.deleted).await?;
    delete::<listener::Entity, _>(tx, listener::Column::Id, &listeners.deleted).await?;
    delete::<listener_statistics::Entity, _>(tx, listener_statistics::Column::ListenerId, &listeners.deleted)
        .await?;
    kind_write::<pool::Entity, _, pool::Model>(tx, pools, Duplicate::Pool).await?;
    kind_write::<listener::Entity, _, listener::Model>(tx, listeners, Duplicate::ListenerPort).await?;
    kind_write::<l7policy::Entity, _, l7policy::Model>(tx, l7policies, Duplicate::L7Policy).await?;
    // Now no listener or policy refers to them.
    delete::<pool::Entity, _>(tx, pool::Column::Id, &pools.deleted).await?;
    kind_write::<member::Entity, _, member::Model>(tx, members, Duplicate::MemberAddress).await?;
    kind_write::<health_monitor::Entity, _, health_monitor::Model>(
        tx,
        health_monitors,
        Duplicate::HealthMonitor,
    )
    .await?;
    kind_write::<l7rule::Entity, _, l7rule::Model>(tx, l7rules, Duplicate::L7Rule).await
}

async fn delete<E, I>(tx: &DatabaseTransaction, key: E::Column, ids: &[I]) -> Result<(), StoreError>
where
    E: EntityTrait,
    I: std::fmt::Display,
{
    for ids in ids.chunks(CHUNK) {
        E::delete_many().filter(key.is_in(ids.iter().map(I::to_string))).exec(tx).await?;
    }
    Ok(())
}

/// The table of one kind of child.
trait ChildTable: EntityTrait {
    const ID: Self::Column;
    const PROVISIONING_STATUS: Self::Column;
    const OPERATING_STATUS: Self::Column;
    const REASON: Self::Column;
    const UPDATED_AT: Self::Column;
}

macro_rules! child_tables {
    ($($table:ident)+) => {
        $(impl ChildTable for $table::Entity {
            const ID: $table::Column = $table::Column::Id;
            const PROVISIONING_STATUS: $table::Column = $table::Column::ProvisioningStatus;
            const OPERATING_STATUS: $table::Column = $table::Column::OperatingStatus;
            const REASON: $table::Column = $table::Column::Reason;
            const UPDATED_AT: $table::Column = $table::Column::UpdatedAt;
        })+
    };
}

child_tables! { listener pool member health_monitor l7policy l7rule }

/// Updates and inserts of one kind of child.
async fn kind_write<E, T, M>(
    tx: &DatabaseTransaction,
    changes: &Changes<'_, T>,
    key: Duplicate,
) -> Result<(), StoreError>
where
    E: ChildTable<Model = M>,
    E::ActiveModel: ActiveModelTrait<Entity = E> + Send,
    T: Child,
    M: for<'a> From<&'a T> + IntoActiveModel<E::ActiveModel>,
{
    for Restated { statuses, updated_at: at, ids } in &changes.restated {
        for ids in ids.chunks(CHUNK) {
            E::update_many()
                .col_expr(E::PROVISIONING_STATUS, Expr::value(statuses.provisioning.as_str()))
                .col_expr(E::OPERATING_STATUS, Expr::value(statuses.operating.as_str()))
                .col_expr(E::REASON, Expr::value(codec::reason(statuses.reason.as_ref())))
                .col_expr(E::UPDATED_AT, Expr::value(at.map(codec::micros)))
                .filter(E::ID.is_in(ids.iter().map(T::Id::to_string)))
                .exec(tx)
                .await?;
        }
    }
    for child in &changes.updated {
        let mut row = M::from(child).into_active_model().reset_all();
        row.not_set(E::ID);
        E::update_many()
            .set(row)
            .filter(E::ID.eq(child.id().to_string()))
            .exec(tx)
            .await
            .map_err(|error| StoreError::of_insert(error, key))?;
    }
    for children in changes.inserted.chunks(CHUNK) {
        let rows = children.iter().map(|child| M::from(child).into_active_model().reset_all());
        E::insert_many(rows)
            .exec_without_returning(tx)
            .await
            .map_err(|error| StoreError::of_insert(error, key))?;
    }
    Ok(())
}

/// Brings the indexes of tags and security groups in line.
async fn indexes_write(
    tx: &DatabaseTransaction,
    lb: &LoadBalancer,
    difference: &Difference<'_>,
) -> Result<(), StoreError> {
    let mut tags = TagWrites::default();
    tags.collect_all(lb, difference);
    tags.write(tx).await?;
    if difference.root_regrouped {
        delete::<vip_security_group::Entity, _>(tx, vip_security_group::Column::LoadBalancerId, &[lb.id])
            .await?;
        groups_insert(tx, lb).await?;
    }
    Ok(())
}

/// The load balancer's entries in the index of security groups.
pub(crate) async fn groups_insert(tx: &DatabaseTransaction, lb: &LoadBalancer) -> Result<(), StoreError> {
    let load_balancer_id = codec::id(lb.id);
    let groups: std::collections::BTreeSet<_> = lb.vip.sg_ids.iter().map(ToString::to_string).collect();
    let rows = groups.into_iter().map(|sg_id| vip_security_group::ActiveModel {
        load_balancer_id: Set(load_balancer_id.clone()),
        sg_id: Set(sg_id),
    });
    let rows: Vec<_> = rows.collect();
    if !rows.is_empty() {
        vip_security_group::Entity::insert_many(rows).exec_without_returning(tx).await?;
    }
    Ok(())
}

/// Resources whose index entries go, and entries that come: resource, tag, load balancer.
#[derive(Default)]
pub(crate) struct TagWrites {
    stale: Vec<String>,
    fresh: std::collections::BTreeSet<(String, String, String)>,
}

impl TagWrites {
    pub(crate) fn collect_all(&mut self, lb: &LoadBalancer, difference: &Difference<'_>) {
        if difference.root_retagged {
            self.replace(lb, lb.id, &lb.tags);
        }
        self.collect(lb, &difference.listeners);
        self.collect(lb, &difference.pools);
        self.collect(lb, &difference.members);
        self.collect(lb, &difference.health_monitors);
        self.collect(lb, &difference.l7policies);
        self.collect(lb, &difference.l7rules);
    }

    fn replace(&mut self, lb: &LoadBalancer, id: impl std::fmt::Display, tags: &[String]) {
        let (id, lb) = (id.to_string(), codec::id(lb.id));
        self.fresh.extend(tags.iter().map(|tag| (id.clone(), tag.clone(), lb.clone())));
        self.stale.push(id);
    }

    fn collect<T: Child>(&mut self, lb: &LoadBalancer, changes: &Changes<'_, T>) {
        for child in &changes.retagged {
            self.replace(lb, child.id(), child.tags());
        }
        self.stale.extend(changes.untagged.iter().map(T::Id::to_string));
    }

    pub(crate) async fn write(self, tx: &DatabaseTransaction) -> Result<(), StoreError> {
        delete::<tag::Entity, _>(tx, tag::Column::ResourceId, &self.stale).await?;
        let rows = self.fresh.into_iter().map(|(resource_id, tag, load_balancer_id)| tag::ActiveModel {
            resource_id: Set(resource_id),
            tag: Set(tag),
            load_balancer_id: Set(load_balancer_id),
        });
        let rows: Vec<_> = rows.collect();
        for rows in rows.chunks(CHUNK) {
            tag::Entity::insert_many(rows.to_vec()).exec_without_returning(tx).await?;
        }
        Ok(())
    }
}

/// Notes an event for others to be told.
pub(crate) async fn outbox_write(
    db: &impl ConnectionTrait,
    lb: &LoadBalancer,
    event: &str,
    created_at: i64,
) -> Result<(), StoreError> {
    let row = outbox::ActiveModel {
        id: NotSet,
        load_balancer_id: Set(codec::id(lb.id)),
        project_id: Set(lb.project_id.to_string()),
        event: Set(event.to_owned()),
        generation: Set(codec::count(lb.generation)),
        created_at: Set(created_at),
    };
    outbox::Entity::insert(row).exec_without_returning(db).await?;
    Ok(())
}

/// The row of a new load balancer, due at once.
pub(crate) fn root_row(lb: &LoadBalancer, now: i64) -> load_balancer::ActiveModel {
    load_balancer::ActiveModel {
        id: Set(codec::id(lb.id)),
        deleting: Set(lb.statuses.provisioning == ProvisioningStatus::PendingDelete),
        pending_since: Set(lb.statuses.provisioning.is_pending().then_some(now)),
        next_attempt_at: Set(Some(now)),
        attempts: Set(0),
        last_error: Set(None),
        lease_owner: Set(None),
        lease_until: Set(None),
        lease_epoch: Set(0),
        wakes: Set(0),
        ..load_balancer::desired_columns(lb)
    }
}

/// Writes columns of the root's row.
pub(crate) async fn root_write(
    tx: &DatabaseTransaction,
    id: LoadBalancerId,
    row: load_balancer::ActiveModel,
) -> Result<(), StoreError> {
    load_balancer::Entity::update_many()
        .set(row)
        .filter(load_balancer::Column::Id.eq(codec::id(id)))
        .exec(tx)
        .await?;
    Ok(())
}
