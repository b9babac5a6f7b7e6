//! What gRPC needs: both sides talk at once, and how it went comes last.

use http::{HeaderMap, HeaderName, HeaderValue, Response};

use super::*;
use crate::http2::{Peer, request};
use crate::rig::{noise, until};

fn fields(of: &[(&'static str, &str)]) -> HeaderMap {
    of.iter()
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()))
        .collect()
}

/// Each message is answered before the next is sent.
#[test]
fn both_sides_talk_at_once() {
    let origin = speaks(&server::Builder::new(), |request, mut respond| async move {
        let mut stream = respond.send_response(Response::new(()), false)?;
        let mut content = request.into_body();
        while let Some(message) = content.data().await {
            let message = message?;
            content.flow_control().release_capacity(message.len())?;
            send(&mut stream, &message, false).await?;
        }
        let sum =
            content.trailers().await?.map_or_else(String::new, |t| t["sum"].to_str().unwrap().to_owned());
        stream.send_trailers(fields(&[("grpc-status", "0"), ("grpc-message", &sum)]))
    });
    let rig = rig(&[&origin]);
    let peer = Peer::connect(rig.address);
    let (response, mut stream) = peer.begin(request("POST", "/"), false).unwrap();
    let trailers = peer.wait(async {
        let mut content = response.await.unwrap().into_body();
        for size in [1, 5, 1_000, 100_000] {
            let message = noise(size);
            send(&mut stream, &message, false).await.unwrap();
            let mut back = vec![];
            while back.len() < size {
                let piece = content.data().await.unwrap().unwrap();
                content.flow_control().release_capacity(piece.len()).unwrap();
                back.extend_from_slice(&piece);
            }
            assert!(back == message, "{size} bytes");
        }
        stream.send_trailers(fields(&[("sum", "7")])).unwrap();
        assert!(content.data().await.is_none());
        content.trailers().await.unwrap().unwrap()
    });
    assert_eq!(
        (&trailers["grpc-status"], &trailers["grpc-message"]),
        (&"0".parse().unwrap(), &"7".parse().unwrap())
    );
    until("the stream is over", || rig.member_state(0).active() == 0);
    assert_eq!((rig.stats().ereq, rig.member_state(0).errors()), (0, 0));
}

#[test]
fn how_it_went_may_be_all_there_is_and_may_be_long() {
    let origin = speaks(&server::Builder::new(), |request, mut respond| async move {
        let te = request.headers().get("te").map_or("none", |te| te.to_str().unwrap()).to_owned();
        let status = fields(&[("grpc-status", "12"), ("grpc-message", &te)]);
        if request.uri().path() == "/alone" {
            let mut head = Response::new(());
            *head.headers_mut() = status;
            return respond.send_response(head, true).map(drop);
        }
        let mut stream = respond.send_response(Response::new(()), false)?;
        stream.send_trailers(fields(&[("grpc-status-details-bin", &"x".repeat(6_000))]))
    });
    let rig = rig(&[&origin]);
    let peer = Peer::connect(rig.address);
    let asked = http::Request::post("http://a.example/alone").header("te", "trailers");
    let (response, _) = peer.begin(asked.body(()).unwrap(), true).unwrap();
    let (head, content) = peer.wait(response).unwrap().into_parts();
    assert_eq!(
        (&head.headers["grpc-status"], &head.headers["grpc-message"]),
        (&"12".parse().unwrap(), &"trailers".parse().unwrap())
    );
    assert!(content.is_end_stream(), "there is one block, and no content");
    let answer = peer.get("/long");
    assert_eq!(answer.trailers.unwrap()["grpc-status-details-bin"].len(), 6_000);
}

/// Who does not read holds up nobody but itself.
#[test]
fn streams_do_not_wait_for_each_other() {
    let origin = speaks(&server::Builder::new(), |request, respond| async move {
        let size = if request.uri().path() == "/large" { 10_000_000 } else { 2 };
        answer(respond, &vec![b'x'; size]).await
    });
    let rig = rig(&[&origin]);
    let peer = Peer::connect(rig.address);
    // It is given no window beyond the first.
    let slow: Vec<_> = (0..20).map(|_| peer.begin(request("GET", "/large"), true).unwrap().0).collect();
    until("all are under way", || rig.member_state(0).active() == 20);
    // Some of them are on the same thread.
    for _ in 0..20 {
        assert_eq!(rig.get("/").text(), "xx");
    }
    assert!(origin.connections() <= 2);
    drop(slow);
    until("they are given up", || rig.member_state(0).active() == 0);
    assert_eq!(peer.get("/").text(), "xx");
}
