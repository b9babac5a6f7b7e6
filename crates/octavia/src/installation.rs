//! An installation as commands see that look at it from outside: its configuration, where its database is.

use std::path::PathBuf;

use octavia_config::{Problem, Severity};

use crate::args::InstallationOptions;
use crate::config;
use crate::settings::Settings;
use crate::settings::database::database_url;

#[derive(Debug)]
pub(crate) struct Installation {
    pub(crate) settings: Settings,
    /// What is wrong with the configuration, and what to know about it.
    pub(crate) problems: Vec<Problem>,
    pub(crate) state_dir: Option<PathBuf>,
    database: Option<String>,
}

impl Installation {
    /// Reads the configuration, whatever is wrong with it.
    ///
    /// # Errors
    ///
    /// If the command line names a database in a way that cannot be understood.
    pub(crate) fn read(options: &InstallationOptions) -> anyhow::Result<Self> {
        let (config, mut settings, mut problems) = config::read(&options.config);
        settings.policy.places = config::places(&options.config);
        problems.extend(settings.check_files(&config));
        let given = options.database.as_deref().map(database_url).transpose();
        let given = given.map_err(|what| anyhow::anyhow!("--database: {what}"))?;
        let database = given.or_else(|| settings.database.clone());
        Ok(Self { settings, problems, state_dir: options.state_dir.clone(), database })
    }

    /// The database that is named, or the one of an all-in-one in the state directory.
    pub(crate) fn database(&self) -> Option<String> {
        self.database.clone().or_else(|| {
            let path = self.state_dir.as_ref()?.join("octavia.db");
            path.exists().then(|| format!("sqlite://{}", path.display()))
        })
    }

    pub(crate) fn errors(&self) -> impl Iterator<Item = &Problem> {
        self.problems.iter().filter(|problem| problem.severity == Severity::Error)
    }

    pub(crate) fn warnings(&self) -> impl Iterator<Item = &Problem> {
        self.problems.iter().filter(|problem| problem.severity == Severity::Warning)
    }
}
