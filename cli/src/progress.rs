//! Progress on standard error, in the form that people know from Keras.

use candle_recurrent::Result;
use candle_recurrent::train::{Epoch, Figures, History, Observer, Step};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{IsTerminal, Write};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

const BAR: usize = 20;
const INTERVAL: Duration = Duration::from_millis(100);

/// An [`Observer`] that shows a run: on a terminal a bar that is redrawn in place, else one plain line an epoch, or
/// nothing at all. Where the terminal goes away, training goes on in silence.
pub struct Progress<W = std::io::Stderr> {
    form: Form,
    out: W,
    epoch: usize,
    epochs: usize,
    batches: usize,
    start: Instant,
    after_first: Option<Instant>,
    drawn: Option<Instant>,
}

enum Form {
    Quiet,
    Lines,
    Bar(ProgressBar),
}

impl Progress {
    /// Progress on standard error: nothing if `quiet`, plain lines where it is no terminal.
    pub fn stderr(quiet: bool) -> Self {
        let target = ProgressDrawTarget::stderr_with_hz(10);
        let form = match (quiet, std::io::stderr().is_terminal() && !target.is_hidden()) {
            (true, _) => Form::Quiet,
            (false, false) => Form::Lines,
            (false, true) => Form::bar(target),
        };
        Self::new(form, std::io::stderr())
    }
}

impl<W: Write> Progress<W> {
    fn new(form: Form, out: W) -> Self {
        Self {
            form,
            out,
            epoch: 0,
            epochs: 0,
            batches: 0,
            start: Instant::now(),
            after_first: None,
            drawn: None,
        }
    }
}

impl Form {
    fn bar(target: ProgressDrawTarget) -> Self {
        let bar = ProgressBar::with_draw_target(None, target);
        // The whole line is the message, cut to the terminal's width.
        if let Ok(style) = ProgressStyle::with_template("{wide_msg}") {
            bar.set_style(style);
        }
        Self::Bar(bar)
    }
}

impl<W: Write> Observer for Progress<W> {
    fn on_epoch_begin(&mut self, epoch: usize, epochs: usize, batches: usize) -> Result<()> {
        (self.epoch, self.epochs, self.batches) = (epoch, epochs, batches);
        (self.start, self.after_first, self.drawn) = (Instant::now(), None, None);
        if let Form::Bar(bar) = &self.form {
            let _ = writeln!(self.out, "Epoch {epoch}/{epochs}");
            bar.reset();
        }
        Ok(())
    }

    fn on_step(&mut self, done: &Step) -> Result<ControlFlow<()>> {
        if let Form::Bar(bar) = &self.form {
            let now = Instant::now();
            let first = *self.after_first.get_or_insert(now);
            if self.drawn.is_some_and(|drawn| now - drawn < INTERVAL) {
                return Ok(ControlFlow::Continue(()));
            }
            self.drawn = Some(now);
            // As in Keras, the first step does not count: it is not like the others.
            let step = match done.batch {
                0 | 1 => (now - self.start).as_secs_f64(),
                done => (now - first).as_secs_f64() / (done - 1) as f64,
            };
            bar.set_message(running_line(done.batch, done.batches, step, &done.meters.figures()));
        }
        Ok(ControlFlow::Continue(()))
    }

    fn on_epoch(&mut self, history: &History) -> Result<ControlFlow<()>> {
        let Some(last) = history.epochs.last() else { return Ok(ControlFlow::Continue(())) };
        let _ = match &self.form {
            Form::Quiet => Ok(()),
            Form::Lines => {
                let (seconds, step) = (last.seconds, last.seconds / self.batches.max(1) as f64);
                let (epochs, figures) = (self.epochs, figures(&last.figures));
                writeln!(
                    self.out,
                    "Epoch {}/{epochs} - {seconds:.0}s - {}{figures}",
                    last.epoch,
                    per_step(step)
                )
            }
            Form::Bar(bar) => {
                bar.finish_and_clear();
                writeln!(self.out, "{}", finished_line(last, self.batches))
            }
        };
        Ok(ControlFlow::Continue(()))
    }
}

/// An interrupted epoch leaves no half line behind.
impl<W> Drop for Progress<W> {
    fn drop(&mut self) {
        if let Form::Bar(bar) = &self.form {
            bar.finish_and_clear();
        }
    }
}

