//! The dialect beside oslo.config itself, which is among the clients that `cargo xtask setup` installs.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use octavia_config::{Config, Kind, Severity, Source, Spec, Value, groups};
use serde_json::{Value as Json, json};

/// One of each kind, and those that have other names.
const OPTIONS: &[(&str, &str)] = &[
    ("DEFAULT", "host"),
    ("DEFAULT", "backdoor_port"),
    ("nova", "service_name"),
    ("nova", "endpoint"),
    ("nova", "region_name"),
    ("nova", "insecure"),
    ("cinder", "volume_size"),
    ("amphora_agent", "user_log_facility"),
    ("driver_agent", "max_process_warning_percent"),
    ("neutron", "service_name"),
    ("neutron", "endpoint"),
    ("neutron", "region_name"),
    ("neutron", "insecure"),
    ("neutron", "timeout"),
    ("neutron", "project_id"),
    ("neutron", "valid_interfaces"),
    ("api_settings", "bind_host"),
    ("api_settings", "bind_port"),
    ("api_settings", "minimum_tls_version"),
    ("api_settings", "tls_cipher_prohibit_list"),
    ("api_settings", "enabled_provider_drivers"),
    ("keystone_authtoken", "memcache_security_strategy"),
    ("oslo_messaging_notifications", "driver"),
];

fn specs() -> Vec<&'static Spec> {
    let find = |&(group, name): &(&str, &str)| {
        groups()
            .flat_map(|group| group.options)
            .find(|spec| spec.group == group && spec.name == name)
            .unwrap()
    };
    OPTIONS.iter().map(find).collect()
}

/// What we make of a text, in the oracle's form.
fn ours(text: &str) -> Json {
    let source = Source { name: "f".to_owned(), text: text.as_bytes().to_vec() };
    let (config, problems) = Config::read(&[source]);
    if problems.iter().any(|problem| problem.severity == Severity::Error) {
        return Json::Null;
    }
    let specs = specs();
    let given = config.settings().iter().filter(|s| s.subsection.is_none() && specs.contains(&s.spec));
    given
        .filter_map(|setting| {
            let value = match setting.given.as_ref()? {
                Value::Flag(on) => json!(on),
                Value::Int(number) => json!(number),
                Value::Float(number) => json!(number),
                Value::List(items) => json!(items),
                Value::Dict(pairs) => pairs.iter().map(|(k, v)| (k.clone(), json!(v))).collect(),
                other => json!(other.to_string()),
            };
            Some((format!("{}.{}", setting.spec.group, setting.spec.name), value))
        })
        .collect()
}

