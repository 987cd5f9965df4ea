//! Files made to harm whoever opens them (`scripts/hostile_files.py`), through the program: one line, exit code 1, at once, with
//! little memory, and nothing run, fetched or written.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const HOSTILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/hostile");
/// Ids below 12, six a text.
const IDS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/old_keras_2_1.h5");
/// What the program holds before it has opened anything, and what a refusal may come to.
const MEMORY: usize = 64 << 20;
const TIME: Duration = Duration::from_secs(5);

struct Ended {
    code: Option<i32>,
    out: String,
    messages: String,
    time: Duration,
    /// The most that it held, in bytes, where the system tells.
    peak: usize,
}

/// Runs the program and watches what it holds: the system forgets it when the program ends.
fn run(folder: &Path, args: &[&str]) -> Ended {
    let start = Instant::now();
    let mut child = Command::new(env!("CARGO_BIN_EXE_candle-recurrent"))
        .current_dir(folder)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    let code = loop {
        let said = fs::read_to_string(&status).unwrap_or_default();
        let line = said.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<usize>().ok());
        peak = peak.max(kib.unwrap_or(0) << 10);
        if let Some(status) = child.try_wait().expect("a child") {
            break status.code();
        }
        assert!(start.elapsed() < Duration::from_secs(60), "{args:?} goes on");
        std::thread::sleep(Duration::from_micros(500));
    };
    let time = start.elapsed();
    let (mut out, mut messages) = (String::new(), String::new());
    child.stdout.take().expect("a pipe").read_to_string(&mut out).expect("text");
    child.stderr.take().expect("a pipe").read_to_string(&mut messages).expect("text");
    Ended { code, out, messages, time, peak }
}

/// The names of all that is in a folder, and in those in it.
fn names(folder: &Path) -> Vec<String> {
    let mut found = vec![];
    let mut open = vec![folder.to_path_buf()];
    while let Some(at) = open.pop() {
        for entry in fs::read_dir(at).expect("a folder") {
            let path = entry.expect("an entry").path();
            found.push(path.strip_prefix(folder).expect("within").to_string_lossy().into_owned());
            if path.is_dir() {
                open.push(path);
            }
        }
    }
    found.sort();
    found
}

/// A folder three levels down in one of its own, where commands run: `../..` is still ours.
fn place() -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path().join("a/b/here");
    fs::create_dir_all(&here).expect("a folder");
    (folder, here)
}

/// That a command ends in one line with these words, and leaves nothing behind.
fn refused(args: &[&str], words: &[&str]) {
    let (folder, here) = place();
    let before = names(folder.path());
    let ended = run(&here, args);
    let what = format!("{args:?}: {}{}", ended.out, ended.messages);
    println!("{:?}, {} MiB: {}", ended.time, ended.peak >> 20, ended.messages.trim_end());
    assert_eq!(ended.code, Some(1), "{what}");
    assert_eq!(ended.messages.lines().count(), 1, "{what}");
    assert!(words.iter().all(|word| ended.messages.contains(word)), "expected {words:?} in {what}");
    assert!(ended.time < TIME, "{:?}: {what}", ended.time);
    assert!(ended.peak < MEMORY, "{} MiB: {what}", ended.peak >> 20);
    assert_eq!(names(folder.path()), before, "{what}");
}

/// A model, through every command that opens one.
fn model(name: &str, words: &[&str]) {
    let path = format!("{HOSTILE}/{name}");
    refused(&["predict", &path, "good"], words);
    refused(&["predict", &path, "--input", "x.npy", "--output", "y.npy"], words);
    refused(&["convert", &path, "out.keras"], words);
    refused(&["convert", &path, "out"], words);
    refused(&["train", &path, "--data", IDS, "--out", "run"], words);
    // The layers are shown where they can be: then the table is on standard output, and the line beside it.
    refused(&["summary", &path], words);
}

