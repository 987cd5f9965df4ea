//! Mistakes and lies in what the command line is given: each is said on one line, and nothing is lost or filled by it.

use assert_cmd::Command;
use assert_cmd::assert::Assert;
use predicates::prelude::*;
use predicates::str::contains;
use std::fs;
use std::io::Write;
use std::path::Path;

/// Ids below 12, six a text.
const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/old_keras_2_1.h5");
const SHIPPED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/lstm/config.json");

fn run(folder: &Path, args: &[&str]) -> Assert {
    Command::new(env!("CARGO_BIN_EXE_candle-recurrent")).current_dir(folder).args(args).assert()
}

fn fails(assert: Assert, code: i32, line: &str) {
    let one_line = predicate::function(|text: &str| text.lines().count() == 1 && text.starts_with("error: "));
    assert.code(code).stdout("").stderr(one_line).stderr(contains(line));
}

fn npy(descr: &str, order: &str, shape: &str, content: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}");
    [b"\x93NUMPY\x01\0\x76\0".as_slice(), format!("{header:117}\n").as_bytes(), content].concat()
}

/// One text of six ids.
fn text() -> Vec<u8> {
    let ids: Vec<u8> = [1_f32, 2.0, 3.0, 4.0, 5.0, 6.0].iter().flat_map(|id| id.to_le_bytes()).collect();
    npy("<f4", "False", "(1, 6)", &ids)
}

fn npz(path: &Path, members: &[(&str, &[u8])]) {
    let mut archive = zip::ZipWriter::new(fs::File::create(path).expect("a file"));
    for (name, bytes) in members {
        let options = zip::write::SimpleFileOptions::default();
        archive.start_file(format!("{name}.npy"), options).expect("a member");
        archive.write_all(bytes).expect("a member");
    }
    archive.finish().expect("an archive");
}

/// The shipped lstm as an unpacked `.keras`, in the folder `lstm`; gives its config.json.
fn unpacked_lstm(here: &Path) -> String {
    run(here, &["convert", "lstm", "lstm.keras"]).success();
    let file = fs::File::open(here.join("lstm.keras")).expect("a file");
    zip::ZipArchive::new(file).expect("an archive").extract(here.join("lstm")).expect("unpacked");
    fs::read_to_string(here.join("lstm/config.json")).expect("a config")
}

/// Neither a shape that was made up nor an archive of zeros fills the memory, and an axis as long as it likes beside an
/// empty one is not walked along.
#[test]
fn arrays_that_lie_about_their_size() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    for (shape, order, line) in [
        ("(4000000000, 6)", "False", "ends too early for its shape [4000000000, 6]"),
        ("(4611686018427387904, 8)", "False", "ends too early"),
        ("(4611686018427387904, 8)", "True", "ends too early"),
        ("(99999999999999999999, 6)", "False", "the array's shape holds"),
        ("(4000000000000, 0)", "False", "holds no numbers, its shape being [4000000000000, 0]"),
        ("(0, 4000000000000)", "True", "holds no numbers"),
        ("(0, 6)", "False", "holds no numbers"),
    ] {
        let bytes = npy("<f4", order, shape, &[0; 24]);
        fs::write(here.join("x.npy"), &bytes).expect("written");
        npz(&here.join("x.npz"), &[("x", &bytes)]);
        for name in ["x.npy", "x.npz"] {
            let assert = Command::new(env!("CARGO_BIN_EXE_candle-recurrent"))
                .current_dir(here)
                .timeout(std::time::Duration::from_secs(60))
                .args(["predict", FILE, "--input", name])
                .assert();
            fails(assert, 1, line);
        }
    }
    npz(&here.join("x.npz"), &[("x", &npy("<f4", "False", "(8333333, 6)", &vec![0; 200_000_000]))]);
    fails(run(here, &["predict", FILE, "--input", "x.npz"]), 1, "x unpacks to more than");
}

