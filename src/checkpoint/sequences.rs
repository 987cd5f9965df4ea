//! A model made a classifier of sequences of numbers.

use super::Config;
use super::series::take_windows;
use crate::data::Targets;
use crate::data::series::{BEFORE, SequenceConfig};
use crate::layers::MaskingConfig;
use crate::model::{Class, LayerConfig, ModelConfig, TensorRef};
use crate::{Error, Result};

/// The name of the layer that masks what stands before a short sequence.
const MASK: &str = "before";

impl Config {
    /// Makes the model take sequences of numbers and tell these classes apart: an Embedding at its beginning gives way to the
    /// numbers, and the last Dense gets the units and the activation that the classes take. Where samples may be shorter than
    /// they have steps, a Masking layer hides what stands before them.
    ///
    /// # Errors
    /// As [`fit_head`](Config::fit_head), and where the model's layers do not take such sequences.
    pub fn fit_sequences(
        &mut self,
        sequences: SequenceConfig,
        classes: &[String],
        padded: bool,
    ) -> Result<()> {
        sequences.check()?;
        drop_mask(&mut self.model);
        take_windows(&mut self.model, sequences.steps, sequences.features.len())?;
        if padded {
            put_mask(&mut self.model)?;
        }
        self.recipe.max_len = sequences.steps;
        (self.recipe.group_by_length, self.command) = (false, None);
        self.recipe.tokenizer = None;
        self.fit_head(&Targets::Classes(classes.to_vec()))?;
        (self.series, self.sequences) = (None, Some(sequences));
        Ok(())
    }
}

/// Takes the layer away that an older run has put in.
fn drop_mask(model: &mut ModelConfig) {
    let is_mask = |layer: &LayerConfig| layer.name == MASK && matches!(layer.class, Class::Masking(_));
    let Some(at) = model.layers.iter().position(is_mask) else { return };
    let layer = model.layers.remove(at);
    let before = layer.inbound_nodes.first().and_then(|node| node.first());
    for reference in model.layers.iter_mut().flat_map(|layer| layer.inbound_nodes.iter_mut().flatten()) {
        if let (true, Some(before)) = (reference.0 == MASK, before) {
            *reference = before.clone();
        }
    }
}

fn put_mask(model: &mut ModelConfig) -> Result<()> {
    if model.layers.iter().any(|layer| layer.name == MASK) {
        return Err(Error::layer(
            MASK,
            "has the name of the layer that masks short sequences; give it another",
        ));
    }
    let mut layer = LayerConfig::new(MASK, Class::Masking(MaskingConfig { mask_value: BEFORE }));
    let Some(TensorRef(input, ..)) = model.input_layers.first().cloned() else {
        model.layers.insert(1.min(model.layers.len()), layer);
        return Ok(());
    };
    for reference in model.layers.iter_mut().flat_map(|layer| layer.inbound_nodes.iter_mut().flatten()) {
        if reference.0 == input {
            *reference = TensorRef(MASK.into(), 0, 0);
        }
    }
    let at = model.layers.iter().position(|layer| layer.name == input).map_or(0, |at| at + 1);
    layer.inbound_nodes = vec![vec![TensorRef(input, 0, 0)]];
    model.layers.insert(at, layer);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::series::{Scaler, Scaling};
    use crate::zoo;

    #[test]
    fn every_model_of_the_zoo_becomes_a_classifier_of_sequences() -> Result<()> {
        let scaler = |column: &str| Scaler::fit(Scaling::None, column, &[0.0, 1.0]);
        let sequences = SequenceConfig {
            features: vec!["x".into(), "y".into()],
            label_column: "class".into(),
            group_column: "id".into(),
            steps: 7,
            scalers: vec![scaler("x"), scaler("y")],
            ..SequenceConfig::default()
        };
        let names = ["run", "sit", "walk"].map(String::from);
        for entry in zoo::entries() {
            let mut config = entry.config()?;
            config.fit_sequences(sequences.clone(), &names, true)?;
            config.check()?;
            let mut again = Config::from_json(&config.to_json()?, "config.json".as_ref())?;
            assert_eq!(again, config);
            assert_eq!(again.model.layers[1].name, MASK);
            again.fit_sequences(sequences.clone(), &names[..2], false)?;
            again.check()?;
            assert_ne!(again.model.layers[1].name, MASK);
        }
        Ok(())
    }
}
