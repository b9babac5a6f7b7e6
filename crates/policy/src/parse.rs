//! The rule language.
//!
//! `and` binds closer than `or`, `not` closer than both; words in any letters. Parentheses may touch the checks they
//! enclose, and white space separates everything else. What oslo.policy logs and then denies for ever (a word that is
//! no check, an open parenthesis) is an error here: a rule that nobody can have meant.

use crate::check::{Check, Left};
use crate::template::Template;

/// Parentheses and `not`s within each other, at most.
const DEPTH_MAX: usize = 32;

/// What is wrong with a rule, and what was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ParseError(pub(crate) String);

enum Token {
    Open,
    Close,
    And,
    Or,
    Not,
    Check(Check),
}

impl Check {
    /// A rule as one text; an empty one lets in everybody, as it does in the original.
    ///
    /// # Errors
    ///
    /// With the place and what is expected there.
    pub fn parse(rule: &str) -> Result<Self, ParseError> {
        if rule.is_empty() {
            return Ok(Self::Everybody);
        }
        Parser { tokens: tokens(rule)?.into_iter().peekable(), depth: 0 }.whole()
    }

    /// One check without `and`, `or`, `not` or parentheses, as lists of lists hold them.
    ///
    /// # Errors
    ///
    /// With what is expected.
    pub(crate) fn parse_one(text: &str) -> Result<Self, ParseError> {
        match text {
            "@" => return Ok(Self::Everybody),
            "!" => return Ok(Self::Nobody),
            _ => (),
        }
        let error = |what: String| ParseError(format!("{}: {what}", shown(text)));
        let (kind, right) = text.split_once(':').ok_or_else(|| {
            error(
                "not a check; there are role:NAME, rule:NAME, ATTRIBUTE:VALUE, @ (everybody) and ! (nobody), joined by \
                 and, or, not"
                    .to_owned(),
            )
        })?;
        match kind {
            "rule" => return Ok(Self::Rule(right.to_owned())),
            "is_admin" => return Ok(Self::IsAdmin(right.eq_ignore_ascii_case("true"))),
            "http" | "https" => {
                return Err(error("rules are not asked of other servers here; say it in a rule".to_owned()));
            }
            _ => (),
        }
        let right = Template::parse(right).map_err(error)?;
        if kind == "role" {
            return Ok(Self::Role(right));
        }
        let left = left(kind).ok_or_else(|| {
            error(
                "before the colon there has to be role, rule, an attribute such as project_id, or 'a word'"
                    .to_owned(),
            )
        })?;
        Ok(Self::Match { left, right })
    }

    /// The older form: the outer list is joined by `or`, inner lists by `and`.
    pub(crate) fn any_of_all(rules: &[Vec<String>]) -> Result<Self, ParseError> {
        if rules.is_empty() {
            return Ok(Self::Everybody);
        }
        let mut any = vec![];
        for rule in rules.iter().filter(|rule| !rule.is_empty()) {
            let all = rule.iter().map(|check| Self::parse_one(check)).collect::<Result<Vec<_>, _>>()?;
            any.push(single(all, Self::And));
        }
        Ok(if any.is_empty() { Self::Nobody } else { single(any, Self::Or) })
    }
}

fn single(mut checks: Vec<Check>, joined: fn(Vec<Check>) -> Check) -> Check {
    if checks.len() == 1 { checks.remove(0) } else { joined(checks) }
}

/// The literals of Python that compare to text, or the path of an attribute.
fn left(kind: &str) -> Option<Left> {
    let literal = |text: &str| Some(Left::Literal { written: kind.to_owned(), text: text.to_owned() });
    if matches!(kind, "True" | "False" | "None") {
        return literal(kind);
    }
    for quote in ['\'', '"'] {
        if let Some(text) = kind.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote)) {
            return if text.contains([quote, '\\']) { None } else { literal(text) };
        }
    }
    let digits = kind.strip_prefix('-').unwrap_or(kind);
    if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        let plain = digits == "0" || !digits.starts_with('0');
        let text = if digits == "0" { "0" } else { kind };
        return if plain { literal(text) } else { None };
    }
    let is_name = |part: &str| {
        !part.is_empty()
            && !part.starts_with(|c: char| c == '-' || c.is_ascii_digit())
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
            && !part.ends_with('-')
    };
    let path: Vec<_> = kind.split('.').map(str::to_owned).collect();
    path.iter().all(|part| is_name(part)).then_some(Left::Path(path))
}

/// Python's white space, which has four separators more than Unicode's.
fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\x1c'..='\x1f').contains(&c)
}

fn tokens(rule: &str) -> Result<Vec<Token>, ParseError> {
    let mut tokens = vec![];
    for word in rule.split(is_space).filter(|word| !word.is_empty()) {
        let inner = word.trim_start_matches('(');
        tokens.extend((inner.len()..word.len()).map(|_| Token::Open));
        let check = inner.trim_end_matches(')');
        match check.to_lowercase().as_str() {
            "" => (),
            "and" => tokens.push(Token::And),
            "or" => tokens.push(Token::Or),
            "not" => tokens.push(Token::Not),
            _ => tokens.push(Token::Check(Check::parse_one(check)?)),
        }
        tokens.extend((check.len()..inner.len()).map(|_| Token::Close));
    }
    Ok(tokens)
}

struct Parser {
    tokens: std::iter::Peekable<std::vec::IntoIter<Token>>,
    depth: usize,
}

impl Parser {
    fn whole(mut self) -> Result<Check, ParseError> {
        let check = self.any()?;
        match self.tokens.next() {
            None => Ok(check),
            Some(Token::Close) => Err(ParseError("a parenthesis is closed that was not opened".to_owned())),
            Some(other) => Err(ParseError(format!("{}: and, or, or the end was expected", name(&other)))),
        }
    }

