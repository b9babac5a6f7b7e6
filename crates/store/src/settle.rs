//! How a generation ends: in force, failed, or gone.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use octavia_model::{
    AmphoraStatus, ListenerId, LoadBalancerGraph, LoadBalancerId, OperatingStatus, ProvisioningStatus,
    Reason, ReasonCode, Statuses,
};
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, DatabaseTransaction, EntityTrait, QueryFilter, QuerySelect};

use crate::difference::{difference, stamp};
use crate::entity::codec::{self, Decode};
use crate::entity::{
    amphora, health_monitor, l7policy, l7rule, listener, listener_statistics, load_balancer, member, pool,
    tag, vip_security_group,
};
use crate::fetch::{graph_load, root_lock};
use crate::group::WriteTransaction;
use crate::lease::fence;
use crate::options::Call;
use crate::retry::framed;
use crate::turn::turn_remove;
use crate::write::{children_write, outbox_write, root_write};
use crate::{Lease, Store, StoreError};

/// What of a generation that is in force did not work.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settlement {
    /// Listeners that could not be opened: they become `ERROR`, everything else `ACTIVE`.
    pub listener_faults: BTreeMap<ListenerId, Reason>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    Done,
    /// A newer generation was asked for meanwhile; nothing was written.
    GenerationMoved,
}

impl Store {
    /// The generation is in force: what is on its way arrives, what is on its way out goes.
    ///
    /// Of rows that do not differ nothing is written, so settling again and again costs reads only.
    pub async fn lb_settle(
        &self,
        lease: &Lease,
        generation: u64,
        settlement: &Settlement,
    ) -> Result<Settled, StoreError> {
        let call = Call::of_lease("lb_settle", lease);
        framed!(self, call, self.lb_settle_once(lease, generation, settlement))
    }

    async fn lb_settle_once(
        &self,
        lease: &Lease,
        generation: u64,
        settlement: &Settlement,
    ) -> Result<Settled, StoreError> {
        let tx = self.begin_write().await?;
        let root = fence(&tx, lease).await?;
        if root.generation != codec::count(generation) || root.deleting {
            tx.rollback().await?;
            return Ok(Settled::GenerationMoved);
        }
        let before = graph_load(&tx, &root).await?;
        let mut after = before.clone();
        settle(&mut after, settlement);
        let row = load_balancer::ActiveModel {
            pending_since: Set(None),
            last_error: Set(None),
            ..Default::default()
        };
        self.outcome_write(tx, &root, &before, after, row, "settled").await?;
        Ok(Settled::Done)
    }

    /// The generation cannot come into force for now: the load balancer becomes `ERROR` for `reason`, and so do
    /// children on their way in. Children on their way out stay so. `pending_since` stays, and the work stays due: a
    /// later [`Store::lb_settle`] makes all of it `ACTIVE`.
    pub async fn lb_fail(
        &self,
        lease: &Lease,
        generation: u64,
        reason: Reason,
    ) -> Result<Settled, StoreError> {
        framed!(self, Call::of_lease("lb_fail", lease), self.lb_fail_once(lease, generation, &reason))
    }

    async fn lb_fail_once(
        &self,
        lease: &Lease,
        generation: u64,
        reason: &Reason,
    ) -> Result<Settled, StoreError> {
        let tx = self.begin_write().await?;
        let root = fence(&tx, lease).await?;
        if root.generation != codec::count(generation) {
            tx.rollback().await?;
            return Ok(Settled::GenerationMoved);
        }
        let before = graph_load(&tx, &root).await?;
        let mut after = before.clone();
        fail(&mut after, reason);
        self.outcome_write(tx, &root, &before, after, Default::default(), "failed").await?;
        Ok(Settled::Done)
    }

    /// Writes what became of a generation, and commits. Without a difference, nothing is written.
    async fn outcome_write(
        &self,
        tx: WriteTransaction,
        root: &load_balancer::Model,
        before: &LoadBalancerGraph,
        mut after: LoadBalancerGraph,
        work: load_balancer::ActiveModel,
        event: &str,
    ) -> Result<(), StoreError> {
        let now = self.clock(&tx).await?;
        let arrives = work.pending_since.is_set() && root.pending_since.is_some();
        if !stamp(before, &mut after, now) && !arrives {
            return Ok(tx.rollback().await?);
        }
        let lb = &after.load_balancer;
        let row = load_balancer::ActiveModel {
            pending_since: work.pending_since,
            last_error: work.last_error,
            ..load_balancer::desired_columns(lb)
        };
        root_write(&tx, lb.id, row).await?;
        children_write(&tx, &after, &difference(before, &after)).await?;
        outbox_write(&tx, lb, event, codec::micros(now)).await?;
        Ok(tx.commit().await?)
    }

    /// Nothing of the load balancer is left in the world: its row becomes `DELETED`, its amphorae's too, what was below
    /// it is removed, the lease ends.
    pub async fn lb_deleted(&self, lease: &Lease) -> Result<(), StoreError> {
        framed!(self, Call::of_lease("lb_deleted", lease), self.lb_deleted_once(lease))
    }

