//! Files of cases: a theme each, read and written back.
//!
//! Settings (`: …`) before the first case are those of all. A case has a name (`== …`), settings of its own, what the
//! client does, what members do, and what came of it: `=` with both, or `ours:` and `haproxy:`, and `why:` then says which
//! reason of `reasons.txt` it has. In bytes `|` is CR LF, `\|` a bar, `\r \n \t \0 \\ \xff` are themselves, and
//! `\{ab*100}` is a hundred times `ab`.
//!
//! | line | the client |
//! |---|---|
//! | `> bytes` | sends; lines in a row are one write |
//! | `...` | waits until the proxy has seen that |
//! | `?` | waits for one more response, or the end |
//! | `? 100` | waits for one with this status, or one more that is final |
//! | `? end`, `? member` | waits for the end, or until a member has one more head |
//! | `? "text"` | waits until it has read this |
//! | `~`, `!` | ends its stream; breaks the connection off |
//! | `+` | ends its stream, reads to the end, and connects anew |
//!
//! Without `~`, `!` and `? end` it waits for a response in the end, sends one more request, and reads to the end.
//!
//! | line | the member, with the next request |
//! |---|---|
//! | `< bytes` | sends, when it has the whole request |
//! | `<head`, `<accept` | what follows, as soon as it has the head; before it has anything |
//! | `<whole` | goes on when it has the whole request |
//! | `<...`, `<~`, `<!` | as with the client |
//! | `<raw` | from here on takes bytes as they come, and sends them back |
//! | `<nothing` | answers nothing |
//! | `<<` | what follows is about the request after |
//!
//! Requests beyond that get 200, and are told in the content.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// A file.
#[derive(Debug)]
pub(super) struct Theme {
    pub(super) name: String,
    path: PathBuf,
    /// As it is, up to the first case.
    preface: String,
    pub(super) cases: Vec<Case>,
}

#[derive(Debug, Default)]
pub(super) struct Case {
    pub(super) name: String,
    /// As it is, without what came of it.
    text: String,
    /// Those of the theme come first.
    pub(super) settings: Vec<String>,
    pub(super) client: Vec<Step>,
    pub(super) answers: Vec<Answer>,
    pub(super) expected: Outcomes,
    /// The key of a reason.
    pub(super) why: Option<String>,
}

/// Lines that tell what came of a case.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Outcomes {
    pub(super) ours: Vec<String>,
    pub(super) haproxy: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Send(Vec<u8>),
    /// Until the proxy has seen what was sent.
    Settle,
    Response,
    Status(u16),
    Text(Vec<u8>),
    Member,
    End,
    Finish,
    Reset,
    Anew,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Answer {
    pub(super) when: When,
    pub(super) steps: Vec<MemberStep>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum When {
    #[default]
    Whole,
    Head,
    Accept,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum MemberStep {
    Send(Vec<u8>),
    Settle,
    Whole,
    Finish,
    Reset,
    Raw,
}

impl Theme {
    pub(super) fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).unwrap();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let mut parts = text.split("\n== ");
        let preface = parts.next().unwrap().to_owned();
        let common: Vec<_> =
            preface.lines().filter_map(|line| line.strip_prefix(": ")).map(str::to_owned).collect();
        let cases: Vec<_> = parts.map(|part| Case::read(part, &common)).collect();
        let theme = Self { name, path: path.to_owned(), preface, cases };
        let mut names: Vec<_> = theme.cases.iter().map(|case| &case.name).collect();
        names.sort_unstable();
        for pair in names.windows(2) {
            assert!(pair[0] != pair[1], "{}: {} is there twice", theme.name, pair[0]);
        }
        theme
    }

    /// Writes it back, with this outcome of each case.
    pub(super) fn write(&self, outcomes: &[Outcomes]) {
        let mut text = self.preface.clone();
        for (case, outcome) in self.cases.iter().zip(outcomes) {
            write!(text, "\n== {}", case.text).unwrap();
            if outcome.ours == outcome.haproxy {
                outcome.ours.iter().for_each(|line| writeln!(text, "= {line}").unwrap());
            } else {
                outcome.ours.iter().for_each(|line| writeln!(text, "ours: {line}").unwrap());
                outcome.haproxy.iter().for_each(|line| writeln!(text, "haproxy: {line}").unwrap());
                case.why.iter().for_each(|why| writeln!(text, "why: {why}").unwrap());
            }
        }
        std::fs::write(&self.path, text).unwrap();
    }
}

impl Case {
    fn read(text: &str, common: &[String]) -> Self {
        let mut case = Self { settings: common.to_vec(), ..Self::default() };
        let mut lines = text.lines();
        case.name = lines.next().unwrap().to_owned();
        writeln!(case.text, "{}", case.name).unwrap();
        for line in lines {
            if case.read_outcome(line) {
                continue;
            }
            if !line.is_empty() {
                writeln!(case.text, "{line}").unwrap();
            }
            assert!(case.read_line(line).is_some(), "{}: what is {line}", case.name);
        }
        case
    }

