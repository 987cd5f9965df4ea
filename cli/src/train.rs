//! `train`: from a recipe and data to a model folder.

use super::begun::Begun;
use super::comparison::{comparison_table, save_comparison};
use super::dataset::{self, Parts};
use super::hub;
use super::model::{Init, Start};
use super::output::message;
use super::own_texts::{self, TextShape};
use super::recorder::{About, Recorder};
use super::report::Report;
use super::settings::{Args, Settings, check_size};
use super::{Outcome, Output, command, interrupt, run_folder};
use anyhow::Context;
use candle_core::{Device, Tensor};
use candle_recurrent::Error;
use candle_recurrent::checkpoint::{
    Config, ModelFolder, Results, RunOf, STATE_FILE, SavedRun, TOKENIZER_FILE,
};
use candle_recurrent::data::{self, Examples, Source};
use candle_recurrent::model::Weights;
use candle_recurrent::train::{CallbackConfig, Figures, History, ModelCheckpoint, Stop, Trainer};
use serde_json::json;
use std::collections::BTreeMap;
use std::f64::consts::LN_2;
use std::path::Path;
use std::time::Duration;

pub(super) fn run(mut settings: Settings, output: &mut Output) -> anyhow::Result<Outcome> {
    settings.arrays = settings.args.reading.arrays()?;
    if settings.arrays.is_none() {
        settings.labelled = settings.args.reading.labelled()?;
    }
    let settings = &settings;
    let (args, reading) = (&settings.args, &settings.args.reading);
    interrupt::listen(args.nothing_lost())?;
    let device = reading.device()?;
    // All configurations are read and checked before the first training begins.
    let mut configs =
        settings.models.iter().map(|model| settings.start(model, &device)).collect::<Result<Vec<_>, _>>()?;
    let init = args.init.as_deref().map(Init::find).transpose()?;
    let outs = settings.models.iter().zip(&configs);
    for out in outs.filter_map(|(_, start)| settings.out(&start.config.model.name)) {
        // Better to learn now than after hours of training.
        run_folder::refuse_existing(&out, args.overwrite || args.resumed.is_some())?;
    }
    reading.set_threads()?;
    let sentences = match &settings.labelled {
        Some(source) => {
            let part = configs.first().map(|start| start.config.recipe.validation_split);
            Some(args.own_texts.read(source, reading, part.unwrap_or(0.2), args.split_seed)?)
        }
        None => {
            args.own_texts.check_unused()?;
            None
        }
    };
    if let Some(sentences) = &sentences {
        for (name, start) in settings.models.iter().zip(&mut configs) {
            settings.fit_head(name, start, sentences)?;
        }
    }

    let mut loaded: Option<(data::Options, Parts)> = None;
    let mut reports = Vec::new();
    for (name, start) in settings.models.iter().zip(&mut configs) {
        let Start { config, weights: own, state, notes } = start;
        for note in notes.iter().filter(|_| !reading.quiet) {
            message(&format!("warning: {name}: {note}"));
        }
        let own_parts = match &sentences {
            Some(sentences) => {
                let has_weights = init.is_some() || own.is_some();
                let most = if has_weights { config.recipe.vocab_size } else { 1 << 20 };
                let kind = reading.encoding.kind();
                let named = match kind {
                    Some(_) => None,
                    None => reading.encoding.tokenizer(args.vocab_size.unwrap_or(most))?,
                };
                let beside = init.as_ref().and_then(|init| init.tokenizer.as_ref());
                let tokenizer = named.as_ref().or(beside);
                let (vocab_size, max_len) = (args.vocab_size, args.max_len);
                let shape = TextShape { vocab_size, max_len, tokenizer, kind, has_weights };
                let parts = own_texts::fit(sentences, config, &shape, reading.quiet)?;
                args.own_texts.mask_padding(config, has_weights, &parts);
                config.command = settings.labelled.as_ref().map(|source| command::of(args, source));
                config.check()?;
                check_size(&config.model).with_context(|| name.clone())?;
                Some(parts)
            }
            None => None,
        };
        let weights = match (&init, own) {
            (Some(init), _) => init.weights(&config.model, &device)?,
            (None, Some(own)) => own.clone(),
            (None, None) => Weights::init(&config.model, args.seed, &device)?,
        };
        let options = settings.data_options(config);
        let parts = match (&settings.arrays, own_parts, loaded.take().filter(|(of, _)| *of == options)) {
            (Some(source), ..) => dataset::arrays(source, config)?,
            (None, Some(parts), _) => parts,
            (None, None, Some((_, parts))) => parts,
            (None, None, None) => {
                let named = reading.encoding.tokenizer(options.vocab_size)?;
                let beside = init.as_ref().and_then(|init| init.tokenizer.as_ref());
                dataset::reviews(reading, &reading.reviews()?, &options, named.as_ref().or(beside))?
            }
        };
        let (_, parts) = loaded.insert((options, parts));
        if let Some(guessed) = config.guess_objective(parts.train.targets())?
            && settings.arrays.is_some()
            && !reading.quiet
        {
            message(&format!("note: {guessed}"));
        }
        let out = settings.out(&config.model.name);
        // From here on there is something to keep, or to tidy up.
        interrupt::defer();
        let (folder, _claim) = run_folder::create(args, out.as_deref(), &config.model.name)?;
        let run = Run { args, name, config, parts, state: state.as_ref(), folder: &folder, device: &device };
        match run.train(&weights) {
            Ok(Ended::Done(report)) => reports.push(report),
            Ok(Ended::Interrupted(reached)) => {
                if args.json && settings.all {
                    let mut all = serde_json::to_value(&reports)?;
                    all.as_array_mut().into_iter().for_each(|all| all.push(reached.clone()));
                    output.json(&all)?;
                } else if args.json {
                    output.json(&reached)?;
                }
                return Ok(Outcome::Interrupted);
            }
            Err(error) => {
                run_folder::remove_if_empty(&folder);
                return Err(error);
            }
        }
    }
    report(settings, &reports, output)?;
    Ok(Outcome::Done)
}

