//! The command line from outside: every command, its JSON keys, its exit codes, and what bad input gets.

use assert_cmd::Command;
use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;
use std::fs;
use std::path::Path;

fn program(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_candle-recurrent"));
    command.current_dir(folder);
    command
}

fn run(folder: &Path, args: &[&str]) -> assert_cmd::assert::Assert {
    program(folder).args(args).assert()
}

fn json(assert: assert_cmd::assert::Assert) -> Value {
    serde_json::from_slice(&assert.success().get_output().stdout).expect("one JSON value on standard output")
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().expect("an object").keys().map(String::as_str).collect()
}

/// Fails with `code` and one line on standard error, nothing on standard output.
fn fails(assert: assert_cmd::assert::Assert, code: i32, line: &str) {
    let one_line = predicate::function(|text: &str| text.lines().count() == 1 && text.starts_with("error: "));
    assert.code(code).stdout("").stderr(one_line).stderr(contains(line));
}

/// A folder as Stanford's aclImdb, with reviews of four words.
fn reviews(folder: &Path) -> String {
    for half in ["train", "test"] {
        for (label, words) in [("pos", ["good", "fine", "lovely"]), ("neg", ["bad", "dull", "awful"])] {
            let path = folder.join("reviews").join(half).join(label);
            fs::create_dir_all(&path).expect("a folder");
            for index in 0..30 {
                let text = format!("a {} film {}", words[index % 3], words[index / 3 % 3]);
                fs::write(path.join(format!("{index}_7.txt")), text).expect("a review");
            }
        }
    }
    "reviews".into()
}

/// Options that make a training run take no time.
const QUICK: [&str; 9] =
    ["--data", "reviews", "--quiet", "--max-len", "6", "--vocab-size", "20", "--epochs", "2"];

fn train(folder: &Path, args: &[&str]) -> assert_cmd::assert::Assert {
    program(folder).arg("train").args(args).args(QUICK).assert()
}

/// A folder with reviews and a trained model in `model`.
fn trained() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    reviews(folder.path());
    train(folder.path(), &["lstm", "--out", "model"]).success();
    folder
}

fn names(path: &Path) -> Vec<String> {
    let entries = fs::read_dir(path).expect("a folder");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn help_teaches_with_examples() {
    let here = Path::new(".");
    run(here, &["--help"]).success().stdout(contains("Examples:"));
    for command in ["train", "evaluate", "predict", "summary", "list", "plot"] {
        run(here, &[command, "--help"])
            .success()
            .stdout(contains("Examples:").and(contains(format!("candle-recurrent {command}"))))
            .stdout(contains("--json"));
    }
    run(here, &["--version"]).success().stdout(contains(env!("CARGO_PKG_VERSION")));
    run(here, &[]).code(2).stderr(contains("Usage:"));
}

#[test]
fn summary_counts_as_keras_does() {
    let here = Path::new(".");
    run(here, &["summary", "lstm"])
        .success()
        .stdout(contains("lstm (LSTM)").and(contains("Total params: 8,809")));
    let summary = json(run(here, &["summary", "stacked-lstm", "--json"]));
    assert_eq!(keys(&summary), ["layers", "total_params"]);
    assert_eq!(keys(&summary["layers"][1]), ["name", "class_name", "output_shape", "params"]);
    assert_eq!(summary["total_params"], 9353);
    assert_eq!(summary["layers"][1]["output_shape"], serde_json::json!([null, 100, 8]));
}

#[test]
fn list_names_the_zoo() {
    run(Path::new("."), &["list"]).success().stdout(contains("dropout-lstm").and(contains("8633")));
    let list = json(run(Path::new("."), &["list", "--json"]));
    let names: Vec<&str> =
        list.as_array().expect("a list").iter().filter_map(|row| row["name"].as_str()).collect();
    let first = ["simple-rnn", "lstm", "dropout-lstm", "stacked-lstm", "gru"];
    let second = ["lstm-adam", "dropout-lstm-adam", "stacked-lstm-adam", "gru-adam"];
    assert_eq!(names, [&first[..], &second[..]].concat());
}

#[test]
fn a_run_is_a_whole_model_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    reviews(here);
    let report = json(train(here, &["--json"]));
    let expected = [
        "model",
        "data",
        "epochs",
        "best_epoch",
        "best_val_loss",
        "best_val_accuracy",
        "test_loss",
        "test_accuracy",
        "seconds",
        "folder",
    ];
    assert_eq!(keys(&report), expected);
    assert_eq!(report["folder"], "runs/lstm");
    let files = [
        "README.md",
        "config.json",
        "history.csv",
        "loss.png",
        "loss.svg",
        "model.safetensors",
        "optimizer.safetensors",
        "state.safetensors",
        "tokenizer.json",
    ];
    assert_eq!(names(&here.join("runs/lstm")), files);

    // The folder is a model: what evaluate measures is what train reported.
    let measured = json(run(here, &["evaluate", "runs/lstm", "--data", "reviews", "--json"]));
    assert_eq!(keys(&measured), ["loss", "accuracy", "samples", "report"]);
    assert_eq!(measured["loss"], report["test_loss"]);
    assert_eq!(measured["samples"], 60);
    run(here, &["evaluate", "runs/lstm", "--data", "reviews"]).success().stdout(contains("60 test reviews"));

    // A second run leaves the first one alone; the next step is told.
    let before = fs::read(here.join("runs/lstm/model.safetensors")).expect("weights");
    train(here, &["lstm", "--seed", "7"])
        .success()
        .stdout(contains("folder: runs/lstm-2").and(contains("next: candle-recurrent predict runs/lstm-2")))
        .stdout(contains("test: loss").and(contains("best epoch")));
    assert_eq!(fs::read(here.join("runs/lstm/model.safetensors")).expect("weights"), before);
    run(here, &["summary", "runs/lstm-2"]).success().stdout(contains("(None, 6, 16)"));
}

