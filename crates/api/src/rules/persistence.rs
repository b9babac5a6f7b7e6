//! Session persistence of a pool: which kinds fit which protocol, and what each needs (`reference/api.md` §3.3.2).

use octavia_model::{PoolProtocol, SessionPersistence, SessionPersistenceType};

use crate::fault::Fault;
use crate::request::pool::SessionPersistenceBody;

/// What is stored of what was sent. `stored` is what the pool has now: keys that were not sent stay as they are,
/// but for the cookie's name when the kind has none.
pub(super) fn persistence(
    protocol: PoolProtocol,
    stored: Option<&SessionPersistence>,
    body: &SessionPersistenceBody,
) -> Result<SessionPersistence, Fault> {
    let kind = body.kind.value().or(stored.map(|stored| stored.kind));
    let Some(kind) = kind else {
        return Err(refused("type is needed, since the pool has no session persistence yet."));
    };
    let mut persistence = stored.cloned().unwrap_or(SessionPersistence {
        kind,
        cookie_name: None,
        persistence_timeout: None,
        persistence_granularity: None,
    });
    persistence.kind = kind;
    if kind != SessionPersistenceType::AppCookie {
        persistence.cookie_name = None;
    }
    body.cookie_name.change_option(&mut persistence.cookie_name);
    body.persistence_timeout.change_option(&mut persistence.persistence_timeout);
    body.persistence_granularity.change_option(&mut persistence.persistence_granularity);
    check(protocol, &persistence)?;
    Ok(persistence)
}

fn check(protocol: PoolProtocol, persistence: &SessionPersistence) -> Result<(), Fault> {
    let datagrams = matches!(protocol, PoolProtocol::Udp | PoolProtocol::Sctp);
    if datagrams && persistence.kind != SessionPersistenceType::SourceIp {
        return Err(refused(&format!("a pool of protocol {protocol} can only have the type SOURCE_IP.")));
    }
    let timed = persistence.persistence_timeout.is_some_and(|seconds| seconds != 0);
    if !datagrams && (timed || persistence.persistence_granularity.is_some()) {
        return Err(refused(
            "persistence_timeout and persistence_granularity are for pools of protocol UDP or SCTP.",
        ));
    }
    match (persistence.kind, &persistence.cookie_name) {
        (SessionPersistenceType::AppCookie, None) => Err(refused("the type APP_COOKIE needs a cookie_name.")),
        (SessionPersistenceType::AppCookie, Some(name)) if !is_token(name) => {
            Err(refused("cookie_name has a character that names of cookies cannot have."))
        }
        (SessionPersistenceType::AppCookie, Some(_)) | (_, None) => Ok(()),
        (kind, Some(_)) => Err(refused(&format!("the type {kind} takes no cookie_name."))),
    }
}

fn refused(why: &str) -> Fault {
    Fault::validation(format!("Invalid session_persistence: {why}"))
}

