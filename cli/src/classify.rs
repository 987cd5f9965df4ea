//! Texts through a classifier: read, answered and printed some at a time, on all processors, in their order.

use super::lines::Lines;
use super::output::message;
use super::prediction::{Prediction, check_top, unknown_note};
use super::{Outcome, Output};
use anyhow::bail;
use candle_recurrent::data::Targets;
use rayon::prelude::*;

/// A model that says something of a text by itself.
pub(super) trait Classifier: Sync {
    /// What its answers stand for.
    fn targets(&self) -> &Targets;

    /// Which texts run together.
    fn batches(&self) -> Batches;

    /// The answers to texts, none of them blank.
    fn classify(&self, texts: &[&str]) -> anyhow::Result<Vec<Answer>>;
}

/// Which texts run together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Batches {
    /// Any: an answer does not depend on the texts beside it.
    Any,
    /// Just so many, from the first text on: they matter to each other.
    Of(usize),
    /// One after the other: each begins where the last one ended.
    InTurn,
}

/// What a model says of a text.
pub(super) struct Answer {
    /// One number, or one a class.
    pub(super) values: Vec<f32>,
    /// The words of the text and how many of them are unknown, where there is one way to count them.
    pub(super) words: Option<(usize, usize)>,
}

/// Texts that any number of which may run together run so many at a time.
const TOGETHER: usize = 128;

/// How answers are shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shown {
    pub(super) as_json: bool,
    /// How many of the likeliest classes are told.
    pub(super) top: usize,
}

/// Answers all texts. A blank one has no answer, and keeps its place.
pub(super) fn run(
    classifier: &dyn Classifier,
    mut texts: Lines,
    shown: Shown,
    output: &mut Output,
) -> anyhow::Result<Outcome> {
    check_top(classifier.targets(), shown.top)?;
    let mut printer = Printer { targets: classifier.targets(), shown, blank: 0, is_begun: false, output };
    let batches = classifier.batches();
    // Texts that are read and wait for others that they run together with.
    let mut open: Vec<String> = vec![];
    let mut failed = None;
    loop {
        let mut is_end = false;
        match texts.next() {
            Ok(Some(more)) => open.extend(more),
            Ok(None) => is_end = true,
            Err(error) => (failed, is_end) = (Some(error), true),
        }
        let mut parts = cut(&open, batches);
        if !is_end {
            parts.retain(|part| part.is_whole);
        }
        let answer = |part: &Part| answer(classifier, part.texts, shown);
        let mut done = 0;
        match batches {
            // One by one, and each printed before the next.
            Batches::InTurn => {
                for part in &parts {
                    printer.print(answer(part))?;
                    done += part.texts.len();
                }
            }
            Batches::Any | Batches::Of(_) => {
                for answered in parts.par_iter().map(answer).collect::<Vec<_>>() {
                    printer.print(answered)?;
                }
                done = parts.iter().map(|part| part.texts.len()).sum();
            }
        }
        open.drain(..done);
        printer.output.flush()?;
        if is_end {
            break;
        }
    }
    match failed {
        Some(error) => Err(error),
        None => printer.finish(),
    }
}

/// Texts that run together, and the blank ones between them.
struct Part<'a> {
    texts: &'a [String],
    /// Whether no text that comes later could still run with them.
    is_whole: bool,
}

/// Cuts texts into parts.
fn cut(texts: &[String], batches: Batches) -> Vec<Part<'_>> {
    let size = match batches {
        Batches::Any => {
            let part = |texts| Part { texts, is_whole: true };
            return texts.chunks(TOGETHER).map(part).collect();
        }
        Batches::Of(size) => size,
        Batches::InTurn => 1,
    };
    let (mut parts, mut from, mut count) = (vec![], 0, 0);
    for (at, text) in texts.iter().enumerate() {
        count += usize::from(!text.is_empty());
        // A blank text by itself waits for nobody.
        if count == size || count == 0 {
            parts.push(Part { texts: &texts[from..=at], is_whole: true });
            (from, count) = (at + 1, 0);
        }
    }
    if from < texts.len() {
        parts.push(Part { texts: &texts[from..], is_whole: false });
    }
    parts
}

