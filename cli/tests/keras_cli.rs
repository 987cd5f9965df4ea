//! The command line on files of Keras's.

use assert_cmd::Command;
use candle_core::{DType, Tensor, npy::NpzTensors};
use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;
use std::path::Path;

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures");
/// Ids below 12, six a text; GRU, LSTM and a sigmoid, in the form of Keras 2.1.
const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/old_keras_2_1.h5");

fn run(folder: &Path, args: &[&str]) -> assert_cmd::assert::Assert {
    Command::new(env!("CARGO_BIN_EXE_candle-recurrent"))
        .current_dir(folder)
        .env("KERAS_HOME", folder)
        .args(args)
        .assert()
}

fn json(assert: assert_cmd::assert::Assert) -> Value {
    serde_json::from_slice(&assert.success().get_output().stdout).unwrap()
}

fn fails(assert: assert_cmd::assert::Assert, line: &str) {
    let one_line = predicate::function(|text: &str| text.lines().count() == 1 && text.starts_with("error: "));
    assert.code(1).stdout("").stderr(one_line).stderr(contains(line));
}

fn golden() -> (Tensor, Vec<f32>) {
    let npz = NpzTensors::new(format!("{FIXTURES}/old_keras_2_1.golden.npz")).unwrap();
    let y = npz.get("y0").unwrap().unwrap().flatten_all().unwrap().to_vec1().unwrap();
    (npz.get("x0").unwrap().unwrap(), y)
}

fn near(found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len());
    for (a, b) in found.iter().zip(expected) {
        assert!((a - b).abs() < 1e-5, "{found:?} {expected:?}");
    }
}

#[test]
fn summary_of_a_file() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), &["summary", FILE]).success().stdout(contains("gru").and(contains("(None, 6, 3)")));
    let summary = json(run(folder.path(), &["summary", FILE, "--json"]));
    assert_eq!(summary["layers"][0]["class_name"], "Embedding");
}

#[test]
fn arrays_in_and_out() {
    let folder = tempfile::tempdir().unwrap();
    let (x, y) = golden();
    let golden = format!("{FIXTURES}/old_keras_2_1.golden.npz");
    let path = |name: &str| folder.path().join(name);
    let answer = json(run(folder.path(), &["predict", FILE, "--input", &golden, "--json"]));
    let found: Vec<f32> =
        answer["y"].as_array().unwrap().iter().map(|row| row[0].as_f64().unwrap() as f32).collect();
    near(&found, &y);

    run(folder.path(), &["predict", FILE, "--input", &golden]).success().stdout(contains("y [3, 1]"));

    let rows: Vec<Vec<f32>> = x.to_dtype(DType::F32).unwrap().to_vec2().unwrap();
    let csv: Vec<String> =
        rows.iter().map(|row| row.iter().map(f32::to_string).collect::<Vec<_>>().join(",")).collect();
    std::fs::write(path("x.csv"), format!("a,b,c,d,e,f\n{}\n", csv.join("\n"))).unwrap();
    for out in ["y.npz", "y.npy", "y.safetensors", "y.csv"] {
        run(folder.path(), &["predict", FILE, "--input", "x.csv", "--output", out]).success();
    }
    let flat = |tensor: Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    near(&flat(NpzTensors::new(path("y.npz")).unwrap().get("y").unwrap().unwrap()), &y);
    near(&flat(Tensor::read_npy(path("y.npy")).unwrap()), &y);
    let tensors = candle_core::safetensors::load(path("y.safetensors"), &candle_core::Device::Cpu).unwrap();
    near(&flat(tensors["y"].clone()), &y);
    let text = std::fs::read_to_string(path("y.csv")).unwrap();
    near(&text.lines().map(|line| line.parse().unwrap()).collect::<Vec<f32>>(), &y);
}

