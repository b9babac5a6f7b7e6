//! What a list's query string asks for: filters, order, a page of it. Pure.

use std::cmp::Ordering;

use serde_json::Value;

use crate::local::list::{Query, is_one_of, shown};

/// Parameters that are not attributes.
const TOGGLES: &[&str] = &["fields", "limit", "marker", "page_reverse", "sort_key", "sort_dir"];
/// Nothing has tags here: with any wanted nothing is found, with any not wanted everything is.
const TAGS_WANTED: &[&str] = &["tags", "tags-any"];
const TAGS_UNWANTED: &[&str] = &["not-tags", "not-tags-any"];

/// A page, and whether there is more before and behind it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) documents: Vec<Value>,
    /// Marker of the page that follows.
    pub(super) next: Option<String>,
}

/// `Err` = a sentence for the user.
pub(super) fn page(documents: Vec<Value>, query: &Query) -> Result<Page, String> {
    let mut found = Vec::with_capacity(documents.len());
    for document in documents {
        if matches(&document, query)? {
            found.push(document);
        }
    }
    order(&mut found, query)?;
    let reverse = query.first("page_reverse").is_some_and(|text| text.eq_ignore_ascii_case("true"));
    if reverse {
        found.reverse();
    }
    if let Some(marker) = query.first("marker") {
        let at = found.iter().position(|document| document["id"] == marker);
        let at = at.ok_or_else(|| format!("marker {marker} does not exist."))?;
        found.drain(..=at);
    }
    let mut next = None;
    if let Some(limit) = query.first("limit") {
        let limit: usize = limit.parse().map_err(|_| format!("limit {limit} is not a number from 0."))?;
        // 0 = no limit, as Neutron has it.
        if limit > 0 && found.len() > limit {
            found.truncate(limit);
            next = found.last().and_then(|document| document["id"].as_str()).map(str::to_owned);
        }
    }
    if reverse {
        found.reverse();
    }
    Ok(Page { documents: found.into_iter().map(|document| shown(document, query)).collect(), next })
}

fn matches(document: &Value, query: &Query) -> Result<bool, String> {
    let mut all = true;
    for name in query.names().filter(|name| !TOGGLES.contains(name) && !TAGS_UNWANTED.contains(name)) {
        all &= match (name, document.get(name)) {
            (name, _) if TAGS_WANTED.contains(&name) => false,
            ("fixed_ips", Some(fixed_ips)) => query.all(name).all(|wanted| has_address(fixed_ips, wanted)),
            ("ip_address" | "subnet_id", None) => document.get("fixed_ips").is_some_and(|fixed_ips| {
                query.all(name).any(|wanted| has_address(fixed_ips, &format!("{name}={wanted}")))
            }),
            ("security_groups", Some(groups)) => groups.as_array().is_some_and(|groups| {
                query.all(name).any(|wanted| groups.iter().any(|group| group == wanted))
            }),
            // Of a network's availability: its subnets are what has a version.
            ("ip_version", None) if document.get("subnet_ip_availability").is_some() => {
                let subnets = document["subnet_ip_availability"].as_array();
                let mut versions = subnets.into_iter().flatten().map(|subnet| &subnet["ip_version"]);
                versions.any(|version| is_one_of(version, query.all(name)))
            }
            (_, Some(attribute)) if !attribute.is_array() && !attribute.is_object() => {
                is_one_of(attribute, query.all(name))
            }
            _ => return Err(format!("{name} is not an attribute to filter by.")),
        };
    }
    Ok(all)
}

/// `ip_address=A`, `ip_address_substr=A` or `subnet_id=S`.
fn has_address(fixed_ips: &Value, wanted: &str) -> bool {
    let Some((key, wanted)) = wanted.split_once('=') else { return false };
    fixed_ips.as_array().into_iter().flatten().any(|fixed_ip| match key {
        "ip_address_substr" => {
            fixed_ip["ip_address"].as_str().is_some_and(|address| address.contains(wanted))
        }
        _ => fixed_ip[key] == wanted,
    })
}

fn order(documents: &mut [Value], query: &Query) -> Result<(), String> {
    let keys: Vec<_> = query.all("sort_key").collect();
    let directions: Vec<_> = query.all("sort_dir").collect();
    if keys.is_empty() {
        return Ok(());
    }
    if keys.len() != directions.len() && !directions.is_empty() {
        return Err("There must be one sort_dir for every sort_key.".into());
    }
    if let Some(bad) = directions.iter().find(|direction| !["asc", "desc"].contains(direction)) {
        return Err(format!("sort_dir {bad} is neither asc nor desc."));
    }
    if let Some(bad) = keys.iter().find(|key| documents.iter().any(|document| document.get(key).is_none())) {
        return Err(format!("{bad} is not an attribute to sort by."));
    }
    let compare = |a: &Value, b: &Value| match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.as_u64().cmp(&b.as_u64()),
        (Value::String(a), Value::String(b)) => a.cmp(b),
        _ => a.to_string().cmp(&b.to_string()),
    };
    documents.sort_by(|a, b| {
        keys.iter().enumerate().fold(Ordering::Equal, |order, (at, key)| {
            order.then_with(|| {
                let order = compare(&a[key], &b[key]);
                if directions.get(at) == Some(&"desc") { order.reverse() } else { order }
            })
        })
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn finds_sorts_and_pages() {
        let port = |id: &str, name: &str, address: &str| {
            json!({
                "id": id, "name": name, "up": id == "1", "tags": [],
                "fixed_ips": [{"subnet_id": "s", "ip_address": address}],
            })
        };
        let documents =
            || vec![port("1", "b", "127.0.0.1"), port("2", "a", "127.0.0.2"), port("3", "a", "127.0.0.3")];
        for (query, expected) in [
            ("", Ok("1 2 3")),
            ("name=a", Ok("2 3")),
            ("name=a&name=b", Ok("1 2 3")),
            ("up=True", Ok("1")),
            ("id=2&name=b", Ok("")),
            ("fixed_ips=ip_address%3D127.0.0.2", Ok("2")),
            ("fixed_ips=subnet_id=s&fixed_ips=ip_address=127.0.0.3", Ok("3")),
            ("fixed_ips=ip_address_substr=.3", Ok("3")),
            ("fixed_ips=nonsense", Ok("")),
            ("ip_address=127.0.0.1", Ok("1")),
            ("subnet_id=t", Ok("")),
            ("tags=x", Ok("")),
            ("not-tags=x", Ok("1 2 3")),
            ("sort_key=name&sort_dir=asc", Ok("2 3 1")),
            ("sort_key=name&sort_dir=desc&sort_key=id&sort_dir=desc", Ok("1 3 2")),
            ("limit=2", Ok("1 2 next=2")),
            ("limit=2&marker=2", Ok("3")),
            ("limit=1&marker=3&page_reverse=True", Ok("2 next=2")),
            ("limit=0", Ok("1 2 3")),
            ("limit=-1", Err(())),
            ("limit=x", Err(())),
            ("marker=9", Err(())),
            ("sort_key=name&sort_dir=up", Err(())),
            ("sort_key=nothing&sort_dir=asc", Err(())),
            ("sort_key=name&sort_key=id&sort_dir=asc", Err(())),
            ("colour=red", Err(())),
        ] {
            let answer = page(documents(), &Query::parse(query)).map_err(|_| ()).map(|page| {
                let ids = page.documents.iter().map(|document| document["id"].as_str().unwrap().to_owned());
                ids.chain(page.next.map(|next| format!("next={next}"))).collect::<Vec<_>>().join(" ")
            });
            assert_eq!(answer, expected.map(str::to_owned), "{query}");
        }
    }
}
