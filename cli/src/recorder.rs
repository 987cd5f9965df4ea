//! The observer of a run: shows it, and writes the model folder as it goes, so that a crash loses nothing.

use super::interrupt;
use super::output::message;
use super::progress::Progress;
use candle_recurrent::checkpoint::{
    CONFIG_FILE, Config, Contents, HISTORY_FILE, ModelFolder, Results, RunOf, SVG_FILE, SavedRun,
};
use candle_recurrent::plot;
use candle_recurrent::text::Tokenizer;
use candle_recurrent::train::{Epoch, History, Observer, Optimizer, RunState, Snapshot, Step};
use candle_recurrent::{Error, Result};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

/// What a run is, apart from its course.
pub(super) struct About<'a> {
    pub(super) folder: &'a ModelFolder,
    pub(super) config: &'a Config,
    pub(super) tokenizer: Option<&'a Tokenizer>,
    /// What the data are called.
    pub(super) data: String,
    pub(super) of: RunOf,
    /// How often its state is written down within an epoch.
    pub(super) save_every: Duration,
    pub(super) quiet: bool,
}

/// Where a run stands that was written down: epochs that are done, and batches of the next.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) epochs: usize,
    pub(super) batches: usize,
}

/// Writes a run to its folder. After the first epoch the folder is complete.
pub(super) struct Recorder<'a> {
    about: About<'a>,
    config: Config,
    progress: Progress,
    start: Instant,
    history: History,
    complete: bool,
    /// The epoch that was kept last.
    kept: Option<usize>,
    /// When the state was written last, and where that was.
    saved: (Instant, Option<Place>),
    warned: bool,
    /// Whether the folder holds an older model and run, which are to stay until there is an epoch of this one.
    older: bool,
    /// The state that waits for that.
    held: Option<SavedRun>,
    /// Whether this process has written weights.
    wrote: bool,
}

impl<'a> Recorder<'a> {
    /// Of a run that begins, or goes on from a state.
    pub(super) fn new(about: About<'a>, state: Option<&RunState>) -> Self {
        let config = Config { results: None, saved: None, ..about.config.clone() };
        let kept = state.and_then(|state| state.kept);
        Self {
            config,
            progress: Progress::stderr(about.quiet),
            start: Instant::now(),
            history: state.map(|state| state.history.clone()).unwrap_or_default(),
            complete: kept.is_some(),
            kept,
            saved: (Instant::now(), None),
            warned: false,
            older: state.is_none() && about.folder.path().join(CONFIG_FILE).exists(),
            held: None,
            wrote: false,
            about,
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
            data: self.about.data.clone(),
            seed: self.about.of.seed,
            epochs: self.history.epochs.len(),
            best_epoch: best.epoch,
            figures: best.figures.iter().filter(counts).collect(),
            seconds: self.seconds(),
        })
    }

    /// The seconds that the run has taken, before a pause too.
    fn seconds(&self) -> f64 {
        self.about.of.seconds + self.start.elapsed().as_secs_f64()
    }

    /// Where the run's state was written down last.
    pub(super) fn place(&self) -> Option<Place> {
        self.saved.1
    }

    /// Writes the last figures and pictures. Does nothing where no epoch was done, nor for a run that ends before its time and
    /// has written no weights since it went on: those of the folder may be of an epoch that is still to come again.
    pub(super) fn finish(&mut self, results: Option<Results>, is_done: bool) -> Result<()> {
        if !self.complete || !(self.wrote || is_done) {
            return Ok(());
        }
        let folder = self.about.folder;
        // A forecaster's has more, measured after its training.
        self.config = Config { results, ..folder.config()? };
        folder.save_config(&self.config)?;
        folder.save_history(&self.history)?;
        self.beside(folder.save_card(&self.config).and_then(|()| self.save_pictures()));
        Ok(())
    }

    fn save_pictures(&self) -> Result<()> {
        self.about.folder.save_pictures(&self.title(), &self.history)
    }

    /// What goes wrong with a card or a picture is told once, and no reason to end a run.
    fn beside(&mut self, result: Result<()>) {
        if let Err(error) = result
            && !std::mem::replace(&mut self.warned, true)
        {
            message(&format!("warning: {error}; the training goes on without it"));
        }
    }

    fn title(&self) -> String {
        format!("{} on {}", self.config.model.name, self.about.data)
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
            // The state has it too.
            self.about.folder.write_beside(HISTORY_FILE, history.to_csv())?;
        }
        self.progress.on_epoch(history)
    }

    fn on_best(&mut self, epoch: &Epoch, weights: &Snapshot, optimizer: &Optimizer) -> Result<()> {
        self.kept = Some(epoch.epoch);
        self.config.results = self.results();
        let (state, folder) = (optimizer.state()?, self.about.folder);
        if let Some(held) = self.held.take() {
            // A state beside an older model begins that anew; an older state beside this model would go on with another run.
            held.save(folder.path())?;
        }
        self.older = false;
        folder.save(&Contents {
            config: &self.config,
            weights,
            epoch: Some(epoch),
            optimizer: Some(&state),
            tokenizer: self.about.tokenizer,
            history: Some(&self.history),
        })?;
        self.beside(folder.save_card(&self.config));
        let pictures = match self.complete {
            // The PNG takes longer to draw than a short epoch to train: it follows at the end.
            true => plot::loss(&self.title(), &self.history)
                .and_then(|picture| folder.write_beside(SVG_FILE, picture.svg())),
            false => self.save_pictures(),
        };
        self.beside(pictures);
        (self.complete, self.wrote) = (true, true);
        Ok(())
    }

    fn is_interrupted(&mut self) -> bool {
        interrupt::requested()
    }

    fn wants_state(&mut self, epoch_is_done: bool) -> bool {
        epoch_is_done || interrupt::requested() || self.saved.0.elapsed() >= self.about.save_every
    }

    fn on_state(&mut self, state: RunState) -> Result<()> {
        let place = Place { epochs: state.epochs, batches: state.batches };
        let of = RunOf { seconds: self.seconds(), ..self.about.of.clone() };
        let saved = SavedRun { of, state };
        if self.older {
            (self.held, self.saved.0) = (Some(saved), Instant::now());
            return Ok(());
        }
        saved.save(self.about.folder.path())?;
        self.saved = (Instant::now(), Some(place));
        Ok(())
    }

    fn on_rollback(&mut self, reason: &Error, learning_rate: f64) -> Result<()> {
        message(&format!(
            "warning: {reason}; back at the end of the epoch before, and on with a learning rate of {learning_rate:e}"
        ));
        Ok(())
    }
}
