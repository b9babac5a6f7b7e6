//! Members that speak HTTP/2: an independent implementation where they are honest, frames made by hand where they are
//! not.

mod ending;
mod exchange;
mod hostile;
mod nginx;
mod rpc;
mod storm;

use std::sync::Arc;

use bytes::Bytes;
use h2::server::{self, SendResponse};
use h2::{RecvStream, SendStream};
use http::{Request, Response};
use octavia_model::{ListenerProtocol, PoolProtocol};
use octavia_wire::AmphoraSpec;
use rustls::ServerConfig;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::runtime;
use crate::rig::{Client, Origin, Rig, member};
use crate::tls::pki::{Authority, member_tls, secure};

/// A certificate, and HTTP/2 among what is offered.
fn config(protocols: &[&str]) -> ServerConfig {
    let own = Authority::new("ca").server(&["m.example"]);
    let mut config = own.server(octavia_model::TlsVersion::ALL, None);
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    config
}

/// A member that handles each request by a task of its own.
fn speaks<F>(
    builder: &server::Builder,
    handle: impl Fn(Request<RecvStream>, SendResponse<Bytes>) -> F + Clone + Send + Sync + 'static,
) -> Origin
where
    F: Future<Output = Result<(), h2::Error>> + Send + 'static,
{
    let (builder, acceptor) = (builder.clone(), TlsAcceptor::from(Arc::new(config(&["h2"]))));
    Origin::start(move |client| {
        let tcp = client.tcp().try_clone().unwrap();
        drop(client);
        let runtime = runtime();
        let (builder, acceptor, handle) = (builder.clone(), acceptor.clone(), handle.clone());
        runtime.block_on(async move {
            tcp.set_nonblocking(true).unwrap();
            // Who goes away in the middle has its reasons.
            let Ok(tls) = acceptor.accept(TcpStream::from_std(tcp).unwrap()).await else { return };
            let Ok(mut connection) = builder.handshake(tls).await else { return };
            while let Some(Ok((request, respond))) = connection.accept().await {
                tokio::spawn(handle(request, respond));
            }
        });
    })
}

/// One that speaks in frames made by hand.
fn raw(handle: impl Fn(Client) + Send + Sync + 'static) -> Origin {
    secure(config(&["h2"]), handle)
}

/// A listener in clear over members that are offered HTTP/2.
fn rig(members: &[&Origin]) -> Rig {
    tuned(members, |_| {})
}

fn tuned(members: &[&Origin], tune: impl FnOnce(&mut AmphoraSpec)) -> Rig {
    Rig::start(ListenerProtocol::Http, members, |spec| {
        let mut tls = member_tls(None);
        tls.alpn = vec!["h2".to_owned(), "http/1.1".to_owned()];
        spec.pools[0].tls = Some(tls);
        spec.pools[0].protocol = PoolProtocol::Http;
        tune(spec);
    })
}

/// Sends all of it, as the windows allow.
async fn send(stream: &mut SendStream<Bytes>, content: &[u8], end: bool) -> Result<(), h2::Error> {
    let mut rest = Bytes::copy_from_slice(content);
    while !rest.is_empty() {
        stream.reserve_capacity(rest.len().min(16_384));
        let Some(room) = std::future::poll_fn(|context| stream.poll_capacity(context)).await else {
            return Ok(());
        };
        let piece = rest.split_to(room?.min(rest.len()));
        let last = end && rest.is_empty();
        stream.send_data(piece, last)?;
    }
    if content.is_empty() && end {
        stream.send_data(Bytes::new(), true)?;
    }
    Ok(())
}

/// Answers with this content.
async fn answer(mut respond: SendResponse<Bytes>, content: &[u8]) -> Result<(), h2::Error> {
    let mut stream = respond.send_response(Response::new(()), content.is_empty())?;
    if content.is_empty() { Ok(()) } else { send(&mut stream, content, true).await }
}
