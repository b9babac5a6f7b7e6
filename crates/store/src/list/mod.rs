//! Lists: filters, tags, sorting, pages (`reference/api.md` §6).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::str::FromStr;

use octavia_model::{
    Amphora, AmphoraStatus, AvailabilityZone, AvailabilityZoneProfile, Flavor, FlavorProfile, HealthMonitor,
    HealthMonitorId, L7Policy, L7PolicyId, L7Rule, L7RuleId, Listener, ListenerId, LoadBalancer,
    LoadBalancerId, Member, MemberId, Pool, PoolId, ProjectId, ProvisioningStatus,
};
use sea_orm::sea_query::{Expr, Func, Query, SelectStatement, SimpleExpr};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseTransaction, DbBackend, EntityTrait, ExprTrait, QueryFilter,
    QuerySelect, QueryTrait, Select,
};

use crate::entity::codec::{self, Decode};
use crate::entity::{
    amphora, availability_zone, availability_zone_profile, flavor, flavor_profile, health_monitor, l7policy,
    l7rule, listener, load_balancer, member, pool,
};
use crate::gather::gathered;
use crate::options::Call;
use crate::retry::framed;
use crate::write::CHUNK;
use crate::{ListError, Store, StoreError};

mod filter;
mod keys;
mod page;

pub(crate) use filter::storable;
pub use keys::Resource;
pub(crate) use page::{Packed, select};

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
pub struct L7PolicyItem {
    pub l7policy: L7Policy,
    pub rules: Vec<L7RuleId>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct PoolItem {
    pub pool: Pool,
    /// Listeners whose traffic can reach the pool, by default or by an L7 policy.
    pub listeners: Vec<ListenerId>,
    pub members: Vec<MemberId>,
    pub health_monitor: Option<HealthMonitorId>,
}

impl Store {
    pub async fn lb_list(&self, query: &ListQuery) -> Result<Page<LoadBalancerItem>, ListError> {
        framed!(self, Call::of("lb_list"), self.lb_list_once(query))
    }

    async fn lb_list_once(&self, query: &ListQuery) -> Result<Page<LoadBalancerItem>, ListError> {
        use load_balancer::Column;

        let tx = self.begin_read().await?;
        let there = Column::ProvisioningStatus.ne(ProvisioningStatus::Deleted.as_str());
        let select = load_balancer::Entity::find().filter(there);
        let rows: Vec<LoadBalancer> = page::select_packed(&tx, Resource::LoadBalancer, select, query).await?;
        let ids: Vec<LoadBalancerId> = rows.iter().map(|row| row.id).collect();
        let mut listeners = related(&tx, LISTENERS, &ids).await?;
        let mut pools = related(&tx, POOLS, &ids).await?;
        tx.commit().await?;
        page_of(rows, |load_balancer| {
            Ok(LoadBalancerItem {
                listeners: listeners.remove(&load_balancer.id).unwrap_or_default(),
                pools: pools.remove(&load_balancer.id).unwrap_or_default(),
                load_balancer,
            })
        })
    }

    pub async fn listener_list(&self, query: &ListQuery) -> Result<Page<ListenerItem>, ListError> {
        framed!(self, Call::of("listener_list"), self.listener_list_once(query))
    }

    async fn listener_list_once(&self, query: &ListQuery) -> Result<Page<ListenerItem>, ListError> {
        let tx = self.begin_read().await?;
        let rows = page::select(&tx, Resource::Listener, listener::Entity::find(), query).await?;
        let rows = page_of(rows, Listener::try_from)?.items;
        let ids: Vec<ListenerId> = rows.iter().map(|row| row.id).collect();
        let mut policies = related(&tx, POLICIES_OF_LISTENER, &ids).await?;
        tx.commit().await?;
        page_of(rows, |listener| {
            let l7policies = policies.remove(&listener.id).unwrap_or_default();
            Ok(ListenerItem { l7policies, listener })
        })
    }

    pub async fn pool_list(&self, query: &ListQuery) -> Result<Page<PoolItem>, ListError> {
        framed!(self, Call::of("pool_list"), self.pool_list_once(query))
    }

    async fn pool_list_once(&self, query: &ListQuery) -> Result<Page<PoolItem>, ListError> {
        let tx = self.begin_read().await?;
        let rows = page::select(&tx, Resource::Pool, pool::Entity::find(), query).await?;
        let rows = page_of(rows, Pool::try_from)?.items;
        let ids: Vec<PoolId> = rows.iter().map(|row| row.id).collect();
        let mut listeners = listeners_of_pools(&tx, &ids).await?;
        let mut members = related(&tx, MEMBERS_OF_POOL, &ids).await?;
        let mut monitors = related(&tx, MONITOR_OF_POOL, &ids).await?;
        tx.commit().await?;
        page_of(rows, |pool| {
            Ok(PoolItem {
                listeners: listeners.remove(&pool.id).unwrap_or_default(),
                members: members.remove(&pool.id).unwrap_or_default(),
                health_monitor: monitors.remove(&pool.id).and_then(|ids| ids.first().copied()),
                pool,
            })
        })
    }

