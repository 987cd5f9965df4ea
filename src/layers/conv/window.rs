//! Windows that move along axes: their sizes, what happens at the ends, and the shapes that they leave.

use crate::layers::shape::{Checked, Shape, axes_needed, check_numbers};
use candle_core::{D, Result as CandleResult, Tensor, bail};
use serde::{Deserialize, Serialize};

/// A size for each axis. In JSON a list, or one number for all axes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "OneOrMany", into = "Vec<usize>")]
pub struct Sizes<const N: usize>(pub [usize; N]);

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a whole number from 1, or a list of them")]
enum OneOrMany {
    One(usize),
    Many(Vec<usize>),
}

impl<const N: usize> TryFrom<OneOrMany> for Sizes<N> {
    type Error = String;

    fn try_from(sizes: OneOrMany) -> Result<Self, String> {
        match sizes {
            OneOrMany::One(size) => Ok(Self([size; N])),
            OneOrMany::Many(sizes) => {
                let count = sizes.len();
                let needed = if N == 1 { "one size is".into() } else { format!("{N} sizes are") };
                sizes.try_into().map(Self).map_err(|_| format!("{needed} needed, given {count}"))
            }
        }
    }
}

impl<const N: usize> From<Sizes<N>> for Vec<usize> {
    fn from(sizes: Sizes<N>) -> Self {
        sizes.0.to_vec()
    }
}

impl<const N: usize> Sizes<N> {
    /// The same size along every axis.
    pub const fn all(size: usize) -> Self {
        Self([size; N])
    }

    /// Says which argument is out of range, if it is.
    pub fn check(&self, name: &str) -> Checked<()> {
        // 2¹⁶ is far beyond any window, and products of it stay small.
        match self.0.iter().find(|size| !(1..=1 << 16).contains(*size)) {
            Some(size) => Err(format!("{name} must be between 1 and 65536, not {size}")),
            None => Ok(()),
        }
    }

    /// Says so if a window of these sizes has too many places, each of which is a tensor when it runs.
    pub fn check_places(&self, name: &str) -> Checked<()> {
        match self.0.iter().try_fold(1usize, |places, &size| places.checked_mul(size)) {
            Some(places) if places <= 1 << 16 => Ok(()),
            _ => Err(format!("{name} {:?} is a window of more than 65536 places", self.0)),
        }
    }
}

/// What happens at the ends of an axis.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Padding {
    /// Only whole windows.
    #[default]
    Valid,
    /// Padded on both sides so that ⌈length / stride⌉ windows fit; an odd step is added after.
    Same,
    /// Padded before only: a window ends where its output stands. For Conv1D.
    Causal,
}

/// How a window moves along one axis.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    pub size: usize,
    pub stride: usize,
    pub dilation: usize,
    pub padding: Padding,
}

impl Window {
    /// The steps that a window spans.
    fn span(&self) -> usize {
        (self.size - 1) * self.dilation + 1
    }

    /// Positions of the window along `length` steps; none if it does not fit.
    pub fn count(&self, length: usize) -> usize {
        match self.padding {
            Padding::Valid if length < self.span() => 0,
            Padding::Valid => (length - self.span()) / self.stride + 1,
            Padding::Same | Padding::Causal => length.div_ceil(self.stride),
        }
    }

    /// Steps to add before and after.
    pub fn padding(&self, length: usize) -> (usize, usize) {
        match self.padding {
            Padding::Valid => (0, 0),
            Padding::Causal => (self.span() - 1, 0),
            Padding::Same => {
                let reach = (self.count(length).max(1) - 1) * self.stride + self.span();
                let total = reach.saturating_sub(length);
                (total / 2, total - total / 2)
            }
        }
    }
}

/// The windows of `N` axes.
pub fn windows<const N: usize>(
    sizes: Sizes<N>,
    strides: Sizes<N>,
    dilations: Sizes<N>,
    padding: Padding,
) -> Vec<Window> {
    let along = sizes.0.into_iter().zip(strides.0).zip(dilations.0);
    along.map(|((size, stride), dilation)| Window { size, stride, dilation, padding }).collect()
}

/// The output's shape of windows over the axes of `input` (batch, …, channels).
pub fn window_shape(input: &[Option<usize>], windows: &[Window], channels: Option<usize>) -> Checked<Shape> {
    let [batch, spatial @ .., _] = input else { return Err("an input without axes".into()) };
    if spatial.len() != windows.len() {
        return Err(axes_needed(windows.len() + 2, input));
    }
    let mut shape = vec![*batch];
    for (length, window) in spatial.iter().zip(windows) {
        let count = length.map(|length| window.count(length));
        if count == Some(0) {
            return Err(format!(
                "its window of {} steps does not fit the input's {} steps",
                window.span(),
                length.unwrap_or_default()
            ));
        }
        shape.push(count);
    }
    shape.push(channels);
    Ok(shape)
}

/// For each place in the window, in row-major order, what stands there at each position of the window: each
/// (batch, positions…, channels). The input is padded with `fill`.
pub fn taps(xs: &Tensor, windows: &[Window], fill: f64) -> CandleResult<Vec<Tensor>> {
    if xs.rank() != windows.len() + 2 {
        bail!("a window over {} axes needs {} axes, given {:?}", windows.len(), windows.len() + 2, xs.dims())
    }
    let counts = windows.iter().zip(&xs.dims()[1..]).map(|(window, &length)| window.count(length));
    let places = windows.iter().map(|window| window.size);
    let ends = [xs.dim(0)?, xs.dim(D::Minus1)?];
    check_numbers(&ends.into_iter().chain(counts).chain(places).collect::<Vec<_>>())?;
    let mut taps = vec![xs.clone()];
    for (axis, window) in windows.iter().enumerate() {
        let axis = axis + 1;
        let length = xs.dim(axis)?;
        let count = window.count(length);
        if count == 0 {
            bail!("a window of {} places does not fit {length} steps", window.size)
        }
        let mut next = Vec::with_capacity(taps.len() * window.size);
        for tap in &taps {
            let padded = pad(tap, axis, window.padding(length), fill)?;
            for place in 0..window.size {
                next.push(strided(&padded, axis, place * window.dilation, count, window.stride)?);
            }
        }
        taps = next;
    }
    Ok(taps)
}

/// `xs` with so many steps of `fill` before and after.
pub fn pad(xs: &Tensor, axis: usize, (before, after): (usize, usize), fill: f64) -> CandleResult<Tensor> {
    let block = |steps: usize| -> CandleResult<Option<Tensor>> {
        if steps == 0 {
            return Ok(None);
        }
        let mut shape = xs.dims().to_vec();
        shape[axis] = steps;
        let values = Tensor::full(fill as f32, shape, xs.device())?;
        values.to_dtype(xs.dtype()).map(Some)
    };
    match (block(before)?, block(after)?) {
        (None, None) => Ok(xs.clone()),
        (before, after) => {
            let parts: Vec<&Tensor> = before.iter().chain([xs]).chain(&after).collect();
            Tensor::cat(&parts, axis)
        }
    }
}

/// `count` steps from `start` on, `stride` apart.
fn strided(xs: &Tensor, axis: usize, start: usize, count: usize, stride: usize) -> CandleResult<Tensor> {
    if stride == 1 {
        return xs.narrow(axis, start, count);
    }
    let steps: Vec<u32> = (0..count).map(|step| (start + step * stride) as u32).collect();
    xs.contiguous()?.index_select(&Tensor::from_vec(steps, count, xs.device())?, axis)
}
