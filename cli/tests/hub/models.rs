//! Models by their addresses.

use super::server::{TOKEN, hash};
use super::{Desk, fails, fixture, members, stdout};
use predicates::prelude::*;
use predicates::str::contains;
use std::fs;

const TEXT: &str = "I expected to hate it, but it is lovely";

/// The same answer as from the folder, with the files that it takes and no others; once here, it stays.
#[test]
fn a_model_folder_is_fetched_once() {
    let desk = Desk::new();
    let (folder, files) = desk.zoo("lstm");
    let expected = stdout(desk.run(&["predict", folder.to_str().unwrap(), TEXT]));
    let commit = desk.put("models/me/lstm", "main", &files);
    assert_eq!(stdout(desk.run(&["predict", "hf://me/lstm", TEXT])), expected);
    let log: Vec<(String, Option<String>)> = std::mem::take(&mut desk.hub.state().log);
    let asked: Vec<&str> = log.iter().map(|(request, _)| request.rsplit('/').next().unwrap()).collect();
    let weights = &files.iter().find(|(name, _)| name == "model.safetensors").unwrap().1;
    let stored = format!("{}?secret=1", hash(weights));
    assert_eq!(asked, ["main", "config.json", "model.safetensors", &stored, "tokenizer.json"]);
    for (request, token) in log {
        let is_stored = request.contains("secret");
        assert_eq!(token, (!is_stored).then(|| format!("Bearer {TOKEN}")), "{request}");
    }

    // Python's layout.
    let cache = desk.path().join("hf/hub/models--me--lstm");
    assert_eq!(fs::read_to_string(cache.join("refs/main")).unwrap(), commit);
    let snapshot = cache.join("snapshots").join(&commit);
    assert_eq!(fs::read(cache.join("blobs").join(hash(weights))).unwrap(), *weights);
    assert_eq!(fs::read(snapshot.join("model.safetensors")).unwrap(), *weights);
    #[cfg(unix)]
    assert_eq!(
        fs::read_link(snapshot.join("model.safetensors")).unwrap().to_str().unwrap(),
        format!("../../blobs/{}", hash(weights))
    );

    // Again: one question, which commit it is. A commit is known for good.
    assert_eq!(stdout(desk.run(&["predict", "hf://me/lstm", TEXT])), expected);
    assert_eq!(desk.hub.requests(), ["GET /api/models/me/lstm/revision/main"]);
    let at = format!("hf://me/lstm@{commit}");
    assert_eq!(stdout(desk.run(&["predict", &at, TEXT])), expected);
    assert_eq!(stdout(desk.offline(&["predict", "hf://me/lstm", TEXT])), expected);
    assert_eq!(desk.hub.requests(), [""; 0]);
    // No server at all.
    desk.command(&["predict", "hf://me/lstm", TEXT])
        .env("HF_ENDPOINT", "http://127.0.0.1:9")
        .assert()
        .success()
        .stdout(expected.clone())
        .stderr(contains("warning: ").and(contains("what was fetched earlier is taken")));
    // A server in trouble.
    desk.hub.fault("GET", "/api/", 503, 9);
    desk.run(&["predict", "hf://me/lstm", TEXT]).success().stdout(expected).stderr(contains("503"));
}

#[test]
fn revisions_are_told_apart_and_a_branch_moves_on() {
    let desk = Desk::new();
    let (lstm, gru) = (desk.zoo("lstm").1, desk.zoo("gru").1);
    let first = desk.put("models/me/x", "main", &lstm);
    desk.put("models/me/x", "v2", &gru);
    desk.put("models/me/x", "feature/rnn", &desk.zoo("simple-rnn").1);
    let summary = |address: &str| stdout(desk.run(&["summary", address]));
    assert!(summary("hf://me/x").contains("LSTM"));
    assert!(summary("hf://me/x@v2").contains("GRU"));
    assert!(summary("hf://me/x@feature%2Frnn").contains("SimpleRNN"));
    assert!(summary(&format!("hf://me/x@{first}")).contains("LSTM"));
    desk.put("models/me/x", "main", &gru);
    assert!(summary("hf://me/x").contains("GRU"));
    assert!(stdout(desk.offline(&["summary", "hf://me/x"])).contains("GRU"));
    assert!(summary(&format!("hf://me/x@{first}")).contains("LSTM"));
    fails(desk.run(&["summary", "hf://me/x@v3"]), "hf://me/x@v3: there is no revision v3");
    fails(desk.offline(&["summary", "hf://me/x@v3"]), "HF_HUB_OFFLINE forbids a download");
}

