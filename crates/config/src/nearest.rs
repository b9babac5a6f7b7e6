//! The known name that a mistyped one most likely stands for.

/// Longer names are nobody's slip.
const LONGEST: usize = 64;

/// The nearest of `known`, if it is near at all: one change in three characters.
pub(crate) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    if name.len() > LONGEST {
        return None;
    }
    let wanted = name.to_lowercase().replace('-', "_");
    let allowed = (wanted.chars().count() / 3).max(1);
    known
        .map(|other| (distance(&wanted, &other.to_lowercase()), other))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, other)| other)
}

/// Insertions, deletions, replacements and swaps of neighbours that make `b` of `a`.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<_>, Vec<_>) = (a.chars().collect(), b.chars().collect());
    let mut before = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(before[j - 2] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let known = ["bind_host", "bind_port", "auth_strategy", "DEFAULT"];
        for (name, wanted) in [
            ("bind_hots", Some("bind_host")),
            ("bindport", Some("bind_port")),
            ("bind-port", Some("bind_port")),
            ("auth_stategy", Some("auth_strategy")),
            ("default", Some("DEFAULT")),
            ("something_else", None),
            ("", None),
            ("x", None),
        ] {
            assert_eq!(nearest(name, known.into_iter()), wanted, "{name}");
        }
        assert_eq!(nearest(&"a".repeat(1 << 20), known.into_iter()), None);
        assert_eq!(distance("ab", "ba"), 1);
        assert_eq!(distance("", "abc"), 3);
    }
}
