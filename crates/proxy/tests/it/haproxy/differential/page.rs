//! `docs/differences.md`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use super::case::Theme;

/// Characters of a line.
const SHOWN: usize = 120;
const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/differences.md");

/// The page is what the cases say; `UPDATE_DOCS=1` writes it.
pub(super) fn check(themes: &[Theme], reasons: &Path) {
    let reasons = std::fs::read_to_string(reasons).unwrap();
    let reasons: BTreeMap<_, _> = reasons
        .lines()
        .filter_map(|line| line.split_once(": "))
        .filter(|(key, _)| !key.contains(' '))
        .collect();
    let page = page(themes, &reasons);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(PAGE, page).unwrap();
    } else {
        let kept = std::fs::read_to_string(PAGE).unwrap_or_default();
        assert!(kept == page, "docs/differences.md is not what the cases say: run this with UPDATE_DOCS=1");
    }
}

fn page(themes: &[Theme], reasons: &BTreeMap<&str, &str>) -> String {
    let mut differing: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let mut counts = String::new();
    let (mut all, mut different) = (0, 0);
    for theme in themes {
        let before = different;
        for case in &theme.cases {
            let outcomes = &case.expected;
            assert!(!outcomes.ours.is_empty(), "{}: nothing is expected of {}", theme.name, case.name);
            if outcomes.ours == outcomes.haproxy {
                continue;
            }
            different += 1;
            let why = case.why.as_deref().unwrap_or_default();
            assert!(reasons.contains_key(why), "{}: {} has no reason ({why})", theme.name, case.name);
            let row = format!(
                "| {}: {} | {} | {} |",
                theme.name,
                case.name.replace('|', "\\|"),
                cell(&outcomes.haproxy),
                cell(&outcomes.ours)
            );
            differing.entry(why).or_default().push(row);
        }
        all += theme.cases.len();
        writeln!(counts, "| {} | {} | {} |", theme.name, theme.cases.len(), different - before).unwrap();
    }
    let mut page = format!(
        "# Where the data plane differs from HAProxy\n\n\
         <!-- Made from the cases in crates/proxy/tests/it/haproxy/cases; UPDATE_DOCS=1 with that crate's tests renews it. \
         -->\n\n\
         {all} scripts of a client and of members are played before HAProxy 2.6.12 (Debian 12), configured as the original's \
         amphorae\nconfigure it, and before this data plane, from the same spec. What members get and what clients get is the \
         same, but for\nthe order of fields of different names, which means nothing (RFC 9110 §5.3), the words of refusals, and \
         the {different} cases\nbelow. After each script another client asks for something, and gets it.\n\n\
         A line that begins with a name is what that member got (`a/2` is its second connection); the others are what the \
         client\ngot, and in the end whether its connection was still `open` for another request.\n\n\
         | theme | cases | different |\n|---|---:|---:|\n{counts}| all | {all} | {different} |\n"
    );
    for (why, text) in reasons {
        let rows = differing.remove(why);
        let rows = rows.unwrap_or_else(|| panic!("no case has the reason {why}"));
        write!(
            page,
            "\n## {}\n\n{text}\n\n| case | HAProxy | ours |\n|---|---|---|\n",
            why.replace('-', " ")
        )
        .unwrap();
        rows.iter().for_each(|row| writeln!(page, "{row}").unwrap());
    }
    page
}

/// Long lines are told in part.
fn cell(lines: &[String]) -> String {
    let told = lines.iter().map(|line| {
        let mut start: String = line.chars().take(SHOWN).collect();
        if start.len() < line.len() {
            start.push('…');
        }
        format!("`{}`", start.replace('|', "\\|"))
    });
    told.collect::<Vec<_>>().join("<br>")
}
