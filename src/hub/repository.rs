//! What a repository holds, and its files from the cache or the Hub.

use std::path::PathBuf;

use super::address::{Address, Kind, check_name, in_url, is_commit};
use super::cache::Cache;
use super::client::{Ask, Client, Failed};
use super::download::Download;
use super::settings::Hub;
use crate::{Error, Result};

impl Hub {
    /// The paths of `files` of the data set `repository`: from the cache, else downloaded into it. `report` gets a line
    /// for each tenth of a download.
    ///
    /// # Errors
    /// [`Error::Network`] where a file is not in the cache and cannot be downloaded.
    pub fn dataset_files(
        &self,
        repository: &str,
        files: &[&str],
        report: &mut dyn FnMut(&str),
    ) -> Result<Vec<PathBuf>> {
        let address = Address::repository(Kind::Dataset, repository)?;
        let cache = Cache::of(&self.cache, &address)?;
        let known = cache.commit(address.revision());
        let here = |file: &&str| known.as_ref().and_then(|commit| cache.get(commit, file));
        match files.iter().map(here).collect::<Option<Vec<_>>>() {
            Some(paths) => Ok(paths),
            None => self.get(&address, address.revision(), files, report),
        }
    }

    /// What a repository holds at the address's revision. Where that is a branch or a tag, the Hub is asked which commit it
    /// is at now; where the Hub does not answer, and in offline mode, the cache has the last word.
    ///
    /// # Errors
    /// [`Error::Network`] in one line: no such repository or revision, no access, no network, an answer that makes no sense
    /// or names files outside of the repository.
    pub fn list(&self, address: &Address) -> Result<Listing> {
        let cache = Cache::of(&self.cache, address)?;
        let revision = address.revision();
        let known = cache.commit(revision).filter(|commit| cache.snapshot(commit).is_dir());
        if let (true, Some(commit)) = (is_commit(revision), &known)
            && let Some(files) = cache.listing(commit)
        {
            return Ok(Listing { commit: commit.clone(), files, is_old: None });
        }
        let in_cache = |commit: String, is_old| {
            let files = cache.listing(&commit).unwrap_or_else(|| cache.names(&commit));
            Listing { commit, files, is_old }
        };
        if self.offline {
            let known = known.ok_or_else(|| self.not_here(&address.whole()))?;
            return Ok(in_cache(known, None));
        }
        match (self.info(address), known) {
            (Ok(info), _) => {
                let commit = self.check_info(address, &info)?;
                let files: Vec<String> = info.siblings.into_iter().map(|file| file.rfilename).collect();
                cache.note_listing(&commit, &files)?;
                Ok(Listing { commit, files, is_old: None })
            }
            (Err(failed), Some(commit)) if failed.is_outage() => {
                let why = failed.about(self, address, "");
                Ok(in_cache(commit, Some(format!("{why}; what was fetched earlier is taken"))))
            }
            (Err(failed), _) => Err(failed.about(self, &address.whole(), "")),
        }
    }

    /// The paths of files of a listing: from the cache, else downloaded into it. All lie in [`Hub::folder`].
    ///
    /// # Errors
    /// [`Error::Network`] where one cannot be had, is too large or not what its hash says; [`Error::File`] where the cache
    /// cannot be written to.
    pub fn fetch(
        &self,
        address: &Address,
        listing: &Listing,
        files: &[&str],
        report: &mut dyn FnMut(&str),
    ) -> Result<Vec<PathBuf>> {
        self.get(address, &listing.commit, files, report)
    }

    /// The folder of a commit's files in the cache.
    ///
    /// # Errors
    /// [`Error::File`] where the current folder is not known, which the cache's may hang on.
    pub fn folder(&self, address: &Address, listing: &Listing) -> Result<PathBuf> {
        Ok(Cache::of(&self.cache, address)?.snapshot(&listing.commit))
    }

    fn get(
        &self,
        address: &Address,
        at: &str,
        files: &[&str],
        report: &mut dyn FnMut(&str),
    ) -> Result<Vec<PathBuf>> {
        let cache = Cache::of(&self.cache, address)?;
        let client = Client::new(self);
        let mut of = None;
        let mut paths = Vec::with_capacity(files.len());
        for file in files {
            let known = cache.commit(at).and_then(|commit| Some((cache.get(&commit, file)?, commit)));
            let (path, commit) = match known {
                Some(known) => known,
                None if self.offline => {
                    return Err(self.not_here(&Address { path: (*file).into(), ..address.clone() }));
                }
                None => {
                    let download =
                        Download { hub: self, client: &client, cache: &cache, address, at, name: file };
                    download.run(report)?
                }
            };
            paths.push(path);
            of = Some(commit);
        }
        // Only now, so that what was here before stays in use until the new is whole.
        if let Some(commit) = of {
            cache.note_commit(address.revision(), &commit)?;
        }
        Ok(paths)
    }

    fn not_here(&self, what: &Address) -> Error {
        let cache = self.cache.display();
        Error::network(format!("{what} is not in {cache}, and HF_HUB_OFFLINE forbids a download"))
    }

    /// What the Hub says of a repository.
    pub(super) fn info(&self, address: &Address) -> std::result::Result<Info, Failed> {
        let revision = in_url(address.revision()).replace('/', "%2F");
        let url = format!("{}/api/{}/revision/{revision}", self.endpoint, address.api());
        Client::new(self).ask(&Ask::get(&url))?.json(&url).map_err(Failed::Senseless)
    }

    /// The commit, if nothing in the answer can do harm.
    pub(super) fn check_info(&self, address: &Address, info: &Info) -> Result<String> {
        let fail =
            |what: String| Error::network(format!("{}: {what} (from {})", address.whole(), self.endpoint));
        if !is_commit(&info.sha) {
            return Err(fail(format!("the server names the commit {:?}, which cannot be", info.sha)));
        }
        match info.siblings.iter().find(|file| check_name(&file.rfilename).is_err()) {
            Some(file) => {
                Err(fail(format!("refused: it lists a file that leads out of it, {:?}", file.rfilename)))
            }
            None => Ok(info.sha.clone()),
        }
    }
}

/// What a repository holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// The commit.
    pub commit: String,
    /// The names of its files, with slashes.
    pub files: Vec<String>,
    /// Why this is what was known earlier, where the Hub did not answer.
    pub is_old: Option<String>,
}

/// The Hub's answer about a repository.
#[derive(serde::Deserialize)]
pub(super) struct Info {
    sha: String,
    #[serde(default)]
    pub(super) siblings: Vec<Sibling>,
    #[serde(default)]
    pub(super) private: bool,
}

#[derive(serde::Deserialize)]
pub(super) struct Sibling {
    pub(super) rfilename: String,
}
