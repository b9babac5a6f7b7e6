//! Where a request came from, and what its client calls this service: told by the connection, or, if the operator says
//! that a proxy stands in front, by `Forwarded` (RFC 7239) and `X-Forwarded-*`.
//!
//! What such a header says ends up in links and records, so anything else than what a sane proxy writes is as good as
//! absent.

use std::net::{IpAddr, SocketAddr};

use http::uri::Authority;
use http::{HeaderMap, Uri, header};

/// The connection a request came by; the server puts it into the request's extensions.
#[derive(Debug, Clone, Copy)]
pub struct Peer {
    pub address: SocketAddr,
    /// The port the connection was accepted at.
    pub port: u16,
}

/// Longest path that a proxy may have taken off.
const PREFIX_MAX: usize = 200;

/// The service as the client sees it, and the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Approach {
    scheme: &'static str,
    host: String,
    /// What a proxy took off the path; empty or with a leading slash only.
    prefix: String,
    /// The client as far as known: behind a proxy that is believed, what the proxy says.
    pub(crate) client: Option<IpAddr>,
    /// The other end of the connection.
    pub(crate) peer: Option<IpAddr>,
}

/// What one proxy says of a request.
#[derive(Debug, Default, PartialEq, Eq)]
struct Hint<'a> {
    proto: Option<&'a str>,
    host: Option<&'a str>,
    client: Option<&'a str>,
}

impl Approach {
    /// `believe` = a proxy stands in front, and what it adds is true.
    pub(crate) fn of(headers: &HeaderMap, uri: &Uri, peer: Option<Peer>, believe: bool) -> Self {
        let named = authority(text(headers, header::HOST.as_str()).unwrap_or_default())
            .or_else(|| uri.authority().cloned());
        let peer = peer.map(|peer| peer.address.ip().to_canonical());
        let own = Self {
            scheme: "http",
            host: named.map_or_else(|| "localhost".to_owned(), |host| host.to_string()),
            prefix: String::new(),
            client: peer,
            peer,
        };
        if !believe {
            return own;
        }
        let hint = match text(headers, header::FORWARDED.as_str()) {
            Some(forwarded) => forwarded_hint(forwarded),
            None => Hint {
                proto: first(headers, "x-forwarded-proto"),
                host: first(headers, "x-forwarded-host"),
                client: first(headers, "x-forwarded-for"),
            },
        };
        Self {
            scheme: hint.proto.and_then(scheme).unwrap_or(own.scheme),
            host: hint.host.and_then(authority).map_or(own.host, |host| host.to_string()),
            prefix: first(headers, "x-forwarded-prefix").and_then(prefix).unwrap_or_default().to_owned(),
            client: hint.client.and_then(address).or(own.client),
            peer,
        }
    }

    /// The URL the client wrote, without the query; `base` replaces scheme and host.
    pub(crate) fn url(&self, path: &str, base: Option<&str>) -> String {
        let prefix = &self.prefix;
        match base {
            Some(base) => format!("{}{prefix}{path}", base.trim_end_matches('/')),
            None => format!("{}://{}{prefix}{path}", self.scheme, self.host),
        }
    }
}

/// Whether the request says that it came through a proxy.
pub(crate) fn is_proxied(headers: &HeaderMap) -> bool {
    const MARKS: [&str; 6] = [
        "forwarded",
        "x-forwarded",
        "x-forwarded-proto",
        "x-forwarded-host",
        "x-forwarded-for",
        "x-forwarded-prefix",
    ];
    MARKS.iter().any(|name| headers.contains_key(*name))
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim).filter(|text| !text.is_empty())
}

/// Of a list, what the proxy nearest to the client wrote.
fn first<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    text(headers, name)?.split(',').next().map(str::trim).filter(|text| !text.is_empty())
}

fn scheme(text: &str) -> Option<&'static str> {
    ["http", "https"].into_iter().find(|scheme| text.eq_ignore_ascii_case(scheme))
}

/// A host with or without a port, and nothing else.
fn authority(text: &str) -> Option<Authority> {
    let authority = Authority::try_from(text).ok()?;
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
    (!authority.host().is_empty() && text.bytes().all(good)).then_some(authority)
}

