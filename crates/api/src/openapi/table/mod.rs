//! What the API says of each resource, attribute by attribute: the one source of schemas and pages.
//!
//! The four words of a row are what a create, an element of a whole tree, an update and an answer have.

mod amphora;
mod catalogue;
mod health_monitor;
mod l7;
mod listener;
mod load_balancer;
mod member;
mod operation;
mod pool;
mod provider;
mod quota;

use super::attribute::Resource;

pub(super) use amphora::AMPHORA;
pub(super) use catalogue::{AVAILABILITY_ZONE, AVAILABILITY_ZONE_PROFILE, FLAVOR, FLAVOR_PROFILE};
pub(super) use health_monitor::HEALTH_MONITOR;
pub(super) use l7::{L7_POLICY, L7_RULE};
pub(super) use listener::LISTENER;
pub(super) use load_balancer::LOAD_BALANCER;
pub(super) use member::MEMBER;
pub(super) use operation::OPERATION;
pub(super) use pool::POOL;
pub(super) use provider::{AVAILABILITY_ZONE_CAPABILITY, FLAVOR_CAPABILITY, PROVIDER};
pub(super) use quota::QUOTA;

/// Every resource, in the order of the endpoints.
pub(super) const RESOURCES: &[&Resource] = &[
    &LOAD_BALANCER,
    &LISTENER,
    &POOL,
    &MEMBER,
    &HEALTH_MONITOR,
    &L7_POLICY,
    &L7_RULE,
    &QUOTA,
    &PROVIDER,
    &FLAVOR_CAPABILITY,
    &AVAILABILITY_ZONE_CAPABILITY,
    &FLAVOR,
    &FLAVOR_PROFILE,
    &AVAILABILITY_ZONE,
    &AVAILABILITY_ZONE_PROFILE,
    &AMPHORA,
    &OPERATION,
];

// Sentences that several resources share.

const ID: &str = "Chosen by the server.";
const NAME: &str = "For people; need not be unique.";
const DESCRIPTION: &str = "For people.";
const ADMIN_STATE_UP: &str = "Whether it takes part; null means false.";
const PROJECT: &str =
    "The project it belongs to: that of its load balancer; what a request says is not used.";
const TENANT: &str = "The older name of `project_id`, with the same value.";
const PROVISIONING: &str = "How far the last wish has got; what is `PENDING_*` is being worked on.";
const OPERATING: &str = "What the data plane sees.";
const REASON: &str = "Why a status is not good, and what helps; only where one object is asked for, and only if there is a reason.";
const TAGS: &str = "Free words to find it by; an update replaces them all, and null leaves them as they are.";
const TLS_CIPHERS: &str = "Ciphers in OpenSSL's words, separated by colons, the most wanted first.";
const TLS_VERSIONS: &str = "TLS versions that are spoken.";
const ALPN: &str = "Protocols offered in the TLS handshake, the most wanted first.";
const CREATED: &str = "When it was made.";
const UPDATED: &str = "When it was last changed; null until then.";

// Bounds and words that several resources share.

const TEXT: usize = crate::body::TEXT_MAX;
const PROJECT_MAX: usize = crate::request::PROJECT_MAX;
const MOST: i64 = i32::MAX as i64;
const PORT: (i64, i64) = (1, 65_535);
const STATUSES: &[&str] = octavia_model::ProvisioningStatus::WORDS;
const OPERATING_STATUSES: &[&str] = octavia_model::OperatingStatus::WORDS;
