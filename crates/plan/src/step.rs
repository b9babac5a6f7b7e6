//! What a plan is made of.

use std::collections::BTreeMap;
use std::fmt;

use octavia_model::{Amphora, AmphoraId, AmphoraRole, ListenerId, Reason};

/// One idempotent action. Whatever of it was done before, doing it again ends in the same state.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// The VIP's address is taken again.
    VipEnsure,
    /// A row for a new amphora, so that what is made for it later carries an id we know.
    AmphoraCreate { role: AmphoraRole },
    /// The amphora's server is made, or started if it stopped, with fresh boot files.
    ServerEnsure { amphora: AmphoraId },
    /// The amphora's ports are made, so that others can be told of its address.
    PortsEnsure { amphora: AmphoraId },
    /// The whole spec of the current generation goes to the agent.
    SpecPush { amphora: AmphoraId },
    /// The agent gets a new certificate, and the authorities and the heartbeat key that are good now.
    PapersPush { amphora: AmphoraId },
    /// What was observed of an amphora goes into its row.
    AmphoraRecord(Box<Amphora>),
    /// The amphora's row is marked for removal; a replacement follows.
    AmphoraRetire { amphora: AmphoraId, reason: Reason },
    /// The amphora's server goes, then its row.
    AmphoraDelete { amphora: AmphoraId },
    /// The generation is in force: pending statuses end, except for listeners that could not be opened.
    Settle { generation: u64, faults: BTreeMap<ListenerId, Reason> },
    /// The load balancer becomes `ERROR`; work on it goes on.
    Fail { generation: u64, reason: Reason },
    /// The VIP's address is given back, then the rows go. Last step of a deletion.
    LoadBalancerDelete,
}

impl Step {
    /// The step's name in the ledger.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::VipEnsure => "vip_ensure",
            Self::AmphoraCreate { .. } => "amphora_create",
            Self::ServerEnsure { .. } => "server_ensure",
            Self::PortsEnsure { .. } => "ports_ensure",
            Self::SpecPush { .. } => "spec_push",
            Self::PapersPush { .. } => "papers_push",
            Self::AmphoraRecord(_) => "amphora_record",
            Self::AmphoraRetire { .. } => "amphora_retire",
            Self::AmphoraDelete { .. } => "amphora_delete",
            Self::Settle { .. } => "settle",
            Self::Fail { .. } => "fail",
            Self::LoadBalancerDelete => "load_balancer_delete",
        }
    }

    /// The amphora it is about.
    pub fn amphora(&self) -> Option<AmphoraId> {
        match self {
            Self::ServerEnsure { amphora }
            | Self::PortsEnsure { amphora }
            | Self::SpecPush { amphora }
            | Self::PapersPush { amphora }
            | Self::AmphoraRetire { amphora, .. }
            | Self::AmphoraDelete { amphora } => Some(*amphora),
            Self::AmphoraRecord(row) => Some(row.id),
            Self::VipEnsure
            | Self::AmphoraCreate { .. }
            | Self::Settle { .. }
            | Self::Fail { .. }
            | Self::LoadBalancerDelete => None,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.name())?;
        if let Some(amphora) = self.amphora() {
            write!(f, " {amphora}")?;
        }
        match self {
            Self::AmphoraCreate { role } => write!(f, " {role}"),
            Self::AmphoraRecord(row) => write!(f, " {} applied {}", row.status, row.applied_generation),
            Self::AmphoraRetire { reason, .. } => write!(f, ": {}", reason.code),
            Self::Settle { generation, faults } => {
                write!(f, " generation {generation}")?;
                faults.iter().try_for_each(|(listener, reason)| write!(f, ", {listener}: {}", reason.code))
            }
            Self::Fail { generation, reason } => write!(f, " generation {generation}: {reason}"),
            _ => Ok(()),
        }
    }
}
