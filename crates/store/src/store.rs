//! The handle: connections, clock, and the frame around every operation.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use sea_orm::sqlx::{Connection, MySqlConnection, PgConnection, SqliteConnection};
use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr,
    RuntimeErr, SqliteTransactionMode, SqlxError, Statement, TransactionOptions, TransactionTrait,
};
use tokio::sync::Notify;

use crate::entity::codec;
use crate::group::{WriteTransaction, Writers};
use crate::{Behalf, Call, Schema, StoreError, StoreOptions, check_url, gather, migration};

/// Cheap to clone; clones share connections.
#[derive(Debug, Clone)]
pub struct Store {
    /// Sessions whose transactions see each statement's newest rows, and lock them. SQLite: one connection.
    write: DatabaseConnection,
    /// Who writes there, where commits are shared: SQLite in a file.
    writers: Option<Writers>,
    /// Sessions whose transactions see one moment.
    read: DatabaseConnection,
    pub(crate) options: Arc<StoreOptions>,
    signal: Arc<Notify>,
    pub(crate) behalf: Behalf,
}

impl Store {
    /// Connects, without touching the schema. URLs: `sqlite::memory:` (private to this store and its clones),
    /// `sqlite:///path/file.db?mode=rwc`, `postgres://user:password@host/database`,
    /// `mysql://user:password@host/database`.
    pub async fn connect(url: &str, options: StoreOptions) -> Result<Self, StoreError> {
        check_url(url)?;
        let (write, read) = if url.starts_with("sqlite:") {
            sqlite(url, &options).await?
        } else if url.starts_with("postgres:") || url.starts_with("postgresql:") {
            postgres(url, &options).await?
        } else {
            mariadb(&url.replacen("mariadb:", "mysql:", 1), &options).await?
        };
        let in_file = url.starts_with("sqlite:") && !in_memory(url);
        let writers = in_file.then(|| Writers::new(options.timeout));
        Ok(Self {
            write,
            writers,
            read,
            options: Arc::new(options),
            signal: Arc::default(),
            behalf: Behalf::default(),
        })
    }

    /// Ends all connections. Of SQLite in a file, that file alone then has everything, unless another process has it open.
    pub async fn close(self) -> Result<(), StoreError> {
        let in_memory = self.backend() == DbBackend::Sqlite && self.writers.is_none();
        let in_file = self.writers.is_some();
        self.read.close().await?;
        if in_file {
            self.write.execute_unprepared("PRAGMA wal_checkpoint(TRUNCATE)").await?;
        }
        // In memory it is the same connection.
        if !in_memory {
            self.write.close().await?;
        }
        Ok(())
    }

