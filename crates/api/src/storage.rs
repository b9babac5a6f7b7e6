//! The API's way to the store: what a path names, changes under the pending-writes rule, and the store's errors in
//! the API's words.

use octavia_model::{
    HealthMonitorId, ListenerId, LoadBalancerGraph, LoadBalancerId, PoolId, ProjectId, ProvisioningStatus,
};
use octavia_store::{
    Accept, ChangeError, Direction, Duplicate, ListError, ListQuery, SortKey, StoreError, TagFilter,
};

use crate::call::Call;
use crate::fault::Fault;
use crate::query::ListArguments;
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
        self.pool_of_path().await.map_err(|fault| match fault {
            Fault::NotFound { resource, id } => Fault::ParentNotFound { resource, id },
            other => other,
        })
    }

    pub(crate) async fn health_monitor_of_path(&self) -> Result<(LoadBalancerGraph, HealthMonitorId), Fault> {
        let id = self.id(0, "Health Monitor")?;
        let home = self.state.store.health_monitor_parent(id).await?;
        let graph = self.home(home).await?;
        match graph {
            Some(graph) if rules::health_monitor::find(&graph, id).is_ok() => Ok((graph, id)),
            _ => Err(Fault::not_found("Health Monitor", id)),
        }
    }

    async fn home(&self, home: Option<LoadBalancerId>) -> Result<Option<LoadBalancerGraph>, Fault> {
        match home {
            Some(id) => Ok(self.state.store.lb_fetch(id).await?),
            None => Ok(None),
        }
    }

    /// Changes something below a load balancer, which is on its way with it.
    pub(crate) async fn change_below(
        &self,
        id: LoadBalancerId,
        mut change: impl FnMut(&mut LoadBalancerGraph) -> Result<(), Fault> + Send,
    ) -> Result<LoadBalancerGraph, Fault> {
        let statuses = rules::change_statuses(self.state.options.pending_writes);
        let refused = |_| Fault::Immutable { resource: "Load Balancer", id: id.to_string() };
        let change = move |graph: &mut LoadBalancerGraph| {
            change(graph)?;
            rules::touch_root(graph);
            Ok(())
        };
        self.change(id, statuses, refused, change).await
    }

    /// Changes the load balancer itself.
    pub(crate) async fn change_root(
        &self,
        id: LoadBalancerId,
        mut change: impl FnMut(&mut LoadBalancerGraph) + Send,
    ) -> Result<LoadBalancerGraph, Fault> {
        let statuses = rules::change_statuses(self.state.options.pending_writes);
        let change = move |graph: &mut LoadBalancerGraph| {
            change(graph);
            Ok(())
        };
        self.change(id, statuses, |state| Fault::InvalidState { state, id }, change).await
    }

    /// Sends the load balancer on its way out.
    pub(crate) async fn delete_root(
        &self,
        id: LoadBalancerId,
        change: impl FnMut(&mut LoadBalancerGraph) -> Result<(), Fault> + Send,
    ) -> Result<LoadBalancerGraph, Fault> {
        let statuses = rules::delete_statuses(self.state.options.pending_writes);
        self.change(id, statuses, |state| Fault::InvalidState { state, id }, change).await
    }

    async fn change(
        &self,
        id: LoadBalancerId,
        statuses: &'static [ProvisioningStatus],
        refused: impl Fn(ProvisioningStatus) -> Fault,
        change: impl FnMut(&mut LoadBalancerGraph) -> Result<(), Fault> + Send,
    ) -> Result<LoadBalancerGraph, Fault> {
        // The rules set the root's status themselves: one that is still being created stays so.
        let accept = Accept { statuses, root_status_after: None };
        match self.state.store.lb_change(id, accept, change).await {
            Ok(((), graph)) => Ok(graph),
            Err(ChangeError::NotFound) => Err(Fault::not_found("Load Balancer", id)),
            Err(ChangeError::Refused(status)) => Err(refused(status)),
            Err(ChangeError::Rejected(fault)) => Err(fault),
            Err(ChangeError::Store(error)) => Err(error.into()),
        }
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

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Duplicate(Duplicate::HealthMonitor) => Self::DuplicateHealthMonitor,
            StoreError::Duplicate(_) => Self::AlreadyExists,
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
