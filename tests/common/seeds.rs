//! Small whole files for every reader, from which damaged ones are made.

use serde_json::{Value, json};
use std::io::{Cursor, Write};
use std::path::Path;

/// The files of a reader, with their names.
pub fn seeds(reader: &str) -> Vec<(String, Vec<u8>)> {
    match reader {
        "safetensors" => vec![fixture("fixtures/compiled_k2.safetensors"), named("two", safetensors())],
        "config" => [
            "../examples/short-texts.json",
            "../models/stacked-lstm/config.json",
            "fixtures/k2_text.json",
            "fixtures/k3_nested.json",
            "../models/gru-adam/config.json",
        ]
        .map(fixture)
        .into(),
        "tokenizer" => tokenizers(),
        "npz" => npz(),
        "npy" => vec![
            named("rows", npy("<f4", "(4, 3)", &[0; 48])),
            named("turned", npy(">f8", "(2, 3)", &[1; 48]).replacen(b"False", b"True ")),
            named("texts", npy("<U5", "(3,)", &[b'a', 0, 0, 0].repeat(15))),
            named("objects", npy("|O", "(4,)", LISTS)),
        ],
        "pickle" => pickles(),
        "pt" => [
            "half",
            "shared",
            "legacy_shared",
            "legacy_views",
            "module",
            "lightning",
            "protocol_4",
            "big_endian",
        ]
        .map(|name| fixture(&format!("fixtures/torch/{name}.pt")))
        .into(),
        #[cfg(feature = "parquet")]
        "parquet" => parquet(),
        "h5" => [
            "k2_text.h5",
            "old_keras_2_1.h5",
            "k2_half.h5",
            "k2_text.weights.h5",
            "compiled_k2_legacy_sgd.h5",
            "refused_soft_link.h5",
        ]
        .map(|name| fixture(&format!("fixtures/{name}")))
        .into(),
        "keras" => ["k3_half.keras", "texts_k2_multi_hot_listed.keras", "compiled_k3_lion.keras"]
            .map(|name| fixture(&format!("fixtures/{name}")))
            .into(),
        "csv" => texts(),
        "series" => series(),
        "jsonl" => vec![
            named(
                "lines",
                rows(|text, label| {
                    format!("{{\"text\": {text:?}, \"label\": {label:?}, \"n\": [1, null]}}\n")
                }),
            ),
            named(
                "list",
                format!(
                    "[{}]",
                    text(&rows(|text, label| format!("{{\"text\": {text:?}, \"label\": {label:?}}},")))
                        .trim_end_matches(',')
                )
                .into_bytes(),
            ),
            named(
                "lists",
                rows(|text, label| format!("{{\"text\": {text:?}, \"label\": [{label:?}, \"x\"]}}\n")),
            ),
        ],
        "history" => vec![fixture("../models/stacked-lstm/history.csv")],
        _ => vec![],
    }
}

fn named(name: &str, bytes: impl Into<Vec<u8>>) -> (String, Vec<u8>) {
    (name.into(), bytes.into())
}

fn fixture(path: &str) -> (String, Vec<u8>) {
    let whole = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(path);
    (path.rsplit('/').next().unwrap_or(path).into(), std::fs::read(&whole).expect(path))
}

trait Replace {
    fn replacen(self, from: &[u8], to: &[u8]) -> Vec<u8>;
}

impl Replace for Vec<u8> {
    fn replacen(mut self, from: &[u8], to: &[u8]) -> Vec<u8> {
        let at = self.windows(from.len()).position(|it| it == from).expect("it is there");
        self.splice(at..at + from.len(), to.iter().copied());
        self
    }
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("text")
}

fn safetensors() -> Vec<u8> {
    let header = json!({ "__metadata__": { "a": "b" },
        "dense.bias": { "dtype": "F32", "shape": [2], "data_offsets": [0, 8] },
        "dense.kernel": { "dtype": "F32", "shape": [3, 2], "data_offsets": [8, 32] },
        "x": { "dtype": "BF16", "shape": [2, 2], "data_offsets": [32, 40] } });
    let header = header.to_string();
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &[0; 40]].concat()
}

fn npy(descr: &str, shape: &str, content: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
    [b"\x93NUMPY\x01\0\x76\0".as_slice(), format!("{header:117}\n").as_bytes(), content].concat()
}

fn zip(members: &[(&str, Vec<u8>)], deflated: bool) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(vec![]));
    let method = if deflated { zip::CompressionMethod::Deflated } else { zip::CompressionMethod::Stored };
    for (name, bytes) in members {
        let options = zip::write::SimpleFileOptions::default().compression_method(method);
        zip.start_file(*name, options).expect("a member");
        zip.write_all(bytes).expect("a member");
    }
    zip.finish().expect("an archive").into_inner()
}

