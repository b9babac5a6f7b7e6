//! Many clients and members that misbehave at random, from a seed: nothing hangs, nothing leaks, and what is answered
//! in full is right.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use crate::rig::{Client, Origin, Rig, chunked, noise, ok, until};

const SEED: u64 = 0x5eed_0c7a_71a5_0001;
const STORM: Duration = Duration::from_secs(2);
const DEADLINE: Duration = Duration::from_secs(30);

/// A little random number generator.
#[derive(Clone)]
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

/// A member that answers with as many bytes as the path says, and sometimes does not.
fn moody(seed: u64) -> Origin {
    let moods = std::sync::Mutex::new(Dice(seed));
    Origin::start(move |mut client| {
        while let Some(request) = client.message(true) {
            let size = request.head.split(['/', ' ']).nth(2).and_then(|n| n.parse().ok()).unwrap_or(0);
            let mood = moods.lock().unwrap().below(12);
            let body = noise(size);
            let sent = match mood {
                0 => return,
                1 => return client.reset(),
                2 => {
                    let answer = ok(&body);
                    client.try_send(&answer[..answer.len() / 2]);
                    return;
                }
                3 => {
                    client.try_send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello, and more");
                    continue;
                }
                4 => {
                    client.try_send("nonsense\r\n\r\n");
                    return;
                }
                5 => {
                    client.try_send("HTTP/1.1 200 OK\r\n\r\n");
                    client.try_send(body);
                    return;
                }
                6..9 => {
                    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
                    client.try_send(head) && client.try_send(chunked(&body, 1 + size / 3))
                }
                _ => client.try_send(ok(&body)),
            };
            if !sent {
                return;
            }
        }
    })
}

/// A client that asks at random, breaks off at random, and reads what it gets.
fn restless(rig: &Rig, mut dice: Dice, end: Instant) -> (usize, usize) {
    let (mut right, mut other) = (0, 0);
    let mut client = None;
    // Where the storm is slow, it lasts until there was some of each.
    let last = end + DEADLINE;
    while Instant::now() < end || (right.min(other) < 5 && Instant::now() < last) {
        let stream: &mut TcpStream = client.get_or_insert_with(|| {
            let stream = TcpStream::connect(rig.address).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            stream
        });
        let size = [0, 10, 5_000, 50_000, 400_000][dice.below(5) as usize];
        let upload = noise([0, 10, 20_000, 200_000][dice.below(4) as usize]);
        let (framing, coded) = match dice.below(3) {
            0 => ("Transfer-Encoding: chunked".to_owned(), chunked(&upload, 7_000)),
            _ => (format!("Content-Length: {}", upload.len()), upload),
        };
        let mut request = format!("PUT /{size} HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n").into_bytes();
        request.extend(coded);
        match dice.below(20) {
            // Goes in the middle.
            0 => {
                let _ = stream.write_all(&request[..request.len() / 2]);
                client = None;
                continue;
            }
            // Breaks the rules.
            1 => {
                let _ = stream.write_all(b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: x\r\n\r\n");
                let _ = stream.shutdown(Shutdown::Write);
                let _ = std::io::copy(stream, &mut std::io::sink());
                client = None;
                continue;
            }
            // Asks and does not wait for the answer.
            2 => {
                let _ = stream.write_all(&request);
                let _ = stream.read(&mut [0; 100]);
                client = None;
                continue;
            }
            _ => {}
        }
        let mut asking = stream.try_clone().unwrap();
        let answer = std::thread::scope(|scope| {
            scope.spawn(|| {
                // An early answer may end the upload.
                let _ = asking.write_all(&request);
            });
            Client::of(stream.try_clone().unwrap()).message(true)
        });
        match answer {
            Some(answer) if answer.status() == 200 && answer.body == noise(size) => right += 1,
            answer => {
                if let Some(answer) = answer
                    && answer.header("content-length") == Some(&answer.body.len().to_string())
                    && answer.status() == 200
                {
                    // Whole, so it must be what some member said to this request.
                    assert_eq!(answer.text(), "hello", "{}", answer.head);
                }
                other += 1;
                client = None;
            }
        }
    }
    (right, other)
}

#[test]
fn nothing_hangs_and_nothing_leaks() {
    let origins = [moody(SEED), moody(SEED + 1), moody(SEED + 2)];
    let dead = Origin::dead();
    let rig = Rig::http(&[&origins[0], &origins[1], &dead, &origins[2]]);
    let end = Instant::now() + STORM;
    let counts: Vec<_> = std::thread::scope(|scope| {
        let client = |n: u64| {
            scope.spawn({
                let rig = &rig;
                move || restless(rig, Dice(SEED.wrapping_mul(2 * n + 1)), end)
            })
        };
        let clients: Vec<_> = (0..6).map(client).collect();
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    });
    let (right, other) = counts.iter().fold((0, 0), |sum, n| (sum.0 + n.0, sum.1 + n.1));
    assert!(right > 20 && other > 20, "{right} good answers, {other} others");
    until("all connections are closed", || rig.stats().conns == 0);
    for place in 0..4 {
        assert_eq!(rig.member_state(place).active(), 0);
    }
    let stats = rig.stats();
    assert!(stats.ereq > 0 && stats.totconns > 20);
}
