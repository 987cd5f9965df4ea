//! `hf://` addresses: what of which repository, at which revision.

use std::fmt;
use std::str::FromStr;

use crate::{Error, Result};

/// What a repository holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A model.
    Model,
    /// A data set.
    Dataset,
}

/// `hf://OWNER/NAME`, `hf://OWNER/NAME@REVISION/PATH`, and the same after `hf://datasets/`.
///
/// ```
/// use candle_recurrent::hub::{Address, Kind};
///
/// let address: Address = "hf://datasets/me/reviews@v1/train.csv".parse()?;
/// assert_eq!((address.kind, address.repository.as_str()), (Kind::Dataset, "me/reviews"));
/// assert_eq!((address.revision(), address.path.as_str()), ("v1", "train.csv"));
/// # Ok::<(), candle_recurrent::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// What the repository holds.
    pub kind: Kind,
    /// `OWNER/NAME`.
    pub repository: String,
    /// A branch, a tag or a commit; the branch `main` where none is named.
    pub revision: Option<String>,
    /// A file or a folder in the repository; empty for all of it.
    pub path: String,
}

/// How addresses begin.
const SCHEME: &str = "hf://";

/// The branch that every repository has.
const MAIN: &str = "main";

impl Address {
    /// Whether a text is meant as an address.
    pub fn is_one(text: &str) -> bool {
        text.starts_with(SCHEME)
    }

    /// A whole repository, on its branch `main`.
    ///
    /// # Errors
    /// [`Error::Argument`] where `repository` is not `OWNER/NAME`.
    pub fn repository(kind: Kind, repository: &str) -> Result<Self> {
        check_repository(repository).map_err(|what| Error::argument(repository, what))?;
        Ok(Self { kind, repository: repository.into(), revision: None, path: String::new() })
    }

    /// The same at another revision.
    ///
    /// # Errors
    /// [`Error::Argument`] where it can be the name of none.
    pub fn at(mut self, revision: &str) -> Result<Self> {
        check_revision(revision).map_err(|what| Error::argument(revision, what))?;
        self.revision = Some(revision.into());
        Ok(self)
    }

    /// The revision, `main` where none is named.
    pub fn revision(&self) -> &str {
        self.revision.as_deref().unwrap_or(MAIN)
    }

    /// The same repository and revision, whatever the path.
    #[must_use]
    pub fn whole(&self) -> Self {
        Self { path: String::new(), ..self.clone() }
    }

    /// What the repository is called in the Hub's addresses: `me/model`, `datasets/me/reviews`.
    pub(super) fn place(&self) -> String {
        match self.kind {
            Kind::Model => self.repository.clone(),
            Kind::Dataset => format!("datasets/{}", self.repository),
        }
    }

    /// And in its interface: `models/me/model`, `datasets/me/reviews`.
    pub(super) fn api(&self) -> String {
        match self.kind {
            Kind::Model => format!("models/{}", self.repository),
            Kind::Dataset => format!("datasets/{}", self.repository),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{SCHEME}{}", self.place())?;
        if let Some(revision) = &self.revision {
            match special(revision) {
                Some((_, "")) => write!(f, "@{revision}")?,
                _ => write!(f, "@{}", revision.replace('%', "%25").replace('/', "%2F"))?,
            }
        }
        match self.path.as_str() {
            "" => Ok(()),
            path => write!(f, "/{path}"),
        }
    }
}

impl FromStr for Address {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let fail = |what: &str| Error::argument(text, what);
        let rest = text.strip_prefix(SCHEME).ok_or_else(|| fail("does not begin with hf://"))?;
        let (kind, rest) = match rest.split_once('/') {
            Some(("datasets", rest)) => (Kind::Dataset, rest),
            Some(("models", rest)) if rest.contains('/') => (Kind::Model, rest),
            Some(("spaces", _)) => return Err(fail("is a space, which holds a program; name a model")),
            _ => (Kind::Model, rest),
        };
        let form = match kind {
            Kind::Model => "give hf://OWNER/NAME, with @REVISION and /FILE where needed",
            Kind::Dataset => "give hf://datasets/OWNER/NAME, with @REVISION and /FILE where needed",
        };
        let (owner, rest) = rest.split_once('/').ok_or_else(|| fail(form))?;
        let end = rest.find(['@', '/']).unwrap_or(rest.len());
        let repository = format!("{owner}/{}", &rest[..end]);
        check_repository(&repository).map_err(|what| fail(&format!("{what}; {form}")))?;
        let (revision, path) = match rest[end..].strip_prefix('@') {
            None => (None, rest[end..].strip_prefix('/').unwrap_or_default()),
            Some(rest) => {
                let (revision, path) =
                    special(rest).unwrap_or_else(|| rest.split_once('/').unwrap_or((rest, "")));
                let revision = revision.replace("%2F", "/").replace("%2f", "/").replace("%25", "%");
                check_revision(&revision).map_err(fail)?;
                (Some(revision), path)
            }
        };
        let path = path.trim_end_matches('/');
        if !path.is_empty() {
            check_name(path).map_err(|what| fail(&format!("the path {what}")))?;
        }
        Ok(Self { kind, repository, revision, path: path.into() })
    }
}