    fn any(&mut self) -> Result<Check, ParseError> {
        let mut checks = vec![self.all()?];
        while self.tokens.next_if(|token| matches!(token, Token::Or)).is_some() {
            checks.push(self.all()?);
        }
        Ok(single(checks, Check::Or))
    }

    fn all(&mut self) -> Result<Check, ParseError> {
        let mut checks = vec![self.unary()?];
        while self.tokens.next_if(|token| matches!(token, Token::And)).is_some() {
            checks.push(self.unary()?);
        }
        Ok(single(checks, Check::And))
    }

    fn unary(&mut self) -> Result<Check, ParseError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(ParseError(format!("nested deeper than {DEPTH_MAX}: name parts of it as rules")));
        }
        let check = match self.tokens.next() {
            Some(Token::Check(check)) => check,
            Some(Token::Not) => Check::Not(Box::new(self.unary()?)),
            Some(Token::Open) => {
                let check = self.any()?;
                if self.tokens.next_if(|token| matches!(token, Token::Close)).is_none() {
                    return Err(match self.tokens.next() {
                        None => ParseError("a parenthesis is not closed".to_owned()),
                        Some(other) => ParseError(format!("{}: and, or, or ) was expected", name(&other))),
                    });
                }
                check
            }
            Some(other) => return Err(ParseError(format!("{}: a check was expected", name(&other)))),
            None => return Err(ParseError("it ends where a check was expected".to_owned())),
        };
        self.depth -= 1;
        Ok(check)
    }
}

fn name(token: &Token) -> String {
    match token {
        Token::Open => "(".to_owned(),
        Token::Close => ")".to_owned(),
        Token::And => "and".to_owned(),
        Token::Or => "or".to_owned(),
        Token::Not => "not".to_owned(),
        Token::Check(check) => shown(&check.to_string()),
    }
}

/// What a file says, fit for one line of a message.
pub(crate) fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(60).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    format!("{shown:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_and_what_they_mean() {
        for (rule, wanted) in [
            ("", "@"),
            ("@", "@"),
            ("!", "!"),
            ("role:a", "role:a"),
            ("role:a:b", "role:a:b"),
            ("role:", "role:"),
            ("(role:a)", "role:a"),
            ("((role:a))", "role:a"),
            ("role:a and role:b or role:c", "((role:a and role:b) or role:c)"),
            ("role:a or role:b and role:c", "(role:a or (role:b and role:c))"),
            ("(role:a or role:b) and role:c", "((role:a or role:b) and role:c)"),
            ("role:a and role:b and role:c", "(role:a and role:b and role:c)"),
            ("not role:a and role:b", "(not role:a and role:b)"),
            ("not (role:a and role:b)", "not (role:a and role:b)"),
            ("NOT not @", "not not @"),
            ("@ AND\t\n ! oR @", "((@ and !) or @)"),
            ("role:a\u{a0}or\x1frole:b", "(role:a or role:b)"),
            ("project_id:%(project_id)s", "project_id:%(project_id)s"),
            ("(project_id:%(project_id)s)", "project_id:%(project_id)s"),
            ("x.y:z", "x.y:z"),
            ("'Member':%(r.n)s", "'Member':%(r.n)s"),
            ("True:%(e)s and None:x or -3:a%%b", "((True:%(e)s and None:x) or -3:a%%b)"),
            ("is_admin:TRUE", "is_admin:True"),
            ("is_admin:yes", "is_admin:False"),
            ("system_scope:all", "system_scope:all"),
        ] {
            let found = Check::parse(rule).map(|check| check.to_string());
            assert_eq!(found.as_deref(), Ok(wanted), "{rule:?}");
        }
    }

    #[test]
    fn what_is_no_rule() {
        for (rule, wanted) in [
            (" ", "it ends where a check was expected"),
            ("admin", "\"admin\": not a check; there are role:NAME"),
            ("role:a and", "it ends where a check was expected"),
            ("and role:a", "and: a check was expected"),
            ("role:a or or role:b", "or: a check was expected"),
            ("role:a role:b", "\"role:b\": and, or, or the end was expected"),
            ("role:a not role:b", "not: and, or, or the end was expected"),
            ("(role:a", "a parenthesis is not closed"),
            ("(role:a role:b)", "\"role:b\": and, or, or ) was expected"),
            ("role:a)", "a parenthesis is closed that was not opened"),
            ("()", "): a check was expected"),
            ("\"role:a\"", "\"\\\"role:a\\\"\": before the colon"),
            ("'a b':c", "\"'a\": not a check"),
            ("1x:y", "\"1x:y\": before the colon"),
            ("007:y", "\"007:y\": before the colon"),
            (":y", "\":y\": before the colon"),
            ("http://h/%(x)s", "\"http://h/%(x)s\": rules are not asked of other servers"),
            ("role:%", "\"role:%\": after % there has to be (NAME)s"),
            ("role:%(x)d", "\"role:%(x)d\": after % there has to be (NAME)s"),
            ("role:%(x", "\"role:%(x\": after % there has to be (NAME)s"),
        ] {
            let found = Check::parse(rule).expect_err(rule).to_string();
            assert!(found.starts_with(wanted), "{rule:?}: {found}");
        }
        let nested = |depth: usize| format!("{}@{}", "(".repeat(depth), ")".repeat(depth));
        assert!(Check::parse(&nested(DEPTH_MAX - 1)).is_ok());
        assert!(Check::parse(&nested(DEPTH_MAX)).is_err() && Check::parse(&nested(100_000)).is_err());
        assert!(Check::parse(&"not ".repeat(100_000)).is_err());
    }
}
