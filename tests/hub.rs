//! Downloads against a local server that answers as the Hub does.
#![cfg(feature = "hub")]

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use candle_recurrent::Error;
use candle_recurrent::hub::Hub;
use tiny_http::{Header, Response, Server, StatusCode};

const COMMIT: &str = "e6281661ce1c48d982bc483cf8a173c1bbeb5d31";
const FILES: [&str; 2] =
    ["plain_text/train-00000-of-00001.parquet", "plain_text/test-00000-of-00001.parquet"];

/// What the server was asked for, and with which token.
#[derive(Default)]
struct Log {
    requests: AtomicUsize,
    tokens: Mutex<Vec<Option<String>>>,
}

/// Serves `files` of `datasets/stanfordnlp/imdb` on 127.0.0.1 until the test ends; gives the address and the log.
fn serve(files: &[(&str, Vec<u8>)], status: Option<u16>) -> (String, Arc<Log>) {
    let server = Server::http("127.0.0.1:0").unwrap();
    let address = format!("http://{}", server.server_addr());
    let files: HashMap<String, Vec<u8>> = files
        .iter()
        .map(|(name, bytes)| (format!("/datasets/stanfordnlp/imdb/resolve/main/{name}"), bytes.clone()))
        .collect();
    let log = Arc::new(Log::default());
    let shared = log.clone();
    std::thread::spawn(move || {
        for request in server.incoming_requests() {
            shared.requests.fetch_add(1, Ordering::SeqCst);
            let field = |name: &'static str| {
                let found = request.headers().iter().find(|header| header.field.equiv(name));
                found.map(|header| header.value.to_string())
            };
            shared.tokens.lock().unwrap().push(field("Authorization"));
            let Some(bytes) = files.get(request.url()).filter(|_| status.is_none()) else {
                let _ = request.respond(Response::empty(StatusCode(status.unwrap_or(404))));
                continue;
            };
            // "Range: bytes=0-0" or "bytes=17-".
            let range = field("Range").unwrap_or_default();
            let (start, end) =
                range.strip_prefix("bytes=").and_then(|range| range.split_once('-')).unwrap_or_default();
            let start: usize = start.parse().unwrap_or(0);
            let end = end.parse().map_or(bytes.len(), |end: usize| end + 1);
            let header = |name: &str, value: String| Header::from_bytes(name, value).unwrap();
            let response = Response::from_data(&bytes[start..end])
                .with_status_code(206)
                .with_header(header("ETag", format!("\"{}-{}\"", bytes.len(), request.url().len())))
                .with_header(header("X-Repo-Commit", COMMIT.into()))
                .with_header(header("Content-Range", format!("bytes {start}-{}/{}", end - 1, bytes.len())));
            let _ = request.respond(response);
        }
    });
    (address, log)
}

fn hub(endpoint: &str, cache: &Path) -> Hub {
    Hub { endpoint: endpoint.into(), cache: cache.into(), token: None, offline: false }
}

fn contents() -> Vec<(&'static str, Vec<u8>)> {
    FILES.into_iter().zip([vec![7; 300_000], vec![8; 1000]]).collect()
}

#[test]
fn files_are_downloaded_once_with_progress_and_then_read_from_the_cache() {
    let cache = tempfile::tempdir().unwrap();
    let (address, log) = serve(&contents(), None);
    let mut hub = Hub { token: Some("hf_secret".into()), ..hub(&address, cache.path()) };
    let mut lines = Vec::new();
    let paths =
        hub.dataset_files("stanfordnlp/imdb", &FILES, &mut |line| lines.push(line.to_string())).unwrap();
    for (path, (_, bytes)) in paths.iter().zip(contents()) {
        assert_eq!(std::fs::read(path).unwrap(), bytes);
    }
    assert!(lines[0].contains("downloading") && lines[0].contains(FILES[0]), "{lines:?}");
    assert!(lines.iter().any(|line| line.contains("100 %")), "{lines:?}");
    assert!(log.tokens.lock().unwrap().iter().all(|token| token.as_deref() == Some("Bearer hf_secret")));
    let asked = log.requests.load(Ordering::SeqCst);
    let mut quiet = |line: &str| panic!("nothing to report, got {line}");
    assert_eq!(hub.dataset_files("stanfordnlp/imdb", &FILES, &mut quiet).unwrap(), paths);
    hub.offline = true;
    assert_eq!(hub.dataset_files("stanfordnlp/imdb", &FILES, &mut quiet).unwrap(), paths);
    assert_eq!(log.requests.load(Ordering::SeqCst), asked, "the second run asks nobody");
}

