//! Clients that count every failure, and servers that send back what comes.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use bytes::Bytes;

use crate::amphora::eventually;

const PATIENCE: Duration = Duration::from_secs(20);
const KINDS: usize = 4;

#[derive(Default)]
pub(super) struct Load {
    stop: AtomicBool,
    /// Requests that were answered, by the kind of client.
    good: [AtomicU64; KINDS],
    bad: Mutex<Vec<String>>,
    /// Connections that were made.
    pub(super) connections: AtomicU64,
}

pub(super) struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

impl Load {
    /// Also when a test fails, so that nobody waits for its clients.
    pub(super) fn stop_at_the_end(&self) -> Stop<'_> {
        Stop(&self.stop)
    }

    /// Every kind of client is served.
    pub(super) fn wait_for_traffic(&self) {
        let before = self.good.each_ref().map(|good| good.load(SeqCst));
        eventually("traffic of every kind", || {
            self.good.iter().zip(before).all(|(good, before)| good.load(SeqCst) > before + 3).then_some(())
        });
    }

    pub(super) fn assert_good(&self) {
        assert_eq!(*self.bad.lock().unwrap(), Vec::<String>::new());
        assert!(self.good.iter().all(|good| good.load(SeqCst) > 20));
    }

    fn connected(&self) {
        self.connections.fetch_add(1, SeqCst);
    }

    fn count(&self, kind: usize, outcome: Result<(), String>) {
        match outcome {
            Ok(()) => _ = self.good[kind].fetch_add(1, SeqCst),
            Err(error) => self.bad.lock().unwrap().push(format!("kind {kind}: {error}")),
        }
    }

    fn is_on(&self) -> bool {
        !self.stop.load(SeqCst)
    }
}

/// A server of HTTP/1.1 whose answer is the request's target; of what asks for an upgrade, and what is no HTTP, it sends
/// everything back. It goes on until the test ends.
pub(super) fn origin(ip: IpAddr) -> SocketAddr {
    let listener = TcpListener::bind((ip, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            std::thread::spawn(move || serve(stream.unwrap()));
        }
    });
    address
}

fn serve(mut stream: TcpStream) -> std::io::Result<()> {
    let mut bytes = vec![];
    let mut chunk = [0; 4096];
    loop {
        let n = stream.read(&mut chunk)?;
        if n == 0 {
            return Ok(());
        }
        bytes.extend_from_slice(&chunk[..n]);
        if !bytes.starts_with(b"GET ") {
            stream.write_all(&bytes)?;
            return std::io::copy(&mut stream.try_clone()?, &mut stream).map(drop);
        }
        while let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8(bytes.drain(..end + 4).collect()).unwrap();
            if head.contains("websocket") {
                stream.write_all(
                    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
                )?;
                stream.write_all(&bytes)?;
                return std::io::copy(&mut stream.try_clone()?, &mut stream).map(drop);
            }
            let target = head.split(' ').nth(1).unwrap();
            stream.write_all(
                format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{target}", target.len()).as_bytes(),
            )?;
        }
    }
}

/// One request; `Ok(true)` = the connection may be used again.
fn ask(stream: &mut TcpStream, target: &str, close: bool) -> Result<bool, String> {
    let close = if close { "Connection: close\r\n" } else { "" };
    let text = |error: std::io::Error| format!("{target}: {error}");
    stream.write_all(format!("GET {target} HTTP/1.1\r\nHost: x\r\n{close}\r\n").as_bytes()).map_err(text)?;
    let mut answer = vec![];
    let mut chunk = [0; 4096];
    loop {
        let n = stream.read(&mut chunk).map_err(text)?;
        if n == 0 {
            return Err(format!("{target}: it ends after {:?}", String::from_utf8_lossy(&answer)));
        }
        answer.extend_from_slice(&chunk[..n]);
        let text = String::from_utf8_lossy(&answer);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        if !head.starts_with("HTTP/1.1 200") {
            return Err(format!("{target}: {text}"));
        }
        if body.len() >= target.len() {
            let keep = !head.to_ascii_lowercase().contains("connection: close");
            return if body == target { Ok(keep) } else { Err(format!("{target}: {text}")) };
        }
    }
}

fn connect(address: SocketAddr) -> Result<TcpStream, String> {
    let stream = TcpStream::connect(address).map_err(|error| format!("connecting: {error}"))?;
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    Ok(stream)
}

pub(super) fn new_connections(address: SocketAddr, load: &Load) {
    for n in 0.. {
        if !load.is_on() {
            return;
        }
        load.connected();
        let outcome = connect(address).and_then(|mut stream| ask(&mut stream, &format!("/new/{n}"), true));
        load.count(0, outcome.map(drop));
    }
}