    fn read_outcome(&mut self, line: &str) -> bool {
        let Outcomes { ours, haproxy } = &mut self.expected;
        if let Some(line) = line.strip_prefix("= ") {
            ours.push(line.to_owned());
            haproxy.push(line.to_owned());
        } else if let Some(line) = line.strip_prefix("ours: ") {
            ours.push(line.to_owned());
        } else if let Some(line) = line.strip_prefix("haproxy: ") {
            haproxy.push(line.to_owned());
        } else if let Some(why) = line.strip_prefix("why: ") {
            self.why = Some(why.to_owned());
        } else {
            return false;
        }
        true
    }

    fn read_line(&mut self, line: &str) -> Option<()> {
        if let Some(setting) = line.strip_prefix(": ") {
            self.settings.push(setting.to_owned());
        } else if let Some(text) = line.strip_prefix("> ") {
            let more = bytes(text)?;
            match self.client.last_mut() {
                Some(Step::Send(bytes)) => bytes.extend(more),
                _ => self.client.push(Step::Send(more)),
            }
        } else if let Some(rest) = line.strip_prefix('<') {
            self.read_answer(rest)?;
        } else if !line.is_empty() && !line.starts_with('#') {
            self.client.push(match line {
                "..." => Step::Settle,
                "?" => Step::Response,
                "? end" => Step::End,
                "? member" => Step::Member,
                "~" => Step::Finish,
                "!" => Step::Reset,
                "+" => Step::Anew,
                _ => {
                    let what = line.strip_prefix("? ")?;
                    match what.strip_prefix('"').and_then(|text| text.strip_suffix('"')) {
                        Some(text) => Step::Text(bytes(text)?),
                        None => Step::Status(what.parse().ok()?),
                    }
                }
            });
        }
        Some(())
    }

    fn read_answer(&mut self, rest: &str) -> Option<()> {
        if rest == "<" {
            self.answers.push(Answer::default());
            return Some(());
        }
        if self.answers.is_empty() {
            self.answers.push(Answer::default());
        }
        let answer = self.answers.last_mut()?;
        if let Some(text) = rest.strip_prefix(' ') {
            let more = bytes(text)?;
            match answer.steps.last_mut() {
                Some(MemberStep::Send(bytes)) => bytes.extend(more),
                _ => answer.steps.push(MemberStep::Send(more)),
            }
            return Some(());
        }
        match rest {
            "nothing" => {}
            "head" => answer.when = When::Head,
            "accept" => answer.when = When::Accept,
            "whole" => answer.steps.push(MemberStep::Whole),
            "..." => answer.steps.push(MemberStep::Settle),
            "~" => answer.steps.push(MemberStep::Finish),
            "!" => answer.steps.push(MemberStep::Reset),
            "raw" => answer.steps.push(MemberStep::Raw),
            _ => return None,
        }
        Some(())
    }
}

/// What a text of bytes stands for.
fn bytes(text: &str) -> Option<Vec<u8>> {
    let mut bytes = vec![];
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match c {
            '|' => bytes.extend(b"\r\n"),
            '\\' => {
                let escaped = rest.chars().next()?;
                rest = &rest[escaped.len_utf8()..];
                match escaped {
                    'r' => bytes.push(b'\r'),
                    'n' => bytes.push(b'\n'),
                    't' => bytes.push(b'\t'),
                    '0' => bytes.push(0),
                    's' => bytes.push(b' '),
                    '\\' | '|' => bytes.push(escaped as u8),
                    'x' => {
                        bytes.push(u8::from_str_radix(rest.get(..2)?, 16).ok()?);
                        rest = &rest[2..];
                    }
                    '{' => {
                        let (inside, after) = rest.split_once('}')?;
                        let (unit, count) = inside.rsplit_once('*')?;
                        bytes.extend(self::bytes(unit)?.repeat(count.parse().ok()?));
                        rest = after;
                    }
                    _ => return None,
                }
            }
            _ => bytes.extend(c.encode_utf8(&mut [0; 4]).bytes()),
        }
    }
    Some(bytes)
}

#[test]
fn bytes_are_as_written() {
    for (text, expected) in [
        ("a b", "a b"),
        ("a|b||", r"a\r\nb\r\n\r\n"),
        (r"\r\n\t\0\\\|\xff\s", r"\r\n\t\x00\\|\xff "),
        (r"a\{b|*2}c", r"ab\r\nb\r\nc"),
        ("\u{e4}", r"\xc3\xa4"),
    ] {
        let bytes = bytes(text).map(|bytes| bytes.escape_ascii().to_string());
        assert_eq!(bytes.as_deref(), Some(expected), "{text}");
    }
    for text in [r"\", r"\q", r"\x1", r"\xgg", r"\{a}", r"\{a*b}", r"\{a*2"] {
        assert_eq!(bytes(text), None, "{text}");
    }
}
