//! Data sets by their addresses.

use super::{Desk, fails, json};
use predicates::str::contains;
use serde_json::Value;
use std::fs;

/// Texts that a few epochs tell apart.
fn rows(from: usize, to: usize) -> Vec<(String, i64)> {
    (from..to)
        .map(|index| {
            (format!("a {} film, number {index}", ["dreadful", "lovely"][index % 2]), (index % 2) as i64)
        })
        .collect()
}

fn csv(rows: &[(String, i64)]) -> Vec<u8> {
    let lines = rows.iter().map(|(text, label)| format!("\"{text}\",{label}\n"));
    format!("text,label\n{}", lines.collect::<String>()).into_bytes()
}

fn parquet(rows: &[(String, i64)]) -> Vec<u8> {
    use parquet::data_type::{ByteArrayType, Int64Type};
    let schema = "message schema { required binary text (STRING); required int64 label; }";
    let schema = std::sync::Arc::new(parquet::schema::parser::parse_message_type(schema).unwrap());
    let mut bytes = vec![];
    let mut writer =
        parquet::file::writer::SerializedFileWriter::new(&mut bytes, schema, Default::default()).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let texts: Vec<_> = rows.iter().map(|row| row.0.as_str().into()).collect();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<ByteArrayType>().write_batch(&texts, None, None).unwrap();
    column.close().unwrap();
    let labels: Vec<i64> = rows.iter().map(|row| row.1).collect();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<Int64Type>().write_batch(&labels, None, None).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    writer.close().unwrap();
    bytes
}

fn train(desk: &Desk, data: &str, out: &str, more: &[&str]) -> (Value, String) {
    let quick = ["train", "lstm", "--data", data, "--epochs", "2", "--json", "--out", out];
    let assert = desk.run(&[&quick, more].concat());
    let messages = String::from_utf8(assert.get_output().stderr.clone()).unwrap();
    (json(assert), messages)
}

/// The shards of a part are read as one, and the parts are used as such.
#[test]
fn parts_are_used_as_such() {
    let desk = Desk::new();
    let shards =
        [parquet(&rows(0, 60)), parquet(&rows(60, 100)), parquet(&rows(100, 120)), parquet(&rows(120, 150))];
    let commit = desk.hub.put(
        "datasets/me/films",
        "main",
        &[
            ("README.md", b"---\nlicense: mit\n---\n"),
            ("dataset_infos.json", b"{}"),
            ("data/train-00000-of-00002.parquet", &shards[0]),
            ("data/train-00001-of-00002.parquet", &shards[1]),
            ("data/validation-00000-of-00001.parquet", &shards[2]),
            ("data/test-00000-of-00001.parquet", &shards[3]),
            ("data/unsupervised-00000-of-00001.parquet", &shards[3]),
        ],
    );
    let (report, messages) = train(&desk, "hf://datasets/me/films", "run", &[]);
    for said in [
        "training from data/train-00000-of-00002.parquet, data/train-00001-of-00002.parquet",
        "validation from data/validation-00000-of-00001.parquet",
        "test from data/test-00000-of-00001.parquet",
        "left out: data/unsupervised-00000-of-00001.parquet",
        "hf://datasets/me/films: 2 files, Parquet; texts from column \"text\"",
        "100 training, 20 validation and 30 test texts",
    ] {
        assert!(messages.contains(said), "{said} is not in:\n{messages}");
    }
    assert_eq!(report["data"], "hf://datasets/me/films");
    let card = fs::read_to_string(desk.path().join("run/README.md")).unwrap();
    assert!(card.contains("datasets:\n- me/films\n"), "{card}");
    assert!(!desk.hub.requests().join(" ").contains("unsupervised"));

    // The same rows in one file give the same model.
    fs::write(desk.path().join("train.csv"), csv(&rows(0, 100))).unwrap();
    fs::write(desk.path().join("valid.csv"), csv(&rows(100, 120))).unwrap();
    train(&desk, "train.csv", "local", &["--validation", "valid.csv"]);
    let weights = |run: &str| fs::read(desk.path().join(run).join("model.safetensors")).unwrap();
    assert!(weights("run") == weights("local"));

    // A file of its own, at a commit; the test's rows are what is measured.
    desk.hub.requests();
    let file = format!("hf://datasets/me/films@{commit}/data/validation-00000-of-00001.parquet");
    let (_, messages) = train(&desk, "train.csv", "mixed", &["--validation", &file]);
    assert!(messages.contains("100 training, 20 validation and 0 test texts"), "{messages}");
    assert_eq!(desk.hub.requests(), [""; 0]);
    let figures = json(desk.run(&["evaluate", "run", "--data", "hf://datasets/me/films", "--json"]));
    assert_eq!(figures["samples"], 30);
    let figures = json(desk.offline(&["evaluate", "run", "--data", &file, "--json"]));
    assert_eq!(figures["samples"], 20);

    // To measure takes the test alone.
    let cache = desk.path().join("hf");
    fs::remove_dir_all(cache).unwrap();
    desk.hub.requests();
    json(desk.run(&["evaluate", "run", "--data", "hf://datasets/me/films", "--json"]));
    let log = desk.hub.requests().join(" ");
    assert!(log.contains("data/test-") && !log.contains("data/train-"), "{log}");
}

