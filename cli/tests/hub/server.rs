//! A server on this machine that answers as the Hub does, and another one for the bytes of large files, as the Hub has it.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use tiny_http::{Header, Method, Request, Response, Server, StatusCode};

/// The files of a commit by their names.
pub type Files = BTreeMap<String, Vec<u8>>;

#[derive(Default)]
pub struct Repository {
    /// The commit that a branch is at.
    pub branches: BTreeMap<String, String>,
    pub commits: BTreeMap<String, Files>,
    pub is_private: bool,
    pub is_gated: bool,
}

/// What a request is answered with in place of the truth, so many times.
#[derive(Clone)]
pub struct Fault {
    pub method: &'static str,
    /// A part of the path.
    pub path: &'static str,
    pub status: u16,
    pub body: Vec<u8>,
    pub times: usize,
}

#[derive(Default)]
pub struct State {
    /// By `models/me/x` and `datasets/me/x`.
    pub repositories: BTreeMap<String, Repository>,
    pub faults: Vec<Fault>,
    /// `GET /api/…`, and the token that came with it.
    pub log: Vec<(String, Option<String>)>,
    /// The bytes of large files by their hash.
    pub large: BTreeMap<String, Vec<u8>>,
    /// The lines of each commit that was made.
    pub commits: Vec<Vec<Value>>,
    /// Large files are asked for in parts of so many bytes.
    pub chunk: Option<usize>,
    /// Whether large files come one byte short.
    pub cuts: bool,
}

/// The token that opens everything.
pub const TOKEN: &str = "hf_right";

pub struct Hub {
    pub address: String,
    pub storage: String,
    state: Arc<Mutex<State>>,
}

pub fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn is_large(name: &str) -> bool {
    [".safetensors", ".h5", ".keras", ".parquet", ".png"].iter().any(|ending| name.ends_with(ending))
}

impl Hub {
    pub fn start() -> Self {
        let (hub, storage) = (Server::http("127.0.0.1:0").unwrap(), Server::http("127.0.0.1:0").unwrap());
        let address = |server: &Server| format!("http://{}", server.server_addr());
        let state = Arc::new(Mutex::new(State::default()));
        let it = Self { address: address(&hub), storage: address(&storage), state: state.clone() };
        let (own, other) = (it.address.clone(), it.storage.clone());
        let shared = state.clone();
        std::thread::spawn(move || hub.incoming_requests().for_each(|it| answer(it, &shared, &own, &other)));
        std::thread::spawn(move || storage.incoming_requests().for_each(|it| store(it, &state)));
        it
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Commits files to a branch, and gives the commit.
    pub fn put(&self, repository: &str, branch: &str, files: &[(&str, &[u8])]) -> String {
        let files = files.iter().map(|(name, bytes)| (name.to_string(), bytes.to_vec())).collect();
        commit(&mut self.state(), repository, branch, files)
    }

    /// The files at the end of a branch.
    pub fn files(&self, repository: &str, branch: &str) -> Files {
        let state = self.state();
        let repository = &state.repositories[repository];
        repository.commits[&repository.branches[branch]].clone()
    }

    pub fn fault(&self, method: &'static str, path: &'static str, status: u16, times: usize) {
        self.state().faults.push(Fault { method, path, status, body: vec![], times });
    }

    /// How many requests there were since the last time.
    pub fn requests(&self) -> Vec<String> {
        std::mem::take(&mut self.state().log).into_iter().map(|(request, _)| request).collect()
    }
}

fn commit(state: &mut State, repository: &str, branch: &str, files: Files) -> String {
    for bytes in files.iter().filter(|(name, _)| is_large(name)).map(|(_, bytes)| bytes) {
        state.large.insert(hash(bytes), bytes.clone());
    }
    let repository = state.repositories.entry(repository.into()).or_default();
    let id = hash(format!("{branch}{}{files:?}", repository.commits.len()).as_bytes())[..40].to_string();
    repository.branches.insert(branch.into(), id.clone());
    repository.commits.insert(id.clone(), files);
    id
}

fn header(name: &str, value: &str) -> Header {
    Header::from_bytes(name, value).unwrap()
}

fn field(request: &Request, name: &'static str) -> Option<String> {
    request.headers().iter().find(|it| it.field.equiv(name)).map(|it| it.value.to_string())
}

fn fault(request: &Request, state: &mut State) -> Option<Fault> {
    let (method, url) = (request.method().to_string(), request.url().to_string());
    state.log.push((format!("{method} {url}"), field(request, "Authorization")));
    let hits = |it: &&mut Fault| it.times > 0 && it.method == method && url.contains(it.path);
    let fault = state.faults.iter_mut().find(hits)?;
    fault.times -= 1;
    Some(fault.clone())
}

fn say(request: Request, status: u16, code: &str, body: Vec<u8>) {
    let response = Response::from_data(body).with_status_code(StatusCode(status));
    let response = match code {
        "" => response,
        code => response.with_header(header("X-Error-Code", code)),
    };
    let _ = request.respond(response);
}

fn json_answer(request: Request, value: &Value) {
    say(request, 200, "", value.to_string().into_bytes());
}

/// The repository and the revision of a path, and what follows.
fn find<'a>(
    state: &'a State,
    kind: &str,
    owner: &str,
    name: &str,
    token: bool,
) -> Result<&'a Repository, (u16, &'static str)> {
    match state.repositories.get(&format!("{kind}/{owner}/{name}")) {
        Some(it) if it.is_private && !token => Err((401, "RepoNotFound")),
        Some(it) if it.is_gated && !token => Err((403, "GatedRepo")),
        Some(it) => Ok(it),
        None if token => Err((404, "RepoNotFound")),
        None => Err((401, "RepoNotFound")),
    }
}