    async fn lb_deleted_once(&self, lease: &Lease) -> Result<(), StoreError> {
        let tx = self.begin_write().await?;
        let root = fence(&tx, lease).await?;
        let now = codec::micros(self.clock(&tx).await?);
        children_delete(&tx, &root.id).await?;
        turn_remove(&tx, lease.lb).await?;
        amphora::Entity::update_many()
            .col_expr(amphora::Column::Status, Expr::value(AmphoraStatus::Deleted.as_str()))
            .col_expr(amphora::Column::UpdatedAt, Expr::value(now))
            .filter(amphora::Column::LoadBalancerId.eq(&root.id))
            .filter(amphora::Column::Status.ne(AmphoraStatus::Deleted.as_str()))
            .exec(&tx)
            .await?;
        let row = load_balancer::ActiveModel {
            provisioning_status: Set(ProvisioningStatus::Deleted.to_string()),
            reason: Set(None),
            updated_at: Set(Some(now)),
            pending_since: Set(None),
            next_attempt_at: Set(None),
            last_error: Set(None),
            lease_owner: Set(None),
            lease_until: Set(None),
            ..Default::default()
        };
        root_write(&tx, lease.lb, row).await?;
        let lb = octavia_model::LoadBalancer::try_from(&root)?;
        outbox_write(&tx, &lb, "delete.end", now).await?;
        Ok(tx.commit().await?)
    }

    /// Load balancers that have been `PENDING_*` since before `since` become `ERROR`, with what the last attempt failed
    /// with as the cause; they are still worked on. Returns which.
    pub async fn pending_expire(&self, since: Timestamp) -> Result<Vec<LoadBalancerId>, StoreError> {
        let call = Call::of("pending_expire");
        let overdue = framed!(self, call, self.pending_overdue(since))?;
        let mut expired = vec![];
        for id in overdue {
            let call = Call::of_lb("pending_expire", id);
            if framed!(self, call, self.pending_expire_once(id, since))? {
                expired.push(id);
            }
        }
        Ok(expired)
    }

    async fn pending_overdue(&self, since: Timestamp) -> Result<Vec<LoadBalancerId>, StoreError> {
        let pending = ProvisioningStatus::ALL.iter().filter(|status| status.is_pending());
        let ids: Vec<String> = load_balancer::Entity::find()
            .select_only()
            .column(load_balancer::Column::Id)
            .filter(load_balancer::Column::PendingSince.lt(codec::micros(since)))
            .filter(load_balancer::Column::ProvisioningStatus.is_in(pending.map(|status| status.as_str())))
            .into_tuple()
            .all(self.reader())
            .await?;
        ids.iter().map(|id| Decode("load_balancer").parse("id", id)).collect()
    }

    async fn pending_expire_once(&self, id: LoadBalancerId, since: Timestamp) -> Result<bool, StoreError> {
        let tx = self.begin_write().await?;
        let overdue = root_lock(&tx, id).await?.filter(|root| {
            root.pending_since.is_some_and(|pending| pending < codec::micros(since))
                && root.provisioning_status != ProvisioningStatus::Error.as_str()
        });
        let Some(root) = overdue else {
            tx.rollback().await?;
            return Ok(false);
        };
        let before = graph_load(&tx, &root).await?;
        let mut after = before.clone();
        fail(&mut after, &pending_too_long(root.last_error.as_deref()));
        self.outcome_write(tx, &root, &before, after, Default::default(), "failed").await?;
        Ok(true)
    }
}

fn pending_too_long(last_error: Option<&str>) -> Reason {
    let cause = last_error.unwrap_or("nothing has worked on it");
    Reason::new(
        ReasonCode::PendingTooLong,
        format!("The load balancer has been pending for too long; last: {cause}."),
        "It is still worked on. If this stays, tell the operator, or delete the load balancer.",
    )
}

/// Removes everything below a root but amphorae.
pub(crate) async fn children_delete(tx: &DatabaseTransaction, lb: &str) -> Result<(), StoreError> {
    l7rule::Entity::delete_many().filter(l7rule::Column::LoadBalancerId.eq(lb)).exec(tx).await?;
    l7policy::Entity::delete_many().filter(l7policy::Column::LoadBalancerId.eq(lb)).exec(tx).await?;
    health_monitor::Entity::delete_many()
        .filter(health_monitor::Column::LoadBalancerId.eq(lb))
        .exec(tx)
        .await?;
    member::Entity::delete_many().filter(member::Column::LoadBalancerId.eq(lb)).exec(tx).await?;
    listener::Entity::delete_many().filter(listener::Column::LoadBalancerId.eq(lb)).exec(tx).await?;
    pool::Entity::delete_many().filter(pool::Column::LoadBalancerId.eq(lb)).exec(tx).await?;
    tag::Entity::delete_many().filter(tag::Column::LoadBalancerId.eq(lb)).exec(tx).await?;
    vip_security_group::Entity::delete_many()
        .filter(vip_security_group::Column::LoadBalancerId.eq(lb))
        .exec(tx)
        .await?;
    listener_statistics::Entity::delete_many()
        .filter(listener_statistics::Column::LoadBalancerId.eq(lb))
        .exec(tx)
        .await?;
    Ok(())
}

