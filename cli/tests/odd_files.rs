//! Odd files through `train`, `evaluate` and `predict`: a clear line or an answer, never a panic, never a row lost unsaid.

use assert_cmd::Command;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

/// What a file is to bring about.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Rows {
    /// It is refused as a whole, in a line.
    Refused,
    /// So many rows, used or told.
    Are(usize),
    /// Used or told, however many a reader takes them for.
    Some,
}

fn program(folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_candle-recurrent"));
    command.current_dir(folder).args(args).timeout(Duration::from_secs(60));
    command.output().expect("it runs")
}

/// A row that is used or told, of twelve that tell two classes apart.
fn good() -> String {
    (0..12)
        .map(|at| format!("a {} film {at},{}\n", ["lovely", "dull"][at % 2], ["good", "bad"][at % 2]))
        .collect()
}

fn objects() -> String {
    let row = |at: usize| {
        format!(
            "{{\"text\": \"a {} film {at}\", \"label\": \"{}\"}}\n",
            ["lovely", "dull"][at % 2],
            ["good", "bad"][at % 2]
        )
    };
    (0..12).map(row).collect()
}

/// The files, with what they are to bring about.
fn files() -> Vec<(&'static str, Vec<u8>, Rows)> {
    let csv = |more: &str| format!("text,label\n{}{more}", good()).into_bytes();
    let jsonl = |more: &str| format!("{}{more}", objects()).into_bytes();
    let utf16 = |big: bool, odd: bool| {
        let text = String::from_utf8(csv("")).expect("text");
        let units = [0xfeff].into_iter().chain(text.encode_utf16());
        let mut bytes: Vec<u8> =
            units.flat_map(|unit| if big { unit.to_be_bytes() } else { unit.to_le_bytes() }).collect();
        bytes.extend(odd.then_some(7));
        bytes
    };
    vec![
        ("empty.csv", vec![], Rows::Refused),
        ("blank.csv", b"\n\r\n  \n\t\n".to_vec(), Rows::Refused),
        ("mark.csv", b"\xef\xbb\xbf".to_vec(), Rows::Refused),
        ("mark16.csv", b"\xff\xfe".to_vec(), Rows::Refused),
        ("header.csv", b"text,label\n".to_vec(), Rows::Refused),
        ("header-no-end.csv", b"text,label".to_vec(), Rows::Refused),
        ("one-column.csv", b"text\na\nb\n".to_vec(), Rows::Refused),
        ("open-quote.csv", csv("\"never closed,good\nmore,bad\n"), Rows::Some),
        (
            "open-quote-first.csv",
            [b"text,label\n\"never,1\n".to_vec(), good().into_bytes()].concat(),
            Rows::Some,
        ),
        ("quotes-inside.csv", csv("so \"he\" said,good\n\"so \"\"he\"\" said\",bad\n"), Rows::Are(14)),
        ("stray-quote.csv", csv("\"so\" he said,good\n"), Rows::Are(13)),
        ("nul.csv", csv("a\0b,good\nc,ba\0d\n"), Rows::Are(14)),
        ("only-nul.csv", vec![0; 4096], Rows::Refused),
        (
            "mixed.csv",
            [csv("재미있는,good\n"), b"it\x92s,bad\n\xb0\xa1\xb3\xaa,good\n".to_vec()].concat(),
            Rows::Refused,
        ),
        (
            "cp949.csv",
            encoding_rs::EUC_KR
                .encode(&format!("text,label\n{}재미있는 영화,good\n지루한 영화,bad\n", good()))
                .0
                .into_owned(),
            Rows::Are(14),
        ),
        ("utf16le.csv", utf16(false, false), Rows::Are(12)),
        ("utf16be.csv", utf16(true, false), Rows::Are(12)),
        ("utf16-cut.csv", utf16(false, true), Rows::Refused),
        ("label-once.csv", csv("a strange film,once\n"), Rows::Are(13)),
        (
            "crlf.csv",
            String::from_utf8(csv("")).expect("text").replace('\n', "\r\n").into_bytes(),
            Rows::Are(12),
        ),
        ("cr.csv", String::from_utf8(csv("")).expect("text").replace('\n', "\r").into_bytes(), Rows::Are(12)),
        ("mixed-ends.csv", csv("a film,good\r\nb film,bad\n\r\nc film,good"), Rows::Are(15)),
        (
            "same-names.csv",
            format!("text,label,text\n{}", good().replace('\n', ",x\n")).into_bytes(),
            Rows::Are(12),
        ),
        ("ragged.csv", csv("one\na,b,c\n,\n,,\nd,good\n"), Rows::Are(17)),
        ("no-text.csv", csv(",good\n   ,bad\n\"\",good\n"), Rows::Are(15)),
        ("no-label.csv", csv("a film,\nb film,  \n"), Rows::Are(14)),
        ("emoji.csv", csv("👍👍👍 🎬,good\n\u{202e}turned,bad\ncafe\u{301},good\n"), Rows::Are(15)),
        ("huge-field.csv", csv(&format!("\"{}\",good\n", "a film ".repeat(3 << 20))), Rows::Are(13)),
        ("huge-label.csv", csv(&format!("a film,{}\n", "x".repeat(5000))), Rows::Are(13)),
        ("one-line.csv", vec![b'a'; 100 << 20], Rows::Refused),
        (
            "many-columns.csv",
            format!("text,label{}\n{}", ",x".repeat(3000), good().replace('\n', &(",1".repeat(3000) + "\n")))
                .into_bytes(),
            Rows::Are(12),
        ),
        (
            "tabs.tsv",
            format!("text\tlabel\n{}\"oh\tgood\n", good().replace(',', "\t")).into_bytes(),
            Rows::Are(13),
        ),
        ("image.csv", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\xff\xfe\xfd".to_vec(), Rows::Refused),
        ("numbers.csv", b"1,2\n3,4\n".to_vec(), Rows::Refused),
        (
            "lists.jsonl",
            jsonl("{\"text\": [\"a\"], \"label\": \"good\"}\n{\"text\": {\"a\": 1}, \"label\": \"bad\"}\n"),
            Rows::Are(14),
        ),
        (
            "nulls.jsonl",
            jsonl("{\"text\": null, \"label\": \"good\"}\n{\"text\": \"a\", \"label\": null}\n{}\n"),
            Rows::Are(15),
        ),
        (
            "surrogates.jsonl",
            jsonl(
                "{\"text\": \"a \\ud800 b\", \"label\": \"good\"}\n{\"text\": \"\\ud83d\\udc4d fine\", \"label\": \"good\"}\n",
            ),
            Rows::Are(14),
        ),
        ("broken.jsonl", jsonl("{\"text\": \"a\", \"label\"\nnonsense\n[1, 2]\n\"text\"\n"), Rows::Are(16)),
        (
            "deep.jsonl",
            jsonl(&format!(
                "{{\"text\": \"a\", \"label\": \"good\", \"more\": {}{}}}\n",
                "[".repeat(100_000),
                "]".repeat(100_000)
            )),
            Rows::Are(13),
        ),
        (
            "numbers.jsonl",
            jsonl("{\"text\": 17, \"label\": \"good\"}\n{\"text\": true, \"label\": \"bad\"}\n"),
            Rows::Are(14),
        ),
        ("array.json", b"[{\"text\": \"a\", \"label\": \"good\"}]\n".to_vec(), Rows::Some),
        ("cut.parquet", b"PAR1 and no more".to_vec(), Rows::Refused),
        ("no.parquet", b"PAR1\x15\x04\x15\x00PAR1".to_vec(), Rows::Refused),
    ]
}

/// The rows that messages tell of.
fn told(messages: &str) -> usize {
    messages
        .lines()
        .filter(|line| line.starts_with("warning: "))
        .map(|line| match line.split(": ").nth(2).and_then(|rest| rest.split_once(" more rows ")) {
            Some((count, _)) => count.parse().unwrap_or(0),
            None => {
                usize::from(line.ends_with("the row is left out") || line.ends_with("the row has no answer"))
            }
        })
        .sum()
}

/// That a run ended in an answer or in one line.
fn check(output: &Output, what: &str) -> Option<String> {
    let messages = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!messages.contains("panicked"), "{what}: {messages}");
    match output.status.code() {
        Some(0) => Some(messages),
        Some(1) => {
            let errors = messages.lines().filter(|line| line.starts_with("error: ")).count();
            assert_eq!(errors, 1, "{what}: {messages}");
            assert!(
                messages.lines().all(|line| line.len() < 2000),
                "{what}: a line of {} bytes",
                messages.len()
            );
            None
        }
        code => panic!("{what}: {code:?}: {messages}"),
    }
}

