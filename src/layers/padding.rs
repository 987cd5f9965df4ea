//! What padding is to a layer: whether masked steps at the ends of a sequence can be left out of a batch.

/// What a layer makes of steps at the beginning and the end of its sequences that the mask leaves out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PaddingRule {
    /// They change other steps, or what comes of them all.
    #[default]
    Matters,
    /// Each step is by itself.
    Passed,
    /// Each step is by itself, and something is drawn for it in training.
    Drawn,
    /// They are skipped: what comes out at them hangs on the other steps alone, and is the same at all of one end.
    Skipped,
    /// The largest of all steps comes out: how many of them are alike does not matter.
    Largest,
}
