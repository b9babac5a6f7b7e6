//! Which browsers' scripts may call the API from pages of another origin (Cross-Origin Resource Sharing), as the
//! original's middleware decides it.

use http::{HeaderMap, HeaderName, HeaderValue, Method, header};

/// Headers that scripts may always send.
const SIMPLE_HEADERS: &[&str] = &[
    "accept",
    "accept-language",
    "cache-control",
    "content-language",
    "content-type",
    "expires",
    "last-modified",
    "pragma",
];

/// The original's `[cors]`, or a `[cors.NAME]`.
#[derive(Debug, Clone)]
pub struct CorsOptions {
    /// `scheme://host[:port]` each, or `*` for any; empty = no other origin may call.
    pub allowed_origins: Vec<String>,
    /// Scripts may send credentials. Never with `*`: browsers would refuse the answer.
    pub allow_credentials: bool,
    /// Headers of answers that scripts may read.
    pub expose_headers: Vec<String>,
    /// Seconds a browser may remember an answer to its question; 0 = not said.
    pub max_age: u32,
    pub allow_methods: Vec<String>,
    /// Headers that scripts may send, beside those that they always may.
    pub allow_headers: Vec<String>,
}

impl Default for CorsOptions {
    fn default() -> Self {
        let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
        let headers = words(&["X-Auth-Token", "X-Openstack-Request-Id"]);
        Self {
            allowed_origins: vec![],
            allow_credentials: true,
            expose_headers: headers.clone(),
            max_age: 3600,
            allow_methods: words(&["GET", "PUT", "POST", "DELETE"]),
            allow_headers: headers,
        }
    }
}

/// What a browser says of the page that asks.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    origin: HeaderValue,
    /// The question before the request itself: its method and its headers; `None` = this is the request.
    preflight: Option<(String, Vec<String>)>,
    /// OPTIONS without a method to ask for.
    pointless: bool,
}

impl Asked {
    /// `None` = no page of another origin asks.
    pub(crate) fn of(method: &Method, headers: &HeaderMap) -> Option<Self> {
        let origin = headers.get(header::ORIGIN)?.clone();
        let wanted = headers
            .get(header::ACCESS_CONTROL_REQUEST_METHOD)
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned);
        let is_question = method == Method::OPTIONS;
        let preflight = wanted.filter(|_| is_question).map(|method| {
            let values = headers.get_all(header::ACCESS_CONTROL_REQUEST_HEADERS).iter();
            let names = values
                .flat_map(|value| value.to_str().unwrap_or("?").split(','))
                .map(|name| name.trim().to_owned())
                .filter(|name| !name.is_empty());
            (method, names.collect())
        });
        let pointless = is_question && preflight.is_none();
        Some(Self { origin, preflight, pointless })
    }
}

