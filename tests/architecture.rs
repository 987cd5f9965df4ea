//! The rooms of ARCHITECTURE.md, held against the code: arrows between rooms go down only, and no two files take from each
//! other, by whatever way round.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The library's rooms, from the ground up: a room may use those before it.
const ROOMS: [&str; 18] = [
    "error",
    "json",
    "panics",
    "random",
    "formats",
    "layers",
    "model",
    "text",
    "hub",
    "data",
    "train",
    "report",
    "plot",
    "checkpoint",
    "forecast",
    "keras",
    "zoo",
    "sharing",
];

/// A crate's files by their module paths: `layers::rnn::lstm`; the root's is empty.
struct Crate {
    name: &'static str,
    modules: BTreeMap<Vec<String>, Module>,
}

struct Module {
    path: PathBuf,
    /// The modules that its code names, apart from those that a `mod.rs` only hands on.
    uses: BTreeSet<Vec<String>>,
}

fn words(path: &str) -> Vec<String> {
    path.split("::").map(|part| part.trim().to_string()).filter(|part| !part.is_empty()).collect()
}

/// The code without comments, texts, tests, and what a module hands on (`pub use`).
fn code(text: &str) -> String {
    let mut code = String::new();
    let mut handed_on = false;
    for line in text.lines() {
        let line = line.split("//").next().unwrap_or_default();
        if line.trim() == "#[cfg(test)]" {
            // Tests stand last in a file, or are a file of their own.
            break;
        }
        handed_on |= ["pub use ", "pub(crate) use ", "pub(super) use "].iter().any(|it| line.starts_with(it));
        if !handed_on && !line.starts_with("mod ") && !line.starts_with("pub mod ") {
            // Texts may hold anything.
            code.extend(line.split('"').step_by(2));
            code.push('\n');
        }
        handed_on &= !line.contains(';');
    }
    code
}

/// The paths that begin with `crate`, `super`, `self` or `$crate`, braces taken apart.
fn paths(code: &str) -> Vec<String> {
    let is_path = |c: char| c.is_alphanumeric() || matches!(c, '_' | ':');
    let mut found = vec![];
    for (at, _) in code.match_indices("::") {
        let start = code[..at].rfind(|c: char| !is_path(c)).map_or(0, |before| before + 1);
        let head = &code[start..at];
        if matches!(head, "crate" | "super" | "self")
            || head.starts_with("super::") && head.ends_with("super")
        {
            found.extend(expand(head, &code[at + 2..]));
        }
    }
    found
}

/// `prefix::` before a word, or before each of a list in braces.
fn expand(prefix: &str, rest: &str) -> Vec<String> {
    let end = rest.find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | ':'))).unwrap_or(rest.len());
    let path = format!("{prefix}::{}", &rest[..end]);
    if !rest[end..].starts_with('{') {
        return vec![path];
    }
    let (mut depth, mut item, mut items) = (0, String::new(), vec![]);
    for c in rest[end..].chars() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 || depth == 1 && matches!(c, ',' | '{') {
            items.push(std::mem::take(&mut item));
            if depth == 0 {
                break;
            }
        } else {
            item.push(c);
        }
    }
    let prefix = path.trim_end_matches("::");
    items
        .iter()
        .map(|item| item.trim())
        .filter(|it| !it.is_empty())
        .flat_map(|it| expand(prefix, it))
        .collect()
}

impl Crate {
    fn read(name: &'static str, folder: &str) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        let mut files = BTreeMap::new();
        collect(&root, &[], &mut files);
        let known: BTreeSet<Vec<String>> = files.keys().cloned().collect();
        let modules = files.into_iter().map(|(module, path)| {
            let text = std::fs::read_to_string(&path).expect("a file");
            let is_folder = path.ends_with("mod.rs") || module.is_empty();
            let targets = paths(&code(&text)).into_iter().filter_map(|target| {
                let mut at = if is_folder { module.clone() } else { module[..module.len() - 1].to_vec() };
                let mut parts = words(&target).into_iter().peekable();
                match parts.next().as_deref() {
                    Some("crate") => at.clear(),
                    Some("self") if !is_folder => return None,
                    Some("super") if is_folder => drop(at.pop()),
                    _ => {}
                }
                for part in parts {
                    match part.as_str() {
                        "super" => drop(at.pop()),
                        _ => at.push(part),
                    }
                }
                // The longest part of the path that is a file.
                while !known.contains(&at) && !at.is_empty() {
                    at.pop();
                }
                Some(at).filter(|at| *at != module)
            });
            let uses = targets.collect();
            (module.clone(), Module { path, uses })
        });
        Self { name, modules: modules.collect() }
    }

