//! What the access log tells, and that nobody waits for it.

use std::io::{BufRead, BufReader, Read};
use std::net::{TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::time::Duration;

use octavia_model::ListenerProtocol;
use octavia_wire::{AccessLogSpec, AmphoraSpec, L7ActionSpec, LogFormatSpec, LogTarget, PersistenceSpec};

use crate::exposition::Told;
use crate::layer7::{policy, url};
use crate::rig::{Client, Origin, Rig, ok, until};

const ORIGINAL: &str = "{{ project_id }} {{ lb_id }} %f %ci %cp %t %{+Q}r %ST %B %U %[ssl_c_verify] %{+Q}[ssl_c_s_dn] %b %s %Tt %tsc";
/// Who, what, and how it ended.
pub(crate) const SHORT: &str = "%r|%ST|%s|%tsc";

/// The other end of what the proxy takes for a file.
pub(crate) struct Lines(BufReader<UnixStream>);

impl Lines {
    fn pair() -> (Self, OwnedFd) {
        let (read, write) = UnixStream::pair().unwrap();
        read.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        write.set_nonblocking(true).unwrap();
        (Self(BufReader::new(read)), write.into())
    }

    #[track_caller]
    pub(crate) fn next(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).expect("a line in time");
        line.strip_suffix('\n').expect("a whole line").to_owned()
    }
}

pub(crate) fn log(spec: &mut AmphoraSpec, format: &str, targets: Vec<LogTarget>) {
    let format = match format {
        "json" => LogFormatSpec::Json,
        text => LogFormatSpec::Text(text.to_owned()),
    };
    spec.access_log = Some(AccessLogSpec { project_id: "project".to_owned(), format, targets });
}

fn file() -> LogTarget {
    LogTarget::File("access.log".to_owned())
}

/// Gives the rig a log in this format, and opens its file.
pub(crate) fn logged(rig: &mut Rig, format: &str) -> Lines {
    log(&mut rig.spec, format, vec![file()]);
    let (lines, fd) = Lines::pair();
    open(rig, fd);
    lines
}

fn open(rig: &Rig, fd: OwnedFd) {
    let keep: Vec<_> = rig.engine.sockets().into_iter().map(|(name, _)| name).collect();
    rig.engine.configure_with(rig.compile(), vec![], &keep, vec![(file(), fd)]).unwrap();
}

/// With the member's id told from none, and nothing else changed.
fn named(rig: &Rig, line: &str) -> String {
    let members = rig.spec.pools.iter().flat_map(|pool| &pool.members);
    members.fold(line.to_owned(), |line, member| line.replace(&member.id.to_string(), "MEMBER"))
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")
}

/// A member that answers as its path says.
fn moody() -> Origin {
    Origin::start(|mut client| {
        while let Some(request) = client.message(true) {
            match request.head.split(' ').nth(1).unwrap() {
                "/half" => {
                    client.try_send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf");
                    return;
                }
                "/nonsense" => drop(client.try_send("HTTP/1.1 nonsense\r\n\r\n")),
                "/hang-up" => return,
                "/silence" => drop(client.take_some()),
                _ => drop(client.try_send(ok("hello"))),
            }
        }
    })
}