/// The Hub's own references, whose names have slashes (`refs/pr/1`, `refs/convert/parquet`), and what follows.
fn special(text: &str) -> Option<(&str, &str)> {
    let rest = text.strip_prefix("refs/pr/").or_else(|| text.strip_prefix("refs/convert/"))?;
    let end = rest.find('/').unwrap_or(rest.len());
    let at = text.len() - rest.len() + end;
    (end > 0).then(|| (&text[..at], text[at..].strip_prefix('/').unwrap_or_default()))
}

/// The Hub's rules for the names of repositories.
fn check_repository(repository: &str) -> std::result::Result<(), &'static str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let is_name = |part: &str| {
        !part.is_empty()
            && part.chars().all(plain)
            && !part.starts_with(['-', '.'])
            && !part.ends_with(['-', '.'])
    };
    match repository.split_once('/') {
        Some((owner, name))
            if is_name(owner)
                && is_name(name)
                && repository.len() <= 193
                && !repository.contains("--")
                && !repository.contains("..")
                && !repository.ends_with(".git") =>
        {
            Ok(())
        }
        _ => Err("names no repository"),
    }
}

fn check_revision(revision: &str) -> std::result::Result<(), &'static str> {
    match check_name(revision) {
        Ok(()) if revision.len() <= 255 => Ok(()),
        _ => Err("names no revision"),
    }
}

/// Refuses the names of files that would lie outside of their folder, or that some system takes for something else.
pub(super) fn check_name(name: &str) -> std::result::Result<(), &'static str> {
    let is_odd = |c: char| c.is_control() || matches!(c, '\\' | ':');
    let leads_out = |part: &str| matches!(part, "" | "." | "..");
    match name.contains(is_odd) || name.split('/').any(leads_out) || name.len() > 1024 {
        true => Err("leads out of the repository, or has characters that no file name has"),
        false => Ok(()),
    }
}

/// Whether a revision is a commit, which never holds anything else.
pub(super) fn is_commit(revision: &str) -> bool {
    revision.len() == 40 && revision.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// A text as a part of an URL. Slashes stay.
pub(super) fn in_url(text: &str) -> String {
    let mut url = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' => {
                url.push(byte as char);
            }
            other => url.push_str(&format!("%{other:02X}")),
        }
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_written() {
        let parts = |text: &str| {
            let address: Address = text.parse().expect(text);
            (address.kind, address.repository, address.revision, address.path)
        };
        let model = |repository: &str, revision: Option<&str>, path: &str| {
            (Kind::Model, repository.to_string(), revision.map(String::from), path.to_string())
        };
        assert_eq!(parts("hf://a/b"), model("a/b", None, ""));
        assert_eq!(parts("hf://models/a/b"), model("a/b", None, ""));
        assert_eq!(parts("hf://a/b/"), model("a/b", None, ""));
        assert_eq!(parts("hf://a/b@v1.0/x/y.keras"), model("a/b", Some("v1.0"), "x/y.keras"));
        assert_eq!(parts("hf://a/b/x@y.h5"), model("a/b", None, "x@y.h5"));
        assert_eq!(parts("hf://a/b@refs/pr/12/x.h5"), model("a/b", Some("refs/pr/12"), "x.h5"));
        assert_eq!(parts("hf://a/b@my%2Fbranch/x.h5"), model("a/b", Some("my/branch"), "x.h5"));
        let (kind, repository, revision, _) = parts("hf://datasets/a/b@refs/convert/parquet");
        assert_eq!((kind, repository.as_str()), (Kind::Dataset, "a/b"));
        assert_eq!(revision.as_deref(), Some("refs/convert/parquet"));
        for text in
            ["hf://a/b", "hf://a/b@my%2Fbranch/x.h5", "hf://a/b@refs/pr/12/x", "hf://datasets/a/b@v1/c.csv"]
        {
            assert_eq!(text.parse::<Address>().expect(text).to_string(), text);
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for (text, what) in [
            ("hf://gpt2", "hf://OWNER/NAME"),
            ("hf://datasets/imdb", "hf://datasets/OWNER/NAME"),
            ("hf:///b", "names no repository"),
            ("hf://a/", "names no repository"),
            ("hf://../b", "names no repository"),
            ("hf://a/b--c", "names no repository"),
            ("hf://a/b@", "names no revision"),
            ("hf://a/b@..%2F..%2Fx", "names no revision"),
            ("hf://a/b/../c", "leads out"),
            ("hf://a/b/c\\d", "leads out"),
            ("hf://spaces/a/b", "a space"),
        ] {
            let error = text.parse::<Address>().expect_err(text).to_string();
            assert!(
                error.contains(what) && error.contains(text.split('\\').next().unwrap_or(text)),
                "{error}"
            );
        }
    }

    #[test]
    fn urls_hold_no_other_characters() {
        assert_eq!(in_url("a b/ü#?.h5"), "a%20b/%C3%BC%23%3F.h5");
    }
}
