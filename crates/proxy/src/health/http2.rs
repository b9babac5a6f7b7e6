//! The HTTP of a check where the member has chosen HTTP/2: one stream, and as much of the answer as tells its status.
//! Pure.

use std::net::SocketAddr;

use octavia_model::HttpMethod;
use octavia_wire::HttpCheck;

use super::http::{self, Answer};
use crate::http2::{Fields, Outbound, Outgoing, Reply};

/// All that is sent, or why it cannot be made.
pub(super) fn request(check: &HttpCheck, address: SocketAddr) -> Result<Vec<u8>, String> {
    Ok(std::mem::take(asked(check, address)?.output()))
}

/// What the first bytes of an answer say.
pub(super) fn answer(check: &HttpCheck, address: SocketAddr, seen: &[u8]) -> Answer {
    let Ok(mut core) = asked(check, address) else { return Answer::NotHttp };
    let (mut fields, mut at) = (Fields::default(), 0);
    loop {
        let Ok(replied) = core.receive(&seen[at..], &mut fields, 0) else { return Answer::NotHttp };
        at += replied.used;
        match replied.reply {
            Some(Reply::Head { answer, .. }) if !answer.is_interim() => return Answer::Status(answer.status),
            Some(Reply::Gone { .. } | Reply::Leaves { last: 0 }) => return Answer::Refused,
            _ if replied.used == 0 => return Answer::Incomplete,
            _ => {}
        }
    }
}

/// A connection on which it was asked.
fn asked(check: &HttpCheck, address: SocketAddr) -> Result<Outbound, String> {
    let check = HttpCheck { http11: true, ..check.clone() };
    let mut request = Outgoing::request(false);
    let written = request.write(&http::request(&check, address)?);
    let block = written.ok().and_then(|()| request.take_blocks().pop());
    let (block, end) = block.ok_or("the request cannot be written")?;
    let mut core = Outbound::new();
    core.open(&block, end, check.method == HttpMethod::Head);
    Ok(core)
}
