//! Lines by tables, and what becomes of them when nobody takes them.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use newtype_uuid::{GenericUuid, TypedUuid};
use octavia_model::IdKind;
use octavia_wire::LogFormat;
use rcgen::{CertificateParams, DnType, KeyPair};
use uuid::Uuid;

use super::line::LINE_MAX;
use super::pen::ROOM;
use super::*;
use crate::tls::{ClientCertificate, Seen};

const ORIGINAL: &str = "{{ project_id }} {{ lb_id }} %f %ci %cp %t %{+Q}r %ST %B %U %[ssl_c_verify] %{+Q}[ssl_c_s_dn] %b %s %Tt %tsc";

fn id<K: IdKind>(n: u128) -> TypedUuid<K> {
    TypedUuid::from_untyped_uuid(Uuid::from_u128(n))
}

fn short(text: &str) -> String {
    (1..=6).fold(text.to_owned(), |text, n| text.replace(&Uuid::from_u128(n).to_string(), &format!("id{n}")))
}

fn style(format: Option<&str>, project: &str) -> Style {
    Style::new(format.map(|format| LogFormat::parse(format).unwrap()), project, id(1))
}

fn facts<'a>(asked: Asked<'a>) -> Facts<'a> {
    Facts {
        listener: id(2),
        client: "192.0.2.7:4711".parse().unwrap(),
        local: "192.0.2.1:80".parse().unwrap(),
        time: 1_795_747_391_042,
        asked,
        status: Some(200),
        sent: 1234,
        received: 56,
        seen: None,
        pool: Some(id(3)),
        member: Some(id(4)),
        duration: 78,
        ending: Ending::WELL,
        cookie: Cookie::UNUSED,
    }
}

fn line(style: &Style, facts: &Facts<'_>) -> String {
    let mut out = b"what was there before".to_vec();
    style.write(facts, &mut vec![], &mut out);
    let line = String::from_utf8(out).unwrap();
    assert!(line.ends_with('\n') && line.len() <= LINE_MAX + 1, "{} bytes", line.len());
    assert!(line.trim_end().bytes().all(|byte| matches!(byte, b' '..=b'~')), "{line:?}");
    short(line.trim_end())
}

#[test]
fn lines_of_the_original() {
    let style = style(Some(ORIGINAL), "p");
    let get = Asked::Request(b"GET /a?b HTTP/1.1");
    let well = facts(get);
    for (facts, expected) in [
        (
            well,
            "p id1 id2 192.0.2.7 4711 27/Nov/2026:02:43:11.042 \"GET /a?b HTTP/1.1\" 200 1234 56 - \"\" id3:id2 id4 78 ----",
        ),
        (
            Facts {
                status: None,
                pool: None,
                member: None,
                client: SocketAddr::new("2001:db8::1".parse::<IpAddr>().unwrap(), 1),
                ending: Ending::new(Cause::Client, Phase::Request),
                ..well
            },
            "p id1 id2 2001:db8::1 1 27/Nov/2026:02:43:11.042 \"GET /a?b HTTP/1.1\" -1 1234 56 - \"\" id2 <NOSRV> 78 CR--",
        ),
        // Of what went through unseen there is neither request nor status.
        (
            Facts {
                status: None,
                ending: Ending::new(Cause::MemberSilent, Phase::Data),
                ..facts(Asked::Unseen)
            },
            "p id1 id2 192.0.2.7 4711 27/Nov/2026:02:43:11.042 - - 1234 56 - \"\" id3:id2 id4 78 sD--",
        ),
        (
            Facts { status: Some(400), ending: Ending::of_answer(400, false), ..facts(Asked::Broken) },
            "p id1 id2 192.0.2.7 4711 27/Nov/2026:02:43:11.042 \"<BADREQ>\" 400 1234 56 - \"\" id3:id2 id4 78 PR--",
        ),
        (
            Facts {
                seen: Some(Seen { certificate: None }),
                cookie: Cookie { brought: Brought::Valid, given: Given::None },
                ..well
            },
            "p id1 id2 192.0.2.7 4711 27/Nov/2026:02:43:11.042 \"GET /a?b HTTP/1.1\" 200 1234 56 0 \"\" id3:id2 id4 78 --VN",
        ),
        // Nobody ends a field.
        (
            facts(Asked::Request(b"GET /\"\xc3\xbc\n#|\" 200 HTTP/1.1")),
            "p id1 id2 192.0.2.7 4711 27/Nov/2026:02:43:11.042 \"GET /#22#C3#BC#0A#23|#22 200 HTTP/1.1\" 200 1234 56 - \"\" \
             id3:id2 id4 78 ----",
        ),
    ] {
        assert_eq!(line(&style, &facts), expected);
    }
}

