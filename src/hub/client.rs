//! Requests to the Hub: who is asked, what goes with it, what an answer means, and what is asked again.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::time::Duration;

use serde::de::DeserializeOwned;
use ureq::http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, LOCATION};
use ureq::http::{HeaderMap, Method, Request, Uri};
use ureq::tls::{TlsConfig, TlsProvider};
use ureq::{Agent, Body, SendBody};

use super::address::Address;
use super::settings::Hub;
use crate::{Error, Result};

/// The most bytes of an answer in JSON.
const MOST: u64 = 64 << 20;

/// How long to wait before asking again a server that is in trouble, and how often.
pub(super) const PAUSES: [Duration; 2] = [Duration::from_millis(300), Duration::from_millis(1200)];

/// Redirections in a row.
const HOPS: usize = 8;

/// What goes with a request.
#[derive(Clone, Copy)]
pub(super) enum Payload<'a> {
    None,
    /// Bytes, and what they are.
    Bytes(&'a [u8], &'static str),
    /// Bytes of a file from a place on.
    File {
        path: &'a Path,
        from: u64,
        length: u64,
    },
}

/// A request.
#[derive(Clone, Copy)]
pub(super) struct Ask<'a> {
    pub(super) method: &'static str,
    pub(super) url: &'a str,
    pub(super) headers: &'a [(&'static str, &'a str)],
    pub(super) payload: Payload<'a>,
    /// Whether it may be sent again after a failure.
    pub(super) again: bool,
}

impl<'a> Ask<'a> {
    pub(super) fn get(url: &'a str) -> Self {
        Self { method: "GET", url, headers: &[], payload: Payload::None, again: true }
    }

    pub(super) fn post(url: &'a str, payload: Payload<'a>) -> Self {
        Self { method: "POST", url, headers: &[], payload, again: true }
    }
}

/// An answer, good or a redirection.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Body,
}

impl Answer {
    /// A field of its head.
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Its body as JSON.
    pub(super) fn json<T: DeserializeOwned>(mut self, url: &str) -> Result<T> {
        let read = self.body.with_config().limit(MOST).read_to_vec();
        let bytes = read.map_err(|error| broken_off(url, &error))?;
        serde_json::from_slice(&bytes).map_err(|error| {
            Error::network(format!("{}: the answer is not what the Hub says: {error}", shown(url)))
                .with_source(error)
        })
    }
}

/// What is said of a body that does not come to its end.
fn broken_off(url: &str, error: &ureq::Error) -> Error {
    Error::network(format!("{}: the answer broke off: {error}", shown(url)))
}

/// Why there is no answer.
pub(super) enum Failed {
    /// The server says so.
    Refused(Refusal),
    /// No word from it.
    Silent(Error),
    /// A word that makes no sense.
    Senseless(Error),
}

/// What a server says that does not do what it was asked for.
pub(super) struct Refusal {
    pub(super) status: u16,
    /// The Hub's name for the reason.
    pub(super) code: String,
    /// The reason in words.
    message: String,
}

impl Failed {
    /// Whether it may pass.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Refused(refusal) => matches!(refusal.status, 408 | 429 | 500..),
            Self::Silent(_) | Self::Senseless(_) => false,
        }
    }

    /// Whether the server, not the request, is at fault.
    pub(super) fn is_outage(&self) -> bool {
        matches!(self, Self::Silent(_)) || self.may_pass()
    }

    /// Whether the repository is there, without the revision.
    pub(super) fn is_missing_revision(&self) -> bool {
        matches!(self, Self::Refused(refusal) if refusal.status == 404 && refusal.code == "RevisionNotFound")
    }

    /// Whether there is no such repository, as far as the server says.
    pub(super) fn is_missing(&self) -> bool {
        matches!(self, Self::Refused(Refusal { status: 401 | 404, code, .. })
            if !matches!(code.as_str(), "RevisionNotFound" | "EntryNotFound" | "GatedRepo"))
    }

    /// As an error about a repository, or the file `name` of it.
    pub(super) fn about(self, hub: &Hub, address: &Address, name: &str) -> Error {
        let refusal = match self {
            Self::Silent(error) | Self::Senseless(error) => return error,
            Self::Refused(refusal) => refusal,
        };
        let whole = Address { path: name.into(), ..address.clone() };
        let said = match refusal.message.as_str() {
            "" => String::new(),
            message => format!(" ({message})"),
        };
        let what = match (refusal.status, refusal.code.as_str()) {
            (_, "GatedRepo") => {
                let place = format!("{}/{}", hub.endpoint, address.place());
                match hub.token {
                    Some(_) => format!("access has to be asked for, at {place}"),
                    None => format!("access has to be asked for, at {place}, and HF_TOKEN to be set"),
                }
            }
            (404, "RevisionNotFound") => format!("there is no revision {}", address.revision()),
            (404, "EntryNotFound") => "there is no such file".into(),
            (401, _) if hub.token.is_some() => {
                format!("there is no such repository, or HF_TOKEN gives no access to it{said}")
            }
            (401, _) => "there is no such repository, or it is private; HF_TOKEN gives access".into(),
            (403, _) => format!("access denied; HF_TOKEN needs the right to do this{said}"),
            (404, _) if name.is_empty() => "there is no such repository".into(),
            (404, _) => "not found".into(),
            (429, _) => "the server answered 429, too many requests; try again later".into(),
            (status, _) => format!("the server answered {status}{said}"),
        };
        Error::network(format!("{whole}: {what} (asked {})", hub.endpoint))
    }
}

