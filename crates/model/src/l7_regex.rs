//! Regular expressions of L7 rules: linear in time, bounded in memory.

use regex::bytes::{Regex, RegexBuilder};

/// Why a pattern cannot be a rule's value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum L7RegexError {
    /// What the engine said, in its last line. Look-around and back-references, which need more than linear time,
    /// are refused so.
    #[error("{0}")]
    Syntax(String),
    #[error("it takes more than {} bytes of memory when compiled; repeat less", L7Regex::SIZE_MAX)]
    TooLarge,
}

/// A compiled pattern, matched against bytes; case counts unless the pattern says `(?i)`.
///
/// A match takes time linear in what is looked at, whatever the pattern, so no tenant's pattern can hold up the
/// proxy. Bytes need not be UTF-8: `.` is any of them, so that no stray byte hides what comes after it. Classes are of
/// ASCII.
#[derive(Debug, Clone)]
pub struct L7Regex(Regex);

impl L7Regex {
    /// Memory of one compiled pattern, bytes.
    pub const SIZE_MAX: usize = 1 << 18;
    /// Memory of one pattern's cache of states, bytes for each thread that matches.
    const CACHE_MAX: usize = 1 << 18;

    pub fn new(pattern: &str) -> Result<Self, L7RegexError> {
        Self::build(pattern, false, Self::SIZE_MAX)
    }

    /// The same, but case never counts. What [`L7Regex::new`] takes, this takes: it may use four times the memory,
    /// and either case of a letter makes a pattern no larger than that.
    pub fn caseless(pattern: &str) -> Result<Self, L7RegexError> {
        Self::build(pattern, true, Self::SIZE_MAX * 4)
    }

    /// Finds `text` as it is, in linear time.
    pub fn containing(text: &str, caseless: bool) -> Result<Self, L7RegexError> {
        Self::build(&regex::escape(text), caseless, Self::SIZE_MAX)
    }

    fn build(pattern: &str, caseless: bool, size_max: usize) -> Result<Self, L7RegexError> {
        let built = RegexBuilder::new(pattern)
            .unicode(false)
            .case_insensitive(caseless)
            .size_limit(size_max)
            .dfa_size_limit(Self::CACHE_MAX)
            // Values have at most 255 characters, so this is never the limit that is met first; it bounds the stack.
            .nest_limit(64)
            .build();
        built.map(Self).map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => L7RegexError::TooLarge,
            other => {
                let text = other.to_string();
                let last = text.lines().last().unwrap_or_default();
                L7RegexError::Syntax(last.trim_start_matches("error: ").to_owned())
            }
        })
    }

    pub fn is_match(&self, text: &[u8]) -> bool {
        self.0.is_match(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_and_what_matches() {
        for (pattern, text, matches) in [
            ("^/api/v[0-9]+/", "/api/v12/x", true),
            ("^/api/v[0-9]+/", "/API/v12/x", false),
            ("(?i)^/api", "/API", true),
            ("a{3}$", "baaa", true),
            ("\\.(jpg|png)$", "x.jpg", true),
            ("é", "\u{e9}", true),
            ("^\\w+$", "\u{e9}", false),
        ] {
            let regex = L7Regex::new(pattern).unwrap();
            assert_eq!(regex.is_match(text.as_bytes()), matches, "{pattern} {text}");
        }
        assert!(L7Regex::new("evil.*bot").unwrap().is_match(b"evil \xff\xfe bot"));
    }

    #[test]
    fn case_counts_or_not() {
        for (pattern, text) in [("^A|b$", "xB"), ("[a-c]+\\.ORG", "ABC.org"), ("(?-i)a(?i)b", "aB")] {
            assert!(L7Regex::caseless(pattern).unwrap().is_match(text.as_bytes()), "{pattern} {text}");
        }
        for (text, caseless, within, contains) in [
            ("a.b", false, "xa.bx", true),
            ("a.b", false, "xa-bx", false),
            ("a.b", false, "xA.Bx", false),
            ("a.b", true, "xA.Bx", true),
            ("(?i)", true, "x(?I)x", true),
        ] {
            let regex = L7Regex::containing(text, caseless).unwrap();
            assert_eq!(regex.is_match(within.as_bytes()), contains, "{text} {within}");
        }
    }

    /// The largest patterns of each kind that are taken are taken without case, too.
    #[test]
    fn what_is_taken_is_taken_without_case() {
        for unit in ["k", "[k-s]", "(?:K|s)", "\\w", "[^k]", "(?:abc?){9}", "."] {
            let pattern = |n: u32| format!("(?:{unit}){{{n}}}");
            let (mut taken, mut refused) = (1_u32, 1 << 16);
            while refused - taken > 1 {
                let middle = taken.midpoint(refused);
                match L7Regex::new(&pattern(middle)) {
                    Ok(_) => taken = middle,
                    Err(_) => refused = middle,
                }
            }
            assert!(L7Regex::caseless(&pattern(taken)).is_ok(), "{unit} {taken}");
        }
    }

    #[test]
    fn what_is_refused_and_why() {
        let cases = [
            ("(?=x)", "look-around"),
            ("(a)\\1", "backreferences"),
            ("(", "unclosed group"),
            ("[z-a]", "invalid character class range"),
            ("\\w{9000}", "bytes of memory"),
        ];
        for (pattern, said) in cases {
            let error = L7Regex::new(pattern).unwrap_err().to_string();
            assert!(error.contains(said), "{pattern}: {error}");
            assert!(!error.contains('\n'), "{pattern}: {error}");
        }
        let nested = "(".repeat(100) + &")".repeat(100);
        assert!(L7Regex::new(&nested).is_err());
    }
}
