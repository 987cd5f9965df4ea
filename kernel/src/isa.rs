//! Which vector instructions this machine has, found once at run time.

use pulp::{Scalar128b, Simd, WithSimd};
use std::sync::OnceLock;

/// How to run a kernel. [`instruction_set`] names it; the environment variable `CANDLE_RECURRENT_SIMD` (`portable`
/// or `avx2`) asks for less than the best, for reports of bugs.
#[derive(Clone, Copy)]
enum Isa {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2(pulp::x86::V3),
    #[cfg(target_arch = "x86_64")]
    Avx512(pulp::x86::V4),
    #[cfg(target_arch = "aarch64")]
    Neon(pulp::aarch64::Neon),
}

fn isa() -> Isa {
    static ISA: OnceLock<Isa> = OnceLock::new();
    *ISA.get_or_init(|| best(std::env::var("CANDLE_RECURRENT_SIMD").ok().as_deref()))
}

#[cfg(target_arch = "x86_64")]
fn best(asked: Option<&str>) -> Isa {
    let avx512 = pulp::x86::V4::try_new().filter(|_| asked != Some("avx2"));
    match (avx512, pulp::x86::V3::try_new()) {
        _ if asked == Some("portable") => Isa::Portable,
        (Some(simd), _) => Isa::Avx512(simd),
        (None, Some(simd)) => Isa::Avx2(simd),
        (None, None) => Isa::Portable,
    }
}

#[cfg(target_arch = "aarch64")]
fn best(asked: Option<&str>) -> Isa {
    match pulp::aarch64::Neon::try_new() {
        Some(simd) if asked != Some("portable") => Isa::Neon(simd),
        _ => Isa::Portable,
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn best(_: Option<&str>) -> Isa {
    Isa::Portable
}

/// Runs `op` with the instructions chosen.
pub(crate) fn dispatch<Op: WithSimd>(op: Op) -> Op::Output {
    match isa() {
        Isa::Portable => outline(Scalar128b, op),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2(simd) => outline(simd, op),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512(simd) => outline(simd, op),
        #[cfg(target_arch = "aarch64")]
        Isa::Neon(simd) => outline(simd, op),
    }
}

/// Runs `op` as a function of its own, compiled once for each instruction set, wherever it is called from.
#[inline(never)]
pub(crate) fn outline<S: Simd, Op: WithSimd>(simd: S, op: Op) -> Op::Output {
    simd.vectorize(op)
}

/// The same for a loop over so many units: eight or fewer would leave half of a vector of sixteen empty.
pub(crate) fn dispatch_for<Op: WithSimd>(units: usize, op: Op) -> Op::Output {
    match narrower(units) {
        true => narrow(op),
        false => dispatch(op),
    }
}

#[cfg(target_arch = "x86_64")]
fn narrow<Op: WithSimd>(op: Op) -> Op::Output {
    match pulp::x86::V3::try_new() {
        Some(simd) => outline(simd, op),
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
pub(crate) fn lanes_for(units: usize) -> usize {
    dispatch_for(units, Lanes)
}

/// The name of the instruction set in use: `portable`, `avx2`, `avx512` or `neon`.
pub fn instruction_set() -> &'static str {
    match isa() {
        Isa::Portable => "portable",
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2(_) => "avx2",
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512(_) => "avx512",
        #[cfg(target_arch = "aarch64")]
        Isa::Neon(_) => "neon",
    }
}