#[test]
fn arrays_that_do_not_fit() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("x.csv"), "1,2,3\n").unwrap();
    fails(run(folder.path(), &["predict", FILE, "--input", "x.csv"]), "input");
    fails(run(folder.path(), &["predict", "lstm", "--input", "x.csv"]), "input of shape (100)");
    std::fs::write(folder.path().join("x.csv"), "1,2,3,4,5,99\n").unwrap();
    fails(run(folder.path(), &["predict", FILE, "--input", "x.csv"]), "x.csv: layer embedding: token id 99");
    std::fs::write(folder.path().join("x.csv"), "1,2,3,4,5,0.5\n").unwrap();
    fails(run(folder.path(), &["predict", FILE, "--input", "x.csv"]), "token ids");
    std::fs::write(folder.path().join("x.csv"), "1,2,3,4,5,6\n1,2,three,4,5,6\n").unwrap();
    fails(run(folder.path(), &["predict", FILE, "--input", "x.csv"]), "line 2");
    run(folder.path(), &["predict", FILE, "--input", "x.xlsx"]).code(2);
}

/// What a model of two inputs needs is said as a whole.
#[test]
fn arrays_that_are_missing_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let (two, one) = (format!("{FIXTURES}/k3_nested.keras"), format!("{FIXTURES}/k3_text.golden.npz"));
    fails(
        run(folder.path(), &["predict", &two, "--input", &one]),
        "holds no arrays x0 to x1; which are, in this order, the model's inputs x, z; found x0, y0",
    );
}

/// What NumPy writes of a transposed array, and of another machine's.
#[test]
fn arrays_in_fortrans_order_and_with_the_high_byte_first() {
    let folder = tempfile::tempdir().unwrap();
    let (x, y) = golden();
    let rows: Vec<Vec<f32>> = x.to_dtype(DType::F32).unwrap().to_vec2().unwrap();
    let npy = |descr: &str, order: &str, content: Vec<u8>| {
        let mut header = format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': (3, 6), }}");
        header.push_str(&" ".repeat(117 - header.len()));
        header.push('\n');
        [b"\x93NUMPY\x01\0\x76\0".as_slice(), header.as_bytes(), &content].concat()
    };
    let columns = || (0..6).flat_map(|column| rows.iter().map(move |row| row[column]));
    let files = [
        npy("<f4", "True", columns().flat_map(f32::to_le_bytes).collect()),
        npy("<i2", "True", columns().flat_map(|v| (v as i16).to_le_bytes()).collect()),
        npy(">f8", "False", rows.iter().flatten().flat_map(|&v| f64::from(v).to_be_bytes()).collect()),
        npy(">i4", "True", columns().flat_map(|v| (v as i32).to_be_bytes()).collect()),
    ];
    for file in files {
        std::fs::write(folder.path().join("x.npy"), file).unwrap();
        let answer = json(run(folder.path(), &["predict", FILE, "--input", "x.npy", "--json"]));
        let rows = answer["y"].as_array().unwrap();
        near(&rows.iter().map(|row| row[0].as_f64().unwrap() as f32).collect::<Vec<_>>(), &y);
    }
    std::fs::write(folder.path().join("x.npy"), npy("<f4", "True", vec![0; 8])).unwrap();
    fails(run(folder.path(), &["predict", FILE, "--input", "x.npy"]), "ends too early");
    std::fs::write(folder.path().join("x.npy"), npy("<c8", "False", vec![0; 144])).unwrap();
    fails(run(folder.path(), &["predict", FILE, "--input", "x.npy"]), "type <c8");
}

/// The input is not written over.
#[test]
fn the_answer_does_not_replace_the_input() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("x.csv"), "1,2,3,4,5,6\n").unwrap();
    fails(
        run(folder.path(), &["predict", FILE, "--input", "x.csv", "--output", "./x.csv"]),
        "another --output",
    );
    assert_eq!(std::fs::read_to_string(folder.path().join("x.csv")).unwrap(), "1,2,3,4,5,6\n");
}

