//! Many load balancers at once, as they were elsewhere.

use octavia_model::{Amphora, LoadBalancerGraph};
use sea_orm::ActiveValue::Set;
use sea_orm::EntityTrait;

use crate::difference::everything;
use crate::entity::{amphora, codec, load_balancer};
use crate::options::Call;
use crate::retry::framed;
use crate::write::{CHUNK, TagWrites, groups_insert, root_row, tables_write};
use crate::{Duplicate, Store, StoreError};

impl Store {
    /// Stores load balancers that are new here, all or none, in one transaction: statuses, generations and times as they
    /// are, whatever quotas say, and without telling anybody. Each is due at once. What they refer to is there.
    ///
    /// One statement carries the rows of many, so some hundreds at a time go ten times as fast as
    /// [`Store::lb_create`] for each.
    pub async fn lb_import(&self, graphs: &[LoadBalancerGraph]) -> Result<(), StoreError> {
        framed!(self, Call::of("lb_import"), self.lb_import_once(graphs))
    }

    /// Stores amphorae that are new here, in one transaction, as they are: of load balancers that are there, and never
    /// heard.
    pub async fn amphorae_import(&self, amphorae: &[Amphora]) -> Result<(), StoreError> {
        framed!(self, Call::of("amphorae_import"), self.amphorae_import_once(amphorae))
    }

    async fn amphorae_import_once(&self, amphorae: &[Amphora]) -> Result<(), StoreError> {
        let tx = self.begin_write().await?;
        for amphorae in amphorae.chunks(CHUNK) {
            let rows = amphorae.iter().map(|row| amphora::ActiveModel {
                id: Set(codec::id(row.id)),
                created_at: Set(codec::micros(row.created_at)),
                to_replace: Set(false),
                ..amphora::worker_columns(row)
            });
            amphora::Entity::insert_many(rows)
                .exec_without_returning(&tx)
                .await
                .map_err(|error| StoreError::of_insert(error, Duplicate::Amphora))?;
        }
        Ok(tx.commit().await?)
    }

    async fn lb_import_once(&self, graphs: &[LoadBalancerGraph]) -> Result<(), StoreError> {
        let Some((first, others)) = graphs.split_first() else { return Ok(()) };
        let tx = self.begin_write().await?;
        let now = codec::micros(self.clock(&tx).await?);
        for graphs in graphs.chunks(CHUNK) {
            let rows = graphs.iter().map(|graph| root_row(&graph.load_balancer, now));
            load_balancer::Entity::insert_many(rows)
                .exec_without_returning(&tx)
                .await
                .map_err(|error| StoreError::of_insert(error, Duplicate::LoadBalancer))?;
        }
        let mut all = everything(first);
        others.iter().for_each(|graph| all.insert_too(everything(graph)));
        tables_write(&tx, &all).await?;
        let mut tags = TagWrites::default();
        for graph in graphs {
            tags.collect_all(&graph.load_balancer, &everything(graph));
            groups_insert(&tx, &graph.load_balancer).await?;
        }
        tags.write(&tx).await?;
        Ok(tx.commit().await?)
    }
}
