//! Files over built-in rules, and the decisions that come of it.

use std::collections::{BTreeMap, BTreeSet};

use crate::check::{Asking, Check, Rules, Step};
use crate::credentials::{Credentials, Target};
use crate::defaults::{PREFIX, RuleDefault};
use crate::file::{PolicyFile, Problem};

/// `[oslo_policy]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The rule that stands in for those that are asked but not there.
    pub default_rule: String,
    /// Refuse tokens of another scope than a rule is meant for.
    pub enforce_scope: bool,
    /// Do not accept what the default rules of older releases accepted.
    pub enforce_new_defaults: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { default_rule: "default".to_owned(), enforce_scope: true, enforce_new_defaults: true }
    }
}

/// The rules in force. Its rules ask each other in no circle.
#[derive(Debug, Clone)]
pub struct Enforcer {
    rules: BTreeMap<String, InForce>,
    registered: BTreeMap<&'static str, RuleDefault>,
    options: Options,
}

#[derive(Debug, Clone)]
struct InForce {
    check: Check,
    /// `FILE:LINE`, or that it is built in.
    origin: String,
}

/// Allowed or not, and how it came to that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    pub allowed: bool,
    /// What was looked at, in its order.
    pub steps: Vec<Step>,
    /// Why not, where no check said so.
    pub denial: Option<Denial>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    #[error("there is no such rule")]
    Unknown,
    #[error("it is meant for tokens of the scope {wanted}; this one has the scope {given}")]
    Scope { wanted: String, given: &'static str },
    #[error("it asks for more checks than any rule needs")]
    Endless,
}

impl Enforcer {
    /// The built-in rules and, over them, those of the files: a later one replaces an earlier one. The problems that
    /// come with it are for a warning.
    ///
    /// # Errors
    ///
    /// If rules ask each other in a circle.
    pub fn new(
        defaults: &[RuleDefault],
        files: &[PolicyFile],
        options: Options,
    ) -> Result<(Self, Vec<Problem>), Problem> {
        let mut rules = BTreeMap::new();
        let mut places = BTreeMap::new();
        for file in files {
            for rule in &file.rules {
                let origin = match rule.line {
                    Some(line) => format!("{}:{line}", file.name),
                    None => file.name.clone(),
                };
                places.insert(rule.name.clone(), (file.name.clone(), rule.line));
                rules.insert(rule.name.clone(), InForce { check: rule.check.clone(), origin });
            }
        }
        let problem = |name: &str, what: String| {
            let (file, line) =
                places.get(name).cloned().unwrap_or_else(|| ("built-in rules".to_owned(), None));
            Problem { file, line, rule: Some(name.to_owned()), what }
        };
        let mut warnings = vec![];
        for name in places.keys().filter(|name| name.starts_with(PREFIX)) {
            let known = defaults.iter().any(|default| {
                default.name == *name || default.deprecated.is_some_and(|old| old.name == *name)
            });
            if !known {
                warnings
                    .push(problem(name, "nothing asks this rule: there is no such policy here".to_owned()));
            }
        }
        for default in defaults {
            if rules.contains_key(default.name) {
                continue;
            }
            let (in_force, warning) = built_in(default, &rules, &options);
            rules.insert(default.name.to_owned(), in_force);
            if let (Some(what), Some(old)) = (warning, default.deprecated) {
                warnings.push(problem(old.name, what));
            }
        }
        let registered = defaults.iter().map(|default| (default.name, *default)).collect();
        let enforcer = Self { rules, registered, options };
        if let Some(circle) = enforcer.circle() {
            // One of a file is to blame: the built-in rules alone are none.
            let blamed = circle.iter().find(|name| places.contains_key(**name)).unwrap_or(&circle[0]);
            let names = circle.join(", ");
            return Err(problem(blamed, format!("rules ask each other in a circle: {names}")));
        }
        for (name, rule) in &enforcer.rules {
            for asked in rule.check.references() {
                if enforcer.rule(asked).is_none() {
                    warnings.push(problem(
                        name,
                        format!("it asks rule:{asked}, which is not there: nobody has it"),
                    ));
                }
            }
        }
        Ok((enforcer, warnings))
    }

