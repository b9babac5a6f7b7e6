//! What an epoll event is about: a kind and a key in 64 bits.

use crate::slab::Key;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token {
    /// Another thread wants something.
    Wake,
    Listening(Key),
    Session(Key),
    Upstream(Key),
}

impl Token {
    pub(super) fn to_bits(self) -> u64 {
        match self {
            Self::Wake => 0,
            Self::Listening(key) => 1 << 62 | key.to_bits(),
            Self::Session(key) => 2 << 62 | key.to_bits(),
            Self::Upstream(key) => 3 << 62 | key.to_bits(),
        }
    }

    pub(super) fn from_bits(bits: u64) -> Self {
        let key = Key::from_bits(bits);
        match bits >> 62 {
            0 => Self::Wake,
            1 => Self::Listening(key),
            2 => Self::Session(key),
            _ => Self::Upstream(key),
        }
    }
}
