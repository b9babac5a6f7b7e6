//! What the amphorae of a pair tell each other of where clients were sent, so that these keep their members when the other one
//! takes over. It stands in for HAProxy's peers (`reference/amphora.md` §9.2).
//!
//! Each asks each other again and again what is new since a [`Mark`], over TCP between their own addresses; who answers remembers
//! nothing of that. What gets lost is asked for again, and whoever begins anew asks for all there is.
//!
//! Both begin with a [`Greeting`]. Then come frames of at most [`MAX_FRAME`] bytes: a 4-byte big-endian length, so much JSON, and
//! an HMAC-SHA-256 over the frame's number, length and JSON, under a key of the connection and its direction
//! ([`Seal`]). So frames of others, of other connections, and the same ones again are noticed before anything of them is read.
//! They are not encrypted: clients are hashes under a secret in them, and members are ids.

use std::collections::BTreeMap;

use hmac::{Hmac, Mac};
use octavia_model::{MemberId, PoolId};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use uuid::Uuid;

use crate::{SharingKey, StickSubject};

/// Bytes of JSON in one frame.
pub const MAX_FRAME: usize = 1 << 20;
/// Entries of one answer, of all tables together: a quarter of the longest frame.
pub const MOST_ENTRIES: usize = 4096;
/// The newest version of what is spoken; both speak the lower of theirs.
const VERSION: u8 = 1;
const MAGIC: [u8; 4] = *b"OSHR";
const LENGTH: usize = 4;
const TAG: usize = 32;

/// How far somebody knows another's table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// Which table it is: each time there is a new one, it is new.
    pub table: Uuid,
    /// Entries are news in turns: all up to this one are known.
    pub turn: u64,
    /// The last turn there was when it was asked the first time. Up to that one, entries are told that were learned from others, too.
    pub until: u64,
}

/// What is new in a table.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SharedTable {
    pub subject: StickSubject,
    /// Client, member, and for how many milliseconds it has not been seen.
    pub entries: Vec<(u64, MemberId, u64)>,
    /// What to ask next for the rest, and for what comes.
    pub mark: Mark,
}

impl std::fmt::Debug for SharedTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SharedTable")
            .field("subject", &self.subject)
            .field("entries", &self.entries.len())
            .field("mark", &self.mark)
            .finish()
    }
}

/// Tables with something new, by pool.
pub type SharedTables = BTreeMap<PoolId, SharedTable>;
/// How far the tables of another are known; all there is of those that are not named.
pub type Marks = BTreeMap<PoolId, Mark>;

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Ask {
    pub since: Marks,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Answer {
    pub tables: SharedTables,
}

/// Why nothing more is read from a connection.
#[derive(Debug, thiserror::Error)]
pub enum SharingError {
    #[error("does not greet as an amphora of a pair does")]
    Stranger,
    #[error("speaks version 0")]
    Version,
    #[error("a frame of {0} bytes, more than {MAX_FRAME}")]
    TooLarge(usize),
    #[error("a frame that is not of this connection: another key, or a forgery")]
    Seal,
    #[error("not a message of this version: {0}")]
    Content(#[from] serde_json::Error),
}

/// What either says first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Greeting([u8; Self::LENGTH]);

impl Greeting {
    /// Bytes.
    pub const LENGTH: usize = MAGIC.len() + 1 + 16;

    /// `random` makes the connection differ from all others.
    pub fn new(random: [u8; 16]) -> Self {
        let mut bytes = [0; Self::LENGTH];
        let (magic, rest) = bytes.split_at_mut(MAGIC.len());
        magic.copy_from_slice(&MAGIC);
        rest[0] = VERSION;
        rest[1..].copy_from_slice(&random);
        Self(bytes)
    }

    pub const fn bytes(&self) -> &[u8; Self::LENGTH] {
        &self.0
    }

    /// # Errors
    ///
    /// If it is none. Versions beyond ours are understood: they go down to it.
    pub fn read(bytes: [u8; Self::LENGTH]) -> Result<Self, SharingError> {
        match bytes.split_at(MAGIC.len()) {
            (magic, _) if magic != MAGIC => Err(SharingError::Stranger),
            (_, [0, ..]) => Err(SharingError::Version),
            _ => Ok(Self(bytes)),
        }
    }
}

/// One direction of a connection.
#[derive(Clone)]
pub struct Seal {
    key: zeroize::Zeroizing<[u8; 32]>,
    frames: u64,
}

impl std::fmt::Debug for Seal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Seal").field("key", &"<secret>").field("frames", &self.frames).finish()
    }
}

