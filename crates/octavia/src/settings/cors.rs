//! `[cors]`, and each `[cors.NAME]`.

use octavia_api::CorsOptions;
use octavia_config::option::cors;
use octavia_config::{Opt, Origin, Problem, Severity, Value};
use reqwest::header::HeaderName;
use reqwest::{Method, Url};

use super::Reader;
use super::service::filled;

impl Reader<'_> {
    /// Of `[cors]`, then of each `[cors.NAME]`.
    pub(super) fn cors(&mut self) -> Vec<CorsOptions> {
        let own = self.cors_own();
        let below = self.config.subsections(cors::allowed_origin.spec.group).map(|below| CorsOptions {
            allowed_origins: below.given(&cors::allowed_origin).map(filled).unwrap_or_default(),
            allow_credentials: below.given(&cors::allow_credentials).unwrap_or(own.allow_credentials),
            expose_headers: below
                .given(&cors::expose_headers)
                .map_or_else(|| own.expose_headers.clone(), filled),
            max_age: below.given(&cors::max_age).map_or(own.max_age, seconds_within),
            allow_methods: below
                .given(&cors::allow_methods)
                .map_or_else(|| own.allow_methods.clone(), filled),
            allow_headers: below
                .given(&cors::allow_headers)
                .map_or_else(|| own.allow_headers.clone(), filled),
        });
        let below: Vec<_> = below.collect();
        self.cors_warn();
        [vec![own], below].concat()
    }

    fn cors_own(&self) -> CorsOptions {
        CorsOptions {
            allowed_origins: self.words(&cors::allowed_origin),
            allow_credentials: self.flag(&cors::allow_credentials),
            expose_headers: self.words(&cors::expose_headers),
            max_age: seconds_within(self.number(&cors::max_age)),
            allow_methods: self.words(&cors::allow_methods),
            allow_headers: self.words(&cors::allow_headers),
        }
    }

    /// What browsers neither say nor understand has no effect.
    fn cors_warn(&mut self) {
        for setting in self.config.settings() {
            let Some((_, means, what)) = MEANINGS.iter().find(|(option, ..)| option.spec == *setting.spec)
            else {
                continue;
            };
            let (Some(Value::List(words)), Origin::File { name, line }) = (&setting.given, &setting.origin)
            else {
                continue;
            };
            let section = match &setting.subsection {
                Some(name) => format!("{}.{name}", setting.spec.group),
                None => setting.spec.group.to_owned(),
            };
            let nonsense = words.iter().filter(|word| !word.is_empty() && !means(word));
            self.problems.extend(nonsense.map(|word| Problem {
                severity: Severity::Warning,
                file: name.clone(),
                line: Some(*line),
                section: Some(section.clone()),
                option: Some(setting.spec.name.to_owned()),
                what: format!("{word:?} {what}, and has no effect"),
            }));
        }
    }
}

type Meaning = (&'static Opt<Vec<String>>, fn(&str) -> bool, &'static str);

const MEANINGS: [Meaning; 4] = [
    (
        &cors::allowed_origin,
        is_origin,
        "is no origin as browsers name theirs (scheme://host, :port unless it is the scheme's, no path) nor *",
    ),
    (&cors::expose_headers, is_header, "is no name of a header"),
    (&cors::allow_methods, |word| Method::from_bytes(word.as_bytes()).is_ok(), "is no method"),
    (&cors::allow_headers, is_header, "is no name of a header"),
];

/// Compared letter by letter with what a browser sends (WHATWG HTML §7.1.1, serialization of an origin).
fn is_origin(word: &str) -> bool {
    let tuple = |url: Url| match url.origin() {
        origin if origin.is_tuple() => origin.ascii_serialization() == word,
        // Of schemes that browsers make their own, such as an extension's.
        _ => url.has_host() && url.path().is_empty() && url.query().is_none() && url.fragment().is_none(),
    };
    ["*", "null"].contains(&word) || Url::parse(word).is_ok_and(tuple)
}

fn is_header(word: &str) -> bool {
    HeaderName::from_bytes(word.as_bytes()).is_ok()
}

fn seconds_within(number: i64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
