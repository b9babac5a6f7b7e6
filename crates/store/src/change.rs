//! Writing desired state: one transaction, one generation.

use octavia_model::{Demand, Limit, LoadBalancerGraph, LoadBalancerId, ProvisioningStatus, Quota};
use sea_orm::ActiveValue::Set;
use sea_orm::EntityTrait;

use crate::catalogue;
use crate::difference::{difference, everything, stamp, stamp_all};
use crate::entity::codec::{self, Decode};
use crate::entity::load_balancer;
use crate::failover::{Which, amphorae_mark};
use crate::fetch::{graph_load, root_lock};
use crate::options::Call;
use crate::retry::framed;
use crate::write::{children_write, outbox_write, root_row, root_write};
use crate::{ChangeError, Claim, Duplicate, Store, StoreError};

/// What [`Store::lb_change`] needs of the load balancer, and makes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accept {
    /// The provisioning statuses in which the change is possible.
    pub statuses: &'static [ProvisioningStatus],
    /// The provisioning status afterwards; `None` leaves what the closure made of it.
    pub root_status_after: Option<ProvisioningStatus>,
}

impl Store {
    /// Stores a new load balancer with everything below it, in one transaction, as generation 1, whatever its project
    /// may have.
    ///
    /// Its flavor and availability zone must be there, and stay as long as it does.
    ///
    /// `created_at` of every row is set by the store, in the order of the graph; the stored graph comes back.
    pub async fn lb_create(&self, graph: &LoadBalancerGraph) -> Result<LoadBalancerGraph, StoreError> {
        self.lb_create_within(graph, None).await
    }

    /// As [`Store::lb_create`], if the project's quota has room for all of it; given are the limits of projects that
    /// have none of their own (`None` = quotas do not count).
    pub async fn lb_create_within(
        &self,
        graph: &LoadBalancerGraph,
        defaults: Option<&Quota<Limit>>,
    ) -> Result<LoadBalancerGraph, StoreError> {
        let call = Call::of_lb("lb_create", graph.load_balancer.id);
        let stored = framed!(self, call, self.lb_create_once(graph, defaults))?;
        self.signal_work();
        Ok(stored)
    }

    async fn lb_create_once(
        &self,
        graph: &LoadBalancerGraph,
        defaults: Option<&Quota<Limit>>,
    ) -> Result<LoadBalancerGraph, StoreError> {
        let project = &graph.load_balancer.project_id;
        let limited = match defaults {
            Some(defaults) => self.quota_counts(project, defaults).await?.then_some(defaults),
            None => None,
        };
        let tx = self.begin_write().await?;
        if let Some(defaults) = limited {
            self.quota_take(&tx, project, &Demand::of_tree(graph), defaults).await?;
        }
        catalogue::hold(&tx, &graph.load_balancer).await?;
        let now = self.clock(&tx).await?;
        let mut graph = graph.clone();
        graph.load_balancer.generation = 1;
        graph.load_balancer.applied_generation = 0;
        stamp_all(&mut graph, now);
        let lb = &graph.load_balancer;
        let row = load_balancer::ActiveModel {
            request_ids: Set(self.request_ids(None)),
            ..root_row(lb, codec::micros(now))
        };
        load_balancer::Entity::insert(row)
            .exec_without_returning(&tx)
            .await
            .map_err(|error| StoreError::of_insert(error, Duplicate::LoadBalancer))?;
        children_write(&tx, &graph, &everything(&graph)).await?;
        outbox_write(&tx, lb, "create.start", codec::micros(now)).await?;
        self.conclude(tx).await?;
        Ok(graph)
    }

    /// Changes a load balancer or what is below it, in one transaction.
    ///
    /// Takes the root's row, refuses unless its provisioning status is in `accept`, loads the graph (children on
    /// their way out included) and calls `change` with it, which must be pure: it is called again after a
    /// conflict. What differs afterwards is written; new children get `created_at`, changed ones `updated_at`. The
    /// generation moves by one, unless nothing differs and `accept` asks for no status. A load balancer whose
    /// deletion was asked for accepts nothing but another request to delete it.
    ///
    /// The answer holds the graph as stored.
    pub async fn lb_change<R, E>(
        &self,
        id: LoadBalancerId,
        accept: Accept,
        change: impl FnMut(&mut LoadBalancerGraph) -> Result<R, E>,
    ) -> Result<(R, LoadBalancerGraph), ChangeError<E>> {
        self.lb_change_within(id, accept, None, change).await
    }

