//! NumPy's legacy `RandomState` (MT19937), as far as Keras's and scikit-learn's data preparation draw from it.

use rand_mt::Mt;

/// `numpy.random.RandomState(seed)`: the same numbers in the same order.
#[derive(Clone, Debug)]
pub struct RandomState(Mt);

impl RandomState {
    /// The generator of `seed`.
    pub fn new(seed: u32) -> Self {
        Self(Mt::new(seed))
    }

    /// The generator of `numpy.random.RandomState([…])`.
    pub fn from_key(key: &[u32]) -> Self {
        Self(Mt::new_with_key(key.iter().copied()))
    }

    /// A number in 0..=`max`: draws are masked to the next power of two and repeated while they are above `max`
    /// (`random_interval` in NumPy's `legacy-distributions.c`).
    fn interval(&mut self, max: u32) -> u32 {
        if max == 0 {
            return 0;
        }
        let mask = u32::MAX >> max.leading_zeros();
        loop {
            let value = self.0.next_u32() & mask;
            if value <= max {
                return value;
            }
        }
    }

    /// `RandomState.shuffle`: Fisher-Yates from the end. At most 2³² items are shuffled as NumPy does it.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = self.interval(u32::try_from(last).unwrap_or(u32::MAX));
            items.swap(last, other as usize);
        }
    }

    /// `RandomState.permutation(n)`: the numbers 0..`n`, shuffled.
    pub fn permutation(&mut self, n: u32) -> Vec<u32> {
        let mut items: Vec<u32> = (0..n).collect();
        self.shuffle(&mut items);
        items
    }
}

/// scikit-learn's `train_test_split(test_size=fraction, random_state=seed)` of `n` rows: the rows of the train part and
/// those of the test part, each in scikit-learn's order. The test part has ⌈`fraction` · n⌉ rows.
pub fn train_test_split(n: u32, fraction: f64, seed: u32) -> (Vec<u32>, Vec<u32>) {
    let mut test = RandomState::new(seed).permutation(n);
    let count = (fraction * f64::from(n)).ceil().clamp(0.0, f64::from(n)) as usize;
    let train = test.split_off(count);
    (train, test)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_numpys() {
        // numpy.random.RandomState([42, 0, 1]).permutation(10)
        assert_eq!(RandomState::from_key(&[42, 0, 1]).permutation(10), [5, 7, 0, 2, 3, 1, 6, 4, 9, 8]);
    }
}
