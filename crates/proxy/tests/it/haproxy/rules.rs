//! The same rules asked about the same heads: the same hold.

use std::fmt::Write as _;

use octavia_model::ListenerProtocol;
use octavia_proxy::http1::{Request, header_slots};
use octavia_proxy::layer7::decide;
use octavia_proxy::{Engine, Snapshot};
use octavia_wire::{L7ActionSpec, L7PolicySpec, L7RuleSpec};

use super::HaProxy;
use super::render::Acl;
use crate::rig::{Client, id, spec};

/// Rules over everything that is the same on both sides. Of those for certificates nothing can be asked in clear but
/// whether there is one.
const RULES: &[&str] = &[
    "HOST_NAME EQUAL_TO - www.example.org",
    "HOST_NAME EQUAL_TO - WWW.example.org:8080",
    "HOST_NAME STARTS_WITH - Www",
    "HOST_NAME ENDS_WITH - .ORG",
    "HOST_NAME ENDS_WITH - 80",
    "HOST_NAME CONTAINS - xAmple",
    "HOST_NAME REGEX - ^W+\\.",
    "!HOST_NAME REGEX - .",
    "PATH EQUAL_TO - /",
    "PATH EQUAL_TO - /dir/file.jpg",
    "PATH STARTS_WITH - /dir",
    "PATH STARTS_WITH - /admin",
    "PATH ENDS_WITH - .jpg",
    "PATH ENDS_WITH - png",
    "PATH CONTAINS - r/f",
    "!PATH CONTAINS - /",
    "PATH REGEX - ^/[a-z]+/",
    "PATH REGEX - q|%61",
    "FILE_TYPE EQUAL_TO - jpg",
    "FILE_TYPE EQUAL_TO - .png",
    "FILE_TYPE REGEX - jpe?g$",
    "HEADER EQUAL_TO x-a a",
    "HEADER EQUAL_TO X-A b",
    "HEADER EQUAL_TO X-A \"a b\"",
    "HEADER STARTS_WITH X-A \"b",
    "HEADER STARTS_WITH X-A a",
    "HEADER ENDS_WITH X-A b",
    "HEADER ENDS_WITH X-A \\",
    "HEADER CONTAINS X-A ,",
    "HEADER CONTAINS X-A ;",
    "HEADER CONTAINS X-A a=b",
    "HEADER CONTAINS X-A \"",
    "HEADER REGEX X-A ^$",
    "HEADER REGEX X-A ^a.*b$",
    "HEADER REGEX X-A [^,]a",
    "!HEADER REGEX X-A .",
    "HEADER EQUAL_TO Cookie a=b",
    "HEADER EQUAL_TO Connection x",
    "COOKIE EQUAL_TO a a",
    "COOKIE EQUAL_TO a b",
    "COOKIE EQUAL_TO b a",
    "COOKIE EQUAL_TO A b",
    "COOKIE STARTS_WITH a \"",
    "COOKIE ENDS_WITH b b",
    "COOKIE CONTAINS a ;",
    "COOKIE CONTAINS a ,",
    "COOKIE CONTAINS b =",
    "COOKIE REGEX a ^.b",
    "COOKIE REGEX ab .",
    "!COOKIE REGEX b .",
    "COOKIE REGEX $a .",
    "SSL_CONN_HAS_CERT EQUAL_TO - true",
    "!SSL_CONN_HAS_CERT EQUAL_TO - true",
];

fn heads() -> Vec<Vec<u8>> {
    let mut heads = vec![
        target("GET", "/", "1.1", "Host: www.example.org\r\n"),
        target("GET", "/", "1.1", "Host: WWW.Example.org:8080\r\n"),
        target("GET", "/", "1.1", "Host:\r\n"),
        target("GET", "/", "1.0", ""),
        target("GET", "http://www.example.org/dir/x?y", "1.1", "Host: www.example.org\r\n"),
        // To HAProxy an absolute target without a path has none; here it is `/`, as its member will see it.
        target("GET", "/?/dir/.png", "1.1", "Host: a\r\n"),
        target("GET", "//dir/file.jpg", "1.1", "Host: a\r\n"),
        target("GET", "/admin/.png", "1.1", "Host: a\r\n"),
        target("GET", "/%61dmin/.png;x=.jpg", "1.1", "Host: a\r\n"),
        target("GET", &format!("/{}/.jpg", "a".repeat(8_000)), "1.1", "Host: a\r\n"),
        target("OPTIONS", "*", "1.1", "Host: a\r\n"),
        head("Host: a\nX-A: a\nx-a: b\nX-A: a b"),
        head("Host: a\nX-A: \"a, b\",  b  ,\nX-B: c"),
        head("Host: a\nX-A:"),
        head("Host: a\nX-A: ,"),
        head("Host: a\nConnection: x, close"),
        head("Host: a\nCookie: a=a; b=a\nCookie: A=b, ab=x"),
        b"GET / HTTP/1.1\r\nHost: a\r\nX-A: a\xff\xc3 b\r\nCookie: a=\xe4b\r\n\r\n".to_vec(),
    ];
    // What grammars do not have, by a chance that is always the same.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut below = |n: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % n
    };
    const PIECES: &[&str] =
        &["a", "b", "=", "=", ";", ";", ",", ",", "\"", "\"", "\\", " ", "\t", "$", "a=b", "; b=a", "A"];
    for _ in 0..1_500 {
        let mut text =
            || (0..below(14)).map(|_| PIECES[below(PIECES.len() as u64) as usize]).collect::<String>();
        let lines = [text(), text(), text()];
        heads.push(head(&format!("Host: a\nX-A: {}\nCookie: {}\nX-A: {}", lines[0], lines[1], lines[2])));
    }
    heads
}

