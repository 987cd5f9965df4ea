//! The state of a run as a file, `state.safetensors`: tensors, and in the metadata JSON that says what the run is of.

use super::folder::STATE_FILE;
use super::saved::FORMAT_VERSION;
use crate::data::Examples;
use crate::formats::file::{check_regular, write_atomic};
use crate::formats::safetensors::to_safetensors;
use crate::formats::sums::sha256;
use crate::text::Tokenizer;
use crate::train::{Epoch, Figures, History, RunState, Standing};
use crate::{Error, Result};
use candle_core::{Device, Tensor};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;

/// What a run is of: a run goes on only with the same.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunOf {
    /// The model and its recipe, as `config.json` has them.
    pub config: Value,
    /// The seed.
    pub seed: u64,
    /// The sums of its data, by what they are: rows of training, of validation, a vocabulary.
    pub data: BTreeMap<String, String>,
    /// What a program that goes on with the run wants to know: how it was begun.
    pub begun: Value,
    /// The seconds that the run has taken.
    pub seconds: f64,
}

impl RunOf {
    /// The sums of the parts of data that a run takes, of weights that stay as they are, and of its vocabulary.
    ///
    /// # Errors
    /// A vocabulary that cannot be written.
    pub fn sums(
        parts: &[(&str, Option<&Examples>)],
        frozen: &[(String, Tensor)],
        tokenizer: Option<&Tokenizer>,
    ) -> Result<BTreeMap<String, String>> {
        let parts = parts.iter().filter_map(|(name, part)| Some((name, (*part)?)));
        let mut sums: BTreeMap<String, String> =
            parts.map(|(name, part)| (name.to_string(), part.sum())).collect();
        if !frozen.is_empty() {
            // They are no part of a state: no step changes them.
            let frozen = frozen.iter().cloned().collect();
            sums.insert("frozen weights".into(), sha256(&to_safetensors(&frozen, &BTreeMap::new())?));
        }
        if let Some(tokenizer) = tokenizer {
            sums.insert("vocabulary".into(), sha256(tokenizer.to_json()?.as_bytes()));
        }
        Ok(sums)
    }

    /// Refuses to go on with a run of something else, naming the first thing that differs. The most epochs may.
    ///
    /// # Errors
    /// [`Error::Argument`].
    pub fn check(&self, now: &Self) -> Result<()> {
        let differs = |field: &str, then: &dyn std::fmt::Display, now: &dyn std::fmt::Display| {
            let what = format!("the run is of {then}, and this is {now}; a run goes on only as it was begun");
            Err(Error::argument(field.trim_start_matches('.'), what))
        };
        if self.seed != now.seed {
            return differs("seed", &self.seed, &now.seed);
        }
        if let Some((path, then, now)) =
            difference("", &without_epochs(&self.config), &without_epochs(&now.config))
        {
            return differs(&path, &then, &now);
        }
        let names = self.data.keys().chain(now.data.keys());
        for name in names {
            match (self.data.get(name), now.data.get(name)) {
                (Some(then), Some(now)) if then == now => {}
                (Some(_), Some(_)) => {
                    let what = "they are other data than those that the run was begun with";
                    return Err(Error::argument(name, what));
                }
                (then, _) => {
                    let (then, now) = if then.is_some() { ("with", "without") } else { ("without", "with") };
                    let what = format!("the run was begun {then} them, and this is {now} them");
                    return Err(Error::argument(name, what));
                }
            }
        }
        Ok(())
    }
}

fn without_epochs(config: &Value) -> Value {
    let mut config = config.clone();
    if let Some(recipe) = config.get_mut("recipe").and_then(Value::as_object_mut) {
        recipe.shift_remove("epochs");
    }
    config
}

/// Where two values first differ, and what stands there.
fn difference(path: &str, then: &Value, now: &Value) -> Option<(String, String, String)> {
    let shown =
        |value: Option<&Value>| value.map_or("nothing".to_string(), |value| shortened(&value.to_string()));
    match (then, now) {
        (Value::Object(then), Value::Object(now)) => then.keys().chain(now.keys()).find_map(|key| {
            let path = format!("{path}.{key}");
            match (then.get(key), now.get(key)) {
                (Some(then), Some(now)) => difference(&path, then, now),
                (then, now) => Some((path, shown(then), shown(now))),
            }
        }),
        (Value::Array(then), Value::Array(now)) if then.len() == now.len() => {
            let mut pairs = then.iter().zip(now).enumerate();
            pairs.find_map(|(at, (then, now))| difference(&format!("{path}[{at}]"), then, now))
        }
        _ if then == now => None,
        _ => Some((path.to_string(), shown(Some(then)), shown(Some(now)))),
    }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_string(),
    }
}

