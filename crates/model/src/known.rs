//! What we know of the outside world.

/// The answer to "is it there?". *Could not ask* is never *is not there*: acting on [`Known::Unknown`] as if it
/// were [`Known::No`] is how servers get made twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known<T> {
    Yes(T),
    No,
    Unknown,
}

impl<T> Known<T> {
    pub fn as_ref(&self) -> Known<&T> {
        match self {
            Self::Yes(value) => Known::Yes(value),
            Self::No => Known::No,
            Self::Unknown => Known::Unknown,
        }
    }

    pub fn yes(self) -> Option<T> {
        match self {
            Self::Yes(value) => Some(value),
            Self::No | Self::Unknown => None,
        }
    }

    pub fn is_no(&self) -> bool {
        matches!(self, Self::No)
    }
}
