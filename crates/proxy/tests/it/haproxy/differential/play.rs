//! Plays a case before one proxy: a client and the members, all on one thread, which waits for states and never for time.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::case::{Case, Step};
use super::link::{Conn, Link};
use super::message::{Kind, Message, shown};

/// Longer than anything takes, unless it is stuck.
const DEADLINE: Duration = Duration::from_secs(10);
/// What the client asks for in the end, to see whether the connection is still good.
pub(super) const LAST: &str = "/last";
/// What another client asks for after that.
pub(super) const VICTIM: &str = "/victim";

/// Where a case is played.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) listener: SocketAddr,
    /// A listener of the same proxy that answers everything by itself.
    pub(super) settle: SocketAddr,
    pub(super) members: Vec<Member>,
    /// The listener reads HTTP.
    pub(super) http: bool,
    /// Another client's request is answered afterwards.
    pub(super) victim: bool,
}

#[derive(Debug)]
pub(super) struct Member {
    pub(super) name: String,
    pub(super) id: String,
    /// It does not block; `None` = nobody listens.
    pub(super) socket: Option<TcpListener>,
}

/// Returns when the proxy has seen all that came before: it has one thread, which takes events in their order.
pub(super) fn settle(address: SocketAddr) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = vec![];
    stream.read_to_end(&mut answer).unwrap();
    assert!(answer.starts_with(b"HTTP/1."), "{}", answer.escape_ascii());
}

/// What came of it, in lines.
pub(super) fn play(case: &Case, place: &Place) -> Vec<String> {
    let mut play = Play {
        case,
        place,
        client: Conn::connect(place.listener),
        bare: vec![],
        awaited: 0,
        links: vec![],
        next: 0,
        heads: 0,
        heads_awaited: 0,
        members: vec![],
        told: vec![],
        silent: false,
    };
    play.run();
    let Play { members, told, .. } = play;
    let lines: Vec<_> = members.into_iter().chain(told).map(|line| place.plain(&line)).collect();
    let told_once = |run: &[String]| match run {
        [line] => line.clone(),
        _ => format!("{} ({} times)", run[0], run.len()),
    };
    if lines.is_empty() {
        vec!["nothing".to_owned()]
    } else {
        lines.chunk_by(|a, b| a == b).map(told_once).collect()
    }
}

pub(super) struct Play<'a> {
    pub(super) case: &'a Case,
    pub(super) place: &'a Place,
    client: Conn,
    /// Which responses have no content whatever they say.
    bare: Vec<usize>,
    /// Final responses awaited so far.
    awaited: usize,
    links: Vec<Link>,
    /// The answer for the next request.
    pub(super) next: usize,
    /// Heads that members have got, and that the client has waited for.
    pub(super) heads: usize,
    heads_awaited: usize,
    /// What members got.
    pub(super) members: Vec<String>,
    /// What clients got.
    told: Vec<String>,
    silent: bool,
}

