//! One load balancer as lists show it.

use octavia_model::{LoadBalancer, LoadBalancerId, ProvisioningStatus};
use sea_orm::sea_query::{Expr, IntoCondition, Query, SelectStatement, UnionType};
use sea_orm::{ConnectionTrait, ExprTrait, FromQueryResult, Iterable, JoinType};

use crate::entity::codec::{self, Decode};
use crate::entity::load_balancer::{Column, Entity, Model};
use crate::options::Call;
use crate::retry::framed;
use crate::{LoadBalancerItem, Store, StoreError};

impl Store {
    /// The load balancer with the ids of what is below it; `None` when absent or `DELETED`. Cheaper than
    /// [`Store::lb_fetch`]: one statement.
    pub async fn lb_show(&self, id: LoadBalancerId) -> Result<Option<LoadBalancerItem>, StoreError> {
        framed!(self, Call::of_lb("lb_show", id), self.lb_show_once(id))
    }

    async fn lb_show_once(&self, id: LoadBalancerId) -> Result<Option<LoadBalancerItem>, StoreError> {
        let rows = self.reader().query_all(&select(&codec::id(id))).await?;
        let Some(first) = rows.first() else { return Ok(None) };
        let root = Model::from_query_result(first, "")?;
        let mut item = LoadBalancerItem {
            load_balancer: LoadBalancer::try_from(&root)?,
            listeners: vec![],
            pools: vec![],
        };
        let mut children = vec![];
        for row in &rows {
            // Null where nothing is below.
            let Some(kind) = row.try_get::<Option<String>>("", "kind")? else { continue };
            let at: i64 = row.try_get("", "child_created_at")?;
            let child: String = row.try_get("", "child_id")?;
            children.push((at, child, kind));
        }
        children.sort();
        for (_, child, kind) in children {
            match kind.as_str() {
                "listener" => item.listeners.push(Decode("listener").parse("id", &child)?),
                _ => item.pools.push(Decode("pool").parse("id", &child)?),
            }
        }
        Ok(Some(item))
    }
}

/// The root's row once for each child, or once.
fn select(id: &str) -> SelectStatement {
    let below = |table: &'static str| {
        Query::select()
            .expr_as(Expr::cust(format!("'{table}'")), "kind")
            .expr_as(Expr::col("created_at"), "child_created_at")
            .expr_as(Expr::col("id"), "child_id")
            .from(table)
            .and_where(Expr::col("load_balancer_id").eq(id))
            .take()
    };
    let children = below("listener").union(UnionType::All, below("pool")).take();
    Query::select()
        .columns(Column::iter().map(|column| (Entity, column)))
        .columns([("child", "kind"), ("child", "child_created_at"), ("child", "child_id")])
        .from(Entity)
        .join_subquery(JoinType::LeftJoin, children, "child", Expr::value(1).eq(1).into_condition())
        .and_where(Expr::col((Entity, Column::Id)).eq(id))
        .and_where(Expr::col((Entity, Column::ProvisioningStatus)).ne(ProvisioningStatus::Deleted.as_str()))
        .take()
}
