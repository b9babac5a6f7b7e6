//! Request bodies: JSON objects read attribute by attribute, with the original's messages.
//!
//! Decoding by hand instead of by derive, because the texts, the order of checks, the coercions and the difference
//! between absent and null are part of the interface (`reference/api.md` §2.3, §3.0).

pub(crate) mod repr;
mod value;

pub(crate) use value::{
    COOKIE_NAME, EXPECTED_CODES, HOST_NAME, TEXT_MAX, is_cookie_name, is_expected_codes, is_host_name,
    is_http_url, is_url_path,
};

use serde_json::{Map, Value};

use crate::fault::Fault;

/// What was sent for one attribute: nothing, null, or a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Sent<T> {
    #[default]
    Absent,
    Null,
    Value(T),
}

impl<T> Sent<T> {
    /// For a create: what stands when absent, and what null means.
    pub(crate) fn or_null(self, absent: T, null: T) -> T {
        match self {
            Self::Absent => absent,
            Self::Null => null,
            Self::Value(value) => value,
        }
    }

    pub(crate) fn or(self, default: T) -> T {
        self.value().unwrap_or(default)
    }

    pub(crate) fn value(self) -> Option<T> {
        match self {
            Self::Absent | Self::Null => None,
            Self::Value(value) => Some(value),
        }
    }

    pub(crate) fn as_ref(&self) -> Sent<&T> {
        match self {
            Self::Absent => Sent::Absent,
            Self::Null => Sent::Null,
            Self::Value(value) => Sent::Value(value),
        }
    }

    /// The value if there is one.
    pub(crate) fn get(&self) -> Option<&T> {
        self.as_ref().value()
    }

    /// Whether the key is in the body, be it with null.
    pub(crate) fn is_sent(&self) -> bool {
        !matches!(self, Self::Absent)
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// For an update: absent leaves the slot alone, null resets it.
    pub(crate) fn change(&self, slot: &mut T, null: T)
    where
        T: Clone,
    {
        match self {
            Self::Absent => {}
            Self::Null => *slot = null,
            Self::Value(value) => value.clone_into(slot),
        }
    }

    /// For an update of something that may be unset: null unsets it.
    pub(crate) fn change_option(&self, slot: &mut Option<T>)
    where
        T: Clone,
    {
        match self {
            Self::Absent => {}
            Self::Null => *slot = None,
            Self::Value(value) => *slot = Some(value.clone()),
        }
    }

    /// For an update, what is to be written: null resets to the default of the type.
    pub(crate) fn or_empty(self) -> Option<T>
    where
        T: Default,
    {
        self.is_sent().then(|| self.or(T::default()))
    }

    /// For an update of something that null does not change.
    pub(crate) fn change_if_value(&self, slot: &mut T)
    where
        T: Clone,
    {
        if let Self::Value(value) = self {
            value.clone_into(slot);
        }
    }

    /// What the object will have after an update that may unset it.
    pub(crate) fn merged(&self, stored: Option<T>) -> Option<T>
    where
        T: Clone,
    {
        match self {
            Self::Absent => stored,
            Self::Null => None,
            Self::Value(value) => Some(value.clone()),
        }
    }

    pub(crate) fn map<U>(self, f: impl FnOnce(T) -> U) -> Sent<U> {
        match self {
            Self::Absent => Sent::Absent,
            Self::Null => Sent::Null,
            Self::Value(value) => Sent::Value(f(value)),
        }
    }

    fn try_map<U>(self, f: impl FnOnce(T) -> Result<U, Fault>) -> Result<Sent<U>, Fault> {
        Ok(match self {
            Self::Absent => Sent::Absent,
            Self::Null => Sent::Null,
            Self::Value(value) => Sent::Value(f(value)?),
        })
    }

    /// Absent and null are both refused.
    pub(crate) fn required(self, key: &str) -> Result<T, Fault> {
        self.value().ok_or_else(|| mandatory(key))
    }
}

fn mandatory(key: &str) -> Fault {
    Fault::Input {
        attribute: key.to_owned(),
        value: "None".to_owned(),
        reason: "Mandatory field missing.".to_owned(),
    }
}

/// A parsed body under the name the original's messages call it by (`load_balancer`, `listener_`, …).
#[derive(Debug)]
pub(crate) struct Document {
    argument: &'static str,
    value: Value,
}

impl Document {
    /// `bytes` is the body, already known to be JSON by its content type.
    pub(crate) fn parse(argument: &'static str, bytes: &[u8]) -> Result<Self, Fault> {
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Err(Fault::MissingArgument(argument));
        }
        let value = serde_json::from_slice(bytes).map_err(|_| Fault::Json)?;
        Ok(Self { argument, value })
    }

