//! A model folder is one thing: whenever and however a writer is stopped, a reader finds one model whole.

use candle_core::{Device, Tensor};
use candle_recurrent::checkpoint::{
    CONFIG_FILE, Config, Contents, FORMAT_VERSION, ModelFolder, TOKENIZER_FILE, WEIGHTS_FILE,
};
use candle_recurrent::model::Weights;
use candle_recurrent::text::Tokenizer;
use candle_recurrent::{Error, Result, zoo};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// A model all of whose numbers and first word say which one it is.
struct Known {
    config: Config,
    weights: BTreeMap<String, Tensor>,
    tokenizer: Tokenizer,
}

impl Known {
    fn new(number: u32) -> Result<Self> {
        let mut config = zoo::get("gru")?.config()?;
        config.set_text_shape(7, 5);
        config.results = None;
        config.recipe.epochs = number as usize;
        let mut weights = Weights::init(&config.model, 3, &Device::Cpu)?.snapshot()?;
        for tensor in weights.values_mut() {
            *tensor = Tensor::full(number as f32, tensor.dims(), &Device::Cpu)?;
        }
        let tokenizer = Tokenizer::from_words([format!("word{number}").as_str(), "film", "good"], 7)?;
        Ok(Self { config, weights, tokenizer })
    }

    fn save(&self, folder: &ModelFolder) -> Result<()> {
        folder.save(&Contents {
            config: &self.config,
            weights: &self.weights,
            epoch: None,
            optimizer: None,
            tokenizer: Some(&self.tokenizer),
            history: None,
        })
    }
}

/// Which model a folder holds: all of its parts say the same.
fn number(path: &Path) -> Result<u32> {
    let (config, weights, tokenizer) = ModelFolder::open(path)?.trained(&Device::Cpu)?;
    let number = config.recipe.epochs as u32;
    for (name, var) in weights.iter() {
        let values = var.flatten_all()?.to_vec1::<f32>()?;
        assert!(
            values.iter().all(|value| *value == number as f32),
            "{name} is of another model than {number}"
        );
    }
    let tokenizer = tokenizer.expect("a vocabulary");
    assert_eq!(tokenizer.encode(&format!("word{number}"))?, [1, 4], "the vocabulary is of another model");
    Ok(number)
}

fn refused<T>(result: Result<T>) -> String {
    match result {
        Ok(_) => panic!("this should have failed"),
        Err(error) => error.to_string(),
    }
}