#[test]
fn the_same_seed_gives_the_same_bytes_on_any_number_of_threads() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    // Batches of 64: several blocks whatever the width of the vectors.
    for (out, threads, seed, more) in [
        ("one", "1", "5", None),
        ("two", "2", "5", None),
        ("three", "3", "5", None),
        ("again", "2", "5", Some("--remat")),
        ("other", "2", "6", None),
    ] {
        let mut args = vec![
            "train",
            "stacked-lstm",
            "--threads",
            threads,
            "--seed",
            seed,
            "--out",
            out,
            "--epochs",
            "1",
        ];
        args.extend(more);
        run(here, &args).success();
    }
    let weights = |out: &str| fs::read(here.join(out).join("model.safetensors")).expect("weights");
    assert_eq!(weights("one"), weights("two"));
    assert_eq!(weights("one"), weights("three"));
    assert_eq!(weights("one"), weights("again"));
    assert_ne!(weights("one"), weights("other"));
}

#[test]
fn the_same_seed_gives_the_same_bytes_from_any_instruction_set() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    reviews(here);
    for model in ["stacked-lstm", "gru-adam"] {
        let weights = |set: &str| {
            let mut command = program(here);
            command.args(["train", model, "--out", set]).args(QUICK);
            command.env("CANDLE_RECURRENT_SIMD", set).assert().success();
            let weights = fs::read(here.join(set).join("model.safetensors")).expect("weights");
            fs::remove_dir_all(here.join(set)).expect("removed");
            weights
        };
        let portable = weights("portable");
        assert_eq!(portable, weights("avx2"));
        let mut command = program(here);
        command.args(["train", model, "--out", "best"]).args(QUICK).env_remove("CANDLE_RECURRENT_SIMD");
        command.assert().success();
        assert_eq!(portable, fs::read(here.join("best/model.safetensors")).expect("weights"));
        fs::remove_dir_all(here.join("best")).expect("removed");
    }
}

#[test]
fn train_all_compares_nine_models() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    reviews(here);
    train(here, &["all"]).success().stdout(contains("val_acc").and(contains("picture: runs/comparison.png")));
    let expected = [
        "comparison.png",
        "comparison.svg",
        "dropout-lstm",
        "dropout-lstm-adam",
        "gru",
        "gru-adam",
        "lstm",
        "lstm-adam",
        "simple-rnn",
        "stacked-lstm",
        "stacked-lstm-adam",
    ];
    assert_eq!(names(&here.join("runs")), expected);
    let reports = json(train(here, &["all", "--json", "--out", "compared"]));
    assert_eq!(reports.as_array().map(Vec::len), Some(9));
    assert_eq!(reports[0]["folder"], "compared/simple-rnn");
    assert!(here.join("compared/comparison.svg").is_file());
}

