//! The signed heartbeat datagram (`reference/control-plane.md` §12.1).
//!
//! `zlib(JSON) ‖ hex(HMAC-SHA256(key, zlib(JSON)))`, the digest as 64 lower-case hexadecimal characters; a raw
//! 32-byte digest, as older senders use, is accepted. Keys beyond the original's (`boot`, `generation`, `faults`)
//! are ignored by the original's receiver.
//!
//! The signature says who sent a datagram, the number that it has not counted before: what was once counted counts never
//! again, however often it is sent. Neither says *when* it was sent. Whoever can hold genuine datagrams back can deliver
//! each of them once, late; and an agent whose numbers start again from zero can be kept alive by two of its old ones.

use std::cell::RefCell;
use std::collections::BTreeMap;

use flate2::{Decompress, FlushDecompress, Status};
use hmac::{Hmac, Mac};
use octavia_model::{AmphoraId, ListenerId, MemberId, PoolId, VrrpState};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use uuid::Uuid;

use crate::ListenerFault;

/// The largest datagram, in bytes.
pub const MAX_DATAGRAM: usize = 65_507;
/// The most a datagram may inflate to, in bytes: ten times what an amphora of 1,000 members says.
pub(crate) const MAX_INFLATED: u64 = 4 << 20;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Heartbeat {
    pub id: AmphoraId,
    /// Higher than that of any beat before, of this start of the agent or another; so it starts from
    /// [`octavia_model::SEQ_FOR_LIFE`] or more. Lower ones, of the original's agent and our older ones, start again with the agent.
    pub seq: u64,
    /// 3 = statistics are differences since the last beat (the original's agent); 2 = totals since `boot` (ours).
    #[serde(default = "two")]
    pub ver: u32,
    #[serde(default)]
    pub listeners: BTreeMap<ListenerId, ListenerReport>,
    /// Keyed `<pool id>:<listener id>`, or a bare pool id.
    #[serde(default)]
    pub pools: BTreeMap<String, PoolReport>,
    /// New for every start of the proxy: totals start again from zero. Absent from the original's agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot: Option<Uuid>,
    /// The generation the data plane runs. Absent from the original's agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// Listeners that could not be opened.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<ListenerFault>,
    /// Not all fits into a datagram: what is left out is as it was told last, and is told again in one of the next.
    /// Absent from the original's agent.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub partial: bool,
    /// Of an amphora that others could have the VIPs of: `MASTER` = it holds them. Absent from the original's agent.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "vrrp_word")]
    pub vrrp: Option<VrrpState>,
}

