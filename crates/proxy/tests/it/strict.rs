//! Reads the text format of Prometheus (version 0.0.4) and takes nothing that a reader might take otherwise: what
//! `promtool check metrics` finds fault with, this does, too.

use std::collections::{BTreeMap, BTreeSet};

/// What a text says, by series: the name, and the labels in their order, as they are written.
pub(crate) type Series = BTreeMap<String, f64>;

/// All of a text, or what is wrong with which line.
pub(crate) fn read(text: &str) -> Result<Series, String> {
    let body = text.strip_suffix('\n').ok_or("the last line has no end")?;
    let mut reader = Reader::default();
    for (number, line) in body.split('\n').enumerate() {
        reader.line(line).map_err(|error| format!("line {}: {error}: {line}", number + 1))?;
    }
    reader.end_family()?;
    Ok(reader.series)
}

#[derive(Default)]
struct Reader {
    series: Series,
    families: BTreeSet<String>,
    name: String,
    kind: Option<String>,
    samples: usize,
    /// Of a histogram, by its labels without `le`: the last bucket and its bound.
    buckets: BTreeMap<String, (f64, f64)>,
    /// The same: how many there are, and whether their sum was told.
    counts: BTreeMap<String, f64>,
    sums: BTreeSet<String>,
}

impl Reader {
    fn line(&mut self, line: &str) -> Result<(), String> {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            self.end_family()?;
            let (name, help) = rest.split_once(' ').ok_or("no help")?;
            if !is_name(name, ":") || help.is_empty() || help.contains(['\\', '\r']) {
                return Err("not a help".to_owned());
            }
            if !self.families.insert(name.to_owned()) {
                return Err("the family was there before".to_owned());
            }
            name.clone_into(&mut self.name);
            self.kind = None;
            self.samples = 0;
            return Ok(());
        }
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').ok_or("no type")?;
            if name != self.name || self.kind.is_some() || !["counter", "gauge", "histogram"].contains(&kind)
            {
                return Err("not the type of this family".to_owned());
            }
            if (kind == "counter") != name.ends_with("_total") {
                return Err("counters, and they alone, are named _total".to_owned());
            }
            self.kind = Some(kind.to_owned());
            return Ok(());
        }
        self.sample(line)
    }

    fn sample(&mut self, line: &str) -> Result<(), String> {
        let kind = self.kind.clone().ok_or("no type before it")?;
        let (series, value) = line.rsplit_once(' ').ok_or("no value")?;
        let value: f64 = value.parse().map_err(|_| "not a number")?;
        if value.is_nan() || value < 0.0 {
            return Err("nothing that could be counted".to_owned());
        }
        let (name, labels) = match series.split_once('{') {
            None => (series, vec![]),
            Some((name, rest)) => (name, labels(rest)?),
        };
        let suffix = name.strip_prefix(self.name.as_str()).ok_or("a line of another family")?;
        let without_le: Vec<_> = labels.iter().filter(|(name, _)| name != "le").collect();
        let whose = format!("{without_le:?}");
        match (kind.as_str(), suffix) {
            ("counter" | "gauge", "") if without_le.len() == labels.len() => {}
            ("histogram", "_bucket") => {
                let bound = labels.iter().find(|(name, _)| name == "le").ok_or("no bound")?;
                let bound: f64 = bound.1.parse().map_err(|_| "not a bound")?;
                if let Some((before, count)) = self.buckets.insert(whose, (bound, value))
                    && (before >= bound || count > value)
                {
                    return Err("buckets that do not grow".to_owned());
                }
            }
            ("histogram", "_sum") if without_le.len() == labels.len() => _ = self.sums.insert(whose),
            ("histogram", "_count") if without_le.len() == labels.len() => {
                _ = self.counts.insert(whose, value)
            }
            _ => return Err("no line of such a family".to_owned()),
        }
        if self.series.insert(series.to_owned(), value).is_some() {
            return Err("the series was there before".to_owned());
        }
        self.samples += 1;
        Ok(())
    }

    fn end_family(&mut self) -> Result<(), String> {
        if !self.name.is_empty() && self.samples == 0 {
            return Err(format!("{} has no line", self.name));
        }
        let (buckets, counts) = (std::mem::take(&mut self.buckets), std::mem::take(&mut self.counts));
        let sums = std::mem::take(&mut self.sums);
        if buckets.len() != counts.len() || buckets.len() != sums.len() {
            return Err(format!("{} lacks a sum or a count", self.name));
        }
        for (whose, (bound, count)) in buckets {
            if bound != f64::INFINITY || counts.get(&whose) != Some(&count) || !sums.contains(&whose) {
                return Err(format!("{} does not count all", self.name));
            }
        }
        Ok(())
    }
}

