//! Somebody who asks the VIP a question every 5 ms, and is told which host has answered.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::net::{Host, Net};
use crate::amphora::eventually;

const PORT: u16 = 7777;
const EVERY: Duration = Duration::from_millis(5);

pub(crate) struct Client {
    /// When an answer came, and whose.
    answers: Arc<Mutex<Vec<(Instant, u8)>>>,
    end: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

/// Of both families.
fn socket(host: &Host, port: u16) -> UdpSocket {
    let socket = host.within(|| UdpSocket::bind((Ipv6Addr::UNSPECIFIED, port)).unwrap());
    socket.set_read_timeout(Some(EVERY)).unwrap();
    socket
}

impl Client {
    /// Each of the hosts answers on every address that it has.
    pub(crate) fn start(net: &Net, hosts: &[&Host], vip: IpAddr) -> Self {
        let (answers, end) = (Arc::new(Mutex::new(vec![])), Arc::new(AtomicBool::new(false)));
        let mut threads = vec![];
        for host in hosts {
            let (socket, number, end) = (socket(host, PORT), host.number(), Arc::clone(&end));
            threads.push(std::thread::spawn(move || {
                let mut question = [0; 8];
                while !end.load(SeqCst) {
                    if let Ok((_, from)) = socket.recv_from(&mut question) {
                        let _ = socket.send_to(&[number], from);
                    }
                }
            }));
        }
        let asks = socket(&net.host("client"), 0);
        // What is bound to both families knows IPv4 by addresses of IPv6.
        let vip = match vip {
            IpAddr::V4(vip) => vip.to_ipv6_mapped().into(),
            IpAddr::V6(_) => vip,
        };
        let (told, ends) = (Arc::clone(&answers), Arc::clone(&end));
        threads.push(std::thread::spawn(move || {
            let mut next = Instant::now();
            let mut answer = [0];
            while !ends.load(SeqCst) {
                if Instant::now() >= next {
                    next = Instant::now() + EVERY;
                    let _ = asks.send_to(&[0; 8], SocketAddr::new(vip, PORT));
                }
                if asks.recv_from(&mut answer).is_ok() {
                    told.lock().unwrap().push((Instant::now(), answer[0]));
                }
            }
        }));
        Self { answers, end, threads }
    }

    fn last(&self) -> Option<(Instant, u8)> {
        self.answers.lock().unwrap().last().copied()
    }

    /// From now on.
    #[track_caller]
    pub(crate) fn is_answered_by(&self, host: &Host) {
        let now = Instant::now();
        eventually("the VIP answers", || self.last().filter(|(at, who)| *at > now && *who == host.number()));
    }

    /// How long nobody answered, between the last answer of one host and the first of the next.
    #[track_caller]
    pub(crate) fn gap(&self, before: &Host, after: &Host) -> Duration {
        self.is_answered_by(after);
        let answers = self.answers.lock().unwrap();
        let last = answers.iter().rposition(|(_, who)| *who == before.number()).unwrap();
        answers[last + 1].0 - answers[last].0
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.end.store(true, SeqCst);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}
