//! What is read and written a part at a time: arrays batch by batch, texts line by line.

use assert_cmd::Command;
use candle_core::{Device, Tensor, npy::NpzTensors};
use predicates::str::contains;
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Stdio};

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures");
/// Ids below 12, six a text.
const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/old_keras_2_1.h5");

fn program(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_candle-recurrent"));
    command.current_dir(folder).args(args);
    command
}

fn spawn(args: &[&str]) -> Child {
    std::process::Command::new(env!("CARGO_BIN_EXE_candle-recurrent"))
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts")
}

fn floats(tensor: Tensor) -> Vec<f32> {
    tensor.flatten_all().and_then(|flat| flat.to_vec1()).expect("floats")
}

/// A zip's checksums are looked at by the crate that reads it.
fn member(path: &Path, name: &str) -> Vec<u8> {
    let mut archive = zip::ZipArchive::new(fs::File::open(path).expect("a file")).expect("an archive");
    let mut bytes = vec![];
    archive.by_name(name).expect("a member").read_to_end(&mut bytes).expect("whole");
    bytes
}

/// Several outputs in small batches are the file that one batch makes, to the byte.
#[test]
fn answers_in_batches_make_the_same_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    let (model, input) = (format!("{FIXTURES}/goes_on_two.keras"), format!("{FIXTURES}/goes_on_two.npz"));
    let predict = |batch: &str, more: &[&str]| {
        let args = ["predict", &model, "--input", &input, "--batch-size", batch];
        let assert = program(here, &[&args[..], more].concat()).assert().success();
        String::from_utf8(assert.get_output().stdout.clone()).expect("text")
    };
    for suffix in ["npz", "safetensors"] {
        let names = ["160", "32"].map(|batch| {
            let name = format!("{batch}.{suffix}");
            let said = predict(batch, &["--output", &name]);
            assert_eq!(said, format!("{name}: y0 [160, 1], y1 [160, 2]\n"));
            here.join(name)
        });
        let [whole, parts] = names.each_ref().map(|path| fs::read(path).expect("a file"));
        assert!(whole == parts, "{suffix}");
    }
    let [y0, y1] = ["y0.npy", "y1.npy"].map(|name| member(&here.join("32.npz"), name));
    assert_eq!((y0.len(), y1.len()), (128 + 160 * 4, 128 + 160 * 8));
    // Numbers on standard output too, where the second output follows the first.
    assert_eq!(predict("160", &[]), predict("32", &[]));
    let json: Value = serde_json::from_str(&predict("32", &["--json"])).expect("JSON");
    let npz = NpzTensors::new(here.join("32.npz")).expect("arrays");
    for name in ["y0", "y1"] {
        let rows = json[name].as_array().expect("rows");
        let printed = rows.iter().flat_map(|row| row.as_array().expect("a row"));
        let printed: Vec<f32> = printed.map(|value| value.as_f64().expect("a number") as f32).collect();
        assert_eq!(printed, floats(npz.get(name).expect("read").expect("an array")));
    }
    // No temporary file is left behind.
    assert_eq!(fs::read_dir(here).expect("a folder").count(), 4);
}

/// More samples than a batch, from a mapped file and from a compressed one.
#[test]
fn a_mapped_array_and_an_unpacked_one_give_the_same_answers() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    let ids: Vec<f32> = (0..1000 * 6).map(|at| (at * 7 % 12) as f32).collect();
    let x = Tensor::from_vec(ids, (1000, 6), &Device::Cpu).expect("a tensor");
    x.write_npy(here.join("x.npy")).expect("written");
    Tensor::write_npz(&[("x", &x)], here.join("stored.npz")).expect("written");
    let bytes = fs::read(here.join("x.npy")).expect("a file");
    let mut archive = zip::ZipWriter::new(fs::File::create(here.join("packed.npz")).expect("a file"));
    archive.start_file("x.npy", zip::write::SimpleFileOptions::default()).expect("a member");
    archive.write_all(&bytes).expect("a member");
    archive.finish().expect("an archive");
    let answer = |input: &str| {
        let args = ["predict", FILE, "--input", input, "--output", "y.npy"];
        program(here, &args).assert().success().stdout("y.npy: y [1000, 1]\n");
        fs::read(here.join("y.npy")).expect("a file")
    };
    let expected = answer("x.npy");
    assert_eq!(expected.len(), 128 + 4000);
    assert!(answer("stored.npz") == expected && answer("packed.npz") == expected);

    let lines =
        (0..1000).map(|row| (0..6).map(|at| format!("{}", (row * 6 + at) * 7 % 12)).collect::<Vec<_>>());
    let table: String = lines.map(|line| line.join(",") + "\n").collect();
    fs::write(here.join("x.csv"), table).expect("written");
    assert!(answer("x.csv") == expected);

    // One byte of a stored member that is not what it was.
    let mut damaged = fs::read(here.join("stored.npz")).expect("a file");
    let at = damaged.len() / 2;
    damaged[at] ^= 1;
    fs::write(here.join("damaged.npz"), damaged).expect("written");
    let assert = program(here, &["predict", FILE, "--input", "damaged.npz", "--output", "no.npy"]).assert();
    assert.code(1).stderr(contains("damaged.npz: x is damaged"));
    assert!(!here.join("no.npy").exists());
}