impl Seal {
    /// Of what is asked, and of what is answered.
    pub fn both(key: &SharingKey, asker: &Greeting, answerer: &Greeting) -> (Self, Self) {
        let greetings: [&[u8]; 2] = [asker.bytes(), answerer.bytes()];
        let of = |direction| Self { key: key.seal(direction, &greetings).into(), frames: 0 };
        (of("octavia sharing 1: asked"), of("octavia sharing 1: answered"))
    }

    /// The frame of a message.
    ///
    /// # Errors
    ///
    /// If it is longer than a frame.
    pub fn frame(&mut self, message: &impl Serialize) -> Result<Vec<u8>, SharingError> {
        self.close(&serde_json::to_vec(message)?)
    }

    pub(crate) fn close(&mut self, json: &[u8]) -> Result<Vec<u8>, SharingError> {
        let length = u32::try_from(json.len()).ok().filter(|_| json.len() <= MAX_FRAME);
        let length = length.ok_or(SharingError::TooLarge(json.len()))?;
        let mut frame = [&length.to_be_bytes(), json].concat();
        let tag = self.next(&frame).finalize().into_bytes();
        frame.extend_from_slice(&tag);
        Ok(frame)
    }

    fn next(&mut self, length_and_body: &[u8]) -> Hmac<Sha256> {
        #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
        let mut mac = Hmac::<Sha256>::new_from_slice(&*self.key).expect("any key length");
        mac.update(&self.frames.to_be_bytes());
        mac.update(length_and_body);
        self.frames += 1;
        mac
    }
}

/// The receiving side: bytes in, messages out. It holds one frame at most, and what was read beside it.
#[derive(Debug)]
pub struct Frames {
    seal: Seal,
    bytes: Vec<u8>,
}

impl Frames {
    pub const fn new(seal: Seal) -> Self {
        Self { seal, bytes: vec![] }
    }

    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole message, if it is here.
    ///
    /// # Errors
    ///
    /// After one, nothing that follows can be understood.
    pub fn message<T: DeserializeOwned>(&mut self) -> Result<Option<T>, SharingError> {
        let Some(length) = self.bytes.first_chunk::<LENGTH>() else { return Ok(None) };
        let length = u32::from_be_bytes(*length) as usize;
        if length > MAX_FRAME {
            return Err(SharingError::TooLarge(length));
        }
        let Some(frame) = self.bytes.get(..LENGTH + length + TAG) else { return Ok(None) };
        let (content, tag) = frame.split_at(LENGTH + length);
        self.seal.next(content).verify_slice(tag).map_err(|_| SharingError::Seal)?;
        let message = serde_json::from_slice(&content[LENGTH..])?;
        let rest = self.bytes.split_off(LENGTH + length + TAG);
        self.bytes = rest;
        Ok(Some(message))
    }
}

#[cfg(test)]
mod tests {
    use newtype_uuid::TypedUuid;

    use super::*;
    use crate::TicketRoot;

    fn key(n: u8) -> SharingKey {
        TicketRoot::new(&[n; 32]).sharing_key(TypedUuid::nil())
    }

    fn answer() -> Answer {
        let mark = Mark { table: Uuid::nil(), turn: 7, until: 5 };
        let entries = vec![(u64::MAX, TypedUuid::nil(), 0), (1, TypedUuid::nil(), 90_000)];
        let table = SharedTable { subject: StickSubject::Cookie("sid".to_owned()), entries, mark };
        Answer { tables: [(TypedUuid::nil(), table)].into() }
    }

