//! The API's way to the store: what a path names, changes under the pending-writes rule, and the store's errors in
//! the API's words.

use octavia_model::{
    Demand, HealthMonitorId, L7PolicyId, Limit, ListenerId, LoadBalancer, LoadBalancerGraph, LoadBalancerId,
    PoolId, ProjectId, ProvisioningStatus, Quota, QuotaKind,
};
use octavia_store::{
    Accept, ChangeError, Claim, Direction, Duplicate, ListError, ListQuery, Missing, SortKey, StoreError,
    TagFilter, Which,
};

use crate::call::Call;
use crate::fault::Fault;
use crate::query::ListArguments;
use crate::rehearsal::Wish;
use crate::rules;

impl Call {
    pub(crate) async fn load_balancer(&self, id: LoadBalancerId) -> Result<LoadBalancerGraph, Fault> {
        let graph = self.state.store.lb_fetch(id).await?;
        graph.ok_or_else(|| Fault::not_found("Load Balancer", id))
    }

    pub(crate) async fn load_balancer_of_path(&self) -> Result<LoadBalancerGraph, Fault> {
        self.load_balancer(self.id(0, "Load Balancer")?).await
    }

    /// The tree a listener belongs to.
    pub(crate) async fn listener_home(&self, id: ListenerId) -> Result<LoadBalancerGraph, Fault> {
        let home = self.state.store.listener_parent(id).await?;
        let graph = self.home(home).await?.filter(|graph| graph.listener(id).is_some());
        graph.ok_or_else(|| Fault::not_found("Listener", id))
    }

    pub(crate) async fn listener_of_path(&self) -> Result<(LoadBalancerGraph, ListenerId), Fault> {
        let id = self.id(0, "Listener")?;
        Ok((self.listener_home(id).await?, id))
    }

    /// The tree a pool belongs to.
    pub(crate) async fn pool_home(&self, id: PoolId) -> Result<LoadBalancerGraph, Fault> {
        let home = self.state.store.pool_parent(id).await?;
        let graph = self.home(home).await?.filter(|graph| graph.pool(id).is_some());
        graph.ok_or_else(|| Fault::not_found("Pool", id))
    }

    pub(crate) async fn pool_of_path(&self) -> Result<(LoadBalancerGraph, PoolId), Fault> {
        let id = self.id(0, "Pool")?;
        Ok((self.pool_home(id).await?, id))
    }

    /// The pool above what the path names; its absence is told in another shape than that of the named itself.
    pub(crate) async fn parent_pool(&self) -> Result<(LoadBalancerGraph, PoolId), Fault> {
        self.pool_of_path().await.map_err(parent_not_found)
    }

    pub(crate) async fn health_monitor_of_path(&self) -> Result<(LoadBalancerGraph, HealthMonitorId), Fault> {
        let id = self.id(0, "Health Monitor")?;
        Ok((self.health_monitor_home(id).await?, id))
    }

    /// The tree a health monitor belongs to.
    pub(crate) async fn health_monitor_home(&self, id: HealthMonitorId) -> Result<LoadBalancerGraph, Fault> {
        let home = self.state.store.health_monitor_parent(id).await?;
        let graph = self.home(home).await?;
        let graph = graph.filter(|graph| rules::health_monitor::find(graph, id).is_ok());
        graph.ok_or_else(|| Fault::not_found("Health Monitor", id))
    }

    pub(crate) async fn l7policy_of_path(&self) -> Result<(LoadBalancerGraph, L7PolicyId), Fault> {
        self.l7policy_called("L7 Policy").await
    }

    /// The L7 policy above what the path names; its absence is told in another shape, and other words, than that of
    /// the named itself.
    pub(crate) async fn parent_l7policy(&self) -> Result<(LoadBalancerGraph, L7PolicyId), Fault> {
        self.l7policy_called("L7Policy").await.map_err(parent_not_found)
    }

