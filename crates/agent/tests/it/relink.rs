//! The line between agent and proxy breaks, and nobody dies of it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;

use octavia_wire::channel::SocketPath;
use octavia_wire::{AmphoraSpec, files};

use crate::amphora::{Amphora, eventually};
use crate::member::{Member, get};

/// Takes the agent's place at the proxy's socket for a moment: the proxy hangs up on the agent.
fn break_line(amphora: &Amphora) {
    let path = amphora.file(files::PROXY_SOCKET);
    let path = SocketPath::new(&path).unwrap();
    let mut line = UnixStream::connect(path.as_path()).unwrap();
    line.set_read_timeout(Some(crate::amphora::PATIENCE)).unwrap();
    // The agent comes back, and now it is we who are hung up on.
    assert!(matches!(line.read(&mut [0; 1]), Ok(0)), "the agent takes its place back");
}

/// A connection of a client that goes on and on.
struct Client(TcpStream);

impl Client {
    fn connect(vip: SocketAddr) -> Self {
        let stream = TcpStream::connect(vip).unwrap();
        stream.set_read_timeout(Some(crate::amphora::PATIENCE)).unwrap();
        Self(stream)
    }

    #[track_caller]
    fn ask(&mut self, expected: &str) {
        self.0.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let mut answer = [0; 4096];
        let mut length = 0;
        while !answer[..length].ends_with(expected.as_bytes()) {
            let read = self.0.read(&mut answer[length..]).unwrap();
            assert_ne!(read, 0, "cut");
            length += read;
        }
    }
}

#[test]
fn a_broken_line_is_mended_and_the_proxy_lives() {
    let amphora = Amphora::start();
    let member = Member::start(amphora.ip, "one");
    let spec = amphora.spec(amphora.free_port(), &[member.address]);
    amphora.push(&spec).unwrap();
    let vip = (amphora.ip, spec.listeners[0].port).into();
    let (boot, proxy) = (amphora.info().boot, amphora.proxy().unwrap());
    let mut client = Client::connect(vip);
    client.ask("one");
    for round in 2..12 {
        break_line(&amphora);
        client.ask("one");
        amphora.forget_heartbeats();
        let beat = amphora.heartbeat("it is told that all is well", |beat| !beat.listeners.is_empty());
        assert_eq!(beat.boot, boot, "round {round}");
        amphora.push(&AmphoraSpec { generation: round, ..spec.clone() }).unwrap();
        assert_eq!((amphora.info().boot, amphora.info().generation), (boot, round));
    }
    assert_eq!(amphora.proxy().unwrap(), proxy);
    // The agent still has what it needs to replace it.
    amphora.kill_proxy();
    assert_eq!(get(vip).unwrap(), "one");
    eventually("another proxy runs", || Some(amphora.info()).filter(|info| info.generation == 11));
}

#[test]
fn a_line_that_breaks_during_pushes_loses_none() {
    let amphora = Amphora::start();
    let members: Vec<_> = (0..2).map(|n| Member::start(amphora.ip, &format!("member {n}"))).collect();
    let mut spec = amphora.spec(amphora.free_port(), &[members[0].address]);
    let vip = (amphora.ip, spec.listeners[0].port).into();
    amphora.push(&spec).unwrap();
    let boot = amphora.info().boot;
    let mut random: u32 = 54_321;
    for round in 0..40 {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        spec.generation += 1;
        spec.pools[0].members[0].port = members[round % 2].address.port();
        std::thread::scope(|scope| {
            let pushing = scope.spawn(|| amphora.push(&spec));
            std::thread::sleep(std::time::Duration::from_micros(u64::from(random >> 24) * 30));
            break_line(&amphora);
            pushing.join().unwrap().unwrap();
        });
        assert_eq!(get(vip).unwrap(), format!("member {}", round % 2), "round {round}");
    }
    assert_eq!(amphora.info().boot, boot);
}