/// Somebody who asks.
pub(super) struct Client<'a> {
    hub: &'a Hub,
    agent: Agent,
}

impl<'a> Client<'a> {
    pub(super) fn new(hub: &'a Hub) -> Self {
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        let config = Agent::config_builder()
            .tls_config(TlsConfig::builder().provider(TlsProvider::Rustls).build())
            .user_agent(concat!("candle-recurrent/", env!("CARGO_PKG_VERSION"), "; rust"))
            // Both are looked at here: the token must not go to another server.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .timeout_resolve(seconds(15))
            .timeout_connect(seconds(15))
            .timeout_per_read(seconds(60))
            .timeout_per_write(seconds(60));
        Self { hub, agent: config.build().new_agent() }
    }

    /// Asks, follows redirections, and asks again where the trouble may pass.
    pub(super) fn ask(&self, ask: &Ask) -> std::result::Result<Answer, Failed> {
        let mut pauses = PAUSES.iter().take(if ask.again { PAUSES.len() } else { 0 });
        loop {
            match self.follow(ask) {
                Err(failed) if failed.may_pass() => match pauses.next() {
                    Some(pause) => std::thread::sleep(*pause),
                    None => return Err(failed),
                },
                other => return other,
            }
        }
    }

    fn follow(&self, ask: &Ask) -> std::result::Result<Answer, Failed> {
        let mut url = ask.url.to_string();
        for _ in 0..HOPS {
            let answer = self.once(&Ask { url: &url, ..*ask })?;
            match next(&url, &answer).map_err(Failed::Senseless)? {
                None => return Ok(answer),
                Some(place) => url = place,
            }
        }
        Err(Failed::Senseless(Error::network(format!("{}: is redirected on and on", shown(ask.url)))))
    }

