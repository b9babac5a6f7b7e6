//! The types of options: which texts are values, and what is said when one is not.

use std::net::IpAddr;

use crate::value::{Limit, Value};

/// What may be written for an option.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    Text,
    Choice {
        words: &'static [&'static str],
        any_case: bool,
    },
    Flag,
    Int {
        least: Option<i64>,
        most: Option<i64>,
    },
    Float {
        least: Option<f64>,
        most: Option<f64>,
    },
    Port,
    Ip,
    /// A host's name, as the DNS would take it.
    Host,
    /// A number, or no limit: `infinite` or a negative number.
    Limit,
    /// Separated by commas.
    List(Item),
    /// `key:value`, separated by commas.
    Dict,
    /// The option may be given several times.
    Multi,
}

/// What a list is of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Item {
    Text,
    Int,
    Ip,
    /// The port comes after the last colon; brackets around an IPv6 address are allowed.
    HostPort,
    /// 32 letters, digits and `-_=`.
    Passphrase,
    Choice(&'static [&'static str]),
}

impl Kind {
    /// Reads a value; `None` = this is none.
    pub(crate) fn read(self, text: &str) -> Option<Value> {
        let trimmed = text.trim_matches(crate::ini::is_space);
        match self {
            Self::Text => Some(Value::Text(text.to_owned())),
            Self::Choice { words, any_case } => words
                .iter()
                .any(|word| *word == text || any_case && word.eq_ignore_ascii_case(text))
                .then(|| Value::Text(text.to_owned())),
            Self::Flag => flag(text),
            // Of numbers, nothing at all is a value, too.
            Self::Int { .. } | Self::Float { .. } | Self::Port if trimmed.is_empty() => Some(Value::Unset),
            Self::Int { least, most } => {
                let number = int(trimmed)?;
                let good =
                    least.is_none_or(|least| number >= least) && most.is_none_or(|most| number <= most);
                good.then_some(Value::Int(number))
            }
            Self::Float { least, most } => {
                let number = float(trimmed)?;
                let good =
                    least.is_none_or(|least| number >= least) && most.is_none_or(|most| number <= most);
                good.then_some(Value::Float(number))
            }
            Self::Port => Some(Value::Int(u16::try_from(int(trimmed)?).ok()?.into())),
            Self::Ip => Some(Value::Ip(text.parse().ok()?)),
            Self::Host => host(text).map(|name| Value::Text(name.to_owned())),
            Self::Limit => {
                if trimmed.eq_ignore_ascii_case("infinite") {
                    return Some(Value::Limit(Limit(None)));
                }
                Some(Value::Limit(Limit(u64::try_from(int(trimmed)?).ok())))
            }
            Self::List(item) => list(trimmed, item),
            Self::Dict => dict(trimmed),
            Self::Multi => Some(Value::List(vec![text.to_owned()])),
        }
    }

    /// What is allowed, to be read after "allowed: ".
    pub fn allowed(self) -> String {
        match self {
            Self::Text => "any text".to_owned(),
            Self::Choice { words, .. } => words.join(", "),
            Self::Flag => "true or false; also yes, no, on, off, 1, 0".to_owned(),
            Self::Int { least, most } => bounds("an integer", least, most),
            Self::Float { least, most } => bounds("a number", least, most),
            Self::Port => "a port, 0 to 65535".to_owned(),
            Self::Ip => "an IP address".to_owned(),
            Self::Host => "a host's name: letters, digits, hyphens and dots".to_owned(),
            Self::Limit => "a number; infinite or a negative number for no limit".to_owned(),
            Self::List(Item::Text) => "texts, separated by commas".to_owned(),
            Self::List(Item::Int) => "integers, separated by commas".to_owned(),
            Self::List(Item::Ip) => "IP addresses, separated by commas".to_owned(),
            Self::List(Item::HostPort) => "host:port, separated by commas".to_owned(),
            Self::List(Item::Passphrase) => {
                "32 letters, digits, -, _ or =; several separated by commas".to_owned()
            }
            Self::List(Item::Choice(words)) => format!("any of {}; separated by commas", words.join(", ")),
            Self::Dict => "key:value, separated by commas, no key twice".to_owned(),
            Self::Multi => "any text; may be given several times".to_owned(),
        }
    }

