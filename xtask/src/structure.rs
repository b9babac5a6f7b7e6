//! What is deliberately absent, as `ARCHITECTURE.md` says it; licences and bans as `deny.toml` says them.
//!
//! Reads `cargo metadata` for this platform and the sources; builds nothing.

mod graph;
mod licence;
mod source;

use anyhow::{Result, bail};
use graph::Graph;

use crate::shell::root;

/// A file longer than this asks to be split; a warning, not a failure.
const LINES_MAX: usize = 700;

pub(crate) fn run() -> Result<()> {
    let graph = Graph::load()?;
    let mut broken = Vec::new();
    for (name, check) in CHECKS {
        let found = check(&graph)?;
        println!("{name}: {}", if found.is_empty() { "holds" } else { "broken" });
        broken.extend(found.into_iter().map(|line| format!("{name}: {line}")));
    }
    for (path, lines) in source::long_files(LINES_MAX)? {
        println!("warning: {path} has {lines} lines: is there a seam to split at?");
    }
    if broken.is_empty() {
        return Ok(());
    }
    bail!("the structure is broken:\n  {}", broken.join("\n  "))
}

/// Answers what breaks the rule; nothing = it holds.
type Check = fn(&Graph) -> Result<Vec<String>>;

const CHECKS: &[(&str, Check)] = &[
    ("A1 proxy and agent know no database, no OpenStack, no REST API", a1),
    ("A2 plan, config, policy, tls, vrrp and the cores of proxy and agent do no I/O", a2),
    ("A3 api never calls an agent", a3),
    ("A4 types that derive Serialize live at the edges", a4),
    ("A5 control and plan name no vendor", a5),
    ("A6 unsafe only in proxy::sys and agent::sys", a6),
    ("licences", licences),
    ("bans", bans),
];

const DATABASE: &[&str] = &["sea-orm", "sea-orm-migration", "sqlx", "sqlx-core", "octavia-store"];
const CONTROLLER: &[&str] =
    &["octavia-api", "octavia-control", "octavia-cloud", "octavia-plan", "octavia-client"];

fn a1(graph: &Graph) -> Result<Vec<String>> {
    let mut found = vec![];
    found.extend(graph.reaches("octavia-proxy", DATABASE)?);
    found.extend(graph.reaches("octavia-proxy", CONTROLLER)?);
    found.extend(graph.reaches("octavia-proxy", &["axum", "reqwest", "octavia-agent"])?);
    found.extend(graph.reaches("octavia-agent", DATABASE)?);
    found.extend(graph.reaches("octavia-agent", CONTROLLER)?);
    Ok(found)
}

/// Modules of `proxy` that hold decisions: each is a file or a directory below `crates/proxy/src`.
const PROXY_CORES: &[&str] = &[
    "access_log/ending.rs",
    "access_log/escape.rs",
    "access_log/line.rs",
    "access_log/syslog.rs",
    "balance.rs",
    "civil.rs",
    "health/http.rs",
    "health/http2.rs",
    "health/machine.rs",
    "health/schedule.rs",
    "http1",
    "http2",
    "layer7",
    "persistence.rs",
    "proxy_protocol.rs",
    "proxy_protocol/read.rs",
    "report.rs",
    "slab.rs",
    "snapshot.rs",
    "stick.rs",
    "tls",
    "udp/sessions.rs",
    "wheel.rs",
];

/// The same of `agent`.
const AGENT_CORES: &[&str] = &[
    "accept.rs",
    "door.rs",
    "forwarding/flow.rs",
    "forwarding/marks.rs",
    "forwarding/netfilter.rs",
    "forwarding/rules.rs",
    "forwarding/script.rs",
    "forwarding/share.rs",
    "netlink/message.rs",
    "network/diff.rs",
    "network/faults.rs",
    "network/message.rs",
    "network/state.rs",
    "network/wanted.rs",
];

const INPUT_OUTPUT: &[&str] = &[
    "std::fs",
    "std::net::Tcp",
    "std::net::Udp",
    "std::thread",
    "std::process",
    "std::env",
    "Instant::now",
    "SystemTime::now",
    "Timestamp::now",
    "Zoned::now",
    "rand::rng",
    "rand::random",
    "new_v4",
    "tokio::",
    "rustix::",
    "socket2::",
];

fn a2(graph: &Graph) -> Result<Vec<String>> {
    let mut found = graph.reaches("octavia-plan", &["tokio", "reqwest", "socket2", "mio"])?;
    found.extend(graph.reaches("octavia-plan", DATABASE)?);
    let cores = PROXY_CORES.iter().map(|core| format!("crates/proxy/src/{core}"));
    let cores = cores.chain(AGENT_CORES.iter().map(|core| format!("crates/agent/src/{core}")));
    for place in
        ["crates/plan/src", "crates/config/src", "crates/policy/src", "crates/tls/src", "crates/vrrp/src"]
            .map(str::to_owned)
            .into_iter()
            .chain(cores)
    {
        found.extend(source::mentions(&place, INPUT_OUTPUT, &[])?);
    }
    Ok(found)
}

