//! Where log lines go: standard error, filtered by `--log` or `OCTAVIA_LOG`.

use tracing_subscriber::EnvFilter;

/// Whatever is asked for, these are not to tell more: at its lowest level the one has a database's URL with its password,
/// and the others quote what they do not know in it.
const QUIET: [&str; 3] =
    ["sea_orm::driver=info", "sqlx_postgres::options=error", "sqlx_mysql::options=error"];

/// How to log; shared by every subcommand that runs a service.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct LogOptions {
    /// What to log: a level (error, warn, info, debug, trace) or per-module directives (`info,octavia_control=debug`)
    /// [default: info]
    #[arg(long = "log", env = "OCTAVIA_LOG", value_name = "FILTER")]
    filter: Option<String>,
    /// One JSON object a line instead of text
    #[arg(long = "log-json", env = "OCTAVIA_LOG_JSON")]
    json: bool,
}

impl LogOptions {
    /// Only what needs attention: for the first minute of a newcomer.
    pub(crate) fn quiet() -> Self {
        Self { filter: Some("error".to_owned()), json: false }
    }

    /// With what a configuration says where the command line says nothing.
    pub(crate) fn or(self, debug: bool, json: bool) -> Self {
        let configured = debug.then(|| "debug".to_owned());
        Self { filter: self.filter.or(configured), json: self.json || json }
    }
}

pub(crate) fn init(options: &LogOptions) -> anyhow::Result<()> {
    use std::io::IsTerminal;

    let filter = options.filter.as_deref().unwrap_or("info");
    let filter = EnvFilter::try_new(filter).map_err(|e| anyhow::anyhow!("--log {filter:?}: {e}"))?;
    let filter = QUIET.iter().fold(filter, |filter, quiet| match quiet.parse() {
        Ok(directive) => filter.add_directive(directive),
        Err(_) => filter,
    });
    let builder = tracing_subscriber::fmt()
        // A line that cannot be written, on a full disk, is lost: complaining of it to the same place would panic.
        .log_internal_errors(false)
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    // A second initialisation in one process is a defect of ours, not the user's.
    let result = if options.json { builder.json().try_init() } else { builder.try_init() };
    result.map_err(|e| anyhow::anyhow!("logging could not be set up: {e}"))
}