/// The names of the files in a folder, in order.
fn names(path: &Path) -> Vec<String> {
    let entries = fs::read_dir(path).expect("a folder").map(|entry| entry.expect("an entry").file_name());
    let mut names: Vec<String> = entries.map(|name| name.to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

const WHOLE: [&str; 3] = ["config.json", "model.safetensors", "tokenizer.json"];

#[test]
fn readers_of_a_folder_that_is_replaced_see_one_model() -> Result<()> {
    let here = tempfile::tempdir().expect("a folder");
    let path = here.path().join("run");
    let folder = ModelFolder::create(&path)?;
    let models = (1..=4).map(Known::new).collect::<Result<Vec<_>>>()?;
    models[0].save(&folder)?;
    let (done, mut seen) = (AtomicBool::new(false), vec![]);
    std::thread::scope(|scope| -> Result<()> {
        let read = || -> Result<Vec<u32>> {
            let mut seen = vec![];
            while !done.load(Ordering::Relaxed) {
                seen.push(number(&path)?);
            }
            Ok(seen)
        };
        let readers: Vec<_> = (0..4).map(|_| scope.spawn(read)).collect();
        let written = (0..300).try_for_each(|turn| models[turn % 4].save(&folder));
        done.store(true, Ordering::Relaxed);
        for reader in readers {
            seen.extend(reader.join().expect("no panic")?);
        }
        written
    })?;
    seen.sort_unstable();
    seen.dedup();
    assert!(seen.len() > 1, "the readers saw {seen:?} alone");
    assert_eq!(names(&path), WHOLE);
    Ok(())
}

/// What a folder looks like after each step of a save is put together by hand from the folders before and after.
#[test]
fn a_save_that_is_killed_leaves_the_old_or_the_new_model() -> Result<()> {
    let here = tempfile::tempdir().expect("a folder");
    let (old, new) = (here.path().join("old"), here.path().join("new"));
    for (path, number) in [(&old, 1), (&new, 2)] {
        Known::new(number)?.save(&ModelFolder::create(path)?)?;
    }
    let saved = ModelFolder::open(&new)?.config()?.saved.expect("its files");
    let waiting = |name: &str| format!(".candle-recurrent-{}-{name}", &saved.files[name][..16]);
    let copy = |from: &Path, to: &Path| fs::copy(from, to).map(drop).expect("copied");
    let parts = [WEIGHTS_FILE, TOKENIZER_FILE];
    for step in 0..=6 {
        let path = here.path().join(format!("killed-{step}"));
        fs::create_dir(&path).expect("a folder");
        WHOLE.iter().for_each(|name| copy(&old.join(name), &path.join(name)));
        // Half a file, one file, both; the configuration; the first in its place, the second.
        if step == 0 {
            let bytes = fs::read(new.join(WEIGHTS_FILE)).expect("weights");
            fs::write(path.join(waiting(WEIGHTS_FILE)), &bytes[..bytes.len() / 2]).expect("written");
        }
        let written = step.min(2);
        for name in &parts[..written] {
            copy(&new.join(name), &path.join(waiting(name)));
        }
        if step >= 4 {
            copy(&new.join(CONFIG_FILE), &path.join(CONFIG_FILE));
        } else if step == 3 {
            copy(&new.join(CONFIG_FILE), &path.join(".candle-recurrent-config.json.tmp"));
        }
        for name in parts.iter().take(step.saturating_sub(4)) {
            fs::rename(path.join(waiting(name)), path.join(name)).expect("renamed");
        }
        let expected = if step >= 4 { 2 } else { 1 };
        assert_eq!(number(&path)?, expected, "step {step}");
        // The next writer ends what was begun, and leaves nothing behind.
        drop(ModelFolder::create(&path)?.claim()?);
        assert_eq!(number(&path)?, expected, "step {step}, tidied up");
        assert_eq!(names(&path), WHOLE, "step {step}");
    }
    Ok(())
}

#[test]
fn what_a_first_save_left_is_taken_over() -> Result<()> {
    let here = tempfile::tempdir().expect("a folder");
    fs::write(here.path().join(".candle-recurrent-0123456789abcdef-model.safetensors"), b"half")
        .expect("a file");
    fs::write(here.path().join(".candle-recurrent-config.json.tmp"), b"{").expect("a file");
    let folder = ModelFolder::create(here.path())?;
    let claim = folder.claim()?;
    Known::new(1)?.save(&folder)?;
    assert!(refused(folder.claim()).contains("another run is writing to it"));
    drop(claim);
    assert_eq!(names(here.path()), WHOLE);
    Ok(())
}

#[test]
fn files_of_two_models_are_refused() -> Result<()> {
    let here = tempfile::tempdir().expect("a folder");
    let (one, two) = (here.path().join("one"), here.path().join("two"));
    for (path, number) in [(&one, 1), (&two, 2)] {
        Known::new(number)?.save(&ModelFolder::create(path)?)?;
    }
    fs::copy(two.join(TOKENIZER_FILE), one.join(TOKENIZER_FILE)).expect("copied");
    assert!(
        refused(number(&one)).contains("tokenizer.json: is not the file that config.json was saved with")
    );
    fs::remove_file(one.join(TOKENIZER_FILE)).expect("removed");
    assert!(refused(number(&one)).contains("tokenizer.json: is missing: config.json was saved with it"));
    fs::remove_file(one.join(WEIGHTS_FILE)).expect("removed");
    assert!(refused(number(&one)).contains("model.safetensors: is missing"));
    Ok(())
}

/// A folder of each version from the first on loads, and so do those from before there were versions: the zoo's.
#[test]
fn a_folder_of_every_version_loads() -> Result<()> {
    for version in 1..=FORMAT_VERSION {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/folder_v{version}"));
        let folder = ModelFolder::open(&path)?;
        assert_eq!(folder.config()?.saved.map(|saved| saved.format_version), Some(version));
        let answers = folder.load(&Device::Cpu)?.predict(&["a wonderful film", "a boring film"])?;
        let expected: Vec<f32> = fs::read_to_string(path.join("expected.txt"))
            .expect("the answers")
            .lines()
            .map(|line| line.parse().expect("a number"))
            .collect();
        assert_eq!(answers.len(), expected.len());
        answers.iter().zip(&expected).for_each(|(found, expected)| assert!((found - expected).abs() < 1e-6));
        assert!(folder.optimizer_state()?.is_some());
        assert!(!folder.history()?.epochs.is_empty());
    }
    let before = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/lstm");
    assert_eq!(ModelFolder::open(&before)?.config()?.saved, None);
    assert_eq!(ModelFolder::open(before)?.load(&Device::Cpu)?.predict(&["a good film"])?.len(), 1);
    Ok(())
}

#[test]
fn a_later_version_is_refused_with_the_program_that_it_needs() -> Result<()> {
    let here = tempfile::tempdir().expect("a folder");
    Known::new(1)?.save(&ModelFolder::create(here.path())?)?;
    let path = here.path().join(CONFIG_FILE);
    let json = fs::read_to_string(&path).expect("a file");
    let later = format!("\"format_version\": {},\n    \"a_field_to_come\": 1", FORMAT_VERSION + 1);
    let json = json.replace(&format!("\"format_version\": {FORMAT_VERSION}"), &later);
    let json = json.replace(env!("CARGO_PKG_VERSION"), "7.8.9");
    fs::write(&path, json).expect("written");
    let refusal = refused(ModelFolder::open(here.path())?.load(&Device::Cpu));
    assert!(refusal.contains("config.json: is of format version 2"), "{refusal}");
    assert!(refusal.ends_with("it needs candle-recurrent 7.8.9 or later"), "{refusal}");
    assert!(matches!(ModelFolder::open(here.path())?.config(), Err(Error::File { .. })));
    Ok(())
}
