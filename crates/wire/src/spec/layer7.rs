//! What L7 policies must be for a receiver to run them.

use std::collections::HashSet;

use octavia_model::{
    L7Policy, L7PolicyId, L7Regex, L7RegexError, L7RuleCompareType, L7RuleType, ListenerProtocol, PoolId,
};

use super::{AmphoraSpec, L7ActionSpec, L7PolicySpec, L7RuleSpec, ListenerSpec, SpecError};

/// Policies of one listener: receivers look at them one by one.
pub const L7POLICIES_MAX: usize = 1_000;
/// Rules of one policy; the original's limit.
pub const L7RULES_MAX: usize = 50;
/// Patterns of one spec that have to be compiled: each may take as much as [`L7Regex::SIZE_MAX`].
pub const L7PATTERNS_MAX: usize = 1_000;
/// Bytes of a key, a value, or where a redirect leads: 255 characters, of four bytes at most.
pub const L7TEXT_MAX: usize = 1_020;

/// What is wrong with an L7 policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum L7Fault {
    #[error("sends requests to pool {0}, which the spec does not define")]
    UnknownPool(PoolId),
    #[error("redirects with code {0}, which is none of 301, 302, 303, 307 and 308")]
    Code(u16),
    #[error("has {0} rules, allowed are {L7RULES_MAX}")]
    Rules(usize),
    #[error("has a {0} rule without a key")]
    NoKey(L7RuleType),
    #[error("has a text of {0} bytes, allowed are {L7TEXT_MAX}")]
    Text(usize),
    #[error("has the pattern {pattern:?}, which cannot be used: {error}")]
    Pattern { pattern: String, error: L7RegexError },
}

impl ListenerSpec {
    /// The pools its traffic can reach, by default or by a policy; some perhaps more than once.
    pub fn pools(&self) -> impl Iterator<Item = PoolId> {
        let by_policy = self.l7policies.iter().filter_map(|policy| match policy.action {
            L7ActionSpec::RedirectToPool(pool) => Some(pool),
            _ => None,
        });
        self.default_pool.into_iter().chain(by_policy)
    }
}

impl L7RuleSpec {
    /// The rule's compiled pattern, if it has one: its value as a regular expression, or as a text to be found
    /// anywhere. Of host names case does not count.
    pub fn pattern(&self) -> Result<Option<L7Regex>, L7Fault> {
        let caseless = self.kind == L7RuleType::HostName;
        let built = match self.compare_type {
            L7RuleCompareType::Regex if caseless => L7Regex::caseless(&self.value),
            L7RuleCompareType::Regex => L7Regex::new(&self.value),
            L7RuleCompareType::Contains => L7Regex::containing(self.text(), caseless),
            _ => return Ok(None),
        };
        built.map(Some).map_err(|error| L7Fault::Pattern { pattern: self.value.clone(), error })
    }

    /// The value when it is no regular expression: without the quotes that let it have spaces in it.
    pub fn text(&self) -> &str {
        let within = self.value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        within.unwrap_or(&self.value)
    }

    fn check(&self) -> Result<(), L7Fault> {
        check_text(self.key.as_deref().unwrap_or_default())?;
        check_text(&self.value)?;
        let wants_key = matches!(self.kind, L7RuleType::Header | L7RuleType::Cookie | L7RuleType::SslDnField);
        if wants_key && self.key.is_none() {
            return Err(L7Fault::NoKey(self.kind));
        }
        self.pattern().map(drop)
    }
}

impl L7PolicySpec {
    fn check(&self, pools: &HashSet<PoolId>) -> Result<(), L7Fault> {
        match &self.action {
            L7ActionSpec::Reject => {}
            L7ActionSpec::RedirectToPool(pool) if pools.contains(pool) => {}
            L7ActionSpec::RedirectToPool(pool) => return Err(L7Fault::UnknownPool(*pool)),
            L7ActionSpec::RedirectToUrl { location: to, code }
            | L7ActionSpec::RedirectPrefix { prefix: to, code } => {
                check_text(to)?;
                if !L7Policy::REDIRECT_CODES.contains(code) {
                    return Err(L7Fault::Code(*code));
                }
            }
        }
        if self.rules.len() > L7RULES_MAX {
            return Err(L7Fault::Rules(self.rules.len()));
        }
        self.rules.iter().try_for_each(L7RuleSpec::check)
    }
}

fn check_text(text: &str) -> Result<(), L7Fault> {
    if text.len() > L7TEXT_MAX { Err(L7Fault::Text(text.len())) } else { Ok(()) }
}