/// A word that this version does not know says nothing.
mod vrrp_word {
    use octavia_model::VrrpState;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[expect(clippy::ref_option, reason = "as serde calls it")]
    pub(super) fn serialize<S: Serializer>(
        word: &Option<VrrpState>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        word.map(VrrpState::as_str).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<VrrpState>, D::Error> {
        Ok(Option::<String>::deserialize(deserializer)?.and_then(|word| word.parse().ok()))
    }
}

fn two() -> u32 {
    2
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenerReport {
    pub status: ListenerWord,
    #[serde(default)]
    pub stats: ListenerStats,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ListenerWord {
    #[serde(rename = "OPEN")]
    Open,
    /// The connection limit is reached.
    #[serde(rename = "FULL")]
    Full,
    /// A word this version does not know: leaves the status as it is.
    #[serde(other, rename = "?")]
    Unknown,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ListenerStats {
    /// Bytes from clients (`bytes_in`).
    pub rx: u64,
    /// Bytes to clients (`bytes_out`).
    pub tx: u64,
    /// Connections open now (`active_connections`).
    pub conns: u64,
    /// Connections so far (`total_connections`).
    pub totconns: u64,
    /// Requests that were broken or could not be served for the client's fault (`request_errors`).
    pub ereq: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolReport {
    pub status: PoolWord,
    #[serde(default)]
    pub members: BTreeMap<MemberId, MemberWord>,
    /// What the last failed check of a member saw, or why it is not checked; for people. Absent from the original's
    /// agent.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub checks: BTreeMap<MemberId, String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PoolWord {
    #[serde(rename = "UP")]
    Up,
    #[serde(rename = "DOWN")]
    Down,
    #[serde(other, rename = "?")]
    Unknown,
}

/// What an amphora says of a member; check counters after the word (`UP 1/3`) are accepted and dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "&'static str")]
pub enum MemberWord {
    Up,
    Down,
    Drain,
    Maintenance,
    NoCheck,
    Restarting,
    Unknown,
}

impl From<String> for MemberWord {
    fn from(word: String) -> Self {
        match word {
            w if w.starts_with("UP") => Self::Up,
            w if w.starts_with("DOWN") => Self::Down,
            w if w.starts_with("DRAIN") => Self::Drain,
            w if w.starts_with("MAINT") => Self::Maintenance,
            w if w.starts_with("no check") => Self::NoCheck,
            w if w.starts_with("RESTARTING") => Self::Restarting,
            _ => Self::Unknown,
        }
    }
}

impl From<MemberWord> for &'static str {
    fn from(word: MemberWord) -> Self {
        match word {
            MemberWord::Up => "UP",
            MemberWord::Down => "DOWN",
            MemberWord::Drain => "DRAIN",
            MemberWord::Maintenance => "MAINT",
            MemberWord::NoCheck => "no check",
            MemberWord::Restarting => "RESTARTING",
            MemberWord::Unknown => "?",
        }
    }
}

/// Why a datagram is not a heartbeat. Nothing of its content is trusted before the signature held.
#[derive(Debug, thiserror::Error)]
pub enum HeartbeatError {
    #[error("shorter than a signature")]
    Short,
    #[error("the signature does not match: another key, or a forgery")]
    Signature,
    #[error("inflates to more than {MAX_INFLATED} bytes, or is not a zlib stream")]
    Inflate,
    #[error("signed, but not a heartbeat: {0}")]
    Content(#[from] serde_json::Error),
    #[error("does not fit into a datagram of {MAX_DATAGRAM} bytes")]
    TooLarge,
}

impl Heartbeat {
    /// Packs and signs.
    pub fn seal(&self, key: &[u8]) -> Result<Vec<u8>, HeartbeatError> {
        use std::io::Write;

        let json = serde_json::to_vec(self)?;
        let mut zlib =
            flate2::write::ZlibEncoder::new(Vec::with_capacity(json.len() / 2), flate2::Compression::best());
        zlib.write_all(&json).map_err(|_| HeartbeatError::TooLarge)?;
        let datagram = sign(zlib.finish().map_err(|_| HeartbeatError::TooLarge)?, key);
        if datagram.len() > MAX_DATAGRAM { Err(HeartbeatError::TooLarge) } else { Ok(datagram) }
    }

    /// Checks the signature, then unpacks.
    pub fn open(datagram: &[u8], key: &[u8]) -> Result<Self, HeartbeatError> {
        let body = verified_body(datagram, key)?;
        INFLATER.with_borrow_mut(|inflater| Ok(serde_json::from_slice(inflater.inflate(body)?)?))
    }
}

thread_local! {
    static INFLATER: RefCell<Inflater> = RefCell::new(Inflater {
        state: Decompress::new(true),
        out: Vec::with_capacity(INFLATER_ROOM),
    });
}

/// Memory that a thread keeps for this, in bytes; most heartbeats take less.
const INFLATER_ROOM: usize = 32 << 10;

/// To make one costs as much as to use it.
struct Inflater {
    state: Decompress,
    out: Vec<u8>,
}

impl Inflater {
    /// What follows the stream is passed over.
    fn inflate(&mut self, body: &[u8]) -> Result<&[u8], HeartbeatError> {
        self.state.reset(true);
        self.out.clear();
        self.out.shrink_to(INFLATER_ROOM);
        loop {
            let (taken, made) = (self.state.total_in(), self.out.len());
            let rest = usize::try_from(taken).ok().and_then(|taken| body.get(taken..)).unwrap_or_default();
            let status = self.state.decompress_vec(rest, &mut self.out, FlushDecompress::None);
            if self.out.len() as u64 > MAX_INFLATED {
                return Err(HeartbeatError::Inflate);
            }
            match status.map_err(|_| HeartbeatError::Inflate)? {
                Status::StreamEnd => return Ok(&self.out),
                // Nothing moves though there is room: the stream has no end.
                _ if self.out.len() < self.out.capacity()
                    && (made, taken) == (self.out.len(), self.state.total_in()) =>
                {
                    return Err(HeartbeatError::Inflate);
                }
                _ if self.out.len() == self.out.capacity() => self.out.reserve(self.out.capacity()),
                _ => {}
            }
        }
    }
}

fn verified_body<'a>(datagram: &'a [u8], key: &[u8]) -> Result<&'a [u8], HeartbeatError> {
    let (body, signature) = datagram.split_last_chunk::<64>().ok_or(HeartbeatError::Short)?;
    if let Some(digest) = unhex(signature)
        && mac(key, body).verify_slice(&digest).is_ok()
    {
        return Ok(body);
    }
    let (body, digest) = datagram.split_last_chunk::<32>().ok_or(HeartbeatError::Short)?;
    mac(key, body).verify_slice(digest).map_err(|_| HeartbeatError::Signature)?;
    Ok(body)
}

pub(crate) fn sign(mut body: Vec<u8>, key: &[u8]) -> Vec<u8> {
    let digest = mac(key, &body).finalize().into_bytes();
    body.extend(hex(&digest));
    body
}

fn mac(key: &[u8], body: &[u8]) -> Hmac<Sha256> {
    #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any key length");
    mac.update(body);
    mac
}

fn hex(bytes: &[u8]) -> impl Iterator<Item = u8> + '_ {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().flat_map(|b| [DIGITS[usize::from(b >> 4)], DIGITS[usize::from(b & 15)]])
}

fn unhex(text: &[u8; 64]) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        let high = char::from(pair[0]).to_digit(16)?;
        let low = char::from(pair[1]).to_digit(16)?;
        *byte = u8::try_from(high << 4 | low).ok()?;
    }
    Some(bytes)
}

