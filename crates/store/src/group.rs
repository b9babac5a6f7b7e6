//! Writers of SQLite in a file share commits.
//!
//! A commit waits for the disk, which takes as long as some thousand statements, and only one writes at a time. So
//! whoever is done while others wait leaves the transaction open for the next one, who works behind a savepoint; the
//! last commits for all, and only then is anybody answered. An answer still means that the write survives the loss of
//! power, a burst of writes waits for the disk a few times instead of once each, and a writer alone waits for nobody.
//! One that fails takes back its own part and nothing else.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use sea_orm::{
    ConnAcquireErr, ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, ExecResult,
    QueryResult, RuntimeErr, SqliteTransactionMode, Statement, TransactionOptions, TransactionTrait,
};
use tokio::runtime::Handle;
use tokio::sync::{Mutex, OwnedMutexGuard, oneshot};

/// Writers that share a commit, at most.
const MEMBERS_MAX: usize = 64;
/// After so long nobody joins any more: the first has waited enough.
const AGE_MAX: Duration = Duration::from_millis(8);

/// A transaction that writes: one of its own, or a part of one that others share.
#[derive(Debug)]
pub(crate) struct WriteTransaction {
    // In this order: what is not committed is taken back before the next one comes.
    tx: DatabaseTransaction,
    seat: Option<Seat>,
}

impl WriteTransaction {
    pub(crate) const fn alone(tx: DatabaseTransaction) -> Self {
        Self { tx, seat: None }
    }

    /// Returns when everything is as durable as the database makes it.
    pub(crate) async fn commit(self) -> Result<(), DbErr> {
        let Self { tx, seat } = self;
        tx.commit().await?;
        match seat {
            Some(seat) => seat.commit().await,
            None => Ok(()),
        }
    }

    /// Returns when what it saw of others is durable: it may have changed nothing because they had done it before.
    pub(crate) async fn rollback(self) -> Result<(), DbErr> {
        let Self { tx, seat } = self;
        tx.rollback().await?;
        let Some(mut seat) = seat else { return Ok(()) };
        if seat.open().is_some_and(|open| !open.members.is_empty()) {
            return seat.commit().await;
        }
        seat.leave(Next::MayJoin);
        Ok(())
    }
}

impl std::ops::Deref for WriteTransaction {
    type Target = DatabaseTransaction;

    fn deref(&self) -> &DatabaseTransaction {
        &self.tx
    }
}

#[async_trait::async_trait]
impl ConnectionTrait for WriteTransaction {
    fn get_database_backend(&self) -> DbBackend {
        self.tx.get_database_backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        self.tx.execute_raw(statement).await
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        self.tx.execute_unprepared(sql).await
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        self.tx.query_one_raw(statement).await
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        self.tx.query_all_raw(statement).await
    }
}

/// Those who write to one database of this process. Cheap to clone; clones are the same.
#[derive(Debug, Clone)]
pub(crate) struct Writers {
    open: Arc<Mutex<Option<Open>>>,
    waiting: Arc<AtomicUsize>,
    age_max: Duration,
    /// How long one waits for those who came before.
    patience: Duration,
}

/// The transaction they share, with what is done in it so far.
#[derive(Debug)]
struct Open {
    tx: DatabaseTransaction,
    since: Instant,
    /// Who wants to know how it ends.
    members: Vec<oneshot::Sender<Result<(), DbErr>>>,
}

impl Writers {
    pub(crate) fn new(patience: Duration) -> Self {
        Self { open: Arc::default(), waiting: Arc::default(), age_max: AGE_MAX, patience }
    }

