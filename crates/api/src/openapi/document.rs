//! The document itself, put together of tables, descriptions and schemas. Pure.

use serde_json::{Map, Value, json};

use super::attribute::{Filters, Resource};
use super::endpoint::{COMMON, DESCRIPTIONS, Description, Shape, UNKNOWN_TYPE};
use super::schema::{self, Form, array, reference, tree_name};
use super::shared::{self, either, under};
use super::table::{LOAD_BALANCER, RESOURCES};

const ABOUT: &str = "\
Load Balancing as a Service: the API of OpenStack Octavia, v2.30, as octavia-rs answers it.

- Every path below `/v2` is there below `/v2.0` too, without `lbaas/` too (but for amphorae), with a slash or `.json` \
at its end too, and, as many clouds mount it, below `/load-balancer`.
- Requests are authorized by a token of Keystone in `X-Auth-Token`.
- Numbers and booleans are also taken as texts (`\"80\"`, `\"yes\"`), fractions are cut off, and a boolean may be a \
number. UUIDs may have capital letters or lack their dashes. Answers have the forms of this document.
- Texts may not contain NUL. Attributes that are not known are refused.
- An update changes what it names. Null resets an attribute where this document allows it.
- Most changes are under way when they are answered: `provisioning_status` says when they are in force.
- Every answer has the header `x-openstack-request-id`, by which the log of the service can be searched.
- Whatever is asked for by GET may be asked for by HEAD: it is answered alike, without the body.
- Every answer to GET has an `ETag`; who sends it in `If-None-Match` gets 304 while nothing has changed.
- Every write takes `dry_run=true`: it is checked in full, nothing is stored, and the answer says what it would do.
- A POST with an `Idempotency-Key` makes its object once, however often it is sent; repetitions are answered with \
the object as it is, and with `Idempotent-Replayed: true`.";

/// The whole document, keys in alphabetical order.
pub(super) fn document() -> Value {
    let mut paths: Map<String, Value> = Map::new();
    paths.insert("/".to_owned(), json!({ "get": version_operation() }));
    paths.insert("/v2".to_owned(), json!({ "get": root_operation() }));
    paths.insert(super::PATH.to_owned(), json!({ "get": own_operation() }));
    for description in DESCRIPTIONS {
        let path = paths.entry(description.full_path()).or_insert_with(|| json!({}));
        path[description.method.to_ascii_lowercase()] = operation(description);
    }
    let tags: Vec<Value> = RESOURCES
        .iter()
        .filter(|resource| !resource.root.is_empty() || resource.schema == "Provider")
        .map(|resource| {
            let example = |(what, command): &(&str, &str)| json!({ "what": what, "command": command });
            let examples: Vec<Value> = resource.examples.iter().map(example).collect();
            json!({ "name": resource.plural, "description": resource.about, "x-examples": examples })
        })
        .collect();
    sorted(&json!({
        "openapi": "3.1.0",
        "info": {
            "title": "octavia-rs",
            "version": "2.30",
            "description": ABOUT,
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }, { "url": "/load-balancer" }],
        "security": [{ "token": [] }],
        "tags": tags,
        "paths": paths,
        "components": {
            "schemas": schemas(),
            "responses": responses(),
            "headers": {
                "RequestId": {
                    "description": "The id of the request.",
                    "schema": { "type": "string", "pattern": "^req-" },
                },
                "ETag": {
                    "description": "A tag of this very answer, for `If-None-Match`.",
                    "schema": { "type": "string", "pattern": "^\"[!#-~]+\"$" },
                },
            },
            "parameters": {
                "DryRun": flag("dry_run", "Whether nothing is to be stored: the answer says what the request would do."),
                "IdempotencyKey": {
                    "name": "Idempotency-Key",
                    "in": "header",
                    "description": "Chosen by the caller: the same request with the same key makes nothing again, and is answered with what the first one made. 255 characters at most, with quotes around or without.",
                    "schema": { "type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!#-\\[\\]-~]+$" },
                    "example": "8e03978e-40d5-43e8-bc93-6894a57f9324",
                },
                "IfNoneMatch": {
                    "name": "If-None-Match",
                    "in": "header",
                    "description": "Tags of answers that the caller has: if the answer is one of them, it is 304 without a body. `*` = any.",
                    "schema": { "type": "string" },
                    "example": "\"2a-0123456789abcdef\"",
                },
            },
            "securitySchemes": {
                "token": { "type": "apiKey", "in": "header", "name": "X-Auth-Token", "description": "A token of Keystone." },
            },
        },
    }))
}

