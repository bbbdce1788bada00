//! Checks the module order, which module may use which third-party crate, and that every file starts with its purpose.
//!
//! The sources are read as text: comments, literals and test code are blanked out, then paths are compared. The order is
//! read from the table in `src/lib.rs`; the crates are listed here.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Which files name a crate outside of test code. An entry that ends with `/` is a folder.
const ROOMS: &[(&str, &[&str])] = &[
    ("anstyle", &["output/mod.rs"]),
    ("anstyle_query", &["output/mod.rs"]),
    ("anyhow", &["cli/", "error.rs"]),
    ("axum", &["listener/", "web/"]),
    (
        "base64",
        &[
            "capture/",
            "listener/",
            "output/",
            "portal/",
            "remote/",
            "secret/",
            "signature/",
            "web/",
        ],
    ),
    ("brotli_decompressor", &["capture/decode.rs"]),
    ("clap", &["cli/", "lib.rs", "output/mod.rs"]),
    ("clap_complete", &["cli/complete.rs"]),
    ("comfy_table", &["output/rows.rs"]),
    ("csv", &["output/rows.rs"]),
    ("encoding_rs", &["event/"]),
    ("etcetera", &["env.rs"]),
    ("flate2", &["capture/decode.rs"]),
    ("form_urlencoded", &["document/", "listener/", "web/"]),
    ("futures_util", &["journal/postgres/", "web/"]),
    ("hdrhistogram", &["engine/"]),
    ("hickory_resolver", &["http/"]),
    (
        "http",
        &["capture/", "config/", "http/", "listener/", "secret/"],
    ),
    ("http_body_util", &["http/", "listener/"]),
    ("httparse", &["capture/", "listener/"]),
    ("hyper", &["http/", "listener/"]),
    ("hyper_rustls", &["http/"]),
    ("hyper_util", &["http/", "listener/"]),
    ("indexmap", &["capture/", "cli/"]),
    ("indicatif", &["output/progress.rs"]),
    ("ipnet", &["http/"]),
    ("jiff", &["time.rs"]),
    (
        "memchr",
        &[
            "capture/",
            "http/tls.rs",
            "listener/handshake.rs",
            "signature/",
        ],
    ),
    ("percent_encoding", &["secret/", "web/"]),
    ("quick_xml", &["event/", "portal/"]),
    ("regex_lite", &["capture/"]),
    ("reqwest", &["http/"]),
    ("ring", &["http/", "journal/postgres/copy.rs", "signature/"]),
    ("roxmltree", &["event/"]),
    ("rusqlite", &["journal/"]),
    ("ruzstd", &["capture/decode.rs"]),
    ("rustix", &["env.rs", "journal/", "time.rs"]),
    ("rustls", &["listener/", "http/"]),
    ("rustls_native_certs", &["http/"]),
    (
        "serde",
        &[
            "cli/",
            "config/",
            "journal/",
            "capture/",
            "delivery/",
            "output/",
            "portal/",
            "remote/",
            "secret/",
            "signature/",
            "web/",
        ],
    ),
    (
        "serde_json",
        &[
            "cli/",
            "journal/",
            "capture/",
            "document/",
            "listener/handshake.rs",
            "output/",
            "secret/",
            "portal/",
            "remote/",
            "web/",
        ],
    ),
    ("signal_hook", &["env.rs"]),
    ("strsim", &["text.rs"]),
    ("subtle", &["secret/", "signature/"]),
    ("tempfile", &["cli/", "journal/"]),
    ("terminal_size", &["env.rs"]),
    ("thiserror", &[""]),
    (
        "tokio",
        &["http/", "journal/postgres/", "listener/", "web/"],
    ),
    ("tokio_postgres", &["journal/postgres/"]),
    ("tokio_rustls", &["http/", "listener/"]),
    ("tokio_postgres_rustls", &["journal/postgres/"]),
    ("toml", &["config/"]),
    ("tower", &["http/", "listener/", "web/"]),
    ("url", &["http/", "journal/location.rs", "secret/"]),
    ("uuid", &["journal/", "web/"]),
    ("webpki_root_certs", &["http/"]),
];