    /// Whether the caller may. A rule that is not built in lets in nobody, whatever files say.
    pub fn allows(&self, name: &str, caller: &Credentials, target: &Target) -> bool {
        self.decide(name, caller, target, None).0.is_ok_and(|allowed| allowed)
    }

    /// As [`Self::allows`], and how it came to that.
    pub fn explain(&self, name: &str, caller: &Credentials, target: &Target) -> Decision {
        let (decided, steps) = self.decide(name, caller, target, Some(vec![]));
        Decision { allowed: decided == Ok(true), steps: steps.unwrap_or_default(), denial: decided.err() }
    }

    /// The rules anyone can name, built in or of a file, each with where it is written.
    pub fn rules(&self) -> impl Iterator<Item = (&str, &Check, &str)> {
        self.rules.iter().map(|(name, rule)| (name.as_str(), &rule.check, rule.origin.as_str()))
    }

    /// Whether the name is one that requests are checked against.
    pub fn knows(&self, name: &str) -> bool {
        self.registered.contains_key(name)
    }

    fn decide(
        &self,
        name: &str,
        caller: &Credentials,
        target: &Target,
        steps: Option<Vec<Step>>,
    ) -> (Result<bool, Denial>, Option<Vec<Step>>) {
        let Some((default, check)) = self.registered.get(name).zip(self.rule(name)) else {
            return (Err(Denial::Unknown), steps);
        };
        let scope = caller.scope();
        if self.options.enforce_scope && !default.scope.is_empty() && !default.scope.contains(&scope) {
            return (Err(Denial::Scope { wanted: default.scope.join(" or "), given: scope }), steps);
        }
        let mut asking = Asking { rules: self, caller, target, looked_at: 0, steps };
        let decided = asking.holds(check, 0).map_err(|_| Denial::Endless);
        (decided, asking.steps)
    }

    /// Rules that ask each other, if there are any.
    fn circle(&self) -> Option<Vec<&str>> {
        let asks = |name: &str| -> Vec<&str> {
            let known = |asked: &str| {
                let name = if self.rules.contains_key(asked) { asked } else { &self.options.default_rule };
                self.rules.get_key_value(name).map(|(name, _)| name.as_str())
            };
            let rule = self.rules.get(name);
            rule.map(|rule| rule.check.references().into_iter().filter_map(known).collect())
                .unwrap_or_default()
        };
        // Who asks nobody that is left can be in no circle; what remains when there is no such rule leads into one.
        let mut asked_by: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        let mut waiting: BTreeMap<&str, usize> = BTreeMap::new();
        let mut done: Vec<&str> = vec![];
        for name in self.rules.keys() {
            let asked: BTreeSet<&str> = asks(name).into_iter().collect();
            if asked.is_empty() {
                done.push(name);
            }
            waiting.insert(name, asked.len());
            for asked in asked {
                asked_by.entry(asked).or_default().push(name);
            }
        }
        while let Some(name) = done.pop() {
            waiting.remove(name);
            for asker in asked_by.get(name).into_iter().flatten() {
                if let Some(left) = waiting.get_mut(asker) {
                    *left -= 1;
                    if *left == 0 {
                        done.push(asker);
                    }
                }
            }
        }
        let mut path = vec![*waiting.keys().next()?];
        loop {
            let next = path.last().map(|name| asks(name)).unwrap_or_default();
            let next = next.into_iter().find(|name| waiting.contains_key(name))?;
            if let Some(start) = path.iter().position(|name| *name == next) {
                return Some(path.split_off(start));
            }
            path.push(next);
        }
    }
}

impl Rules for Enforcer {
    fn rule(&self, name: &str) -> Option<&Check> {
        let rule = self.rules.get(name).or_else(|| self.rules.get(&self.options.default_rule));
        rule.map(|rule| &rule.check)
    }

    fn origin(&self, name: &str) -> Option<&str> {
        let rule = self.rules.get(name).or_else(|| self.rules.get(&self.options.default_rule));
        rule.map(|rule| rule.origin.as_str())
    }
}

