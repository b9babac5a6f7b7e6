//! What the kernel forwards instead of the proxy: it follows what the proxy says of members.

use std::collections::BTreeSet;

use octavia_model::MemberId;
use octavia_wire::{MemberWord, ProxyReport};
use uuid::Uuid;

use super::Agent;

impl Agent {
    /// Brings the kernel's rules in line with the spec, once the proxy has it. Whether the faults are others now.
    pub(super) async fn forward(&mut self) -> bool {
        let (Some(forwarding), Some(spec)) = (&self.forwarding, &self.spec) else { return false };
        if !forwarding.concerns(spec) {
            return false;
        }
        match self.report().await {
            Some((boot, mut report)) => self.follow(boot, &mut report).await,
            None => false,
        }
    }

    /// The same with what the proxy has just reported, which is completed with what was forwarded.
    pub(super) async fn follow(&mut self, boot: Uuid, report: &mut ProxyReport) -> bool {
        let (Some(forwarding), Some(spec)) = (&mut self.forwarding, &self.spec) else { return false };
        if !forwarding.concerns(spec) {
            return false;
        }
        let down = down(report);
        let others = forwarding.follow(spec, &down, boot).await;
        report.listeners.extend(forwarding.reports(spec, &down, boot));
        others
    }
}

fn down(report: &ProxyReport) -> BTreeSet<MemberId> {
    let members = report.pools.values().flat_map(|pool| &pool.members);
    members.filter(|(_, member)| member.status == MemberWord::Down).map(|(id, _)| *id).collect()
}
