//! What of its stick tables goes to other amphorae, and comes from them.

use octavia_model::PoolId;
use octavia_wire::sharing::{MOST_ENTRIES, Marks, SharedTables};
use octavia_wire::{ProxyCommand, ProxyEvent};

use super::Proxy;
use crate::link::LinkError;

impl Proxy {
    /// What is new in its tables; of an older one nothing is.
    pub(crate) async fn share(&mut self, since: Marks) -> Result<SharedTables, LinkError> {
        if !self.shares {
            return Ok(SharedTables::new());
        }
        match self.link.ask(&ProxyCommand::Share { since, most: MOST_ENTRIES }, vec![]).await? {
            ProxyEvent::Shared { tables } => Ok(tables),
            _ => Err(LinkError::Unexpected("it does not share")),
        }
    }

    /// Tells it what is new in another amphora's; of which pools it knows that now.
    pub(crate) async fn learn(&mut self, tables: SharedTables) -> Result<Vec<PoolId>, LinkError> {
        if !self.shares {
            return Ok(vec![]);
        }
        match self.link.ask(&ProxyCommand::Learn { tables }, vec![]).await? {
            ProxyEvent::Learned { pools } => Ok(pools),
            _ => Err(LinkError::Unexpected("it does not learn")),
        }
    }
}
