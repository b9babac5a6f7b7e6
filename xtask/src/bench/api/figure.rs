//! What is measured, and what it shall be.

use octavia_testkit::LoadReport;
use serde_json::{Value, json};

use crate::bench::numbers::{median, spread};

/// What issue and documentation promise.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Bound {
    Below(f64),
    AtLeast(f64),
    /// Only told.
    None,
}

impl Bound {
    pub(super) fn holds(self, value: f64) -> bool {
        match self {
            Self::Below(most) => value < most,
            Self::AtLeast(least) => value >= least,
            Self::None => true,
        }
    }
}

impl std::fmt::Display for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Below(most) => write!(f, "< {most:.0}"),
            Self::AtLeast(least) => write!(f, "≥ {least:.0}"),
            Self::None => write!(f, "–"),
        }
    }
}

/// One line of the result: a value of each round.
#[derive(Debug)]
pub(super) struct Figure {
    pub(super) name: String,
    pub(super) unit: &'static str,
    pub(super) bound: Bound,
    pub(super) rounds: Vec<f64>,
    /// CPU time (user and system) of the server per request, in milliseconds.
    pub(super) cpu_ms: Vec<f64>,
}

impl Figure {
    pub(super) fn value(&self) -> f64 {
        median(&self.rounds)
    }

    pub(super) fn holds(&self) -> bool {
        self.bound.holds(self.value())
    }

    pub(super) fn cells(&self) -> Vec<String> {
        let (least, most) = spread(&self.rounds);
        let cpu = median(&self.cpu_ms);
        vec![
            format!("{}, {}", self.name, self.unit),
            number(self.value()),
            format!("{}–{}", number(least), number(most)),
            self.bound.to_string(),
            if cpu.is_nan() { "–".to_owned() } else { format!("{cpu:.2}") },
            if self.holds() { String::new() } else { "missed".to_owned() },
        ]
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "name": self.name,
            "unit": self.unit,
            "value": self.value(),
            "bound": self.bound.to_string(),
            "holds": self.holds(),
            "rounds": self.rounds,
            "cpu_ms_per_request": median(&self.cpu_ms),
        })
    }
}

pub(super) const HEADING: [&str; 6] = ["", "median", "by round", "target", "CPU ms/request", ""];

fn number(value: f64) -> String {
    if value.abs() < 100.0 { format!("{value:.1}") } else { format!("{value:.0}") }
}

/// What of a run becomes the value of a figure.
#[derive(Debug, Clone, Copy)]
pub(super) enum Take {
    /// Milliseconds.
    Quantile(f64),
    /// Requests per second.
    Rate,
}

impl Take {
    pub(super) fn of(self, report: &LoadReport) -> f64 {
        match self {
            Self::Quantile(q) => report.latency.quantile(q).as_secs_f64() * 1e3,
            #[expect(clippy::cast_precision_loss, reason = "a count of requests")]
            Self::Rate => report.ok as f64 / report.elapsed.as_secs_f64(),
        }
    }
}

/// Figures in the order they were first measured.
#[derive(Debug, Default)]
pub(super) struct Figures(pub(super) Vec<Figure>);

impl Figures {
    pub(super) fn add(
        &mut self,
        name: &str,
        unit: &'static str,
        bound: Bound,
        value: f64,
        cpu_ms: Option<f64>,
    ) {
        let figure = match self.0.iter_mut().position(|figure| figure.name == name && figure.unit == unit) {
            Some(at) => &mut self.0[at],
            None => {
                let figure = Figure { name: name.to_owned(), unit, bound, rounds: vec![], cpu_ms: vec![] };
                self.0.push(figure);
                self.0.last_mut().expect("one was pushed")
            }
        };
        figure.rounds.push(value);
        figure.cpu_ms.extend(cpu_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds() {
        for (bound, value, holds) in [
            (Bound::Below(12.0), 11.9, true),
            (Bound::Below(12.0), 12.0, false),
            (Bound::Below(12.0), f64::NAN, false),
            (Bound::AtLeast(800.0), 800.0, true),
            (Bound::AtLeast(800.0), 799.9, false),
            (Bound::None, f64::NAN, true),
        ] {
            assert_eq!(bound.holds(value), holds, "{bound} {value}");
        }
    }

    #[test]
    fn rounds_of_one_figure_are_one_line() {
        let mut figures = Figures::default();
        for value in [3.0, 1.0, 2.0] {
            figures.add("list", "ms", Bound::Below(2.5), value, None);
            figures.add("list", "requests/s", Bound::None, value, Some(1.0));
        }
        let lines: Vec<_> = figures.0.iter().map(Figure::cells).collect();
        assert_eq!(lines[0], ["list, ms", "2.0", "1.0–3.0", "< 2", "–", ""]);
        assert_eq!(lines[1][4], "1.00");
        assert_eq!(lines.len(), 2);
    }
}
