//! Members that break off whatever they are doing, under many clients: answers are whole or seen not to be, and nothing is
//! left behind.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use super::hostile::{greet, said};
use super::*;
use crate::http2::raw::{self, DATA, END_HEADERS, GOAWAY, HEADERS, RST_STREAM, frame};
use crate::rig::until;

const CLIENTS: usize = 8;
const REQUESTS: usize = 60;
/// The beginning of a frame's head.
const CUT: &[u8] = &[0, 0, 5, DATA, 0];

/// Does something else with each request; `None` = it closes the connection.
fn whim(nth: usize, stream: u32) -> Option<Vec<u8>> {
    let begun = || frame(HEADERS, END_HEADERS, stream, b"\x88");
    let reset = |code| frame(RST_STREAM, 0, stream, &[0, 0, 0, code]);
    Some(match nth % 23 {
        3 => return None,
        5 => [frame(GOAWAY, 0, 0, &[&stream.to_be_bytes()[..], &[0; 4]].concat()), said(stream, "whole")]
            .concat(),
        8 => frame(GOAWAY, 0, 0, &[0; 8]),
        11 => reset(8),
        13 => reset(7),
        17 => [begun(), frame(DATA, 0, stream, b"wh"), reset(2)].concat(),
        // The connection ends in the middle of a frame.
        19 => [begun(), CUT.to_vec()].concat(),
        _ => said(stream, "whole"),
    })
}

fn moody() -> Origin {
    let nth = AtomicUsize::new(0);
    raw(move |mut client| {
        greet(&mut client);
        while let Some(next) = raw::next(&mut client) {
            if next.kind != HEADERS {
                continue;
            }
            let Some(words) = whim(nth.fetch_add(1, SeqCst), next.stream) else { return client.reset() };
            if !client.try_send(&words) || words.ends_with(CUT) {
                return;
            }
        }
    })
}

#[test]
fn nothing_is_left_behind() {
    let members = [moody(), moody(), moody()];
    let rig = rig(&[&members[0], &members[1], &members[2]]);
    let address = rig.address;
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            std::thread::spawn(move || {
                let mut whole = 0;
                for nth in 0..REQUESTS {
                    let mut client = Client::connect(address);
                    let method = if nth % 2 == 0 { "GET" } else { "POST" };
                    client.send(format!("{method} / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"));
                    let text = String::from_utf8(client.take_all()).unwrap();
                    let (head, content) = text.split_once("\r\n\r\n").unwrap();
                    match head.split(' ').nth(1).unwrap() {
                        "200" if content.ends_with("0\r\n\r\n") => {
                            assert_eq!(content, "5\r\nwhole\r\n0\r\n\r\n");
                            whole += 1;
                        }
                        "200" => assert!(["", "2\r\nwh\r\n"].contains(&content), "{content:?}"),
                        "502" | "503" => {}
                        other => panic!("{other}"),
                    }
                }
                whole
            })
        })
        .collect();
    let whole: usize = clients.into_iter().map(|client| client.join().unwrap()).sum();
    assert!(whole > CLIENTS * REQUESTS / 2, "{whole}");
    for place in 0..members.len() {
        until("the streams are over", || rig.member_state(place).active() == 0);
    }
    until("the clients are gone", || rig.stats().conns == 0);
    assert_eq!(rig.stats().ereq, 0);
    assert_eq!(rig.stats().totconns, (CLIENTS * REQUESTS) as u64);
}
