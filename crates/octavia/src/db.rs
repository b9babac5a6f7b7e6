//! `octavia db`: what is done to a store while no service uses it.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use jiff::{SignedDuration, Timestamp};
use octavia_store::{Activity, CopyEvent, Store, StoreOptions};

use crate::args::{DbCommand, DbCopy};
use crate::settings;

/// What a service left longer ago tells nothing of now.
const RECENT: SignedDuration = SignedDuration::from_mins(2);
/// How long a store is watched that was in use lately: longer than heartbeats are apart by default, and leases last
/// without being renewed.
const WATCHED: Duration = Duration::from_secs(15);

pub(crate) async fn run(command: DbCommand) -> Result<ExitCode> {
    match command {
        DbCommand::Copy(options) => copy(options).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn copy(options: DbCopy) -> Result<()> {
    let from = connect(&options.from, "--from").await?;
    let to = connect(&creating(options.to), "--to").await?;
    if !options.in_use {
        refuse_in_use(&from).await?;
    }
    let mut rows_in_all = 0;
    let progress = io::stderr().is_terminal();
    from.copy_to(&to, |event| {
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
    let _ = writeln!(io::stdout(), "{rows_in_all} rows copied; each was read again and is the same");
    Ok(())
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
    let Activity { heartbeat_at, leased_until } = activity;
    heartbeat_at.is_some_and(|at| now.duration_since(at) < RECENT)
        || leased_until.is_some_and(|until| until > now)
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
    if url.starts_with("sqlite:") { Ok(url.to_owned()) } else { settings::database_url(url) }
}

/// A file is made if it is not there.
fn creating(url: String) -> String {
    if url.starts_with("sqlite:") && !url.contains('?') { format!("{url}?mode=rwc") } else { url }
}
