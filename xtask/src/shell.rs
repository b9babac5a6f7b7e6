//! Running other programs.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

/// The root of the workspace.
pub(crate) fn root() -> PathBuf {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask).to_owned()
}

/// The shared build directory, as cargo knows it.
pub(crate) fn target_dir() -> Result<PathBuf> {
    Ok(std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from))
}

pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// Shows the command, runs it with our terminal, and fails with it.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    eprintln!("xtask: {}", shown(command));
    let status = command.status().with_context(|| shown(command))?;
    if !status.success() {
        bail!("{} ended with {status}", shown(command));
    }
    Ok(())
}

/// Runs without showing output unless it fails; what is shown then has no host names of registries in it.
pub(crate) fn run_quietly(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output().with_context(|| shown(command))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        let error = String::from_utf8_lossy(&output.stderr);
        let lines: Vec<_> = text.lines().chain(error.lines()).map(without_hosts).collect();
        let tail = lines[lines.len().saturating_sub(15)..].join("\n");
        bail!("{} ended with {}:\n{tail}", shown(command), output.status);
    }
    Ok(text)
}

pub(crate) fn found(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // A user's PATH often lacks the directories where servers live.
    let extra = ["/usr/sbin", "/sbin", "/usr/local/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(extra).any(|dir| dir.join(program).is_file())
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// Cuts the hosts of URLs, and what else looks like a name on the internet.
fn without_hosts(line: &str) -> String {
    const DOMAINS: &[&str] = &[".org", ".com", ".io", ".net", ".dev"];
    let in_name = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-';
    let mut out = String::new();
    let mut rest = line;
    while !rest.is_empty() {
        let after_scheme = out.ends_with("://");
        let end = rest.find(|c| !in_name(c)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end.max(rest.chars().next().map_or(0, char::len_utf8)));
        let named = DOMAINS.iter().any(|domain| word.trim_end_matches('.').ends_with(domain));
        out.push_str(if end > 0 && (after_scheme || named) { "<host>" } else { word });
        rest = after;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hides_hosts() {
        for (line, shown) in [
            ("no url", "no url"),
            ("get https://a.example/simple/x failed", "get https://<host>/simple/x failed"),
            ("http://proxy:80 and (ftp://b)", "http://<host>:80 and (ftp://<host>)"),
            ("pool(host='index.example.org', port=443)", "pool(host='<host>', port=443)"),
            ("cannot resolve mirror.example.com.", "cannot resolve <host>"),
            ("python3-venv 3.11.2 – fine", "python3-venv 3.11.2 – fine"),
            ("://", "://"),
            ("", ""),
        ] {
            assert_eq!(without_hosts(line), shown);
        }
    }
}
