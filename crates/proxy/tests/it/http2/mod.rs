//! Clients that speak HTTP/2, and members that do: an independent implementation where they are honest, frames made by hand where they are not.

mod ending;
mod exchange;
mod flow;
mod hostile;
mod logged;
mod members;
mod raw;
mod sealed;

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use h2::client::{Builder, ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use crate::rig::until;

/// Longer than anything takes here, unless it is stuck.
const DEADLINE: Duration = Duration::from_secs(10);

/// A connection of `h2`, which knows in advance that HTTP/2 is spoken.
struct Peer {
    runtime: Runtime,
    send: SendRequest<Bytes>,
    over: JoinHandle<Result<(), h2::Error>>,
}

#[derive(Debug)]
struct Answer {
    status: u16,
    headers: HeaderMap,
    content: Vec<u8>,
    trailers: Option<HeaderMap>,
}

impl Answer {
    #[track_caller]
    fn text(&self) -> &str {
        std::str::from_utf8(&self.content).unwrap()
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

impl Peer {
    fn connect(address: SocketAddr) -> Self {
        Self::with(address, &Builder::new())
    }

    fn with(address: SocketAddr, builder: &Builder) -> Self {
        let runtime = runtime();
        let tcp = runtime.block_on(TcpStream::connect(address)).unwrap();
        Self::on(runtime, tcp, builder)
    }

    fn on<T>(runtime: Runtime, stream: T, builder: &Builder) -> Self
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (send, connection) = runtime.block_on(builder.handshake::<_, Bytes>(stream)).unwrap();
        let over = runtime.spawn(connection);
        Self { runtime, send, over }
    }

    fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(async { tokio::time::timeout(DEADLINE, future).await }).expect("in time")
    }

    /// Begins a request; `end` = it has no content.
    fn begin(
        &self,
        request: Request<()>,
        end: bool,
    ) -> Result<(ResponseFuture, SendStream<Bytes>), h2::Error> {
        let mut send = self.wait(self.send.clone().ready())?;
        // Not outside the runtime: it may wake tasks.
        self.wait(async move { send.send_request(request, end) })
    }

    fn end(&self, response: ResponseFuture) -> Result<Answer, h2::Error> {
        self.wait(async {
            let (head, mut content) = response.await?.into_parts();
            let (all, trailers) = read(&mut content).await?;
            Ok(Answer { status: head.status.as_u16(), headers: head.headers, content: all, trailers })
        })
    }

    fn ask(&self, request: Request<()>, content: &[u8]) -> Result<Answer, h2::Error> {
        let (response, mut stream) = self.begin(request, content.is_empty())?;
        if !content.is_empty() {
            let content = Bytes::copy_from_slice(content);
            self.wait(async { stream.send_data(content, true) })?;
        }
        self.end(response)
    }

    fn get(&self, path: &str) -> Answer {
        self.ask(request("GET", path), b"").unwrap()
    }

    /// How the connection ends, when nothing more is asked for.
    fn over(self) -> Result<(), h2::Error> {
        let Self { runtime, send, over } = self;
        drop(send);
        runtime.block_on(async { tokio::time::timeout(DEADLINE, over).await }).expect("in time").unwrap()
    }
}

async fn read(content: &mut RecvStream) -> Result<(Vec<u8>, Option<HeaderMap>), h2::Error> {
    let mut all = vec![];
    while let Some(piece) = content.data().await {
        let piece = piece?;
        content.flow_control().release_capacity(piece.len())?;
        all.extend_from_slice(&piece);
    }
    Ok((all, content.trailers().await?))
}

/// Waits until what is counted stands still, and says where.
fn standstill(counter: impl Fn() -> usize) -> usize {
    let mut before = usize::MAX;
    until("it stands still", || {
        std::thread::sleep(Duration::from_millis(100));
        let now = counter();
        std::mem::replace(&mut before, now) == now && now > 0
    });
    before
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

fn request(method: &str, path: &str) -> Request<()> {
    Request::builder().method(method).uri(format!("http://a.example{path}")).body(()).unwrap()
}
