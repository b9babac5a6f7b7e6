//! Servers of databases from the machine's packages, each private to this process: in a temporary directory, reached by
//! a Unix socket, gone with the process.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

const START: Duration = Duration::from_secs(120);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DatabaseKind {
    Postgresql,
    Mariadb,
}

impl DatabaseKind {
    pub const ALL: [Self; 2] = [Self::Postgresql, Self::Mariadb];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Postgresql => "postgresql",
            Self::Mariadb => "mariadb",
        }
    }

    /// The user that its server runs as where we are root.
    const fn user(self) -> &'static str {
        match self {
            Self::Postgresql => "postgres",
            Self::Mariadb => "mysql",
        }
    }

    const fn socket(self) -> &'static str {
        match self {
            Self::Postgresql => ".s.PGSQL.5432",
            Self::Mariadb => "socket",
        }
    }

    /// The directory of its programs, if they are installed.
    fn programs(self) -> Option<PathBuf> {
        match self {
            Self::Postgresql => find(&["postgres"], "/usr/lib/postgresql"),
            Self::Mariadb => find(&["mariadbd", "mariadb-install-db"], "/usr"),
        }
    }

    /// Makes its data below the directory, and becomes the server.
    fn script(self, bin: &Path, dir: &Path) -> String {
        let (bin, at) = (bin.display(), dir.display());
        match self {
            Self::Postgresql => format!(
                "{bin}/initdb -D {at}/data -A trust -U octavia -E UTF8 --locale=C.UTF-8 --no-sync >{at}/log 2>&1 && \
                 exec {bin}/postgres -D {at}/data -k {at} -c listen_addresses= -c fsync=off -c full_page_writes=off \
                 -c synchronous_commit=off -c max_connections=300 >>{at}/log 2>&1"
            ),
            // A directory for temporary files of its own: a server that starts clears what it takes for left over.
            Self::Mariadb => format!(
                "mkdir {at}/tmp && export TMPDIR={at}/tmp && \
                 mariadb-install-db --no-defaults --datadir={at}/data --auth-root-authentication-method=normal \
                 --skip-test-db >{at}/log 2>&1 && \
                 exec {bin}/mariadbd --no-defaults --datadir={at}/data --socket={at}/socket --pid-file={at}/pid \
                 --skip-networking --innodb-flush-log-at-trx-commit=0 --innodb-doublewrite=0 --skip-log-bin \
                 --max-connections=300 --performance-schema=0 >>{at}/log 2>&1"
            ),
        }
    }
}

#[derive(Debug)]
pub struct DatabaseServer {
    pub kind: DatabaseKind,
    dir: PathBuf,
    bin: PathBuf,
    /// Its standard input is ours: when this process ends, however it ends, so does the server.
    _guard: Child,
}

impl DatabaseServer {
    /// `None` = it is not installed.
    ///
    /// # Errors
    ///
    /// If it does not start.
    pub fn start(kind: DatabaseKind) -> Result<Option<Self>> {
        let Some(bin) = kind.programs() else { return Ok(None) };
        let user = is_root().then(|| kind.user());
        let dir = private_dir(user)?;
        let guard = spawn(&kind.script(&bin, &dir), user, &dir)?;
        let server = Self { kind, dir, bin, _guard: guard };
        server.wait()?;
        Ok(Some(server))
    }

    /// Waits until it listens.
    fn wait(&self) -> Result<()> {
        let deadline = Instant::now() + START;
        let path = self.dir.join(self.kind.socket());
        while std::os::unix::net::UnixStream::connect(&path).is_err() {
            if Instant::now() > deadline {
                let mut log = String::new();
                let _ =
                    std::fs::File::open(self.dir.join("log")).map(|mut file| file.read_to_string(&mut log));
                bail!("{} did not start:\n{log}", self.kind.name());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Of one of its databases.
    pub fn url(&self, database: &str) -> String {
        let dir = self.dir.display();
        match self.kind {
            DatabaseKind::Postgresql => format!("postgres://octavia@localhost/{database}?host={dir}"),
            DatabaseKind::Mariadb => format!("mysql://root@localhost/{database}?socket={dir}/socket"),
        }
    }

    /// Makes an empty database; answers its URL. `name`: letters, digits and underscores.
    ///
    /// # Errors
    ///
    /// If it is there already, or the server's own client says otherwise that it cannot be made.
    pub fn database(&self, name: &str) -> Result<String> {
        let always_there = if self.kind == DatabaseKind::Postgresql { "postgres" } else { "mysql" };
        self.execute(always_there, &format!("CREATE DATABASE {name}"))?;
        Ok(self.url(name))
    }

    /// Runs a statement by the server's own client.
    ///
    /// # Errors
    ///
    /// What the client says.
    pub fn execute(&self, database: &str, sql: &str) -> Result<()> {
        let output = match self.kind {
            DatabaseKind::Postgresql => Command::new(self.bin.join("psql"))
                .args(["--no-psqlrc", "--username=octavia", "--command", sql, "--dbname", database])
                .arg(format!("--host={}", self.dir.display()))
                .output(),
            DatabaseKind::Mariadb => Command::new("mariadb")
                .args(["--no-defaults", "--user=root", "--execute", sql, "--database", database])
                .arg(format!("--socket={}/socket", self.dir.display()))
                .output(),
        };
        let output = output.with_context(|| format!("the client of {}", self.kind.name()))?;
        ensure!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }
}

/// Runs the script as the user; at the end of its standard input, ends it and removes the directory.
fn spawn(script: &str, user: Option<&str>, dir: &Path) -> Result<Child> {
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
    Ok(command.spawn()?)
}

fn private_dir(user: Option<&str>) -> Result<PathBuf> {
    let dir = tempfile::Builder::new().prefix("octavia-db-").tempdir_in("/tmp")?.keep();
    if let Some(user) = user {
        ensure!(Command::new("chown").arg(user).arg(&dir).status()?.success(), "chown {user} failed");
    }
    Ok(dir)
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
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