    /// Waits for those who came before.
    pub(crate) async fn begin(&self, db: &DatabaseConnection) -> Result<WriteTransaction, DbErr> {
        let seat = tokio::time::timeout(self.patience, Waiting::new(self).seat()).await;
        let mut seat = seat.map_err(|_| DbErr::ConnectionAcquire(ConnAcquireErr::Timeout))?;
        let open = match seat.open() {
            Some(open) => open,
            None => {
                // It holds the write lock from its beginning, so it never fails half-way for want of it.
                let immediate = Some(SqliteTransactionMode::Immediate);
                let options = TransactionOptions { sqlite_transaction_mode: immediate, ..Default::default() };
                let tx = db.begin_with_options(options).await?;
                seat.start(Open { tx, since: Instant::now(), members: vec![] })?
            }
        };
        let tx = open.tx.begin().await?;
        Ok(WriteTransaction { tx, seat: Some(seat) })
    }
}

/// One who waits for the seat, and is counted.
struct Waiting<'a> {
    writers: &'a Writers,
    served: bool,
}

impl<'a> Waiting<'a> {
    fn new(writers: &'a Writers) -> Self {
        writers.waiting.fetch_add(1, Ordering::SeqCst);
        Self { writers, served: false }
    }

    async fn seat(mut self) -> Seat {
        let guard = Arc::clone(&self.writers.open).lock_owned().await;
        self.served = true;
        Seat { writers: self.writers.clone(), guard: Some(guard) }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.writers.waiting.fetch_sub(1, Ordering::SeqCst);
        if self.served {
            return;
        }
        // Somebody may have left the transaction open for this one, who was dropped while it waited.
        let writers = self.writers.clone();
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move {
                let guard = Arc::clone(&writers.open).lock_owned().await;
                Seat { writers, guard: Some(guard) }.leave(Next::MayJoin);
            });
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    MayJoin,
    /// Something went wrong inside the transaction: what is in it ends now, one way or the other.
    StartsAnew,
}

/// The right to write. Dropping it ends the transaction for all who are in it.
#[derive(Debug)]
struct Seat {
    writers: Writers,
    /// `None` = given on.
    guard: Option<OwnedMutexGuard<Option<Open>>>,
}

impl Seat {
    fn open(&mut self) -> Option<&mut Open> {
        self.guard.as_mut()?.as_mut()
    }

    fn start(&mut self, open: Open) -> Result<&mut Open, DbErr> {
        let guard = self.guard.as_mut().ok_or_else(lost)?;
        Ok(guard.insert(open))
    }

    /// The part is done: waits until it is committed with the others.
    async fn commit(mut self) -> Result<(), DbErr> {
        let (tell, told) = oneshot::channel();
        self.open().ok_or_else(lost)?.members.push(tell);
        self.leave(Next::MayJoin);
        told.await.unwrap_or_else(|_| Err(lost()))
    }

    fn leave(mut self, next: Next) {
        self.give_on(next);
    }

