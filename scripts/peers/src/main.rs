//! candle-nn's and burn's part of `bench_peers.py`: `peers candle-nn|burn-ndarray|burn-flex FOLDER THREADS` does the jobs
//! that come as JSON lines on standard input, one answer a line.

mod burn_peer;
mod candle_peer;

use safetensors::{SafeTensors, tensor::Dtype};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io::Write;
use std::path::Path;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const BATCH: usize = 64;

/// Rows of ids with their labels.
struct Rows {
    ids: Vec<u32>,
    labels: Vec<f32>,
    time: usize,
}

impl Rows {
    /// Batches in order: ids, labels.
    fn batches(&self, size: usize) -> impl Iterator<Item = (&[u32], &[f32])> {
        self.ids.chunks(size * self.time).zip(self.labels.chunks(size))
    }

    fn first(&self, batches: usize) -> Self {
        let rows = self.labels.len().min(batches * BATCH);
        Self {
            ids: self.ids[..rows * self.time].to_vec(),
            labels: self.labels[..rows].to_vec(),
            time: self.time,
        }
    }
}

/// A model's initial weights in Keras's layout: shape and values by name.
type Weights = HashMap<String, (Vec<usize>, Vec<f32>)>;

/// A framework: builds models and trains them.
trait Peer {
    type Model;
    fn version(&self) -> String;
    fn build(&self, kind: &str, weights: &Weights) -> Result<Self::Model>;
    /// A pass over `rows`: its seconds and mean loss.
    fn train(&self, model: &mut Self::Model, rows: &Rows) -> Result<(f64, f64)>;
    /// Mean loss and accuracy.
    fn measure(&self, model: &Self::Model, rows: &Rows) -> Result<(f64, f64)>;
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

fn serve<P: Peer>(peer: &P, folder: &Path) -> Result<()> {
    let data = std::fs::read(folder.join("data.safetensors"))?;
    let data = SafeTensors::deserialize(&data)?;
    let part = |name: &str| -> Result<Rows> {
        let (ids, labels) = (data.tensor(&format!("{name}.ids"))?, data.tensor(&format!("{name}.labels"))?);
        let time = ids.shape()[1];
        let ids = ids.data().chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        Ok(Rows { ids, labels: labels.data().iter().map(|&label| f32::from(label)).collect(), time })
    };
    let (train, validation) = (part("train")?, part("validation")?);
    let file = std::fs::read(folder.join("weights.safetensors"))?;
    let file = SafeTensors::deserialize(&file)?;
    let weights = |model: &str| -> Weights {
        let strip = |(name, view): (String, safetensors::tensor::TensorView)| {
            let name = name.strip_prefix(model)?.strip_prefix('/')?.to_string();
            (view.dtype() == Dtype::F32).then(|| (name, (view.shape().to_vec(), floats(view.data()))))
        };
        file.tensors().into_iter().filter_map(strip).collect()
    };
    let mut models = HashMap::new();
    let mut answer = |job: &Value| -> Result<Value> {
        let model = job["model"].as_str().unwrap_or_default();
        let batches = job["batches"].as_u64().map_or(usize::MAX / BATCH, |batches| batches as usize);
        match job["op"].as_str().unwrap_or_default() {
            "versions" => Ok(json!({"version": peer.version()})),
            "first" => {
                let (_, loss) =
                    peer.train(&mut peer.build(model, &weights(model))?, &train.first(batches))?;
                models.insert(model.to_string(), peer.build(model, &weights(model))?);
                Ok(json!({"loss": loss}))
            }
            "epoch" => {
                let built = models.get_mut(model).ok_or("`first` comes before")?;
                let (seconds, loss) = peer.train(built, &train.first(batches))?;
                Ok(json!({"seconds": seconds, "loss": loss}))
            }
            "validate" => {
                let built = models.get(model).ok_or("`first` comes before")?;
                let (loss, accuracy) = peer.measure(built, &validation)?;
                Ok(json!({"loss": loss, "accuracy": accuracy}))
            }
            other => Err(format!("unknown job {other}").into()),
        }
    };
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", json!({"ready": 0}))?;
    for line in std::io::stdin().lines() {
        let result = serde_json::from_str(&line?).map_err(Into::into).and_then(|job| answer(&job));
        writeln!(out, "{}", result.unwrap_or_else(|error| json!({"error": error.to_string()})))?;
        out.flush()?;
    }
    Ok(())
}

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().collect();
    let [_, peer, folder, threads] = args.as_slice() else {
        return Err("usage: peers candle-nn|burn-ndarray|burn-flex FOLDER THREADS".into());
    };
    rayon::ThreadPoolBuilder::new().num_threads(threads.parse()?).build_global()?;
    let folder = Path::new(folder);
    match peer.as_str() {
        "candle-nn" => serve(&candle_peer::Candle, folder),
        "burn-ndarray" => serve(&burn_peer::Burn::ndarray(), folder),
        "burn-flex" => serve(&burn_peer::Burn::flex(), folder),
        other => Err(format!("no peer {other}").into()),
    }
}
