//! QoS policies: how fast ports that have one may be.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Book, BookError, Change};
use crate::BandwidthLimit;

/// Seen from the amphora.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::local) enum Direction {
    Egress,
    Ingress,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::local) struct LimitRule {
    pub(in crate::local) id: Uuid,
    pub(in crate::local) direction: Direction,
    pub(in crate::local) max_kbps: u32,
    /// 0 = what suits the rate.
    pub(in crate::local) max_burst_kbps: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::local) struct Policy {
    pub(in crate::local) id: Uuid,
    pub(in crate::local) project_id: String,
    pub(in crate::local) name: String,
    pub(in crate::local) description: String,
    pub(in crate::local) shared: bool,
    /// One of a direction at most.
    pub(in crate::local) rules: Vec<LimitRule>,
    #[serde(with = "crate::local::time")]
    pub(in crate::local) created_at: Timestamp,
    #[serde(with = "crate::local::time")]
    pub(in crate::local) updated_at: Timestamp,
    pub(in crate::local) revision: u32,
}

impl Policy {
    pub(in crate::local) fn limit(&self, direction: Direction) -> Option<BandwidthLimit> {
        self.rules.iter().find(|rule| rule.direction == direction).map(|rule| BandwidthLimit {
            kbps: rule.max_kbps,
            burst_kbit: (rule.max_burst_kbps > 0).then_some(rule.max_burst_kbps),
        })
    }

    pub(in crate::local) fn changed(&self, now: Timestamp) -> Self {
        Self { updated_at: now, revision: self.revision + 1, ..self.clone() }
    }
}

impl Book {
    pub(in crate::local) fn policy(&self, id: Uuid) -> Option<&Policy> {
        self.policies.get(&id)
    }

    pub(in crate::local) fn policies(&self) -> impl Iterator<Item = &Policy> {
        self.policies.values()
    }

    pub(in crate::local) fn policy_delete(&self, id: Uuid) -> Result<Change, BookError> {
        if self.policy(id).is_none() {
            return Err(BookError::PolicyUnknown(id));
        }
        match self.ports().find(|port| port.qos_policy_id == Some(id)) {
            Some(port) => Err(BookError::PolicyInUse(id, port.id)),
            None => Ok(Change::PolicyRemove(id)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_limits_each_direction_for_itself() {
        let rule = |direction, max_burst_kbps| LimitRule {
            id: Uuid::new_v4(),
            direction,
            max_kbps: 1000,
            max_burst_kbps,
        };
        let policy = Policy {
            id: Uuid::new_v4(),
            project_id: "p".into(),
            name: String::new(),
            description: String::new(),
            shared: false,
            rules: vec![rule(Direction::Ingress, 0)],
            created_at: Timestamp::UNIX_EPOCH,
            updated_at: Timestamp::UNIX_EPOCH,
            revision: 1,
        };
        assert_eq!(policy.limit(Direction::Egress), None);
        assert_eq!(policy.limit(Direction::Ingress), Some(BandwidthLimit { kbps: 1000, burst_kbit: None }));
        let policy = Policy { rules: vec![rule(Direction::Egress, 80)], ..policy };
        assert_eq!(
            policy.limit(Direction::Egress),
            Some(BandwidthLimit { kbps: 1000, burst_kbit: Some(80) })
        );
    }
}
