//! Amphorae of which one is to hold the VIPs, and none does, or several do: what they say of it is in the rows, whichever
//! health manager heard it.

use std::collections::BTreeMap;

use octavia_model::{AmphoraId, LoadBalancerId};
use octavia_plan::{Claim, Disagreement, disagreement};
use octavia_store::{PairClaim, StoreError};

use super::HealthManager;

/// What is wrong, and among whom.
pub(super) type Disagreements = BTreeMap<LoadBalancerId, (Disagreement, Vec<AmphoraId>)>;

impl HealthManager {
    /// Looks for pairs that do not agree. Their load balancers are shown so with the next heartbeats, and looked at by a worker.
    pub(super) async fn scan_pairs(&self) -> Result<(), StoreError> {
        let rows = self.store.pairs_without_one_master().await?;
        let now: Disagreements = rows
            .into_iter()
            .filter_map(|(lb, rows)| {
                let claims: Vec<_> = rows.iter().filter_map(claim).collect();
                let what = disagreement(&claims, self.options.agreement_patience)?;
                Some((lb, (what, rows.iter().map(|row| row.amphora).collect())))
            })
            .collect();
        let count = |of| now.values().filter(|(what, _)| *what == of).count().try_into().unwrap_or(i64::MAX);
        self.options.metrics.pairs_without_master.set(count(Disagreement::NoMaster));
        self.options.metrics.pairs_with_many_masters.set(count(Disagreement::ManyMasters));
        let mut woken = vec![];
        {
            let mut state = self.state();
            let before = std::mem::replace(&mut state.disagreeing, now.clone());
            let of = |these: &Disagreements, lb| these.get(lb).map(|(what, _)| *what);
            for (lb, (_, amphorae)) in before.iter().filter(|(lb, (what, _))| of(&now, lb) != Some(*what)) {
                tracing::info!(%lb, "what was wrong among the amphorae about who holds the VIPs is over");
                amphorae.iter().for_each(|amphora| state.heard.review(*amphora));
            }
            for (lb, (what, amphorae)) in now.iter().filter(|(lb, (what, _))| of(&before, lb) != Some(*what))
            {
                match what {
                    Disagreement::NoMaster => tracing::error!(%lb, "none of the amphorae holds the VIPs"),
                    Disagreement::ManyMasters => {
                        tracing::error!(%lb, "more than one amphora holds the VIPs: they do not hear each other");
                    }
                }
                amphorae.iter().for_each(|amphora| state.heard.review(*amphora));
                woken.push(*lb);
            }
        }
        for lb in woken {
            self.store.lb_wake(lb).await?;
        }
        Ok(())
    }

    pub(super) fn disagreement(&self, lb: LoadBalancerId) -> Option<Disagreement> {
        self.state().disagreeing.get(&lb).map(|(what, _)| *what)
    }
}

/// Of one that has never been heard there is nothing to judge.
fn claim(row: &PairClaim) -> Option<Claim> {
    let heard = row.heard?;
    Some(Claim { state: row.state, since: row.since.unwrap_or(heard), heard })
}