fn at<'a>(
    repository: &'a Repository,
    revision: &str,
) -> Result<(&'a String, &'a Files), (u16, &'static str)> {
    let revision = revision.replace("%2F", "/");
    let id = repository.branches.get(&revision).unwrap_or(&revision);
    repository.commits.get_key_value(id).ok_or((404, "RevisionNotFound"))
}

fn answer(mut request: Request, state: &Mutex<State>, own: &str, storage: &str) {
    let mut state = state.lock().unwrap();
    let mut sent = vec![];
    request.as_reader().read_to_end(&mut sent).unwrap();
    if let Some(fault) = fault(&request, &mut state) {
        return say(request, fault.status, "", fault.body);
    }
    let token = field(&request, "Authorization").is_some_and(|it| it == format!("Bearer {TOKEN}"));
    let url = request.url().trim_start_matches('/').to_string();
    let parts: Vec<&str> = url.split('/').collect();
    let is_post = *request.method() == Method::Post;
    if is_post && !token {
        return say(request, 401, "", br#"{"error": "Invalid username or password."}"#.to_vec());
    }
    match parts.as_slice() {
        ["api", kind, owner, name, "revision", revision] => {
            let found = find(&state, kind, owner, name, token)
                .and_then(|repository| Ok((repository, at(repository, revision)?)));
            match found {
                Err((status, code)) => say(request, status, code, vec![]),
                Ok((repository, (id, files))) => {
                    let siblings: Vec<Value> =
                        files.keys().map(|name| json!({ "rfilename": name })).collect();
                    let said = json!({ "sha": id, "siblings": siblings, "private": repository.is_private, "id": "x" });
                    json_answer(request, &said);
                }
            }
        }
        ["datasets", owner, name, "resolve", revision, path @ ..] => {
            resolve(request, &state, ["datasets", owner, name], revision, &path.join("/"), token, storage);
        }
        [owner, name, "resolve", revision, path @ ..] => {
            resolve(request, &state, ["models", owner, name], revision, &path.join("/"), token, storage);
        }
        ["api", "repos", "create"] => {
            let said: Value = serde_json::from_slice(&sent).unwrap();
            assert_eq!(said["type"], "model");
            let name =
                format!("{}/{}", said["organization"].as_str().unwrap(), said["name"].as_str().unwrap());
            let key = format!("models/{name}");
            if state.repositories.contains_key(&key) {
                return say(request, 409, "", vec![]);
            }
            let first = Files::from([(".gitattributes".into(), b"*.safetensors lfs".to_vec())]);
            commit(&mut state, &key, "main", first);
            state.repositories.get_mut(&key).unwrap().is_private = said["private"] == true;
            json_answer(request, &json!({ "url": format!("{own}/{name}") }));
        }
        ["api", "models", _, _, "preupload", _] => {
            let said: Value = serde_json::from_slice(&sent).unwrap();
            let modes = said["files"].as_array().unwrap().iter().map(|file| {
                let mode = if is_large(file["path"].as_str().unwrap()) { "lfs" } else { "regular" };
                json!({ "path": file["path"], "uploadMode": mode, "shouldIgnore": false, "oid": null })
            });
            json_answer(request, &json!({ "files": modes.collect::<Vec<_>>() }));
        }
        [_, name, "info", "lfs", "objects", "batch"] if name.ends_with(".git") => {
            let said: Value = serde_json::from_slice(&sent).unwrap();
            let objects = said["objects"].as_array().unwrap().iter().map(|object| {
                let id = object["oid"].as_str().unwrap();
                let mut answer = json!({ "oid": id, "size": object["size"] });
                if !state.large.contains_key(id) {
                    let verify = json!({ "href": format!("{own}/verify/{id}") });
                    answer["actions"] =
                        json!({ "upload": { "href": format!("{storage}/{id}") }, "verify": verify });
                    if let Some(chunk) = state.chunk {
                        let size = object["size"].as_u64().unwrap() as usize;
                        let mut fields = json!({ "chunk_size": chunk.to_string() });
                        for part in 1..=size.div_ceil(chunk) {
                            fields[format!("{part:05}")] = json!(format!("{storage}/part/{part}"));
                        }
                        answer["actions"]["upload"] =
                            json!({ "href": format!("{own}/whole/{id}"), "header": fields });
                    }
                }
                answer
            });
            let answer = json!({ "objects": objects.collect::<Vec<_>>(), "transfer": "basic" });
            json_answer(request, &answer);
        }
        ["whole", id] => {
            let said: Value = serde_json::from_slice(&sent).unwrap();
            let parts = said["parts"].as_array().unwrap().iter();
            let bytes: Vec<u8> =
                parts.flat_map(|part| state.large[part["etag"].as_str().unwrap()].clone()).collect();
            assert_eq!(hash(&bytes), *id);
            state.large.insert(id.to_string(), bytes);
            json_answer(request, &json!({}));
        }
        ["verify", id] => {
            let is_here = state.large.contains_key(*id);
            say(request, if is_here { 200 } else { 404 }, "", b"{}".to_vec());
        }
        ["api", "models", owner, name, "branch", branch] => {
            let repository = state.repositories.get_mut(&format!("models/{owner}/{name}")).unwrap();
            let main = repository.branches["main"].clone();
            repository.branches.insert(branch.replace("%2F", "/"), main);
            json_answer(request, &json!({}));
        }
        ["api", "models", owner, name, "commit", branch] => {
            let key = format!("models/{owner}/{name}");
            let lines = sent.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
            let lines: Vec<Value> = lines.map(|line| serde_json::from_slice(line).unwrap()).collect();
            let branch = branch.replace("%2F", "/");
            let repository = &state.repositories[&key];
            let last = repository.branches[&branch].clone();
            let mut files = repository.commits[&last].clone();
            for line in &lines {
                let value = &line["value"];
                let path = || value["path"].as_str().unwrap().to_string();
                match line["key"].as_str().unwrap() {
                    "header" if value["parentCommit"].as_str().is_some_and(|parent| parent != last) => {
                        return say(request, 412, "", vec![]);
                    }
                    "header" => {}
                    "file" => {
                        use base64::Engine;
                        let engine = base64::engine::general_purpose::STANDARD;
                        files.insert(path(), engine.decode(value["content"].as_str().unwrap()).unwrap());
                    }
                    "lfsFile" => {
                        let bytes = state.large[value["oid"].as_str().unwrap()].clone();
                        assert_eq!(value["size"], bytes.len());
                        files.insert(path(), bytes);
                    }
                    "deletedFile" => drop(files.remove(&path())),
                    other => panic!("a line of the kind {other}"),
                }
            }
            state.commits.push(lines);
            let id = commit(&mut state, &key, &branch, files);
            let said = json!({ "success": true, "commitOid": id, "commitUrl": format!("{own}/{owner}/{name}/commit/{id}") });
            json_answer(request, &said);
        }
        _ => say(request, 404, "", vec![]),
    }
}

fn resolve(
    request: Request,
    state: &State,
    [kind, owner, name]: [&str; 3],
    revision: &str,
    path: &str,
    token: bool,
    storage: &str,
) {
    let path = path.replace("%20", " ");
    let found = find(state, kind, owner, name, token).and_then(|repository| at(repository, revision));
    let (id, bytes) = match found.map(|(id, files)| (id, files.get(&path))) {
        Err((status, code)) => return say(request, status, code, vec![]),
        Ok((_, None)) => return say(request, 404, "EntryNotFound", vec![]),
        Ok((id, Some(bytes))) => (id, bytes.clone()),
    };
    let tag = hash(&bytes);
    let commit = header("X-Repo-Commit", id);
    if is_large(&path) {
        let answer = Response::empty(StatusCode(302))
            .with_header(commit)
            .with_header(header("X-Linked-ETag", &format!("\"{tag}\"")))
            .with_header(header("X-Linked-Size", &bytes.len().to_string()))
            .with_header(header("ETag", "\"another\""))
            .with_header(header("Location", &format!("{storage}/{tag}?secret=1")));
        let _ = request.respond(answer);
    } else {
        let answer = Response::from_data(bytes)
            .with_header(commit)
            .with_header(header("ETag", &format!("\"{}\"", &tag[..40])));
        let _ = request.respond(answer);
    }
}

/// The server of large files.
fn store(mut request: Request, state: &Mutex<State>) {
    let mut sent = vec![];
    request.as_reader().read_to_end(&mut sent).unwrap();
    let mut state = state.lock().unwrap();
    if let Some(fault) = fault(&request, &mut state) {
        return say(request, fault.status, "", fault.body);
    }
    let path = request.url().trim_start_matches('/').split('?').next().unwrap_or_default().to_string();
    if *request.method() == Method::Put {
        assert!(field(&request, "Content-Length").is_some(), "such servers take no chunks");
        let id = hash(&sent);
        assert!(path == id || path.starts_with("part/"));
        state.large.insert(id.clone(), sent);
        let _ = request.respond(Response::empty(200).with_header(header("ETag", &id)));
        return;
    }
    let Some(mut bytes) = state.large.get(&path).cloned() else { return say(request, 404, "", vec![]) };
    let all = bytes.len();
    let range = field(&request, "Range");
    let from = range.as_deref().and_then(|it| it.strip_prefix("bytes=")?.split('-').next()?.parse().ok());
    let from: usize = from.unwrap_or(0);
    if state.cuts {
        bytes.truncate(all - 1);
    }
    if from >= all {
        return say(request, 416, "", vec![]);
    }
    let response = Response::from_data(bytes[from.min(bytes.len())..].to_vec());
    let response = match range {
        Some(_) => response
            .with_status_code(206)
            .with_header(header("Content-Range", &format!("bytes {from}-{}/{all}", all - 1))),
        None => response,
    };
    let _ = request.respond(response);
}
