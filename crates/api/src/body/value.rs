//! The kinds of values attributes have, and the texts that say why one is not of its kind.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use newtype_uuid::{GenericUuid, TypedUuid, TypedUuidKind};
use octavia_model::UnknownWord;
use serde_json::Value;

use super::{Object, Sent, repr};
use crate::fault::Fault;

/// Names and descriptions, and most other texts.
pub(crate) const TEXT_MAX: usize = 255;

impl Object<'_> {
    fn invalid(&self, key: &str, value: &Value, reason: impl Into<String>) -> Fault {
        Fault::Input { attribute: key.to_owned(), value: repr::text(value), reason: reason.into() }
    }

    /// Text of at most `max` characters. NUL is refused: not every database can store it.
    pub(crate) fn text(&self, key: &str, max: usize) -> Result<Sent<String>, Fault> {
        self.raw(key).try_map(|value| text(value, max).map_err(|reason| self.invalid(key, value, reason)))
    }

    /// Text that a predicate accepts; `reason` is the message if it does not.
    pub(crate) fn text_where(
        &self,
        key: &str,
        max: usize,
        accepts: impl Fn(&str) -> bool,
        reason: &str,
    ) -> Result<Sent<String>, Fault> {
        self.raw(key).try_map(|value| match text(value, max) {
            Ok(text) if accepts(&text) => Ok(text),
            Ok(_) => Err(self.invalid(key, value, reason)),
            Err(reason) => Err(self.invalid(key, value, reason)),
        })
    }

    /// Name, description: null and absent are both the empty text.
    pub(crate) fn label(&self, key: &str) -> Result<Sent<String>, Fault> {
        self.text(key, TEXT_MAX)
    }

    /// A list of texts of at most `max` characters each.
    pub(crate) fn texts(&self, key: &str, max: usize) -> Result<Sent<Vec<String>>, Fault> {
        self.items(key, |item| text(item, max))
    }

    /// A list whose items one function reads; the message shows the whole list.
    fn items<T>(&self, key: &str, read: impl Fn(&Value) -> Result<T, String>) -> Result<Sent<Vec<T>>, Fault> {
        self.list(key)?.try_map(|list| {
            list.iter()
                .map(|item| {
                    read(item).map_err(|reason| self.invalid(key, &Value::Array(list.clone()), reason))
                })
                .collect()
        })
    }

    /// A whole number; numeric text is read, a fraction is cut off.
    pub(crate) fn integer<T>(&self, key: &str, min: i64, max: i64) -> Result<Sent<T>, Fault>
    where
        T: TryFrom<i64>,
    {
        self.raw(key).try_map(|value| {
            let number = integer(value).ok_or_else(|| {
                self.document
                    .unreadable(format!("invalid literal for int() with base 10: '{}'", repr::text(value)))
            })?;
            if number < min {
                return Err(self.invalid(key, value, format!("Value should be greater or equal to {min}")));
            }
            match T::try_from(number) {
                Ok(fitting) if number <= max => Ok(fitting),
                _ => Err(self.invalid(key, value, format!("Value should be lower or equal to {max}"))),
            }
        })
    }

    /// One of a few numbers; numeric text is read.
    pub(crate) fn number_of(&self, key: &str, allowed: &[u16]) -> Result<Sent<u16>, Fault> {
        self.raw(key).try_map(|value| {
            let number = integer(value).and_then(|number| u16::try_from(number).ok());
            number.filter(|number| allowed.contains(number)).ok_or_else(|| {
                let words: Vec<String> = allowed.iter().map(u16::to_string).collect();
                let words: Vec<&str> = words.iter().map(String::as_str).collect();
                self.invalid(key, value, one_of(&words))
            })
        })
    }

    pub(crate) fn boolean(&self, key: &str) -> Result<Sent<bool>, Fault> {
        self.raw(key).try_map(|value| {
            boolean(value).ok_or_else(|| {
                self.document.unreadable(format!("Value not an unambiguous boolean: {}", repr::text(value)))
            })
        })
    }

    /// One of an enumeration's words, case-sensitive.
    pub(crate) fn word<E>(&self, key: &str) -> Result<Sent<E>, Fault>
    where
        E: FromStr<Err = UnknownWord>,
    {
        self.raw(key).try_map(|value| {
            value
                .as_str()
                .unwrap_or_default()
                .parse()
                .map_err(|error: UnknownWord| self.invalid(key, value, one_of(error.allowed)))
        })
    }

    /// A list of words out of `allowed`.
    pub(crate) fn words(&self, key: &str, allowed: &[&str]) -> Result<Sent<Vec<String>>, Fault> {
        self.items(key, |item| match item.as_str() {
            Some(word) if allowed.contains(&word) => Ok(word.to_owned()),
            _ => Err(one_of(allowed)),
        })
    }

    /// A list of ALPN protocol ids.
    pub(crate) fn alpn_ids(&self, key: &str, allowed: &[&str]) -> Result<Sent<Vec<String>>, Fault> {
        self.items(key, |item| match item.as_str() {
            Some(id) if allowed.contains(&id) => Ok(id.to_owned()),
            _ => Err("Value should be a valid ALPN protocol ID".to_owned()),
        })
    }

    pub(crate) fn uuid(&self, key: &str) -> Result<Sent<uuid::Uuid>, Fault> {
        self.raw(key).try_map(|value| uuid(value).map_err(|reason| self.invalid(key, value, reason)))
    }

    pub(crate) fn id<K: TypedUuidKind>(&self, key: &str) -> Result<Sent<TypedUuid<K>>, Fault> {
        Ok(self.uuid(key)?.map(TypedUuid::from_untyped_uuid))
    }

    pub(crate) fn ids<K: TypedUuidKind>(&self, key: &str) -> Result<Sent<Vec<TypedUuid<K>>>, Fault> {
        self.items(key, |item| uuid(item).map(TypedUuid::from_untyped_uuid))
    }

    /// An address, with the text it was typed as.
    pub(crate) fn address(&self, key: &str) -> Result<Sent<(IpAddr, String)>, Fault> {
        self.raw(key).try_map(|value| {
            let text = value.as_str().unwrap_or_default();
            text.parse()
                .map(|address| (address, text.to_owned()))
                .map_err(|_| self.invalid(key, value, "Value should be IPv4 or IPv6 format"))
        })
    }

    /// A list of networks: host bits are cleared, a bare address is a network of one.
    pub(crate) fn cidrs(&self, key: &str) -> Result<Sent<Vec<IpNet>>, Fault> {
        self.items(key, |item| {
            cidr(item).ok_or_else(|| "Value should be IPv4 or IPv6 CIDR format".to_owned())
        })
    }

    /// An object of texts, such as `insert_headers`.
    pub(crate) fn text_map(&self, key: &str, max: usize) -> Result<Sent<BTreeMap<String, String>>, Fault> {
        self.raw(key).try_map(|value| {
            let entries = value.as_object().ok_or_else(|| self.document.not_a("dict", value))?;
            entries
                .iter()
                .map(|(name, item)| match text(item, max) {
                    Ok(text) => Ok((name.clone(), text)),
                    Err(reason) => Err(self.invalid(key, value, reason)),
                })
                .collect()
        })
    }

    /// `1.0` or `1.1`, as a number or numeric text.
    pub(crate) fn http_version(&self, key: &str) -> Result<Sent<f32>, Fault> {
        self.raw(key).try_map(|value| {
            let number = match value {
                Value::Number(number) => number.as_f64(),
                Value::String(text) => text.trim().parse().ok(),
                _ => None,
            };
            match number {
                Some(1.0) => Ok(1.0),
                Some(1.1) => Ok(1.1),
                _ => Err(self.invalid(key, value, one_of(&["1.0", "1.1"]))),
            }
        })
    }
}

