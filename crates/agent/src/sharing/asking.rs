//! Asks one peer again and again what is new in its tables.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use octavia_wire::sharing::{Answer, Ask, MOST_ENTRIES, Marks, SharedTable};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::line::{Line, LineError};
use super::{Circle, Question};
use crate::complaints::Complaints;
use crate::namespace::Namespace;

/// The newest clients of a holder that dies are unknown to its peer: those of so long at the most.
const OFTEN: Duration = Duration::from_millis(100);
/// Whoever serves has its clients itself.
const NOW_AND_THEN: Duration = Duration::from_secs(1);
const RETRY: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Asker {
    pub(super) circle: Circle,
    pub(super) peer: IpAddr,
    pub(super) namespace: Option<Namespace>,
    pub(super) questions: mpsc::Sender<Question>,
    pub(super) serves: Arc<AtomicBool>,
}

impl Asker {
    pub(super) async fn always(self) {
        let mut complaints = Complaints::default();
        loop {
            let Err(error) = self.ask().await;
            if let Some(unsaid) = complaints.note(Instant::now()) {
                tracing::info!(peer = %self.peer, %error, unsaid, "where a peer sends clients is not known for now");
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    /// Each connection begins with all there is.
    async fn ask(&self) -> Result<Infallible, LineError> {
        let Circle { source, sharing, .. } = &self.circle;
        let peer = SocketAddr::new(self.peer, sharing.port);
        let mut line = Line::connect(self.namespace.as_ref(), *source, peer, &sharing.key).await?;
        let mut marks = Marks::new();
        loop {
            line.tell(&Ask { since: marks.clone() }).await?;
            let Answer { tables } = line.answer().await?;
            let entries: usize = tables.values().map(|table: &SharedTable| table.entries.len()).sum();
            let told: Vec<_> = tables.iter().map(|(pool, table)| (*pool, table.mark)).collect();
            let mut learns = told.is_empty();
            if !told.is_empty() {
                let (sender, learned) = oneshot::channel();
                let question = Question::Learn(tables, sender);
                self.questions.send(question).await.map_err(|_| LineError::Ending)?;
                // A proxy that is gone has learned nothing.
                let learned = learned.await.unwrap_or_default();
                learns = !learned.is_empty();
                marks.extend(told.into_iter().filter(|(pool, _)| learned.contains(pool)));
            }
            let pause = match () {
                // There is more of it; where nothing is learned it would be the same again.
                () if entries >= MOST_ENTRIES && learns => continue,
                () if self.serves.load(Relaxed) => NOW_AND_THEN,
                () => OFTEN,
            };
            tokio::time::sleep(pause).await;
        }
    }
}
