//! What the library tells those who decide for it during a handshake, and keeps from who drives it without buffers.
//!
//! It calls them on the thread that drives it: so whoever goes on with a handshake says of which connection it is, and
//! takes back what is known of that afterwards.

use std::cell::RefCell;

thread_local! {
    static VISIT: RefCell<Visit> = const { RefCell::new(Visit::new()) };
}

/// Of one connection, what its handshake has brought until now.
#[derive(Debug)]
pub(crate) struct Visit {
    /// The server's name in the last hello, as the library has it: in lower case.
    pub(crate) asked: Option<Box<str>>,
    /// Until when what the client has proved holds, in seconds since 1970; [`FOREVER`] if it has proved nothing.
    until: u64,
}

pub(super) const FOREVER: u64 = u64::MAX;

impl Visit {
    pub(crate) const fn new() -> Self {
        Self { asked: None, until: FOREVER }
    }

    /// This connection's handshake goes on, on this thread.
    pub(crate) fn resume(self) {
        VISIT.set(self);
    }

    /// What is known of the connection whose handshake has gone on last.
    pub(crate) fn pause() -> Self {
        VISIT.replace(Self::new())
    }
}

/// The client asks for this name.
pub(super) fn asks_for(name: Option<&str>) {
    VISIT.with_borrow_mut(|visit| visit.asked = name.map(Into::into));
}

/// What the client has proved now holds so long; what was known of that before counts no more.
pub(super) fn holds_until(until: u64) {
    VISIT.with_borrow_mut(|visit| visit.until = until);
}

pub(super) fn until() -> u64 {
    VISIT.with_borrow(|visit| visit.until)
}