/// An absolute path that stays one when another follows; without the slash at its end.
fn prefix(text: &str) -> Option<&str> {
    let path = text.trim_end_matches('/');
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/:+".contains(&byte);
    let sane = path.starts_with('/')
        && !path.contains("//")
        && path.len() <= PREFIX_MAX
        && path.bytes().all(good)
        && path.split('/').all(|segment| segment != "." && segment != "..");
    sane.then_some(path)
}

/// `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:80`; no names.
fn address(text: &str) -> Option<IpAddr> {
    let inner = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let ip = inner.parse().ok().or_else(|| Some(text.parse::<SocketAddr>().ok()?.ip()))?;
    Some(IpAddr::to_canonical(&ip))
}

/// The first element of a `Forwarded` header: of the proxy nearest to the client.
fn forwarded_hint(header: &str) -> Hint<'_> {
    let mut hint = Hint::default();
    let element = split_unquoted(header, ',').next().unwrap_or_default();
    for pair in split_unquoted(element, ';') {
        let Some((name, value)) = pair.split_once('=') else { continue };
        let value = value.trim();
        // None of the three needs an escape.
        let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
        match name.trim().to_ascii_lowercase().as_str() {
            "proto" => hint.proto = Some(value),
            "host" => hint.host = Some(value),
            "for" => hint.client = Some(value),
            _ => {}
        }
    }
    hint
}