#[test]
fn a_model_without_an_embedding_reads_no_reviews() {
    let folder = tempfile::tempdir().unwrap();
    let file = format!("{FIXTURES}/k3_recurrent.keras");
    fails(run(folder.path(), &["evaluate", &file]), "does not read text");
    fails(run(folder.path(), &["predict", &file, "the film"]), "does not read text");
    fails(run(folder.path(), &["train", &file]), "no Embedding");
}

#[test]
fn text_needs_a_vocabulary() {
    let folder = tempfile::tempdir().unwrap();
    fails(run(folder.path(), &["predict", FILE, "the film"]), "--tokenizer");
    let answer = json(run(folder.path(), &["predict", FILE, "the film", "--tokenizer", "imdb", "--json"]));
    assert!(answer[0]["probability"].as_f64().unwrap() > 0.0);
    std::fs::write(folder.path().join("index.json"), r#"{"the": 1, "film": 2}"#).unwrap();
    run(folder.path(), &["predict", FILE, "the film", "--tokenizer", "imdb:index.json"]).success();
}

#[test]
fn a_file_is_evaluated_and_trained_on() {
    let folder = tempfile::tempdir().unwrap();
    fails(run(folder.path(), &["evaluate", FILE]), "--tokenizer");
    let before = json(run(folder.path(), &["evaluate", FILE, "--tokenizer", "imdb", "--json"]));
    assert!(before["loss"].as_f64().unwrap() > 0.0);
    let args = [
        "train",
        FILE,
        "--tokenizer",
        "imdb",
        "--epochs",
        "1",
        "--learning-rate",
        "1e-7",
        "--quiet",
        "--json",
    ];
    let trained = json(run(folder.path(), &[&args[..], &["--out", "tuned"]].concat()));
    // A tiny step away from the file's weights, not from weights drawn anew.
    let after = trained["test_loss"].as_f64().unwrap();
    assert!((after - before["loss"].as_f64().unwrap()).abs() < 1e-3, "{before} {trained}");
    run(folder.path(), &["predict", "tuned", "the film"]).success();
    fails(run(folder.path(), &["train", FILE, "--vocab-size", "50"]), "--vocab-size 50");
}

#[test]
fn weights_alone_take_a_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let weights = format!("{FIXTURES}/k3_text.weights.h5");
    fails(run(folder.path(), &["predict", &weights, "--input", "x.npy"]), "--config");
    fails(run(folder.path(), &["summary", &weights]), "--config");
    let config = format!("{FIXTURES}/k3_text.json");
    run(folder.path(), &["summary", &weights, "--config", &config]).success().stdout(contains("gru (GRU)"));
    fails(run(folder.path(), &["summary", "lstm", "--config", &config]), "own configuration");
    fails(run(folder.path(), &["predict", "lstm", "good", "--config", "x.json"]), "own configuration");
    std::fs::write(folder.path().join("model.h5"), "<html>").unwrap();
    fails(run(folder.path(), &["summary", "model.h5"]), "web page");
}

/// However a file is damaged, one line says so, and nothing else is printed.
#[test]
fn damaged_files_are_refused_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let whole = std::fs::read(FILE).unwrap();
    let mut refused = 0;
    for at in (9..whole.len()).step_by(whole.len() / 40) {
        let mut flipped = whole.clone();
        flipped[at.min(3000 + at % 97)] ^= 0xff;
        for bytes in [&whole[..at], &flipped] {
            std::fs::write(folder.path().join("damaged.h5"), bytes).unwrap();
            let done = run(folder.path(), &["convert", "damaged.h5", "out.keras"]);
            if !done.get_output().status.success() {
                fails(done, "damaged.h5");
                refused += 1;
            }
        }
    }
    assert!(refused > 40, "{refused}");
}