/// A number that a later batch stumbles over leaves no file behind, nor half of one.
#[test]
fn what_fails_in_the_middle_leaves_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    let mut ids = vec![1_f32; 1000 * 6];
    ids[900 * 6] = 0.5;
    let x = Tensor::from_vec(ids, (1000, 6), &Device::Cpu).expect("a tensor");
    x.write_npy(here.join("x.npy")).expect("written");
    let assert = program(here, &["predict", FILE, "--input", "x.npy", "--output", "y.npz"]).assert();
    assert.code(1).stdout("").stderr(contains("is to hold token ids, and holds 0.5"));
    assert_eq!(fs::read_dir(here).expect("a folder").count(), 1);
}

/// Each line has its answer before the next is written.
#[test]
fn a_pipe_that_pauses_has_its_answers() {
    let mut child = spawn(&["predict", "lstm"]);
    let mut stdin = child.stdin.take().expect("a pipe");
    let mut answers = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    for text in ["a good film", "a dull film"] {
        writeln!(stdin, "{text}").expect("written");
        stdin.flush().expect("written");
        let answer = answers.next().expect("a line").expect("text");
        assert!(answer.ends_with(text), "{answer}");
    }
    // A line without an end is one too.
    write!(stdin, "\nlovely").expect("written");
    drop(stdin);
    let rest: Vec<String> = answers.map(|line| line.expect("text")).collect();
    assert!(rest.len() == 2 && rest[0].is_empty() && rest[1].ends_with("  lovely"), "{rest:?}");
    assert!(child.wait().expect("the program ends").success());
}

/// Thousands of lines, on several threads, in their order; blank ones at the start, in the middle and at the end.
#[test]
fn answers_stand_beside_their_lines() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = |at: usize| match at {
        0 | 1 | 9_998 | 9_999 => String::new(),
        at if at % 97 == 3 => " \t".into(),
        at => format!("a good film number {at}"),
    };
    let input: String = (0..10_000).map(|at| text(at) + "\n").collect();
    let output = |more: &[&str]| {
        let args = [&["predict", "lstm"], more].concat();
        let assert = program(folder.path(), &args).write_stdin(input.clone()).assert().success();
        String::from_utf8(assert.get_output().stdout.clone()).expect("text")
    };
    let lines = output(&[]);
    let lines: Vec<&str> = lines.lines().collect();
    let json: Value = serde_json::from_str(&output(&["--json"])).expect("JSON");
    let items = json.as_array().expect("a list");
    assert_eq!((lines.len(), items.len()), (10_000, 10_000));
    for (at, (line, item)) in lines.iter().zip(items).enumerate() {
        let text = text(at);
        if text.trim().is_empty() {
            let nothing =
                serde_json::json!({"text": "", "probability": null, "label": null, "unknown": null});
            assert_eq!((*line, item), ("", &nothing), "line {at}");
        } else {
            assert!(line.ends_with(&text) && item["text"] == text.as_str(), "line {at}: {line}");
        }
    }
}

/// What stands before a line that is no text is answered; the line is named by its number.
#[test]
fn a_line_that_is_no_text_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let predict = |input: Vec<u8>| program(folder.path(), &["predict", "lstm"]).write_stdin(input).assert();
    let before = "a good film\n".repeat(5000);
    let bad = predict([before.as_bytes(), b"b\xff\nmore\n"].concat()).code(1);
    let bad = bad.stderr("error: standard input, line 5001: is not UTF-8 text; convert the file first\n");
    assert_eq!(bad.get_output().stdout.iter().filter(|&&byte| byte == b'\n').count(), 5000);
    let long = predict([b"good\n".as_slice(), &vec![b'a'; (16 << 20) + 1], b"\nmore\n"].concat()).code(1);
    long.stderr("error: standard input, line 2: is longer than 16 MiB; give a text a line\n");
}

/// A model that pads a batch to its longest text takes as many texts at a time as Keras, however they come.
#[test]
fn texts_that_matter_to_each_other_run_together() {
    let model = format!("{FIXTURES}/texts_k3_adapted.keras");
    let folder = tempfile::tempdir().expect("a folder");
    let texts: Vec<String> = (0..100).map(|at| "good film ".repeat(at % 9 + 1)).collect();
    let at_once = program(folder.path(), &["predict", &model, "--json"])
        .write_stdin(texts.join("\n"))
        .assert()
        .success();
    let mut child = spawn(&["predict", &model, "--json"]);
    let mut stdin = child.stdin.take().expect("a pipe");
    for text in &texts {
        writeln!(stdin, "{text}").expect("written");
        stdin.flush().expect("written");
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    drop(stdin);
    let slowly = child.wait_with_output().expect("the program ends");
    assert!(slowly.stdout == at_once.get_output().stdout);
}
