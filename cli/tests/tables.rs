//! Tables of texts that `predict` answers row by row.

use assert_cmd::Command;
use assert_cmd::assert::Assert;
use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;
use std::fs;
use std::path::Path;

fn run(folder: &Path, args: &[&str]) -> Assert {
    Command::new(env!("CARGO_BIN_EXE_candle-recurrent")).current_dir(folder).args(args).assert()
}

fn fails(assert: Assert, line: &str) {
    let one_line = predicate::function(|text: &str| text.lines().count() == 1 && text.starts_with("error: "));
    assert.code(1).stderr(one_line).stderr(contains(line));
}

fn stdout(assert: Assert) -> String {
    String::from_utf8(assert.success().get_output().stdout.clone()).expect("text")
}

/// The label and the number that a text alone gets.
fn alone(here: &Path, text: &str) -> (String, f64) {
    let found: Value =
        serde_json::from_str(&stdout(run(here, &["predict", "lstm", "--json", text]))).expect("JSON");
    (found[0]["label"].as_str().expect("a label").into(), found[0]["probability"].as_f64().expect("a number"))
}

#[test]
fn a_table_comes_back_with_its_answers() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    fs::write(
        here.join("x.csv"),
        "id,text,who\n1,\"a great film, \"\"so\"\" moving\nand long\",\"a,b\"\n2,no label\n3,,c\n\n4,a dull film,d\n",
    )
    .expect("written");
    let assert = run(here, &["predict", "lstm", "--input", "x.csv", "--output", "y.csv"]);
    let assert =
        assert.success().stdout("y.csv: 4 rows, 2 of them without an answer; with label, probability\n");
    let said = String::from_utf8_lossy(&assert.get_output().stderr).into_owned();
    assert!(
        said.contains("warning: x.csv, line 4: has 2 fields, expected 3; the row has no answer"),
        "{said}"
    );
    assert!(said.contains("warning: x.csv, line 5: has no text; the row has no answer"), "{said}");
    let written = fs::read_to_string(here.join("y.csv")).expect("a file");
    let ((first, p), (last, q)) =
        (alone(here, "a great film, \"so\" moving\nand long"), alone(here, "a dull film"));
    let expected = format!(
        "id,text,who,label,probability\n1,\"a great film, \"\"so\"\" moving\nand long\",\"a,b\",{first},{}\n2,no label,,,\n3,,c,,\n4,a dull film,d,{last},{}\n",
        p as f32, q as f32
    );
    assert_eq!(written, expected);
    // The same on standard output.
    assert_eq!(stdout(run(here, &["predict", "lstm", "--input", "x.csv"])), expected);
    // The first that cannot be read ends it, and nothing is written.
    let strict = ["predict", "lstm", "--input", "x.csv", "--output", "z.csv", "--strict"];
    run(here, &strict).code(1).stderr(contains("error: x.csv, line 4: has 2 fields, expected 3"));
    assert!(!here.join("z.csv").exists());
    assert_eq!(fs::read_dir(here).expect("a folder").count(), 2);
    // A table that is read is not written over.
    fails(
        run(here, &["predict", "lstm", "--input", "x.csv", "--output", "./x.csv"]),
        "is what is being read",
    );
    fails(
        run(here, &["predict", "lstm", "--input", "x.csv", "--output", "y.jsonl"]),
        "give a .csv or .tsv or .txt",
    );
    fails(
        run(here, &["predict", "lstm", "--input", "x.csv", "--text-column", "no"]),
        "--text-column: x.csv has no column \"no\"",
    );
    fails(run(here, &["predict", "lstm", "--input", "no.jsonl"]), "--input no.jsonl: there is no such file");
    fails(run(here, &["predict", "lstm", "--input", "x.csv", "--json"]), "give --output FILE");
    let report = stdout(run(
        here,
        &["predict", "lstm", "--input", "x.csv", "--json", "--output", "y.csv", "--text-column", "2"],
    ));
    let report: Value = serde_json::from_str(&report).expect("JSON");
    assert_eq!((&report["rows"], &report["answered"]), (&4.into(), &2.into()));
}