/// A stateful LSTM over two series of two features, in a model folder.
fn stateful(folder: &Path) {
    let lstm = serde_json::json!({ "class_name": "LSTM", "config": { "name": "lstm", "units": 3, "stateful": true } });
    let input = serde_json::json!({ "class_name": "InputLayer", "config": { "name": "x", "batch_shape": [2, 6, 2] } });
    let config = serde_json::json!({ "model": { "name": "m", "layers": [input, lstm] } });
    std::fs::create_dir(folder.join("m")).unwrap();
    std::fs::write(folder.join("m/config.json"), config.to_string()).unwrap();
    let config = candle_recurrent::checkpoint::Config::load(folder.join("m/config.json")).unwrap();
    let weights =
        candle_recurrent::model::Weights::init(&config.model, 1, &candle_core::Device::Cpu).unwrap();
    weights.save(folder.join("m/model.safetensors")).unwrap();
}

#[test]
fn a_stateful_model_that_reads_no_text_stands_in_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    stateful(folder.path());
    run(folder.path(), &["summary", "m"]).success().stdout(contains("lstm"));
    run(folder.path(), &["convert", "m", "copy"]).success();
    let xs = Tensor::zeros((2, 6, 2), DType::F32, &candle_core::Device::Cpu).unwrap();
    Tensor::write_npz(&[("x", &xs)], folder.path().join("x.npz")).unwrap();
    let answer = json(run(folder.path(), &["predict", "copy", "--input", "x.npz", "--json"]));
    assert_eq!(answer["y"].as_array().unwrap().len(), 2);
}

/// Batches of two series, whose states go from one batch to the next.
#[test]
fn a_stateful_model_is_predicted_in_batches_of_its_size() {
    let folder = tempfile::tempdir().unwrap();
    stateful(folder.path());
    run(folder.path(), &["summary", "m"]).success().stdout(contains("(2, 3)"));
    run(folder.path(), &["convert", "m", "m.keras"]).success();
    let series = |rows: usize| {
        let values: Vec<f32> = (0..rows * 12).map(|i| (i % 12) as f32 / 9.0 - 0.5).collect();
        let xs = Tensor::from_vec(values, (rows, 6, 2), &candle_core::Device::Cpu).unwrap();
        Tensor::write_npz(&[("x", &xs)], folder.path().join("x.npz")).unwrap();
    };
    series(4);
    for model in ["m", "m.keras"] {
        let answer = json(run(folder.path(), &["predict", model, "--input", "x.npz", "--json"]));
        // The rows are all the same, the states are not.
        assert_eq!(answer["y"][0], answer["y"][1]);
        assert_eq!(answer["y"][2], answer["y"][3]);
        assert_ne!(answer["y"][0], answer["y"][2]);
    }
    let args = ["predict", "m", "--input", "x.npz", "--batch-size"];
    run(folder.path(), &[&args[..], &["2"]].concat()).success();
    fails(
        run(folder.path(), &[&args[..], &["4"]].concat()),
        "stateful with batches of 2, and --batch-size is 4",
    );
    series(3);
    fails(run(folder.path(), &["predict", "m", "--input", "x.npz"]), "holds 3 samples");
    let config = std::fs::read_to_string(folder.path().join("m/config.json")).unwrap();
    std::fs::write(folder.path().join("m/config.json"), config.replace("[2,6,2]", "[null,6,2]")).unwrap();
    fails(run(folder.path(), &["predict", "m", "--input", "x.npz"]), "give it with --batch-size");
    run(folder.path(), &[&args[..], &["3"]].concat()).success();
    fails(run(folder.path(), &["convert", "m", "again.keras"]), "m: layer lstm: it is stateful");
}

/// The table is printed all the same.
#[test]
fn summary_fails_where_the_weights_cannot_be_used() {
    let folder = tempfile::tempdir().unwrap();
    let json = format!("{FIXTURES}/k3_text.json");
    let weights = format!("{FIXTURES}/k3_nested.weights.h5");
    run(folder.path(), &["summary", &weights, "--config", &json])
        .code(1)
        .stdout(contains("Total params"))
        .stderr(contains("it cannot be used"));
}

#[test]
fn instructions_that_are_unknown_are_refused() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_candle-recurrent"));
    command.env("CANDLE_RECURRENT_SIMD", "nonsense").arg("list");
    command
        .assert()
        .code(2)
        .stdout("")
        .stderr(contains("CANDLE_RECURRENT_SIMD is `nonsense`; give portable or avx2"));
}

