//! JSON Schema of requests and answers, out of the tables.

use serde_json::{Map, Value, json};

use super::attribute::{Attribute, In, Kind, Out, Resource};
use super::table::RESOURCES;

/// Where an object of a resource stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Create,
    /// In a load balancer that is created with all its children.
    Nested,
    Update,
    /// One object, or a row of a list.
    Answer,
    /// In the answer to a create of a whole load balancer.
    Tree,
}

impl Form {
    pub(super) const fn is_answer(self) -> bool {
        matches!(self, Self::Answer | Self::Tree)
    }
}

/// A reference to a schema of the document.
pub(super) fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// The schema of a resource in the tree, which is another only if it has something that differs there.
pub(super) fn tree_name(resource: &Resource) -> String {
    let differs = resource.attributes.iter().any(|attribute| {
        matches!(attribute.answer, Out::Flat | Out::FlatSome | Out::Tree)
            || matches!(attribute.kind, Kind::Children(_))
    });
    format!("{}{}", resource.schema, if differs { "Tree" } else { "" })
}

fn tree_of(schema: &str) -> String {
    let resource = RESOURCES.iter().find(|resource| resource.schema == schema);
    resource.map_or_else(|| schema.to_owned(), |resource| tree_name(resource))
}

impl Attribute {
    /// What a request of this form may do with it.
    pub(super) const fn sent(&self, form: Form) -> In {
        match form {
            Form::Create => self.create,
            Form::Nested => self.nested,
            Form::Update => self.update,
            Form::Answer | Form::Tree => In::No,
        }
    }

    /// Whether objects of this form have it, always have it, and may have it as null.
    fn presence(&self, form: Form) -> Option<(bool, bool)> {
        if form.is_answer() {
            let tree = form == Form::Tree;
            return match self.answer {
                Out::No => None,
                Out::Yes => Some((true, false)),
                Out::Null => Some((true, true)),
                Out::Some => Some((false, false)),
                Out::Flat => (!tree).then_some((true, false)),
                Out::FlatSome => (!tree).then_some((false, false)),
                Out::Tree => tree.then_some((true, true)),
            };
        }
        match self.sent(form) {
            In::No => None,
            In::Must => Some((true, false)),
            In::May => Some((false, true)),
            In::Set => Some((false, false)),
        }
    }

    fn schema(&self, form: Form) -> Value {
        let schema = kind(self.kind, form);
        let nullable = self.presence(form).is_some_and(|(_, nullable)| nullable);
        let mut schema = if nullable { or_null(schema) } else { schema };
        if let Some(entries) = schema.as_object_mut() {
            let since = if self.since > 0 { format!(" Since v2.{}.", self.since) } else { String::new() };
            entries.insert("description".to_owned(), json!(format!("{}{since}", self.text)));
        }
        schema
    }
}

/// The object schema of these attributes in this form.
pub(super) fn object(attributes: &[Attribute], form: Form) -> Value {
    let mut properties = Map::new();
    let mut required = vec![];
    for attribute in attributes {
        let Some((always, _)) = attribute.presence(form) else { continue };
        if always {
            required.push(attribute.name);
        }
        properties.insert(attribute.name.to_owned(), attribute.schema(form));
    }
    let mut schema = json!({ "type": "object", "properties": properties });
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    if !form.is_answer() {
        schema["additionalProperties"] = json!(false);
    }
    schema
}

fn kind(kind: Kind, form: Form) -> Value {
    let answer = form.is_answer();
    let text = |max: usize| match answer {
        true => json!({ "type": "string" }),
        false => json!({ "type": "string", "maxLength": max }),
    };
    match kind {
        Kind::Uuid => json!({ "type": "string", "format": "uuid" }),
        Kind::Text(max) => text(max),
        Kind::Pattern(max, pattern) => {
            let mut schema = text(max);
            if !answer {
                schema["pattern"] = json!(pattern);
            }
            schema
        }
        Kind::Flag => json!({ "type": "boolean" }),
        Kind::Integer(min, max) => json!({ "type": "integer", "minimum": min, "maximum": max }),
        Kind::OneOf(numbers) => json!({ "type": "integer", "enum": numbers }),
        Kind::HttpVersion => json!({ "type": "number", "enum": [1.0, 1.1] }),
        Kind::Word(words) => json!({ "type": "string", "enum": words }),
        Kind::Words(words) => array(json!({ "type": "string", "enum": words })),
        Kind::Address => json!({ "type": "string", "anyOf": [{ "format": "ipv4" }, { "format": "ipv6" }] }),
        Kind::Cidrs => array(json!({ "type": "string", "examples": ["192.0.2.0/24", "2001:db8::/32"] })),
        Kind::Time => json!({ "type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d$" }),
        Kind::Texts(max) => array(text(max)),
        Kind::Uuids => array(json!({ "type": "string", "format": "uuid" })),
        Kind::Map(max) => json!({ "type": "object", "additionalProperties": text(max) }),
        Kind::Object(attributes) => object(attributes, form),
        Kind::Objects(attributes) => array(object(attributes, form)),
        Kind::Refs => array(reference("Reference")),
        Kind::Child(name) => match form {
            Form::Tree => reference(&tree_of(name)),
            _ => reference(&format!("{name}Nested")),
        },
        Kind::Children(name) => array(match form {
            Form::Answer => reference("Reference"),
            Form::Tree => reference(&tree_of(name)),
            _ => reference(&format!("{name}Nested")),
        }),
    }
}

pub(super) fn array(items: Value) -> Value {
    json!({ "type": "array", "items": items })
}

/// The same, or null.
fn or_null(mut schema: Value) -> Value {
    if schema.get("$ref").is_some() {
        return json!({ "anyOf": [schema, { "type": "null" }] });
    }
    if let Some(words) = schema.get_mut("enum").and_then(Value::as_array_mut) {
        words.push(Value::Null);
    }
    let kind = schema["type"].take();
    schema["type"] = json!([kind, "null"]);
    if let Some(any) = schema.get_mut("anyOf").and_then(Value::as_array_mut) {
        any.push(json!({ "type": "null" }));
    }
    schema
}
