//! Tokenizers fitted to people's own texts, rows of several labels, and numbers, from the command line and in a program.

use assert_cmd::Command;
use assert_cmd::assert::Assert;
use candle_core::Device;
use candle_recurrent::checkpoint::ModelFolder;
use candle_recurrent::data::Targets;
use predicates::prelude::*;
use predicates::str::contains;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

fn run(folder: &Path, args: &[&str]) -> Assert {
    Command::new(env!("CARGO_BIN_EXE_candle-recurrent")).current_dir(folder).args(args).assert()
}

fn fails(assert: Assert, line: &str) {
    let one_line = predicate::function(|text: &str| text.lines().count() == 1 && text.starts_with("error: "));
    assert.code(1).stdout("").stderr(one_line).stderr(contains(line));
}

fn parsed(assert: Assert) -> Value {
    serde_json::from_slice(&assert.success().get_output().stdout).expect("JSON")
}

const QUICK: [&str; 7] = ["--epochs", "15", "--optimizer", "adam", "--learning-rate", "0.02", "--json"];

fn train(folder: &Path, data: &str, more: &[&str]) -> (Value, String) {
    let assert = run(folder, &[&["train", "lstm", "--data", data], QUICK.as_slice(), more].concat());
    let messages = String::from_utf8(assert.get_output().stderr.clone()).expect("text");
    (parsed(assert), messages)
}

fn config(folder: &Path) -> Value {
    serde_json::from_slice(&fs::read(folder.join("config.json")).expect("a file")).expect("JSON")
}

/// Korean comments whose words differ in their endings, so that hardly a word comes twice.
fn comments() -> String {
    let (good, bad) = (["재밌", "훌륭하", "아름답"], ["지루하", "형편없", "실망스럽"]);
    let endings = ["어요", "네요", "습니다", "고", "지만", "던데", "더라", "군요"];
    let mut text = String::from("id\tdocument\tlabel\n");
    for index in 0..160 {
        let stems = [bad, good][index % 2];
        let (first, second) = (stems[index / 2 % 3], stems[index / 6 % 3]);
        let (ending, other) = (endings[index / 3 % 8], endings[index / 5 % 8]);
        text.push_str(&format!("{index}\t{first}{ending} {second}{other}\t{}\n", index % 2));
    }
    text
}