/// A run as it is written down.
#[derive(Clone, Debug)]
pub struct SavedRun {
    /// What it is of.
    pub of: RunOf,
    /// Where it stands.
    pub state: RunState,
}

/// The metadata's JSON.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    format_version: u32,
    written_by: String,
    of: RunOf,
    epochs: usize,
    batches: usize,
    /// Numbers are written as text: as JSON's they would not all come back to the bit.
    seconds: String,
    history: Vec<Line>,
    kept: Option<usize>,
    stopped: bool,
    rollbacks: usize,
    restorable: Option<usize>,
    meters: Vec<Vec<String>>,
    /// How many layers carry states, and how many each; now and before the epoch.
    carried: [Option<Vec<Option<usize>>>; 2],
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    seconds: String,
    figures: Vec<(String, String)>,
}

/// The metadata's field.
const FIELD: &str = "run";

impl SavedRun {
    /// Writes `state.safetensors` in a model folder: whole, or the older one stays.
    ///
    /// # Errors
    /// [`Error::File`] where it cannot be written.
    pub fn save(&self, folder: &Path) -> Result<()> {
        write_atomic(folder.join(STATE_FILE), &self.to_bytes()?)
    }

    fn to_bytes(&self) -> Result<Vec<u8>> {
        let Self { of, state } = self;
        let mut tensors = BTreeMap::new();
        put(&mut tensors, "now", &state.now);
        if let Some(before) = &state.before {
            put(&mut tensors, "before", before);
        }
        if let Some((_, weights)) = &state.restorable {
            tensors.extend(weights.iter().map(|(name, tensor)| (format!("best/{name}"), tensor.clone())));
        }
        let counts = |standing: &Standing| {
            standing.carried.iter().map(|layer| layer.as_ref().map(Vec::len)).collect::<Vec<_>>()
        };
        let lines = state.history.epochs.iter().map(|epoch| Line {
            seconds: epoch.seconds.to_string(),
            figures: epoch.figures.iter().map(|(name, value)| (name.into(), value.to_string())).collect(),
        });
        let head = Head {
            format_version: FORMAT_VERSION,
            written_by: env!("CARGO_PKG_VERSION").into(),
            of: of.clone(),
            epochs: state.epochs,
            batches: state.batches,
            seconds: state.seconds.to_string(),
            history: lines.collect(),
            kept: state.kept,
            stopped: state.stopped,
            rollbacks: state.rollbacks,
            restorable: state.restorable.as_ref().map(|(epoch, _)| *epoch),
            meters: state.meters.iter().map(|it| it.iter().map(f64::to_string).collect()).collect(),
            carried: [Some(counts(&state.now)), state.before.as_ref().map(counts)],
        };
        let head = serde_json::to_string(&head).map_err(|error| Error::argument(FIELD, error))?;
        to_safetensors(&tensors, &BTreeMap::from([("format", "candle-recurrent".to_string()), (FIELD, head)]))
    }

    /// Reads `state.safetensors` in a model folder.
    ///
    /// # Errors
    /// [`Error::File`] where it is not there, is damaged, or is of another version of this crate, whose numbers may differ.
    pub fn load(folder: &Path) -> Result<Self> {
        let path = folder.join(STATE_FILE);
        let fail = |what: String| Error::file(&path, what);
        if !path.exists() {
            return Err(fail("is missing: there is no run to go on with".into()));
        }
        check_regular(&path)?;
        let bytes = std::fs::read(&path).map_err(|error| Error::io(&path, error))?;
        let damaged = |what: &dyn std::fmt::Display| fail(format!("is no whole state of a run: {what}"));
        let (_, metadata) =
            safetensors::SafeTensors::read_metadata(&bytes).map_err(|error| damaged(&error))?;
        let head = metadata.metadata().as_ref().and_then(|metadata| metadata.get(FIELD));
        let head = head.ok_or_else(|| damaged(&"its metadata say nothing of a run"))?;
        check_program(head).map_err(fail)?;
        let head: Head = serde_json::from_str(head).map_err(|error| damaged(&error))?;
        let tensors =
            candle_core::safetensors::load_buffer(&bytes, &Device::Cpu).map_err(|error| damaged(&error))?;
        head.into_run(tensors.into_iter().collect()).map_err(|what| damaged(&what))
    }
}