    async fn l7policy_called(
        &self,
        resource: &'static str,
    ) -> Result<(LoadBalancerGraph, L7PolicyId), Fault> {
        let id = self.id(0, resource)?;
        Ok((self.l7policy_home(id, resource).await?, id))
    }

    /// The tree an L7 policy belongs to; `resource` is what it is called where it is missing.
    pub(crate) async fn l7policy_home(
        &self,
        id: L7PolicyId,
        resource: &'static str,
    ) -> Result<LoadBalancerGraph, Fault> {
        let home = self.state.store.l7policy_parent(id).await?;
        let graph = self.home(home).await?.filter(|graph| graph.l7policy(id).is_some());
        graph.ok_or_else(|| Fault::not_found(resource, id))
    }

    async fn home(&self, home: Option<LoadBalancerId>) -> Result<Option<LoadBalancerGraph>, Fault> {
        match home {
            Some(id) => Ok(self.state.store.lb_fetch(id).await?),
            None => Ok(None),
        }
    }

    /// The limits of projects for which none is set; `None` = quotas do not count for this caller.
    pub(crate) fn quota(&self) -> Option<&Quota<Limit>> {
        // Only `noauth` forces an administrator.
        (!self.caller.is_admin).then_some(&self.state.options.default_quota)
    }

    /// Whether the project has room now, before something costly is begun.
    pub(crate) async fn check_quota(&self, project: &ProjectId, demand: &Demand) -> Result<(), Fault> {
        match self.quota() {
            Some(defaults) => Ok(self.state.store.quota_check(project, demand, defaults).await?),
            None => Ok(()),
        }
    }

    /// Changes something below a load balancer, which is on its way with it.
    pub(crate) async fn change_below(
        &self,
        id: LoadBalancerId,
        change: impl FnMut(&mut LoadBalancerGraph) -> Result<(), Fault> + Send,
    ) -> Result<LoadBalancerGraph, Fault> {
        self.change(id, None, |_| lb_immutable(id), with_root(change)).await
    }

    /// As [`Call::change_below`], for one more of a kind.
    pub(crate) async fn create_below(
        &self,
        root: &LoadBalancer,
        kind: QuotaKind,
        change: impl FnMut(&mut LoadBalancerGraph) -> Result<(), Fault> + Send,
    ) -> Result<LoadBalancerGraph, Fault> {
        let demand = move |_: &LoadBalancerGraph| Demand::one(kind);
        let claim = self.claim(root, &demand);
        self.change(root.id, claim, |_| lb_immutable(root.id), with_root(change)).await
    }

    /// As [`Call::change_below`], for more below a pool of `graph`. What the pool's status says comes before what the
    /// load balancer's does, and the quota before both.
    pub(crate) async fn create_below_pool(
        &self,
        graph: &LoadBalancerGraph,
        pool: PoolId,
        demand: &(dyn Fn(&LoadBalancerGraph) -> Demand + Send + Sync),
        change: impl FnMut(&mut LoadBalancerGraph) -> Result<(), Fault> + Send,
    ) -> Result<LoadBalancerGraph, Fault> {
        let root = &graph.load_balancer;
        let refused = |_| {
            let options = &self.state.options;
            rules::pool_precheck(graph, pool, options).err().unwrap_or_else(|| lb_immutable(root.id))
        };
        self.change(root.id, self.claim(root, demand), refused, with_root(change)).await
    }

    /// As [`Call::create_below_pool`], for one more rule of an L7 policy.
    pub(crate) async fn create_below_l7policy(
        &self,
        graph: &LoadBalancerGraph,
        policy: L7PolicyId,
        change: impl FnMut(&mut LoadBalancerGraph) -> Result<(), Fault> + Send,
    ) -> Result<LoadBalancerGraph, Fault> {
        let root = &graph.load_balancer;
        let demand = |_: &LoadBalancerGraph| Demand::one(QuotaKind::L7Rule);
        let refused = |_| {
            let options = &self.state.options;
            rules::l7rule::policy_precheck(graph, policy, options)
                .err()
                .unwrap_or_else(|| lb_immutable(root.id))
        };
        self.change(root.id, self.claim(root, &demand), refused, with_root(change)).await
    }

