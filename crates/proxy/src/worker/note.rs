//! What the access log wants to know of an exchange, and telling it at its end.

use super::client::Client;
use super::session::{Exchange, Session, Stage};
use super::thread::Thread;
use crate::access_log::{
    Asked, Brought, Cause, Cookie, Ending, Facts, Given, METHOD_MAX, Pen, Phase, TARGET_MAX,
};
use crate::http1::Request;
use crate::persistence::Claim;
use crate::snapshot::Mode;
use crate::sys;

/// Kept with an exchange; nothing of it is asked for where there is no log.
#[derive(Debug, Default)]
pub(super) struct Note {
    /// Method, target and version; empty = nobody wrote it down.
    pub(super) request: Vec<u8>,
    pub(super) status: Option<u16>,
    /// Bytes to the client, and from it.
    pub(super) sent: u64,
    pub(super) received: u64,
    /// A member was picked: its place is that of the exchange.
    pub(super) picked: bool,
    /// `None` = whoever closes the connection has ended it.
    ending: Option<Ending>,
}

impl Note {
    /// The first word on how it ends counts.
    pub(super) fn ends(&mut self, ending: Ending) {
        self.ending.get_or_insert(ending);
    }
}

/// Writes down what was asked for.
pub(super) fn write_request(request: &Request<'_, '_>, streams: bool, out: &mut Vec<u8>) {
    let method = request.method.as_bytes();
    out.extend_from_slice(&method[..method.len().min(METHOD_MAX)]);
    out.push(b' ');
    out.extend_from_slice(&request.target[..request.target.len().min(TARGET_MAX)]);
    out.extend_from_slice(match (streams, request.http11) {
        (true, _) => b" HTTP/2.0",
        (false, true) => b" HTTP/1.1",
        (false, false) => b" HTTP/1.0",
    });
}

impl Session {
    /// What is going on with the exchange.
    fn phase(&self, exchange: &Exchange) -> Phase {
        match self.stage {
            Stage::Connect | Stage::Pause => Phase::Connect,
            Stage::Forward if !exchange.answered => Phase::Head,
            Stage::Forward | Stage::Tunnel | Stage::Scrape | Stage::Sorry => Phase::Data,
            _ => Phase::Request,
        }
    }

    /// Ends an exchange on this account, in the phase it is in.
    pub(super) fn ends(&mut self, cause: Cause) {
        if let Some(exchange) = &self.exchange {
            let ending = Ending::new(cause, self.phase(exchange));
            if let Some(exchange) = &mut self.exchange {
                exchange.note.ends(ending);
            }
        }
    }

    /// Tells of an exchange that is over.
    #[cold]
    pub(super) fn log_exchange(&self, exchange: &Exchange, t: &mut Thread) {
        let unseen = self.listener.mode == Mode::Tcp;
        // What nobody wrote down, and a connection that was not introduced.
        if !unseen && exchange.note.request.is_empty() || unseen && exchange.since == 0 {
            return;
        }
        let Note { request, status, sent, received, picked, ending } = &exchange.note;
        let ending = ending.unwrap_or_else(|| {
            let cause = if t.stopping { Cause::Killed } else { Cause::Client };
            Ending::new(cause, self.phase(exchange))
        });
        let pool = self.listener.pool_for(exchange.policy);
        let member = pool.filter(|_| *picked).and_then(|pool| pool.members.get(usize::from(exchange.place)));
        let duration = t.now.saturating_sub(exchange.since);
        let wall = sys::wall();
        let facts = Facts {
            listener: self.listener.id,
            client: self.peer,
            local: self.local,
            time: wall.saturating_sub(duration),
            asked: if unseen { Asked::Unseen } else { Asked::Request(request) },
            status: *status,
            sent: *sent,
            received: *received,
            seen: self.client.seen(),
            pool: pool.map(|pool| pool.id),
            member: member.map(|member| member.id),
            duration,
            ending,
            cookie: self.cookie(exchange),
        };
        tell(&mut t.pen, &facts, wall);
    }

    /// Tells of what came and was no request.
    #[cold]
    pub(super) fn log_broken(&self, status: u16, sent: u64, received: u64, t: &mut Thread) {
        let wall = sys::wall();
        let facts = Facts {
            listener: self.listener.id,
            client: self.peer,
            local: self.local,
            time: wall,
            asked: Asked::Broken,
            status: Some(status),
            sent,
            received,
            seen: self.client.seen(),
            pool: None,
            member: None,
            duration: 0,
            ending: Ending::of_answer(status, false),
            cookie: Cookie::UNUSED,
        };
        tell(&mut t.pen, &facts, wall);
    }

    fn cookie(&self, exchange: &Exchange) -> Cookie {
        let persistence = self.listener.persistence_for(exchange.policy);
        let Some(inserts) = persistence.and_then(|persistence| persistence.cookie()) else {
            return Cookie::UNUSED;
        };
        let brought = match exchange.claim {
            Claim::None => Brought::None,
            _ if exchange.granted => Brought::Valid,
            _ => Brought::Down,
        };
        let given =
            if inserts && exchange.answered && !exchange.granted { Given::Inserted } else { Given::None };
        Cookie { brought, given }
    }

    pub(super) fn is_stream(&self) -> bool {
        matches!(self.client, Client::Stream(_))
    }
}

fn tell(pen: &mut Option<Box<Pen>>, facts: &Facts<'_>, now: u64) {
    if let Some(pen) = pen {
        pen.tell(facts, now);
    }
}
