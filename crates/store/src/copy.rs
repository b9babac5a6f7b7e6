//! A store moved to another database: every row of every table, in one transaction on either side, then compared.

use std::fmt::Debug;

use futures::{Stream, StreamExt};
use sea_orm::{
    ActiveModelBehavior, ActiveModelTrait, ConnectionTrait, DatabaseTransaction, DbBackend, DbErr,
    EntityTrait, IntoActiveModel, Iterable, PrimaryKeyToColumn, PrimaryKeyTrait, QueryOrder,
};

use crate::entity::{
    amphora, availability_zone, availability_zone_profile, flavor, flavor_profile, health_monitor, l7policy,
    l7rule, listener, listener_statistics, load_balancer, member, operation, outbox, pool, quota, receipt,
    tag, turn, vip_security_group,
};
use crate::migration::{self, Schema};
use crate::{Store, StoreError};

/// Rows of one statement: far below every database's bound of parameters (SQLite: 32,766; PostgreSQL: 65,535).
const BATCH: usize = 400;

/// What happens while a store is copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopyEvent {
    /// So many rows of a table are written, so far.
    Copied { table: &'static str, rows: u64 },
    /// A table is done: so many rows, each equal to its original.
    Compared { table: &'static str, rows: u64 },
}

/// Why a copy was not made. Nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// Its schema is older or newer than this program's.
    #[error("the database to copy from has another schema than this version: {0}")]
    Schema(String),
    /// It may be somebody's.
    #[error("the database to copy to is not empty: table {table} has rows")]
    NotEmpty { table: &'static str },
    /// A row reads differently on the two sides.
    #[error("table {table}: row {row} is not what was copied")]
    Different { table: &'static str, row: u64 },
    #[error("reading: {0}")]
    Read(StoreError),
    #[error("writing: {0}")]
    Write(StoreError),
}

/// Calls a generic function for every table, parents before children.
macro_rules! each_table {
    ($call:ident($($argument:expr),*)) => {
        each_table!(@ $call ($($argument),*)
            availability_zone_profile availability_zone flavor_profile flavor quota load_balancer outbox operation
            tag vip_security_group amphora pool listener member health_monitor listener_statistics l7policy l7rule
            receipt turn)
    };
    (@ $call:ident $arguments:tt $($table:ident)*) => {
        $( each_table!(! $call $table $arguments); )*
    };
    (! $call:ident $table:ident ($($argument:expr),*)) => {
        $call::<$table::Entity>($($argument),*).await?
    };
}

impl Store {
    /// Copies everything to a store that is empty, or has no schema yet; then reads both sides and compares.
    ///
    /// Reads one moment: what is written to this store meanwhile is not copied, so services should be stopped. The
    /// other side is written in one transaction: it has everything, or nothing.
    pub async fn copy_to(&self, to: &Self, report: impl FnMut(CopyEvent)) -> Result<(), CopyError> {
        self.check_schema().await?;
        to.migrate().await.map_err(CopyError::Write)?;
        let source = self.begin_read().await.map_err(read)?;
        let target = to.begin_write().await.map_err(write)?;
        // Dropped without it, the transaction is taken back.
        copy(&source, &target, report).await?;
        target.commit().await.map_err(write)
    }

    pub(crate) async fn check_schema(&self) -> Result<(), CopyError> {
        match migration::schema(self.reader()).await.map_err(read)? {
            Schema::Current => Ok(()),
            other => Err(CopyError::Schema(other.to_string())),
        }
    }
}

async fn copy(
    source: &DatabaseTransaction,
    target: &DatabaseTransaction,
    mut report: impl FnMut(CopyEvent),
) -> Result<(), CopyError> {
    each_table!(refuse_rows(target));
    each_table!(copy_table(source, target, &mut report));
    each_table!(compare_table(source, target, &mut report));
    each_table!(set_sequence(target));
    Ok(())
}

async fn refuse_rows<E: EntityTrait>(target: &DatabaseTransaction) -> Result<(), CopyError> {
    match E::find().one(target).await.map_err(write)? {
        None => Ok(()),
        Some(_) => Err(CopyError::NotEmpty { table: name::<E>() }),
    }
}

async fn copy_table<E>(
    source: &DatabaseTransaction,
    target: &DatabaseTransaction,
    report: &mut impl FnMut(CopyEvent),
) -> Result<(), CopyError>
where
    E: EntityTrait,
    E::Model: IntoActiveModel<E::ActiveModel> + Send,
    E::ActiveModel: ActiveModelBehavior + Send,
{
    let table = name::<E>();
    let mut rows = 0;
    let mut batches = ordered::<E>(source).await.map_err(read)?.chunks(BATCH);
    while let Some(batch) = batches.next().await {
        let batch = batch.into_iter().collect::<Result<Vec<_>, _>>().map_err(read)?;
        rows += batch.len() as u64;
        let batch = batch.into_iter().map(|row| row.into_active_model().reset_all());
        E::insert_many(batch).exec_without_returning(target).await.map_err(write)?;
        report(CopyEvent::Copied { table, rows });
    }
    Ok(())
}

async fn compare_table<E>(
    source: &DatabaseTransaction,
    target: &DatabaseTransaction,
    report: &mut impl FnMut(CopyEvent),
) -> Result<(), CopyError>
where
    E: EntityTrait,
    E::Model: PartialEq + Debug,
{
    let table = name::<E>();
    let mut rows = 0;
    let (mut originals, mut copies) =
        (ordered::<E>(source).await.map_err(read)?, ordered::<E>(target).await.map_err(write)?);
    loop {
        let original = originals.next().await.transpose().map_err(read)?;
        let copy = copies.next().await.transpose().map_err(write)?;
        if original != copy {
            return Err(CopyError::Different { table, row: rows + 1 });
        }
        if original.is_none() {
            break;
        }
        rows += 1;
    }
    report(CopyEvent::Compared { table, rows });
    Ok(())
}

/// All rows in the order of their key, which is the same on every database.
async fn ordered<E: EntityTrait>(
    db: &DatabaseTransaction,
) -> Result<impl Stream<Item = Result<E::Model, DbErr>>, DbErr> {
    let mut rows = E::find();
    for key in E::PrimaryKey::iter() {
        rows = rows.order_by_asc(key.into_column());
    }
    rows.stream(db).await
}

/// PostgreSQL does not notice numbers that it did not give itself.
async fn set_sequence<E: EntityTrait>(target: &DatabaseTransaction) -> Result<(), CopyError> {
    if target.get_database_backend() != DbBackend::Postgres || !E::PrimaryKey::auto_increment() {
        return Ok(());
    }
    let table = name::<E>();
    let sql = format!(
        "SELECT setval(pg_get_serial_sequence('{table}', 'id'), (SELECT COALESCE(MAX(id), 0) + 1 FROM {table}), false)"
    );
    target.execute_unprepared(&sql).await.map_err(write)?;
    Ok(())
}

fn name<E: EntityTrait>() -> &'static str {
    migration::tables().find(|table| *table == E::default().table_name()).unwrap_or("unknown")
}

fn read(error: DbErr) -> CopyError {
    CopyError::Read(error.into())
}

fn write(error: DbErr) -> CopyError {
    CopyError::Write(error.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn no_table_is_left_out() {
        let mut copied = vec![];
        async fn note<E: EntityTrait>(copied: &mut Vec<String>) -> Result<(), CopyError> {
            copied.push(E::default().table_name().to_owned());
            Ok(())
        }
        async fn all(copied: &mut Vec<String>) -> Result<(), CopyError> {
            each_table!(note(copied));
            Ok(())
        }
        all(&mut copied).await.unwrap();
        copied.sort();
        let mut tables = migration::tables().collect::<Vec<_>>();
        tables.sort_unstable();
        assert_eq!(copied, tables);
    }
}