/// The same with the keys of every object in order, however the map at hand keeps them.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(entries) => {
            let mut keys: Vec<&String> = entries.keys().collect();
            keys.sort_unstable();
            Value::Object(keys.into_iter().map(|key| (key.clone(), sorted(&entries[key]))).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
        other => other.clone(),
    }
}

fn schemas() -> Map<String, Value> {
    let mut schemas = shared::schemas();
    for resource in RESOURCES {
        let mut add = |name: String, schema: Value| schemas.insert(name, schema);
        let object = |form| schema::object(resource.attributes, form);
        let (name, noun) = (resource.schema, resource.noun);
        let mut answer = object(Form::Answer);
        let required = answer["required"].take();
        if let Some(entries) = answer.as_object_mut() {
            entries.remove("required");
        }
        answer["description"] = json!(format!("The chosen attributes of a {noun}."));
        add(format!("{name}Fields"), answer);
        let whole = json!({ "description": resource.about, "allOf": [reference(&format!("{name}Fields"))], "required": required });
        add(name.to_owned(), whole);
        if resource.is_created() {
            let mut create = object(Form::Create);
            if !resource.one_of.is_empty() {
                create["anyOf"] = resource.one_of.iter().map(|key| json!({ "required": [key] })).collect();
            }
            add(format!("{name}Create"), create);
        }
        if resource.is_updated() {
            add(format!("{name}Update"), object(Form::Update));
        }
        if resource.is_nested() {
            add(format!("{name}Nested"), object(Form::Nested));
        }
        let tree = tree_name(resource);
        if tree != name {
            add(tree, object(Form::Tree));
        }
    }
    schemas
}

/// Errors that are the same at every endpoint, by the status.
fn responses() -> Map<String, Value> {
    let mut responses = Map::new();
    for (status, text) in COMMON.iter().copied().chain([UNKNOWN_TYPE]) {
        let schema = match status {
            401 => reference("UnauthorizedError"),
            406 => reference("AlternateError"),
            400 => either("Error", "AlternateError"),
            _ => reference("Error"),
        };
        responses.insert(format!("Status{status}"), response(text, Some(schema)));
    }
    responses
}

fn response(description: &str, schema: Option<Value>) -> Value {
    let mut response = json!({
        "description": description,
        "headers": { "x-openstack-request-id": { "$ref": "#/components/headers/RequestId" } },
    });
    if let Some(schema) = schema {
        response["content"] = json!({ "application/json": { "schema": schema } });
    }
    response
}

/// Of what a GET answers: it has a tag, and is not sent to whom has it.
fn tagged(answers: &mut Map<String, Value>) {
    let tag = || json!({ "$ref": "#/components/headers/ETag" });
    if let Some(success) = answers.get_mut("200") {
        success["headers"]["etag"] = tag();
    }
    let mut unchanged = response("The caller has this answer already.", None);
    unchanged["headers"]["etag"] = tag();
    answers.insert("304".to_owned(), unchanged);
}

/// Of what a write answers: a dry run is always 200.
fn rehearsed(answers: &mut Map<String, Value>) {
    let told = under("dry_run", reference("DryRun"));
    match answers.get_mut("200") {
        Some(success) => {
            let schema = &mut success["content"]["application/json"]["schema"];
            *schema = json!({ "anyOf": [schema.take(), told] });
        }
        None => {
            answers.insert("200".to_owned(), response("What it would do: this was a dry run.", Some(told)));
        }
    }
}

fn operation(description: &Description) -> Value {
    let resource = description.resource;
    let mut operation = json!({
        "operationId": description.id,
        "summary": description.summary(),
        "description": format!("Policy: `os_load-balancer_api:{}`.", description.policy()),
        "tags": [tag(resource)],
        "parameters": parameters(description),
        "responses": answers(description),
    });
    if let Some(schema) = request(description) {
        operation["requestBody"] =
            json!({ "required": true, "content": { "application/json": { "schema": schema } } });
    }
    operation
}

/// Capabilities are told of with their providers.
fn tag(resource: &Resource) -> &'static str {
    let first = RESOURCES.iter().find(|other| other.page == resource.page);
    first.map_or(resource.plural, |first| first.plural)
}

