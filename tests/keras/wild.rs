//! Every file of `../shared/data/keras`: found in public repositories, with Keras's own answers beside them.

use super::support::check;
use candle_recurrent::keras;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const SHARED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/data/keras");

/// Files that have no answer, with a word of the reason that must be given.
const REFUSED: [(&str, &str); 4] = [
    ("Aadii0916+Next-word-predict__lstm_model.h5", "no weights"),
    ("LutfiZul+icu-blood-gas-app__bilstm_model.h5", "Python code"),
    ("laohantuiche+Spec_Partition__seq2seq_weights.h5", "--config"),
    ("mukulbasu+SequencePredictionLSTM__lstm_model.h5", "--config"),
];

/// A GRU whose errors grow with every step.
const CHAOTIC: &str = "aledhita02+lstm_saham_mandiri__gru_model.h5";

fn files(folder: &str) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(Path::new(SHARED).join(folder)) else { return vec![] };
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| !path.to_string_lossy().ends_with(".golden.npz"))
        .collect();
    files.sort();
    files
}

fn walk(folder: &str) {
    let files = files(folder);
    if files.is_empty() {
        println!("skipped: {SHARED}/{folder} is not there");
        return;
    }
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
                let kind = format!("{:?}", keras::kind(file).unwrap());
                let (count, largest) = worst.entry(kind).or_default();
                *count += 1;
                *largest = largest.max(error);
            }
            Ok(error) => failures.push(format!("{name}: relative error {error:.1e}")),
            Err(what) => failures.push(format!("{name}: {what}")),
        }
    }
    for (kind, (count, error)) in &worst {
        println!("{folder}: {count} files of kind {kind}, worst error {error:.1e}");
    }
    println!("{folder}: {refused} refused as they must be, {} failed, of {}", failures.len(), files.len());
    assert!(failures.is_empty(), "{} of {}:\n{}", failures.len(), files.len(), failures.join("\n"));
}

#[test]
fn the_chapters_own_models_open_and_agree() {
    walk("chapter");
}

#[test]
fn models_of_other_people_open_and_agree() {
    walk("wild");
}
