use super::*;

fn document(text: &str) -> Document {
    Document::parse("thing_", text.as_bytes()).expect("JSON")
}

/// What reading attribute `x` of a thing says.
#[track_caller]
fn refused<T: std::fmt::Debug>(json: &str, read: impl Fn(&Object<'_>) -> Result<T, Fault>, expected: &str) {
    let document = document(json);
    let object = document.object("thing", &["x"]).expect("an object");
    assert_eq!(read(&object).expect_err("refused").to_string(), expected);
}

#[track_caller]
fn read<T>(json: &str, read: impl Fn(&Object<'_>) -> Result<T, Fault>) -> T {
    let document = document(json);
    let object = document.object("thing", &["x"]).expect("an object");
    read(&object).expect("accepted")
}

#[test]
fn a_body_that_is_not_one_object_under_its_root_is_refused() {
    for (json, expected) in [
        ("[]", "Invalid input for field/attribute thing_. Value: '[]'. Value not a valid dict: []"),
        ("\"a\"", "Invalid input for field/attribute thing_. Value: 'a'. Value not a valid dict: a"),
        ("null", "Invalid input for field/attribute thing_. Value: 'None'. Value not a valid dict: None"),
        ("{}", "Invalid input for field/attribute thing. Value: 'None'. Mandatory field missing."),
        (
            r#"{"thing":null}"#,
            "Invalid input for field/attribute thing. Value: 'None'. Mandatory field missing.",
        ),
        (
            r#"{"thing":[1,"a'b"]}"#,
            "Invalid input for field/attribute thing_. Value: '{'thing': [1, \"a'b\"]}'. Value not a valid dict: [1, \"a'b\"]",
        ),
        (r#"{"thing":{},"other":1}"#, "Unknown attribute for argument thing_: other"),
        (r#"{"thing":{"a":1}}"#, "Unknown attribute for argument thing_.thing: a"),
        (r#"{"thing":{"a":1,"b":1}}"#, "Unknown attributes for argument thing_.thing: a, b"),
    ] {
        let document = document(json);
        assert_eq!(document.object("thing", &["x"]).expect_err(json).to_string(), expected);
    }
}

#[test]
fn what_is_not_json_is_refused() {
    let deep = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
    for bytes in [
        &b"{"[..],
        b"{'a':1}",
        b"\xff\xfe",
        b"{\"a\":\"\xc3\x28\"}",
        b"{\"a\":\"\\ud800\"}",
        b"1e999",
        deep.as_bytes(),
    ] {
        assert_eq!(Document::parse("thing_", bytes).expect_err("refused"), Fault::Json);
    }
    for bytes in [&b""[..], b" \n"] {
        assert_eq!(Document::parse("thing_", bytes).expect_err("refused"), Fault::MissingArgument("thing_"));
    }
}

#[test]
fn integers_are_coerced_as_the_original_does() {
    let int = |object: &Object<'_>| object.integer::<i32>("x", 1, 100);
    for (json, expected) in [
        (r#"{"thing":{}}"#, Sent::Absent),
        (r#"{"thing":{"x":null}}"#, Sent::Null),
        (r#"{"thing":{"x":83}}"#, Sent::Value(83)),
        (r#"{"thing":{"x":"83"}}"#, Sent::Value(83)),
        (r#"{"thing":{"x":" +83 "}}"#, Sent::Value(83)),
        (r#"{"thing":{"x":83.9}}"#, Sent::Value(83)),
    ] {
        assert_eq!(read(json, int), expected, "{json}");
    }
    refused(
        r#"{"thing":{"x":0}}"#,
        int,
        "Invalid input for field/attribute x. Value: '0'. Value should be greater or equal to 1",
    );
    for huge in ["101", "99999999999999999999999999", "1e300", "18446744073709551615"] {
        let json = format!(r#"{{"thing":{{"x":{huge}}}}}"#);
        let document = document(&json);
        let object = document.object("thing", &["x"]).expect("object");
        let text = int(&object).expect_err("refused").to_string();
        assert!(text.ends_with("Value should be lower or equal to 100"), "{text}");
    }
    refused(
        r#"{"thing":{"x":"8a"}}"#,
        int,
        "Invalid input for field/attribute thing_. Value: '{'thing': {'x': '8a'}}'. invalid literal for int() with base 10: '8a'",
    );
}

#[test]
fn booleans_are_coerced_as_the_original_does() {
    for (text, expected) in [
        ("true", true),
        ("1", true),
        ("0", false),
        ("0.0", false),
        ("2", true),
        ("\"Yes\"", true),
        ("\"off\"", false),
        ("\"n\"", false),
    ] {
        let json = format!(r#"{{"thing":{{"x":{text}}}}}"#);
        assert_eq!(read(&json, |o| o.boolean("x")), Sent::Value(expected), "{json}");
    }
    refused(
        r#"{"thing":{"x":"maybe"}}"#,
        |o| o.boolean("x"),
        "Invalid input for field/attribute thing_. Value: '{'thing': {'x': 'maybe'}}'. Value not an unambiguous boolean: maybe",
    );
}

#[test]
fn texts_have_a_length_in_characters() {
    let long = "é".repeat(255);
    let json = format!(r#"{{"thing":{{"x":"{long}"}}}}"#);
    assert_eq!(read(&json, |o| o.label("x")), Sent::Value(long.clone()));
    refused(
        &format!(r#"{{"thing":{{"x":"{long}a"}}}}"#),
        |o| o.label("x"),
        &format!(
            "Invalid input for field/attribute x. Value: '{long}a'. Value should have a maximum character requirement of 255"
        ),
    );
    refused(
        r#"{"thing":{"x":5}}"#,
        |o| o.label("x"),
        "Invalid input for field/attribute x. Value: '5'. Value should be string",
    );
    refused(
        r#"{"thing":{"x":[5]}}"#,
        |o| o.texts("x", 255),
        "Invalid input for field/attribute x. Value: '[5]'. Value should be string",
    );
}

#[test]
fn ids_addresses_and_networks_are_normalised() {
    let undashed = r#"{"thing":{"x":"2F3A0A3C5D6E4F708192A3B4C5D6E7F8"}}"#;
    assert_eq!(
        read(undashed, |o| o.uuid("x")).value().map(|id| id.to_string()).as_deref(),
        Some("2f3a0a3c-5d6e-4f70-8192-a3b4c5d6e7f8")
    );
    let nets = read(r#"{"thing":{"x":["10.0.0.5/24","192.0.2.1","2001:db8::1/32"]}}"#, |o| o.cidrs("x"));
    let nets: Vec<_> = nets.value().expect("a list").iter().map(ToString::to_string).collect();
    assert_eq!(nets, ["10.0.0.0/24", "192.0.2.1/32", "2001:db8::/32"]);
    refused(
        r#"{"thing":{"x":"10.0.0.256"}}"#,
        |o| o.address("x"),
        "Invalid input for field/attribute x. Value: '10.0.0.256'. Value should be IPv4 or IPv6 format",
    );
    refused(
        r#"{"thing":{"x":["10.0.0.1/33"]}}"#,
        |o| o.cidrs("x"),
        "Invalid input for field/attribute x. Value: '['10.0.0.1/33']'. Value should be IPv4 or IPv6 CIDR format",
    );
    refused(
        r#"{"thing":{"x":"nope"}}"#,
        |o| o.uuid("x"),
        "Invalid input for field/attribute x. Value: 'nope'. Value should be UUID format",
    );
}

#[test]
fn patterns() {
    use value::{is_cookie_name, is_expected_codes, is_host_name, is_url_path};
    let check = |accepts: fn(&str) -> bool, good: &[&str], bad: &[&str]| {
        for text in good {
            assert!(accepts(text), "{text:?} is good");
        }
        for text in bad {
            assert!(!accepts(text), "{text:?} is bad");
        }
    };
    check(
        is_url_path,
        &["/", "/a?b=c#d", "/%20"],
        &["", "a", "//host/x", "http://h/", "/a b", "/%2", "/\r\nX: y", "/é"],
    );
    check(
        is_expected_codes,
        &["200", "200,201", "200 , 201", "200-204"],
        &["", "20", "2000", "200-", "200-204,206", " 200", "a", "200,"],
    );
    let label = "a".repeat(63);
    let long = format!("{label}.{label}.{label}.{label}");
    check(
        is_host_name,
        &["a", "www.example.com", "a.b.", "x_y.example", &label],
        &["", ".", "a..b", "-a", "a-", "a b", "é.example", &long, "a\r\nb"],
    );
    check(is_cookie_name, &["JSESSIONID"], &["", "a b", "a,b", "a;b", "a\\b"]);
}

#[test]
fn messages_do_not_echo_a_hostile_body_whole() {
    let json = format!(r#"{{"thing":{{"x":"{}"}}}}"#, "z".repeat(100_000));
    let document = document(&json);
    let object = document.object("thing", &["x"]).expect("object");
    let text = object.boolean("x").expect_err("refused").to_string();
    assert!(text.len() < 5000, "{}", text.len());
}
