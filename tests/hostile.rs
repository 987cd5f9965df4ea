//! Files made to harm whoever opens them (`scripts/hostile_files.py`): each is refused in one line that says why, at once, and
//! without much memory. The numbers are those of the CVEs of Keras and others that such files were.

#[path = "common/memory.rs"]
mod memory;

use candle_recurrent::checkpoint::Config;
use candle_recurrent::data::{self, LabelledSource, Source};
use candle_recurrent::formats;
use candle_recurrent::keras::{self, ConfigSource};
use candle_recurrent::text::{Tokenizer, Vocabulary};
use memory::{Taken, alone, measured};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What a refusal may hold at once, and how long it may take: some milliseconds as a rule, but machines of tests are slow.
const MEMORY: usize = 64 << 20;
const TIME: Duration = Duration::from_secs(5);

fn hostile(name: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/hostile")).join(name)
}

/// That `read` refuses a file in one line that holds these words.
fn refused<T>(name: &str, words: &[&str], read: impl FnOnce() -> candle_recurrent::Result<T>) -> Taken {
    let _alone = alone();
    memory::about(name);
    let (result, taken) = measured(MEMORY, read);
    let Err(error) = result else { panic!("{name} is read") };
    let error = error.to_string();
    println!("{name}: {:?}, {} KiB: {error}", taken.time, taken.bytes >> 10);
    assert!(!error.contains('\n') && error.len() < 1000, "{error}");
    assert!(error.contains(name), "{name} is not named: {error}");
    for word in words {
        assert!(error.contains(word), "{name}: expected `{word}` in: {error}");
    }
    assert!(taken.time < TIME, "{name}: {taken:?}");
    assert!(!Path::new("executed").exists());
    taken
}

macro_rules! models {
    ($($test:ident: $file:literal, $($word:literal),+;)*) => { $(
        #[test]
        fn $test() {
            refused($file, &[$($word),+], || keras::load(hostile($file)));
        }
    )* };
}

models! {
    cve_2024_3660_code_in_a_lambda: "cve_2024_3660_lambda.keras", "layer run", "Python code, which is not executed";
    cve_2025_9905_code_in_a_lambda_of_an_h5: "cve_2025_9905_lambda.h5", "layer run", "Python code, which is not executed";
    cve_2025_1550_a_class_of_pythons: "cve_2025_1550_layer.keras", "layer run", "`subprocess.Popen`, whose code is not in";
    cve_2025_1550_a_function_of_pythons: "cve_2025_1550_function.keras", "layer run", "not executed";
    cve_2025_1550_an_activation_of_pythons: "cve_2025_1550_activation.keras", "layer dense", "activation `os.";
    cve_2025_8747_get_file_as_a_layer: "cve_2025_8747_get_file.keras", "layer fetch", "`get_file` is no layer";
    cve_2025_8747_get_file_as_a_function: "cve_2025_8747_function.keras", "layer fetch", "not executed";
    cve_2025_9906_enable_unsafe_deserialization: "cve_2025_9906_unsafe.keras", "layer switch", "not executed";
    cve_2025_49655_a_module_of_torch: "cve_2025_49655_torch.keras", "layer wrapped", "`TorchModuleWrapper` is no layer";
    cve_2026_1462_a_saved_model_as_a_layer: "cve_2026_1462_tfsm.keras", "layer saved", "`TFSMLayer` is no layer";
    cve_2025_12058_a_path_of_words: "cve_2025_12058_string.keras", "path \"/etc/hostname\"", "are not opened";
    cve_2025_12058_a_path_of_numbers: "cve_2025_12058_integer.keras", "path \"/etc/hostname\"", "are not opened";
    cve_2025_12058_a_path_in_text_vectorization: "cve_2025_12058_text.keras", "path \"/etc/hostname\"", "are not opened";
    cve_2026_0897_a_shape_that_lies: "cve_2026_0897_shape.keras", "[2147483648, 256]", "more than the file can hold";
    cve_2026_0897_a_chunk_that_lies: "cve_2026_0897_chunk.keras", "layer dense", "more than the file can hold";
    cve_2026_12570_a_shape_in_an_h5: "cve_2026_12570_shape.h5", "[2147483648, 256]", "more than the file can hold";
    cve_2026_12570_a_chunk_that_is_a_bomb: "cve_2026_12570_chunk.keras", "layer dense", "bomb";
    cve_2026_12570_units_beyond_any_memory: "cve_2026_12570_units.keras", "layer dense: units must be at most";
    cve_2026_1669_external_storage: "cve_2026_1669_storage.keras", "layer dense", "external files";
    cve_2026_1669_external_storage_in_an_h5: "cve_2026_1669_storage.h5", "layer dense", "external files";
    cve_2026_1669_a_virtual_dataset: "cve_2026_1669_virtual.keras", "layer dense", "virtual";
    cve_2026_1669_a_soft_link: "cve_2026_1669_soft_link.keras", "links to other places are not followed";
    cve_2026_1669_an_external_link: "cve_2026_1669_external_link.keras", "links to other places are not followed";
    cve_2026_1669_an_external_link_to_a_group: "cve_2026_1669_external_group.keras", "links to other places are not followed";
    a_configuration_that_is_a_bomb: "bomb_config.keras", "config.json unpacks to far more than the file's size";
    weights_that_are_a_bomb: "bomb_weights.keras", "model.weights.h5 unpacks to far more than the file's size";
    members_that_overlap: "overlapping.keras", "the same bytes";
}

