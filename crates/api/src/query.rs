//! Query strings: filters, `fields`, sorting and pages (`reference/api.md` §6).

use std::num::IntErrorKind;

use axum::extract::Query as Pairs;
use http::Uri;

use crate::fault::Fault;
use crate::options::ApiOptions;

/// The query's keys and values in order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Query {
    pairs: Vec<(String, String)>,
}

/// Everything a list can be asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ListArguments {
    /// Exact matches, all of which must hold; keys are the API's names.
    pub(crate) filters: Vec<(String, String)>,
    pub(crate) project_id: Option<String>,
    pub(crate) tags: Vec<String>,
    pub(crate) tags_any: Vec<String>,
    pub(crate) not_tags: Vec<String>,
    pub(crate) not_tags_any: Vec<String>,
    pub(crate) sort: Vec<SortKey>,
    pub(crate) marker: Option<String>,
    /// `None` = unlimited.
    pub(crate) limit: Option<u64>,
    pub(crate) page_reverse: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SortKey {
    pub(crate) key: String,
    pub(crate) descending: bool,
}

const PAGING: &[&str] = &["limit", "marker", "page_reverse", "sort", "sort_key", "sort_dir", "fields"];
/// Tags in one argument of a list's query.
const TAGS_MAX: usize = 1_000;
const TAGS: &[&str] = &["tags", "tags-any", "not-tags", "not-tags-any"];

impl Query {
    pub(crate) fn parse(uri: &Uri) -> Self {
        let pairs = Pairs::<Vec<(String, String)>>::try_from_uri(uri).map(|Pairs(pairs)| pairs);
        Self { pairs: pairs.unwrap_or_default() }
    }

    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// The first value of the key.
    pub(crate) fn first(&self, key: &str) -> Option<&str> {
        self.pairs.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    /// Refuses keys that come twice, but for those of which lists are made: one of the two would have been meant.
    pub(crate) fn check_repeats(&self) -> Result<(), Fault> {
        let may = |key: &str| TAGS.contains(&key) || ["fields", "sort_key", "sort_dir"].contains(&key);
        let twice = |(at, (key, _)): (usize, &(String, String))| {
            !may(key) && self.pairs[..at].iter().any(|(before, _)| before == key)
        };
        if self.pairs.iter().enumerate().any(twice) { Err(Fault::Filter) } else { Ok(()) }
    }

    /// Refuses every key that is not in the list.
    pub(crate) fn only(&self, known: &[&str]) -> Result<(), Fault> {
        match self.pairs.iter().find(|(key, _)| !known.contains(&key.as_str())) {
            Some((key, _)) => Err(Fault::UnknownArgument(key.clone())),
            None => Ok(()),
        }
    }

    /// `true`, `1`, `yes`, `on`, `t`, `y` in any case; anything else is false.
    pub(crate) fn flag(&self, key: &str) -> bool {
        self.first(key).is_some_and(is_true)
    }

    /// Takes a flag of ours out of the query: absent is no, and so much hangs on it that a word which is neither yes nor
    /// no is refused.
    pub(crate) fn take_flag(&mut self, key: &'static str) -> Result<bool, Fault> {
        let (taken, rest): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.pairs).into_iter().partition(|(name, _)| name == key);
        self.pairs = rest;
        let words: Vec<String> = taken.into_iter().map(|(_, word)| word).collect();
        match words.as_slice() {
            [] => Ok(false),
            [word] if is_true(word) => Ok(true),
            [word] if is_false(word) => Ok(false),
            _ => Err(Fault::InvalidOption { value: words.join(","), option: key.to_owned() }),
        }
    }

    /// The attributes to show; none named = all.
    pub(crate) fn fields(&self, options: &ApiOptions) -> Vec<String> {
        if !options.allow_field_selection {
            return vec![];
        }
        self.pairs.iter().filter(|(key, _)| key == "fields").map(|(_, value)| value.clone()).collect()
    }

    /// What `limit` and the sort keys must look like on every GET, whoever uses them.
    pub(crate) fn check_syntax(&self, options: &ApiOptions) -> Result<(), Fault> {
        if options.allow_sorting {
            self.sort()?;
        }
        if options.allow_pagination {
            self.limit(options)?;
        }
        Ok(())
    }

    pub(crate) fn list_arguments(&self, options: &ApiOptions) -> Result<ListArguments, Fault> {
        self.arguments(options, options.allow_filtering)
    }

    /// For a list that ignores what it does not know.
    pub(crate) fn lenient_list_arguments(&self, options: &ApiOptions) -> Result<ListArguments, Fault> {
        self.arguments(options, false)
    }

