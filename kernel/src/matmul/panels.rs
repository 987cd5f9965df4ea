//! How columns are cut into panels of a few vectors.

/// Sums that stay in registers: what is left is for a row of the panel and the float it is multiplied with.
pub(super) const fn sums(lanes: usize) -> usize {
    match lanes {
        16 => 24,
        4 if cfg!(target_arch = "aarch64") => 24,
        _ => 12,
    }
}

/// Vectors of a panel, as many as a tile of several rows has registers for.
pub(super) const WIDTH: usize = 3;
/// The same for one or two rows: more sums side by side.
pub(super) const WIDE: usize = 8;

/// The vectors of some columns, in panels that are as wide as each other, or one vector wider.
#[derive(Clone, Copy)]
pub(super) struct Panels {
    pub lanes: usize,
    pub vectors: usize,
    pub count: usize,
}

impl Panels {
    pub(super) fn of(columns: usize, lanes: usize, width: usize) -> Self {
        let vectors = columns.div_ceil(lanes);
        Self { lanes, vectors, count: vectors.div_ceil(width) }
    }

    /// The first vector of a panel, and how many it has.
    pub(super) fn at(&self, panel: usize) -> (usize, usize) {
        let (width, wider) = (self.vectors / self.count, self.vectors % self.count);
        (panel * width + panel.min(wider), width + usize::from(panel < wider))
    }
}
