//! What figures of forecasts are measured on and by, from the command line.

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

fn json(assert: Assert) -> Value {
    serde_json::from_slice(&assert.success().get_output().stdout).expect("JSON")
}

fn text(assert: Assert) -> String {
    String::from_utf8(assert.success().get_output().stdout.clone()).expect("text")
}

fn config(folder: &Path) -> Value {
    serde_json::from_slice(&fs::read(folder.join("run/config.json")).expect("read")).expect("JSON")
}

fn demand(at: usize) -> f64 {
    let chance = ((at * 7919 + 13) % 1009) as f64 / 504.5 - 1.0;
    100.0 + 0.3 * at as f64 + 20.0 * (at as f64 * std::f64::consts::TAU / 12.0).sin() + chance
}

fn month(at: usize) -> String {
    format!("{}-{:02}-01", 2000 + at / 12, at % 12 + 1)
}

/// `rows` months.
fn months(rows: std::ops::Range<usize>) -> String {
    let row = |at: usize| format!("{},{:.3}\n", month(at), demand(at));
    format!("date,demand\n{}", rows.map(row).collect::<String>())
}

/// Trains on the file for one epoch.
fn train(folder: &Path, file: &str, more: &[&str]) -> Assert {
    let quick = ["train", "gru", "--data", file, "--window", "24", "--horizon", "6", "--epochs", "1"];
    let rest = ["--out", "run", "--overwrite", "--seed", "1"];
    run(folder, &[quick.as_slice(), rest.as_slice(), more].concat())
}

fn evaluate(folder: &Path, file: &str, more: &[&str]) -> Value {
    json(run(folder, &[&["evaluate", "run", "--data", file, "--json"], more].concat()))
}

/// How far the seasonal naive forecast of one step is off.
fn naive_error(values: &[f64], season: usize) -> f64 {
    let errors: Vec<f64> = values.iter().zip(&values[season..]).map(|(a, b)| (a - b).abs()).collect();
    errors.iter().sum::<f64>() / errors.len() as f64
}

fn close(value: &Value, expected: f64) {
    let value = value.as_f64().expect("a number");
    assert!((value - expected).abs() < 1e-9 * expected.abs(), "{value}, expected {expected}");
}

/// The first 144 of 240 months are trained on.
#[test]
fn what_was_trained_on_is_left_out() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    fs::write(here.join("demand.csv"), months(0..240)).expect("written");
    let trained = json(train(here, "demand.csv", &["--target", "demand", "--json"]));
    let part = &config(here)["series"]["trained"][0];
    assert_eq!(part["rows"], 144);
    let rounded = |at: usize| format!("{:.3}", demand(at)).parse::<f64>().expect("a number");
    let values: Vec<f64> = (0..144).map(rounded).collect();
    close(&part["naive_error"], naive_error(&values, 12));
    let test = &trained["forecast"]["test"]["model"];
    close(&test["mase"], test["mae"].as_f64().expect("a number") / naive_error(&values, 12));

    // 240 rows have 211 windows; the first steps of 120 are before the row 144.
    let new = evaluate(here, "demand.csv", &[]);
    let counted = |value: &Value| ["origins", "trained_on", "left_out"].map(|key| value[key].as_u64());
    assert_eq!(counted(&new), [Some(91), Some(0), Some(120)]);
    let shown = text(run(here, &["evaluate", "run", "--data", "demand.csv"]));
    let line =
        "91 windows, 6 steps ahead each; 120 before 2012-01-01 were trained on and are left out (--all-rows)";
    assert!(shown.contains(line), "{shown}");
    let all = evaluate(here, "demand.csv", &["--all-rows"]);
    assert_eq!(counted(&all), [Some(211), Some(120), Some(0)]);
    // MASE is measured by the training part, whatever is measured.
    for value in [&new, &all] {
        let figures = &value["all"]["model"];
        close(&figures["mase"], figures["mae"].as_f64().expect("a number") / naive_error(&values, 12));
    }

    // The end of the file is known by its times, and the training part alone is measured, and said.
    fs::write(here.join("end.csv"), months(60..240)).expect("written");
    assert_eq!(counted(&evaluate(here, "end.csv", &[])), [Some(91), Some(0), Some(60)]);
    fs::write(here.join("early.csv"), months(0..120)).expect("written");
    assert_eq!(counted(&evaluate(here, "early.csv", &[])), [Some(91), Some(0), Some(0)]);
    fs::write(here.join("early.csv"), months(0..144)).expect("written");
    let shown = text(run(here, &["evaluate", "run", "--data", "early.csv"]));
    assert!(
        shown.contains("115 windows, 6 steps ahead each; 115 before 2012-01-01 were trained on"),
        "{shown}"
    );

    // Other numbers at the same times are another series.
    let other = months(0..240).replace(",1", ",2");
    fs::write(here.join("other.csv"), other).expect("written");
    let other = run(here, &["evaluate", "run", "--data", "other.csv", "--json"])
        .stderr(contains("note: 1 of 1 series are not those that the model was trained on"));
    assert_eq!(counted(&json(other)), [Some(211), Some(0), Some(0)]);
    run(here, &["evaluate", "lstm", "--all-rows"])
        .failure()
        .stderr(contains("--all-rows: goes with a model that was trained on a series"));
}