    fn arguments(&self, options: &ApiOptions, filtering: bool) -> Result<ListArguments, Fault> {
        let mut arguments = ListArguments::default();
        if options.allow_sorting {
            arguments.sort = self.sort()?;
        }
        if options.allow_pagination {
            arguments.limit = self.limit(options)?;
            arguments.marker = self.first("marker").map(str::to_owned);
            // The original compares with this very text.
            arguments.page_reverse = self.first("page_reverse") == Some("True");
        }
        for (key, value) in &self.pairs {
            let slot = match key.as_str() {
                "tags" => &mut arguments.tags,
                "tags-any" => &mut arguments.tags_any,
                "not-tags" => &mut arguments.not_tags,
                "not-tags-any" => &mut arguments.not_tags_any,
                "project_id" => {
                    arguments.project_id = Some(value.clone());
                    continue;
                }
                _ => continue,
            };
            if filtering {
                slot.extend(value.split(',').filter(|tag| !tag.is_empty()).map(str::to_owned));
                if slot.len() > TAGS_MAX {
                    return Err(Fault::validation(format!("{key} names more than {TAGS_MAX} tags.")));
                }
            }
        }
        if filtering {
            arguments.filters = self.filters()?;
        }
        Ok(arguments)
    }

    fn filters(&self) -> Result<Vec<(String, String)>, Fault> {
        let mut filters: Vec<(String, String)> = vec![];
        for (key, value) in &self.pairs {
            let name = key.as_str();
            if PAGING.contains(&name) || TAGS.contains(&name) || name == "project_id" {
                continue;
            }
            if value.contains('\0') {
                return Err(Fault::Filter);
            }
            filters.push((key.clone(), value.clone()));
        }
        Ok(filters)
    }

    /// `sort=key[:dir],…`, or else `sort_key=…` and `sort_dir=…`.
    fn sort(&self) -> Result<Vec<SortKey>, Fault> {
        if let Some(sort) = self.first("sort") {
            return sort.split(',').filter(|part| !part.is_empty()).map(sort_part).collect();
        }
        let split = |key| {
            self.pairs
                .iter()
                .filter(move |(name, _)| name == key)
                .flat_map(|(_, value)| value.split(','))
                .filter(|part| !part.is_empty())
        };
        let mut directions = split("sort_dir");
        split("sort_key")
            .map(|key| {
                let descending = directions.next().map_or(Ok(false), direction)?;
                Ok(SortKey { key: key.to_owned(), descending })
            })
            .collect()
    }

    fn limit(&self, options: &ApiOptions) -> Result<Option<u64>, Fault> {
        let most = options.pagination_max_limit;
        let asked = match self.first("limit") {
            None => None,
            Some(text) if text.eq_ignore_ascii_case("infinite") => None,
            Some(text) => {
                let limit = match text.trim().parse::<i64>() {
                    Ok(limit) => limit,
                    // A number all the same, with more digits.
                    Err(error) if *error.kind() == IntErrorKind::PosOverflow => i64::MAX,
                    Err(error) if *error.kind() == IntErrorKind::NegOverflow => i64::MIN,
                    Err(_) => return Err(Fault::Limit(text.to_owned())),
                };
                u64::try_from(limit).ok().filter(|limit| *limit > 0)
            }
        };
        Ok(match (asked, most) {
            (Some(asked), Some(most)) => Some(asked.min(most)),
            (asked, most) => asked.or(most),
        })
    }

    /// The sorting of this list as a link to another page repeats it: all of it, or that would be another list's page.
    pub(crate) fn sort_for_links(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs().filter(|(key, _)| ["sort", "sort_key", "sort_dir"].contains(key))
    }
}

/// Whether a text means yes, as the original reads filters and flags.
pub(crate) fn is_true(text: &str) -> bool {
    matches!(text.trim().to_ascii_lowercase().as_str(), "true" | "1" | "yes" | "on" | "t" | "y")
}

fn is_false(text: &str) -> bool {
    matches!(text.trim().to_ascii_lowercase().as_str(), "false" | "0" | "no" | "off" | "f" | "n")
}

fn sort_part(part: &str) -> Result<SortKey, Fault> {
    let mut pieces = part.split(':');
    let key = pieces.next().unwrap_or_default().trim().to_owned();
    let descending = pieces.next().map_or(Ok(false), direction)?;
    if pieces.next().is_some() {
        return Err(Fault::SortSyntax(part.to_owned()));
    }
    Ok(SortKey { key, descending })
}