/// What a built-in rule comes to, and what there is to say if an old name was used for it.
fn built_in(
    default: &RuleDefault,
    of_files: &BTreeMap<String, InForce>,
    options: &Options,
) -> (InForce, Option<String>) {
    let parsed = |text: &str| Check::parse(text).unwrap_or(Check::Nobody);
    let check = parsed(default.check);
    let plain = |check| InForce { check, origin: "built in".to_owned() };
    let Some(old) = default.deprecated else { return (plain(check), None) };
    let old_check = parsed(old.check);
    if old.name != default.name
        && let Some(of_file) = of_files.get(old.name)
    {
        let what = format!(
            "the rule is called {} now; its old name counts as long as that one is not set",
            default.name
        );
        let same = of_file.check == old_check || of_file.check == Check::Rule(default.name.to_owned());
        if !same {
            return (of_file.clone(), Some(what));
        }
    }
    if !options.enforce_new_defaults && old.check != default.check {
        return (plain(Check::Or(vec![check, old_check])), None);
    }
    (plain(check), None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Deprecated, defaults};

    const fn rule(name: &'static str, check: &'static str) -> RuleDefault {
        RuleDefault { name, check, about: "", scope: &[], deprecated: None }
    }

    const DEFAULTS: &[RuleDefault] = &[
        rule("plain", "role:a"),
        rule("asks", "rule:plain and rule:missing"),
        RuleDefault { scope: &["project"], ..rule("scoped", "role:a") },
        RuleDefault {
            deprecated: Some(Deprecated { name: "old-name", check: "role:old" }),
            ..rule("new-name", "role:new")
        },
        RuleDefault {
            deprecated: Some(Deprecated { name: "changed", check: "role:old" }),
            ..rule("changed", "role:new")
        },
    ];

    fn enforcer(file: &str, options: Options) -> Result<(Enforcer, Vec<String>), String> {
        let file = PolicyFile::read("f", file.as_bytes()).map_err(|problem| problem.to_string())?;
        let (enforcer, warnings) =
            Enforcer::new(DEFAULTS, &[file], options).map_err(|problem| problem.to_string())?;
        Ok((enforcer, warnings.iter().map(ToString::to_string).collect()))
    }

    fn caller(roles: &str) -> Credentials {
        let roles: Vec<_> = roles.split(' ').map(str::to_owned).collect();
        Credentials::default().with("roles", roles)
    }

    #[test]
    fn files_defaults_and_old_names() {
        let old = Options { enforce_new_defaults: false, ..Options::default() };
        let new = Options::default;
        for (options, file, name, roles, allowed) in [
            (new(), "", "plain", "a", true),
            (new(), "", "plain", "b", false),
            (new(), "plain: role:b", "plain", "a", false),
            (new(), "plain: role:b", "plain", "B", true),
            (new(), "plain: '@'", "plain", "", true),
            // What no request is checked against is no policy.
            (new(), "other: '@'", "other", "a", false),
            (new(), "", "asks", "a", false),
            (new(), "missing: '@'", "asks", "a", true),
            (new(), "default: '@'", "asks", "a", true),
            (Options { default_rule: "base".to_owned(), ..new() }, "base: '@'", "asks", "a", true),
            (new(), "", "new-name", "old", false),
            (old.clone(), "", "new-name", "old", true),
            (new(), "old-name: role:x", "new-name", "x", true),
            (new(), "old-name: role:x", "new-name", "new", false),
            (new(), "old-name: role:x\nnew-name: role:y", "new-name", "x", false),
            (new(), "old-name: rule:new-name", "new-name", "new", true),
            (new(), "old-name: role:old", "new-name", "old", false),
            (new(), "", "changed", "old", false),
            (old.clone(), "", "changed", "old", true),
            (old.clone(), "", "changed", "new", true),
            (old, "changed: role:x", "changed", "old", false),
        ] {
            let (enforcer, _) = enforcer(file, options).unwrap();
            let found = enforcer.allows(name, &caller(roles), &Target::default());
            assert_eq!(found, allowed, "{file} {name} {roles}");
            let explained = enforcer.explain(name, &caller(roles), &Target::default());
            assert_eq!(explained.allowed, allowed);
        }
    }

    #[test]
    fn scopes() {
        let check = |caller: Credentials, enforce_scope, allowed| {
            let (enforcer, _) = enforcer("", Options { enforce_scope, ..Options::default() }).unwrap();
            assert_eq!(enforcer.allows("scoped", &caller, &Target::default()), allowed, "{caller:?}");
            assert!(enforcer.allows("plain", &caller, &Target::default()), "it is meant for every scope");
        };
        check(caller("a"), true, true);
        check(caller("a").with("project_id", "p"), true, true);
        check(caller("a").with("system_scope", "all"), true, false);
        check(caller("a").with("system_scope", "all"), false, true);
        check(caller("a").with("domain_id", "d"), true, false);
        check(caller("a").with("domain_id", "d"), false, true);
    }

    #[test]
    fn what_is_wrong_with_all_rules_together() {
        let problem = |file: &str| enforcer(file, Options::default()).map(|_| ()).unwrap_err();
        assert_eq!(
            problem("x: '@'\nplain: rule:asks"),
            "f:2: rule \"plain\": rules ask each other in a circle: asks, plain"
        );
        assert_eq!(problem("a: not rule:a"), "f:1: rule \"a\": rules ask each other in a circle: a");
        assert!(problem("default: rule:nowhere").contains("in a circle: default"));
        let warned = |file: &str| enforcer(file, Options::default()).unwrap().1;
        assert_eq!(
            warned(""),
            ["built-in rules: rule \"asks\": it asks rule:missing, which is not there: nobody has it"]
        );
        assert_eq!(
            warned("missing: '@'\n\nos_load-balancer_api:pools:get: '@'"),
            [
                "f:3: rule \"os_load-balancer_api:pools:get\": nothing asks this rule: there is no such policy here"
            ]
        );
        assert_eq!(
            warned("missing: '@'\nold-name: role:x"),
            [
                "f:2: rule \"old-name\": the rule is called new-name now; its old name counts as long as that one is not set"
            ]
        );
    }

    /// Each rule asks the next one twice, so a naive answer takes for ever; and rules may ask each other in a long row.
    #[test]
    fn what_asks_too_much_is_denied() {
        let last = |n: usize| format!("r{n}: '!'\n");
        let twice: String = (0..40).map(|n| format!("r{n}: rule:r{0} or rule:r{0}\n", n + 1)).collect();
        let row: String = (0..5000).map(|n| format!("r{n}: not rule:r{}\n", n + 1)).collect();
        for file in [twice + &last(40), row + &last(5000)] {
            let (enforcer, _) = enforcer(&format!("plain: not rule:r0\n{file}"), Options::default()).unwrap();
            let decision = enforcer.explain("plain", &caller("a"), &Target::default());
            assert_eq!((decision.allowed, decision.denial), (false, Some(Denial::Endless)));
        }
    }

    #[test]
    fn an_explanation_says_what_was_looked_at() {
        let (enforcer, _) = enforcer("\nmissing: role:x or role:y", Options::default()).unwrap();
        let decision = enforcer.explain("asks", &caller("a y"), &Target::default());
        let steps: Vec<_> = decision
            .steps
            .iter()
            .map(|step| (step.depth, step.held, step.check.as_str(), step.origin.as_deref()))
            .collect();
        assert_eq!(
            steps,
            [
                (0, true, "(rule:plain and rule:missing)", None),
                (1, true, "rule:plain", Some("built in")),
                (2, true, "role:a", None),
                (1, true, "rule:missing", Some("f:2")),
                (2, true, "(role:x or role:y)", None),
                (3, false, "role:x", None),
                (3, true, "role:y", None),
            ]
        );
        assert_eq!(enforcer.explain("no", &caller("a"), &Target::default()).denial, Some(Denial::Unknown));
    }

    #[test]
    fn the_built_in_rules_are_right() {
        let (enforcer, warnings) = Enforcer::new(defaults(), &[], Options::default()).unwrap();
        assert_eq!(warnings, []);
        for default in defaults() {
            Check::parse(default.check).unwrap();
            if let Some(old) = default.deprecated {
                Check::parse(old.check).unwrap();
            }
            assert!(enforcer.knows(default.name) && !default.about.is_empty(), "{}", default.name);
        }
    }
}
