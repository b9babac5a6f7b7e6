//! What requests with an `Idempotency-Key` made.

use async_trait::async_trait;
use sea_orm_migration::prelude::{DbErr, MigrationName, MigrationTrait, SchemaManager, Table as Statement};

use super::create;
use super::table::{Table, number, text};

#[derive(Debug)]
pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "0004_idempotency"
    }
}

pub(super) const TABLE: &str = "receipt";

#[async_trait]
#[expect(elided_lifetimes_in_paths, reason = "the trait's own signature")]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let receipt = Table::new(TABLE)
            .columns([
                text("owner", 64),
                text("request_key", 255),
                text("fingerprint", 64),
                text("made", 255),
                number("created_at"),
            ])
            .key(&["owner", "request_key"])
            .index("ix_receipt_created_at", &["created_at"]);
        create(manager, vec![receipt]).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Statement::drop().table(TABLE).take()).await
    }
}