#[test]
fn how_requests_end() {
    let origin = moody();
    let mut rig = Rig::start(ListenerProtocol::Http, &[&origin], |spec| {
        spec.listeners[0].timeouts.client_data = 300;
        spec.listeners[0].timeouts.member_data = 600;
        spec.listeners[0].l7policies =
            vec![policy("/reject", L7ActionSpec::Reject), policy("/elsewhere", url("http://b/", 302))];
    });
    let mut lines = logged(&mut rig, SHORT);
    /// What the client does after its request: the status is that of its answer.
    type After = fn(&Rig, Client, u16);
    let answered: After = |_, mut client, status| assert_eq!(client.answer().status(), status);
    let wait: After = |_, mut client, _| drop(client.take_to_end());
    let leave: After = |rig, client, _| {
        until("a member has it", || rig.member_state(0).active() == 1);
        client.reset();
    };
    for (request, after, status, expected) in [
        (get("/a?b=c"), answered, 200, "GET /a?b=c HTTP/1.1|200|MEMBER|----"),
        ("HEAD / HTTP/1.0\r\n\r\n".to_owned(), wait, 0, "HEAD / HTTP/1.0|200|MEMBER|----"),
        (
            "GET http://a/b HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
            answered,
            200,
            "GET /b HTTP/1.1|200|MEMBER|----",
        ),
        (get("/reject"), answered, 403, "GET /reject HTTP/1.1|403|<NOSRV>|PR--"),
        (get("/elsewhere"), answered, 302, "GET /elsewhere HTTP/1.1|302|<NOSRV>|LR--"),
        (get("/half"), wait, 0, "GET /half HTTP/1.1|200|MEMBER|SD--"),
        (get("/nonsense"), answered, 502, "GET /nonsense HTTP/1.1|502|MEMBER|PH--"),
        (
            "POST /hang-up HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n".to_owned(),
            answered,
            502,
            "POST /hang-up HTTP/1.1|502|MEMBER|SH--",
        ),
        (get("/silence"), answered, 504, "GET /silence HTTP/1.1|504|MEMBER|sH--"),
        (
            "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx".to_owned(),
            leave,
            0,
            "POST /a HTTP/1.1|-1|MEMBER|CH--",
        ),
        (
            "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx".to_owned(),
            answered,
            408,
            "POST /a HTTP/1.1|408|MEMBER|cD--",
        ),
        ("nonsense\r\n\r\n".to_owned(), answered, 400, "<BADREQ>|400|<NOSRV>|PR--"),
        ("GET /a HTTP/1.1\r\nHos".to_owned(), answered, 408, "<BADREQ>|408|<NOSRV>|cR--"),
    ] {
        let mut client = rig.client();
        client.send(&request);
        after(&rig, client, status);
        assert_eq!(named(&rig, &lines.next()), expected, "{request:?}");
    }
    rig.members().clear();
    rig.reconfigure();
    assert_eq!(rig.get("/").status(), 503);
    assert_eq!(lines.next(), "GET / HTTP/1.1|503|<NOSRV>|SC--");
}

#[test]
fn bytes_are_those_of_the_request() {
    let origin = Origin::http(|request| ok(&request.body));
    let mut rig = Rig::http(&[&origin]);
    let mut lines = logged(&mut rig, "%HU %U %B");
    let mut client = rig.client();
    let post = |path: &str, size: usize| {
        let head = format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n");
        [head.into_bytes(), vec![b'x'; size]].concat()
    };
    // Several in one piece, and in pieces; what is spliced, too.
    let sizes = [0, 10, 1_000_000, 5];
    let requests: Vec<_> = sizes.iter().map(|&size| post("/a", size)).collect();
    let (mut sender, all) = (client.try_clone(), requests.concat());
    let writer = std::thread::spawn(move || sender.send(all));
    for (request, size) in requests.iter().zip(sizes) {
        let answer = client.answer();
        assert_eq!(answer.body.len(), size);
        let sent = answer.head.len() + 4 + size;
        assert_eq!(lines.next(), format!("/a {} {sent}", request.len()));
    }
    writer.join().unwrap();
}

#[test]
fn how_connections_end() {
    let echo = Origin::start(|mut client| {
        let said = client.take(5);
        match &said[..] {
            b"reset" => client.reset(),
            _ => {
                let rest = client.take_all();
                client.send([said, rest].concat());
            }
        }
    });
    let mut rig = Rig::tcp(&[&echo]);
    let mut lines = logged(&mut rig, &format!("{SHORT}|%U|%B"));
    let mut client = rig.client();
    client.send("hello world");
    client.end();
    assert_eq!(client.take_all(), b"hello world");
    assert_eq!(named(&rig, &lines.next()), "-|-|MEMBER|----|11|11");
    let mut client = rig.client();
    client.send("reset");
    drop(client.take_to_end());
    assert_eq!(named(&rig, &lines.next()), "-|-|MEMBER|SD--|5|0");
    let mut client = rig.client();
    client.send("hello");
    until("it is there", || rig.stats().rx == 21);
    client.reset();
    assert_eq!(named(&rig, &lines.next()), "-|-|MEMBER|CD--|5|0");
    rig.members().clear();
    rig.reconfigure();
    rig.client().take_to_end().1.ok();
    assert_eq!(lines.next(), "-|-|<NOSRV>|SC--|0|0");
}

#[test]
fn cookies_are_told_of() {
    let origin = Origin::says("hello");
    let mut rig = Rig::start(ListenerProtocol::Http, &[&origin], |spec| {
        spec.pools[0].persistence = Some(PersistenceSpec::HttpCookie);
    });
    let mut lines = logged(&mut rig, "%tsc");
    let member = rig.spec.pools[0].members[0].id;
    for (cookie, expected) in [
        (String::new(), "--NI"),
        (format!("Cookie: SRV={member}\r\n"), "--VN"),
        ("Cookie: SRV=nobody\r\n".to_owned(), "--NI"),
    ] {
        let mut client = rig.client();
        client.send(format!("GET / HTTP/1.1\r\nHost: a\r\n{cookie}\r\n"));
        assert_eq!(client.answer().status(), 200);
        assert_eq!(lines.next(), expected, "{cookie}");
    }
}

