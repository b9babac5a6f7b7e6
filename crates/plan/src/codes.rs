//! The status codes that a health monitor takes for good.

/// Text that is not a list or range of status codes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a list (200,201) or range (200-204) of three-digit status codes")]
pub struct BadCodes(pub String);

/// Reads `expected_codes` (`200` · `200, 202` · `200-204`; `reference/api.md` §3.5) as inclusive ranges.
/// Lists of ranges are read too; a range that runs backwards is an error.
pub fn expected_codes(text: &str) -> Result<Vec<(u16, u16)>, BadCodes> {
    text.split(',')
        .map(|part| range(part.trim()))
        .collect::<Option<_>>()
        .ok_or_else(|| BadCodes(text.to_owned()))
}

fn range(text: &str) -> Option<(u16, u16)> {
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    let (from, to) = (code(from)?, code(to)?);
    (from <= to).then_some((from, to))
}

fn code(text: &str) -> Option<u16> {
    (text.len() == 3 && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_lists_and_ranges() {
        for (text, ranges) in [
            ("200", &[(200, 200)][..]),
            ("200,201", &[(200, 200), (201, 201)]),
            ("200 , 202", &[(200, 200), (202, 202)]),
            ("200-204", &[(200, 204)]),
            ("200-204,301", &[(200, 204), (301, 301)]),
            ("000-999", &[(0, 999)]),
        ] {
            assert_eq!(expected_codes(text).as_deref(), Ok(ranges), "{text}");
        }
    }

    #[test]
    fn refuses_the_rest() {
        for text in
            ["", ",", "200,", "2000", "20", "204-200", "200-", "-200", "2xx", "+20", "200-201-202", "２００"]
        {
            assert_eq!(expected_codes(text), Err(BadCodes(text.to_owned())), "{text}");
        }
    }
}
