//! Reading whole load balancers.

use std::sync::atomic::Ordering;

use jiff::Timestamp;
use octavia_model::{
    Amphora, AmphoraStatus, HealthMonitorId, L7PolicyId, ListenerId, LoadBalancer, LoadBalancerGraph,
    LoadBalancerId, MemberId, PoolId, ProvisioningStatus,
};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, QueryFilter, QuerySelect, QueryTrait,
};

use crate::entity::codec::{self, Decode};
use crate::entity::{amphora, health_monitor, l7policy, l7rule, listener, load_balancer, member, pool};
use crate::options::Call;
use crate::retry::framed;
use crate::{Lease, Store, StoreError};

/// What a worker works from.
#[derive(Debug, Clone, PartialEq)]
pub struct Desired {
    /// Children on their way out (`PENDING_DELETE`) included.
    pub graph: LoadBalancerGraph,
    /// Every amphora that is not `DELETED`, in order of creation.
    pub amphorae: Vec<Amphora>,
    /// Deletion was asked for. Stays true when the provisioning status became `ERROR` on the way.
    pub deleting: bool,
    /// Since when the load balancer has been on its way (`PENDING_*`, or `ERROR` out of it).
    pub pending_since: Option<Timestamp>,
    /// Failed attempts in a row.
    pub attempts: u32,
    pub last_error: Option<String>,
    /// Ids of the requests that there is work for, the oldest first; [`octavia_model::REQUEST_IDS_MAX`] at most.
    pub request_ids: Vec<String>,
}

impl Store {
    /// The load balancer with everything below it; `None` when absent or `DELETED`.
    pub async fn lb_fetch(&self, id: LoadBalancerId) -> Result<Option<LoadBalancerGraph>, StoreError> {
        framed!(self, Call::of_lb("lb_fetch", id), self.lb_fetch_once(id))
    }

    async fn lb_fetch_once(&self, id: LoadBalancerId) -> Result<Option<LoadBalancerGraph>, StoreError> {
        let tx = self.begin_read().await?;
        let graph = match root_read(&tx, id).await? {
            Some(root) => Some(graph_load(&tx, &root).await?),
            None => None,
        };
        tx.commit().await?;
        Ok(graph)
    }

    /// Loads what a worker needs. What is asked for after this call makes the load balancer due again when the lease
    /// is released; what was asked for before it is seen.
    pub async fn desired_load(&self, lease: &Lease) -> Result<Desired, StoreError> {
        framed!(self, Call::of_lease("desired_load", lease), self.desired_load_once(lease))
    }

    async fn desired_load_once(&self, lease: &Lease) -> Result<Desired, StoreError> {
        let tx = self.begin_read().await?;
        let root = root_read(&tx, lease.lb).await?.filter(|root| lease.holds(root));
        let root = root.ok_or(StoreError::LeaseLost)?;
        let graph = graph_load(&tx, &root).await?;
        let amphorae = amphora::Entity::find()
            .filter(amphora::Column::LoadBalancerId.eq(&root.id))
            .filter(amphora::Column::Status.ne(AmphoraStatus::Deleted.as_str()))
            .all(&tx)
            .await?;
        tx.commit().await?;
        let mut amphorae = amphorae.into_iter().map(Amphora::try_from).collect::<Result<Vec<_>, _>>()?;
        amphorae.sort_by_key(|amphora| (amphora.created_at, amphora.id));
        let decode = Decode("load_balancer");
        lease.seen_wakes.store(root.wakes, Ordering::Relaxed);
        Ok(Desired {
            graph,
            amphorae,
            deleting: root.deleting,
            pending_since: decode.time_option("pending_since", root.pending_since)?,
            attempts: decode.int("attempts", root.attempts)?,
            last_error: root.last_error,
            request_ids: codec::words(root.request_ids.as_deref()),
        })
    }

    /// The load balancer a listener belongs to; `None` when there is no such listener.
    pub async fn listener_parent(&self, id: ListenerId) -> Result<Option<LoadBalancerId>, StoreError> {
        let select = listener::Entity::find_by_id(codec::id(id))
            .select_only()
            .column(listener::Column::LoadBalancerId);
        framed!(self, Call::of("listener_parent"), self.parent("listener", select.as_query()))
    }

    pub async fn pool_parent(&self, id: PoolId) -> Result<Option<LoadBalancerId>, StoreError> {
        let select =
            pool::Entity::find_by_id(codec::id(id)).select_only().column(pool::Column::LoadBalancerId);
        framed!(self, Call::of("pool_parent"), self.parent("pool", select.as_query()))
    }

