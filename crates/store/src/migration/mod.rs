//! The schema, as the sum of its migrations. A migration is never changed once released: the next one is added.
//!
//! No dialect types: ids are `VARCHAR(36)` (PostgreSQL pads `CHAR`), times and all integers `BIGINT`, structures JSON in
//! `TEXT`. Text is compared byte by byte everywhere.

use sea_orm_migration::prelude::{DbErr, DynIden, IntoIden, MigrationTrait, MigratorTrait, SchemaManager};
use sea_orm_migration::sea_orm::DatabaseConnection;

mod m0001_first_light;
mod m0002_quotas;
mod m0003_failover;
mod table;

#[derive(Debug)]
pub(crate) struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m0001_first_light::Migration),
            Box::new(m0002_quotas::Migration),
            Box::new(m0003_failover::Migration),
        ]
    }

    fn migration_table_name() -> DynIden {
        "schema_migration".into_iden()
    }
}

/// Every table that holds data, children before parents.
pub(crate) const TABLES: &[&str] = m0001_first_light::TABLES;

/// Applies what is missing, at most so many steps. Returns how many were applied.
pub(crate) async fn up(db: &DatabaseConnection, steps: Option<u32>) -> Result<usize, DbErr> {
    let pending = Migrator::get_pending_migrations(db).await?.len();
    Migrator::up(db, steps).await?;
    Ok(steps.map_or(pending, |steps| pending.min(usize::try_from(steps).unwrap_or(usize::MAX))))
}

/// Takes back the newest steps, with what only they can hold.
pub(crate) async fn down(db: &DatabaseConnection, steps: Option<u32>) -> Result<(), DbErr> {
    Migrator::down(db, steps).await
}

async fn create(manager: &SchemaManager<'_>, tables: Vec<table::Table>) -> Result<(), DbErr> {
    for table in tables {
        let (table, indexes) = table.into_statements(manager.get_database_backend());
        manager.create_table(table).await?;
        for index in indexes {
            manager.create_index(index).await?;
        }
    }
    Ok(())
}