/// Refuses the state of another version.
fn check_program(head: &str) -> std::result::Result<(), String> {
    let head: Value = serde_json::from_str(head).map_err(|error| format!("is no state of a run: {error}"))?;
    let (version, program) = (&head["format_version"], &head["written_by"]);
    if *version != json!(FORMAT_VERSION) || *program != json!(env!("CARGO_PKG_VERSION")) {
        return Err(format!(
            "was written by candle-recurrent {} (format version {version}), and this is {} ({FORMAT_VERSION}), whose numbers \
             may differ; go on with that program, or begin anew with --overwrite",
            program.as_str().unwrap_or("of an unknown version"),
            env!("CARGO_PKG_VERSION"),
        ));
    }
    Ok(())
}

impl Head {
    fn into_run(self, mut tensors: BTreeMap<String, Tensor>) -> std::result::Result<SavedRun, String> {
        let number = |text: &String| text.parse::<f64>().map_err(|_| format!("{text:?} is no number"));
        let mut history = History::default();
        for (index, line) in self.history.iter().enumerate() {
            let figures = line.figures.iter().map(|(name, value)| Ok((name.clone(), number(value)?)));
            let figures = figures.collect::<std::result::Result<Figures, String>>()?;
            history.epochs.push(Epoch { epoch: index + 1, figures, seconds: number(&line.seconds)? });
        }
        let meters = self.meters.iter().map(|it| it.iter().map(number).collect());
        let meters = meters.collect::<std::result::Result<_, String>>()?;
        let [now, before] = self.carried;
        let now = take(&mut tensors, "now", &now.unwrap_or_default())?;
        let before = before.map(|counts| take(&mut tensors, "before", &counts)).transpose()?;
        let best = with_prefix(&mut tensors, "best/");
        let restorable = self.restorable.map(|epoch| (epoch, best));
        if let Some(name) = tensors.keys().next() {
            return Err(format!("it holds an array {name}, which is of no use"));
        }
        let state = RunState {
            epochs: self.epochs,
            batches: self.batches,
            seconds: number(&self.seconds)?,
            history,
            kept: self.kept,
            stopped: self.stopped,
            rollbacks: self.rollbacks,
            now,
            before,
            restorable,
            meters,
        };
        Ok(SavedRun { of: self.of, state })
    }
}

fn put(tensors: &mut BTreeMap<String, Tensor>, prefix: &str, standing: &Standing) {
    let named = |part: &str, name: &String| format!("{prefix}/{part}/{name}");
    tensors.extend(standing.weights.iter().map(|(name, it)| (named("weights", name), it.clone())));
    tensors.extend(standing.optimizer.iter().map(|(name, it)| (named("optimizer", name), it.clone())));
    for (layer, states) in standing.carried.iter().enumerate() {
        let states = states.iter().flatten().enumerate();
        tensors.extend(states.map(|(at, it)| (format!("{prefix}/carried/{layer}/{at}"), it.clone())));
    }
}

fn take(
    tensors: &mut BTreeMap<String, Tensor>,
    prefix: &str,
    counts: &[Option<usize>],
) -> std::result::Result<Standing, String> {
    let mut carried = vec![];
    for (layer, count) in counts.iter().enumerate() {
        let states = count.map(|count| {
            let names = (0..count).map(|at| format!("{prefix}/carried/{layer}/{at}"));
            names.map(|name| tensors.remove(&name).ok_or(format!("it lacks the array {name}"))).collect()
        });
        carried.push(states.transpose()?);
    }
    let weights = with_prefix(tensors, &format!("{prefix}/weights/"));
    Ok(Standing { weights, optimizer: with_prefix(tensors, &format!("{prefix}/optimizer/")), carried })
}

/// Takes out the tensors whose names begin so, under what follows.
fn with_prefix(tensors: &mut BTreeMap<String, Tensor>, prefix: &str) -> BTreeMap<String, Tensor> {
    let names: Vec<String> = tensors.keys().filter(|name| name.starts_with(prefix)).cloned().collect();
    let tensor = |name: String| Some((name.strip_prefix(prefix)?.to_string(), tensors.remove(&name)?));
    names.into_iter().filter_map(tensor).collect()
}
