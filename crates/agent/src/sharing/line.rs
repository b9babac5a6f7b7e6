//! A connection between two amphorae that share.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use octavia_wire::SharingKey;
use octavia_wire::sharing::{Frames, Greeting, Seal, SharingError};
use serde::Serialize;
use serde::de::DeserializeOwned;
use socket2::{Domain, Socket, Type};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use uuid::Uuid;

use crate::namespace::{Namespace, within};

/// How long anything may take that the other one has not to wait for.
const PATIENCE: Duration = Duration::from_secs(5);
/// Read at once.
const PIECE: usize = 16 << 10;
const BACKLOG: i32 = 8;

#[derive(Debug, thiserror::Error)]
pub(super) enum LineError {
    #[error("nothing within {0:?}")]
    Silent(Duration),
    #[error("closed by the other side")]
    Closed,
    #[error("the agent is about to end")]
    Ending,
    #[error(transparent)]
    Sharing(#[from] SharingError),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Which end of it is ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Asker,
    Answerer,
}

#[derive(Debug)]
pub(super) struct Line {
    stream: TcpStream,
    frames: Frames,
    seal: Seal,
    piece: Box<[u8]>,
}

impl Line {
    /// From an amphora's own address to a peer's.
    pub(super) async fn connect(
        namespace: Option<&Namespace>,
        from: IpAddr,
        to: SocketAddr,
        key: &SharingKey,
    ) -> Result<Self, LineError> {
        let socket = within(namespace, || socket((from, 0).into()))??;
        let socket = TcpSocket::from_std_stream(socket.into());
        let stream = in_time(PATIENCE, async { Ok(socket.connect(to).await?) }).await?;
        Self::greet(stream, key, End::Asker).await
    }

    /// Both greet, and neither waits for the other to do so first.
    pub(super) async fn greet(mut stream: TcpStream, key: &SharingKey, end: End) -> Result<Self, LineError> {
        stream.set_nodelay(true)?;
        let ours = Greeting::new(Uuid::new_v4().into_bytes());
        let theirs = in_time(PATIENCE, async {
            stream.write_all(ours.bytes()).await?;
            let mut theirs = [0; Greeting::LENGTH];
            stream.read_exact(&mut theirs).await?;
            Ok(Greeting::read(theirs)?)
        })
        .await?;
        let (seal, opens) = match end {
            End::Asker => Seal::both(key, &ours, &theirs),
            End::Answerer => {
                let (asked, answered) = Seal::both(key, &theirs, &ours);
                (answered, asked)
            }
        };
        Ok(Self { stream, frames: Frames::new(opens), seal, piece: vec![0; PIECE].into() })
    }

    pub(super) async fn tell(&mut self, message: &impl Serialize) -> Result<(), LineError> {
        let frame = self.seal.frame(message)?;
        in_time(PATIENCE, async { Ok(self.stream.write_all(&frame).await?) }).await
    }

    pub(super) async fn answer<T: DeserializeOwned>(&mut self) -> Result<T, LineError> {
        self.hear(PATIENCE).await
    }

    /// The next message, if it comes in this time.
    pub(super) async fn hear<T: DeserializeOwned>(&mut self, within: Duration) -> Result<T, LineError> {
        in_time(within, async {
            loop {
                if let Some(message) = self.frames.message()? {
                    return Ok(message);
                }
                match self.stream.read(&mut self.piece).await? {
                    0 => return Err(LineError::Closed),
                    length => self.frames.push(&self.piece[..length]),
                }
            }
        })
        .await
    }
}

async fn in_time<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, LineError>>,
) -> Result<T, LineError> {
    tokio::time::timeout(limit, work).await.unwrap_or(Err(LineError::Silent(limit)))
}

/// Listens at an amphora's own address.
pub(super) fn listen(namespace: Option<&Namespace>, at: SocketAddr) -> io::Result<TcpListener> {
    let socket = within(namespace, || {
        let socket = socket(at)?;
        socket.listen(BACKLOG)?;
        Ok::<_, io::Error>(socket)
    })??;
    TcpListener::from_std(socket.into())
}

fn socket(at: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(at), Type::STREAM, None)?;
    // Connections of an agent before may still be closing.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&at.into())?;
    Ok(socket)
}