#[test]
fn offline_means_that_nobody_is_asked() {
    let cache = tempfile::tempdir().unwrap();
    let (address, log) = serve(&contents(), None);
    let hub = Hub { offline: true, ..hub(&address, cache.path()) };
    let error = hub.dataset_files("stanfordnlp/imdb", &FILES, &mut |_| {}).unwrap_err();
    assert!(matches!(error, Error::Network { .. }));
    assert!(error.to_string().contains("HF_HUB_OFFLINE") && error.to_string().contains(FILES[0]), "{error}");
    assert_eq!(log.requests.load(Ordering::SeqCst), 0);
}

#[test]
fn refusals_say_what_the_server_said() {
    for (status, expected) in [(404, "not found"), (401, "HF_TOKEN"), (503, "503")] {
        let cache = tempfile::tempdir().unwrap();
        let (address, _) = serve(&[], Some(status));
        let error =
            hub(&address, cache.path()).dataset_files("stanfordnlp/imdb", &FILES, &mut |_| {}).unwrap_err();
        let text = error.to_string();
        assert!(
            matches!(error, Error::Network { .. }) && text.contains(expected) && text.contains(FILES[0]),
            "{text}"
        );
        assert!(!text.contains('\n'), "{text}");
    }
}

#[test]
fn nobody_listening_is_a_network_error() {
    let cache = tempfile::tempdir().unwrap();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error =
        hub(&format!("http://{free}"), cache.path()).dataset_files("a/b", &["c"], &mut |_| {}).unwrap_err();
    assert!(matches!(error, Error::Network { .. }), "{error}");
    assert!(!error.to_string().contains('\n'), "{error}");
}

/// A download that stops half-way leaves nothing that the next run would take for the file.
#[test]
fn half_a_file_is_not_kept() {
    let cache = tempfile::tempdir().unwrap();
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", server.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in server.incoming() {
            use std::io::{Read, Write};
            let mut stream = stream.unwrap();
            let mut request = [0; 4096];
            let read = stream.read(&mut request).unwrap_or(0);
            let first = String::from_utf8_lossy(&request[..read]).to_lowercase().contains("bytes=0-0");
            let (length, body) = if first { (1, "x") } else { (1000, "xxxx") };
            let _ = write!(
                stream,
                "HTTP/1.1 206 Partial Content\r\nContent-Length: {length}\r\nContent-Range: bytes 0-0/1000\r\n\
                 ETag: \"e\"\r\nX-Repo-Commit: {COMMIT}\r\nConnection: close\r\n\r\n{body}"
            );
        }
    });
    let hub = hub(&address, cache.path());
    assert!(hub.dataset_files("a/b", &["c"], &mut |_| {}).is_err());
    let offline = Hub { offline: true, ..hub };
    assert!(offline.dataset_files("a/b", &["c"], &mut |_| {}).is_err());
}

#[test]
fn the_environment_is_honoured() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("token"), "hf_file\n").unwrap();
    let home = home.path().to_str().unwrap();
    let with = |pairs: &[(&str, &str)]| {
        let pairs: HashMap<String, String> =
            pairs.iter().map(|&(name, value)| (name.into(), value.into())).collect();
        Hub::from_variables(|name| pairs.get(name).cloned()).unwrap()
    };
    let plain = with(&[("HF_HOME", home)]);
    assert_eq!(plain.endpoint, "https://huggingface.co");
    assert_eq!(plain.cache, Path::new(home).join("hub"));
    assert_eq!((plain.token.as_deref(), plain.offline), (Some("hf_file"), false));
    let set = with(&[
        ("HF_HOME", home),
        ("HF_ENDPOINT", "http://127.0.0.1:1/"),
        ("HF_HUB_CACHE", "/cache"),
        ("HF_TOKEN", "hf_env"),
        ("HF_HUB_OFFLINE", "True"),
    ]);
    assert_eq!(set.endpoint, "http://127.0.0.1:1");
    assert_eq!(set.cache, Path::new("/cache"));
    assert_eq!((set.token.as_deref(), set.offline), (Some("hf_env"), true));
    assert!(!with(&[("HF_HOME", home), ("HF_HUB_OFFLINE", "0")]).offline);
    assert_eq!(
        with(&[("XDG_CACHE_HOME", "/x"), ("HF_TOKEN_PATH", "/none")]).cache,
        Path::new("/x/huggingface/hub")
    );
}

