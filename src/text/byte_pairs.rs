//! Byte-pair encoding (Sennrich, Haddow and Birch, <https://arxiv.org/abs/1508.07909>) over characters: learning which
//! neighbours are joined, and joining them.
//!
//! The trainer of the `tokenizers` crate walks hash maps whose order differs from run to run, and where two pairs make the
//! same piece its merges may come of that. Here each step is decided by counts and ids alone.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};

/// Two pieces that stand side by side, by their ids.
type Pair = (u32, u32);

/// The most characters of a piece.
const LONGEST: usize = 16;

/// What is learnt: pieces by their ids, and the pairs that are joined, the first first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Learnt {
    pub(super) pieces: Vec<String>,
    pub(super) merges: Vec<Pair>,
}

/// A word of the texts as the pieces that it consists of so far.
struct Word {
    pieces: Vec<u32>,
    count: u64,
}

/// Learns from words, each with how often it comes. `pieces` holds what there is already: the special tokens and the
/// characters, of which `first` is the first. The most frequent pair is joined, of equally frequent ones that with the
/// lower ids, until there are `size` pieces or no pair comes twice. Characters that are none of the pieces stand between
/// words.
pub(super) fn learn(words: &[(&str, u64)], pieces: Vec<String>, first: usize, size: usize) -> Learnt {
    let mut ids: HashMap<String, u32> = (0..).zip(&pieces).map(|(id, piece)| (piece.clone(), id)).collect();
    let mut lengths: Vec<usize> = pieces.iter().map(|piece| piece.chars().count()).collect();
    let mut learnt = Learnt { pieces, merges: vec![] };
    let mut words = split(words, &learnt.pieces[first.min(learnt.pieces.len())..], first);
    let mut counts: HashMap<Pair, u64> = HashMap::new();
    let mut places: HashMap<Pair, Vec<usize>> = HashMap::new();
    for (at, word) in words.iter().enumerate() {
        for pair in pairs(&word.pieces) {
            *counts.entry(pair).or_default() += word.count;
            places.entry(pair).or_default().push(at);
        }
    }
    let mut queue: BinaryHeap<(u64, Reverse<Pair>)> =
        counts.iter().map(|(&pair, &count)| (count, Reverse(pair))).collect();
    let mut joined = HashSet::new();
    while learnt.pieces.len() < size {
        let Some((count, Reverse(pair))) = queue.pop() else { break };
        let now = counts.get(&pair).copied().unwrap_or(0);
        if now != count {
            // The pair has become rarer since; where it became more frequent it was put in anew.
            if now > 0 && now < count {
                queue.push((now, Reverse(pair)));
            }
            continue;
        }
        if count < 2 {
            break;
        }
        let (left, right) = (pair.0 as usize, pair.1 as usize);
        if lengths[left] + lengths[right] > LONGEST {
            counts.remove(&pair);
            continue;
        }
        let piece = learnt.pieces[left].clone() + &learnt.pieces[right];
        // Two pairs may make the same piece.
        let id = match ids.get(&piece) {
            Some(id) => *id,
            None => {
                let id = learnt.pieces.len() as u32;
                ids.insert(piece.clone(), id);
                lengths.push(lengths[left] + lengths[right]);
                learnt.pieces.push(piece);
                id
            }
        };
        // Such a piece may bring back a pair that is joined already.
        if joined.insert(pair) {
            learnt.merges.push(pair);
        }
        let mut touched = places.remove(&pair).unwrap_or_default();
        touched.sort_unstable();
        touched.dedup();
        let mut grown = HashSet::new();
        for at in touched {
            let word = &mut words[at];
            for pair in pairs(&word.pieces) {
                if let Some(count) = counts.get_mut(&pair) {
                    *count = count.saturating_sub(word.count);
                }
            }
            join(&mut word.pieces, pair, id);
            for new in pairs(&word.pieces) {
                *counts.entry(new).or_default() += word.count;
                if new.0 == id || new.1 == id {
                    places.entry(new).or_default().push(at);
                    grown.insert(new);
                }
            }
        }
        counts.remove(&pair);
        queue.extend(grown.into_iter().filter_map(|pair| Some((*counts.get(&pair)?, Reverse(pair)))));
    }
    learnt
}

/// The words as characters, without those that are none of `characters`, whose ids count up from `first`. Very long words, as
/// texts without spaces are, are cut: otherwise each merge would go over all of them.
fn split(words: &[(&str, u64)], characters: &[String], first: usize) -> Vec<Word> {
    const PART: usize = 64;
    let ids: HashMap<char, u32> = (first as u32..)
        .zip(characters)
        .filter_map(|(id, piece)| Some((piece.chars().next()?, id)))
        .collect();
    let mut split = vec![];
    for &(word, count) in words {
        let ids: Vec<Option<u32>> = word.chars().map(|character| ids.get(&character).copied()).collect();
        for known in ids.split(Option::is_none).flat_map(|known| known.chunks(PART)) {
            if known.len() > 1 {
                split.push(Word { pieces: known.iter().copied().flatten().collect(), count });
            }
        }
    }
    split
}

