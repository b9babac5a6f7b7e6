//! `octavia config`, and the files of `--config-file` and `--config-dir`.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use octavia_config::{Config, MAX_FILE, Problem, Severity, Source};

use crate::args::{ConfigCommand, ConfigFiles};
use crate::settings::Settings;

pub(crate) fn run(command: ConfigCommand) -> anyhow::Result<ExitCode> {
    match command {
        ConfigCommand::Sample => print(&octavia_config::sample())?,
        ConfigCommand::Show { files, all } => {
            let (config, _, problems) = read(&files);
            complain(&problems)?;
            if has_errors(&problems) {
                return Ok(ExitCode::FAILURE);
            }
            print(&octavia_config::show(&config, all))?;
        }
        ConfigCommand::Validate(files) => {
            if files.files.is_empty() && files.dirs.is_empty() {
                anyhow::bail!("nothing to validate: --config-file or --config-dir is needed");
            }
            let (config, settings, mut problems) = read(&files);
            problems.extend(settings.check_files(&config));
            let lines: String = problems.iter().map(|problem| format!("{problem}\n")).collect();
            print(&lines)?;
            let errors = problems.iter().filter(|problem| problem.severity == Severity::Error).count();
            let (errors, warnings) = (counted(errors, "error"), counted(problems.len() - errors, "warning"));
            print(&format!("{errors}, {warnings}\n"))?;
            if has_errors(&problems) {
                return Ok(ExitCode::FAILURE);
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What the files say for an `all-in-one`, and what there is to warn of; errors say all that is wrong.
pub(crate) fn settings(files: &ConfigFiles) -> anyhow::Result<(Settings, Vec<Problem>)> {
    let (_, mut settings, problems) = read(files);
    if has_errors(&problems) {
        complain(&problems)?;
        anyhow::bail!("the configuration is wrong, see above");
    }
    settings.policy.places = places(files);
    Ok((settings, problems))
}

/// Reads all that can be read, so that everything wrong is said at once.
pub(crate) fn read(files: &ConfigFiles) -> (Config, Settings, Vec<Problem>) {
    let mut sources = vec![];
    let (paths, mut problems) = paths(files);
    for path in &paths {
        match source(path) {
            Ok(source) => sources.push(source),
            Err(error) => problems.push(unreadable(path, &error)),
        }
    }
    let (config, more) = Config::read(&sources);
    problems.extend(more);
    let (settings, more) = Settings::read(&config);
    problems.extend(more);
    let place = |problem: &Problem| paths.iter().position(|path| path.display().to_string() == problem.file);
    problems.sort_by_key(|problem| (place(problem), problem.line));
    (config, settings, problems)
}

fn unreadable(path: &Path, error: &io::Error) -> Problem {
    Problem {
        severity: Severity::Error,
        file: path.display().to_string(),
        line: None,
        section: None,
        option: None,
        what: format!("cannot be read: {error}"),
    }
}

/// Where files are looked for that the configuration names: what is named last counts most.
pub(crate) fn places(files: &ConfigFiles) -> Vec<PathBuf> {
    let beside = files.files.iter().rev().filter_map(|file| Some(file.parent()?.to_owned()));
    files.dirs.iter().rev().cloned().chain(beside).collect()
}

/// The files, then those of each directory by name.
fn paths(files: &ConfigFiles) -> (Vec<PathBuf>, Vec<Problem>) {
    let mut paths = files.files.clone();
    let mut problems = vec![];
    for dir in &files.dirs {
        match configs(dir) {
            Ok(mut found) => paths.append(&mut found),
            Err(error) => problems.push(unreadable(dir, &error)),
        }
    }
    (paths, problems)
}

/// As a shell's `*.conf`: no hidden files.
fn configs(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(dir)?.map(|entry| entry.map(|entry| entry.path()));
    let mut paths = entries.collect::<io::Result<Vec<_>>>()?;
    paths.retain(|path| {
        let name = path.file_name().unwrap_or_default().as_encoded_bytes();
        name.ends_with(b".conf") && !name.starts_with(b".")
    });
    paths.sort();
    Ok(paths)
}

/// Not more than enough to see that it is too much.
fn source(path: &Path) -> io::Result<Source> {
    let mut text = vec![];
    File::open(path)?.take(MAX_FILE as u64 + 1).read_to_end(&mut text)?;
    Ok(Source { name: path.display().to_string(), text })
}

fn has_errors(problems: &[Problem]) -> bool {
    problems.iter().any(|problem| problem.severity == Severity::Error)
}

fn complain(problems: &[Problem]) -> anyhow::Result<()> {
    let lines: String = problems.iter().map(|problem| format!("{problem}\n")).collect();
    Ok(io::stderr().write_all(lines.as_bytes())?)
}

fn counted(count: usize, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    }
}

pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    match io::stdout().write_all(text.as_bytes()) {
        // Who reads along has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn files_come_in_their_order_and_directories_by_name() {
        let temporary = tempfile::tempdir().unwrap();
        let path = |name: &str| temporary.path().join(name);
        fs::create_dir(path("d")).unwrap();
        for name in ["z.conf", "d/b.conf", "d/a.conf", "d/.hidden.conf", "d/a.conf.bak"] {
            fs::write(path(name), "").unwrap();
        }
        symlink(path("z.conf"), path("d/link.conf")).unwrap();
        let files = ConfigFiles { files: vec![path("z.conf"), path("d/b.conf")], dirs: vec![path("d")] };
        let wanted = ["z.conf", "d/b.conf", "d/a.conf", "d/b.conf", "d/link.conf"].map(path);
        assert_eq!(paths(&files), (wanted.to_vec(), vec![]));
    }

    #[test]
    fn what_is_not_readable_is_named() {
        let temporary = tempfile::tempdir().unwrap();
        let path = |name: &str| temporary.path().join(name);
        fs::create_dir(path("d")).unwrap();
        fs::write(path("f"), "[nova]\nx").unwrap();
        let files = ConfigFiles {
            files: vec![path("d"), path("no"), path("f")],
            dirs: vec![path("no-dir"), path("f")],
        };
        let found: Vec<_> = read(&files).2.iter().map(ToString::to_string).collect();
        let base = format!("{}/", temporary.path().display());
        let found: Vec<_> = found.iter().map(|line| line.replace(&base, "")).collect();
        assert_eq!(
            found,
            [
                "no-dir: error: cannot be read: No such file or directory (os error 2)",
                "d: error: cannot be read: Is a directory (os error 21)",
                "no: error: cannot be read: No such file or directory (os error 2)",
                "f: error: cannot be read: Not a directory (os error 20)",
                "f:2: error: [nova] neither `name = value` nor a [section] nor a # comment",
            ]
        );
    }

    /// Without end, it would be read for ever.
    #[test]
    fn no_more_is_read_than_needed() {
        let files = ConfigFiles { files: vec!["/dev/zero".into()], dirs: vec![] };
        let (_, _, problems) = read(&files);
        assert!(problems[0].to_string().starts_with("/dev/zero: error: larger than"), "{problems:?}");
    }
}
