//! Files from the Hugging Face Hub: the cache that Python's `huggingface_hub` shares, its environment variables, and
//! downloads that say how far they are. This is the only room that opens a connection.

use std::path::PathBuf;

use hf_hub::api::Progress;
use hf_hub::api::sync::{ApiBuilder, ApiError};
use hf_hub::{Cache, Repo};

use crate::{Error, Result};

/// Where the Hub is and where its files are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hub {
    /// The server's address, without a slash at the end.
    pub endpoint: String,
    /// The folder of cached repositories.
    pub cache: PathBuf,
    /// The user's token, for repositories that need one.
    pub token: Option<String>,
    /// Whether to look in the cache only.
    pub offline: bool,
}

impl Hub {
    /// The Hub as the environment describes it: `HF_ENDPOINT`, `HF_HUB_CACHE` (else `hub` in `HF_HOME`, else
    /// `~/.cache/huggingface/hub`), `HF_TOKEN` (else the file at `HF_TOKEN_PATH`, else `token` in `HF_HOME`) and
    /// `HF_HUB_OFFLINE`.
    ///
    /// # Errors
    /// [`Error::Network`] where there is no home folder and no variable names another.
    pub fn from_env() -> Result<Self> {
        Self::from_variables(|name| std::env::var(name).ok())
    }

    /// As [`Hub::from_env`], with the variables that `get` gives.
    ///
    /// # Errors
    /// As [`Hub::from_env`].
    pub fn from_variables(get: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let get =
            |name: &str| get(name).map(|value| value.trim().to_string()).filter(|value| !value.is_empty());
        let home = get("HF_HOME")
            .map(PathBuf::from)
            .or_else(|| get("XDG_CACHE_HOME").map(|cache| PathBuf::from(cache).join("huggingface")))
            .or_else(|| std::env::home_dir().map(|home| home.join(".cache").join("huggingface")))
            .ok_or_else(|| Error::network("there is no home folder for the cache; set HF_HOME"))?;
        let token_file = get("HF_TOKEN_PATH").map_or_else(|| home.join("token"), PathBuf::from);
        let token = get("HF_TOKEN")
            .or_else(|| std::fs::read_to_string(token_file).ok().map(|token| token.trim().to_string()))
            .filter(|token| !token.is_empty());
        let yes = ["1", "on", "yes", "true"];
        Ok(Self {
            endpoint: get("HF_ENDPOINT")
                .map_or_else(|| "https://huggingface.co".into(), |url| url.trim_end_matches('/').into()),
            cache: get("HF_HUB_CACHE").map_or_else(|| home.join("hub"), PathBuf::from),
            token,
            offline: get("HF_HUB_OFFLINE").is_some_and(|value| yes.contains(&value.to_lowercase().as_str())),
        })
    }

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
        let folder = std::path::absolute(&self.cache).map_err(|error| Error::io(&self.cache, error))?;
        let cache = Cache::new(folder);
        let mut paths = Vec::with_capacity(files.len());
        for file in files {
            let path = match cache.dataset(repository.into()).get(file) {
                Some(path) => path,
                None if self.offline => {
                    let what = format!("{file} of {repository} is not in {}", self.cache.display());
                    return Err(Error::network(format!("{what}, and HF_HUB_OFFLINE forbids a download")));
                }
                None => self.download(cache.clone(), repository, file, report)?,
            };
            paths.push(path);
        }
        Ok(paths)
    }

    fn download(
        &self,
        cache: Cache,
        repository: &str,
        file: &str,
        report: &mut dyn FnMut(&str),
    ) -> Result<PathBuf> {
        report(&format!("downloading {repository}/{file} from {}", self.endpoint));
        let failed = |error: ApiError| {
            let what = match status(&error) {
                Some(401 | 403) => "access denied; set HF_TOKEN".into(),
                Some(404) => "not found".into(),
                Some(code) => format!("the server answered {code}"),
                None => error.to_string(),
            };
            Error::network(format!("{}/datasets/{repository}/{file}: {what}", self.endpoint))
                .with_source(error)
        };
        ApiBuilder::from_cache(cache)
            .with_endpoint(self.endpoint.clone())
            .with_token(self.token.clone())
            .build()
            .map_err(failed)?
            .repo(Repo::dataset(repository.into()))
            .download_with_progress(file, Tenths { report, file: file.into(), total: 0, done: 0, told: 0 })
            .map_err(failed)
    }
}

/// The HTTP status in an error.
fn status(error: &ApiError) -> Option<u16> {
    let ApiError::RequestError(error) = error else { return None };
    // The HTTP client's own error type is not part of this crate's dependencies; its text is "http status: 404".
    error.to_string().strip_prefix("http status: ")?.parse().ok()
}

/// Reports each tenth of a download.
struct Tenths<'a> {
    report: &'a mut dyn FnMut(&str),
    file: String,
    total: usize,
    done: usize,
    told: usize,
}

impl Progress for Tenths<'_> {
    fn init(&mut self, size: usize, _: &str) {
        (self.total, self.done) = (size, 0);
    }

    fn update(&mut self, size: usize) {
        self.done += size;
        let tenths = (10 * self.done).checked_div(self.total).unwrap_or(10).min(10);
        if tenths > self.told {
            self.told = tenths;
            let megabytes = |bytes: usize| bytes as f64 / 1e6;
            let (done, total) = (megabytes(self.done), megabytes(self.total));
            (self.report)(&format!("{}: {} % of {total:.1} MB ({done:.1} MB)", self.file, 10 * tenths));
        }
    }

    fn finish(&mut self) {}
}