#[test]
fn all_commands_take_it() {
    let desk = Desk::new();
    let (folder, files) = desk.zoo("gru");
    desk.put("models/me/gru", "main", &files);
    let here = folder.to_str().unwrap();
    let evaluate = |model: &str| stdout(desk.run(&["evaluate", model])).replace(model, "");
    assert_eq!(evaluate("hf://me/gru"), evaluate(here));
    desk.hub.requests();
    stdout(desk.run(&["plot", "hf://me/gru", "--out", "gru.svg"]));
    let log = desk.hub.requests().join(" ");
    assert!(log.contains("history.csv") && !log.contains("safetensors"), "{log}");
    for out in ["a.keras", "again"] {
        stdout(desk.run(&["convert", "hf://me/gru", out]));
    }
    for name in ["model.safetensors", "history.csv", "tokenizer.json", "config.json"] {
        assert!(
            fs::read(folder.join(name)).unwrap() == fs::read(desk.path().join("again").join(name)).unwrap(),
            "{name}"
        );
    }
    // A recipe of the Hub, and weights of the Hub.
    desk.run(&["train", "hf://me/gru", "--epochs", "1", "--out", "new"]).success();
    desk.run(&["train", "gru", "--init", "hf://me/gru", "--epochs", "1", "--out", "more"]).success();
    let loss = |run: &str| {
        let text = fs::read_to_string(desk.path().join(run).join("history.csv")).unwrap();
        text.lines().nth(1).unwrap().to_string()
    };
    assert_ne!(loss("new"), loss("more"));
    let (desk, _) = (Desk::new(), &files);
    desk.put("models/me/gru", "main", &files);
    desk.run(&["train", "hf://me/gru", "--epochs", "1", "--out", "new"]).success();
    assert!(!desk.hub.requests().join(" ").contains("safetensors"), "its layers and recipe alone");
}

#[test]
fn files_of_kerass_are_found() {
    let desk = Desk::new();
    let (forecast, old) = (fixture("k3_recurrent.keras"), fixture("old_keras_2_1.h5"));
    let local = stdout(desk.run(&["summary", &format!("{}/k3_recurrent.keras", super::FIXTURES)]));
    let summary = |address: &str| stdout(desk.run(&["summary", address]));
    desk.hub.put("models/me/one", "main", &[("README.md", b"#"), ("a model.keras", &forecast)]);
    assert_eq!(summary("hf://me/one"), local);
    desk.hub.put(
        "models/me/several",
        "main",
        &[("a.keras", &forecast), ("b.keras", &forecast), ("old/c.h5", &old), ("w.weights.h5", &old)],
    );
    fails(
        desk.run(&["summary", "hf://me/several"]),
        "holds several models: a.keras, b.keras; name one: hf://me/several/a.keras",
    );
    assert_eq!(summary("hf://me/several/b.keras"), local);
    assert!(summary("hf://me/several/old/c.h5").contains("LSTM"));
    assert!(summary("hf://me/several/old").contains("LSTM"));
    fails(
        desk.run(&["summary", "hf://me/several/c.keras"]),
        "there is no such file or folder; there are a.keras, b.keras",
    );

    // As keras.saving.save_model(model, "hf://me/pushed") pushes it.
    let mut files = members("k3_recurrent.keras");
    files.push(("README.md".into(), b"---\nlibrary_name: keras\n---\n".to_vec()));
    desk.put("models/me/pushed", "main", &files);
    desk.hub.requests();
    assert_eq!(summary("hf://me/pushed"), local);
    assert!(!desk.hub.requests().join(" ").contains("README"));
    // A vocabulary beside it, and all of it in a folder.
    let path = format!("{}/texts_k3_adapted.keras", super::FIXTURES);
    let files: Vec<(String, Vec<u8>)> = members("texts_k3_adapted.keras")
        .into_iter()
        .map(|(name, bytes)| (format!("deep/in/{name}"), bytes))
        .collect();
    desk.put("models/me/texts", "main", &files);
    let predict = |model: &str| stdout(desk.run(&["predict", model, "a good film", "bad"]));
    assert_eq!(predict("hf://me/texts/deep/in"), predict(&path));
}

