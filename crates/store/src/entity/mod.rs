//! Tables as row structs, and what turns rows into the model and back.
//!
//! Rows are plain: ids and words as text, times as microseconds, every integer 64 bits, structures as JSON text.
//! Nothing outside this crate sees them.

#![allow(unreachable_pub, reason = "the derives make public items")]
#![allow(missing_debug_implementations, reason = "the derives make types without one")]

pub(crate) mod amphora;
pub(crate) mod availability_zone;
pub(crate) mod availability_zone_profile;
pub(crate) mod codec;
pub(crate) mod flavor;
pub(crate) mod flavor_profile;
pub(crate) mod health_monitor;
pub(crate) mod l7policy;
pub(crate) mod l7rule;
pub(crate) mod listener;
pub(crate) mod listener_statistics;
pub(crate) mod load_balancer;
pub(crate) mod member;
pub(crate) mod operation;
pub(crate) mod outbox;
pub(crate) mod pool;
pub(crate) mod quota;
pub(crate) mod receipt;
pub(crate) mod tag;
pub(crate) mod turn;
pub(crate) mod vip_security_group;
