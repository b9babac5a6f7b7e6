//! What files and this machine say.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use octavia_config::Severity as ProblemSeverity;

use super::Finding;
use crate::installation::Installation;
use crate::policy;

/// Each connection of a client and to an amphora takes a descriptor.
const DESCRIPTORS: u64 = 4096;
/// Bytes; a database and logs need some.
const ROOM: u64 = 256 << 20;

pub(super) fn configuration(installation: &Installation) -> Vec<Finding> {
    const PLACE: &str = "configuration";
    let mut findings: Vec<_> = installation
        .problems
        .iter()
        .map(|problem| match problem.severity {
            ProblemSeverity::Error => {
                Finding::error(PLACE, problem.to_string(), "No service starts with it: correct that line.")
            }
            ProblemSeverity::Warning => {
                Finding::warning(PLACE, problem.to_string(), "Correct or remove that line.")
            }
        })
        .collect();
    if let Err(problem) = policy::check_files(&installation.settings.policy) {
        findings.push(Finding::error(
            "policy",
            problem,
            "Correct the file; until then the rules before it apply.",
        ));
    }
    if findings.is_empty() {
        findings.push(Finding::good(PLACE, "nothing wrong in it"));
    }
    findings
}

/// Of who may read what is secret.
pub(super) fn state_directory(installation: &Installation) -> Vec<Finding> {
    const PLACE: &str = "state directory";
    let Some(dir) = &installation.state_dir else { return vec![] };
    let shown = dir.display();
    let own = match fs::metadata(dir) {
        Ok(metadata) if metadata.is_dir() => metadata,
        Ok(_) => {
            return vec![Finding::error(
                PLACE,
                format!("{shown} is no directory"),
                "Give another --state-dir.",
            )];
        }
        Err(error) => {
            let remedy = "`octavia local serve` or `octavia all-in-one` makes it at its first start.";
            return vec![Finding::error(PLACE, format!("{shown}: {error}"), remedy)];
        }
    };
    let mut findings = vec![];
    let secrets =
        ["cloud/cloud.json", "cloud/trust.json", "cloud/ca.key", "cloud.sock", "clouds.yaml", "octavia.db"];
    let mut looked_at = vec![(dir.clone(), own.mode(), own.uid())];
    for path in secrets.iter().map(|name| dir.join(name)) {
        match fs::metadata(&path) {
            Ok(metadata) => looked_at.push((path, metadata.mode(), metadata.uid())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => findings.push(Finding::error(
                PLACE,
                format!("{}: {error}", path.display()),
                "Run this as the user of the service.",
            )),
        }
    }
    for (path, mode, uid) in &looked_at {
        let shown = path.display();
        if mode & 0o077 != 0 {
            findings.push(Finding::error(
                PLACE,
                format!("{shown} may be read by others (mode {:o})", mode & 0o777),
                format!("chmod go= {shown}; what was to be secret in it is to be made anew."),
            ));
        }
        if *uid != own.uid() {
            findings.push(Finding::warning(
                PLACE,
                format!("{shown} is of another user ({uid}) than the directory ({})", own.uid()),
                format!("chown {} {shown}", own.uid()),
            ));
        }
    }
    if findings.is_empty() {
        findings.push(Finding::good(PLACE, format!("{shown}: for its owner alone")));
    }
    findings.extend(room(dir));
    findings
}

fn room(dir: &Path) -> Option<Finding> {
    let volume = rustix::fs::statvfs(dir).ok()?;
    let free = volume.f_bavail.saturating_mul(volume.f_frsize);
    let what = format!("{} MiB free at {}", free >> 20, dir.display());
    let remedy = "Make room: what is answered has to be written first.";
    Some(if free < ROOM { Finding::error("disk", what, remedy) } else { Finding::good("disk", what) })
}

pub(super) fn machine(_: &Installation) -> Vec<Finding> {
    const PLACE: &str = "open files";
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let limit = limit.unwrap_or(u64::MAX);
    vec![match limit < DESCRIPTORS {
        true => Finding::warning(
            PLACE,
            format!("{limit} at a time, where this was started"),
            format!("LimitNOFILE={DESCRIPTORS} or more in the unit, or `ulimit -n`."),
        ),
        false => Finding::good(PLACE, format!("{limit} at a time, where this was started")),
    }]
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::super::Severity;
    use super::*;
    use crate::args::{ConfigFiles, InstallationOptions};

    fn installation(state_dir: Option<&Path>, config: &str) -> Installation {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("octavia.conf");
        fs::write(&path, config).unwrap();
        let config = ConfigFiles { files: vec![path], dirs: vec![] };
        let state_dir = state_dir.map(Path::to_owned);
        Installation::read(&InstallationOptions { state_dir, database: None, config }).unwrap()
    }

    fn severities(findings: &[Finding]) -> Vec<Severity> {
        findings.iter().map(|finding| finding.severity).collect()
    }

    #[test]
    fn configurations() {
        use Severity::{Error, Good, Warning};
        for (text, wanted) in [
            ("", vec![Good]),
            ("[health_manager]\nheartbeat_timeout = never", vec![Error]),
            ("[DEFAULT]\nnonsense = 1", vec![Warning]),
            ("[oslo_policy]\npolicy_dirs = /\npolicy_file = /dev/null/x", vec![Error]),
        ] {
            let findings = configuration(&installation(None, text));
            assert_eq!(severities(&findings)[..wanted.len()], wanted, "{text}: {findings:?}");
            assert!(findings.iter().all(|f| (f.severity == Good) == f.remedy.is_empty()), "{findings:?}");
        }
    }

    #[test]
    fn files_of_the_state_directory() {
        use Severity::{Error, Good};
        let dir = tempfile::tempdir().unwrap();
        let mode = |name: &str, mode: u32| {
            fs::set_permissions(dir.path().join(name), fs::Permissions::from_mode(mode)).unwrap();
        };
        let found = || state_directory(&installation(Some(dir.path()), ""));
        mode("", 0o700);
        fs::create_dir(dir.path().join("cloud")).unwrap();
        fs::write(dir.path().join("cloud/ca.key"), "").unwrap();
        mode("cloud/ca.key", 0o600);
        assert_eq!(severities(&found())[0], Good);
        mode("cloud/ca.key", 0o644);
        let findings = found();
        assert_eq!(severities(&findings)[0], Error);
        assert!(findings[0].what.contains("ca.key") && findings[0].remedy.starts_with("chmod go= "));
        mode("cloud/ca.key", 0o600);
        mode("", 0o755);
        assert_eq!(severities(&found())[0], Error);
        let absent = state_directory(&installation(Some(&dir.path().join("absent")), ""));
        assert_eq!(severities(&absent), [Error]);
        assert!(state_directory(&installation(None, "")).is_empty());
    }
}
