//! Bytes of clients, made harmless: nothing of them can end a field or a line, or be unseen in it.

const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// Appends at most `limit` bytes, in HAProxy's way: a quotation mark, `#` itself and whatever is not visible ASCII become
/// `#` and two digits.
pub(crate) fn text(bytes: &[u8], limit: usize, out: &mut Vec<u8>) {
    let end = out.len() + limit;
    for &byte in bytes {
        let plain = matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'#');
        if out.len() + if plain { 1 } else { 3 } > end {
            return;
        }
        if plain {
            out.push(byte);
        } else {
            out.extend_from_slice(&[b'#', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        }
    }
}

/// Appends at most `limit` bytes, to stand between the quotation marks of JSON. A byte beyond ASCII becomes the character
/// of its number: nobody says what encoding it is of.
pub(crate) fn json(bytes: &[u8], limit: usize, out: &mut Vec<u8>) {
    let end = out.len() + limit;
    for &byte in bytes {
        let (plain, length) = match byte {
            b'"' | b'\\' => (false, 2),
            b' '..=b'~' => (true, 1),
            _ => (false, 6),
        };
        if out.len() + length > end {
            return;
        }
        match (plain, length) {
            (true, _) => out.push(byte),
            (false, 2) => out.extend_from_slice(&[b'\\', byte]),
            _ => {
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_ends_a_field_or_a_line() {
        for (bytes, limit, as_text, as_json) in [
            (&b"GET / HTTP/1.1"[..], 99, "GET / HTTP/1.1", "GET / HTTP/1.1"),
            (b"a\"b#c\\d", 99, "a#22b#23c\\d", "a\\\"b#c\\\\d"),
            (b"\r\n\0\x1b\x7f", 99, "#0D#0A#00#1B#7F", "\\u000D\\u000A\\u0000\\u001B\\u007F"),
            ("ü".as_bytes(), 99, "#C3#BC", "\\u00C3\\u00BC"),
            (b"\xff", 99, "#FF", "\\u00FF"),
            (b"", 99, "", ""),
            // No half of anything.
            (b"abc", 2, "ab", "ab"),
            (b"ab\"", 3, "ab", "ab"),
            (b"ab\n", 6, "ab#0A", "ab"),
            (b"ab\"", 4, "ab", "ab\\\""),
        ] {
            let (mut text_out, mut json_out) = (b"x".to_vec(), b"x".to_vec());
            text(bytes, limit, &mut text_out);
            json(bytes, limit, &mut json_out);
            assert_eq!(String::from_utf8(text_out).unwrap()[1..], *as_text, "{bytes:?}");
            assert_eq!(String::from_utf8(json_out).unwrap()[1..], *as_json, "{bytes:?}");
        }
    }

    #[test]
    fn any_byte_is_told_and_read_again() {
        let all: Vec<u8> = (0..=255).collect();
        let mut out = vec![b'"'];
        json(&all, usize::MAX >> 1, &mut out);
        out.push(b'"');
        let read: String = serde_json::from_slice(&out).unwrap();
        assert_eq!(read.chars().map(|c| u8::try_from(c).unwrap()).collect::<Vec<_>>(), all);
        let mut out = vec![];
        text(&all, usize::MAX >> 1, &mut out);
        assert!(out.iter().all(|byte| matches!(byte, b' '..=b'~') && *byte != b'"'));
    }
}
