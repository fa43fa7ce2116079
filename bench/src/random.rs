//! Random numbers and the distributions of keys.

use std::str::FromStr;

/// A small, fast generator (xoshiro256++), seeded so that a run can be repeated.
pub(crate) struct Random {
    state: [u64; 4],
}

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        let mut seed = seed;
        Random { state: std::array::from_fn(|_| splitmix(&mut seed)) }
    }

    #[inline]
    pub(crate) fn next(&mut self) -> u64 {
        let [a, b, c, d] = &mut self.state;
        let result = a.wrapping_add(*d).rotate_left(23).wrapping_add(*a);
        let shifted = *b << 17;
        *c ^= *a;
        *d ^= *b;
        *b ^= *c;
        *a ^= *d;
        *c ^= shifted;
        *d = d.rotate_left(45);
        result
    }

    /// Below `bound`, evenly enough: the bias is under 2^-32 for the bounds used here.
    #[inline]
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    /// From 0 to 1.
    #[inline]
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// A normally distributed number made from a hash: G. Box and M. Muller's transform of its two halves.
pub(crate) fn normal(hash: u64) -> f64 {
    const STEP: f64 = 1.0 / (1u64 << 32) as f64;
    // From above 0 to 1, since 0 has no logarithm.
    let first = ((hash >> 32) as f64 + 1.0) * STEP;
    let second = (hash & u64::from(u32::MAX)) as f64 * STEP;
    (-2.0 * first.ln()).sqrt() * (std::f64::consts::TAU * second).cos()
}

/// Mixes a number; also a good hash of it.
pub(crate) fn mixed(number: u64) -> u64 {
    let mut state = number;
    splitmix(&mut state)
}

fn splitmix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// How keys are chosen.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Distribution {
    /// Every key as often as any other.
    Uniform,
    /// The key of rank n as often as 1/n^exponent.
    Zipf {
        /// Above 0.
        exponent: f64,
    },
}

impl FromStr for Distribution {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "uniform" {
            return Ok(Distribution::Uniform);
        }
        let inner = if text == "zipf" {
            Some("0.99")
        } else {
            text.strip_prefix("zipf(").and_then(|rest| rest.strip_suffix(')'))
        };
        inner
            .and_then(|number| number.trim().parse::<f64>().ok())
            .filter(|exponent| *exponent > 0.0 && *exponent <= 10.0)
            .map(|exponent| Distribution::Zipf { exponent })
            .ok_or_else(|| {
                format!("`{text}` is no distribution; write uniform or zipf(S) with S from 0 to 10")
            })
    }
}

/// Draws key numbers.
pub(crate) enum Chooser {
    Uniform { keys: u64 },
    Zipf { zipf: Zipf, keys: u64, multiplier: u64 },
}

impl Chooser {
    pub(crate) fn new(distribution: Distribution, keys: u64) -> Self {
        match distribution {
            Distribution::Uniform => Chooser::Uniform { keys },
            Distribution::Zipf { exponent } => {
                // Neighbouring ranks go far apart, so that hot keys are not neighbours in an ordered store.
                let mut multiplier = 0x9e37_79b9_7f4a_7c15 % keys;
                while gcd(multiplier, keys) != 1 {
                    multiplier = (multiplier + 1) % keys.max(2);
                }
                Chooser::Zipf { zipf: Zipf::new(keys, exponent), keys, multiplier }
            }
        }
    }

    #[inline]
    pub(crate) fn choose(&self, random: &mut Random) -> u64 {
        match self {
            Chooser::Uniform { keys } => random.below(*keys),
            Chooser::Zipf { zipf, keys, multiplier } => {
                let rank = zipf.rank(random) - 1;
                ((u128::from(rank) * u128::from(*multiplier)) % u128::from(*keys)) as u64
            }
        }
    }
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Zipf's distribution by rejection-inversion (W. Hörmann and G. Derflinger, 1996): constant time, any exponent.
pub(crate) struct Zipf {
    ranks: f64,
    exponent: f64,
    integral_first: f64,
    integral_last: f64,
    shortcut: f64,
}

impl Zipf {
    pub(crate) fn new(ranks: u64, exponent: f64) -> Self {
        let mut zipf =
            Zipf { ranks: ranks as f64, exponent, integral_first: 0.0, integral_last: 0.0, shortcut: 0.0 };
        zipf.integral_first = zipf.integral(1.5) - 1.0;
        zipf.integral_last = zipf.integral(zipf.ranks + 0.5);
        zipf.shortcut = 2.0 - zipf.integral_inverse(zipf.integral(2.5) - zipf.density(2.0));
        zipf
    }

    /// From 1 to the number of ranks.
    pub(crate) fn rank(&self, random: &mut Random) -> u64 {
        loop {
            let drawn = self.integral_last + random.unit() * (self.integral_first - self.integral_last);
            let position = self.integral_inverse(drawn);
            let rank = position.round().clamp(1.0, self.ranks);
            if rank - position <= self.shortcut || drawn >= self.integral(rank + 0.5) - self.density(rank) {
                return rank as u64;
            }
        }
    }

    fn density(&self, x: f64) -> f64 {
        (-self.exponent * x.ln()).exp()
    }

    fn integral(&self, x: f64) -> f64 {
        let log = x.ln();
        exp_minus_one_over((1.0 - self.exponent) * log) * log
    }

    fn integral_inverse(&self, x: f64) -> f64 {
        let scaled = (x * (1.0 - self.exponent)).max(-1.0);
        (log_one_plus_over(scaled) * x).exp()
    }
}

/// (e^x - 1) / x, also near 0.
fn exp_minus_one_over(x: f64) -> f64 {
    if x.abs() > 1e-8 { x.exp_m1() / x } else { 1.0 + x / 2.0 }
}

/// ln(1 + x) / x, also near 0.
fn log_one_plus_over(x: f64) -> f64 {
    if x.abs() > 1e-8 { x.ln_1p() / x } else { 1.0 - x / 2.0 }
}
