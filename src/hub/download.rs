//! Files of a repository, into the cache: gone on with where a download broke off, and held against their hash.

use std::io::{Read, Write};
use std::path::PathBuf;

use crate::formats::sums::in_hex;
use sha2::{Digest, Sha256};

use super::address::{Address, check_name, in_url, is_commit};
use super::cache::{Cache, Incomplete};
use super::client::{Answer, Ask, Client, Failed, PAUSES, next};
use super::settings::Hub;
use crate::{Error, Result};

/// The largest file that is fetched.
const MOST: u64 = 64 << 30;

/// Where one file of a download is: a repository, a revision of it, a name.
pub(super) struct Download<'a> {
    pub(super) hub: &'a Hub,
    pub(super) client: &'a Client<'a>,
    pub(super) cache: &'a Cache,
    pub(super) address: &'a Address,
    /// A commit, or another revision.
    pub(super) at: &'a str,
    pub(super) name: &'a str,
}

/// How one attempt ended that did not fail for good.
enum Attempt {
    Done { path: PathBuf, commit: String },
    BrokenOff(Error),
}

/// What the head of an answer says of a file.
struct Head {
    commit: String,
    tag: String,
    size: Option<u64>,
}

impl Download<'_> {
    /// The file's path in the cache, and the commit that it is of.
    pub(super) fn run(&self, report: &mut dyn FnMut(&str)) -> Result<(PathBuf, String)> {
        check_name(self.name).map_err(|what| self.fail(what))?;
        report(&format!("downloading {} from {}", self.shown(), self.hub.endpoint));
        let mut pauses = PAUSES.iter();
        loop {
            match (self.attempt(report)?, pauses.next()) {
                (Attempt::Done { path, commit }, _) => return Ok((path, commit)),
                (Attempt::BrokenOff(_), Some(pause)) => std::thread::sleep(*pause),
                (Attempt::BrokenOff(error), None) => return Err(error),
            }
        }
    }

    fn shown(&self) -> String {
        Address { path: self.name.into(), ..self.address.clone() }.to_string()
    }

    fn fail(&self, what: impl std::fmt::Display) -> Error {
        Error::network(format!("{}: {what} (from {})", self.shown(), self.hub.endpoint))
    }

    fn attempt(&self, report: &mut dyn FnMut(&str)) -> Result<Attempt> {
        let (hub, place, at) =
            (&self.hub.endpoint, self.address.place(), in_url(self.at).replace('/', "%2F"));
        let mut url = format!("{hub}/{place}/resolve/{at}/{}", in_url(self.name));
        let mut known: Option<(Head, Incomplete)> = None;
        for _ in 0..8 {
            let start = match &known {
                Some((_, incomplete)) => incomplete.length()?,
                None => 0,
            };
            let range = format!("bytes={start}-");
            let headers = [("Range", range.as_str())];
            let ask = Ask { headers: if start > 0 { &headers } else { &[] }, ..Ask::get(&url) };
            let answer = match self.client.once(&ask) {
                Ok(answer) => answer,
                Err(Failed::Refused(refusal)) if refusal.status == 416 => {
                    // What is here is no beginning of it.
                    if let Some((_, incomplete)) = &known {
                        incomplete.empty()?;
                    }
                    return Ok(Attempt::BrokenOff(self.fail("the server knows no rest of the file")));
                }
                Err(failed) if failed.may_pass() || known.is_some() && failed.is_outage() => {
                    return Ok(Attempt::BrokenOff(failed.about(self.hub, self.address, self.name)));
                }
                Err(failed) => return Err(failed.about(self.hub, self.address, self.name)),
            };
            if known.is_none() && answer.field("X-Repo-Commit").is_some() {
                let head = self.head(&answer)?;
                if self.cache.blob(&head.tag).is_some() {
                    return self.done(head);
                }
                let incomplete = self.cache.incomplete(&head.tag)?;
                // Somebody else may have had it until now, and what is open here may be whole, under its own name.
                if self.cache.blob(&head.tag).is_some() {
                    let _ = std::fs::remove_file(&incomplete.path);
                    return self.done(head);
                }
                known = Some((head, incomplete));
            }
            match (next(&url, &answer)?, known) {
                (Some(to), before) => (url, known) = (to, before),
                (None, Some((head, incomplete))) => {
                    let whole = head.tag.clone();
                    return match self.receive(answer, &head, &incomplete, report)? {
                        Some(error) => Ok(Attempt::BrokenOff(error)),
                        None => {
                            self.cache.complete(incomplete, &whole)?;
                            self.done(head)
                        }
                    };
                }
                (None, None) => return Err(self.fail("the answer names no commit: is this the Hub?")),
            }
        }
        Err(self.fail("is redirected on and on"))
    }

    fn done(&self, head: Head) -> Result<Attempt> {
        let path = self.cache.link(&head.tag, &head.commit, self.name)?;
        Ok(Attempt::Done { path, commit: head.commit })
    }

    fn head(&self, answer: &Answer) -> Result<Head> {
        let commit = answer.field("X-Repo-Commit").unwrap_or_default().to_string();
        let tag = answer.field("X-Linked-Etag").or_else(|| answer.field("ETag")).unwrap_or_default();
        let tag = tag.trim().trim_start_matches("W/").trim_matches('"').to_string();
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if !is_commit(&commit) || is_commit(self.at) && commit != self.at {
            return Err(self.fail(format!("the server names the commit {commit:?}, which cannot be")));
        }
        if tag.is_empty() || tag.len() > 200 || !tag.chars().all(plain) {
            return Err(self.fail(format!("the server gives the file the tag {tag:?}, which cannot be")));
        }
        let linked = answer.field("X-Linked-Size");
        let own = || answer.field("Content-Length").filter(|_| answer.status < 300);
        let size: Option<u64> = linked.or_else(own).and_then(|size| size.parse().ok());
        match size {
            Some(size) if size > MOST => {
                let what = format!("is {:.1} GB, more than the 64 GiB that are fetched", size as f64 / 1e9);
                Err(self.fail(what))
            }
            size => Ok(Head { commit, tag, size }),
        }
    }

    /// Writes the body of an answer after what is there, and looks whether that is all. Gives what is wrong with a body that
    /// broke off.
    fn receive(
        &self,
        mut answer: Answer,
        head: &Head,
        incomplete: &Incomplete,
        report: &mut dyn FnMut(&str),
    ) -> Result<Option<Error>> {
        let start = incomplete.length()?;
        let goes_on = answer.status == 206
            && answer
                .field("Content-Range")
                .is_some_and(|range| range.starts_with(&format!("bytes {start}-")));
        if !goes_on {
            incomplete.empty()?;
        }
        let mut hash = Sha256::new();
        let mut file = &incomplete.file;
        let io = |error| Error::io(&incomplete.path, error);
        let mut buffer = vec![0; 1 << 16];
        let mut done = 0;
        if goes_on {
            let mut before = std::fs::File::open(&incomplete.path).map_err(io)?;
            loop {
                match before.read(&mut buffer).map_err(io)? {
                    0 => break,
                    read => hash.update(&buffer[..read]),
                }
                done = start;
            }
        }
        let mut tenths = Tenths { file: self.name, total: head.size, told: 0 };
        let mut body = answer.body.as_reader();
        let broken = loop {
            let read = match body.read(&mut buffer) {
                Ok(0) => break None,
                Ok(read) => read,
                Err(error) => break Some(self.fail(format!("the download broke off: {error}"))),
            };
            done += read as u64;
            if done > head.size.unwrap_or(MOST) {
                incomplete.empty()?;
                return Err(self.fail("the server sends more bytes than the file has"));
            }
            hash.update(&buffer[..read]);
            file.write_all(&buffer[..read]).map_err(io)?;
            tenths.tell(done, report);
        };
        if broken.is_some() {
            return Ok(broken);
        }
        if let Some(size) = head.size.filter(|size| *size != done) {
            return Ok(Some(self.fail(format!("the download broke off after {done} of {size} bytes"))));
        }
        let is_hash = head.tag.len() == 64 && head.tag.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_hash && in_hex(&hash.finalize()) != head.tag.to_lowercase() {
            incomplete.empty()?;
            let wrong = self.fail("what came does not have the file's hash; try again");
            // What was there before may be what is wrong.
            return if goes_on { Ok(Some(wrong)) } else { Err(wrong) };
        }
        Ok(None)
    }
}

/// Reports each tenth of a file.
struct Tenths<'a> {
    file: &'a str,
    total: Option<u64>,
    told: u64,
}

impl Tenths<'_> {
    fn tell(&mut self, done: u64, report: &mut dyn FnMut(&str)) {
        let Some(total) = self.total else { return };
        let tenths = (10 * done).checked_div(total).unwrap_or(10).min(10);
        if tenths > self.told {
            self.told = tenths;
            let megabytes = |bytes: u64| bytes as f64 / 1e6;
            let (done, total) = (megabytes(done), megabytes(total));
            report(&format!("{}: {} % of {total:.1} MB ({done:.1} MB)", self.file, 10 * tenths));
        }
    }
}