fn one_of(words: &[&str]) -> String {
    format!("Value should be one of: {}", words.join(", "))
}

fn text(value: &Value, max: usize) -> Result<String, String> {
    let text = value.as_str().ok_or("Value should be string")?;
    if text.chars().count() > max {
        return Err(format!("Value should have a maximum character requirement of {max}"));
    }
    if text.contains('\0') {
        return Err("Value should not contain the character NUL".to_owned());
    }
    Ok(text.to_owned())
}

fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64().or_else(|| {
            let float = number.as_f64()?.trunc();
            // Saturates far outside any attribute's range, where the range check refuses it.
            #[allow(clippy::cast_possible_truncation)]
            Some(float as i64)
        }),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

fn boolean(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(value) => Some(*value),
        Value::Number(number) => Some(number.as_f64() != Some(0.0)),
        Value::String(text) => match text.trim().to_ascii_lowercase().as_str() {
            "true" | "t" | "yes" | "y" | "on" | "1" => Some(true),
            "false" | "f" | "no" | "n" | "off" | "0" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

fn uuid(value: &Value) -> Result<uuid::Uuid, String> {
    value
        .as_str()
        .and_then(|text| uuid::Uuid::parse_str(text).ok())
        .ok_or_else(|| "Value should be UUID format".to_owned())
}

fn cidr(value: &Value) -> Option<IpNet> {
    let text = value.as_str()?;
    let net = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)).ok()?;
    Some(net.trunc())
}

