//! Several daemons over one database, killed at random while many users make load balancers.
//!
//! Each load balancer has to be made exactly once, and none may be stuck; what holds whose lease is read off the metrics.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use octavia_testkit::siege::{SiegeOptions, besiege};
use octavia_testkit::{Daemons, DaemonsOptions, DatabaseKind, DatabaseServer};
use tokio::sync::Mutex;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Both, one after the other, if not given
    #[arg(long, value_enum)]
    database: Option<Kind>,
    #[arg(long, default_value_t = 500)]
    load_balancers: usize,
    #[arg(long, default_value_t = 20)]
    clients: usize,
    #[arg(long, default_value_t = 2)]
    apis: usize,
    #[arg(long, default_value_t = 3)]
    workers: usize,
    #[arg(long, default_value_t = 2)]
    health_managers: usize,
    /// How long it takes at most from one kill to the next, in milliseconds
    #[arg(long, default_value_t = 3000)]
    calm: u64,
    /// So many kills at least
    #[arg(long, default_value_t = 30)]
    kills: u64,
    /// The longest pause of a user between two load balancers, in milliseconds
    #[arg(long, default_value_t = 2000)]
    pause: u64,
    /// How long things may take to settle, in seconds
    #[arg(long, default_value_t = 300)]
    settle: u64,
    /// Of the random choices; processes still race
    #[arg(long)]
    seed: Option<u64>,
    /// Use this program instead of building `octavia` for release
    #[arg(long)]
    binary: Option<PathBuf>,
    /// Keep the directory with configuration and logs, and say where it is
    #[arg(long)]
    keep: bool,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Kind {
    Postgresql,
    Mariadb,
}

/// Hundreds of amphorae share the machine with everything else.
const CONFIG: &str = "heartbeat_interval = 5\nheartbeat_timeout = 60\nhealth_check_interval = 3\n\
                      [metrics]\nrefresh_interval = 1\n[house_keeping]\ncleanup_interval = 10\n";

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let binary = super::binary(arguments.binary.as_deref())?.canonicalize()?;
    let seed = arguments.seed.unwrap_or_else(rand::random);
    let kinds = match arguments.database {
        Some(Kind::Postgresql) => vec![DatabaseKind::Postgresql],
        Some(Kind::Mariadb) => vec![DatabaseKind::Mariadb],
        None => DatabaseKind::ALL.to_vec(),
    };
    let runtime = tokio::runtime::Runtime::new()?;
    for kind in kinds {
        println!(
            "{} load balancers by {} users over {}, {} APIs, {} workers, {} health managers, seed {seed}",
            arguments.load_balancers,
            arguments.clients,
            kind.name(),
            arguments.apis,
            arguments.workers,
            arguments.health_managers
        );
        runtime.block_on(play(arguments, &binary, kind, seed))?;
    }
    Ok(())
}

async fn play(arguments: &Arguments, binary: &std::path::Path, kind: DatabaseKind, seed: u64) -> Result<()> {
    let server = DatabaseServer::start(kind)?;
    let server =
        server.with_context(|| format!("{} is not installed; `cargo xtask setup` does", kind.name()))?;
    let mut dir = tempfile::Builder::new().prefix("octavia-daemons-").tempdir()?;
    dir.disable_cleanup(arguments.keep);
    if arguments.keep {
        println!("configuration and logs in {}", dir.path().display());
    }
    let daemons = Daemons::start(DaemonsOptions {
        binary: binary.to_owned(),
        dir: dir.path().canonicalize()?,
        database: server.database("octavia")?,
        apis: arguments.apis,
        workers: arguments.workers,
        health_managers: arguments.health_managers,
        housekeepers: 1,
        config: CONFIG.to_owned(),
    })
    .await?;
    let daemons = Mutex::new(daemons);
    let options = SiegeOptions {
        load_balancers: arguments.load_balancers,
        clients: arguments.clients,
        seed,
        calm: Duration::from_millis(arguments.calm),
        kills: arguments.kills,
        pause: Duration::from_millis(arguments.pause),
        settle: Duration::from_secs(arguments.settle),
    };
    match besiege(&daemons, options).await {
        Ok(report) => {
            println!("{report}");
            println!("each made exactly once, none stuck (seed {seed})");
            Ok(())
        }
        Err(error) => {
            eprintln!("{}", daemons.lock().await.log_tails());
            bail!("seed {seed}: {error:#}")
        }
    }
}