#[test]
fn without_times_the_rows_at_the_beginning_are_known() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    let rows = |rows: std::ops::Range<usize>| {
        format!("demand\n{}", rows.map(|at| format!("{:.3}\n", demand(at))).collect::<String>())
    };
    fs::write(here.join("demand.csv"), rows(0..240)).expect("written");
    train(here, "demand.csv", &["--target", "demand"]).success();
    fs::write(here.join("longer.csv"), rows(0..260)).expect("written");
    let shown = text(run(here, &["evaluate", "run", "--data", "longer.csv"]));
    assert!(
        shown.contains("111 windows, 6 steps ahead each; 120 at the beginning were trained on"),
        "{shown}"
    );
    fs::write(here.join("later.csv"), rows(100..260)).expect("written");
    assert_eq!(evaluate(here, "later.csv", &[])["left_out"], 0);
    let past = ["backtest", "run", "--data", "longer.csv", "--origins", "120", "--step", "1", "--json"];
    let past = run(here, &past).stderr(contains("9 of 120 origins are at the beginning"));
    assert_eq!(json(past)["trained_on"], 9);
}

/// One series that never changes, and one that begins too late to be trained on, do not take MASE from the others.
#[test]
fn mase_leaves_out_what_it_cannot_measure() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    let mut rows = String::from("shop,date,demand\n");
    for at in 0..240 {
        rows.push_str(&format!("a,{},{:.3}\nflat,{},7\n", month(at), demand(at), month(at)));
        if at > 180 {
            rows.push_str(&format!("new,{},{:.3}\n", month(at), demand(at + 3)));
        }
    }
    fs::write(here.join("shops.csv"), rows).expect("written");
    let options = ["--target", "demand", "--group-column", "shop", "--json"];
    let trained = train(here, "shops.csv", &options)
        .stderr(contains("MASE leaves 2 of 3 series out: they have too few rows to train on, or one value"));
    let test = json(trained)["forecast"]["test"].clone();
    assert!(test["model"]["mase"].is_number() && test["naive"]["mase"].is_number(), "{test:#}");
    let past = evaluate(here, "shops.csv", &[]);
    assert_eq!(past["mase_leaves_out"], serde_json::json!(["flat", "new"]));
    assert!(past["all"]["model"]["mase"].is_number(), "{past:#}");
    let shown = text(run(here, &["evaluate", "run", "--data", "shops.csv"]));
    assert!(shown.contains("MASE leaves 2 series out, the first \"flat\""), "{shown}");
}

#[test]
fn a_season_that_is_too_long_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    fs::write(here.join("demand.csv"), months(0..240)).expect("written");
    train(here, "demand.csv", &["--target", "demand", "--season", "150"]).success().stderr(contains(
        "the training part has no more than a season of 150 rows: MASE is measured there by the naive forecast",
    ));
    // As long as the window it is no less than what stands before the first forecast.
    train(here, "demand.csv", &["--target", "demand", "--season", "40"])
        .success()
        .stderr(contains("MASE is measured there").not());
    let shown = text(run(here, &["evaluate", "run", "--data", "demand.csv", "--all-rows"]));
    assert!(shown.contains("16 of 211 forecasts have less than a season before them"), "{shown}");
}
