//! `train`, `evaluate` and `predict` with sequences of numbers, each of a class.

use super::dataset::Parts;
use super::measurements::{free, left_out, quoted};
use super::model::Init;
use super::output::{Output, message};
use super::own_texts::tell;
use super::settings::{Settings, check_size};
use super::train::report_one;
use super::{Outcome, interrupt, measurements, series};
use anyhow::{Context, bail};
use candle_recurrent::checkpoint::Checkpoint;
use candle_recurrent::data::series::{Group, PreparedSequences, Sample, SequenceConfig, Table, TableSource};
use candle_recurrent::data::{Examples, Targets};
use candle_recurrent::layers::Mode;
use serde_json::{Value, json};
use std::path::Path;

/// Trains a classifier.
pub(super) fn train(settings: Settings, output: &mut Output) -> anyhow::Result<Outcome> {
    let (args, reading) = (&settings.args, &settings.args.reading);
    series::refuse_others(&settings, "--label-column with --group-column")?;
    let source = TableSource {
        columns: args.series.sequence_columns(reading.label_column()),
        missing: args.series.missing(),
        ..series::files(&settings, "--group-column")?
    };
    interrupt::listen(args.nothing_lost())?;
    let device = reading.device()?;
    let name = settings.models.first().map_or("", String::as_str);
    let (mut config, taken) = series::start(&settings, name, &device)?;
    let init = args.init.as_deref().map(Init::find).transpose()?;
    reading.set_threads()?;
    (reading.status())(&format!("reading {}", reading.data));
    let table = source.read()?;
    let data_name = table.name.clone();
    let (part, max_len) = (config.recipe.validation_split, args.max_len);
    let prepared = PreparedSequences::new(table, &args.series.sequences(part, max_len, args.split_seed))?;
    tell(&prepared.notes, reading.quiet);
    config
        .fit_sequences(prepared.config.clone(), &prepared.classes, prepared.padded)
        .with_context(|| name.to_string())?;
    args.change_objective(&mut config.recipe);
    config.results = None;
    config.check()?;
    check_size(&config.model).with_context(|| name.to_string())?;
    series::say_recipe(taken.as_ref(), &config.recipe, reading.quiet);
    let [train, validation, test] = prepared.parts;
    let parts = Parts {
        name: data_name,
        rows: if prepared.config.windows { "windows" } else { "sequences" },
        train,
        validation: Some(validation),
        test: Some(test),
        tokenizer: None,
    };
    let Some(trained) = series::run(args, name, &config, &parts, init.as_ref(), &device, output)? else {
        return Ok(Outcome::Interrupted);
    };
    let report = &trained.report;
    match args.json {
        true => output.json(report)?,
        false => {
            report_one(report, output)?;
            series::say_next(report, reading, output)?;
        }
    }
    Ok(Outcome::Done)
}

/// The samples of a file with the classes of the model, for `evaluate`; and what they are called.
pub(super) fn examples(
    config: &SequenceConfig,
    targets: &Targets,
    source: TableSource,
    quiet: bool,
) -> anyhow::Result<(Examples, &'static str)> {
    let (table, samples) = read(config, source, true, quiet)?;
    let (examples, left_out) = config.examples(&table, &samples, targets)?;
    if left_out > 0 {
        message(&format!(
            "warning: {left_out} samples have a class that the model does not know, and are left out"
        ));
    }
    Ok((examples, if config.windows { "windows" } else { "sequences" }))
}

fn read(
    config: &SequenceConfig,
    source: TableSource,
    labels: bool,
    quiet: bool,
) -> anyhow::Result<(Table, Vec<Sample>)> {
    let table = TableSource { columns: config.columns(labels), missing: config.missing, ..source }.read()?;
    table.notes.iter().filter(|_| !quiet).for_each(|note| message(note));
    let samples = config.samples(&table);
    if samples.is_empty() {
        bail!("{}: holds no sequence of {} rows or more, a window's length", table.name, config.steps);
    }
    if config.windows {
        let is_short = |group: &&Group| group.rows.len() < config.steps;
        let short = table.groups.iter().filter(is_short).map(|group| group.name.as_str());
        left_out(&short.collect::<Vec<_>>(), table.groups.len(), config.steps, "sequences");
    }
    Ok((table, samples))
}

