//! Header values taken apart as HAProxy does: into the elements of a list, and into cookies.

/// The elements of a comma-separated list, without the blanks around them. A comma in quotes separates nothing.
pub(crate) fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(value);
    std::iter::from_fn(move || {
        let text = trim_start(rest?);
        let end = end(text, |b| b == b',');
        rest = text.get(end + 1..);
        Some(trim_end(&text[..end]))
    })
}

/// Names and values of the cookies in an element of a `Cookie` header, without the blanks around each. Quotes are part
/// of a value, and what would end it does not end it in them. What has no `=` is no cookie; a name that begins with
/// `$` is an attribute of the cookie before it (RFC 2965).
pub(crate) fn cookies(element: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let named = pieces(element).filter(|piece| !piece.name.starts_with(b"$"));
    named.filter_map(|piece| Some((piece.name, piece.value?)))
}

/// What is between the marks that end cookies.
pub(crate) struct Piece<'a> {
    /// As it is, with the mark before it, if it is not the first.
    pub(crate) text: &'a [u8],
    pub(crate) name: &'a [u8],
    /// `None` = it has no `=`.
    pub(crate) value: Option<&'a [u8]>,
}

pub(crate) fn pieces(element: &[u8]) -> impl Iterator<Item = Piece<'_>> {
    let mut start = Some(0);
    std::iter::from_fn(move || {
        let from = start?;
        let (mark, text) = if from == 0 { (0, element) } else { (from - 1, &element[from..]) };
        let equal = text.iter().position(|&b| b == b'=' || is_cookie_end(b)).unwrap_or(text.len());
        let name = trim(&text[..equal]);
        let (length, value) = if text.get(equal) == Some(&b'=') {
            let after = trim_start(&text[equal + 1..]);
            let end = end(after, is_cookie_end);
            (text.len() - after.len() + end, Some(trim_end(&after[..end])))
        } else {
            (equal, None)
        };
        start = (length < text.len()).then_some(from + length + 1);
        Some(Piece { text: &element[mark..from + length], name, value })
    })
}

fn is_cookie_end(b: u8) -> bool {
    matches!(b, b';' | b',')
}

/// Where the first mark is that is not in quotes (RFC 9110 §5.6.4); the length of `text` if there is none.
fn end(text: &[u8], is_mark: impl Fn(u8) -> bool) -> usize {
    let (mut quoted, mut escaped) = (false, false);
    let outside_and_mark = |&b: &u8| {
        if std::mem::take(&mut escaped) {
            return false;
        }
        match b {
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ => return !quoted && is_mark(b),
        }
        false
    };
    text.iter().position(outside_and_mark).unwrap_or(text.len())
}

fn is_blank(b: u8) -> bool {
    matches!(b, b' ' | b'\t')
}

fn trim(text: &[u8]) -> &[u8] {
    trim_end(trim_start(text))
}

fn trim_start(text: &[u8]) -> &[u8] {
    let start = text.iter().position(|&b| !is_blank(b)).unwrap_or(text.len());
    &text[start..]
}

fn trim_end(text: &[u8]) -> &[u8] {
    let end = text.iter().rposition(|&b| !is_blank(b)).map_or(0, |last| last + 1);
    &text[..end]
}
