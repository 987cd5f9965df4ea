//! An array of a file: its shape and values, and the few ways in which old layouts are rearranged.

/// Values in row-major order.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Array {
    pub shape: Vec<usize>,
    pub values: Vec<f32>,
}

impl Array {
    /// The parts of `count` equal parts of the last axis.
    pub fn split_last(&self, count: usize) -> Option<Vec<Self>> {
        let (&last, leading) = self.shape.split_last()?;
        if count == 0 || last % count != 0 {
            return None;
        }
        let width = last / count;
        let shape: Vec<usize> = leading.iter().copied().chain([width]).collect();
        let part = |index: usize| {
            let rows = self.values.chunks(last.max(1));
            let values = rows.flat_map(|row| row.iter().skip(index * width).take(width)).copied().collect();
            Self { shape: shape.clone(), values }
        };
        Some((0..count).map(part).collect())
    }

    /// Arrays that differ in their last axis at most, joined along it.
    pub fn concat_last(parts: &[Self]) -> Option<Self> {
        let (_, leading) = parts.first()?.shape.split_last()?;
        let mut last = 0;
        for part in parts {
            let (&width, others) = part.shape.split_last()?;
            if others != leading {
                return None;
            }
            last += width;
        }
        let rows: usize = leading.iter().product();
        let mut values = Vec::with_capacity(rows * last);
        for row in 0..rows {
            for part in parts {
                let width = *part.shape.last()?;
                values.extend_from_slice(part.values.get(row * width..(row + 1) * width)?);
            }
        }
        Some(Self { shape: leading.iter().copied().chain([last]).collect(), values })
    }

    /// The axes in another order: axis `i` of the result is axis `order[i]` of `self`.
    pub fn permute(&self, order: &[usize]) -> Option<Self> {
        if order.len() != self.shape.len() {
            return None;
        }
        let mut strides = vec![1; self.shape.len()];
        for axis in (1..self.shape.len()).rev() {
            strides[axis - 1] = strides[axis] * self.shape[axis];
        }
        let shape: Vec<usize> =
            order.iter().map(|&axis| self.shape.get(axis).copied()).collect::<Option<_>>()?;
        let steps: Vec<usize> = order.iter().map(|&axis| strides[axis]).collect();
        let mut values = Vec::with_capacity(self.values.len());
        let mut index = vec![0; shape.len()];
        for _ in 0..self.values.len() {
            let at: usize = index.iter().zip(&steps).map(|(i, step)| i * step).sum();
            values.push(*self.values.get(at)?);
            for axis in (0..shape.len()).rev() {
                index[axis] += 1;
                if index[axis] < shape[axis] {
                    break;
                }
                index[axis] = 0;
            }
        }
        Some(Self { shape, values })
    }

    /// Another shape of the same number of values.
    pub fn reshape(self, shape: Vec<usize>) -> Option<Self> {
        (shape.iter().product::<usize>() == self.values.len()).then_some(Self { shape, values: self.values })
    }

    /// All axes but the last two reversed: what turns a convolution's kernel into a correlation's.
    pub fn flip_spatial(&self) -> Self {
        let spatial = self.shape.len().saturating_sub(2);
        let plane: usize = self.shape.iter().skip(spatial).product();
        let mut values = Vec::with_capacity(self.values.len());
        // Reversing every spatial axis reverses the order of the planes.
        for plane in self.values.chunks(plane.max(1)).rev() {
            values.extend_from_slice(plane);
        }
        Self { shape: self.shape.clone(), values }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(shape: &[usize]) -> Array {
        let values = (0..shape.iter().product::<usize>()).map(|i| i as f32).collect();
        Array { shape: shape.to_vec(), values }
    }

    #[test]
    fn parts_of_the_last_axis_come_apart_and_together() {
        let array = count(&[2, 6]);
        let parts = array.split_last(3).unwrap();
        assert_eq!(parts[1], Array { shape: vec![2, 2], values: vec![2., 3., 8., 9.] });
        assert_eq!(Array::concat_last(&parts).unwrap(), array);
        assert_eq!(array.split_last(4), None);
        assert_eq!(Array::concat_last(&[count(&[2, 1]), count(&[3, 1])]), None);
    }

    #[test]
    fn axes_change_places() {
        assert_eq!(count(&[2, 3]).permute(&[1, 0]).unwrap().values, [0., 3., 1., 4., 2., 5.]);
        let moved = count(&[2, 3, 4]).permute(&[2, 0, 1]).unwrap();
        assert_eq!(moved.shape, [4, 2, 3]);
        assert_eq!(moved.values[..4], [0., 4., 8., 12.]);
    }

    #[test]
    fn kernels_are_turned_round() {
        assert_eq!(count(&[3, 1, 1]).flip_spatial().values, [2., 1., 0.]);
        assert_eq!(count(&[2, 2, 1, 1]).flip_spatial().values, [3., 2., 1., 0.]);
    }
}