/// A name of a cookie, as RFC 6265 §4.1.1 and the original have it.
fn is_token(name: &str) -> bool {
    name.chars().all(|c| {
        c > ' ' && !matches!(c, '"' | '(' | ')' | ',' | '/' | ':'..='@' | '['..=']' | '{' | '}' | '\u{7f}')
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::Sent;

    fn body(kind: &str, cookie: &str, timeout: &str, granularity: &str) -> SessionPersistenceBody {
        let text = |text: &str| match text {
            "" => Sent::Absent,
            "null" => Sent::Null,
            text => Sent::Value(text.to_owned()),
        };
        SessionPersistenceBody {
            kind: text(kind).map(|kind| kind.parse().unwrap()),
            cookie_name: text(cookie),
            persistence_timeout: text(timeout).map(|seconds| seconds.parse().unwrap()),
            persistence_granularity: text(granularity),
        }
    }

    fn stored(kind: &str, cookie: &str) -> SessionPersistence {
        persistence(PoolProtocol::Http, None, &body(kind, cookie, "", "")).unwrap()
    }

    #[test]
    fn what_fits() {
        let app = Some(stored("APP_COOKIE", "sid"));
        let source = Some(stored("SOURCE_IP", ""));
        for (protocol, stored, sent, expected) in [
            ("HTTP", &None, ["SOURCE_IP", "", "", ""], "SOURCE_IP - - -"),
            ("TCP", &None, ["SOURCE_IP", "null", "null", "null"], "SOURCE_IP - - -"),
            ("HTTP", &None, ["HTTP_COOKIE", "", "0", ""], "HTTP_COOKIE - 0 -"),
            ("HTTP", &None, ["APP_COOKIE", "sid", "", ""], "APP_COOKIE sid - -"),
            ("UDP", &None, ["SOURCE_IP", "", "60", "255.255.0.0"], "SOURCE_IP - 60 255.255.0.0"),
            ("SCTP", &None, ["SOURCE_IP", "", "", ""], "SOURCE_IP - - -"),
            ("HTTP", &None, ["", "", "", ""], "type is needed"),
            ("HTTP", &None, ["", "sid", "", ""], "type is needed"),
            ("HTTP", &None, ["APP_COOKIE", "", "", ""], "needs a cookie_name"),
            ("HTTP", &None, ["APP_COOKIE", "a{b", "", ""], "character"),
            ("HTTP", &None, ["HTTP_COOKIE", "sid", "", ""], "takes no cookie_name"),
            ("HTTP", &None, ["SOURCE_IP", "sid", "", ""], "takes no cookie_name"),
            ("HTTP", &None, ["SOURCE_IP", "", "1", ""], "UDP or SCTP"),
            ("HTTP", &None, ["SOURCE_IP", "", "", "255.255.0.0"], "UDP or SCTP"),
            ("UDP", &None, ["HTTP_COOKIE", "", "", ""], "only have the type SOURCE_IP"),
            ("SCTP", &None, ["APP_COOKIE", "sid", "", ""], "only have the type SOURCE_IP"),
            ("HTTP", &app, ["", "", "", ""], "APP_COOKIE sid - -"),
            ("HTTP", &app, ["", "jid", "", ""], "APP_COOKIE jid - -"),
            ("HTTP", &app, ["", "null", "", ""], "needs a cookie_name"),
            ("HTTP", &app, ["HTTP_COOKIE", "", "", ""], "HTTP_COOKIE - - -"),
            ("HTTP", &app, ["SOURCE_IP", "sid", "", ""], "takes no cookie_name"),
            ("HTTP", &source, ["APP_COOKIE", "sid", "", ""], "APP_COOKIE sid - -"),
            ("HTTP", &source, ["APP_COOKIE", "", "", ""], "needs a cookie_name"),
        ] {
            let [kind, cookie, timeout, granularity] = sent;
            let sent = body(kind, cookie, timeout, granularity);
            let said = match persistence(protocol.parse().unwrap(), stored.as_ref(), &sent) {
                Ok(got) => format!(
                    "{} {} {} {}",
                    got.kind,
                    got.cookie_name.as_deref().unwrap_or("-"),
                    got.persistence_timeout.map_or("-".to_owned(), |seconds| seconds.to_string()),
                    got.persistence_granularity.as_deref().unwrap_or("-"),
                ),
                Err(fault) => format!("{fault:?}"),
            };
            assert!(said.contains(expected), "{protocol} {stored:?} {kind} {cookie}: {said}");
        }
    }

    #[test]
    fn names_of_cookies() {
        for (name, good) in [
            ("sid", true),
            ("a-b_c.d!", true),
            ("a b", false),
            ("a\tb", false),
            ("a@b", false),
            ("a/b", false),
            ("a\u{7f}", false),
        ] {
            assert_eq!(is_token(name), good, "{name:?}");
        }
    }
}
