//! What a rule can look at: the caller, and what the request is about.

use std::collections::BTreeMap;

/// One attribute of a caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Known to be nothing. Rules write it `None`, as Python does.
    Nothing,
    Flag(bool),
    Text(String),
    List(Vec<String>),
}

impl Value {
    /// As Python's `str()` writes it, which is what rules are compared with; lists have no such form here.
    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Nothing => Some("None"),
            Self::Flag(true) => Some("True"),
            Self::Flag(false) => Some("False"),
            Self::Text(text) => Some(text),
            Self::List(_) => None,
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<Option<String>> for Value {
    fn from(text: Option<String>) -> Self {
        text.map_or(Self::Nothing, Self::Text)
    }
}

impl From<Vec<String>> for Value {
    fn from(list: Vec<String>) -> Self {
        Self::List(list)
    }
}

/// The caller: `user_id`, `project_id`, `roles`, `system_scope` and the other names of oslo.context.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Credentials {
    /// What `is_admin:True` asks for; not an attribute, so that no other rule sees it.
    pub is_admin: bool,
    attributes: BTreeMap<String, Value>,
}

impl Credentials {
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.attributes.insert(name.to_owned(), value.into());
        self
    }

    pub(crate) fn attribute(&self, name: &str) -> Option<&Value> {
        // The older of two names for one thing.
        let name = if name == "system" { "system_scope" } else { name };
        self.attributes.get(name)
    }

    pub(crate) fn has_role(&self, wanted: &str) -> bool {
        let wanted = wanted.to_lowercase();
        match self.attribute("roles") {
            Some(Value::List(roles)) => roles.iter().any(|role| role.to_lowercase() == wanted),
            _ => false,
        }
    }

    /// `system`, `domain` or `project`: where the caller's token is good.
    pub(crate) fn scope(&self) -> &'static str {
        let given = |name| matches!(self.attribute(name), Some(Value::Text(text)) if !text.is_empty());
        if given("system_scope") {
            "system"
        } else if given("domain_id") {
            "domain"
        } else {
            "project"
        }
    }

    /// The attributes as a target: what rules about the caller alone are asked with.
    pub fn as_target(&self) -> Target {
        let texts = self.attributes.iter().filter_map(|(name, value)| match value {
            Value::Text(text) => Some((name.clone(), text.clone())),
            _ => None,
        });
        Target(texts.collect())
    }
}

/// What the request is about. What is not known is left out, and then equals nothing: a caller without a project does
/// not own what has none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Target(BTreeMap<String, String>);

impl Target {
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.0.insert(name.to_owned(), value.into());
        self
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}
