//! One parsed rule, and what it says of a caller.

use std::fmt;

use crate::credentials::{Credentials, Target, Value};
use crate::template::Template;

/// A rule as a tree. Its `Display` is the language it is written in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Check {
    /// `@`: everybody.
    Everybody,
    /// `!`: nobody.
    Nobody,
    Not(Box<Check>),
    And(Vec<Check>),
    Or(Vec<Check>),
    /// `rule:NAME`: what another rule says.
    Rule(String),
    /// `role:NAME`, in whatever letters.
    Role(Template),
    /// `is_admin:True`
    IsAdmin(bool),
    /// `KIND:TEXT`: an attribute of the caller, or a word, against text.
    Match {
        left: Left,
        right: Template,
    },
}

/// The left side of a comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Left {
    /// `'Member'`, `True`, `7`: as written, and as Python would print it.
    Literal { written: String, text: String },
    /// An attribute of the caller; with more than one part, of an attribute that callers here never have.
    Path(Vec<String>),
}

/// A rule that asks too much to be answered: deeper or longer than any that was meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Endless;

/// Checks looked at for one decision, at most.
const STEPS_MAX: u32 = 20_000;
/// Checks within checks for one decision, at most, through however many rules.
const DEPTH_MAX: u32 = 200;

/// The rules that a rule can ask.
pub(crate) trait Rules {
    fn rule(&self, name: &str) -> Option<&Check>;

    /// Where it is written.
    fn origin(&self, name: &str) -> Option<&str>;
}

/// One decision under way.
pub(crate) struct Asking<'a> {
    pub(crate) rules: &'a dyn Rules,
    pub(crate) caller: &'a Credentials,
    pub(crate) target: &'a Target,
    pub(crate) looked_at: u32,
    /// What was looked at, if somebody wants to know.
    pub(crate) steps: Option<Vec<Step>>,
}

/// One check that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// How many checks it is part of.
    pub depth: u32,
    pub check: String,
    pub held: bool,
    /// Where the rule is written that it asks, if it asks one.
    pub origin: Option<String>,
}

impl Asking<'_> {
    pub(crate) fn holds(&mut self, check: &Check, depth: u32) -> Result<bool, Endless> {
        self.looked_at += 1;
        if self.looked_at > STEPS_MAX || depth > DEPTH_MAX {
            return Err(Endless);
        }
        let origin = match check {
            Check::Rule(name) => Some(self.rules.origin(name).unwrap_or("there is no such rule")),
            _ => None,
        };
        let mut index = 0;
        if let Some(steps) = &mut self.steps {
            index = steps.len();
            let origin = origin.map(str::to_owned);
            steps.push(Step { depth, check: check.to_string(), held: false, origin });
        }
        let held = self.decide(check, depth + 1)?;
        if let Some(step) = self.steps.as_mut().and_then(|steps| steps.get_mut(index)) {
            step.held = held;
        }
        Ok(held)
    }

    fn decide(&mut self, check: &Check, depth: u32) -> Result<bool, Endless> {
        Ok(match check {
            Check::Everybody => true,
            Check::Nobody => false,
            Check::Not(check) => !self.holds(check, depth)?,
            Check::And(checks) => {
                for check in checks {
                    if !self.holds(check, depth)? {
                        return Ok(false);
                    }
                }
                true
            }
            Check::Or(checks) => {
                for check in checks {
                    if self.holds(check, depth)? {
                        return Ok(true);
                    }
                }
                false
            }
            Check::Rule(name) => match self.rules.rule(name) {
                Some(check) => self.holds(check, depth)?,
                None => false,
            },
            Check::Role(role) => role.fill(self.target).is_some_and(|role| self.caller.has_role(&role)),
            Check::IsAdmin(expected) => self.caller.is_admin == *expected,
            Check::Match { left, right } => {
                let Some(right) = right.fill(self.target) else { return Ok(false) };
                match left {
                    Left::Literal { text, .. } => *text == right,
                    Left::Path(path) => self.attribute_is(path, &right),
                }
            }
        })
    }

    fn attribute_is(&self, path: &[String], wanted: &str) -> bool {
        let [name] = path else { return false };
        match self.caller.attribute(name) {
            Some(Value::List(items)) => items.iter().any(|item| item == wanted),
            Some(value) => value.text() == Some(wanted),
            None => false,
        }
    }
}

impl Check {
    /// The rules that it asks.
    pub(crate) fn references(&self) -> Vec<&str> {
        let mut found = vec![];
        let mut open = vec![self];
        while let Some(check) = open.pop() {
            match check {
                Self::Rule(name) => found.push(name.as_str()),
                Self::Not(check) => open.push(check),
                Self::And(checks) | Self::Or(checks) => open.extend(checks),
                _ => (),
            }
        }
        found
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let joined = |f: &mut fmt::Formatter<'_>, checks: &[Self], word: &str| {
            f.write_str("(")?;
            for (index, check) in checks.iter().enumerate() {
                if index > 0 {
                    write!(f, " {word} ")?;
                }
                check.fmt(f)?;
            }
            f.write_str(")")
        };
        match self {
            Self::Everybody => f.write_str("@"),
            Self::Nobody => f.write_str("!"),
            Self::Not(check) => write!(f, "not {check}"),
            Self::And(checks) => joined(f, checks, "and"),
            Self::Or(checks) => joined(f, checks, "or"),
            Self::Rule(name) => write!(f, "rule:{name}"),
            Self::Role(role) => write!(f, "role:{role}"),
            Self::IsAdmin(true) => f.write_str("is_admin:True"),
            Self::IsAdmin(false) => f.write_str("is_admin:False"),
            Self::Match { left: Left::Literal { written, .. }, right } => write!(f, "{written}:{right}"),
            Self::Match { left: Left::Path(path), right } => write!(f, "{}:{right}", path.join(".")),
        }
    }
}
