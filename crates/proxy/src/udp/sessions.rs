//! Which sessions there are: as many as there is room for, and none for longer than it is silent. Pure: time is an argument.
//!
//! Whoever likes may make up the sources of datagrams, so clients are not equal when there is no room. One that has
//! spoken again after it was answered has *shown itself*: it is where it says it is. The others go first, and of each kind
//! the one that was silent for longest: a flood of made-up sources displaces itself.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;

use crate::slab::{Key, Slab};

/// Whose datagrams a session is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Source {
    /// The socket they come to.
    pub(super) port: Key,
    pub(super) client: SocketAddr,
}

/// Sessions, each with what it takes to serve it. Times are in milliseconds.
#[derive(Debug)]
pub(super) struct Sessions<T> {
    most: usize,
    timeout: u64,
    by_source: HashMap<Source, Key>,
    sessions: Slab<Session<T>>,
    /// By when they were last heard of: those whose client has not shown itself, and the others.
    strangers: BTreeSet<(u64, Key)>,
    known: BTreeSet<(u64, Key)>,
}

#[derive(Debug)]
struct Session<T> {
    source: Source,
    seen: u64,
    answered: bool,
    known: bool,
    what: T,
}

impl<T> Sessions<T> {
    /// At most `most` sessions, from 1, of which none is silent for `timeout`.
    pub(super) fn new(most: usize, timeout: u64) -> Self {
        Self {
            most: most.max(1),
            timeout,
            by_source: HashMap::new(),
            sessions: Slab::default(),
            strangers: BTreeSet::new(),
            known: BTreeSet::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.by_source.len()
    }

    pub(super) fn keys(&self) -> Vec<Key> {
        self.sessions.keys()
    }

    pub(super) fn find(&self, source: &Source) -> Option<Key> {
        self.by_source.get(source).copied()
    }

    pub(super) fn get_mut(&mut self, key: Key) -> Option<(Source, &mut T)> {
        self.sessions.get_mut(key).map(|session| (session.source, &mut session.what))
    }

    /// Adds the session of a source that has none. The one that makes room for it, if any, is given back.
    pub(super) fn open(&mut self, source: Source, what: T, now: u64) -> (Key, Option<T>) {
        let last = if self.len() < self.most { None } else { self.least() };
        let gone = last.and_then(|key| self.close(key));
        let key = self.sessions.reserve();
        self.sessions.fill(key, Session { source, seen: now, answered: false, known: false, what });
        self.by_source.insert(source, key);
        self.strangers.insert((now, key));
        (key, gone)
    }

    /// The client has said something.
    pub(super) fn heard(&mut self, key: Key, now: u64) {
        self.touch(key, now, |session| session.known |= session.answered);
    }

    /// The member has said something.
    pub(super) fn answered(&mut self, key: Key, now: u64) {
        self.touch(key, now, |session| session.answered = true);
    }

    pub(super) fn close(&mut self, key: Key) -> Option<T> {
        let session = self.sessions.remove(key)?;
        self.by_source.remove(&session.source);
        self.order(session.known).remove(&(session.seen, key));
        Some(session.what)
    }

    /// Ends a session whose time is up.
    pub(super) fn expire(&mut self, now: u64) -> Option<T> {
        let (seen, key) = self.silent()?;
        if seen.saturating_add(self.timeout) <= now { self.close(key) } else { None }
    }

    /// When the next one's time is up.
    pub(super) fn next_expiry(&self) -> Option<u64> {
        self.silent().map(|(seen, _)| seen.saturating_add(self.timeout))
    }

    /// The one that was silent for longest.
    fn silent(&self) -> Option<(u64, Key)> {
        [self.strangers.first(), self.known.first()].into_iter().flatten().min().copied()
    }

    /// The one that is missed least.
    fn least(&self) -> Option<Key> {
        self.strangers.first().or_else(|| self.known.first()).map(|(_, key)| *key)
    }

    fn touch(&mut self, key: Key, now: u64, change: impl FnOnce(&mut Session<T>)) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        let before = (session.seen, session.known);
        session.seen = session.seen.max(now);
        change(session);
        let after = (session.seen, session.known);
        if before != after {
            self.order(before.1).remove(&(before.0, key));
            self.order(after.1).insert((after.0, key));
        }
    }