/// The answers to some texts, as they are printed.
#[derive(Default)]
struct Answered {
    text: String,
    notes: Vec<String>,
    /// The blank texts, where all are.
    blank: usize,
    /// What ended it.
    failed: Option<anyhow::Error>,
}

fn answer(classifier: &dyn Classifier, texts: &[String], shown: Shown) -> Answered {
    let given: Vec<&str> = texts.iter().map(String::as_str).filter(|text| !text.is_empty()).collect();
    if given.is_empty() {
        return Answered { blank: texts.len(), ..Answered::default() };
    }
    let answers = match classifier.classify(&given) {
        Ok(answers) => answers,
        Err(error) => return Answered { failed: Some(error), ..Answered::default() },
    };
    let mut answered = Answered::default();
    let mut answers = answers.into_iter();
    let targets = classifier.targets();
    for text in texts {
        let given;
        let mut prediction = Prediction::blank(targets);
        if !text.is_empty() {
            let Some(Answer { values, words }) = answers.next() else { break };
            if !values.iter().all(|value| value.is_finite()) {
                answered.failed =
                    Some(anyhow::anyhow!("the model gives no number for {text:?}: are its weights finite?"));
                break;
            }
            let share = words.filter(|(words, _)| *words > 0);
            let share = share.map(|(words, unknown)| unknown as f32 / words as f32);
            answered.notes.extend(words.and_then(|(words, unknown)| unknown_note(text, words, unknown)));
            given = values;
            prediction = Prediction::new(text, targets, &given, share);
        }
        if let Err(error) = add(prediction, shown, &mut answered.text) {
            answered.failed = Some(error);
            break;
        }
    }
    answered
}

fn add(prediction: Prediction, shown: Shown, text: &mut String) -> anyhow::Result<()> {
    let prediction = prediction.with_top(shown.top);
    if shown.as_json {
        return prediction.item(text);
    }
    prediction.line(text);
    Ok(())
}

/// Prints answers in their order.
struct Printer<'a> {
    targets: &'a Targets,
    shown: Shown,
    /// Blank texts before the first that is not.
    blank: usize,
    /// Whether there was a text that is not blank.
    is_begun: bool,
    output: &'a mut Output,
}

impl Printer<'_> {
    fn print(&mut self, answered: Answered) -> anyhow::Result<()> {
        answered.notes.iter().for_each(|note| message(note));
        self.blank += answered.blank;
        if self.is_begun {
            self.print_blank()?;
        }
        if !answered.text.is_empty() {
            self.print_blank()?;
            self.text(&answered.text)?;
        }
        match answered.failed {
            None => Ok(()),
            Some(error) => {
                self.output.flush()?;
                Err(error)
            }
        }
    }

    /// Prints what stands for the blank texts that have come.
    fn print_blank(&mut self) -> anyhow::Result<()> {
        const AT_ONCE: usize = 1 << 12;
        let mut one = String::new();
        add(Prediction::blank(self.targets), self.shown, &mut one)?;
        while self.blank > 0 {
            let count = self.blank.min(AT_ONCE);
            self.text(&one.repeat(count))?;
            self.blank -= count;
        }
        Ok(())
    }

    fn text(&mut self, text: &str) -> anyhow::Result<()> {
        let is_first = !std::mem::replace(&mut self.is_begun, true);
        match is_first && self.shown.as_json {
            // No comma before the first.
            true => self.output.text(&format!("[{}", text.strip_prefix(',').unwrap_or(text))),
            false => self.output.text(text),
        }
    }

    fn finish(mut self) -> anyhow::Result<Outcome> {
        if !self.is_begun {
            bail!("no text: give it as TEXT, or as lines on standard input");
        }
        self.print_blank()?;
        if self.shown.as_json {
            self.output.text("\n]\n")?;
        }
        Ok(Outcome::Done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_cut_where_texts_run_together() {
        let texts: Vec<String> = ["a", "", "b", "c", "", "d", "e"].map(String::from).to_vec();
        let sizes = |batches| -> Vec<(usize, bool)> {
            cut(&texts, batches).iter().map(|part| (part.texts.len(), part.is_whole)).collect()
        };
        assert_eq!(sizes(Batches::Of(2)), [(3, true), (3, true), (1, false)]);
        assert_eq!(sizes(Batches::InTurn), [(1, true); 7]);
        assert_eq!(sizes(Batches::Any), [(7, true)]);
    }
}
