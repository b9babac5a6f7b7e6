//! `$name`, `${name}`, `$group.name` and `${group.name}` in values; `$$` and `\$` for a dollar sign.

/// A piece of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Piece {
    Text(String),
    /// What another option's value goes in for.
    Name(String),
}

/// Takes a value apart. A dollar sign that starts no name stays what it is.
pub(crate) fn pieces(value: &str) -> Vec<Piece> {
    // All at once and first, so that what is left of `\\$$` is a dollar sign and the start of a name.
    let value = value.replace("\\$", "$$");
    let mut pieces = vec![];
    let mut text = String::new();
    let mut rest = value.as_str();
    while let Some((before, after)) = rest.split_once('$') {
        text.push_str(before);
        let end = name_end(after);
        let (name, after) = match braced(after) {
            Some((name, after)) => (name, after),
            None if end > 0 => after.split_at(end),
            None => {
                text.push('$');
                rest = after.strip_prefix('$').unwrap_or(after);
                continue;
            }
        };
        if !text.is_empty() {
            pieces.push(Piece::Text(std::mem::take(&mut text)));
        }
        pieces.push(Piece::Name(name.to_owned()));
        rest = after;
    }
    text.push_str(rest);
    if !text.is_empty() {
        pieces.push(Piece::Text(text));
    }
    pieces
}

fn braced(text: &str) -> Option<(&str, &str)> {
    let text = text.strip_prefix('{')?;
    let end = name_end(text);
    let rest = text[end..].strip_prefix('}')?;
    (end > 0).then_some((&text[..end], rest))
}

/// Bytes of the name at the beginning, 0 = none.
fn name_end(text: &str) -> usize {
    let first = |c: char| c == '_' || c.is_ascii_alphabetic();
    if !text.starts_with(first) {
        return 0;
    }
    text.find(|c: char| !(first(c) || c == '.' || c.is_ascii_digit())).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values() {
        // Names are shown as <name>.
        for (value, wanted) in [
            ("", ""),
            ("plain 100%", "plain 100%"),
            ("$b", "<b>"),
            ("${b}", "<b>"),
            ("$h.n", "<h.n>"),
            ("${h.n}.x", "<h.n>.x"),
            ("$b-x", "<b>-x"),
            ("$b.", "<b.>"),
            ("$B", "<B>"),
            ("$$b", "$b"),
            ("$$$b", "$<b>"),
            ("\\$b", "$b"),
            ("\\\\$b", "\\$b"),
            ("\\$$b", "$<b>"),
            ("\\$\\$", "$$"),
            ("$\\$b", "$<b>"),
            ("$", "$"),
            ("$1", "$1"),
            ("${b", "${b"),
            ("${b }", "${b }"),
            ("${}", "${}"),
            ("$é$b", "$é<b>"),
            ("a$b$c", "a<b><c>"),
        ] {
            let found: String = pieces(value)
                .iter()
                .map(|piece| match piece {
                    Piece::Text(text) => text.clone(),
                    Piece::Name(name) => format!("<{name}>"),
                })
                .collect();
            assert_eq!(found, wanted, "{value:?}");
        }
    }
}