#[test]
fn init_starts_from_given_weights() {
    let folder = trained();
    let here = folder.path();
    // A rate too small to move a weight: what comes out is what went in.
    let still = ["--init", "model", "--out", "tuned", "--learning-rate", "1e-30", "--seed", "9"];
    train(here, &[&["model"], &still[..]].concat()).success();
    let weights = |out: &str| {
        let path = here.join(out).join("model.safetensors");
        candle_core::safetensors::load(path, &candle_core::Device::Cpu).expect("weights")
    };
    let (before, after) = (weights("model"), weights("tuned"));
    assert_eq!(before.len(), 6);
    for (name, tensor) in before {
        let values = |tensor: &candle_core::Tensor| {
            tensor.flatten_all().and_then(|flat| flat.to_vec1::<f32>()).expect("values")
        };
        assert_eq!(values(&tensor), values(&after[&name]), "{name}");
    }
    // A file of weights alone does as well.
    train(here, &["model", "--init", "model/model.safetensors", "--out", "again"]).success();
    // Weights of another shape: the variable and both shapes, and nothing left behind.
    let wrong =
        ["train", "lstm", "--init", "model", "--data", "reviews", "--vocab-size", "30", "--out", "wrong"];
    let shapes = "variable `embedding.embeddings`: the model needs shape [30, 16], the file holds [20, 16]";
    fails(run(here, &wrong), 1, shapes);
    assert!(!here.join("wrong").exists());
}

#[test]
fn predict_reads_arguments_and_lines() {
    let folder = trained();
    let here = folder.path();
    let predictions = json(run(here, &["predict", "model", "--json", "a good film", "dull"]));
    assert_eq!(predictions.as_array().map(Vec::len), Some(2));
    assert_eq!(keys(&predictions[0]), ["text", "probability", "label", "unknown"]);
    assert_eq!(predictions[0]["text"], "a good film");
    for prediction in predictions.as_array().into_iter().flatten() {
        let probability = prediction["probability"].as_f64().expect("a number");
        assert_eq!(prediction["label"], if probability > 0.5 { "positive" } else { "negative" });
    }
    let one_by_one =
        program(here).args(["predict", "model"]).write_stdin("\u{feff}a good film\r\n\n  \ndull").assert();
    let lines = String::from_utf8(one_by_one.success().get_output().stdout.clone()).expect("text");
    let probability = predictions[0]["probability"].as_f64().expect("a number");
    // The answer to a line stands where the line stands; a blank one has none.
    let lines: Vec<&str> = lines.lines().collect();
    assert_eq!((lines.len(), lines[1], lines[2]), (4, "", ""));
    assert!(lines[0].ends_with(&format!("  {probability:.4}  a good film")) && lines[3].ends_with("  dull"));

    let bad = program(here).args(["predict", "model"]).write_stdin(b"good\nb\xff\n".to_vec()).assert();
    bad.code(1).stderr(contains("standard input, line 2: is not UTF-8"));
    fails(program(here).args(["predict", "model"]).write_stdin("\n \n").assert(), 1, "no text");
    fails(run(here, &["predict", "model", "good", " "]), 1, "TEXT 2 of 2: is empty");
    fs::remove_file(here.join("model/tokenizer.json")).expect("removed");
    fails(run(here, &["predict", "model", "good"]), 1, "tokenizer.json: is missing");
    without_sums(&here.join("model"));
    fails(run(here, &["predict", "model", "good"]), 1, "has no vocabulary");
}

/// Takes out of `config.json` what it says of the files beside it.
fn without_sums(model: &Path) {
    let path = model.join("config.json");
    let text = fs::read_to_string(&path).expect("a config");
    let mut config: Value = serde_json::from_str(&text).expect("JSON");
    config.as_object_mut().expect("an object").remove("checkpoint").expect("the files' sums");
    fs::write(path, config.to_string()).expect("written");
}

#[test]
fn plot_draws_one_run_or_several() {
    let folder = trained();
    let here = folder.path();
    run(here, &["plot", "model", "--out", "one.svg"]).success().stdout("drawn: one.svg\n");
    let svg = fs::read_to_string(here.join("one.svg")).expect("a picture");
    assert!(
        svg.contains("<svg")
            && svg.contains("training")
            && svg.contains("validation")
            && svg.contains("best: ")
    );
    let drawn = json(run(here, &["plot", "model", "model/history.csv", "--out", "two.PNG", "--json"]));
    assert_eq!(keys(&drawn), ["out", "runs"]);
    assert_eq!(drawn["runs"][1]["name"], "model");
    assert!(fs::read(here.join("two.PNG")).expect("a picture").starts_with(b"\x89PNG"));
    fails(run(here, &["plot", "model", "--out", "one.jpg"]), 2, ".svg or .png");
    fails(run(here, &["plot", "model", "--out", "nowhere/one.svg"]), 1, "nowhere/one.svg: cannot be written");
    fs::write(here.join("model/history.csv"), "epoch,loss\n").expect("written");
    fails(run(here, &["plot", "model", "--out", "one.svg"]), 1, "history.csv: no column seconds");
}

