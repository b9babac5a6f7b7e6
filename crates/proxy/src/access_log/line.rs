//! A line: what is known of a finished request or connection, in the operator's format or as JSON. Pure.

use std::io::Write as _;
use std::net::SocketAddr;

use octavia_model::{ListenerId, LoadBalancerId, MemberId, PoolId};
use octavia_wire::{LogField, LogFormat, LogPiece};

use super::ending::{Cookie, Ending};
use super::escape;
use crate::civil::Civil;
use crate::tls::Seen;

/// Bytes of a line, at most, without its end.
pub(crate) const LINE_MAX: usize = 8 * 1024;
/// Bytes of a method and of a target that are kept of a request.
pub(crate) const METHOD_MAX: usize = 32;
pub(crate) const TARGET_MAX: usize = 4 * 1024;
/// Bytes of a field that is a client's, when it is escaped.
const FIELD_MAX: usize = 4 * 1024;
/// Of the name in a client's certificate.
const SUBJECT_MAX: usize = 1024;
/// Of the project's id.
const PROJECT_MAX: usize = 255;

const MONTHS: &[u8; 36] = b"JanFebMarAprMayJunJulAugSepOctNovDec";

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked<'a> {
    /// Nobody looked: bytes went through unseen.
    Unseen,
    /// What came is no request.
    Broken,
    /// Method, target and version, a blank between them.
    Request(&'a [u8]),
}

impl<'a> Asked<'a> {
    /// `None` = there is none to tell.
    fn parts(self) -> Option<[&'a [u8]; 3]> {
        let Self::Request(line) = self else { return None };
        let first = line.iter().position(|&byte| byte == b' ')?;
        let last = line.iter().rposition(|&byte| byte == b' ').filter(|&last| last > first)?;
        Some([&line[..first], &line[first + 1..last], &line[last + 1..]])
    }
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts<'a> {
    pub(crate) listener: ListenerId,
    pub(crate) client: SocketAddr,
    pub(crate) local: SocketAddr,
    /// When the request's head was there, or the connection; in milliseconds since 1970.
    pub(crate) time: u64,
    pub(crate) asked: Asked<'a>,
    pub(crate) status: Option<u16>,
    /// Bytes to the client, and from it.
    pub(crate) sent: u64,
    pub(crate) received: u64,
    /// What its TLS tells; `None` = it spoke in clear.
    pub(crate) seen: Option<Seen<'a>>,
    pub(crate) pool: Option<PoolId>,
    pub(crate) member: Option<MemberId>,
    /// Milliseconds.
    pub(crate) duration: u64,
    pub(crate) ending: Ending,
    pub(crate) cookie: Cookie,
}

/// How lines of one amphora are written.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Style {
    /// `None` = JSON.
    format: Option<LogFormat>,
    /// Escaped.
    project: Vec<u8>,
    load_balancer: LoadBalancerId,
}

impl Style {
    pub(crate) fn new(format: Option<LogFormat>, project: &str, load_balancer: LoadBalancerId) -> Self {
        let mut escaped = vec![];
        match &format {
            Some(_) => escape::text(project.as_bytes(), PROJECT_MAX, &mut escaped),
            None => escape::json(project.as_bytes(), PROJECT_MAX, &mut escaped),
        }
        Self { format, project: escaped, load_balancer }
    }

    /// Puts the line in place of what is in `out`; `words` is memory to work in.
    pub(crate) fn write(&self, facts: &Facts<'_>, words: &mut Vec<u8>, out: &mut Vec<u8>) {
        out.clear();
        words.clear();
        if let Some(certificate) = facts.seen.as_ref().and_then(|seen| seen.certificate.as_ref()) {
            certificate.subject.write(words);
        }
        match &self.format {
            Some(format) => {
                for piece in &format.pieces {
                    match piece {
                        LogPiece::Text(text) => out.extend_from_slice(text.as_bytes()),
                        LogPiece::Field { field, quoted } => self.field(*field, *quoted, facts, words, out),
                    }
                }
                out.truncate(LINE_MAX);
            }
            None => self.json(facts, words, out),
        }
        out.push(b'\n');
    }