fn through(here: &Path, path: &Path, expected: Rows) {
    let name = path.file_name().expect("a name").to_string_lossy().into_owned();
    let output = format!("out-{name}");
    let train = [
        "train",
        "gru",
        "--data",
        &name,
        "--epochs",
        "1",
        "--quiet",
        "--json",
        "--out",
        "odd",
        "--task",
        "classification",
    ];
    let trained = program(here, &train);
    if check(&trained, &format!("train on {name}")).is_some() {
        assert_ne!(expected, Rows::Refused, "{name} is trained on");
    }
    let measured = program(here, &["evaluate", "model", "--data", &name, "--json", "--quiet"]);
    let messages = check(&measured, &format!("evaluate {name}"));
    match (&messages, expected) {
        (Some(messages), Rows::Are(rows)) => {
            let report: Value = serde_json::from_slice(&measured.stdout).expect("JSON");
            let used = report["samples"].as_u64().expect("a number") as usize;
            assert_eq!(used + told(messages), rows, "{name}: {used} used; {messages}");
        }
        (None, Rows::Are(_)) => panic!("{name} is refused: {}", String::from_utf8_lossy(&measured.stderr)),
        (Some(_), Rows::Refused) => panic!("{name} is measured"),
        _ => {}
    }
    let predicted = program(here, &["predict", "model", "--input", &name, "--output", &output, "--json"]);
    let messages = check(&predicted, &format!("predict {name}"));
    assert_eq!(messages.is_some(), here.join(&output).is_file(), "{name}: a file that is half there");
    if let Some(messages) = messages {
        let report: Value = serde_json::from_slice(&predicted.stdout).expect("JSON");
        let figure = |key: &str| report[key].as_u64().expect("a number") as usize;
        assert_eq!(figure("answered") + told(&messages), figure("rows"), "{name}: {report}; {messages}");
        if let Rows::Are(rows) = expected {
            assert_eq!(figure("rows"), rows, "{name}");
        }
    }
}

