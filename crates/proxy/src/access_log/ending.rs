//! How a request or a connection ended, in HAProxy's letters (its manual, §8.5): who ended it, in which phase, and what
//! became of the cookie.

/// Who ended it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Cause {
    /// Nobody: it came to its end.
    None = b'-',
    Client = b'C',
    /// The client was silent for too long.
    ClientSilent = b'c',
    Member = b'S',
    MemberSilent = b's',
    /// We refused what was said.
    Proxy = b'P',
    /// We answered by ourselves.
    Local = b'L',
    /// The process went.
    Killed = b'K',
}

/// What was going on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Phase {
    None = b'-',
    /// The request was on its way.
    Request = b'R',
    /// A member was looked for.
    Connect = b'C',
    /// The head of the response was awaited.
    Head = b'H',
    /// Content was on its way.
    Data = b'D',
}

/// What the client brought of the cookie by which it comes back to a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Brought {
    /// There is no such cookie.
    Unused = b'-',
    None = b'N',
    /// One whose member took the request.
    Valid = b'V',
    /// One whose member could not.
    Down = b'D',
}

/// What the client was given of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Given {
    Unused = b'-',
    None = b'N',
    Inserted = b'I',
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ending {
    pub(crate) cause: Cause,
    pub(crate) phase: Phase,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cookie {
    pub(crate) brought: Brought,
    pub(crate) given: Given,
}

impl Ending {
    pub(crate) const WELL: Self = Self::new(Cause::None, Phase::None);

    pub(crate) const fn new(cause: Cause, phase: Phase) -> Self {
        Self { cause, phase }
    }

    /// Of a request that we answer by ourselves with this status. `content` = its head is read.
    pub(crate) const fn of_answer(status: u16, content: bool) -> Self {
        match status {
            200..400 => Self::new(Cause::Local, Phase::Request),
            408 if content => Self::new(Cause::ClientSilent, Phase::Data),
            408 => Self::new(Cause::ClientSilent, Phase::Request),
            502 => Self::new(Cause::Member, Phase::Head),
            503 => Self::new(Cause::Member, Phase::Connect),
            504 => Self::new(Cause::MemberSilent, Phase::Head),
            _ => Self::new(Cause::Proxy, Phase::Request),
        }
    }

    pub(crate) const fn letters(self) -> [u8; 2] {
        [self.cause as u8, self.phase as u8]
    }
}

impl Cookie {
    pub(crate) const UNUSED: Self = Self { brought: Brought::Unused, given: Given::Unused };

    pub(crate) const fn letters(self) -> [u8; 2] {
        [self.brought as u8, self.given as u8]
    }
}
