//! Databases for tests: SQLite always; PostgreSQL and MariaDB from the machine's packages, each one private server
//! for the test process, in a temporary directory, reached by a Unix socket. A database for every test.
//!
//! A server whose programs are not installed is left out, unless `OCTAVIA_TEST_DATABASES=all`.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use octavia_store::{Store, StoreOptions};
use sea_orm::{ConnectionTrait, Database};

const START: Duration = Duration::from_secs(120);

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
    for server in [postgres(), mariadb()].into_iter().flatten() {
        databases.push(server.database().await);
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

/// A server of this process.
struct Server {
    name: &'static str,
    /// Of the database that is always there.
    admin: String,
    url: fn(&Path, &str) -> String,
    dir: PathBuf,
    /// Its standard input is ours: when this process ends, however it ends, so does the server.
    _guard: Child,
}

impl Server {
    async fn database(&self) -> TestDatabase {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let admin = Database::connect(&self.admin).await.unwrap();
        admin.execute_unprepared(&format!("CREATE DATABASE {name}")).await.unwrap();
        admin.close().await.unwrap();
        TestDatabase { name: self.name, url: (self.url)(&self.dir, &name), _dir: None }
    }
}

fn postgres() -> Option<&'static Server> {
    static SERVER: OnceLock<Option<Server>> = OnceLock::new();
    let start = || {
        let bin = find(&["postgres"], "/usr/lib/postgresql")?;
        let user = if is_root() { Some("postgres") } else { None };
        let dir = private_dir(user);
        let at = dir.display();
        let script = format!(
            "{bin}/initdb -D {at}/data -A trust -U octavia -E UTF8 --locale=C.UTF-8 --no-sync >{at}/log 2>&1 && \
             exec {bin}/postgres -D {at}/data -k {at} -c listen_addresses= -c fsync=off -c full_page_writes=off \
             -c synchronous_commit=off -c max_connections=300 >>{at}/log 2>&1",
            bin = bin.display()
        );
        let url =
            |dir: &Path, name: &str| format!("postgres://octavia@localhost/{name}?host={}", dir.display());
        let guard = spawn(&script, user, &dir);
        Some(started(
            Server { name: "postgresql", admin: url(&dir, "postgres"), url, dir, _guard: guard },
            ".s.PGSQL.5432",
        ))
    };
    SERVER.get_or_init(|| required("postgres", start())).as_ref()
}

fn mariadb() -> Option<&'static Server> {
    static SERVER: OnceLock<Option<Server>> = OnceLock::new();
    let start = || {
        let bin = find(&["mariadbd", "mariadb-install-db"], "/usr")?;
        let user = if is_root() { Some("mysql") } else { None };
        let dir = private_dir(user);
        let at = dir.display();
        // A directory for temporary files of its own: a server that starts clears what it takes for left over.
        let script = format!(
            "mkdir {at}/tmp && export TMPDIR={at}/tmp && mariadb-install-db --no-defaults --datadir={at}/data --auth-root-authentication-method=normal \
             --skip-test-db >{at}/log 2>&1 && \
             exec {bin}/mariadbd --no-defaults --datadir={at}/data --socket={at}/socket --pid-file={at}/pid \
             --skip-networking --innodb-flush-log-at-trx-commit=0 --innodb-doublewrite=0 --skip-log-bin \
             --max-connections=300 --performance-schema=0 >>{at}/log 2>&1",
            bin = bin.display()
        );
        let url =
            |dir: &Path, name: &str| format!("mysql://root@localhost/{name}?socket={}/socket", dir.display());
        let guard = spawn(&script, user, &dir);
        Some(started(
            Server { name: "mariadb", admin: url(&dir, "mysql"), url, dir, _guard: guard },
            "socket",
        ))
    };
    SERVER.get_or_init(|| required("mariadbd", start())).as_ref()
}

fn required(name: &str, server: Option<Server>) -> Option<Server> {
    let all = std::env::var("OCTAVIA_TEST_DATABASES").is_ok_and(|wanted| wanted == "all");
    assert!(server.is_some() || !all, "OCTAVIA_TEST_DATABASES=all, but {name} is not installed");
    if server.is_none() {
        eprintln!("{name} is not installed: its part of the suite is left out");
    }
    server
}

/// Runs the script as the user; at the end of its standard input, ends it and removes the directory.
fn spawn(script: &str, user: Option<&str>, dir: &Path) -> Child {
    let guard = format!(
        "({script}) & server=$!; cat >/dev/null; kill $server; wait $server; rm -rf {}",
        dir.display()
    );
    let mut command = match user {
        Some(user) => {
            let mut command = Command::new("setpriv");
            command.args(["--reuid", user, "--regid", user, "--clear-groups", "sh", "-c", &guard]);
            command
        }
        None => {
            let mut command = Command::new("sh");
            command.args(["-c", &guard]);
            command
        }
    };
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).current_dir("/");
    command.spawn().unwrap()
}

/// Waits until the server listens.
fn started(server: Server, socket: &str) -> Server {
    let deadline = Instant::now() + START;
    let path = server.dir.join(socket);
    while std::os::unix::net::UnixStream::connect(&path).is_err() {
        if Instant::now() > deadline {
            let mut log = String::new();
            let _ = std::fs::File::open(server.dir.join("log")).map(|mut file| file.read_to_string(&mut log));
            panic!("{} did not start:\n{log}", server.name);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    server
}

fn private_dir(user: Option<&str>) -> PathBuf {
    let dir = tempfile::Builder::new().prefix("octavia-db-").tempdir_in("/tmp").unwrap().keep();
    if let Some(user) = user {
        assert!(Command::new("chown").arg(user).arg(&dir).status().unwrap().success());
    }
    dir
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// The directory that holds the first of the programs; all must be found.
fn find(programs: &[&str], package: &str) -> Option<PathBuf> {
    // Real binaries first: distributions put wrappers into the path.
    let versions =
        std::fs::read_dir(package).into_iter().flatten().flatten().map(|entry| entry.path().join("bin"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let standard = ["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from);
    let places: Vec<_> = versions.chain(std::env::split_paths(&path)).chain(standard).collect();
    let place = |program: &str| places.iter().find(|place| place.join(program).is_file()).cloned();
    programs.iter().all(|program| place(program).is_some()).then(|| place(programs[0])).flatten()
}