#[test]
fn an_array_that_is_there_twice_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (x, _) = golden();
    let path = folder.path().join("x.npz");
    Tensor::write_npz(&[("a", &x), ("b", &x)], &path).unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    for at in 0..bytes.len() - 5 {
        if &bytes[at..at + 5] == b"b.npy" {
            bytes[at] = b'a';
        }
    }
    std::fs::write(&path, bytes).unwrap();
    fails(run(folder.path(), &["predict", FILE, "--input", "x.npz"]), "one name is there twice");
}

#[cfg(unix)]
#[test]
fn a_device_is_no_file() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["x.npy", "x.csv", "vocabulary.json"] {
        std::os::unix::fs::symlink("/dev/zero", folder.path().join(name)).unwrap();
    }
    for name in ["x.npy", "x.csv"] {
        fails(run(folder.path(), &["predict", FILE, "--input", name]), "is no file but a device or a pipe");
    }
    let args = ["predict", FILE, "a film", "--tokenizer", "vocabulary.json"];
    fails(run(folder.path(), &args), "is no file but a device or a pipe");
}

/// The numbers under `y`, or `y0`, …, of an answer in JSON.
fn numbers(answer: &Value, key: &str) -> Vec<f32> {
    fn flat(value: &Value, into: &mut Vec<f32>) {
        match value {
            Value::Array(list) => list.iter().for_each(|value| flat(value, into)),
            number => into.push(number.as_f64().unwrap() as f32),
        }
    }
    let mut found = vec![];
    flat(&answer[key], &mut found);
    found
}

/// A head that nobody here knows: what stands before it runs all the same, and is written.
#[test]
fn a_model_runs_up_to_a_layer() {
    let folder = tempfile::tempdir().unwrap();
    let fixture = |name: &str| format!("{FIXTURES}/{name}");
    let (weights, golden) = (fixture("k2_text.weights.h5"), fixture("k2_text.golden.npz"));
    let whole: Value = serde_json::from_slice(&std::fs::read(fixture("k2_text.json")).unwrap()).unwrap();
    let mut with_head = whole.clone();
    let layers = with_head["config"]["layers"].as_array_mut().unwrap();
    let last = layers.len() - 1;
    let before = layers[last - 2]["config"]["name"].as_str().unwrap().to_string();
    layers[last]["class_name"] = "CRF".into();
    layers[last]["module"] = "tf2crf".into();
    layers[last]["registered_name"] = "tf2crf>CRF".into();
    for (name, model) in [("whole.json", &whole), ("crf.json", &with_head)] {
        std::fs::write(folder.path().join(name), model.to_string()).unwrap();
    }
    let args = ["predict", &weights, "--input", &golden, "--json", "--config"];
    let call = |more: &[&str]| run(folder.path(), &[&args, more].concat());
    fails(call(&["crf.json"]), "custom class");
    let expected = json(call(&["whole.json", "--until", &before]));
    let found = json(call(&["crf.json", "--until", &before]));
    assert_eq!(found, expected);
    assert!(!numbers(&found, "y").is_empty());
    let wrong = format!("{before}x");
    fails(
        call(&["crf.json", "--until", &wrong]),
        &format!("has no layer `{wrong}`; did you mean `{before}`?"),
    );

    let to_part = ["convert", &weights, "part.keras", "--config", "crf.json", "--until", &before];
    run(folder.path(), &to_part).success();
    let part = json(run(folder.path(), &["predict", "part.keras", "--input", &golden, "--json"]));
    near(&numbers(&part, "y"), &numbers(&expected, "y"));
}