/// Splits where the separator stands outside quotation marks.
fn split_unquoted(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |c: char| {
        if escaped {
            escaped = false;
        } else if c == '"' {
            quoted = !quoted;
        } else if quoted && c == '\\' {
            escaped = true;
        }
        c == separator && !quoted
    })
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};
    use proptest::prelude::*;

    use super::*;

    /// URL and client of a request for `/v2` at `own.test` by 192.0.2.9.
    fn check(headers: &[(&str, &str)], believe: bool) -> String {
        let mut map = HeaderMap::from_iter([(header::HOST, HeaderValue::from_static("own.test"))]);
        for (name, value) in headers {
            map.append(
                HeaderName::try_from(*name).unwrap(),
                HeaderValue::from_bytes(value.as_bytes()).unwrap(),
            );
        }
        let peer = Peer { address: "192.0.2.9:5".parse().unwrap(), port: 9876 };
        let approach = Approach::of(&map, &Uri::from_static("/v2"), Some(peer), believe);
        assert_eq!(approach.peer, Some(peer.address.ip()));
        format!("{} {}", approach.url("/v2", None), approach.client.unwrap())
    }

    const OWN: &str = "http://own.test/v2 192.0.2.9";

    #[test]
    fn a_proxy_that_is_not_believed_says_nothing() {
        for headers in [
            [("x-forwarded-proto", "https"), ("x-forwarded-host", "evil.test")],
            [("x-forwarded-for", "10.0.0.1"), ("x-forwarded-prefix", "/lb")],
            [("forwarded", "proto=https;host=evil.test;for=10.0.0.1"), ("x-forwarded-proto", "https")],
        ] {
            assert_eq!(check(&headers, false), OWN, "{headers:?}");
        }
    }

    #[test]
    fn what_a_proxy_says() {
        let long = format!("/{}", "a".repeat(PREFIX_MAX));
        let cases: &[(&[(&str, &str)], &str)] = &[
            (&[], OWN),
            (&[("x-forwarded-proto", "https")], "https://own.test/v2 192.0.2.9"),
            (&[("x-forwarded-proto", "HTTPS, http")], "https://own.test/v2 192.0.2.9"),
            (&[("x-forwarded-host", "lb.test:8443")], "http://lb.test:8443/v2 192.0.2.9"),
            (&[("x-forwarded-host", "lb.test, inner.test")], "http://lb.test/v2 192.0.2.9"),
            (&[("x-forwarded-host", "[::1]:80")], "http://[::1]:80/v2 192.0.2.9"),
            (&[("x-forwarded-prefix", "/lb")], "http://own.test/lb/v2 192.0.2.9"),
            (&[("x-forwarded-prefix", "/a/b/")], "http://own.test/a/b/v2 192.0.2.9"),
            (&[("x-forwarded-prefix", "/")], OWN),
            (&[("x-forwarded-for", "198.51.100.1")], "http://own.test/v2 198.51.100.1"),
            (&[("x-forwarded-for", "2001:db8::1, 10.0.0.1")], "http://own.test/v2 2001:db8::1"),
            (&[("x-forwarded-for", "198.51.100.1:77")], "http://own.test/v2 198.51.100.1"),
            (
                &[("forwarded", "for=198.51.100.1;proto=https;host=lb.test, for=10.0.0.1;proto=http")],
                "https://lb.test/v2 198.51.100.1",
            ),
            (
                &[("forwarded", "For=\"[2001:db8::1]:4711\"; Host=\"lb.test:80\"")],
                "http://lb.test:80/v2 2001:db8::1",
            ),
            // Forwarded replaces the older ones, but for the prefix, which it has no word for.
            (
                &[
                    ("forwarded", "proto=https"),
                    ("x-forwarded-host", "old.test"),
                    ("x-forwarded-prefix", "/lb"),
                ],
                "https://own.test/lb/v2 192.0.2.9",
            ),
            // What nobody sane writes.
            (&[("x-forwarded-proto", "javascript")], OWN),
            (&[("x-forwarded-host", "user:password@evil.test")], OWN),
            (&[("x-forwarded-host", "evil.test/path")], OWN),
            (&[("x-forwarded-host", "a b")], OWN),
            (&[("x-forwarded-host", ", evil.test")], OWN),
            (&[("x-forwarded-host", "\u{e9}.test")], OWN),
            (&[("x-forwarded-prefix", "//evil.test")], OWN),
            (&[("x-forwarded-prefix", "evil")], OWN),
            (&[("x-forwarded-prefix", "/a/../b")], OWN),
            (&[("x-forwarded-prefix", "/a?b=c")], OWN),
            (&[("x-forwarded-prefix", "/a\"b")], OWN),
            (&[("x-forwarded-prefix", &long)], OWN),
            (&[("x-forwarded-for", "unknown")], OWN),
            (&[("x-forwarded-for", "_hidden")], OWN),
            (&[("forwarded", "for=_gazonk;proto")], OWN),
            (&[("forwarded", "host=\"a,b;c=d\";proto=https")], "https://own.test/v2 192.0.2.9"),
            (&[("forwarded", "host=\"unclosed;proto=https")], OWN),
            (&[("forwarded", ";;==;,,")], OWN),
        ];
        for (headers, expected) in cases {
            assert_eq!(check(headers, true), *expected, "{headers:?}");
        }
    }

    proptest! {
        /// Whatever the headers say, a link is a link to here, and has what it should have at its end.
        #[test]
        fn links_are_links(
            forwarded in proptest::option::of("[ -~]{0,60}"),
            words in proptest::collection::vec("[ -~]{0,30}", 4),
            parts in "(for|host|proto|by)=\"?[a-z0-9.:/@\\[\\];,= ]{0,20}\"?",
        ) {
            let names = ["x-forwarded-proto", "x-forwarded-host", "x-forwarded-prefix", "x-forwarded-for"];
            let mut headers: Vec<(&str, &str)> = names.into_iter().zip(words.iter().map(String::as_str)).collect();
            headers.extend(forwarded.as_deref().map(|text| ("forwarded", text)));
            for headers in [headers.clone(), [headers, vec![("forwarded", &parts)]].concat()] {
                let said = check(&headers, true);
                let (url, client) = said.rsplit_once(' ').unwrap();
                let uri: Uri = url.parse().unwrap();
                prop_assert!(["http", "https"].contains(&uri.scheme_str().unwrap()), "{}", url);
                prop_assert!(uri.path().ends_with("/v2") && uri.query().is_none(), "{}", url);
                prop_assert!(!uri.path().contains("//") && !url.contains(['@', '"', '<', '\\']), "{}", url);
                prop_assert!(client.parse::<IpAddr>().is_ok(), "{}", client);
            }
        }
    }

    #[test]
    fn a_configured_base_replaces_scheme_and_host_only() {
        let headers = HeaderMap::from_iter([
            (header::HOST, HeaderValue::from_static("own.test")),
            (HeaderName::from_static("x-forwarded-prefix"), HeaderValue::from_static("/lb")),
        ]);
        let approach = Approach::of(&headers, &Uri::from_static("/"), None, true);
        assert_eq!(approach.url("/v2", Some("https://base.test/")), "https://base.test/lb/v2");
    }
}
