//! The cookie that names a member to us (`cookie SRV insert indirect nocache` of HAProxy): members never see it, and
//! clients get it from us alone.

use super::{Request, Response, value};

/// The cookie's name: that of the original, so that clients stay where they are when they come from it.
pub const AFFINITY_COOKIE: &[u8] = b"SRV";

/// What a response is given on its way to a client that has no such cookie, or one for another member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Affinity {
    /// The member's id.
    pub value: [u8; 36],
    /// No cache may keep the response: it would hand the cookie to everybody.
    pub private: bool,
}

impl Affinity {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let parts: [&[u8]; 5] = [b"Set-Cookie: ", AFFINITY_COOKIE, b"=", &self.value, b"; path=/\r\n"];
        for part in parts {
            out.extend_from_slice(part);
        }
        if self.private {
            out.extend_from_slice(b"Cache-Control: private\r\n");
        }
    }
}

impl Request<'_, '_> {
    /// The member does not get to see our cookie.
    pub fn hide_affinity(&mut self) {
        self.hides_affinity = true;
    }
}

impl<'b> Response<'_, 'b> {
    /// The values of the headers of this name that go on, in their order.
    pub fn values(&self, name: &str) -> impl Iterator<Item = &'b [u8]> {
        let drop = self.drop;
        let going = self.headers.iter().enumerate().filter(move |(index, _)| drop >> index & 1 == 0);
        going.map(|(_, header)| header).filter(move |h| h.name.eq_ignore_ascii_case(name)).map(|h| h.value)
    }

    /// The client gets this cookie of ours, if any, and no other of its name.
    pub fn set_affinity(&mut self, affinity: Option<Affinity>) {
        self.affinity = affinity;
        for (index, header) in self.headers.iter().enumerate() {
            if header.name.eq_ignore_ascii_case("set-cookie")
                && value::cookies(header.value).next().is_some_and(|(name, _)| name == AFFINITY_COOKIE)
            {
                self.drop |= 1 << index;
            }
        }
    }

    /// Whether a cache might keep the response, as HAProxy sees it; `safe` = the method of the request is (RFC 9110
    /// §9.2.1).
    pub fn may_be_cached(&self, safe: bool) -> bool {
        let named =
            |text: &[u8], names: &[&str]| names.iter().any(|n| text.eq_ignore_ascii_case(n.as_bytes()));
        if self.status < 200 || self.values("pragma").next().is_some_and(|text| named(text, &["no-cache"])) {
            return false;
        }
        let mut may =
            safe && matches!(self.status, 200 | 203 | 204 | 206 | 300 | 301 | 404 | 405 | 410 | 414 | 501);
        let (mut lasts, mut stale) = (false, false);
        for directive in self.values("cache-control").flat_map(value::elements) {
            let begins = |start: &str| {
                directive.get(..start.len()).is_some_and(|text| text.eq_ignore_ascii_case(start.as_bytes()))
            };
            if named(directive, &["public"]) {
                may = true;
            } else if named(directive, &["max-age=0"]) {
                stale = true;
            } else if named(directive, &["private", "no-cache", "no-store", "s-maxage=0"]) {
                may = false;
            } else if begins("s-maxage") {
                (lasts, stale) = (true, false);
            } else if begins("max-age") {
                lasts = true;
            }
        }
        let lasts =
            lasts || ["expires", "etag", "last-modified"].iter().any(|n| self.values(n).next().is_some());
        may && lasts && !stale
    }
}

/// Appends a `Cookie` header without our cookie, and what belongs to it; nothing if there is no other in it.
#[cold]
pub(super) fn write_others(text: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(b"Cookie: ");
    let content = out.len();
    let (mut ours, mut taken, mut others) = (false, false, false);
    for piece in value::pieces(text) {
        // Attributes belong to the cookie before them (RFC 2965).
        if !piece.name.starts_with(b"$") {
            ours = piece.value.is_some() && piece.name == AFFINITY_COOKIE;
        }
        taken |= ours;
        if !ours {
            others |= !piece.name.starts_with(b"$");
            out.extend_from_slice(piece.text);
        }
    }
    if taken {
        let separates = |b: &&u8| matches!(b, b';' | b',' | b' ' | b'\t');
        let before = out[content..].iter().take_while(separates).count();
        out.drain(content..content + before);
        if !others || out.len() == content {
            out.truncate(start);
            return;
        }
        out.truncate(out.trim_ascii_end().len());
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_of_cookies() {
        for (before, after) in [
            ("SRV=x", ""),
            ("SRV=", ""),
            (" SRV = x ;", ""),
            ("SRV=x; SRV=y", ""),
            ("$Version=1; SRV=x; $Path=/", ""),
            ("SRV=x; a=b", "a=b"),
            ("a=b; SRV=x", "a=b"),
            ("a=b; SRV=x; c=d", "a=b; c=d"),
            ("a=b, SRV=x, c=d", "a=b, c=d"),
            ("SRV=x; $Path=/; a=b; $Path=/", "a=b; $Path=/"),
            ("SRV=x; a", "a"),
            ("SRV=\"x; a=b\"; c=d", "c=d"),
            ("a=\"x; SRV=y\"; SRV=z", "a=\"x; SRV=y\""),
            ("a=\"x; SRV=y", "a=\"x; SRV=y"),
            ("SRV; SRVX=x; srv=x", "SRV; SRVX=x; srv=x"),
            ("; ;", "; ;"),
        ] {
            let mut out = vec![];
            write_others(before.as_bytes(), &mut out);
            let expected = if after.is_empty() { String::new() } else { format!("Cookie: {after}\r\n") };
            assert_eq!(String::from_utf8(out).unwrap(), expected, "{before}");
        }
    }
}