/// An input that the model does not take is not passed over in silence; answers may lie beside it.
#[test]
fn arrays_that_the_model_does_not_take() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    let x = text();
    npz(&here.join("two.npz"), &[("x0", &x), ("x1", &x)]);
    let line = "two.npz: holds x1 besides x0, and the model has one input";
    fails(run(here, &["predict", FILE, "--input", "two.npz"]), 1, line);
    npz(&here.join("more.npz"), &[("x", &x), ("x1", &x)]);
    fails(run(here, &["predict", FILE, "--input", "more.npz"]), 1, "holds x1 besides x");
    npz(&here.join("answer.npz"), &[("x", &x), ("y", &x)]);
    run(here, &["predict", FILE, "--input", "answer.npz"]).success();
    fails(run(here, &["predict", FILE, "good", "--output", "y.npz"]), 2, "--output <FILE>");
    fails(run(here, &["predict", FILE, "--output", "y.npz"]), 2, "--input <FILE>");
    for name in ["y.txt", "y.tsv", "y.json", "y", ".csv"] {
        let args = ["predict", FILE, "--input", "x.npz", "--output", name];
        fails(run(here, &args), 2, "give a .npz, .npy, .safetensors or .csv");
    }
}

/// Only a line without any number is one of names.
#[test]
fn a_slip_in_a_table_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    let predict = |text: &str| {
        fs::write(here.join("x.csv"), text).expect("written");
        run(here, &["predict", FILE, "--input", "x.csv"])
    };
    fails(predict("1,2,3,4,5,l\n1,2,3,4,5,6\n"), 1, "x.csv, line 1, field 6: \"l\" is no number");
    fails(
        predict("\na,b,c,d,e,f\n\n1,2,3,4,5,6\n1,,3,4,5,6\n"),
        1,
        "x.csv, line 5, field 2: \"\" is no number",
    );
    fails(predict("1,2,3,4,5,6\n\n1,2\n"), 1, "x.csv, line 3: 2 numbers, the lines before have 6");
    let far = "x.csv, line 2, field 3: \"-1e999\" is beyond the range of f32";
    fails(predict("1,2,3,4,5,6\n1,2,-1e999,4,5,6\n"), 1, far);
    predict("a,b,c,d,e,f\n1,2,3,4,5,6\n").success().stdout(contains("y [1, 1]"));
    // What Excel calls CSV in UTF-8.
    predict("\u{feff}1;2;3;4;5;6\r\n").success().stdout(contains("y [1, 1]"));
}

#[test]
fn the_answer_does_not_replace_a_run() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    run(here, &["convert", "lstm", "run"]).success();
    fs::write(here.join("x.npy"), text()).expect("written");
    let args = ["predict", FILE, "--input", "x.npy", "--output", "run/model.safetensors"];
    fails(run(here, &args), 1, "run/model.safetensors: belongs to a model folder");
}

/// Nor the model that gives it.
#[test]
fn the_answer_does_not_replace_the_model() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    run(here, &["convert", "lstm", "w.safetensors"]).success();
    fs::write(here.join("x.csv"), "1,2,3\n").expect("written");
    let args =
        ["predict", "w.safetensors", "--config", SHIPPED, "--input", "x.csv", "--output", "w.safetensors"];
    fails(run(here, &args), 1, "w.safetensors: is what is being read");
    // Nor the weights of a folder without a history, which is no run.
    run(here, &["convert", "lstm", "model"]).success();
    fs::remove_file(here.join("model/history.csv")).expect("removed");
    let args = ["predict", "./model", "--input", "x.csv", "--output", "model/model.safetensors"];
    fails(run(here, &args), 1, "model/model.safetensors: is what is being read");
}

/// As in a table.
#[test]
fn an_array_beyond_f32_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    let model = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/k2_cells.h5");
    let x: Vec<u8> = (0..15).flat_map(|i| (if i == 7 { -1e300_f64 } else { 0.5 }).to_le_bytes()).collect();
    fs::write(here.join("x.npy"), npy("<f8", "False", "(1, 5, 3)", &x)).expect("written");
    let line = "x.npy: the input `input_1` holds -1e300, which is beyond the range of f32";
    fails(run(here, &["predict", model, "--input", "x.npy"]), 1, line);
}