#[test]
fn formats_of_others() {
    let get = facts(Asked::Request(b"GET /a b HTTP/1.1"));
    for (format, facts, expected) in [
        ("%HM|%HU|%HV|%r", get, "GET|/a b|HTTP/1.1|GET /a b HTTP/1.1"),
        ("%HM|%HU|%HV|%r", facts(Asked::Broken), "<BADREQ>|<BADREQ>|<BADREQ>|<BADREQ>"),
        ("%{+Q}HM|%HU|%r|%ST", facts(Asked::Unseen), "-|-|-|200"),
        ("%Ts %fi:%fp 100%% %ts", get, "1795747391 192.0.2.1:80 100% --"),
        ("%{+Q}o %s %{-Q}s %[ssl_c_s_dn]", get, "\"id4\" id4 \"\""),
        ("%[ssl_c_s_dn]", get, "-"),
        ("", get, ""),
    ] {
        assert_eq!(line(&style(Some(format), "p"), &facts), expected, "{format}");
    }
}

#[test]
fn lines_of_json() {
    let style = style(None, "p\"\n");
    for (facts, expected) in [
        (
            facts(Asked::Request(b"GET /\"\\\n\xff HTTP/2.0")),
            serde_json::json!({
                "time": "2026-11-27T02:43:11.042Z", "project_id": "p\"\n", "loadbalancer_id": "id1", "listener_id": "id2",
                "client_address": "192.0.2.7", "client_port": 4711, "local_address": "192.0.2.1", "local_port": 80,
                "method": "GET", "target": "/\"\\\n\u{ff}", "version": "HTTP/2.0", "status": 200,
                "bytes_sent": 1234, "bytes_received": 56, "pool_id": "id3", "member_id": "id4", "duration_ms": 78,
                "termination_state": "----",
            }),
        ),
        (
            Facts {
                status: None,
                pool: None,
                member: None,
                seen: Some(Seen { certificate: None }),
                ..facts(Asked::Broken)
            },
            serde_json::json!({
                "time": "2026-11-27T02:43:11.042Z", "project_id": "p\"\n", "loadbalancer_id": "id1", "listener_id": "id2",
                "client_address": "192.0.2.7", "client_port": 4711, "local_address": "192.0.2.1", "local_port": 80,
                "method": null, "target": null, "version": null, "status": null, "bytes_sent": 1234, "bytes_received": 56,
                "client_certificate_verify": 0, "client_certificate_dn": null, "pool_id": null, "member_id": null,
                "duration_ms": 78, "termination_state": "----",
            }),
        ),
        (
            Facts { status: None, ..facts(Asked::Unseen) },
            serde_json::json!({
                "time": "2026-11-27T02:43:11.042Z", "project_id": "p\"\n", "loadbalancer_id": "id1", "listener_id": "id2",
                "client_address": "192.0.2.7", "client_port": 4711, "local_address": "192.0.2.1", "local_port": 80,
                "bytes_sent": 1234, "bytes_received": 56, "pool_id": "id3", "member_id": "id4", "duration_ms": 78,
                "termination_state": "----",
            }),
        ),
    ] {
        let line: serde_json::Value = serde_json::from_str(&line(&style, &facts)).unwrap();
        assert_eq!(line, expected);
    }
}

#[test]
fn names_in_certificates_are_told_and_forge_nothing() {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "a\" 200 \r\nb");
    let der = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
    let certificate = ClientCertificate::read(der.der());
    assert!(certificate.is_some());
    let facts = Facts { seen: Some(Seen { certificate }), ..facts(Asked::Unseen) };
    assert_eq!(line(&style(Some("%{+Q}[ssl_c_s_dn]"), "p"), &facts), "\"/CN=a#22 200 ??b\"");
    let json: serde_json::Value = serde_json::from_str(&line(&style(None, "p"), &facts)).unwrap();
    assert_eq!(json["client_certificate_dn"], "/CN=a\" 200 ??b");
}

#[test]
fn lines_have_an_end() {
    let target = [b"GET /".to_vec(), vec![b'\n'; TARGET_MAX], b" HTTP/1.1".to_vec()].concat();
    let facts = facts(Asked::Request(&target));
    for format in [ORIGINAL, "%r%r%r%r%r", "%HU %{+Q}HU"] {
        line(&style(Some(format), &"\"".repeat(1_020)), &facts);
    }
    let json: serde_json::Value =
        serde_json::from_str(&line(&style(None, &"\"".repeat(1_020)), &facts)).unwrap();
    assert_eq!(json["version"], "HTTP/1.1");
}

#[test]
fn gaps_are_told() {
    let mut out = vec![];
    style(Some(ORIGINAL), "p").write_gap(7, 0, &mut out);
    assert_eq!(short(&String::from_utf8(out.clone()).unwrap()), "p id1 7 lines dropped\n");
    style(None, "p").write_gap(7, 0, &mut out);
    let json: serde_json::Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(json["lines_dropped"], 7);
}

