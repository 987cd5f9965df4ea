//! The Hub's Parquet files: found in its folders, read, refused where damaged.

use std::sync::Arc;

use ::parquet::basic::{Compression, ZstdLevel};
use ::parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use ::parquet::file::properties::WriterProperties;
use ::parquet::file::writer::SerializedFileWriter;
use ::parquet::schema::parser::parse_message_type;

use super::*;

const SCHEMA: &str = "message schema { optional binary text (STRING); optional int64 label; }";

fn write(path: &Path, schema: &str, compression: Compression, rows: &[(Option<&str>, i64)]) {
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let properties = WriterProperties::builder().set_compression(compression).build();
    let file = std::fs::File::create(path).unwrap();
    let mut writer = SerializedFileWriter::new(file, schema, Arc::new(properties)).unwrap();
    for rows in rows.chunks(3) {
        let mut group = writer.next_row_group().unwrap();
        let texts: Vec<ByteArray> = rows.iter().filter_map(|row| row.0).map(ByteArray::from).collect();
        let levels: Vec<i16> = rows.iter().map(|row| i16::from(row.0.is_some())).collect();
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<ByteArrayType>().write_batch(&texts, Some(&levels), None).unwrap();
        column.close().unwrap();
        let labels: Vec<i64> = rows.iter().map(|row| row.1).collect();
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<Int64Type>().write_batch(&labels, Some(&vec![1; labels.len()]), None).unwrap();
        column.close().unwrap();
        group.close().unwrap();
    }
    writer.close().unwrap();
}

/// The Hub's order, negative reviews first; the reviews of `write_acl_imdb`.
fn rows(extra: &str) -> Vec<(String, i64)> {
    [("bad film", 0), ("film film bad", 0), ("good film", 1), ("very good, <br />very GOOD", 1)]
        .map(|(text, label)| (format!("{text}{extra}"), label))
        .to_vec()
}

fn write_half(path: &Path, compression: Compression, rows: &[(String, i64)]) {
    let rows: Vec<_> = rows.iter().map(|(text, label)| (Some(text.as_str()), *label)).collect();
    write(path, SCHEMA, compression, &rows);
}

#[test]
fn the_hubs_folders_give_what_acl_imdb_gives() {
    let folder = tempfile::tempdir().unwrap();
    write_acl_imdb(folder.path());
    let options = Options { max_len: 6, validation_split: 0.25, ..Options::default() };
    let load = |path: &Path| load(&Source::Path(path.into()), &options, None, &mut |_| {}).unwrap();
    let expected = load(folder.path());
    for place in ["", "plain_text", "data"] {
        let hub = tempfile::tempdir().unwrap();
        let inner = hub.path().join(place);
        std::fs::create_dir_all(&inner).unwrap();
        let zstd = Compression::ZSTD(ZstdLevel::default());
        write_half(&inner.join("train-00000-of-00002.parquet"), zstd, &rows("")[..1]);
        write_half(&inner.join("train-00001-of-00002.parquet"), Compression::SNAPPY, &rows("")[1..]);
        write_half(&inner.join("test-00000-of-00001.parquet"), Compression::UNCOMPRESSED, &rows(" unheard"));
        std::fs::write(inner.join("unsupervised-00000-of-00001.parquet"), "not read").unwrap();
        let splits = load(hub.path());
        assert_eq!(splits.train, expected.train, "{place}");
        assert_eq!(splits.validation, expected.validation);
        assert_eq!(splits.test, expected.test);
    }
}

#[test]
fn wrong_and_damaged_files_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let (train, test) = (path.join("train-0.parquet"), path.join("test-0.parquet"));
    write_half(&train, Compression::SNAPPY, &rows(""));
    assert!(refused(path).contains("test-*.parquet is missing"));
    write_half(&test, Compression::SNAPPY, &rows(""));
    assert!(read(path).is_ok());
    let schema = "message schema { optional binary review (STRING); optional int64 label; }";
    write(&test, schema, Compression::SNAPPY, &[(Some("a"), 0)]);
    assert!(refused(path).contains("no column text"));
    write(&test, SCHEMA, Compression::SNAPPY, &[(None, 0)]);
    assert!(refused(path).contains("no text"));
    write(&test, SCHEMA, Compression::SNAPPY, &[(Some("a"), -1)]);
    assert!(refused(path).contains("label -1"));
    write(&test, SCHEMA, Compression::SNAPPY, &[]);
    assert!(refused(path).contains("no test reviews"));
    write_half(&test, Compression::SNAPPY, &rows(""));
    let whole = std::fs::read(&test).unwrap();
    for end in (0..whole.len()).step_by(11) {
        std::fs::write(&test, &whole[..end]).unwrap();
        assert!(refused(path).contains("test-0.parquet"));
    }
    let places = RandomState::new(3).permutation(whole.len() as u32);
    for (&at, bit) in places.iter().zip((0..8).cycle()).take(800) {
        let mut bytes = whole.clone();
        bytes[at as usize] ^= 1 << bit;
        std::fs::write(&test, &bytes).unwrap();
        // Parquet's pages carry no checksum by default: what matters is an answer instead of a panic.
        if let Err(error) = read(path) {
            assert!(!error.to_string().contains('\n'));
        }
    }
}
