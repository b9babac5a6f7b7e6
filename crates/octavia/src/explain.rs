//! `octavia explain`: what the data plane would do with a request, in words.

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use octavia_model::ListenerProtocol;
use octavia_proxy::explain::{self, Candidate, Choice, Explanation, Outcome, Question, Standing};
use octavia_wire::{AmphoraSpec, L7PolicySpec, L7RuleSpec, ListenerSpec, PoolSpec, files};

use crate::args::ExplainOptions;
use crate::config::print;

pub(crate) fn run(options: &ExplainOptions) -> anyhow::Result<ExitCode> {
    let spec = read(&options.spec)?;
    let listener = listener(&spec, options)?;
    if let Some(spoken) = scheme(listener).filter(|&spoken| spoken != options.url.url.scheme()) {
        bail!("the listener at port {} is asked with {spoken}://", listener.port);
    }
    let head = head(options)?;
    let question = Question { listener: listener.id, client: options.client, head: head.as_bytes() };
    if let Some(stranger) = options.down.iter().find(|&&id| member_pool(&spec, id).is_none()) {
        bail!("no pool of the spec has the member {stranger}");
    }
    let explanation = explain::explain(&spec, &options.down, &question)?;
    print(&told(&spec, listener, &explanation)?)?;
    Ok(ExitCode::SUCCESS)
}

fn read(path: &Path) -> anyhow::Result<AmphoraSpec> {
    let path = if path.is_dir() { path.join(files::SPEC) } else { path.to_owned() };
    let text = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("{} is no spec", path.display()))
}

fn listener<'s>(spec: &'s AmphoraSpec, options: &ExplainOptions) -> anyhow::Result<&'s ListenerSpec> {
    if let Some(id) = options.listener {
        return spec
            .listeners
            .iter()
            .find(|l| l.id == id)
            .with_context(|| format!("the spec has no listener {id}"));
    }
    let port = options
        .url
        .url
        .port_or_known_default()
        .context("the URL has no port, and --listener is not given")?;
    let mut found = spec.listeners.iter().filter(|listener| listener.port == port);
    let listener = found.next().with_context(|| {
        let there: Vec<_> = spec.listeners.iter().map(|l| format!("{} at port {}", l.id, l.port)).collect();
        format!("no listener has port {port}; the spec has: {}", there.join(", "))
    })?;
    if found.next().is_some() {
        bail!("more than one listener has port {port}: choose one with --listener");
    }
    Ok(listener)
}

/// How URLs of what the listener reads begin, if it reads requests.
fn scheme(listener: &ListenerSpec) -> Option<&'static str> {
    match listener.protocol {
        ListenerProtocol::Http | ListenerProtocol::Prometheus => Some("http"),
        ListenerProtocol::TerminatedHttps => Some("https"),
        _ => None,
    }
}

/// The request as a client would send it. Whether it may be sent so is for the data plane to say.
fn head(options: &ExplainOptions) -> anyhow::Result<String> {
    let url = &options.url.url;
    let broken = |text: &str| text.contains(['\r', '\n']);
    if broken(&options.method) || options.headers.iter().any(|header| broken(header)) {
        bail!("a method or a header has a line break in it");
    }
    let mut head = format!("{} {} HTTP/1.1\r\n", options.method, options.url.target);
    let given =
        |header: &String| header.split(':').next().is_some_and(|name| name.eq_ignore_ascii_case("host"));
    if !options.headers.iter().any(given) {
        let host = url.host_str().context("the URL has no host")?;
        match url.port() {
            Some(port) => write!(head, "Host: {host}:{port}\r\n")?,
            None => write!(head, "Host: {host}\r\n")?,
        }
    }
    for header in &options.headers {
        write!(head, "{header}\r\n")?;
    }
    head.push_str("\r\n");
    Ok(head)
}

fn member_pool(spec: &AmphoraSpec, id: octavia_model::MemberId) -> Option<&PoolSpec> {
    spec.pools.iter().find(|pool| pool.members.iter().any(|member| member.id == id))
}

