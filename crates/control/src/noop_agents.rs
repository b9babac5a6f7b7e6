//! Agents of amphorae that do not exist: whatever is pushed is in force at once.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use octavia_model::AmphoraId;
use octavia_wire::{AgentInfo, AmphoraSpec, ApplyOutcome, ListenerFault, Papers, PapersReport, WIRE_VERSION};
use uuid::Uuid;

use crate::{AgentAddress, AgentError, Agents};

/// The original's `amphora_noop_driver`. What was pushed is remembered as long as the process lives; a new one is
/// pushed to anew.
#[derive(Debug)]
pub struct NoopAgents {
    boot: Uuid,
    applied: Mutex<BTreeMap<AmphoraId, Applied>>,
}

impl NoopAgents {
    /// `boot` tells this process from others.
    pub const fn new(boot: Uuid) -> Self {
        Self { boot, applied: Mutex::new(BTreeMap::new()) }
    }
}

#[derive(Debug, Default, Clone)]
struct Applied {
    precedence: (u64, u64),
    faults: Vec<ListenerFault>,
}

#[async_trait]
impl Agents for NoopAgents {
    async fn spec_push(
        &self,
        agent: AgentAddress,
        spec: &AmphoraSpec,
        _: &[String],
    ) -> Result<ApplyOutcome, AgentError> {
        let mut applied = self.applied.lock().unwrap_or_else(PoisonError::into_inner);
        let faults = spec.tls_faults();
        applied.insert(agent.amphora, Applied { precedence: spec.precedence(), faults: faults.clone() });
        Ok(ApplyOutcome { generation: spec.generation, fence: spec.fence, faults })
    }

    async fn papers_push(&self, _: AgentAddress, papers: &Papers) -> Result<PapersReport, AgentError> {
        Ok(PapersReport { fence: papers.fence, mark: papers.mark.clone() })
    }

    async fn info(&self, agent: AgentAddress) -> Result<AgentInfo, AgentError> {
        let applied = self.applied.lock().unwrap_or_else(PoisonError::into_inner);
        let Applied { precedence: (fence, generation), faults } =
            applied.get(&agent.amphora).cloned().unwrap_or_default();
        Ok(AgentInfo {
            amphora_id: agent.amphora,
            api_version: "2.0".to_owned(),
            software_version: env!("CARGO_PKG_VERSION").to_owned(),
            wire_version: WIRE_VERSION,
            boot: Some(self.boot),
            fence,
            generation,
            faults,
            interfaces: vec![],
            vrrp: None,
            refresh_at: None,
            papers: None,
            takeover: None,
            predecessors: 0,
        })
    }
}
