//! `octavia db`: what is done to a store while no service uses it.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use anyhow::{Context, Result};
use octavia_store::{CopyEvent, Store, StoreOptions};

use crate::args::{DbCommand, DbCopy};
use crate::settings;

pub(crate) async fn run(command: DbCommand) -> Result<ExitCode> {
    match command {
        DbCommand::Copy(options) => copy(options).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn copy(options: DbCopy) -> Result<()> {
    let from = connect(&options.from, "--from").await?;
    let to = connect(&creating(options.to), "--to").await?;
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
    .context("nothing was copied")?;
    let _ = writeln!(io::stdout(), "{rows_in_all} rows copied; each was read again and is the same");
    Ok(())
}

async fn connect(url: &str, option: &str) -> Result<Store> {
    // The URL may hold a password: it is not repeated.
    let context = || format!("the database of {option} cannot be used");
    let url = store_url(url).map_err(anyhow::Error::msg).with_context(context)?;
    Store::connect(&url, StoreOptions::default()).await.with_context(context)
}

/// As `--database` takes it, or as `octavia.conf` does; a path of SQLite is one, with three slashes or four.
fn store_url(url: &str) -> Result<String, &'static str> {
    if url.contains(":memory:") || url.contains("mode=memory") {
        return Err("a database in memory ends with the copy; allowed: a file, PostgreSQL, MariaDB");
    }
    if url.starts_with("sqlite:") { Ok(url.to_owned()) } else { settings::database_url(url) }
}

/// A file is made if it is not there.
fn creating(url: String) -> String {
    if url.starts_with("sqlite:") && !url.contains('?') { format!("{url}?mode=rwc") } else { url }
}
