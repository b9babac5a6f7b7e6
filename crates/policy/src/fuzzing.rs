//! What must hold for any bytes: played over a corpus by the tests, and searched for exceptions by `cargo xtask fuzz`.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "what fails here is what is looked for")]

use crate::{Check, Credentials, Enforcer, Options, PolicyFile, Target, defaults};

/// Bytes of input at most: what grows faster than its input is seen with less.
const LENGTH: usize = 16 << 10;

/// `data` as a policy file.
pub fn policy(data: &[u8]) -> bool {
    let data = &data[..data.len().min(LENGTH)];
    let lines = 1 + data.iter().filter(|&&byte| byte == b'\n' || byte == b'\r').count();
    let file = match PolicyFile::read("f", data) {
        Ok(file) => file,
        Err(problem) => {
            assert!(!problem.to_string().contains(char::is_control), "{problem}");
            return false;
        }
    };
    for rule in &file.rules {
        assert!(rule.line.is_none_or(|line| (1..=lines).contains(&line)));
        let text = rule.check.to_string();
        // What a rule prints means the same; a check of a list may have white space and parentheses in it.
        if let Ok(again) = Check::parse(&text)
            && !text.contains(['\'', '"'])
            && again.to_string() == text
        {
            assert_eq!(again, rule.check, "{text}");
        }
    }
    let target = Target::default().with("project_id", "p");
    let roles = vec!["member".to_owned(), "reader".to_owned()];
    let caller = Credentials::default().with("project_id", "p").with("roles", roles);
    let Ok((enforcer, warnings)) = Enforcer::new(defaults(), &[file], Options::default()) else {
        return false;
    };
    assert!(warnings.iter().all(|warning| !warning.to_string().contains(char::is_control)));
    for default in defaults() {
        let decision = enforcer.explain(default.name, &caller, &target);
        assert_eq!(decision.allowed, enforcer.allows(default.name, &caller, &target));
        assert!(decision.allowed != decision.denial.is_some() || !decision.allowed);
    }
    enforcer.rules().count() > defaults().len()
}

/// `data` as one rule: what it prints is the same rule.
pub fn rule(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(&data[..data.len().min(LENGTH)]) else { return false };
    let Ok(check) = Check::parse(text) else { return false };
    assert_eq!(Check::parse(&check.to_string()).as_ref(), Ok(&check), "{check}");
    true
}

#[cfg(test)]
mod tests {
    use octavia_corpus::play;

    #[test]
    fn policy() {
        play("policy", super::policy);
    }

    #[test]
    fn policy_rule() {
        play("policy_rule", super::rule);
    }
}
