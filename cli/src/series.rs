//! `train` on measurements over time: from a file and a model's layers to a forecaster.

use super::dataset::Parts;
use super::forecast_report::{heads, remarks, rows};
use super::model::Init;
use super::output::{message, table};
use super::own_texts::tell;
use super::reading::Reading;
use super::report::Report;
use super::settings::{Args, Settings, check_size};
use super::train::{Ended, Run, report_one};
use super::{Outcome, Output, interrupt, run_folder};
use anyhow::{Context, bail};
use candle_core::Device;
use candle_recurrent::checkpoint::{
    Claim, Config, FORECAST_PNG_FILE, FORECAST_SVG_FILE, ModelFolder, Recipe,
};
use candle_recurrent::data::series::{Part, PreparedSeries, TableSource};
use candle_recurrent::forecast::{Backtest, Forecaster};
use candle_recurrent::model::Weights;
use candle_recurrent::sharing::{DataFiles, Wanted};
use candle_recurrent::train::{Adam, OptimizerConfig};
use serde_json::{Value, json};

/// Trains a forecaster.
pub(super) fn train(settings: Settings, output: &mut Output) -> anyhow::Result<Outcome> {
    let (args, reading) = (&settings.args, &settings.args.reading);
    refuse_others(&settings, "--target")?;
    if args.max_len.is_some() {
        bail!("--max-len: is for texts and sequences, and --target has a --window; leave it out");
    }
    let source = TableSource {
        columns: args.series.columns(),
        missing: args.series.missing(),
        ..files(&settings, "--target")?
    };
    interrupt::listen(args.nothing_lost())?;
    let device = reading.device()?;
    let name = settings.models.first().map_or("", String::as_str);
    let (mut config, taken) = start(&settings, name, &device)?;
    let init = args.init.as_deref().map(Init::find).transpose()?;
    reading.set_threads()?;

    (reading.status())(&format!("reading {}", reading.data));
    let prepared = PreparedSeries::new(source.read()?, &args.series.options(config.recipe.validation_split))?;
    tell(&prepared.notes, reading.quiet);
    config.fit_series(prepared.config.clone()).with_context(|| name.to_string())?;
    let loss = config.recipe.loss.clone();
    args.change_objective(&mut config.recipe);
    if !prepared.config.quantiles.is_empty() && config.recipe.loss != loss {
        bail!("--loss: quantiles have their own, the pinball loss; leave --loss or --quantiles out");
    }
    config.results = None;
    config.check()?;
    check_size(&config.model).with_context(|| name.to_string())?;
    say_recipe(taken.as_ref(), &config.recipe, reading.quiet);
    let part = |part: Part| prepared.examples(part);
    let parts = Parts {
        name: prepared.table.name.clone(),
        rows: "windows",
        train: part(Part::Train)?,
        validation: Some(part(Part::Validation)?),
        test: Some(part(Part::Test)?),
        tokenizer: None,
    };
    let Some(trained) = run(args, name, &config, &parts, init.as_ref(), &device, output)? else {
        return Ok(Outcome::Interrupted);
    };
    let report = &trained.report;
    let tests = judge(&trained.folder, &prepared, &device)?;
    if args.json {
        let mut value = serde_json::to_value(report)?;
        value["forecast"] = tests.json(&prepared);
        output.json(&value)?;
        return Ok(Outcome::Done);
    }
    report_one(report, output)?;
    let season = prepared.config.season;
    let model = &config.model.name;
    let mut lines = vec![heads(&["part", "forecast"])];
    lines.extend(rows("validation", model, season, &tests.validation.all()));
    lines.extend(rows("test", model, season, &tests.test.all()));
    output.line(table(&lines))?;
    for line in remarks(&tests.test) {
        output.line(format_args!("test: {line}"))?;
    }
    say_next(report, reading, output)?;
    Ok(Outcome::Done)
}

/// A run that is done, and its folder, which is kept from other runs for as long as this lives.
pub(super) struct Trained {
    pub(super) report: Report,
    folder: ModelFolder,
    _claim: Claim,
}

/// Trains a model of measurements; none where the run was interrupted, which is told then.
pub(super) fn run(
    args: &Args,
    name: &str,
    config: &Config,
    parts: &Parts,
    init: Option<&Init>,
    device: &Device,
    output: &mut Output,
) -> anyhow::Result<Option<Trained>> {
    let weights = match init {
        Some(init) => init.weights(&config.model, device)?,
        None => Weights::init(&config.model, args.seed, device)?,
    };
    interrupt::defer();
    let (folder, claim) = run_folder::create(args, args.out.as_deref(), &config.model.name)?;
    match (Run { args, name, config, parts, state: None, folder: &folder, device }).train(&weights) {
        Ok(Ended::Done(report)) => Ok(Some(Trained { report, folder, _claim: claim })),
        Ok(Ended::Interrupted(reached)) => {
            if args.json {
                output.json(&reached)?;
            }
            Ok(None)
        }
        Err(error) => {
            run_folder::remove_if_empty(&folder);
            Err(error)
        }
    }
}

/// Where the run is, and what to type next.
pub(super) fn say_next(report: &Report, reading: &Reading, output: &mut Output) -> anyhow::Result<()> {
    output.line(format_args!("folder: {}", report.folder))?;
    output.line(format_args!("next: candle-recurrent predict {} --data {}", report.folder, reading.data))?;
    Ok(())
}

/// The files of measurements to train on; `option` says that there are some.
pub(super) fn files(settings: &Settings, option: &str) -> anyhow::Result<TableSource> {
    let reading = &settings.args.reading;
    let Some(source) = reading.measurements(Wanted::All)? else {
        bail!("--data {}: is of reviews; give a file of measurements for {option}", reading.data);
    };
    let others = |files: &DataFiles| !files.validation.is_empty() || !files.test.is_empty();
    if reading.hub_files()?.is_some_and(others) && !reading.quiet {
        message("note: its part for training alone is read; validation and test are parts of that");
    }
    Ok(source)
}