#[test]
fn tables_without_parts_are_split() {
    let desk = Desk::new();
    let (a, b) = (csv(&rows(0, 50)), csv(&[rows(50, 80), vec![(String::new(), 1)]].concat()));
    desk.hub.put("datasets/me/plain", "v1", &[("a.csv", &a), ("b.csv", &b)]);
    let (_, messages) = train(&desk, "hf://datasets/me/plain@v1", "run", &[]);
    assert!(messages.contains("64 training, 16 validation and 0 test texts"), "{messages}");
    assert!(messages.contains("b.csv, line 32: has no text"), "{messages}");
    let (_, messages) = train(&desk, "hf://datasets/me/plain@v1/a.csv", "other", &[]);
    assert!(messages.contains("40 training, 10 validation and 0 test texts"), "{messages}");
}

/// A file of arrays is one, wherever it comes from.
#[test]
fn arrays_come_from_the_hub_too() {
    let desk = Desk::new();
    let arrays = super::fixture("goes_on_forecast.npz");
    desk.hub.put("datasets/me/prices", "main", &[("prices.npz", &arrays), ("README.md", b"#")]);
    let model = format!("{}/goes_on_forecast.keras", super::FIXTURES);
    let data = "hf://datasets/me/prices/prices.npz";
    let found = json(desk.run(&["evaluate", &model, "--data", data, "--json"]));
    let local = format!("{}/goes_on_forecast.npz", super::FIXTURES);
    assert_eq!(found, json(desk.run(&["evaluate", &model, "--data", &local, "--json"])));
    desk.run(&["train", &model, "--data", data, "--epochs", "1", "--out", "run"]).success();
}

#[test]
fn what_is_no_data_set_is_said() {
    let desk = Desk::new();
    let table = csv(&rows(0, 20));
    let train = |data: &str| desk.run(&["train", "lstm", "--data", data, "--out", "run"]);
    desk.hub.put("datasets/me/none", "main", &[("README.md", b"#"), ("x.zip", b"x")]);
    fails(
        train("hf://datasets/me/none"),
        "holds no .csv, .tsv, .jsonl or .parquet; it holds README.md, x.zip",
    );
    desk.hub.put("datasets/me/two", "main", &[("en/train.csv", &table), ("ko/train.csv", &table)]);
    fails(train("hf://datasets/me/two"), "holds several sets: en, ko; name one: hf://datasets/me/two/en");
    desk.run(&["train", "lstm", "--data", "hf://datasets/me/two/ko", "--epochs", "1", "--out", "run"])
        .success();
    desk.hub.put("datasets/me/tests", "main", &[("test.csv", &table)]);
    train("hf://datasets/me/tests")
        .code(1)
        .stderr(contains("error: --data hf://datasets/me/tests: has no part to train on"));
    fails(train("hf://me/tests"), "is a model; a data set is hf://datasets/me/tests");
    fails(train("hf://datasets/me/nothing"), "there is no such repository");
    fails(
        train("hf://datasets/me/two/fr"),
        "there is no such file or folder; there are en/train.csv, ko/train.csv",
    );
    fails(train("hf://datasets/imdb"), "give hf://datasets/OWNER/NAME");
}

/// The command on a card names what others can get, and a card that is pushed says where the model is.
#[test]
fn cards_of_own_texts_say_where_things_are() {
    let desk = Desk::new();
    desk.hub.put("datasets/me/films", "main", &[("films.csv", &csv(&rows(0, 60)))]);
    fs::write(desk.path().join("valid.csv"), csv(&rows(60, 80))).unwrap();
    let address = "hf://datasets/me/films";
    train(
        &desk,
        address,
        "run",
        &["--validation", "valid.csv", "--test", "hf://datasets/me/films/films.csv"],
    );
    let card = fs::read_to_string(desk.path().join("run/README.md")).unwrap();
    let command = "candle-recurrent train PATH/TO/THIS/FOLDER --data hf://datasets/me/films --validation valid.csv --test \
                   hf://datasets/me/films/films.csv ";
    assert!(card.contains(command), "{card}");
    assert!(
        card.contains("candle-recurrent evaluate PATH/TO/THIS/FOLDER --data hf://datasets/me/films\n"),
        "{card}"
    );
    desk.run(&["push", "run", "me/films-lstm"]).success();
    let there = desk.hub.files("models/me/films-lstm", "main");
    let card = String::from_utf8(there["README.md"].clone()).unwrap();
    assert!(!card.contains("PATH/TO"), "{card}");
    for line in [
        "candle-recurrent predict hf://me/films-lstm \"a text of yours\"\n",
        "candle-recurrent evaluate hf://me/films-lstm --data hf://datasets/me/films\n",
        "candle-recurrent train hf://me/films-lstm --data hf://datasets/me/films ",
        "find_model(&hub, &\"hf://me/films-lstm\".parse()?",
    ] {
        assert!(card.contains(line), "{line} is not in:\n{card}");
    }
}

/// A table to be answered may lie on the Hub.
#[test]
fn tables_on_the_hub_are_answered() {
    let desk = Desk::new();
    let (a, b) = (csv(&rows(0, 4)), csv(&rows(4, 9)));
    desk.hub.put("datasets/me/one", "main", &[("films.csv", &a)]);
    desk.hub.put("datasets/me/two", "main", &[("a.csv", &a), ("b.csv", &b)]);
    for (input, rows) in [
        ("hf://datasets/me/one", 4),
        ("hf://datasets/me/two/b.csv", 5),
        ("hf://datasets/me/one/films.csv", 4),
    ] {
        let args = ["predict", "lstm", "--input", input, "--output", "y.csv"];
        desk.run(&args).success().stdout(contains(format!("y.csv: {rows} rows; with predicted_label")));
    }
    let several = desk.run(&["predict", "lstm", "--input", "hf://datasets/me/two"]);
    several.code(1).stderr(contains(
        "hf://datasets/me/two: has 2 files where one is to be read; name one: hf://datasets/OWNER/NAME/FILE",
    ));
}
