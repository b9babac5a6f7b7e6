//! What operators ask of an amphora: that another takes its place, or that its spec is pushed again.

use async_trait::async_trait;
use sea_orm_migration::prelude::{DbErr, MigrationName, MigrationTrait, SchemaManager, Table};

use super::table::{flag, number_null};

#[derive(Debug)]
pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "0003_failover"
    }
}

const COLUMNS: [&str; 2] = ["to_replace", "refresh_after"];

#[async_trait]
#[expect(elided_lifetimes_in_paths, reason = "the trait's own signature")]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // SQLite changes one column at a time.
        for column in [flag(COLUMNS[0]).default(false).take(), number_null(COLUMNS[1])] {
            manager.alter_table(Table::alter().table("amphora").add_column(column).take()).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for column in COLUMNS {
            manager.alter_table(Table::alter().table("amphora").drop_column(column).take()).await?;
        }
        Ok(())
    }
}
