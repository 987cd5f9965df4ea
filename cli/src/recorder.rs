//! The observer of a run: shows it, and writes the model folder as it goes, so that a crash loses nothing.

use super::interrupt;
use super::progress::Progress;
use candle_recurrent::Result;
use candle_recurrent::checkpoint::{Config, ModelFolder, Results, SVG_FILE};
use candle_recurrent::plot;
use candle_recurrent::text::Tokenizer;
use candle_recurrent::train::{Epoch, History, Observer, Optimizer, Snapshot, Step};
use std::ops::ControlFlow;
use std::time::Instant;

/// Writes a run to its folder. After the first epoch the folder is complete.
pub(super) struct Recorder<'a> {
    folder: &'a ModelFolder,
    config: Config,
    tokenizer: Option<&'a Tokenizer>,
    data: String,
    seed: u64,
    progress: Progress,
    start: Instant,
    history: History,
    complete: bool,
    /// The epoch that was kept last.
    kept: Option<usize>,
}

impl<'a> Recorder<'a> {
    pub(super) fn new(
        folder: &'a ModelFolder,
        config: &Config,
        tokenizer: Option<&'a Tokenizer>,
        data: &str,
        seed: u64,
        quiet: bool,
    ) -> Self {
        let config = Config { results: None, ..config.clone() };
        let (progress, start) = (Progress::stderr(quiet), Instant::now());
        let history = History::default();
        Self {
            folder,
            config,
            tokenizer,
            data: data.into(),
            seed,
            progress,
            start,
            history,
            complete: false,
            kept: None,
        }
    }

    /// The run's epochs so far.
    pub(super) fn history(&self) -> &History {
        &self.history
    }

    /// The run's figures so far, those of its best epoch; none before the first epoch is done.
    pub(super) fn results(&self) -> Option<Results> {
        let kept = self.kept.and_then(|kept| self.history.epochs.get(kept - 1));
        let best = kept.or_else(|| self.history.best())?;
        let has_validation = best.val_loss().is_some();
        // The figures of the training are those of moving weights, and of less interest.
        let counts = |(name, _): &(&str, f64)| !has_validation || name.starts_with("val_");
        Some(Results {
            data: self.data.clone(),
            seed: self.seed,
            epochs: self.history.epochs.len(),
            best_epoch: best.epoch,
            figures: best.figures.iter().filter(counts).collect(),
            seconds: self.start.elapsed().as_secs_f64(),
        })
    }

    /// Writes the last figures and pictures. Does nothing where no epoch was done.
    pub(super) fn finish(&mut self, results: Option<Results>) -> Result<()> {
        if !self.complete {
            return Ok(());
        }
        self.config.results = results;
        self.folder.save_config(&self.config)?;
        self.folder.save_history(&self.history)?;
        self.folder.save_pictures(&self.title(), &self.history)
    }

    fn title(&self) -> String {
        format!("{} on {}", self.config.model.name, self.data)
    }
}

impl Observer for Recorder<'_> {
    fn on_epoch_begin(&mut self, epoch: usize, epochs: usize, batches: usize) -> Result<()> {
        self.progress.on_epoch_begin(epoch, epochs, batches)
    }

    fn on_step(&mut self, step: &Step) -> Result<ControlFlow<()>> {
        if interrupt::requested() {
            return Ok(ControlFlow::Break(()));
        }
        self.progress.on_step(step)
    }

    fn on_epoch(&mut self, history: &History) -> Result<ControlFlow<()>> {
        self.history = history.clone();
        if self.complete {
            self.folder.save_history(history)?;
        }
        self.progress.on_epoch(history)
    }

    fn on_best(&mut self, epoch: &Epoch, weights: &Snapshot, optimizer: &Optimizer) -> Result<()> {
        self.kept = Some(epoch.epoch);
        self.config.results = self.results();
        let state = optimizer.state()?;
        self.folder.save(&self.config, epoch, weights, Some(&state), self.tokenizer, &self.history)?;
        if self.complete {
            // The PNG takes longer to draw than a short epoch to train: it follows at the end.
            return self.folder.write(SVG_FILE, plot::loss(&self.title(), &self.history)?.svg());
        }
        self.folder.save_pictures(&self.title(), &self.history)?;
        self.complete = true;
        Ok(())
    }
}
