//! The two hashes by which TensorFlow puts texts into buckets: FarmHash's 64-bit fingerprint
//! (`farmhashna::Hash64` of <https://github.com/google/farmhash>) and, where there is a key, SipHash-2-4.

use serde::{Deserialize, Serialize};
use std::hash::Hasher;

/// A key for the hash, by Keras's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a whole number or two")]
pub enum Salt {
    /// Both halves of the key.
    One(i64),
    /// Each half.
    Two([i64; 2]),
}

/// The bucket of a text, one of so many: that of `to_hash_bucket_fast`, or with a key of `to_hash_bucket_strong`.
pub(super) fn bucket(text: &str, salt: Option<Salt>, buckets: usize) -> i64 {
    let hash = match salt {
        None => fingerprint(text.as_bytes()),
        Some(salt) => {
            let [a, b] = match salt {
                Salt::One(key) => [key, key],
                Salt::Two(keys) => keys,
            };
            keyed(text.as_bytes(), a as u64, b as u64)
        }
    };
    (hash % (buckets.max(1) as u64)) as i64
}

#[expect(
    deprecated,
    reason = "it is SipHash-2-4, which has not changed; only as a hash of maps it was given up"
)]
fn keyed(bytes: &[u8], a: u64, b: u64) -> u64 {
    let mut hasher = std::hash::SipHasher::new_with_keys(a, b);
    hasher.write(bytes);
    hasher.finish()
}

const K0: u64 = 0xc3a5_c85c_97cb_3127;
const K1: u64 = 0xb492_b66f_be98_f273;
const K2: u64 = 0x9ae1_6a3b_2f90_404f;

/// Eight bytes from `at` on, the low one first.
fn fetch(bytes: &[u8], at: usize) -> u64 {
    let eight = bytes.get(at..at + 8).and_then(|eight| eight.try_into().ok());
    u64::from_le_bytes(eight.unwrap_or_default())
}

fn fetch32(bytes: &[u8], at: usize) -> u64 {
    let four = bytes.get(at..at + 4).and_then(|four| four.try_into().ok());
    u64::from(u32::from_le_bytes(four.unwrap_or_default()))
}

fn shift_mix(value: u64) -> u64 {
    value ^ (value >> 47)
}

fn mix(u: u64, v: u64, mul: u64) -> u64 {
    let a = shift_mix((u ^ v).wrapping_mul(mul));
    shift_mix((v ^ a).wrapping_mul(mul)).wrapping_mul(mul)
}

/// Sums and rotations of a long text's 32 bytes from `at` on.
fn weak(bytes: &[u8], at: usize, a: u64, b: u64) -> (u64, u64) {
    let [w, x, y, z] = [0, 8, 16, 24].map(|offset| fetch(bytes, at + offset));
    let c = a.wrapping_add(w);
    let b = b.wrapping_add(c).wrapping_add(z).rotate_right(21);
    let a = c.wrapping_add(x).wrapping_add(y);
    (a.wrapping_add(z), b.wrapping_add(a.rotate_right(44)).wrapping_add(c))
}

/// Sums modulo 2⁶⁴.
fn sum<const N: usize>(values: [u64; N]) -> u64 {
    values.into_iter().fold(0, u64::wrapping_add)
}

fn short(bytes: &[u8]) -> u64 {
    let length = bytes.len();
    let mul = K2.wrapping_add(length as u64 * 2);
    match (length, bytes) {
        (8.., _) => {
            let (a, b) = (fetch(bytes, 0).wrapping_add(K2), fetch(bytes, length - 8));
            let c = b.rotate_right(37).wrapping_mul(mul).wrapping_add(a);
            let d = a.rotate_right(25).wrapping_add(b).wrapping_mul(mul);
            mix(c, d, mul)
        }
        (4.., _) => {
            mix((length as u64).wrapping_add(fetch32(bytes, 0) << 3), fetch32(bytes, length - 4), mul)
        }
        (_, [first, .., last] | [first @ last]) => {
            let middle = bytes.get(length >> 1).copied().unwrap_or(*first);
            let y = u64::from(*first).wrapping_add(u64::from(middle) << 8);
            let z = (length as u64).wrapping_add(u64::from(*last) << 2);
            shift_mix(y.wrapping_mul(K2) ^ z.wrapping_mul(K0)).wrapping_mul(K2)
        }
        (_, []) => K2,
    }
}

/// 17 to 32 bytes; of longer ones the first step.
fn middle(bytes: &[u8]) -> (u64, u64, u64) {
    let (length, mul) = (bytes.len(), K2.wrapping_add(bytes.len() as u64 * 2));
    let first = if length > 32 { K2 } else { K1 };
    let (a, b) = (fetch(bytes, 0).wrapping_mul(first), fetch(bytes, 8));
    let c = fetch(bytes, length - 8).wrapping_mul(mul);
    let d = fetch(bytes, length - 16).wrapping_mul(K2);
    let y = sum([a.wrapping_add(b).rotate_right(43), c.rotate_right(30), d]);
    (a, y, mix(y, sum([a, b.wrapping_add(K2).rotate_right(18), c]), mul))
}

