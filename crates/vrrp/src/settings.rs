//! What a router is told by its owner.

use std::net::IpAddr;
use std::time::Duration;

use crate::{Advertisement, Password, Version};

/// One virtual router as one of its routers knows it. Whoever makes it keeps to the ranges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    pub version: Version,
    /// 1-255.
    pub router_id: u8,
    /// 1-254; the largest is master, when several find out at once.
    pub priority: u8,
    /// Between advertisements of this router; a multiple of the version's unit, and no more of it than fits.
    pub interval: Duration,
    /// Whether it takes the addresses from a master of lower priority.
    pub preempt: bool,
    /// Its own address.
    pub source: IpAddr,
    /// The others, of the same family.
    pub peers: Vec<IpAddr>,
    /// Of version 2.
    pub password: Option<Password>,
    /// What the master holds. Those of the source's family, which is at least one, are advertised.
    pub vips: Vec<IpAddr>,
    /// How often a master announces where they are, although nothing changed; zero = never.
    pub announce_every: Duration,
    /// How often each time.
    pub announce_times: u8,
}

impl Settings {
    /// How long nobody may be heard whose advertisements come in this interval: Active_Down_Interval of RFC 9568 §6.1,
    /// Master_Down_Interval before.
    pub fn down_interval(&self, interval: Duration) -> Duration {
        3 * interval + self.skew_time(interval)
    }

    /// Lets the largest priority be the first.
    pub(crate) fn skew_time(&self, interval: Duration) -> Duration {
        let interval = match self.version {
            Version::V2 => Version::V2.unit(),
            Version::V3 => interval,
        };
        interval * (256 - u32::from(self.priority)) / 256
    }

    /// After so long without hearing of this router, every peer has noticed, whatever its priority.
    pub(crate) fn noticed_after(&self) -> Duration {
        4 * self.interval
    }

    pub(crate) fn advertisement(&self, priority: u8) -> Advertisement {
        let is_of_family = |vip: &&IpAddr| vip.is_ipv4() == self.source.is_ipv4();
        Advertisement {
            version: self.version,
            router_id: self.router_id,
            priority,
            interval: self.interval,
            addresses: self.vips.iter().filter(is_of_family).copied().collect(),
            password: self.password.clone(),
        }
    }
}
