//! A model made a forecaster: its input a window of a series, its last layer the steps ahead.

use super::Config;
use crate::data::series::SeriesConfig;
use crate::layers::{DenseConfig, InputLayerConfig, ReshapeConfig};
use crate::model::{Class, LayerConfig, ModelConfig, TensorRef};
use crate::train::heads;
use crate::{Error, Result};
use serde_json::json;

/// The name of the layer that puts the quantiles of a step side by side.
const QUANTILES: &str = "quantiles";

impl Config {
    /// Makes the model take windows of a series and give the steps ahead. An Embedding at its beginning, which is for ids, gives way
    /// to the window itself; its last Dense gets a linear unit for each step, or for each quantile of each step. The
    /// recipe's loss is the mean squared error, or the quantiles' own.
    ///
    /// # Errors
    /// [`Error::Layer`] where the model has several inputs or outputs, gives a value for each step of its window, or ends in
    /// something else than a Dense; where its layers do not take windows.
    pub fn fit_series(&mut self, series: SeriesConfig) -> Result<()> {
        series.check()?;
        let columns = 1 + series.features.len();
        self.drop_rescaling();
        drop_quantiles(&mut self.model);
        take_windows(&mut self.model, series.window, columns)?;
        let last = self.model.last().map(|layer| layer.name.clone()).unwrap_or_default();
        let wrong = |what: &str| Err(Error::layer(last.as_str(), what));
        let Some(Class::Dense(dense)) =
            self.model.layers.iter_mut().find(|layer| layer.name == last).map(|layer| &mut layer.class)
        else {
            return wrong(
                "is the last layer and no Dense, so it cannot give the steps ahead; end the model with a Dense",
            );
        };
        *dense =
            DenseConfig { use_bias: dense.use_bias, ..DenseConfig::new(series.horizon * series.values()) };
        let outputs = heads(&self.model)?;
        let [head] = outputs.as_slice() else { return wrong("a forecaster has one output") };
        if head.shape.len() != 2 {
            return wrong(
                "gives one forecast for each step of a window: set return_sequences to false in the last recurrent layer",
            );
        }
        if series.quantiles.is_empty() {
            self.recipe.set_loss(json!("mse"));
        } else {
            self.put_quantiles_apart(&last, &series);
            let config = json!({ "quantiles": series.quantiles });
            self.recipe.set_loss(json!({ "class_name": "Pinball", "config": config }));
        }
        // What a classifier of texts says of itself.
        self.recipe.max_len = series.window;
        self.classes.clear();
        (self.multi_label, self.label_separator) = (false, None);
        (self.recipe.group_by_length, self.command) = (false, None);
        self.recipe.tokenizer = None;
        (self.series, self.sequences) = (Some(series), None);
        Ok(())
    }

    /// (batch, horizon × quantiles) as (batch, horizon, quantiles).
    fn put_quantiles_apart(&mut self, last: &str, series: &SeriesConfig) {
        let target_shape = [series.horizon, series.quantiles.len()].map(|axis| axis as i64).to_vec();
        let mut layer = LayerConfig::new(QUANTILES, Class::Reshape(ReshapeConfig { target_shape }));
        if self.model.is_graph() {
            layer.inbound_nodes = vec![vec![TensorRef(last.into(), 0, 0)]];
            self.model.output_layers = vec![TensorRef(QUANTILES.into(), 0, 0)];
        }
        self.model.layers.push(layer);
    }
}

/// Takes the layer away that an older run has put at the end.
pub(super) fn drop_quantiles(model: &mut ModelConfig) {
    let Some(at) = model.layers.iter().position(|layer| layer.name == QUANTILES) else { return };
    if !matches!(model.layers[at].class, Class::Reshape(_))
        || model.last().map(|it| it.name.as_str()) != Some(QUANTILES)
    {
        return;
    }
    let layer = model.layers.remove(at);
    if let (true, Some(before)) =
        (model.is_graph(), layer.inbound_nodes.first().and_then(|node| node.first()))
    {
        model.output_layers = vec![before.clone()];
    }
}

