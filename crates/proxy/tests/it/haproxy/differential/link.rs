//! Connections: the client's, and those that members got.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use super::case::{Answer, MemberStep, When};
use super::message::{Kind, Message, shown};
use super::play::{LAST, Place, Play, VICTIM, settle};

/// A connection that never blocks.
#[derive(Debug)]
pub(super) struct Conn {
    /// `None` = it was broken off.
    pub(super) stream: Option<TcpStream>,
    pub(super) read: Vec<u8>,
    /// Waits to be sent.
    pub(super) out: Vec<u8>,
    /// The other side said all, or broke off.
    pub(super) ended: bool,
    failed: bool,
}

impl Conn {
    pub(super) fn connect(address: SocketAddr) -> Self {
        Self::of(TcpStream::connect(address).unwrap())
    }

    pub(super) fn of(stream: TcpStream) -> Self {
        stream.set_nonblocking(true).unwrap();
        stream.set_nodelay(true).unwrap();
        // What is dropped is reset: ports that wait for late segments would soon be all there are.
        socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
        Self { stream: Some(stream), read: vec![], out: vec![], ended: false, failed: false }
    }

    pub(super) fn is_over(&self) -> bool {
        self.ended && self.out.is_empty()
    }

    /// Ends our stream.
    pub(super) fn finish(&self) {
        if let Some(stream) = &self.stream {
            // It may have ended by itself.
            let _ = stream.shutdown(Shutdown::Write);
        }
    }

    /// Sends and reads what goes.
    pub(super) fn turn(&mut self) {
        let Some(stream) = &mut self.stream else { return };
        while !self.out.is_empty() {
            match stream.write(&self.out) {
                Ok(n) => _ = self.out.drain(..n),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => {
                    self.failed = true;
                    self.out.clear();
                }
            }
        }
        let mut buffer = [0; 16 * 1024];
        while !self.ended {
            match stream.read(&mut buffer) {
                Ok(0) => self.ended = true,
                Ok(n) => self.read.extend_from_slice(&buffer[..n]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => self.ended = true,
            }
        }
        // Who cannot be told anything hears nothing any more, either.
        self.ended |= self.failed;
    }

    /// Breaks it off, as a crash would.
    pub(super) fn reset(&mut self) {
        self.stream = None;
        self.ended = true;
        self.out.clear();
    }
}

/// A connection that a member got.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) member: usize,
    /// Which of the member's it is, from 1.
    number: usize,
    pub(super) conn: Conn,
    raw: bool,
    /// What came since it is.
    bytes: Vec<u8>,
    /// Something was said on it.
    begun: bool,
    /// The head of the request that comes was seen.
    seen: bool,
    /// Its answer has begun.
    answered: bool,
    answer: Option<Answer>,
}

impl Link {
    pub(super) fn new(member: usize, number: usize, conn: Conn, raw: bool) -> Self {
        Self {
            member,
            number,
            conn,
            raw,
            bytes: vec![],
            begun: false,
            seen: false,
            answered: false,
            answer: None,
        }
    }

    /// Nothing has begun that has to end.
    pub(super) fn is_at_rest(&self) -> bool {
        self.conn.ended || self.conn.read.is_empty() && !self.raw
    }

    pub(super) fn turn(&mut self, play: &mut Play<'_>) {
        self.conn.turn();
        while self.advance(play) {
            self.conn.turn();
        }
    }