    /// The files that take from each other, in groups.
    fn circles(&self) -> Vec<String> {
        let reach = |from: &Vec<String>| {
            let (mut reached, mut open) = (BTreeSet::new(), vec![from]);
            while let Some(module) = open.pop() {
                for next in self.modules.get(module).into_iter().flat_map(|module| &module.uses) {
                    if reached.insert(next.clone()) {
                        open.push(next);
                    }
                }
            }
            reached
        };
        let reached: BTreeMap<&Vec<String>, BTreeSet<Vec<String>>> =
            self.modules.keys().map(|module| (module, reach(module))).collect();
        let both = |a: &Vec<String>, b: &Vec<String>| reached[a].contains(b) && reached[b].contains(a);
        let mut circles: BTreeSet<Vec<String>> = BTreeSet::new();
        for module in self.modules.keys().filter(|module| both(module, module)) {
            let ring = self.modules.iter().filter(|(other, _)| both(module, other));
            circles.insert(ring.map(|(_, module)| module.path.display().to_string()).collect());
        }
        circles.into_iter().map(|ring| format!("{}: {}", self.name, ring.join(", "))).collect()
    }
}

fn collect(folder: &Path, module: &[String], files: &mut BTreeMap<Vec<String>, PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let stem = path.file_stem().expect("a name").to_string_lossy().into_owned();
        let inner: Vec<String> = module.iter().cloned().chain([stem.clone()]).collect();
        if path.is_dir() {
            collect(&path, &inner, files);
        } else if path.extension().is_some_and(|it| it == "rs") && stem != "tests" {
            let own = matches!(stem.as_str(), "mod" | "lib" | "main");
            files.insert(if own { module.to_vec() } else { inner }, path);
        }
    }
}

#[test]
fn no_circles() {
    let crates = [
        Crate::read("candle-recurrent", "src"),
        Crate::read("candle-recurrent-kernel", "kernel/src"),
        Crate::read("candle-recurrent-cli", "cli/src"),
    ];
    for it in &crates {
        assert!(it.modules.values().any(|module| !module.uses.is_empty()), "{}: nothing was read", it.name);
    }
    let circles: Vec<String> = crates.iter().flat_map(Crate::circles).collect();
    assert!(circles.is_empty(), "files that take from each other:\n{}", circles.join("\n"));
}

#[test]
fn arrows_go_down() {
    let library = Crate::read("candle-recurrent", "src");
    let floor = |room: &str| ROOMS.iter().position(|known| *known == room);
    let mut up = vec![];
    for (module, Module { path, uses }) in &library.modules {
        let Some(room) = module.first() else { continue };
        let own = floor(room).unwrap_or_else(|| panic!("{room} is no room of ARCHITECTURE.md"));
        for used in uses.iter().filter_map(|used| used.first()) {
            if floor(used).is_some_and(|used| used > own) {
                up.push(format!("{} uses {used}", path.display()));
            }
        }
    }
    assert!(up.is_empty(), "arrows that go up:\n{}", up.join("\n"));
}

/// `unsafe` stands in the kernels and where files are mapped: nowhere else is the compiler told to allow it.
#[test]
fn unsafe_code_has_its_two_places() {
    let mut allowed = vec![];
    for folder in ["src", "kernel/src", "cli/src"] {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        let mut files = BTreeMap::new();
        collect(&root, &[], &mut files);
        for path in files.into_values() {
            let text = std::fs::read_to_string(&path).expect("a file");
            if text.contains("allow(unsafe_code") || text.contains("expect(unsafe_code") {
                let own = path.strip_prefix(env!("CARGO_MANIFEST_DIR")).expect("within");
                allowed.push(own.to_string_lossy().replace('\\', "/"));
            }
        }
    }
    allowed.sort();
    assert_eq!(allowed, ["kernel/src/lib.rs", "src/formats/mapped.rs"]);
    // What the compiler refuses else, with a reason for each block.
    let manifest = include_str!("../Cargo.toml");
    for lint in ["unsafe_code = \"deny\"", "undocumented_unsafe_blocks = \"deny\""] {
        assert!(manifest.contains(lint), "{lint}");
    }
}

/// The reader of this test, on code of its own.
#[test]
fn paths_are_found() {
    let code = code(
        "//! use crate::no;\nuse crate::a::{b::C, d::{self, e}};\npub use crate::f;\nlet g = super::h::i(\"crate::j\");",
    );
    let found: BTreeSet<String> = paths(&code).into_iter().collect();
    let expected = ["crate::a::b::C", "crate::a::d::self", "crate::a::d::e", "super::h::i"];
    assert_eq!(found, expected.map(String::from).into());
}