    fn give_on(&mut self, next: Next) {
        let Some(mut guard) = self.guard.take() else { return };
        let Some(open) = guard.take() else { return };
        let nobody = self.writers.waiting.load(Ordering::SeqCst) == 0;
        let room = open.members.len() < MEMBERS_MAX && open.since.elapsed() < self.writers.age_max;
        if next == Next::MayJoin && !nobody && room {
            *guard = Some(open);
            return;
        }
        // A task of its own: whoever is last may be dropped, and the others are answered all the same. The seat goes
        // on when it is over.
        match Handle::try_current() {
            Ok(runtime) => {
                runtime.spawn(async move {
                    open.end().await;
                    drop(guard);
                });
            }
            // The process ends: nobody was answered.
            Err(_) => drop(open),
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.give_on(Next::StartsAnew);
    }
}

impl Open {
    async fn end(self) {
        if self.members.is_empty() {
            // Nothing is left in it.
            if let Err(error) = self.tx.rollback().await {
                tracing::debug!(%error, "an empty transaction ended badly");
            }
            return;
        }
        let outcome = self.tx.commit().await;
        for member in self.members {
            // Who does not listen any more was dropped.
            let _ = member.send(outcome.clone());
        }
    }
}

fn lost() -> DbErr {
    DbErr::Conn(RuntimeErr::Internal("the transaction ended with the process".to_owned()))
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::task::Poll;

    use sea_orm::Database;
    use tokio::task::JoinHandle;

    use super::*;

    struct Bench {
        db: DatabaseConnection,
        writers: Writers,
        _dir: tempfile::TempDir,
    }

    impl Bench {
        async fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let url = format!("sqlite://{}?mode=rwc", dir.path().join("t.db").display());
            let mut options = sea_orm::ConnectOptions::new(url);
            options.max_connections(1).map_sqlx_sqlite_before_acquire(|connection, _| {
                Box::pin(async {
                    use sea_orm::sqlx::Connection as _;
                    Ok(!connection.is_in_transaction())
                })
            });
            let db = Database::connect(options).await.unwrap();
            db.execute_unprepared("CREATE TABLE note (id INTEGER PRIMARY KEY)").await.unwrap();
            // No machine is so slow that it parts them.
            let hour = Duration::from_secs(3600);
            let writers = Writers { age_max: hour, ..Writers::new(hour) };
            Self { db, writers, _dir: dir }
        }

        async fn begin(&self) -> WriteTransaction {
            self.writers.begin(&self.db).await.unwrap()
        }

        /// Waits for the seat.
        async fn next(&self) -> JoinHandle<WriteTransaction> {
            let before = self.waiting();
            let (writers, db) = (self.writers.clone(), self.db.clone());
            let next = tokio::spawn(async move { writers.begin(&db).await.unwrap() });
            while self.waiting() == before {
                tokio::task::yield_now().await;
            }
            next
        }

        fn waiting(&self) -> usize {
            self.writers.waiting.load(Ordering::SeqCst)
        }

        async fn notes(&self) -> Vec<i64> {
            let select = Statement::from_string(DbBackend::Sqlite, "SELECT id FROM note ORDER BY id");
            let rows = self.db.query_all_raw(select).await.unwrap();
            rows.iter().map(|row| row.try_get("", "id").unwrap()).collect()
        }
    }

    async fn note(tx: &WriteTransaction, id: u8) {
        tx.execute_unprepared(&format!("INSERT INTO note VALUES ({id})")).await.unwrap();
    }

    /// What the second does, whose transaction the first left open for it, and what comes of both.
    async fn check<F: Future<Output = ()>>(
        name: &str,
        second: impl Fn(WriteTransaction) -> F,
        first_is_stored: bool,
        stored: &[i64],
    ) {
        let bench = Bench::new().await;
        let first = bench.begin().await;
        note(&first, 1).await;
        let next = bench.next().await;
        let mut commit = std::pin::pin!(first.commit());
        let early = poll_fn(|cx| Poll::Ready(commit.as_mut().poll(cx).is_ready()));
        assert!(!early.await, "{name}: answered before anything was committed");
        let (outcome, ()) = futures_join(commit, async { second(next.await.unwrap()).await }).await;
        assert_eq!(outcome.is_ok(), first_is_stored, "{name}: {outcome:?}");
        assert_eq!(bench.notes().await, stored, "{name}");
        // Whatever happened, the next one writes.
        let third = bench.begin().await;
        note(&third, 9).await;
        third.commit().await.unwrap();
        assert!(bench.notes().await.contains(&9), "{name}");
    }

    async fn futures_join<A, B>(a: impl Future<Output = A>, b: impl Future<Output = B>) -> (A, B) {
        tokio::join!(a, b)
    }

