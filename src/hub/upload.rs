//! Uploads: all files of one in a single commit, which comes last, so that an upload that breaks off leaves the repository as
//! it was.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::address::{Address, check_name, in_url};
use super::client::{Answer, Ask, Client, Failed, Payload};
use super::repository::Info;
use super::settings::Hub;
use crate::formats::sums::in_hex;
use crate::{Error, Result};

/// A file to upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upload {
    /// Its name in the repository.
    pub name: String,
    /// Its bytes.
    pub content: Content,
}

/// Where bytes are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// In a file.
    File(PathBuf),
    /// In memory.
    Bytes(Vec<u8>),
}

impl Content {
    /// How many bytes there are.
    ///
    /// # Errors
    /// [`Error::File`] where the file is gone.
    pub fn length(&self) -> Result<u64> {
        match self {
            Self::File(path) => Ok(path.metadata().map_err(|error| Error::io(path, error))?.len()),
            Self::Bytes(bytes) => Ok(bytes.len() as u64),
        }
    }

    fn bytes(&self) -> Result<Vec<u8>> {
        match self {
            Self::File(path) => std::fs::read(path).map_err(|error| Error::io(path, error)),
            Self::Bytes(bytes) => Ok(bytes.clone()),
        }
    }

    /// The first bytes, by which the Hub tells text from other things.
    fn sample(&self) -> Result<Vec<u8>> {
        const SAMPLE: usize = 512;
        let mut sample = Vec::with_capacity(SAMPLE);
        match self {
            Self::Bytes(bytes) => sample.extend_from_slice(&bytes[..bytes.len().min(SAMPLE)]),
            Self::File(path) => {
                let file = File::open(path).map_err(|error| Error::io(path, error))?;
                file.take(SAMPLE as u64).read_to_end(&mut sample).map_err(|error| Error::io(path, error))?;
            }
        }
        Ok(sample)
    }

    fn hash(&self) -> Result<String> {
        let mut hash = Sha256::new();
        match self {
            Self::Bytes(bytes) => hash.update(bytes),
            Self::File(path) => {
                let fail = |error| Error::io(path, error);
                let mut file = File::open(path).map_err(fail)?;
                let mut buffer = vec![0; 1 << 16];
                loop {
                    match file.read(&mut buffer).map_err(fail)? {
                        0 => break,
                        read => hash.update(&buffer[..read]),
                    }
                }
            }
        }
        Ok(in_hex(&hash.finalize()))
    }
}

/// How an upload is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadOptions {
    /// Whether a repository that has to be made is to be seen by its owner only.
    pub private: bool,
    /// The commit's message.
    pub message: String,
    /// Files that belong together with those that are uploaded: which of them the repository has, and the upload has not,
    /// is removed.
    pub together: Vec<String>,
}

/// What an upload came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uploaded {
    /// Where the repository can be looked at.
    pub url: String,
    /// The commit.
    pub commit: String,
    /// Whether the repository was made for it.
    pub is_new: bool,
    /// The files that were removed.
    pub removed: Vec<String>,
    /// The files that the repository's `.gitignore` leaves out.
    pub ignored: Vec<String>,
}

/// JSON, as it is sent.
const JSON: &str = "application/json";
/// JSON of Git LFS.
const LFS_JSON: &str = "application/vnd.git-lfs+json";

impl Hub {
    /// Uploads files in one commit, to the address's branch; makes repository and branch where they are not there.
    ///
    /// # Errors
    /// [`Error::Network`] in one line: no token, no right to write, no network, what the server refuses; [`Error::File`] where
    /// a file cannot be read. The repository is then as it was, or new and empty.
    pub fn upload(
        &self,
        address: &Address,
        files: &[Upload],
        options: &UploadOptions,
        report: &mut dyn FnMut(&str),
    ) -> Result<Uploaded> {
        if self.offline {
            return Err(Error::network(format!("{address}: HF_HUB_OFFLINE forbids an upload")));
        }
        if self.token.is_none() {
            let what = format!(
                "{address}: an upload needs a token with the right to write; make one at {}/settings/tokens and set HF_TOKEN",
                self.endpoint
            );
            return Err(Error::network(what));
        }
        for file in files {
            check_name(&file.name).map_err(|what| Error::argument(file.name.as_str(), what))?;
        }
        let uploading = Uploading { hub: self, address, client: Client::new(self) };
        uploading.run(files, options, report)
    }
}