    fn claim<'a>(
        &'a self,
        root: &'a LoadBalancer,
        demand: &'a (dyn Fn(&LoadBalancerGraph) -> Demand + Send + Sync),
    ) -> Option<Claim<'a>> {
        Some(Claim { project: &root.project_id, defaults: self.quota()?, demand })
    }

    /// Changes the load balancer itself.
    pub(crate) async fn change_root(
        &self,
        id: LoadBalancerId,
        mut change: impl FnMut(&mut LoadBalancerGraph) + Send,
    ) -> Result<LoadBalancerGraph, Fault> {
        let change = move |graph: &mut LoadBalancerGraph| {
            change(graph);
            Ok(())
        };
        self.change(id, None, |state| Fault::InvalidState { state, id }, change).await
    }

    /// Sends the load balancer on its way out.
    pub(crate) async fn delete_root(
        &self,
        id: LoadBalancerId,
        change: impl FnMut(&mut LoadBalancerGraph) -> Result<(), Fault> + Send,
    ) -> Result<LoadBalancerGraph, Fault> {
        let statuses = rules::delete_statuses(self.state.options.pending_writes);
        self.change_in(statuses, id, None, |state| Fault::InvalidState { state, id }, change).await
    }

    /// Asks that amphorae of the load balancer be replaced.
    pub(crate) async fn failover(
        &self,
        id: LoadBalancerId,
        statuses: &'static [ProvisioningStatus],
        which: Which,
        refused: impl Fn(ProvisioningStatus) -> Fault,
    ) -> Result<(), Fault> {
        match self.state.store.lb_failover(id, statuses, which).await {
            Ok(graph) => {
                self.rehearsal.note(Some(&graph), &graph, Wish::Replace(which));
                Ok(())
            }
            Err(ChangeError::NotFound) => Err(Fault::not_found("Load Balancer", id)),
            Err(ChangeError::Refused(status)) => Err(refused(status)),
            Err(ChangeError::Store(error)) => Err(error.into()),
        }
    }

    async fn change(
        &self,
        id: LoadBalancerId,
        claim: Option<Claim<'_>>,
        refused: impl Fn(ProvisioningStatus) -> Fault,
        change: impl FnMut(&mut LoadBalancerGraph) -> Result<(), Fault> + Send,
    ) -> Result<LoadBalancerGraph, Fault> {
        let statuses = rules::change_statuses(self.state.options.pending_writes);
        self.change_in(statuses, id, claim, refused, change).await
    }

    async fn change_in(
        &self,
        statuses: &'static [ProvisioningStatus],
        id: LoadBalancerId,
        claim: Option<Claim<'_>>,
        refused: impl Fn(ProvisioningStatus) -> Fault,
        mut change: impl FnMut(&mut LoadBalancerGraph) -> Result<(), Fault> + Send,
    ) -> Result<LoadBalancerGraph, Fault> {
        // The rules set the root's status themselves: one that is still being created stays so.
        let accept = Accept { statuses, root_status_after: None };
        let mut before = None;
        let watched = |graph: &mut LoadBalancerGraph| {
            before = self.trail.is_on().then(|| graph.clone());
            change(graph)
        };
        match self.state.store.lb_change_within(id, accept, claim, watched).await {
            Ok(((), graph)) => {
                self.written(before.as_ref(), &graph);
                Ok(graph)
            }
            Err(ChangeError::NotFound) => Err(Fault::not_found("Load Balancer", id)),
            Err(ChangeError::Refused(status)) => Err(refused(status)),
            Err(ChangeError::Rejected(fault)) => Err(fault),
            Err(ChangeError::Store(error)) => Err(error.into()),
        }
    }

    /// Notes a write of the load balancer for the request's record and its lines in the log.
    pub(crate) fn written(&self, before: Option<&LoadBalancerGraph>, after: &LoadBalancerGraph) {
        let span = tracing::Span::current();
        span.record("lb", tracing::field::display(after.load_balancer.id));
        span.record("generation", after.load_balancer.generation);
        self.trail.tree(before, after);
        self.rehearsal.note(before, after, Wish::Nothing);
    }

    /// The query of a list below one object: whose that is was looked at, so `project_id` is one more filter.
    pub(crate) fn nested_query(&self, arguments: &ListArguments) -> ListQuery {
        self.catalogue_query(arguments)
    }

    /// The query of a list of what belongs to no project: there `project_id` is one more key it does not have.
    pub(crate) fn catalogue_query(&self, arguments: &ListArguments) -> ListQuery {
        let asked = arguments.project_id.clone().filter(|_| self.state.options.allow_filtering);
        self.list_query(arguments, asked.map(ProjectId::new))
    }

    /// A list's arguments as the store takes them; `project` is whose rows may be seen.
    pub(crate) fn list_query(&self, arguments: &ListArguments, project: Option<ProjectId>) -> ListQuery {
        let filters = arguments.filters.iter().map(|(key, value)| (key.clone(), vec![value.clone()]));
        let sort = arguments.sort.iter().map(|sort| SortKey {
            key: sort.key.clone(),
            direction: if sort.descending { Direction::Descending } else { Direction::Ascending },
        });
        ListQuery {
            filters: filters.collect(),
            project,
            tags: TagFilter {
                tags: arguments.tags.clone(),
                tags_any: arguments.tags_any.clone(),
                not_tags: arguments.not_tags.clone(),
                not_tags_any: arguments.not_tags_any.clone(),
            },
            sort: sort.collect(),
            marker: arguments.marker.clone(),
            limit: arguments.limit,
            page_reverse: arguments.page_reverse,
        }
    }
}

