//! The built-in corpus: film reviews written by a small grammar, in which the order of the words decides.
//!
//! A review says something about the film's parts, and then gives its verdict, often against an expectation ("everyone
//! said it would be dull, yet it was moving") or by denial ("not good at all"). Praise and blame stand in reviews of
//! both kinds, so that counting words does not get far.

use super::grammar::{
    BLAME, CLOSING, CONCESSION, CONTRAST, DENIED, LISTS, MIDDLE, NEGATED, PLAIN, PRAISE, SEEN, STORY,
};
use super::texts::Texts;
use crate::random::Stream;

/// The seed of the corpus. It is fixed, so that everybody has the same one.
pub const SEED: u64 = 2026;

/// Training reviews, validation included.
pub const TRAIN: usize = 20_000;
/// Test reviews.
pub const TEST: usize = 5_000;

/// The training reviews, or the test reviews, with their labels; always the same.
pub fn texts(train: bool) -> Texts {
    let (count, name) = if train { (TRAIN, "train") } else { (TEST, "test") };
    let mut writer = Writer { random: Stream::named(SEED, name), text: String::new() };
    let mut reviews = Texts::default();
    for _ in 0..count {
        let positive = writer.chance(50);
        reviews.texts.push(writer.review(positive));
        reviews.labels.push(u8::from(positive));
    }
    reviews
}

struct Writer {
    random: Stream,
    text: String,
}

impl Writer {
    fn chance(&mut self, percent: u32) -> bool {
        self.random.below(100) < percent
    }

    fn pick<'a>(&mut self, list: &[&'a str]) -> &'a str {
        list[self.random.below(list.len() as u32) as usize]
    }

    fn words(&self) -> usize {
        self.text.split_whitespace().count()
    }

    fn review(&mut self, positive: bool) -> String {
        self.text.clear();
        if self.chance(12) {
            // Somebody of few words.
            self.opinion(positive, [45, 30, 20, 5]);
            return std::mem::take(&mut self.text);
        }
        for (sentences, percent) in [(SEEN, 45), (STORY, 60)] {
            if self.chance(percent) {
                self.sentence(sentences, positive);
            }
        }
        for _ in 0..self.random.below(4) {
            if self.words() > 52 {
                break;
            }
            let agrees = self.chance(88);
            self.opinion(positive == agrees, [70, 14, 16, 0]);
            if self.chance(30) {
                self.sentence(MIDDLE, positive);
            }
        }
        while self.words() < 11 {
            self.sentence(MIDDLE, positive);
        }
        self.opinion(positive, [50, 18, 22, 5]);
        if self.chance(25) {
            self.sentence(CLOSING, positive);
        }
        std::mem::take(&mut self.text)
    }

    /// A sentence with an opinion; `weights` are those of plain, negated, contrasted and denied ones, and what is left to
    /// 100 that of concessions.
    fn opinion(&mut self, positive: bool, weights: [u32; 4]) {
        let mut draw = self.random.below(100);
        let mut kind = CONCESSION;
        for (list, weight) in [PLAIN, NEGATED, CONTRAST, DENIED].into_iter().zip(weights) {
            if draw < weight {
                kind = list;
                break;
            }
            draw -= weight;
        }
        self.sentence(kind, positive);
    }

    /// Writes one of `sentences`.
    fn sentence(&mut self, sentences: &[&str], positive: bool) {
        let sentence = self.pick(sentences);
        if !self.text.is_empty() {
            self.text.push(' ');
        }
        let (mut rest, mut last) = (sentence, "");
        while let Some(at) = rest.find(['+', '-', '{']) {
            self.text.push_str(&rest[..at]);
            let (list, after) = match rest.as_bytes()[at] {
                b'{' => {
                    let (name, after) = rest[at + 1..].split_once('}').unwrap_or_default();
                    let list = LISTS.iter().find(|(list, _)| *list == name);
                    (list.map_or(&[""] as &[&str], |(_, words)| *words), after)
                }
                sign => (if (sign == b'+') == positive { PRAISE } else { BLAME }, &rest[at + 1..]),
            };
            let mut word = self.pick(list);
            while word == last && list.len() > 1 {
                word = self.pick(list);
            }
            last = word;
            let article = self.text.rsplit(' ').nth(1).is_some_and(|last| last.eq_ignore_ascii_case("a"));
            if article && word.starts_with(['a', 'e', 'i', 'o', 'u']) {
                self.text.insert(self.text.len() - 1, 'n');
            }
            self.text.push_str(word);
            rest = after;
        }
        self.text.push_str(rest);
    }
}