/// A loss that is worse than calling both classes equally likely, by more than chance.
const GUESSING: f64 = LN_2 + 0.01;

/// How a training ended.
pub(super) enum Ended {
    Done(Report),
    /// By Ctrl-C: what it had come to, for `--json`.
    Interrupted(serde_json::Value),
}

/// One model's training.
pub(super) struct Run<'a> {
    pub(super) args: &'a Args,
    /// The MODEL that was asked for.
    pub(super) name: &'a str,
    pub(super) config: &'a Config,
    pub(super) parts: &'a Parts,
    /// What the optimiser goes on from.
    pub(super) state: Option<&'a BTreeMap<String, Tensor>>,
    pub(super) folder: &'a ModelFolder,
    pub(super) device: &'a Device,
}

impl Run<'_> {
    /// Trains and writes the folder.
    pub(super) fn train(&self, weights: &Weights) -> anyhow::Result<Ended> {
        let Self { args, config, parts, state, folder, device, .. } = *self;
        let summary = config.model.summary()?;
        if !args.reading.quiet {
            let count = |part: &Option<Examples>| part.as_ref().map_or(0, Examples::rows);
            message(&format!(
                "{}: {} parameters; {}: {} training, {} validation and {} test {}; seed {}; to {}",
                config.model.name,
                summary.total_params,
                parts.name,
                parts.train.rows(),
                count(&parts.validation),
                count(&parts.test),
                parts.rows,
                args.seed,
                folder.path().display()
            ));
        }
        let mut trainer =
            Trainer::new(&config.model, weights, config.recipe.optimizer.clone(), config.objective()?)?;
        if let (Some(state), None) = (state, &args.resumed) {
            let optimizer = trainer.optimizer_mut();
            match optimizer.load_state(state) {
                Ok(()) if args.reading.quiet => {}
                Ok(()) => {
                    let (class, steps) = (optimizer.config().class.name(), optimizer.iterations());
                    message(&format!("{class} goes on from the file's state, after {steps} steps"));
                }
                Err(error) => {
                    message(&format!("warning: the optimizer begins anew: its state does not fit: {error}"))
                }
            }
        }
        if let Some(test) = &parts.test {
            trainer.check("test", test, config.recipe.batch_size)?;
        }
        let mut fit_config = config.recipe.fit_config(args.seed);
        if !fit_config.callbacks.iter().any(|callback| matches!(callback, CallbackConfig::ModelCheckpoint(_)))
        {
            // Something is to be kept: the last epoch.
            fit_config.callbacks.push(ModelCheckpoint::default().into());
        }
        if args.remat {
            candle_recurrent::recompute_beyond(0);
        }
        fit_config.on_nan = args.on_nan.into();
        // A run that is gone on with may have gone on by itself until the folder was ours.
        let saved = args.resumed.as_ref().map(|_| SavedRun::load(folder.path())).transpose()?;
        let of = self.of(trainer.model().frozen(), saved.as_ref())?;
        let state = match saved {
            Some(saved) => {
                if saved.state.kept.is_some() && folder.config()?.model != config.model {
                    anyhow::bail!(
                        "--resume {}: another model has replaced that of the run; train anew with --overwrite",
                        folder.path().display()
                    );
                }
                saved.of.check(&of).with_context(|| format!("--resume {}", folder.path().display()))?;
                if !args.reading.quiet {
                    message(&format!("going on {}", place_in_words(saved.state.epochs, saved.state.batches)));
                }
                if saved.state.stopped {
                    message("early stopping has ended this run: more epochs change nothing");
                }
                Some(saved.state)
            }
            None => None,
        };
        let about = About {
            folder,
            config,
            tokenizer: parts.tokenizer.as_ref(),
            data: self.data(),
            of,
            save_every: Duration::from_secs_f64(args.save_every * 60.0),
            quiet: args.reading.quiet,
        };
        let mut recorder = Recorder::new(about, state.as_ref());
        let (train, validation) = (&parts.train, parts.validation.as_ref());
        let run = || trainer.fit_from(state, train, validation, &fit_config, &mut recorder);
        let outcome = if device.is_cpu() { candle_recurrent::awake(run) } else { run() };
        let results = recorder.results();
        let outcome = match outcome {
            Ok(outcome) => outcome,
            Err(error) => {
                // What is kept gets its pictures and figures; the error that ended the run is the one to tell.
                let nothing_is_kept = results.is_none();
                let _ = recorder.finish(results, false);
                if nothing_is_kept
                    && recorder.place().is_some_and(|place| place.epochs == 0 && place.batches == 0)
                {
                    // There is nothing to go on with.
                    let _ = folder.remove(STATE_FILE);
                } else if recorder.place().is_some() && !matches!(error, Error::Diverged { .. }) {
                    let resume = in_shell(folder.path());
                    message(&format!(
                        "when that is mended, go on with: candle-recurrent train --resume {resume}"
                    ));
                }
                return Err(error.into());
            }
        };
        let resume = format!("candle-recurrent train --resume {}", in_shell(folder.path()));
        if let (Stop::Interrupted, Some(place)) = (outcome.stop, recorder.place()) {
            let place = place_in_words(place.epochs, place.batches);
            message(&format!("interrupted {place}; go on from there with: {resume}"));
        }
        let Some(mut results) = results else {
            let (model, data) = (&config.model.name, &parts.name);
            let reached =
                json!({ "model": model, "data": data, "epochs": 0, "interrupted": true, "resume": resume });
            return Ok(Ended::Interrupted(reached));
        };
        let report = |results: &Results, interrupted: bool, history: &History| Report {
            model: config.model.name.clone(),
            data: parts.name.clone(),
            interrupted,
            folder: folder.path().display().to_string(),
            params: summary.total_params,
            test_samples: parts.test.as_ref().map_or(0, Examples::rows),
            rows: parts.rows,
            history: history.clone(),
            results: results.clone(),
        };
        if outcome.stop == Stop::Interrupted {
            recorder.finish(Some(results.clone()), false)?;
            message(&format!(
                "the best epoch so far ({} of {}, loss {:.4}) is kept in {}",
                results.best_epoch,
                results.epochs,
                results.judged_loss(),
                folder.path().display()
            ));
            let mut reached = serde_json::to_value(report(&results, true, recorder.history()))?;
            reached["resume"] = resume.into();
            return Ok(Ended::Interrupted(reached));
        }
        // From here on nothing is lost: the state is that of the end.
        let words = format!("interrupted after the training; measure it with: {resume}");
        interrupt::listen(&words)?;
        if interrupt::requested() {
            message(&words);
            return Ok(Ended::Interrupted(serde_json::to_value(report(&results, true, recorder.history()))?));
        }
        if let Some(test) = &parts.test {
            // The epoch that was kept may be another than the last.
            weights.restore(&folder.weights(&config.model, device)?.snapshot()?)?;
            let test = trainer.evaluate(test, config.recipe.batch_size)?;
            test.figures.prefixed("test_").iter().for_each(|(name, value)| results.figures.set(name, value));
        }
        recorder.finish(Some(results.clone()), true)?;
        let last = recorder.history().epochs.last();
        if let Some((name, _)) =
            last.and_then(|epoch| epoch.figures.iter().find(|(_, value)| !value.is_finite()))
        {
            message(&format!(
                "warning: the figure {name} is no number: is the metric defined for these targets?"
            ));
        }
        let is_plain = config.recipe.loss == "binary_crossentropy" && parts.train.weights().is_empty();
        if is_plain && results.get("val_loss").is_some_and(|loss| loss > GUESSING) {
            message(&format!(
                "warning: the best val_loss, {:.4}, is worse than that of guessing, {LN_2:.4}; try another --learning-rate",
                results.judged_loss()
            ));
        }
        Ok(Ended::Done(report(&results, false, recorder.history())))
    }

    /// What the run is of.
    fn of(&self, frozen: &[(String, Tensor)], saved: Option<&SavedRun>) -> anyhow::Result<RunOf> {
        let Self { args, config, parts, .. } = self;
        let config = Config { results: None, saved: None, ..(*config).clone() };
        let begun = match &args.resumed {
            Some(begun) => begun.clone(),
            None => Begun::now(self.name)?,
        };
        let parts = [
            ("training rows", Some(&parts.train)),
            ("validation rows", parts.validation.as_ref()),
            ("test rows", parts.test.as_ref()),
        ];
        Ok(RunOf {
            config: serde_json::to_value(config)?,
            seed: args.seed,
            data: RunOf::sums(&parts, frozen, self.parts.tokenizer.as_ref())?,
            begun: serde_json::to_value(begun)?,
            seconds: saved.map_or(0.0, |saved| saved.of.seconds),
        })
    }

    /// What the model card calls the data.
    fn data(&self) -> String {
        match self.parts.tokenizer.is_some() || self.parts.rows == "reviews" {
            true => data_name(&self.args.reading.data),
            false => self.parts.name.clone(),
        }
    }
}

