//! Models that are uploaded.

use super::server::{Fault, hash};
use super::{Desk, fails, json, stdout};
use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;
use std::fs;

const NAMES: [&str; 7] = [
    "README.md",
    "config.json",
    "history.csv",
    "loss.png",
    "loss.svg",
    "model.safetensors",
    "tokenizer.json",
];

/// What is uploaded is what comes back, byte by byte, and nothing that lies beside it.
#[test]
fn a_model_comes_back_as_it_went() {
    let desk = Desk::new();
    let (folder, files) = desk.zoo("lstm");
    fs::write(folder.join("secrets.txt"), "mine").unwrap();
    fs::create_dir(folder.join("notes")).unwrap();
    let run = folder.to_str().unwrap();

    let dry = stdout(desk.offline(&["push", run, "me/my-lstm", "--dry-run"]));
    for name in NAMES {
        assert!(dry.contains(name), "{name} is not in:\n{dry}");
    }
    assert!(dry.contains("would stay here: notes, secrets.txt"), "{dry}");
    assert!(dry.contains("would go to hf://me/my-lstm ("), "{dry}");
    assert_eq!(desk.hub.requests(), [""; 0]);

    let report = json(desk.run(&["push", run, "me/my-lstm", "--private", "--json"]));
    assert_eq!(report["url"], format!("{}/me/my-lstm", desk.hub.address));
    let there = desk.hub.files("models/me/my-lstm", "main");
    let names: Vec<&str> =
        there.keys().map(String::as_str).filter(|name| *name != ".gitattributes").collect();
    assert_eq!(names, NAMES);
    for (name, bytes) in files.iter().filter(|(name, _)| name != "README.md") {
        assert!(there[name] == *bytes, "{name}");
    }
    assert!(desk.hub.state().repositories["models/me/my-lstm"].is_private);
    let log = desk.hub.requests();
    assert!(log.last().unwrap().contains("/commit/main"), "the commit comes last: {log:?}");
    let lines = desk.hub.state().commits.pop().unwrap();
    assert_eq!(lines[0]["value"]["summary"], "Upload lstm with candle-recurrent");
    let kind = |name: &str| lines.iter().find(|line| line["value"]["path"] == name).unwrap()["key"].clone();
    assert_eq!((kind("model.safetensors"), kind("config.json")), ("lfsFile".into(), "file".into()));

    // The card says where the model is, in YAML that the Hub reads.
    let card = String::from_utf8(there["README.md"].clone()).unwrap();
    let (front, text) = card.strip_prefix("---\n").unwrap().split_once("\n---\n").unwrap();
    assert!(front.starts_with("library_name: candle\n") && front.contains("\ntags:\n- candle\n"), "{front}");
    assert!(front.contains("\nmetrics:\n- accuracy") && !front.contains("license"), "{front}");
    assert!(
        text.contains("candle-recurrent predict hf://me/my-lstm ") && !text.contains("PATH/TO"),
        "{text}"
    );

    let back = stdout(desk.run(&["convert", "hf://me/my-lstm", "back"]));
    assert!(back.contains("written: back"));
    for name in ["config.json", "model.safetensors", "tokenizer.json", "history.csv"] {
        let expected = &files.iter().find(|(it, _)| it == name).unwrap().1;
        assert!(fs::read(desk.path().join("back").join(name)).unwrap() == *expected, "{name}");
    }

    // The bytes of the weights are known there: nobody sends them twice.
    desk.hub.requests();
    desk.run(&["push", run, "me/my-lstm"]).success().stdout(contains("pushed: "));
    assert!(!desk.hub.requests().iter().any(|request| request.starts_with("PUT")));
}

/// Takes out of `config.json` what it says of the files beside it, as one does who changes them.
fn without_sums(model: &std::path::Path) {
    let path = model.join("config.json");
    let mut config: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    config.as_object_mut().unwrap().remove("checkpoint").unwrap();
    fs::write(path, config.to_string()).unwrap();
}

#[test]
fn a_branch_is_made_and_nothing_stale_stays() {
    let desk = Desk::new();
    let (folder, files) = desk.zoo("gru");
    desk.put("models/me/gru", "main", &files);
    let before = desk.hub.files("models/me/gru", "main");
    fs::remove_file(folder.join("tokenizer.json")).unwrap();
    without_sums(&folder);
    fs::write(folder.join("README.md"), "# Mine\n").unwrap();
    let run = folder.to_str().unwrap();
    let out = desk.run(&["push", run, "me/gru", "--revision", "no/words", "--message", "Ids alone"]);
    out.success()
        .stdout(contains("removed there: tokenizer.json").and(contains("summary hf://me/gru@no%2Fwords")));
    assert!(desk.hub.files("models/me/gru", "main") == before);
    let there = desk.hub.files("models/me/gru", "no/words");
    assert!(!there.contains_key("tokenizer.json"));
    let card = String::from_utf8(there["README.md"].clone()).unwrap();
    assert!(card.starts_with("---\nlibrary_name: candle\n") && card.ends_with("---\n\n# Mine\n"), "{card}");
    stdout(desk.run(&["summary", "hf://me/gru@no%2Fwords"]));
    // A card of the user's own, front matter and all, goes as it is.
    fs::write(folder.join("README.md"), "---\nlicense: mit\n---\n# Mine\n").unwrap();
    desk.run(&["push", run, "me/gru"]).success();
    assert_eq!(desk.hub.files("models/me/gru", "main")["README.md"], b"---\nlicense: mit\n---\n# Mine\n");
}

