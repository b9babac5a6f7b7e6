//! Bodies of quotas.

use octavia_model::{Limit, OwnLimits};

use crate::body::{Document, Object, Sent};
use crate::fault::Fault;

const ARGUMENT: &str = "quotas";
pub(crate) const ROOT: &str = "quota";

pub(crate) const KEYS: &[&str] = &[
    "loadbalancer",
    "load_balancer",
    "listener",
    "pool",
    "member",
    "healthmonitor",
    "health_monitor",
    "l7policy",
    "l7rule",
];

/// Null = the configured limit again.
#[derive(Debug)]
pub(crate) struct QuotaBody {
    load_balancer: Sent<Limit>,
    listener: Sent<Limit>,
    pool: Sent<Limit>,
    member: Sent<Limit>,
    health_monitor: Sent<Limit>,
    l7policy: Sent<Limit>,
    l7rule: Sent<Limit>,
}

impl QuotaBody {
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Fault> {
        let document = Document::parse(ARGUMENT, bytes)?;
        let object = document.object(ROOT, KEYS)?;
        Ok(Self {
            load_balancer: first(limit(&object, "loadbalancer")?, limit(&object, "load_balancer")?),
            listener: limit(&object, "listener")?,
            pool: limit(&object, "pool")?,
            member: limit(&object, "member")?,
            health_monitor: first(limit(&object, "healthmonitor")?, limit(&object, "health_monitor")?),
            l7policy: limit(&object, "l7policy")?,
            l7rule: limit(&object, "l7rule")?,
        })
    }

    pub(crate) fn apply(&self, limits: &mut OwnLimits) {
        self.load_balancer.change_option(&mut limits.load_balancer);
        self.listener.change_option(&mut limits.listener);
        self.pool.change_option(&mut limits.pool);
        self.member.change_option(&mut limits.member);
        self.health_monitor.change_option(&mut limits.health_monitor);
        self.l7policy.change_option(&mut limits.l7policy);
        self.l7rule.change_option(&mut limits.l7rule);
    }
}

/// Of two spellings of one attribute, the one without the underscore wins.
fn first(plain: Sent<Limit>, alias: Sent<Limit>) -> Sent<Limit> {
    if plain.is_sent() { plain } else { alias }
}

fn limit(object: &Object<'_>, key: &str) -> Result<Sent<Limit>, Fault> {
    let unlimited = i64::from(Limit::UNLIMITED.number());
    let number = object.integer(key, unlimited, i64::from(Limit::MAX))?;
    // The range is the limit's own.
    Ok(number.map(|number| Limit::new(number).unwrap_or_default()))
}
