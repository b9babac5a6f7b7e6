//! Heads as they go on to the other side: written anew, without what belonged to one connection only.

use std::io::Write;
use std::net::{IpAddr, SocketAddr};

use octavia_wire::InsertHeader;

use super::{Framing, Request, Response, affinity, field};
use crate::snapshot::InsertHeaders;
use crate::tls::{ClientCertificate, Seen};

pub(super) const HSTS: &str = "Strict-Transport-Security";

/// What a request is given on its way to a member.
#[derive(Debug, Clone, Copy)]
pub struct Forwarding<'a> {
    pub client: IpAddr,
    /// The address the client connected to.
    pub local: SocketAddr,
    pub insert: InsertHeaders,
    /// What there is to say of the client's TLS; `None` = it speaks in clear.
    pub tls: Option<Seen<'a>>,
}

/// The client's end of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientSide<'a> {
    pub http11: bool,
    /// We would take another request on this connection.
    pub keep_alive: bool,
    /// Leave out `Transfer-Encoding`: the content goes without its chunks.
    pub unchunk: bool,
    /// The value of `Strict-Transport-Security`, instead of a member's own.
    pub hsts: Option<&'a [u8]>,
}

/// Appends the head of `request` for a member.
pub fn write_request(request: &Request<'_, '_>, forwarding: &Forwarding<'_>, out: &mut Vec<u8>) {
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
pub fn write_response(response: &Response<'_, '_>, client: ClientSide<'_>, out: &mut Vec<u8>) {
    let digits = |n: u16| b'0' + (n % 10) as u8;
    let code = response.status;
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(&[digits(code / 100), digits(code / 10), digits(code), b' ']);
    out.extend_from_slice(response.reason.as_bytes());
    out.extend_from_slice(b"\r\n");
    let drop = response.drop | if client.unchunk { response.transfer_encoding } else { 0 };
    let hsts = client.hsts.filter(|_| !response.is_interim() || response.status == 101);
    for (index, header) in response.headers.iter().enumerate() {
        let replaced = hsts.is_some() && header.name.eq_ignore_ascii_case(HSTS);
        if drop >> index & 1 == 0 && !replaced {
            write_header(header.name.as_bytes(), header.value, out);
        }
    }
    if let Some(affinity) = &response.affinity {
        affinity.write(out);
    }
    if let Some(value) = hsts {
        write_header(HSTS.as_bytes(), value, out);
    }
    if response.status == 101 || response.status == 426 && response.values("upgrade").next().is_some() {
        out.extend_from_slice(b"Connection: upgrade\r\n");
    }
    if response.status < 200 {
    } else if !client.keep_alive {
        out.extend_from_slice(b"Connection: close\r\n");
    } else if !client.http11 {
        out.extend_from_slice(b"Connection: keep-alive\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

impl<'a> ClientSide<'a> {
    /// How `response` goes to a client that speaks `http11` and would go on if `keep_alive`; `None` when it cannot:
    /// its coding is more than an old client knows.
    pub fn of(response: &Response<'_, '_>, http11: bool, keep_alive: bool) -> Option<Self> {
        let unchunk = !http11 && response.framing == Framing::Chunked;
        if unchunk && !response.only_chunked {
            return None;
        }
        let delimited = !unchunk && response.framing != Framing::Close;
        Some(Self { http11, keep_alive: keep_alive && delimited, unchunk, hsts: None })
    }

    /// With a `Strict-Transport-Security` of ours, if there is one.
    pub fn with_hsts(self, hsts: Option<&'a [u8]>) -> Self {
        Self { hsts, ..self }
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

fn insert(forwarding: &Forwarding<'_>, out: &mut Vec<u8>) {
    for header in forwarding.insert.iter() {
        out.extend_from_slice(header.name().as_bytes());
        out.extend_from_slice(b": ");
        match header {
            InsertHeader::XForwardedFor
            | InsertHeader::XForwardedIp
            | InsertHeader::XClientIp
            | InsertHeader::XRealIp => write_display(&forwarding.client, out),
            InsertHeader::XForwardedPort => write_display(&forwarding.local.port(), out),
            InsertHeader::XForwardedProto => {
                out.extend_from_slice(if forwarding.tls.is_some() { b"https" } else { b"http" });
            }
            header => insert_tls(header, forwarding.tls, out),
        }
        out.extend_from_slice(b"\r\n");
    }
}

/// What is told of a client's certificate, as the original's proxy writes it: names in quotes, nothing where there is
/// no certificate.
fn insert_tls(header: InsertHeader, tls: Option<Seen<'_>>, out: &mut Vec<u8>) {
    let Some(seen) = tls else { return };
    let certificate = seen.certificate;
    let quoted = |out: &mut Vec<u8>, write: &dyn Fn(&ClientCertificate<'_>, &mut Vec<u8>)| {
        out.push(b'"');
        certificate.iter().for_each(|certificate| write(certificate, out));
        out.push(b'"');
    };
    match header {
        // Who is let in has passed, or has none.
        InsertHeader::XSslClientVerify => out.push(b'0'),
        InsertHeader::XSslClientHasCert => out.push(if certificate.is_some() { b'1' } else { b'0' }),
        InsertHeader::XSslClientDn => quoted(out, &|certificate, out| certificate.subject.write(out)),
        InsertHeader::XSslClientCn => {
            quoted(out, &|certificate, out| certificate.subject.write_value("CN", out))
        }
        InsertHeader::XSslIssuer => quoted(out, &|certificate, out| certificate.issuer.write(out)),
        InsertHeader::XSslClientSha1 => certificate.iter().for_each(|one| one.write_sha1(out)),
        InsertHeader::XSslClientNotBefore => certificate.iter().for_each(|one| one.write_not_before(out)),
        InsertHeader::XSslClientNotAfter => certificate.iter().for_each(|one| one.write_not_after(out)),
        _ => {}
    }
}

fn write_display(value: &dyn std::fmt::Display, out: &mut Vec<u8>) {
    // Writing to a Vec cannot fail.
    let _ = write!(out, "{value}");
}