#[test]
fn imports_only_go_down() {
    let order = module_order();
    let mut wrong = Vec::new();
    for source in sources() {
        let own = source
            .module
            .first()
            .map_or_else(|| source.stem(), Clone::clone);
        let Some(&level) = order.get(own.as_str()) else {
            wrong.push(format!(
                "{}: `{own}` is missing from the table in src/lib.rs",
                source.path.display()
            ));
            continue;
        };
        for used in source.modules_used().iter().filter(|used| **used != own) {
            if order.get(used.as_str()).is_some_and(|&other| other < level) {
                wrong.push(format!(
                    "{}: `{own}` uses `{used}`, which is above it",
                    source.path.display()
                ));
            }
        }
    }
    assert_none(&wrong);
}

/// A `mod.rs` re-exports what its own folder defines; such imports within one branch of the tree are not counted.
#[test]
fn files_do_not_import_each_other_in_circles() {
    let sources: Vec<Source> = sources()
        .into_iter()
        .filter(|source| !source.module.is_empty())
        .collect();
    let file_of = |path: &[String]| {
        let is_file = |length: &usize| {
            sources
                .iter()
                .any(|source| source.module == path[..*length])
        };
        (1..=path.len())
            .rev()
            .find(is_file)
            .map(|length| path[..length].to_vec())
    };
    let mut imports: BTreeMap<&[String], BTreeSet<Vec<String>>> = BTreeMap::new();
    for source in &sources {
        let paths = source.paths_used();
        let used = paths.iter().filter_map(|path| file_of(path));
        let used = used
            .filter(|used| !used.starts_with(&source.module) && !source.module.starts_with(used));
        imports.insert(&source.module, used.collect());
    }
    // Files that import nothing left in the map are not on a circle.
    loop {
        let before = imports.len();
        let left: BTreeSet<Vec<String>> = imports.keys().map(|module| module.to_vec()).collect();
        imports.retain(|_, used| used.iter().any(|used| left.contains(used)));
        if imports.len() == before {
            break;
        }
    }
    let left: BTreeSet<Vec<String>> = imports.keys().map(|module| module.to_vec()).collect();
    let wrong: Vec<String> = imports
        .iter()
        .map(|(module, used)| {
            let used: Vec<String> = used
                .intersection(&left)
                .map(|used| used.join("::"))
                .collect();
            format!("{} imports {}", module.join("::"), used.join(", "))
        })
        .collect();
    assert_none(&wrong);
}

#[test]
fn the_module_table_is_complete() {
    let on_disk: BTreeSet<String> = sources()
        .iter()
        .map(|s| s.module.first().cloned().unwrap_or(s.stem()))
        .collect();
    let in_table: BTreeSet<String> = module_order()
        .into_keys()
        .chain(["lib".to_owned()])
        .collect();
    assert_eq!(
        on_disk, in_table,
        "left: modules under src/, right: modules in the table of src/lib.rs"
    );
}

#[test]
fn a_crate_is_named_only_in_its_rooms() {
    let rooms: BTreeMap<&str, &[&str]> = ROOMS.iter().copied().collect();
    let (mut wrong, mut entered) = (Vec::new(), BTreeSet::new());
    for source in sources() {
        let place = source
            .path
            .strip_prefix(root().join("src"))
            .expect("a source is under src")
            .display()
            .to_string();
        for (&name, &rooms) in &rooms {
            if !names_crate(&source.code, name) {
                continue;
            }
            entered.insert(name);
            if !rooms.iter().any(|room| {
                place == *room || room.ends_with('/') && place.starts_with(room) || room.is_empty()
            }) {
                wrong.push(format!(
                    "src/{place} names `{name}`, whose place is {}",
                    rooms.join(", ")
                ));
            }
        }
    }
    wrong.extend(
        rooms
            .keys()
            .filter(|name| !entered.contains(*name))
            .map(|name| format!("nothing uses `{name}`")),
    );
    assert_none(&wrong);
}

#[test]
fn every_dependency_has_a_room() {
    let manifest = read(&root().join("Cargo.toml"));
    let dependencies = manifest
        .split("\n[dependencies]\n")
        .nth(1)
        .and_then(|rest| rest.split("\n[").next());
    let dependencies: BTreeSet<String> = dependencies
        .expect("Cargo.toml has dependencies")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| Some(line.split_once(" = ")?.0.replace('-', "_")))
        .collect();
    let rooms: BTreeSet<String> = ROOMS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(
        dependencies, rooms,
        "left: Cargo.toml, right: the rooms in this file"
    );
}

#[test]
fn every_file_starts_with_a_module_comment() {
    let wrong: Vec<String> = files(&root())
        .into_iter()
        .filter(|path| {
            path.extension().is_some_and(|e| e == "rs") && !read(path).starts_with("//! ")
        })
        .map(|path| {
            format!(
                "{} does not start with `//!` and its purpose",
                path.display()
            )
        })
        .collect();
    assert_none(&wrong);
}