    fn root_entries(&self, root: &str) -> Result<&Map<String, Value>, Fault> {
        let entries = self.value.as_object().ok_or_else(|| self.not_a("dict", &self.value))?;
        let unknown: Vec<_> = entries.keys().filter(|key| *key != root).cloned().collect();
        if !unknown.is_empty() {
            return Err(Fault::UnknownAttribute { path: self.argument.to_owned(), keys: unknown });
        }
        Ok(entries)
    }

    /// The one object under the root key, with the keys it may have.
    pub(crate) fn object(&self, root: &str, allowed: &[&str]) -> Result<Object<'_>, Fault> {
        match self.root_entries(root)?.get(root) {
            None | Some(Value::Null) => Err(mandatory(root)),
            Some(value) => Object::open(self, format!("{}.{root}", self.argument), value, allowed),
        }
    }

    /// The list of objects under the root key.
    pub(crate) fn objects(&self, root: &str, allowed: &[&str]) -> Result<Vec<Object<'_>>, Fault> {
        let value = match self.root_entries(root)?.get(root) {
            None | Some(Value::Null) => return Err(mandatory(root)),
            Some(value) => value,
        };
        let list = value.as_array().ok_or_else(|| self.not_a("list", value))?;
        let path = format!("{}.{root}", self.argument);
        list.iter().map(|item| Object::open(self, path.clone(), item, allowed)).collect()
    }

    /// A value that cannot even be read as its kind: the message names the argument and shows the whole body.
    fn unreadable(&self, reason: String) -> Fault {
        Fault::Input { attribute: self.argument.to_owned(), value: repr::text(&self.value), reason }
    }

    fn not_a(&self, kind: &str, value: &Value) -> Fault {
        self.unreadable(format!("Value not a valid {kind}: {}", repr::text(value)))
    }
}

/// One JSON object of a body. Every accessor reads one attribute and says what is wrong with it.
#[derive(Debug)]
pub(crate) struct Object<'a> {
    document: &'a Document,
    path: String,
    entries: &'a Map<String, Value>,
}

impl<'a> Object<'a> {
    fn open(document: &'a Document, path: String, value: &'a Value, allowed: &[&str]) -> Result<Self, Fault> {
        let entries = value.as_object().ok_or_else(|| document.not_a("dict", value))?;
        let unknown: Vec<_> =
            entries.keys().filter(|key| !allowed.contains(&key.as_str())).cloned().collect();
        if !unknown.is_empty() {
            return Err(Fault::UnknownAttribute { path, keys: unknown });
        }
        Ok(Self { document, path, entries })
    }

    /// Whether the object has any key besides this one.
    pub(crate) fn has_more_than(&self, key: &str) -> bool {
        self.entries.keys().any(|name| name != key)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn raw(&self, key: &str) -> Sent<&'a Value> {
        match self.entries.get(key) {
            None => Sent::Absent,
            Some(Value::Null) => Sent::Null,
            Some(value) => Sent::Value(value),
        }
    }

    /// A nested object.
    pub(crate) fn object(&self, key: &str, allowed: &[&str]) -> Result<Sent<Object<'a>>, Fault> {
        self.raw(key)
            .try_map(|value| Object::open(self.document, format!("{}.{key}", self.path), value, allowed))
    }

    /// A nested list of objects.
    pub(crate) fn objects(&self, key: &str, allowed: &[&str]) -> Result<Sent<Vec<Object<'a>>>, Fault> {
        self.list(key)?.try_map(|list| {
            list.iter()
                .map(|item| Object::open(self.document, format!("{}.{key}", self.path), item, allowed))
                .collect()
        })
    }

    /// A nested list as it stands.
    pub(crate) fn list(&self, key: &str) -> Result<Sent<&'a Vec<Value>>, Fault> {
        self.raw(key).try_map(|value| value.as_array().ok_or_else(|| self.document.not_a("list", value)))
    }
}

#[cfg(test)]
mod tests;
