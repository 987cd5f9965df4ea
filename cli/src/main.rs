//! The command line: one file a subcommand. Arguments are parsed and checked whole into plain settings before any file
//! is touched; then one call into the library, and a report. The library prints nothing.
//!
//! Results go to standard output, progress and messages to standard error. Exit codes: 0 done, 1 failed, 2 wrong usage,
//! 129, 130, 143 ended by a hang-up, Ctrl-C or a request to terminate.

mod answers;
mod arrays;
mod backtest;
mod begun;
mod classify;
mod closed;
mod command;
mod comparison;
mod convert;
mod dataset;
mod device;
mod ensemble;
mod evaluate;
mod flags;
mod forecast;
mod forecast_report;
mod hub;
mod interrupt;
mod judged;
mod judged_files;
mod judged_page;
mod judged_words;
mod lambdas;
mod lines;
mod list;
mod measurements;
mod model;
mod output;
mod own_texts;
mod plot;
mod predict;
mod predict_arrays;
mod predict_table;
mod predict_texts;
mod prediction;
mod progress;
mod push;
mod reading;
mod recipe;
mod recorder;
mod report;
mod resume;
mod run_folder;
mod sequences;
mod series;
mod series_args;
mod settings;
mod summary;
mod tokenizer;
mod train;
mod values;
mod words;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use output::Output;
use series_args::Kind;
use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

const EXAMPLES: &str = "\
Examples:
  candle-recurrent list
  candle-recurrent predict lstm \"I expected to hate it, but it is lovely\"
  candle-recurrent train lstm
  candle-recurrent train all --data imdb
  candle-recurrent evaluate runs/lstm --data imdb
  candle-recurrent convert best-lstm-model.h5 best-lstm-model.keras
  candle-recurrent predict best-lstm-model.h5 --input x.npz --output y.npz
  candle-recurrent plot runs/lstm runs/gru --out comparison.png
  candle-recurrent predict hf://OWNER/NAME \"a great film\"
  candle-recurrent push runs/lstm OWNER/NAME";

/// Recurrent text classifiers, Keras's way, without Python: train them, keep the best checkpoint, look at the loss
/// curves, evaluate, and classify text
#[derive(Parser)]
#[command(name = "candle-recurrent", version, after_help = EXAMPLES, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Train(Box<settings::Args>),
    Evaluate(Box<evaluate::Args>),
    Backtest(backtest::Args),
    Predict(predict::Args),
    Summary(summary::Args),
    Convert(convert::Args),
    Ensemble(ensemble::Args),
    List(list::Args),
    Plot(plot::Args),
    Push(push::Args),
}

/// How a command ended that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Done,
    /// It is done, and has said on standard error what is wrong with what it was given.
    Faulty,
    Interrupted,
}

/// Keeps silent what parsers of damaged files say while they panic: the library catches it and tells of it in an error,
/// which is the one line to show. What to do with a panic is a matter of the whole process, so the program decides it, not
/// the library; that says only whether a panic is of this kind, whichever crate it comes from.
fn silence_contained_panics() {
    let others = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if !candle_recurrent::panic_is_contained() {
            others(info);
        }
    }));
}

fn main() -> ExitCode {
    silence_contained_panics();
    let mut output = Output::stdout();
    let args: Vec<OsString> = std::env::args_os().collect();
    let result = match not_text(&args).or_else(unknown_instructions) {
        Some(error) => Err(error.into()),
        None => run(&args, &mut output),
    };
    let result = result.and_then(|outcome| {
        output.flush()?;
        Ok(outcome)
    });
    match result {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Faulty) => ExitCode::FAILURE,
        Ok(Outcome::Interrupted) => interrupt::code(),
        Err(error) => report(&error),
    }
}

/// Parses the command line and runs the command.
fn run(args: &[OsString], output: &mut Output) -> anyhow::Result<Outcome> {
    let matches = Cli::command().try_get_matches_from(args)?;
    let mut given = vec![];
    if let Some((name, matches)) = matches.subcommand() {
        let command = Cli::command();
        let arguments = command.find_subcommand(name).into_iter().flat_map(clap::Command::get_arguments);
        let names = arguments.map(|argument| argument.get_id().as_str());
        let is_given = |name: &&str| matches.value_source(name) == Some(ValueSource::CommandLine);
        given.extend(names.filter(is_given).map(String::from));
    }
    Cli::from_arg_matches(&matches)?.command.run(&given, output)
}