#[test]
fn the_originals_line_whole() {
    let origin = Origin::says("hello");
    let mut rig = Rig::http(&[&origin]);
    let mut lines = logged(&mut rig, ORIGINAL);
    let mut client = rig.client();
    client.send(get("/"));
    let answer = client.answer();
    let line = lines.next();
    let words: Vec<_> = line.split(' ').collect();
    let AmphoraSpec { load_balancer_id: lb, listeners, pools, .. } = &rig.spec;
    let (listener, pool) = (listeners[0].id, &pools[0]);
    let client = client.local_address();
    let sent = answer.head.len() + 4 + answer.body.len();
    let before = format!("project {lb} {listener} 127.0.0.1 {}", client.port());
    assert_eq!(words[..5].join(" "), before, "{line}");
    let after = format!(
        "\"GET / HTTP/1.1\" 200 {sent} {} - \"\" {}:{listener} {}",
        get("/").len(),
        pool.id,
        pool.members[0].id
    );
    assert_eq!(words[6..16].join(" "), after, "{line}");
    assert_eq!((words[5].len(), words[17], words.len()), (24, "----", 18), "{line}");
    assert!(words[16].parse::<u64>().unwrap() < 10_000, "{line}");
}

#[test]
fn a_log_comes_and_goes_and_moves() {
    let origin = Origin::says("hello");
    let mut rig = Rig::http(&[&origin]);
    let mut client = rig.client();
    let mut ask = |path: &str| {
        client.send(get(path));
        assert_eq!(client.answer().text(), "hello");
    };
    ask("/1");
    let mut first = logged(&mut rig, "%HU");
    ask("/2");
    assert_eq!(first.next(), "/2");
    // Another format, the same target.
    log(&mut rig.spec, "%HU %ST", vec![file()]);
    rig.reconfigure();
    ask("/3");
    assert_eq!(first.next(), "/3 200");
    // The file was renamed, and opened again.
    let (mut second, fd) = Lines::pair();
    open(&rig, fd);
    ask("/4");
    assert_eq!(second.next(), "/4 200");
    rig.spec.access_log = None;
    rig.reconfigure();
    ask("/5");
    // Both ends are let go of.
    assert_eq!(first.0.read(&mut [0; 9]).unwrap(), 0);
    assert_eq!(second.0.read(&mut [0; 9]).unwrap(), 0);
}

#[test]
fn who_was_not_finished_is_told_of_at_the_end() {
    let origin = moody();
    let mut rig = Rig::http(&[&origin]);
    let mut lines = logged(&mut rig, SHORT);
    let mut client = rig.client();
    client.send(get("/silence"));
    until("it is there", || rig.member_state(0).active() == 1);
    drop(rig.engine);
    let line = lines.next();
    assert!(line.ends_with("|KH--"), "{line}");
}

#[test]
fn lines_of_json() {
    let origin = Origin::says("hello");
    let mut rig = Rig::http(&[&origin]);
    let mut lines = logged(&mut rig, "json");
    assert_eq!(rig.get("/%22").text(), "hello");
    let line: serde_json::Value = serde_json::from_str(&lines.next()).unwrap();
    assert_eq!(
        (&line["method"], &line["target"], &line["status"], &line["project_id"]),
        (&"GET".into(), &"/%22".into(), &200.into(), &"project".into())
    );
    assert_eq!(line["member_id"], rig.spec.pools[0].members[0].id.to_string());
}

/// What comes before a line of this amphora in syslog, without the time.
fn headless(rig: &Rig, message: &str) -> String {
    let words: Vec<_> = message.splitn(8, ' ').collect();
    assert_eq!(words[2], format!("amphora-{}", rig.spec.amphora_id), "{message}");
    assert_eq!((words[1].len(), words[1].ends_with('Z')), (24, true), "{message}");
    format!("{} {} {} {} {}", words[0], words[3], words[5], words[6], words[7])
}

