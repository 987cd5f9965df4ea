//! The crate's own random numbers: the same on every machine, whatever the number of threads.

use candle_recurrent_kernel::logarithm;
use rayon::prelude::*;

/// A stream of random numbers (SplitMix64, Steele, Lea and Flood 2014): one 64-bit state, one multiply-xorshift a
/// draw, integer arithmetic only.
#[derive(Clone, Debug)]
pub struct Stream(u64);

/// By how much the state moves with a draw.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
/// Numbers that one thread draws at a time.
const DRAWN: usize = 1 << 14;
/// Tries for normal numbers that one thread makes at a time.
const TRIES: usize = 1 << 12;

/// The number that is drawn in a state.
#[inline(always)]
fn mixed(state: u64) -> u64 {
    let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Draws from a state on, in a loop of which the compiler makes vectors.
struct Choices<'a> {
    state: u64,
    limit: u64,
    choices: [f32; 2],
    drawn: &'a mut [f32],
}

impl pulp::NullaryFnOnce for Choices<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { mut state, limit, choices, drawn } = self;
        for drawn in drawn {
            state = state.wrapping_add(STEP);
            *drawn = if mixed(state) >> 11 < limit { choices[1] } else { choices[0] };
        }
    }
}

/// What so many tries for normal numbers from a state on give, with vectors: the tries first, then what has come of them.
struct Normals<'a> {
    state: u64,
    normals: &'a mut Vec<f64>,
}

impl pulp::NullaryFnOnce for Normals<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { mut state, normals } = self;
        let (mut xs, mut squares) = ([0.0f64; TRIES], [0.0f64; TRIES]);
        for (x, square) in xs.iter_mut().zip(&mut squares) {
            *x = 2.0 * share(mixed(state.wrapping_add(STEP))) - 1.0;
            state = state.wrapping_add(STEP).wrapping_add(STEP);
            let y = 2.0 * share(mixed(state)) - 1.0;
            *square = *x * *x + y * y;
        }
        // About every fifth pair gives nothing, which one is hard to foresee.
        let mut count = 0;
        for at in 0..TRIES {
            let (x, square) = (xs[at], squares[at]);
            (xs[count], squares[count]) = (x, square);
            count += usize::from((square > 0.0) & (square < 1.0));
        }
        normals.resize(count, 0.0);
        for ((normal, &x), &square) in normals.iter_mut().zip(&xs[..count]).zip(&squares[..count]) {
            *normal = x * (-2.0 * logarithm(square) / square).sqrt();
        }
    }
}

/// The number in [0, 1) of 64 random bits.
#[inline(always)]
fn share(bits: u64) -> f64 {
    (bits >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
}

impl Stream {
    /// The stream of `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The stream of `seed` that belongs to `name`: streams of different names are independent, so that adding a
    /// variable to a model changes no other variable's values.
    pub fn named(seed: u64, name: &str) -> Self {
        // FNV-1a, then one round of mixing with the seed.
        let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        Self(Self(hash ^ Self(seed).next_u64()).next_u64())
    }

    /// The next 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        mixed(self.0)
    }

    /// `count` draws of [`uniform`](Self::uniform): the second choice where it is below `rate`, else the first.
    pub fn choices(&mut self, rate: f64, choices: [f32; 2], count: usize) -> Vec<f32> {
        // The state moves by the same step with each draw, so that a part can be drawn by itself.
        let start = self.0;
        self.0 = start.wrapping_add(STEP.wrapping_mul(count as u64));
        // A whole number is below the rate's share of 2⁵³ where it is below the next whole number.
        let limit = (rate * (1u64 << 53) as f64).ceil() as u64;
        let mut drawn = vec![0.0; count];
        let part = |(at, drawn): (usize, &mut [f32])| {
            let state = start.wrapping_add(STEP.wrapping_mul((at * DRAWN) as u64));
            pulp::Arch::new().dispatch(Choices { state, limit, choices, drawn });
        };
        drawn.par_chunks_mut(DRAWN).enumerate().for_each(part);
        drawn
    }

    /// A number in [0, 1), a multiple of 2⁻⁵³.
    pub fn uniform(&mut self) -> f64 {
        share(self.next_u64())
    }

    /// An integer in 0..`bound`, without bias (Lemire 2019). `bound` must not be 0.
    pub fn below(&mut self, bound: u32) -> u32 {
        let threshold = bound.wrapping_neg() % bound;
        loop {
            let product = (self.next_u64() >> 32) * u64::from(bound);
            if product as u32 >= threshold {
                return (product >> 32) as u32;
            }
        }
    }

    /// A standard normal number (Marsaglia's polar method), with `libm`'s logarithm so that it is the same everywhere.
    pub fn normal(&mut self) -> f64 {
        loop {
            let (x, y) = (2.0 * self.uniform() - 1.0, 2.0 * self.uniform() - 1.0);
            let s = x * x + y * y;
            if s > 0.0 && s < 1.0 {
                return x * (-2.0 * libm::log(s) / s).sqrt();
            }
        }
    }

    /// What `of` makes of `count` draws of [`normal`](Self::normal).
    pub fn normals(&mut self, count: usize, of: impl Fn(f64) -> f32 + Sync) -> Vec<f32> {
        // What a try gives depends on its place alone, so that threads try side by side, and what they find follows in order.
        let mut drawn = Vec::with_capacity(count);
        while drawn.len() < count {
            let start = self.clone();
            let from = |part: usize| Self(start.0.wrapping_add(STEP.wrapping_mul((part * 2 * TRIES) as u64)));
            let missing = count - drawn.len();
            let found: Vec<Vec<f32>> = (0..(missing + missing * 2 / 7).div_ceil(TRIES))
                .into_par_iter()
                .map(|part| {
                    let mut normals = vec![];
                    pulp::Arch::new().dispatch(Normals { state: from(part).0, normals: &mut normals });
                    normals.into_iter().map(&of).collect()
                })
                .collect();
            for (part, found) in found.into_iter().enumerate() {
                let missing = count - drawn.len();
                *self = from(part + 1);
                if missing <= found.len() {
                    // The stream goes on behind the last number that is taken.
                    drawn.extend_from_slice(&found[..missing]);
                    *self = from(part);
                    (0..missing).for_each(|_| {
                        self.normal();
                    });
                    break;
                }
                drawn.extend(found);
            }
        }
        drawn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As one after another, and the stream goes on where it would.
    #[test]
    fn normal_numbers_are_drawn_side_by_side() {
        for count in [0, 1, 7, 3000, TRIES, 50_000] {
            let mut alone = Stream::named(count as u64, "noise");
            let mut together = alone.clone();
            let expected: Vec<f32> = (0..count).map(|_| (alone.normal() * 0.3) as f32).collect();
            assert_eq!(together.normals(count, |normal| (normal * 0.3) as f32), expected);
            assert_eq!(together.next_u64(), alone.next_u64(), "after {count}");
        }
    }
}