fn a3(graph: &Graph) -> Result<Vec<String>> {
    graph.reaches(
        "octavia-api",
        &["octavia-control", "octavia-agent", "octavia-proxy", "reqwest", "octavia-client"],
    )
}

fn a4(_: &Graph) -> Result<Vec<String>> {
    let mut found = vec![];
    for place in ["model", "plan", "store", "control", "proxy"] {
        found.extend(source::derives_serialize(&format!("crates/{place}/src"), &[])?);
    }
    // Documents shown to users are made in one place.
    found.extend(source::derives_serialize("crates/api/src", &["view", "view.rs"])?);
    Ok(found)
}

const VENDORS: &[&str] = &[
    "nova",
    "neutron",
    "keystone",
    "barbican",
    "glance",
    "openstack",
    "loopback",
    "netns",
    "haproxy",
    "local::",
];

fn a5(_: &Graph) -> Result<Vec<String>> {
    let mut found = source::mentions("crates/control/src", VENDORS, &[])?;
    found.extend(source::mentions("crates/plan/src", VENDORS, &[])?);
    Ok(found)
}

fn a6(_: &Graph) -> Result<Vec<String>> {
    let except = ["crates/proxy/src/sys", "crates/agent/src/sys"];
    let mut found =
        source::mentions("crates", &["unsafe ", "allow(unsafe_code", "expect(unsafe_code"], &except)?;
    found.extend(source::mentions("xtask/src", &["unsafe {"], &["xtask/src/structure"])?);
    Ok(found)
}

fn licences(graph: &Graph) -> Result<Vec<String>> {
    let deny = Deny::load()?;
    let mut found = vec![];
    for package in graph.packages() {
        if package.local {
            continue;
        }
        match &package.licence {
            None => found.push(format!("{} has no licence expression", package.name)),
            Some(text) => match licence::allowed(text, &deny.licences) {
                Ok(true) => (),
                Ok(false) => found.push(format!("{}: {text} is not in deny.toml's list", package.name)),
                Err(error) => found.push(format!("{}: {text}: {error}", package.name)),
            },
        }
    }
    Ok(found)
}

fn bans(graph: &Graph) -> Result<Vec<String>> {
    let deny = Deny::load()?;
    let mut found = vec![];
    for package in graph.packages() {
        for (name, reason) in &deny.bans {
            if package.name == *name {
                found.push(format!("{name} is used, but {reason}"));
            }
        }
        if !package.local && !package.registry {
            found.push(format!("{} does not come from the registry", package.name));
        }
        for name in &package.wildcards {
            found.push(format!("{} wants any version of {name}", package.name));
        }
    }
    Ok(found)
}

/// The parts of `deny.toml` that need no network.
struct Deny {
    licences: Vec<String>,
    bans: Vec<(String, String)>,
}

impl Deny {
    fn load() -> Result<Self> {
        let document: toml_edit::Document<String> =
            std::fs::read_to_string(root().join("deny.toml"))?.parse()?;
        let text = |item: Option<&toml_edit::Value>| item.and_then(|value| value.as_str()).map(str::to_owned);
        let array = |table: &str, key: &str| -> Result<Vec<toml_edit::Value>> {
            let array = document.get(table).and_then(|item| item.get(key)).and_then(|item| item.as_array());
            match array {
                Some(array) => Ok(array.iter().cloned().collect()),
                None => bail!("deny.toml has no {table}.{key}"),
            }
        };
        let licences = array("licenses", "allow")?.iter().filter_map(|item| text(Some(item))).collect();
        let bans = array("bans", "deny")?
            .iter()
            .filter_map(|item| {
                let table = item.as_inline_table()?;
                Some((text(table.get("name"))?, text(table.get("reason")).unwrap_or_default()))
            })
            .collect();
        Ok(Self { licences, bans })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_structure_holds() {
        run().unwrap();
    }

    /// A check that can find nothing would always hold.
    #[test]
    fn the_checks_can_fail() {
        let graph = Graph::load().unwrap();
        assert!(!graph.reaches("octavia-store", DATABASE).unwrap().is_empty());
        assert!(!graph.reaches("octavia", &["octavia-proxy"]).unwrap().is_empty());
        assert!(graph.reaches("no-such-crate", DATABASE).is_err());
        assert!(!source::derives_serialize("crates/wire/src", &[]).unwrap().is_empty());
        assert!(!source::mentions("xtask/src", &["println!"], &[]).unwrap().is_empty());
        assert!(source::mentions("xtask/src/no-such-file.rs", &["x"], &[]).is_err());
        let deny = Deny::load().unwrap();
        assert!(deny.licences.iter().any(|licence| licence == "MIT"));
        assert!(deny.bans.iter().any(|(name, _)| name == "openssl-sys"));
    }
}