/// `char` and `bpe` read what words cannot, say what they found, and are kept as an ordinary tokenizer.json.
#[test]
fn characters_and_pieces_are_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    fs::write(here.join("x.txt"), comments()).expect("written");
    for (kind, size, notes) in [
        ("word", "", "words; unknown words: "),
        ("char", "", "characters; unknown characters: 0.0 % in the training part, "),
        (
            "bpe",
            "80",
            "vocabulary: 78 pieces of words; pieces that are unknown characters: 0.0 % in the training part",
        ),
    ] {
        let more = [
            &["--tokenizer", kind, "--out", kind][..],
            &["--vocab-size", size][..2 * usize::from(!size.is_empty())],
        ];
        let (report, messages) = train(here, "x.txt", &more.concat());
        assert!(messages.contains(notes), "{kind}: {messages}");
        assert!(messages.contains("lengths in ids: median "), "{kind}: {messages}");
        let accuracy = report["best_val_accuracy"].as_f64().expect("a figure");
        assert!(kind == "word" || accuracy > 0.9, "{kind}: {report}");
        if kind == "word" {
            continue;
        }
        // The pipeline of the `tokenizers` package reads it.
        let kept = fs::read(here.join(kind).join("tokenizer.json")).expect("a file");
        let kept: Value = serde_json::from_slice(&kept).expect("JSON");
        assert_eq!((&kept["model"]["type"], &kept["model"]["vocab"]["[UNK]"]), (&json!("BPE"), &json!(1)));
        assert_eq!(kept["model"]["merges"].as_array().map(Vec::is_empty), Some(kind == "char"));
        let vocab = kept["model"]["vocab"].as_object().expect("pieces").len();
        assert_eq!(config(&here.join(kind))["recipe"]["vocab_size"], vocab);
        // The same seed gives the same files, whatever the number of threads.
        let again = format!("{kind}-again");
        let more = [&more.concat()[..2], &more.concat()[4..], &["--out", &again, "--threads", "1"]].concat();
        train(here, "x.txt", &more);
        for file in ["tokenizer.json", "model.safetensors"] {
            let read = |run: &str| fs::read(here.join(run).join(file)).expect("a file");
            assert!(read(kind) == read(&again), "{kind}: {file}");
        }
        let found =
            parsed(run(here, &["predict", kind, "--json", "훌륭하더라 재밌군요", "지루하던데 형편없고"]));
        assert_eq!((&found[0]["label"], &found[1]["label"]), (&json!("1"), &json!("0")), "{kind}: {found}");
        let found = parsed(run(here, &["evaluate", kind, "--data", "x.txt", "--json", "--quiet"]));
        assert!(found["accuracy"].as_f64().expect("a figure") > 0.9, "{kind}: {found}");
        // In a program.
        let checkpoint =
            ModelFolder::open(here.join(kind)).and_then(|it| it.load(&Device::Cpu)).expect("loads");
        let answers = checkpoint.predict(&["훌륭하더라 재밌군요", "지루하던데 형편없고"]).expect("answers");
        assert!(answers[0] > 0.5 && answers[1] < 0.5, "{kind}: {answers:?}");
    }
    // The card is true: what it is, its classes, what it was made by.
    let card = fs::read_to_string(here.join("bpe/README.md")).expect("a card");
    for line in [
        "A text classifier (LSTM(8)) of ",
        "- 0\n- 1\n\nThe one number that the model gives is the probability of 1.",
        "candle-recurrent evaluate PATH/TO/THIS/FOLDER --data x.txt\n",
        "candle-recurrent train PATH/TO/THIS/FOLDER --data x.txt --vocab-size 80 --seed 42 --split-seed 42\n",
        "78 pieces of words, by byte-pair encoding of the texts in Unicode's NFKC and lower case (ids below 80), texts cut or padded in front to ",
        "pipeline_tag: text-classification",
    ] {
        assert!(card.contains(line), "{line}: {card}");
    }
    assert!(!card.contains("imdb"), "{card}");
    // The command gives the same weights.
    let words = [
        "train",
        "bpe",
        "--data",
        "x.txt",
        "--vocab-size",
        "80",
        "--seed",
        "42",
        "--split-seed",
        "42",
        "--out",
        "repeated",
        "--quiet",
    ];
    run(here, &words).success();
    let weights = |run: &str| fs::read(here.join(run).join("model.safetensors")).expect("a file");
    assert!(weights("bpe") == weights("repeated"));
    // Its own file serves another run, and has its ids.
    let more =
        ["--tokenizer", "bpe/tokenizer.json", "--padding", "post", "--max-len", "12", "--out", "other"];
    train(here, "x.txt", &more);
    let read = |run: &str| fs::read(here.join(run).join("tokenizer.json")).expect("a file");
    assert!(read("bpe") == read("other"));
    assert_eq!(config(&here.join("other"))["recipe"]["padding"], "post");
    for (args, line) in [
        (
            &["evaluate", "bpe", "--data", "x.txt", "--tokenizer", "char"][..],
            "--tokenizer char: is fitted to texts by train --data FILE",
        ),
        (
            &["train", "lstm", "--tokenizer", "bpe"],
            "--tokenizer bpe: is fitted to texts by train --data FILE",
        ),
        (
            &["train", "bpe", "--init", "bpe", "--data", "x.txt", "--tokenizer", "char", "--quiet"],
            "--tokenizer: the weights that training starts from have their own vocabulary beside them",
        ),
    ] {
        fails(run(here, args), line);
    }
}