/// Adds to an answer what lets the page see it; nothing if it may not.
/// Of several that name the origin, the first counts; `*` counts where none does.
pub(crate) fn permit(options: &[CorsOptions], asked: Option<&Asked>, answer: &mut HeaderMap) {
    if options.iter().all(|options| options.allowed_origins.is_empty()) {
        return;
    }
    // Caches must not give one page's answer to another.
    answer.append(header::VARY, HeaderValue::from_static("Origin"));
    let Some(asked) = asked.filter(|asked| !asked.pointless) else { return };
    let naming = |wanted: &[u8]| {
        let names =
            |options: &&CorsOptions| options.allowed_origins.iter().any(|origin| origin.as_bytes() == wanted);
        options.iter().find(names)
    };
    let named = naming(asked.origin.as_bytes());
    let listed = named.is_some();
    let Some(options) = named.or_else(|| naming(b"*")) else { return };
    let origin = if listed { asked.origin.clone() } else { HeaderValue::from_static("*") };
    let mut granted = vec![(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin)];
    if options.allow_credentials && listed {
        granted.push((header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true")));
    }
    match &asked.preflight {
        None => granted.extend(list(header::ACCESS_CONTROL_EXPOSE_HEADERS, &options.expose_headers)),
        Some((method, headers)) => {
            let method_allowed = options.allow_methods.contains(method);
            if !method_allowed || !headers.iter().all(|name| may_send(options, name)) {
                return;
            }
            granted.extend(list(header::ACCESS_CONTROL_ALLOW_METHODS, std::slice::from_ref(method)));
            granted.extend(list(header::ACCESS_CONTROL_ALLOW_HEADERS, headers));
            if options.max_age > 0 {
                granted.push((header::ACCESS_CONTROL_MAX_AGE, options.max_age.into()));
            }
        }
    }
    for (name, value) in granted {
        answer.insert(name, value);
    }
}

fn may_send(options: &CorsOptions, name: &str) -> bool {
    SIMPLE_HEADERS.iter().any(|simple| name.eq_ignore_ascii_case(simple))
        || options.allow_headers.iter().any(|allowed| name.eq_ignore_ascii_case(allowed))
}

fn list(name: HeaderName, words: &[String]) -> Option<(HeaderName, HeaderValue)> {
    let value = HeaderValue::try_from(words.join(",")).ok()?;
    (!words.is_empty()).then_some((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What an answer gets, without `access-control-` and `vary`.
    fn check(options: &[CorsOptions], method: &str, request: &[(&'static str, &str)]) -> String {
        let headers = request.iter().map(|(name, value)| {
            (HeaderName::from_static(name), HeaderValue::from_bytes(value.as_bytes()).unwrap())
        });
        let asked = Asked::of(&method.parse().unwrap(), &headers.collect());
        let mut answer = HeaderMap::new();
        permit(options, asked.as_ref(), &mut answer);
        let any = options.iter().any(|options| !options.allowed_origins.is_empty());
        assert_eq!(answer.contains_key("vary"), any);
        answer.remove("vary");
        let mut lines: Vec<_> = answer
            .iter()
            .map(|(name, value)| {
                let name = name.as_str().strip_prefix("access-control-").unwrap();
                format!("{name}={}", value.to_str().unwrap())
            })
            .collect();
        lines.sort();
        lines.join(" ")
    }

    fn options(origins: &[&str]) -> CorsOptions {
        CorsOptions {
            allowed_origins: origins.iter().map(|&origin| origin.to_owned()).collect(),
            ..CorsOptions::default()
        }
    }

    #[test]
    fn who_may_call() {
        let two = options(&["https://a.test", "http://b.test:8080"]);
        let simple = "expose-headers=X-Auth-Token,X-Openstack-Request-Id";
        let method = "access-control-request-method";
        let headers = "access-control-request-headers";
        type Case<'a> = (&'a str, &'a [(&'static str, &'a str)], String);
        let cases: &[Case<'_>] = &[
            ("GET", &[], String::new()),
            (
                "GET",
                &[("origin", "https://a.test")],
                format!("allow-credentials=true allow-origin=https://a.test {simple}"),
            ),
            (
                "PUT",
                &[("origin", "http://b.test:8080")],
                format!("allow-credentials=true allow-origin=http://b.test:8080 {simple}"),
            ),
            ("GET", &[("origin", "https://c.test")], String::new()),
            ("GET", &[("origin", "https://a.test.evil")], String::new()),
            ("GET", &[("origin", "null")], String::new()),
            ("GET", &[("origin", "\u{e9}")], String::new()),
            (
                "OPTIONS",
                &[("origin", "https://a.test"), (method, "POST"), (headers, "x-auth-token, Content-Type")],
                "allow-credentials=true allow-headers=x-auth-token,Content-Type allow-methods=POST \
                 allow-origin=https://a.test max-age=3600"
                    .to_owned(),
            ),
            (
                "OPTIONS",
                &[("origin", "https://a.test"), (method, "GET")],
                "allow-credentials=true allow-methods=GET allow-origin=https://a.test max-age=3600"
                    .to_owned(),
            ),
            ("OPTIONS", &[("origin", "https://a.test")], String::new()),
            ("OPTIONS", &[(method, "GET")], String::new()),
            ("OPTIONS", &[("origin", "https://c.test"), (method, "GET")], String::new()),
            ("OPTIONS", &[("origin", "https://a.test"), (method, "PATCH")], String::new()),
            (
                "OPTIONS",
                &[("origin", "https://a.test"), (method, "GET"), (headers, "x-other")],
                String::new(),
            ),
            ("OPTIONS", &[("origin", "https://a.test"), (method, "GET"), (headers, "\u{e9}")], String::new()),
        ];
        for (method, request, expected) in cases {
            let two = std::slice::from_ref(&two);
            assert_eq!(check(two, method, request), *expected, "{method} {request:?}");
        }
    }

    #[test]
    fn each_origin_by_the_section_that_names_it() {
        let plain = |origins: &[&str], age| CorsOptions {
            allow_credentials: false,
            expose_headers: vec![],
            max_age: age,
            ..options(origins)
        };
        let sections = [
            plain(&["https://a.test"], 1),
            plain(&[], 2),
            plain(&["https://b.test", "https://a.test"], 3),
            CorsOptions { allow_methods: vec!["PATCH".to_owned()], ..plain(&["*"], 4) },
            plain(&["https://c.test"], 5),
        ];
        let question = |origin| [("origin", origin), ("access-control-request-method", "GET")];
        for (origin, expected) in [
            ("https://a.test", "allow-methods=GET allow-origin=https://a.test max-age=1"),
            ("https://b.test", "allow-methods=GET allow-origin=https://b.test max-age=3"),
            ("https://c.test", "allow-methods=GET allow-origin=https://c.test max-age=5"),
            // Anybody's section has no such method.
            ("https://d.test", ""),
        ] {
            assert_eq!(check(&sections, "OPTIONS", &question(origin)), expected, "{origin}");
        }
        assert_eq!(check(&sections, "GET", &[("origin", "https://d.test")]), "allow-origin=*");
        assert_eq!(check(&sections[1..2], "OPTIONS", &question("https://a.test")), "");
    }

    #[test]
    fn nobody_unless_configured_and_anybody_without_credentials() {
        let request = [("origin", "https://a.test")];
        assert_eq!(check(&[], "GET", &request), "");
        assert_eq!(check(&[options(&[])], "GET", &request), "");
        let any = CorsOptions { expose_headers: vec![], ..options(&["*"]) };
        assert_eq!(check(&[any], "GET", &request), "allow-origin=*");
        let none = CorsOptions { allow_credentials: false, max_age: 0, ..options(&["https://a.test"]) };
        let question = [("origin", "https://a.test"), ("access-control-request-method", "PUT")];
        assert_eq!(check(&[none], "OPTIONS", &question), "allow-methods=PUT allow-origin=https://a.test");
    }
}
