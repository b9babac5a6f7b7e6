//! What a proxy leaves to the one that takes over from it: what it counted, what checks found, where clients were sent.
//!
//! Both know their counters by name: one that the other does not know is passed over, one that is not told is zero.

use std::collections::BTreeMap;
use std::net::IpAddr;

use octavia_model::{ListenerId, MemberId, PoolId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::MemberWord;

/// Counters by name; some are rows of several. What is all zero is left out.
pub type Counts = BTreeMap<String, Vec<u64>>;

/// All that a process has counted, with what it took over, and what is open in it alone ([`Reckoning::OPEN`]).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Reckoning {
    pub listeners: BTreeMap<ListenerId, Counts>,
    pub routes: BTreeMap<ListenerId, BTreeMap<PoolId, Counts>>,
    pub members: BTreeMap<MemberId, Counts>,
    /// Of listeners that are gone.
    pub forgotten: Counts,
}

impl Reckoning {
    /// No counter, but what is there now: connections of a listener, or what a member serves.
    pub const OPEN: &str = "open";

    /// The process is gone, and with it all that was open in it.
    pub fn close(&mut self) {
        for counts in self.listeners.values_mut().chain(self.members.values_mut()) {
            counts.remove(Self::OPEN);
        }
    }
}

/// What a proxy leaves, but for its stick tables, which may be large.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Estate {
    /// The process that leaves it.
    pub process: Uuid,
    /// What its totals count from, and those of its successor will.
    pub boot: Uuid,
    pub reckoning: Reckoning,
    /// What processes before it have told it last: they may still count.
    pub told: BTreeMap<Uuid, Reckoning>,
    pub members: BTreeMap<MemberId, MemberHealth>,
}

/// What checks have made of a member. Times are in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberHealth {
    /// `UP`, `DOWN` or `no check`.
    pub word: MemberWord,
    /// Its place on the monitor's scale, if it is checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<u8>,
    /// What the last failed check saw.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<String>,
    /// For how long it has been so.
    #[serde(default)]
    pub age: u64,
    #[serde(default)]
    pub downs: u64,
    #[serde(default)]
    pub downtime: u64,
    #[serde(default)]
    pub failures: u64,
}

/// What the entries of a stick table are about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StickSubject {
    Address(Option<IpAddr>),
    Cookie(String),
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StickEntries {
    pub subject: StickSubject,
    /// Clients are told apart by their hash under it.
    pub secret: (u64, u64),
    /// Client, member, and for how many milliseconds it has not been seen; the longest first.
    pub entries: Vec<(u64, MemberId, u64)>,
}

impl std::fmt::Debug for StickEntries {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StickEntries")
            .field("subject", &self.subject)
            .field("secret", &"<secret>")
            .field("entries", &self.entries.len())
            .finish()
    }
}
