//! Every command of the READMEs and of the pages in `docs/`, run in the order in which it stands there.
//!
//! Training takes one epoch, what is uploaded is listed only, and the data are made here, those of the Hub in its cache; beyond that a command runs as it is written. Where a page shows
//! what a command prints, it prints that, unless it comes of a run of the reader's own.

use assert_cmd::Command;
use candle_core::{Device, Tensor};
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// A command as it is written, and the lines that a page shows under it.
#[derive(Debug)]
struct Documented {
    line: String,
    shown: Vec<String>,
}

/// The commands of a page: the lines of its `sh` and `console` blocks, and what stands in backquotes.
fn commands(page: &str) -> Vec<Documented> {
    let mut found: Vec<Documented> = vec![];
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let Some(language) = line.strip_prefix("```") else {
            let spans = line.split('`').skip(1).step_by(2);
            found.extend(
                spans
                    .filter(|span| span.contains(' '))
                    .map(|span| Documented { line: span.into(), shown: vec![] }),
            );
            continue;
        };
        let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        let block = block.join("\n").replace("\\\n", " ");
        for line in block.lines() {
            let command = match language {
                "console" => line.strip_prefix("$ "),
                "sh" => Some(line),
                _ => continue,
            };
            match (command, found.last_mut()) {
                (Some(command), _) => found.push(Documented { line: command.into(), shown: vec![] }),
                (None, Some(last)) if !line.is_empty() => last.shown.push(line.into()),
                _ => {}
            }
        }
    }
    found
}

/// The arguments of a command of this program; none of another program's.
fn arguments(line: &str) -> Option<Vec<String>> {
    let words = shlex::split(line)?;
    let rest = words
        .strip_prefix(&["candle-recurrent".to_string()])
        .or_else(|| words.strip_prefix(&["cargo", "run", "--release", "--"].map(String::from)));
    rest.filter(|rest| !rest.is_empty()).map(<[String]>::to_vec)
}

/// Training of one epoch; no upload.
fn briefly(mut words: Vec<String>) -> Vec<String> {
    if words[0] == "train" {
        match words.iter().position(|word| word == "--epochs") {
            Some(at) => words[at + 1] = "1".into(),
            None => words.extend(["--epochs", "1"].map(String::from)),
        }
    }
    if words[0] == "push" && !words.contains(&"--dry-run".to_string()) {
        words.push("--dry-run".into());
    }
    words
}

/// A repository of the Hub, as if it had been fetched.
fn cache(folder: &Path, repository: &str, files: &[(&str, &Path)]) {
    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
    let root = folder.join("hf/hub").join(repository);
    let snapshot = root.join("snapshots").join(COMMIT);
    fs::create_dir_all(root.join("refs")).unwrap();
    fs::create_dir_all(&snapshot).unwrap();
    fs::write(root.join("refs/main"), COMMIT).unwrap();
    for (name, path) in files {
        fs::copy(path, snapshot.join(name)).unwrap();
    }
}