/// Its answers would hang on the order and the number of what it is given at a time.
#[test]
fn a_stateful_model_is_not_evaluated_nor_written_for_keras() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    let config = unpacked_lstm(here);
    let stateful = config.replacen("\"stateful\":false", "\"stateful\":true", 1);
    assert_ne!(config, stateful);
    fs::write(here.join("lstm/config.json"), stateful).expect("written");
    // Unpacked files are known without their metadata too.
    fs::remove_file(here.join("lstm/metadata.json")).expect("removed");
    fails(run(here, &["evaluate", "./lstm"]), 1, "./lstm: is stateful");
    fails(run(here, &["convert", "./lstm", "again.keras"]), 1, "layer lstm: it is stateful");
    run(here, &["convert", "./lstm", "again.weights.h5"]).success();
}

/// In words that are not this program's, with the field.
#[test]
fn a_wrong_value_in_a_configuration_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    let shipped = fs::read_to_string(SHIPPED).expect("a config");
    let summary = |from: &str, to: &str| {
        assert!(shipped.contains(from), "{from}");
        fs::write(here.join("c.json"), shipped.replacen(from, to, 1)).expect("written");
        run(here, &["summary", "c.json"])
    };
    let layer = "c.json: layer lstm: LSTM: units: expected a whole number from 0, found";
    fails(summary("\"units\": 8", "\"units\": \"8\""), 1, &format!("{layer} \"8\""));
    fails(summary("\"units\": 8", "\"units\": -8"), 1, &format!("{layer} -8"));
    fails(summary("\"units\": 8", "\"units\": [8]"), 1, &format!("{layer} a list"));
    let recipe = "recipe: batch_size: expected a whole number from 0, found 6.5";
    fails(summary("\"batch_size\": 64", "\"batch_size\": 6.5"), 1, recipe);
    fails(summary("\"model\": {", "\"model\": 1, \"x\": {"), 1, "expected an object, found 1");
    fails(summary("\"lstm\",", "\"lstm\""), 1, "c.json: is not JSON: ");
    fs::write(here.join("c.json"), &shipped[..300]).expect("written");
    fails(run(here, &["summary", "c.json"]), 1, "c.json: ends too early");
    // As Windows's editor saves it.
    fs::write(here.join("c.json"), format!("\u{feff}{shipped}")).expect("written");
    run(here, &["summary", "c.json"]).success().stdout(contains("lstm (LSTM)"));
}

/// A history that someone has edited.
#[test]
fn a_slip_in_a_history_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    let header = "epoch,loss,accuracy,val_loss,val_accuracy,seconds";
    for (row, line) in [
        ("1,O.5,1,1,1,1", "h.csv: line 2: loss is \"O.5\", expected a number"),
        ("1,0.5,1,1,1", "h.csv: line 2: does not have as many figures"),
    ] {
        fs::write(here.join("h.csv"), format!("{header}\n{row}\n")).expect("written");
        fails(run(here, &["plot", "h.csv", "--out", "h.svg"]), 1, line);
    }
    fails(run(here, &["train", "--quiet", "--out", "h.csv"]), 1, "h.csv: is a file, where a folder");
    fails(run(here, &["evaluate", "lstm", "--tokenizer", "."]), 1, ".: is a folder, expected a file");
}

/// Sizes and rates beyond sense are refused, and before any work where that can be known.
#[test]
fn absurd_figures() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    fails(run(here, &["train", "--vocab-size", "4000000000"]), 2, "from 5 (ids 0 to 3 are");
    let shipped = fs::read_to_string(SHIPPED).expect("a config");
    let wide = shipped.replace("\"output_dim\": 16", "\"output_dim\": 4000000");
    fs::write(here.join("wide.json"), wide).expect("written");
    fails(run(here, &["train", "wide.json"]), 1, "wide.json: has 2");
    fails(run(here, &["train", "--quiet", "--learning-rate", "1e30"]), 1, "try a smaller learning rate");
}

/// What cannot be trained or measured is named by its file.
#[test]
fn a_model_that_is_no_classifier_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    run(here, &["convert", "lstm", "linear"]).success();
    let config = fs::read_to_string(here.join("linear/config.json")).expect("a config");
    let linear = config.replace("\"activation\": \"sigmoid\"", "\"activation\": \"linear\"");
    fs::write(here.join("linear/config.json"), linear).expect("written");
    for command in ["train", "evaluate", "predict"] {
        let args =
            if command == "predict" { vec![command, "linear", "good"] } else { vec![command, "linear"] };
        fails(
            run(here, &args),
            1,
            "binary_crossentropy: it takes probabilities, and the model ends in linear",
        );
    }
}