    /// Asks once, and follows nothing.
    pub(super) fn once(&self, ask: &Ask) -> std::result::Result<Answer, Failed> {
        let silent = |what: String| Failed::Silent(Error::network(format!("{}: {what}", shown(ask.url))));
        let mut request = Request::builder().method(method(ask.method)).uri(ask.url);
        for (name, value) in ask.headers {
            request = request.header(*name, *value);
        }
        if let (Some(token), true) = (&self.hub.token, is_at(ask.url, &self.hub.endpoint)) {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        let fail = |error: ureq::http::Error| silent(format!("cannot be asked: {error}"));
        let answer = match ask.payload {
            Payload::None => self.agent.run(request.body(()).map_err(fail)?),
            Payload::Bytes(bytes, kind) => {
                self.agent.run(request.header(CONTENT_TYPE, kind).body(bytes).map_err(fail)?)
            }
            Payload::File { path, from, length } => {
                let unread = |error| Failed::Silent(Error::io(path, error));
                let mut file = File::open(path).map_err(unread)?;
                file.seek(SeekFrom::Start(from)).map_err(unread)?;
                let mut part = file.take(length);
                let body = SendBody::from_reader(&mut part);
                self.agent.run(request.header(CONTENT_LENGTH, length).body(body).map_err(fail)?)
            }
        };
        let answer = answer.map_err(|error| silent(in_words(&error)))?;
        let (head, body) = answer.into_parts();
        let answer = Answer { status: head.status.as_u16(), headers: head.headers, body };
        match answer.status {
            200..400 => Ok(answer),
            _ => Err(Failed::Refused(refusal(answer))),
        }
    }
}

fn method(name: &str) -> Method {
    match name {
        "POST" => Method::POST,
        "PUT" => Method::PUT,
        _ => Method::GET,
    }
}

/// Where an answer sends us on to.
pub(super) fn next(url: &str, answer: &Answer) -> Result<Option<String>> {
    if !matches!(answer.status, 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let nowhere = || Error::network(format!("{}: is redirected to nowhere", shown(url)));
    let to = answer.headers.get(LOCATION).and_then(|to| to.to_str().ok()).ok_or_else(nowhere)?;
    if to.starts_with("https://") || to.starts_with("http://") && !url.starts_with("https://") {
        return Ok(Some(to.into()));
    }
    match (to.starts_with('/') && !to.starts_with("//"), origin(url)) {
        (true, Some(origin)) => Ok(Some(format!("{origin}{to}"))),
        _ => Err(nowhere()),
    }
}

/// `https://huggingface.co` of an URL.
fn origin(url: &str) -> Option<String> {
    let uri: Uri = url.parse().ok()?;
    Some(format!("{}://{}", uri.scheme_str()?, uri.authority()?.as_str().to_lowercase()))
}

/// Whether an URL is one of this server's.
fn is_at(url: &str, server: &str) -> bool {
    origin(url).is_some_and(|asked| origin(server) == Some(asked))
}

/// An URL without what may be a secret in it.
fn shown(url: &str) -> &str {
    url.split('?').next().unwrap_or_default()
}

/// What a refusal says.
fn refusal(mut answer: Answer) -> Refusal {
    let code = answer.field("X-Error-Code").unwrap_or_default().to_string();
    let said = answer.field("X-Error-Message").map(String::from);
    let in_body = || {
        #[derive(serde::Deserialize)]
        struct Said {
            error: String,
        }
        let bytes = answer.body.with_config().limit(1 << 16).read_to_vec().ok()?;
        Some(serde_json::from_slice::<Said>(&bytes).ok()?.error)
    };
    let message: String = said.or_else(in_body).unwrap_or_default().chars().take(200).collect();
    Refusal { status: answer.status, code, message: message.trim().trim_end_matches('.').into() }
}

/// Why a server is silent.
fn in_words(error: &ureq::Error) -> String {
    match error {
        ureq::Error::HostNotFound => "cannot be reached: there is no such server, or no network".into(),
        ureq::Error::ConnectionFailed => "cannot be reached".into(),
        ureq::Error::Io(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
            "cannot be reached: nobody answers there".into()
        }
        ureq::Error::Timeout(_) => "cannot be reached: no answer in time".into(),
        ureq::Error::Io(error) => format!("cannot be reached: {error}"),
        other => format!("cannot be asked: {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_goes_to_the_hub_alone() {
        let hub = "https://huggingface.co";
        assert!(is_at("https://huggingface.co/api/models/a/b", hub));
        assert!(
            is_at("https://HuggingFace.co/x", hub) && is_at("http://127.0.0.1:7/x", "http://127.0.0.1:7")
        );
        for other in
            ["https://huggingface.co.evil.com/x", "http://huggingface.co/x", "https://huggingface.co:444/x"]
        {
            assert!(!is_at(other, hub), "{other}");
        }
        assert!(!is_at("http://127.0.0.1:8/x", "http://127.0.0.1:7") && !is_at("no url", hub));
    }

    /// The signature of an URL that a redirection led to is as good as a token.
    #[test]
    fn signatures_are_not_shown() {
        let url = "https://storage.example/blob?X-Amz-Signature=secret";
        for to in [None, Some("ftp://elsewhere/blob?X-Amz-Signature=secret"), Some("//elsewhere")] {
            let mut headers = HeaderMap::new();
            to.map(|to| headers.insert(LOCATION, to.parse().expect("a field")));
            let answer = Answer { status: 302, headers, body: Body::builder().data("") };
            let said = next(url, &answer).expect_err("refused").to_string();
            assert!(said.contains("https://storage.example/blob: is redirected to nowhere"), "{said}");
            assert!(!said.contains("secret"), "{said}");
        }
        let answer = Answer { status: 200, headers: HeaderMap::new(), body: Body::builder().data("{") };
        let said = answer.json::<Vec<u8>>(url).expect_err("refused").to_string();
        assert!(said.contains("is not what the Hub says") && !said.contains("secret"), "{said}");
    }
}
