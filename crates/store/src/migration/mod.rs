//! The schema, as the sum of its migrations. A migration is never changed once released: the next one is added.
//!
//! Versions work side by side while an installation is renewed: what a migration adds, earlier versions neither read nor
//! have to write (a new column is nullable or has a default). What is to go, goes a version later, once nobody uses it, by a
//! migration that says so in its name ([`CONTRACT`]). The same holds for words in columns: a new one is written a version
//! after the first that can read it.
//!
//! No dialect types: ids are `VARCHAR(36)` (PostgreSQL pads `CHAR`), times and all integers `BIGINT`, structures JSON in
//! `TEXT`. Text is compared byte by byte everywhere.

use std::fmt;

use sea_orm_migration::prelude::{DbErr, DynIden, IntoIden, MigrationTrait, MigratorTrait, SchemaManager};
use sea_orm_migration::sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, Statement,
};

mod m0001_first_light;
mod m0002_quotas;
mod m0003_failover;
mod m0004_idempotency;
mod m0005_large_lists;
mod m0006_request_ids;
mod m0007_names_descending;
mod m0008_papers;
mod m0009_vrrp_state;
mod m0010_turns;
mod table;

/// Where the names of applied migrations are.
const TABLE: &str = "schema_migration";

#[derive(Debug)]
pub(crate) struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m0001_first_light::Migration),
            Box::new(m0002_quotas::Migration),
            Box::new(m0003_failover::Migration),
            Box::new(m0004_idempotency::Migration),
            Box::new(m0005_large_lists::Migration),
            Box::new(m0006_request_ids::Migration),
            Box::new(m0007_names_descending::Migration),
            Box::new(m0008_papers::Migration),
            Box::new(m0009_vrrp_state::Migration),
            Box::new(m0010_turns::Migration),
        ]
    }

    fn migration_table_name() -> DynIden {
        TABLE.into_iden()
    }
}

/// A migration takes away what earlier versions need if its name has this; every other one they do not notice.
const CONTRACT: &str = "_contract_";

/// A database's schema beside this version's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Schema {
    Current,
    /// There is none.
    Absent,
    /// These migrations were not applied.
    Older(Vec<String>),
    /// These migrations are not known here.
    Newer(Vec<String>),
}

impl Schema {
    /// Whether this version can work with it as it is. With a newer one it can, as long as that only adds.
    pub fn serves(&self) -> bool {
        match self {
            Self::Current => true,
            Self::Absent | Self::Older(_) => false,
            Self::Newer(unknown) => !unknown.iter().any(|name| name.contains(CONTRACT)),
        }
    }
}

impl fmt::Display for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Current => f.write_str("the same"),
            Self::Absent => f.write_str("it has none"),
            Self::Older(missing) => write!(f, "it lacks {}", missing.join(", ")),
            Self::Newer(unknown) => write!(f, "it has {}, of a newer version", unknown.join(", ")),
        }
    }
}

/// Looks, and changes nothing.
pub(crate) async fn schema(db: &DatabaseConnection) -> Result<Schema, DbErr> {
    db.ping().await?;
    let sql = format!("SELECT version FROM {TABLE}");
    let Ok(rows) = db.query_all_raw(Statement::from_string(db.get_database_backend(), sql)).await else {
        // The database answers, but not to this: there is no such table.
        return Ok(Schema::Absent);
    };
    let applied = rows.iter().map(|row| row.try_get_by_index(0)).collect::<Result<Vec<String>, _>>()?;
    let known =
        Migrator::migrations().iter().map(|migration| migration.name().to_owned()).collect::<Vec<_>>();
    let missing = |from: &[String], of: &[String]| -> Vec<String> {
        of.iter().filter(|name| !from.contains(name)).cloned().collect()
    };
    let (unknown, older) = (missing(&known, &applied), missing(&applied, &known));
    Ok(match (unknown.is_empty(), older.is_empty()) {
        (false, _) => Schema::Newer(unknown),
        (true, false) => Schema::Older(older),
        (true, true) => Schema::Current,
    })
}

/// Every table that holds data, children before parents.
pub(crate) fn tables() -> impl Iterator<Item = &'static str> {
    [m0010_turns::TABLE, m0004_idempotency::TABLE]
        .into_iter()
        .chain(m0001_first_light::TABLES.iter().copied())
}

/// Lets one process at a time change the schema: others wait until the lock is given back, or its connection ends.
pub(crate) async fn lock(tx: &DatabaseTransaction) -> Result<(), DbErr> {
    match tx.get_database_backend() {
        DbBackend::Postgres => {
            tx.execute_unprepared(&format!("SELECT pg_advisory_xact_lock({LOCK})")).await?
        }
        DbBackend::MySql => {
            let sql = format!("SELECT GET_LOCK('octavia_{LOCK}', {LOCK_PATIENCE})");
            let row = tx.query_one_raw(Statement::from_string(DbBackend::MySql, sql)).await?;
            let taken: Option<i64> = row.map(|row| row.try_get_by_index(0)).transpose()?.flatten();
            if taken != Some(1) {
                return Err(DbErr::Custom(format!(
                    "another process has been changing the schema for {LOCK_PATIENCE} s"
                )));
            }
            return Ok(());
        }
        // A file's writers take turns.
        _ => return Ok(()),
    };
    Ok(())
}

pub(crate) async fn unlock(tx: DatabaseTransaction) -> Result<(), DbErr> {
    if tx.get_database_backend() == DbBackend::MySql {
        tx.execute_unprepared(&format!("DO RELEASE_LOCK('octavia_{LOCK}')")).await?;
    }
    tx.commit().await
}

/// Seconds.
const LOCK_PATIENCE: u32 = 600;

/// Any number that nobody else takes for a lock.
const LOCK: u32 = 0x6f63_7461;

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

/// Whoever is to be alone with a table takes this row of the migrations' first: of a table without rows there is none.
pub(crate) fn gate_of_turns(backend: DbBackend) -> Option<Statement> {
    let name = m0010_turns::NAME;
    let sql = format!("SELECT version FROM {TABLE} WHERE version = '{name}' FOR UPDATE");
    // Writers of SQLite come one after the other anyway.
    (backend != DbBackend::Sqlite).then(|| Statement::from_string(backend, sql))
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
