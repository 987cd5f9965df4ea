//! Files of PyTorch's `torch.save` (`scripts/torch_fixtures.py`): PyTorch's own answers, refusals, damage, lies.

use super::fixtures::FIXTURES;
use super::support;
use candle_core::{Device, Tensor};
use candle_recurrent::keras::{self, Options};
use candle_recurrent::model::ModelConfig;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::io::Write;
use std::path::{Path, PathBuf};
use zip::CompressionMethod;
use zip::write::SimpleFileOptions;

fn file(name: &str) -> PathBuf {
    Path::new(FIXTURES).join("torch").join(name)
}

fn cases() -> serde_json::Map<String, Value> {
    serde_json::from_str(&std::fs::read_to_string(file("cases.json")).unwrap()).unwrap()
}

fn options(config: &Value) -> Options {
    let config: ModelConfig = serde_json::from_value(config["model"].clone()).unwrap();
    Options { config: Some(config.into()), ..Options::default() }
}

/// The error of reading `bytes` as weights of `config`.
fn read(bytes: &[u8], options: &Options) -> Option<String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.pt");
    std::fs::write(&path, bytes).unwrap();
    let error = keras::load_with(&path, options).err()?.to_string();
    assert!(!error.contains('\n') && error.contains("model.pt: "), "{error}");
    Some(error)
}

#[test]
fn every_file_gives_what_pytorch_computes() {
    let golden = candle_core::safetensors::load(file("golden.safetensors"), &Device::Cpu).unwrap();
    let (mut worst, mut count) = (0_f64, 0);
    for (name, case) in cases() {
        if case.get("refused").is_some() {
            continue;
        }
        let loaded = keras::load_with(file(&format!("{name}.pt")), &options(&case["config"]));
        let loaded = loaded.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(loaded.warnings.is_empty(), "{name}: {:?}", loaded.warnings);
        let found = support::run(&loaded, &[golden[&format!("{name}.x")].clone()]).unwrap();
        let error = support::error(&found[0], &golden[&format!("{name}.y")]);
        assert!(error <= 1e-6, "{name}: {error:e}");
        worst = worst.max(error);
        count += 1;
    }
    println!("worst {worst:e} of {count}");
    assert!(count > 25, "{count}");
}

#[test]
fn what_is_no_set_of_weights_is_refused_in_a_line_that_says_why() {
    let gru = options(&cases()["half"]["config"]);
    let mut count = 0;
    for (name, case) in cases() {
        let Some(words) = case.get("refused").and_then(Value::as_array) else { continue };
        let path = file(&format!("{name}.pt"));
        let error = keras::load_with(&path, &gru).expect_err(&name).to_string();
        assert!(error.starts_with(&*path.to_string_lossy()) && !error.contains('\n'), "{error}");
        for word in words {
            assert!(error.contains(word.as_str().unwrap()), "expected {word} in: {error}");
        }
        count += 1;
    }
    assert!(count > 10, "{count}");
    // Whatever there is to say of the weights, an architecture is asked for first.
    let error = keras::load(file("half.pt")).unwrap_err().to_string();
    assert!(error.contains("holds no architecture that can be read"), "{error}");
    // Weights of another model are not taken.
    let lstm = options(&cases()["lstm_2"]["config"]);
    let error = keras::load_with(file("half.pt"), &lstm).unwrap_err().to_string();
    assert!(error.contains("half.pt: layer rnn") && error.contains("weight_ih_l0"), "{error}");
}