/// Reviews as the Hub keeps them: negative ones first.
fn parquet_file(reviews: &[(&str, i64)]) -> Vec<u8> {
    use parquet::data_type::{ByteArrayType, Int64Type};
    let schema = "message schema { required binary text (STRING); required int64 label; }";
    let schema = Arc::new(parquet::schema::parser::parse_message_type(schema).unwrap());
    let mut bytes = Vec::new();
    let mut writer =
        parquet::file::writer::SerializedFileWriter::new(&mut bytes, schema, Arc::default()).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let texts: Vec<_> = reviews.iter().map(|review| review.0.into()).collect();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<ByteArrayType>().write_batch(&texts, None, None).unwrap();
    column.close().unwrap();
    let labels: Vec<_> = reviews.iter().map(|review| review.1).collect();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<Int64Type>().write_batch(&labels, None, None).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    writer.close().unwrap();
    bytes
}

/// What `load(&Source::Imdb, …)` says in a process with these variables: the data sets or the error.
fn imdb_with(variables: &[(&str, &str)]) -> String {
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "imdb_in_a_process_of_its_own", "--nocapture"])
        .env("LOAD_IMDB", "1")
        .env_remove("HF_HUB_OFFLINE")
        .env_remove("HF_HUB_CACHE")
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// Run by [`imdb_with`]; by itself it does nothing.
#[test]
fn imdb_in_a_process_of_its_own() {
    use candle_recurrent::data::{Options, Source, load};
    if std::env::var_os("LOAD_IMDB").is_none() {
        return;
    }
    let options = Options { max_len: 3, validation_split: 0.25, ..Options::default() };
    match load(&Source::Imdb, &options, None, &mut |line| println!("report: {line}")) {
        Ok(splits) => println!("{} rows, test {:?}", splits.train.len(), splits.test.ids()),
        Err(error) => println!("error: {error}"),
    }
}

#[test]
fn imdb_is_keras_file_else_the_hubs_else_a_clear_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_string();
    let (keras, cache) = (path("keras"), path("cache"));
    let reviews = [("bad", 0), ("so bad", 0), ("good", 1), ("so good", 1)];
    let (address, log) = serve(
        &FILES.map(|name| (name, parquet_file(&reviews[if name == FILES[0] { 0 } else { 2 }..]))),
        None,
    );
    let here = [("KERAS_HOME", keras.as_str()), ("HF_HOME", &cache), ("HF_ENDPOINT", &address)];
    let offline = [&here[..], &[("HF_HUB_OFFLINE", "1")]].concat();

    let text = imdb_with(&offline);
    assert!(text.contains("error: network:") && text.contains("`data::Source` PATH/imdb.npz"), "{text}");
    assert_eq!(log.requests.load(Ordering::SeqCst), 0);

    let text = imdb_with(&here);
    // Ranks by count, then by first appearance among positive reviews first: good, so, bad.
    let expected = "3 rows, test [0, 1, 4, 1, 5, 4]";
    let swapped = "3 rows, test [1, 5, 4, 0, 1, 4]";
    assert!(
        text.contains("report: downloading") && (text.contains(expected) || text.contains(swapped)),
        "{text}"
    );

    let asked = log.requests.load(Ordering::SeqCst);
    let text = imdb_with(&offline);
    assert!(!text.contains("downloading") && text.contains("3 rows"), "{text}");
    assert_eq!(log.requests.load(Ordering::SeqCst), asked);

    std::fs::create_dir_all(folder.path().join("keras/datasets")).unwrap();
    std::fs::write(folder.path().join("keras/datasets/imdb.npz"), "hello").unwrap();
    let text = imdb_with(&here);
    assert!(text.contains("error: ") && text.contains("datasets/imdb.npz: not a complete .npz"), "{text}");

    let nobody = imdb_with(&[
        ("KERAS_HOME", &path("none")),
        ("HF_HOME", &path("none")),
        ("HF_ENDPOINT", "http://127.0.0.1:9"),
    ]);
    assert!(
        nobody.contains("error: network:") && nobody.contains("`data::Source` PATH/imdb.npz"),
        "{nobody}"
    );
}
