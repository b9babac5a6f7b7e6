//! The list of load balancers by name from the end: ties are in ascending order there, too, so the index by name does not
//! hold that list, and SQLite (3.51) sorts all of them for its first page.

use async_trait::async_trait;
use sea_orm_migration::prelude::{DbErr, Index, IndexOrder, MigrationName, MigrationTrait, SchemaManager};

#[derive(Debug)]
pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "0007_names_descending"
    }
}

const TABLE: &str = "load_balancer";
const INDEX: &str = "ix_load_balancer_name_descending";

#[async_trait]
#[expect(elided_lifetimes_in_paths, reason = "the trait's own signature")]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let descending = ("name", IndexOrder::Desc);
        let index =
            Index::create().name(INDEX).table(TABLE).col(descending).col("created_at").col("id").take();
        manager.create_index(index).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_index(Index::drop().name(INDEX).table(TABLE).to_owned()).await
    }
}
