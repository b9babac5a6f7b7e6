//! Tables of rules and heads: what each says of each. What HAProxy says is in `tests/it`.

use std::collections::HashMap;

use octavia_model::{L7RuleCompareType, L7RuleType};
use octavia_wire::{L7ActionSpec, L7Fault, L7RuleSpec, SpecError};

use super::*;
use crate::fuzzing::{policy, rule};
use crate::http1::header_slots;

/// A policy with these rules.
fn of(rules: &[L7RuleSpec]) -> Policy {
    Policy::compile(&policy(L7ActionSpec::Reject, rules.to_vec()), &HashMap::new()).unwrap()
}

fn with<T>(head: &[u8], then: impl FnOnce(&Request<'_, '_>) -> T) -> T {
    let mut slots = header_slots();
    then(&Request::parse(head, &mut slots).unwrap().unwrap())
}

/// A GET of `/dir/file.jpg?q=.png` with these header lines.
fn head(lines: &str) -> Vec<u8> {
    let lines = lines.lines().map(|line| format!("{line}\r\n")).collect::<String>();
    format!("GET /dir/file.jpg?q=.png HTTP/1.1\r\n{lines}\r\n").into_bytes()
}

fn target(method: &str, target: &str, version: &str, host: &str) -> Vec<u8> {
    format!("{method} {target} HTTP/{version}\r\n{host}\r\n").into_bytes()
}

#[track_caller]
fn check(head: &[u8], line: &str, expected: bool) {
    for (line, expected) in [(line.to_owned(), expected), (format!("!{line}"), !expected)] {
        let rule = rule(&line).unwrap_or_else(|| panic!("{line}"));
        let policy = of(&[rule]);
        assert_eq!(
            with(head, |request| policy.takes(request, None)),
            expected,
            "{line}\n{}",
            head.escape_ascii()
        );
    }
}

/// Each type with each way to compare, of a request that has something of everything.
#[test]
fn every_type_compared_in_every_way() {
    let head = head("Host: Www.Example.org:8080\nX-A: one, Two\nCookie: a=first; b=Second");
    for (what, cases) in [
        (
            "HOST_NAME REGEX -",
            &[("^www\\.", true), ("ORG:[0-9]+$", true), ("^example", false), ("(?-i)^www", false)][..],
        ),
        ("HOST_NAME STARTS_WITH -", &[("www", true), ("WWW.", true), ("example", false)]),
        ("HOST_NAME ENDS_WITH -", &[(".ORG:8080", true), ("org", false), (&"x".repeat(300), false)]),
        (
            "HOST_NAME CONTAINS -",
            &[("EXAMPLE", true), ("example.", true), ("example-", false), ("wwww", false)],
        ),
        (
            "HOST_NAME EQUAL_TO -",
            &[("www.example.ORG:8080", true), ("www.example.org", false), ("www.example.org:80", false)],
        ),
        ("PATH REGEX -", &[("^/dir/.*\\.jpg$", true), ("^/DIR", false), ("png", false), ("(?i)^/DIR", true)]),
        ("PATH STARTS_WITH -", &[("/dir", true), ("/Dir", false), ("dir", false), ("/dir/file.jpg?", false)]),
        ("PATH ENDS_WITH -", &[(".jpg", true), (".png", false), ("/dir/file.jpg", true)]),
        ("PATH CONTAINS -", &[("r/f", true), ("R/f", false), ("q", false), ("/dir/file.jpg", true)]),
        ("PATH EQUAL_TO -", &[("/dir/file.jpg", true), ("/dir/file.jpg?q=.png", false), ("/dir", false)]),
        ("FILE_TYPE REGEX -", &[("jpe?g$", true), ("png", false)]),
        (
            "FILE_TYPE EQUAL_TO -",
            &[("jpg", true), (".jpg", true), ("JPG", false), ("png", false), ("jp", false)],
        ),
        ("HEADER REGEX x-a", &[("^o.e$", true), ("^two", false), ("one, ", false)]),
        ("HEADER STARTS_WITH X-A", &[("on", true), ("Tw", true), ("tw", false), ("ne", false)]),
        ("HEADER ENDS_WITH X-a", &[("ne", true), ("wo", true), ("WO", false)]),
        ("HEADER CONTAINS X-A", &[("n", true), ("w", true), (",", false), ("one, Two", false)]),
        ("HEADER EQUAL_TO x-A", &[("one", true), ("Two", true), ("two", false), ("one, Two", false)]),
        ("HEADER CONTAINS X-B", &[("o", false)]),
        ("COOKIE REGEX a", &[("^f.*t$", true), ("S", false)]),
        ("COOKIE STARTS_WITH b", &[("Sec", true), ("sec", false)]),
        ("COOKIE ENDS_WITH a", &[("st", true), ("nd", false)]),
        ("COOKIE CONTAINS b", &[("on", true), ("=", false)]),
        ("COOKIE EQUAL_TO a", &[("first", true), ("First", false), ("Second", false)]),
        ("COOKIE EQUAL_TO A", &[("first", false)]),
        ("SSL_CONN_HAS_CERT EQUAL_TO -", &[("true", false)]),
        ("SSL_VERIFY_RESULT EQUAL_TO -", &[("0", false)]),
        ("SSL_DN_FIELD REGEX CN", &[(".*", false)]),
        ("SSL_DN_FIELD STARTS_WITH CN", &[("a", false)]),
        ("SSL_DN_FIELD ENDS_WITH CN", &[("a", false)]),
        ("SSL_DN_FIELD CONTAINS CN", &[("a", false)]),
        ("SSL_DN_FIELD EQUAL_TO CN", &[("a", false)]),
    ] {
        for (value, expected) in cases {
            check(&head, &format!("{what} {value}"), *expected);
        }
    }
}

