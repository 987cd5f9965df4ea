//! Damaged files of every format, a few thousand of them: each is read or refused, without a panic, without much memory, and
//! before long. `fuzz/` goes on from here where there is time.

#[path = "common/memory.rs"]
mod memory;
#[path = "common/readers.rs"]
mod readers;
#[path = "common/seeds.rs"]
mod seeds;

use memory::{alone, measured};
use rand_mt::Mt64;
use readers::{READ, READERS, Reader};
use seeds::seeds;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// Files a reader, and how long they may take together: of a slow reader fewer are tried.
const FILES: usize = 1200;
const TIME: Duration = Duration::from_millis(1500);

/// What a file may take: so much, and a multiple of its size.
const MEMORY: usize = 256 << 20;
const TIMES: usize = 64;

/// Numbers that lengths and offsets do not survive.
const NUMBERS: [u64; 8] = [0, 1, 0x7f, 0xff, 0xffff, 0x7fff_ffff, 0xffff_ffff, 0x7fff_ffff_ffff_ffff];

fn below(random: &mut Mt64, count: usize) -> usize {
    (random.next_u64() % count.max(1) as u64) as usize
}

/// A file that is whole but for something.
fn damaged(random: &mut Mt64, whole: &[u8], other: &[u8]) -> Vec<u8> {
    let mut bytes = whole.to_vec();
    match random.next_u64() % 8 {
        // Cut off.
        0 => bytes.truncate(below(random, whole.len())),
        // A few bits, or bytes, that are others.
        1 | 2 => {
            for _ in 0..=below(random, 6) {
                let at = below(random, bytes.len());
                bytes[at] ^= 1 << below(random, 8);
            }
        }
        3 => {
            for _ in 0..=below(random, 4) {
                let at = below(random, bytes.len());
                bytes[at] = random.next_u64() as u8;
            }
        }
        // A number that is another.
        4 => {
            let width = 1 << below(random, 4);
            let at = below(random, bytes.len().saturating_sub(width));
            let number = NUMBERS[below(random, NUMBERS.len())].to_le_bytes();
            let end = bytes.len().min(at + width);
            bytes[at..end].copy_from_slice(&number[..end - at]);
        }
        // A part that is not there, or twice, or of another file.
        5 => {
            let from = below(random, bytes.len());
            let to = (from + below(random, 200)).min(bytes.len());
            bytes.drain(from..to);
        }
        6 => {
            let from = below(random, bytes.len());
            let part = bytes[from..(from + below(random, 200)).min(bytes.len())].to_vec();
            let at = below(random, bytes.len());
            bytes.splice(at..at, part);
        }
        _ => {
            let (at, from) = (below(random, bytes.len()), below(random, other.len()));
            bytes.truncate(at);
            bytes.extend_from_slice(&other[from..]);
        }
    }
    bytes
}

/// Gives a reader damaged files; what went wrong, if anything did, with the file.
fn through(reader: &Reader, folder: &Path, seed: u64) -> (usize, usize, Vec<String>) {
    let whole = seeds(reader.name);
    let path = folder.join(format!("x.{}", reader.suffix));
    let mut random = Mt64::new(seed);
    let (mut wrong, mut peak, mut count) = (vec![], 0, 0);
    let start = Instant::now();
    while count < FILES && start.elapsed() < TIME && wrong.len() < 5 {
        // First as they are.
        let bytes = match whole.get(count) {
            Some((_, bytes)) => bytes.clone(),
            None => {
                let [one, other] = [(); 2].map(|()| below(&mut random, whole.len()));
                damaged(&mut random, &whole[one].1, &whole[other].1)
            }
        };
        count += 1;
        std::fs::write(&path, &bytes).expect("written");
        let before = READ.load(Relaxed);
        // What ends the program leaves its name.
        memory::about(&format!("{} of seed {seed}, file {count}", reader.name));
        let most = MEMORY + TIMES * bytes.len();
        let (read, taken) = measured(most, || catch_unwind(AssertUnwindSafe(|| (reader.read)(&path))));
        peak = peak.max(taken.bytes);
        if let Some((name, _)) = whole.get(count - 1)
            && READ.load(Relaxed) == before
            && !["objects", "pickle_tokenizer.pickle", "refused_soft_link.h5"].contains(&name.as_str())
        {
            wrong.push(format!("{}: {name} is not read at all", reader.name));
        }
        if read.is_err() || taken.time > Duration::from_secs(5) {
            let kept = std::env::temp_dir().join(format!("damaged-{seed}-{count}.{}", reader.suffix));
            let _ = std::fs::write(&kept, &bytes);
            wrong.push(format!("{}: {taken:?}, panics: {}: {}", reader.name, read.is_err(), kept.display()));
        }
    }
    (count, peak, wrong)
}

#[test]
fn damaged_files_of_every_format_do_no_harm() {
    let _alone = alone();
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        // Panics of other people's parsers stay inside the library.
        if !candle_recurrent::panic_is_contained() {
            hook(info);
        }
    }));
    let folder = tempfile::tempdir().expect("a folder");
    let seed = std::env::var("CANDLE_RECURRENT_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let mut wrong = vec![];
    let mut all = 0;
    for reader in &READERS {
        let start = Instant::now();
        let (count, peak, found) = through(reader, folder.path(), seed);
        println!("{:12} {count:5} files, {:?}, {} KiB at most", reader.name, start.elapsed(), peak >> 10);
        all += count;
        wrong.extend(found);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(all > 500, "{all}");
}

/// Writes the whole files, a folder a reader, into the folder that the environment names: the corpus of `fuzz/`.
#[test]
fn seeds_are_there_and_can_be_written() {
    let folder = std::env::var_os("CANDLE_RECURRENT_SEEDS");
    for reader in &READERS {
        let seeds = seeds(reader.name);
        assert!(
            !seeds.is_empty() || reader.name == "parquet" && !cfg!(feature = "parquet"),
            "{}",
            reader.name
        );
        let Some(folder) = &folder else { continue };
        let folder = Path::new(folder).join(reader.name);
        std::fs::create_dir_all(&folder).expect("a folder");
        for (name, bytes) in seeds {
            std::fs::write(folder.join(name), bytes).expect("written");
        }
    }
}