/// Weights for the smallest of models, so that only the file of weights can be wrong.
fn with_config(path: &Path) -> candle_recurrent::Result<keras::Loaded> {
    let json = r#"{ "name": "m", "layers": [
        { "class_name": "InputLayer", "config": { "name": "x", "batch_shape": [null, 3] } },
        { "class_name": "Dense", "config": { "name": "dense", "units": 2 } } ] }"#;
    let config = candle_recurrent::model::ModelConfig::from_json(json).expect("a configuration");
    let options = keras::Options { config: Some(ConfigSource::from(config)), ..keras::Options::default() };
    keras::load_with(path, &options)
}

#[test]
fn members_of_other_archives_that_overlap() {
    let path = hostile("overlapping.npz");
    refused("overlapping.npz", &["the same bytes"], || formats::read(&path, &["x".into()]));
    refused("overlapping.npz", &["the same bytes"], || {
        data::load_test(&Source::Path(path.clone()), &data::Options::default(), None, &mut |_| ())
    });
    refused("overlapping.pt", &["the same bytes"], || with_config(&hostile("overlapping.pt")));
}

#[test]
fn pickles_that_call() {
    let nothing_run = &["builtins.exec", "nothing"];
    refused("pickle_tokenizer.pickle", nothing_run, || {
        Tokenizer::from_keras(hostile("pickle_tokenizer.pickle"), 100)
    });
    let imdb = Source::Path(hostile("pickle_imdb.npz"));
    refused("pickle_imdb.npz", nothing_run, || {
        data::load_test(&imdb, &data::Options::default(), None, &mut |_| ())
    });
    refused("pickle_imdb.npz", &["|O"], || formats::read(hostile("pickle_imdb.npz"), &["x_train".into()]));
    refused("pickle_array.npy", &["|O"], || formats::read(hostile("pickle_array.npy"), &["x".into()]));
    refused("pickle_weights.pt", nothing_run, || with_config(&hostile("pickle_weights.pt")));
}

/// An archive of so many members of one byte, whose names begin so, after these.
fn many(path: &Path, first: &[(&str, &[u8])], names: &str, count: usize) {
    let mut zip = zip::ZipWriter::new(std::io::BufWriter::new(fs::File::create(path).expect("a file")));
    let stored = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for (name, bytes) in first {
        zip.start_file(*name, stored).expect("a member");
        zip.write_all(bytes).expect("a member");
    }
    for at in 0..count {
        zip.start_file(format!("{names}{at}"), stored).expect("a member");
        zip.write_all(b"x").expect("a member");
    }
    zip.finish().expect("an archive");
}

#[test]
fn a_zip_of_a_hundred_thousand_members() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let config = fs::read(hostile("cve_2026_0897_shape.keras")).expect("a file");
    many(&at("many.keras"), &[("config.json", &config)], "assets/", 100_000);
    many(&at("many.npz"), &[], "x", 100_000);
    many(&at("many.pt"), &[("m/data.pkl", b"\x80\x02}.")], "m/data/", 100_000);
    let words = &["members, more than any model"];
    refused("many.keras", words, || keras::load(at("many.keras")));
    refused("many.npz", words, || formats::read(at("many.npz"), &["x".into()]));
    refused("many.pt", words, || with_config(&at("many.pt")));
}

