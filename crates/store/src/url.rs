//! What a database's URL has to look like. It may hold a password: what is said of it quotes nothing of user, password
//! or host.

use sea_orm::sqlx::mysql::MySqlConnectOptions;
use sea_orm::sqlx::postgres::PgConnectOptions;

use crate::StoreError;

const SCHEMES: &str = "begins with none of sqlite:, postgres:, mysql:";
/// What ends a user's name, a password or a host.
const ENCODED: &str = "in a user name or a password, # / ? @ have to be written %23 %2F %3F %40";

/// Refuses a URL of which [`Store::connect`](crate::Store::connect) would make nothing, or something else than was
/// meant. Connects to nothing.
///
/// # Errors
///
/// [`StoreError::Url`].
pub fn check_url(url: &str) -> Result<(), StoreError> {
    check(url).map_err(StoreError::Url)
}

fn check(url: &str) -> Result<(), String> {
    let (scheme, rest) = url.split_once(':').ok_or(SCHEMES)?;
    if scheme == "sqlite" {
        return Ok(());
    }
    // Behind what ends the host, what is left of a password would be taken for path or query, and be told as such.
    let rest = rest.trim_start_matches('/');
    let after_host = rest.find(['/', '?', '#']).map_or("", |end| &rest[end..]);
    if after_host.contains(['@', '#']) {
        return Err(ENCODED.to_owned());
    }
    let parsed = match scheme {
        "postgres" | "postgresql" => url.parse::<PgConnectOptions>().map(drop),
        "mysql" | "mariadb" => format!("mysql://{rest}").parse::<MySqlConnectOptions>().map(drop),
        _ => return Err(SCHEMES.to_owned()),
    };
    parsed.map_err(|error| match error {
        sea_orm::sqlx::Error::Configuration(error) => format!("{error}; {ENCODED}"),
        _ => "cannot be read".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        for (url, wrong) in [
            ("sqlite::memory:", ""),
            ("sqlite:///p#q.db", ""),
            ("postgres://h/d", ""),
            ("postgresql://u:p%23%40@[::1]:5432/d?sslmode=disable", ""),
            ("postgres:///d?host=/run/postgresql", ""),
            ("mysql://u:p@h:3306/d?charset=utf8mb4", ""),
            ("mariadb://h", ""),
            ("QzX7", SCHEMES),
            ("oracle://u:QzX7@h/d", SCHEMES),
            ("mysql://u:QzX7#t@h/d", ENCODED),
            ("mysql://u:QzX7@h/d#f", ENCODED),
            ("mysql://u:7/QzX7@h/d", ENCODED),
            ("postgres://u:7?QzX7@h/d", ENCODED),
            ("postgres://u:QzX7@h:54x32/d", "invalid port number; in a user name"),
            ("mysql://u:QzX7@h:99999/d", "invalid port number; in a user name"),
            ("mysql://u:QzX7@h:3306:1/d", "invalid port number; in a user name"),
            ("mysql://u:QzX7@h h/d", "invalid"),
            ("mysql://u:QzX7@h/d?ssl-mode=no", "unknown value"),
        ] {
            let said = check_url(url).err().map(|error| error.to_string()).unwrap_or_default();
            assert_eq!(said.is_empty(), wrong.is_empty(), "{url}: {said}");
            assert!(said.contains(wrong) && !said.contains("QzX7"), "{url}: {said}");
        }
    }
}
