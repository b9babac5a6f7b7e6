//! SPDX licence expressions: `OR`, `AND`, `WITH`, parentheses, and the old `/` for `OR`.

/// Whether a licence of the list lets us use the package.
pub(crate) fn allowed(expression: &str, list: &[String]) -> Result<bool, String> {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<_> = spaced.split_whitespace().collect();
    let mut parser = Parser { words: &words, list };
    let answer = parser.any_of()?;
    match parser.words.first() {
        None => Ok(answer),
        Some(word) => Err(format!("unexpected {word}")),
    }
}

struct Parser<'a> {
    words: &'a [&'a str],
    list: &'a [String],
}

impl Parser<'_> {
    fn take(&mut self, word: &str) -> bool {
        let here = self.words.first() == Some(&word);
        if here {
            self.words = &self.words[1..];
        }
        here
    }

    fn any_of(&mut self) -> Result<bool, String> {
        let mut answer = self.all_of()?;
        while self.take("OR") {
            answer |= self.all_of()?;
        }
        Ok(answer)
    }

    fn all_of(&mut self) -> Result<bool, String> {
        let mut answer = self.one()?;
        while self.take("AND") {
            answer &= self.one()?;
        }
        Ok(answer)
    }

    fn one(&mut self) -> Result<bool, String> {
        if self.take("(") {
            let answer = self.any_of()?;
            return if self.take(")") { Ok(answer) } else { Err("an open parenthesis".into()) };
        }
        let (name, rest) = self.words.split_first().ok_or("ends too early")?;
        if matches!(*name, "OR" | "AND" | "WITH" | ")") {
            return Err(format!("unexpected {name}"));
        }
        self.words = rest;
        let name = if self.take("WITH") {
            let (exception, rest) = self.words.split_first().ok_or("ends after WITH")?;
            self.words = rest;
            format!("{name} WITH {exception}")
        } else {
            (*name).to_owned()
        };
        Ok(self.list.contains(&name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions() {
        let list: Vec<_> = ["MIT", "ISC", "Apache-2.0 WITH LLVM-exception"].map(str::to_owned).into();
        for (expression, answer) in [
            ("MIT", Some(true)),
            ("GPL-3.0", Some(false)),
            ("GPL-3.0 OR MIT", Some(true)),
            ("GPL-3.0/MIT", Some(true)),
            ("GPL-3.0 AND MIT", Some(false)),
            ("MIT AND (GPL-3.0 OR ISC)", Some(true)),
            ("(MIT OR GPL-3.0) AND GPL-3.0", Some(false)),
            ("MIT OR GPL-3.0 AND GPL-2.0", Some(true)),
            ("Apache-2.0 WITH LLVM-exception", Some(true)),
            ("Apache-2.0", Some(false)),
            ("", None),
            ("MIT OR", None),
            ("(MIT", None),
            ("MIT)", None),
            ("MIT ISC", None),
            ("MIT WITH", None),
            ("AND MIT", None),
        ] {
            assert_eq!(allowed(expression, &list).ok(), answer, "{expression}");
        }
    }
}