/// Labels in every form that rows have several of, and rows without any.
#[test]
fn a_row_may_have_several_labels() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    let words = ["lovely", "dreadful", "late"];
    let labels = ["good", "bad", "slow"];
    let rows: Vec<(String, Vec<&str>)> = (0..160)
        .map(|index| {
            let own: Vec<usize> = (0..3).filter(|label| index >> label & 1 == 1).collect();
            let text: Vec<&str> = own.iter().map(|&label| words[label]).collect();
            let noise = ["film", "story", "cast", "end"][index / 8 % 4];
            (format!("a {} {noise}", text.join(" ")), own.into_iter().map(|label| labels[label]).collect())
        })
        .collect();
    let lines = |line: &dyn Fn(&str, &[&str]) -> String| -> String {
        rows.iter().map(|(text, labels)| line(text, labels) + "\n").collect()
    };
    let csv = |separator: &str| {
        "text,labels\n".to_string() + &lines(&|text, labels| format!("{text},\"{}\"", labels.join(separator)))
    };
    let commas = csv(", ");
    for (name, content, found) in [
        ("commas.csv", commas.clone(), "labels separated by comma"),
        ("bars.csv", csv("|"), "labels separated by bar"),
        ("spaces.csv", csv(" "), "labels separated by space"),
        (
            "lists.jsonl",
            lines(&|text, labels| json!({ "text": text, "labels": labels }).to_string()),
            "JSON lines",
        ),
        (
            "lists.json",
            Value::from(
                rows.iter()
                    .map(|(text, labels)| json!({ "text": text, "labels": labels }))
                    .collect::<Vec<_>>(),
            )
            .to_string(),
            "a JSON list, UTF-8; texts from column \"text\"",
        ),
        (
            "fast.txt",
            // A file of fastText's is known by its first line.
            "__label__good a lovely film\n".to_string()
                + &lines(&|text, labels| {
                    labels.iter().map(|label| format!("__label__{label} ")).collect::<String>() + text
                }),
            "fastText",
        ),
    ] {
        fs::write(here.join(name), content).expect("written");
        let out = format!("{name}-run");
        let (report, messages) = train(here, name, &["--task", "multi-label", "--out", &out]);
        assert!(messages.contains(found), "{name}: {messages}");
        assert!(
            messages.contains("3 labels: bad (80), good (8") && messages.contains("20 rows without any"),
            "{name}: {messages}"
        );
        assert!(report["best_val_binary_accuracy"].as_f64().expect("a figure") > 0.95, "{name}: {report}");
        assert!(report["best_val_f1_score"].as_f64().expect("a figure") > 0.95, "{name}: {report}");
        let kept = config(&here.join(&out));
        assert_eq!((&kept["classes"], &kept["multi_label"]), (&json!(["bad", "good", "slow"]), &json!(true)));
    }
    let weights = |name: &str| fs::read(here.join(format!("{name}-run/model.safetensors"))).expect("weights");
    for name in ["bars.csv", "spaces.csv", "lists.jsonl", "lists.json"] {
        assert!(weights("commas.csv") == weights(name), "{name}");
    }
    let texts = ["a lovely late film", "a film"];
    let found = parsed(run(here, &["predict", "commas.csv-run", "--json", texts[0], texts[1]]));
    assert_eq!((&found[0]["labels"], &found[1]["labels"]), (&json!(["good", "slow"]), &json!([])), "{found}");
    assert!(found[0]["probabilities"]["bad"].as_f64().expect("a number") < 0.5, "{found}");
    run(here, &["predict", "commas.csv-run", texts[0], texts[1]])
        .success()
        .stdout(predicates::str::starts_with("good 0.").or(predicates::str::starts_with("good 1.")))
        .stdout(contains("\n-  a film\n"));
    for data in ["bars.csv", "lists.json", "fast.txt"] {
        let found = parsed(run(here, &["evaluate", "commas.csv-run", "--data", data, "--json", "--quiet"]));
        assert!(found["f1_score"].as_f64().expect("a figure") > 0.95, "{data}: {found}");
    }
    // In a program.
    let checkpoint =
        ModelFolder::open(here.join("commas.csv-run")).and_then(|it| it.load(&Device::Cpu)).expect("loads");
    assert_eq!(
        checkpoint.config.targets(),
        Some(Targets::Labels(["bad", "good", "slow"].map(String::from).to_vec()))
    );
    let answers = checkpoint.answer_counted(&texts).expect("answers");
    assert!(answers[0].0[1] > 0.5 && answers[1].0.iter().all(|value| *value < 0.5), "{answers:?}");

    // A label that the model does not have, and a separator of one's own.
    fs::write(here.join("more.csv"), commas + "a film,\"good, strange\"\n").expect("written");
    run(here, &["evaluate", "commas.csv-run", "--data", "more.csv"])
        .success()
        .stdout(contains("(160 texts)"))
        .stderr(contains("more.csv, line 162: has the label \"strange\", which is no class of the model"));
    fs::write(here.join("own.csv"), csv("::")).expect("written");
    let (_, messages) =
        train(here, "own.csv", &["--task", "multi-label", "--label-separator", "::", "--out", "own"]);
    assert!(messages.contains("labels separated by \"::\""), "{messages}");
    assert!(weights("commas.csv") == fs::read(here.join("own/model.safetensors")).expect("weights"));
    for (args, line) in [
        (
            &["--data", "own.csv", "--label-separator", "::"][..],
            "--label-separator: goes with --task multi-label",
        ),
        (&["--label-separator", ","], "--label-separator: goes with --data FILE"),
        (&["--data", "own.csv", "--task", "several"], ""),
    ] {
        let assert = run(here, &[&["train", "lstm", "--quiet"], args].concat());
        if line.is_empty() {
            assert.code(2).stderr(contains("give classification, multi-label or regression"));
        } else {
            fails(assert, line);
        }
    }
    fs::write(here.join("one.csv"), "text,label\na,x\nb,x\n").expect("written");
    fails(
        run(here, &["train", "--data", "one.csv", "--task", "multi-label", "--quiet"]),
        "one.csv: has the label \"x\" alone; expected two or more",
    );
}

