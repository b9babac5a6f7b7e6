//! Quotas: what is in use is counted, not kept, so the counters nothing wrote go, and members are found by project.

use async_trait::async_trait;
use sea_orm_migration::prelude::{DbErr, Index, MigrationName, MigrationTrait, SchemaManager, Table};

use super::table::number;

#[derive(Debug)]
pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "0002_quotas"
    }
}

const COUNTERS: &[&str] = &[
    "in_use_load_balancer",
    "in_use_listener",
    "in_use_pool",
    "in_use_member",
    "in_use_health_monitor",
    "in_use_l7policy",
    "in_use_l7rule",
];

const MEMBERS: &str = "ix_member_project";

#[async_trait]
#[expect(elided_lifetimes_in_paths, reason = "the trait's own signature")]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // SQLite changes one column at a time.
        for counter in COUNTERS {
            manager.alter_table(Table::alter().table("quota").drop_column(*counter).take()).await?;
        }
        manager.create_index(Index::create().name(MEMBERS).table("member").col("project_id").take()).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_index(Index::drop().name(MEMBERS).table("member").to_owned()).await?;
        for counter in COUNTERS {
            let counter = number(counter).default(0).take();
            manager.alter_table(Table::alter().table("quota").add_column(counter).take()).await?;
        }
        Ok(())
    }
}
