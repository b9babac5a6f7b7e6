//! The tables against the code, and the files in `docs` against the tables.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::attribute::{Attribute, In, Kind, Resource};
use super::endpoint::DESCRIPTIONS;
use super::schema::Form;
use super::table::*;
use super::{PATH, document, pages};
use crate::ENDPOINTS;
use crate::body::Document;
use crate::fault::Fault;
use crate::request::Call;
use crate::request::availability_zone::{self, AvailabilityZoneBody};
use crate::request::flavor::{self, FlavorBody};
use crate::request::health_monitor::{self, HealthMonitorBody};
use crate::request::l7policy::{self, L7PolicyBody};
use crate::request::l7rule::{self, L7RuleBody};
use crate::request::listener::{self, ListenerBody};
use crate::request::load_balancer::{self, LoadBalancerBody};
use crate::request::member::{self, MemberBody};
use crate::request::pool::{self, PoolBody};
use crate::request::profile::{ProfileBody, ProfileKind};
use crate::request::quota::{self, QuotaBody};

#[path = "../../tests/it/schema.rs"]
mod checker;

#[test]
fn every_endpoint_is_described_once_and_nothing_else() {
    let endpoints: Vec<_> = ENDPOINTS.iter().map(|endpoint| (endpoint.method, endpoint.path)).collect();
    let described: Vec<_> = DESCRIPTIONS.iter().map(|row| (row.method, row.path)).collect();
    assert_eq!(endpoints, described);
    let ids: BTreeSet<_> = DESCRIPTIONS.iter().map(|row| row.id).collect();
    assert_eq!(ids.len(), DESCRIPTIONS.len(), "operation ids are unique");

    let document = document::document();
    let mut found = BTreeSet::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for method in item.as_object().expect("a path").keys() {
            found.insert((method.to_ascii_uppercase(), path.clone()));
        }
    }
    let mut expected: BTreeSet<_> =
        DESCRIPTIONS.iter().map(|row| (row.method.to_owned(), row.full_path())).collect();
    expected.extend(["/", "/v2", PATH].map(|path| ("GET".to_owned(), path.to_owned())));
    assert_eq!(found, expected);
}

/// The bodies that have a decoder, with the keys it knows.
const BODIES: &[(&Resource, Form, &[&str])] = &[
    (&LOAD_BALANCER, Form::Create, load_balancer::CREATE),
    (&LOAD_BALANCER, Form::Update, load_balancer::UPDATE),
    (&LISTENER, Form::Create, listener::CREATE),
    (&LISTENER, Form::Update, listener::UPDATE),
    (&LISTENER, Form::Nested, listener::NESTED),
    (&POOL, Form::Create, pool::CREATE),
    (&POOL, Form::Update, pool::UPDATE),
    (&POOL, Form::Nested, pool::NESTED),
    (&MEMBER, Form::Create, member::CREATE),
    (&MEMBER, Form::Update, member::UPDATE),
    (&MEMBER, Form::Nested, member::NESTED),
    (&HEALTH_MONITOR, Form::Create, health_monitor::CREATE),
    (&HEALTH_MONITOR, Form::Update, health_monitor::UPDATE),
    (&HEALTH_MONITOR, Form::Nested, health_monitor::NESTED),
    (&L7_POLICY, Form::Create, l7policy::CREATE),
    (&L7_POLICY, Form::Update, l7policy::UPDATE),
    (&L7_POLICY, Form::Nested, l7policy::NESTED),
    (&L7_RULE, Form::Create, l7rule::CREATE),
    (&L7_RULE, Form::Update, l7rule::UPDATE),
    (&L7_RULE, Form::Nested, l7rule::NESTED),
    (&QUOTA, Form::Update, quota::KEYS),
    (&FLAVOR, Form::Create, flavor::CREATE),
    (&FLAVOR, Form::Update, flavor::UPDATE),
    (&FLAVOR_PROFILE, Form::Create, &["name", "provider_name", ProfileKind::Flavor.data_key()]),
    (&FLAVOR_PROFILE, Form::Update, &["name", "provider_name", ProfileKind::Flavor.data_key()]),
    (&AVAILABILITY_ZONE, Form::Create, availability_zone::CREATE),
    (&AVAILABILITY_ZONE, Form::Update, availability_zone::UPDATE),
    (
        &AVAILABILITY_ZONE_PROFILE,
        Form::Create,
        &["name", "provider_name", ProfileKind::AvailabilityZone.data_key()],
    ),
    (
        &AVAILABILITY_ZONE_PROFILE,
        Form::Update,
        &["name", "provider_name", ProfileKind::AvailabilityZone.data_key()],
    ),
];

#[test]
fn decoders_know_the_attributes_of_the_tables() {
    for (resource, form, keys) in BODIES {
        let known: BTreeSet<&str> = keys.iter().copied().collect();
        let written: BTreeSet<&str> =
            sent(resource, *form).into_iter().map(|attribute| attribute.name).collect();
        assert_eq!(known, written, "{} {form:?}", resource.schema);
    }
}