    /// Brings the schema to this version's, from nothing or from any earlier one. Of several processes that do, one does.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        if self.backend() == DbBackend::Sqlite {
            migration::up(&self.write, None).await?;
            return Ok(());
        }
        let lock = self.begin_read().await?;
        migration::lock(&lock).await?;
        let migrated = migration::up(&self.write, None).await;
        migration::unlock(lock).await?;
        migrated?;
        Ok(())
    }

    /// The schema beside this version's; changes nothing.
    pub async fn schema(&self) -> Result<Schema, StoreError> {
        Ok(migration::schema(&self.read).await?)
    }

    /// Applies at most so many of the migrations that are missing; returns how many.
    pub async fn migrate_up(&self, steps: u32) -> Result<usize, StoreError> {
        Ok(migration::up(&self.write, Some(steps)).await?)
    }

    /// Takes back the newest migrations (`None` = all), and loses what only their tables hold.
    pub async fn migrate_down(&self, steps: Option<u32>) -> Result<(), StoreError> {
        Ok(migration::down(&self.write, steps).await?)
    }

    /// Removes every row. For tests that reuse a database.
    pub async fn clear(&self) -> Result<(), StoreError> {
        let tx = self.begin_write().await?;
        if self.backend() == DbBackend::Sqlite {
            // One round trip.
            let all = migration::tables().map(|table| format!("DELETE FROM {table};"));
            tx.execute_unprepared(&all.collect::<String>()).await?;
        } else {
            for table in migration::tables() {
                tx.execute_unprepared(&format!("DELETE FROM {table}")).await?;
            }
        }
        Ok(tx.commit().await?)
    }

    /// The database's clock, or [`StoreOptions::clock`], in whole microseconds.
    pub async fn now(&self) -> Result<Timestamp, StoreError> {
        self.clock(&self.read).await
    }

    /// Notified when something in this process made work due. A hint: other processes' writes are found by
    /// [`Store::work_next_due`] and [`Store::work_due`].
    pub fn work_signal(&self) -> Arc<Notify> {
        self.signal.clone()
    }

    /// Tells workers of this process that something is due.
    pub(crate) fn signal_work(&self) {
        if !self.behalf.rehearses {
            self.signal.notify_one();
        }
    }

    pub(crate) fn backend(&self) -> DbBackend {
        self.write.get_database_backend()
    }

    /// The connection for single statements that write.
    pub(crate) const fn writer(&self) -> &DatabaseConnection {
        &self.write
    }

    /// The connection for single statements that read.
    pub(crate) const fn reader(&self) -> &DatabaseConnection {
        &self.read
    }

    /// A transaction that writes; on SQLite it holds the write lock from its beginning, so it never fails half-way
    /// for want of it.
    pub(crate) async fn begin_write(&self) -> Result<WriteTransaction, DbErr> {
        if let Some(writers) = &self.writers {
            return writers.begin(&self.write).await;
        }
        let immediate = (self.backend() == DbBackend::Sqlite).then_some(SqliteTransactionMode::Immediate);
        let options = TransactionOptions { sqlite_transaction_mode: immediate, ..Default::default() };
        Ok(WriteTransaction::alone(self.write.begin_with_options(options).await?))
    }

    /// A transaction that reads one moment.
    pub(crate) async fn begin_read(&self) -> Result<DatabaseTransaction, DbErr> {
        self.read.begin().await
    }

    /// [`StoreOptions::horizon`].
    pub(crate) fn horizon(&self) -> Duration {
        self.options.horizon
    }

    pub(crate) async fn clock(&self, db: &impl ConnectionTrait) -> Result<Timestamp, StoreError> {
        if let Some(clock) = &self.options.clock {
            return Ok(codec::whole_micros(clock.now()));
        }
        let backend = db.get_database_backend();
        let sql = match backend {
            DbBackend::Postgres => {
                "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT) AS now"
            }
            DbBackend::MySql => "SELECT CAST(UNIX_TIMESTAMP(SYSDATE(6)) * 1000000 AS SIGNED) AS now",
            // SQLite runs in this process: its clock is ours.
            _ => return Ok(codec::whole_micros(Timestamp::now())),
        };
        let row = db.query_one_raw(Statement::from_string(backend, sql)).await?;
        let micros: i64 = match row {
            Some(row) => row.try_get("", "now")?,
            None => return Err(DbErr::RecordNotFound("the database's clock".to_owned()).into()),
        };
        codec::Decode("clock").time("now", micros)
    }

    pub(crate) async fn enter(&self, call: &Call) -> Result<(), StoreError> {
        match &self.options.interceptor {
            Some(interceptor) => interceptor.before(call).await,
            None => Ok(()),
        }
    }

    pub(crate) fn attempted(&self, call: &Call) {
        if let Some(interceptor) = &self.options.interceptor {
            interceptor.attempted(call);
        }
    }

    pub(crate) async fn leave(&self, call: &Call) -> Result<(), StoreError> {
        match &self.options.interceptor {
            Some(interceptor) => interceptor.after(call).await,
            None => Ok(()),
        }
    }
}

fn connect_options(url: &str, options: &StoreOptions) -> ConnectOptions {
    let mut connect = ConnectOptions::new(url);
    connect
        .sqlx_logging(false)
        .record_stmt_in_spans(false)
        .max_connections(options.connections.max(1))
        // A connection in use was alive just now; asking again costs a round trip for every operation.
        .test_before_acquire_if_idle_for(Duration::from_secs(5))
        .acquire_timeout(options.timeout)
        .connect_timeout(options.timeout);
    connect
}

fn in_memory(url: &str) -> bool {
    url.contains(":memory:") || url.contains("mode=memory")
}

async fn sqlite(
    url: &str,
    options: &StoreOptions,
) -> Result<(DatabaseConnection, DatabaseConnection), StoreError> {
    use sea_orm::sqlx::sqlite::{SqliteJournalMode, SqliteSynchronous};

    let in_memory = in_memory(url);
    let timeout = options.timeout;
    let connection = |connections: u32| {
        let mut connect = connect_options(url, options);
        connect.max_connections(connections).min_connections(1);
        connect.idle_timeout(None).max_lifetime(None);
        connect.map_sqlx_sqlite_opts(move |sqlite| {
            let sqlite = sqlite
                .foreign_keys(true)
                .busy_timeout(timeout)
                .statement_cache_capacity(512)
                .row_buffer_size(gather::ROOM)
                // What a savepoint would take back is kept in memory.
                .pragma("temp_store", "MEMORY")
                // An accepted request survives power loss, too: a commit waits for the disk. Writers are few.
                .synchronous(SqliteSynchronous::Full);
            if in_memory { sqlite } else { sqlite.journal_mode(SqliteJournalMode::Wal) }
        });
        if !in_memory {
            // Closing the only connection would end a database in memory.
            connect.map_sqlx_sqlite_before_acquire(|connection, _| Box::pin(async { is_clean(connection) }));
        }
        Database::connect(connect)
    };
    let write = connection(1).await?;
    let read = if in_memory { write.clone() } else { connection(options.connections.max(1)).await? };
    Ok((write, read))
}

/// Whether a connection that waits in the pool is outside any transaction; otherwise the pool closes it and opens
/// another.
///
/// When the disk is full, or fails, SQLite takes the transaction back by itself. The driver's own `ROLLBACK` then
/// fails, and it goes on counting an open transaction: every later one would be a savepoint in a transaction that nobody
/// commits, acknowledged, seen by no reader, and lost at the end of the process.
fn is_clean(connection: &SqliteConnection) -> Result<bool, sea_orm::sqlx::Error> {
    let clean = !connection.is_in_transaction();
    if !clean {
        tracing::warn!("a transaction ended badly: the database is opened anew");
    }
    Ok(clean)
}

