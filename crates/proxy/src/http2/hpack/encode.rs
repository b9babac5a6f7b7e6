//! Our header blocks: names that both sides know by their number, everything else as it is.

use super::huffman;

/// A value of at least this many bytes is coded, if that makes it shorter: for less it is not worth the time.
const CODED: usize = 64;

/// Appends `:status`.
pub(in crate::http2) fn encode_status(status: u16, out: &mut Vec<u8>) {
    let index = match status {
        200 => 8,
        204 => 9,
        206 => 10,
        304 => 11,
        400 => 12,
        404 => 13,
        500 => 14,
        _ => {
            let digit = |n: u16| b'0' + (n % 10) as u8;
            out.extend_from_slice(&[8, 3, digit(status / 100), digit(status / 10), digit(status)]);
            return;
        }
    };
    out.push(0x80 | index);
}

/// Appends what a request to a member asks for. There is TLS, or it would not be HTTP/2. Nobody in particular is no
/// authority (RFC 9113 §8.3.1).
pub(in crate::http2) fn encode_asked(method: &[u8], authority: &[u8], path: &[u8], out: &mut Vec<u8>) {
    const SCHEME_HTTPS: u8 = 7;
    match method {
        b"GET" => out.push(0x80 | 2),
        b"POST" => out.push(0x80 | 3),
        _ => write_named(2, method, out),
    }
    out.push(0x80 | SCHEME_HTTPS);
    if !authority.is_empty() {
        write_named(1, authority, out);
    }
    match path {
        b"/" => out.push(0x80 | 4),
        _ => write_named(4, path, out),
    }
}

/// Appends a field with a name that has this number.
fn write_named(name: usize, value: &[u8], out: &mut Vec<u8>) {
    write_integer(name, 4, 0, out);
    write_string(value, out);
}

/// Appends a field that enters no table. Its name is written in lower case. What is secret is said to be.
pub(crate) fn encode_field(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    let mut lower = [0; 32];
    let known = match lower.get_mut(..name.len()) {
        Some(lower) => {
            lower.copy_from_slice(name);
            lower.make_ascii_lowercase();
            index(lower)
        }
        None => 0,
    };
    // Set-Cookie and the like: nobody on the way shall put it into a table (RFC 7541 §7.1.3).
    let form = if matches!(known, 23 | 49 | 55) { 0x10 } else { 0 };
    write_integer(known, 4, form, out);
    if known == 0 {
        write_integer(name.len(), 7, 0, out);
        out.extend(name.iter().map(u8::to_ascii_lowercase));
    }
    write_string(value, out);
}

fn write_string(text: &[u8], out: &mut Vec<u8>) {
    if text.len() >= CODED {
        let length = huffman::encoded_len(text);
        if length < text.len() {
            write_integer(length, 7, 0x80, out);
            huffman::encode(text, out);
            return;
        }
    }
    write_integer(text.len(), 7, 0, out);
    out.extend_from_slice(text);
}

/// RFC 7541 §5.1: in the last `prefix` bits of a byte that begins with `form`, and as many more as it takes.
pub(super) fn write_integer(value: usize, prefix: u32, form: u8, out: &mut Vec<u8>) {
    let most = (1usize << prefix) - 1;
    if value < most {
        out.push(form | value as u8);
        return;
    }
    out.push(form | most as u8);
    let mut left = value - most;
    while left >= 0x80 {
        out.push(0x80 | (left & 0x7f) as u8);
        left >>= 7;
    }
    out.push(left as u8);
}

/// The number of a name in lower case; 0 = it has none.
fn index(name: &[u8]) -> usize {
    match name {
        b"accept-charset" => 15,
        b"accept-encoding" => 16,
        b"accept-language" => 17,
        b"accept-ranges" => 18,
        b"accept" => 19,
        b"access-control-allow-origin" => 20,
        b"age" => 21,
        b"allow" => 22,
        b"authorization" => 23,
        b"cache-control" => 24,
        b"content-disposition" => 25,
        b"content-encoding" => 26,
        b"content-language" => 27,
        b"content-length" => 28,
        b"content-location" => 29,
        b"content-range" => 30,
        b"content-type" => 31,
        b"cookie" => 32,
        b"date" => 33,
        b"etag" => 34,
        b"expect" => 35,
        b"expires" => 36,
        b"from" => 37,
        b"host" => 38,
        b"if-match" => 39,
        b"if-modified-since" => 40,
        b"if-none-match" => 41,
        b"if-range" => 42,
        b"if-unmodified-since" => 43,
        b"last-modified" => 44,
        b"link" => 45,
        b"location" => 46,
        b"max-forwards" => 47,
        b"proxy-authenticate" => 48,
        b"proxy-authorization" => 49,
        b"range" => 50,
        b"referer" => 51,
        b"refresh" => 52,
        b"retry-after" => 53,
        b"server" => 54,
        b"set-cookie" => 55,
        b"strict-transport-security" => 56,
        b"transfer-encoding" => 57,
        b"user-agent" => 58,
        b"vary" => 59,
        b"via" => 60,
        b"www-authenticate" => 61,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::super::table::STATIC;
    use super::*;

    #[test]
    fn names_have_the_numbers_of_the_table() {
        for (at, (name, _)) in STATIC.iter().enumerate() {
            let expected = if name.starts_with(':') { 0 } else { at + 1 };
            assert_eq!(index(name.as_bytes()), expected, "{name}");
        }
        assert_eq!(index(b"x-anything"), 0);
    }
}
