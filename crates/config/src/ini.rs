//! The dialect itself: sections, assignments, comments and continuation lines. What names mean is not known here.

/// What a text says, in its order. Reading goes on after an error, so that all of them are found at once.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Document {
    pub(crate) sections: Vec<Section>,
    pub(crate) assignments: Vec<Assignment>,
    pub(crate) errors: Vec<SyntaxError>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Section {
    pub(crate) name: String,
    pub(crate) line: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Assignment {
    pub(crate) section: String,
    pub(crate) key: String,
    /// Continuation lines are joined with line feeds.
    pub(crate) value: String,
    /// Of the key, from 1.
    pub(crate) line: usize,
}

/// Says nothing of the line's text, which may hold a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SyntaxError {
    pub(crate) line: usize,
    pub(crate) section: Option<String>,
    pub(crate) what: &'static str,
}

pub(crate) const NOT_AN_ASSIGNMENT: &str = "neither `name = value` nor a [section] nor a # comment";
pub(crate) const NO_NAME: &str = "a value without the option's name before it";
pub(crate) const NOTHING_TO_CONTINUE: &str =
    "starts with a blank, which continues a value, but no value is right above it";
pub(crate) const OPEN_SECTION: &str = "a section's line has to end with ]";
pub(crate) const NAMELESS_SECTION: &str = "a section without a name";
pub(crate) const NO_SECTION: &str = "an option before the first [section]";

/// What a continuation line would continue.
enum Above {
    Nothing,
    Assignment(Assignment),
    /// Something that was reported: its continuation is not reported again.
    Broken,
}

pub(crate) fn parse(text: &str) -> Document {
    let mut document = Document::default();
    let mut place = Place::Start;
    let mut above = Above::Nothing;
    // Some editors put a byte order mark before everything.
    for (number, line) in lines(text.strip_prefix('\u{feff}').unwrap_or(text)).enumerate() {
        let line = line.trim_end_matches(is_space);
        let number = number + 1;
        if line.starts_with([' ', '\t']) {
            match &mut above {
                Above::Assignment(assignment) => {
                    assignment.value.push('\n');
                    assignment.value.push_str(line.trim_start_matches(is_space));
                }
                Above::Broken => {}
                Above::Nothing => {
                    document.error(number, &place, NOTHING_TO_CONTINUE);
                    above = Above::Broken;
                }
            }
            continue;
        }
        if let Above::Assignment(assignment) = std::mem::replace(&mut above, Above::Nothing) {
            document.assignments.push(assignment);
        }
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if line.starts_with('[') {
            match section(line) {
                Ok(name) => {
                    document.sections.push(Section { name: name.to_owned(), line: number });
                    place = Place::Section(name.to_owned());
                }
                Err(what) => {
                    document.error(number, &place, what);
                    place = Place::Broken;
                }
            }
            continue;
        }
        above = match (assignment(line), &place) {
            (Ok((key, value)), Place::Section(section)) => Above::Assignment(Assignment {
                section: section.clone(),
                key: key.to_owned(),
                value: value.to_owned(),
                line: number,
            }),
            (Ok(_), Place::Start) => {
                document.error(number, &place, NO_SECTION);
                Above::Broken
            }
            (Ok(_), Place::Broken) => Above::Broken,
            (Err(what), _) => {
                document.error(number, &place, what);
                Above::Broken
            }
        };
    }
    if let Above::Assignment(assignment) = above {
        document.assignments.push(assignment);
    }
    document
}

/// Where assignments go.
enum Place {
    Start,
    Section(String),
    /// Below a section's line that cannot be understood: what is there belongs to no section that we know.
    Broken,
}

impl Document {
    fn error(&mut self, line: usize, place: &Place, what: &'static str) {
        let section = match place {
            Place::Section(name) => Some(name.clone()),
            Place::Start | Place::Broken => None,
        };
        self.errors.push(SyntaxError { line, section, what });
    }
}

/// Lines end with LF, CR LF or CR, as for Python.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest.filter(|text| !text.is_empty())?;
        let Some(end) = text.find(['\n', '\r']) else {
            rest = None;
            return Some(text);
        };
        let next = if text[end..].starts_with("\r\n") { end + 2 } else { end + 1 };
        rest = Some(&text[next..]);
        Some(&text[..end])
    })
}

fn section(line: &str) -> Result<&str, &'static str> {
    match line[1..].strip_suffix(']') {
        None => Err(OPEN_SECTION),
        Some("") => Err(NAMELESS_SECTION),
        Some(name) => Ok(name),
    }
}

