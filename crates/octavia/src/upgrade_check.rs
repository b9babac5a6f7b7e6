//! `octavia status upgrade check`: what stands against starting this version here, in the words and with the exit codes
//! of the original's `octavia-status upgrade check`.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use octavia_cloud::local::LocalClient;
use octavia_store::{Schema, Store, StoreOptions};

use crate::args::InstallationOptions;
use crate::installation::Installation;
use crate::policy;

/// That nothing could be looked at.
const UNKNOWN: u8 = 255;
const TITLE: &str = "Upgrade Check Results";
/// Details are folded to so many columns.
const COLUMNS: usize = 60;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    Success,
    Warning,
    Failure,
}

impl Outcome {
    const fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Warning => 1,
            Self::Failure => 2,
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Check {
    name: &'static str,
    outcome: Outcome,
    details: Option<String>,
}

impl Check {
    fn new(name: &'static str, outcome: Outcome, details: impl Into<String>) -> Self {
        Self { name, outcome, details: Some(details.into()) }
    }
}

pub(crate) async fn run(options: InstallationOptions) -> anyhow::Result<ExitCode> {
    let installation = match Installation::read(&options) {
        Ok(installation) => installation,
        Err(error) => {
            writeln!(std::io::stderr(), "octavia: {error:#}")?;
            return Ok(ExitCode::from(UNKNOWN));
        }
    };
    let checks = [
        configuration(&installation),
        policy_files(&installation),
        database(&installation).await,
        local_cloud(&installation),
    ];
    std::io::stdout().write_all(table(&checks).as_bytes())?;
    let worst = checks.iter().map(|check| check.outcome).max().unwrap_or(Outcome::Success);
    Ok(ExitCode::from(worst.code()))
}

fn configuration(installation: &Installation) -> Check {
    const NAME: &str = "Configuration";
    let (errors, warnings) = (installation.errors().count(), installation.warnings().count());
    match (installation.errors().next(), installation.warnings().next()) {
        (Some(first), _) => Check::new(
            NAME,
            Outcome::Failure,
            format!(
                "{errors} mistakes stop a start, such as: {first}. `octavia config validate` has them all."
            ),
        ),
        (None, Some(first)) => Check::new(
            NAME,
            Outcome::Warning,
            format!("{warnings} warnings, such as: {first}. `octavia config validate` has them all."),
        ),
        (None, None) => Check { name: NAME, outcome: Outcome::Success, details: None },
    }
}

/// The name is the original's.
fn policy_files(installation: &Installation) -> Check {
    const NAME: &str = "Policy File JSON to YAML Migration";
    let settings = &installation.settings.policy;
    if let Err(problem) = policy::check_files(settings) {
        return Check::new(NAME, Outcome::Failure, format!("The rules cannot be read: {problem}."));
    }
    if settings.file.ends_with(".json") {
        let what = "The policy file is JSON: it is read, but elsewhere deprecated. YAML is the usual form.";
        return Check::new(NAME, Outcome::Warning, what);
    }
    Check { name: NAME, outcome: Outcome::Success, details: None }
}

async fn database(installation: &Installation) -> Check {
    const NAME: &str = "Database Schema";
    let Some(url) = installation.database() else {
        let what = "No database is named, and the state directory has none: a start makes one.";
        return Check::new(NAME, Outcome::Warning, what);
    };
    let options = StoreOptions { timeout: Duration::from_secs(5), ..StoreOptions::default() };
    let schema = match Store::connect(&url, options).await {
        Ok(store) => store.schema().await,
        Err(error) => Err(error),
    };
    let schema = match schema {
        Ok(schema) => schema,
        Err(error) => return Check::new(NAME, Outcome::Failure, format!("It cannot be looked at: {error}.")),
    };
    match schema {
        Schema::Current => Check { name: NAME, outcome: Outcome::Success, details: None },
        Schema::Absent => {
            Check::new(NAME, Outcome::Success, "It is empty: `octavia db upgrade` makes the tables.")
        }
        Schema::Older(missing) => Check::new(
            NAME,
            Outcome::Success,
            format!(
                "`octavia db upgrade` adds {}; services of the version before may go on meanwhile.",
                missing.join(", ")
            ),
        ),
        Schema::Newer(_) if schema.serves() => Check::new(
            NAME,
            Outcome::Warning,
            format!("It is of a newer version ({schema}), which only adds."),
        ),
        Schema::Newer(_) => {
            Check::new(NAME, Outcome::Failure, format!("This version cannot work with it: {schema}."))
        }
    }
}

fn local_cloud(installation: &Installation) -> Check {
    const NAME: &str = "Local Cloud";
    let there = installation.state_dir.as_ref().filter(|dir| dir.join("cloud/cloud.json").exists());
    let Some(dir) = there else { return Check { name: NAME, outcome: Outcome::Success, details: None } };
    match LocalClient::open(dir, "", vec![]) {
        Ok(_) => Check { name: NAME, outcome: Outcome::Success, details: None },
        Err(error) => Check::new(NAME, Outcome::Failure, format!("{error}.")),
    }
}

/// A frame as the original draws it.
fn table(checks: &[Check]) -> String {
    let cells: Vec<Vec<String>> =
        std::iter::once(vec![TITLE.to_owned()]).chain(checks.iter().map(cell)).collect();
    let width = cells.iter().flatten().map(|line| line.chars().count()).max().unwrap_or_default();
    let rule = format!("+{}+\n", "-".repeat(width + 2));
    let mut out = rule.clone();
    for lines in cells {
        for line in lines {
            let pad = width - line.chars().count();
            out.push_str(&format!("| {line}{} |\n", " ".repeat(pad)));
        }
        out.push_str(&rule);
    }
    out
}

fn cell(check: &Check) -> Vec<String> {
    let details = check.details.as_deref().map_or_else(|| vec!["None".to_owned()], folded);
    let mut details = details.into_iter();
    let first = details.next().unwrap_or_default();
    let mut lines = vec![
        format!("Check: {}", check.name),
        format!("Result: {:?}", check.outcome),
        format!("Details: {first}"),
    ];
    lines.extend(details.map(|line| format!("  {line}")));
    lines
}

/// At blanks; a word that is too long has a line of its own.
fn folded(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines
            .last_mut()
            .filter(|line| line.is_empty() || line.chars().count() + 1 + word.chars().count() <= COLUMNS);
        match line {
            Some(line) => {
                if !line.is_empty() {
                    line.push(' ');
                }
                line.push_str(word);
            }
            None => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_as_the_original_draws_it() {
        let checks = [
            Check { name: "First", outcome: Outcome::Success, details: None },
            Check::new("Second", Outcome::Warning, "a ".repeat(40)),
        ];
        let a = |count: usize| vec!["a"; count].join(" ");
        let shown = table(&checks);
        let wanted = [
            format!("+{}+", "-".repeat(70)),
            format!("| {TITLE:<68} |"),
            format!("+{}+", "-".repeat(70)),
            format!("| {:<68} |", "Check: First"),
            format!("| {:<68} |", "Result: Success"),
            format!("| {:<68} |", "Details: None"),
            format!("+{}+", "-".repeat(70)),
            format!("| {:<68} |", "Check: Second"),
            format!("| {:<68} |", "Result: Warning"),
            format!("| {:<68} |", format!("Details: {}", a(30))),
            format!("| {:<68} |", format!("  {}", a(10))),
            format!("+{}+", "-".repeat(70)),
        ];
        assert_eq!(shown.lines().collect::<Vec<_>>(), wanted);
        assert_eq!(folded(&"x".repeat(70)), ["x".repeat(70)]);
    }

    #[test]
    fn the_worst_decides() {
        assert!(Outcome::Failure > Outcome::Warning && Outcome::Warning > Outcome::Success);
        assert_eq!([Outcome::Success, Outcome::Warning, Outcome::Failure].map(Outcome::code), [0, 1, 2]);
    }
}