/// What the pages take to be there: reviews in two forms, an architecture, and three files of Keras's.
fn prepare(folder: &Path) {
    let fixture = |name: &str| PathBuf::from(ROOT).join("tests/fixtures").join(name);
    for half in ["train", "test"] {
        for (label, word) in [("pos", "good"), ("neg", "bad")] {
            let path = folder.join("aclImdb").join(half).join(label);
            fs::create_dir_all(&path).unwrap();
            for index in 0..10 {
                fs::write(path.join(format!("{index}_7.txt")), format!("a {word} film")).unwrap();
            }
        }
    }
    let datasets = folder.join("keras/datasets");
    fs::create_dir_all(&datasets).unwrap();
    let ids = (0..40_i64).map(|index| 1 + index % 8).collect();
    let xs = Tensor::from_vec(ids, (10, 4), &Device::Cpu).unwrap();
    let ys = Tensor::new([0_i64, 1, 0, 1, 0, 1, 0, 1, 0, 1].as_slice(), &Device::Cpu).unwrap();
    let arrays = [("x_train", xs.clone()), ("y_train", ys.clone()), ("x_test", xs), ("y_test", ys)];
    Tensor::write_npz(&arrays, datasets.join("imdb.npz")).unwrap();
    fs::write(datasets.join("imdb_word_index.json"), r#"{"a": 1, "film": 2, "great": 3}"#).unwrap();

    fs::create_dir(folder.join("my-model")).unwrap();
    fs::copy(Path::new(ROOT).join("models/gru/config.json"), folder.join("my-model/config.json")).unwrap();
    fs::copy(fixture("old_keras_2_1.h5"), folder.join("best-lstm-model.h5")).unwrap();
    fs::copy(fixture("k3_recurrent.keras"), folder.join("forecast.keras")).unwrap();
    fs::copy(fixture("k3_recurrent.golden.npz"), folder.join("x.npz")).unwrap();
    fs::copy(fixture("goes_on_forecast.keras"), folder.join("best.keras")).unwrap();
    for name in ["arrays.npz", "prices.npz", "more.npz", "test.npz"] {
        fs::copy(fixture("goes_on_forecast.npz"), folder.join(name)).unwrap();
    }
    let (mut table, mut lines) = (String::from("document,label\n"), String::new());
    for index in 0..40 {
        let (word, label) = [("lovely", "good"), ("dreadful", "bad")][index % 2];
        table.push_str(&format!("\"a {word} film, {index}\",{label}\n"));
        lines.push_str(&format!("{{\"text\": \"a {word} end\", \"label\": \"{label}\"}}\n"));
    }
    fs::write(folder.join("reviews.csv"), table).unwrap();
    fs::write(folder.join("more.jsonl"), lines).unwrap();
    let tags = "a lovely film,good\na lovely film that is late,\"good, late\"\na late film,late\na film,\n"
        .repeat(10);
    fs::write(folder.join("tags.csv"), format!("text,labels\n{tags}")).unwrap();
    let ratings = "1\t정말 재밌어요\t1\n2\t너무 지루하네요\t0\n".repeat(20);
    for name in ["ratings_train.txt", "ratings_test.txt"] {
        fs::write(folder.join(name), format!("id\tdocument\tlabel\n{ratings}")).unwrap();
    }
    fs::create_dir(folder.join("examples")).unwrap();
    for example in fs::read_dir(Path::new(ROOT).join("examples")).unwrap().flatten() {
        if example.path().extension().is_some_and(|suffix| suffix == "json") {
            fs::copy(example.path(), folder.join("examples").join(example.file_name())).unwrap();
        }
    }
    let lstm = |name: &str| Path::new(ROOT).join("models/lstm").join(name);
    let files = ["config.json", "model.safetensors", "tokenizer.json"].map(|name| (name, lstm(name)));
    let files = files.each_ref().map(|(name, path)| (*name, path.as_path()));
    cache(folder, "models--someone--my-lstm", &files);
    let reviews = folder.join("reviews.csv");
    cache(folder, "datasets--someone--reviews", &[("train.csv", &reviews), ("test.csv", &reviews)]);
    measurements(folder);
    let forecaster = r#"{"model": {"name": "forecaster", "layers": [
        {"class_name": "InputLayer", "config": {"name": "input", "batch_shape": [null, 8, 3]}},
        {"class_name": "LSTM", "config": {"name": "lstm", "units": 4}},
        {"class_name": "Dense", "config": {"name": "dense", "units": 1}}]}}"#;
    for name in ["model.json", "forecaster.json"] {
        fs::write(folder.join(name), forecaster).unwrap();
    }
}

