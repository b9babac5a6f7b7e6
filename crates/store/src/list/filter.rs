//! Filters as conditions. Pure: text in, condition out.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp, civil, tz::TimeZone};
use sea_orm::sea_query::{Expr, Query};
use sea_orm::{Condition, ExprTrait, Value};

use super::keys::{Key, Kind};
use super::{ListQuery, Resource, TagFilter};
use crate::ListError;
use crate::entity::codec;

/// Everything the query's filters, project and tags say.
pub(super) fn condition(resource: Resource, query: &ListQuery) -> Result<Condition, ListError> {
    let mut all = Condition::all();
    for (name, values) in &query.filters {
        let key = resource.key(name).ok_or_else(|| ListError::UnknownKey(name.clone()))?;
        let [value] = values.as_slice() else { return Err(ListError::RepeatedKey(name.clone())) };
        all = all.add(equals(key, value));
    }
    for (at, (name, _)) in query.filters.iter().enumerate() {
        if query.filters[..at].iter().any(|(other, _)| other == name) {
            return Err(ListError::RepeatedKey(name.clone()));
        }
    }
    if let Some(project) = &query.project {
        let key = resource.key("project_id").ok_or_else(|| ListError::UnknownKey("project_id".to_owned()))?;
        all = all.add(equals(key, project.as_str()));
    }
    if query.tags != TagFilter::default() && !resource.has_tags() {
        return Err(ListError::UnknownKey("tags".to_owned()));
    }
    Ok(tags(all, &query.tags))
}

/// Exact equality with the value the text means; a text that means none matches nothing.
fn equals(key: &Key, text: &str) -> Condition {
    let column = || Expr::col(key.column);
    let condition = match key.kind {
        // Who was given no name is not called "": nothing is (`reference/api.md` §6.2).
        Kind::Text if key.api == "name" && text.is_empty() => None,
        Kind::Text => storable(text).then(|| column().eq(text)),
        Kind::Flag => Some(column().eq(truth(text))),
        Kind::Number => text.trim().parse::<i64>().ok().map(|number| column().eq(number)),
        Kind::Time => second(text).map(|(from, to)| column().gte(from).and(column().lt(to))),
        Kind::Tenths => tenths(text).map(|tenths| column().eq(tenths)),
        Kind::Unset if truth(text) => None,
        Kind::Unset => return Condition::all(),
        Kind::Elsewhere { table, key, value, own } => storable(text).then(|| {
            let ids = Query::select().column(key).from(table).and_where(Expr::col(value).eq(text)).take();
            Expr::col(own).in_subquery(ids)
        }),
    };
    condition.map_or_else(nothing, |condition| Condition::all().add(condition))
}

fn nothing() -> Condition {
    Condition::all().add(Expr::value(1).eq(0))
}

/// PostgreSQL keeps no NUL in text, and refuses to compare with it.
pub(crate) fn storable(text: &str) -> bool {
    !text.contains('\0')
}

fn truth(text: &str) -> bool {
    ["true", "1", "yes", "on", "t", "y"].iter().any(|word| text.eq_ignore_ascii_case(word))
}

fn tenths(text: &str) -> Option<i64> {
    let version: f32 = text.trim().parse().ok()?;
    let tenths = crate::entity::health_monitor::tenths(version);
    // Only what is exactly so many tenths.
    (version.is_finite() && (tenths as f32 / 10.0) == version).then_some(tenths)
}

/// `2026-01-31T12:00:00`, with or without fraction and zone; UTC without. The microseconds its second begins and ends at.
fn second(text: &str) -> Option<(i64, i64)> {
    let time: Timestamp = match text.parse() {
        Ok(time) => time,
        Err(_) => text.parse::<civil::DateTime>().ok()?.to_zoned(TimeZone::UTC).ok()?.timestamp(),
    };
    let from = Timestamp::from_second(time.as_second()).ok()?;
    let to = from.checked_add(SignedDuration::from_secs(1)).ok()?;
    Some((codec::micros(from), codec::micros(to)))
}

/// The statement has the same depth however many tags there are: databases, and what renders it, work downwards.
fn tags(mut all: Condition, filter: &TagFilter) -> Condition {
    let tagged = |tags: &BTreeSet<&str>| {
        let tags = tags.iter().map(|&tag| Value::from(tag));
        Query::select().column("resource_id").from("tag").and_where(Expr::col("tag").is_in(tags)).take()
    };
    let has = |tags: &[String]| {
        let tags = tags.iter().map(String::as_str).filter(|tag| storable(tag)).collect();
        Condition::all().add(Expr::col("id").in_subquery(tagged(&tags)))
    };
    let has_all = |tags: &[String]| {
        if !tags.iter().all(|tag| storable(tag)) {
            return nothing();
        }
        let tags: BTreeSet<&str> = tags.iter().map(String::as_str).collect();
        let mut with = tagged(&tags);
        if tags.len() > 1 {
            let count = Expr::col("tag").count_distinct();
            with.group_by_col("resource_id").and_having(count.eq(tags.len() as u64));
        }
        Condition::all().add(Expr::col("id").in_subquery(with))
    };
    if !filter.tags.is_empty() {
        all = all.add(has_all(&filter.tags));
    }
    if !filter.tags_any.is_empty() {
        all = all.add(has(&filter.tags_any));
    }
    if !filter.not_tags.is_empty() {
        all = all.add(has_all(&filter.not_tags).not());
    }
    if !filter.not_tags_any.is_empty() {
        all = all.add(has(&filter.not_tags_any).not());
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_become_values() {
        for (text, expected) in [
            ("2026-01-31T12:00:00", Some(1_769_860_800_000_000)),
            ("2026-01-31T12:00:00.75", Some(1_769_860_800_000_000)),
            ("2026-01-31T12:00:00Z", Some(1_769_860_800_000_000)),
            ("2026-01-31 13:00:00+01:00", Some(1_769_860_800_000_000)),
            ("yesterday", None),
            ("", None),
        ] {
            assert_eq!(second(text).map(|(from, _)| from), expected, "{text}");
        }
        for (text, expected) in [
            ("1.1", Some(11)),
            ("1", Some(10)),
            ("1.0", Some(10)),
            ("1.15", None),
            ("inf", None),
            ("x", None),
        ] {
            assert_eq!(tenths(text), expected, "{text}");
        }
        for (text, expected) in
            [("True", true), ("y", true), ("ON", true), ("0", false), ("2", false), ("", false)]
        {
            assert_eq!(truth(text), expected, "{text}");
        }
    }
}