    #[tokio::test]
    async fn what_one_does_harms_no_other() {
        let commit = |tx: WriteTransaction| async move {
            note(&tx, 2).await;
            tx.commit().await.unwrap();
        };
        check("both commit", commit, true, &[1, 2]).await;
        let rollback = |tx: WriteTransaction| async move {
            note(&tx, 2).await;
            tx.rollback().await.unwrap();
        };
        check("the second changes its mind", rollback, true, &[1]).await;
        // As when a write finds that another has done all of it: what it answers is no less durable.
        let nothing = |tx: WriteTransaction| async move { tx.rollback().await.unwrap() };
        check("the second finds nothing to do", nothing, true, &[1]).await;
        let dropped = |tx: WriteTransaction| async move { note(&tx, 2).await };
        check("the second is dropped", dropped, true, &[1]).await;
        let refused = |tx: WriteTransaction| async move {
            note(&tx, 2).await;
            tx.execute_unprepared("INSERT INTO note VALUES (1)").await.unwrap_err();
        };
        check("a statement is refused", refused, true, &[1]).await;
        // As a full disk does: SQLite takes everything back, and who was not answered yet is told.
        let torn = |tx: WriteTransaction| async move {
            tx.execute_unprepared("INSERT OR ROLLBACK INTO note VALUES (1)").await.unwrap_err();
        };
        check("everything is taken back", torn, false, &[]).await;
        let torn = |tx: WriteTransaction| async move {
            tx.execute_unprepared("INSERT OR ROLLBACK INTO note VALUES (1)").await.unwrap_err();
            tx.commit().await.unwrap_err();
        };
        check("everything is taken back, unnoticed", torn, false, &[]).await;
        let torn = |tx: WriteTransaction| async move {
            tx.execute_unprepared("INSERT OR ROLLBACK INTO note VALUES (1)").await.unwrap_err();
            tx.rollback().await.unwrap_err();
        };
        check("everything is taken back, and nothing was to be done", torn, false, &[]).await;
    }

    #[tokio::test]
    async fn who_stops_waiting_keeps_nobody_waiting() {
        let bench = Bench::new().await;
        let first = bench.begin().await;
        note(&first, 1).await;
        let next = bench.next().await;
        let commit = tokio::spawn(first.commit());
        next.abort();
        commit.await.unwrap().unwrap();
        assert_eq!(bench.notes().await, [1]);
    }

    #[tokio::test]
    async fn who_found_it_done_is_answered_when_it_is_stored() {
        let bench = Bench::new().await;
        let first = bench.begin().await;
        note(&first, 1).await;
        let second = bench.next().await;
        let first = tokio::spawn(first.commit());
        let second = second.await.unwrap();
        // Somebody waits, so that the transaction stays open.
        let third = bench.next().await;
        let answer = tokio::spawn(second.rollback());
        let third = third.await.unwrap();
        assert!(!answer.is_finished(), "answered before anything was committed");
        third.commit().await.unwrap();
        answer.await.unwrap().unwrap();
        first.await.unwrap().unwrap();
        assert_eq!(bench.notes().await, [1]);
    }

    #[tokio::test]
    async fn nobody_waits_for_ever() {
        let mut bench = Bench::new().await;
        let seat = bench.begin().await;
        bench.writers.patience = Duration::ZERO;
        let error = bench.writers.begin(&bench.db).await.unwrap_err();
        assert!(matches!(error, DbErr::ConnectionAcquire(_)), "{error}");
        seat.rollback().await.unwrap();
        bench.writers.patience = Duration::from_secs(3600);
        note(&bench.begin().await, 1).await;
    }

    #[tokio::test]
    async fn nobody_joins_for_ever() {
        let bench = Bench::new().await;
        let mut commits = vec![];
        let mut tx = bench.begin().await;
        for id in 0..u8::try_from(MEMBERS_MAX).unwrap() {
            note(&tx, id).await;
            let next = bench.next().await;
            commits.push(tokio::spawn(tx.commit()));
            tx = next.await.unwrap();
        }
        // The last of them is in another transaction, which is open still.
        for commit in commits {
            commit.await.unwrap().unwrap();
        }
        tx.rollback().await.unwrap();
        assert_eq!(bench.notes().await.len(), MEMBERS_MAX);
    }
}
