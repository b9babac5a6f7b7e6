//! One policy file: YAML, of which JSON is a part.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_norway::Value;

use crate::check::Check;
use crate::parse::{ParseError, shown};

/// Bytes of one file at most.
pub const MAX_FILE: usize = 1 << 20;

/// What is wrong with policy, and where. Shown in one line: `FILE:LINE: rule NAME: what`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Problem {
    pub file: String,
    /// From 1; `None` = the whole file.
    pub line: Option<usize>,
    pub rule: Option<String>,
    /// With what is expected.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if let Some(rule) = &self.rule {
            write!(f, ": rule {}", shown(rule))?;
        }
        write!(f, ": {}", self.what)
    }
}

/// A rule of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileRule {
    pub name: String,
    pub check: Check,
    /// From 1, where it can be told.
    pub line: Option<usize>,
}

/// What one file says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PolicyFile {
    pub name: String,
    pub rules: Vec<FileRule>,
}

impl PolicyFile {
    /// Reads `text`; `name` is what messages call the file. An empty file says nothing.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong, with its line and what is expected.
    pub fn read(name: &str, text: &[u8]) -> Result<Self, Problem> {
        let problem = |line, rule, what: String| Problem { file: name.to_owned(), line, rule, what };
        if text.len() > MAX_FILE {
            return Err(problem(None, None, format!("larger than {MAX_FILE} bytes")));
        }
        let text = std::str::from_utf8(text).map_err(|error| {
            let before = &text[..error.valid_up_to()];
            problem(Some(1 + count_lines(before)), None, "not UTF-8".to_owned())
        })?;
        let Entries(entries) = serde_norway::from_str(text).map_err(|error| {
            let line = error.location().map(|place| place.line());
            let what: String =
                error.to_string().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
            problem(line, None, format!("expected NAME: \"RULE\" in YAML or JSON: {what}"))
        })?;
        let lines = lines_of(text);
        // The last one of a name counts, as it does in the original.
        let mut rules = BTreeMap::new();
        for (index, (key, value)) in entries.into_iter().enumerate() {
            let line = lines.get(key.as_str()).copied();
            let check =
                check_of(&value).map_err(|ParseError(what)| problem(line, Some(key.clone()), what))?;
            rules.insert(key.clone(), (index, FileRule { name: key, check, line }));
        }
        let mut rules: Vec<_> = rules.into_values().collect();
        rules.sort_by_key(|(index, _)| *index);
        Ok(Self { name: name.to_owned(), rules: rules.into_iter().map(|(_, rule)| rule).collect() })
    }
}

fn count_lines(text: &[u8]) -> usize {
    text.iter().filter(|&&byte| byte == b'\n').count()
}

fn check_of(value: &Value) -> Result<Check, ParseError> {
    let expected = || {
        ParseError(
            "a rule is text such as \"role:admin or role:member\"; \"@\" lets in everybody, \"!\" nobody"
                .to_owned(),
        )
    };
    let text = |value: &Value| value.as_str().map(str::to_owned).ok_or_else(expected);
    match value {
        Value::String(rule) => Check::parse(rule),
        Value::Sequence(rules) => {
            let any = rules
                .iter()
                .map(|rule| match rule {
                    // Empty text is skipped as an empty list is.
                    Value::String(check) if check.is_empty() => Ok(vec![]),
                    Value::String(check) => Ok(vec![check.clone()]),
                    Value::Sequence(all) => all.iter().map(text).collect(),
                    _ => Err(expected()),
                })
                .collect::<Result<Vec<Vec<String>>, _>>()?;
            Check::any_of_all(&any)
        }
        _ => Err(expected()),
    }
}