#[test]
fn large_files_go_in_the_parts_that_are_asked_for() {
    let desk = Desk::new();
    let (folder, files) = desk.zoo("lstm");
    desk.hub.state().chunk = Some(10_000);
    desk.run(&["push", folder.to_str().unwrap(), "me/parts"]).success();
    let there = desk.hub.files("models/me/parts", "main");
    let weights = &files.iter().find(|(name, _)| name == "model.safetensors").unwrap().1;
    assert!(there["model.safetensors"] == *weights);
    assert!(desk.hub.requests().iter().filter(|request| request.contains("/part/")).count() > 3);
}

/// Whatever happens on the way, the repository is as it was.
#[test]
fn an_upload_that_fails_changes_nothing() {
    let desk = Desk::new();
    let (folder, _) = desk.zoo("lstm");
    desk.put("models/me/x", "main", &[("README.md".into(), b"#".to_vec())]);
    let before = desk.hub.files("models/me/x", "main");
    let run = folder.to_str().unwrap();
    let push = || desk.run(&["push", run, "me/x"]);
    fails(
        desk.anonymous(&["push", run, "me/x"]),
        "an upload needs a token with the right to write; make one at",
    );
    fails(desk.offline(&["push", run, "me/x"]), "HF_HUB_OFFLINE forbids an upload");
    fails(desk.command(&["push", run, "me/x"]).env("HF_TOKEN", "hf_wrong").assert(), "hf://me/x: ");
    desk.hub.fault("PUT", "", 500, 3);
    fails(push(), "hf://me/x/loss.png: the server answered 500");
    desk.hub.fault("POST", "/preupload/", 403, 1);
    fails(push(), "access denied; HF_TOKEN needs the right to do this");
    let weights = fs::read(folder.join("model.safetensors")).unwrap();
    let body = format!(
        r#"{{"objects": [{{"oid": "{}", "size": 1, "error": {{"code": 422, "message": "no room"}}}}]}}"#,
        hash(&weights)
    );
    let fault = Fault { method: "POST", path: "/batch", status: 200, body: body.into(), times: 1 };
    desk.hub.state().faults.push(fault.clone());
    fails(push(), "model.safetensors: no room");
    desk.hub.state().faults.push(Fault { path: "/preupload/", body: b"[]".to_vec(), ..fault });
    fails(push(), "the answer is not what the Hub says");
    desk.hub.fault("POST", "/commit/", 412, 1);
    fails(push(), "somebody else has changed it meanwhile; push again");
    desk.hub.requests();
    desk.hub.fault("POST", "/commit/", 500, 1);
    fails(push(), "hf://me/x: the server answered 500");
    assert_eq!(desk.hub.requests().iter().filter(|request| request.contains("/commit/")).count(), 1);
    fails(desk.run(&["push", run, "me/x", "--private"]), "is there already, and public");
    assert!(desk.hub.files("models/me/x", "main") == before);
    // Two failures of a server are none.
    desk.hub.fault("PUT", "", 503, 2);
    push().success();
}

#[test]
fn what_is_no_model_folder_is_not_uploaded() {
    let desk = Desk::new();
    let (folder, _) = desk.zoo("lstm");
    let run = folder.to_str().unwrap();
    fails(desk.run(&["push", "nothing", "me/x"]), "nothing: there is no such folder");
    fails(desk.run(&["push", run, "x"]), "x: names no repository; give OWNER/NAME");
    fails(desk.run(&["push", run, "me/x/y"]), "me/x/y: names no repository");
    fails(desk.run(&["push", run, "me/x", "--revision", "../y"]), "names no revision");
    fs::write(folder.join("model.safetensors"), b"damaged").unwrap();
    desk.run(&["push", run, "me/x"]).code(1).stderr(contains("model.safetensors"));
    fs::remove_file(folder.join("model.safetensors")).unwrap();
    fails(desk.run(&["push", run, "me/x"]), "model.safetensors: is missing");
    assert_eq!(desk.hub.requests(), [""; 0]);
    let (gru, _) = desk.zoo("gru");
    let dry = json(desk.run(&["push", gru.to_str().unwrap(), "me/x", "--dry-run", "--json"]));
    assert_eq!(dry["commit"], Value::Null);
}