fn pairs(pieces: &[u32]) -> impl Iterator<Item = Pair> {
    pieces.windows(2).map(|pair| (pair[0], pair[1]))
}

/// Puts `id` in the place of each `pair`, from the left.
fn join(pieces: &mut Vec<u32>, pair: Pair, id: u32) {
    let (mut from, mut to) = (0, 0);
    while from < pieces.len() {
        let is_pair = pieces[from] == pair.0 && pieces.get(from + 1) == Some(&pair.1);
        pieces[to] = if is_pair { id } else { pieces[from] };
        from += if is_pair { 2 } else { 1 };
        to += 1;
    }
    pieces.truncate(to);
}

/// The merges by pair: when each is done, and the id of what it makes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Merges(HashMap<Pair, (u32, u32)>);

/// What is used over and over while words are joined.
#[derive(Default)]
pub(super) struct Scratch {
    queue: BinaryHeap<Reverse<(u32, usize, u32)>>,
    /// The place of the next piece and that of the one before; a piece that was joined to another has none.
    links: Vec<(usize, usize)>,
}

/// No place.
const NONE: usize = usize::MAX;

impl Merges {
    /// From the pairs in their order, each with what it makes.
    pub(super) fn new(merges: impl IntoIterator<Item = (Pair, u32)>) -> Self {
        Self((0..).zip(merges).map(|(rank, (pair, id))| (pair, (rank, id))).collect())
    }

    /// Joins the pieces of a word, from `begin` on: of all pairs the one that was learnt first, of its places the first, as the
    /// `tokenizers` crate does it.
    pub(super) fn join(&self, pieces: &mut Vec<u32>, begin: usize, scratch: &mut Scratch) {
        let Scratch { queue, links } = scratch;
        let word = &mut pieces[begin..];
        let end = word.len();
        links.clear();
        links.extend((0..end).map(|at| (if at + 1 < end { at + 1 } else { NONE }, at.wrapping_sub(1))));
        let mut alive = end;
        let add = |queue: &mut BinaryHeap<_>, word: &[u32], left: usize, right: usize| {
            if let Some(&(rank, id)) = self.0.get(&(word[left], word[right])) {
                queue.push(Reverse((rank, left, id)));
            }
        };
        (1..end).for_each(|right| add(queue, word, right - 1, right));
        const GONE: (usize, usize) = (NONE - 1, NONE - 1);
        while let Some(Reverse((_, left, id))) = queue.pop() {
            let (right, before) = links[left];
            if links[left] == GONE || right == NONE {
                continue;
            }
            // The pair may be another by now.
            if self.0.get(&(word[left], word[right])).is_none_or(|&(_, made)| made != id) {
                continue;
            }
            let (next, _) = links[right];
            word[left] = id;
            links[left].0 = next;
            links[right] = GONE;
            alive -= 1;
            if next != NONE {
                links[next].1 = left;
            }
            if before != NONE {
                add(queue, word, before, left);
            }
            if next != NONE {
                add(queue, word, left, next);
            }
        }
        if alive < end {
            let mut to = 0;
            for from in 0..end {
                if links[from] != GONE {
                    word[to] = word[from];
                    to += 1;
                }
            }
            pieces.truncate(begin + to);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(text: &str) -> Vec<String> {
        let mut characters: Vec<char> = text.chars().collect();
        characters.sort_unstable();
        characters.dedup();
        characters.into_iter().map(String::from).collect()
    }

    /// The words and merges that the `tokenizers` crate has as its own test.
    #[test]
    fn merges_are_those_of_the_tokenizers_crate() {
        let words = [
            ("roses", 1),
            ("are", 2),
            ("red", 1),
            ("voilets", 1),
            ("blue", 1),
            ("BERT", 1),
            ("is", 2),
            ("big", 1),
            ("and", 1),
            ("so", 1),
            ("GPT-2", 1),
        ];
        let all: String = words.iter().map(|(word, _)| *word).collect();
        let learnt = learn(&words, start(&all), 0, 30_000);
        assert_eq!(learnt.pieces[22..], ["re", "are", "is"]);
        assert_eq!(learnt.merges, [(17, 11), (8, 22), (13, 18)]);
    }

    #[test]
    fn a_run_of_one_character_is_joined_from_the_left() {
        let learnt = learn(&[("aaaaa", 3)], vec!["a".into()], 0, 3);
        assert_eq!(learnt.pieces, ["a", "aa", "aaa"]);
        let merges = Merges::new([((0, 0), 1), ((1, 1), 2)]);
        let mut pieces = vec![7, 0, 0, 0, 0, 0];
        merges.join(&mut pieces, 1, &mut Scratch::default());
        assert_eq!(pieces, [7, 2, 0]);
    }
}
