//! `--tokenizer`, `--padding` and `--truncating` against Keras's `Tokenizer` and `pad_sequences`
//! (`tests/fixtures/tokenizers.json`, made by `scripts/keras_fixtures.py`).

use assert_cmd::Command;
use assert_cmd::assert::Assert;
use candle_recurrent::text::{Padding, Tokenizer, pad_sequences_with};
use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;
use std::fs;
use std::path::Path;

const CASES: &str = include_str!("../../tests/fixtures/tokenizers.json");
/// Ids below 12, six a text.
const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/old_keras_2_1.h5");

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

fn bytes(hex: &Value) -> Vec<u8> {
    let hex = hex.as_str().expect("a text").as_bytes();
    hex.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn rows(value: &Value) -> Vec<Vec<u32>> {
    serde_json::from_value(value.clone()).expect("rows of ids")
}

/// What `texts_to_sequences` and `pad_sequences` give, from every form that a Tokenizer is kept in, and from what is
/// written here of it.
#[test]
fn every_form_gives_keras_ids() {
    let folder = tempfile::tempdir().expect("a folder");
    let cases: Value = serde_json::from_str(CASES).expect("cases");
    let texts: Vec<&str> = cases["texts"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let mut forms = 0;
    for case in cases["cases"].as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        let path = folder.path().join(name);
        let mut files: Vec<Vec<u8>> = vec![case["to_json"].as_str().unwrap().into()];
        files.extend(case["pickles"].as_object().unwrap().values().map(bytes));
        if matches!(name, "plain" | "cut" | "oov" | "oov_cut") {
            // A word_index alone does not hold num_words: the model's number of ids takes its place.
            files.push(case["word_index"].to_string().into());
            files.push(bytes(&case["word_index_pickle"]));
        }
        for file in files {
            fs::write(&path, &file).expect("written");
            let size = match name {
                "cut" => 8,
                "oov_cut" => 6,
                _ => 100,
            };
            let tokenizer = Tokenizer::from_keras(&path, size).expect(name);
            let again = Tokenizer::from_bytes(tokenizer.to_json().expect("JSON")).expect("its own JSON");
            for tokenizer in [tokenizer, again] {
                let found: Vec<Vec<u32>> = texts.iter().map(|text| tokenizer.encode(text).unwrap()).collect();
                assert_eq!(found, rows(&case["sequences"]), "{name}");
                let largest = found.iter().flatten().max().copied().unwrap_or(0);
                assert!(tokenizer.vocab_size() > largest as usize, "{name}");
                for (sides, expected) in case["padded"].as_object().unwrap() {
                    let (padding, truncating) = sides.split_once(' ').unwrap();
                    let padding = Padding {
                        padding: padding.parse().unwrap(),
                        truncating: truncating.parse().unwrap(),
                    };
                    assert_eq!(
                        pad_sequences_with(&found, 6, padding),
                        rows(expected).concat(),
                        "{name} {sides}"
                    );
                }
            }
            forms += 1;
        }
    }
    assert_eq!(forms, 48);
}

/// From the command line, and the same from the model's ids.
#[test]
fn a_tokenizer_of_keras_reads_text() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    let cases: Value = serde_json::from_str(CASES).expect("cases");
    let texts: Vec<&str> = cases["texts"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let case = cases["cases"].as_array().unwrap().iter().find(|case| case["name"] == "oov_cut").unwrap();
    fs::write(here.join("tokenizer.json"), case["to_json"].as_str().unwrap()).expect("written");
    fs::write(here.join("tokenizer.pickle"), bytes(&case["pickles"]["4"])).expect("written");
    for sides in ["pre pre", "pre post", "post pre", "post post"] {
        let (padding, truncating) = sides.split_once(' ').unwrap();
        let line = |row: &Vec<u32>| row.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
        let csv: Vec<String> = rows(&case["padded"][sides]).iter().map(line).collect();
        fs::write(here.join("x.csv"), csv.join("\n")).expect("written");
        let expected = json(run(here, &["predict", FILE, "--input", "x.csv", "--json"]));
        for file in ["tokenizer.json", "keras:tokenizer.json", "tokenizer.pickle", "keras:tokenizer.pickle"] {
            let given = [
                "predict",
                FILE,
                "--tokenizer",
                file,
                "--padding",
                padding,
                "--truncating",
                truncating,
                "--json",
            ];
            let found = json(run(here, &[&given, texts.as_slice()].concat()));
            for (index, text) in texts.iter().enumerate() {
                assert_eq!(found[index]["text"], **text);
                let near = |value: &Value| value.as_f64().unwrap();
                let (a, b) = (near(&found[index]["probability"]), near(&expected["y"][index][0]));
                assert!((a - b).abs() < 1e-6, "{file} {sides} {text}: {a} {b}");
            }
        }
    }
}

#[test]
fn a_word_index_is_asked_about() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    fs::write(here.join("w.json"), r#"{"the": 1, "film": 2, "good": 3, "bad": 20}"#).expect("written");
    let line = "--tokenizer w.json: is a word index, which two kinds of models read differently; say keras:w.json for";
    fails(run(here, &["predict", FILE, "the film", "--tokenizer", "w.json"]), line);
    fails(run(here, &["predict", FILE, "the film", "--tokenizer", "w.json"]), "or imdb:w.json for ids");
    let predict = |named: &str| {
        let found = json(run(here, &["predict", FILE, "The film, unheard", "--tokenizer", named, "--json"]));
        (found[0]["probability"].as_f64().unwrap(), found[0]["unknown"].as_f64().unwrap())
    };
    let ids = |row: &str| {
        fs::write(here.join("x.csv"), row).expect("written");
        json(run(here, &["predict", FILE, "--input", "x.csv", "--json"]))["y"][0][0].as_f64().unwrap()
    };
    fs::write(here.join("i.json"), r#"{"the": 1, "film": 2, "good": 3}"#).expect("written");
    let (keras, imdb) = (predict("keras:w.json"), predict("imdb:i.json"));
    assert!((keras.0 - ids("0,0,0,0,1,2")).abs() < 1e-6 && (imdb.0 - ids("0,0,1,4,5,2")).abs() < 1e-6);
    assert!((keras.1 - 1.0 / 3.0).abs() < 1e-6 && (imdb.1 - 1.0 / 3.0).abs() < 1e-6);
    // More words than the model reads are said to be left out.
    run(here, &["predict", FILE, "good", "--tokenizer", "keras:w.json"])
        .success()
        .stderr(contains("note: keras:w.json: the model reads ids below 12, so 1 of the words have no id"));
    // Keras's own file is known by its name.
    fs::rename(here.join("i.json"), here.join("imdb_word_index.json")).expect("renamed");
    run(here, &["predict", FILE, "good", "--tokenizer", "imdb_word_index.json"]).success().stderr("");
}

/// A pickled word index is asked about as its JSON is, and a `to_json()` that was dumped as a text is one all the same.
#[test]
fn other_ways_of_keeping_a_tokenizer() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    fs::write(here.join("w.pickle"), b"\x80\x02}q\x00X\x03\x00\x00\x00theq\x01K\x01s.").expect("written");
    let predict = |named: &str| run(here, &["predict", FILE, "the film", "--tokenizer", named, "--json"]);
    fails(
        predict("w.pickle"),
        "--tokenizer w.pickle: is a word index, which two kinds of models read differently",
    );
    let known = json(predict("keras:w.pickle"));
    assert_eq!(known[0]["unknown"], 0.5);
    let cases: Value = serde_json::from_str(CASES).expect("cases");
    let plain = cases["cases"].as_array().unwrap().iter().find(|case| case["name"] == "cut").unwrap();
    let text = plain["to_json"].as_str().unwrap();
    fs::write(here.join("plain.json"), text).expect("written");
    fs::write(here.join("dumped.json"), serde_json::to_string(text).unwrap()).expect("written");
    let given = |named: &str| String::from_utf8(predict(named).get_output().stdout.clone()).unwrap();
    for named in ["dumped.json", "keras:dumped.json"] {
        assert_eq!(given(named), given("plain.json"));
    }
    assert!(!given("plain.json").is_empty());
}

#[test]
fn what_is_no_tokenizer_of_keras_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    let refused = |content: &[u8], line: &str| {
        fs::write(here.join("t"), content).expect("written");
        fails(run(here, &["predict", FILE, "the film", "--tokenizer", "keras:t"]), line);
    };
    refused(
        b"\x80\x02cos\nsystem\nX\x02\0\0\0ls\x85R.",
        "t: holds a os.system, expected Keras's Tokenizer; nothing of it was run",
    );
    refused(b"\x80\x04\x95", "t: the pickle ends too early");
    for old in [
        &b"ccopy_reg\n_reconstructor\np0\n(ckeras_preprocessing.text\nTokenizer\n"[..],
        b"(dp0\nVfilm\n",
        b"}q\0(",
    ] {
        refused(
            old,
            "t: a pickle of protocol 0 or 1 (or none at all), expected 2 to 5; load it in Python and dump it again",
        );
    }
    refused(b"[1]", "t: neither what Keras's Tokenizer.to_json() writes nor its word_index");
    refused(br#"{"The": 2}"#, "the word \"The\" does not come from a Tokenizer with Keras's defaults");
    refused(br#"{"a": 2, "b": 1}"#, "its words are single characters");
    refused(br#"{"film": 4000000000}"#, "far beyond the number of words");
    refused(br#"{"film": -1}"#, "the word \"film\" has the id -1");
    refused(br#"{"class_name": "Tokenizer", "config": {}}"#, "not what Keras's Tokenizer.to_json() writes");
    let whole = r#"{"num_words": null, "filters": "", "lower": true, "split": " ", "char_level": false, "oov_token": "<x>",
        "document_count": 1, "word_counts": "{}", "word_docs": "{}", "index_docs": "{}", "index_word": "{}",
        "word_index": "{\"film\": 30}"}"#;
    let file = |config: &str| format!(r#"{{"class_name": "Tokenizer", "config": {config}}}"#);
    refused(file(whole).as_bytes(), "its oov_token \"<x>\" is not among its words");
    let without = whole.replace("\"<x>\"", "null");
    refused(file(&without).as_bytes(), "gives ids up to 30, and the model reads ids below 12");
    refused(file(&without.replace("\" \"", "\"\"")).as_bytes(), "its `split` is empty");
    fs::write(here.join("t.json"), file(whole)).expect("written");
    fails(
        run(here, &["summary", "t.json"]),
        "t.json: is a vocabulary, not a model; it goes with --tokenizer",
    );
}

/// Kept in the folder that a training leaves, and honoured when it is used again.
#[test]
fn a_run_keeps_its_tokenizer_and_padding() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    fs::write(here.join("w.json"), r#"{"the": 1, "film": 2, "good": 3, "bad": 4, "was": 5}"#)
        .expect("written");
    let options = ["--tokenizer", "keras:w.json", "--padding", "post", "--truncating", "post"];
    let train = ["train", FILE, "--epochs", "1", "--quiet", "--out", "run"];
    run(here, &[&train, options.as_slice()].concat()).success();
    let config: Value = serde_json::from_slice(&fs::read(here.join("run/config.json")).unwrap()).unwrap();
    assert_eq!(
        (&config["recipe"]["padding"], &config["recipe"]["truncating"]),
        (&"post".into(), &"post".into())
    );
    let card = fs::read_to_string(here.join("run/README.md")).unwrap();
    assert!(card.contains("reviews cut or padded at the end to 6 ids"), "{card}");
    let text = ["the film was good the film was bad", "good"];
    let predict =
        |more: &[&str]| json(run(here, &[&["predict", "run", text[0], text[1], "--json"], more].concat()));
    let own = predict(&[]);
    assert_eq!(own, predict(&options));
    assert_ne!(own, predict(&["--padding", "pre"]));
    fs::write(here.join("x.csv"), "1,2,5,3,1,2\n3,0,0,0,0,0\n").expect("written");
    let ids = json(run(here, &["predict", "run", "--input", "x.csv", "--json"]));
    for row in 0..2 {
        let (a, b) = (own[row]["probability"].as_f64().unwrap(), ids["y"][row][0].as_f64().unwrap());
        assert!((a - b).abs() < 1e-6, "{row}: {a} {b}");
    }
    let evaluated = json(run(here, &["evaluate", "run", "--json"]));
    assert_ne!(
        evaluated["loss"],
        json(run(here, &["evaluate", "run", "--padding", "pre", "--json"]))["loss"]
    );
    run(here, &["predict", "run", "--input", "x.csv", "--padding", "post"]).code(2);
}

/// A text that the vocabulary does not know is said to be one.
#[test]
fn unknown_words_are_counted() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    let predicted = run(here, &["predict", "lstm", "--json", "a qqq film", "qqq zzz", "..."]).success();
    let note = "note: \"qqq zzz\" has no word that the vocabulary knows: the answer says nothing about it\n\
                note: \"...\" has no words: the answer says nothing about it\n";
    let predicted = json(predicted.stderr(note));
    assert!((predicted[0]["unknown"].as_f64().unwrap() - 1.0 / 3.0).abs() < 1e-6);
    assert_eq!((predicted[1]["unknown"].as_f64(), &predicted[2]["unknown"]), (Some(1.0), &Value::Null));
}