/// An answer to a sample.
struct Answer<'a> {
    group: &'a str,
    /// The first and the last row of a window, counted from 1 within its sequence, or when they are.
    window: Option<[String; 2]>,
    label: &'a str,
    probability: f32,
}

/// The class of each sequence of a file, or of each of its windows, as CSV or JSON.
pub(super) fn predict(
    checkpoint: &Checkpoint,
    source: TableSource,
    out: Option<&Path>,
    as_json: bool,
    output: &mut Output,
) -> anyhow::Result<Outcome> {
    let (Some(config), Some(Targets::Classes(classes))) =
        (&checkpoint.config.sequences, checkpoint.config.targets())
    else {
        bail!("the model tells no classes apart");
    };
    let (table, samples) = read(config, source, false, false)?;
    let inputs = config.inputs(&table, &samples)?;
    let mut answers = vec![];
    const BATCH: usize = 256;
    for (batch, samples) in samples.chunks(BATCH).enumerate() {
        let inputs = inputs.slice(batch * BATCH, samples.len(), &checkpoint.device)?;
        let values = checkpoint.model.forward(&inputs, Mode::Inference)?.flatten_from(1)?.to_vec2::<f32>()?;
        for (sample, values) in samples.iter().zip(values) {
            let (class, probability) = match values.as_slice() {
                [second] if *second > 0.5 => (1, *second),
                [second] => (0, 1.0 - second),
                several => several.iter().copied().enumerate().fold((0, f32::MIN), |best, (class, value)| {
                    if value > best.1 { (class, value) } else { best }
                }),
            };
            let group = &table.groups[sample.group];
            let place =
                |row: usize| table.time(row).unwrap_or_else(|| (row - group.rows.start + 1).to_string());
            answers.push(Answer {
                group: &group.name,
                window: config.windows.then(|| [place(sample.rows.start), place(sample.rows.end - 1)]),
                label: classes.get(class).map_or("", String::as_str),
                probability,
            });
        }
    }
    let count = answers.len();
    let answer = measurements::Answer {
        csv: &|| csv(config, &answers),
        json: &|| as_value(config, &answers),
        counts: json!({ "answers": count }),
        in_words: format!("{count} answers"),
    };
    answer.tell(out, as_json, output)?;
    Ok(Outcome::Done)
}

fn csv(config: &SequenceConfig, answers: &[Answer]) -> String {
    let (group, label) = (config.group_column.as_str(), config.label_column.as_str());
    let [from, to, probability] = ["from", "to", "probability"].map(|name| free(name, &[group, label]));
    let heads = [group, &from, &to, label, &probability];
    let row = |cells: Vec<String>| {
        let cells = cells.iter().enumerate().filter(|(at, _)| config.windows || !matches!(*at, 1 | 2));
        cells.map(|(_, cell)| quoted(cell)).collect::<Vec<_>>().join(",") + "\n"
    };
    let rows = answers.iter().map(|answer| {
        let [from, to] = answer.window.clone().unwrap_or_default();
        row(vec![answer.group.into(), from, to, answer.label.into(), format!("{:.4}", answer.probability)])
    });
    std::iter::once(row(heads.map(String::from).to_vec())).chain(rows).collect()
}

fn as_value(config: &SequenceConfig, answers: &[Answer]) -> Value {
    let answers = answers.iter().map(|answer| {
        let mut value =
            json!({ "group": answer.group, "label": answer.label, "probability": answer.probability });
        if let (true, Some([from, to])) = (config.windows, &answer.window) {
            value["from"] = json!(from);
            value["to"] = json!(to);
        }
        value
    });
    answers.collect()
}
