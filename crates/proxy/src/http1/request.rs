//! Request heads: parsed, and refused when they are broken or ambiguous.

use httparse::{Error, Header, ParserConfig, Status};

use super::field::{self, ConnectionOptions, Kind};
use super::{Framing, HeaderSlots, MAX_HEAD, MAX_LINE};

/// A request head that may be forwarded.
#[derive(Debug)]
pub struct Request<'h, 'b> {
    pub method: &'b str,
    /// In origin form (`/path?query`), or `*`; never absolute.
    pub target: &'b [u8],
    /// The client speaks HTTP/1.1; `false` = HTTP/1.0.
    pub http11: bool,
    /// The value of `Host`, or the authority of an absolute target.
    pub host: Option<&'b [u8]>,
    pub framing: Framing,
    /// The client would send another request on this connection.
    pub keep_alive: bool,
    /// The client waits for `100 Continue` before it sends the body.
    pub expects_continue: bool,
    /// The client asks for another protocol, and members may be asked for it.
    pub upgrade: bool,
    /// The client wants what comes after the content, too (RFC 9110 §6.5.1).
    pub takes_trailers: bool,
    /// Bytes of the head.
    pub len: usize,
    pub(super) headers: &'h [Header<'b>],
    /// One bit a header: not forwarded.
    pub(super) drop: u128,
    /// Nor is the cookie that names a member to us.
    pub(super) hides_affinity: bool,
}

/// Why a request is answered by us. All but `NoConnect` are mistakes of syntax.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("the request is malformed: {0}")]
    Malformed(&'static str),
    #[error("the head has more than {MAX_HEAD} bytes or too many header lines")]
    HeadTooLarge,
    #[error("the request target has more than {MAX_LINE} bytes")]
    TargetTooLong,
    #[error("the HTTP version is not 1.0 or 1.1")]
    Version,
    #[error("this is no forward proxy: CONNECT is not served")]
    NoConnect,
    #[error("the Expect header asks for something other than 100-continue")]
    Expectation,
}

impl Refusal {
    /// The status to answer with.
    pub const fn status(self) -> u16 {
        match self {
            Self::Malformed(_) => 400,
            Self::NoConnect => 405,
            Self::TargetTooLong => 414,
            Self::Expectation => 417,
            Self::HeadTooLarge => 431,
            Self::Version => 505,
        }
    }
}

use Refusal::Malformed;

impl<'h, 'b> Request<'h, 'b> {
    /// Reads the head at the start of `bytes`; `None` when it is not complete yet.
    pub fn parse(bytes: &'b [u8], slots: &'h mut HeaderSlots<'b>) -> Result<Option<Self>, Refusal> {
        let mut raw = httparse::Request::new(&mut []);
        let status = ParserConfig::default().parse_request_with_uninit_headers(&mut raw, bytes, slots);
        let len = match status {
            Ok(Status::Complete(len)) if len <= MAX_HEAD => len,
            Ok(Status::Partial) if bytes.len() < MAX_HEAD => return Ok(None),
            Ok(_) | Err(Error::TooManyHeaders) => return Err(Refusal::HeadTooLarge),
            Err(Error::Version) if names_other_version(bytes) => return Err(Refusal::Version),
            Err(Error::HeaderName) => return Err(Malformed("header name")),
            Err(Error::HeaderValue) => return Err(Malformed("header value")),
            Err(_) => return Err(Malformed("request line")),
        };
        if !field::lines_end_in_crlf(&bytes[..len]) {
            return Err(Malformed("a line does not end in CR LF"));
        }
        let method = raw.method.unwrap_or_default();
        let path = raw.path.unwrap_or_default();
        let http11 = raw.version == Some(1);
        let headers: &'h [Header<'b>] = raw.headers;