#[test]
fn a_file_that_is_cut_off_says_so() {
    for (name, step) in [("shared", 37), ("legacy_shared", 11), ("big_endian", 41)] {
        let config = options(&cases()[name]["config"]);
        let whole = std::fs::read(file(&format!("{name}.pt"))).unwrap();
        for end in (0..whole.len()).step_by(step) {
            assert!(read(&whole[..end], &config).is_some(), "{name} {end}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    /// A panic fails the test, and so does an error that does not name the file.
    #[test]
    fn damaged_files_never_panic(which in 0..6_usize, at in any::<usize>(), bytes in proptest::collection::vec(any::<u8>(), 1..4)) {
        let name = ["shared", "legacy_views", "module", "legacy_module", "checkpoint", "protocol_4"][which];
        let config = options(&cases()[name]["config"]);
        let mut whole = std::fs::read(file(&format!("{name}.pt"))).unwrap();
        let at = at % (whole.len() - bytes.len());
        whole[at..at + bytes.len()].copy_from_slice(&bytes);
        let _ = read(&whole, &config);
    }

    /// The same in the pickle itself, past the archive's checksum.
    #[test]
    fn damaged_pickles_never_panic(which in 0..3_usize, at in any::<usize>(), byte in any::<u8>()) {
        let name = ["views", "module", "lightning"][which];
        let config = options(&cases()[name]["config"]);
        let mut archive = zip::ZipArchive::new(std::fs::File::open(file(&format!("{name}.pt"))).unwrap()).unwrap();
        let mut members = vec![];
        for index in 0..archive.len() {
            let mut member = archive.by_index(index).unwrap();
            let mut bytes = vec![];
            std::io::copy(&mut member, &mut bytes).unwrap();
            let name = member.name().unwrap().into_owned();
            if name.ends_with("data.pkl") {
                let at = at % bytes.len();
                bytes[at] = byte;
            }
            members.push((name, bytes));
        }
        let _ = read(&packed(&members, CompressionMethod::Stored), &config);
    }
}

fn packed<N: AsRef<str>>(members: &[(N, Vec<u8>)], method: CompressionMethod) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(vec![]));
    for (name, bytes) in members {
        archive.start_file(name.as_ref(), SimpleFileOptions::default().compression_method(method)).unwrap();
        archive.write_all(bytes).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

/// A file with this pickle and 24 bytes of numbers.
fn around(pickle: &[u8]) -> Vec<u8> {
    let numbers: Vec<u8> = (0..6).flat_map(|number| (number as f32).to_le_bytes()).collect();
    packed(&[("m/data.pkl", pickle.to_vec()), ("m/data/0", numbers)], CompressionMethod::Stored)
}

/// A whole number in a pickle.
fn int(number: i64) -> Vec<u8> {
    [&b"\x8a\x08"[..], &number.to_le_bytes()].concat()
}

/// The pickle of a tensor.
fn tensor(numel: i64, offset: i64, shape: &[i64], strides: &[i64]) -> Vec<u8> {
    let list =
        |list: &[i64]| [b"(".to_vec(), list.iter().flat_map(|&n| int(n)).collect(), b"t".to_vec()].concat();
    let mut bytes =
        b"ctorch._utils\n_rebuild_tensor_v2\n((U\x07storagectorch\nFloatStorage\nU\x010U\x03cpu".to_vec();
    bytes.extend([int(numel), b"tQ".to_vec(), int(offset), list(shape), list(strides)].concat());
    bytes.extend(b"\x89NtR");
    bytes
}

/// The pickle of a dictionary.
fn dictionary(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = b"\x80\x02}(".to_vec();
    for (name, value) in entries {
        bytes.extend([b"U".as_slice(), &[name.len() as u8], name.as_bytes(), value].concat());
    }
    bytes.extend(b"u.");
    bytes
}

fn dense() -> Options {
    options(&json!({ "model": { "name": "m", "layers": [
        { "class_name": "InputLayer", "config": { "name": "x", "batch_shape": [null, 3] } },
        { "class_name": "Dense", "config": { "name": "fc", "units": 2, "use_bias": false } },
    ] } }))
}

fn kernel(bytes: &[u8]) -> Vec<f32> {
    let config = match dense().config {
        Some(keras::ConfigSource::Memory(config)) => config,
        _ => unreachable!(),
    };
    let weights = keras::weights_from_torch(&config, bytes, Path::new("x"), &Device::Cpu).unwrap();
    let kernel: Tensor = weights.iter().next().unwrap().1.as_tensor().clone();
    kernel.flatten_all().unwrap().to_vec1().unwrap()
}

/// `numel`, offset, shape, strides; and what is said of them.
type Lie = (i64, i64, &'static [i64], &'static [i64], &'static str);

#[test]
fn views_and_nothing_else_are_read() {
    let one = |numel, offset, shape: &[i64], strides: &[i64]| {
        around(&dictionary(&[("fc.weight", tensor(numel, offset, shape, strides))]))
    };
    // Keras's kernel is the transposed weight.
    assert_eq!(kernel(&one(6, 0, &[2, 3], &[3, 1])), [0., 3., 1., 4., 2., 5.]);
    assert_eq!(kernel(&one(6, 0, &[2, 3], &[1, 2])), [0., 1., 2., 3., 4., 5.]);
    assert_eq!(kernel(&one(6, 3, &[2, 3], &[0, 1])), [3., 3., 4., 4., 5., 5.]);
    assert_eq!(kernel(&one(4, 0, &[2, 3], &[1, 1])), [0., 1., 1., 2., 2., 3.]);
    let lies: [Lie; 12] = [
        (7, 0, &[2, 3], &[3, 1], "its storage 0 holds 6 numbers, not the 7"),
        (i64::MAX, 0, &[2, 3], &[3, 1], "its storage 0 holds 6 numbers"),
        (6, 1, &[2, 3], &[3, 1], "goes beyond the 6 numbers"),
        (5, 0, &[2, 3], &[3, 1], "goes beyond the 5 numbers"),
        (6, 0, &[2, 3], &[i64::MAX, i64::MAX], "goes beyond the 6 numbers"),
        (6, i64::MAX, &[2, 3], &[3, 1], "goes beyond the 6 numbers"),
        (6, 0, &[1 << 40], &[0], "far larger than the file"),
        (6, 0, &[1 << 40, 1 << 40], &[0, 0], "is too large"),
        (6, 0, &[-2, 3], &[3, 1], "is not put together as PyTorch does it"),
        (6, 0, &[2, 3], &[-3, 1], "is not put together as PyTorch does it"),
        (6, -1, &[2, 3], &[3, 1], "is not put together as PyTorch does it"),
        (6, 0, &[2, 3], &[3], "is not put together as PyTorch does it"),
    ];
    for (numel, offset, shape, strides, line) in lies {
        let error = read(&one(numel, offset, shape, strides), &dense()).expect(line);
        assert!(error.contains("the tensor `fc.weight`: ") && error.contains(line), "{error}");
    }
    // Many views of one storage are large too.
    let many: Vec<(&str, Vec<u8>)> = (0..400).map(|_| ("w", tensor(6, 0, &[1 << 16], &[0]))).collect();
    assert!(read(&around(&dictionary(&many)), &dense()).unwrap().contains("far larger than the file"));
}

#[test]
fn members_that_lie_or_are_missing_are_refused() {
    let weight = dictionary(&[("fc.weight", tensor(6, 0, &[2, 3], &[3, 1]))]);
    let with = |members: &[(&str, Vec<u8>)], line: &str| {
        let members: Vec<_> = [&[("m/data.pkl", weight.clone())], members].concat();
        let error = read(&packed(&members, CompressionMethod::Deflated), &dense()).expect(line);
        assert!(error.contains(line), "{error}");
    };
    with(&[], "holds no data/0");
    with(&[("m/data/0", vec![0; 20])], "its storage 0 holds 5 numbers");
    with(&[("m/data/0", vec![0; 24]), ("m/byteorder", b"middle".to_vec())], "its byteorder");
    with(&[("m/data/0", vec![0; 64 << 20])], "unpacks to far more than the file's size");
}

#[test]
fn what_a_pickle_calls_is_not_called() {
    let weight = tensor(6, 0, &[2, 3], &[3, 1]);
    // Called and thrown away, before the weights.
    let call = b"\x80\x02cos\nsystem\n(U\x0ctouch harmedtR0";
    let pickle = [call.as_slice(), &dictionary(&[("fc.weight", weight.clone())])[2..]].concat();
    let error = read(&around(&pickle), &dense()).unwrap();
    assert!(error.contains("call os.system") && error.contains("nothing of it was run"), "{error}");
    let call = b"\x80\x02c__builtin__\nexec\n(U\x01xtR0";
    let pickle = [call.as_slice(), &dictionary(&[("fc.weight", weight)])[2..]].concat();
    assert!(read(&around(&pickle), &dense()).unwrap().contains("call __builtin__.exec"));
    // In a state_dict any other object is no weight.
    let object = b"cmine\nThing\n(tR".to_vec();
    let error = read(&around(&dictionary(&[("fc.weight", object)])), &dense()).unwrap();
    assert!(error.contains("holds no `state_dict` (but fc.weight)"), "{error}");
}

#[test]
fn modules_without_end_and_dictionaries_without_number_are_refused() {
    // A module that holds itself.
    let cyclic = b"\x80\x02cm\nM\n)\x81q\x00}(U\x0b_parameters}U\x08_modules}U\x01ah\x00sub.";
    let error = read(&around(cyclic), &dense()).unwrap();
    assert!(error.contains("modules within modules"), "{error}");
    // Each level holds the one below twice.
    let mut wide = b"\x80\x02cm\nM\n)\x81q\x00}(U\x0b_parameters}U\x08_modules}ub0".to_vec();
    for level in 1..50_u8 {
        wide.extend(
            [b"cm\nM\n)\x81q".as_slice(), &[level], b"}(U\x0b_parameters}U\x08_modules}(U\x01ah"].concat(),
        );
        wide.extend([&[level - 1][..], b"U\x01bh", &[level - 1], b"uub0"].concat());
    }
    wide.extend(b"h\x31.");
    let error = read(&around(&wide), &dense()).unwrap();
    assert!(error.contains("holds more than a model needs"), "{error}");
    // One dictionary of many tensors, any number of times.
    let mut many = b"\x80\x02}q\x00(".to_vec();
    many.extend((0..1000).flat_map(|_| [b"U\x01t".to_vec(), b"h\x01".to_vec()].concat()));
    let shared = [b"\x80\x02".as_slice(), &tensor(6, 0, &[2, 3], &[3, 1]), b"q\x010"].concat();
    let mut pickle = [shared.as_slice(), &many[2..], b"u0}("].concat();
    pickle.extend((0..5000_u32).flat_map(|_| b"U\x01dh\x00".to_vec()));
    pickle.extend(b"u.");
    let error = read(&around(&pickle), &dense()).unwrap();
    assert!(error.contains("holds more than a model needs"), "{error}");
}
