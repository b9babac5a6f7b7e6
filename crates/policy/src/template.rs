//! The right side of a check: text with places for what the request is about.

use std::fmt;

use crate::credentials::Target;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Key(String),
}

/// `project-%(project_id)s`, as Python formats it: `%(NAME)s` is the target's NAME, `%%` a percent sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(Vec<Piece>);

impl Template {
    /// # Errors
    ///
    /// With what is expected, where Python's formatting would fail or do something that no rule needs.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut pieces = vec![];
        let mut plain = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('%') {
            plain.push_str(before);
            if let Some(after) = after.strip_prefix('%') {
                plain.push('%');
                rest = after;
                continue;
            }
            let key = after.strip_prefix('(').and_then(|after| after.split_once(")s"));
            match key {
                Some((key, after)) if !key.contains(['(', ')', '%']) => {
                    if !plain.is_empty() {
                        pieces.push(Piece::Text(std::mem::take(&mut plain)));
                    }
                    pieces.push(Piece::Key(key.to_owned()));
                    rest = after;
                }
                _ => {
                    return Err("after % there has to be (NAME)s, or another % for a percent sign".to_owned());
                }
            }
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain));
        }
        Ok(Self(pieces))
    }

    /// `None` = the target does not have what is asked for.
    pub(crate) fn fill(&self, target: &Target) -> Option<String> {
        let mut filled = String::new();
        for piece in &self.0 {
            filled.push_str(match piece {
                Piece::Text(text) => text,
                Piece::Key(key) => target.get(key)?,
            });
        }
        Some(filled)
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => f.write_str(&text.replace('%', "%%"))?,
                Piece::Key(key) => write!(f, "%({key})s")?,
            }
        }
        Ok(())
    }
}