    pub async fn member_parent(&self, id: MemberId) -> Result<Option<LoadBalancerId>, StoreError> {
        let select =
            member::Entity::find_by_id(codec::id(id)).select_only().column(member::Column::LoadBalancerId);
        framed!(self, Call::of("member_parent"), self.parent("member", select.as_query()))
    }

    pub async fn health_monitor_parent(
        &self,
        id: HealthMonitorId,
    ) -> Result<Option<LoadBalancerId>, StoreError> {
        let select = health_monitor::Entity::find_by_id(codec::id(id))
            .select_only()
            .column(health_monitor::Column::LoadBalancerId);
        framed!(self, Call::of("health_monitor_parent"), self.parent("health_monitor", select.as_query()))
    }

    pub async fn l7policy_parent(&self, id: L7PolicyId) -> Result<Option<LoadBalancerId>, StoreError> {
        let select = l7policy::Entity::find_by_id(codec::id(id))
            .select_only()
            .column(l7policy::Column::LoadBalancerId);
        framed!(self, Call::of("l7policy_parent"), self.parent("l7policy", select.as_query()))
    }

    async fn parent(
        &self,
        table: &'static str,
        select: &sea_orm::sea_query::SelectStatement,
    ) -> Result<Option<LoadBalancerId>, StoreError> {
        let Some(row) = self.reader().query_one(select).await? else { return Ok(None) };
        let parent: String = row.try_get("", "load_balancer_id")?;
        Decode(table).parse("load_balancer_id", &parent).map(Some)
    }
}

/// The root's row; `None` when absent or `DELETED`.
pub(crate) async fn root_read(
    db: &impl ConnectionTrait,
    id: LoadBalancerId,
) -> Result<Option<load_balancer::Model>, StoreError> {
    let root = load_balancer::Entity::find_by_id(codec::id(id)).one(db).await?;
    Ok(root.filter(|root| root.provisioning_status != ProvisioningStatus::Deleted.as_str()))
}

/// Takes the root's row until the transaction ends: nobody else writes the load balancer or anything below it.
pub(crate) async fn root_lock(
    tx: &DatabaseTransaction,
    id: LoadBalancerId,
) -> Result<Option<load_balancer::Model>, StoreError> {
    let root = load_balancer::Entity::find_by_id(codec::id(id)).lock_exclusive().one(tx).await?;
    Ok(root.filter(|root| root.provisioning_status != ProvisioningStatus::Deleted.as_str()))
}

/// Everything below the root, in order of creation.
pub(crate) async fn graph_load(
    db: &impl ConnectionTrait,
    root: &load_balancer::Model,
) -> Result<LoadBalancerGraph, StoreError> {
    let mut graph = LoadBalancerGraph::new(LoadBalancer::try_from(root)?);
    let id = root.id.as_str();
    graph.listeners =
        rows(listener::Entity::find().filter(listener::Column::LoadBalancerId.eq(id)).all(db).await?)?;
    graph.listeners.sort_by_key(|listener| (listener.created_at, listener.id));
    if !graph.listeners.is_empty() {
        graph.l7policies =
            rows(l7policy::Entity::find().filter(l7policy::Column::LoadBalancerId.eq(id)).all(db).await?)?;
        graph.l7policies.sort_by_key(|policy| (policy.created_at, policy.id));
    }
    if !graph.l7policies.is_empty() {
        graph.l7rules =
            rows(l7rule::Entity::find().filter(l7rule::Column::LoadBalancerId.eq(id)).all(db).await?)?;
        graph.l7rules.sort_by_key(|rule| (rule.created_at, rule.id));
    }
    graph.pools = rows(pool::Entity::find().filter(pool::Column::LoadBalancerId.eq(id)).all(db).await?)?;
    graph.pools.sort_by_key(|pool| (pool.created_at, pool.id));
    if graph.pools.is_empty() {
        return Ok(graph);
    }
    graph.members =
        rows(member::Entity::find().filter(member::Column::LoadBalancerId.eq(id)).all(db).await?)?;
    graph.members.sort_by_key(|member| (member.created_at, member.id));
    let monitors =
        health_monitor::Entity::find().filter(health_monitor::Column::LoadBalancerId.eq(id)).all(db).await?;
    graph.health_monitors = rows(monitors)?;
    graph.health_monitors.sort_by_key(|monitor| (monitor.created_at, monitor.id));
    Ok(graph)
}

fn rows<M, T: TryFrom<M, Error = StoreError>>(rows: Vec<M>) -> Result<Vec<T>, StoreError> {
    rows.into_iter().map(T::try_from).collect()
}