/// The reader of sources is what the tests above stand on, so that it is tested too.
#[test]
fn the_reader_sees_code_and_nothing_else() {
    let text = "use crate::{rule::{Rule, inner::{self, Part as P}}, time};\n// crate::comment\nlet a = \"crate::string \\\" crate::more\"; \
                let b = r#\"crate::raw\"#; let c = '\"'; crate::after(); fn f<'a>(x: &'a str) { super::near() }\n\
                #[cfg(test)]\nmod tests { fn g() { crate::tested() } }\n#[cfg(test)] use crate::imported; \
                crate::last(reqwest::get()); /* crate::block */";
    let code = without_tests(&without_text(text));
    let source = Source {
        path: PathBuf::new(),
        module: vec!["a".into()],
        code,
    };
    let used: Vec<String> = source.modules_used().into_iter().collect();
    assert_eq!(used, ["after", "last", "near", "rule", "time"]);
    let paths: Vec<String> = source
        .paths_used()
        .iter()
        .map(|path| path.join("::"))
        .collect();
    assert!(paths.contains(&"rule::inner::Part".to_owned()), "{paths:?}");
    assert!(paths.contains(&"rule::inner".to_owned()), "{paths:?}");
    assert!(names_crate(&source.code, "reqwest"));
    assert!(!names_crate("crate::csv::List; my_csv::a; x.csv", "csv"));
    assert!(names_crate("use csv;", "csv"));
}

/// A source file without its comments, literals and test code.
struct Source {
    path: PathBuf,
    /// `["cli", "failed", "list"]`; empty for `lib.rs`.
    module: Vec<String>,
    code: String,
}

impl Source {
    fn stem(&self) -> String {
        self.path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned()
    }

    /// The paths inside this crate that the file names, from the crate's root: `["journal", "sqlite", "open"]`.
    fn paths_used(&self) -> BTreeSet<Vec<String>> {
        let mut used = BTreeSet::new();
        for up in 0..=self.module.len() {
            let (prefix, base) = match up {
                0 => ("crate::".to_owned(), Vec::new()),
                _ => (
                    "super::".repeat(up),
                    self.module[..self.module.len() - up].to_vec(),
                ),
            };
            for (at, _) in self
                .code
                .match_indices(&prefix)
                .filter(|(at, _)| starts_word(&self.code, *at))
            {
                let rest = &self.code[at + prefix.len()..];
                if !rest.starts_with("super::") {
                    collect_paths(rest, &base, &mut used);
                }
            }
        }
        used
    }

    /// The top-level modules that the file names.
    fn modules_used(&self) -> BTreeSet<String> {
        self.paths_used()
            .into_iter()
            .filter_map(|path| path.into_iter().next())
            .collect()
    }
}

/// Adds the paths that `text` starts with, a path or a group in braces, below `base`; returns what follows.
fn collect_paths<'a>(text: &'a str, base: &[String], paths: &mut BTreeSet<Vec<String>>) -> &'a str {
    let text = text.trim_start();
    if let Some(mut group) = text.strip_prefix('{') {
        loop {
            group = collect_paths(group, base, paths).trim_start();
            match group.strip_prefix(',') {
                Some(rest) => group = rest,
                None => return group.strip_prefix('}').unwrap_or(group),
            }
        }
    }
    let end = text.find(|c| !is_word(c)).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    if name.is_empty() || name == "self" {
        paths.insert(base.to_vec());
        return rest;
    }
    let path = [base, &[name.to_owned()]].concat();
    match rest.strip_prefix("::") {
        Some(below) if !below.starts_with('<') => collect_paths(below, &path, paths),
        _ => {
            paths.insert(path);
            // `name as other`
            let alias = rest
                .trim_start()
                .strip_prefix("as ")
                .map(|rest| rest.trim_start_matches(is_word));
            alias.unwrap_or(rest)
        }
    }
}