/// Checks all policies of a spec, which defines `pools`.
pub(super) fn check(spec: &AmphoraSpec, pools: &HashSet<PoolId>) -> Result<(), SpecError> {
    let range = |what, count: usize, allowed| {
        Err(SpecError::Range { what, value: u64::try_from(count).unwrap_or(u64::MAX), allowed })
    };
    let policies = || spec.listeners.iter().flat_map(|listener| &listener.l7policies);
    let compiled = |rule: &&L7RuleSpec| {
        matches!(rule.compare_type, L7RuleCompareType::Regex | L7RuleCompareType::Contains)
    };
    // Counted before any is compiled.
    for listener in &spec.listeners {
        let count = listener.l7policies.len();
        if count > L7POLICIES_MAX {
            return range("the number of L7 policies of a listener", count, "0-1000");
        }
        if count > 0 && !reads_http(listener.protocol) {
            return Err(SpecError::NoRequests(listener.id));
        }
    }
    let patterns = policies().flat_map(|policy| &policy.rules).filter(compiled).count();
    if patterns > L7PATTERNS_MAX {
        return range("the number of L7 rules with a pattern", patterns, "0-1000");
    }
    let mut seen: HashSet<L7PolicyId> = HashSet::new();
    for policy in policies() {
        if !seen.insert(policy.id) {
            return Err(SpecError::Duplicate(format!("L7 policy {}", policy.id)));
        }
        policy.check(pools).map_err(|fault| SpecError::L7Policy { policy: policy.id, fault })?;
    }
    Ok(())
}

pub(super) fn reads_http(protocol: ListenerProtocol) -> bool {
    matches!(protocol, ListenerProtocol::Http | ListenerProtocol::TerminatedHttps)
}

#[cfg(test)]
mod tests {
    use newtype_uuid::{GenericUuid, TypedUuid};
    use octavia_model::{Algorithm, IdKind, PoolProtocol};

    use super::*;
    use crate::{PoolSpec, TimeoutsSpec, WIRE_VERSION};

    fn id<K: IdKind>(n: u128) -> TypedUuid<K> {
        TypedUuid::from_untyped_uuid(uuid::Uuid::from_u128(n))
    }

    fn rule(kind: L7RuleType, compare_type: L7RuleCompareType, key: Option<&str>, value: &str) -> L7RuleSpec {
        L7RuleSpec { kind, compare_type, key: key.map(str::to_owned), value: value.to_owned(), invert: false }
    }

    fn policy(n: u128, action: L7ActionSpec, rules: Vec<L7RuleSpec>) -> L7PolicySpec {
        L7PolicySpec { id: id(n), action, rules }
    }

    fn spec(protocol: ListenerProtocol, l7policies: Vec<L7PolicySpec>) -> AmphoraSpec {
        AmphoraSpec {
            version: WIRE_VERSION,
            amphora_id: id(1),
            load_balancer_id: id(1),
            generation: 1,
            fence: 1,
            vips: vec![[127, 0, 0, 1].into()],
            listeners: vec![ListenerSpec {
                id: id(1),
                protocol,
                port: 80,
                connection_limit: None,
                default_pool: None,
                insert_headers: vec![],
                timeouts: TimeoutsSpec { client_data: 0, member_connect: 0, member_data: 0, tcp_inspect: 0 },
                allowed_cidrs: vec![],
                accept_proxy: vec![],
                l7policies,
                tls: None,
            }],
            pools: vec![PoolSpec {
                id: id(7),
                protocol: PoolProtocol::Http,
                algorithm: Algorithm::RoundRobin,
                persistence: None,
                members: vec![],
                monitor: None,
                tls: None,
            }],
            access_log: None,
            sorry_pages: vec![],
            network: None,
            tickets: None,
        }
    }

    use L7ActionSpec::{RedirectPrefix, RedirectToPool, RedirectToUrl, Reject};
    use L7RuleCompareType::{Contains, EqualTo, Regex};
    use L7RuleType::{Cookie, Header, HostName, Path, SslDnField};

    #[test]
    fn what_is_taken() {
        let url = |code| RedirectToUrl { location: "http://a/".to_owned(), code };
        let prefix = |code| RedirectPrefix { prefix: "http://a".to_owned(), code };
        for (action, rules) in [
            (Reject, vec![]),
            (RedirectToPool(id(7)), vec![rule(Path, EqualTo, None, "/")]),
            (url(301), vec![rule(Path, Regex, None, "^/[a-z]+$"); L7RULES_MAX]),
            (prefix(308), vec![rule(Header, Contains, Some("a"), "\"b c\"")]),
            (url(302), vec![rule(HostName, Regex, None, "a"), rule(Cookie, EqualTo, Some(""), "")]),
            (url(303), vec![rule(SslDnField, EqualTo, Some("CN"), &"x".repeat(L7TEXT_MAX))]),
        ] {
            let spec = spec(ListenerProtocol::Http, vec![policy(1, action.clone(), rules)]);
            assert_eq!(spec.validate(), Ok(()), "{action:?}");
        }
    }