/// What the model card calls the data: no more of a path than its last part.
fn data_name(source: &Source) -> String {
    match source {
        Source::Path(path) if hub::is_address(path) => path.display().to_string(),
        Source::Path(path) => match path.file_name() {
            Some(name) => name.to_string_lossy().into_owned(),
            None => "data".into(),
        },
        other => other.to_string(),
    }
}

fn report(settings: &Settings, reports: &[Report], output: &mut Output) -> anyhow::Result<()> {
    let args = &settings.args;
    let picture = match settings.all {
        true => {
            let runs: Vec<_> = reports.iter().map(|run| (run.model.clone(), run.history.clone())).collect();
            let picture = save_comparison(&runs, &data_name(&args.reading.data), args.out.as_deref());
            picture.inspect_err(|error| message(&format!("warning: {error}"))).ok()
        }
        false => None,
    };
    match (args.json, settings.all, reports) {
        (true, false, [report]) => return output.json(report),
        (true, ..) => return output.json(&reports),
        (false, true, _) => output.line(comparison_table(reports))?,
        (false, ..) => {}
    }
    if let (false, [report]) = (settings.all, reports) {
        report_one(report, output)?;
        output.line(format_args!("folder: {}", report.folder))?;
    }
    if let Some(picture) = &picture {
        let folders: Vec<&str> = reports.iter().map(|report| report.folder.as_str()).collect();
        output.line(format_args!("folders: {}", folders.join(", ")))?;
        output.line(format_args!("picture: {}", picture.display()))?;
    }
    let best = reports.iter().min_by(|a, b| a.results.judged_loss().total_cmp(&b.results.judged_loss()));
    if let Some(best) = best {
        output.line(format_args!("next: {}", next_command(Path::new(&best.folder), settings)))?;
    }
    Ok(())
}