fn sent(resource: &Resource, form: Form) -> Vec<&'static Attribute> {
    resource.attributes.iter().filter(|attribute| attribute.sent(form) != In::No).collect()
}

/// What the decoder says of a body's inside.
fn decode(resource: &Resource, form: Form, inside: &Value) -> Result<(), Fault> {
    let in_listener = |more: Value| {
        let mut listener = json!({ "protocol": "HTTP", "protocol_port": 80 });
        listener.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        ("LoadBalancer", "loadbalancer", json!({ "listeners": [listener] }), Call::Create)
    };
    // What is nested is read with the load balancer it is in.
    let (schema, root, inside, call) = match (resource.schema, form) {
        (name, Form::Create) => (name, resource.root, inside.clone(), Call::Create),
        (name, Form::Update) => (name, resource.root, inside.clone(), Call::Update),
        ("Listener", _) => ("LoadBalancer", "loadbalancer", json!({ "listeners": [inside] }), Call::Create),
        ("Pool", _) => ("LoadBalancer", "loadbalancer", json!({ "pools": [inside] }), Call::Create),
        ("Member", _) => {
            ("LoadBalancer", "loadbalancer", json!({ "pools": [{ "members": [inside] }] }), Call::Create)
        }
        ("HealthMonitor", _) => {
            ("LoadBalancer", "loadbalancer", json!({ "pools": [{ "healthmonitor": inside }] }), Call::Create)
        }
        ("L7Policy", _) => in_listener(json!({ "l7policies": [inside] })),
        ("L7Rule", _) => in_listener(json!({ "l7policies": [{ "action": "REJECT", "rules": [inside] }] })),
        (other, _) => panic!("{other} is not nested"),
    };
    let bytes = json!({ root: inside }).to_string();
    let document = Document::parse("argument", bytes.as_bytes())?;
    match schema {
        "LoadBalancer" => LoadBalancerBody::decode(&document, call).map(drop),
        "Listener" => ListenerBody::decode(&document, call).map(drop),
        "Pool" => PoolBody::decode(&document, call).map(drop),
        "Member" => MemberBody::decode(&document, call).map(drop),
        "HealthMonitor" => HealthMonitorBody::decode(&document, call).map(drop),
        "L7Policy" => L7PolicyBody::decode(&document, call).map(drop),
        "L7Rule" => L7RuleBody::decode(&document, call).map(drop),
        "Quota" => QuotaBody::decode(bytes.as_bytes()).map(drop),
        "Flavor" => FlavorBody::decode(&document, call).map(drop),
        "FlavorProfile" => ProfileBody::decode(&document, ProfileKind::Flavor, call).map(drop),
        "AvailabilityZone" => AvailabilityZoneBody::decode(&document, call).map(drop),
        "AvailabilityZoneProfile" => {
            ProfileBody::decode(&document, ProfileKind::AvailabilityZone, call).map(drop)
        }
        other => panic!("{other} has no decoder here"),
    }
}

/// Values at and beside every bound there is, and of every kind.
fn candidates(attribute: &Attribute) -> Vec<Value> {
    let mut values = vec![
        json!(null),
        json!(true),
        json!([]),
        json!({}),
        json!(""),
        json!("a"),
        json!("/"),
        json!("//"),
        json!("200"),
        json!("a b"),
        json!("a;b"),
        json!("HTTP"),
        json!("192.0.2.1"),
        json!("2001:db8::1"),
        json!("2f3a0a3c-5d6e-4f70-8192-a3b4c5d6e7f8"),
        json!(["a"]),
        json!([1]),
        json!([null]),
        json!(["2f3a0a3c-5d6e-4f70-8192-a3b4c5d6e7f8"]),
        json!({ "a": "b" }),
        json!({ "a": 1 }),
        json!({ "no_such_key": 1 }),
        json!([{ "no_such_key": 1 }]),
        json!(1.1),
        json!(1.2),
    ];
    for length in [36, 64, 128, 255, 2048, 4096] {
        for length in [length, length + 1] {
            values.push(json!("x".repeat(length)));
            values.push(json!(["x".repeat(length)]));
            values.push(json!({ "a": "x".repeat(length) }));
        }
    }
    let mut numbers: Vec<i64> = vec![-2, -1, 0, 1, 2, 300];
    match attribute.kind {
        Kind::Integer(min, max) => numbers.extend([min - 1, min, max, max + 1]),
        Kind::Word(words) | Kind::Words(words) => {
            values.extend(
                words.iter().flat_map(|word| [json!(word), json!([word]), json!(word.to_lowercase())]),
            );
        }
        _ => {}
    }
    values.extend(numbers.into_iter().map(|number| json!(number)));
    values
}