/// Of two runs into one folder at the same time the second is refused.
#[cfg(unix)]
#[test]
fn two_runs_do_not_share_a_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    fs::create_dir(here.join("run")).expect("a folder");
    let held = fs::File::open(here.join("run")).expect("the folder");
    held.lock().expect("a lock");
    let args = ["train", "--quiet", "--epochs", "1", "--out", "run"];
    fails(run(here, &args), 1, "run: another run is writing to it");
    held.unlock().expect("unlocked");
    run(here, &args).success();
}

/// A folder that is named like a file is not taken for the file, and an ending alone is no name.
#[test]
fn where_a_conversion_goes() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    fs::create_dir(here.join("lstm.keras")).expect("a folder");
    let is_folder = "OUT lstm.keras: is a folder, though named like a file";
    fails(run(here, &["convert", "lstm", "lstm.keras"]), 2, is_folder);
    assert_eq!(fs::read_dir(here.join("lstm.keras")).expect("the folder").count(), 0);
    run(here, &["convert", "lstm", "lstm.keras/"]).success();
    for name in [".keras", ".h5", ".weights.h5", ".safetensors", "lstm.keras/.keras"] {
        fails(run(here, &["convert", "lstm", name]), 2, "has an ending but no name; give NAME.");
        assert!(!here.join(name).exists());
    }
}

/// Output that nobody gets is no success.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_told() {
    for args in
        [&["--help"][..], &["--version"], &["train", "--help"], &["list"], &["predict", "lstm", "good"]]
    {
        let full = fs::File::options().write(true).open("/dev/full").expect("a device");
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_candle-recurrent"));
        let output = command.args(args).stdout(full).stderr(std::process::Stdio::piped()).output();
        let output = output.expect("it runs");
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.starts_with("error: standard output cannot be written: "), "{args:?}: {said}");
    }
}

/// Ctrl-C while `train --json` runs: what was reached, marked.
#[cfg(unix)]
#[test]
fn an_interrupted_training_reports_what_it_reached() {
    use std::process::{Command, Stdio};
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    for args in [&["lstm"][..], &["all"]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_candle-recurrent"));
        command.arg("train").args(args).args(["--json", "--quiet", "--patience", "100000"]);
        command.args(["--epochs", "100000", "--out", "run"]).current_dir(here);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
        let first = here.join(if args == ["all"] { "run/simple-rnn" } else { "run" });
        while !first.join("loss.svg").exists() {
            assert!(child.try_wait().expect("its state").is_none(), "it ended by itself");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
        assert!(kill.expect("it is told").success());
        let output = child.wait_with_output().expect("it ends");
        assert_eq!(output.status.code(), Some(130));
        let value: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one JSON value");
        let report = if args == ["all"] { &value[0] } else { &value };
        assert_eq!(report["interrupted"], true, "{value}");
        assert!(report["best_val_loss"].is_f64() && report["test_loss"].is_null(), "{value}");
        assert!(first.join("model.safetensors").is_file());
        fs::remove_dir_all(here.join("run")).expect("removed");
    }
}

/// A text does not steer the terminal; JSON has it as it is.
#[test]
fn control_characters_are_shown() {
    let here = Path::new(".");
    let text = "good\u{1b}[2J \u{202e}film";
    run(here, &["predict", "lstm", text]).success().stdout(contains("good\\u{1b}[2J \\u{202e}film\n"));
    let output = run(here, &["predict", "lstm", "--json", text]).success();
    let value: serde_json::Value = serde_json::from_slice(&output.get_output().stdout).expect("JSON");
    assert_eq!(value[0]["text"], text);
    fails(run(here, &["predict", "a\u{1b}[2Jb", "good"]), 1, "a\\u{1b}[2Jb");
}

/// What follows an array is not passed over in silence.
#[test]
fn an_array_with_more_behind_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    let two = [text(), text()].concat();
    fs::write(here.join("x.npy"), &two).expect("written");
    npz(&here.join("x.npz"), &[("x", &two)]);
    for name in ["x.npy", "x.npz"] {
        let line = "bytes follow the array of shape [1, 6]; save one array a file";
        fails(run(here, &["predict", FILE, "--input", name]), 1, line);
    }
}

