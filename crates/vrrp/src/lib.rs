//! VRRP: who of several amphorae holds the VIP. Version 3 (RFC 9568, and RFC 5798 before it), and version 2 with
//! passwords (RFC 2338, RFC 3768), which the amphorae of the original speak; both unicast, between peers that know each
//! other.
//!
//! Pure: [`Router`] is fed with datagrams, the time and what its owner has learned, and answers with [`Action`]s. Times
//! are since an origin of the caller's, on a clock that is never set.
//!
//! Newer than these words is RFC 9568's *Active* for what was *Master* before; the original, keepalived and everybody
//! who runs them say master.

#![forbid(unsafe_code)]

mod announcement;
mod checksum;
mod datagram;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod packet;
mod router;
mod settings;

pub use announcement::announcement;
pub use datagram::Datagram;
pub use packet::{Advertisement, Malformed, Password, Version};
pub use router::{Action, Discard, Heard, Router, State};
pub use settings::Settings;

/// The IP protocol.
pub const PROTOCOL: u8 = 112;
/// The time to live, or hop limit, of what is sent: who gets less knows that it came through a router.
pub const TTL: u8 = 255;
