//! What `train` tells of a run.

use candle_recurrent::checkpoint::Results;
use candle_recurrent::train::{Figures, History};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};

/// What a run came to.
pub(super) struct Report {
    pub(super) model: String,
    pub(super) data: String,
    pub(super) folder: String,
    pub(super) interrupted: bool,
    pub(super) results: Results,
    pub(super) params: usize,
    pub(super) test_samples: usize,
    /// What a row is called, in the plural.
    pub(super) rows: &'static str,
    pub(super) history: History,
}

impl Report {
    /// The best epoch's figures.
    pub(super) fn own_figures(&self) -> Figures {
        self.results.figures.iter().filter(|(name, _)| !name.starts_with("test_")).collect()
    }

    /// Those of the test data, by their own names.
    pub(super) fn test_figures(&self) -> Figures {
        self.results
            .figures
            .iter()
            .filter_map(|(name, value)| Some((name.strip_prefix("test_")?, value)))
            .collect()
    }
}

/// With the keys of `--json`.
impl Serialize for Report {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let results = &self.results;
        let mut fields = Map::new();
        let mut put = |name: &str, value: Value| fields.insert(name.into(), value);
        put("model", json!(self.model));
        put("data", json!(self.data));
        put("epochs", json!(results.epochs));
        put("best_epoch", json!(results.best_epoch));
        for (name, value) in self.own_figures().iter() {
            put(&format!("best_{name}"), json!(value));
        }
        for (name, value) in self.test_figures().iter() {
            put(&format!("test_{name}"), json!(value));
        }
        if self.test_figures().is_empty() {
            put("test_loss", Value::Null);
        }
        put("seconds", json!(results.seconds));
        put("folder", json!(self.folder));
        if self.interrupted {
            put("interrupted", json!(true));
        }
        fields.serialize(serializer)
    }
}
