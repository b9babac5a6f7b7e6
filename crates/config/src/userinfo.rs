//! Users and passwords in front of a URL's host.

use std::borrow::Cow;

/// The text with `<secret>` in place of what stands between a `://` and an `@`.
///
/// A password may hold what ends a host (`/`, `#`), although it should not: what is hidden goes from the first `://` to
/// the last `@`, rather too much than too little.
pub fn without_userinfo(text: &str) -> Cow<'_, str> {
    let found = text.find("://").map(|at| at + "://".len());
    match found.and_then(|from| Some((from, from + text[from..].rfind('@')?))) {
        Some((from, to)) => format!("{}<secret>{}", &text[..from], &text[to..]).into(),
        None => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_and_passwords_are_hidden() {
        for (text, wanted) in [
            ("http://h:1/p?q=a", "http://h:1/p?q=a"),
            ("u:p@h", "u:p@h"),
            ("http://u:p@h/p", "http://<secret>@h/p"),
            ("http://u@h", "http://<secret>@h"),
            ("mysql://u:a#b/c@d@h/d", "mysql://<secret>@h/d"),
            ("http://a,http://u:p@h,http://b", "http://<secret>@h,http://b"),
            ("url:redis://:p@h:6379", "url:redis://<secret>@h:6379"),
        ] {
            assert_eq!(without_userinfo(text), wanted);
        }
    }
}