async fn postgres(
    url: &str,
    options: &StoreOptions,
) -> Result<(DatabaseConnection, DatabaseConnection), StoreError> {
    let connection = |isolation: &'static str| {
        let mut connect = connect_options(url, options);
        connect.map_sqlx_postgres_opts(move |postgres| {
            postgres.options([("default_transaction_isolation", isolation)]).statement_cache_capacity(512)
        });
        Database::connect(connect)
    };
    let write = match connection("read committed").await {
        Ok(write) => write,
        Err(error) => return Err(cause::<PgConnection>(url, error).await.into()),
    };
    Ok((write, connection("repeatable read").await?))
}

async fn mariadb(
    url: &str,
    options: &StoreOptions,
) -> Result<(DatabaseConnection, DatabaseConnection), StoreError> {
    let connection = |session: &'static str| {
        let mut connect = connect_options(url, options);
        connect.map_sqlx_mysql_opts(|mysql| mysql.statement_cache_capacity(512));
        connect.map_sqlx_mysql_pool_opts(move |pool| {
            pool.after_connect(move |connection, _| {
                Box::pin(async move {
                    use sea_orm::sqlx::Executor;
                    connection.execute(session).await.map(|_| ())
                })
            })
            .after_release(|connection, _| Box::pin(is_in_step(connection)))
        });
        Database::connect(connect)
    };
    let write = match connection("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED").await {
        Ok(write) => write,
        Err(error) => return Err(cause::<MySqlConnection>(url, error).await.into()),
    };
    Ok((write, connection("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ").await?))
}

/// Why no connection could be made: a pool tries again until its time is over, and then knows only that.
async fn cause<C: Connection>(url: &str, error: DbErr) -> DbErr {
    match &error {
        DbErr::Conn(RuntimeErr::SqlxError(told)) if matches!(**told, SqlxError::PoolTimedOut) => {}
        _ => return error,
    }
    match tokio::time::timeout(ANSWER_MAX, C::connect(url)).await {
        Ok(Err(cause)) => DbErr::Conn(RuntimeErr::SqlxError(cause.into())),
        _ => error,
    }
}

/// The longest that a single connection may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// Whether a connection that comes back to the pool answers what it is asked; otherwise the pool closes it.
///
/// The driver does not know how far it is with what was dropped half-way: it may wait for ever for the answer to what was
/// never sent, and count as used for ever, or take the rest of an old answer for a new one.
async fn is_in_step(connection: &mut MySqlConnection) -> Result<bool, sea_orm::sqlx::Error> {
    use sea_orm::sqlx::{AssertSqlSafe, Executor as _, Row as _, raw_sql};

    let number: u32 = rand::random();
    let question = raw_sql(AssertSqlSafe(format!("SELECT {number}")));
    let answer = tokio::time::timeout(ANSWER_MAX, connection.fetch_one(question)).await;
    let answer = answer.ok().and_then(Result::ok).and_then(|row| row.try_get::<i64, _>(0).ok());
    if answer == Some(number.into()) {
        return Ok(true);
    }
    // An error, so that it is not even asked to close.
    Err(sea_orm::sqlx::Error::Protocol("a connection is out of step, and closed".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_transaction_that_sqlite_takes_back_harms_no_later_one() {
        let dir = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}?mode=rwc", dir.path().join("octavia.db").display());
        let store = Store::connect(&url, StoreOptions::default()).await.unwrap();
        store.writer().execute_unprepared("CREATE TABLE note (id INTEGER PRIMARY KEY)").await.unwrap();
        // A failure ends the transaction inside SQLite, as a full disk does.
        let insert = async |sql: &str| {
            let tx = store.begin_write().await?;
            tx.execute_unprepared(sql).await?;
            tx.commit().await
        };

        insert("INSERT OR ROLLBACK INTO note VALUES (1), (1)").await.unwrap_err();
        // Rolling back to a savepoint would leave its transaction open.
        store.begin_write().await.unwrap().rollback().await.unwrap();
        insert("INSERT INTO note VALUES (2)").await.unwrap();
        let select = Statement::from_string(DbBackend::Sqlite, "SELECT id FROM note");
        let seen = store.reader().query_all_raw(select).await.unwrap();
        assert_eq!(seen.len(), 1, "what was committed is there for all");
    }

    #[tokio::test]
    async fn why_a_database_is_not_reached() {
        let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let options = StoreOptions { timeout: Duration::from_millis(300), ..StoreOptions::default() };
        for scheme in ["postgres", "mysql"] {
            let url = format!("{scheme}://u:QzX7@{nobody}/d");
            let said = Store::connect(&url, options.clone()).await.unwrap_err().to_string();
            assert!(said.contains("Connection refused") && !said.contains("QzX7"), "{said}");
        }
    }
}
