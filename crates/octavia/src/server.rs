//! The HTTP server of the API: nobody holds a connection without saying something, and there is an end to how many.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use octavia_api::Peer;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

/// How long the head of a request may take; also how long a connection may be idle between requests.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);
/// Connections at once; more wait in the listening socket. Each takes a descriptor, and databases and agents need some.
const MAX_CONNECTIONS: usize = 512;
/// After an error of accept(2), such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until `stopped` says so; then ends idle connections and waits for the others.
pub(crate) async fn serve(listener: TcpListener, app: Router, stopped: watch::Receiver<bool>) {
    serve_within(listener, app, stopped, HEAD_TIMEOUT).await;
}

async fn serve_within(
    listener: TcpListener,
    app: Router,
    mut stopped: watch::Receiver<bool>,
    head_timeout: Duration,
) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(head_timeout);
    let connections = GracefulShutdown::new();
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let accept = async {
            let slot = Arc::clone(&slots).acquire_owned().await;
            (slot, listener.accept().await)
        };
        let (slot, accepted) = tokio::select! {
            accepted = accept => accepted,
            // An error means that the sender is gone: stop as well.
            _ = stopped.wait_for(|stop| *stop) => break,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        // Small answers go out at once; that this cannot be had is no reason to refuse.
        let _ = stream.set_nodelay(true);
        let peer = Peer { address, port: stream.local_addr().map_or(0, |local| local.port()) };
        let app = TowerToHyperService::new(app.clone());
        let service = service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
            request.extensions_mut().insert(peer);
            app.call(request)
        });
        let connection = connections.watch(http.serve_connection(TokioIo::new(stream), service));
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended badly");
            }
            drop(slot);
        });
    }
    drop(listener);
    connections.shutdown().await;
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    async fn started(head_timeout: Duration) -> (std::net::SocketAddr, watch::Sender<bool>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = watch::channel(false);
        let app = Router::new().route("/", get(|| async { "hello" }));
        tokio::spawn(serve_within(listener, app, stopped, head_timeout));
        (address, stop)
    }

    /// What comes until the end of the connection.
    async fn rest(stream: &mut TcpStream) -> String {
        let mut text = String::new();
        tokio::time::timeout(LIMIT, stream.read_to_string(&mut text)).await.expect("an end").unwrap();
        text
    }

    #[tokio::test]
    async fn a_head_that_does_not_come_ends_the_connection() {
        let (address, _stop) = started(Duration::from_millis(100)).await;
        for beginning in ["", "G", "GET / HTTP/1.1\r\nHos"] {
            let mut client = TcpStream::connect(address).await.unwrap();
            client.write_all(beginning.as_bytes()).await.unwrap();
            let answer = rest(&mut client).await;
            assert!(!answer.contains("hello"), "{beginning:?}: {answer}");
        }
    }

    /// What is under way ends well; nothing new begins, on an old connection or on a new one.
    #[tokio::test]
    async fn a_stop_lets_requests_end() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = watch::channel(false);
        let (begun, go_on) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
        let handler = {
            let (begun, go_on) = (Arc::clone(&begun), Arc::clone(&go_on));
            get(move || async move {
                begun.add_permits(1);
                go_on.acquire().await.unwrap().forget();
                "the whole answer"
            })
        };
        let app = Router::new().route("/", handler);
        let server = tokio::spawn(serve_within(listener, app, stopped, LIMIT));
        let mut client = TcpStream::connect(address).await.unwrap();
        client
            .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n")
            .await
            .unwrap();
        begun.acquire().await.unwrap().forget();
        stop.send(true).unwrap();
        let deadline = tokio::time::Instant::now() + LIMIT;
        while TcpStream::connect(address).await.is_ok() {
            assert!(tokio::time::Instant::now() < deadline, "it still listens");
            tokio::task::yield_now().await;
        }
        assert!(!server.is_finished());
        go_on.add_permits(2);
        let answer = rest(&mut client).await;
        assert!(answer.ends_with("the whole answer"), "{answer}");
        assert_eq!(answer.matches("HTTP/1.1 200").count(), 1, "{answer}");
        tokio::time::timeout(LIMIT, server).await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_stop_ends_idle_connections() {
        let (address, stop) = started(LIMIT * 2).await;
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        let mut answer = [0; 15];
        client.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200 OK");
        stop.send(true).unwrap();
        assert!(rest(&mut client).await.ends_with("hello"));
        assert!(TcpStream::connect(address).await.is_err());
    }
}
