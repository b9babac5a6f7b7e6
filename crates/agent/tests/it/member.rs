//! Members: HTTP servers that answer their name, can be killed and come back, over TCP or TLS.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// In a name, stands for the address of whoever asks.
pub(crate) const PEER: &str = "{peer}";

/// Lives until dropped; then connections are refused, and open ones are cut.
pub(crate) struct Member {
    pub(crate) address: SocketAddr,
    stop: Arc<AtomicBool>,
    streams: Arc<Mutex<Vec<TcpStream>>>,
    thread: Option<std::thread::JoinHandle<()>>,
    /// Of every answer.
    status: Arc<AtomicU16>,
}

impl Member {
    pub(crate) fn start(ip: IpAddr, name: &str) -> Self {
        Self::serve(SocketAddr::new(ip, 0), name, None)
    }

    pub(crate) fn start_at(address: SocketAddr, name: &str) -> Self {
        Self::serve(address, name, None)
    }

    pub(crate) fn start_tls(ip: IpAddr, name: &str, tls: Arc<rustls::ServerConfig>) -> Self {
        Self::serve(SocketAddr::new(ip, 0), name, Some(tls))
    }

    pub(crate) fn answer_with(&self, status: u16) {
        self.status.store(status, SeqCst);
    }

    fn serve(address: SocketAddr, name: &str, tls: Option<Arc<rustls::ServerConfig>>) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, streams) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(vec![])));
        let status = Arc::new(AtomicU16::new(200));
        let thread = std::thread::spawn({
            let (stop, streams, status, name) =
                (Arc::clone(&stop), Arc::clone(&streams), Arc::clone(&status), name.to_owned());
            move || {
                while !stop.load(SeqCst) {
                    let Ok((stream, peer)) = listener.accept() else {
                        std::thread::sleep(Duration::from_millis(1));
                        continue;
                    };
                    stream.set_nonblocking(false).unwrap();
                    streams.lock().unwrap().push(stream.try_clone().unwrap());
                    let name = name.replace(PEER, &peer.ip().to_string());
                    let (status, tls) = (Arc::clone(&status), tls.clone());
                    std::thread::spawn(move || match tls {
                        None => answer(stream, &status, &name),
                        Some(tls) => {
                            let connection = rustls::ServerConnection::new(tls).unwrap();
                            answer(rustls::StreamOwned::new(connection, stream), &status, &name);
                        }
                    });
                }
            }
        });
        Self { address, stop, streams, thread: Some(thread), status }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.stop.store(true, SeqCst);
        self.thread.take().unwrap().join().unwrap();
        for stream in self.streams.lock().unwrap().drain(..) {
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
    }
}

fn answer(mut stream: impl Read + Write, status: &AtomicU16, name: &str) {
    let mut head = vec![];
    let mut chunk = [0; 4096];
    loop {
        match stream.read(&mut chunk) {
            Ok(n @ 1..) => head.extend_from_slice(&chunk[..n]),
            _ => return,
        }
        while let Some(end) = head.windows(4).position(|window| window == b"\r\n\r\n") {
            head.drain(..end + 4);
            let status = status.load(SeqCst);
            let response = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n{name}", name.len());
            if stream.write_all(response.as_bytes()).and_then(|()| stream.flush()).is_err() {
                return;
            }
        }
    }
}

/// One GET on a connection of its own: the body of a 200, or what went wrong.
pub(crate) fn get(address: SocketAddr) -> Result<String, String> {
    let get = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    let answer = get().map_err(|error| error.to_string())?;
    match answer.split_once("\r\n\r\n") {
        Some((head, body)) if head.starts_with("HTTP/1.1 200") => Ok(body.to_owned()),
        _ => Err(answer),
    }
}