macro_rules! models {
    ($($test:ident: $file:literal, $($word:literal),+;)*) => { $(
        #[test]
        fn $test() {
            model($file, &[$($word),+]);
        }
    )* };
}

models! {
    cve_2024_3660_code_in_a_lambda: "cve_2024_3660_lambda.keras", "layer run", "Python code, which is not executed";
    cve_2025_9905_code_in_a_lambda_of_an_h5: "cve_2025_9905_lambda.h5", "layer run", "Python code, which is not executed";
    cve_2025_1550_a_class_of_pythons: "cve_2025_1550_layer.keras", "layer run", "subprocess.Popen";
    cve_2025_1550_a_function_of_pythons: "cve_2025_1550_function.keras", "layer run", "not executed";
    cve_2025_1550_an_activation_of_pythons: "cve_2025_1550_activation.keras", "layer dense", "os.";
    cve_2025_8747_get_file_as_a_layer: "cve_2025_8747_get_file.keras", "layer fetch", "get_file";
    cve_2025_8747_get_file_as_a_function: "cve_2025_8747_function.keras", "layer fetch", "not executed";
    cve_2025_9906_enable_unsafe_deserialization: "cve_2025_9906_unsafe.keras", "layer switch", "not executed";
    cve_2025_49655_a_module_of_torch: "cve_2025_49655_torch.keras", "layer wrapped", "TorchModuleWrapper";
    cve_2026_1462_a_saved_model_as_a_layer: "cve_2026_1462_tfsm.keras", "layer saved", "TFSMLayer";
    cve_2025_12058_a_path_of_words: "cve_2025_12058_string.keras", "/etc/hostname", "not opened";
    cve_2025_12058_a_path_of_numbers: "cve_2025_12058_integer.keras", "/etc/hostname", "not opened";
    cve_2025_12058_a_path_in_text_vectorization: "cve_2025_12058_text.keras", "/etc/hostname", "not opened";
    cve_2026_0897_a_shape_that_lies: "cve_2026_0897_shape.keras", "more than the file can hold";
    cve_2026_0897_a_chunk_that_lies: "cve_2026_0897_chunk.keras", "more than the file can hold";
    cve_2026_12570_a_shape_in_an_h5: "cve_2026_12570_shape.h5", "more than the file can hold";
    cve_2026_12570_a_chunk_that_is_a_bomb: "cve_2026_12570_chunk.keras", "bomb";
    cve_2026_12570_units_beyond_any_memory: "cve_2026_12570_units.keras", "units must be at most";
    cve_2026_1669_external_storage: "cve_2026_1669_storage.keras", "external files";
    cve_2026_1669_external_storage_in_an_h5: "cve_2026_1669_storage.h5", "external files";
    cve_2026_1669_a_virtual_dataset: "cve_2026_1669_virtual.keras", "virtual";
    cve_2026_1669_a_soft_link: "cve_2026_1669_soft_link.keras", "links to other places are not followed";
    cve_2026_1669_an_external_link: "cve_2026_1669_external_link.keras", "links to other places are not followed";
    cve_2026_1669_an_external_link_to_a_group: "cve_2026_1669_external_group.keras", "links to other places are not followed";
    a_configuration_that_is_a_bomb: "bomb_config.keras", "far more than the file's size";
    weights_that_are_a_bomb: "bomb_weights.keras", "far more than the file's size";
    members_that_overlap: "overlapping.keras", "the same bytes";
}

#[test]
fn pickles_that_call() {
    let at = |name: &str| format!("{HOSTILE}/{name}");
    let config = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/lstm/config.json");
    refused(&["predict", "lstm", "good", "--tokenizer", &at("pickle_tokenizer.pickle")], &["builtins.exec"]);
    refused(&["evaluate", "lstm", "--data", &at("pickle_imdb.npz")], &["builtins.exec", "nothing was run"]);
    refused(&["train", "lstm", "--data", &at("pickle_imdb.npz"), "--out", "run"], &["builtins.exec"]);
    refused(&["predict", IDS, "--input", &at("pickle_array.npy")], &["|O"]);
    refused(&["convert", &at("pickle_weights.pt"), "x.keras", "--config", config], &["pickle_weights.pt"]);
    refused(&["predict", IDS, "--input", &at("overlapping.npz")], &["the same bytes"]);
    refused(&["convert", &at("overlapping.pt"), "x.keras", "--config", config], &["the same bytes"]);
}