/// Everything wanted is in force.
pub(crate) fn settle(graph: &mut LoadBalancerGraph, settlement: &Settlement) {
    leave(graph);
    activate(&mut graph.load_balancer.statuses);
    graph.load_balancer.applied_generation = graph.load_balancer.generation;
    for listener in &mut graph.listeners {
        match settlement.listener_faults.get(&listener.id) {
            Some(reason) => {
                listener.statuses.provisioning = ProvisioningStatus::Error;
                listener.statuses.reason = Some(reason.clone());
            }
            None => activate(&mut listener.statuses),
        }
    }
    graph.pools.iter_mut().for_each(|pool| activate(&mut pool.statuses));
    graph.members.iter_mut().for_each(|member| activate(&mut member.statuses));
    graph.health_monitors.iter_mut().for_each(|monitor| work(&mut monitor.statuses, monitor.admin_state_up));
    graph.l7policies.iter_mut().for_each(|policy| work(&mut policy.statuses, policy.admin_state_up));
    graph.l7rules.iter_mut().for_each(|rule| work(&mut rule.statuses, rule.admin_state_up));
}

/// Children on their way out go, with what refers to them.
fn leave(graph: &mut LoadBalancerGraph) {
    let leaving = |statuses: &Statuses| statuses.provisioning.is_leaving();
    let pools: BTreeSet<_> = graph.pools.iter().filter(|p| leaving(&p.statuses)).map(|p| p.id).collect();
    graph.listeners.retain(|listener| !leaving(&listener.statuses));
    let listeners: BTreeSet<_> = graph.listeners.iter().map(|listener| listener.id).collect();
    graph.l7policies.retain(|policy| {
        !leaving(&policy.statuses)
            && listeners.contains(&policy.listener_id)
            && policy.redirect_pool_id.is_none_or(|id| !pools.contains(&id))
    });
    let policies: BTreeSet<_> = graph.l7policies.iter().map(|policy| policy.id).collect();
    graph.l7rules.retain(|rule| !leaving(&rule.statuses) && policies.contains(&rule.l7policy_id));
    listeners.into_iter().for_each(|listener| graph.l7policies_close(listener));
    for listener in &mut graph.listeners {
        listener.default_pool_id = listener.default_pool_id.filter(|id| !pools.contains(id));
    }
    graph.members.retain(|member| !leaving(&member.statuses) && !pools.contains(&member.pool_id));
    let monitors: BTreeSet<_> =
        graph.health_monitors.iter().filter(|m| leaving(&m.statuses)).map(|m| m.pool_id).collect();
    graph.health_monitors.retain(|monitor| !leaving(&monitor.statuses) && !pools.contains(&monitor.pool_id));
    // Nobody looks at these members any more.
    for member in graph.members.iter_mut().filter(|member| monitors.contains(&member.pool_id)) {
        member.statuses.operating = OperatingStatus::NoMonitor;
        member.statuses.reason = None;
    }
    graph.pools.retain(|pool| !pools.contains(&pool.id));
}

/// As [`activate`], of what no data plane reports: it works when it is in force.
fn work(statuses: &mut Statuses, admin_state_up: bool) {
    activate(statuses);
    statuses.operating = if admin_state_up { OperatingStatus::Online } else { OperatingStatus::Offline };
}

fn activate(statuses: &mut Statuses) {
    let before = std::mem::replace(&mut statuses.provisioning, ProvisioningStatus::Active);
    // Of an `ERROR` it explained that. Of bad news it goes on to explain that, which only the next heartbeat takes back.
    let bad = matches!(statuses.operating, OperatingStatus::Degraded | OperatingStatus::Error);
    if before == ProvisioningStatus::Error || (before.is_pending() && !bad) {
        statuses.reason = None;
    }
}

/// What is on its way in does not arrive for now.
fn fail(graph: &mut LoadBalancerGraph, reason: &Reason) {
    let failed = |statuses: &mut Statuses| {
        statuses.provisioning = ProvisioningStatus::Error;
        statuses.reason = Some(reason.clone());
    };
    failed(&mut graph.load_balancer.statuses);
    let listeners = graph.listeners.iter_mut().map(|listener| &mut listener.statuses);
    let pools = graph.pools.iter_mut().map(|pool| &mut pool.statuses);
    let members = graph.members.iter_mut().map(|member| &mut member.statuses);
    let monitors = graph.health_monitors.iter_mut().map(|monitor| &mut monitor.statuses);
    let policies = graph.l7policies.iter_mut().map(|policy| &mut policy.statuses);
    let rules = graph.l7rules.iter_mut().map(|rule| &mut rule.statuses);
    listeners
        .chain(pools)
        .chain(members)
        .chain(monitors)
        .chain(policies)
        .chain(rules)
        .filter(|statuses| statuses.provisioning.is_pending() && !statuses.provisioning.is_leaving())
        .for_each(failed);
}