/// Null is refused after decoding: by what looks for the flavor or the zone, or knows what is stored.
const REFUSED_LATER: &[(&str, &str)] = &[
    ("LoadBalancerCreate", "flavor_id"),
    ("LoadBalancerCreate", "availability_zone"),
    ("HealthMonitorUpdate", "delay"),
    ("HealthMonitorUpdate", "timeout"),
    ("HealthMonitorUpdate", "max_retries"),
    ("L7PolicyUpdate", "action"),
    ("L7RuleUpdate", "type"),
    ("L7RuleUpdate", "compare_type"),
    ("L7RuleUpdate", "value"),
    ("FlavorProfileUpdate", "name"),
    ("FlavorProfileUpdate", "provider_name"),
    ("FlavorProfileUpdate", "flavor_data"),
    ("AvailabilityZoneProfileUpdate", "name"),
    ("AvailabilityZoneProfileUpdate", "provider_name"),
    ("AvailabilityZoneProfileUpdate", "availability_zone_data"),
];

/// The decoder takes these in other forms too, which the document tells in words; or reads them only elsewhere.
fn is_beside_the_schema(attribute: &Attribute, value: &Value) -> bool {
    match attribute.kind {
        Kind::Flag => value.is_string() || value.is_number(),
        Kind::Integer(..) | Kind::HttpVersion => value.is_string() || value.is_f64(),
        // No format of JSON Schema is a network.
        Kind::Cidrs => value.is_array(),
        Kind::OneOf(_) => value.is_string() || value.is_f64(),
        // That an L7 rule's value is empty is seen when the rule is looked at as a whole.
        Kind::Pattern(..) => attribute.name == "value" && value == "",
        _ => false,
    }
}

#[test]
fn decoders_and_schemas_accept_the_same() {
    let document = document::document();
    let mut differences = vec![];
    for (resource, form, _) in BODIES {
        let name = format!("{}{form:?}", resource.schema);
        let schema = &document["components"]["schemas"][&name];
        assert!(schema.is_object(), "{name}");
        let mut schema = schema.clone();
        // Checked after decoding.
        schema.as_object_mut().expect("a schema").remove("anyOf");
        let mut check = |body: &Value| {
            let decoded = decode(resource, *form, body);
            let valid = checker::errors(&document, &schema, body).is_empty();
            let shown: String = body.to_string().chars().take(300).collect();
            if valid != decoded.is_ok() {
                differences.push(format!("{name}: {shown}: {decoded:?}"));
            }
            valid
        };

        // The smallest body: what must be there, each with the first value that is taken.
        let mut least = Map::new();
        let must: Vec<_> =
            sent(resource, *form).into_iter().filter(|attribute| attribute.sent(*form) == In::Must).collect();
        for attribute in &must {
            let property = &document["components"]["schemas"][&name]["properties"][attribute.name];
            let good = |value: &Value| checker::errors(&document, property, value).is_empty();
            let value = candidates(attribute).into_iter().find(good);
            least.insert(attribute.name.to_owned(), value.expect("a good value"));
        }
        assert!(check(&Value::Object(least.clone())), "{name}: the smallest body is good");
        for attribute in &must {
            let mut body = least.clone();
            body.remove(attribute.name);
            assert!(!check(&Value::Object(body)), "{name}: {} must be there", attribute.name);
        }
        let mut body = least.clone();
        body.insert("no_such_key".to_owned(), json!(1));
        assert!(!check(&Value::Object(body)), "{name}: unknown keys are refused");

        for attribute in sent(resource, *form) {
            let mut taken = 0;
            for value in candidates(attribute) {
                let later = value.is_null() && REFUSED_LATER.contains(&(name.as_str(), attribute.name));
                if later || is_beside_the_schema(attribute, &value) {
                    continue;
                }
                let mut body = least.clone();
                body.insert(attribute.name.to_owned(), value);
                taken += usize::from(check(&Value::Object(body)));
            }
            assert!(taken > 0, "{name}: no candidate is good for {}", attribute.name);
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs")
}

/// The files are what is made here; `UPDATE_DOCS=1` writes them.
#[test]
fn openapi_files_in_docs_are_what_the_tables_say() {
    let text = serde_json::to_string_pretty(&document::document()).expect("JSON") + "\n";
    let mut files = vec![(docs().join("openapi.json"), text)];
    files.extend(pages::pages().into_iter().map(|(name, page)| (docs().join("resources").join(name), page)));
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::create_dir_all(docs().join("resources")).expect("a directory");
        for (path, text) in &files {
            std::fs::write(path, text).expect("written");
        }
    }
    for (path, text) in &files {
        let kept = std::fs::read_to_string(path).unwrap_or_default();
        assert!(kept == *text, "{} is not what the tables say: run this with UPDATE_DOCS=1", path.display());
    }
    let pages = std::fs::read_dir(docs().join("resources")).expect("a directory").count();
    assert_eq!(pages, files.len() - 1, "docs/resources has pages of resources that are not there");
}
