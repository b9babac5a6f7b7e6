//! The access log of a confined proxy, which opens nothing: files and daemons that come and go under it.

use std::io::{BufRead, BufReader};
use std::net::{TcpListener, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use octavia_wire::channel::SocketPath;
use octavia_wire::{AccessLogSpec, AmphoraSpec, LogFormatSpec, LogTarget};
use rustix::process::Signal;

use crate::amphora::{Amphora, PATIENCE, eventually, signal};
use crate::member::{Member, get};

fn with_log(spec: AmphoraSpec, targets: Vec<LogTarget>) -> AmphoraSpec {
    let format = LogFormatSpec::Text("%r %ST".to_owned());
    let log = AccessLogSpec { project_id: "p".to_owned(), format, targets };
    AmphoraSpec { access_log: Some(log), ..spec }
}

fn lines(path: &Path) -> usize {
    std::fs::read_to_string(path).unwrap_or_default().lines().filter(|line| line.ends_with(" 200")).count()
}

fn bind(path: &Path) -> UnixDatagram {
    let socket = UnixDatagram::bind(SocketPath::new(path).unwrap().as_path()).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

#[test]
fn a_file_is_followed_wherever_it_goes() {
    let mut amphora = Amphora::start();
    let member = Member::start(amphora.ip, "one");
    let spec = amphora.spec(amphora.free_port(), &[member.address]);
    let vip = (amphora.ip, spec.listeners[0].port).into();
    amphora.push(&with_log(spec, vec![LogTarget::File("access.log".to_owned())])).unwrap();
    let (log, old) = (amphora.file("access.log"), amphora.file("access.log.1"));
    let ask = || assert_eq!(get(vip).unwrap(), "one");
    ask();
    eventually("it is written", || (lines(&log) == 1).then_some(()));
    // As logrotate does.
    std::fs::rename(&log, &old).unwrap();
    signal(amphora.agent_pid(), Signal::HUP);
    eventually("another is written", || {
        ask();
        (lines(&log) > 0).then_some(())
    });
    // And without a word.
    std::fs::remove_file(&log).unwrap();
    eventually("another is there", || log.exists().then_some(()));
    let one_more = |what: &str| {
        let before = lines(&log);
        eventually(what, || {
            ask();
            (lines(&log) > before).then_some(())
        });
    };
    one_more("and is written");
    let proxy = amphora.proxy().unwrap();
    amphora.kill_proxy();
    eventually("another proxy", || (amphora.proxy()? != proxy).then_some(()));
    one_more("another proxy writes it");
    amphora.kill_agent();
    one_more("without an agent");
    amphora.start_agent();
    std::fs::rename(&log, &old).unwrap();
    signal(amphora.agent_pid(), Signal::HUP);
    eventually("another is there for another agent", || log.exists().then_some(()));
    one_more("and is written, too");
}

#[test]
fn daemons_are_told() {
    let amphora = Amphora::start();
    let member = Member::start(amphora.ip, "one");
    let spec = amphora.spec(amphora.free_port(), &[member.address]);
    let vip = (amphora.ip, spec.listeners[0].port).into();
    let ask = || assert_eq!(get(vip).unwrap(), "one");
    let path = amphora.file("log");
    let daemon = |path: &Path| LogTarget::Daemon { path: path.to_str().unwrap().to_owned(), facility: 0 };
    let remote = |address, tcp| LogTarget::Remote { addresses: vec![address], tcp, facility: 0, retry: 1 };
    let by_udp = UdpSocket::bind((amphora.ip, 0)).unwrap();
    by_udp.set_read_timeout(Some(PATIENCE)).unwrap();
    let by_tcp = TcpListener::bind((amphora.ip, 0)).unwrap();
    let targets = vec![
        daemon(&path),
        remote(by_udp.local_addr().unwrap(), false),
        remote(by_tcp.local_addr().unwrap(), true),
    ];
    // There is no daemon yet: that is no reason to refuse a spec.
    assert_eq!(amphora.push(&with_log(spec, targets)).unwrap().faults, []);
    let local = bind(&path);
    ask();
    let good = |message: &[u8]| {
        let message = std::str::from_utf8(message).unwrap();
        assert!(message.starts_with("<134>1 ") && message.trim_end().ends_with(" 200"), "{message}");
    };
    let mut buffer = [0; 1024];
    let n = by_udp.recv(&mut buffer).unwrap();
    good(&buffer[..n]);
    let mut line = String::new();
    BufReader::new(by_tcp.accept().unwrap().0).read_line(&mut line).unwrap();
    good(line.as_bytes());
    let n = local.recv(&mut buffer).unwrap();
    good(&buffer[..n]);
    // It is started anew.
    drop(local);
    std::fs::remove_file(&path).unwrap();
    let local = bind(&path);
    ask();
    let n = local.recv(&mut buffer).unwrap();
    good(&buffer[..n]);
}
