//! `/healthcheck`: whether this API should get requests, for load balancers in front of it and for people
//! (`reference/api.md` §1.3).

use std::fmt::Write;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use ipnet::IpNet;
use jiff::Timestamp;
use octavia_store::Store;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::fault::Fault;
use crate::forwarded::{Peer, is_proxied};

/// After this the database counts as away.
const DATABASE_LIMIT: Duration = Duration::from_secs(5);

/// The original's `[healthcheck]`.
#[derive(Debug, Clone)]
pub struct HealthcheckOptions {
    /// Otherwise nothing is there.
    pub enabled: bool,
    pub backends: Vec<HealthcheckBackend>,
    /// Say more: what each check found, version and time.
    pub detailed: bool,
    /// How long the database's answer is believed.
    pub refresh: Duration,
    pub disable_by_file: Option<PathBuf>,
    /// By the port a request came to.
    pub disable_by_ports: Vec<(u16, PathBuf)>,
    pub enable_by_files: Vec<PathBuf>,
    /// Others find nothing here; empty = everybody may ask.
    pub allowed_sources: Vec<IpNet>,
    /// What came through a proxy finds nothing here.
    pub ignore_proxied: bool,
}

impl Default for HealthcheckOptions {
    fn default() -> Self {
        Self {
            enabled: false,
            backends: vec![],
            detailed: false,
            refresh: Duration::from_secs(5),
            disable_by_file: None,
            disable_by_ports: vec![],
            enable_by_files: vec![],
            allowed_sources: vec![],
            ignore_proxied: false,
        }
    }
}

/// A check to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HealthcheckBackend {
    DisableByFile,
    DisableByFilesPorts,
    EnableByFiles,
    /// Whether the database answers.
    Database,
}

impl HealthcheckBackend {
    /// By the original's names.
    pub const NAMES: [(&'static str, Self); 4] = [
        ("disable_by_file", Self::DisableByFile),
        ("disable_by_files_ports", Self::DisableByFilesPorts),
        ("enable_by_files", Self::EnableByFiles),
        ("octavia_db_check", Self::Database),
    ];
}

/// What a check found.
#[derive(Debug, Clone)]
struct Finding {
    healthy: bool,
    reason: &'static str,
    details: String,
}

impl Finding {
    fn new(healthy: bool, reason: &'static str, details: impl Into<String>) -> Self {
        Self { healthy, reason: if healthy { "OK" } else { reason }, details: details.into() }
    }
}

#[derive(Debug)]
pub(crate) struct Healthcheck {
    options: HealthcheckOptions,
    store: Store,
    /// What the database answered last. Held while looking: however many ask, one looks.
    database: Mutex<Option<(Instant, Finding)>>,
}

impl Healthcheck {
    pub(crate) fn new(options: HealthcheckOptions, store: Store) -> Self {
        Self { options, store, database: Mutex::default() }
    }

    pub(crate) async fn answer(&self, parts: &Parts, client: Option<IpAddr>) -> Result<Response, Fault> {
        let peer = parts.extensions.get::<Peer>();
        if !self.may_ask(client) {
            return Err(Fault::UnknownPath);
        }
        if self.options.ignore_proxied && is_proxied(&parts.headers) {
            return Err(Fault::UnknownPath);
        }
        if parts.method != Method::GET && parts.method != Method::HEAD {
            return Err(Fault::MethodNotAllowed { allow: "GET, HEAD".to_owned() });
        }
        let mut findings = vec![];
        let mut last = self.database.lock().await;
        for backend in &self.options.backends {
            findings.push(self.find(*backend, peer.map(|peer| peer.port), &mut last).await);
        }
        drop(last);
        let healthy = findings.iter().all(|finding| finding.healthy);
        let status = match (healthy, &parts.method) {
            (false, _) => StatusCode::SERVICE_UNAVAILABLE,
            (true, &Method::HEAD) => StatusCode::NO_CONTENT,
            (true, _) => StatusCode::OK,
        };
        if parts.method == Method::HEAD {
            return Ok(status.into_response());
        }
        let format = Format::accepted(&parts.headers);
        let body = match format {
            Format::Plain => plain(&findings),
            Format::Html => html(&findings, self.options.detailed),
            Format::Json => format!("{:#}", json(&findings, self.options.detailed)),
        };
        let kind = HeaderValue::from_static(format.content_type());
        Ok((status, [(header::CONTENT_TYPE, kind)], body).into_response())
    }

    fn may_ask(&self, source: Option<IpAddr>) -> bool {
        let allowed = &self.options.allowed_sources;
        allowed.is_empty() || source.is_some_and(|source| allowed.iter().any(|net| net.contains(&source)))
    }

    async fn find(
        &self,
        backend: HealthcheckBackend,
        port: Option<u16>,
        last: &mut Option<(Instant, Finding)>,
    ) -> Finding {
        match backend {
            HealthcheckBackend::DisableByFile => unless_there(self.options.disable_by_file.as_ref()).await,
            HealthcheckBackend::DisableByFilesPorts => {
                let mut paths = self.options.disable_by_ports.iter();
                unless_there(paths.find(|(of, _)| Some(*of) == port).map(|(_, path)| path)).await
            }
            HealthcheckBackend::EnableByFiles => {
                for path in &self.options.enable_by_files {
                    if is_there(path).await {
                        return Finding::new(true, "", format!("{} is there", path.display()));
                    }
                }
                Finding::new(false, "FILE PATH MISSING", "none of the files is there")
            }
            HealthcheckBackend::Database => self.database(last).await,
        }
    }

