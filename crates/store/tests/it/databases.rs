//! Databases for tests: SQLite always; PostgreSQL and MariaDB from the machine's packages, each one private server
//! for the test process, in a temporary directory, reached by a Unix socket. A database for every test.
//!
//! A server whose programs are not installed is left out, unless `OCTAVIA_TEST_DATABASES=all`.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use octavia_store::{Store, StoreOptions};
use octavia_testkit::{DatabaseKind, DatabaseServer};
use sea_orm::{ConnectionTrait, Database};

/// A place for one test's data. The directory goes with it; databases of servers go with the server.
pub(crate) struct TestDatabase {
    pub(crate) name: &'static str,
    pub(crate) url: String,
    _dir: Option<tempfile::TempDir>,
}

impl TestDatabase {
    /// An empty, migrated store.
    pub(crate) async fn store(&self, options: StoreOptions) -> Store {
        let store = Store::connect(&self.url, options).await.unwrap();
        store.migrate().await.unwrap();
        store
    }
}

/// Each kind of database once, empty, without a schema.
pub(crate) async fn all() -> Vec<TestDatabase> {
    let dir = tempfile::tempdir().unwrap();
    let file = format!("sqlite://{}?mode=rwc", dir.path().join("octavia.db").display());
    let mut databases = vec![
        TestDatabase { name: "sqlite in memory", url: "sqlite::memory:".to_owned(), _dir: None },
        TestDatabase { name: "sqlite", url: file, _dir: Some(dir) },
    ];
    for server in DatabaseKind::ALL.into_iter().filter_map(server) {
        databases.push(database(server).await);
    }
    databases
}

/// Runs the test on every database, one after the other.
pub(crate) async fn on_all<F: Future<Output = ()>>(test: impl Fn(Store) -> F) {
    for database in all().await {
        eprintln!("on {}", database.name);
        let store = database.store(StoreOptions::default()).await;
        test(store).await;
    }
}

async fn database(server: &DatabaseServer) -> TestDatabase {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let name = format!("test_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
    let admin = server.url(if server.kind == DatabaseKind::Postgresql { "postgres" } else { "mysql" });
    let admin = Database::connect(&admin).await.unwrap();
    admin.execute_unprepared(&format!("CREATE DATABASE {name}")).await.unwrap();
    admin.close().await.unwrap();
    TestDatabase { name: server.kind.name(), url: server.url(&name), _dir: None }
}

/// The one server of its kind of this process.
fn server(kind: DatabaseKind) -> Option<&'static DatabaseServer> {
    static POSTGRESQL: OnceLock<Option<DatabaseServer>> = OnceLock::new();
    static MARIADB: OnceLock<Option<DatabaseServer>> = OnceLock::new();
    let server = match kind {
        DatabaseKind::Postgresql => &POSTGRESQL,
        DatabaseKind::Mariadb => &MARIADB,
    };
    server.get_or_init(|| required(kind.name(), DatabaseServer::start(kind).unwrap())).as_ref()
}

fn required(name: &str, server: Option<DatabaseServer>) -> Option<DatabaseServer> {
    let all = std::env::var("OCTAVIA_TEST_DATABASES").is_ok_and(|wanted| wanted == "all");
    assert!(server.is_some() || !all, "OCTAVIA_TEST_DATABASES=all, but {name} is not installed");
    if server.is_none() {
        eprintln!("{name} is not installed: its part of the suite is left out");
    }
    server
}