fn direction(text: &str) -> Result<bool, Fault> {
    match text.trim().to_ascii_lowercase().as_str() {
        "asc" => Ok(false),
        "desc" => Ok(true),
        _ => Err(Fault::SortDirection(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> Query {
        Query::parse(&format!("/x?{text}").parse().expect("a URI"))
    }

    fn arguments(text: &str) -> Result<ListArguments, Fault> {
        query(text).list_arguments(&ApiOptions::default())
    }

    #[test]
    fn sorting() {
        let sort = |text: &str| {
            arguments(text).map(|list| {
                list.sort
                    .iter()
                    .map(|key| format!("{}{}", if key.descending { "-" } else { "" }, key.key))
                    .collect::<Vec<_>>()
                    .join(" ")
            })
        };
        for (text, expected) in [
            ("", ""),
            ("sort=name", "name"),
            ("sort=name:DESC,id:asc", "-name id"),
            ("sort_key=name,id&sort_dir=desc", "-name id"),
            ("sort_key=name&sort_key=id&sort_dir=asc&sort_dir=desc", "name -id"),
            ("sort=id&sort_key=name", "id"),
        ] {
            assert_eq!(sort(text).as_deref(), Ok(expected), "{text}");
        }
        assert_eq!(sort("sort=name:up"), Err(Fault::SortDirection("up".to_owned())));
        assert_eq!(sort("sort=name:asc:asc"), Err(Fault::SortSyntax("name:asc:asc".to_owned())));
        assert_eq!(sort("sort_key=name&sort_dir=x"), Err(Fault::SortDirection("x".to_owned())));
    }

    #[test]
    fn limits() {
        for (text, expected) in [
            ("", Some(1000)),
            ("limit=5", Some(5)),
            ("limit=5000", Some(1000)),
            ("limit=0", Some(1000)),
            ("limit=-1", Some(1000)),
            ("limit=infinite", Some(1000)),
            ("limit=99999999999999999999", Some(1000)),
            ("limit=-99999999999999999999", Some(1000)),
        ] {
            assert_eq!(arguments(text).map(|list| list.limit), Ok(expected), "{text}");
        }
        assert_eq!(arguments("limit=abc"), Err(Fault::Limit("abc".to_owned())));
        assert_eq!(arguments("limit=None"), Err(Fault::Limit("None".to_owned())));
        let unlimited = ApiOptions { pagination_max_limit: None, ..ApiOptions::default() };
        assert_eq!(query("limit=0").limit(&unlimited), Ok(None));
        assert_eq!(query("limit=7").limit(&unlimited), Ok(Some(7)));
    }

    #[test]
    fn flags_that_must_be_clear() {
        let wrong =
            |value: &str| Err(Fault::InvalidOption { value: value.to_owned(), option: "dry_run".to_owned() });
        for (text, expected) in [
            ("", Ok(false)),
            ("cascade=true", Ok(false)),
            ("dry_run=true", Ok(true)),
            ("cascade=true&dry_run=True", Ok(true)),
            ("dry_run=1", Ok(true)),
            ("dry_run=false", Ok(false)),
            ("dry_run=No", Ok(false)),
            ("dry_run=", wrong("")),
            ("dry_run", wrong("")),
            ("dry_run=maybe", wrong("maybe")),
            ("dry_run=true&dry_run=false", wrong("true,false")),
        ] {
            let mut query = query(text);
            assert_eq!(query.take_flag("dry_run"), expected, "{text}");
            assert_eq!(query.only(&["cascade"]), Ok(()), "{text}: it is gone");
        }
    }

    #[test]
    fn repeated_keys() {
        for (text, good) in [
            ("name=a&description=a", true),
            ("tags=a&tags=b&tags-any=a&tags-any=b&not-tags=a&not-tags=b&not-tags-any=a&not-tags-any=b", true),
            ("fields=id&fields=name&sort_key=id&sort_key=name&sort_dir=asc&sort_dir=asc", true),
            ("name=a&name=b", false),
            ("name=a&x=b&name=a", false),
            ("limit=1&limit=abc", false),
            ("marker=a&marker=b", false),
            ("page_reverse=True&page_reverse=True", false),
            ("sort=a&sort=b", false),
            ("project_id=a&project_id=b", false),
            ("additive_only=false&additive_only=true", false),
            ("cascade=true&cascade=true", false),
        ] {
            assert_eq!(query(text).check_repeats(), if good { Ok(()) } else { Err(Fault::Filter) }, "{text}");
        }
    }

    #[test]
    fn links_repeat_the_sorting() {
        let links = |text: &str| {
            let query = query(text);
            query.sort_for_links().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join("&")
        };
        assert_eq!(links("name=a&limit=1&sort=id:desc"), "sort=id:desc");
        let all = "sort_key=name&sort_dir=desc&sort_key=id&sort_dir=asc";
        assert_eq!(links(&format!("marker=m&{all}")), all);
    }

    #[test]
    fn filters_and_tags() {
        let list = arguments(
            "name=a&tags=x,y&tags=z&not-tags-any=q&fields=id&project_id=p&marker=m&page_reverse=True",
        )
        .expect("fine");
        assert_eq!(list.filters, [("name".to_owned(), "a".to_owned())]);
        assert_eq!(list.tags, ["x", "y", "z"]);
        assert_eq!(list.not_tags_any, ["q"]);
        assert_eq!(list.project_id.as_deref(), Some("p"));
        assert!(list.page_reverse);
        assert_eq!(arguments("name=%00"), Err(Fault::Filter));
        assert!(!arguments("page_reverse=true").expect("fine").page_reverse);
    }
}