/// What never ends, wherever a file is named.
#[cfg(target_os = "linux")]
#[test]
fn pipes_and_devices() {
    let (_folder, here) = place();
    let pipe = here.join("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status();
    let weights = format!("{HOSTILE}/../fixtures/torch/half.pt");
    let mut ends = vec!["/dev/zero".to_string()];
    if made.is_ok_and(|status| status.success()) {
        ends.push(pipe.to_string_lossy().into_owned());
    }
    for end in &ends {
        let end = end.as_str();
        for args in [
            &["predict", "lstm", "good", "--tokenizer", end][..],
            &["predict", "lstm", "good", "--tokenizer", &format!("keras:{end}")],
            &["predict", "lstm", "good", "--tokenizer", &format!("imdb:{end}")],
            &["predict", &weights, "--config", end, "--input", "x.npy"],
            &["convert", &weights, "x.keras", "--config", end],
            &["summary", end],
            &["train", "lstm", "--init", end],
            &["train", "lstm", "--data", end],
            &["evaluate", "lstm", "--data", end],
        ] {
            refused(args, &[]);
        }
        // Among a folder's texts.
        let texts = here.join(format!("texts-{}", end.len()));
        for (at, class) in ["train/pos", "train/neg", "test/pos", "test/neg"].into_iter().enumerate() {
            fs::create_dir_all(texts.join(class)).expect("a folder");
            fs::write(texts.join(class).join("1_1.txt"), format!("a film {at}")).expect("written");
        }
        std::os::unix::fs::symlink(end, texts.join("test/pos/2_1.txt")).expect("a link");
        refused(&["evaluate", "lstm", "--data", &texts.to_string_lossy()], &["no file but a device"]);
        let ended = run(&here, &["evaluate", "lstm", "--data", &texts.join("test").to_string_lossy()]);
        assert_eq!(ended.code, Some(0), "{}", ended.messages);
        assert!(
            ended.messages.contains("2_1.txt") && ended.messages.contains("a pipe"),
            "{}",
            ended.messages
        );
        // In the place of a model folder's files.
        let model = here.join(format!("model-{}", end.len()));
        fs::create_dir(&model).expect("a folder");
        fs::copy(
            concat!(env!("CARGO_MANIFEST_DIR"), "/../models/lstm/config.json"),
            model.join("config.json"),
        )
        .expect("copied");
        let folder = model.to_string_lossy().into_owned();
        for (name, args) in [
            ("tokenizer.json", &["predict", &folder, "good"][..]),
            ("model.safetensors", &["predict", &folder, "good"]),
            ("history.csv", &["plot", &folder, "--out", "x.svg"]),
        ] {
            std::os::unix::fs::symlink(end, model.join(name)).expect("a link");
            refused(args, &[]);
            fs::remove_file(model.join(name)).expect("removed");
        }
    }
}

/// Results that nobody can have are no success.
#[cfg(target_os = "linux")]
#[test]
fn no_standard_output() {
    let (_folder, here) = place();
    for args in
        ["predict lstm good", "list --json", "summary lstm", "--help", "--version", "convert lstm x.keras"]
    {
        for (to, code) in [(">&-", 1), (">/dev/full", 1), (">/dev/null", 0), ("</dev/null >&-", 1)] {
            let command = format!("exec {} {args} {to}", env!("CARGO_BIN_EXE_candle-recurrent"));
            let output =
                Command::new("sh").current_dir(&here).args(["-c", &command]).output().expect("it runs");
            let messages = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(code), "{args} {to}: {messages}");
            assert_eq!(messages.lines().count(), code as usize, "{args} {to}: {messages}");
            assert!(code == 0 || messages.contains("standard output cannot be written"), "{messages}");
        }
    }
}