    /// What comes out of these bytes, in pieces of that size.
    fn read<T: DeserializeOwned>(seal: Seal, bytes: &[u8], size: usize) -> Result<Vec<T>, SharingError> {
        let (mut frames, mut messages) = (Frames::new(seal), vec![]);
        for piece in bytes.chunks(size) {
            frames.push(piece);
            while let Some(message) = frames.message()? {
                messages.push(message);
            }
        }
        Ok(messages)
    }

    #[test]
    fn messages_go_through_whole_and_in_pieces() {
        let (asker, answerer) = (Greeting::new([1; 16]), Greeting::new([2; 16]));
        let (_, mut sealer) = Seal::both(&key(1), &asker, &answerer);
        let sent = [answer(), Answer::default(), answer()];
        let bytes: Vec<u8> = sent.iter().flat_map(|answer| sealer.frame(answer).unwrap()).collect();
        for size in [1, 3, 1000, bytes.len()] {
            let (_, seal) = Seal::both(&key(1), &asker, &answerer);
            assert_eq!(read::<Answer>(seal, &bytes, size).unwrap(), sent, "in pieces of {size}");
        }
    }

    /// Frames of others are not read.
    #[test]
    fn what_is_not_of_this_connection_is_noticed() {
        let (asker, answerer, other) =
            (Greeting::new([1; 16]), Greeting::new([2; 16]), Greeting::new([3; 16]));
        let of = |key_of, asker, answerer| Seal::both(&key(key_of), asker, answerer);
        let frame = |mut seal: Seal| seal.frame(&answer()).unwrap();
        let good = || of(1, &asker, &answerer).1;
        let mut later = good();
        later.frame(&answer()).unwrap();
        let mut flipped = frame(good());
        flipped[6] ^= 1;
        let mut longer = frame(good());
        longer[3] += 1;
        longer.push(0);
        for (what, bytes) in [
            ("of another key", frame(of(2, &asker, &answerer).1)),
            ("of another connection", frame(of(1, &other, &answerer).1)),
            ("of one to another", frame(of(1, &asker, &other).1)),
            ("sent back", frame(of(1, &asker, &answerer).0)),
            ("in another place", frame(later)),
            ("changed", flipped),
            ("lengthened", longer),
        ] {
            let error = read::<Answer>(good(), &bytes, bytes.len()).unwrap_err();
            assert!(matches!(error, SharingError::Seal), "{what}: {error}");
        }
        let twice = [frame(good()), frame(good())].concat();
        assert!(matches!(read::<Answer>(good(), &twice, 1000), Err(SharingError::Seal)), "the same again");
        let large = (u32::try_from(MAX_FRAME).unwrap() + 1).to_be_bytes();
        assert!(matches!(read::<Answer>(good(), &large, 4), Err(SharingError::TooLarge(_))));
    }

    #[test]
    fn an_answer_of_the_most_entries_fits() {
        let mut answer = answer();
        let mut fill = |entries| {
            answer.tables.values_mut().for_each(|table| {
                table.entries = vec![(u64::MAX, TypedUuid::nil(), u64::MAX); entries];
            });
            answer.clone()
        };
        let (_, mut seal) = Seal::both(&key(1), &Greeting::new([1; 16]), &Greeting::new([2; 16]));
        assert!(seal.frame(&fill(MOST_ENTRIES)).unwrap().len() <= MAX_FRAME / 2);
        assert!(matches!(seal.frame(&fill(5 * MOST_ENTRIES)), Err(SharingError::TooLarge(_))));
    }

    #[test]
    fn greetings() {
        let good = Greeting::new([9; 16]);
        let with = |place: usize, byte: u8| {
            let mut bytes = *good.bytes();
            bytes[place] = byte;
            Greeting::read(bytes)
        };
        assert_eq!(Greeting::read(*good.bytes()).unwrap(), good);
        assert!(matches!(with(0, b'X'), Err(SharingError::Stranger)));
        assert!(matches!(with(4, 0), Err(SharingError::Version)));
        assert!(with(4, 9).is_ok(), "who speaks more speaks this, too");
    }

    #[test]
    fn what_is_told_is_not_shown() {
        let shown = format!("{:?}", answer());
        assert!(shown.contains("entries: 2") && !shown.contains("18446744073709551615"), "{shown}");
    }
}
