//! Models that turn text into ids themselves, from the command line: answers of Keras in `tests/fixtures/texts_k3.json`, made
//! by `scripts/keras_texts.py`.

use assert_cmd::Command;
use assert_cmd::assert::Assert;
use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;
use std::fs;
use std::path::Path;

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures");
const ANSWERS: &str = include_str!("../../tests/fixtures/texts_k3.json");

fn run(folder: &Path, args: &[&str]) -> Assert {
    Command::new(env!("CARGO_BIN_EXE_candle-recurrent")).current_dir(folder).args(args).assert()
}

fn fails(assert: Assert, line: &str) {
    let one_line = predicate::function(|text: &str| text.lines().count() == 1 && text.starts_with("error: "));
    assert.code(1).stdout("").stderr(one_line).stderr(contains(line));
}

fn json(assert: Assert) -> Value {
    serde_json::from_slice(&assert.success().get_output().stdout).expect("JSON")
}

/// The path of a fixture, its texts and Keras's answer.
fn fixture(name: &str) -> (String, Vec<String>, Vec<f64>) {
    let answers: Value = serde_json::from_str(ANSWERS).expect("answers");
    let answer = &answers[format!("texts_k3_{name}")];
    let texts = serde_json::from_value(answer["given"][0].clone()).expect("texts");
    let values = serde_json::from_value(answer["output"].clone()).expect("values");
    (format!("{FIXTURES}/texts_k3_{name}.keras"), texts, values)
}

fn near(found: impl IntoIterator<Item = f64>, expected: &[f64]) {
    let found: Vec<f64> = found.into_iter().collect();
    assert_eq!(found.len(), expected.len());
    let far = found.iter().zip(expected).find(|(a, b)| (*a - *b).abs() > 1e-6);
    assert!(far.is_none(), "{found:?} {expected:?}");
}

/// NumPy's array of texts.
fn npy(texts: &[String]) -> Vec<u8> {
    let width = texts.iter().map(|text| text.chars().count()).max().unwrap_or(1);
    let header = format!("{{'descr': '<U{width}', 'fortran_order': False, 'shape': ({},), }}", texts.len());
    let mut bytes = [b"\x93NUMPY\x01\0\x76\0".as_slice(), format!("{header:117}\n").as_bytes()].concat();
    for text in texts {
        let mut units: Vec<u32> = text.chars().map(u32::from).collect();
        units.resize(width, 0);
        bytes.extend(units.into_iter().flat_map(u32::to_le_bytes));
    }
    bytes
}

/// From arguments, lines, an array and a table; as the file has it, from a folder, and written for Keras again.
#[test]
fn a_model_reads_text_by_itself() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    let (model, texts, expected) = fixture("adapted");
    fs::write(here.join("x.npy"), npy(&texts)).expect("written");
    let quoted = |text: &String| format!("\"{}\"\n", text.replace('"', "\"\""));
    fs::write(here.join("x.csv"), texts.iter().map(quoted).collect::<String>()).expect("written");
    run(here, &["convert", &model, "again.keras"]).success();
    run(here, &["convert", &model, "folder"]).success();
    for model in [model.as_str(), "again.keras", "folder"] {
        // No text is empty here: that one stands in the files.
        let given: Vec<&str> = texts.iter().map(String::as_str).filter(|text| !text.is_empty()).collect();
        let kept = |index: usize| !texts[index].is_empty();
        let wanted: Vec<f64> = (0..texts.len()).filter(|i| kept(*i)).map(|i| expected[i]).collect();
        let found = json(run(here, &[&["predict", model, "--json"], given.as_slice()].concat()));
        let found = found.as_array().expect("a list");
        near(found.iter().map(|prediction| prediction["probability"].as_f64().unwrap()), &wanted);
        for input in ["x.npy", "x.csv"] {
            let found = json(run(here, &["predict", model, "--input", input, "--json"]));
            near(found["y"].as_array().expect("rows").iter().map(|row| row[0].as_f64().unwrap()), &expected);
        }
    }
    let lines = Command::new(env!("CARGO_BIN_EXE_candle-recurrent"))
        .args(["predict", &model])
        .write_stdin(format!("{}\n", texts[0]))
        .assert();
    let label = if expected[0] > 0.5 { "positive" } else { "negative" };
    lines.success().stdout(contains(format!("{label}  {:.4}  {}", expected[0], texts[0])));
    run(here, &["summary", &model]).success().stdout(contains("(TextVectorization)"));
}