fn told(
    spec: &AmphoraSpec,
    listener: &ListenerSpec,
    explanation: &Explanation,
) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    writeln!(text, "listener {} ({}, port {})", listener.id, listener.protocol, listener.port)?;
    for verdict in &explanation.policies {
        let takes = if verdict.takes { "takes the request" } else { "does not take it" };
        writeln!(text, "L7 policy {}: {takes}", verdict.policy)?;
        let policy = listener.l7policies.iter().find(|policy| policy.id == verdict.policy);
        let rules = policy.map_or(&[][..], |policy: &L7PolicySpec| &policy.rules);
        if rules.is_empty() {
            writeln!(text, "  it has no rules")?;
        }
        for (rule, holds) in rules.iter().zip(&verdict.rules) {
            writeln!(text, "  {}: {}", rule_words(rule), if *holds { "holds" } else { "does not hold" })?;
        }
    }
    match &explanation.outcome {
        Outcome::NotAdmitted => text.push_str("closed: allowed_cidrs has not the client's address\n"),
        Outcome::Refused(refusal) => writeln!(text, "answered {}: {refusal}", refusal.status())?,
        Outcome::Rejected => text.push_str("answered 403, by that policy\n"),
        Outcome::Redirected { code, location } => {
            writeln!(text, "answered {code}, by that policy, to {}", String::from_utf8_lossy(location))?;
        }
        Outcome::Metrics { method: true } => {
            text.push_str("answered 200, with what the load balancer counts\n")
        }
        Outcome::Metrics { method: false } => {
            text.push_str("answered 405: the listener has answers to GET and HEAD\n")
        }
        Outcome::NoPool => writeln!(text, "{}: the listener has no pool for it", unserved(spec, listener))?,
        Outcome::NoMember { pool, members } => {
            pool_words(&mut text, spec, *pool, members)?;
            writeln!(text, "{}: no member can take it", unserved(spec, listener))?;
        }
        Outcome::Member { pool, chosen, members } => {
            pool_words(&mut text, spec, *pool, members)?;
            text.push_str(&choice_words(*chosen, members));
        }
    }
    Ok(text)
}

fn unserved(spec: &AmphoraSpec, listener: &ListenerSpec) -> String {
    use octavia_model::ListenerProtocol::{Http, TerminatedHttps};
    let page = spec.sorry_pages.iter().find(|page| page.listeners.contains(&listener.id));
    match (page, listener.protocol) {
        (Some(page), _) => format!("answered {} with the operator's page", page.status),
        (None, Http | TerminatedHttps) => "answered 503".to_owned(),
        (None, _) => "closed".to_owned(),
    }
}

fn rule_words(rule: &L7RuleSpec) -> String {
    let invert = if rule.invert { "not " } else { "" };
    let key = rule.key.as_ref().map(|key| format!(" {key:?}")).unwrap_or_default();
    format!("{invert}{}{key} {} {:?}", rule.kind, rule.compare_type, rule.value)
}

fn pool_words(
    text: &mut String,
    spec: &AmphoraSpec,
    id: octavia_model::PoolId,
    members: &[Candidate],
) -> std::fmt::Result {
    let algorithm = spec.pools.iter().find(|pool| pool.id == id).map(|pool| pool.algorithm);
    writeln!(text, "pool {id} ({})", algorithm.map(|algorithm| algorithm.to_string()).unwrap_or_default())?;
    for member in members {
        let standing = match member.standing {
            Standing::Ready => "can take it",
            Standing::Backup => "backup, and others can take it",
            Standing::Drained => "weight 0: only for clients that come back to it",
            Standing::Disabled => "disabled",
            Standing::Down => "down",
        };
        let Candidate { member: id, address, weight, .. } = member;
        writeln!(text, "  member {id} {address} weight {weight}: {standing}")?;
    }
    Ok(())
}

fn choice_words(chosen: Choice, members: &[Candidate]) -> String {
    let at = |id| members.iter().find(|m| m.member == id).map(|m| m.address.to_string()).unwrap_or_default();
    match chosen {
        Choice::Claimed(id) => format!("to member {id} at {}: the request's cookie names it\n", at(id)),
        Choice::Only(id) => format!("to member {id} at {}: no other can take it\n", at(id)),
        Choice::Hashed(id) => format!("to member {id} at {}: the client's address leads there\n", at(id)),
        Choice::Turns(octavia_model::Algorithm::LeastConnections) => {
            "to the one with the fewest connections for its weight, of those that can take it\n".to_owned()
        }
        Choice::Turns(_) => "to one of those that can take it, by turns and weight\n".to_owned(),
    }
}
