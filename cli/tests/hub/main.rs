//! Models and data sets of the Hugging Face Hub, from the command line, against a server on this machine.

mod data;
mod measurements;
mod models;
mod push;
mod server;

use assert_cmd::Command;
use assert_cmd::assert::Assert;
use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;
use server::{Hub, TOKEN};
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures");

/// A folder to work in, with a cache of its own, and a Hub.
struct Desk {
    folder: TempDir,
    hub: Hub,
}

impl Desk {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), hub: Hub::start() }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_candle-recurrent"));
        command
            .current_dir(self.path())
            .env("HF_HOME", self.path().join("hf"))
            .env("HF_ENDPOINT", &self.hub.address)
            .env("HF_TOKEN", TOKEN)
            .env("NO_PROXY", "127.0.0.1")
            .env_remove("HF_HUB_OFFLINE")
            .env_remove("HF_HUB_CACHE")
            .env_remove("HF_TOKEN_PATH")
            .args(args);
        command
    }

    fn run(&self, args: &[&str]) -> Assert {
        self.command(args).assert()
    }

    fn offline(&self, args: &[&str]) -> Assert {
        self.command(args).env("HF_HUB_OFFLINE", "1").assert()
    }

    fn anonymous(&self, args: &[&str]) -> Assert {
        self.command(args).env_remove("HF_TOKEN").assert()
    }

    /// The files of a model folder of the zoo's model `name`.
    fn zoo(&self, name: &str) -> (PathBuf, Vec<(String, Vec<u8>)>) {
        let folder = self.path().join(format!("{name}-run"));
        if !folder.exists() {
            self.run(&["convert", name, folder.to_str().unwrap()]).success();
        }
        let entries = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
        let file = |path: PathBuf| {
            (path.file_name().unwrap().to_str().unwrap().to_string(), fs::read(&path).unwrap())
        };
        (folder, entries.map(file).collect())
    }

    fn put(&self, repository: &str, branch: &str, files: &[(String, Vec<u8>)]) -> String {
        let files: Vec<(&str, &[u8])> =
            files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
        self.hub.put(repository, branch, &files)
    }
}

fn fails(assert: Assert, line: &str) {
    let one_line = predicate::function(|text: &str| text.lines().count() == 1 && text.starts_with("error: "));
    assert.code(1).stdout("").stderr(one_line).stderr(contains(line));
}

fn stdout(assert: Assert) -> String {
    String::from_utf8(assert.success().get_output().stdout.clone()).unwrap()
}

fn json(assert: Assert) -> Value {
    serde_json::from_slice(&assert.success().get_output().stdout).expect("JSON")
}

fn fixture(name: &str) -> Vec<u8> {
    fs::read(Path::new(FIXTURES).join(name)).unwrap()
}

/// The members of a `.keras`.
fn members(name: &str) -> Vec<(String, Vec<u8>)> {
    use std::io::{Cursor, Read};
    let mut archive = zip::ZipArchive::new(Cursor::new(fixture(name))).unwrap();
    (0..archive.len())
        .map(|index| {
            let mut member = archive.by_index(index).unwrap();
            let mut bytes = vec![];
            member.read_to_end(&mut bytes).unwrap();
            (member.name().unwrap().to_string(), bytes)
        })
        .collect()
}