#[test]
fn targets_and_hosts_of_every_form() {
    for (method, text, version, host, cases) in [
        (
            "GET",
            "/",
            "1.1",
            "Host: a\r\n",
            &[("PATH EQUAL_TO - /", true), ("HOST_NAME EQUAL_TO - A", true)][..],
        ),
        (
            "GET",
            "http://A.b:8080/x?y",
            "1.1",
            "Host: a.B:8080\r\n",
            &[
                ("HOST_NAME EQUAL_TO - a.b:8080", true),
                ("HEADER EQUAL_TO host A.b:8080", true),
                ("PATH EQUAL_TO - /x", true),
                ("PATH CONTAINS - http", false),
            ],
        ),
        ("GET", "http://a", "1.1", "Host: a\r\n", &[("PATH EQUAL_TO - /", true)]),
        ("GET", "http://a/", "1.0", "", &[("HOST_NAME EQUAL_TO - a", true)]),
        // Nobody says to whom.
        ("GET", "/", "1.0", "", &[("HOST_NAME REGEX - .*", false), ("HEADER REGEX Host .*", false)]),
        (
            "GET",
            "/",
            "1.1",
            "Host:\r\n",
            &[("HOST_NAME REGEX - ^$", true), ("HOST_NAME CONTAINS - a", false)],
        ),
        ("GET", "/", "1.1", "Host: [::1]:80\r\n", &[("HOST_NAME STARTS_WITH - [::1]", true)]),
        // The server as a whole has no path.
        (
            "OPTIONS",
            "*",
            "1.1",
            "Host: a\r\n",
            &[("PATH REGEX - .*", false), ("FILE_TYPE EQUAL_TO - *", false)],
        ),
        (
            "GET",
            "/?/admin",
            "1.1",
            "Host: a\r\n",
            &[("PATH CONTAINS - admin", false), ("PATH EQUAL_TO - /", true)],
        ),
        // Nothing is decoded, and no path is made shorter: members do as they like.
        (
            "GET",
            "/%61dmin/../x;y/%2e%2E/",
            "1.1",
            "Host: a\r\n",
            &[
                ("PATH STARTS_WITH - /admin", false),
                ("PATH STARTS_WITH - /%61dmin/..", true),
                ("PATH CONTAINS - /%2E", false),
            ],
        ),
        ("GET", "//admin", "1.1", "Host: a\r\n", &[("PATH STARTS_WITH - /admin", false)]),
    ] {
        for (line, expected) in cases {
            check(&target(method, text, version, host), line, *expected);
        }
    }
    let long = format!("/{}", "a".repeat(16_000));
    let head = target("GET", &long, "1.1", "Host: a\r\n");
    check(&head, "PATH REGEX - ^/a*$", true);
    check(&head, "PATH REGEX - (a|aa)*b", false);
    check(&head, "FILE_TYPE EQUAL_TO - aaa", true);
    check(&head, "PATH CONTAINS - ab", false);
    check(&head, &format!("PATH CONTAINS - {}", "a".repeat(255)), true);
}