fn parent_not_found(fault: Fault) -> Fault {
    match fault {
        Fault::NotFound { resource, id } => Fault::ParentNotFound { resource, id },
        other => other,
    }
}

pub(crate) fn lb_immutable(id: LoadBalancerId) -> Fault {
    Fault::Immutable { resource: "Load Balancer", id: id.to_string() }
}

/// The change, and the root on its way with it.
fn with_root(
    mut change: impl FnMut(&mut LoadBalancerGraph) -> Result<(), Fault> + Send,
) -> impl FnMut(&mut LoadBalancerGraph) -> Result<(), Fault> + Send {
    move |graph| {
        change(graph)?;
        rules::touch_root(graph);
        Ok(())
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Duplicate(Duplicate::HealthMonitor) => Self::DuplicateHealthMonitor,
            StoreError::Duplicate(Duplicate::Receipt) => Self::KeyUnderWay,
            StoreError::Duplicate(_) => Self::AlreadyExists,
            StoreError::QuotaMet(kind) => Self::Quota(kind),
            StoreError::Missing(Missing::Flavor) => Self::unknown_flavor(),
            StoreError::Missing(Missing::AvailabilityZone) => Self::unknown_availability_zone(),
            StoreError::Conflict(_) | StoreError::Database(_) => {
                tracing::error!(%error, "the database did not take it");
                Self::Unavailable("The database is busy or away; try again later.".to_owned())
            }
            StoreError::LeaseLost | StoreError::Corrupt { .. } | StoreError::Url(_) => {
                tracing::error!(%error, "the store failed");
                Self::Internal
            }
        }
    }
}

impl From<ListError> for Fault {
    fn from(error: ListError) -> Self {
        match error {
            ListError::UnknownKey(_) | ListError::RepeatedKey(_) => Self::Filter,
            ListError::UnknownSortKey(key) => Self::SortKey(key),
            ListError::UnknownMarker(marker) => Self::Marker(marker),
            ListError::Store(error) => error.into(),
        }
    }
}
