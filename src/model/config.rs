//! What can be asked of a model as data.

use crate::json;
use crate::layers::{Activation, Class, Config, LayerConfig, ModelConfig, Named, PlacedLayer, Shape};
use crate::{Error, Result};
use std::collections::BTreeSet;

/// Full names and shapes of variables.
pub type NamedShapes = Vec<(String, Vec<usize>)>;

impl ModelConfig {
    /// From JSON.
    ///
    /// # Errors
    /// If it is no such JSON, a class, field or activation is unknown, or the layers do not fit each other.
    pub fn from_json(json: &str) -> Result<Self> {
        let config: Self = json::from_str(json).map_err(|what| Error::argument("model config", what))?;
        config.place()?;
        Ok(config)
    }

    /// Every variable's full name and shape, in Keras's order.
    ///
    /// # Errors
    /// If the layers do not fit each other.
    pub fn variables(&self) -> Result<NamedShapes> {
        Ok(self.layer_variables()?.into_iter().flat_map(|(_, variables)| variables).collect())
    }

    /// The same layer by layer, in the order of the layers; within a layer in the order of Keras's `layer.weights`,
    /// trained ones first.
    ///
    /// # Errors
    /// If the layers do not fit each other.
    pub fn layer_variables(&self) -> Result<Vec<(&LayerConfig, NamedShapes)>> {
        let named = |placed: PlacedLayer<'_, LayerConfig>| {
            let name = &placed.layer.name;
            placed.variables.into_iter().map(|own| (format!("{name}.{}", own.name), own.shape)).collect()
        };
        let layers = self.place()?.layers.into_iter();
        Ok(layers.map(|placed| (placed.layer, named(placed))).collect())
    }

    /// Names of the variables that an optimiser does not train, moving statistics and frozen ones; and of the frozen ones
    /// alone.
    pub(super) fn untrained(&self) -> Result<(BTreeSet<String>, BTreeSet<String>)> {
        let (mut untrained, mut frozen) = (BTreeSet::new(), BTreeSet::new());
        for placed in self.place()?.layers {
            for variable in placed.variables.iter().filter(|variable| !variable.trainable) {
                let name = format!("{}.{}", placed.layer.name, variable.name);
                if variable.frozen {
                    frozen.insert(name.clone());
                }
                untrained.insert(name);
            }
        }
        Ok((untrained, frozen))
    }

    /// The outputs in order: the name of the layer that each comes from, its shape, and the activation that it went through
    /// last, where that is known.
    ///
    /// # Errors
    /// If the layers do not fit each other.
    pub fn outputs(&self) -> Result<Vec<(String, Shape, Option<Activation>)>> {
        let placement = self.place()?;
        let output = |&(call, tensor): &(usize, usize)| {
            let call = &placement.calls[call];
            let layer = call.layer.map(|layer| placement.layers[layer].layer);
            let name = layer.map_or_else(|| self.name.clone(), |layer| layer.name.clone());
            let activation =
                layer.filter(|_| tensor == 0).and_then(|it| it.class.config().output_activation());
            (name, call.outputs[tensor].clone(), activation)
        };
        Ok(placement.outputs.iter().map(output).collect())
    }

    /// Whether what it gives for a text does not hang on the padding around it ([`Model::skips_padding`](super::Model::skips_padding)).
    pub fn skips_padding(&self) -> bool {
        self.place().is_ok_and(|placement| placement.skips_padding())
    }

    /// Lets the Embeddings mask id 0, where all layers after them heed that; else nothing changes. Gives whether the model
    /// skips padding now.
    pub fn mask_padding(&mut self) -> bool {
        let mut masked = self.clone();
        for layer in &mut masked.layers {
            if let Class::Embedding(embedding) = &mut layer.class {
                embedding.mask_zero = true;
            }
        }
        let skips = masked.skips_padding();
        if skips {
            *self = masked;
        }
        skips
    }

    /// Whether a layer carries its states on from batch to batch.
    pub fn is_stateful(&self) -> bool {
        Config::is_stateful(self)
    }

    /// The number of token ids that the first Embedding of them knows, if the model has one.
    pub fn vocab_size(&self) -> Option<usize> {
        let readers = self.layers.iter().zip(self.readers());
        readers.filter(|(_, reads)| *reads).find_map(|(layer, _)| layer.class.config().vocabulary())
    }

    /// Whether an input of the model is of texts.
    pub fn reads_text(&self) -> bool {
        self.inputs().iter().any(|layer| layer.class.config().reads_text())
    }

    /// Checks that the model ends as [`Model::logits`](super::Model::logits) and training need it.
    ///
    /// # Errors
    /// If the last layer does not give one sigmoid a sample.
    pub fn check_binary_classifier(&self) -> Result<()> {
        let placement = self.place()?;
        let Some(last) = self.last() else { return Ok(()) };
        let fail = |what: &str| Err(Error::layer(last.name.as_str(), what));
        let shapes = placement.output_shapes();
        let [shape] = shapes.as_slice() else { return fail("a binary classifier has one output") };
        let is_sigmoid = self.output_activation() == Some(Activation::Sigmoid);
        match shape.as_slice() {
            [_, Some(1)] if is_sigmoid => Ok(()),
            [.., Some(1)] if is_sigmoid => fail(
                "gives one value a step where a classifier gives one a text: set return_sequences to false in the last \
                 recurrent layer",
            ),
            _ => fail("a binary classifier must end with a Dense layer of 1 unit and activation sigmoid"),
        }
    }

    /// The length of a sequence, where the model fixes it.
    pub fn max_len(&self) -> Option<usize> {
        let input = self.layers.iter().find_map(|layer| layer.class.config().input_shape())?;
        input.get(1).copied().flatten()
    }

    /// Makes the model read `max_len` ids below `vocab_size`. An Embedding that reads what another layer
    /// makes of the ids, such as pairs of words, stays as it is.
    pub fn set_text_shape(&mut self, vocab_size: usize, max_len: usize) {
        let readers = self.readers();
        for (layer, reads) in self.layers.iter_mut().zip(readers) {
            if reads {
                layer.config_mut().set_text_shape(vocab_size, max_len);
            }
        }
    }

    /// Of each layer, whether it reads the model's inputs themselves; of all, where no Embedding does.
    fn readers(&self) -> Vec<bool> {
        let inputs: BTreeSet<&str> = (self.layers.iter())
            .filter(|layer| layer.config().input_shape().is_some())
            .map(Named::name)
            .collect();
        let reads = |layer: &LayerConfig| {
            layer.inbound_nodes().iter().flatten().all(|node| inputs.contains(node.0.as_str()))
        };
        let knows = |layer: &LayerConfig| layer.class.config().vocabulary().is_some();
        let any = self.layers.iter().any(|layer| knows(layer) && reads(layer));
        self.layers.iter().map(|layer| !any || !knows(layer) || reads(layer)).collect()
    }
}