fn fingerprint(bytes: &[u8]) -> u64 {
    let length = bytes.len();
    let mul = K2.wrapping_add(length as u64 * 2);
    match length {
        0..=16 => short(bytes),
        17..=32 => middle(bytes).2,
        33..=64 => {
            let (a, y, z) = middle(bytes);
            let (e, f) = (fetch(bytes, 16).wrapping_mul(mul), fetch(bytes, 24));
            let g = y.wrapping_add(fetch(bytes, length - 32)).wrapping_mul(mul);
            let h = z.wrapping_add(fetch(bytes, length - 24)).wrapping_mul(mul);
            let u = sum([e.wrapping_add(f).rotate_right(43), g.rotate_right(30), h]);
            mix(u, sum([e, f.wrapping_add(a).rotate_right(18), g]), mul)
        }
        _ => long(bytes),
    }
}

/// The state over a long text.
struct State {
    x: u64,
    y: u64,
    z: u64,
    v: (u64, u64),
    w: (u64, u64),
}

impl State {
    /// Takes 64 bytes; `nine` is 9 for the last ones and 1 for all others.
    fn step(&mut self, bytes: &[u8], at: usize, mul: u64, nine: u64) {
        let Self { x, y, z, v, w } = self;
        *x = sum([*x, *y, v.0, fetch(bytes, at + 8)]).rotate_right(37).wrapping_mul(mul);
        *y = sum([*y, v.1, fetch(bytes, at + 48)]).rotate_right(42).wrapping_mul(mul);
        *x ^= w.1.wrapping_mul(nine);
        *y = sum([*y, v.0.wrapping_mul(nine), fetch(bytes, at + 40)]);
        *z = z.wrapping_add(w.0).rotate_right(33).wrapping_mul(mul);
        *v = weak(bytes, at, v.1.wrapping_mul(mul), x.wrapping_add(w.0));
        *w = weak(bytes, at + 32, z.wrapping_add(w.1), y.wrapping_add(fetch(bytes, at + 16)));
        std::mem::swap(z, x);
    }
}

fn long(bytes: &[u8]) -> u64 {
    const SEED: u64 = 81;
    let rest = (bytes.len() - 1) % 64;
    let y = SEED.wrapping_mul(K1).wrapping_add(113);
    let z = shift_mix(y.wrapping_mul(K2).wrapping_add(113)).wrapping_mul(K2);
    let x = SEED.wrapping_mul(K2).wrapping_add(fetch(bytes, 0));
    let mut state = State { x, y, z, v: (0, 0), w: (0, 0) };
    for at in (0..bytes.len() - 1 - rest).step_by(64) {
        state.step(bytes, at, K1, 1);
    }
    let mul = K1.wrapping_add((state.z & 0xff) << 1);
    state.w.0 = state.w.0.wrapping_add(rest as u64);
    state.v.0 = state.v.0.wrapping_add(state.w.0);
    state.w.0 = state.w.0.wrapping_add(state.v.0);
    state.step(bytes, bytes.len() - 64, mul, 9);
    let State { x, y, z, v, w } = state;
    let u = sum([mix(v.0, w.0, mul), shift_mix(y).wrapping_mul(K0), z]);
    mix(u, mix(v.1, w.1, mul).wrapping_add(x), mul)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `tf.strings.to_hash_bucket_fast(["a" * n], 1_000_003)`, and `to_hash_bucket_strong` with the key [3, -7].
    #[test]
    fn texts_of_every_length_go_to_tensorflows_buckets() {
        let expected = [
            (0, 377723, 95972),
            (1, 291400, 53622),
            (3, 557646, 689026),
            (4, 689292, 645427),
            (7, 110607, 904488),
            (8, 628338, 153220),
            (16, 522207, 769565),
            (17, 216284, 296891),
            (32, 951431, 155024),
            (33, 20243, 34620),
            (64, 745537, 130021),
            (65, 177372, 813618),
            (127, 352575, 840185),
            (128, 169092, 757863),
            (129, 2666, 913036),
            (192, 900922, 169980),
            (200, 365703, 592673),
            (256, 628893, 122774),
            (300, 362671, 978677),
        ];
        for (length, fast, strong) in expected {
            let text = "a".repeat(length);
            assert_eq!(bucket(&text, None, 1_000_003), fast, "{length}");
            assert_eq!(bucket(&text, Some(Salt::Two([3, -7])), 1_000_003), strong, "{length}");
        }
        assert_eq!(bucket("정말", Some(Salt::One(5)), 1), 0);
    }
}
