//! Chunked bodies: every way to follow one finds the same content and the same end, and so does a plain reader.

use crate::http1::{Body, Framing, FramingError, MAX_CHUNK_LINE};

/// What a reader finds: the content, how many bytes the body has, and whether it is whole.
type Found = Result<(Vec<u8>, usize, bool), FramingError>;

/// `data` as a chunked body, and what follows it.
pub fn chunked(data: &[u8]) -> bool {
    let whole = decoded(data, |_| usize::MAX);
    assert_eq!(decoded(data, |_| 1), whole, "byte by byte");
    // Pieces as if by chance, for which the bytes are as good as any.
    let chance = |at: usize| 1 + usize::from(data[at / 2] ^ data[at]) % 40;
    assert_eq!(decoded(data, chance), whole, "in pieces");
    assert_eq!(spliced(data, chance), whole, "with its content passed on unseen");
    match whole {
        Ok((content, len, is_whole)) => {
            assert!(len <= data.len() && (is_whole || len == data.len()));
            match plain(data) {
                Some((other, other_len)) => assert!(is_whole && (other, other_len) == (content, len)),
                None => assert!(!is_whole, "a plain reader does not find its end"),
            }
            is_whole
        }
        Err(_) => {
            // Nobody else would have found something in it, but for what is too long for us alone.
            assert!(data.len() > MAX_CHUNK_LINE || plain(data).is_none());
            false
        }
    }
}

fn decoded(data: &[u8], size: impl Fn(usize) -> usize) -> Found {
    let mut body = Body::new(Framing::Chunked);
    let mut content = vec![];
    let mut at = 0;
    while at < data.len() && !body.is_done() {
        let piece = &data[at..data.len().min(at.saturating_add(size(at)))];
        let mut follower = body.clone();
        let used = body.decode(piece, &mut content);
        // Following without keeping finds the same.
        assert_eq!(follower.advance(piece), used);
        at += used?;
        assert_eq!(follower, body);
        assert!(body.is_done() || at == data.len() || !piece.is_empty());
    }
    Ok((content, at, body.is_done()))
}

/// Looks at the framing only.
fn spliced(data: &[u8], size: impl Fn(usize) -> usize) -> Found {
    let mut body = Body::new(Framing::Chunked);
    let mut content = vec![];
    let mut at = 0;
    while at < data.len() && !body.is_done() {
        let rest = &data[at..];
        let opaque = body.opaque().min(rest.len() as u64).min(size(at) as u64) as usize;
        if opaque > 0 {
            content.extend_from_slice(&rest[..opaque]);
            body.skip(opaque as u64);
            at += opaque;
        } else {
            at += body.advance(&rest[..1])?;
        }
    }
    Ok((content, at, body.is_done()))
}

/// A reader that needs all of the body at once: its content and length, unless it is broken or not whole.
fn plain(data: &[u8]) -> Option<(Vec<u8>, usize)> {
    let mut content = vec![];
    let mut rest = data;
    loop {
        let (line, after) = line(rest)?;
        let end = line.iter().position(|&b| b == b';').unwrap_or(line.len());
        let digits = std::str::from_utf8(&line[..end]).ok()?;
        let digits = digits.trim_end_matches([' ', '\t']);
        let blanks = end - digits.len();
        if digits.is_empty() || digits.len() > 15 || blanks > 32 || !is_text(&line[end..]) {
            return None;
        }
        // A sign is a digit to the parser.
        let size =
            digits.bytes().all(|b| b.is_ascii_hexdigit()).then(|| usize::from_str_radix(digits, 16))?;
        rest = after;
        match size.ok()? {
            0 => break,
            size => {
                content.extend_from_slice(rest.get(..size)?);
                rest = rest[size..].strip_prefix(b"\r\n")?;
            }
        }
    }
    loop {
        let (trailer, after) = line(rest)?;
        rest = after;
        if trailer.is_empty() {
            return Some((content, data.len() - rest.len()));
        }
        let colon = trailer.iter().position(|&b| b == b':')?;
        let is_token = |b: &u8| b.is_ascii_graphic() && !b"\"(),/:;<=>?@[\\]{}".contains(b);
        let name = &trailer[..colon];
        if name.is_empty() || !name.iter().all(is_token) || is_steering(name) || !is_text(&trailer[colon..]) {
            return None;
        }
    }
}

fn line(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = data.windows(2).position(|pair| pair == b"\r\n")?;
    Some((&data[..end], &data[end + 2..]))
}

fn is_text(bytes: &[u8]) -> bool {
    bytes.iter().all(|&b| b == b'\t' || b >= b' ' && b != 0x7f)
}

/// A field that must never be merged into a head.
fn is_steering(name: &[u8]) -> bool {
    let name =
        String::from_utf8_lossy(name).to_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    crate::http1::REFUSED_TRAILERS.iter().any(|refused| match refused.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == *refused,
    })
}