/// Where keys of the outermost level stand, by the last line that begins with them: the parser does not tell.
fn lines_of(text: &str) -> BTreeMap<&str, usize> {
    let key = |line: &'_ str| -> Option<(usize, usize)> {
        let start = line.len() - line.trim_start_matches([' ', '\t', '{', ',']).len();
        let rest = &line[start..];
        match rest.chars().next()? {
            quote @ ('"' | '\'') => {
                let length = rest[1..].find(quote)?;
                rest[length + 2..].trim_start().starts_with(':').then_some((start + 1, start + 1 + length))
            }
            _ => {
                let end = rest.find(": ").or_else(|| rest.trim_end().strip_suffix(':').map(str::len))?;
                Some((start, start + rest[..end].trim_end().len()))
            }
        }
    };
    let keys = text.lines().enumerate().filter_map(|(index, line)| {
        let (start, end) = key(line)?;
        Some((&line[start..end], index + 1))
    });
    keys.collect()
}

/// The pairs in the order they are written, however often a key comes.
struct Entries(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;

        impl<'de> Visitor<'de> for Pairs {
            type Value = Entries;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("rules by name")
            }

            fn visit_unit<E>(self) -> Result<Entries, E> {
                Ok(Entries(vec![]))
            }

            fn visit_none<E>(self) -> Result<Entries, E> {
                Ok(Entries(vec![]))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
                let mut pairs = vec![];
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Entries(pairs))
            }
        }

        deserializer.deserialize_any(Pairs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<String, String> {
        let file = PolicyFile::read("p", text.as_bytes()).map_err(|problem| problem.to_string())?;
        let line = |rule: &FileRule| rule.line.map_or("?".to_owned(), |line| line.to_string());
        let rules = file.rules.iter().map(|rule| format!("{}={}@{}", rule.name, rule.check, line(rule)));
        Ok(rules.collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn what_files_say() {
        for (text, wanted) in [
            ("", ""),
            ("# nothing\n", ""),
            ("---\n", ""),
            ("{}", ""),
            ("a: '@'", "a=@@1"),
            ("# x\n\"a:b\": \"role:x\"\n", "a:b=role:x@2"),
            ("{\n  \"a\": \"\",\n  \"b\": \"!\"\n}", "a=@@2 b=!@3"),
            ("a: role:x or\n   role:y", "a=(role:x or role:y)@1"),
            ("a: '!'\nb: '!'\na: '@'", "b=!@2 a=@@3"),
            ("a: []", "a=@@1"),
            ("a: [[]]", "a=!@1"),
            (
                "a: ['role:x', ['role:y', 'is_admin:true'], [], '']",
                "a=(role:x or (role:y and is_admin:True))@1",
            ),
            ("x: &r 'role:x'\ny: *r", "x=role:x@1 y=role:x@2"),
        ] {
            assert_eq!(read(text), Ok(wanted.to_owned()), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        for (text, wanted) in [
            ("a: '@'\nb:", "p:2: rule \"b\": a rule is text"),
            ("a: 7", "p:1: rule \"a\": a rule is text"),
            ("a: {b: c}", "p:1: rule \"a\": a rule is text"),
            ("a: [7]", "p:1: rule \"a\": a rule is text"),
            ("a: '@'\n\nb: 'role:x and'", "p:3: rule \"b\": it ends where a check was expected"),
            ("a: 'admin'", "p:1: rule \"a\": \"admin\": not a check"),
            ("- a", "p:1: expected NAME: \"RULE\""),
            ("text", "p:1: expected NAME: \"RULE\""),
            ("a: '@'\nb: 'x", "p:2: expected NAME: \"RULE\""),
            ("a: '@'\n\tb: '@'", "p:2: expected NAME: \"RULE\""),
            ("a: '@'\n\u{0}", "p"),
            ("? [a]\n: b", "p:1: expected NAME: \"RULE\""),
        ] {
            let found = read(text).expect_err(text);
            assert!(found.starts_with(wanted), "{text:?}: {found}");
            assert!(!found.contains(char::is_control), "{found:?}");
        }
        let problem = PolicyFile::read("p", b"a: '@'\nb: '\xff'").unwrap_err();
        assert_eq!(problem.to_string(), "p:2: not UTF-8");
        let large = format!("a: '@'{}", " ".repeat(MAX_FILE));
        assert!(read(&large).unwrap_err().contains("larger than"));
    }
}