/// Of a graph only what the layer needs is kept: here its encoder, whose states are among the outputs.
#[test]
fn inputs_that_a_layer_does_not_need_are_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let file = format!("{FIXTURES}/k3_encoder_decoder.keras");
    let npz = NpzTensors::new(format!("{FIXTURES}/k3_encoder_decoder.golden.npz")).unwrap();
    let x = npz.get("x0").unwrap().unwrap();
    let input = folder.path().join("x.npz");
    Tensor::write_npz(&[("x", &x)], &input).unwrap();
    let input = input.to_string_lossy();
    let left = "the input `target` is not needed up to layer encoder and left out";
    let answer = run(folder.path(), &["predict", &file, "--until", "encoder", "--input", &input, "--json"])
        .stderr(contains(left));
    let answer = json(answer);
    assert_eq!(answer.as_object().unwrap().keys().collect::<Vec<_>>(), ["y0", "y1", "y2"]);
    // An LSTM that gives its last output and its states: the output is the first of them.
    assert_eq!(numbers(&answer, "y0"), numbers(&answer, "y1"));
    run(folder.path(), &["convert", &file, "encoder", "--until", "encoder"]).success().stderr(contains(left));
    let again = json(run(folder.path(), &["predict", "encoder", "--input", &input, "--json"]));
    assert_eq!(again, answer);
    let part = ["predict", "encoder", "--until", "source_words", "--input", &input, "--json"];
    assert_eq!(numbers(&json(run(folder.path(), &part)), "y").len(), 3 * 6 * 3);
    fails(
        run(folder.path(), &["convert", &file, "x.keras", "--until", "source"]),
        "is an input of the model",
    );
    run(folder.path(), &["convert", "lstm", "part", "--until", "lstm"])
        .success()
        .stdout(contains("(8800 parameters)"));
}

/// A file of `torch.save`, with the architecture from `--config`.
#[test]
fn pytorch_files_go_where_weights_go() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let torch = |name: &str| format!("{FIXTURES}/torch/{name}");
    let cases: Value = serde_json::from_str(&std::fs::read_to_string(torch("cases.json")).unwrap()).unwrap();
    std::fs::write(here.join("config.json"), cases["reader"]["config"].to_string()).unwrap();
    std::fs::copy(torch("reader.pt"), here.join("reader.pt")).unwrap();
    let golden =
        candle_core::safetensors::load(torch("golden.safetensors"), &candle_core::Device::Cpu).unwrap();
    let ids = golden["reader.x"].to_dtype(DType::F32).unwrap();
    Tensor::write_npz(&[("x", &ids)], here.join("x.npz")).unwrap();
    let expected = golden["reader.y"].flatten_all().unwrap().to_vec1::<f32>().unwrap();

    let config = ["--config", "config.json"];
    run(here, &[&["summary", "reader.pt"][..], &config].concat()).success().stdout(contains("gru (GRU)"));
    run(here, &[&["convert", "reader.pt", "reader"][..], &config].concat()).success();
    for model in [&["reader.pt", "--config", "config.json"][..], &["reader"]] {
        let answer = json(run(here, &[&["predict"], model, &["--input", "x.npz", "--json"]].concat()));
        let found = answer["y"].as_array().unwrap().iter().map(|row| row[0].as_f64().unwrap() as f32);
        near(&found.collect::<Vec<_>>(), &expected);
    }
    let builtin = ["--max-len", "5", "--vocab-size", "12", "--epochs", "1", "--learning-rate", "1e-30", "-q"];
    for init in ["reader.pt", "reader"] {
        let out = format!("tuned-{init}");
        let train = ["train", "config.json", "--init", init, "--out", &out];
        run(here, &[&train[..], &builtin].concat()).success();
        let answer = json(run(here, &["predict", &out, "--input", "x.npz", "--json"]));
        let found = answer["y"].as_array().unwrap().iter().map(|row| row[0].as_f64().unwrap() as f32);
        near(&found.collect::<Vec<_>>(), &expected);
    }
    fails(run(here, &["predict", "reader.pt", "--input", "x.npz"]), "give one with --config FILE");
    fails(
        run(here, &[&["predict", &torch("refused_call.pt"), "--input", "x.npz"][..], &config].concat()),
        "would have Python call posix.system when it is opened there, as no file of weights does; nothing of it was run",
    );
}
