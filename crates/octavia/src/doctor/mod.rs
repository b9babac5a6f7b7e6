//! `octavia doctor`: looks at what the service depends on, and says what to mend. Nothing is changed.

mod elsewhere;
mod here;

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use crate::args::InstallationOptions;
use crate::installation::Installation;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Severity {
    Good,
    /// It works, but not as it should, or not for long.
    Warning,
    /// Something does not work.
    Error,
}

/// What was found at one place.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    severity: Severity,
    place: &'static str,
    what: String,
    /// What to do about it; empty where all is well.
    remedy: String,
}

impl Finding {
    fn good(place: &'static str, what: impl Into<String>) -> Self {
        Self { severity: Severity::Good, place, what: what.into(), remedy: String::new() }
    }

    fn warning(place: &'static str, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, place, what: what.into(), remedy: remedy.into() }
    }

    fn error(place: &'static str, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { severity: Severity::Error, place, what: what.into(), remedy: remedy.into() }
    }
}

/// Ends with 0 = all is well, 1 = warnings, 2 = something does not work.
pub(crate) async fn run(options: InstallationOptions) -> anyhow::Result<ExitCode> {
    let installation = Installation::read(&options)?;
    let mut findings = here::configuration(&installation);
    findings.extend(here::state_directory(&installation));
    findings.extend(here::machine(&installation));
    findings.extend(elsewhere::database(&installation).await);
    findings.extend(elsewhere::local_cloud(&installation).await);
    findings.extend(elsewhere::addresses(&installation).await);
    findings.extend(elsewhere::identity(&installation).await);
    findings.extend(elsewhere::key_manager(&installation).await);
    std::io::stdout().write_all(report(&findings, std::io::stdout().is_terminal()).as_bytes())?;
    Ok(ExitCode::from(match findings.iter().map(|finding| finding.severity).max() {
        None | Some(Severity::Good) => 0,
        Some(Severity::Warning) => 1,
        Some(Severity::Error) => 2,
    }))
}

fn report(findings: &[Finding], colours: bool) -> String {
    let width = findings.iter().map(|finding| finding.place.len()).max().unwrap_or_default();
    let mut out = String::new();
    for Finding { severity, place, what, remedy } in findings {
        let (word, colour) = match severity {
            Severity::Good => ("ok", "\x1b[32m"),
            Severity::Warning => ("warning", "\x1b[33m"),
            Severity::Error => ("error", "\x1b[31m"),
        };
        let (begin, end) = if colours { (colour, "\x1b[0m") } else { ("", "") };
        out.push_str(&format!("{begin}{word:<7}{end}  {place:<width$}  {what}\n"));
        if !remedy.is_empty() {
            out.push_str(&format!("{:<7}  {:<width$}  -> {remedy}\n", "", ""));
        }
    }
    let count = |wanted: Severity| findings.iter().filter(|finding| finding.severity == wanted).count();
    out.push_str(&format!("{} errors, {} warnings\n", count(Severity::Error), count(Severity::Warning)));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_and_remedies_are_in_columns() {
        let findings = [
            Finding::good("a", "fine"),
            Finding::error("database", "away", "start it"),
            Finding::warning("b", "x", "y"),
        ];
        assert_eq!(
            report(&findings, false),
            "ok       a         fine\n\
             error    database  away\n                   -> start it\n\
             warning  b         x\n                   -> y\n\
             1 errors, 1 warnings\n"
        );
        assert!(report(&findings, true).contains("\x1b[31merror  \x1b[0m"));
    }
}