    /// Members of one pool.
    pub async fn member_list(&self, pool: PoolId, query: &ListQuery) -> Result<Page<Member>, ListError> {
        let select = member::Entity::find().filter(member::Column::PoolId.eq(codec::id(pool)));
        framed!(self, Call::of("member_list"), self.plain_list(Resource::Member, &select, query))
    }

    pub async fn health_monitor_list(&self, query: &ListQuery) -> Result<Page<HealthMonitor>, ListError> {
        let select = health_monitor::Entity::find();
        let call = Call::of("health_monitor_list");
        framed!(self, call, self.plain_list(Resource::HealthMonitor, &select, query))
    }

    pub async fn l7policy_list(&self, query: &ListQuery) -> Result<Page<L7PolicyItem>, ListError> {
        framed!(self, Call::of("l7policy_list"), self.l7policy_list_once(query))
    }

    async fn l7policy_list_once(&self, query: &ListQuery) -> Result<Page<L7PolicyItem>, ListError> {
        let tx = self.begin_read().await?;
        let rows = page::select(&tx, Resource::L7Policy, l7policy::Entity::find(), query).await?;
        let rows = page_of(rows, L7Policy::try_from)?.items;
        let ids: Vec<L7PolicyId> = rows.iter().map(|row| row.id).collect();
        let mut rules = related(&tx, RULES_OF_POLICY, &ids).await?;
        tx.commit().await?;
        page_of(rows, |l7policy| {
            let rules = rules.remove(&l7policy.id).unwrap_or_default();
            Ok(L7PolicyItem { rules, l7policy })
        })
    }

    /// Rules of one L7 policy.
    pub async fn l7rule_list(
        &self,
        policy: L7PolicyId,
        query: &ListQuery,
    ) -> Result<Page<L7Rule>, ListError> {
        let select = l7rule::Entity::find().filter(l7rule::Column::L7policyId.eq(codec::id(policy)));
        framed!(self, Call::of("l7rule_list"), self.plain_list(Resource::L7Rule, &select, query))
    }

    /// `project` and the key `project_id` mean the project of the amphora's load balancer.
    pub async fn amphora_list(&self, query: &ListQuery) -> Result<Page<Amphora>, ListError> {
        let select =
            amphora::Entity::find().filter(amphora::Column::Status.ne(AmphoraStatus::Deleted.as_str()));
        framed!(self, Call::of("amphora_list"), self.plain_list(Resource::Amphora, &select, query))
    }

    pub async fn flavor_list(&self, query: &ListQuery) -> Result<Page<Flavor>, ListError> {
        let select = flavor::Entity::find();
        framed!(self, Call::of("flavor_list"), self.plain_list(Resource::Flavor, &select, query))
    }

    pub async fn flavor_profile_list(&self, query: &ListQuery) -> Result<Page<FlavorProfile>, ListError> {
        let (call, select) = (Call::of("flavor_profile_list"), flavor_profile::Entity::find());
        framed!(self, call, self.plain_list(Resource::FlavorProfile, &select, query))
    }

    /// By name, where nothing else is asked for; a marker is a name.
    pub async fn availability_zone_list(
        &self,
        query: &ListQuery,
    ) -> Result<Page<AvailabilityZone>, ListError> {
        let (call, select) = (Call::of("availability_zone_list"), availability_zone::Entity::find());
        framed!(self, call, self.plain_list(Resource::AvailabilityZone, &select, query))
    }

    pub async fn availability_zone_profile_list(
        &self,
        query: &ListQuery,
    ) -> Result<Page<AvailabilityZoneProfile>, ListError> {
        let call = Call::of("availability_zone_profile_list");
        let select = availability_zone_profile::Entity::find();
        framed!(self, call, self.plain_list(Resource::AvailabilityZoneProfile, &select, query))
    }