#[test]
fn headers_that_come_more_than_once_and_lists() {
    let head = head("Host: a\nX: 1\nY: z\nx: 2 ,, \"3,4\" , \"5\\\",6\nX:\nX: a\tb");
    for (line, expected) in [
        ("HEADER EQUAL_TO X 1", true),
        ("HEADER EQUAL_TO X 2", true),
        ("HEADER EQUAL_TO X 3", false),
        ("HEADER CONTAINS X 3,4", true),
        ("HEADER EQUAL_TO X \"\"3,4\"\"", true),
        ("HEADER ENDS_WITH X \\\",6", true),
        ("HEADER EQUAL_TO X 6", false),
        ("HEADER REGEX X ^$", true),
        ("HEADER REGEX Y ^$", false),
        ("HEADER EQUAL_TO X \"a\tb\"", true),
        ("HEADER EQUAL_TO Z z", false),
    ] {
        check(&head, line, expected);
    }
    // What does not go on to the member is seen as well.
    check(&self::head("Host: a\nConnection: close, x\nX: y"), "HEADER EQUAL_TO connection close", true);
    check(b"GET / HTTP/1.1\r\nHost: a\r\nX: a\xff\xe4b\r\n\r\n", "HEADER REGEX X ^a..b$", true);
    check(b"GET / HTTP/1.1\r\nHost: a\r\nX: a\xff\xe4b\r\n\r\n", "HEADER CONTAINS X \u{e4}", false);
}

#[test]
fn cookies_of_every_kind() {
    for (cookies, line, expected) in [
        ("a=1; b=2", "COOKIE EQUAL_TO b 2", true),
        ("a=1;b=2", "COOKIE EQUAL_TO b 2", true),
        ("a = 1 ; b = 2 ", "COOKIE EQUAL_TO a 1", true),
        ("a=1, b=2", "COOKIE EQUAL_TO b 2", true),
        ("a=1; a=2", "COOKIE EQUAL_TO a 2", true),
        ("aa=1; xa=2", "COOKIE REGEX a .*", false),
        ("A=1", "COOKIE EQUAL_TO a 1", false),
        ("a=b=c", "COOKIE EQUAL_TO a b=c", true),
        ("a", "COOKIE REGEX a .*", false),
        ("a;=1;;b=2", "COOKIE EQUAL_TO b 2", true),
        ("$a=1; b=2; $a=3", "COOKIE REGEX $a .*", false),
        ("a=\"1; b=2\"; c=3", "COOKIE REGEX b .*", false),
        ("a=\"1; b=2\"; c=3", "COOKIE EQUAL_TO c 3", true),
        ("a=\"1\"", "COOKIE EQUAL_TO a 1", false),
        ("a=\"1\"", "COOKIE CONTAINS a 1", true),
        ("a=\"1\\\"; b=2", "COOKIE REGEX b .*", false),
        ("a=\"1; b=2", "COOKIE REGEX b .*", false),
        ("a=1; b=2\nCookie: c=3", "COOKIE EQUAL_TO c 3", true),
        (";;;,,, = ; =a", "COOKIE CONTAINS b a", false),
        ("a=%31", "COOKIE EQUAL_TO a 1", false),
    ] {
        check(&head(&format!("Host: a\nCookie: {cookies}")), line, expected);
    }
}