#[test]
fn wrong_usage_is_said_on_one_line() {
    let here = Path::new(".");
    for (args, line) in [
        (&["train", "--batch-size", "0"][..], "--batch-size"),
        (&["train", "--epochs", "0"], "a whole number from 1"),
        (&["train", "--learning-rate", "-0.1"], "a number above 0"),
        (&["train", "--learning-rate", "nan"], "a number above 0"),
        (&["train", "--validation-split", "1"], "between 0 and 1"),
        (&["train", "--vocab-size", "3"], "from 5"),
        (&["train", "--max-len", "0"], "from 1"),
        (&["train", "--threads", "0"], "from 1"),
        (&["train", "--seed", "-1"], "--seed"),
        (&["train", "all", "--init", "x"], "--init goes with one model"),
        (&["train", "--device", "gpu"], "--device"),
        (&["train", "lstm", "gru"], "gru"),
        (&["trian"], "'train'"),
        (&["train", "--epoch", "3"], "--epochs"),
        (&["predict"], "<MODEL>"),
        (&["plot", "--out", "x.svg"], "<RUN>"),
        (&["plot", "runs/lstm"], "--out"),
    ] {
        fails(run(here, args), 2, line);
    }
}

#[test]
fn what_cannot_be_found_or_used_is_said_on_one_line() {
    let folder = trained();
    let here = folder.path();
    fs::create_dir_all(here.join("other")).expect("a folder");
    fs::write(here.join("other/notes.txt"), "mine").expect("a file");
    fs::write(here.join("bad.json"), "{\"model\": ").expect("a file");
    fs::write(here.join("truncated.npz"), "PK\u{3}\u{4}").expect("a file");
    let one_class = here.join("one-class");
    for half in ["train", "test"] {
        fs::create_dir_all(one_class.join(half).join("pos")).expect("a folder");
        fs::create_dir_all(one_class.join(half).join("neg")).expect("a folder");
        fs::write(one_class.join(half).join("pos/0_7.txt"), "good").expect("a file");
    }
    fs::create_dir_all(here.join("empty")).expect("a folder");
    let activation = fs::read_to_string(here.join("model/config.json")).expect("a config");
    fs::write(here.join("activation.json"), activation.replace("\"tanh\"", "\"tahn\"")).expect("a file");
    for (args, line) in [
        (&["summary", "lsmt"][..], "did you mean `lstm`?"),
        (&["predict", "gur", "good"], "did you mean `gru`?"),
        (&["train", "nothing-alike-here"], "simple-rnn, lstm"),
        (&["summary", "./lsmt"], "there is no such file or folder"),
        (&["summary", "other"], "no config.json"),
        (&["summary", "other/notes.txt"], "is no model"),
        (&["summary", "bad.json"], "bad.json: "),
        (&["summary", "activation.json"], "tanh"),
        (&["predict", "model/config.json", "good"], "configuration without weights"),
        (&["train", "--out", "other"], "holds files but no config.json"),
        (&["train", "--data", "missing.npz"], "missing.npz: "),
        (&["train", "--data", "truncated.npz"], "truncated.npz: "),
        (&["train", "--data", "one-class"], "positive"),
        (&["train", "--data", "empty"], "empty: "),
        (&["train", "--init", "missing.safetensors"], "missing.safetensors: there is no such file"),
        (&["evaluate", "model", "--data", "missing"], "missing: "),
    ] {
        fails(run(here, args), 1, line);
    }
    assert_eq!(names(&here.join("other")), ["notes.txt"]);
    assert!(!here.join("runs").exists() || names(&here.join("runs")).is_empty());
}

#[cfg(not(feature = "cuda"))]
#[test]
fn a_device_that_was_not_built_is_said_on_one_line() {
    fails(run(Path::new("."), &["train", "--device", "cuda"]), 1, "--device cuda: this build has no cuda");
    fails(run(Path::new("."), &["evaluate", "lstm", "--device", "cuda"]), 1, "--features cuda");
}

#[test]
fn damaged_weights_are_said_on_one_line() {
    let folder = trained();
    let here = folder.path();
    let weights = here.join("model/model.safetensors");
    let whole = fs::read(&weights).expect("weights");
    fs::write(&weights, &whole[..whole.len() / 2]).expect("written");
    fails(run(here, &["predict", "model", "good"]), 1, "model.safetensors: ");
    let config = fs::read_to_string(here.join("model/config.json")).expect("a config");
    fs::write(&weights, &whole).expect("written");
    fs::write(here.join("model/config.json"), config.replace("\"units\": 8", "\"units\": 9"))
        .expect("written");
    fails(
        run(here, &["predict", "model", "good"]),
        1,
        "model/model.safetensors: variable `lstm.kernel`: the model needs shape [16, 36]",
    );
    fs::remove_file(&weights).expect("removed");
    fails(run(here, &["evaluate", "model"]), 1, "model.safetensors: is missing");
}

