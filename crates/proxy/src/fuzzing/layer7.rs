//! L7 rules: what they say of any head is what a plain reader says, and where they lead is one line.

use std::collections::HashMap;

use newtype_uuid::GenericUuid;
use octavia_model::{L7Policy, L7PolicyId, L7RuleCompareType, L7RuleType};
use octavia_wire::{L7ActionSpec, L7PolicySpec, L7RULES_MAX, L7RuleSpec};

use super::head::Plain;
use crate::http1::{Answer, Framing, Request, Response, header_slots, write_answer};
use crate::layer7::{Action, Policy, decide};

/// `data` as rules, one a line, an empty line, and the first bytes of a client.
pub fn layer7(data: &[u8]) -> bool {
    let Some(end) = data.windows(2).position(|pair| pair == b"\n\n") else { return false };
    let Some(rules) = std::str::from_utf8(&data[..end]).ok().and_then(rules) else { return false };
    // One policy of all rules, and one of each.
    let mut sets = vec![rules.clone()];
    sets.extend(rules.iter().map(|rule| vec![rule.clone()]));
    let Some(policies) = compile(&sets) else { return false };
    for rule in &mut sets.iter_mut().flatten() {
        rule.invert = !rule.invert;
    }
    let inverted = compile(&sets).unwrap();
    let head = &data[end + 2..];
    let mut slots = header_slots();
    let Ok(Some(request)) = Request::parse(head, &mut slots) else { return false };

    let start = head.iter().position(|b| !b"\r\n".contains(b)).unwrap();
    let plain = Plain::read(&head[start..request.len]);
    let holds: Vec<_> = rules.iter().map(|rule| plainly(rule, &request, &plain)).collect();
    for (place, &holds) in holds.iter().enumerate() {
        let alone = |policies: &[Policy]| decide(&policies[place + 1..=place + 1], &request, None).is_some();
        assert_eq!(alone(&policies), holds, "{:?}", rules[place]);
        assert_eq!(alone(&inverted), !holds, "{:?}, inverted", rules[place]);
    }
    let all = holds.iter().all(|&holds| holds);
    let first = if all { Some(0) } else { holds.iter().position(|&holds| holds).map(|place| place + 1) };
    assert_eq!(decide(&policies, &request, None).map(usize::from), first);
    assert_eq!(decide(&[], &request, None), None);
    for rule in &rules {
        for &code in L7Policy::REDIRECT_CODES {
            redirect(&rule.value, code, &request);
        }
    }
    true
}

/// `[!]TYPE COMPARE KEY VALUE`, the key `-` where there is none.
pub(crate) fn rule(line: &str) -> Option<L7RuleSpec> {
    let positive = line.strip_prefix('!');
    let mut words = positive.unwrap_or(line).splitn(4, ' ');
    Some(L7RuleSpec {
        kind: words.next()?.parse().ok()?,
        compare_type: words.next()?.parse().ok()?,
        key: words.next().filter(|key| *key != "-").map(str::to_owned),
        value: words.next()?.to_owned(),
        invert: positive.is_some(),
    })
}

pub(crate) fn policy(action: L7ActionSpec, rules: Vec<L7RuleSpec>) -> L7PolicySpec {
    L7PolicySpec { id: L7PolicyId::from_untyped_uuid(uuid::Uuid::nil()), action, rules }
}

fn rules(text: &str) -> Option<Vec<L7RuleSpec>> {
    let rules = text.lines().map(rule).collect::<Option<Vec<_>>>()?;
    (1..=L7RULES_MAX).contains(&rules.len()).then_some(rules)
}

fn compile(sets: &[Vec<L7RuleSpec>]) -> Option<Vec<Policy>> {
    let policies = sets
        .iter()
        .map(|rules| Policy::compile(&policy(L7ActionSpec::Reject, rules.clone()), &HashMap::new()));
    policies.collect::<Result<_, _>>().ok()
}

/// Where a redirect to anything, with any target after it, leads: nobody finds a second line in it.
fn redirect(to: &str, code: u16, request: &Request<'_, '_>) {
    for action in [
        L7ActionSpec::RedirectToUrl { location: to.to_owned(), code },
        L7ActionSpec::RedirectPrefix { prefix: to.to_owned(), code },
    ] {
        let with_target = matches!(action, L7ActionSpec::RedirectPrefix { .. });
        let policy = Policy::compile(&policy(action, vec![]), &HashMap::new()).unwrap();
        let Action::Redirect(redirect) = &policy.action else { panic!("no redirect") };
        let mut location = vec![];
        redirect.location(request.target, &mut location);
        assert!(location.iter().all(u8::is_ascii_graphic));
        if to.bytes().all(|b| b.is_ascii_graphic()) {
            assert!(location.starts_with(to.as_bytes()));
        }
        let target: &[u8] = if request.target == b"*" { b"/" } else { request.target };
        assert!(!with_target || location.ends_with(target));
        for (http11, keep_alive, to_head) in [(true, true, false), (true, false, true), (false, true, false)]
        {
            let answer = Answer {
                status: redirect.code,
                location: Some(&location),
                allow: None,
                page: None,
                http11,
                keep_alive,
                to_head,
                hsts: None,
            };
            let mut out = vec![];
            write_answer(answer, &mut out);
            let plain = Plain::read(&out);
            assert_eq!(plain.values("location"), [location.as_slice()]);
            let mut slots = header_slots();
            // What the longest target makes of it is more than we would take from a member.
            let Ok(Some(again)) = Response::parse(&out, &mut slots, false, false) else {
                assert!(plain.is_too_large(out.len()));
                continue;
            };
            assert_eq!((again.status, again.len, again.framing), (code, out.len(), Framing::Length(0)));
            assert_eq!(again.keep_alive, keep_alive);
        }
    }
}

