//! As much of SCTP as it takes to have an association and to send messages on it (RFC 9260), over raw sockets in the namespace
//! of the calling thread: no kernel is needed that speaks it, and root is.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering::SeqCst};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rustix::net::{RecvFlags, recvfrom};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

const DATA: u8 = 0;
const INIT: u8 = 1;
const INIT_ACK: u8 = 2;
const SACK: u8 = 3;
const ABORT: u8 = 6;
const COOKIE_ECHO: u8 = 10;
const COOKIE_ACK: u8 = 11;
/// A parameter.
const STATE_COOKIE: u8 = 7;
/// How long an answer is waited for: nothing on the way takes as long.
const ANSWER: Duration = Duration::from_secs(2);
/// How often a peer looks whether it is to stop.
const TURN: Duration = Duration::from_millis(50);

/// CRC32c.
fn crc(bytes: &[u8]) -> [u8; 4] {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
        }
    }
    (!crc).to_le_bytes()
}

fn chunk(kind: u8, flags: u8, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(4 + value.len()).unwrap_or(u16::MAX).to_be_bytes();
    let mut chunk = [&[kind, flags], &length[..], value].concat();
    chunk.resize(chunk.len().next_multiple_of(4), 0);
    chunk
}

/// The value of an INIT or INIT ACK.
fn init(tag: u32, more: &[u8]) -> Vec<u8> {
    [&tag.to_be_bytes()[..], &65_536_u32.to_be_bytes(), &[0, 1, 0, 1], &1_u32.to_be_bytes(), more].concat()
}

fn data(text: &str) -> Vec<u8> {
    [&1_u32.to_be_bytes()[..], &[0; 8], text.as_bytes()].concat()
}

#[derive(Debug)]
struct Packet {
    from: SocketAddr,
    tag: u32,
    chunks: Vec<(u8, Vec<u8>)>,
}

impl Packet {
    fn chunk(&self, kind: u8) -> Option<&[u8]> {
        self.chunks.iter().find(|(of, _)| *of == kind).map(|(_, value)| &value[..])
    }
}

#[derive(Debug)]
struct Raw(Socket);

impl Raw {
    fn open(own: IpAddr, patience: Duration) -> Result<Self> {
        let domain = Domain::for_address(SocketAddr::new(own, 0));
        let socket = Socket::new(domain, Type::RAW, Some(Protocol::from(132)))?;
        socket.bind(&SockAddr::from(SocketAddr::new(own, 0)))?;
        socket.set_read_timeout(Some(patience))?;
        Ok(Self(socket))
    }

    fn send(&self, own_port: u16, to: SocketAddr, tag: u32, chunks: &[Vec<u8>]) {
        let ports = [own_port.to_be_bytes(), to.port().to_be_bytes()].concat();
        let mut packet = [&ports[..], &tag.to_be_bytes(), &[0; 4], &chunks.concat()].concat();
        let sum = crc(&packet);
        packet[8..12].copy_from_slice(&sum);
        // A way that is refused is for whoever waits for an answer to notice.
        let _ = self.0.send_to(&packet, &SockAddr::from(SocketAddr::new(to.ip(), 0)));
    }