/// `numpy.array([[1, 2, 300], [70000, 5], [], [9]], dtype=object)`, of protocol 4.
const LISTS: &[u8] = b"\x80\x04\x95\xa7\x00\x00\x00\x00\x00\x00\x00\x8c\x16numpy._core.multiarray\x94\x8c\x0c_reconstruct\x94\x93\x94\
    \x8c\x05numpy\x94\x8c\x07ndarray\x94\x93\x94K\x00\x85\x94C\x01b\x94\x87\x94R\x94(K\x01K\x04\x85\x94h\x03\x8c\x05\
    dtype\x94\x93\x94\x8c\x02O8\x94\x89\x88\x87\x94R\x94(K\x03\x8c\x01|\x94NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK?t\
    \x94b\x89]\x94(]\x94(K\x01K\x02M,\x01e]\x94(Jp\x11\x01\x00K\x05e]\x94]\x94K\taet\x94b.";

fn npz() -> Vec<(String, Vec<u8>)> {
    let labels = npy("<i8", "(4,)", &[1_u64, 0, 1, 0].map(u64::to_le_bytes).concat());
    let imdb =
        ["x_train.npy", "y_train.npy", "x_test.npy", "y_test.npy"].map(|name| match name.starts_with('x') {
            true => (name, npy("|O", "(4,)", LISTS)),
            false => (name, labels.clone()),
        });
    let arrays = [("x.npy", npy("<f4", "(4, 3)", &[0; 48])), ("y.npy", labels.clone())];
    vec![
        named("imdb", zip(&imdb, true)),
        named("imdb_stored", zip(&imdb, false)),
        named("arrays", zip(&arrays, true)),
        named("arrays_stored", zip(&arrays, false)),
    ]
}

