//! Answers peers what is new in the tables here.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use octavia_wire::SharingKey;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;

use super::line::{End, Line, LineError, listen};
use super::{Circle, Question};
use crate::complaints::Complaints;
use crate::namespace::Namespace;

/// A peer that asks nothing for so long is gone.
const IDLE: Duration = Duration::from_secs(30);
const RETRY: Duration = Duration::from_secs(1);

pub(super) async fn always(circle: Circle, namespace: Option<Namespace>, questions: mpsc::Sender<Question>) {
    let mut complaints = Complaints::default();
    let at = SocketAddr::new(circle.source, circle.sharing.port);
    let mut complain = |what: &str, error: String| {
        if let Some(unsaid) = complaints.note(Instant::now()) {
            tracing::info!(%at, error, unsaid, "{what}");
        }
    };
    // One connection of each peer: the one before is of a life of it that is over.
    let mut lines = JoinSet::new();
    let mut of_peer: HashMap<IpAddr, AbortHandle> = HashMap::new();
    loop {
        let listener = match listen(namespace.as_ref(), at) {
            Ok(listener) => listener,
            Err(error) => {
                complain("peers cannot be told where clients are sent", error.to_string());
                tokio::time::sleep(RETRY).await;
                continue;
            }
        };
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, from)) if circle.peers.contains(&from.ip()) => {
                        let (key, questions) = (circle.sharing.key.clone(), questions.clone());
                        let line = async move { (from, answer(stream, &key, &questions).await) };
                        if let Some(before) = of_peer.insert(from.ip(), lines.spawn(line)) {
                            before.abort();
                        }
                    }
                    Ok((_, from)) => complain("a stranger asks where clients are sent", from.to_string()),
                    Err(error) => {
                        complain("a peer could not be let in", error.to_string());
                        tokio::time::sleep(RETRY).await;
                        break;
                    }
                },
                Some(Ok((from, Err(error)))) = lines.join_next() => {
                    complain("a peer asks no more where clients are sent", format!("{from}: {error}"));
                }
            }
        }
    }
}

async fn answer(
    stream: TcpStream,
    key: &SharingKey,
    questions: &mpsc::Sender<Question>,
) -> Result<Infallible, LineError> {
    let mut line = Line::greet(stream, key, End::Answerer).await?;
    loop {
        let ask = line.hear(IDLE).await?;
        let (sender, answer) = oneshot::channel();
        questions.send(Question::News(ask, sender)).await.map_err(|_| LineError::Ending)?;
        // Without a proxy there is nothing new.
        line.tell(&answer.await.unwrap_or_default()).await?;
    }
}
