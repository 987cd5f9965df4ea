//! Forecasting measurements over time, from the command line.

mod common;

use common::{fails, json, run, text};
use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;
use std::fs;

/// A number that looks like chance, from -1 to 1.
fn chance(at: usize) -> f64 {
    ((at * 7919 + 13) % 1009) as f64 / 504.5 - 1.0
}

/// What the month `at` has: a season of twelve months on a level that rises.
fn demand(at: usize) -> f64 {
    100.0 + 0.3 * at as f64 + 20.0 * (at as f64 * std::f64::consts::TAU / 12.0).sin() + chance(at)
}

fn month(at: usize) -> String {
    format!("{}-{:02}-01", 2000 + at / 12, at % 12 + 1)
}

/// `rows` months from the month `from` on.
fn months(rows: std::ops::Range<usize>) -> String {
    let row = |at: usize| format!("{},{:.3},{:.2}\n", month(at), demand(at), chance(at + 5));
    format!("date,demand,rain\n{}", rows.map(row).collect::<String>())
}

const QUICK: [&str; 14] = [
    "--target",
    "demand",
    "--window",
    "24",
    "--horizon",
    "6",
    "--epochs",
    "60",
    "--learning-rate",
    "0.01",
    "--out",
    "run",
    "--relative",
    "yes",
];

#[test]
fn a_file_of_measurements_becomes_a_forecaster() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    fs::write(here.join("demand.csv"), months(0..240)).expect("written");
    let trained =
        run(here, &[&["train", "gru", "--data", "demand.csv", "--json"], QUICK.as_slice()].concat()).stderr(
            contains("demand.csv: separated by comma, a line of names, UTF-8; 240 rows")
                .and(contains("times are those of column \"date\""))
                .and(contains("a row every month"))
                .and(contains("season: 12 rows, a year"))
                .and(contains("note: Adam with learning rate 0.01").not())
                .and(contains("115 training, 43 validation and 43 test windows")),
        );
    let trained = json(trained);
    let test = &trained["forecast"]["test"];
    let mae = |way: &str| test[way]["mae"].as_f64().expect("a figure");
    assert!(mae("model") < mae("naive") && mae("model") < mae("seasonal_naive"), "{test:#}");
    assert!(test["model"]["mase"].as_f64().expect("a figure") < 1.0);
    for name in ["forecast.svg", "forecast.png", "loss.svg", "model.safetensors"] {
        assert!(here.join("run").join(name).is_file(), "{name}");
    }
    let config: Value =
        serde_json::from_slice(&fs::read(here.join("run/config.json")).expect("read")).expect("JSON");
    let series = &config["series"];
    assert_eq!(
        (&series["window"], &series["horizon"], &series["season"]),
        (&24.into(), &6.into(), &12.into())
    );
    assert_eq!(series["frequency"], "every month");
    assert_eq!(series["trained_until"], "2012-01-01");
    assert_eq!(series["scalers"][0]["column"], "demand");
    assert_eq!(config["results"]["test_mae"], test["model"]["mae"]);

    let ahead = text(run(here, &["predict", "run", "--data", "demand.csv"]));
    let lines: Vec<Vec<&str>> = ahead.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!(lines[0], ["date", "demand", "low", "high"]);
    assert_eq!(lines.len(), 7);
    for (at, line) in (240..).zip(&lines[1..]) {
        assert_eq!(line[0], month(at));
        let [value, low, high] = [1, 2, 3].map(|cell| line[cell].parse::<f64>().expect("a number"));
        assert!(low < high && (value - demand(at)).abs() < 10.0, "{line:?}, truth {}", demand(at));
    }
    let same = json(run(here, &["predict", "run", "--input", "demand.csv", "--json"]));
    assert_eq!(same["forecasts"][0]["steps"][2]["time"], month(242));
    assert_eq!(same["forecasts"][0]["steps"][2]["value"].to_string(), lines[3][1]);
    run(here, &["predict", "run", "--data", "demand.csv", "--output", "ahead.csv"]).success();
    assert_eq!(fs::read_to_string(here.join("ahead.csv")).expect("read"), ahead);

    // The past of a longer file, after what was trained on.
    fs::write(here.join("more.csv"), months(0..300)).expect("written");
    let past = json(run(
        here,
        &["backtest", "run", "--data", "more.csv", "--origins", "5", "--step", "4", "--json"],
    ));
    assert_eq!((&past["origins"], past["steps"].as_array().map(Vec::len)), (&5.into(), Some(6)));
    let mae = |way: &str| past["all"][way]["mae"].as_f64().expect("a figure");
    assert!(mae("model") < mae("naive"));
    let shown = text(run(here, &["backtest", "run", "--data", "more.csv", "--picture", "past.svg"]));
    assert!(shown.contains("seasonal naive (12)") && shown.contains("truths are within the band"), "{shown}");
    assert!(here.join("past.svg").is_file());
    run(here, &["backtest", "run", "--data", "demand.csv", "--origins", "50", "--step", "1"])
        .success()
        .stderr(contains("origins are before 2012-01-01").not());
    run(here, &["backtest", "run", "--data", "demand.csv", "--origins", "500", "--step", "1"])
        .success()
        .stderr(contains("origins are before 2012-01-01"));
    let whole = text(run(here, &["evaluate", "run", "--data", "more.csv"]));
    assert!(whole.contains("151 windows, 6 steps ahead each; 120 before 2012-01-01"), "{whole}");

    fails(run(here, &["predict", "run", "a text"]), "takes measurements; give them with --data FILE");
    fs::write(here.join("few.csv"), months(0..20)).expect("written");
    fails(run(here, &["predict", "run", "--data", "few.csv", "-q"]), "unexpected argument");
    run(here, &["predict", "run", "--data", "few.csv"])
        .code(1)
        .stderr(contains("has 20 rows, and a forecast is made from 24"));
    fails(run(here, &["predict", "lstm", "--data", "few.csv"]), "was not trained on a series");
    fails(run(here, &["backtest", "lstm", "--data", "few.csv"]), "was not trained on a series");
}

