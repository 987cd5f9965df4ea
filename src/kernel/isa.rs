//! Which vector instructions this machine has, found once at run time.

use pulp::{Scalar256b, Simd, WithSimd};
use std::sync::OnceLock;

/// How to run a kernel. [`instruction_set`] names it; the environment variable `CANDLE_RECURRENT_SIMD` (`portable`
/// or `avx2`) asks for less than the best, for reports of bugs.
#[derive(Clone, Copy)]
enum Isa {
    Portable,
    Best(pulp::Arch),
    #[cfg(target_arch = "x86_64")]
    Avx2(pulp::x86::V3),
}

fn isa() -> Isa {
    static ISA: OnceLock<Isa> = OnceLock::new();
    *ISA.get_or_init(|| {
        let best = match pulp::Arch::new() {
            pulp::Arch::Scalar => Isa::Portable,
            arch => Isa::Best(arch),
        };
        match std::env::var("CANDLE_RECURRENT_SIMD").as_deref() {
            Ok("portable") => Isa::Portable,
            #[cfg(target_arch = "x86_64")]
            Ok("avx2") => pulp::x86::V3::try_new().map_or(Isa::Portable, Isa::Avx2),
            _ => best,
        }
    })
}

/// Runs `op` with the instructions chosen.
pub(super) fn dispatch<Op: WithSimd>(op: Op) -> Op::Output {
    match isa() {
        Isa::Portable => Simd::vectorize(Scalar256b, op),
        Isa::Best(arch) => arch.dispatch(op),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2(simd) => Simd::vectorize(simd, op),
    }
}

/// The same for a loop over so many units: eight or fewer would leave half of a vector of sixteen empty.
pub(super) fn dispatch_for<Op: WithSimd>(units: usize, op: Op) -> Op::Output {
    match narrower(units) {
        true => narrow(op),
        false => dispatch(op),
    }
}

#[cfg(target_arch = "x86_64")]
fn narrow<Op: WithSimd>(op: Op) -> Op::Output {
    match pulp::x86::V3::try_new() {
        Some(simd) => Simd::vectorize(simd, op),
        None => dispatch(op),
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn narrow<Op: WithSimd>(op: Op) -> Op::Output {
    dispatch(op)
}

fn narrower(units: usize) -> bool {
    units <= 8 && lanes() == 16
}

struct Lanes;

impl WithSimd for Lanes {
    type Output = usize;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> usize {
        S::F32_LANES
    }
}

/// Floats in a vector.
pub fn lanes() -> usize {
    dispatch(Lanes)
}

/// Floats in a vector of [`dispatch_for`].
pub(super) fn lanes_for(units: usize) -> usize {
    dispatch_for(units, Lanes)
}

/// The name of the instruction set in use: `portable`, `avx2`, `avx512` or `neon`.
pub fn instruction_set() -> &'static str {
    match (isa(), lanes()) {
        (Isa::Portable, _) => "portable",
        #[cfg(target_arch = "x86_64")]
        (Isa::Avx2(_), _) => "avx2",
        (Isa::Best(_), 16) => "avx512",
        (Isa::Best(_), 8) => "avx2",
        (Isa::Best(_), _) => "neon",
    }
}
