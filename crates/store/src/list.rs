//! Lists: filters, tags, sorting, pages (`reference/api.md` §6).

use octavia_model::{
    Amphora, HealthMonitor, HealthMonitorId, L7PolicyId, Listener, ListenerId, LoadBalancer, Member,
    MemberId, Pool, PoolId, ProjectId,
};

use crate::{ListError, Store};

/// What can be listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    LoadBalancer,
    Listener,
    Pool,
    Member,
    HealthMonitor,
    Amphora,
}

impl Resource {
    /// The keys, by API name, that filter and sort lists of the resource. Tag keys are not among them.
    pub fn keys(self) -> impl Iterator<Item = &'static str> {
        std::iter::empty()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    Ascending,
    Descending,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SortKey {
    /// API name.
    pub key: String,
    pub direction: Direction,
}

/// All given conditions hold. Empty = no condition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TagFilter {
    /// Has every one of these.
    pub tags: Vec<String>,
    /// Has at least one of these.
    pub tags_any: Vec<String>,
    /// Lacks at least one of these.
    pub not_tags: Vec<String>,
    /// Has none of these.
    pub not_tags_any: Vec<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListQuery {
    /// API name and values as the caller wrote them; exact match, all must hold.
    pub filters: Vec<(String, Vec<String>)>,
    /// Only objects of this project: access, not a filter.
    pub project: Option<ProjectId>,
    pub tags: TagFilter,
    /// Before `created_at`, then `id`, which break ties.
    pub sort: Vec<SortKey>,
    /// The id of the last object seen, as the caller wrote it.
    pub marker: Option<String>,
    /// `None` = no limit.
    pub limit: Option<u64>,
    /// What comes before the marker, from the start of the list.
    pub page_reverse: bool,
}

/// One page, in order.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<T> {
    pub items: Vec<T>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct LoadBalancerItem {
    pub load_balancer: LoadBalancer,
    pub listeners: Vec<ListenerId>,
    pub pools: Vec<PoolId>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct ListenerItem {
    pub listener: Listener,
    /// By position.
    pub l7policies: Vec<L7PolicyId>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct PoolItem {
    pub pool: Pool,
    /// Listeners whose default pool this is.
    pub listeners: Vec<ListenerId>,
    pub members: Vec<MemberId>,
    pub health_monitor: Option<HealthMonitorId>,
}

impl Store {
    pub async fn lb_list(&self, query: &ListQuery) -> Result<Page<LoadBalancerItem>, ListError> {
        let _ = query;
        Err(self.unbuilt().into())
    }

    pub async fn listener_list(&self, query: &ListQuery) -> Result<Page<ListenerItem>, ListError> {
        let _ = query;
        Err(self.unbuilt().into())
    }

    pub async fn pool_list(&self, query: &ListQuery) -> Result<Page<PoolItem>, ListError> {
        let _ = query;
        Err(self.unbuilt().into())
    }

    /// Members of one pool.
    pub async fn member_list(&self, pool: PoolId, query: &ListQuery) -> Result<Page<Member>, ListError> {
        let _ = (pool, query);
        Err(self.unbuilt().into())
    }

    pub async fn health_monitor_list(&self, query: &ListQuery) -> Result<Page<HealthMonitor>, ListError> {
        let _ = query;
        Err(self.unbuilt().into())
    }

    /// `project` and the key `project_id` mean the project of the amphora's load balancer.
    pub async fn amphora_list(&self, query: &ListQuery) -> Result<Page<Amphora>, ListError> {
        let _ = query;
        Err(self.unbuilt().into())
    }
}
