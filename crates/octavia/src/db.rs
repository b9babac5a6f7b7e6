//! `octavia db`: what is done to a store besides using it.

use std::fs::{self, File};
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use jiff::{SignedDuration, Timestamp};
use octavia_store::{Activity, CopyEvent, Schema, Store, StoreOptions};

use crate::args::{DbCommand, DbCopy, InstallationOptions};
use crate::installation::Installation;
use crate::settings;

/// What a service left longer ago tells nothing of now.
const RECENT: SignedDuration = SignedDuration::from_mins(2);
/// How long a store is watched that was in use lately: longer than heartbeats are apart by default, and leases last
/// without being renewed.
const WATCHED: Duration = Duration::from_secs(15);

pub(crate) async fn run(command: DbCommand) -> Result<ExitCode> {
    match command {
        DbCommand::Upgrade(options) => upgrade(&options).await?,
        DbCommand::Copy(options) => copy(options).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn upgrade(options: &InstallationOptions) -> Result<()> {
    let installation = Installation::read(options)?;
    let url = installation.database().context(
        "no database is named: [database] connection, --database, or --state-dir of an all-in-one",
    )?;
    let context = "the database cannot be used";
    let store = Store::connect(&url, StoreOptions::default()).await.context(context)?;
    let before = store.schema().await.context(context)?;
    if let Schema::Newer(_) = before {
        bail!("the schema is of a newer version than this one ({before}): nothing was changed");
    }
    store.migrate().await.context("the schema is not up to date")?;
    let said = match before {
        Schema::Current => "the schema was up to date".to_owned(),
        other => format!("the schema is up to date; before: {other}"),
    };
    // All is done, whether or not somebody reads about it.
    let _ = writeln!(io::stdout(), "{said}");
    Ok(())
}

async fn copy(options: DbCopy) -> Result<()> {
    let from = connect(&options.from, "--from").await?;
    let made = MadeFile::create(&options.to)?;
    let to = connect(&creating(options.to), "--to").await?;
    let rows = transfer(&from, &to, options.in_use).await;
    // Only then a file has everything in itself, and may be taken elsewhere or removed.
    let closed = to.close().await.context("the copy cannot be closed");
    let rows = rows?;
    closed?;
    made.keep();
    // All is done: what stays beside the old file for want of it harms nobody.
    let _ = from.close().await;
    let _ = writeln!(io::stdout(), "{rows} rows copied; each was read again and is the same");
    Ok(())
}

/// Returns how many rows there are.
async fn transfer(from: &Store, to: &Store, in_use: bool) -> Result<u64> {
    if !in_use {
        refuse_in_use(from).await?;
    }
    let mut rows_in_all = 0;
    let progress = io::stderr().is_terminal();
    from.copy_to(to, |event| {
        // The copy goes on whether or not somebody reads about it.
        let _ = match event {
            CopyEvent::Copied { table, rows } if progress => write!(io::stderr(), "\r{table}: {rows} rows "),
            CopyEvent::Copied { .. } => Ok(()),
            CopyEvent::Compared { table, rows } => {
                rows_in_all += rows;
                let erase = if progress { "\r\x1b[K" } else { "" };
                write!(io::stderr(), "{erase}").and_then(|()| writeln!(io::stdout(), "{table:<28}{rows:>12}"))
            }
        };
    })
    .await
    .context(NOTHING)?;
    Ok(rows_in_all)
}

/// A service that was killed leaves the same traces, but does not go on to leave them.
async fn refuse_in_use(store: &Store) -> Result<()> {
    let activity = async || store.activity().await.context(NOTHING);
    let (before, now) = activity().await?;
    if !is_recent(before, now) {
        return Ok(());
    }
    let seconds = WATCHED.as_secs();
    let _ = writeln!(
        io::stderr(),
        "The database of --from was in use a moment ago: looking for {seconds} s whether it still is"
    );
    let deadline = tokio::time::Instant::now() + WATCHED;
    while tokio::time::Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(250)).await;
        if activity().await?.0 != before {
            bail!(
                "{NOTHING}: a service is using the database of --from, and what it writes from now on would be missing; \
                 stop it, or copy what is there at this moment with --in-use"
            );
        }
    }
    Ok(())
}

const NOTHING: &str = "nothing was copied";

fn is_recent(activity: Activity, now: Timestamp) -> bool {
    let Activity { heartbeat_at, leased_until, due_until, leases: _ } = activity;
    let lately = |at: Timestamp| now.duration_since(at) < RECENT;
    heartbeat_at.is_some_and(lately)
        || leased_until.is_some_and(|until| until > now)
        // A service goes on looking at what needs no work.
        || due_until.is_some_and(lately)
}

async fn connect(url: &str, option: &str) -> Result<Store> {
    // The URL may hold a password: it is not repeated.
    let context = || format!("the database of {option} cannot be used");
    let url = store_url(url).map_err(anyhow::Error::msg).with_context(context)?;
    Store::connect(&url, StoreOptions::default()).await.with_context(context)
}

/// As `--database` takes it, or as `octavia.conf` does; a path of SQLite is one, with three slashes or four.
fn store_url(url: &str) -> Result<String, String> {
    if url.contains(":memory:") || url.contains("mode=memory") {
        return Err(
            "a database in memory ends with the copy; allowed: a file, PostgreSQL, MariaDB".to_owned()
        );
    }
    if url.starts_with("sqlite:") { Ok(url.to_owned()) } else { settings::database::database_url(url) }
}

/// A file is made if it is not there.
fn creating(url: String) -> String {
    if url.starts_with("sqlite:") && !url.contains('?') { format!("{url}?mode=rwc") } else { url }
}

/// The file that the copy goes to, if it was not there before. Dropped, it is removed.
struct MadeFile(Option<PathBuf>);

impl MadeFile {
    fn create(url: &str) -> Result<Self> {
        let context = || "the database of --to cannot be used".to_owned();
        store_url(url).map_err(anyhow::Error::msg).with_context(context)?;
        let Some(path) = url.strip_prefix("sqlite:").filter(|path| !path.contains(['?', '%'])) else {
            return Ok(Self(None));
        };
        let path = Path::new(path.strip_prefix("//").unwrap_or(path));
        match File::options().write(true).create_new(true).mode(0o600).open(path) {
            Ok(_) => Ok(Self(Some(path.to_owned()))),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(Self(None)),
            Err(error) => Err(error).with_context(context),
        }
    }

    fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for MadeFile {
    fn drop(&mut self) {
        let Some(path) = &self.0 else { return };
        for beside in ["", "-wal", "-shm"] {
            let mut name = path.clone().into_os_string();
            name.push(beside);
            // What is not there any more is fine, and the copy has failed already.
            let _ = fs::remove_file(name);
        }
    }
}
