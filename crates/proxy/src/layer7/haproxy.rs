//! What HAProxy says: the same rules as it is given them (`reference/amphora.md` §10), asked about the same heads.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use octavia_model::{L7RuleCompareType, L7RuleType};
use octavia_wire::L7RuleSpec;

use super::tests::{head, of, target, with};
use crate::fuzzing::rule;

const HAPROXY: &str = "/usr/sbin/haproxy";

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
fn says_the_same() {
    if !Path::new(HAPROXY).exists() {
        // `cargo xtask test` installs it.
        return;
    }
    let rules: Vec<_> = RULES.iter().map(|line| rule(line).unwrap()).collect();
    let haproxy = HaProxy::start(&rules);
    let mut connection = haproxy.connect();
    let mut held = vec![0; rules.len()];
    let policies: Vec<_> = rules.iter().map(|rule| of(std::slice::from_ref(rule))).collect();
    let heads = heads();
    for head in &heads {
        let theirs = connection.ask(head, rules.len());
        for (place, policy) in policies.iter().enumerate() {
            let ours = with(head, |request| policy.takes(request));
            held[place] += usize::from(ours);
            assert_eq!(ours, theirs[place], "{}\n{}", RULES[place], head.escape_ascii());
        }
    }
    // A rule that says the same of every head tests nothing, but no head has a certificate, and `$a` names no cookie.
    let constant: Vec<_> =
        held.iter().zip(RULES).filter(|(count, _)| !(1..heads.len()).contains(count)).collect();
    assert!(constant.iter().all(|(_, line)| line.contains("SSL") || line.contains('$')), "{constant:?}");
}

/// One of our own, that answers by itself which rules hold.
struct HaProxy {
    child: Child,
    socket: PathBuf,
    _dir: tempfile::TempDir,
}

impl HaProxy {
    fn start(rules: &[L7RuleSpec]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("socket");
        let path = dir.path().join("haproxy.cfg");
        std::fs::write(&path, config(rules, &socket)).unwrap();
        let child = Command::new(HAPROXY)
            .arg("-db")
            .arg("-f")
            .arg(path)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, socket, _dir: dir }
    }

    fn connect(&self) -> Connection<'_> {
        let end = Instant::now() + Duration::from_secs(10);
        loop {
            match UnixStream::connect(&self.socket) {
                Ok(stream) => {
                    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
                    return Connection { haproxy: self, stream };
                }
                Err(error) => assert!(Instant::now() < end, "HAProxy does not listen: {error}"),
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for HaProxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Connection<'a> {
    haproxy: &'a HaProxy,
    stream: UnixStream,
}

impl Connection<'_> {
    /// Which of so many rules hold.
    fn ask(&mut self, head: &[u8], rules: usize) -> Vec<bool> {
        self.stream.write_all(head).unwrap();
        let mut answer = vec![];
        let body = loop {
            let mut bytes = [0; 4096];
            let n = self.stream.read(&mut bytes).unwrap();
            answer.extend_from_slice(&bytes[..n]);
            let end = answer.windows(4).position(|w| w == b"\r\n\r\n").map(|end| end + 4);
            if let Some(start) = end
                && answer.len() >= start + rules
            {
                break answer[start..].to_vec();
            }
            let (head, answer) = (head.escape_ascii(), answer.escape_ascii());
            assert!(n > 0, "HAProxy does not take it: {head}\n{answer}");
        };
        if answer.windows(17).any(|w| w.eq_ignore_ascii_case(b"connection: close")) {
            *self = self.haproxy.connect();
        }
        assert_eq!(body.len(), rules, "{}", answer.escape_ascii());
        body.iter().map(|&b| b == b'1').collect()
    }
}

fn config(rules: &[L7RuleSpec], socket: &Path) -> String {
    let mut config = format!(
        "global\n    maxconn 100\ndefaults\n    mode http\n    timeout client 20s\n    timeout http-request 20s\n\
         frontend rules\n    bind unix@{}\n",
        socket.display()
    );
    let mut said = String::new();
    for (n, rule) in rules.iter().enumerate() {
        let not = if rule.invert { "!" } else { "" };
        let acl = acl(rule);
        writeln!(config, "    acl r{n} {acl}").unwrap();
        writeln!(config, "    http-request set-var(txn.r{n}) str(0)").unwrap();
        writeln!(config, "    http-request set-var(txn.r{n}) str(1) if {not}r{n}").unwrap();
        write!(said, "%[var(txn.r{n})]").unwrap();
    }
    writeln!(config, "    http-request return status 200 content-type text/plain lf-string {said}").unwrap();
    config
}

fn acl(rule: &L7RuleSpec) -> String {
    let key = rule.key.as_deref().unwrap_or_default();
    let fetch = match rule.kind {
        L7RuleType::HostName => "req.hdr(host) -i".to_owned(),
        L7RuleType::Path => "path".to_owned(),
        L7RuleType::FileType => "path_end".to_owned(),
        L7RuleType::Header => format!("req.hdr({key})"),
        L7RuleType::Cookie => format!("req.cook({key})"),
        L7RuleType::SslConnHasCert => return "ssl_c_used".to_owned(),
        L7RuleType::SslVerifyResult => return format!("ssl_c_verify eq {}", rule.value),
        L7RuleType::SslDnField => format!("ssl_c_s_dn({key})"),
    };
    let compare = match rule.compare_type {
        L7RuleCompareType::Regex => "-m reg",
        L7RuleCompareType::StartsWith => "-m beg",
        L7RuleCompareType::EndsWith => "-m end",
        L7RuleCompareType::Contains => "-m sub",
        L7RuleCompareType::EqualTo if rule.kind == L7RuleType::FileType => "",
        L7RuleCompareType::EqualTo => "-m str",
    };
    let text = if rule.compare_type == L7RuleCompareType::Regex { &rule.value } else { rule.text() };
    let escape = |c: char| if " \"'#\\".contains(c) { vec!['\\', c] } else { vec![c] };
    format!("{fetch} {compare} -- {}", text.chars().flat_map(escape).collect::<String>())
}