/// The order of the rows, the separator and the form of the dates do not matter.
#[test]
fn the_same_measurements_give_the_same_model() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    let plain = months(0..150);
    let (head, rows) = plain.split_once('\n').expect("lines");
    let newest_first: String = rows.lines().rev().map(|row| format!("{row}\n")).collect();
    let lines: String = rows
        .lines()
        .map(|row| {
            let cells: Vec<&str> = row.split(',').collect();
            format!("{{\"date\": \"{}\", \"demand\": {}, \"rain\": {}}}\n", cells[0], cells[1], cells[2])
        })
        .collect();
    fs::write(here.join("plain.csv"), &plain).expect("written");
    fs::write(here.join("newest.csv"), format!("{head}\n{newest_first}")).expect("written");
    fs::write(here.join("tab.tsv"), plain.replace(',', "\t")).expect("written");
    fs::write(here.join("rows.jsonl"), lines).expect("written");
    let mut weights = vec![];
    for name in ["plain.csv", "newest.csv", "tab.tsv", "rows.jsonl"] {
        let out = format!("run-{name}");
        let quick =
            ["--target", "demand", "--features", "rain", "--window", "12", "--horizon", "2", "--epochs", "2"];
        let messages =
            run(here, &[&["train", "gru", "--data", name, "--out", &out], quick.as_slice()].concat());
        let messages = messages.success();
        if name == "newest.csv" {
            messages.stderr(contains("the newest row stands first; sorted by \"date\""));
        }
        weights.push(fs::read(here.join(&out).join("model.safetensors")).unwrap_or_default());
    }
    assert!(weights.iter().all(|it| !it.is_empty() && *it == weights[0]));
}