#[test]
fn every_kind_comes_back_as_it_was() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    let (label, number) = alone(here, "a great film");
    let number = number as f32;
    // Names that are taken.
    fs::write(here.join("x.tsv"), "label\ttext\n1\ta great film\n").expect("written");
    let assert = run(here, &["predict", "lstm", "--input", "x.tsv"]).success();
    let note = "note: x.tsv: its own columns keep their names; the answers are in predicted_label, predicted_probability";
    let found = stdout(assert.stderr(contains(note)));
    assert_eq!(
        found,
        format!("label\ttext\tpredicted_label\tpredicted_probability\n1\ta great film\t{label}\t{number}\n")
    );
    // Other encodings are read, and UTF-8 is written.
    let text = "번호,text\n가,a great film\n";
    let utf16: Vec<u8> = [0xfeff].into_iter().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect();
    for bytes in [utf16, encoding_rs::EUC_KR.encode(text).0.into_owned()] {
        fs::write(here.join("x.csv"), bytes).expect("written");
        let found = stdout(run(here, &["predict", "lstm", "--input", "x.csv"]));
        assert_eq!(found, format!("번호,text,label,probability\n가,a great film,{label},{number}\n"));
    }
    // Without a line of names.
    fs::write(here.join("x.csv"), "7;a great film\n8;a great film\n9;a film\n").expect("written");
    let found = stdout(run(here, &["predict", "lstm", "--input", "x.csv", "--text-column", "2"]));
    assert!(found.starts_with(&format!("7;a great film;{label};{number}\n8;")), "{found}");
    // JSON lines, with the likeliest classes.
    fs::write(here.join("x.jsonl"), "{\"n\": 1.50, \"text\": \"a great film\"}\nno\n").expect("written");
    let assert = run(here, &["predict", "lstm", "--input", "x.jsonl", "--top", "2", "--output", "y.jsonl"]);
    assert.success().stderr(contains("x.jsonl, line 2: is no JSON object"));
    let written = fs::read_to_string(here.join("y.jsonl")).expect("a file");
    let first = written.lines().next().expect("a line");
    assert!(first.starts_with(&format!("{{\"n\": 1.50, \"text\": \"a great film\", \"label\": \"{label}\", \"probability\": {number}, \"top_1\": ")), "{first}");
    let rows: Vec<Value> = written.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(rows.len(), 2);
    assert!(rows[1]["label"].is_null() && rows[0]["top_2_probability"].as_f64().is_some_and(|p| p <= 0.5));
    // Lines and JSON tell them too.
    let shown = stdout(run(here, &["predict", "lstm", "--top", "2", "a great film"]));
    assert!(
        shown.starts_with(&format!("{label} "))
            && shown.contains(", ")
            && shown.ends_with("  a great film\n"),
        "{shown}"
    );
    let found: Value = serde_json::from_str(&stdout(run(
        here,
        &["predict", "lstm", "--top", "1", "--json", "a great film"],
    )))
    .expect("JSON");
    assert_eq!(found[0]["top"][0]["label"], found[0]["label"]);
    // What says something of texts says nothing of arrays.
    fs::write(here.join("n.csv"), "1,2,3\n").expect("written");
    run(here, &["predict", "lstm", "--input", "n.csv", "--top", "2"])
        .code(2)
        .stderr(contains("--top: goes with texts"));
}

/// Batch by batch, on all processors, in their order.
#[test]
fn many_rows_keep_their_order() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    let rows: String =
        (0..30_000).map(|at| format!("{at},a {} film and more\n", ["great", "dull", ""][at % 3])).collect();
    fs::write(here.join("x.csv"), format!("id,text\n{rows}")).expect("written");
    run(here, &["predict", "lstm", "--input", "x.csv", "--output", "y.csv"]).success();
    let written = fs::read_to_string(here.join("y.csv")).expect("a file");
    let lines: Vec<&str> = rows.lines().collect();
    let texts = lines.iter().map(|line| line.split_once(',').expect("two").1).collect::<Vec<_>>().join("\n");
    let assert = Command::new(env!("CARGO_BIN_EXE_candle-recurrent"))
        .args(["predict", "lstm"])
        .write_stdin(texts)
        .assert();
    let said = stdout(assert);
    assert_eq!(written.lines().count(), 30_001);
    for ((line, row), said) in written.lines().skip(1).zip(&lines).zip(said.lines()) {
        let label = said.split_whitespace().next().expect("a label");
        assert!(line.starts_with(&format!("{row},{label},")), "{line}: {said}");
    }
}

