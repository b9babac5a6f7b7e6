//! Load balancers for which servers are in the making, or that wait for that.

use async_trait::async_trait;
use sea_orm_migration::prelude::{DbErr, MigrationName, MigrationTrait, SchemaManager, Table as Statement};

use super::create;
use super::table::{Table, flag, id, number, number_null, text};

#[derive(Debug)]
pub(super) struct Migration;

pub(super) const TABLE: &str = "turn";
pub(super) const NAME: &str = "0010_turns";

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        NAME
    }
}

#[async_trait]
#[expect(elided_lifetimes_in_paths, reason = "the trait's own signature")]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let turn = Table::new(TABLE)
            .columns([
                id("load_balancer_id"),
                text("project_id", 255),
                flag("urgent"),
                number("since"),
                number("asked_at"),
                number_null("taken_at"),
                id("operation_id"),
            ])
            .key(&["load_balancer_id"]);
        create(manager, vec![turn]).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Statement::drop().table(TABLE).take()).await
    }
}