/// What oslo.config makes of each; `None` = it is not installed, and nobody said that it was.
fn theirs(texts: &[String]) -> Option<Vec<Json>> {
    let named = std::env::var_os("OCTAVIA_TEST_VENV").map(PathBuf::from);
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let must = named.is_some();
    let python = named.unwrap_or_else(|| here.join("../../target/venv")).join("bin/python");
    if !must && !python.exists() {
        return None;
    }
    let options: Vec<_> = specs()
        .iter()
        .map(|spec| {
            let (choices, any_case) = match spec.kind {
                Kind::Choice { words, any_case } => (words, any_case),
                _ => (&[][..], false),
            };
            let (least, most) = match spec.kind {
                Kind::Int { least, most } => (json!(least), json!(most)),
                Kind::Float { least, most } => (json!(least), json!(most)),
                _ => (Json::Null, Json::Null),
            };
            json!({
                "group": spec.group, "name": spec.name, "kind": spec.kind.name(), "choices": choices,
                "any_case": any_case, "least": least, "most": most, "default": spec.default,
                "former": spec.former,
            })
        })
        .collect();
    let mut oracle = Command::new(&python)
        .arg(here.join("tests/it/oracle.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{}: {error}; `cargo xtask setup` installs it", python.display()));
    let task = json!({ "options": options, "texts": texts }).to_string();
    oracle.stdin.take().unwrap().write_all(task.as_bytes()).unwrap();
    let output = oracle.wait_with_output().unwrap();
    assert!(output.status.success());
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

fn compare(texts: &[String]) {
    let Some(theirs) = theirs(texts) else { return };
    let accepted = theirs.iter().filter(|json| !json.is_null()).count();
    assert!(accepted > texts.len() / 20 && accepted < texts.len(), "{accepted} of {} are right", texts.len());
    for (text, theirs) in texts.iter().zip(theirs) {
        assert_eq!(ours(text), theirs, "{text:?}");
    }
}

#[test]
fn cases() {
    let values: &[(&str, &[&str])] = &[
        (
            "[nova]\nservice_name",
            &[
                "",
                "x",
                " x ",
                "\" x \"",
                "'x'",
                "\"x'",
                "\"",
                "\"x",
                "\"x\" \"y\"",
                "x # y",
                "x ; y",
                "[x]",
                "=x",
                ": x",
                "\u{a0}x\x1c",
                "x\u{85}y",
                "x\u{2028}y",
                "x\x0by",
                "x\n  y",
                "x\n\ty\n z",
                "\n x",
                "\"x\n y\"",
                "x\n # y",
                "x\n \n y",
                "$region_name",
                "${region_name}x",
                "$host",
                "$cinder.volume_size",
                "${cinder.volume_size}.x",
                "$driver_agent.max_process_warning_percent",
                "$$host",
                "\\$host",
                "\\\\$host",
                "$\\$host",
                "$$$host",
                "$",
                "$1",
                "${host",
                "${host }",
                "${}",
                "$é",
                "$hosté",
                "$host-x",
                "$host.",
                "$HOST",
                "$no_such",
                "$nova",
                "$no.such",
                "$nova.no_such",
                "$DEFAULT.host",
                "$NOVA.endpoint",
                "$service_name",
                "$endpoint|",
                "100%",
                "%(host)s",
            ],
        ),
        (
            "[nova]\ninsecure",
            &["TRUE", "yes", "on", "1", "off", "No", "0", "", "t", "2", "\"true\"", "true # x"],
        ),
        (
            "[amphora_agent]\nuser_log_facility",
            &[
                "0", "7", "8", "-1", "", " ", "1.0", "1_0", "0_1", "_1", "1_", "0__1", "+5", "05", "0x5",
                "--1", "5 6",
            ],
        ),
        ("[cinder]\nvolume_size", &["1", "0", "99999999999", "ten"]),
        (
            "[driver_agent]\nmax_process_warning_percent",
            &[".5", "0.5", "5e-1", "1", "0", "", "x", "inf", "0_0.5", "0.5.", "+.5", "0x1p-1"],
        ),
        ("[neutron]\ntimeout", &["1", "1.", "1e3", "-2", "1_0.5"]),
        ("[api_settings]\nbind_port", &["0", "80", "65535", "65536", "-1", "", "http"]),
        (
            "[api_settings]\nbind_host",
            &[
                "127.0.0.1",
                "::",
                "::1",
                "1.2.3",
                "01.2.3.4",
                "::ffff:1.2.3.4",
                "",
                "[::1]",
                "fe80::1%eth0",
                "host",
            ],
        ),
        (
            "[DEFAULT]\nhost",
            &["a.b", "a_b", "-a", "a-", "", "1", "1a", "a.1", "a.", "a..b", ".", "1.2.3.4", "A-9.B"],
        ),
        ("[api_settings]\nminimum_tls_version", &["TLSv1.2", "tlsv1.2", "TLSv1.4", "", "\"TLSv1\""]),
        ("[keystone_authtoken]\nmemcache_security_strategy", &["mac", "Encrypt", "x"]),
        (
            "[neutron]\nvalid_interfaces",
            &["a", "a,b", " a , b ,,", "", ",", ", ,", "a,,b", "\"a,b\",c", "a\n b", "a,\n b", "$host, x"],
        ),
        (
            "[api_settings]\nenabled_provider_drivers",
            &[
                "a:b",
                "a:b,c:d",
                "a: b , c : d",
                "a:b:c",
                "a:",
                ":b",
                "a",
                "",
                "a:b,",
                "a:b,a:c",
                "a:b,\n c:d",
            ],
        ),
        (
            "[oslo_messaging_notifications]\ndriver",
            &["", "x", "x\ndriver = y", "x,y", "$host\ndriver = \"z\""],
        ),
    ];
    let others = "[nova]\nregion_name = r\n[DEFAULT]\nhost = h\n";
    let mut texts: Vec<String> = vec![];
    for (option, values) in values {
        texts.extend(values.iter().map(|value| format!("{others}{option} = {value}\n")));
    }
    for text in [
        "",
        "[nova]",
        "[nova]\nendpoint=1",
        "[nova]\nendpoint: 1",
        "[nova]\nendpoint : a=1",
        "[nova]\nendpoint = a:1",
        "[NOVA]\nendpoint = 1",
        "[ nova ]\nendpoint = 1",
        "[default]\nhost = x",
        "[nova]x]\nendpoint = 1",
        "[nova]  \nendpoint = 1",
        "[nova] # x\nendpoint = 1",
        "[nova\nendpoint = 1",
        "[]\nendpoint = 1",
        "[",
        "endpoint = 1",
        " endpoint = 1",
        "# x\n; y\n[nova]\n#endpoint = 1",
        "[nova]\nendpoint",
        "[nova]\n= 1",
        "[nova]\n# x\n y",
        "[nova]\nendpoint = 1\n\n y",
        "[nova]\nendpoint = 1\n# x\n y",
        "[nova]\nendpoint = 1\n[cinder]\n y",
        "[nova]\nendpoint = 1\nendpoint = 2",
        "[nova]\nendpoint = 1\n[cinder]\n[nova]\nendpoint = 2",
        "[nova]\nENDPOINT = 1",
        "[nova]\n\"endpoint\" = 1",
        "[nova]\n\u{a0}endpoint = 1",
        "[nova]\r\nendpoint = 1\r\n",
        "[nova]\rendpoint = 1\r",
        "[nova]\nendpoint = $region_name\nregion_name = $endpoint",
        "[nova]\nendpoint = $region_name\nregion_name = $service_name\nservice_name = $$x",
        "[api_settings]\ntls_cipher_blacklist = a",
        "[api_settings]\ntls_cipher_blacklist = a\ntls_cipher_prohibit_list = b",
        "[api_settings]\ntls_cipher_prohibit_list = b\ntls_cipher_blacklist = a",
        "[neutron]\nproject-id = a",
        "[neutron]\nproject-id = a\nproject_id = b\ntenant-id = c",
        "[neutron]\ntenant_id = a\ntenant-id = b",
    ] {
        texts.push(text.to_owned());
    }
    compare(&texts);
}

/// Where we are another on purpose.
#[test]
fn disagreements() {
    let cases: &[(&str, &str, Json, Json)] = &[
        (
            "a byte order mark is no mistake: editors put it there",
            "\u{feff}[nova]\nendpoint = x",
            json!({"nova.endpoint": "x"}),
            Json::Null,
        ),
        (
            "a list goes in as it would be written, not as Python shows it",
            "[neutron]\nvalid_interfaces = a,b\n[nova]\nendpoint = $neutron.valid_interfaces",
            json!({"neutron.valid_interfaces": ["a", "b"], "nova.endpoint": "a,b"}),
            json!({"neutron.valid_interfaces": ["a", "b"], "nova.endpoint": "['a', 'b']"}),
        ),
        (
            "true and false go in as they are usually written",
            "[nova]\ninsecure = yes\nendpoint = $insecure",
            json!({"nova.insecure": true, "nova.endpoint": "true"}),
            json!({"nova.insecure": true, "nova.endpoint": "True"}),
        ),
        (
            "only digits of ASCII are",
            "[amphora_agent]\nuser_log_facility = ٣",
            Json::Null,
            json!({"amphora_agent.user_log_facility": 3}),
        ),
        (
            "there is no text with a byte 0",
            "[nova]\nendpoint = \0",
            Json::Null,
            json!({"nova.endpoint": "\0"}),
        ),
    ];
    let texts: Vec<_> = cases.iter().map(|(_, text, ..)| (*text).to_owned()).collect();
    let theirs = theirs(&texts);
    for (index, (why, text, wanted, other)) in cases.iter().enumerate() {
        assert_eq!(ours(text), *wanted, "{why}");
        if let Some(theirs) = &theirs {
            assert_eq!(theirs[index], *other, "{why}: no longer a disagreement?");
        }
    }
}

/// Pieces of files in any order.
#[test]
fn chance() {
    const PIECES: &[&str] = &[
        "[nova]\n",
        "[nova]\n",
        "[neutron]\n",
        "[DEFAULT]\n",
        "[Api_Settings]\n",
        "[",
        "]\n",
        "\n",
        "\n",
        "\n",
        " ",
        "  x",
        "\t",
        "=",
        " = ",
        ": ",
        "#",
        ";",
        "\"",
        "'",
        "$",
        "$$",
        "\\",
        "{",
        "}",
        ".",
        ",",
        "x",
        "é",
        "1",
        "-",
        "_",
        "\r",
        "\u{a0}",
        "\x0b",
        "\x1f",
        "service_name = ",
        "endpoint = ",
        "region_name=",
        "insecure: ",
        "yes\n",
        "host = ",
        "project-id = ",
        "tenant_id = ",
        "timeout = ",
        "valid_interfaces = ",
        "tls_cipher_blacklist = ",
        "tls_cipher_prohibit_list = ",
        "enabled_provider_drivers = ",
        "$region_name",
        "${endpoint}",
        "$nova.endpoint",
        "${neutron.timeout}",
        "$host\n",
        "\\$",
    ];
    let mut state = 1_u64;
    let mut below = |most: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % most
    };
    let mut texts = vec![];
    while texts.len() < 1000 {
        let mut text = String::from("[nova]\n");
        for _ in 0..below(12) {
            text.push_str(PIECES[below(PIECES.len())]);
        }
        texts.push(text);
    }
    compare(&texts);
}
