//! Bodies of L7 rules.

use octavia_model::{L7RuleCompareType, L7RuleType};

use super::{Call, project, tags};
use crate::body::{Document, Object, Sent, TEXT_MAX};
use crate::fault::Fault;

pub(crate) const ARGUMENT: &str = "rule_";
pub(crate) const ROOT: &str = "rule";

macro_rules! keys {
    ($($extra:literal),*) => {
        &["admin_state_up", "type", "compare_type", "key", "value", "invert", "tags", $($extra),*]
    };
}

pub(crate) const NESTED: &[&str] = keys!();
pub(crate) const UPDATE: &[&str] = keys!();
pub(crate) const CREATE: &[&str] = keys!("project_id", "tenant_id");

#[derive(Debug, Default)]
pub(crate) struct L7RuleBody {
    pub(crate) admin_state_up: Sent<bool>,
    pub(crate) kind: Sent<L7RuleType>,
    pub(crate) compare_type: Sent<L7RuleCompareType>,
    pub(crate) key: Sent<String>,
    pub(crate) value: Sent<String>,
    pub(crate) invert: Sent<bool>,
    pub(crate) tags: Sent<Vec<String>>,
}

impl L7RuleBody {
    pub(crate) fn decode(document: &Document, call: Call) -> Result<Self, Fault> {
        let object = document.object(ROOT, if call == Call::Update { UPDATE } else { CREATE })?;
        Self::read(&object, call)
    }

    pub(crate) fn read(object: &Object<'_>, call: Call) -> Result<Self, Fault> {
        let body = Self {
            kind: object.word("type")?,
            compare_type: object.word("compare_type")?,
            key: object.text("key", TEXT_MAX)?,
            value: object.text("value", TEXT_MAX)?,
            invert: object.boolean("invert")?,
            admin_state_up: object.boolean("admin_state_up")?,
            tags: tags(object)?,
        };
        project(object)?;
        if call != Call::Update {
            body.kind.required("type")?;
            body.compare_type.required("compare_type")?;
            body.value.as_ref().required("value")?;
        }
        Ok(body)
    }
}