impl Play<'_> {
    fn run(&mut self) {
        let case = self.case;
        for step in &case.client {
            self.step(step);
        }
        match case.client.last() {
            Some(Step::Reset) => {}
            Some(Step::End) => self.tell_client(false),
            Some(Step::Finish) => {
                self.until(|play| play.client.ended);
                self.tell_client(false);
            }
            _ => {
                if self.place.http {
                    self.step(&Step::Response);
                    self.client.out.extend(format!("GET {LAST} HTTP/1.1\r\nHost: last\r\n\r\n").bytes());
                }
                self.step(&Step::Finish);
                self.until(|play| play.client.ended);
                self.tell_client(self.place.http);
            }
        }
        // What it leads to at the members has begun.
        for _ in 0..2 {
            settle(self.place.settle);
            self.turn();
        }
        // What began and is not whole ends with the client.
        self.until(|play| play.links.iter().all(Link::is_at_rest));
        if self.place.victim && !self.silent {
            self.ask_as_another();
        }
        for link in std::mem::take(&mut self.links) {
            self.members.extend(link.rest(self.place));
        }
        if self.silent {
            self.told.push("silence".to_owned());
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Send(bytes) => {
                if bytes.starts_with(b"HEAD ") {
                    self.bare.push(self.awaited);
                }
                let bytes = self.place.with_ids(bytes);
                self.client.out.extend(bytes);
                self.until(|play| play.client.out.is_empty());
            }
            Step::Settle => {
                settle(self.place.settle);
                self.turn();
            }
            Step::Response => {
                self.awaited += 1;
                self.until(|play| play.client.ended || play.finals() >= play.awaited);
            }
            Step::Status(wanted) => self.until(|play| {
                let last = play.messages().last().is_some_and(|(status, _)| status == wanted);
                play.client.ended || last || play.finals() > play.awaited
            }),
            Step::Text(text) => self.until(|play| {
                play.client.ended || play.client.read.windows(text.len()).any(|bytes| bytes == text)
            }),
            Step::Member => {
                self.heads_awaited += 1;
                self.until(|play| play.heads >= play.heads_awaited);
            }
            Step::End => self.until(|play| play.client.ended),
            Step::Finish => {
                self.until(|play| play.client.out.is_empty());
                self.client.finish();
            }
            Step::Reset => self.client.reset(),
            Step::Anew => {
                self.step(&Step::Finish);
                self.until(|play| play.client.ended);
                self.tell_client(false);
                self.client = Conn::connect(self.place.listener);
                (self.awaited, self.bare) = (0, vec![]);
            }
        }
    }

    /// Another client has nothing to do with all that.
    fn ask_as_another(&mut self) {
        self.client = Conn::connect(self.place.listener);
        (self.awaited, self.bare) = (0, vec![]);
        self.client.out.extend(format!("GET {VICTIM} HTTP/1.1\r\nHost: victim\r\n\r\n").bytes());
        self.step(&Step::Response);
        let answer = Message::read(&self.client.read, Kind::Response);
        let good = answer.as_ref().is_some_and(|answer| answer.content.ends_with(VICTIM.as_bytes()));
        if !good {
            let answer = answer.map_or_else(|| shown(&self.client.read), |answer| answer.tell());
            self.told.push(format!("victim: {answer}"));
        }
    }

    /// Tells what the client has read. `asked` = its last request was whether the connection is good.
    fn tell_client(&mut self, asked: bool) {
        let bytes = std::mem::take(&mut self.client.read);
        let mut good = false;
        if self.place.http {
            let mut rest = &bytes[..];
            let mut place = 0;
            while !rest.is_empty() {
                let Some(message) = Message::read(rest, self.kind(place)) else {
                    self.told.push(format!("\"{}\"; (no head)", shown(rest)));
                    break;
                };
                place += usize::from(message.is_final());
                rest = &rest[message.len.unwrap_or(rest.len())..];
                good = asked && message.status() == 200 && message.content.ends_with(b" GET /last");
                if !good {
                    self.told.push(message.tell());
                }
                if message.status() == 101 {
                    self.told.push(format!("raw \"{}\"", shown(rest)));
                    break;
                }
            }
        } else {
            self.told.push(format!("raw \"{}\"", shown(&bytes)));
        }
        if asked {
            self.told.push(if good { "open" } else { "end" }.to_owned());
        }
    }

    fn kind(&self, place: usize) -> Kind {
        if self.bare.contains(&place) { Kind::Bare } else { Kind::Response }
    }

    /// Status, and whether it is final, of the whole messages that the client has read.
    fn messages(&self) -> Vec<(u16, bool)> {
        let (mut rest, mut place, mut messages) = (&self.client.read[..], 0, vec![]);
        while let Some(message) = Message::read(rest, self.kind(place)) {
            let Some(len) = message.len else { break };
            messages.push((message.status(), message.is_final()));
            place += usize::from(message.is_final());
            rest = &rest[len..];
            if message.status() == 101 {
                break;
            }
        }
        messages
    }

    /// Final ones of them.
    fn finals(&self) -> usize {
        self.messages().iter().filter(|(_, is_final)| *is_final).count()
    }

    fn until(&mut self, done: impl Fn(&Self) -> bool) {
        let end = Instant::now() + DEADLINE;
        loop {
            self.turn();
            if self.silent || done(self) {
                return;
            }
            if Instant::now() > end {
                self.silent = true;
                return;
            }
            self.wait();
        }
    }

    /// Does what can be done now.
    fn turn(&mut self) {
        self.client.turn();
        for (index, member) in self.place.members.iter().enumerate() {
            let Some(socket) = &member.socket else { continue };
            loop {
                match socket.accept() {
                    Ok((stream, _)) => {
                        let number = self.links.iter().filter(|link| link.member == index).count() + 1;
                        self.links.push(Link::new(index, number, Conn::of(stream), !self.place.http));
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => panic!("{error}"),
                }
            }
        }
        let mut links = std::mem::take(&mut self.links);
        for link in &mut links {
            link.turn(self);
        }
        self.links = links;
    }

    /// Until something can be done.
    fn wait(&self) {
        let sockets = self.place.members.iter().filter_map(|member| member.socket.as_ref());
        let mut fds: Vec<_> = sockets.map(|socket| PollFd::new(socket, PollFlags::IN)).collect();
        let conns = self.links.iter().map(|link| &link.conn).chain([&self.client]);
        for conn in conns.filter(|conn| !conn.is_over()) {
            let mut flags = PollFlags::empty();
            flags.set(PollFlags::IN, !conn.ended);
            flags.set(PollFlags::OUT, !conn.out.is_empty());
            fds.extend(conn.stream.iter().map(|stream| PollFd::new(stream, flags)));
        }
        poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 100_000_000 })).unwrap();
    }
}

impl Place {
    /// What is different each time: ids become names, the listener's port a word.
    fn plain(&self, line: &str) -> String {
        let port = self.listener.port();
        let mut line = line
            .replace(&format!("host: {}", self.listener), "host: LISTENER")
            .replace(&format!("x-forwarded-port: {port}"), "x-forwarded-port: PORT");
        for Member { name, id, .. } in &self.members {
            line = line.replace(id, &format!("%{name}%"));
        }
        line
    }

    /// Names become ids.
    pub(super) fn with_ids(&self, bytes: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        for Member { name, id, .. } in &self.members {
            let name = format!("%{name}%");
            while let Some(at) = bytes.windows(name.len()).position(|text| text == name.as_bytes()) {
                bytes.splice(at..at + name.len(), id.bytes());
            }
        }
        bytes
    }
}