/// Memory that is not there is told, not asked for.
#[cfg(target_os = "linux")]
#[test]
fn a_length_beyond_the_memory() {
    let (_folder, here) = place();
    let command = format!(
        "ulimit -v 3000000 && exec {} train lstm --max-len 50000 --epochs 1 --quiet --out run",
        env!("CARGO_BIN_EXE_candle-recurrent")
    );
    let output = Command::new("sh").current_dir(&here).args(["-c", &command]).output().expect("it runs");
    let messages = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{messages}");
    assert!(messages.lines().count() == 1 && messages.contains("not so much memory"), "{messages}");
}

/// Through every command that writes: what is written lies where it was asked for, and nowhere else.
#[test]
fn cve_2026_12479_names_that_are_ways_out() {
    let (folder, here) = place();
    let path = format!("{HOSTILE}/cve_2026_12479_names.keras");
    let arrays: Vec<u8> = [1_f32; 12].iter().flat_map(|number| number.to_le_bytes()).collect();
    let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (4, 3), }";
    let npy = [b"\x93NUMPY\x01\0\x76\0".as_slice(), format!("{header:117}\n").as_bytes(), &arrays].concat();
    fs::write(here.join("x.npy"), npy).expect("written");
    let goes = |args: &[&str]| {
        let ended = run(&here, args);
        let what = format!("{args:?}: {}{}", ended.out, ended.messages);
        assert_eq!(ended.code, Some(0), "{what}");
        assert!(!ended.out.contains('\u{1b}') && !ended.messages.contains('\u{1b}'), "{what}");
    };
    goes(&["summary", &path]);
    for out in ["n.keras", "n.weights.h5", "n.safetensors", "folder"] {
        goes(&["convert", &path, out]);
    }
    for out in ["y.npz", "y.npy", "y.csv", "y.safetensors"] {
        goes(&["predict", &path, "--input", "x.npy", "--output", out]);
        goes(&["predict", "folder", "--input", "x.npy", "--output", out]);
    }
    let ended = run(&here, &["ensemble", "folder", "folder", "--out", "both"]);
    assert!(matches!(ended.code, Some(0..=2)), "{}", ended.messages);
    // A configuration of one's own, whose names nobody has changed yet.
    let config = fs::read_to_string(here.join("folder/config.json")).expect("a configuration");
    fs::create_dir(here.join("own")).expect("a folder");
    for (from, to) in [("______escaped", "../../escaped"), ("_tmp_candle", "/tmp/candle")] {
        assert!(config.contains(from));
        fs::write(here.join("own/config.json"), config.replace(from, to)).expect("written");
        fs::copy(here.join("folder/model.safetensors"), here.join("own/model.safetensors")).expect("copied");
        for args in [
            &["convert", "own", "own.keras"][..],
            &["convert", "own", "again"],
            &["predict", "own", "--input", "x.npy", "--output", "own.npz"],
        ] {
            let ended = run(&here, args);
            assert!(ended.code.is_some_and(|code| code < 2), "{args:?}: {}", ended.messages);
        }
    }
    let strange = |name: &String| {
        let inside = name.strip_prefix("a/b/here");
        inside.is_none() && !["a", "a/b"].contains(&name.as_str()) || name.contains("escaped")
    };
    let strange: Vec<String> = names(folder.path()).into_iter().filter(strange).collect();
    assert_eq!(strange, [""; 0]);
    assert!(!Path::new("/tmp/candle-recurrent-escaped").exists());
    for written in ["n.keras", "y.npz"] {
        let file = fs::File::open(here.join(written)).expect("written");
        let archive = zip::ZipArchive::new(file).expect("an archive");
        for name in archive.file_names() {
            let name = name.expect("a name");
            assert!(!name.contains("..") && !name.starts_with(['/', '\\']), "{written}: {name}");
        }
    }
}