#[test]
fn what_is_no_model_is_said() {
    let desk = Desk::new();
    let summary = |address: &str| desk.run(&["summary", address]);
    desk.hub.put("models/me/none", "main", &[("README.md", b"#"), ("notes.txt", b"x")]);
    fails(
        summary("hf://me/none"),
        "hf://me/none: holds no model: no model folder, no .keras and no .h5; it holds README.md, notes.txt",
    );
    desk.hub.put(
        "models/me/bert",
        "main",
        &[("config.json", br#"{"model_type": "bert"}"#), ("model.safetensors", b"x")],
    );
    fails(summary("hf://me/bert"), "is a model of the library Transformers, which is not read");
    assert!(!desk.hub.requests().join(" ").contains("safetensors"));
    desk.hub.put("models/me/saved", "main", &[("saved_model.pb", b"x")]);
    fails(summary("hf://me/saved"), "is a TensorFlow SavedModel");
    desk.hub.put("models/me/empty", "main", &[]);
    fails(summary("hf://me/empty"), "hf://me/empty: holds no files");
    fails(summary("hf://datasets/me/x"), "is a data set; a model is hf://OWNER/NAME");
    fails(summary("hf://gpt2"), "hf://gpt2: give hf://OWNER/NAME");
    fails(summary("hf://me/../x"), "hf://me/../x");
}

#[test]
fn access_is_a_matter_of_the_token() {
    let desk = Desk::new();
    let files = desk.zoo("lstm").1;
    desk.put("models/me/private", "main", &files);
    desk.put("models/me/gated", "main", &files);
    desk.hub.state().repositories.get_mut("models/me/private").unwrap().is_private = true;
    desk.hub.state().repositories.get_mut("models/me/gated").unwrap().is_gated = true;
    fails(
        desk.anonymous(&["summary", "hf://me/private"]),
        "hf://me/private: there is no such repository, or it is private; HF_TOKEN gives access",
    );
    fails(desk.anonymous(&["summary", "hf://me/gated"]), "access has to be asked for");
    fails(desk.run(&["summary", "hf://me/nothing"]), "hf://me/nothing: there is no such repository");
    stdout(desk.run(&["summary", "hf://me/private"]));
    fs::write(desk.path().join("token"), format!("{TOKEN}\n")).unwrap();
    desk.command(&["summary", "hf://me/gated"])
        .env_remove("HF_TOKEN")
        .env("HF_TOKEN_PATH", desk.path().join("token"))
        .assert()
        .success();
}

#[test]
fn trouble_on_the_way_is_one_line() {
    let desk = Desk::new();
    let files = desk.zoo("lstm").1;
    desk.put("models/me/lstm", "main", &files);
    let predict = || desk.run(&["predict", "hf://me/lstm", TEXT]);
    // Twice is no trouble yet.
    desk.hub.fault("GET", "/api/models", 502, 2);
    desk.hub.fault("GET", "resolve", 503, 2);
    predict().success();
    fs::remove_dir_all(desk.path().join("hf")).unwrap();
    desk.hub.fault("GET", "/api/models", 500, 3);
    fails(predict(), "hf://me/lstm: the server answered 500");
    desk.hub.fault("GET", "config.json", 500, 3);
    fails(predict(), "hf://me/lstm/config.json: the server answered 500");
    desk.hub.fault("GET", "config.json", 404, 1);
    fails(predict(), "hf://me/lstm/config.json: not found");
    let nobody =
        desk.command(&["predict", "hf://me/lstm", TEXT]).env("HF_ENDPOINT", "http://127.0.0.1:9").assert();
    fails(nobody, "http://127.0.0.1:9/api/models/me/lstm/revision/main: cannot be reached");
    fails(desk.offline(&["predict", "hf://me/other", TEXT]), "hf://me/other is not in");

    let answer = |body: &str| {
        let fault = super::server::Fault {
            method: "GET",
            path: "/api/models",
            status: 200,
            body: body.into(),
            times: 1,
        };
        desk.hub.state().faults.push(fault);
    };
    answer("<html>");
    fails(predict(), "the answer is not what the Hub says");
    answer(r#"{"sha": "../../x", "siblings": []}"#);
    fails(predict(), "names the commit");
    let sha = "0123456789012345678901234567890123456789";
    for name in ["../../evil", "/etc/evil", "a/../../b", "C:\\\\evil", "a\\nb"] {
        answer(&format!(r#"{{"sha": "{sha}", "siblings": [{{"rfilename": "{name}"}}]}}"#));
        fails(predict(), "refused: it lists a file that leads out of it");
    }
    assert!(!desk.path().join("hf/hub/models--me--lstm/.listings").join(sha).exists());
}

#[test]
fn what_comes_is_held_against_its_hash() {
    let desk = Desk::new();
    let files = desk.zoo("lstm").1;
    desk.put("models/me/lstm", "main", &files);
    let weights = files.iter().find(|(name, _)| name == "model.safetensors").unwrap().1.clone();
    let predict = || desk.run(&["predict", "hf://me/lstm", TEXT]);
    let blobs = desk.path().join("hf/hub/models--me--lstm/blobs");
    let incomplete = blobs.join(format!("{}.incomplete", hash(&weights)));
    // Bytes that are missing, whatever the server says.
    desk.hub.state().cuts = true;
    fails(predict(), "hf://me/lstm/model.safetensors: the download broke off after");
    desk.hub.state().cuts = false;
    assert!(!blobs.join(hash(&weights)).exists());
    // It goes on from there.
    assert_eq!(fs::read(&incomplete).unwrap(), weights[..weights.len() - 1]);
    predict().success();
    assert!(!incomplete.exists());
    // Other bytes.
    fs::remove_dir_all(desk.path().join("hf")).unwrap();
    let mut other = weights.clone();
    other[1000] ^= 1;
    desk.hub.state().large.insert(hash(&weights), other.clone());
    fails(predict(), "what came does not have the file's hash");
    assert!(!blobs.join(hash(&weights)).exists());
    // Too many.
    other.push(0);
    desk.hub.state().large.insert(hash(&weights), other);
    fails(predict(), "the server sends more bytes than the file has");
    // What somebody left of another file is no beginning.
    desk.hub.state().large.insert(hash(&weights), weights.clone());
    fs::write(&incomplete, b"something else").unwrap();
    predict().success();
}