    /// In a word, for tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Choice { .. } => "choice",
            Self::Flag => "boolean",
            Self::Int { .. } => "integer",
            Self::Float { .. } => "number",
            Self::Port => "port",
            Self::Ip => "IP address",
            Self::Host => "host name",
            Self::Limit => "limit",
            Self::List(_) => "list",
            Self::Dict => "dict",
            Self::Multi => "texts",
        }
    }
}

fn bounds<T: std::fmt::Display>(what: &str, least: Option<T>, most: Option<T>) -> String {
    match (least, most) {
        (None, None) => what.to_owned(),
        (Some(least), None) => format!("{what}, {least} or more"),
        (None, Some(most)) => format!("{what}, {most} or less"),
        (Some(least), Some(most)) => format!("{what} from {least} to {most}"),
    }
}

fn flag(text: &str) -> Option<Value> {
    let is = |words: [&str; 4]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
    if is(["true", "1", "on", "yes"]) {
        Some(Value::Flag(true))
    } else if is(["false", "0", "off", "no"]) {
        Some(Value::Flag(false))
    } else {
        None
    }
}

/// As Python reads it: a sign, and underscores between digits.
fn int(text: &str) -> Option<i64> {
    ungrouped(text)?.parse().ok()
}

fn float(text: &str) -> Option<f64> {
    ungrouped(text)?.parse().ok()
}

/// Without the underscores that group digits; `None` = there is one elsewhere.
fn ungrouped(text: &str) -> Option<String> {
    let digit = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_digit);
    let bytes = text.as_bytes();
    let stray =
        |at: usize| bytes[at] == b'_' && !(at > 0 && digit(bytes.get(at - 1)) && digit(bytes.get(at + 1)));
    if (0..bytes.len()).any(stray) { None } else { Some(text.replace('_', "")) }
}

/// RFC 1123 without trailing dot; the last label is not a number, which a mistyped address would have.
fn host(text: &str) -> Option<&str> {
    if text.len() > 253 {
        return None;
    }
    let name = text.strip_suffix('.').unwrap_or(text);
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last = name.rsplit('.').next().unwrap_or_default();
    (name.split('.').all(label) && !last.bytes().all(|byte| byte.is_ascii_digit())).then_some(name)
}

fn list(text: &str, item: Item) -> Option<Value> {
    let text = text.trim_end_matches(',');
    if text.is_empty() {
        return Some(Value::List(vec![]));
    }
    let items: Vec<_> =
        text.split(',').map(|text| text.trim_matches(crate::ini::is_space).to_owned()).collect();
    items.iter().all(|text| item.takes(text)).then_some(Value::List(items))
}

impl Item {
    fn takes(self, text: &str) -> bool {
        match self {
            Self::Text => true,
            Self::Int => int(text).is_some(),
            Self::Ip => text.parse::<IpAddr>().is_ok(),
            Self::HostPort => host_port(text),
            Self::Passphrase => {
                text.len() == 32
                    && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_=".contains(&byte))
            }
            Self::Choice(words) => words.contains(&text),
        }
    }
}

fn host_port(text: &str) -> bool {
    let Some((name, port)) = text.rsplit_once(':') else { return false };
    let inner = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    let address = inner.unwrap_or(name).parse::<IpAddr>().is_ok();
    let good = if inner.is_some() { address } else { address || host(name).is_some() };
    good && port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok()
}