#[test]
fn a_model_of_several_classes_gives_its_numbers() {
    let folder = tempfile::tempdir().expect("a folder");
    let (model, texts, expected) = fixture("tf_idf_adapted");
    let found = json(run(folder.path(), &["predict", &model, "--json", &texts[0], &texts[1]]));
    let rows = found["y"].as_array().expect("rows");
    near(
        rows.iter().flat_map(|row| row.as_array().unwrap()).map(|value| value.as_f64().unwrap()),
        &expected[..6],
    );
}

/// Lines come one after the other, and their number is not known before the last: what is printed is what arrays give.
#[test]
fn lines_give_what_an_array_of_them_gives() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    let (model, texts, _) = fixture("tf_idf_adapted");
    // Several batches, the last of them not full; blank ones first, in the middle and last.
    let blank = |at: usize| at < 40 || at == 60 || at == 99;
    let all: Vec<String> = (0..100)
        .map(|at| if blank(at) { String::new() } else { texts[at % texts.len()].replace('\n', " ") })
        .collect();
    fs::write(here.join("x.npy"), npy(&all)).expect("written");
    let lines: String = all.iter().map(|text| format!("{text}\n")).collect();
    for more in [&[][..], &["--json"]] {
        let array = run(here, &[&["predict", &model, "--input", "x.npy"], more].concat()).success();
        let streamed = Command::new(env!("CARGO_BIN_EXE_candle-recurrent"))
            .args([&["predict", &model], more].concat())
            .write_stdin(lines.clone())
            .assert()
            .success();
        assert_eq!(
            String::from_utf8_lossy(&array.get_output().stdout),
            String::from_utf8_lossy(&streamed.get_output().stdout)
        );
    }
    let empty = Command::new(env!("CARGO_BIN_EXE_candle-recurrent"))
        .args(["predict", &model])
        .write_stdin("\n".repeat(100))
        .assert();
    fails(empty, "no text: give it as TEXT, or as lines on standard input");
}

/// A number of texts that a batch does not hold, in the middle of which one is no Unicode.
#[test]
fn a_text_that_is_none_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    let (model, texts, _) = fixture("tf_idf_adapted");
    let mut bytes = npy(&vec![texts[0].clone(); 100]);
    let size = 4 * texts[0].chars().count();
    let at = bytes.len() - 50 * size;
    bytes[at..at + 4].copy_from_slice(&[0, 0xd8, 0, 0]);
    fs::write(here.join("x.npy"), bytes).expect("written");
    let assert = run(here, &["predict", &model, "--input", "x.npy", "--output", "y.npy"]);
    fails(assert, "x.npy: text 50 is not Unicode");
    assert!(!here.join("y.npy").exists());
}

#[test]
fn what_does_not_go_together_is_said() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    let (model, ..) = fixture("adapted");
    fails(
        run(here, &["predict", &model, "a", "--tokenizer", "imdb"]),
        "turns text into ids itself; leave --tokenizer out",
    );
    fails(run(here, &["predict", &model, "a", "--padding", "post"]), "leave --padding out");
    fails(
        run(here, &["evaluate", &model]),
        "turns text into ids itself, and evaluate gives ids; take predict",
    );
    fails(run(here, &["train", &model]), "turns text into ids itself");
    let (several, ..) = fixture("several");
    fails(
        run(here, &["predict", &several, "a"]),
        "has the inputs text, token, number, value; give them with --input FILE",
    );
    fs::write(here.join("x.csv"), "1,2\n").expect("written");
    fails(
        run(here, &["predict", &model, "--input", "x.csv"]),
        "holds 2 texts in line 1, expected one a line",
    );
    let lost = format!("{FIXTURES}/texts_k3_adapted.h5");
    fails(
        run(here, &["predict", &lost, "a film"]),
        "layer text_vectorization: its vocabulary is not in the file",
    );
    let noted = run(here, &["predict", &model, "--json", "qqq zzz"]).success();
    let noted = json(noted.stderr(
        "note: \"qqq zzz\" has no word that the vocabulary knows: the answer says nothing about it\n",
    ));
    assert_eq!(noted[0]["unknown"], 1.0);
}
