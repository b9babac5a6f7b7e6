//! Which authority the certificate of an amphora's agent is of.

use async_trait::async_trait;
use sea_orm_migration::prelude::{DbErr, MigrationName, MigrationTrait, SchemaManager, Table};

use super::table::text_null;

#[derive(Debug)]
pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "0008_papers"
    }
}

const COLUMN: &str = "cert_authority";

#[async_trait]
#[expect(elided_lifetimes_in_paths, reason = "the trait's own signature")]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let column = text_null(COLUMN, 64);
        manager.alter_table(Table::alter().table("amphora").add_column(column).take()).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.alter_table(Table::alter().table("amphora").drop_column(COLUMN).take()).await
    }
}