fn dict(text: &str) -> Option<Value> {
    let mut pairs: Vec<(String, String)> = vec![];
    if text.is_empty() {
        return Some(Value::Dict(pairs));
    }
    for pair in text.split(',') {
        let (key, value) = pair.split_once(':')?;
        let trim = |text: &str| text.trim_matches(crate::ini::is_space).to_owned();
        let (key, value) = (trim(key), trim(value));
        if key.is_empty() || pairs.iter().any(|(other, _)| *other == key) {
            return None;
        }
        pairs.push((key, value));
    }
    Some(Value::Dict(pairs))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values() {
        let flag = |on| Some(Value::Flag(on));
        let list = |items: &[&str]| Some(Value::List(items.iter().map(|&item| item.to_owned()).collect()));
        let text = |text: &str| Some(Value::Text(text.to_owned()));
        let dict = |pairs: &[(&str, &str)]| {
            Some(Value::Dict(pairs.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())).collect()))
        };
        let to_ten = Kind::Int { least: Some(0), most: Some(10) };
        let any = Kind::Int { least: None, most: None };
        let float = Kind::Float { least: None, most: None };
        let choice = Kind::Choice { words: &["x", "y"], any_case: false };
        for (kind, written, wanted) in [
            (Kind::Text, "", text("")),
            (Kind::Text, " a ", text(" a ")),
            (choice, "x", text("x")),
            (choice, "X", None),
            (choice, "", None),
            (Kind::Choice { words: &["x"], any_case: true }, "X", text("X")),
            (Kind::Flag, "TRUE", flag(true)),
            (Kind::Flag, "off", flag(false)),
            (Kind::Flag, "", None),
            (Kind::Flag, "t", None),
            (to_ten, "0", Some(Value::Int(0))),
            (to_ten, "10", Some(Value::Int(10))),
            (to_ten, "11", None),
            (to_ten, "-1", None),
            (to_ten, "5.0", None),
            (to_ten, "5 # c", None),
            (to_ten, "", Some(Value::Unset)),
            (any, "1_0", Some(Value::Int(10))),
            (any, "_1", None),
            (any, "1__0", None),
            (any, "+5", Some(Value::Int(5))),
            (any, "0x5", None),
            (any, "99999999999999999999999", None),
            (float, ".5", Some(Value::Float(0.5))),
            (float, "1e3", Some(Value::Float(1000.0))),
            (float, "x", None),
            (Kind::Port, "80", Some(Value::Int(80))),
            (Kind::Port, "65536", None),
            (Kind::Ip, "::1", Some(Value::Ip("::1".parse().unwrap()))),
            (Kind::Ip, "1.2.3", None),
            (Kind::Ip, "01.2.3.4", None),
            (Kind::Ip, "[::1]", None),
            (Kind::Host, "a.b.", text("a.b")),
            (Kind::Host, "a_b", None),
            (Kind::Host, "-a", None),
            (Kind::Host, "a..b", None),
            (Kind::Host, "1.2.3.4", None),
            (Kind::Host, "", None),
            (Kind::Limit, "Infinite", Some(Value::Limit(Limit(None)))),
            (Kind::Limit, "-1", Some(Value::Limit(Limit(None)))),
            (Kind::Limit, "10", Some(Value::Limit(Limit(Some(10))))),
            (Kind::Limit, "ten", None),
            (Kind::List(Item::Text), "", list(&[])),
            (Kind::List(Item::Text), ",", list(&[])),
            (Kind::List(Item::Text), " a, b ,,", list(&["a", "b", ""][..2])),
            (Kind::List(Item::Text), "a,,b", list(&["a", "", "b"])),
            (Kind::List(Item::Int), "1,x", None),
            (Kind::List(Item::Ip), "1.2.3.4, ::1", list(&["1.2.3.4", "::1"])),
            (Kind::List(Item::Ip), "1.2.3", None),
            (Kind::List(Item::HostPort), "a:1,[::1]:2,::1:3", list(&["a:1", "[::1]:2", "::1:3"])),
            (Kind::List(Item::HostPort), "a", None),
            (Kind::List(Item::HostPort), "a:65536", None),
            (Kind::List(Item::HostPort), "[a]:1", None),
            (Kind::List(Item::HostPort), ":1", None),
            (Kind::List(Item::Choice(&["x"])), "x,y", None),
            (Kind::List(Item::Passphrase), "short", None),
            (Kind::Dict, "", dict(&[])),
            (Kind::Dict, "a: b , c:d:e", dict(&[("a", "b"), ("c", "d:e")])),
            (Kind::Dict, "a:", dict(&[("a", "")])),
            (Kind::Dict, "a:b,", None),
            (Kind::Dict, "a:b,a:c", None),
            (Kind::Dict, ":b", None),
        ] {
            assert_eq!(kind.read(written), wanted, "{kind:?} {written:?}");
        }
    }
}