    /// As [`Store::lb_change`], if the project's quota has room for what is claimed; that is looked at before the load
    /// balancer's status is.
    pub async fn lb_change_within<R, E>(
        &self,
        id: LoadBalancerId,
        accept: Accept,
        claim: Option<Claim<'_>>,
        mut change: impl FnMut(&mut LoadBalancerGraph) -> Result<R, E>,
    ) -> Result<(R, LoadBalancerGraph), ChangeError<E>> {
        let call = Call::of_lb("lb_change", id);
        let (answer, graph, moved) =
            framed!(self, call, self.lb_change_once(id, accept, claim, None, &mut change))?;
        if moved {
            self.signal_work();
        }
        Ok((answer, graph))
    }

    /// `replace` = the amphorae to mark in the same transaction.
    pub(crate) async fn lb_change_once<R, E>(
        &self,
        id: LoadBalancerId,
        accept: Accept,
        claim: Option<Claim<'_>>,
        replace: Option<Which>,
        change: &mut impl FnMut(&mut LoadBalancerGraph) -> Result<R, E>,
    ) -> Result<(R, LoadBalancerGraph, bool), ChangeError<E>> {
        let claim = match claim {
            Some(claim) => self.quota_counts(claim.project, claim.defaults).await?.then_some(claim),
            None => None,
        };
        let tx = self.begin_write().await?;
        let Some(root) = root_lock(&tx, id).await? else {
            tx.rollback().await?;
            return Err(ChangeError::NotFound);
        };
        let mut loaded = None;
        if let Some(claim) = claim {
            let graph = loaded.insert(graph_load(&tx, &root).await?);
            self.quota_take(&tx, claim.project, &(claim.demand)(graph), claim.defaults).await?;
        }
        let status = Decode("load_balancer").parse("provisioning_status", &root.provisioning_status)?;
        let deletes = accept.root_status_after == Some(ProvisioningStatus::PendingDelete);
        let refused = if !accept.statuses.contains(&status) {
            Some(status)
        } else {
            // ERROR on the way out is still on the way out.
            (root.deleting && !deletes).then_some(ProvisioningStatus::PendingDelete)
        };
        if let Some(status) = refused {
            tx.rollback().await?;
            return Err(ChangeError::Refused(status));
        }
        let before = match loaded {
            Some(graph) => graph,
            None => graph_load(&tx, &root).await?,
        };
        let mut after = before.clone();
        let answer = match change(&mut after) {
            Ok(answer) => answer,
            Err(rejection) => {
                tx.rollback().await?;
                return Err(ChangeError::Rejected(rejection));
            }
        };
        let now = self.clock(&tx).await?;
        after.load_balancer.id = before.load_balancer.id;
        after.load_balancer.created_at = before.load_balancer.created_at;
        after.load_balancer.generation = before.load_balancer.generation;
        after.load_balancer.applied_generation = before.load_balancer.applied_generation;
        if !stamp(&before, &mut after, now) && accept.root_status_after.is_none() {
            tx.rollback().await?;
            return Ok((answer, before, false));
        }
        let lb = &mut after.load_balancer;
        if let Some(status) = accept.root_status_after {
            if lb.statuses.provisioning == ProvisioningStatus::Error {
                // It explained that.
                lb.statuses.reason = None;
            }
            lb.statuses.provisioning = status;
        }
        lb.updated_at = Some(now);
        lb.generation += 1;
        let now = codec::micros(now);
        let deleting = root.deleting || lb.statuses.provisioning == ProvisioningStatus::PendingDelete;
        // A wish that joins one on its way is not given longer than that; one out of ERROR, or to delete, is a new one.
        let joins = status.is_pending() && root.deleting == deleting;
        let since = root.pending_since.filter(|_| joins);
        let row = load_balancer::ActiveModel {
            deleting: Set(deleting),
            pending_since: Set(since.or(lb.statuses.provisioning.is_pending().then_some(now))),
            next_attempt_at: Set(Some(now)),
            attempts: Set(0),
            wakes: Set(root.wakes + 1),
            request_ids: Set(self.request_ids(root.request_ids.as_deref())),
            ..load_balancer::desired_columns(lb)
        };
        root_write(&tx, id, row).await?;
        children_write(&tx, &after, &difference(&before, &after)).await?;
        if let Some(which) = replace {
            amphorae_mark(&tx, id, which).await?;
        }
        let event = if deletes { "delete.start" } else { "update.start" };
        outbox_write(&tx, &after.load_balancer, event, now).await?;
        self.conclude(tx).await?;
        Ok((answer, after, true))
    }
}