#[test]
fn what_cannot_be_used_is_told_in_a_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    let plain = months(0..120);
    let lines: Vec<&str> = plain.lines().collect();
    let with = |at: usize, line: &str| {
        let mut lines = lines.clone();
        lines[at] = line;
        lines.join("\n")
    };
    let without = |at: usize| {
        let mut lines = lines.clone();
        lines.remove(at);
        lines.join("\n")
    };
    let train = |content: &str, more: &[&str]| {
        fs::write(here.join("x.csv"), content).expect("written");
        let quick = ["train", "gru", "--data", "x.csv", "-q", "--epochs", "1", "--window", "12"];
        run(here, &[quick.as_slice(), more].concat())
    };
    let demand = ["--target", "demand"];
    let demand_and = |more: &[&'static str]| [demand.as_slice(), more].concat();
    for (content, args, line) in [
        (
            plain.clone(),
            vec!["--target", "demnd"],
            "--target: x.csv has no column \"demnd\"; did you mean \"demand\"?",
        ),
        (plain.clone(), demand_and(&["--features", "snow"]), "--features: x.csv has no column \"snow\""),
        (
            plain.clone(),
            demand_and(&["--features", "rain,rain"]),
            "--features: column \"rain\" is named twice",
        ),
        (
            plain.clone(),
            demand_and(&["--time-column", "when"]),
            "--time-column: x.csv has no column \"when\"",
        ),
        (
            with(7, "2000-07-01,many,0.1"),
            demand.to_vec(),
            "x.csv, line 8: \"many\" in column \"demand\" is no number",
        ),
        (with(7, "2000-07-01,\"1,250.5\",0.1"), demand.to_vec(), "without separators of thousands"),
        (
            with(7, "2000-07-01,,0.1"),
            demand.to_vec(),
            "x.csv, line 8: column \"demand\" has no number; fill it, or say what is to be done (--missing)",
        ),
        (with(7, "2000-07-01,1"), demand.to_vec(), "x.csv, line 8: has 2 fields, expected 3"),
        (
            with(7, "soon,1,0.1"),
            demand.to_vec(),
            "x.csv, line 8: \"soon\" in column \"date\" is no time that is known",
        ),
        (
            with(7, "2000-06-01,1,0.1"),
            demand.to_vec(),
            "x.csv, line 8: \"2000-06-01\" in column \"date\" stands in line 7 already",
        ),
        (
            without(7),
            demand.to_vec(),
            "x.csv, line 8: 1 times are missing, the first between 2000-06-01 and 2000-08-01",
        ),
        (
            lines[..10].join("\n"),
            demand.to_vec(),
            "x.csv has 9 rows, fewer than a window of 12 and 1 steps ahead take (13)",
        ),
        (lines[..20].join("\n"), demand.to_vec(), "the training part of x.csv has 11 rows"),
        (plain.clone(), demand_and(&["--horizon", "30"]), "--validation-split: the validation part"),
        (plain.clone(), demand_and(&["--quantiles", "0.5,1.5"]), "--quantiles: 1.5 is not between 0 and 1"),
        (
            plain.clone(),
            demand_and(&["--quantiles", "0.1,0.9", "--loss", "mse"]),
            "--loss: quantiles have their own",
        ),
        (plain.clone(), demand_and(&["--vocab-size", "100"]), "--vocab-size: is for texts"),
        (plain.clone(), demand_and(&["--text-column", "a"]), "--text-column: is for texts"),
        (plain.clone(), vec![], "--window goes with measurements"),
        (String::from("date,demand,rain\n"), demand.to_vec(), "x.csv: holds no rows"),
    ] {
        fails(train(&content, &args), line);
    }
    let constant: String = (0..120).map(|at| format!("{},7,{}\n", month(at), at)).collect();
    let constant = format!("date,demand,rain\n{constant}");
    fails(train(&constant, &demand), "\"demand\" is 7 in the whole training part of x.csv");
    // The other way round it is said, and goes on.
    let more =
        ["train", "gru", "--data", "x.csv", "--target", "rain", "--features", "demand", "--epochs", "1"];
    run(here, &[more.as_slice(), &["--window", "12"]].concat())
        .success()
        .stderr(contains("\"demand\" is the same in the whole training part, and says nothing there"));
    // And so is what is asked for.
    fs::write(here.join("x.csv"), with(7, "2000-07-01,,0.1")).expect("written");
    let go = |way: &str| {
        let args =
            ["train", "gru", "--data", "x.csv", "--target", "demand", "--epochs", "1", "--window", "12"];
        run(here, &[args.as_slice(), &["--missing", way]].concat()).success()
    };
    go("forward").stderr(contains("1 row lack a number, which is filled with the last one before"));
    go("skip").stderr(contains("1 row lack a number and are left out").and(contains("1 times are missing")));
    fs::write(here.join("x.csv"), without(7)).expect("written");
    go("forward").stderr(contains("1 times are missing").and(contains("filled with the last row before")));
    fails(
        run(here, &["train", "gru", "--data", "none.csv", "--target", "y", "-q"]),
        "none.csv: there is no such file",
    );
    fails(
        run(here, &["train", "all", "--data", "x.csv", "--target", "demand"]),
        "--target goes with one model",
    );
}

/// Several series in one file, other columns, quantiles.
#[test]
fn groups_features_and_quantiles() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    let mut rows = String::from("ticker;date;close;volume\n");
    for at in 0..150 {
        for (name, level) in [("B", 10.0), ("A", 500.0)] {
            let close = level * (1.0 + 0.1 * (at as f64 / 3.0).sin() + 0.01 * chance(at));
            rows.push_str(&format!("{name};{at};{close:.3};{}\n", 1000 + at % 7));
        }
    }
    fs::write(here.join("prices.csv"), rows).expect("written");
    let args = [
        "train",
        "lstm-adam",
        "--data",
        "prices.csv",
        "--target",
        "close",
        "--features",
        "volume",
        "--time-column",
        "date",
        "--group-column",
        "ticker",
        "--window",
        "20",
        "--horizon",
        "3",
        "--quantiles",
        "0.1,0.5,0.9",
        "--epochs",
        "8",
        "--scaling",
        "robust",
        "--out",
        "run",
    ];
    let shown = run(here, &args).success().stderr(contains("note: Adam").not());
    let shown = String::from_utf8(shown.get_output().stdout.clone()).expect("text");
    assert!(shown.contains("truths are within the band"), "{shown}");
    let config: Value =
        serde_json::from_slice(&fs::read(here.join("run/config.json")).expect("read")).expect("JSON");
    assert_eq!(config["series"]["group_column"], "ticker");
    assert_eq!(config["series"]["relative"], true);
    let ahead = text(run(here, &["predict", "run", "--data", "prices.csv"]));
    let lines: Vec<Vec<&str>> = ahead.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!(lines[0], ["ticker", "date", "close_0.1", "close_0.5", "close_0.9"]);
    assert_eq!(lines.len(), 7);
    assert_eq!((lines[1][0], lines[1][1], lines[4][0], lines[6][1]), ("B", "150", "A", "152"));
    for line in &lines[1..] {
        let values = [2, 3, 4].map(|cell| line[cell].parse::<f64>().expect("a number"));
        assert!(values.is_sorted(), "{line:?}");
    }
    let ahead = json(run(here, &["predict", "run", "--data", "prices.csv", "--json"]));
    assert_eq!(ahead["forecasts"][1]["group"], "A");
    let past = json(run(here, &["backtest", "run", "--data", "prices.csv", "--origins", "4", "--json"]));
    assert_eq!(past["origins"], 8);
}
