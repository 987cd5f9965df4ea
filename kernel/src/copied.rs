//! Short rows, copied.

/// Copies a row, which is short as a rule: shorter than a call of the system's function pays for.
#[inline(always)]
pub fn copy(from: &[f32], into: &mut [f32]) {
    if from.len() >= 256 {
        return into.copy_from_slice(from);
    }
    let (wholes, rest) = from.as_chunks::<16>();
    let (into_wholes, into_rest) = into.as_chunks_mut::<16>();
    for (into, from) in into_wholes.iter_mut().zip(wholes) {
        *into = *from;
    }
    for (into, from) in into_rest.iter_mut().zip(rest) {
        *into = *from;
    }
}