/// Pipelines of Hugging Face's, Keras's `Tokenizer` in all its forms, this crate's own.
fn tokenizers() -> Vec<(String, Vec<u8>)> {
    let pipeline = |model: Value, before: Value, normalizer: Value| {
        let added = json!({ "id": 0, "content": "[UNK]", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true });
        let json = json!({ "version": "1.0", "truncation": null, "padding": null, "added_tokens": [added],
            "normalizer": normalizer, "pre_tokenizer": before, "post_processor": null, "decoder": null, "model": model });
        json.to_string().into_bytes()
    };
    let bpe = json!({ "type": "BPE", "dropout": null, "unk_token": "[UNK]", "continuing_subword_prefix": null,
        "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false,
        "vocab": { "[UNK]": 0, "a": 1, "b": 2, "ab": 3, "Ġ": 4, "Ġa": 5 }, "merges": ["a b", "Ġ a"] });
    let pieces = json!({ "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
        "max_input_chars_per_word": 100, "vocab": { "[UNK]": 0, "film": 1, "##s": 2, "good": 3 } });
    let unigram = json!({ "type": "Unigram", "unk_id": 0, "byte_fallback": false,
        "vocab": [["[UNK]", 0.0], ["▁film", -1.5], ["▁", -2.0], ["f", -3.0]] });
    let levels =
        json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true });
    let bert = json!({ "type": "BertPreTokenizer" });
    let clean = json!({ "type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null, "lowercase": true });
    let split = json!({ "type": "Split", "pattern": { "Regex": "\\p{L}+|\\s" }, "behavior": "Isolated", "invert": false });
    let replaced = json!({ "type": "Sequence", "normalizers": [{ "type": "NFKC" }, { "type": "Replace", "pattern": { "Regex": " {2,}" }, "content": " " }] });
    let (_, cases) = fixture("fixtures/tokenizers.json");
    let cases: Value = serde_json::from_slice(&cases).expect("JSON");
    let keras = cases["cases"][0]["to_json"].as_str().expect("text").to_string();
    vec![
        fixture("../models/gru/tokenizer.json"),
        named("bpe", pipeline(bpe, levels, Value::Null)),
        named("pieces", pipeline(pieces, bert, clean)),
        named("unigram", pipeline(unigram, split, replaced)),
        named("keras", keras),
        named("words", r#"{"the": 1, "film": 2, "good": 3, "a": 4}"#),
    ]
}

/// Keras's `Tokenizer` and its `word_index`, as Python pickles them.
fn pickles() -> Vec<(String, Vec<u8>)> {
    let (_, cases) = fixture("fixtures/tokenizers.json");
    let cases: Value = serde_json::from_slice(&cases).expect("JSON");
    let case = &cases["cases"][0];
    let bytes = |hex: &Value| -> Vec<u8> {
        let digits: Vec<char> = hex.as_str().expect("text").chars().collect();
        let byte =
            |pair: &[char]| u8::from_str_radix(&pair.iter().collect::<String>(), 16).expect("hexadecimal");
        digits.chunks(2).map(byte).collect()
    };
    vec![
        named("words", bytes(&case["word_index_pickle"])),
        named("protocol_2", bytes(&case["pickles"]["2"])),
        named("protocol_4", bytes(&case["pickles"]["4"])),
        fixture("hostile/pickle_tokenizer.pickle"),
    ]
}

/// Some rows of a text and a label.
fn rows(row: impl Fn(&str, &str) -> String) -> Vec<u8> {
    let texts =
        ["a lovely film", "dull, dull", "정말 재미있는 영화", "so \u{201c}he\u{201d} said", "", "caf\u{e9}"];
    let rows = texts.iter().cycle().take(12).enumerate();
    rows.map(|(at, text)| row(text, ["good", "bad"][at % 2])).collect::<String>().into_bytes()
}

fn texts() -> Vec<(String, Vec<u8>)> {
    let csv = rows(|text, label| format!("\"{text}\",{label}\n"));
    let head = |head: &[u8], rest: &[u8]| [head, rest].concat();
    let wide: Vec<u8> =
        [0xfeff].into_iter().chain(text(&csv).encode_utf16()).flat_map(u16::to_le_bytes).collect();
    vec![
        named("named", head(b"text,label\n", &csv)),
        named("bare", csv.clone()),
        named("tabs", head(b"id\tdocument\tlabel\n", &rows(|text, label| format!("7\t{text}\t{label}\r\n")))),
        named("utf16", wide),
        named("numbers", "a,b,c\n1,2.5,3\n4,5,-6e3\n7;8;9\n"),
        named("fasttext", rows(|text, label| format!("__label__{label} {text}\n"))),
        named("korean", b"text;label\n\xb0\xa1\xb3\xaa;1\n\xb4\xd9;0\n".as_slice()),
    ]
}

fn series() -> Vec<(String, Vec<u8>)> {
    let rows: String = (0..30)
        .map(|at| {
            format!(
                "2024-01-{:02} {:02}:00,{},{}.5,{}\n",
                at / 24 + 1,
                at % 24,
                ["a", "b"][at % 2],
                at,
                at * at
            )
        })
        .collect();
    let days: String = (1..29).map(|day| format!("{day:02}.02.2023;{day}.5\n")).collect();
    let seconds: String = (0..20).map(|at| format!("{},{}\n", 1_700_000_000 + at * 60, at)).collect();
    vec![
        named("hours", format!("time,place,load,heat\n{rows}")),
        named("days", format!("Datum;Wert\n{days}")),
        named("seconds", format!("timestamp,value\n{seconds}")),
        named("gaps", "date,x\n2024-01-01,1\n2024-01-02,\n2024-01-04,NaN\n2024-01-07,5\n"),
    ]
}

#[cfg(feature = "parquet")]
fn parquet() -> Vec<(String, Vec<u8>)> {
    use parquet::basic::{Compression, ZstdLevel};
    use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type};
    use parquet::file::properties::WriterProperties;
    use parquet::file::writer::SerializedFileWriter;
    use std::sync::Arc;

    let schema = "message m { optional binary text (STRING); required int64 label; required double value; }";
    let schema = Arc::new(parquet::schema::parser::parse_message_type(schema).expect("a schema"));
    let write = |compression: Compression| {
        let properties = Arc::new(WriterProperties::builder().set_compression(compression).build());
        let mut writer = SerializedFileWriter::new(vec![], schema.clone(), properties).expect("a writer");
        for _ in 0..2 {
            let mut group = writer.next_row_group().expect("a group");
            let texts = ["a film", "dull", "재미", "a film"].map(ByteArray::from);
            let mut column = group.next_column().expect("a column").expect("a column");
            column
                .typed::<ByteArrayType>()
                .write_batch(&texts, Some(&[1, 1, 0, 1, 1]), None)
                .expect("written");
            column.close().expect("closed");
            let mut column = group.next_column().expect("a column").expect("a column");
            column.typed::<Int64Type>().write_batch(&[0, 1, 0, 1, 1], None, None).expect("written");
            column.close().expect("closed");
            let mut column = group.next_column().expect("a column").expect("a column");
            column
                .typed::<DoubleType>()
                .write_batch(&[0.5, 1.0, 2.0, -1.0, 1e9], None, None)
                .expect("written");
            column.close().expect("closed");
            group.close().expect("closed");
        }
        writer.into_inner().expect("a file")
    };
    vec![
        named("plain", write(Compression::UNCOMPRESSED)),
        named("zstd", write(Compression::ZSTD(ZstdLevel::default()))),
        named("snappy", write(Compression::SNAPPY)),
    ]
}