pub(super) fn kept_connection(address: SocketAddr, load: &Load) {
    keep(address, load, 1, Duration::ZERO);
}

/// One that rests between its requests: the next one must find it open, or have been told.
pub(super) fn idle_connection(address: SocketAddr, load: &Load) {
    keep(address, load, 2, Duration::from_millis(120));
}

fn keep(address: SocketAddr, load: &Load, kind: usize, rest: Duration) {
    let mut open = None;
    for n in 0.. {
        if !load.is_on() {
            return;
        }
        let mut stream = match open.take().map_or_else(
            || {
                load.connected();
                connect(address)
            },
            Ok,
        ) {
            Ok(stream) => stream,
            Err(error) => {
                load.count(kind, Err(error));
                continue;
            }
        };
        let outcome = ask(&mut stream, &format!("/kept/{kind}/{n}"), false);
        if outcome == Ok(true) {
            open = Some(stream);
        }
        load.count(kind, outcome.map(drop));
        std::thread::sleep(rest);
    }
}

/// Requests on one connection of HTTP/2 until it says that it goes; what was sent is to be answered.
pub(super) fn http2(address: SocketAddr, load: &Load) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        while load.is_on() {
            load.connected();
            if let Err(error) = http2_connection(address, load).await {
                load.count(3, Err(error));
            }
        }
    });
}

async fn http2_connection(address: SocketAddr, load: &Load) -> Result<(), String> {
    let text = |error: h2::Error| error.to_string();
    let tcp = tokio::net::TcpStream::connect(address).await.map_err(|error| error.to_string())?;
    let (send, connection) = h2::client::handshake(tcp).await.map_err(text)?;
    let driver = tokio::spawn(connection);
    for n in 0.. {
        if !load.is_on() {
            break;
        }
        // Nothing was sent: a client goes on with another connection.
        let Ok(mut send) = send.clone().ready().await else { break };
        let target = format!("/h2/{n}");
        let request = http::Request::get(format!("http://a.example{target}")).body(()).unwrap();
        let sent = send.send_request(request, true);
        let (response, _): (_, h2::SendStream<Bytes>) = match sent {
            Ok(sent) => sent,
            Err(error) if error.is_go_away() => break,
            Err(error) => return Err(text(error)),
        };
        let answer = async {
            let (head, mut body) = response.await?.into_parts();
            let mut content = vec![];
            while let Some(piece) = body.data().await {
                content.extend_from_slice(&piece?);
            }
            Ok::<_, h2::Error>((head.status.as_u16(), content))
        };
        let answer =
            tokio::time::timeout(PATIENCE, answer).await.map_err(|_| format!("{target}: silence"))?;
        match answer {
            Ok((200, content)) if content == target.as_bytes() => load.count(3, Ok(())),
            Ok((status, _)) => return Err(format!("{target}: {status}")),
            Err(error) => return Err(format!("{target}: {error}")),
        }
    }
    drop(send);
    tokio::time::timeout(PATIENCE, driver)
        .await
        .map_err(|_| "it does not end".to_owned())?
        .unwrap()
        .map_err(text)
}

/// A stream of bytes both ways, over a TCP listener or after an upgrade.
pub(super) struct Stream {
    tcp: TcpStream,
    said: u64,
    pub(super) is_upgraded: bool,
}

impl Stream {
    #[track_caller]
    pub(super) fn open(address: SocketAddr, upgrade: bool) -> Self {
        let mut tcp = connect(address).unwrap();
        if upgrade {
            tcp.write_all(
                b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
            )
            .unwrap();
            let mut head = vec![];
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                tcp.read_exact(&mut byte).unwrap();
                head.push(byte[0]);
            }
            assert!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
        }
        let mut stream = Self { tcp, said: 0, is_upgraded: upgrade };
        stream.echo();
        stream
    }

    /// Something goes there and comes back.
    #[track_caller]
    pub(super) fn echo(&mut self) {
        self.said += 1;
        let word = self.said.to_be_bytes().repeat(100);
        self.tcp.write_all(&word).unwrap();
        let mut back = vec![0; word.len()];
        self.tcp.read_exact(&mut back).unwrap();
        assert_eq!(back, word);
    }

    #[track_caller]
    pub(super) fn end(self) {
        self.tcp.shutdown(std::net::Shutdown::Write).unwrap();
        self.expect_end();
    }

    #[track_caller]
    pub(super) fn expect_end(mut self) {
        let mut rest = vec![];
        // Cut or closed: nothing more comes.
        let _ = self.tcp.read_to_end(&mut rest);
        assert_eq!(rest, b"");
    }
}
