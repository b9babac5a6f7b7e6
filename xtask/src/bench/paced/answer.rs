//! Where an answer ends; with it, whether it is the one that was asked for.

use anyhow::{Context as _, Result, ensure};

/// One answer on its way: 200, of a length that was known before.
#[derive(Debug)]
pub(in crate::bench) struct Answer {
    /// Of the body, in bytes.
    length: usize,
    /// The head, until it is whole.
    head: Vec<u8>,
    /// Bytes of the body that have not come; `None` = the head has not.
    left: Option<usize>,
}

/// A longer head is a mistake, in bytes.
const HEAD_MAX: usize = 16 << 10;

impl Answer {
    pub(in crate::bench) fn new(length: usize) -> Self {
        Self { length, head: vec![], left: None }
    }

    /// Takes the next bytes: is it whole now?
    ///
    /// # Errors
    /// When it is another answer than was asked for.
    pub(in crate::bench) fn take(&mut self, bytes: &[u8]) -> Result<bool> {
        let body = match self.left {
            Some(_) => bytes.len(),
            None => {
                self.head.extend_from_slice(bytes);
                let end = self.head.windows(4).position(|four| four == b"\r\n\r\n");
                let Some(end) = end else {
                    ensure!(self.head.len() < HEAD_MAX, "an answer's head does not end");
                    return Ok(false);
                };
                judge(&self.head[..end], self.length)?;
                self.left = Some(self.length);
                self.head.len() - end - 4
            }
        };
        let left = self.left.unwrap_or_default().checked_sub(body).context("bytes after an answer")?;
        self.left = Some(left);
        Ok(left == 0)
    }
}

fn judge(head: &[u8], length: usize) -> Result<()> {
    let text = String::from_utf8_lossy(head);
    let mut lines = text.lines();
    ensure!(lines.next().is_some_and(|line| line.starts_with("HTTP/1.1 200")), "not a good answer:\n{text}");
    let lengths = lines.filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().to_owned())
    });
    let lengths: Vec<_> = lengths.collect();
    ensure!(lengths == [length.to_string()], "not an answer of {length} bytes:\n{text}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of the pieces: `Some` = whole after so many of them.
    fn of(length: usize, pieces: &[&str]) -> Result<Option<usize>> {
        let mut answer = Answer::new(length);
        for (number, piece) in (1..).zip(pieces) {
            if answer.take(piece.as_bytes())? {
                return Ok(Some(number));
            }
        }
        Ok(None)
    }

    #[test]
    fn ends() {
        let head = "HTTP/1.1 200 OK\r\ncontent-LENGTH: 3\r\n\r\n";
        for (pieces, whole) in [
            (vec![head, "abc"], Some(2)),
            (vec![&head[..20], &head[20..head.len() - 1], "\nab", "c"], Some(4)),
            (vec![head, "ab"], None),
            (vec![head], None),
            (vec![&head[..30]], None),
        ] {
            assert_eq!(of(3, &pieces).unwrap(), whole, "{pieces:?}");
        }
        assert_eq!(of(0, &["HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"]).unwrap(), Some(1));
    }

    #[test]
    fn other_answers() {
        for (pieces, error) in [
            (vec!["HTTP/1.1 503 No\r\nContent-Length: 1\r\n\r\n!"], "not a good"),
            (vec!["HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n!!"], "not an answer of 1"),
            (vec!["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"], "not an answer of 1"),
            (vec!["HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n", "!!"], "bytes after"),
            (vec![&"x".repeat(HEAD_MAX)], "does not end"),
        ] {
            let told = of(1, &pieces).unwrap_err().to_string();
            assert!(told.contains(error), "{told}");
        }
    }
}