/// Numbers are learnt at any size, and figures and answers are in the file's.
#[test]
fn numbers_of_any_size_are_learnt() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    let row = |index: usize| {
        let (word, price) = [("cheap", 120_000.5), ("dear", 980_000.0), ("usual", 455_000.25)][index % 3];
        format!("a {word} house {},{price}\n", index / 3 % 5)
    };
    let text: String = "text,label\n".to_string() + &(0..150).map(row).collect::<String>();
    fs::write(here.join("x.csv"), text).expect("written");
    let (report, messages) = train(here, "x.csv", &["--out", "run"]);
    assert!(messages.contains("numbers from 120000.5 to 980000, 518333.5833 on average"), "{messages}");
    assert!(report["best_val_mae"].as_f64().expect("a figure") < 50_000.0, "{report}");
    let found = parsed(run(here, &["predict", "run", "--json", "a dear house"]));
    assert!((found[0]["value"].as_f64().expect("a number") - 980_000.0).abs() < 60_000.0, "{found}");
    let found = parsed(run(here, &["evaluate", "run", "--data", "x.csv", "--json"]));
    assert!(found["mae"].as_f64().expect("a figure") < 50_000.0, "{found}");
    // Other targets take the scale off again.
    fs::write(here.join("y.csv"), comments().replace('\t', ",")).expect("written");
    let config_of = |run: &str| config(&here.join(run))["model"]["layers"].as_array().expect("layers").len();
    run_model(here, "run", "y.csv");
    assert_eq!(config_of("run"), config_of("again") + 1);
}

fn run_model(folder: &Path, model: &str, data: &str) {
    run(folder, &["train", model, "--data", data, "--epochs", "1", "--quiet", "--out", "again"]).success();
}

/// A folder with parts, and encodings that are named.
#[test]
fn parts_of_a_folder_and_encodings_are_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    for (part, count) in [("train", 40), ("dev", 10), ("test", 20)] {
        for index in 0..count {
            let (label, word) = [("good", "lovely"), ("bad", "dreadful")][index % 2];
            let path = here.join("films").join(part).join(label);
            fs::create_dir_all(&path).expect("a folder");
            fs::write(path.join(format!("{index}.txt")), format!("a {word} film {part}")).expect("written");
        }
    }
    let (report, messages) = train(here, "films", &["--out", "run"]);
    assert!(messages.contains("40 training, 10 validation and 20 test texts"), "{messages}");
    assert!(report["test_accuracy"].is_number(), "{report}");
    let found = parsed(run(here, &["evaluate", "run", "--data", "films", "--json", "--quiet"]));
    assert_eq!(found["samples"], 20);

    let text = "text,label\n".to_string() + &"素晴らしい映画,good\nひどい映画,bad\n".repeat(20);
    let (encoded, ..) = encoding_rs::SHIFT_JIS.encode(&text);
    fs::write(here.join("sjis.csv"), encoded).expect("written");
    let more = ["--encoding", "shift_jis", "--tokenizer", "char", "--out", "sjis"];
    let (_, messages) = train(here, "sjis.csv", &more);
    assert!(messages.contains("a line of names, Shift_JIS"), "{messages}");
    let found = parsed(run(here, &["predict", "sjis", "--json", "素晴らしい"]));
    assert_eq!(found[0]["label"], "good");
    fails(
        run(here, &["train", "--data", "sjis.csv", "--encoding", "utf-8", "--quiet"]),
        "sjis.csv: is not UTF-8 throughout",
    );
    run(here, &["train", "--data", "sjis.csv", "--encoding", "utf-9"])
        .code(2)
        .stderr(contains("give the name of an encoding"));
    fails(run(here, &["train", "--encoding", "utf-8"]), "--encoding: goes with --data FILE");
}

/// The report shows texts as the model's vocabulary tells them, and ids of another vocabulary are refused.
#[test]
fn reviews_are_shown_as_the_model_reads_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    let reviews: String = (0..80)
        .map(|at| {
            format!("\"I {} this film, and the cast\",{}\n", ["hate", "love"][at % 2], ["neg", "pos"][at % 2])
        })
        .collect();
    fs::write(here.join("x.csv"), format!("text,label\n{reviews}")).expect("written");
    for kind in ["char", "bpe"] {
        train(here, "x.csv", &["--tokenizer", kind, "--max-len", "100", "--out", kind]);
        // The built-in reviews are text, which the model's own vocabulary reads.
        let found = parsed(run(here, &["evaluate", kind, "--json", "--mistakes", "3", "--quiet"]));
        let mistakes = found["report"]["mistakes"].as_array().expect("a list");
        let text = mistakes[0]["text"].as_str().expect("a text");
        // Words stand there, and no characters one by one; the rarest may be unknown.
        assert!(text.contains(" the ") || text.contains(" this "), "{kind}: {text}");
        assert!(!text.contains("t h e") && !text.contains('\u{2581}'), "{kind}: {text}");
    }
    let data = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data/imdb/imdb.npz");
    if !Path::new(data).is_file() {
        eprintln!("skipped: {data} is not there");
        return;
    }
    fails(
        run(here, &["evaluate", "char", "--data", data, "--quiet"]),
        "imdb.npz: holds the ids of Keras's words, and the model reads ids of characters; give the reviews as text",
    );
}