/// A bomb of arrays: one that says its size, and one that lies about it.
#[test]
fn arrays_that_are_bombs() {
    let folder = tempfile::tempdir().expect("a folder");
    let head =
        b"\x93NUMPY\x01\0\x46\0{'descr': '<i4', 'fortran_order': False, 'shape': (50000000,), }      \n";
    let zeros = vec![0; 1 << 20];
    let write = |name: &str, members: &[&str]| {
        let path = folder.path().join(name);
        let mut zip = zip::ZipWriter::new(fs::File::create(&path).expect("a file"));
        let deflated =
            zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Deflated);
        for member in members {
            zip.start_file(*member, deflated).expect("a member");
            zip.write_all(head).expect("a member");
            (0..200).for_each(|_| zip.write_all(&zeros).expect("a member"));
        }
        zip.finish().expect("an archive");
        path
    };
    let test = |path: &Path| {
        data::load_test(&Source::Path(path.into()), &data::Options::default(), None, &mut |_| ())
    };
    let arrays = write("bomb.npz", &["x.npy"]);
    let too_large = &["x", "unpacks to more than"];
    refused("bomb.npz", too_large, || formats::read(&arrays, &["x".into()]));
    let imdb = write("imdb.npz", &["x_test.npy", "y_test.npy"]);
    refused("imdb.npz", too_large, || test(&imdb));
    // The sizes that the archive says, in its list and before each member.
    let mut lies = fs::read(&imdb).expect("a file");
    let size = ((200_u32 << 20) + head.len() as u32).to_le_bytes();
    let places: Vec<usize> =
        lies.windows(4).enumerate().filter(|(_, it)| **it == size).map(|(at, _)| at).collect();
    assert_eq!(places.len(), 4);
    places.into_iter().for_each(|at| lies[at..at + 4].copy_from_slice(&1000_u32.to_le_bytes()));
    let path = folder.path().join("lies.npz");
    fs::write(&path, lies).expect("written");
    refused("lies.npz", &["damaged"], || test(&path));
}

/// Whatever reads JSON: lists and objects as deep as they like take no stack.
#[test]
fn json_a_hundred_thousand_deep() {
    let folder = tempfile::tempdir().expect("a folder");
    let deep = |name: &str, before: &str, open: &str| {
        let path = folder.path().join(name);
        fs::write(&path, format!("{before}{}", open.repeat(100_000))).expect("written");
        path
    };
    for (at, (before, open)) in [
        ("", "["),
        ("", "{\"config\":"),
        ("{\"class_name\":\"Sequential\",\"config\":", "{\"layers\":["),
        ("{\"model\":", "{\"vocab\":"),
        ("{\"class_name\":\"Tokenizer\",\"config\":", "["),
        ("{\"a\": 1, \"b\":", "[{\"c\":"),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("deep{at}.json");
        let path = deep(&name, before, open);
        if open.starts_with('{') || !before.is_empty() {
            refused(&name, &["too deep"], || keras::load(&path));
        }
        refused(&name, &["too deep"], || Config::load(&path));
        refused(&name, &[], || Tokenizer::load(&path));
        refused(&name, &[], || Tokenizer::from_keras(&path, 100));
        refused(&name, &[], || Vocabulary::from_word_index_json(&path));
        let texts = LabelledSource { path: path.clone(), ..LabelledSource::default() };
        refused(&name, &[], || texts.read());
    }
    // The header of a safetensors file.
    let header = format!("{{\"__metadata__\":{}", "{\"a\":".repeat(100_000));
    let path = folder.path().join("deep.safetensors");
    fs::write(&path, [&(header.len() as u64).to_le_bytes(), header.as_bytes()].concat()).expect("written");
    refused("deep.safetensors", &[], || formats::read(&path, &["x".into()]));
    refused("deep.safetensors", &[], || with_config(&path));
}