    fn order(&mut self, known: bool) -> &mut BTreeSet<(u64, Key)> {
        if known { &mut self.known } else { &mut self.strangers }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(name: char) -> Source {
        let client = SocketAddr::from(([192, 0, 2, 1], name as u16));
        Source { port: Key::from_bits(0), client }
    }

    /// Steps on sessions named by letters, at most three that may be silent for 10: `+a` opens, `a` = the client spoke,
    /// `a!` = it was answered, `-a` closes, `12` = so late it is now. What made room and what expired is told.
    fn play(steps: &str) -> String {
        let mut sessions = Sessions::new(3, 10);
        let (mut now, mut told) = (0, String::new());
        for step in steps.split(' ') {
            if let Ok(time) = step.parse() {
                now = time;
                while let Some(name) = sessions.expire(now) {
                    told.push(name);
                }
                assert!(sessions.next_expiry().is_none_or(|next| next > now));
                continue;
            }
            let name = step.chars().find(char::is_ascii_alphabetic).unwrap();
            let key = sessions.find(&source(name));
            match (step.as_bytes()[0], step.ends_with('!')) {
                (b'+', _) => told.extend(sessions.open(source(name), name, now).1),
                (b'-', _) => assert_eq!(sessions.close(key.unwrap()), Some(name)),
                (_, true) => sessions.answered(key.unwrap(), now),
                (_, false) => sessions.heard(key.unwrap(), now),
            }
            assert_eq!(sessions.len(), sessions.strangers.len() + sessions.known.len());
            assert!(sessions.len() <= 3 && sessions.keys().len() == sessions.len());
        }
        told
    }

    #[test]
    fn who_goes_first() {
        for (steps, told) in [
            // Time.
            ("+a 9 10", "a"),
            ("+a 9 a 10 18 19", "a"),
            ("+a 9 a! 18 +b 19 28", "ab"),
            ("+a a! a 1 +b 10 11", "ab"),
            ("+a +b +c 10", "abc"),
            ("+a 5 +b -a 10 15", "b"),
            // Room: who was silent for longest.
            ("+a 1 +b 2 +c 3 +d", "a"),
            ("+a 1 +b 2 +c 3 a +d", "b"),
            ("+a 1 +b 2 +c 3 a! +d", "b"),
            ("+a 1 +b -a 2 +c 3 +d +e", "b"),
            // Who was answered and spoke again stays; an answer alone says nothing, nor does who speaks on and on.
            ("+a a! a 1 +b 2 +c 3 +d +e +f", "bcd"),
            ("+a a a a 1 +b b! 2 +c 3 +d", "a"),
            ("+a a! a +b b! b +c c! c 1 +d", "a"),
            ("+a a! a 1 +b b! b 2 +c c! c 3 a +d +e", "bd"),
        ] {
            assert_eq!(play(steps), told, "{steps}");
        }
    }

    #[test]
    fn a_session_that_is_gone_is_not_found_again() {
        let mut sessions = Sessions::new(1, 10);
        let (first, _) = sessions.open(source('a'), 'a', 0);
        let (second, gone) = sessions.open(source('b'), 'b', 0);
        assert_eq!((gone, sessions.find(&source('a'))), (Some('a'), None));
        sessions.heard(first, 5);
        sessions.answered(first, 5);
        assert!(sessions.get_mut(first).is_none() && sessions.close(first).is_none());
        assert_eq!(
            sessions.get_mut(second).map(|(source, what)| (source.client.port(), *what)),
            Some((98, 'b'))
        );
        assert_eq!(sessions.next_expiry(), Some(10));
    }
}
