//! Every file of `../shared/data/keras`: found in public repositories, with Keras's own answers beside them.

use super::support::check;
use candle_recurrent::keras;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Files that have no answer, with a word of the reason that must be given.
const REFUSED: [(&str, &str); 4] = [
    ("Aadii0916+Next-word-predict__lstm_model.h5", "no weights"),
    ("LutfiZul+icu-blood-gas-app__bilstm_model.h5", "Python code"),
    ("laohantuiche+Spec_Partition__seq2seq_weights.h5", "`keras::Options::config`"),
    ("mukulbasu+SequencePredictionLSTM__lstm_model.h5", "`keras::Options::config`"),
];

/// A GRU whose errors grow with every step.
const CHAOTIC: &str = "aledhita02+lstm_saham_mandiri__gru_model.h5";

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| !path.to_string_lossy().ends_with(".golden.npz"))
        .collect();
    files.sort();
    files
}

/// The tier of the table in docs/keras-files.md: the first that holds all that the model needs.
fn tier(file: &Path) -> &'static str {
    let config = keras::load(file).unwrap().0;
    let json = serde_json::to_string(&config).unwrap();
    let has = |words: &[&str]| words.iter().any(|word| json.contains(&format!("\"{word}\"")));
    let says = |key: &str, value: &str| json.contains(&format!("\"{key}\":{value}"));
    let bytes = std::fs::read(file).unwrap();
    let is_cudnn = bytes.windows(5).any(|window| window == b"CuDNN");
    let relu = ["LSTM", "GRU", "SimpleRNN"].iter().any(|class| {
        config.layers.iter().any(|layer| {
            layer.class.name() == *class
                && serde_json::to_value(layer)
                    .unwrap()
                    .pointer("/config/activation")
                    .is_some_and(|a| a == "relu")
        })
    });
    // A graph in which each layer is called once on one tensor is a chain.
    let inputs = |layer: &candle_recurrent::model::LayerConfig| {
        layer.inbound_nodes.iter().map(Vec::len).sum::<usize>()
    };
    let branches = config.is_graph()
        && (config.layers.iter().any(|layer| inputs(layer) > 1) || config.output_layers.len() > 1);
    match () {
        _ if has(&["Conv2D", "ConvLSTM2D", "MaxPooling2D", "MaxPooling3D"]) => "F",
        _ if is_cudnn
            || branches
            || has(&["Concatenate", "Multiply", "Dot", "Permute", "Masking", "LeakyReLU"])
            || says("go_backwards", "true") =>
        {
            "E"
        }
        _ if has(&["Conv1D", "MaxPooling1D", "Reshape"]) => "D",
        _ if config.is_graph()
            || has(&["Flatten", "Activation", "RepeatVector", "TimeDistributed"])
            || says("mask_zero", "true")
            || says("reset_after", "false") =>
        {
            "C"
        }
        _ if relu || has(&["Bidirectional", "BatchNormalization"]) || json.contains("hard_sigmoid") => "B",
        _ => "A",
    }
}

fn walk(folder: &str) {
    let Some(path) = super::common::shared(folder) else { return };
    let mut files = files(&path);
    files.retain(|file| file.extension().is_none_or(|end| end != "md"));
    assert!(!files.is_empty(), "{folder} is empty");
    let (mut worst, mut failures) = (BTreeMap::<String, (usize, f64)>::new(), vec![]);
    let mut refused = 0;
    for file in &files {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        if let Some((_, reason)) = REFUSED.iter().find(|(refused, _)| *refused == name) {
            match keras::load(file) {
                Err(error) if error.to_string().contains(reason) && !error.to_string().contains('\n') => {
                    refused += 1;
                    println!("refused: {name}: {error}");
                }
                other => failures.push(format!("{name}: expected a refusal ({reason}), got {other:?}")),
            }
            continue;
        }
        let golden = file.with_file_name(format!("{name}.golden.npz"));
        let limit = if name == CHAOTIC { 1e-3 } else { 1e-4 };
        match check(file, &golden) {
            Ok(error) if error <= limit => {
                println!("{error:8.1e}  {name}");
                let kind = format!("kind {:?}", keras::kind(file).unwrap());
                let chaotic = if name == CHAOTIC { " (chaotic)" } else { "" };
                for of in [kind, format!("tier {}{chaotic}", tier(file))] {
                    let (count, largest) = worst.entry(of).or_default();
                    *count += 1;
                    *largest = largest.max(error);
                }
            }
            Ok(error) => failures.push(format!("{name}: relative error {error:.1e}")),
            Err(what) => failures.push(format!("{name}: {what}")),
        }
    }
    for (of, (count, error)) in &worst {
        println!("{folder}: {count} files of {of}, worst error {error:.1e}");
    }
    println!("{folder}: {refused} refused as they must be, {} failed, of {}", failures.len(), files.len());
    assert!(failures.is_empty(), "{} of {}:\n{}", failures.len(), files.len(), failures.join("\n"));
}

#[test]
fn the_chapters_own_models_open_and_agree() {
    walk("keras/chapter");
}

#[test]
fn models_of_other_people_open_and_agree() {
    walk("keras/wild");
}

#[test]
fn later_models_of_other_people_open_and_agree() {
    walk("keras-next");
}
