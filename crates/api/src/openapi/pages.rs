//! One page of documentation for each resource. Pure.

use std::fmt::Write as _;

use super::attribute::{Attribute, In, Kind, Out, Resource};
use super::endpoint::{DESCRIPTIONS, Description};
use super::table::RESOURCES;

/// Pages by file name, and an index of them.
pub(super) fn pages() -> Vec<(String, String)> {
    let mut index = String::from(
        "# Resources of the API\n\nMade of the tables in `crates/api/src/openapi`, as is `docs/openapi.json`, which the \
         API serves at `/openapi.json`;\n`UPDATE_DOCS=1 cargo nextest run -p octavia-api openapi` renews all of it.\n\n",
    );
    let mut pages = vec![];
    for resource in RESOURCES {
        let name = format!("{}.md", resource.page);
        if pages.iter().any(|(known, _)| *known == name) {
            continue;
        }
        let _ = writeln!(index, "- [{}]({name})", resource.noun);
        pages.push((name, page(resource)));
    }
    pages.push(("README.md".to_owned(), index));
    pages
}

fn page(resource: &Resource) -> String {
    let mut out = format!("# {}\n\n{}\n", capitalized(resource.noun), resource.about);
    let endpoints: Vec<_> =
        DESCRIPTIONS.iter().filter(|description| description.resource.page == resource.page).collect();
    out.push_str("\n## Requests\n\n| request | what it does | policy | answer |\n|---|---|---|---|\n");
    for endpoint in &endpoints {
        let _ = writeln!(
            out,
            "| `{} {}` | {} | `{}` | {} |",
            endpoint.method,
            endpoint.full_path(),
            endpoint.summary(),
            endpoint.policy(),
            endpoint.success()
        );
    }
    attributes(&mut out, resource);
    lists(&mut out, resource);
    faults(&mut out, &endpoints);
    out.push_str("\n## Examples\n");
    for (what, command) in resource.examples {
        let _ = write!(out, "\n{what}:\n\n```\n{command}\n```\n");
    }
    out
}

fn attributes(out: &mut String, resource: &Resource) {
    let nested = resource.is_nested();
    let (column, rule) = if nested { (" in a tree |", "---|") } else { ("", "") };
    let _ = write!(
        out,
        "\n## Attributes\n\nUnder the key `{}`; a list is under `{}`.\n\n| attribute | type | create |{column} update | \
         answer | since | |\n|---|---|---|{rule}---|---|---|---|\n",
        if resource.root.is_empty() { resource.list } else { resource.root },
        resource.list,
    );
    rows(out, "", resource.attributes, nested);
    out.push_str(
        "\n*required*: must be there, not null. *optional*: may be there, and null resets it. *optional, not null*: \
         may be there.\n",
    );
}

fn rows(out: &mut String, prefix: &str, attributes: &[Attribute], nested: bool) {
    for attribute in attributes {
        let column = if nested { format!(" {} |", sent(attribute.nested)) } else { String::new() };
        let _ = writeln!(
            out,
            "| `{prefix}{}` | {} | {} |{column} {} | {} | 2.{} | {} |",
            attribute.name,
            kind(attribute.kind),
            sent(attribute.create),
            sent(attribute.update),
            answered(attribute.answer),
            attribute.since,
            attribute.text,
        );
        match attribute.kind {
            Kind::Object(inner) => rows(out, &format!("{prefix}{}.", attribute.name), inner, nested),
            Kind::Objects(inner) => rows(out, &format!("{prefix}{}[].", attribute.name), inner, nested),
            _ => {}
        }
    }
}

const fn sent(sent: In) -> &'static str {
    match sent {
        In::No => "",
        In::Must => "required",
        In::May => "optional",
        In::Set => "optional, not null",
    }
}

const fn answered(answer: Out) -> &'static str {
    match answer {
        Out::No => "",
        Out::Yes => "always",
        Out::Null => "always, or null",
        Out::Some => "sometimes",
        Out::Flat => "always, but in a tree",
        Out::FlatSome => "if there is one, but in a tree",
        Out::Tree => "in a tree",
    }
}

fn kind(kind: Kind) -> String {
    let quoted = |words: &[&str]| words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ");
    match kind {
        Kind::Uuid => "UUID".to_owned(),
        Kind::Text(0) => "text".to_owned(),
        Kind::Text(max) => format!("text of at most {max}"),
        // A bar would end the cell.
        Kind::Pattern(max, pattern) => {
            format!("text of at most {max} like `{}`", pattern.replace('|', "\\|"))
        }
        Kind::Flag => "boolean".to_owned(),
        Kind::Integer(min, max) => format!("integer, {min} to {max}"),
        Kind::OneOf(numbers) => {
            format!("one of {}", numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
        }
        Kind::HttpVersion => "1.0 or 1.1".to_owned(),
        Kind::Word(words) => format!("one of {}", quoted(words)),
        Kind::Words(words) => format!("list of {}", quoted(words)),
        Kind::Address => "IPv4 or IPv6 address".to_owned(),
        Kind::Cidrs => "list of CIDRs".to_owned(),
        Kind::Time => "time, UTC".to_owned(),
        Kind::Texts(max) => format!("list of texts of at most {max}"),
        Kind::Uuids => "list of UUIDs".to_owned(),
        Kind::Map(max) => format!("object of texts of at most {max}"),
        Kind::Object(_) => "object".to_owned(),
        Kind::Objects(_) => "list of objects".to_owned(),
        Kind::Refs => "list of `{\"id\"}`".to_owned(),
        Kind::Child(name) => link(name),
        Kind::Children(name) => format!("list of {}; in answers of `{{\"id\"}}`", link(name)),
    }
}

fn link(schema: &str) -> String {
    let resource = RESOURCES.iter().find(|resource| resource.schema == schema);
    resource.map_or_else(String::new, |resource| format!("[{}]({}.md)", resource.noun, resource.page))
}

fn lists(out: &mut String, resource: &Resource) {
    let listed = |keys: Vec<&str>| keys.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ");
    out.push_str("\n## Lists\n\n");
    let _ = writeln!(out, "Filters: {}.", listed(resource.filter_keys()));
    if resource.has("tags") {
        out.push_str(
            "\nTags: `tags`, `tags-any`, `not-tags`, `not-tags-any`, each with at most 1,000 tags separated by commas.\n",
        );
    }
    if let Some(links) = resource.links {
        let _ = writeln!(
            out,
            "\nSort keys: {}.\n\nPages: `limit`, `marker`, `page_reverse`; the links of other pages are under `{links}`.",
            listed(resource.sort_keys())
        );
    }
}

fn faults(out: &mut String, endpoints: &[&Description]) {
    out.push_str("\n## Errors\n\n| status | when |\n|---|---|\n");
    let mut all: Vec<(u16, &str)> = endpoints.iter().flat_map(|endpoint| endpoint.all_faults()).collect();
    all.sort_unstable();
    all.dedup();
    for (status, when) in all {
        let _ = writeln!(out, "| {status} | {when} |");
    }
}

fn capitalized(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}
