//! Decisions beside those of oslo.policy itself, which is among what `cargo xtask setup` installs.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use octavia_policy::{Credentials, Enforcer, Options, PREFIX, PolicyFile, Target, Value, defaults};
use serde_json::{Value as Json, json};

/// A caller, and what the request is about.
#[derive(Debug, Clone)]
struct Caller {
    attributes: Vec<(&'static str, Json)>,
    is_admin: bool,
    target: Vec<(&'static str, &'static str)>,
}

impl Caller {
    fn credentials(&self) -> Credentials {
        let text = |json: &Json| json.as_str().unwrap_or_default().to_owned();
        let mut credentials = Credentials::default();
        credentials.is_admin = self.is_admin;
        for (name, value) in &self.attributes {
            let value = match value {
                Json::Null => Value::Nothing,
                Json::Bool(flag) => Value::Flag(*flag),
                Json::Array(items) => Value::List(items.iter().map(text).collect()),
                other => Value::Text(text(other)),
            };
            credentials = credentials.with(name, value);
        }
        credentials
    }

    fn target(&self) -> Target {
        self.target.iter().fold(Target::default(), |target, (name, value)| target.with(name, *value))
    }

    fn json(&self) -> Json {
        let mut credentials: serde_json::Map<_, _> =
            self.attributes.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        credentials.insert("is_admin".to_owned(), json!(self.is_admin));
        let target: serde_json::Map<_, _> =
            self.target.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
        json!({ "credentials": credentials, "target": target })
    }
}

#[derive(Debug)]
struct Case {
    file: String,
    rule: String,
    enforce_new_defaults: bool,
    callers: Vec<Caller>,
}

/// What we decide; `None` = a rule is not understood.
fn ours(case: &Case) -> Option<Vec<bool>> {
    let file = PolicyFile::read("f", case.file.as_bytes()).ok()?;
    let options = Options { enforce_new_defaults: case.enforce_new_defaults, ..Options::default() };
    let (enforcer, _) = Enforcer::new(defaults(), &[file], options).ok()?;
    let decide = |caller: &Caller| enforcer.allows(&case.rule, &caller.credentials(), &caller.target());
    Some(case.callers.iter().map(decide).collect())
}

/// What oslo.policy decides; `None` = it is not installed, and nobody said that it was.
fn theirs(cases: &[Case]) -> Option<Vec<Option<Vec<bool>>>> {
    let named = std::env::var_os("OCTAVIA_TEST_VENV").map(PathBuf::from);
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let must = named.is_some();
    let venv = named.unwrap_or_else(|| here.join("../../target/venv"));
    let python = venv.join("bin/python");
    let installed = venv.join("bin/oslopolicy-checker").exists();
    if !must && !installed {
        return None;
    }
    let defaults: Vec<_> = defaults()
        .iter()
        .map(|rule| {
            let old = rule.deprecated.map(|old| json!({ "name": old.name, "check": old.check }));
            json!({ "name": rule.name, "check": rule.check, "scope": rule.scope, "deprecated": old })
        })
        .collect();
    let cases: Vec<_> = cases
        .iter()
        .map(|case| {
            json!({
                "file": case.file, "rule": case.rule, "enforce_new_defaults": case.enforce_new_defaults,
                "callers": case.callers.iter().map(Caller::json).collect::<Vec<_>>(),
            })
        })
        .collect();
    let mut oracle = Command::new(&python)
        .arg(here.join("tests/it/oracle.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{}: {error}; `cargo xtask setup` installs it", python.display()));
    let task = json!({ "defaults": defaults, "cases": cases }).to_string();
    oracle.stdin.take().unwrap().write_all(task.as_bytes()).unwrap();
    let output = oracle.wait_with_output().unwrap();
    assert!(output.status.success());
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

fn compare(cases: &[Case]) {
    let Some(theirs) = theirs(cases) else { return };
    let all: Vec<_> = theirs.iter().flatten().flatten().collect();
    let allowed = all.iter().filter(|allowed| ***allowed).count();
    assert!(allowed > all.len() / 20 && allowed < all.len() * 19 / 20, "{allowed} of {}", all.len());
    for (case, theirs) in cases.iter().zip(theirs) {
        assert_eq!(ours(case), theirs, "{case:#?}");
    }
}

/// The same numbers in every run.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end
    }

    fn one<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())].clone()
    }
}

const ROLES: &[&str] = &[
    "admin",
    "Member",
    "member",
    "reader",
    "service",
    "load-balancer_admin",
    "load-balancer_member",
    "load-balancer_observer",
    "load-balancer_global_observer",
    "load-balancer_quota_admin",
    "x",
];

fn caller(chance: &mut Chance) -> Caller {
    let roles: Vec<_> = (0..chance.below(3)).map(|_| chance.one(ROLES)).collect();
    let mut attributes = vec![("roles", json!(roles)), ("user_id", json!(chance.one(&["u", "v"])))];
    match chance.below(8) {
        0 => attributes.push(("system_scope", json!("all"))),
        1 => attributes.push(("domain_id", json!("d"))),
        2 => attributes.push(("project_id", Json::Null)),
        _ => attributes.push(("project_id", json!(chance.one(&["p", "q"])))),
    }
    attributes.push(("is_admin_project", json!(chance.below(2) == 0)));
    attributes.push(("service_roles", json!([chance.one(ROLES)])));
    let mut target = vec![];
    if chance.below(8) > 0 {
        target.push(("project_id", chance.one(&["p", "q"])));
    }
    if chance.below(4) > 0 {
        target.push(("user_id", "u"));
        target.push(("role", "member"));
    }
    Caller { attributes, is_admin: chance.below(6) == 0, target }
}

