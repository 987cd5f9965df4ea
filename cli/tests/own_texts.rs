//! Training on people's own labelled texts, from the command line.

use assert_cmd::Command;
use assert_cmd::assert::Assert;
use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;
use std::fmt::Write;
use std::fs;
use std::path::Path;

/// Where real data lie beside the project on some machines.
const SHARED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data");

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

/// Texts that a few epochs tell apart, with their labels.
fn rows(labels: &[&str]) -> Vec<(String, String)> {
    let words = ["lovely", "dreadful", "late"];
    let row = |index: usize| {
        let class = index % labels.len();
        let noise = ["film", "story", "cast", "end"][index / labels.len() % 4];
        (format!("a {} {noise}, {} indeed", words[class], words[class]), labels[class].to_string())
    };
    (0..120).map(row).collect()
}

fn csv(rows: &[(String, String)]) -> String {
    rows.iter().fold("document,label\n".into(), |mut text, (document, label)| {
        writeln!(text, "\"{document}\",{label}").expect("written");
        text
    })
}

const QUICK: [&str; 7] = ["--epochs", "15", "--optimizer", "adam", "--learning-rate", "0.02", "--json"];

fn train(folder: &Path, data: &str, more: &[&str]) -> (Value, String) {
    let assert = run(folder, &[&["train", "lstm", "--data", data], QUICK.as_slice(), more].concat());
    let messages = String::from_utf8(assert.get_output().stderr.clone()).expect("text");
    (json(assert), messages)
}

/// Every kind of file holds the same rows and so gives the same model.
#[test]
fn every_kind_of_file_gives_the_same_model() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    let rows = rows(&["good", "bad"]);
    let text = csv(&rows);
    let tsv: String = rows.iter().map(|(text, label)| format!("{label}\t{text}\n")).collect();
    let jsonl: String = rows
        .iter()
        .map(|(text, label)| {
            format!("{}\n", serde_json::json!({ "id": 7, "review": text, "sentiment": label }))
        })
        .collect();
    let fasttext: String = rows.iter().map(|(text, label)| format!("__label__{label} {text}\n")).collect();
    let utf16 = text.encode_utf16().flat_map(u16::to_le_bytes);
    let semicolons = text.replace("\",", "\";").replace("document,", "document;");
    for (name, bytes, found) in [
        (
            "x.csv",
            text.clone().into_bytes(),
            "separated by comma, a line of names, UTF-8; texts from column \"document\"",
        ),
        (
            "mark.csv",
            [b"\xef\xbb\xbf", text.as_bytes()].concat(),
            "separated by comma, a line of names, UTF-8",
        ),
        ("semicolons.csv", semicolons.into_bytes(), "separated by semicolon"),
        ("utf16.csv", [b"\xff\xfe".to_vec(), utf16.collect()].concat(), "UTF-16"),
        (
            "x.tsv",
            tsv.into_bytes(),
            "separated by tab, no line of names, UTF-8; texts from column 2, labels from column 1",
        ),
        (
            "x.jsonl",
            jsonl.into_bytes(),
            "JSON lines, UTF-8; texts from column \"review\", labels from column \"sentiment\"",
        ),
        ("x.txt", fasttext.into_bytes(), "fastText, UTF-8"),
    ] {
        fs::write(here.join(name), bytes).expect("written");
        let (report, messages) = train(here, name, &["--out", &format!("{name}-run")]);
        assert!(messages.contains(found), "{name}: {messages}");
        assert!(messages.contains("2 classes: bad (60), good (60)"), "{name}: {messages}");
        assert!(messages.contains("96 training, 24 validation and 0 test texts"), "{name}: {messages}");
        assert!(report["best_val_accuracy"].as_f64().expect("a figure") > 0.95, "{name}: {report}");
    }
    let weights = |run: &str| fs::read(here.join(run).join("model.safetensors")).expect("weights");
    for name in ["mark.csv", "semicolons.csv", "utf16.csv", "x.tsv", "x.jsonl"] {
        assert!(weights("x.csv-run") == weights(&format!("{name}-run")), "{name}");
    }
    // Classes as folders: the rows come in another order.
    for (index, (text, label)) in rows.iter().enumerate() {
        fs::create_dir_all(here.join("classes").join(label)).expect("a folder");
        fs::write(here.join("classes").join(label).join(format!("{index}.txt")), text).expect("written");
    }
    let (report, messages) = train(here, "classes", &["--out", "classes-run"]);
    assert!(messages.contains("a folder a class"), "{messages}");
    assert!(report["best_val_accuracy"].as_f64().expect("a figure") > 0.95, "{report}");

    // The run names its classes, and measures the same kinds of files.
    let config: Value =
        serde_json::from_slice(&fs::read(here.join("x.csv-run/config.json")).expect("a file")).expect("JSON");
    assert_eq!(config["classes"], serde_json::json!(["bad", "good"]));
    let found = json(run(here, &["predict", "x.csv-run", "--json", "a lovely film", "a dreadful film"]));
    assert_eq!((&found[0]["label"], &found[1]["label"]), (&"good".into(), &"bad".into()));
    for data in ["x.csv", "x.tsv", "x.jsonl", "x.txt", "classes"] {
        let found = json(run(here, &["evaluate", "x.csv-run", "--data", data, "--json", "--quiet"]));
        assert_eq!(found["samples"], 120, "{data}");
        assert!(found["accuracy"].as_f64().expect("a figure") > 0.95, "{data}: {found}");
    }
}