fn running_line(batch: usize, batches: usize, step: f64, so_far: &Figures) -> String {
    let left = time_left(step * batches.saturating_sub(batch) as f64);
    format!("{} {left} {}{}", bar_of(batch, batches), per_step(step), figures(so_far))
}

fn finished_line(epoch: &Epoch, batches: usize) -> String {
    let step = per_step(epoch.seconds / batches.max(1) as f64);
    format!("{} {:.0}s {step}{}", bar_of(batches, batches), epoch.seconds, figures(&epoch.figures))
}

/// `  3/313 ━━────…`
fn bar_of(done: usize, all: usize) -> String {
    let (width, filled) = (all.to_string().len(), (BAR * done).checked_div(all).unwrap_or(BAR).min(BAR));
    format!("{done:width$}/{all} {}{}", "━".repeat(filled), "─".repeat(BAR - filled))
}

/// In the order of their names, as Keras shows them.
fn figures(figures: &Figures) -> String {
    let mut figures: Vec<(&str, f64)> = figures.iter().collect();
    figures.sort_by(|a, b| a.0.cmp(b.0));
    figures.into_iter().map(|(name, value)| metric(name, value)).collect()
}

/// Four decimals; four significant ones more where those would show nothing.
fn metric(name: &str, value: f64) -> String {
    match value.abs() > 1e-3 || value == 0.0 {
        true => format!(" - {name}: {value:.4}"),
        false => format!(" - {name}: {value:.4e}"),
    }
}

fn per_step(seconds: f64) -> String {
    match seconds {
        s if s >= 1.0 => format!("{s:.0}s/step"),
        s if s >= 1e-3 => format!("{:.0}ms/step", s * 1e3),
        s => format!("{:.0}us/step", s * 1e6),
    }
}

fn time_left(seconds: f64) -> String {
    let whole = seconds as u64;
    match whole {
        0..=60 => format!("{whole}s"),
        61..=3600 => format!("{}:{:02}", whole / 60, whole % 60),
        _ => format!("{}:{:02}:{:02}", whole / 3600, whole % 3600 / 60, whole % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_those_of_keras() {
        let so_far = [("loss", 0.45011), ("accuracy", 0.81226)].into_iter().collect();
        let line = running_line(120, 313, 0.0031, &so_far);
        assert_eq!(line, "120/313 ━━━━━━━───────────── 0s 3ms/step - accuracy: 0.8123 - loss: 0.4501");
        let figures = [("loss", 0.45011), ("accuracy", 0.81226), ("val_loss", 2e-4), ("val_accuracy", 0.79)];
        let epoch = Epoch::new(3, &figures, 0.94);
        let expected = "313/313 ━━━━━━━━━━━━━━━━━━━━ 1s 3ms/step - accuracy: 0.8123 - loss: 0.4501 \
                        - val_accuracy: 0.7900 - val_loss: 2.0000e-4";
        assert_eq!(finished_line(&epoch, 313), expected);
        assert!(bar_of(3, 313).starts_with("  3/313 ─"));
    }

    #[test]
    fn times_are_those_of_keras() {
        assert_eq!(
            [per_step(2.4), per_step(0.0316), per_step(0.000_42)],
            ["2s/step", "32ms/step", "420us/step"]
        );
        assert_eq!([time_left(59.9), time_left(61.0), time_left(3725.0)], ["59s", "1:01", "1:02:05"]);
    }

    #[test]
    fn one_plain_line_an_epoch() -> Result<()> {
        let mut out = Vec::new();
        let mut progress = Progress::new(Form::Lines, &mut out);
        let figures = [("loss", 0.7), ("accuracy", 0.5), ("val_loss", 0.69), ("val_accuracy", 0.51)];
        progress.on_epoch_begin(1, 9, 4)?;
        let _ = progress.on_epoch(&History { epochs: vec![Epoch::new(1, &figures, 2.0)] })?;
        drop(progress);
        let expected = "Epoch 1/9 - 2s - 500ms/step - accuracy: 0.5000 - loss: 0.7000 - val_accuracy: 0.5100 \
                        - val_loss: 0.6900\n";
        assert_eq!(String::from_utf8_lossy(&out), expected);
        Ok(())
    }
}