#[test]
fn the_same_rules_hold() {
    let rules: Vec<_> = RULES.iter().map(|line| rule(line)).collect();
    let Some(haproxy) = HaProxy::start(&frontend(&rules)) else { return };
    let mut client = Client::connect(haproxy.address);
    // A policy for each rule.
    let policy = |rule: &L7RuleSpec| L7PolicySpec {
        id: id(),
        action: L7ActionSpec::Reject,
        rules: vec![rule.clone()],
    };
    let mut spec = spec(ListenerProtocol::Http, 80, &[]);
    spec.listeners[0].l7policies = rules.iter().map(policy).collect();
    let snapshot = Snapshot::compile(&spec, Engine::start(1).unwrap().registry()).unwrap();
    let policies = &snapshot.listener(spec.listeners[0].id).unwrap().policies;

    let mut held = vec![0; rules.len()];
    let heads = heads();
    for head in &heads {
        let mut slots = header_slots();
        let request = Request::parse(head, &mut slots).unwrap().unwrap();
        client.send(head);
        let answer = client.answer();
        assert_eq!((answer.status(), answer.body.len()), (200, rules.len()), "{}", head.escape_ascii());
        if answer.header("connection") == Some("close") {
            client = Client::connect(haproxy.address);
        }
        for (place, policy) in policies.iter().enumerate() {
            let ours = decide(std::slice::from_ref(policy), &request, None).is_some();
            held[place] += usize::from(ours);
            assert_eq!(ours, answer.body[place] == b'1', "{}\n{}", RULES[place], head.escape_ascii());
        }
    }
    // A rule that says the same of every head tests nothing, but no head has a certificate, and `$a` names no cookie.
    let constant: Vec<_> =
        held.iter().zip(RULES).filter(|(count, _)| !(1..heads.len()).contains(count)).collect();
    assert!(constant.iter().all(|(_, line)| line.contains("SSL") || line.contains('$')), "{constant:?}");
}

/// `[!]TYPE COMPARE KEY VALUE`, the key `-` where there is none.
pub(super) fn rule(line: &str) -> L7RuleSpec {
    let positive = line.strip_prefix('!');
    let mut words = positive.unwrap_or(line).splitn(4, ' ');
    let mut word = || words.next().unwrap();
    L7RuleSpec {
        kind: word().parse().unwrap(),
        compare_type: word().parse().unwrap(),
        key: Some(word()).filter(|key| *key != "-").map(str::to_owned),
        value: word().to_owned(),
        invert: positive.is_some(),
    }
}

fn head(lines: &str) -> Vec<u8> {
    let lines = lines.lines().map(|line| format!("{line}\r\n")).collect::<String>();
    target("GET", "/dir/file.jpg?q=.png", "1.1", &lines)
}

fn target(method: &str, target: &str, version: &str, lines: &str) -> Vec<u8> {
    format!("{method} {target} HTTP/{version}\r\n{lines}\r\n").into_bytes()
}

/// Answers by itself which rules hold: a digit each.
fn frontend(rules: &[L7RuleSpec]) -> String {
    let mut config = String::new();
    let mut said = String::new();
    for (n, rule) in rules.iter().enumerate() {
        let not = if rule.invert { "!" } else { "" };
        let acl = Acl(rule);
        writeln!(config, "    acl r{n} {acl}").unwrap();
        writeln!(config, "    http-request set-var(txn.r{n}) str(0)").unwrap();
        writeln!(config, "    http-request set-var(txn.r{n}) str(1) if {not}r{n}").unwrap();
        write!(said, "%[var(txn.r{n})]").unwrap();
    }
    writeln!(config, "    http-request return status 200 content-type text/plain lf-string {said}").unwrap();
    config
}