/// As many digits as tell an f32 from its neighbours.
#[test]
fn numbers_in_json_are_short() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    fs::write(here.join("x.npy"), text()).expect("written");
    run(here, &["predict", FILE, "--input", "x.npy", "--output", "y.csv"]).success();
    let number = fs::read_to_string(here.join("y.csv")).expect("an answer");
    let expected = format!("{{\n  \"y\": [\n    [\n      {}\n    ]\n  ]\n}}\n", number.trim());
    run(here, &["predict", FILE, "--input", "x.npy", "--json"]).success().stdout(expected);
}

/// What a newcomer gets wrong is said in words that are not this program's.
#[test]
fn lines_for_newcomers() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    let tokenizer = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/lstm/tokenizer.json");
    fs::write(here.join("index.json"), "{\"the\": 1, \"a\": 2}").expect("written");
    fs::write(here.join("empty.json"), "{}").expect("written");
    fs::write(here.join("table.csv"), "text,label\n").expect("written");
    let cases: [(i32, &[&str], &str); 17] = [
        (
            1,
            &["summary", tokenizer],
            "tokenizer.json: is a vocabulary, not a model; it goes with --tokenizer",
        ),
        (1, &["predict", tokenizer, "good"], "tokenizer.json: is a vocabulary, not a model"),
        (1, &["summary", "index.json"], "index.json: is a vocabulary, not a model"),
        (1, &["summary", "empty.json"], "empty.json: lacks the field `model`"),
        (2, &["train", "--seed", "-1"], "'--seed <N>': give a whole number from 0 to 18446744073709551615"),
        (2, &["train", "--split-seed", "4294967296"], "give a whole number from 0 to 4294967295"),
        (2, &["train", "--patience", "2.5"], "give a whole number from 0 (see"),
        (
            1,
            &["train", "--validation-split", "0.999999"],
            "--validation-split: 0.999999 leaves none of the 20000",
        ),
        (1, &["train", "--max-len", "1000000"], "would take 74 GiB; give at most 214748"),
        (
            1,
            &["train", "--data", "x.csv"],
            "x.csv: there is no such file or folder; --data takes builtin, imdb,",
        ),
        (
            1,
            &["train", "--data", "table.csv"],
            "table.csv: holds no rows; expected rows of a text and a label",
        ),
        (1, &["predict", FILE, "--input", "no.npz"], "--input no.npz: there is no such file"),
        (1, &["predict", FILE, "--input", "no.npy"], "--input no.npy: there is no such file"),
        (1, &["predict", FILE, "--input", "no.csv"], "--input no.csv: there is no such file"),
        (1, &["predict", FILE, "--input", "no.safetensors"], "--input no.safetensors: there is no such file"),
        (
            1,
            &["convert", "lstm", "no/x.keras"],
            "no/x.keras: cannot be written: there is no folder no; make it",
        ),
        (1, &["plot", "lstm", "--out", "no/x.svg"], "no/x.svg: cannot be written: there is no folder no"),
    ];
    for (code, args, line) in cases {
        fails(run(here, args), code, line);
    }
    if cfg!(target_os = "linux") {
        fails(run(here, &["summary", "/dev/null"]), 1, "/dev/null: is no file but a device or a pipe");
        fails(
            run(here, &["convert", "lstm", "/proc/x.keras"]),
            1,
            "/proc/x.keras: cannot be written: the folder",
        );
    }
    for bomb in ["{\"model\":", "{\"class_name\":\"Sequential\",\"config\":"] {
        fs::write(here.join("bomb.json"), bomb.repeat(100_000)).expect("written");
        fails(run(here, &["summary", "bomb.json"]), 1, "is nested too deep");
    }
    let shipped = fs::read_to_string(SHIPPED).expect("a config");
    for (from, to, line) in [
        ("\"units\"", "\"unit\"", "layer lstm: LSTM: the field `unit` is unknown; did you mean `units`?"),
        (
            "\"recipe\"",
            "\"other\"",
            "the field `other` is unknown at line 53 column 9; known are model, recipe,",
        ),
    ] {
        fs::write(here.join("c.json"), shipped.replacen(from, to, 1)).expect("written");
        fails(run(here, &["summary", "c.json"]), 1, line);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn an_argument_that_is_no_text_is_named() {
    use std::os::unix::ffi::OsStrExt;
    let name = std::ffi::OsStr::from_bytes(b"a\xffb.keras");
    let mut command = Command::new(env!("CARGO_BIN_EXE_candle-recurrent"));
    fails(command.arg("summary").arg(name).assert(), 2, "the argument `a\u{fffd}b.keras` is not UTF-8 text");
    // Nor is it taken for a path that no command could open again.
    let mut command = Command::new(env!("CARGO_BIN_EXE_candle-recurrent"));
    fails(command.args(["convert", "lstm"]).arg(name).assert(), 2, "is not UTF-8 text");
}

/// Of arrays that could both be the input none is chosen in silence.
#[test]
fn an_input_under_two_names() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    let x = npy("<f4", "False", "(1, 100)", &[0; 400]);
    npz(&here.join("x.npz"), &[("x", &x), ("input_layer", &x)]);
    fails(run(here, &["predict", "lstm", "--input", "x.npz"]), 1, "x.npz: holds input_layer besides x");
}