/// Makes the model's one input a window of so many rows and columns.
pub(super) fn take_windows(model: &mut ModelConfig, window: usize, columns: usize) -> Result<()> {
    let name = model.name.clone();
    let input = match model.is_graph() {
        true => match model.input_layers.as_slice() {
            [TensorRef(input, ..)] => input.clone(),
            several => {
                let what = format!("has {} inputs, and a series is one", several.len());
                return Err(Error::layer(name, what));
            }
        },
        false => match model.layers.first() {
            Some(layer) if matches!(layer.class, Class::InputLayer(_)) => layer.name.clone(),
            _ => {
                let class =
                    Class::InputLayer(InputLayerConfig { batch_shape: vec![], dtype: "float32".into() });
                model.layers.insert(0, LayerConfig::new("window", class));
                "window".into()
            }
        },
    };
    let takes_input = |layer: &LayerConfig| {
        let mut given = layer.inbound_nodes.iter().flatten();
        given.any(|TensorRef(from, ..)| *from == input)
    };
    let is_graph = model.is_graph();
    let embedding = model.layers.iter().enumerate().position(|(at, layer)| {
        matches!(layer.class, Class::Embedding(_)) && if is_graph { takes_input(layer) } else { at == 1 }
    });
    if let Some(at) = embedding {
        let embedding = model.layers.remove(at);
        for TensorRef(from, ..) in
            model.layers.iter_mut().flat_map(|layer| layer.inbound_nodes.iter_mut().flatten())
        {
            if *from == embedding.name {
                from.clone_from(&input);
            }
        }
    }
    let layer = model.layers.iter_mut().find(|layer| layer.name == input);
    if let Some(Class::InputLayer(config)) = layer.map(|layer| &mut layer.class) {
        let batch = config.batch_shape.first().copied().flatten();
        config.batch_shape = vec![batch, Some(window), Some(columns)];
        config.dtype = "float32".into();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::series::{Scaler, Scaling};
    use crate::zoo;

    fn series(quantiles: &[f64]) -> SeriesConfig {
        let scaler = |column: &str| Scaler::fit(Scaling::None, column, &[0.0, 1.0]);
        SeriesConfig {
            target: "y".into(),
            features: vec!["x".into()],
            window: 7,
            horizon: 3,
            season: 1,
            quantiles: quantiles.to_vec(),
            scalers: vec![scaler("y"), scaler("x")],
            ..SeriesConfig::default()
        }
    }

    #[test]
    fn every_model_of_the_zoo_becomes_a_forecaster() -> Result<()> {
        for entry in zoo::entries() {
            let mut config = entry.config()?;
            config.fit_series(series(&[]))?;
            config.check()?;
            assert_eq!(heads(&config.model)?[0].shape, [None, Some(3)]);
            assert_eq!(config.model.input_shapes(), [vec![None, Some(7), Some(2)]]);
            config.fit_series(series(&[0.1, 0.5, 0.9]))?;
            config.check()?;
            assert_eq!(heads(&config.model)?[0].shape, [None, Some(3), Some(3)]);
            // And back again, as it is read from its folder.
            let mut again = Config::from_json(&config.to_json()?, "config.json".as_ref())?;
            assert_eq!(again, config);
            again.fit_series(series(&[]))?;
            assert_eq!(heads(&again.model)?[0].shape, [None, Some(3)]);
        }
        Ok(())
    }

    #[test]
    fn a_graph_becomes_a_forecaster() -> Result<()> {
        let json = r#"{"model": {"name": "graph", "layers": [
            {"class_name": "InputLayer", "config": {"name": "ids", "batch_shape": [null, 9], "dtype": "int32"}},
            {"class_name": "Embedding", "config": {"name": "e", "input_dim": 50, "output_dim": 4}, "inbound_nodes": [[["ids", 0, 0]]]},
            {"class_name": "GRU", "config": {"name": "g", "units": 4}, "inbound_nodes": [[["e", 0, 0]]]},
            {"class_name": "Dense", "config": {"name": "d", "units": 1, "activation": "sigmoid"}, "inbound_nodes": [[["g", 0, 0]]]}],
            "input_layers": [["ids", 0, 0]], "output_layers": [["d", 0, 0]]}}"#;
        let mut config = Config::from_json(json, "config.json".as_ref())?;
        config.fit_series(series(&[0.5]))?;
        config.check()?;
        assert_eq!(heads(&config.model)?[0].shape, [None, Some(3), Some(1)]);
        config.fit_series(series(&[]))?;
        assert_eq!(heads(&config.model)?[0].shape, [None, Some(3)]);
        Ok(())
    }
}