    /// `false` when there is nothing to do before something happens.
    fn advance(&mut self, play: &mut Play<'_>) -> bool {
        if self.answer.is_some() {
            return self.go_on(play);
        }
        let next = play.case.answers.get(play.next);
        let when = next.map_or(When::Whole, |answer| answer.when);
        if when == When::Accept && !self.begun {
            return self.begin(play);
        }
        if self.raw {
            let came = std::mem::take(&mut self.conn.read);
            self.begun |= !came.is_empty();
            self.conn.out.extend(&came);
            self.bytes.extend(&came);
            if self.conn.ended && self.conn.out.is_empty() {
                self.conn.finish();
            }
            return !came.is_empty();
        }
        let Some(message) = Message::read(&self.conn.read, Kind::Request) else {
            if self.conn.ended {
                self.conn.finish();
            }
            return false;
        };
        self.begun = true;
        if !self.seen {
            self.seen = true;
            play.heads += 1;
        }
        if [LAST, VICTIM].map(str::as_bytes).contains(&message.target()) && message.content.is_empty() {
            // It is told only if something is wrong with it.
            let Some(len) = message.len else { return false };
            let answer = self.answer_by_default(&message, play.place);
            self.conn.out.extend(answer);
            self.conn.read.drain(..len);
            self.seen = false;
            return true;
        }
        if self.answered {
            return self.take(play);
        }
        if when == When::Head {
            return self.begin(play);
        }
        if message.len.is_none() {
            return false;
        }
        match next {
            Some(_) => self.take(play) && self.begin(play),
            None => {
                let answer = self.answer_by_default(&message, play.place);
                self.conn.out.extend(answer);
                self.take(play)
            }
        }
    }

    fn begin(&mut self, play: &mut Play<'_>) -> bool {
        let mut answer = play.case.answers[play.next].clone();
        answer.steps.reverse();
        self.answered = answer.when != When::Whole;
        self.begun = true;
        self.answer = Some(answer);
        play.next += 1;
        true
    }

    /// The next step of the answer.
    fn go_on(&mut self, play: &mut Play<'_>) -> bool {
        let Some(answer) = &mut self.answer else { return false };
        match answer.steps.pop() {
            None => self.answer = None,
            Some(MemberStep::Send(bytes)) => self.conn.out.extend(play.place.with_ids(&bytes)),
            Some(MemberStep::Settle) => {
                self.conn.turn();
                settle(play.place.settle);
            }
            Some(MemberStep::Whole) => {
                if !self.take(play) {
                    if let Some(answer) = &mut self.answer {
                        answer.steps.push(MemberStep::Whole);
                    }
                    return false;
                }
            }
            Some(MemberStep::Finish) => {
                self.conn.turn();
                self.conn.finish();
            }
            Some(MemberStep::Reset) => {
                self.conn.turn();
                self.conn.reset();
            }
            Some(MemberStep::Raw) => self.raw = true,
        }
        true
    }

    /// Takes the request, if it is whole.
    fn take(&mut self, play: &mut Play<'_>) -> bool {
        let Some(message) = Message::read(&self.conn.read, Kind::Request) else { return false };
        let Some(len) = message.len else { return false };
        if !self.seen {
            play.heads += 1;
        }
        play.members.push(format!("{} {}", self.name(play.place), message.tell()));
        self.conn.read.drain(..len);
        (self.seen, self.answered) = (false, false);
        true
    }

    /// 200, and what the request was.
    fn answer_by_default(&self, message: &Message<'_>, place: &Place) -> Vec<u8> {
        let start = message.start.split(|&b| b == b' ').take(2).collect::<Vec<_>>().join(&b' ');
        let content = [place.members[self.member].name.as_bytes(), b" ", start.as_slice()].concat();
        let mut answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", content.len()).into_bytes();
        if !start.starts_with(b"HEAD ") {
            answer.extend(content);
        }
        answer
    }

    fn name(&self, place: &Place) -> String {
        let name = &place.members[self.member].name;
        if self.number == 1 { name.clone() } else { format!("{name}/{}", self.number) }
    }

    /// Tells what came beside whole requests.
    pub(super) fn rest(self, place: &Place) -> Option<String> {
        let name = self.name(place);
        if self.raw {
            let end = if self.conn.ended { "" } else { "; (no end)" };
            return Some(format!("{name} raw \"{}\"{end}", shown(&self.bytes)));
        }
        if self.conn.read.is_empty() {
            return None;
        }
        Some(match Message::read(&self.conn.read, Kind::Request) {
            Some(mut message) => {
                // How much of it came is chance.
                message.content.clear();
                format!("{name} {}", message.tell())
            }
            None => format!("{name} \"{}\"; (no head)", shown(&self.conn.read)),
        })
    }
}