/// A year of days with more visitors at the end of a week, and steps of people who sit or walk.
fn measurements(folder: &Path) {
    let mut visitors = String::from("date,visitors,rain\n");
    for day in 0..365_usize {
        let months: [usize; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        let first = |month: usize| months[..month].iter().sum::<usize>();
        let month = (0..12).rfind(|&month| first(month) <= day).unwrap();
        let date = format!("2023-{:02}-{:02}", month + 1, day - first(month) + 1);
        let rain = (day * 37 % 11) as f64 / 4.0;
        let week = [0.0, 4.0, 6.0, 9.0, 20.0, 45.0, 38.0][day % 7];
        visitors.push_str(&format!("{date},{:.1},{rain}\n", 120.0 + 0.1 * day as f64 + week - 4.0 * rain));
    }
    fs::write(folder.join("visitors.csv"), visitors).unwrap();
    let mut steps = String::from("id,activity,x,y\n");
    for id in 0..40 {
        for step in 0..20 + id % 5 {
            let (activity, size) = [("sit", 0.1), ("walk", 1.0)][id % 2];
            let swing = size * (step as f64 * 0.7).sin();
            steps.push_str(&format!("{id},{activity},{swing:.3},{:.3}\n", 0.5 - swing));
        }
    }
    fs::write(folder.join("steps.csv"), steps).unwrap();
}

/// Runs a page's commands, and gives how many there were.
fn follow(page: &str) -> usize {
    let folder = tempfile::tempdir().unwrap();
    prepare(folder.path());
    let text = fs::read_to_string(Path::new(ROOT).join(page)).unwrap();
    let mut trained = HashMap::new();
    let mut count = 0;
    for Documented { line, shown } in commands(&text) {
        let Some(words) = arguments(&line) else {
            let line = line.split('#').next().unwrap_or_default().trim();
            let foreign =
                ["cargo ", "candle-recurrent ", "python ", "pip "].iter().any(|it| line.starts_with(it));
            assert!(!foreign || KNOWN.contains(&line), "{page}: `{line}` is not run by a test");
            continue;
        };
        // A command that is named again, or named without its arguments.
        if trained.insert(words.clone(), ()).is_some() || words.len() == 1 && !alone(&words[0]) {
            continue;
        }
        count += 1;
        let own_run = words.iter().any(|word| word.starts_with("runs/"));
        let output = Command::new(env!("CARGO_BIN_EXE_candle-recurrent"))
            .current_dir(folder.path())
            .env("KERAS_HOME", folder.path().join("keras"))
            .env("HF_HOME", folder.path().join("hf"))
            .env("HF_HUB_OFFLINE", "1")
            .args(briefly(words))
            .output()
            .unwrap();
        let printed = [output.stdout, output.stderr].concat();
        let printed = String::from_utf8(printed).unwrap();
        let refused = shown.iter().any(|line| line.starts_with("error: "));
        assert_eq!(output.status.success(), !refused, "{page}: `{line}` says:\n{printed}");
        for line in shown.iter().filter(|_| !own_run) {
            assert!(printed.contains(line.as_str()), "{page} shows `{line}`, and it says:\n{printed}");
        }
    }
    count
}

/// Whether a command does its work without arguments.
fn alone(command: &str) -> bool {
    matches!(command, "train" | "list")
}

/// What is not this program's, and why no test runs it: the tests themselves, installation, other people's programs.
const KNOWN: [&str; 4] = [
    "cargo install --path cli",
    "cargo test --release",
    "cargo test --release --test keras -- --nocapture",
    "cargo run --release --",
];

#[test]
fn readme() {
    assert!(follow("README.md") >= 8);
}

#[test]
fn readme_in_korean() {
    assert!(follow("README.ko.md") >= 8);
}

#[test]
fn the_command_line() {
    assert!(follow("docs/command-line.md") >= 12);
    assert!(follow("docs/ko/command-line.md") >= 12);
}

#[test]
fn the_chapter() {
    assert!(follow("docs/chapter.md") >= 4);
    assert!(follow("docs/ko/chapter.md") >= 4);
}

#[test]
fn series() {
    assert!(follow("docs/series.md") >= 7);
    assert!(follow("docs/ko/series.md") >= 7);
}

#[test]
fn keras_files() {
    assert!(follow("docs/keras-files.md") >= 6);
    assert!(follow("docs/ko/keras-files.md") >= 5);
}

#[test]
fn the_hub() {
    assert!(follow("docs/hub.md") >= 6);
}

/// How a page is read.
#[test]
fn pages_are_read() {
    let page = "`candle-recurrent list`\n```console\n$ candle-recurrent predict lstm \\\n    \"a film\"\nerror: no\n```\n";
    let found = commands(page);
    assert_eq!(found.len(), 2);
    assert_eq!(arguments(&found[1].line).unwrap(), ["predict", "lstm", "a film"]);
    assert_eq!(found[1].shown, ["error: no"]);
    assert_eq!(arguments("cargo run --release -- train    # trains").unwrap(), ["train"]);
    assert_eq!(arguments("cargo test --release"), None);
}
