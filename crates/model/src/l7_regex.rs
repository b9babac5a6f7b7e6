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
/// proxy.
#[derive(Debug, Clone)]
pub struct L7Regex(Regex);

impl L7Regex {
    /// Memory of one compiled pattern, bytes.
    pub const SIZE_MAX: usize = 1 << 18;
    /// Memory of one pattern's cache of states, bytes for each thread that matches.
    const CACHE_MAX: usize = 1 << 18;

    pub fn new(pattern: &str) -> Result<Self, L7RegexError> {
        let built = RegexBuilder::new(pattern)
            .size_limit(Self::SIZE_MAX)
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
        ] {
            let regex = L7Regex::new(pattern).unwrap();
            assert_eq!(regex.is_match(text.as_bytes()), matches, "{pattern} {text}");
        }
    }

    #[test]
    fn what_is_refused_and_why() {
        let cases = [
            ("(?=x)", "look-around"),
            ("(a)\\1", "backreferences"),
            ("(", "unclosed group"),
            ("[z-a]", "invalid character class range"),
            ("\\w{900}", "bytes of memory"),
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
