//! Where the database is, as SQLAlchemy and as the store write it.

use std::borrow::Cow;

use octavia_config::Severity;
use octavia_config::option::database;
use octavia_store::{StoreError, StoreOptions};

use super::Reader;

impl Reader<'_> {
    pub(super) fn store(&self) -> StoreOptions {
        StoreOptions {
            connections: u32::try_from(self.number(&database::max_pool_size)).unwrap_or(u32::MAX),
            timeout: self.seconds(&database::pool_timeout),
            ..StoreOptions::default()
        }
    }

    pub(super) fn database(&mut self) -> Option<String> {
        let url = self.config.all_in_one(&database::connection).filter(|url| !url.is_empty())?;
        match database_url(&url) {
            Ok(url) => Some(url),
            Err(what) => {
                self.say(Severity::Error, &database::connection, what);
                None
            }
        }
    }
}

/// A URL for the store, of one that SQLAlchemy takes: that names the Python driver, too, a path without or with a fourth
/// slash is relative or absolute, and a password goes up to the `@`. What is said of a wrong one quotes nothing of it.
pub(crate) fn database_url(url: &str) -> Result<String, String> {
    let url = known_url(url)?;
    match octavia_store::check_url(&url) {
        Ok(()) => Ok(url),
        Err(StoreError::Url(what)) => Err(what),
        Err(error) => Err(error.to_string()),
    }
}

fn known_url(url: &str) -> Result<String, &'static str> {
    let (scheme, rest) =
        url.split_once("://").ok_or("not a URL; allowed: SCHEME://USER:PASSWORD@HOST/DATABASE")?;
    match scheme.split('+').next().unwrap_or_default() {
        "mysql" | "mariadb" => Ok(format!("mysql://{}", encoded(rest))),
        "postgresql" | "postgres" => Ok(format!("postgres://{}", encoded(rest))),
        "sqlite" => match rest.strip_prefix('/').map(|path| path.split('?').next().unwrap_or_default()) {
            Some(path) if !path.is_empty() && path != ":memory:" => Ok(format!("sqlite://{path}?mode=rwc")),
            _ => {
                Err("a database in memory would forget everything; allowed: sqlite:////PATH, or leave it out")
            }
        },
        _ => Err("no such kind of database; allowed: sqlite, postgresql, mysql, mariadb"),
    }
}

/// What may stand in a password to SQLAlchemy, and would end the host elsewhere.
fn encoded(rest: &str) -> Cow<'_, str> {
    let Some((user, after)) = rest.split_once(':').filter(|(user, _)| !user.contains(['/', '?', '#', '@']))
    else {
        return rest.into();
    };
    let Some((password, place)) = after.split_once('@') else { return rest.into() };
    let password = password.replace('/', "%2F").replace('?', "%3F").replace('#', "%23");
    format!("{user}:{password}@{place}").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn database_urls() {
        for (written, wanted) in [
            ("mysql+pymysql://u:p@h/d?charset=utf8", Some("mysql://u:p@h/d?charset=utf8")),
            ("mariadb://h/d", Some("mysql://h/d")),
            ("postgresql+psycopg2://h/d", Some("postgres://h/d")),
            ("postgres://h/d", Some("postgres://h/d")),
            ("sqlite:////var/lib/o.db", Some("sqlite:///var/lib/o.db?mode=rwc")),
            ("sqlite:////var/lib/o.db?mode=rwc", Some("sqlite:///var/lib/o.db?mode=rwc")),
            ("sqlite:///o.db", Some("sqlite://o.db?mode=rwc")),
            ("sqlite://", None),
            ("sqlite:///:memory:", None),
            ("mysql://u:a#b/c?d@h/d", Some("mysql://u:a%23b%2Fc%3Fd@h/d")),
            (
                "postgresql://u:p@h/d?application_name=a%40b",
                Some("postgres://u:p@h/d?application_name=a%40b"),
            ),
            ("postgresql://u@h:1/d", Some("postgres://u@h:1/d")),
            ("postgresql://u:p@h:1x/d", None),
            ("mysql://u:a@b/c@h/d", None),
            ("mysql://u#:p@h/d", None),
            ("h/d", None),
            ("oracle://h", None),
        ] {
            assert_eq!(database_url(written).ok().as_deref(), wanted, "{written}");
        }
    }
}