/// Every column of a Parquet file is copied, whatever it holds.
#[test]
fn a_parquet_file_comes_back() {
    let path =
        concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data/imdb/plain_text/test-00000-of-00001.parquet");
    if !Path::new(path).is_file() {
        eprintln!("skipped: {path} is not there");
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    fails(run(here, &["predict", "lstm", "--input", path]), "give --output FILE");
    let assert = run(here, &["predict", "lstm", "--input", path, "--output", "y.parquet"]);
    assert.success().stdout("y.parquet: 2500 rows; with predicted_label, predicted_probability\n");
    // What was there is there still, for this program's own reader; and its columns are taken by the next.
    let measured = |data: &str| stdout(run(here, &["evaluate", "lstm", "--data", data, "--quiet", "--json"]));
    assert_eq!(measured(path), measured("y.parquet"));
    let again = run(here, &["predict", "lstm", "--input", "y.parquet", "--output", "z.parquet"]);
    again.success().stdout(contains("predicted_label_2, predicted_probability_2"));
    // One that is cut is refused, and nothing is left.
    let bytes = fs::read(path).expect("a file");
    fs::write(here.join("cut.parquet"), &bytes[..bytes.len() / 2]).expect("written");
    fails(
        run(here, &["predict", "lstm", "--input", "cut.parquet", "--output", "c.parquet"]),
        "not a readable Parquet file",
    );
    assert!(!here.join("c.parquet").exists());
}

/// A list of JSON comes back as one, each object as it was with its answer in it.
#[test]
fn a_json_list_comes_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    let (label, number) = alone(here, "a great film");
    let number = number as f32;
    let list = "[\n  {\n    \"n\": 12345678901234567890123,\n    \"text\": \"a great film\"\n  },\n  {\"text\": null, \"late\": 1}, 7,\n {\"text\": \"a great film\"}]";
    fs::write(here.join("x.json"), list).expect("written");
    let assert = run(here, &["predict", "lstm", "--input", "x.json", "--output", "y.json"]).success();
    let assert = assert.stdout("y.json: 4 rows, 2 of them without an answer; with label, probability\n");
    let assert = assert.stderr(contains("x.json, item 2: has no text; the row has no answer"));
    assert.stderr(contains("x.json, item 3: is no JSON object"));
    let answer = format!("\"label\": \"{label}\", \"probability\": {number}}}");
    let none = "\"label\": null, \"probability\": null}";
    let expected = format!(
        "[\n{{\n    \"n\": 12345678901234567890123,\n    \"text\": \"a great film\", {answer},\n{{\"text\": null, \"late\": 1, {none},\n{{{none},\n{{\"text\": \"a great film\", {answer}\n]\n"
    );
    let written = fs::read_to_string(here.join("y.json")).expect("a file");
    assert_eq!(written, expected);
    assert_eq!(stdout(run(here, &["predict", "lstm", "--input", "x.json"])), expected);
    let parsed: Vec<Value> = serde_json::from_str(&written).expect("JSON");
    assert_eq!(parsed.len(), 4);
    // A name that is taken far down is taken.
    fs::write(here.join("z.json"), "[{\"text\": \"a great film\"},\n {\"text\": \"a film\", \"label\": 1}]")
        .expect("written");
    let found = stdout(run(here, &["predict", "lstm", "--input", "z.json"]));
    assert!(found.contains("\"predicted_label\""), "{found}");
    fails(
        run(here, &["predict", "lstm", "--input", "x.json", "--output", "y.csv"]),
        "is a table of the same kind; give a .json",
    );
    fs::write(here.join("cut.json"), &list[..list.len() - 1]).expect("written");
    fails(run(here, &["predict", "lstm", "--input", "cut.json"]), "cut.json: is no JSON list of objects");
}

/// An encoding that is named is taken, and a mark at the beginning goes before it or is refused.
#[test]
fn encodings_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    let (label, number) = alone(here, "a great film");
    let number = number as f32;
    let text = "番号,text\n映画,a great film\n";
    let expected = format!("番号,text,label,probability\n映画,a great film,{label},{number}\n");
    fs::write(here.join("x.csv"), encoding_rs::SHIFT_JIS.encode(text).0).expect("written");
    fails(run(here, &["predict", "lstm", "--input", "x.csv"]), "x.csv: line 1 is not UTF-8");
    assert_eq!(
        stdout(run(here, &["predict", "lstm", "--input", "x.csv", "--encoding", "shift_jis"])),
        expected
    );
    fails(
        run(here, &["predict", "lstm", "--input", "x.csv", "--encoding", "utf-8"]),
        "x.csv: is not UTF-8 throughout: line 1 is not",
    );
    let utf16 = |mark: bool, big: bool| -> Vec<u8> {
        let mark = if mark { Some(0xfeff) } else { None };
        let units = mark.into_iter().chain(text.encode_utf16());
        units.flat_map(|unit: u16| if big { unit.to_be_bytes() } else { unit.to_le_bytes() }).collect()
    };
    for (mark, big) in [(true, true), (true, false), (false, true), (false, false)] {
        fs::write(here.join("x.csv"), utf16(mark, big)).expect("written");
        let found = stdout(run(here, &["predict", "lstm", "--input", "x.csv", "--encoding", "utf-16"]));
        assert_eq!(found, expected, "{mark} {big}");
    }
    fs::write(here.join("x.csv"), utf16(true, true)).expect("written");
    fails(
        run(here, &["predict", "lstm", "--input", "x.csv", "--encoding", "latin1"]),
        "x.csv: begins with the mark of UTF-16BE, and windows-1252 is what is asked for; ask for UTF-16BE",
    );
    run(here, &["predict", "lstm", "--encoding", "latin1", "a film"]).code(2);
    fs::write(here.join("n.csv"), "1,2,3\n").expect("written");
    run(here, &["predict", "lstm", "--input", "n.csv", "--encoding", "latin1"])
        .code(2)
        .stderr(contains("--encoding: goes with texts"));
}