#[test]
fn odd_files_are_read_or_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    fs::write(here.join("train.csv"), format!("text,label\n{}", good())).expect("written");
    let trained =
        program(here, &["train", "gru", "--data", "train.csv", "--epochs", "1", "--quiet", "--out", "model"]);
    assert!(trained.status.success(), "{}", String::from_utf8_lossy(&trained.stderr));
    let files = files();
    assert!(files.len() >= 40);
    for (name, bytes, expected) in files {
        let path = here.join(name);
        fs::write(&path, bytes).expect("written");
        through(here, &path, expected);
        fs::remove_file(&path).expect("removed");
    }
}

/// What is no file at all.
#[cfg(unix)]
#[test]
fn what_is_no_file_is_refused() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    let mut paths: Vec<PathBuf> = vec![];
    let pipe = here.join("pipe.csv");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    if made.is_ok_and(|status| status.success()) {
        paths.push(pipe);
    }
    fs::create_dir(here.join("folder.csv")).expect("a folder");
    paths.push(here.join("folder.csv"));
    for (name, target) in [("zero.csv", "/dev/zero"), ("nowhere.csv", "no-such-file")] {
        symlink(target, here.join(name)).expect("a link");
        paths.push(here.join(name));
    }
    let locked = here.join("locked.csv");
    fs::write(&locked, "text,label\na,1\nb,0\n").expect("written");
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o000)).expect("set");
    // Whoever may do anything reads it all the same.
    if fs::read(&locked).is_err() {
        paths.push(locked);
    }
    for path in paths {
        let path = path.to_string_lossy().into_owned();
        for args in [
            &["train", "gru", "--data", &path, "--epochs", "1", "--quiet"][..],
            &["evaluate", "lstm", "--data", &path, "--quiet"],
            &["predict", "lstm", "--input", &path, "--text-column", "1"],
        ] {
            assert_eq!(check(&program(here, args), &format!("{args:?}")), None, "{args:?}");
        }
    }
}