/// Layers within layers, as deep as the bound on JSON lets through: a megabyte of stack is enough.
#[test]
fn layers_within_layers_take_little_stack() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut paths = vec![];
    for (class, before, after) in [
        ("TimeDistributed", "\"layer\":", ""),
        ("Bidirectional", "\"layer\":", ""),
        ("Sequential", "\"layers\":[", "]"),
    ] {
        for own in [false, true] {
            let input = r#"{"class_name":"InputLayer","config":{"name":"x","batch_shape":[null,3,3]}}"#;
            let levels = if after.is_empty() { 120 } else { 80 };
            let open: String = (0..levels)
                .map(|at| format!(r#"{{"class_name":"{class}","config":{{"name":"a{at}",{before}"#))
                .collect();
            let leaf = r#"{"class_name":"LSTM","config":{"name":"l","units":2}}"#;
            let config = format!(
                r#"{{"name":"m","layers":[{input},{open}{leaf}{}]}}"#,
                format!("{after}}}}}").repeat(levels)
            );
            let path = folder.path().join(format!("{class}-{own}.json"));
            let json = if own {
                format!(r#"{{"model":{config}}}"#)
            } else {
                format!(r#"{{"class_name":"Sequential","config":{config}}}"#)
            };
            fs::write(&path, json).expect("written");
            paths.push(path);
        }
    }
    let read = move || {
        for path in paths {
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            refused(&name, &[], || keras::load_config(&path));
            refused(&name, &[], || Config::load(&path).and_then(|config| config.model.variables()));
        }
    };
    std::thread::Builder::new().stack_size(1 << 20).spawn(read).expect("a thread").join().expect("no harm");
}

/// What takes time beyond the file's size: names to compare, names that are taken, layers in another order than they are fed.
#[test]
fn time_follows_the_size() {
    let _alone = alone();
    let folder = tempfile::tempdir().expect("a folder");
    let long = "e".repeat(5_000_000);
    let input = r#"{"class_name":"InputLayer","name":"x","inbound_nodes":[],"config":{"name":"x","batch_shape":[null,3]}}"#;
    let row = |layers: &str| {
        format!(r#"{{"class_name":"Sequential","config":{{"name":"m","layers":[{input},{layers}]}}}}"#)
    };
    let dense = |more: &str| format!(r#"{{"class_name":"Dense","config":{{"name":"d","units":2{more}}}}}"#);
    let same =
        vec![r#"{"class_name":"Activation","config":{"name":"same","activation":"relu"}}"#; 20_000].join(",");
    let add = |at: usize| {
        let from = if at == 0 { "x".into() } else { format!("a{}", at - 1) };
        format!(
            r#"{{"class_name":"Add","name":"a{at}","config":{{"name":"a{at}"}},"inbound_nodes":[[["{from}",0,0,{{}}],["{from}",0,0,{{}}]]]}}"#
        )
    };
    let turned: Vec<String> = (0..5000).rev().map(add).collect();
    let turned = format!(
        r#"{{"class_name":"Functional","config":{{"name":"m","layers":[{input},{}],"input_layers":[["x",0,0]],"output_layers":[["a4999",0,0]]}}}}"#,
        turned.join(",")
    );
    for (name, json) in [
        ("class", row(&dense("").replace("Dense", &format!("Dens{long}")))),
        ("field", row(&dense(&format!(r#","units{long}":1"#)))),
        ("activation", row(&dense(&format!(r#","activation":"relu{long}""#)))),
        ("same", row(&same)),
        ("turned", turned),
    ] {
        let path = folder.path().join(format!("{name}.json"));
        fs::write(&path, json).expect("written");
        let (read, taken) =
            measured(256 << 20, || keras::load_config(&path).map_err(|error| error.to_string()));
        println!("{name}: {taken:?}");
        // A second at most as a rule; a minute and more where it grows with the square.
        assert!(taken.time < 4 * TIME, "{name}: {taken:?}");
        assert_eq!(read.is_ok(), matches!(name, "same" | "turned"), "{name}: {read:?}");
    }
}

/// Names that are ways out of a folder are names and no more: the model is read, and what is made of it has other names.
#[test]
fn cve_2026_12479_names_that_are_ways_out() {
    let _alone = alone();
    let (config, weights) = keras::load(hostile("cve_2026_12479_names.keras")).expect("a model");
    for (name, _) in weights.iter() {
        assert!(!name.contains("..") && !name.contains('/'), "{name}");
    }
    let table = config.summary().expect("a summary").to_string();
    assert!(
        table.lines().all(|line| !line.contains('\u{1b}')) && table.contains("a\\n\\u{1b}[2Jb"),
        "{table}"
    );
    assert_eq!(table.lines().filter(|line| line.contains("(Dense)")).count(), 4, "{table}");
}
