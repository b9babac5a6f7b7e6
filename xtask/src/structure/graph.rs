//! Who depends on whom, from `cargo metadata`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::shell::{cargo, run_quietly};

#[derive(Debug)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) licence: Option<String>,
    /// A member of this workspace.
    pub(crate) local: bool,
    pub(crate) registry: bool,
    /// Dependencies without a version or a path.
    pub(crate) wildcards: Vec<String>,
    /// What it is built with, by id; development dependencies are not among them.
    uses: Vec<String>,
}

/// Every package that some target of the workspace is built with on this platform.
#[derive(Debug)]
pub(crate) struct Graph(BTreeMap<String, Package>);

impl Graph {
    pub(crate) fn load() -> Result<Self> {
        let text = run_quietly(cargo().args([
            "metadata",
            "--format-version=1",
            "--locked",
            "--filter-platform=x86_64-unknown-linux-gnu",
        ]))?;
        let metadata: Value = serde_json::from_str(&text)?;
        let built = built()?;
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let mut uses: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for node in list(&metadata["resolve"]["nodes"]) {
            let id = node["id"].as_str().context("a node without an id")?;
            let deps = list(&node["deps"]).into_iter().filter(|dep| {
                // `kind` null = a normal dependency.
                list(&dep["dep_kinds"]).iter().any(|kind| kind["kind"].is_null() || kind["kind"] == "build")
            });
            let deps = deps.filter_map(|dep| dep["pkg"].as_str().map(str::to_owned)).collect();
            uses.insert(id.to_owned(), deps);
        }
        let mut packages = BTreeMap::new();
        for package in list(&metadata["packages"]) {
            let id = package["id"].as_str().context("a package without an id")?.to_owned();
            let Some(uses) = uses.remove(&id) else { continue };
            let word = |key: &str| package[key].as_str().map(str::to_owned);
            let name = word("name").context("a package without a name")?;
            if !built.contains(&format!("{name} v{}", word("version").unwrap_or_default())) {
                continue;
            }
            let source = word("source");
            let wildcards = list(&package["dependencies"])
                .iter()
                .filter(|dep| source.is_none() && dep["req"] == "*" && dep["path"].is_null())
                .filter_map(|dep| dep["name"].as_str().map(str::to_owned))
                .collect();
            let package = Package {
                name,
                licence: word("license"),
                local: source.is_none(),
                registry: source.is_some_and(|source| source.starts_with("registry+")),
                wildcards,
                uses,
            };
            packages.insert(id, package);
        }
        Ok(Self(packages))
    }

    /// Every package in the graph.
    pub(crate) fn packages(&self) -> impl Iterator<Item = &Package> {
        self.0.values()
    }

    /// The ways by which `from` is built with any of `forbidden`, the shortest for each.
    pub(crate) fn reaches(&self, from: &str, forbidden: &[&str]) -> Result<Vec<String>> {
        let start = self.0.iter().find(|(_, package)| package.name == from);
        let (start, _) = start.with_context(|| format!("no package {from}"))?;
        let mut found = vec![];
        let mut seen = BTreeSet::from([start]);
        let mut queue = VecDeque::from([(start, vec![from])]);
        while let Some((id, way)) = queue.pop_front() {
            for next in &self.0[id].uses {
                let Some(package) = self.0.get(next) else { continue };
                if !seen.insert(next) {
                    continue;
                }
                let way: Vec<_> = way.iter().copied().chain([package.name.as_str()]).collect();
                if forbidden.contains(&package.name.as_str()) {
                    found.push(way.join(" → "));
                } else {
                    queue.push_back((next, way));
                }
            }
        }
        Ok(found)
    }
}

/// `name vVERSION` of what is really built: the metadata also holds optional dependencies that only a weak feature
/// (`ring?/std`) mentions and nothing turns on.
fn built() -> Result<BTreeSet<String>> {
    let text = run_quietly(cargo().args([
        "tree",
        "--workspace",
        "--locked",
        "--edges=normal,build,dev",
        "--target=x86_64-unknown-linux-gnu",
        "--prefix=none",
        "--format={p}",
    ]))?;
    Ok(text.lines().map(|line| line.split(' ').take(2).collect::<Vec<_>>().join(" ")).collect())
}