/// More classes are a softmax; other files validate and test; a model of numbers gives numbers.
#[test]
fn classes_and_numbers_have_their_heads() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    let all = rows(&["good", "bad", "late"]);
    fs::write(here.join("train.csv"), csv(&all[..90])).expect("written");
    fs::write(here.join("rest.csv"), csv(&all[90..])).expect("written");
    let more = [
        "--validation",
        "rest.csv",
        "--test",
        "rest.csv",
        "--out",
        "three",
        "--vocab-size",
        "12",
        "--max-len",
        "6",
    ];
    let (report, messages) = train(here, "train.csv", &more);
    assert!(messages.contains("90 training, 30 validation and 30 test texts"), "{messages}");
    assert!(messages.contains("30 of 30 in the test part stand in the training part too"), "{messages}");
    assert!(messages.contains("vocabulary: 8 words; unknown words: "), "{messages}");
    assert!(report["test_accuracy"].as_f64().expect("a figure") > 0.95, "{report}");
    let found = json(run(here, &["predict", "three", "--json", "a late film"]));
    assert_eq!(found[0]["label"], "late");
    assert_eq!(found[0]["probability"], found[0]["probabilities"]["late"]);
    run(here, &["predict", "three", "a late film"]).success().stdout(contains("late  "));
    let found = json(run(here, &["evaluate", "three", "--data", "rest.csv", "--json"]));
    assert_eq!(found["accuracy"], 1.0);

    let numbers: Vec<_> = rows(&["0.5", "-1.5", "2"]);
    fs::write(here.join("numbers.csv"), csv(&numbers)).expect("written");
    let (report, messages) = train(here, "numbers.csv", &["--out", "numbers"]);
    assert!(messages.contains("numbers from -1.5 to 2, 0.3333 on average"), "{messages}");
    assert!(report["best_val_mae"].as_f64().expect("a figure") < 0.5, "{report}");
    let found = json(run(here, &["predict", "numbers", "--json", "a late film"]));
    assert!(found[0]["value"].as_f64().expect("a number") > 1.0, "{found}");
    let found = json(run(here, &["evaluate", "numbers", "--data", "numbers.csv", "--json"]));
    assert!(found["mae"].as_f64().expect("a figure") < 0.5, "{found}");

    // Whole numbers may be either.
    let stars: Vec<_> = rows(&["1", "3", "5"]);
    fs::write(here.join("stars.csv"), csv(&stars)).expect("written");
    fails(
        run(here, &["train", "--data", "stars.csv", "--quiet"]),
        "--task: the labels of stars.csv are 3 whole numbers from 1 to 5, which may be classes or amounts",
    );
    let (_, messages) = train(here, "stars.csv", &["--task", "classification", "--out", "stars"]);
    assert!(messages.contains("3 classes: 1 (40), 3 (40), 5 (40)"), "{messages}");
}

