//! Padding that a whole batch has in common.

use crate::layers::{Flow, Values};
use candle_core::{DType, Device, Result, Tensor};

/// The ids without the columns of zeros at both ends, but for one at each: what comes out there may count, however often
/// it stands there. Ids on a device stay as they are, and so does what is masked already.
///
/// # Errors
/// Candle's own only.
pub(super) fn left_out(input: Flow) -> Result<Flow> {
    let (Values::Tensor(ids), None) = (&input.values, &input.mask) else { return Ok(input) };
    let (&[_, time], Device::Cpu) = (ids.dims(), ids.device()) else { return Ok(input) };
    let (before, behind) = zeros(ids, time)?;
    let (before, behind) = (before.saturating_sub(1), behind.saturating_sub(1));
    match before + behind {
        0 => Ok(input),
        _ => Ok(Flow::from(ids.narrow(1, before, time - before - behind)?.contiguous()?)),
    }
}

/// The columns of zeros at the beginning and at the end. Of zeros alone, all are at the beginning.
fn zeros(ids: &Tensor, time: usize) -> Result<(usize, usize)> {
    let ids = match ids.dtype() {
        DType::U32 => ids.flatten_all()?.to_vec1::<u32>()?,
        _ => ids.ne(0f64)?.to_dtype(DType::U32)?.flatten_all()?.to_vec1::<u32>()?,
    };
    let (mut before, mut behind) = (time, time);
    for row in ids.chunks_exact(time.max(1)) {
        before = row.iter().take(before).take_while(|id| **id == 0).count();
        behind = row.iter().rev().take(behind).take_while(|id| **id == 0).count();
    }
    Ok(if before == time { (time, 0) } else { (before, behind) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_column_of_padding_stays_at_each_end() -> Result<()> {
        type Rows<'a> = &'a [&'a [u32]];
        let cases: [(&[[u32; 6]], Rows); 5] = [
            (&[[0, 0, 0, 1, 2, 0], [0, 0, 3, 4, 0, 0]], &[&[0, 0, 1, 2, 0], &[0, 3, 4, 0, 0]]),
            (&[[0, 0, 0, 0, 0, 7]], &[&[0, 7]]),
            (&[[7, 0, 0, 0, 0, 0]], &[&[7, 0]]),
            (&[[1, 0, 0, 0, 0, 1]], &[&[1, 0, 0, 0, 0, 1]]),
            (&[[0; 6], [0; 6]], &[&[0], &[0]]),
        ];
        for (ids, expected) in cases {
            let flow = left_out(Flow::from(Tensor::from_vec(ids.concat(), (ids.len(), 6), &Device::Cpu)?))?;
            assert_eq!(flow.values.tensor()?.to_vec2::<u32>()?, expected);
        }
        Ok(())
    }
}