impl Command {
    /// `given` are the names of the arguments that stand on the command line.
    fn run(self, given: &[String], output: &mut Output) -> anyhow::Result<Outcome> {
        match self {
            Self::Train(args) => Self::train(resume::arguments(args, given)?, output),
            Self::Evaluate(args) => evaluate::run(&args, output),
            Self::Backtest(args) => backtest::run(&args, output),
            Self::Predict(args) => predict::run(&args, output),
            Self::Summary(args) => summary::run(&args, output),
            Self::Convert(args) => convert::run(&args.settings()?, output),
            Self::Ensemble(args) => ensemble::run(&args, output),
            Self::List(args) => list::run(&args, output),
            Self::Plot(args) => plot::run(&args, output),
            Self::Push(args) => push::run(&args, output),
        }
    }

    fn train(args: Box<settings::Args>, output: &mut Output) -> anyhow::Result<Outcome> {
        match args.series.kind(args.reading.label_column())? {
            Kind::Others => train::run(args.settings()?, output),
            Kind::Forecast => series::train(args.settings()?, output),
            Kind::Sequences => sequences::train(args.settings()?, output),
        }
    }
}

/// Says on one line what went wrong, and gives the exit code for it.
fn report(error: &anyhow::Error) -> ExitCode {
    if let Some(error) = error.downcast_ref::<clap::Error>() {
        if !error.use_stderr() {
            // Help and version.
            let shown = output::open().and_then(|()| error.print()).and_then(|()| std::io::stdout().flush());
            return shown.map_or_else(|error| report(&output::fail(error)), |()| ExitCode::SUCCESS);
        }
        if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
            let _ = error.print();
            return ExitCode::from(2);
        }
        output::message(&usage_line(&error.render().to_string()));
        return ExitCode::from(2);
    }
    // Whoever reads the output has had enough, as in `candle-recurrent … | head`.
    if error.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe) {
        return ExitCode::SUCCESS;
    }
    let text = format!("error: {}", flags::in_words(error));
    // With RUST_BACKTRACE, Candle's errors carry their backtrace in their text.
    let line =
        text.lines().take_while(|line| !line.trim_start().starts_with("0: ")).collect::<Vec<_>>().join(" ");
    output::message(&line.split_whitespace().collect::<Vec<_>>().join(" "));
    ExitCode::FAILURE
}

/// What to say of an argument that is no text, if one is not: clap does not say which it was, and takes it for a path.
fn not_text(args: &[OsString]) -> Option<clap::Error> {
    let argument = args.iter().skip(1).find(|argument| argument.to_str().is_none())?;
    let shown = argument.to_string_lossy();
    let what = format!("the argument `{shown}` is not UTF-8 text; convert it, or rename the file");
    Some(Cli::command().error(ErrorKind::InvalidUtf8, what))
}

/// What to say of a name of instructions that the kernels would pass over.
fn unknown_instructions() -> Option<clap::Error> {
    let asked = std::env::var_os("CANDLE_RECURRENT_SIMD")?;
    if ["portable", "avx2"].iter().any(|known| asked == *known) {
        return None;
    }
    let what = format!(
        "CANDLE_RECURRENT_SIMD is `{}`; give portable or avx2, or leave it unset",
        asked.to_string_lossy()
    );
    Some(Cli::command().error(ErrorKind::InvalidValue, what))
}

/// clap's message on one line: what is wrong and its tip, without the usage.
fn usage_line(rendered: &str) -> String {
    let lines = rendered.lines().map(str::trim).take_while(|line| !line.starts_with("Usage:"));
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with("For more information"));
    let line = lines.fold(String::new(), |line, part| match line.as_str() {
        "" => part.to_string(),
        before if before.ends_with(':') => format!("{line} {part}"),
        _ => format!("{line}; {part}"),
    });
    format!("{line} (see --help)")
}