#[test]
fn all_rules_of_a_policy_and_the_first_policy() {
    let of = |lines: &[&str]| of(&lines.iter().map(|line| rule(line).unwrap()).collect::<Vec<_>>());
    let (yes, no) = ("PATH STARTS_WITH - /", "!PATH STARTS_WITH - /");
    for (policies, expected) in [
        (&[][..], None),
        (&[&[][..]], None),
        (&[&[yes]], Some(0)),
        (&[&[no]], None),
        (&[&[yes, no]], None),
        (&[&[yes, yes]], Some(0)),
        (&[&[no], &[], &[yes, no], &[yes], &[yes]], Some(3)),
    ] {
        let policies: Vec<_> = policies.iter().map(|lines| of(lines)).collect();
        assert_eq!(with(&head("Host: a"), |request| decide(&policies, request, None)), expected);
    }
}

#[test]
fn where_redirects_lead() {
    let url = |to: &str| L7ActionSpec::RedirectToUrl { location: to.to_owned(), code: 302 };
    let prefix = |to: &str| L7ActionSpec::RedirectPrefix { prefix: to.to_owned(), code: 302 };
    for (action, target, expected) in [
        (url("http://a/b?c=d#e"), "/x?y", "http://a/b?c=d#e"),
        (url("http://a/\r\nX: y"), "/", "http://a/%0D%0AX:%20y"),
        (url("http://\u{e4}\u{0}\u{7f}/"), "/", "http://%C3%A4%00%7F/"),
        (prefix("https://a"), "/x?y=z&y", "https://a/x?y=z&y"),
        (prefix("https://a/b"), "/", "https://a/b/"),
        (prefix("https://a"), "//evil.example/", "https://a//evil.example/"),
        (prefix("https://a"), "/%0d%0aX:y", "https://a/%0d%0aX:y"),
        (prefix("https://a"), "*", "https://a/"),
        (prefix("https://a\n"), "/\r\n\tX: \u{ff}", "https://a%0A/%0D%0A%09X:%20%C3%BF"),
    ] {
        let compiled = Policy::compile(&policy(action, vec![]), &HashMap::new()).unwrap();
        let Action::Redirect(redirect) = compiled.action else { panic!("no redirect") };
        let mut location = vec![];
        redirect.location(target.as_bytes(), &mut location);
        assert_eq!(String::from_utf8(location).unwrap(), expected);
    }
}

#[test]
fn what_cannot_be_compiled() {
    let id = policy(L7ActionSpec::Reject, vec![]).id;
    let spec = |kind, compare_type, value: &str| L7RuleSpec {
        kind,
        compare_type,
        key: None,
        value: value.to_owned(),
        invert: false,
    };
    let compile = |action, rule| {
        let error = Policy::compile(&policy(action, vec![rule]), &HashMap::new()).unwrap_err();
        let SpecError::L7Policy { policy, fault } = error else { panic!("{error}") };
        assert_eq!(policy, id);
        fault
    };
    let path = spec(L7RuleType::Path, L7RuleCompareType::EqualTo, "/");
    let pool = octavia_model::PoolId::nil();
    assert_eq!(compile(L7ActionSpec::RedirectToPool(pool), path), L7Fault::UnknownPool(pool));
    let header = spec(L7RuleType::Header, L7RuleCompareType::EqualTo, "a");
    assert_eq!(compile(L7ActionSpec::Reject, header), L7Fault::NoKey(L7RuleType::Header));
    let pattern = spec(L7RuleType::HostName, L7RuleCompareType::Regex, "a)");
    assert!(matches!(compile(L7ActionSpec::Reject, pattern), L7Fault::Pattern { .. }));
}