struct Uploading<'a> {
    hub: &'a Hub,
    address: &'a Address,
    client: Client<'a>,
}

/// What is there before an upload.
struct Before {
    /// The last commit, where there is one.
    parent: Option<String>,
    names: Vec<String>,
    is_new: bool,
    /// Whether the branch is still to be made.
    needs_branch: bool,
}

/// What is to become of a file.
struct Mode {
    is_large: bool,
    is_ignored: bool,
}

impl Uploading<'_> {
    fn run(
        &self,
        files: &[Upload],
        options: &UploadOptions,
        report: &mut dyn FnMut(&str),
    ) -> Result<Uploaded> {
        let before = self.before(options, report)?;
        // A branch that is still to be made will begin where `main` ends.
        let branch = if before.needs_branch { "main" } else { self.address.revision() };
        let modes = self.modes(files, branch)?;
        let mode = |file: &Upload| modes.get(file.name.as_str());
        let (ignored, taken): (Vec<&Upload>, Vec<&Upload>) =
            files.iter().partition(|file| mode(file).is_some_and(|mode| mode.is_ignored));
        let is_large = |file: &Upload| mode(file).is_some_and(|mode| mode.is_large);
        let large = self.send_large(&taken, is_large, branch, report)?;

        let mut lines = vec![];
        let mut head = json!({ "summary": options.message, "description": "" });
        if let Some(parent) = &before.parent {
            head["parentCommit"] = json!(parent);
        }
        lines.push(json!({ "key": "header", "value": head }));
        for file in &taken {
            lines.push(match large.get(file.name.as_str()) {
                Some((hash, size)) => json!({
                    "key": "lfsFile",
                    "value": { "path": file.name, "algo": "sha256", "oid": hash, "size": size },
                }),
                None => json!({
                    "key": "file",
                    "value": {
                        "content": BASE64.encode(file.content.bytes()?),
                        "path": file.name,
                        "encoding": "base64",
                    },
                }),
            });
        }
        let uploaded: Vec<&str> = files.iter().map(|file| file.name.as_str()).collect();
        let is_stale = |name: &&String| options.together.contains(name) && !uploaded.contains(&name.as_str());
        let removed: Vec<String> = before.names.iter().filter(is_stale).cloned().collect();
        for name in &removed {
            lines.push(json!({ "key": "deletedFile", "value": { "path": name } }));
        }
        if before.needs_branch {
            let url = self.api(&format!("branch/{}", revision(self.address.revision())));
            match self.post(&url, &json!({}), JSON) {
                Ok(_) => {}
                Err(Failed::Refused(refusal)) if refusal.status == 409 => {}
                Err(failed) => return Err(self.about(failed)),
            }
        }
        report("committing");
        Ok(Uploaded {
            url: format!("{}/{}", self.hub.endpoint, self.address.place()),
            commit: self.commit(&lines)?,
            is_new: before.is_new,
            removed,
            ignored: ignored.into_iter().map(|file| file.name.clone()).collect(),
        })
    }

    fn about(&self, failed: Failed) -> Error {
        failed.about(self.hub, self.address, "")
    }

    fn senseless(&self, what: impl std::fmt::Display) -> Error {
        Error::network(format!("{}: the server's answer makes no sense: {what}", self.address))
    }

    fn api(&self, what: &str) -> String {
        format!("{}/api/{}/{what}", self.hub.endpoint, self.address.api())
    }

    fn post(&self, url: &str, value: &Value, kind: &'static str) -> std::result::Result<Answer, Failed> {
        let bytes = value.to_string().into_bytes();
        let headers: &[(&str, &str)] = if kind == LFS_JSON { &[("Accept", LFS_JSON)] } else { &[] };
        self.client.ask(&Ask { headers, ..Ask::post(url, Payload::Bytes(&bytes, kind)) })
    }

    /// Looks what is there, and makes a repository where there is none.
    fn before(&self, options: &UploadOptions, report: &mut dyn FnMut(&str)) -> Result<Before> {
        let check = |info: Info, needs_branch: bool| {
            if options.private && !info.private {
                let what = "is there already, and public; --private is for one that has yet to be made";
                return Err(Error::network(format!("{}: {what}", self.address)));
            }
            let parent = self.hub.check_info(self.address, &info)?;
            let names = info.siblings.into_iter().map(|file| file.rfilename).collect();
            Ok(Before { parent: Some(parent), names, is_new: false, needs_branch })
        };
        let main = Address { revision: None, ..self.address.clone() };
        match self.hub.info(self.address) {
            Ok(info) => check(info, false),
            Err(failed) if failed.is_missing_revision() => {
                let info = self.hub.info(&main).map_err(|failed| self.about(failed))?;
                check(info, true)
            }
            Err(failed) if failed.is_missing() => {
                report(&format!("making {}", self.address.whole()));
                let is_new = self.create(options.private)?;
                let needs_branch = self.address.revision() != main.revision();
                Ok(Before { parent: None, names: vec![], is_new, needs_branch })
            }
            Err(failed) => Err(self.about(failed)),
        }
    }

    /// Makes the repository. Whether it was there before, unseen, shows only now.
    fn create(&self, private: bool) -> Result<bool> {
        let (owner, name) = self.address.repository.split_once('/').unwrap_or_default();
        let mut what = json!({ "name": name, "organization": owner, "type": "model" });
        if private {
            what["private"] = json!(true);
        }
        match self.post(&format!("{}/api/repos/create", self.hub.endpoint), &what, JSON) {
            Ok(_) => Ok(true),
            Err(Failed::Refused(refusal)) if refusal.status == 409 => Ok(false),
            Err(failed @ Failed::Refused(_)) => {
                let why = self.about(failed);
                Err(Error::network(format!("the repository cannot be made: {why}")))
            }
            Err(failed) => Err(self.about(failed)),
        }
    }

    /// What the Hub wants to be done with each file.
    fn modes(&self, files: &[Upload], branch: &str) -> Result<HashMap<String, Mode>> {
        #[derive(Deserialize)]
        struct Modes {
            files: Vec<One>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct One {
            path: String,
            upload_mode: String,
            #[serde(default)]
            should_ignore: bool,
        }
        let describe = |file: &Upload| -> Result<Value> {
            let sample = BASE64.encode(file.content.sample()?);
            Ok(json!({ "path": file.name, "sample": sample, "size": file.content.length()? }))
        };
        let described = files.iter().map(describe).collect::<Result<Vec<_>>>()?;
        let url = self.api(&format!("preupload/{}", revision(branch)));
        let answer = self.post(&url, &json!({ "files": described }), JSON);
        let modes: Modes = answer.map_err(|failed| self.about(failed))?.json(&url)?;
        let mut found = HashMap::new();
        for one in modes.files {
            let is_large = match one.upload_mode.as_str() {
                "lfs" => true,
                "regular" => false,
                other => return Err(self.senseless(format!("an upload of the kind {other:?}"))),
            };
            found.insert(one.path, Mode { is_large, is_ignored: one.should_ignore });
        }
        match files.iter().find(|file| !found.contains_key(&file.name)) {
            Some(file) => Err(self.senseless(format!("it says nothing of {}", file.name))),
            None => Ok(found),
        }
    }

    /// Sends the bytes of large files, and gives their hashes and sizes by name. No commit names them yet.
    fn send_large<'f>(
        &self,
        files: &[&'f Upload],
        is_large: impl Fn(&Upload) -> bool,
        branch: &str,
        report: &mut dyn FnMut(&str),
    ) -> Result<BTreeMap<&'f str, (String, u64)>> {
        let mut large = BTreeMap::new();
        let mut by_hash = HashMap::new();
        for file in files.iter().filter(|file| is_large(file)) {
            let size = file.content.length()?;
            // Git LFS takes no empty files.
            if size > 0 {
                let hash = file.content.hash()?;
                by_hash.insert(hash.clone(), *file);
                large.insert(file.name.as_str(), (hash, size));
            }
        }
        if large.is_empty() {
            return Ok(large);
        }
        let objects: Vec<Value> =
            large.values().map(|(hash, size)| json!({ "oid": hash, "size": size })).collect();
        let batch = json!({
            "operation": "upload",
            "transfers": ["basic", "multipart"],
            "objects": objects,
            "hash_algo": "sha256",
            "ref": { "name": branch },
        });
        let url = format!("{}/{}.git/info/lfs/objects/batch", self.hub.endpoint, self.address.place());
        let answer = self.post(&url, &batch, LFS_JSON).map_err(|failed| self.about(failed))?;
        let batch: Batch = answer.json(&url)?;
        for object in batch.objects {
            let Some(file) = by_hash.get(&object.oid) else {
                return Err(self.senseless(format!("it speaks of {}", object.oid)));
            };
            if let Some(error) = &object.error {
                let what = format!("{}: {}: {}", self.address, file.name, error.message);
                return Err(Error::network(what));
            }
            let size = file.content.length()?;
            // Without actions the Hub has the bytes already.
            let Some(actions) = &object.actions else { continue };
            if let Some(upload) = &actions.upload {
                report(&format!("uploading {} ({:.1} MB)", file.name, size as f64 / 1e6));
                self.put(file, &object.oid, size, upload)?;
            }
            if let Some(verify) = &actions.verify {
                let said = json!({ "oid": object.oid, "size": size });
                self.post(&verify.href, &said, LFS_JSON).map_err(|failed| self.about(failed))?;
            }
        }
        Ok(large)
    }

    /// Sends the bytes of a file, whole or in the parts that the server wants.
    fn put(&self, file: &Upload, hash: &str, size: u64, action: &Action) -> Result<()> {
        let send = |url: &str, from: u64, length: u64| -> Result<Answer> {
            let payload = match &file.content {
                Content::File(path) => Payload::File { path: Path::new(path), from, length },
                Content::Bytes(bytes) => {
                    let part = bytes.get(from as usize..(from + length) as usize).unwrap_or_default();
                    Payload::Bytes(part, "application/octet-stream")
                }
            };
            let ask = Ask { method: "PUT", ..Ask::post(url, payload) };
            self.client.ask(&ask).map_err(|failed| failed.about(self.hub, self.address, &file.name))
        };
        let field = |name: &str| action.header.get(name).map(in_words);
        let Some(chunk) = field("chunk_size") else { return send(&action.href, 0, size).map(drop) };
        let chunk = chunk.parse::<u64>().ok().filter(|&chunk| chunk > 0);
        let chunk = chunk.ok_or_else(|| self.senseless("parts of no size"))?;
        let parts: BTreeMap<u64, String> = action
            .header
            .iter()
            .filter_map(|(name, url)| Some((name.parse().ok()?, url.as_str()?.to_string())))
            .collect();
        if parts.len() as u64 != size.div_ceil(chunk) {
            return Err(self.senseless(format!("{} parts of {chunk} bytes", parts.len())));
        }
        let mut sent = vec![];
        for (index, url) in parts.values().enumerate() {
            let from = chunk * index as u64;
            let answer = send(url, from, chunk.min(size - from))?;
            let tag = answer.field("ETag").ok_or_else(|| self.senseless("a part without a tag"))?;
            sent.push(json!({ "partNumber": index + 1, "etag": tag }));
        }
        let whole = json!({ "oid": hash, "parts": sent });
        self.post(&action.href, &whole, LFS_JSON).map(drop).map_err(|failed| self.about(failed))
    }

    /// The commit. It is asked for once: of an answer that was lost nobody knows whether it was made.
    fn commit(&self, lines: &[Value]) -> Result<String> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Committed {
            commit_oid: String,
        }
        let url = self.api(&format!("commit/{}", revision(self.address.revision())));
        let bytes: Vec<u8> = lines.iter().flat_map(|line| format!("{line}\n").into_bytes()).collect();
        let ask = Ask { again: false, ..Ask::post(&url, Payload::Bytes(&bytes, "application/x-ndjson")) };
        match self.client.ask(&ask) {
            Ok(answer) => Ok(answer.json::<Committed>(&url)?.commit_oid),
            Err(Failed::Refused(refusal)) if refusal.status == 412 => Err(Error::network(format!(
                "{}: somebody else has changed it meanwhile; push again",
                self.address
            ))),
            Err(failed) => Err(self.about(failed)),
        }
    }
}

/// What the LFS server wants to be done.
#[derive(Deserialize)]
struct Batch {
    objects: Vec<Object>,
}

#[derive(Deserialize)]
struct Object {
    oid: String,
    actions: Option<Actions>,
    error: Option<ObjectError>,
}

#[derive(Deserialize)]
struct ObjectError {
    #[serde(default)]
    message: String,
}

#[derive(Deserialize)]
struct Actions {
    upload: Option<Action>,
    verify: Option<Action>,
}

#[derive(Deserialize)]
struct Action {
    href: String,
    #[serde(default)]
    header: BTreeMap<String, Value>,
}

/// A field's value, text or number.
fn in_words(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), String::from)
}

/// A revision as a part of an URL.
fn revision(name: &str) -> String {
    in_url(name).replace('/', "%2F")
}
