//! `train --resume`, `--overwrite`, signals: no run is lost, and one that was stopped comes to what it would have come to.

use assert_cmd::Command;
use std::fs;
use std::path::Path;

fn program(here: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_candle-recurrent"));
    command.current_dir(here);
    command
}

fn train(here: &Path, arguments: &str) -> assert_cmd::assert::Assert {
    program(here).arg("train").args(arguments.split_whitespace()).assert()
}

fn said(assert: assert_cmd::assert::Assert) -> String {
    String::from_utf8_lossy(&assert.get_output().stderr).into_owned()
}

/// The names of the files in a folder, in order.
fn names(path: &Path) -> Vec<String> {
    let entries = fs::read_dir(path).expect("a folder").map(|entry| entry.expect("an entry").file_name());
    let mut names: Vec<String> = entries.map(|name| name.to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Everything of a run but seconds.
fn content(run: &Path) -> Vec<(String, Vec<u8>)> {
    let without_seconds = |name: String| {
        let bytes = fs::read(run.join(&name)).expect("a file");
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let lines = text.lines();
        let bytes = match name.as_str() {
            "config.json" => {
                lines.filter(|line| !line.contains("\"seconds\"")).collect::<String>().into_bytes()
            }
            "history.csv" => lines
                .filter_map(|line| Some(line.rsplit_once(',')?.0.to_string() + "\n"))
                .collect::<String>()
                .into(),
            _ => bytes,
        };
        (name, bytes)
    };
    // The state has seconds too; it is what made the rest.
    names(run).into_iter().filter(|name| name != "state.safetensors").map(without_seconds).collect()
}

const OPTIONS: &str = "dropout-lstm --vocab-size 60 --max-len 12 --learning-rate 1e-3 --seed 5";

#[test]
fn a_run_that_goes_on_is_the_run_that_was_never_stopped() {
    let here = tempfile::tempdir().expect("a folder");
    let here = here.path();
    train(here, &format!("{OPTIONS} --epochs 4 --out whole --threads 1")).success();
    train(here, &format!("{OPTIONS} --epochs 2 --out parts --threads 2")).success();
    let said = said(train(here, "--resume parts --epochs 4 --threads 1").success());
    assert!(said.contains("going on after epoch 2"), "{said}");
    assert_eq!(content(&here.join("parts")), content(&here.join("whole")));
    // From elsewhere too, and again: there is nothing left to do.
    let elsewhere = tempfile::tempdir().expect("a folder");
    let parts = here.join("parts");
    let assert =
        program(elsewhere.path()).args(["train", "--json", "--resume"]).arg(&parts).assert().success();
    let report: serde_json::Value = serde_json::from_slice(&assert.get_output().stdout).expect("JSON");
    assert_eq!((&report["epochs"], &report["best_epoch"]), (&4.into(), &4.into()), "{report}");
    assert_eq!(content(&parts), content(&here.join("whole")));
}

/// Own texts, labels in sets, measurements, sequences: what is made of the data is made again, and is the same.
#[test]
fn runs_on_own_data_go_on_too() {
    let here = tempfile::tempdir().expect("a folder");
    let here = here.path();
    let words = ["good", "bad", "fine", "poor", "long", "short"];
    let texts: String = (0..90)
        .map(|row| format!("a {} and {} film,{}\n", words[row % 6], words[row % 5], row % 2))
        .collect();
    fs::write(here.join("texts.csv"), format!("text,label\n{texts}")).expect("written");
    let steps: String = (0..240).map(|day| format!("{day},{}\n", (day % 7) * 3 + day / 9)).collect();
    fs::write(here.join("series.csv"), format!("day,visitors\n{steps}")).expect("written");
    let sequences: String = (0..60)
        .flat_map(|id| (0..6).map(move |step| format!("{id},{},{}\n", (id * 7 + step * 3) % 11, id % 2)))
        .collect();
    fs::write(here.join("steps.csv"), format!("id,speed,activity\n{sequences}")).expect("written");
    for (name, options) in [
        ("texts", "gru --data texts.csv --tokenizer bpe --reshuffle"),
        ("series", "lstm --data series.csv --target visitors --time-column day --window 14 --horizon 3"),
        ("steps", "gru --data steps.csv --label-column activity --group-column id"),
    ] {
        train(here, &format!("{options} --epochs 4 --patience 9 --out whole-{name}")).success();
        train(here, &format!("{options} --epochs 2 --patience 9 --out parts-{name}")).success();
        train(here, &format!("--resume parts-{name} --epochs 4")).success();
        let (parts, whole) =
            (content(&here.join(format!("parts-{name}"))), content(&here.join(format!("whole-{name}"))));
        for ((file, parts), (_, whole)) in parts.iter().zip(&whole) {
            // A card says by which folder it was trained.
            let differs = || format!("{name}: {file}: {}", String::from_utf8_lossy(parts));
            assert!(parts == whole || file == "README.md" || file == "config.json", "{}", differs());
        }
        assert_eq!(parts.len(), whole.len(), "{name}");
    }
}

#[cfg(unix)]
#[test]
fn a_signal_stops_a_run_that_then_goes_on() {
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Command, Stdio};
    let here = tempfile::tempdir().expect("a folder");
    let here = here.path();
    train(here, &format!("{OPTIONS} --epochs 12 --patience 99 --out whole")).success();
    for (signal, code) in [("-INT", 130), ("-TERM", 143), ("-HUP", 129)] {
        let run = here.join(format!("stopped{signal}"));
        let mut child = Command::new(env!("CARGO_BIN_EXE_candle-recurrent"));
        let options = format!("train {OPTIONS} --epochs 12 --patience 99 --out stopped{signal}");
        child.current_dir(here).args(options.split_whitespace());
        let child = child.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().expect("starts");
        while !run.join("history.csv").exists() {
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        let told = Command::new("kill").args([signal, &child.id().to_string()]).status().expect("kill");
        assert!(told.success());
        let output = child.wait_with_output().expect("ends");
        assert_eq!(output.status.signal(), None, "{signal}");
        if output.status.code() == Some(0) {
            eprintln!("{signal}: the run was done before it was told");
            continue;
        }
        assert_eq!(output.status.code(), Some(code), "{signal}");
        let said = String::from_utf8_lossy(&output.stderr);
        let advice = format!("go on from there with: candle-recurrent train --resume stopped{signal}");
        assert!(said.contains(&advice), "{said}");
        assert!(said.contains("is kept in"), "{said}");
        train(here, &format!("--resume stopped{signal}")).success();
        assert_eq!(content(&run), content(&here.join("whole")), "{signal}");
    }
}

/// What `nohup` sets stays: the run goes on when its terminal is gone.
#[cfg(target_os = "linux")]
#[test]
fn a_signal_that_is_ignored_stays_ignored() {
    use std::process::{Command, Stdio};
    let here = tempfile::tempdir().expect("a folder");
    let script = format!(
        "trap '' HUP INT; exec '{}' train {OPTIONS} --epochs 12 --patience 99 --out run --json",
        env!("CARGO_BIN_EXE_candle-recurrent")
    );
    let mut shell = Command::new("sh");
    shell.current_dir(here.path()).args(["-c", &script]).stderr(Stdio::null()).stdout(Stdio::piped());
    let child = shell.spawn().expect("starts");
    while !here.path().join("run/history.csv").exists() {
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    for signal in ["-HUP", "-INT"] {
        Command::new("kill").args([signal, &child.id().to_string()]).status().expect("kill");
    }
    let output = child.wait_with_output().expect("ends");
    assert_eq!(output.status.code(), Some(0));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(report["epochs"], 12);
}

#[cfg(unix)]
#[test]
fn a_killed_run_leaves_nothing_behind_and_goes_on() {
    use std::process::{Command, Stdio};
    let here = tempfile::tempdir().expect("a folder");
    let here = here.path();
    train(here, &format!("{OPTIONS} --epochs 8 --out whole")).success();
    for round in 0..8_u64 {
        let run = here.join("killed");
        let mut child = Command::new(env!("CARGO_BIN_EXE_candle-recurrent"));
        let options = format!("train {OPTIONS} --epochs 8 --out killed --save-every 0.0005 --quiet");
        child.current_dir(here).args(options.split_whitespace()).stdout(Stdio::null());
        let mut child = child.spawn().expect("starts");
        while !run.exists() {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        std::thread::sleep(std::time::Duration::from_millis(round * 41));
        child.kill().expect("killed");
        child.wait().expect("ends");
        if !run.join("state.safetensors").exists() {
            // Nothing was begun yet: the same command begins, whatever lies there.
            train(here, &options[6..]).success();
        } else {
            train(here, "--resume killed").success();
        }
        assert_eq!(content(&run), content(&here.join("whole")), "round {round}");
        fs::remove_dir_all(&run).expect("removed");
    }
}

#[test]
fn a_run_goes_on_only_as_it_was_begun() {
    let here = tempfile::tempdir().expect("a folder");
    let here = here.path();
    let data = |labels: &str| {
        let rows = (0..60).map(|row| {
            let word = ["good", "bad", "fine", "poor"][row % 4];
            format!("{},a {word} film\n", &labels[row % 2..=row % 2])
        });
        fs::write(here.join("texts.csv"), format!("label,text\n{}", rows.collect::<String>()))
            .expect("written");
    };
    data("10");
    train(here, "gru --data texts.csv --epochs 2 --out run").success();
    let refused = |arguments: &str| {
        let told = said(train(here, arguments).failure());
        let errors = told.lines().filter(|line| line.starts_with("error: ")).count();
        assert!(
            errors == 1 && told.lines().next_back().is_some_and(|line| line.starts_with("error: ")),
            "{told}"
        );
        told
    };
    assert!(refused("--resume run --seed 3").contains("--seed: a run goes on as it was begun"));
    assert!(refused("--resume run --batch-size 3").contains("--batch-size: a run goes on as it was begun"));
    assert!(refused("gru --resume run").contains("a MODEL: a run goes on as it was begun"));
    assert!(refused("--resume none").contains("there is no run to go on with"));
    assert!(refused("--resume run/config.json").contains("is a file of a run; give the run's folder, run"));
    assert!(refused("--resume .").contains(".: holds several runs; go on with one of them: ./run"));
    let before = content(&here.join("run"));
    data("01");
    let told = refused("--resume run --epochs 3");
    assert!(told.contains("they are other data than those that the run was begun with"), "{told}");
    fs::remove_file(here.join("texts.csv")).expect("removed");
    assert!(refused("--resume run --epochs 3").contains("texts.csv"));
    assert_eq!(content(&here.join("run")), before);
}

#[test]
fn a_model_is_overwritten_only_where_that_is_said() {
    let here = tempfile::tempdir().expect("a folder");
    let here = here.path();
    let small = "gru --vocab-size 30 --max-len 5 --epochs 1";
    train(here, &format!("{small} --out run")).success();
    let before = content(&here.join("run"));
    for arguments in [format!("{small} --out run"), "run --init run --out run".into()] {
        let told = said(train(here, &arguments).failure());
        assert!(told.contains("run: holds a training run, which would be lost"), "{told}");
        assert!(told.contains("--resume run") && told.contains("--overwrite"), "{told}");
    }
    let told = said(train(here, "--resume run --epochs 1").success());
    assert!(told.contains("going on after epoch 1"), "{told}");
    let convert = |arguments: &[&str]| program(here).arg("convert").args(arguments).assert();
    let told = said(convert(&["lstm", "run"]).failure());
    assert!(told.contains("holds a training run") && told.contains("--overwrite"), "{told}");
    assert_eq!(content(&here.join("run")), before);
    // A model that was never trained here is a model too.
    convert(&["run", "copy"]).success();
    fs::remove_file(here.join("copy/history.csv")).expect("removed");
    let told = said(convert(&["lstm", "copy"]).failure());
    assert!(told.contains("copy: holds a model, which would be lost"), "{told}");
    let told = said(train(here, &format!("{small} --out copy")).failure());
    assert!(told.contains("copy: holds a model, which would be lost"), "{told}");
    train(here, &format!("{small} --seed 9 --out run --overwrite")).success();
    assert_ne!(content(&here.join("run")), before);
    convert(&["lstm", "run", "--overwrite"]).success();
    assert!(!here.join("run/state.safetensors").exists());
}

/// Pictures and cards are beside the point: where they cannot be written the run goes on.
#[test]
fn what_stands_beside_a_model_ends_no_run() {
    let here = tempfile::tempdir().expect("a folder");
    let run = here.path().join("run");
    for name in ["loss.png", "README.md"] {
        fs::create_dir_all(run.join(name)).expect("a folder");
    }
    fs::write(run.join("config.json"), "{}").expect("written");
    let small = "gru --vocab-size 30 --max-len 5 --epochs 2 --out run --overwrite";
    let told = said(train(here.path(), small).success());
    assert_eq!(told.matches("warning:").count(), 1, "{told}");
    assert!(told.contains("cannot be written: it is a folder; the training goes on without it"), "{told}");
    let predict = program(here.path()).args(["predict", "run", "a good film"]).assert().success();
    assert!(!predict.get_output().stdout.is_empty());
}

#[test]
fn a_loss_that_is_no_number_says_where_and_may_be_undone() {
    let here = tempfile::tempdir().expect("a folder");
    let here = here.path();
    let rows: String = (0..64).map(|row| format!("{},{},{}\n", row % 7, row % 5, row % 3)).collect();
    fs::write(here.join("x.csv"), &rows).expect("written");
    fs::write(here.join("y.csv"), (0..64).map(|row| format!("{}\n", row % 4)).collect::<String>())
        .expect("written");
    let model = r#"{"model": {"name": "m", "layers": [
        {"class_name": "InputLayer", "config": {"name": "input", "batch_shape": [null, 3]}},
        {"class_name": "Dense", "config": {"name": "dense", "units": 1}}]}}"#;
    fs::write(here.join("m.json"), model).expect("written");
    let options = "m.json --x x.csv --y y.csv --loss mse --optimizer sgd --epochs 3 --batch-size 16";
    let told = said(train(here, &format!("{options} --learning-rate 1e30 --out stops")).failure());
    assert!(told.contains("the loss became"), "{told}");
    assert!(told.contains("in epoch 1, step "), "{told}");
    assert!(["layer", "variable"].iter().any(|word| told.contains(word)), "{told}");
    let told =
        said(train(here, &format!("{options} --learning-rate 1e30 --on-nan rollback --out ends")).failure());
    assert_eq!(told.matches("back at the end of the epoch before").count(), 3, "{told}");
    let told = said(
        train(here, &format!("{options} --learning-rate 0.25 --on-nan rollback --out comes --patience 99"))
            .success(),
    );
    assert!(!told.contains("error"), "{told}");
    let schedule =
        "--learning-rate-schedule exponential_decay(initial_learning_rate=0.1,decay_steps=9,decay_rate=0.5)";
    let told = said(train(here, &format!("{options} {schedule} --on-nan rollback --out no")).failure());
    assert!(told.contains("on_nan") || told.contains("--on-nan"), "{told}");
}