/// Whether a text is the path of a URL: `/…`, no scheme or host, only characters a URL may hold.
pub(crate) fn is_url_path(text: &str) -> bool {
    let bytes = text.as_bytes();
    if !text.starts_with('/') || text.starts_with("//") {
        return false;
    }
    bytes.iter().enumerate().all(|(index, byte)| match byte {
        b'%' => bytes.get(index + 1..index + 3).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit)),
        byte => byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(byte),
    })
}

/// Whether a text is an absolute URL of http or https: a host, and only characters a header may hold, for it becomes
/// part of one.
pub(crate) fn is_http_url(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else { return false };
    let is_http = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    is_http && text.bytes().all(|byte| byte.is_ascii_graphic()) && is_host_and_port(host)
}

fn is_host_and_port(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, port)) if address.parse::<std::net::Ipv6Addr>().is_ok() => (address, port),
        Some(_) => return false,
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    let is_port = |port: &str| port.is_empty() || port.parse::<u16>().is_ok();
    !host.is_empty() && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port))
}

pub(crate) const EXPECTED_CODES: &str = r"^(\d{3}(\s*,\s*\d{3})*)$|^(\d{3}-\d{3})$";

/// `200`, `200,202` or `200-204`.
pub(crate) fn is_expected_codes(text: &str) -> bool {
    let is_code = |code: &str| code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_digit());
    match text.split_once('-') {
        Some((first, last)) => is_code(first) && is_code(last),
        // Blanks stand only around commas.
        None => text.trim() == text && text.split(',').all(|code| is_code(code.trim())),
    }
}

pub(crate) const HOST_NAME: &str =
    r"^([A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.)*[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.?$";

/// A host name of at most 253 characters with labels of at most 63.
pub(crate) fn is_host_name(text: &str) -> bool {
    let name = text.strip_suffix('.').unwrap_or(text);
    !name.is_empty()
        && name.len() <= 253
        && name.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
                && !label.starts_with('-')
                && !label.ends_with('-')
        })
}

pub(crate) const COOKIE_NAME: &str = r"^[^\s,;\\]+$";

pub(crate) fn is_cookie_name(text: &str) -> bool {
    !text.is_empty() && !text.chars().any(|c| c.is_whitespace() || matches!(c, ',' | ';' | '\\'))
}