/// Refuses options of other kinds of data; `option` says that it is measurements.
pub(super) fn refuse_others(settings: &Settings, option: &str) -> anyhow::Result<()> {
    let args = &settings.args;
    if settings.all {
        bail!("{option} goes with one model, not with `all`");
    }
    args.own_texts.check_unused()?;
    let given = args.vocab_size.is_some().then_some("--vocab-size");
    match given.or(args.reading.of_texts()).or(args.reading.encoding.given()) {
        Some(given) => {
            bail!("{given}: is for texts, and {option} says that the data are measurements; leave it out")
        }
        None => Ok(()),
    }
}

/// A model's layers and its recipe with the command line's changes; and the optimiser that was taken for measurements, where
/// the model has none of its own.
pub(super) fn start(
    settings: &Settings,
    name: &str,
    device: &Device,
) -> anyhow::Result<(Config, Option<OptimizerConfig>)> {
    let start = settings.args.reading.model(name)?.start(device)?;
    if start.weights.is_some() {
        bail!("{name}: brings weights for an input of its own; give its architecture alone, a config.json");
    }
    let mut config = start.config;
    if config.model.reads_text() {
        bail!("{name}: turns text into ids itself, and cannot take measurements");
    }
    let taken = series_recipe(&mut config.recipe).then(|| config.recipe.optimizer.clone());
    settings.args.change(&mut config.recipe)?;
    Ok((config, taken))
}

/// Says what was taken of a recipe, where nobody has said it.
pub(super) fn say_recipe(taken: Option<&OptimizerConfig>, recipe: &Recipe, quiet: bool) {
    if taken != Some(&recipe.optimizer) || quiet {
        return;
    }
    message(&format!(
        "note: {}, batches of {}, stopped after {} epochs without a better one: the model's recipe is for reviews; say \
         --optimizer, --batch-size, --patience for others",
        recipe.optimizer.in_words(),
        recipe.batch_size,
        recipe.patience().unwrap_or(0),
    ));
}

/// A recipe that is the zoo's, which was made for reviews, becomes one for a series; gives whether it is.
fn series_recipe(recipe: &mut Recipe) -> bool {
    let zoo = Recipe::default();
    if recipe.optimizer != zoo.optimizer {
        return false;
    }
    recipe.optimizer = OptimizerConfig::from(Adam::default());
    if recipe.batch_size == zoo.batch_size {
        recipe.batch_size = 32;
    }
    if recipe.patience() == zoo.patience() {
        recipe.set_patience(10);
    }
    true
}

/// How good a forecaster is on the parts that it was not trained on.
struct Judged {
    validation: Backtest,
    test: Backtest,
}

/// Measures the trained model, and keeps in its folder the figures, the width of its band, and a picture.
fn judge(folder: &ModelFolder, prepared: &PreparedSeries, device: &Device) -> anyhow::Result<Judged> {
    let mut checkpoint = folder.load(device)?;
    let table = &prepared.table;
    let measure =
        |config: &candle_recurrent::checkpoint::Checkpoint, part: Part| -> anyhow::Result<Backtest> {
            let Some(forecaster) = Forecaster::of(config) else {
                bail!("{}: forecasts nothing", folder.path().display())
            };
            Ok(forecaster.backtest(table, &prepared.origins(part))?)
        };
    let validation = measure(&checkpoint, Part::Validation)?;
    if let Some(series) = checkpoint.config.series.as_mut().filter(|series| series.quantiles.is_empty()) {
        series.errors = validation.bands();
    }
    let test = measure(&checkpoint, Part::Test)?;
    keep_figures(&mut checkpoint.config, &validation, &test);
    folder.save_config(&checkpoint.config)?;
    if let Err(error) = folder.save_card(&checkpoint.config) {
        message(&format!("warning: {error}; the model is kept without it"));
    }
    if let Some(forecaster) = Forecaster::of(&checkpoint) {
        let name = &checkpoint.config.model.name;
        let title = format!("{name}: {} of {}, the test part", prepared.config.target, table.name);
        let drawn =
            forecaster.picture(table, &prepared.origins(Part::Test), &title, name).and_then(|picture| {
                folder.write(FORECAST_SVG_FILE, picture.svg())?;
                folder.write(FORECAST_PNG_FILE, picture.png()?)
            });
        if let Err(error) = drawn {
            message(&format!("warning: {error}; the model is kept without it"));
        }
    }
    Ok(Judged { validation, test })
}

/// The figures among the results.
fn keep_figures(config: &mut Config, validation: &Backtest, test: &Backtest) {
    let Some(results) = &mut config.results else { return };
    for (part, of) in [("val", validation), ("test", test)] {
        let figures = of.all().figures().model;
        let mase = figures.mase.map(|mase| ("mase", mase));
        let all = [("mae", figures.mae), ("rmse", figures.rmse), ("smape", figures.smape)];
        for (name, value) in all.into_iter().chain(mase) {
            results.figures.set(&format!("{part}_{name}"), value);
        }
    }
}

impl Judged {
    fn json(&self, prepared: &PreparedSeries) -> Value {
        let part = |of: &Backtest| {
            let mut value = serde_json::to_value(of.all().figures()).unwrap_or_default();
            value["forecasts"] = of.origins.into();
            value["mase_leaves_out"] = json!(of.unscaled);
            value
        };
        json!({
            "season": prepared.config.season,
            "relative": prepared.config.relative,
            "validation": part(&self.validation),
            "test": part(&self.test),
            "coverage": self.test.coverage(),
        })
    }
}
