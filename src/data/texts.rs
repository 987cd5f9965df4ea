//! Reviews as text, and their way to token ids.

use rayon::prelude::*;

use super::dataset::{Dataset, check_table};
use crate::Result;
use crate::text::{Padding, Tokenizer, Vocabulary};

/// Reviews with their labels.
#[derive(Clone, Debug, Default)]
pub struct Texts {
    pub texts: Vec<String>,
    pub labels: Vec<u8>,
}

impl Texts {
    /// Keras's order: the positive reviews before the negative ones, otherwise as they are.
    #[cfg(feature = "parquet")]
    pub fn positive_first(self) -> Self {
        let mut pairs: Vec<_> = self.texts.into_iter().zip(self.labels).collect();
        pairs.sort_by_key(|&(_, label)| std::cmp::Reverse(label));
        let (texts, labels) = pairs.into_iter().unzip();
        Self { texts, labels }
    }

    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// The data set of the reviews taken in `order`. Words that `known` does not hold are left out.
    pub fn encode(
        &self,
        order: &[u32],
        tokenizer: &Tokenizer,
        known: &Vocabulary,
        max_len: usize,
        padding: Padding,
    ) -> Result<Dataset> {
        check_table(order.len(), max_len)?;
        let mut ids = vec![0; order.len() * max_len];
        ids.par_chunks_mut(max_len.max(1)).zip(order).try_for_each(|(out, &row)| {
            let text = &self.texts[row as usize];
            let row = tokenizer.encode_known(text, |word| known.rank(word).is_some())?;
            padding.place(&row, out);
            Ok::<_, crate::Error>(())
        })?;
        let labels = order.iter().map(|&row| self.labels[row as usize]).collect();
        Dataset::new(ids, labels, max_len)
    }
}