    /// The same with the line that says that lines are missing here.
    pub(crate) fn write_gap(&self, lines: u64, time: u64, out: &mut Vec<u8>) {
        out.clear();
        let id = self.load_balancer;
        // Writing to a Vec cannot fail.
        if self.format.is_some() {
            out.extend_from_slice(&self.project);
            let _ = write!(out, " {id} {lines} lines dropped");
        } else {
            out.extend_from_slice(b"{\"time\":\"");
            write_stamp(time, out);
            out.extend_from_slice(b"\",\"project_id\":\"");
            out.extend_from_slice(&self.project);
            let _ = write!(out, "\",\"loadbalancer_id\":\"{id}\",\"lines_dropped\":{lines}}}");
        }
        out.push(b'\n');
    }

    fn field(&self, field: LogField, quoted: bool, facts: &Facts<'_>, subject: &[u8], out: &mut Vec<u8>) {
        // What nobody looked at has no quotes, as in the original.
        let quoted = quoted && !(facts.asked == Asked::Unseen && is_of_requests(field));
        if quoted {
            out.push(b'"');
        }
        let there = out.len();
        self.value(field, facts, subject, out);
        // Nothing is a dash, but between quotes it is nothing.
        if out.len() == there && !quoted {
            out.push(b'-');
        }
        if quoted {
            out.push(b'"');
        }
    }

    /// Nothing, if it is not known.
    fn value(&self, field: LogField, facts: &Facts<'_>, subject: &[u8], out: &mut Vec<u8>) {
        let client = |bytes: &[u8], out: &mut Vec<u8>| escape::text(bytes, FIELD_MAX, out);
        let part = |place: usize, out: &mut Vec<u8>| match (facts.asked, facts.asked.parts()) {
            (_, Some(parts)) => client(parts[place], out),
            (Asked::Broken, _) => out.extend_from_slice(b"<BADREQ>"),
            _ => {}
        };
        // Writing to a Vec cannot fail.
        let _ = match field {
            LogField::Project => {
                out.extend_from_slice(&self.project);
                Ok(())
            }
            LogField::LoadBalancer => write!(out, "{}", self.load_balancer),
            LogField::Listener => write!(out, "{}", facts.listener),
            LogField::ClientAddress => write!(out, "{}", facts.client.ip()),
            LogField::ClientPort => write!(out, "{}", facts.client.port()),
            LogField::LocalAddress => write!(out, "{}", facts.local.ip()),
            LogField::LocalPort => write!(out, "{}", facts.local.port()),
            LogField::Time => {
                write_time(facts.time, out);
                Ok(())
            }
            LogField::Seconds => write!(out, "{}", facts.time / 1000),
            LogField::Request => {
                match facts.asked {
                    Asked::Unseen => {}
                    Asked::Broken => out.extend_from_slice(b"<BADREQ>"),
                    Asked::Request(line) => client(line, out),
                }
                Ok(())
            }
            LogField::Method => {
                part(0, out);
                Ok(())
            }
            LogField::Target => {
                part(1, out);
                Ok(())
            }
            LogField::Version => {
                part(2, out);
                Ok(())
            }
            LogField::Status => match (facts.status, facts.asked) {
                (Some(status), _) => write!(out, "{status}"),
                (None, Asked::Unseen) => Ok(()),
                // As HAProxy says that there was none.
                (None, _) => write!(out, "-1"),
            },
            LogField::Sent => write!(out, "{}", facts.sent),
            LogField::Received => write!(out, "{}", facts.received),
            // Who is let in has passed, or has none.
            LogField::Verified => {
                out.extend_from_slice(if facts.seen.is_some() { b"0" } else { b"" });
                Ok(())
            }
            LogField::Subject => {
                escape::text(subject, SUBJECT_MAX, out);
                Ok(())
            }
            // As HAProxy names the backend of a listener that leads nowhere.
            LogField::Pool => match facts.pool {
                Some(pool) => write!(out, "{pool}:{}", facts.listener),
                None => write!(out, "{}", facts.listener),
            },
            LogField::Member => match facts.member {
                Some(member) => write!(out, "{member}"),
                None => write!(out, "<NOSRV>"),
            },
            LogField::Duration => write!(out, "{}", facts.duration),
            LogField::Ending => {
                out.extend_from_slice(&facts.ending.letters());
                Ok(())
            }
            LogField::EndingAndCookie => {
                out.extend_from_slice(&facts.ending.letters());
                out.extend_from_slice(&facts.cookie.letters());
                Ok(())
            }
        };
    }