const WORDS: &[&str] = &[
    "role:admin",
    "role:MEMBER",
    "role:member",
    "role:reader",
    "role:%(role)s",
    "role:%(no)s",
    "is_admin:True",
    "is_admin:false",
    "is_admin:x",
    "project_id:%(project_id)s",
    "user_id:%(user_id)s",
    "user_id:u",
    "system_scope:all",
    "system:all",
    "domain_id:d",
    "project_id:None",
    "domain_id:None",
    "no:None",
    "roles:member",
    "roles:Member",
    "service_roles:admin",
    "is_admin_project:True",
    "is_admin_project:true",
    "'p':%(project_id)s",
    "\"member\":%(role)s",
    "True:True",
    "None:None",
    "7:7",
    "-7:-7",
    "7:07",
    "@",
    "!",
    "rule:load-balancer:owner",
    "rule:load-balancer:admin",
    "rule:service",
    "rule:extra",
    "rule:nowhere",
    "user_id:%(user_id)s%%",
    "no.x:y",
];
const JOINTS: &[&str] = &[" and ", " or ", " AND ", " Or ", "  or\t", " or not ", " and not "];
/// What makes a rule wrong, now and then.
const MISTAKES: &[&str] = &["(", ")", " and", " or ", " not", " word", " \"role:admin\"", " role:x role:y"];

fn text(chance: &mut Chance, depth: usize) -> String {
    let count = 1 + chance.below(3);
    let mut rule = chance.one(&["", "", "", "not ", "NOT "]).to_owned();
    for index in 0..count {
        if index > 0 {
            rule += chance.one(JOINTS);
        }
        rule += &match depth < 3 && chance.below(3) == 0 {
            true => format!("({})", text(chance, depth + 1)),
            false => chance.one(WORDS).to_owned(),
        };
    }
    rule
}

fn rule(chance: &mut Chance) -> Json {
    match chance.below(10) {
        0 => {
            let mut list = || -> Json {
                let checks = (0..chance.below(3)).map(|_| chance.one(WORDS)).collect::<Vec<_>>();
                if chance.below(3) == 0 { json!(chance.one(WORDS)) } else { json!(checks) }
            };
            json!([list(), list()])
        }
        1 => json!(text(chance, 0) + chance.one(MISTAKES)),
        2 => json!(""),
        _ => json!(text(chance, 0)),
    }
}

#[test]
fn rules_by_chance() {
    let mut chance = Chance(1);
    let names = [
        "context_is_admin",
        "load-balancer:owner",
        "load-balancer:read",
        "load-balancer:member_and_owner",
        "load-balancer:observer_and_owner",
        "service",
        "default",
        "unknown",
    ];
    let policy = |name: &str| format!("{PREFIX}{name}");
    let cases: Vec<_> = (0..400)
        .map(|_| {
            let mut file = serde_json::Map::new();
            file.insert(policy("pool:get_one"), rule(&mut chance));
            // Asked by rules above; it asks nobody, so that no circle comes of it.
            let words: Vec<_> = WORDS.iter().filter(|word| !word.starts_with("rule:")).copied().collect();
            file.insert("extra".to_owned(), json!(chance.one(&words)));
            for _ in 0..chance.below(3) {
                file.insert(chance.one(&names).to_owned(), json!(chance.one(&words)));
            }
            Case {
                file: Json::Object(file).to_string(),
                rule: policy(
                    ["pool:get_one", "pool:put", "member:get_all"][chance.below(3).min(chance.below(3))],
                ),
                enforce_new_defaults: chance.below(2) == 0,
                callers: (0..12).map(|_| caller(&mut chance)).collect(),
            }
        })
        .collect();
    compare(&cases);
}

/// Every built-in rule, with the new defaults and with the old ones beside them, for every role and scope.
#[test]
fn the_built_in_rules() {
    let mut callers = vec![];
    for role in ROLES {
        for project in ["p", "q"] {
            for scope in
                [("project_id", json!("p")), ("system_scope", json!("all")), ("domain_id", json!("d"))]
            {
                for is_admin in [false, true].into_iter().take(if *role == "x" { 2 } else { 1 }) {
                    callers.push(Caller {
                        attributes: vec![("roles", json!([role])), scope.clone()],
                        is_admin,
                        target: vec![("project_id", project)],
                    });
                }
            }
        }
    }
    let cases: Vec<_> = defaults()
        .iter()
        .flat_map(|default| [true, false].map(|new| (default.name, new)))
        .map(|(name, enforce_new_defaults)| Case {
            file: String::new(),
            rule: name.to_owned(),
            enforce_new_defaults,
            callers: callers.clone(),
        })
        .collect();
    compare(&cases);
}
