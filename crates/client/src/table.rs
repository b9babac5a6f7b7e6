//! Tables for terminals: aligned columns, no frame, safe against control characters in what tenants typed.

/// Renders rows under headings. Columns are as wide as their widest cell; the last one is not padded.
pub(crate) fn table(headings: &[String], rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<String>> =
        rows.iter().map(|r| r.iter().map(|cell| printable(cell)).collect()).collect();
    let widths: Vec<usize> = (0..headings.len())
        .map(|column| {
            let cells = rows.iter().filter_map(|row| row.get(column));
            cells.map(|c| width(c)).chain([width(&headings[column])]).max().unwrap_or(0)
        })
        .collect();
    let rule: Vec<String> = widths.iter().map(|w| "-".repeat(*w)).collect();
    let mut out = String::new();
    for row in [headings, &rule].into_iter().chain(rows.iter().map(Vec::as_slice)) {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            if column > 0 {
                line.push_str("  ");
            }
            line.push_str(cell);
            let pad = widths.get(column).copied().unwrap_or(0).saturating_sub(width(cell));
            line.extend(std::iter::repeat_n(' ', pad));
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// The columns a text takes on a terminal: none for combining marks, two for East Asian wide and emoji.
pub(crate) fn width(text: &str) -> usize {
    text.chars()
        .map(|c| match u32::from(c) {
            0x0300..=0x036f | 0x200b..=0x200f | 0x20d0..=0x20ff | 0xfe00..=0xfe0f => 0,
            0x1100..=0x115f
            | 0x2e80..=0x303e
            | 0x3041..=0xa4cf
            | 0xac00..=0xd7a3
            | 0xf900..=0xfaff
            | 0xfe30..=0xfe6f
            | 0xff00..=0xff60
            | 0xffe0..=0xffe6
            | 0x1f300..=0x1f64f
            | 0x1f900..=0x1f9ff
            | 0x20000..=0x3fffd => 2,
            _ => 1,
        })
        .sum()
}

/// Names come from other tenants: control characters and direction marks are shown, not obeyed.
pub(crate) fn printable(text: &str) -> String {
    let hostile = |c: char| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if !text.chars().any(hostile) {
        return text.to_owned();
    }
    text.chars().map(|c| if hostile(c) { c.escape_default().to_string() } else { c.to_string() }).collect()
}

/// [`printable`], cut to so many columns; three dots say that it was.
pub(crate) fn shortened(text: &str, columns: usize) -> String {
    let mut text = printable(text);
    if width(&text) <= columns {
        return text;
    }
    while width(&text) + 1 > columns && text.pop().is_some() {}
    text.push('…');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(headings: &[&str], rows: &[&[&str]]) -> String {
        let own = |row: &[&str]| row.iter().map(|c| (*c).to_owned()).collect::<Vec<_>>();
        table(&own(headings), &rows.iter().map(|r| own(r)).collect::<Vec<_>>())
    }

    #[test]
    fn columns_are_aligned() {
        insta::assert_snapshot!(check(&["id", "name", "status"], &[&["1", "web", "ACTIVE"], &["2", "a longer name", ""]]), @r"
        id  name           status
        --  -------------  ------
        1   web            ACTIVE
        2   a longer name
        ");
    }

    #[test]
    fn wide_and_combining_characters_keep_the_columns() {
        insta::assert_snapshot!(check(&["name", "x"], &[&["負荷分散", "1"], &["e\u{301}te\u{301}", "2"], &["plain", "3"]]), @r"
        name      x
        --------  -
        負荷分散  1
        été       2
        plain     3
        ");
    }

    #[test]
    fn control_characters_are_shown_not_obeyed() {
        insta::assert_snapshot!(check(&["name"], &[&["a\x1b[2Jb"], &["line\nbreak"], &["\u{202e}txt"]]), @r"
        name
        -----------
        a\u{1b}[2Jb
        line\nbreak
        \u{202e}txt
        ");
    }

    #[test]
    fn long_names_are_cut() {
        for (text, expected) in [
            ("", ""),
            ("abcd", "abcd"),
            ("abcde", "abc…"),
            ("負荷", "負荷"),
            ("負荷分散", "負…"),
            ("a\nbc", "a\\n…"),
        ] {
            assert_eq!(shortened(text, 4), expected);
        }
    }

    #[test]
    fn no_rows() {
        insta::assert_snapshot!(check(&["id", "name"], &[]), @r"
        id  name
        --  ----
        ");
    }
}