    fn json(&self, facts: &Facts<'_>, subject: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"time\":\"");
        write_stamp(facts.time, out);
        out.extend_from_slice(b"\",\"project_id\":\"");
        out.extend_from_slice(&self.project);
        // Writing to a Vec cannot fail.
        let _ = write!(
            out,
            "\",\"loadbalancer_id\":\"{}\",\"listener_id\":\"{}\",\"client_address\":\"{}\",\"client_port\":{},\
             \"local_address\":\"{}\",\"local_port\":{}",
            self.load_balancer,
            facts.listener,
            facts.client.ip(),
            facts.client.port(),
            facts.local.ip(),
            facts.local.port(),
        );
        match (facts.asked, facts.asked.parts()) {
            (Asked::Unseen, _) => {}
            (_, Some([method, target, version])) => {
                for (name, value) in [("method", method), ("target", target), ("version", version)] {
                    let _ = write!(out, ",\"{name}\":\"");
                    escape::json(value, FIELD_MAX, out);
                    out.push(b'"');
                }
            }
            _ => out.extend_from_slice(b",\"method\":null,\"target\":null,\"version\":null"),
        }
        if facts.asked != Asked::Unseen {
            let _ = match facts.status {
                Some(status) => write!(out, ",\"status\":{status}"),
                None => write!(out, ",\"status\":null"),
            };
        }
        let _ = write!(out, ",\"bytes_sent\":{},\"bytes_received\":{}", facts.sent, facts.received);
        if facts.seen.is_some() {
            out.extend_from_slice(b",\"client_certificate_verify\":0,\"client_certificate_dn\":");
            if subject.is_empty() {
                out.extend_from_slice(b"null");
            } else {
                out.push(b'"');
                escape::json(subject, SUBJECT_MAX, out);
                out.push(b'"');
            }
        }
        let _ = match facts.pool {
            Some(pool) => write!(out, ",\"pool_id\":\"{pool}\""),
            None => write!(out, ",\"pool_id\":null"),
        };
        let _ = match facts.member {
            Some(member) => write!(out, ",\"member_id\":\"{member}\""),
            None => write!(out, ",\"member_id\":null"),
        };
        let _ = write!(out, ",\"duration_ms\":{},\"termination_state\":\"", facts.duration);
        out.extend_from_slice(&facts.ending.letters());
        out.extend_from_slice(&facts.cookie.letters());
        out.extend_from_slice(b"\"}");
    }
}

fn is_of_requests(field: LogField) -> bool {
    matches!(
        field,
        LogField::Request | LogField::Method | LogField::Target | LogField::Version | LogField::Status
    )
}

/// As HAProxy does: `27/Nov/2026:02:43:11.042`.
fn write_time(ms: u64, out: &mut Vec<u8>) {
    let Civil { year, month, day, hour, minute, second } = Civil::of(ms / 1000);
    let month = (month as usize - 1) * 3;
    // Writing to a Vec cannot fail.
    let _ = write!(out, "{day:02}/");
    out.extend_from_slice(&MONTHS[month..month + 3]);
    let _ = write!(out, "/{year:04}:{hour:02}:{minute:02}:{second:02}.{:03}", ms % 1000);
}

/// As RFC 3339 does: `2026-11-27T02:43:11.042Z`.
pub(super) fn write_stamp(ms: u64, out: &mut Vec<u8>) {
    let Civil { year, month, day, hour, minute, second } = Civil::of(ms / 1000);
    // Writing to a Vec cannot fail.
    let _ = write!(out, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", ms % 1000);
}