/// Layers are shown, and that there is no more to the file than them is said.
#[test]
fn weights_that_cannot_be_read_are_warned_of() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    let whole = fs::read(FILE).expect("a file");
    fs::write(here.join("cut.h5"), &whole[..whole.len() * 9 / 10]).expect("written");
    let warning = "warning: these are its layers, but it cannot be used: cut.h5: layer dense: ";
    run(here, &["summary", "cut.h5"]).code(1).stdout(contains("dense (Dense)")).stderr(contains(warning));
    run(here, &["summary", FILE]).success().stderr("");
    run(here, &["convert", "lstm", "model"]).success();
    run(here, &["summary", "model"]).success().stderr("");
    let weights = fs::read(here.join("model/model.safetensors")).expect("weights");
    fs::write(here.join("model/model.safetensors"), &weights[..weights.len() / 2]).expect("written");
    run(here, &["summary", "model"])
        .code(1)
        .stderr(contains("but it cannot be used: model/model.safetensors"));
}

/// A training that came to nothing says so, though it ends well.
#[test]
fn a_model_worse_than_guessing_is_warned_of() {
    let folder = tempfile::tempdir().expect("a folder");
    let args = ["train", "--quiet", "--epochs", "1", "--learning-rate", "10", "--out", "run"];
    let warning = "is worse than that of guessing, 0.6931; try another --learning-rate";
    let one_line = predicate::function(|text: &str| text.lines().count() == 1);
    run(folder.path(), &args).success().stderr(one_line).stderr(contains(warning));
}

/// An unpacked `.keras` whose config.json an editor has saved.
#[test]
fn a_byte_order_mark_in_an_unpacked_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    let config = unpacked_lstm(here);
    fs::write(here.join("lstm/config.json"), format!("\u{feff}{config}")).expect("written");
    run(here, &["summary", "./lstm"]).success().stdout(contains("lstm (LSTM)"));
}

/// A parser of someone else's panics, which the library makes an error: of the panic itself nothing is shown.
#[test]
fn a_panic_within_a_damaged_file_is_one_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    let tokenizer = serde_json::json!({
        "version": "1.0",
        // As many ids of overlap as a piece may have.
        "truncation": { "direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 2 },
        "padding": null, "added_tokens": [], "normalizer": null,
        "pre_tokenizer": null, "post_processor": null, "decoder": null,
        "model": { "type": "BPE", "vocab": { "g": 0, "o": 1, "d": 2 }, "merges": [] },
    });
    fs::write(here.join("t.json"), tokenizer.to_string()).expect("written");
    let args = ["predict", "lstm", "--tokenizer", "t.json", "good"];
    fails(run(here, &args), 1, "error: tokenizer: its pipeline cannot take this text");
}
