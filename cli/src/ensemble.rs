//! `ensemble`: several trained models as one.

use super::convert::{Source, write_folder};
use super::lambdas::Lambdas;
use super::output::message;
use super::run_folder::{refuse_existing, refuse_input};
use super::{Outcome, Output};
use anyhow::{Context, bail};
use candle_core::Tensor;
use candle_recurrent::checkpoint::{Member, ensemble};
use candle_recurrent::text::Tokenizer;
use serde_json::json;
use std::path::{Path, PathBuf};

/// Join trained models into one that gives the mean of their answers
///
/// The models read the same input and give the same classes, as runs of several seeds do. What is written is a model folder like any
/// other: the members are models within it, and an Average layer ends it. As a rule its answers are better than those of any member.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  candle-recurrent ensemble runs/a runs/b runs/c --out runs/abc
  candle-recurrent ensemble runs/a runs/b --out ab --float16")]
pub(super) struct Args {
    /// The models: two or more folders, files of Keras's, or names of the zoo
    #[arg(required = true, num_args = 2..)]
    models: Vec<String>,
    /// The folder to write
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
    /// Store the weights in 16 bits: half the size, and answers that differ in the fourth digit
    #[arg(long)]
    float16: bool,
    /// Replace a training run in --out
    #[arg(long)]
    overwrite: bool,
    #[command(flatten)]
    lambdas: Lambdas,
    /// Print one JSON value: output, members, params
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, output: &mut Output) -> anyhow::Result<Outcome> {
    let read: Vec<Option<&Path>> = args.models.iter().map(|model| Some(Path::new(model))).collect();
    refuse_input(&read, &args.out, "--out")?;
    refuse_existing(&args.out, args.overwrite)?;
    let mut members: Vec<Member> = vec![];
    let mut tokenizer: Option<Tokenizer> = None;
    for (number, name) in args.models.iter().enumerate() {
        let source = Source::read(name, None, &args.lambdas, None)?;
        source.warnings.iter().for_each(|warning| message(&format!("warning: {name}: {warning}")));
        let json = |tokenizer: &Option<Tokenizer>| tokenizer.as_ref().map(Tokenizer::to_json).transpose();
        if number == 0 {
            tokenizer = source.tokenizer;
        } else if json(&tokenizer)? != json(&source.tokenizer)? {
            bail!("{name}: has another vocabulary than {}; train both on one", args.models[0]);
        }
        members.push((source.config, source.weights));
    }
    let name = args.out.file_name().map_or("ensemble".into(), |name| name.to_string_lossy().into_owned());
    let (config, weights) = ensemble(&name, &members).with_context(|| args.models.join(", "))?;
    let params: usize = weights.values().map(Tensor::elem_count).sum();
    let mut source = Source::of(config, weights, tokenizer);
    if args.float16 {
        source.halve()?;
    }
    write_folder(&args.out, args.overwrite, &source)?;
    let shown = args.out.display().to_string();
    match args.json {
        true => output.json(&json!({ "output": shown, "members": args.models, "params": params }))?,
        false => {
            output.line(format_args!("written: {shown} ({} models, {params} parameters)", members.len()))?
        }
    }
    Ok(Outcome::Done)
}
