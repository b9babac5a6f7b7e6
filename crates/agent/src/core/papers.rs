//! Taking new papers: another certificate, other authorities, another key of heartbeats.

use std::io;

use octavia_wire::{AgentFault, BootConfig, Papers, PapersReport};

use super::Agent;

impl Agent {
    /// Takes papers that were found to be in order ([`crate::tls::Tls::examine`]). They are good from the next connection
    /// and the next heartbeat on, also after a restart; if they cannot be stored, those before are.
    pub(super) fn renew_papers(&mut self, papers: Papers) -> Result<PapersReport, AgentFault> {
        let spec = self.spec.as_ref().map_or(0, |spec| spec.fence);
        let newest = self.boot.papers.fence.max(spec).max(self.running().0);
        if papers.fence < newest {
            let error = format!("papers of fence {}, where {newest} is known already", papers.fence);
            return Err(AgentFault { error, http_code: 409 });
        }
        let report = PapersReport { fence: papers.fence, mark: papers.mark };
        let boot =
            BootConfig { heartbeat_key: papers.heartbeat_key, papers: report.clone(), ..self.boot.clone() };
        let json = serde_json::to_vec_pretty(&boot).map_err(|error| unstored(&error.into()))?;
        // What says that they are there comes last.
        let files = [
            (boot.client_ca.as_path(), papers.client_ca.as_bytes()),
            (boot.server_cert.as_path(), papers.server_cert.as_bytes()),
            (BootConfig::FILE.as_ref(), json.as_slice()),
        ];
        self.directory.replace(&files).map_err(|error| unstored(&error))?;
        self.sender.sign_with(boot.heartbeat_key.clone());
        self.boot = boot;
        // Shows at once that controllers know the key.
        self.pace.hurry();
        tracing::info!(fence = report.fence, "papers renewed");
        Ok(report)
    }
}

fn unstored(error: &io::Error) -> AgentFault {
    let full = matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
    let error = format!("the papers could not be stored: {error}");
    AgentFault { error, http_code: if full { 507 } else { 500 } }
}
