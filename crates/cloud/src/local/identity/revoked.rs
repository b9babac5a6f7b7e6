//! Tokens taken back before their time: a file to which each is appended, durable before the answer.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::local::files::{file_read, file_replace};

const FILE: &str = "revoked";
/// Lines of tokens that have expired anyway before the file is written anew.
const STALE_MAX: usize = 1000;
/// Of the file, in bytes: a million tokens revoked within a token's lifetime.
const FILE_MAX: u64 = 64 << 20;

/// Token id → second of its expiry, and the file that says the same.
#[derive(Debug)]
pub(super) struct Revoked {
    path: PathBuf,
    tokens: BTreeMap<String, i64>,
    file: File,
    lines: usize,
}

impl Revoked {
    pub(super) fn open(cloud_dir: &Path, now: Timestamp) -> io::Result<Self> {
        let path = cloud_dir.join(FILE);
        let text = file_read(&path, FILE_MAX)?.unwrap_or_default();
        let mut tokens = parse(&text);
        let file = rewrite(&path, &mut tokens, now)?;
        Ok(Self { path, lines: tokens.len(), tokens, file })
    }

    pub(super) fn contains(&self, id: &str) -> bool {
        self.tokens.contains_key(id)
    }

    pub(super) fn add(&mut self, id: &str, expires_at: i64, now: Timestamp) -> io::Result<()> {
        self.file.write_all(line(id, expires_at).as_bytes())?;
        self.file.sync_data()?;
        self.lines += 1;
        self.tokens.insert(id.to_owned(), expires_at);
        if self.lines > 2 * self.tokens.len() + STALE_MAX || self.lines.is_multiple_of(STALE_MAX) {
            self.file = rewrite(&self.path, &mut self.tokens, now)?;
            self.lines = self.tokens.len();
        }
        Ok(())
    }
}

fn line(id: &str, expires_at: i64) -> String {
    format!("{id} {expires_at}\n")
}

/// A last line torn by a crash was never answered for, and is left out.
fn parse(text: &str) -> BTreeMap<String, i64> {
    text.split_inclusive('\n')
        .filter_map(|line| {
            let (id, expires_at) = line.strip_suffix('\n')?.split_once(' ')?;
            Some((id.to_owned(), expires_at.parse().ok()?))
        })
        .collect()
}

fn rewrite(path: &Path, tokens: &mut BTreeMap<String, i64>, now: Timestamp) -> io::Result<File> {
    tokens.retain(|_, expires_at| now.as_second() < *expires_at);
    let text: String = tokens.iter().map(|(id, expires_at)| line(id, *expires_at)).collect();
    file_replace(path, text.as_bytes())?;
    OpenOptions::new().append(true).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remembers_until_expiry() {
        let dir = tempfile::tempdir().unwrap();
        let at = |second| Timestamp::from_second(second).unwrap();
        let mut revoked = Revoked::open(dir.path(), at(0)).unwrap();
        revoked.add("short", 10, at(0)).unwrap();
        revoked.add("long", 1000, at(0)).unwrap();
        std::fs::OpenOptions::new()
            .append(true)
            .open(dir.path().join(FILE))
            .unwrap()
            .write_all(b"torn 99999")
            .unwrap();
        let again = Revoked::open(dir.path(), at(20)).unwrap();
        assert!(again.contains("long") && !again.contains("short") && !again.contains("torn"));
    }

    #[test]
    fn the_file_stays_small() {
        let dir = tempfile::tempdir().unwrap();
        let mut revoked = Revoked::open(dir.path(), Timestamp::UNIX_EPOCH).unwrap();
        for second in 0..STALE_MAX as i64 + 50 {
            revoked.add(&format!("t{second}"), second + 1, Timestamp::from_second(second).unwrap()).unwrap();
        }
        assert!(revoked.lines <= STALE_MAX, "{}", revoked.lines);
    }
}
