//! Sizes along spatial axes, paddings, and the shapes that windows leave.

use serde::{Deserialize, Serialize};

/// A shape whose open axes are `None`.
pub(crate) type Dims = Vec<Option<usize>>;

/// One size an axis. In JSON a list, or one number for all axes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "OneOrMany", into = "Vec<usize>")]
pub struct Sizes<const N: usize>(pub [usize; N]);

#[derive(Deserialize)]
#[serde(untagged)]
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
                sizes.try_into().map(Self).map_err(|_| format!("{N} sizes are needed, given {count}"))
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
    pub(crate) fn check(&self, name: &str) -> Result<(), String> {
        // 2¹⁶ is far beyond any window, and products of it stay small.
        match self.0.iter().find(|size| !(1..=1 << 16).contains(*size)) {
            Some(size) => Err(format!("{name} must be between 1 and 65536, not {size}")),
            None => Ok(()),
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
    /// Padded on both sides (one more after than before where the number is odd), so that ⌈length / stride⌉ windows fit.
    Same,
    /// Padded before only: a window ends where its output stands. For Conv1D.
    Causal,
}

/// How a window moves along one axis.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
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
pub(crate) fn windows<const N: usize>(
    sizes: Sizes<N>,
    strides: Sizes<N>,
    dilations: Sizes<N>,
    padding: Padding,
) -> Vec<Window> {
    let along = sizes.0.into_iter().zip(strides.0).zip(dilations.0);
    along.map(|((size, stride), dilation)| Window { size, stride, dilation, padding }).collect()
}

/// The output's shape of windows over the axes of `input` (batch, …, channels).
pub(crate) fn window_shape(
    input: &[Option<usize>],
    windows: &[Window],
    channels: Option<usize>,
) -> Result<Dims, String> {
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

/// "needs an input of so many axes".
pub(crate) fn axes_needed(count: usize, input: &[Option<usize>]) -> String {
    format!("needs an input of {count} axes with the batch, given {} ({})", input.len(), show(input))
}

/// A shape as Keras prints it: `(None, 100, 16)`.
pub(crate) fn show(shape: &[Option<usize>]) -> String {
    let axes: Vec<String> =
        shape.iter().map(|axis| axis.map_or_else(|| "None".into(), |n| n.to_string())).collect();
    format!("({})", axes.join(", "))
}

/// A Keras axis, which may count from the end, as an index below `rank`.
pub(crate) fn axis_index(axis: i64, rank: usize) -> Result<usize, String> {
    let index = if axis < 0 { axis + rank as i64 } else { axis };
    usize::try_from(index)
        .ok()
        .filter(|&index| index < rank)
        .ok_or_else(|| format!("axis {axis} is beyond the input's {rank} axes"))
}

/// One axis, or several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Axes {
    /// One axis; below 0 it counts from the end.
    One(i64),
    /// Several.
    Many(Vec<i64>),
}

impl Axes {
    /// Indices below `rank`, in the order given.
    pub(crate) fn indices(&self, rank: usize) -> Result<Vec<usize>, String> {
        match self {
            Self::One(axis) => Ok(vec![axis_index(*axis, rank)?]),
            Self::Many(axes) => axes.iter().map(|&axis| axis_index(axis, rank)).collect(),
        }
    }
}