/// What is between `{` and the end, which is `}`.
fn labels(mut rest: &str) -> Result<Vec<(String, String)>, String> {
    let mut labels: Vec<(String, String)> = vec![];
    loop {
        let (name, after) = rest.split_once("=\"").ok_or("no label")?;
        if !is_name(name, "") || labels.iter().any(|(other, _)| other == name) {
            return Err("not a label's name".to_owned());
        }
        let mut value = String::new();
        let mut chars = after.chars();
        loop {
            match chars.next().ok_or("a value without an end")? {
                '"' => break,
                '\\' => match chars.next() {
                    Some('n') => value.push('\n'),
                    Some(c @ ('\\' | '"')) => value.push(c),
                    _ => return Err("an escape that is none".to_owned()),
                },
                c => value.push(c),
            }
        }
        labels.push((name.to_owned(), value));
        match chars.as_str() {
            "}" => return Ok(labels),
            more => rest = more.strip_prefix(',').ok_or("no comma")?,
        }
    }
}

fn is_name(name: &str, besides: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || besides.contains(c);
    name.starts_with(|c: char| fits(c) && !c.is_ascii_digit()) && name.chars().all(fits)
}

#[test]
fn nothing_else_is_taken() {
    let head = "# HELP a_total A thing.\n# TYPE a_total counter\n";
    let gauge = "# HELP b B.\n# TYPE b gauge\n";
    let buckets = "# HELP h H.\n# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\n";
    for good in [
        format!("{head}a_total 1\n"),
        format!("{head}a_total{{x=\"y\",z=\"\\\\\\\"\\n\"}} 1.5\n{gauge}b 0\n"),
        format!("{buckets}h_sum 3.5\nh_count 2\n"),
    ] {
        assert!(read(&good).is_ok(), "{good}: {:?}", read(&good));
    }
    for bad in [
        String::new(),
        format!("{head}a_total 1"),
        "a_total 1\n".to_owned(),
        head.to_owned(),
        format!("{head}{head}a_total 1\n"),
        format!("{head}a_total 1\na_total 1\n"),
        format!("{head}a_total 1\n{gauge}b 1\na_total{{x=\"y\"}} 1\n"),
        format!("{head}a_total 1\n{gauge}b 1\n{head}a_total{{x=\"y\"}} 1\n"),
        format!("{head}b 1\n"),
        format!("{head}a_total one\n"),
        format!("{head}a_total -1\n"),
        format!("{head}a_total{{x=\"y}} 1\n"),
        format!("{head}a_total{{x=\"\\y\"}} 1\n"),
        format!("{head}a_total{{x=\"y\",x=\"z\"}} 1\n"),
        format!("{head}a_total{{1=\"y\"}} 1\n"),
        format!("{head}a_total{{x=\"y\"z=\"y\"}} 1\n"),
        format!("{head}\na_total 1\n"),
        "# HELP a A.\n# TYPE a counter\na 1\n".to_owned(),
        "# TYPE a_total counter\na_total 1\n".to_owned(),
        buckets.to_owned(),
        format!("{buckets}h_sum 3.5\nh_count 3\n"),
        format!("{}h_sum 3\nh_count 1\n", buckets.replace("\"+Inf\"} 2", "\"2\"} 2")),
        format!("{}h_sum 3\nh_count 0\n", buckets.replace("\"+Inf\"} 2", "\"+Inf\"} 0")),
    ] {
        assert!(read(&bad).is_err(), "{bad}");
    }
}
