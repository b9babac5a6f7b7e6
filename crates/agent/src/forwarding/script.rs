//! What `nft` is told to turn the table that is there into another, at once and as a whole; pure.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::rules::{Kind, Name, Rules, TABLE};

/// All names of a table.
pub(super) fn names(rules: &Rules) -> BTreeSet<Name> {
    let chains = rules.chains.keys().map(|name| Name { kind: Kind::Chain, name: name.clone() });
    rules.objects.keys().cloned().chain(chains).collect()
}

/// Of a table with these names and, where that is known, these rules: only what differs is touched, so counters, clients that are
/// remembered and places in a round stay. Empty = nothing is to be done.
pub(super) fn script(there: &BTreeSet<Name>, known: Option<&Rules>, wanted: &Rules) -> String {
    let mut script = String::new();
    let names = names(wanted);
    let mut line = |what: std::fmt::Arguments<'_>| {
        // Writing into a text does not fail.
        let _ = writeln!(script, "{what}");
    };
    if names.is_empty() {
        if !there.is_empty() {
            line(format_args!("add table inet {TABLE}"));
            line(format_args!("delete table inet {TABLE}"));
        }
        return script;
    }
    let changed: Vec<_> = wanted
        .chains
        .iter()
        .filter(|(name, chain)| known.and_then(|known| known.chains.get(*name)) != Some(chain))
        .collect();
    let gone: Vec<_> = there.difference(&names).collect();
    let new: Vec<_> = wanted.objects.iter().filter(|(name, _)| !there.contains(name)).collect();
    if changed.is_empty() && gone.is_empty() && new.is_empty() {
        return script;
    }
    line(format_args!("add table inet {TABLE}"));
    for (Name { kind, name }, declared) in new {
        line(format_args!("add {} inet {TABLE} {name} {{ {declared} }}", kind.word()));
    }
    for (name, chain) in &changed {
        line(format_args!("add chain inet {TABLE} {name} {{ {} }}", chain.declared));
        line(format_args!("flush chain inet {TABLE} {name}"));
    }
    for name in gone.iter().filter(|name| name.kind == Kind::Chain) {
        line(format_args!("flush chain inet {TABLE} {}", name.name));
    }
    for (name, chain) in &changed {
        for rule in &chain.rules {
            line(format_args!("add rule inet {TABLE} {name} {rule}"));
        }
    }
    for Name { kind, name } in gone {
        line(format_args!("delete {} inet {TABLE} {name}", kind.word()));
    }
    script
}

/// The names in what `nft -t list ruleset` tells.
pub(super) fn listed(ruleset: &str) -> BTreeSet<Name> {
    let ours = format!("table inet {TABLE} {{");
    let lines = ruleset.lines().skip_while(|line| *line != ours).skip(1).take_while(|line| *line != "}");
    // What is deeper is no name of the table's.
    let heads = lines
        .filter_map(|line| line.strip_prefix('\t')?.strip_suffix(" {"))
        .filter(|head| !head.starts_with('\t'));
    let named = heads.filter_map(|head| {
        let (word, name) = head.rsplit_once(' ')?;
        let kind = Kind::ALL.into_iter().find(|kind| kind.word() == word)?;
        Some(Name { kind, name: name.to_owned() })
    });
    named.collect()
}
