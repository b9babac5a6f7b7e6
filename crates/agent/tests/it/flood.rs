//! Crowds at the agent's door: strangers who say nothing, or little, and controllers who stay.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

use octavia_wire::paths;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

use crate::amphora::{Amphora, CONTROLLER, eventually};
use crate::certs::connect;

/// Shorter than a handshake may take, so nobody was waited for.
const SOON: Duration = Duration::from_secs(4);

/// Hangs up on nobody and comes again and again, until dropped.
struct Crowd {
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Crowd {
    /// Each says `word`, and no more.
    fn gather(door: SocketAddr, word: &'static [u8]) -> Self {
        const STAY: usize = 300;
        let stop = Arc::new(AtomicBool::new(false));
        let (there, wait) = std::sync::mpsc::channel();
        let thread = std::thread::spawn({
            let stop = Arc::clone(&stop);
            move || {
                let mut crowd = VecDeque::new();
                while !stop.load(SeqCst) {
                    if let Ok(mut stream) = TcpStream::connect(door) {
                        let _ = stream.write_all(word);
                        crowd.push_back(stream);
                    }
                    if crowd.len() > STAY {
                        crowd.pop_front();
                        let _ = there.send(());
                    }
                }
            }
        });
        wait.recv().unwrap();
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.stop.store(true, SeqCst);
        self.thread.take().unwrap().join().unwrap();
    }
}

fn descriptors(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

#[test]
fn strangers_do_not_hold_up_controllers() {
    for word in [&b""[..], &b"\x16"[..], &b"\x16\x03\x01\x02\x00\x01"[..], &b"GET / HTTP/1.1\r\n\r\n"[..]] {
        let amphora = Amphora::start();
        let before = descriptors(amphora.agent_pid());
        let crowd = Crowd::gather(amphora.api(), word);
        let mut slowest = Duration::ZERO;
        for _ in 0..20 {
            let asked = Instant::now();
            // At full speed the crowd may push one out in its handshake; controllers ask again, too.
            eventually("a controller is heard", || amphora.try_request("GET", paths::INFO, b"").ok());
            slowest = slowest.max(asked.elapsed());
        }
        println!("slowest answer among those who say {word:?}: {slowest:?}");
        assert!(slowest < SOON, "{word:?}: {slowest:?}");
        let open = descriptors(amphora.agent_pid()) - before;
        assert!(open < 200, "{open} descriptors");
        drop(crowd);
        eventually("all are gone", || (descriptors(amphora.agent_pid()) <= before + 1).then_some(()));
    }
}

#[test]
fn controllers_that_stay_do_not_lock_out_others() {
    let amphora = Amphora::start();
    let tls = amphora.authority.client(Some(&amphora.authority.issue(CONTROLLER)));
    let asked = Instant::now();
    let mut idle: Vec<_> = (0..40)
        .map(|n| {
            let mut stream = connect(&tls, &amphora.id.to_string(), amphora.api()).unwrap();
            write!(stream, "GET {} HTTP/1.1\r\nHost: agent\r\n\r\n", paths::INFO).unwrap();
            let mut answer = [0; 4096];
            assert!(stream.read(&mut answer).unwrap() > 0, "controller {n}");
            assert!(answer.starts_with(b"HTTP/1.1 200"), "controller {n}");
            stream
        })
        .collect();
    amphora.info();
    assert!(asked.elapsed() < SOON, "{:?}", asked.elapsed());
    // Whoever was idle longest has left, and who came last is still heard.
    assert!(matches!(idle[0].read(&mut [0; 1]), Ok(0) | Err(_)));
    let last = idle.last_mut().unwrap();
    write!(last, "GET {} HTTP/1.1\r\nHost: agent\r\n\r\n", paths::INFO).unwrap();
    assert!(last.read(&mut [0; 4096]).unwrap() > 0);
    // Who begins a request and does not go on is idle, too.
    for stream in &mut idle {
        let _ = write!(stream, "PUT {} HTTP/1.1\r\nContent-Length: 1000\r\n\r\n{{", paths::SPEC);
        let _ = stream.flush();
    }
    let asked = Instant::now();
    amphora.info();
    assert!(asked.elapsed() < SOON, "{:?}", asked.elapsed());
}

#[test]
fn without_descriptors_controllers_are_heard() {
    let amphora = Amphora::start();
    amphora.info();
    let pid = amphora.agent_pid();
    let few = u64::try_from(descriptors(pid)).unwrap() + 10;
    let limit = Rlimit { current: Some(few), ..getrlimit(Resource::Nofile) };
    prlimit(Pid::from_raw(pid.try_into().unwrap()), Resource::Nofile, limit).unwrap();
    for word in [&b""[..], &b"\x16"[..]] {
        let _crowd = Crowd::gather(amphora.api(), word);
        let asked = Instant::now();
        eventually("a controller is heard", || amphora.try_request("GET", paths::INFO, b"").ok());
        println!("heard without descriptors, among {word:?}: {:?}", asked.elapsed());
        assert!(asked.elapsed() < SOON, "{:?}", asked.elapsed());
    }
}
