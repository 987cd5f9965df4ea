//! Cleaning, vocabulary, `tokenizer.json` and padding against Keras's rules.

use candle_recurrent::Error;
use candle_recurrent::text::{Tokenizer, Vocabulary, clean, pad_sequences, words};
use proptest::prelude::*;

fn cleaned(text: &str) -> Vec<String> {
    words(&clean(text)).map(String::from).collect()
}

/// `keras.src.legacy.preprocessing.text.text_to_word_sequence` of the same texts.
#[test]
fn cleaning_is_keras_cleaning() {
    assert_eq!(cleaned("It's a GOOD film -- not! (really)"), ["it's", "a", "good", "film", "not", "really"]);
    assert_eq!(cleaned("<br /><br />tab\there\nnew"), ["br", "br", "tab", "here", "new"]);
    assert_eq!(cleaned("a\rb c\u{a0}d"), ["a\rb", "c\u{a0}d"]);
    assert_eq!(cleaned("CAFÉ “Ünïcode” £5"), ["café", "“ünïcode”", "£5"]);
    assert_eq!(cleaned("!\"#$%&()*+,-./:;<=>?@[\\]^_`{|}~\t\n "), [""; 0]);
    assert_eq!(cleaned(""), [""; 0]);
}

#[test]
fn ranks_follow_counts_and_ties_follow_first_appearance() {
    let vocabulary = Vocabulary::from_texts(["b a c", "C, d a!", "c"]);
    let ranks = ["c", "a", "b", "d", "e"].map(|word| vocabulary.rank(word));
    assert_eq!(ranks, [Some(1), Some(2), Some(3), Some(4), None]);
    let tokenizer = vocabulary.tokenizer(7).unwrap();
    assert_eq!(tokenizer.vocab_size(), 7);
    assert_eq!(tokenizer.encode("A b c d e").unwrap(), [1, 5, 6, 4, 2, 2]);
    assert_eq!(tokenizer.encode_known("A b c d e", |word| word != "e").unwrap(), [1, 5, 6, 4, 2]);
    let names = [0, 1, 2, 3, 4, 7].map(|id| tokenizer.word(id).map(String::from));
    assert_eq!(
        names.map(|name| name.unwrap_or_default()),
        ["[PAD]", "[START]", "[UNK]", "[UNUSED]", "c", ""]
    );
    assert_eq!(tokenizer.encode("").unwrap(), [1]);
    assert_eq!(tokenizer.encode("[PAD] [START]").unwrap(), [1, 2, 2]);
}

#[test]
fn a_vocabulary_below_four_or_with_repeated_words_is_refused() {
    for size in [0, 3] {
        assert!(matches!(Tokenizer::from_words(["a"], size), Err(Error::Argument { .. })), "{size}");
    }
    assert_eq!(Tokenizer::from_words(["a"], 4).unwrap().encode("a").unwrap(), [1, 2]);
    assert!(Tokenizer::from_words(["a", "b", "a"], 10).is_err());
}

#[test]
fn the_file_comes_back_as_it_went() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokenizer.json");
    let tokenizer = Tokenizer::from_texts(["not good at all, not at all", "it's \"good\" é"], 500).unwrap();
    tokenizer.save(&path).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let loaded = Tokenizer::load(&path).unwrap();
    assert_eq!(loaded.to_json().unwrap().into_bytes(), bytes);
    assert_eq!(loaded.vocab_size(), tokenizer.vocab_size());
    for text in ["Not good!", "it's é\tall", "unknown words"] {
        assert_eq!(loaded.encode(text).unwrap(), tokenizer.encode(text).unwrap(), "{text}");
    }
}

/// The `tokenizers` crate, which runs the same file in Python, gives the same ids.
#[test]
fn hugging_face_gives_the_same_ids() {
    let ours = Tokenizer::from_texts(["the film is not good at all", "it's café 10/10 the end"], 12).unwrap();
    let theirs = tokenizers::Tokenizer::from_bytes(ours.to_json().unwrap()).unwrap();
    let agree = |text: &str| {
        let encoding = theirs.encode(text, true).unwrap();
        assert_eq!(encoding.get_ids(), ours.encode(text).unwrap(), "{text:?}");
    };
    for text in [
        "",
        "The FILM -- is... [not] <br/>good\tat\nall\r",
        "CAFÉ İstanbul ΣΑΣ ^_^ ~&~ && a-b --",
        "[START] [PAD]",
    ] {
        agree(text);
    }
    proptest!(ProptestConfig::with_cases(200), |(text in "(the|Film|not|[ -~]|\\PC|\\s){0,40}")| agree(&text));
}

/// A file with another pipeline runs through the `tokenizers` crate.
#[test]
fn another_pipeline_works() {
    let json = r#"{"version": "1.0", "added_tokens": [], "normalizer": null, "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": null, "decoder": null,
        "model": {"type": "WordLevel", "vocab": {"?": 0, "Good": 1, "film": 2}, "unk_token": "?"}}"#;
    let tokenizer = Tokenizer::from_bytes(json).unwrap();
    assert_eq!(tokenizer.encode("Good good film").unwrap(), [1, 0, 2]);
    assert_eq!((tokenizer.vocab_size(), tokenizer.word(2)), (3, Some("film")));
    let again = Tokenizer::from_bytes(tokenizer.to_json().unwrap()).unwrap();
    assert_eq!(again.encode("Good film").unwrap(), [1, 2]);
}

#[test]
fn what_is_not_a_tokenizer_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokenizer.json");
    let missing = Tokenizer::load(&path).unwrap_err().to_string();
    assert!(missing.contains("tokenizer.json"), "{missing}");
    for text in
        ["", "{", "[]", r#"{"model": {"type": "WordLevel", "vocab": {"a": 4000000000}, "unk_token": "a"}}"#]
    {
        std::fs::write(&path, text).unwrap();
        let error = Tokenizer::load(&path).unwrap_err().to_string();
        assert!(error.contains("tokenizer.json") && !error.contains('\n'), "{error}");
    }
}

#[test]
fn a_word_index_gives_keras_ids() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("imdb_word_index.json");
    std::fs::write(&path, r#"{"good": 3, "the": 1, "film": 2}"#).unwrap();
    let tokenizer = Tokenizer::from_word_index_json(&path, 6).unwrap();
    assert_eq!(tokenizer.encode("The good film").unwrap(), [1, 4, 2, 5]);
    for text in [r#"{"a": 0}"#, r#"{"a": 1, "b": 1}"#, r#"{"a": "1"}"#, "[1]", "{}", ""] {
        std::fs::write(&path, text).unwrap();
        let error = Tokenizer::from_word_index_json(&path, 500).unwrap_err().to_string();
        assert!(error.contains("imdb_word_index.json"), "{text}: {error}");
    }
    std::fs::write(&path, r#"{"a": 1, "b": 3}"#).unwrap();
    assert!(Tokenizer::from_word_index_json(&path, 500).unwrap_err().to_string().contains("rank 2"));
}

/// `keras.utils.pad_sequences([[1, 2], [1, 2, 3, 4, 5], []], maxlen=3)`.
#[test]
fn padding_and_cutting_are_at_the_front() {
    let rows: [&[u32]; 3] = [&[1, 2], &[1, 2, 3, 4, 5], &[]];
    assert_eq!(pad_sequences(&rows, 3), [0, 1, 2, 3, 4, 5, 0, 0, 0]);
    assert_eq!(pad_sequences(&rows, 0), [0; 0]);
}