        let mut facts = Facts::default();
        facts.read(headers)?;
        let framing = facts.framing(http11)?;
        let (target, authority) = target(method, path)?;
        if http11 && facts.host.is_none() {
            return Err(Malformed("no Host header"));
        }
        if let Some(host) = facts.host
            && !is_authority(host)
        {
            return Err(Malformed("Host is not a host"));
        }
        let host = match (authority, facts.host) {
            (Some(authority), Some(host)) if !same_authority(authority, host) => {
                return Err(Malformed("Host differs from the host in the target"));
            }
            (Some(authority), _) => Some(authority),
            (None, host) => host,
        };
        if method == "CONNECT" {
            return Err(Refusal::NoConnect);
        }
        let expects_continue = match facts.expect {
            None => false,
            Some(value) if value.eq_ignore_ascii_case(b"100-continue") => http11 && framing != Framing::None,
            Some(_) => return Err(Refusal::Expectation),
        };
        let upgrade = http11 && facts.connection.upgrade && facts.upgrade;
        facts.drop_what_is_not_used(expects_continue, upgrade);
        if facts.connection.names {
            field::drop_named(headers, &mut facts.drop);
        }
        Ok(Some(Self {
            method,
            target,
            http11,
            host,
            framing,
            keep_alive: !facts.connection.close && (http11 || facts.connection.keep_alive),
            expects_continue,
            upgrade,
            takes_trailers: facts.takes_trailers,
            len,
            headers,
            drop: facts.drop,
            hides_affinity: false,
        }))
    }

    pub fn is_head(&self) -> bool {
        self.method == "HEAD"
    }

    /// The method is one that an answer of ours is there for.
    pub fn asks_only(&self) -> bool {
        matches!(self.method, "GET" | "HEAD")
    }

    /// The method changes nothing (RFC 9110 §9.2.1).
    pub fn is_safe(&self) -> bool {
        matches!(self.method, "GET" | "HEAD" | "OPTIONS" | "TRACE")
    }

    /// The target up to its query; `None` for `*`.
    pub fn path(&self) -> Option<&'b [u8]> {
        let path = self.target.split(|&b| b == b'?').next()?;
        path.starts_with(b"/").then_some(path)
    }

    /// The values of the headers of this name, in their order. That of `Host` is [`Request::host`].
    pub fn values(&self, name: &str) -> impl Iterator<Item = &'b [u8]> {
        let host = self.host.filter(|_| name.eq_ignore_ascii_case("host"));
        let named = self.headers.iter().filter(move |header| header.name.eq_ignore_ascii_case(name));
        let others = named.filter(|header| field::kind(header.name) != Kind::Host).map(|header| header.value);
        host.into_iter().chain(others)
    }

    /// Sending the request twice does no harm, and there is no body that would be gone (RFC 9110 §9.2.2).
    pub fn is_replayable(&self) -> bool {
        matches!(self.framing, Framing::None | Framing::Length(0))
            && !self.upgrade
            && matches!(self.method, "GET" | "HEAD" | "OPTIONS" | "TRACE" | "PUT" | "DELETE")
    }
}

/// What the headers say, collected in one pass.
#[derive(Default)]
struct Facts<'b> {
    drop: u128,
    host: Option<&'b [u8]>,
    content_length: Option<u64>,
    chunked: bool,
    connection: ConnectionOptions,
    expect: Option<&'b [u8]>,
    expect_bits: u128,
    upgrade: bool,
    upgrade_bits: u128,
    takes_trailers: bool,
}