#[test]
fn a_diverging_run_says_so_and_leaves_no_empty_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    reviews(here);
    fails(
        train(here, &["simple-rnn", "--learning-rate", "1e38", "--batch-size", "4"]),
        1,
        "try a smaller learning rate",
    );
    assert_eq!(names(&here.join("runs")), Vec::<String>::new());
}

#[cfg(unix)]
mod unix {
    use super::*;
    use std::io::Write;
    use std::process::{Child, Stdio};
    use std::time::{Duration, Instant};

    fn spawn(folder: &Path, args: &[&str]) -> Child {
        std::process::Command::new(env!("CARGO_BIN_EXE_candle-recurrent"))
            .current_dir(folder)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts")
    }

    #[test]
    fn ctrl_c_keeps_the_best_checkpoint() {
        let folder = tempfile::tempdir().expect("a folder");
        let here = folder.path();
        reviews(here);
        let args = ["train", "gru", "--data", "reviews", "--epochs", "1000000", "--patience", "1000000"];
        let child = spawn(here, &[&args[..], &["--max-len", "6", "--vocab-size", "20"]].concat());
        let run = here.join("runs/gru");
        let deadline = Instant::now() + Duration::from_secs(60);
        while !run.join("loss.png").exists() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
        }
        let id = child.id().to_string();
        assert!(
            std::process::Command::new("kill")
                .args(["-INT", &id])
                .status()
                .is_ok_and(|status| status.success())
        );
        let output = child.wait_with_output().expect("the program ends");
        assert_eq!(output.status.code(), Some(130));
        assert_eq!(output.stdout, b"");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(errors.contains("is kept in runs/gru"), "{errors}");
        run_is_whole(here, &run);
    }

    fn run_is_whole(here: &Path, run: &Path) {
        assert_eq!(names(run).len(), 9, "{:?}", names(run));
        let path = run.to_string_lossy();
        super::run(here, &["predict", &path, "good"]).success();
        super::run(here, &["plot", &path, "--out", "again.svg"]).success();
    }

    #[test]
    fn a_closed_pipe_is_no_failure() {
        let folder = trained();
        let mut child = spawn(folder.path(), &["predict", "model"]);
        drop(child.stdout.take());
        let mut stdin = child.stdin.take().expect("a pipe");
        // The program may end before it has read all of it.
        let _ = stdin.write_all("good\n".repeat(1000).as_bytes());
        drop(stdin);
        let output = child.wait_with_output().expect("the program ends");
        assert_eq!((output.status.code(), output.stderr), (Some(0), Vec::new()));
    }

    #[test]
    fn a_full_disk_leaves_the_older_model_as_it_was() {
        let folder = trained();
        let here = folder.path();
        let content = |name: &str| fs::read(here.join("model").join(name)).expect("a file");
        let files = names(&here.join("model"));
        let before: Vec<_> = files.iter().map(|name| content(name)).collect();
        // Files that cannot grow past so many blocks of 512 bytes stand for a full disk: the first file fails.
        for (blocks, file) in [(1, "model/state.safetensors"), (8, "model/state.safetensors")] {
            let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"");
            let args = ["train", "gru", "--data", "reviews", "--epochs", "1", "--quiet", "--out", "model"];
            let sizes = ["--max-len", "6", "--vocab-size", "20", "--overwrite"];
            let assert = Command::new("sh")
                .current_dir(here)
                .args(["-c", &script, env!("CARGO_BIN_EXE_candle-recurrent")])
                .args(args)
                .args(sizes)
                .assert();
            fails(assert, 1, file);
            assert_eq!(names(&here.join("model")), files);
            for (name, before) in files.iter().zip(&before) {
                assert_eq!(content(name), *before, "{name} at {blocks}");
            }
        }
    }

    #[test]
    fn standard_output_that_is_full_is_a_failure() {
        if let Ok(full) = fs::OpenOptions::new().write(true).open("/dev/full") {
            let output = std::process::Command::new(env!("CARGO_BIN_EXE_candle-recurrent"))
                .arg("list")
                .stdout(full)
                .output()
                .expect("the program runs");
            assert_eq!(output.status.code(), Some(1));
            let errors = String::from_utf8_lossy(&output.stderr);
            assert!(errors.starts_with("error: standard output cannot be written"), "{errors}");
        } else {
            eprintln!("skipped: this system has no /dev/full");
        }
    }
}