    /// A list of rows that show nothing of other tables.
    async fn plain_list<E, T>(
        &self,
        resource: Resource,
        select: &Select<E>,
        query: &ListQuery,
    ) -> Result<Page<T>, ListError>
    where
        E: EntityTrait,
        T: TryFrom<E::Model, Error = StoreError>,
    {
        let rows = page::select(self.reader(), resource, select.clone(), query).await?;
        page_of(rows, T::try_from)
    }
}

pub(crate) fn page_of<M, T>(
    rows: Vec<M>,
    mut item: impl FnMut(M) -> Result<T, StoreError>,
) -> Result<Page<T>, ListError> {
    let mut items = Vec::with_capacity(rows.len());
    for row in rows {
        items.push(item(row)?);
    }
    Ok(Page { items })
}

/// Ids of a table by what they belong to.
#[derive(Debug, Clone, Copy)]
struct Relation {
    table: &'static str,
    parent: &'static str,
    order: &'static str,
}

const LISTENERS: Relation = Relation { table: "listener", parent: "load_balancer_id", order: "created_at" };
const POOLS: Relation = Relation { table: "pool", parent: "load_balancer_id", order: "created_at" };
const POLICIES_OF_LISTENER: Relation =
    Relation { table: "l7policy", parent: "listener_id", order: "position" };
const RULES_OF_POLICY: Relation = Relation { table: "l7rule", parent: "l7policy_id", order: "created_at" };
const MEMBERS_OF_POOL: Relation = Relation { table: "member", parent: "pool_id", order: "created_at" };
const MONITOR_OF_POOL: Relation =
    Relation { table: "health_monitor", parent: "pool_id", order: "created_at" };

/// The related ids of a whole page: one statement, not one for each row.
async fn related<P, I>(
    tx: &DatabaseTransaction,
    relation: Relation,
    parents: &[P],
) -> Result<BTreeMap<P, Vec<I>>, StoreError>
where
    P: FromStr + Display + Ord,
    P::Err: Display,
    I: FromStr,
    I::Err: Display,
{
    let decode = Decode(relation.table);
    let mut related: BTreeMap<P, Vec<I>> = BTreeMap::new();
    for among in among(tx.get_database_backend(), relation.parent, parents) {
        let select: SelectStatement = Query::select()
            .columns(["id", relation.parent])
            .from(relation.table)
            .and_where(among)
            .order_by(relation.order, sea_orm::Order::Asc)
            .order_by("id", sea_orm::Order::Asc)
            .take();
        let rows = match tx.get_database_backend() {
            DbBackend::Sqlite => gathered(tx.query_all(&select)).await?,
            _ => tx.query_all(&select).await?,
        };
        for row in rows {
            let (id, parent): (String, String) = (row.try_get_by_index(0)?, row.try_get_by_index(1)?);
            let parent = decode.parse(relation.parent, &parent)?;
            related.entry(parent).or_default().push(decode.parse("id", &id)?);
        }
    }
    Ok(related)
}

/// That a column has one of the values, in as many conditions as the database wants.
fn among<T: Display>(backend: DbBackend, column: &'static str, values: &[T]) -> Vec<SimpleExpr> {
    let column = Expr::col(column);
    if backend == DbBackend::Sqlite {
        // One value and one statement, however many there are.
        let values = Func::cust("json_each").arg(codec::list(values));
        let values = Query::select().column("value").from_function(values, "values").take();
        return vec![column.in_subquery(values)];
    }
    values.chunks(CHUNK).map(|values| column.clone().is_in(values.iter().map(T::to_string))).collect()
}

/// Listeners whose traffic can reach the pools of a page, in order of creation: by default, or by an L7 policy that is
/// enabled and has a rule ([`LoadBalancerGraph::pool_listeners`](octavia_model::LoadBalancerGraph::pool_listeners)).
async fn listeners_of_pools(
    tx: &DatabaseTransaction,
    pools: &[PoolId],
) -> Result<BTreeMap<PoolId, Vec<ListenerId>>, StoreError> {
    let mut found: BTreeMap<String, BTreeSet<(i64, String)>> = BTreeMap::new();
    for pools in pools.chunks(CHUNK) {
        let pools: Vec<String> = pools.iter().map(PoolId::to_string).collect();
        let defaults = listener::Entity::find()
            .select_only()
            .column(listener::Column::DefaultPoolId)
            .column(listener::Column::CreatedAt)
            .column(listener::Column::Id)
            .filter(listener::Column::DefaultPoolId.is_in(pools.iter().map(String::as_str)));
        let ruled = Query::select().column("l7policy_id").from("l7rule").take();
        let redirects = Query::select()
            .columns([("l7policy", "redirect_pool_id"), ("listener", "created_at"), ("listener", "id")])
            .from("l7policy")
            .inner_join("listener", Expr::col(("listener", "id")).equals(("l7policy", "listener_id")))
            .and_where(Expr::col(("l7policy", "redirect_pool_id")).is_in(pools.iter().map(String::as_str)))
            .and_where(Expr::col(("l7policy", "admin_state_up")).eq(true))
            .and_where(Expr::col(("l7policy", "id")).in_subquery(ruled))
            .take();
        for (select, pool) in [(defaults.into_query(), "default_pool_id"), (redirects, "redirect_pool_id")] {
            for row in tx.query_all(&select).await? {
                let listener = (row.try_get("", "created_at")?, row.try_get("", "id")?);
                found.entry(row.try_get("", pool)?).or_default().insert(listener);
            }
        }
    }
    let decode = Decode("listener");
    found
        .into_iter()
        .map(|(pool, listeners)| {
            let ids = listeners.iter().map(|(_, id)| decode.parse("id", id)).collect::<Result<_, _>>()?;
            Ok((decode.parse("default_pool_id", &pool)?, ids))
        })
        .collect()
}
