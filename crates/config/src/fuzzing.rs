//! What must hold for any bytes: played over a corpus by the tests, and searched for exceptions by `cargo xtask fuzz`.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "what fails here is what is looked for")]

use crate::{Config, Origin, Severity, Source, show};

/// Bytes of input at most: what grows faster than its input is seen with less.
const LENGTH: usize = 32 << 10;
const SECRET: &str = "QzX7-never-shown";

/// `data` as a file, alone and after one with a secret in it.
pub fn config(data: &[u8]) -> bool {
    let data = &data[..data.len().min(LENGTH)];
    let source = |text: &[u8]| Source { name: "f".to_owned(), text: text.to_owned() };
    let (config, problems) = Config::read(&[source(data)]);
    let last = 1 + data.iter().filter(|&&byte| byte == b'\n' || byte == b'\r').count();
    for problem in &problems {
        assert!(problem.line.is_none_or(|line| (1..=last).contains(&line)), "{problem}");
        assert!(!problem.to_string().contains(char::is_control), "{problem}");
    }
    for setting in config.settings() {
        assert_eq!(setting.given.is_some(), setting.origin != Origin::Default);
    }

    // What is shown says the same when it is read.
    let (again, _) = Config::read(&[source(show(&config, true).as_bytes())]);
    assert_eq!(again.settings().len(), config.settings().len());
    for (setting, again) in config.settings().iter().zip(again.settings()) {
        let Some(value) = setting.given.as_ref().map(ToString::to_string).filter(|_| !setting.secret) else {
            continue;
        };
        // Lines after the first lose their blanks, and control characters are not shown.
        if !value.contains(|c| !crate::problem::is_printable(c)) {
            assert_eq!(again.given.as_ref().unwrap().to_string(), value, "{}", setting.spec.name);
        }
    }

    // A file that is read twice says what it said.
    let names = |config: &Config| format!("{:?}", config.settings());
    let multi = |config: &Config| {
        config.settings().iter().any(|s| s.spec.kind == crate::Kind::Multi && s.given.is_some())
    };
    if !multi(&config) {
        assert_eq!(names(&Config::read(&[source(data), source(data)]).0), names(&config));
    }

    let secret = format!("[health_manager]\nheartbeat_key = {SECRET}\n");
    let (config, problems) = Config::read(&[source(secret.as_bytes()), source(data)]);
    if !String::from_utf8_lossy(data).contains(SECRET) {
        assert!(!show(&config, true).contains(SECRET));
        assert!(!format!("{config:?} {problems:?}").contains(SECRET));
    }
    config.settings().iter().any(|setting| setting.given.is_some() && setting.spec.name != "heartbeat_key")
        && problems.iter().all(|problem| problem.severity != Severity::Error)
}

#[cfg(test)]
mod tests {
    use octavia_corpus::play;

    #[test]
    fn config() {
        play("config", super::config);
    }
}
