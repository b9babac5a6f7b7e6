//! Heads as they go on to the other side: written anew, without what belonged to one connection only.

use std::io::Write;
use std::net::{IpAddr, SocketAddr};

use octavia_wire::InsertHeader;

use super::{Framing, Request, Response, affinity, field};
use crate::snapshot::InsertHeaders;

/// What a request is given on its way to a member.
#[derive(Debug, Clone, Copy)]
pub struct Forwarding {
    pub client: IpAddr,
    /// The address the client connected to.
    pub local: SocketAddr,
    pub insert: InsertHeaders,
}

/// The client's end of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientSide {
    pub http11: bool,
    /// We would take another request on this connection.
    pub keep_alive: bool,
    /// Leave out `Transfer-Encoding`: the content goes without its chunks.
    pub unchunk: bool,
}

/// Appends the head of `request` for a member.
pub fn write_request(request: &Request<'_, '_>, forwarding: &Forwarding, out: &mut Vec<u8>) {
    out.extend_from_slice(request.method.as_bytes());
    out.push(b' ');
    out.extend_from_slice(request.target);
    out.extend_from_slice(b" HTTP/1.1\r\nHost: ");
    match request.host {
        Some(host) => out.extend_from_slice(host),
        None => write_display(&forwarding.local, out),
    }
    out.extend_from_slice(b"\r\n");
    for (index, header) in request.headers.iter().enumerate() {
        if request.drop >> index & 1 != 0 || is_replaced(header.name, forwarding.insert) {
            continue;
        }
        if request.hides_affinity && header.name.eq_ignore_ascii_case("cookie") {
            affinity::write_others(header.value, out);
        } else {
            write_header(header.name.as_bytes(), header.value, out);
        }
    }
    if !forwarding.insert.is_empty() {
        insert(forwarding, out);
    }
    if request.upgrade {
        out.extend_from_slice(b"Connection: upgrade\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends the head of `response` for a client.
pub fn write_response(response: &Response<'_, '_>, client: ClientSide, out: &mut Vec<u8>) {
    let digits = |n: u16| b'0' + (n % 10) as u8;
    let code = response.status;
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(&[digits(code / 100), digits(code / 10), digits(code), b' ']);
    out.extend_from_slice(response.reason.as_bytes());
    out.extend_from_slice(b"\r\n");
    let drop = response.drop | if client.unchunk { response.transfer_encoding } else { 0 };
    for (index, header) in response.headers.iter().enumerate() {
        if drop >> index & 1 == 0 {
            write_header(header.name.as_bytes(), header.value, out);
        }
    }
    if let Some(affinity) = &response.affinity {
        affinity.write(out);
    }
    if response.status == 101 {
        out.extend_from_slice(b"Connection: upgrade\r\n");
    } else if response.is_interim() {
    } else if !client.keep_alive {
        out.extend_from_slice(b"Connection: close\r\n");
    } else if !client.http11 {
        out.extend_from_slice(b"Connection: keep-alive\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

impl ClientSide {
    /// How `response` goes to a client that speaks `http11` and would go on if `keep_alive`; `None` when it cannot:
    /// its coding is more than an old client knows.
    pub fn of(response: &Response<'_, '_>, http11: bool, keep_alive: bool) -> Option<Self> {
        let unchunk = !http11 && response.framing == Framing::Chunked;
        if unchunk && !response.only_chunked {
            return None;
        }
        let delimited = !unchunk && response.framing != Framing::Close;
        Some(Self { http11, keep_alive: keep_alive && delimited, unchunk })
    }
}

#[inline]
fn write_header(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    out.reserve(name.len() + value.len() + 4);
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Whether a client's header gives way to ours. `X-Forwarded-For` does not: ours comes after it. But what only looks
/// like one does (`X_Forwarded_For`): CGI and its children know no difference, and which of two they take is chance.
fn is_replaced(name: &str, insert: InsertHeaders) -> bool {
    !insert.is_empty()
        && matches!(name.as_bytes().first(), Some(b'X' | b'x'))
        && insert.iter().any(|header| {
            let ours = header.name();
            let same = header != InsertHeader::XForwardedFor && ours.eq_ignore_ascii_case(name);
            same || field::looks_like(name, ours)
        })
}

fn insert(forwarding: &Forwarding, out: &mut Vec<u8>) {
    for header in forwarding.insert.iter() {
        out.extend_from_slice(header.name().as_bytes());
        out.extend_from_slice(b": ");
        match header {
            InsertHeader::XForwardedFor
            | InsertHeader::XForwardedIp
            | InsertHeader::XClientIp
            | InsertHeader::XRealIp => write_display(&forwarding.client, out),
            InsertHeader::XForwardedPort => write_display(&forwarding.local.port(), out),
            InsertHeader::XForwardedProto => out.extend_from_slice(b"http"),
        }
        out.extend_from_slice(b"\r\n");
    }
}

fn write_display(value: &dyn std::fmt::Display, out: &mut Vec<u8>) {
    // Writing to a Vec cannot fail.
    let _ = write!(out, "{value}");
}
