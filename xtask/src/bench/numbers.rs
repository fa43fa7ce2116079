//! Medians, targets, and whether they are met.

use std::fmt;

/// One measured number beside its target.
pub(crate) struct Verdict {
    what: String,
    measured: f64,
    unit: &'static str,
    target: Target,
    detail: String,
}

#[derive(Clone, Copy)]
pub(crate) enum Target {
    AtLeast(f64),
    AtMost(f64),
    /// Printed only.
    None,
}

impl Verdict {
    pub(crate) fn new(what: impl Into<String>, measured: f64, unit: &'static str, target: Target) -> Self {
        Verdict { what: what.into(), measured, unit, target, detail: String::new() }
    }

    /// Adds what the number was made from.
    pub(crate) fn from(mut self, detail: impl Into<String>) -> Self {
        self.detail = detail.into();
        self
    }

    pub(crate) fn is_missed(&self) -> bool {
        // A measurement that gave no number meets nothing.
        match self.target {
            Target::AtLeast(least) => self.measured.is_nan() || self.measured < least,
            Target::AtMost(most) => self.measured.is_nan() || self.measured > most,
            Target::None => false,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.target {
            Target::None => "    ",
            _ if self.is_missed() => "FAIL",
            _ => "PASS",
        };
        let measured = format!("{}{}", number(self.measured), self.unit);
        let target = match self.target {
            Target::AtLeast(least) => format!("at least {}{}", number(least), self.unit),
            Target::AtMost(most) => format!("at most {}{}", number(most), self.unit),
            Target::None => String::new(),
        };
        write!(f, "{verdict}  {:<58} {measured:>12}  {target:<16} {}", self.what, self.detail)
    }
}

fn number(number: f64) -> String {
    if number.abs() >= 1000.0 { format!("{number:.0}") } else { format!("{number:.2}") }
}

/// The middle one.
pub(crate) fn median(numbers: &[f64]) -> f64 {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => sorted[count / 2],
        count => (sorted[count / 2 - 1] + sorted[count / 2]) / 2.0,
    }
}

/// The median of the ratios of what was measured side by side.
pub(crate) fn median_ratio(upper: &[f64], lower: &[f64]) -> f64 {
    let ratios: Vec<f64> = upper.iter().zip(lower).map(|(upper, lower)| upper / lower).collect();
    median(&ratios)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(&[]).is_nan());
        assert_eq!(median_ratio(&[2.0, 9.0, 4.0], &[1.0, 3.0, 4.0]), 2.0);
    }

    #[test]
    fn targets() {
        let verdict = |measured, target| Verdict::new("rate", measured, "x", target);
        assert!(!verdict(0.8, Target::AtLeast(0.8)).is_missed());
        assert!(verdict(0.79, Target::AtLeast(0.8)).is_missed());
        assert!(verdict(1.06, Target::AtMost(1.05)).is_missed());
        assert!(verdict(f64::NAN, Target::AtMost(1.05)).is_missed());
        assert!(!verdict(9.0, Target::None).is_missed());
        assert!(verdict(0.5, Target::AtLeast(0.8)).to_string().starts_with("FAIL"));
    }
}