#[test]
fn lines_go_to_daemons() {
    let origin = Origin::says("hello");
    let patience = Some(Duration::from_secs(10));
    let mut buffer = [0; 4096];

    let remote = UdpSocket::bind("127.0.0.1:0").unwrap();
    remote.set_read_timeout(patience).unwrap();
    let addresses = vec![remote.local_addr().unwrap()];
    let target = LogTarget::Remote { addresses, tcp: false, facility: 3, retry: 1 };
    let mut rig = Rig::start(ListenerProtocol::Http, &[&origin], |spec| log(spec, "%HU", vec![target]));
    assert_eq!(rig.get("/udp").text(), "hello");
    let n = remote.recv(&mut buffer).unwrap();
    let message = std::str::from_utf8(&buffer[..n]).unwrap();
    assert_eq!(headless(&rig, message), "<158>1 octavia access - /udp");

    let (daemon, fd) = UnixDatagram::pair().unwrap();
    daemon.set_read_timeout(patience).unwrap();
    let target = LogTarget::Daemon { path: "/dev/log".to_owned(), facility: 0 };
    log(&mut rig.spec, "%HU", vec![target.clone()]);
    let keep: Vec<_> = rig.engine.sockets().into_iter().map(|(name, _)| name).collect();
    rig.engine.configure_with(rig.compile(), vec![], &keep, vec![(target, fd.into())]).unwrap();
    assert_eq!(rig.get("/unix").text(), "hello");
    let n = daemon.recv(&mut buffer).unwrap();
    let message = std::str::from_utf8(&buffer[..n]).unwrap();
    assert_eq!(headless(&rig, message), "<134>1 octavia access - /unix");

    // The first does not take them, and the next one does; once the first is there again, it gets them.
    let mut first = Origin::dead();
    let second = TcpListener::bind("127.0.0.1:0").unwrap();
    let addresses = vec![first.address, second.local_addr().unwrap()];
    let target = LogTarget::Remote { addresses, tcp: true, facility: 0, retry: 1 };
    log(&mut rig.spec, "%HU", vec![target]);
    rig.reconfigure();
    for path in ["/tcp", "/again"] {
        assert_eq!(rig.get(path).text(), "hello");
    }
    let mut lines = BufReader::new(second.accept().unwrap().0);
    for path in ["/tcp", "/again"] {
        let mut line = String::new();
        lines.read_line(&mut line).unwrap();
        assert_eq!(headless(&rig, &line), format!("<134>1 octavia access - {path}\n"));
    }
    let first = first.rise();
    first.set_nonblocking(true).unwrap();
    let mut back = None;
    until("it goes back to the first", || {
        assert_eq!(rig.get("/back").text(), "hello");
        back = first.accept().ok();
        back.is_some()
    });
    let (stream, _) = back.unwrap();
    stream.set_nonblocking(false).unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    assert_eq!(headless(&rig, &line), "<134>1 octavia access - /back\n");
}

const STDOUT: &str = "OCTAVIA_TEST_STDOUT";

/// Not a test: tells of a request on standard output, if it is asked to.
#[test]
fn in_a_process_of_its_own() {
    if std::env::var_os(STDOUT).is_some() {
        let origin = Origin::says("hello");
        let tune = |spec: &mut AmphoraSpec| log(spec, "%HU told", vec![LogTarget::Stdout]);
        let rig = Rig::start(ListenerProtocol::Http, &[&origin], tune);
        assert_eq!(rig.get("/out").text(), "hello");
    }
}

#[test]
fn lines_go_to_standard_output() {
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["access_log::in_a_process_of_its_own", "--exact", "--nocapture"])
        .env(STDOUT, "yes")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(said.lines().any(|line| line == "/out told"), "{said}");
}

/// Nobody reads the log: requests go on all the same, what is lost is counted, and told where it is missing.
#[test]
fn traffic_does_not_wait_for_the_log() {
    let origin = Origin::says("hello");
    let mut told = Told::start(&[&origin], |_| {});
    let mut lines = logged(&mut told.rig, "%HU");
    let path = format!("/{}", "x".repeat(4_000));
    let mut client = told.rig.client();
    let dropped = |told: &Told| Told::value(&told.series(), "octavia_loadbalancer_dropped_logs_total", &[]);
    let mut asked = 0;
    while dropped(&told) == 0.0 {
        for _ in 0..100 {
            client.send(get(&path));
            assert_eq!(client.answer().text(), "hello");
            asked += 1;
        }
        assert!(asked < 10_000, "it is all held");
    }
    let (mut whole, mut gap) = (0, None);
    while gap.is_none() {
        let line = lines.next();
        if line == path {
            whole += 1;
        } else if let Some(text) = line.strip_suffix(" lines dropped") {
            gap = text.rsplit(' ').next().map(|count| count.parse::<u64>().unwrap());
        } else {
            // Another thread's, about who has asked for numbers.
            assert_eq!(line, "/metrics");
        }
    }
    let lost = dropped(&told);
    assert!(lost > 0.0 && gap.unwrap() as f64 <= lost, "{gap:?} {lost}");
    assert!(whole < asked);
    // It goes on as before.
    client.send(get("/after"));
    assert_eq!(client.answer().text(), "hello");
    while lines.next() != "/after" {}
}