/// A row that cannot be used is left out and told, also where all else is quiet.
#[test]
fn rows_that_cannot_be_used_are_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    let good = csv(&rows(&["good", "bad"]));
    let bad = "one,two,three\n,good\nno label,\nalone\na\0b,good\nquite odd,once\n";
    fs::write(here.join("x.csv"), good.clone() + bad).expect("written");
    let assert = run(here, &["train", "lstm", "--data", "x.csv", "--epochs", "1", "--quiet", "--out", "run"])
        .success();
    for line in [
        "warning: x.csv, line 122: has 3 fields, expected 2; the row is left out",
        "warning: x.csv, line 123: has no text; the row is left out",
        "warning: x.csv, line 124: has no label; the row is left out",
        "warning: x.csv, line 125: has 1 field, expected 2; the row is left out",
        "warning: x.csv, line 126: holds a NUL character; the row is left out",
        "warning: x.csv, line 127: the label \"once\" is in this row alone; is it a slip?",
    ] {
        assert!(String::from_utf8_lossy(&assert.get_output().stderr).contains(line), "{line}: {assert}");
    }
    // What the model has no class for, and many of them.
    fs::write(here.join("two.csv"), &good).expect("written");
    run(here, &["train", "lstm", "--data", "two.csv", "--epochs", "1", "--quiet", "--out", "two"]).success();
    let strange: String = (0..12).map(|index| format!("a film {index},unheard\n")).collect();
    fs::write(here.join("strange.csv"), good + &strange).expect("written");
    run(here, &["evaluate", "two", "--data", "strange.csv"])
        .success()
        .stdout(contains("(120 texts)"))
        .stderr(contains("strange.csv, line 122: has the label \"unheard\", which is no class of the model; the row is left out"))
        .stderr(contains("2 more rows are left out for such reasons: line 132, line 133"));
    for (name, row) in [
        ("x.jsonl", "{\"text\": \"a\", \"label\": [1]}\nnonsense\n{\"text\": \"b\"}\n"),
        ("x.txt", "no mark\n__label__a __label__b two\n"),
    ] {
        let more: String = rows(&["good", "bad"])
            .iter()
            .map(|(text, label)| match name {
                "x.jsonl" => format!("{}\n", serde_json::json!({ "text": text, "label": label })),
                _ => format!("__label__{label} {text}\n"),
            })
            .collect();
        fs::write(here.join(name), more + row).expect("written");
        let assert =
            run(here, &["evaluate", "two", "--data", name]).success().stdout(contains("(120 texts)"));
        let lines: &[&str] = match name {
            "x.jsonl" => &["line 121: holds a list", "line 122: is no JSON object", "line 123: has no label"],
            _ => &["line 121: has no label", "line 122: has 2 labels, expected one"],
        };
        for line in lines {
            assert!(String::from_utf8_lossy(&assert.get_output().stderr).contains(line), "{line}: {assert}");
        }
    }
}

/// One clear line each.
#[test]
fn what_cannot_be_read_is_said_in_a_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    let korean = "문서,분류\n";
    for (name, bytes, line) in [
        ("empty.csv", &b""[..], "empty.csv: is empty; expected rows of a text and a label"),
        ("blank.csv", b"\n  \n", "blank.csv: is empty"),
        (
            "one.csv",
            b"text\na film\nno film\n",
            "one.csv: has one column (text), expected one of texts and one of labels",
        ),
        (
            "open.csv",
            b"text,label\na,1\n\"b, c,1\nd, e,0\nf,1\n",
            "open.csv, line 3: a quote opens here and never closes",
        ),
        ("header.csv", b"text,label\n", "header.csv: holds no rows"),
        (
            "same.csv",
            b"text,label\na,1\nb,1\n",
            "same.csv: every row has the label \"1\"; expected two or more",
        ),
        (
            "nul.csv",
            b"text,label\na\0,1\nb\0,0\n",
            "nul.csv: none of its 2 rows can be used: line 2 holds a NUL character",
        ),
        (
            "latin.csv",
            b"text,label\nit\x92s good,1\nbad,0\n",
            "latin.csv: line 2 is not UTF-8, and the file is no UTF-16 or CP949",
        ),
        ("png.csv", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\xff\xfe", "png.csv: line 1 is not UTF-8"),
        ("par.parquet", b"PAR1 and no more", "par.parquet: not a readable Parquet file"),
        (
            "three.csv",
            b"a,b,c\nx,y,z\nu,v,w\n",
            "--label-column: which column of three.csv holds the labels cannot be told; name it: ",
        ),
        ("list.jsonl", b"{\"text\": 1}\n", "list.jsonl: has one column (text)"),
        ("brace.jsonl", b"{\"text\": \n", "brace.jsonl: has one column ()"),
        ("few.csv", b"text,label\na,1\nb,0\n", "--validation-split: 0.2 keeps none of the 2 rows"),
        (
            "dots.csv",
            b"text,label\n...,1\n!!,0\n?,1\n??,0\n-,1\n--,0\n",
            "dots.csv: the training texts have no words",
        ),
    ] {
        fs::write(here.join(name), bytes).expect("written");
        let assert = run(here, &["train", "--data", name, "--quiet"]);
        if name == "three.csv" {
            fails(run(here, &["train", "--data", name, "--quiet", "--text-column", "a"]), line);
            continue;
        }
        fails(assert, line);
    }
    fs::write(here.join("x.csv"), korean.to_string() + &csv(&rows(&["good", "bad"]))[15..]).expect("written");
    fails(
        run(here, &["train", "--data", "x.csv", "--text-column", "document"]),
        "--text-column: x.csv has no column \"document\"; it has 문서, 분류",
    );
    fails(run(here, &["train", "--text-column", "a"]), "--text-column: goes with --data FILE");
    fails(run(here, &["train", "--test", "x.csv"]), "--test: goes with --data FILE");
    fails(
        run(here, &["train", "--data", "x.csv", "--test", "no.csv"]),
        "--test no.csv: there is no such file",
    );
    fails(
        run(here, &["train", "--data", "x.csv", "--task", "regression", "--quiet"]),
        "x.csv, line 2: the label \"good\" is no number",
    );
    fs::create_dir(here.join("nothing")).expect("a folder");
    fails(run(here, &["train", "--data", "nothing"]), "nothing: holds no reviews");
    assert!(!here.join("runs").exists(), "nothing is left behind");
}

