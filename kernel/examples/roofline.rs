//! What this machine can do at best, as JSON: multiplications and additions a second, and bytes read a second, by one thread
//! and by all of Rayon's.
//!
//! ```sh
//! cargo run --release -p candle-recurrent-kernel --example roofline
//! ```

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;
use std::hint::black_box;
use std::time::Instant;

/// Sums that are added up side by side: more than a core has multiplications in flight.
const SUMS: usize = 12;
/// Rounds of [`SUMS`] multiplications.
const ROUNDS: usize = 1 << 22;
/// Bytes of an array: beyond the nearest cache, beyond a core's own, beyond all.
const SIZES: [usize; 4] = [16 << 10, 512 << 10, 8 << 20, 256 << 20];
/// Bytes to be read altogether.
const READ: usize = 4 << 30;
/// The best of so many tries counts: others may use the machine.
const TRIES: usize = 7;

/// Fused multiply-adds in registers; how many lanes there are.
struct Multiply;

impl WithSimd for Multiply {
    type Output = usize;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> usize {
        let factor = black_box(simd.splat_f32s(0.999));
        let mut sums = [simd.splat_f32s(1.0); SUMS];
        for _ in 0..ROUNDS {
            for sum in &mut sums {
                *sum = simd.mul_add_f32s(*sum, factor, factor);
            }
        }
        black_box(sums);
        S::F32_LANES
    }
}

/// The sum of an array, read once.
struct Read<'a>(&'a [f32]);

impl WithSimd for Read<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let mut sums = [simd.splat_f32s(0.0); SUMS];
        for vectors in S::as_simd_f32s(self.0).0.chunks_exact(SUMS) {
            for (sum, &vector) in sums.iter_mut().zip(vectors) {
                *sum = simd.add_f32s(*sum, vector);
            }
        }
        black_box(sums);
    }
}

/// The fewest seconds that `work` takes on each of some threads at once.
fn seconds(threads: usize, work: impl Fn(usize) + Sync) -> f64 {
    let time = || {
        let start = Instant::now();
        (0..threads).into_par_iter().with_max_len(1).for_each(&work);
        start.elapsed().as_secs_f64()
    };
    (0..TRIES).map(|_| time()).fold(f64::INFINITY, f64::min)
}

fn main() {
    let arch = Arch::new();
    let lanes = arch.dispatch(Multiply);
    let all = rayon::current_num_threads();
    let multiply = |_| _ = black_box(arch.dispatch(Multiply));
    let mut lines = Vec::new();
    for threads in if all > 1 { vec![1, all] } else { vec![1] } {
        let flops = (2 * SUMS * ROUNDS * lanes * threads) as f64;
        let peak = flops / seconds(threads, multiply) / 1e9;
        let reads = SIZES.map(|size| {
            let arrays: Vec<Vec<f32>> = (0..threads).map(|_| vec![1.0; size / size_of::<f32>()]).collect();
            let times = (READ / TRIES / size).max(1);
            let work =
                |thread: usize| (0..times).for_each(|_| arch.dispatch(Read(black_box(&arrays[thread]))));
            let rate = (threads * times * size) as f64 / seconds(threads, work) / 1e9;
            format!("\"{}\": {rate:.1}", size >> 10)
        });
        lines.push(format!(
            "\"{threads}\": {{\"gflops\": {peak:.1}, \"read_gb_s_by_kib\": {{{}}}}}",
            reads.join(", ")
        ));
    }
    println!("{{\"lanes\": {lanes}, \"threads\": {{{}}}}}", lines.join(", "));
}