/// Octets of RFC 5424 §6.5's kind.
#[test]
fn headers_of_syslog() {
    for (facility, expected) in [
        (0, "<134>1 1970-01-01T00:00:01.002Z amphora-id5 octavia 9 access - "),
        (7, "<190>1 1970-01-01T00:00:01.002Z amphora-id5 octavia 9 access - "),
    ] {
        let mut out = vec![];
        syslog::Header::new(facility, id(5), 9).write(1_002, &mut out);
        assert_eq!(short(&String::from_utf8(out).unwrap()), expected);
    }
}

fn log(targets: Vec<LogTarget>, counters: &Arc<LogCounters>) -> Arc<AccessLog> {
    let conf = LogConf { style: style(Some("%HU"), "p"), targets, amphora: id(5) };
    AccessLog::follow(None, Some(&Arc::new(conf)), vec![], 1, counters).unwrap().unwrap()
}

/// Nobody opens the file: a thread goes on all the same, and what is lost is counted, and told in its place.
#[test]
fn who_is_not_read_drops_and_counts() {
    let counters = Arc::new(LogCounters::default());
    let log = log(vec![LogTarget::File("f".to_owned())], &counters);
    let mut pen = Pen::new(&log, 0);
    let target = [b"GET /".to_vec(), vec![b'x'; TARGET_MAX - 1], b" HTTP/1.1".to_vec()].concat();
    let facts = facts(Asked::Request(&target));
    // What the writer holds, what waits for it, and what waits here.
    let most = 3 * ROOM as u64 / TARGET_MAX as u64;
    let mut told = 0;
    while counters.totals().dropped < 10 {
        pen.tell(&facts, 0);
        pen.hand_over(|| 0);
        told += 1;
        assert!(told < most + 20, "{told} lines are held");
    }
    assert!(pen.is_behind());

    let (read, write) = std::io::pipe().unwrap();
    log.outlets[0].open(Opened(write.into()));
    let reader = std::thread::spawn(move || std::io::read_to_string(read).unwrap());
    let end = Instant::now() + Duration::from_secs(10);
    while pen.is_behind() {
        pen.hand_over(|| 0);
        assert!(Instant::now() < end);
        std::thread::yield_now();
    }
    drop(pen);
    log.end(None);
    // It ends when all is written.
    let text = reader.join().unwrap();
    let totals = counters.totals();
    let lines =
        text.lines().filter(|line| line.starts_with("/xxx") && line.len() == TARGET_MAX).count() as u64;
    assert_eq!(lines, told - 10);
    assert_eq!(short(text.lines().last().unwrap()), "p id1 10 lines dropped");
    assert_eq!(totals, LogTotals { written: lines + 1, dropped: 10 });
}

/// Each target has its own pace.
#[test]
fn one_target_does_not_wait_for_another() {
    let counters = Arc::new(LogCounters::default());
    let file = |name: &str| LogTarget::File(name.to_owned());
    let log = log(vec![file("stalled"), file("read")], &counters);
    let (read, write) = std::io::pipe().unwrap();
    log.outlets[1].open(Opened(write.into()));
    let mut pen = Pen::new(&log, 0);
    pen.tell(&facts(Asked::Request(b"GET /a HTTP/1.1")), 0);
    pen.hand_over(|| 0);
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(read), &mut line).unwrap();
    assert_eq!(line, "/a\n");
    log.end(None);
    let end = Instant::now() + Duration::from_secs(10);
    while counters.totals() != (LogTotals { written: 1, dropped: 1 }) {
        assert!(Instant::now() < end, "{:?}", counters.totals());
        std::thread::yield_now();
    }
}

#[test]
fn a_log_goes_on_where_it_was() {
    let counters = Arc::new(LogCounters::default());
    let file = |name: &str| LogTarget::File(name.to_owned());
    let first = log(vec![file("a"), file("b")], &counters);
    let follow = |before: &Arc<AccessLog>, conf: &Arc<LogConf>, opened| {
        AccessLog::follow(Some(before), Some(conf), opened, 1, &counters).unwrap().unwrap()
    };
    let same = follow(&first, &Arc::clone(&first.conf), vec![]);
    assert!(Arc::ptr_eq(&first, &same));
    let conf = LogConf { style: style(None, "p"), targets: vec![file("b"), file("c")], amphora: id(5) };
    let second = follow(&first, &Arc::new(conf), vec![]);
    assert!(!Arc::ptr_eq(&first, &second) && Arc::ptr_eq(&first.outlets[1], &second.outlets[0]));
    first.end(Some(&second));
    assert!(AccessLog::follow(Some(&second), None, vec![], 1, &counters).unwrap().is_none());
    second.end(None);
}