impl<'b> Facts<'b> {
    fn read(&mut self, headers: &[Header<'b>]) -> Result<(), Refusal> {
        for (index, header) in headers.iter().enumerate() {
            let (bit, value) = (1u128 << index, header.value);
            if header.name.len() + value.len() > MAX_LINE {
                return Err(Refusal::HeadTooLarge);
            }
            match field::kind(header.name) {
                Kind::EndToEnd => {}
                Kind::Host => {
                    if self.host.replace(value).is_some() {
                        return Err(Malformed("more than one Host"));
                    }
                    // Written anew, first.
                    self.drop |= bit;
                }
                Kind::ContentLength => {
                    let length = field::content_length(value).ok_or(Malformed("Content-Length"))?;
                    if self.content_length.replace(length).is_some() {
                        return Err(Malformed("more than one Content-Length"));
                    }
                }
                Kind::TransferEncoding => {
                    if self.chunked || !value.eq_ignore_ascii_case(b"chunked") {
                        return Err(Malformed("Transfer-Encoding is not just chunked"));
                    }
                    self.chunked = true;
                }
                Kind::Connection => {
                    self.connection.read(value);
                    self.drop |= bit;
                }
                Kind::Upgrade => {
                    // HTTP/2 in clear would pass by every rule of this listener.
                    self.upgrade = !field::list(value).any(|p| p.eq_ignore_ascii_case(b"h2c"))
                        && (self.upgrade_bits == 0 || self.upgrade);
                    self.upgrade_bits |= bit;
                }
                Kind::Expect => {
                    if self.expect.replace(value).is_some() {
                        return Err(Malformed("more than one Expect"));
                    }
                    self.expect_bits |= bit;
                }
                Kind::Te => {
                    let mut wanted = field::list(value);
                    self.takes_trailers |= wanted.any(|one| one.eq_ignore_ascii_case(b"trailers"));
                    self.drop |= bit;
                }
                Kind::HopByHop => self.drop |= bit,
            }
        }
        Ok(())
    }

    fn framing(&self, http11: bool) -> Result<Framing, Refusal> {
        match (self.chunked, self.content_length) {
            (true, Some(_)) => Err(Malformed("both Transfer-Encoding and Content-Length")),
            (true, None) if !http11 => Err(Malformed("Transfer-Encoding in HTTP/1.0")),
            (true, None) => Ok(Framing::Chunked),
            (false, Some(length)) => Ok(Framing::Length(length)),
            (false, None) => Ok(Framing::None),
        }
    }

    fn drop_what_is_not_used(&mut self, expects_continue: bool, upgrade: bool) {
        if !expects_continue {
            self.drop |= self.expect_bits;
        }
        if !upgrade {
            self.drop |= self.upgrade_bits;
        }
    }
}

/// Whether the request line is well formed, but for another version of HTTP.
fn names_other_version(bytes: &[u8]) -> bool {
    let line = bytes.trim_ascii_start().split(|&b| b == b'\r').next().unwrap_or_default();
    let mut words = line.split(|&b| b == b' ');
    let version = words.nth(2).and_then(|word| word.strip_prefix(b"HTTP/"));
    matches!(version, Some([major, b'.', minor]) if major.is_ascii_digit() && minor.is_ascii_digit())
        && words.next().is_none()
}

/// The target in origin form, and the authority when it came in absolute form.
fn target<'b>(method: &str, path: &'b str) -> Result<(&'b [u8], Option<&'b [u8]>), Refusal> {
    let path = path.as_bytes();
    if path.len() > MAX_LINE {
        return Err(Refusal::TargetTooLong);
    }
    if method == "CONNECT" {
        return Err(Refusal::NoConnect);
    }
    // A fragment is cut off by some readers and not by others.
    if path.iter().any(|&b| !b.is_ascii_graphic() || b == b'#') {
        return Err(Malformed("a character that a target cannot have"));
    }
    match path {
        [b'/', ..] => Ok((path, None)),
        b"*" if method == "OPTIONS" => Ok((path, None)),
        _ => absolute(method, path),
    }
}

fn absolute<'b>(method: &str, target: &'b [u8]) -> Result<(&'b [u8], Option<&'b [u8]>), Refusal> {
    let scheme = |scheme: &[u8]| {
        target.get(..scheme.len()).filter(|start| start.eq_ignore_ascii_case(scheme)).map(<[u8]>::len)
    };
    let start = scheme(b"http://").or_else(|| scheme(b"https://")).ok_or(Malformed("request target"))?;
    let rest = &target[start..];
    let end = rest.iter().position(|&b| matches!(b, b'/' | b'?')).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    if authority.is_empty() || !is_authority(authority) {
        return Err(Malformed("the host in the target"));
    }
    match path {
        [b'/', ..] => Ok((path, Some(authority))),
        [] if method == "OPTIONS" => Ok((b"*", Some(authority))),
        [] => Ok((b"/", Some(authority))),
        _ => Err(Malformed("request target")),
    }
}

/// `host [":" port]` without user information; an empty host is one, too.
fn is_authority(text: &[u8]) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-._~%!$&'()*+;=".contains(&b);
    let (host, port) = if let [b'[', rest @ ..] = text {
        let Some(end) = rest.iter().position(|&b| b == b']') else { return false };
        let literal = &rest[..end];
        if literal.is_empty() || !literal.iter().all(|&b| b.is_ascii_hexdigit() || matches!(b, b':' | b'.')) {
            return false;
        }
        (&[][..], &rest[end + 1..])
    } else {
        let end = text.iter().position(|&b| b == b':').unwrap_or(text.len());
        text.split_at(end)
    };
    let port_is_good = match port {
        [] => true,
        [b':', digits @ ..] => digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    port_is_good && host.iter().all(|&b| allowed(b))
}

/// Equal but for case and a port 80 that goes without saying.
fn same_authority(a: &[u8], b: &[u8]) -> bool {
    let plain = |text: &[u8]| {
        let text = text.strip_suffix(b":80").or_else(|| text.strip_suffix(b":")).unwrap_or(text);
        text.to_ascii_lowercase()
    };
    plain(a) == plain(b)
}