/// Korean comments, tab-separated, some of them with quotes that never close.
#[test]
fn nsmc_is_read_whole() {
    let path = format!("{SHARED}/nsmc/ratings_train.txt");
    if !Path::new(&path).is_file() {
        eprintln!("skipped: {path} is not there");
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    let test = format!("{SHARED}/nsmc/ratings_test.txt");
    let assert =
        run(here, &["train", "lstm", "--data", &path, "--test", &test, "--epochs", "1", "--out", "run"])
            .success();
    let messages = String::from_utf8_lossy(&assert.get_output().stderr).into_owned();
    for line in [
        "separated by tab, a line of names",
        "texts from column \"document\", labels from column \"label\"; 10000 rows",
        "2 classes: 0 (",
        "in the test part stand in the training part too",
    ] {
        assert!(messages.contains(line), "{line}: {messages}");
    }
    // The same in the encoding of older Korean files.
    let text = fs::read_to_string(&path).expect("a file");
    let rows: Vec<&str> = text.lines().take(200).collect();
    let rows = rows.join("\n");
    let (encoded, _, lossy) = encoding_rs::EUC_KR.encode(&rows);
    if !lossy {
        fs::write(here.join("cp949.txt"), encoded).expect("written");
        run(here, &["evaluate", "run", "--data", "cp949.txt"])
            .success()
            .stderr(contains("CP949; texts from column"));
    }
}

/// A sample of IMDB in the Hub's Parquet form, one file by itself.
#[test]
fn a_parquet_file_is_read() {
    let path = format!("{SHARED}/imdb/plain_text/test-00000-of-00001.parquet");
    if !Path::new(&path).is_file() {
        eprintln!("skipped: {path} is not there");
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    run(folder.path(), &["evaluate", "lstm", "--data", &path])
        .success()
        .stdout(contains("(2500 texts)"))
        .stderr(contains("Parquet; texts from column \"text\", labels from column \"label\"; 2500 rows"));
}

/// The mask and the batches of like length are in the configuration, and what is trained with them answers alike however many
/// texts stand beside it.
#[test]
fn padding_is_masked_unless_somebody_says_otherwise() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    let mut rows = rows(&["good", "bad"]);
    rows.iter_mut().step_by(3).for_each(|row| row.0 = row.0.repeat(4));
    fs::write(here.join("rows.csv"), csv(&rows)).expect("written");
    let config = |name: &str| -> Value {
        let text = fs::read_to_string(here.join(name).join("config.json")).expect("read");
        serde_json::from_str(&text).expect("JSON")
    };
    train(here, "rows.csv", &["--out", "masked"]);
    train(here, "rows.csv", &["--out", "plain", "--no-masking"]);
    train(here, "rows.csv", &["--out", "in-order", "--no-shuffle"]);
    for (name, mask, grouped) in
        [("masked", true, Some(true)), ("plain", false, None), ("in-order", true, None)]
    {
        let config = config(name);
        assert_eq!(config["model"]["layers"][1]["config"]["mask_zero"], mask, "{name}");
        assert_eq!(config["recipe"]["group_by_length"].as_bool(), grouped, "{name}");
    }
    let short = "a lovely film, lovely indeed";
    let alone = json(run(here, &["predict", "masked", "--json", short]));
    let beside = json(run(here, &["predict", "masked", "--json", short, &"a dreadful end ".repeat(9)]));
    assert_eq!(alone[0], beside[0]);
    assert_eq!(alone[0]["label"], "good");
}