    #[test]
    fn what_is_refused_and_why() {
        let check = |action: L7ActionSpec, rules: Vec<L7RuleSpec>, expected: L7Fault| {
            let spec = spec(ListenerProtocol::Http, vec![policy(1, action, rules)]);
            assert_eq!(spec.validate(), Err(SpecError::L7Policy { policy: id(1), fault: expected }));
        };
        check(RedirectToPool(id(8)), vec![], L7Fault::UnknownPool(id(8)));
        for code in [0, 200, 300, 304, 305, 309, u16::MAX] {
            check(RedirectToUrl { location: "http://a".to_owned(), code }, vec![], L7Fault::Code(code));
            check(RedirectPrefix { prefix: "http://a".to_owned(), code }, vec![], L7Fault::Code(code));
        }
        let long = "x".repeat(L7TEXT_MAX + 1);
        check(RedirectToUrl { location: long.clone(), code: 302 }, vec![], L7Fault::Text(L7TEXT_MAX + 1));
        check(Reject, vec![rule(Path, EqualTo, None, &long)], L7Fault::Text(L7TEXT_MAX + 1));
        check(Reject, vec![rule(Header, EqualTo, Some(&long), "")], L7Fault::Text(L7TEXT_MAX + 1));
        check(Reject, vec![rule(Path, EqualTo, None, "/"); 51], L7Fault::Rules(51));
        for kind in [Header, Cookie, SslDnField] {
            check(Reject, vec![rule(kind, EqualTo, None, "a")], L7Fault::NoKey(kind));
        }
        for (pattern, said) in
            [("(", "unclosed group"), ("(?=a)", "look-around"), ("(a)\\1", "backreferences")]
        {
            for kind in [Path, HostName, Header, SslDnField] {
                let rules = vec![rule(Path, EqualTo, None, "/"), rule(kind, Regex, Some("a"), pattern)];
                let spec = spec(ListenerProtocol::Http, vec![policy(3, Reject, rules)]);
                let error = spec.validate().unwrap_err().to_string();
                let policy: L7PolicyId = id(3);
                assert!(error.starts_with(&format!("L7 policy {policy} has the pattern")), "{error}");
                assert!(error.contains(said), "{error}");
            }
        }
    }

    #[test]
    fn numbers_are_bounded() {
        let many = |n: usize, rules: usize| {
            let rules = vec![rule(Path, Contains, None, "/"); rules];
            (0..n).map(|n| policy(n as u128, Reject, rules.clone())).collect::<Vec<_>>()
        };
        let http = ListenerProtocol::Http;
        assert_eq!(spec(http, many(L7POLICIES_MAX, 1)).validate(), Ok(()));
        for policies in [many(L7POLICIES_MAX + 1, 0), many(501, 2)] {
            assert!(matches!(spec(http, policies).validate(), Err(SpecError::Range { .. })));
        }
        let twice = vec![policy(1, Reject, vec![]), policy(1, Reject, vec![])];
        assert!(matches!(spec(http, twice).validate(), Err(SpecError::Duplicate(_))));
        let of_bytes = spec(ListenerProtocol::Tcp, many(1, 0));
        assert_eq!(of_bytes.validate(), Err(SpecError::NoRequests(id(1))));
    }

    #[test]
    fn pools_of_a_listener() {
        let mut spec = spec(ListenerProtocol::Http, vec![policy(1, RedirectToPool(id(7)), vec![])]);
        assert_eq!(spec.listeners[0].pools().collect::<Vec<_>>(), [id(7)]);
        spec.listeners[0].default_pool = Some(id(8));
        assert_eq!(spec.listeners[0].pools().collect::<Vec<_>>(), [id(8), id(7)]);
    }

    #[test]
    fn quotes_go() {
        for (value, text) in
            [("a", "a"), ("\"a b\"", "a b"), ("\"", "\""), ("\"\"", ""), ("\"a", "\"a"), ("a\"", "a\"")]
        {
            assert_eq!(rule(Path, EqualTo, None, value).text(), text);
        }
    }
}
