//! Reading Rust sources as text, with comments taken out.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::shell::root;

/// Where any of the words stands in the code (strings included, comments not) below a place; case does not matter.
pub(crate) fn mentions(place: &str, words: &[&str], except: &[&str]) -> Result<Vec<String>> {
    let lower: Vec<_> = words.iter().map(|word| word.to_lowercase()).collect();
    scan(place, except, |line| {
        let line = line.to_lowercase();
        lower.iter().find(|word| line.contains(word.as_str())).cloned()
    })
}

/// Files below a place where `Serialize` is derived, but the files and directories of it named in `except`.
pub(crate) fn derives_serialize(place: &str, except: &[&str]) -> Result<Vec<String>> {
    let mut found = vec![];
    for file in files(&root().join(place))? {
        let name = shown(&file);
        if except.iter().any(|except| name.starts_with(&format!("{place}/{except}"))) {
            continue;
        }
        let text = without_comments(&std::fs::read_to_string(&file)?);
        let mut derives = text.split("derive(").skip(1).filter_map(|rest| rest.split(')').next());
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        if derives.any(|list| list.split(|c| !is_word(c)).any(|word| word == "Serialize")) {
            found.push(format!("{name} derives Serialize"));
        }
    }
    Ok(found)
}

/// Files with more lines than that.
pub(crate) fn long_files(lines_max: usize) -> Result<Vec<(String, usize)>> {
    let mut long = vec![];
    for top in ["crates", "xtask"] {
        for file in files(&root().join(top))? {
            let lines = std::fs::read_to_string(&file)?.lines().count();
            if lines > lines_max {
                long.push((shown(&file), lines));
            }
        }
    }
    Ok(long)
}

fn scan(place: &str, except: &[&str], hit: impl Fn(&str) -> Option<String>) -> Result<Vec<String>> {
    let mut found = vec![];
    for file in files(&root().join(place))? {
        let name = shown(&file);
        if except.iter().any(|except| name.starts_with(except)) {
            continue;
        }
        let text = std::fs::read_to_string(&file)?;
        for (number, line) in without_comments(&text).lines().enumerate() {
            if let Some(word) = hit(line) {
                found.push(format!("{name}:{}: {word}", number + 1));
            }
        }
    }
    Ok(found)
}

fn shown(file: &Path) -> String {
    file.strip_prefix(root()).unwrap_or(file).display().to_string()
}

/// The Rust files of a directory, or the one file.
fn files(place: &Path) -> Result<Vec<PathBuf>> {
    if place.is_file() {
        return Ok(vec![place.to_owned()]);
    }
    let mut all = vec![];
    let entries = std::fs::read_dir(place).with_context(|| place.display().to_string())?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            all.extend(files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            all.push(path);
        }
    }
    all.sort();
    Ok(all)
}

/// The code with comments replaced by nothing; lines keep their numbers.
fn without_comments(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let taken = if rest.starts_with("//") {
            let end = rest.find('\n').unwrap_or(rest.len());
            rest = &rest[end..];
            continue;
        } else if rest.starts_with("/*") {
            let end = block_comment(rest);
            out.extend(rest[..end].chars().filter(|c| *c == '\n'));
            rest = &rest[end..];
            continue;
        } else if c == '"' {
            string(rest)
        } else if let Some(end) = raw_string(rest, &out) {
            end
        } else if c == '\'' {
            character(rest)
        } else {
            c.len_utf8()
        };
        out.push_str(&rest[..taken]);
        rest = &rest[taken..];
    }
    out
}

/// The length of a block comment, which may hold others.
fn block_comment(text: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < text.len() {
        let here = &text.as_bytes()[at..];
        if here.starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if here.starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    text.len()
}

fn string(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut at = 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    text.len()
}

/// The length of `r"…"`, `r#"…"#` and so on, unless the `r` ends a word.
fn raw_string(text: &str, before: &str) -> Option<usize> {
    if before.ends_with(|c: char| c.is_alphanumeric() || c == '_') && !before.ends_with('b') {
        return None;
    }
    let hashes = text.strip_prefix('r')?.bytes().take_while(|byte| *byte == b'#').count();
    if text.as_bytes().get(1 + hashes) != Some(&b'"') {
        return None;
    }
    let end = format!("\"{}", "#".repeat(hashes));
    let start = hashes + 2;
    Some(text[start..].find(&end).map_or(text.len(), |at| start + at + end.len()))
}

/// The length of a character literal; of the quote alone when it begins a lifetime.
fn character(text: &str) -> usize {
    let mut chars = text.char_indices().skip(1);
    match chars.next() {
        Some((_, '\\')) => text[3..].find('\'').map_or(1, |at| at + 4),
        Some((at, c)) if text[at + c.len_utf8()..].starts_with('\'') => at + c.len_utf8() + 1,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_comments_out_and_nothing_else() {
        for (text, code) in [
            ("a // b\nc", "a \nc"),
            ("a /* b /* c */ d */ e", "a  e"),
            ("a /* b\n\n */ e", "a \n\n e"),
            (r#"let s = "// no"; // yes"#, r#"let s = "// no"; "#),
            (r#"let s = "\"// no"; // yes"#, r#"let s = "\"// no"; "#),
            (r##"let s = r#"" // no"#; // yes"##, r##"let s = r#"" // no"#; "##),
            ("let c = '\"'; // yes\nlet d = '\\''; // yes", "let c = '\"'; \nlet d = '\\''; "),
            ("fn a<'a>(x: &'a str) {} // yes", "fn a<'a>(x: &'a str) {} "),
            ("b'\\\\' // yes", "b'\\\\' "),
            ("/* open", ""),
            ("\"open // x", "\"open // x"),
            ("r", "r"),
            ("'", "'"),
        ] {
            assert_eq!(without_comments(text), code, "{text}");
        }
    }
}
