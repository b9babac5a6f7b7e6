//! What peers ask of the proxy's stick tables, and tell it.

use octavia_wire::sharing::Answer;
use tokio::time::Instant;

use super::Agent;
use crate::sharing::Question;

impl Agent {
    /// Who asked hears nothing where there is no proxy to ask.
    pub(super) async fn share(&mut self, question: Question) {
        let Some(proxy) = &mut self.proxy else { return };
        let asked = match question {
            Question::News(ask, answer) => proxy.share(ask.since).await.map(|tables| {
                let _ = answer.send(Answer { tables });
            }),
            Question::Learn(tables, answer) => proxy.learn(tables).await.map(|pools| {
                let _ = answer.send(pools);
            }),
        };
        if let Err(error) = asked {
            self.mend(&error).await;
            // It may not run what we thought.
            self.retry_at = Some(Instant::now());
        }
    }
}