/// `<pool id>:<listener id>`, split at the last colon; a bare pool id is itself.
pub fn pool_of_key(key: &str) -> Option<PoolId> {
    key.rsplit_once(':').map_or(key, |(pool, _)| pool).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beat() -> Heartbeat {
        Heartbeat {
            id: AmphoraId::new_v4(),
            seq: 7,
            ver: 2,
            listeners: BTreeMap::from([(
                ListenerId::new_v4(),
                ListenerReport {
                    status: ListenerWord::Open,
                    stats: ListenerStats { rx: 1, ..Default::default() },
                },
            )]),
            pools: BTreeMap::from([(
                format!("{}:{}", PoolId::new_v4(), ListenerId::new_v4()),
                PoolReport {
                    status: PoolWord::Up,
                    members: BTreeMap::from([(MemberId::new_v4(), MemberWord::NoCheck)]),
                    checks: BTreeMap::new(),
                },
            )]),
            boot: Some(Uuid::new_v4()),
            generation: Some(3),
            faults: vec![],
            partial: false,
            vrrp: Some(VrrpState::Backup),
        }
    }

    #[test]
    fn seals_and_opens() {
        let beat = beat();
        let datagram = beat.seal(b"key").unwrap();
        assert_eq!(Heartbeat::open(&datagram, b"key").unwrap(), beat);
    }

    #[test]
    fn what_is_not_told_or_not_known_of_vrrp_says_nothing() {
        let told = |vrrp: &str| {
            let text = format!(r#"{{"id": "{}", "seq": 1{vrrp}}}"#, AmphoraId::nil());
            serde_json::from_str::<Heartbeat>(&text).unwrap()
        };
        for (text, expected) in [
            ("", None),
            (r#", "vrrp": null"#, None),
            (r#", "vrrp": "MASTER""#, Some(VrrpState::Master)),
            (r#", "vrrp": "FAULT""#, Some(VrrpState::Fault)),
            (r#", "vrrp": "SIDEWAYS""#, None),
        ] {
            assert_eq!(told(text).vrrp, expected, "{text}");
        }
        assert!(
            !serde_json::to_string(&told("")).unwrap().contains("vrrp"),
            "the original's has no such key"
        );
    }

    #[test]
    fn refuses_every_altered_byte_and_another_key() {
        let datagram = beat().seal(b"key").unwrap();
        assert!(matches!(Heartbeat::open(&datagram, b"other"), Err(HeartbeatError::Signature)));
        for at in 0..datagram.len() {
            let mut altered = datagram.clone();
            altered[at] ^= 1;
            assert!(Heartbeat::open(&altered, b"key").is_err(), "byte {at}");
        }
        for length in [0, 31, 32, 63, 64] {
            assert!(Heartbeat::open(&datagram[..length], b"key").is_err(), "length {length}");
        }
    }

    #[test]
    fn accepts_a_raw_digest() {
        let beat = beat();
        let datagram = beat.seal(b"key").unwrap();
        let mut raw = datagram[..datagram.len() - 64].to_vec();
        let digest = mac(b"key", &raw).finalize().into_bytes();
        raw.extend(digest);
        assert_eq!(Heartbeat::open(&raw, b"key").unwrap(), beat);
    }

    #[test]
    fn refuses_a_bomb() {
        use std::io::Write;
        let mut zlib = flate2::write::ZlibEncoder::new(vec![], flate2::Compression::best());
        zlib.write_all(&vec![b' '; MAX_INFLATED as usize + 1]).unwrap();
        let datagram = sign(zlib.finish().unwrap(), b"key");
        assert!(matches!(Heartbeat::open(&datagram, b"key"), Err(HeartbeatError::Inflate)));
    }

    #[test]
    fn reads_the_originals_words() {
        for (text, word) in [
            ("UP", MemberWord::Up),
            ("UP 1/3", MemberWord::Up),
            ("DOWN 1/2", MemberWord::Down),
            ("DRAIN", MemberWord::Drain),
            ("MAINT", MemberWord::Maintenance),
            ("no check", MemberWord::NoCheck),
            ("RESTARTING", MemberWord::Restarting),
            ("sideways", MemberWord::Unknown),
        ] {
            assert_eq!(MemberWord::from(text.to_owned()), word);
        }
        let report: ListenerReport = serde_json::from_str(r#"{"status": "STOP"}"#).unwrap();
        assert_eq!(report.status, ListenerWord::Unknown);
    }
}