/// Whether a rule holds, to a reader that takes the head apart into copies.
fn plainly(rule: &L7RuleSpec, request: &Request<'_, '_>, plain: &Plain<'_>) -> bool {
    let key = rule.key.as_deref().unwrap_or_default();
    let host = || request.host.map(<[u8]>::to_vec);
    let texts: Vec<Vec<u8>> = match rule.kind {
        L7RuleType::HostName => host().into_iter().collect(),
        L7RuleType::Path | L7RuleType::FileType if request.target == b"*" => vec![],
        L7RuleType::Path | L7RuleType::FileType => {
            vec![request.target.iter().copied().take_while(|&b| b != b'?').collect()]
        }
        L7RuleType::Header if key.eq_ignore_ascii_case("host") => host().into_iter().collect(),
        L7RuleType::Header => plain.values(key).into_iter().flat_map(list).collect(),
        L7RuleType::Cookie => {
            let cookies = plain.values("cookie").into_iter().flat_map(list).flat_map(|text| jar(&text));
            cookies.filter(|(name, _)| name == key.as_bytes()).map(|(_, value)| value).collect()
        }
        _ => vec![],
    };
    let caseless = rule.kind == L7RuleType::HostName;
    let fold = |text: &[u8]| if caseless { text.to_ascii_lowercase() } else { text.to_vec() };
    let quoted = rule.value.len() > 1 && rule.value.starts_with('"') && rule.value.ends_with('"');
    let value = if quoted { &rule.value[1..rule.value.len() - 1] } else { &rule.value[..] };
    let value = fold(value.as_bytes());
    let passes = |text: &Vec<u8>| {
        let text = fold(text);
        match rule.compare_type {
            L7RuleCompareType::Regex => rule.pattern().unwrap().unwrap().is_match(&text),
            L7RuleCompareType::StartsWith => text.starts_with(&value),
            L7RuleCompareType::EndsWith => text.ends_with(&value),
            L7RuleCompareType::Contains => {
                value.is_empty() || text.windows(value.len()).any(|part| part == value)
            }
            L7RuleCompareType::EqualTo if rule.kind == L7RuleType::FileType => text.ends_with(&value),
            L7RuleCompareType::EqualTo => text == value,
        }
    };
    texts.iter().any(passes) != rule.invert
}

pub(super) fn list(text: &[u8]) -> Vec<Vec<u8>> {
    cut(text, b",").iter().map(|part| trimmed(part)).collect()
}

/// The cookies of one element.
pub(super) fn jar(text: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut found = vec![];
    let mut rest = text.to_vec();
    while !rest.is_empty() {
        let name: Vec<u8> = rest.iter().copied().take_while(|b| !b"=;,".contains(b)).collect();
        let mark = rest.get(name.len()).copied();
        rest.drain(..rest.len().min(name.len() + 1));
        if mark != Some(b'=') {
            continue;
        }
        let value = cut(&rest, b";,").swap_remove(0);
        rest.drain(..rest.len().min(value.len() + 1));
        if !trimmed(&name).starts_with(b"$") {
            found.push((trimmed(&name), trimmed(&value)));
        }
    }
    found
}

/// Parts between marks that are not in quotes.
fn cut(text: &[u8], marks: &[u8]) -> Vec<Vec<u8>> {
    let mut parts = vec![vec![]];
    let mut quoted = false;
    let mut bytes = text.iter().copied();
    while let Some(b) = bytes.next() {
        if !quoted && marks.contains(&b) {
            parts.push(vec![]);
            continue;
        }
        let part = parts.last_mut().unwrap();
        part.push(b);
        if quoted && b == b'\\' {
            part.extend(bytes.next());
        } else if b == b'"' {
            quoted = !quoted;
        }
    }
    parts
}

fn trimmed(text: &[u8]) -> Vec<u8> {
    let blank = |b: &&u8| matches!(b, b' ' | b'\t');
    let before = text.iter().take_while(blank).count();
    let after = text[before..].iter().rev().take_while(blank).count();
    text[before..text.len() - after].to_vec()
}