fn request(description: &Description) -> Option<Value> {
    let resource = description.resource;
    let one = |suffix: &str| {
        let mut body = under(resource.root, reference(&format!("{}{suffix}", resource.schema)));
        body["additionalProperties"] = json!(false);
        Some(body)
    };
    match description.shape {
        Shape::Create | Shape::CreateTree => one("Create"),
        Shape::Update | Shape::QuotaUpdate => one("Update"),
        Shape::Batch => {
            let mut body = under(resource.list, array(reference(&format!("{}Create", resource.schema))));
            body["additionalProperties"] = json!(false);
            Some(body)
        }
        _ => None,
    }
}

fn answers(description: &Description) -> Value {
    let mut answers = Map::new();
    let text = match description.success() {
        201 => "Made; what is below a load balancer is on its way into force.",
        202 => "Accepted.",
        204 => "Done, or on its way.",
        _ => "As asked.",
    };
    answers.insert(description.success().to_string(), response(text, answer(description)));
    for (status, text) in description.all_faults() {
        let common = COMMON.iter().chain([&UNKNOWN_TYPE]).any(|(other, _)| *other == status);
        let schema = match status {
            404 if description.is_below_parent() => either("Error", "AlternateError"),
            _ => reference("Error"),
        };
        let response = match common {
            true => json!({ "$ref": format!("#/components/responses/Status{status}") }),
            false => response(text, Some(schema)),
        };
        answers.insert(status.to_string(), response);
    }
    if description.method == "GET" {
        tagged(&mut answers);
    } else {
        rehearsed(&mut answers);
    }
    Value::Object(answers)
}

/// The body of success.
fn answer(description: &Description) -> Option<Value> {
    let resource = description.resource;
    let name = resource.schema;
    let item = match description.has_fields() {
        true => json!({ "anyOf": [reference(name), reference(&format!("{name}Fields"))] }),
        false => reference(name),
    };
    Some(match description.shape {
        Shape::List => {
            let mut body = under(resource.list, array(item));
            if let Some(links) = resource.links {
                body["properties"][links] = json!({
                    "type": ["array", "null"],
                    "items": reference("Link"),
                    "description": "Other pages; null where pages are switched off.",
                });
                body["required"] = json!([resource.list, links]);
            }
            body
        }
        Shape::Create | Shape::Show | Shape::Update | Shape::QuotaUpdate | Shape::QuotaDefaults => {
            under(resource.root, item)
        }
        Shape::CreateTree => under(resource.root, reference(&tree_name(&LOAD_BALANCER))),
        Shape::StatusTree => under("statuses", reference("StatusTree")),
        Shape::Statistics => under("stats", reference("Statistics")),
        Shape::AmphoraStatistics => under("amphora_stats", array(reference("AmphoraStatistics"))),
        Shape::Delete | Shape::Cascade | Shape::Batch | Shape::Action | Shape::QuotaDelete => return None,
    })
}

fn parameters(description: &Description) -> Vec<Value> {
    let resource = description.resource;
    let mut parameters: Vec<Value> = description
        .path
        .split('/')
        .filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'))
        .map(path_parameter)
        .collect();
    match description.shape {
        Shape::List => parameters.extend(list_parameters(resource)),
        Shape::Cascade => {
            parameters.push(flag("cascade", "Whether what is below it goes too; else it must be empty."))
        }
        Shape::Batch => parameters.push(flag("additive_only", "Whether members that the body lacks stay.")),
        _ => {}
    }
    if description.has_fields() {
        let names: Vec<&str> = answered(resource);
        parameters.push(json!({
            "name": "fields", "in": "query", "explode": true, "style": "form",
            "description": "An attribute to show; may be repeated. None = all.",
            "schema": array(json!({ "type": "string", "enum": names })),
        }));
    }
    if description.method == "GET" {
        parameters.push(json!({ "$ref": "#/components/parameters/IfNoneMatch" }));
    } else {
        parameters.push(json!({ "$ref": "#/components/parameters/DryRun" }));
        if description.method == "POST" {
            parameters.push(json!({ "$ref": "#/components/parameters/IdempotencyKey" }));
        }
    }
    parameters
}

/// The attributes that answers have.
fn answered(resource: &Resource) -> Vec<&'static str> {
    let schema = schema::object(resource.attributes, Form::Answer);
    let has = |name: &str| schema["properties"].get(name).is_some();
    resource.attributes.iter().map(|attribute| attribute.name).filter(|name| has(name)).collect()
}