/// The key ends at the first `=` or `:`. Quotes around the whole value go.
fn assignment(line: &str) -> Result<(&str, &str), &'static str> {
    let (key, value) = line.split_once(['=', ':']).ok_or(NOT_AN_ASSIGNMENT)?;
    let key = key.trim_matches(is_space);
    if key.is_empty() {
        return Err(NO_NAME);
    }
    Ok((key, unquote(value.trim_matches(is_space))))
}

fn unquote(value: &str) -> &str {
    for quote in ['"', '\''] {
        // A lone quote opens and closes itself: the original makes nothing of it.
        if value.len() == 1 && value.starts_with(quote) {
            return "";
        }
        if let Some(inner) = value.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote)) {
            return inner;
        }
    }
    value
}

/// What Python strips: white space, and four separators of ASCII.
pub(crate) fn is_space(character: char) -> bool {
    character.is_whitespace() || matches!(character, '\x1c'..='\x1f')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        let check = |text: &str, wanted: &[(usize, &str, &str, &str)]| {
            let document = parse(text);
            let found: Vec<_> = document
                .assignments
                .iter()
                .map(|a| (a.line, a.section.as_str(), a.key.as_str(), a.value.as_str()))
                .collect();
            assert_eq!(found, wanted, "{text:?}");
            assert_eq!(document.errors, [], "{text:?}");
        };
        check("", &[]);
        check("# nothing\n\n;more", &[]);
        check("[g]\na = 1", &[(2, "g", "a", "1")]);
        check("[g]\na: 1\n", &[(2, "g", "a", "1")]);
        check("[g]\na : b=1", &[(2, "g", "a", "b=1")]);
        check("[g]\na=b:1", &[(2, "g", "a", "b:1")]);
        check("[g]\na=", &[(2, "g", "a", "")]);
        check("[g]\na = 1 # not a comment", &[(2, "g", "a", "1 # not a comment")]);
        check("[g]\r\na=1\r\nb=2\r", &[(2, "g", "a", "1"), (3, "g", "b", "2")]);
        check("\u{feff}[g]\na=1", &[(2, "g", "a", "1")]);
        check("[g]\na=1\n  2\n\t3\n", &[(2, "g", "a", "1\n2\n3")]);
        check("[g]\na=1\n  # 2", &[(2, "g", "a", "1\n# 2")]);
        check("[g]\na=\n  1", &[(2, "g", "a", "\n1")]);
        check("[g]\na=1\n \nb=2", &[(2, "g", "a", "1"), (4, "g", "b", "2")]);
        check("[g]\na=1\na=2\n[h]\n[g]\na=3", &[(2, "g", "a", "1"), (3, "g", "a", "2"), (6, "g", "a", "3")]);
        check("[ g ]\na=1", &[(2, " g ", "a", "1")]);
        check("[g]x]  \na=1", &[(2, "g]x", "a", "1")]);
        for (written, read) in [
            ("\" x \"", " x "),
            ("'x'", "x"),
            ("\"x'", "\"x'"),
            ("\"", ""),
            ("\"x", "\"x"),
            ("\"x\" \"y\"", "x\" \"y"),
            ("\u{a0}x\x1c", "x"),
            ("", ""),
        ] {
            check(&format!("[g]\na = {written}\n"), &[(2, "g", "a", read)]);
        }
    }

    #[test]
    fn errors() {
        let check = |text: &str, wanted: &[(usize, &str)], left: usize| {
            let document = parse(text);
            let found: Vec<_> = document.errors.iter().map(|e| (e.line, e.what)).collect();
            assert_eq!(found, wanted, "{text:?}");
            assert_eq!(document.assignments.len(), left, "{text:?}");
        };
        check("a=1\nb=2", &[(1, NO_SECTION), (2, NO_SECTION)], 0);
        check(" a=1\n b=1\n[g]\nc=1", &[(1, NOTHING_TO_CONTINUE)], 1);
        check("[g\na=1\n[h]\nb=1", &[(1, OPEN_SECTION)], 1);
        check("[g] # c\na=1", &[(1, OPEN_SECTION)], 0);
        check("[]\na=1", &[(1, NAMELESS_SECTION)], 0);
        check("[", &[(1, OPEN_SECTION)], 0);
        check("[g]\nfoo\n  bar\na=1", &[(2, NOT_AN_ASSIGNMENT)], 1);
        check("[g]\n= 1", &[(2, NO_NAME)], 0);
        check("[g]\na=1\n\n 2\n 3", &[(4, NOTHING_TO_CONTINUE)], 1);
        check("[g]\na=1\n# c\n 2", &[(4, NOTHING_TO_CONTINUE)], 1);
        check("[g]\na=1\n[h]\n 2", &[(4, NOTHING_TO_CONTINUE)], 1);
    }
}