    async fn database(&self, last: &mut Option<(Instant, Finding)>) -> Finding {
        if let Some((asked_at, finding)) = last
            && asked_at.elapsed() < self.options.refresh
        {
            return finding.clone();
        }
        let finding = match tokio::time::timeout(DATABASE_LIMIT, self.store.ping()).await {
            Ok(Ok(())) => Finding::new(true, "", "the database answers"),
            // Not what it says: it may tell of hosts and users, and anybody may ask.
            Ok(Err(error)) => {
                tracing::warn!(%error, "healthcheck: the database answers with an error");
                Finding::new(false, "DATABASE ERROR", "the database answers with an error")
            }
            Err(_) => Finding::new(false, "DATABASE TIMEOUT", "the database does not answer in time"),
        };
        *last = Some((Instant::now(), finding.clone()));
        finding
    }
}

async fn unless_there(path: Option<&PathBuf>) -> Finding {
    match path {
        None => Finding::new(true, "", "no file is configured"),
        Some(path) if is_there(path).await => {
            Finding::new(false, "DISABLED BY FILE", format!("{} is there", path.display()))
        }
        Some(path) => Finding::new(true, "", format!("{} is not there", path.display())),
    }
}

/// What cannot be looked at is not there.
async fn is_there(path: &PathBuf) -> bool {
    tokio::fs::try_exists(path).await.unwrap_or(false)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Plain,
    Html,
    Json,
}

impl Format {
    const ALL: [Self; 3] = [Self::Plain, Self::Html, Self::Json];

    const fn content_type(self) -> &'static str {
        match self {
            Self::Plain => "text/plain; charset=UTF-8",
            Self::Html => "text/html; charset=UTF-8",
            Self::Json => "application/json; charset=UTF-8",
        }
    }

    /// What the client likes best; the first of equals, and plain text when it likes none (RFC 9110 §12.5.1).
    fn accepted(headers: &HeaderMap) -> Self {
        let ranges: Vec<(String, u32)> = headers
            .get_all(header::ACCEPT)
            .iter()
            .flat_map(|value| value.to_str().unwrap_or_default().split(','))
            .map(weighted)
            .collect();
        let weight = |format: Self| {
            let kind = format.content_type().split(';').next().unwrap_or_default();
            let family = format!("{}/*", kind.split('/').next().unwrap_or_default());
            let of = |wanted: &str| ranges.iter().find(|(range, _)| range == wanted).map(|(_, q)| *q);
            of(kind).or_else(|| of(&family)).or_else(|| of("*/*")).unwrap_or(0)
        };
        // The first of the heaviest.
        Self::ALL.into_iter().rev().max_by_key(|format| weight(*format)).unwrap_or(Self::Plain)
    }
}

/// A media range and its weight in thousandths.
fn weighted(range: &str) -> (String, u32) {
    let mut parts = range.split(';').map(str::trim);
    let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
    let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
    let weight = weight.map_or(1.0, |text| text.parse::<f32>().unwrap_or(0.0));
    (kind, (weight.clamp(0.0, 1.0) * 1000.0) as u32)
}

/// One reason a line; without any check, that all is well.
fn plain(findings: &[Finding]) -> String {
    if findings.is_empty() {
        return "OK".to_owned();
    }
    findings.iter().map(|finding| finding.reason).collect::<Vec<_>>().join("\n")
}

fn json(findings: &[Finding], detailed: bool) -> Value {
    if !detailed {
        let reasons: Vec<_> = findings.iter().map(|finding| finding.reason).collect();
        return json!({ "detailed": false, "reasons": reasons });
    }
    let reasons: Vec<_> = findings
        .iter()
        .map(|finding| {
            json!({ "class": "HealthcheckResult", "reason": finding.reason, "details": finding.details })
        })
        .collect();
    json!({
        "detailed": true,
        "reasons": reasons,
        "now": Timestamp::now().to_string(),
        "platform": format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        "version": env!("CARGO_PKG_VERSION"),
    })
}

fn html(findings: &[Finding], detailed: bool) -> String {
    let mut rows = String::new();
    for finding in findings {
        let details = if detailed { escaped(&finding.details) } else { String::new() };
        // Writing to a string cannot fail.
        let _ = writeln!(rows, "<tr><td>{}</td><td>{details}</td></tr>", finding.reason);
    }
    let healthy = findings.iter().all(|finding| finding.healthy);
    let verdict = if healthy { "OK" } else { "Not healthy" };
    format!(
        "<!DOCTYPE html>\n<html><head><title>Healthcheck Status</title></head><body>\n<h1>{verdict}</h1>\n\
         <table>\n{rows}</table>\n</body></html>\n"
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_the_client_likes_best() {
        for (accept, expected) in [
            (None, Format::Plain),
            (Some(""), Format::Plain),
            (Some("*/*"), Format::Plain),
            (Some("text/plain"), Format::Plain),
            (Some("application/json"), Format::Json),
            (Some("APPLICATION/JSON"), Format::Json),
            (Some("application/*"), Format::Json),
            (Some("text/html"), Format::Html),
            (Some("text/html,application/xhtml+xml,*/*;q=0.8"), Format::Html),
            (Some("text/html;q=0.5, application/json;q=0.9"), Format::Json),
            (Some("text/plain;q=0, */*"), Format::Html),
            (Some("image/png"), Format::Plain),
            (Some("application/json;q=nonsense"), Format::Plain),
            (Some("application/json;q=NaN, text/html;q=0.1"), Format::Html),
            (Some(";;;,,q=1"), Format::Plain),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(accept) = accept {
                headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
            }
            assert_eq!(Format::accepted(&headers), expected, "{accept:?}");
        }
    }

    #[test]
    fn markup_in_details_is_text() {
        let finding = Finding::new(true, "", "<script>&");
        assert!(html(std::slice::from_ref(&finding), true).contains("&lt;script&gt;&amp;"));
        assert!(!html(&[finding], false).contains("script"));
    }
}
