//! That what keys of session tickets follow from does not lie here longer than it is needed.

use std::time::SystemTime;

use super::Agent;

impl Agent {
    /// The proxy goes on by itself, and what a controller pushes has the same secret: so nobody has to be told.
    pub(super) fn turn_tickets(&mut self) {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let Some(spec) = &mut self.spec else { return };
        if spec.turn_tickets(now.as_secs())
            && let Err(error) = self.file.store_alone(spec)
        {
            tracing::warn!(%error, "secrets of session tickets that are over stay on the disk until the next are");
        }
    }
}
