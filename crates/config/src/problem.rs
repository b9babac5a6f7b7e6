//! What is wrong with a configuration, and where.

use std::fmt;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Something has no effect, or soon will have none.
    Warning,
    /// There is no right value to go on with.
    Error,
}

/// Shown in one line: `FILE:LINE: error: [section] option: what`. Values of secret options are not in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub severity: Severity,
    pub file: String,
    /// From 1; `None` = the whole file.
    pub line: Option<usize>,
    pub section: Option<String>,
    pub option: Option<String>,
    /// With what is allowed, if it is about a value.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Names come from a file that may hold anything.
        f.write_str(&printable(&self.file))?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        f.write_str(match self.severity {
            Severity::Warning => ": warning: ",
            Severity::Error => ": error: ",
        })?;
        if let Some(section) = &self.section {
            write!(f, "[{}] ", printable(section))?;
        }
        if let Some(option) = &self.option {
            write!(f, "{}: ", printable(option))?;
        }
        f.write_str(&self.what)
    }
}

/// Characters shown of what a file says.
const SHOWN: usize = 60;

/// Without control characters, and not too long.
pub(crate) fn printable(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN).flat_map(escaped).collect();
    if text.chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    shown
}

fn escaped(character: char) -> impl Iterator<Item = char> {
    let plain = is_printable(character).then_some(character);
    let escape = plain.is_none().then(|| character.escape_default());
    plain.into_iter().chain(escape.into_iter().flatten())
}

/// Control characters would steer a terminal; some marks of writing direction, too.
pub(crate) fn is_printable(character: char) -> bool {
    let direction =
        matches!(character, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    !character.is_control() && !direction
}