/// All sources under `src`, files of test code left out.
fn sources() -> Vec<Source> {
    let folder = root().join("src");
    let mut sources = Vec::new();
    let mut tests = BTreeSet::new();
    for path in files(&folder)
        .into_iter()
        .filter(|path| path.extension().is_some_and(|e| e == "rs"))
    {
        let inside = path
            .strip_prefix(&folder)
            .expect("a source is under src")
            .with_extension("");
        let mut module: Vec<String> = inside
            .iter()
            .map(|part| part.to_string_lossy().into_owned())
            .collect();
        if module.last().is_some_and(|last| last == "mod")
            || module == ["lib"]
            || module == ["main"]
        {
            module.pop();
        }
        let text = without_text(&read(&path));
        let squeezed: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
        for declared in squeezed
            .split("#[cfg(test)] mod ")
            .skip(1)
            .filter_map(|rest| rest.split_once(';'))
        {
            tests.insert([module.as_slice(), &[declared.0.to_owned()]].concat());
        }
        sources.push(Source {
            path,
            module,
            code: without_tests(&text),
        });
    }
    sources.retain(|source| !tests.iter().any(|test| source.module.starts_with(test)));
    sources
}

/// Module → its line in the table of `src/lib.rs`, counted from the top.
fn module_order() -> BTreeMap<String, usize> {
    let text = read(&root().join("src/lib.rs"));
    let rows = text.lines().filter_map(|line| line.strip_prefix("//! | "));
    let names = rows.filter_map(|row| row.split('`').nth(1).map(str::to_owned));
    let mut order = BTreeMap::new();
    for (level, name) in names.enumerate() {
        assert_eq!(
            order.insert(name.clone(), level),
            None,
            "`{name}` is listed twice"
        );
    }
    order.insert("lib".to_owned(), 0);
    order
}

/// Whether a path begins with this crate's name.
fn names_crate(code: &str, name: &str) -> bool {
    code.match_indices(name).any(|(at, _)| {
        let after = &code[at + name.len()..];
        let imported = code[..at].trim_end().ends_with("use") && after.starts_with([';', ' ']);
        starts_word(code, at) && (after.starts_with("::") || imported)
    })
}

/// Whether a path starts here, and not in the middle of a word or of another path.
fn starts_word(code: &str, at: usize) -> bool {
    !code[..at].ends_with(|c| is_word(c) || c == ':' || c == '.')
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Blanks out comments and the contents of literals.
fn without_text(source: &str) -> String {
    let mut code = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(c) = rest.chars().next() {
        let skipped = match c {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |end| end + 2),
            '"' => quoted(rest),
            'r' if !code.ends_with(is_word) || code.ends_with('b') => raw_string(rest),
            '\'' if rest[1..].starts_with('\\') => {
                2 + rest[3..].find('\'').map_or(0, |end| end + 2)
            }
            '\'' if rest[1..].chars().nth(1) == Some('\'') => {
                rest[1..].chars().next().map_or(1, char::len_utf8) + 2
            }
            _ => 0,
        };
        if skipped == 0 {
            code.push(c);
            rest = &rest[c.len_utf8()..];
        } else {
            code.push(' ');
            rest = &rest[skipped..];
        }
    }
    code
}

fn quoted(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            '"' if !escaped => return at + 1,
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    text.len()
}

/// The length of a raw string that begins here; 0 if none does.
fn raw_string(text: &str) -> usize {
    let hashes = text[1..].len() - text[1..].trim_start_matches('#').len();
    if !text[1 + hashes..].starts_with('"') {
        return 0;
    }
    let end = format!("\"{}", "#".repeat(hashes));
    let begin = hashes + 2;
    text[begin..]
        .find(&end)
        .map_or(text.len(), |at| begin + at + end.len())
}

/// Cuts out each item marked `#[cfg(test)]`.
fn without_tests(code: &str) -> String {
    let (before, item) = match code.split_once("#[cfg(test)]") {
        Some(split) => split,
        None => return code.to_owned(),
    };
    let import = item.trim_start().starts_with("use ");
    let mut depth = 0;
    for (at, c) in item.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 && (c == ';' || c == '}' && !import) {
            return format!("{before} {}", without_tests(&item[at + 1..]));
        }
    }
    before.to_owned()
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// All files below a folder, what git and cargo keep there left out.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
        let path = entry.expect("an entry of the tree").path();
        if [".git", "target"]
            .iter()
            .any(|name| path == root().join(name))
        {
            continue;
        }
        if path.is_dir() {
            found.extend(files(&path))
        } else {
            found.push(path)
        }
    }
    found.sort();
    found
}

#[track_caller]
fn assert_none(wrong: &[String]) {
    assert!(
        wrong.is_empty(),
        "{} found:\n  {}",
        wrong.len(),
        wrong.join("\n  ")
    );
}
