//! Tokenizers of characters and of pieces of words: the ids that Hugging Face's `tokenizers` gives for the same file, the
//! same bytes whatever the number of threads.

use candle_recurrent::Result;
use candle_recurrent::text::{Tokenizer, TokenizerKind};
use proptest::prelude::*;

/// Sentences in several scripts, with white space, full-width letters, parts of syllables and signs that NFKC changes.
fn texts() -> Vec<String> {
    let words = [
        "영화",
        "재미있다",
        "재미없다",
        "ㅋㅋㅋ",
        "ㅠㅠ",
        "최고의",
        "연기",
        "the",
        "The",
        "there",
        "thereof",
        "film",
        "FILMS",
        "ＦＩＬＭ",
        "映画",
        "素晴らしい",
        "ｶﾞｷﾞ",
        "电影很好看",
        "ﬁne",
        "e\u{301}tude",
        "İstanbul",
        "½",
        "😀😀",
        "\u{2581}mark",
        "aaaaaaa",
        "banana",
        "bananas",
        "x",
        "\u{1f1f0}",
        "…",
        "!!!",
        "[UNK]",
        "[PAD]",
    ];
    let gaps = [" ", "  ", "\n", "\t ", "\u{3000}", "", ", ", "\u{2028}"];
    let mut state = 7_u64;
    let mut draw = move |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let mut text = |_| {
        (0..1 + draw(12)).map(|_| words[draw(words.len())].to_string() + gaps[draw(gaps.len())]).collect()
    };
    (0..600).map(&mut text).collect()
}

fn oracle(tokenizer: &Tokenizer) -> tokenizers::Tokenizer {
    tokenizers::Tokenizer::from_bytes(tokenizer.to_json().expect("JSON")).expect("a file of theirs")
}

fn check(tokenizer: &Tokenizer, oracle: &tokenizers::Tokenizer, text: &str) {
    let expected = oracle.encode_fast(text, true).expect("ids");
    let found = tokenizer.encode_counted(text).expect("ids");
    assert_eq!(found.ids, expected.get_ids(), "{text:?}");
    assert_eq!(found.words, found.ids.len());
    assert_eq!(found.unknown, found.ids.iter().filter(|id| **id == 1).count());
}

#[test]
fn ids_are_those_of_the_tokenizers_crate() -> Result<()> {
    let texts = texts();
    for (kind, sizes) in [(TokenizerKind::Char, [None, Some(40)]), (TokenizerKind::Bpe, [None, Some(150)])] {
        for size in sizes {
            let tokenizer = Tokenizer::fit(kind, &texts[..400], size)?;
            assert_eq!(tokenizer.kind(), Some(kind));
            assert!(size.is_none_or(|size| tokenizer.vocab_size() == size), "{}", tokenizer.vocab_size());
            let oracle = oracle(&tokenizer);
            texts.iter().for_each(|text| check(&tokenizer, &oracle, text));
            for odd in ["", " ", "\n\n", "\u{2581}", "\u{2581}\u{2581}a b", "\0", &texts.concat()] {
                check(&tokenizer, &oracle, odd);
            }
            // What is kept is what was fitted.
            let json = tokenizer.to_json()?;
            let again = Tokenizer::from_bytes(&json)?;
            assert_eq!((again.kind(), again.to_json()?), (Some(kind), json));
            texts
                .iter()
                .for_each(|text| assert_eq!(again.encode(text).unwrap(), tokenizer.encode(text).unwrap()));
        }
    }
    Ok(())
}

/// Joined pieces, and no more of them than there is to learn.
#[test]
fn pieces_are_learnt_from_what_comes_twice() -> Result<()> {
    let tokenizer = Tokenizer::fit(TokenizerKind::Bpe, &["재미있는 영화 재미있는 배우", "x"], None)?;
    let pieces: Vec<&str> = (2..).map_while(|id| tokenizer.word(id)).collect();
    assert!(pieces.contains(&"\u{2581}재미있는"), "{pieces:?}");
    assert!(!pieces.iter().any(|piece| piece.contains('영') || piece.contains('x')), "{pieces:?}");
    let encoded = tokenizer.encode_counted("재미있는 영")?;
    assert_eq!((encoded.ids.len(), encoded.unknown), (3, 1));
    let characters = Tokenizer::fit(TokenizerKind::Char, &["aab"], None)?;
    assert_eq!(characters.encode("AB a")?, [2, 1, 1, 2]);
    assert!(Tokenizer::fit(TokenizerKind::Char, &["", " "], None).is_err());
    assert!(Tokenizer::fit(TokenizerKind::Bpe, &["a"], Some(2)).is_err());
    Ok(())
}

/// Maps are walked in another order in every run; threads count other texts. Neither shows.
#[test]
fn the_same_texts_give_the_same_bytes() -> Result<()> {
    let texts: Vec<String> = (0..6).flat_map(|_| texts()).collect();
    for kind in [TokenizerKind::Word, TokenizerKind::Char, TokenizerKind::Bpe] {
        let fit = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
            pool.install(|| Tokenizer::fit(kind, &texts, Some(200))?.to_json())
        };
        let first = fit(1)?;
        for threads in [1, 2, 5, 5] {
            assert!(fit(threads)? == first, "{kind:?} by {threads} threads");
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    /// Any text.
    #[test]
    fn any_text_has_the_same_ids(text in "\\PC{0,40}", spaced in "[ a-z\u{ac00}-\u{ac20}\u{1100}-\u{1112}\u{1161}-\u{1170}\u{300}-\u{305}\u{ff21}\u{85}\u{a0}\t]{0,40}") {
        thread_local! {
            static BOTH: Vec<(Tokenizer, tokenizers::Tokenizer)> = [TokenizerKind::Char, TokenizerKind::Bpe].map(|kind| {
                let tokenizer = Tokenizer::fit(kind, &texts(), Some(300)).expect("fitted");
                let oracle = oracle(&tokenizer);
                (tokenizer, oracle)
            }).into();
        }
        BOTH.with(|both| for (tokenizer, oracle) in both {
            check(tokenizer, oracle, &text);
            check(tokenizer, oracle, &spaced);
        });
    }
}
