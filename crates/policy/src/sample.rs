//! A policy file with every rule at its default, commented out.

use std::fmt::Write;

use crate::defaults::RuleDefault;

/// `operations` says for a rule which requests are checked against it, a line each.
pub fn sample(defaults: &[RuleDefault], operations: impl Fn(&str) -> Vec<String>) -> String {
    let mut text = String::from(
        "# Rules of [oslo_policy] policy_file. A rule that is not commented out replaces the built-in one.\n",
    );
    for default in defaults {
        let _ = write!(text, "\n# {}\n", default.about);
        for operation in operations(default.name) {
            let _ = writeln!(text, "# {operation}");
        }
        if !default.scope.is_empty() {
            let _ = writeln!(text, "# Intended scope(s): {}", default.scope.join(", "));
        }
        if let Some(old) = default.deprecated {
            let name = if old.name == default.name { String::new() } else { format!("{:?}: ", old.name) };
            let _ = writeln!(text, "# With enforce_new_defaults = false also: {name}{:?}", old.check);
        }
        let _ = writeln!(text, "#{:?}: {:?}", default.name, default.check);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Check, PolicyFile, defaults};

    /// With the marks taken away, the sample says what is built in.
    #[test]
    fn the_sample_is_a_policy_file() {
        let text = sample(defaults(), |name| vec![format!("GET /{name}")]);
        assert!(PolicyFile::read("s", text.as_bytes()).unwrap().rules.is_empty());
        let rules = PolicyFile::read("s", text.replace("\n#\"", "\n\"").as_bytes()).unwrap().rules;
        let found: Vec<_> = rules.iter().map(|rule| (rule.name.as_str(), rule.check.clone())).collect();
        let wanted: Vec<_> =
            defaults().iter().map(|rule| (rule.name, Check::parse(rule.check).unwrap())).collect();
        assert_eq!(found, wanted);
        assert!(rules.iter().all(|rule| rule.line.is_some()));
    }
}