/// What a run came to.
pub(super) fn report_one(report: &Report, output: &mut Output) -> anyhow::Result<()> {
    let results = &report.results;
    let words = |figures: Figures| {
        figures.iter().map(|(name, value)| format!("{name} {value:.4}")).collect::<Vec<_>>().join(", ")
    };
    output.line(format_args!(
        "{} on {}: best epoch {} of {}, {}, {:.1} s",
        report.model,
        report.data,
        results.best_epoch,
        results.epochs,
        words(report.own_figures()),
        results.seconds
    ))?;
    let test = report.test_figures();
    if !test.is_empty() {
        output.line(format_args!("test: {} ({} {})", words(test), report.test_samples, report.rows))?;
    }
    Ok(())
}

/// A path as a shell takes it.
fn in_shell(path: &Path) -> String {
    let path = path.display().to_string();
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '/' | '.' | '-' | '_' | '\\' | ':');
    if path.chars().all(plain) { path } else { format!("'{}'", path.replace('\'', "'\\''")) }
}

/// Where a run stands.
fn place_in_words(epochs: usize, batches: usize) -> String {
    match batches {
        0 if epochs == 0 => "before the first step".into(),
        0 => format!("after epoch {epochs}"),
        batches => format!("in epoch {}, after step {batches}", epochs + 1),
    }
}

/// What to type next.
fn next_command(folder: &Path, settings: &Settings) -> String {
    let reads_text = folder.join(TOKENIZER_FILE).is_file();
    let folder = in_shell(folder);
    if settings.arrays.is_some() {
        return format!("candle-recurrent predict {folder} --input x.npz");
    }
    if settings.labelled.is_some() {
        return format!("candle-recurrent predict {folder} \"a text of yours\"");
    }
    if !reads_text {
        return format!(
            "candle-recurrent evaluate {folder} (it has no tokenizer.json, so it cannot read text: Keras's \
             imdb_word_index.json was not beside the data)"
        );
    }
    format!("candle-recurrent predict {folder} \"I expected to hate it, but it is lovely\"")
}