    /// The next packet to this port that is whole and has the right sum; `None` = there is none for a while.
    fn receive(&self, own_port: u16) -> Option<Packet> {
        loop {
            let mut bytes = [0; 2048];
            let (length, _, from) = recvfrom(&self.0, &mut bytes, RecvFlags::empty()).ok()?;
            let from = SocketAddr::try_from(from?).ok()?.ip();
            let header = if from.is_ipv4() { usize::from(bytes[0] & 15) * 4 } else { 0 };
            let packet = bytes.get(header..length).and_then(|packet| Packet::read(from, packet));
            if let Some((_, packet)) = packet.filter(|(port, _)| *port == own_port) {
                return Some(packet);
            }
        }
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

impl Packet {
    /// To which port it goes, and what it is.
    fn read(from: IpAddr, bytes: &[u8]) -> Option<(u16, Self)> {
        let mut summed = bytes.to_vec();
        summed.get_mut(8..12)?.fill(0);
        if bytes[8..12] != crc(&summed) {
            return None;
        }
        let (mut chunks, mut at) = (vec![], 12);
        while let (Some(kind), Some(length)) = (bytes.get(at), u16_at(bytes, at + 2)) {
            let length = usize::from(length).max(4);
            chunks.push((*kind, bytes.get(at + 4..at + length)?.to_vec()));
            at += length.next_multiple_of(4);
        }
        let from = SocketAddr::new(from, u16_at(bytes, 0)?);
        Some((u16_at(bytes, 2)?, Self { from, tag: u32_at(bytes, 4)?, chunks }))
    }
}

/// Who takes associations on a port, and answers messages with its name and who asks.
#[derive(Debug)]
pub struct Peer {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    /// Refuses whoever comes.
    refuses: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Peer {
    pub fn start(address: SocketAddr, name: &'static str) -> Result<Self> {
        let raw = Raw::open(address.ip(), TURN)?;
        let (stop, refuses) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (stopped, refusing) = (Arc::clone(&stop), Arc::clone(&refuses));
        let thread = std::thread::spawn(move || {
            let mut associations = HashMap::new();
            while !stopped.load(SeqCst) {
                if let Some(packet) = raw.receive(address.port())
                    && let Some((tag, chunks)) =
                        answer(name, &packet, refusing.load(SeqCst), &mut associations)
                {
                    raw.send(address.port(), packet.from, tag, &chunks);
                }
            }
        });
        Ok(Self { address, stop, refuses, thread: Some(thread) })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whoever comes from now on is refused, or not any more.
    pub fn refuse(&self, refuses: bool) {
        self.refuses.store(refuses, SeqCst);
    }
}

/// What a peer says to a packet, and the tag that the client wants to see with it. `associations` = those tags of clients whose
/// cookie has come back.
fn answer(
    name: &str,
    packet: &Packet,
    refuses: bool,
    associations: &mut HashMap<SocketAddr, u32>,
) -> Option<(u32, Vec<Vec<u8>>)> {
    if let Some(value) = packet.chunk(INIT) {
        let tag = u32_at(value, 0)?;
        let cookie = chunk(0, STATE_COOKIE, &tag.to_be_bytes());
        let accepts = || chunk(INIT_ACK, 0, &init(!tag, &cookie));
        return Some((tag, vec![if refuses { chunk(ABORT, 0, &[]) } else { accepts() }]));
    }
    if let Some(cookie) = packet.chunk(COOKIE_ECHO) {
        let tag = u32_at(cookie, 0).filter(|tag| packet.tag == !tag)?;
        associations.insert(packet.from, tag);
        return Some((tag, vec![chunk(COOKIE_ACK, 0, &[])]));
    }
    let seen = [packet.chunk(DATA)?.get(..4)?, &65_536_u32.to_be_bytes(), &[0; 4]].concat();
    let text = data(&format!("{name} {}", packet.from.ip()));
    Some((*associations.get(&packet.from)?, vec![chunk(SACK, 0, &seen), chunk(DATA, 3, &text)]))
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.stop.store(true, SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A client's association.
#[derive(Debug)]
pub struct Association {
    raw: Raw,
    port: u16,
    peer: SocketAddr,
    /// What the other side wants to see.
    tag: u32,
}

impl Association {
    /// `None` = nobody takes it, or it is refused.
    pub fn open(from: IpAddr, to: SocketAddr) -> Result<Option<Self>> {
        static NEXT: AtomicU16 = AtomicU16::new(20_000);
        let (raw, port) = (Raw::open(from, ANSWER)?, NEXT.fetch_add(1, SeqCst));
        let own = 0x0100_0000 | u32::from(port);
        raw.send(port, to, 0, &[chunk(INIT, 0, &init(own, &[]))]);
        let Some(answer) = raw.receive(port) else { return Ok(None) };
        ensure!((answer.from, answer.tag) == (to, own), "{answer:?}");
        let Some(value) = answer.chunk(INIT_ACK) else { return Ok(None) };
        let tag = u32_at(value, 0).context("no tag")?;
        // After the fixed part, and the head of the parameter.
        let cookie = value.get(20..).context("no cookie")?;
        raw.send(port, to, tag, &[chunk(COOKIE_ECHO, 0, cookie)]);
        let taken = raw.receive(port).is_some_and(|answer| answer.chunk(COOKIE_ACK).is_some());
        Ok(taken.then_some(Self { raw, port, peer: to, tag }))
    }

    /// Who answers a message, and from where that was asked; `None` = nobody does.
    pub fn ask(&self) -> Option<(String, String)> {
        self.raw.send(self.port, self.peer, self.tag, &[chunk(DATA, 3, &data("who?"))]);
        let answer = self.raw.receive(self.port)?;
        answer.chunk(SACK)?;
        let text = String::from_utf8(answer.chunk(DATA)?.get(12..)?.to_vec()).ok()?;
        text.split_once(' ').map(|(name, asked_from)| (name.to_owned(), asked_from.to_owned()))
    }
}