fn path_parameter(name: &str) -> Value {
    let (schema, text) = match name {
        "project_id" => (json!({ "type": "string", "minLength": 1, "maxLength": 36 }), "The project."),
        "name" => (json!({ "type": "string", "minLength": 1, "maxLength": 255 }), "What it is called by."),
        _ => (json!({ "type": "string", "format": "uuid" }), "Its id, in small letters and with dashes."),
    };
    json!({ "name": name, "in": "path", "required": true, "description": text, "schema": schema })
}

fn query(name: &str, description: &str, schema: Value) -> Value {
    json!({ "name": name, "in": "query", "description": description, "schema": schema })
}

fn flag(name: &str, description: &str) -> Value {
    query(name, description, json!({ "type": "boolean", "default": false }))
}

fn list_parameters(resource: &Resource) -> Vec<Value> {
    let text = json!({ "type": "string" });
    let mut parameters: Vec<Value> = resource
        .filter_keys()
        .into_iter()
        .map(|key| query(key, &format!("Only where `{key}` is this."), text.clone()))
        .collect();
    if resource.has("tags") {
        for (key, description) in [
            ("tags", "Only what has all of these tags."),
            ("tags-any", "Only what has one of these tags."),
            ("not-tags", "Only what lacks one of these tags."),
            ("not-tags-any", "Only what has none of these tags."),
        ] {
            let mut parameter = query(key, description, array(text.clone()));
            parameter["style"] = json!("form");
            parameter["explode"] = json!(false);
            parameters.push(parameter);
        }
    }
    if matches!(resource.filters, Filters::Words) {
        return parameters;
    }
    let keys = resource.sort_keys().join("|");
    if !keys.is_empty() {
        let sort = format!("^({keys})(:(asc|desc))?(,({keys})(:(asc|desc))?)*$");
        parameters.extend([
            query(
                "sort",
                "Keys in order of weight, each with `:asc` or `:desc` behind it.",
                json!({ "type": "string", "pattern": sort }),
            ),
            query(
                "sort_key",
                "The older way: keys, separated by commas; not used beside `sort`.",
                json!({ "type": "string", "pattern": format!("^({keys})(,({keys}))*$") }),
            ),
            query(
                "sort_dir",
                "The directions of `sort_key`.",
                json!({ "type": "string", "pattern": "^(asc|desc)(,(asc|desc))*$" }),
            ),
        ]);
    }
    parameters.extend([
        query(
            "limit",
            "How many at most; `infinite` and what is below 1 mean as many as the service allows.",
            json!({ "anyOf": [{ "type": "integer", "minimum": -1, "maximum": i32::MAX }, { "const": "infinite" }] }),
        ),
        query("marker", "The last object of the page before: its id, or its name where it has none.", text),
        query(
            "page_reverse",
            "`True` = what comes before the marker, from the start of the list.",
            json!({ "type": "string", "enum": ["True", "False"] }),
        ),
    ]);
    parameters
}

/// For what has no row: with a token or without.
fn plain_operation(id: &str, summary: &str, schema: &Value, public: bool) -> Value {
    let mut answers = json!({ "200": response("As asked.", Some(schema.clone())) });
    let faults: &[u16] = if public { &[406, 500] } else { &[401, 406, 500, 503] };
    for status in faults {
        answers[status.to_string()] = json!({ "$ref": format!("#/components/responses/Status{status}") });
    }
    let mut operation =
        json!({ "operationId": id, "summary": summary, "tags": ["service"], "responses": answers });
    if public {
        operation["security"] = json!([]);
    }
    operation
}

fn version_operation() -> Value {
    plain_operation("version_list", "List the versions of the API", &reference("Versions"), true)
}

fn root_operation() -> Value {
    plain_operation(
        "version_show",
        "Show the name of the version",
        &json!({ "type": "string", "const": "v2" }),
        false,
    )
}

fn own_operation() -> Value {
    let mut operation =
        plain_operation("openapi_show", "Show this document", &json!({ "type": "object" }), true);
    operation["parameters"] = json!([{ "$ref": "#/components/parameters/IfNoneMatch" }]);
    if let Some(answers) = operation["responses"].as_object_mut() {
        tagged(answers);
    }
    operation
}
