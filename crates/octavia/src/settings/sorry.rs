//! Pages for clients whose request no member can take: read from files once, at the start.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use octavia_config::option::sorry_page;
use octavia_plan::{SorryPage, SorryPages};
use octavia_wire::SorryPageSpec;

use super::Reader;

/// Pages of a directory.
const PAGES_MAX: usize = 64;

#[derive(Debug, Clone)]
pub(crate) struct SorrySettings {
    pub(crate) directory: Option<PathBuf>,
    default: Option<String>,
}

impl Reader<'_> {
    pub(super) fn sorry(&self) -> SorrySettings {
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        SorrySettings {
            directory: given(self.config.all_in_one(&sorry_page::directory)).map(PathBuf::from),
            default: given(self.config.all_in_one(&sorry_page::default)),
        }
    }
}

impl SorrySettings {
    /// Reads the pages; an error names the file.
    pub(crate) fn load(&self) -> Result<SorryPages, String> {
        let mut pages = BTreeMap::new();
        if let Some(directory) = &self.directory {
            let failed = |error: std::io::Error| format!("{}: {error}", directory.display());
            for entry in directory.read_dir().map_err(failed)? {
                let path = entry.map_err(failed)?.path();
                let (name, page) = read(&path).map_err(|what| format!("{}: {what}", path.display()))?;
                if pages.insert(name.clone(), page).is_some() {
                    return Err(format!("{}: two pages are called {name:?}", directory.display()));
                }
            }
        }
        if pages.len() > PAGES_MAX {
            return Err(format!("{} pages, allowed are {PAGES_MAX}", pages.len()));
        }
        match &self.default {
            Some(name) if !pages.contains_key(name) => Err(format!("there is no page {name:?}")),
            default => Ok(SorryPages { pages, default: default.clone() }),
        }
    }
}

/// A page and its name, of `NAME.STATUS.EXTENSION`.
fn read(path: &Path) -> Result<(String, SorryPage), String> {
    let told = "not called NAME.STATUS.EXTENSION";
    let file = path.file_name().and_then(|name| name.to_str()).ok_or(told)?;
    let (rest, extension) = file.rsplit_once('.').ok_or(told)?;
    let (name, status) = rest.rsplit_once('.').filter(|(name, _)| !name.is_empty()).ok_or(told)?;
    let status: u16 = status.parse().map_err(|_| told)?;
    SorryPageSpec::check_status(status).map_err(|_| {
        let allowed: Vec<_> = SorryPageSpec::STATUSES.iter().map(u16::to_string).collect();
        format!("status {status} is none of {}", allowed.join(", "))
    })?;
    let content_type = match extension {
        "html" => "text/html; charset=utf-8",
        "txt" => "text/plain; charset=utf-8",
        "json" => "application/json",
        other => return Err(format!("extension {other:?} is none of html, txt, json")),
    };
    let size = path.metadata().map_err(|error| error.to_string())?.len();
    if size > SorryPageSpec::BODY_MAX as u64 {
        return Err(format!("{size} bytes, allowed are {}", SorryPageSpec::BODY_MAX));
    }
    let body = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    Ok((name.to_owned(), SorryPage { status, content_type: content_type.to_owned(), body }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(files: &[(&str, &str)], default: Option<&str>) -> Result<SorryPages, String> {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        let directory = Some(dir.path().to_owned());
        let loaded = SorrySettings { directory, default: default.map(str::to_owned) }.load();
        loaded.map_err(|error| error.replace(dir.path().to_str().unwrap(), "D"))
    }

    #[test]
    fn pages_are_read_and_nothing_else_is() {
        let great = "x".repeat(SorryPageSpec::BODY_MAX + 1);
        for (files, default, expected) in [
            (&[][..], None, Ok(vec![])),
            (
                &[("busy.503.html", "<p>busy"), ("a.b.200.json", "{}"), ("c.404.txt", "")],
                Some("busy"),
                Ok(vec![
                    ("a.b", 200, "application/json", "{}"),
                    ("busy", 503, "text/html; charset=utf-8", "<p>busy"),
                    ("c", 404, "text/plain; charset=utf-8", ""),
                ]),
            ),
            (&[], Some("busy"), Err("there is no page \"busy\"")),
            (&[("busy.html", "")], None, Err("D/busy.html: not called NAME.STATUS.EXTENSION")),
            (&[(".503.html", "")], None, Err("D/.503.html: not called NAME.STATUS.EXTENSION")),
            (&[("a.503.php", "")], None, Err("D/a.503.php: extension \"php\" is none of html, txt, json")),
            (
                &[("a.302.html", "")],
                None,
                Err("D/a.302.html: status 302 is none of 200, 404, 429, 500, 502, 503, 504"),
            ),
            (&[("a.503.html", &great)], None, Err("D/a.503.html: 65537 bytes, allowed are 65536")),
            (&[("a.503.html", ""), ("a.200.txt", "")], None, Err("D: two pages are called \"a\"")),
        ] {
            let loaded = load(files, default);
            let found = loaded.as_ref().map_err(String::as_str).map(|pages| {
                let page = |(name, page): (&'_ String, &'_ SorryPage)| {
                    (name.clone(), page.status, page.content_type.clone(), page.body.clone())
                };
                pages.pages.iter().map(page).collect::<Vec<_>>()
            });
            let owned = |(name, status, kind, body): (&str, u16, &str, &str)| {
                (name.to_owned(), status, kind.to_owned(), body.to_owned())
            };
            assert_eq!(
                found,
                expected.map(|pages: Vec<_>| pages.into_iter().map(owned).collect()),
                "{files:?}"
            );
        }
        let nowhere = SorrySettings { directory: Some("/nowhere".into()), default: None };
        assert!(nowhere.load().unwrap_err().starts_with("/nowhere: "));
    }
}
