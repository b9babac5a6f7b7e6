//! Stage *scrape*: tells the client what we count, a piece at a time. A piece is made when the one before has gone out, so
//! no answer is held whole, and other connections get their turn between two pieces.

use super::session::{Next, Session, Stage, Traits};
use super::sock::Io;
use super::thread::Thread;
use crate::access_log::{Cause, Ending};
use crate::exposition::{Exposition, Process};
use crate::http1;

/// Clients of one thread that are told at the same time, at most: each is a piece of work in every round of events.
const SCRAPES_MAX: usize = 4;
/// Bytes made at once, or a few more.
const PIECE: usize = 32 * 1024;
/// How long a client may take to read all, in milliseconds: it keeps its configuration, and a place that others want.
const SCRAPE_MS: u64 = 30_000;
/// Room for the size of a chunk, which is known once the chunk is there.
const SIZE: &[u8; 8] = b"000000\r\n";

pub(super) struct Scrape {
    /// What is not made yet; `None` = all is in the piece.
    exposition: Option<Exposition>,
    piece: Vec<u8>,
    sent: usize,
    chunked: bool,
    /// Its turn comes at the end of this round of events, and not before, whatever the client sends.
    queued: bool,
    /// When it has to be over, in milliseconds.
    until: u64,
}

impl Session {
    /// Answers a request for what we count.
    pub(super) fn scrape_begin(&mut self, t: &mut Thread) -> Next {
        let Some(exchange) = &mut self.exchange else { return Next::Close };
        if t.scrapes == SCRAPES_MAX {
            return self.answer(t, 503);
        }
        t.scrapes += 1;
        let Traits { http11, to_head, .. } = exchange.traits;
        let mut piece = t.kit.buffer();
        http1::write_exposition_head(http11, &mut piece);
        let exposition = (!to_head).then(|| exposition(t));
        let until = t.now + SCRAPE_MS;
        let mut scrape =
            Box::new(Scrape { exposition, piece, sent: 0, chunked: http11, queued: false, until });
        scrape.make();
        exchange.scrape = Some(scrape);
        exchange.note.status = Some(200);
        self.counters(t).responses.count(200);
        self.stage = Stage::Scrape;
        self.arm_scrape(t, until);
        Next::Go
    }

    pub(super) fn scrape(&mut self, t: &mut Thread) -> Next {
        if self.client.is_broken() {
            return Next::Close;
        }
        let Some(exchange) = &mut self.exchange else { return Next::Close };
        let Some(scrape) = &mut exchange.scrape else { return Next::Close };
        if scrape.queued {
            return Next::Wait;
        }
        if scrape.sent == scrape.piece.len() {
            if scrape.exposition.is_none() {
                return self.scraped(t);
            }
            scrape.piece.clear();
            scrape.sent = 0;
            scrape.make();
        }
        let until = scrape.until;
        scrape.queued = true;
        if !scrape.piece.is_empty() {
            match self.client.send(&scrape.piece[scrape.sent..], &mut t.kit.wire) {
                Io::Bytes(n) => {
                    scrape.sent += n;
                    exchange.note.sent += n as u64;
                    self.counters(t).tx.add(n as u64);
                    self.arm_scrape(t, until);
                }
                Io::Blocked => {
                    scrape.queued = false;
                    self.client.wait_write(&t.kit.epoll);
                    return Next::Wait;
                }
                Io::End | Io::Failed(_) => return Next::Close,
            }
        }
        t.again.push(self.key);
        Next::Wait
    }

    /// It is its turn.
    pub(super) fn scrape_turn(&mut self) {
        if let Some(scrape) = self.exchange.as_mut().and_then(|exchange| exchange.scrape.as_mut()) {
            scrape.queued = false;
        }
    }

    /// What was said is not whole.
    pub(super) fn break_off_scrape(&mut self) -> Next {
        self.ends(Cause::ClientSilent);
        self.client.break_off();
        Next::Close
    }

    fn scraped(&mut self, t: &mut Thread) -> Next {
        let uploaded = self.exchange.as_ref().is_some_and(|exchange| exchange.up.is_done());
        if let Some(exchange) = &mut self.exchange {
            exchange.note.ends(Ending::of_answer(200, true));
        }
        self.count_duration(t);
        self.exchange_end(t, false);
        self.served = true;
        if uploaded && self.held.is_empty() && !self.client.is_readable() {
            return Next::Close;
        }
        self.say_goodbye(t)
    }

    /// Silence ends it as any answer; reading on for ever does not put off its end.
    fn arm_scrape(&mut self, t: &mut Thread, until: u64) {
        let left = until.saturating_sub(t.now) as u32;
        let silence = self.listener.timeouts.client_data.unwrap_or(u32::MAX);
        self.arm(t, Some(left.min(silence)));
    }
}

impl Scrape {
    /// Adds what comes next to the piece.
    fn make(&mut self) {
        let Some(exposition) = &mut self.exposition else { return };
        let begin = self.piece.len();
        if self.chunked {
            self.piece.extend_from_slice(SIZE);
        }
        let content = self.piece.len();
        let more = exposition.write(&mut self.piece, PIECE);
        if self.chunked {
            let size = self.piece.len() - content;
            if size == 0 {
                // Such a chunk would be the last.
                self.piece.truncate(begin);
            } else {
                self.piece[begin..begin + 6].copy_from_slice(format!("{size:06x}").as_bytes());
                self.piece.extend_from_slice(b"\r\n");
            }
            if !more {
                self.piece.extend_from_slice(b"0\r\n\r\n");
            }
        }
        if !more {
            self.exposition = None;
        }
    }

    pub(super) fn recycle(self, t: &mut Thread) {
        t.scrapes -= 1;
        t.kit.buffer_put(self.piece);
    }
}

fn exposition(t: &Thread) -> Exposition {
    let hub = &t.hub;
    let process = Process {
        totals: hub.registry.totals(),
        log: hub.registry.log().totals(),
        max_connections: (t.sessions_max * hub.wakes.len()) as u64,
        cpu: hub.vitals.cpu(),
        memory: hub.vitals.memory(),
    };
    Exposition::new(&t.snapshot, &t.open, process, t.now)
}
