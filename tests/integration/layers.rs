//! Imports point down: each room of `src` uses only rooms below it, and no files use each other in a circle. Paths are
//! read from the text, `pub use` is followed to the file that defines a name, and test modules are left out.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The rooms, highest first. A room may use those in lines below its own.
const LAYERS: [&[&str]; 15] = [
    &["main", "cli"],
    &["pipeline"],
    &["cache"],
    &["calibrate"],
    &["compiled"],
    &["classifier", "measure"],
    &["decision", "head"],
    &["model"],
    &["text", "preprocess", "net"],
    &["checkpoint", "source"],
    &["device", "score", "embeddings"],
    &["kernels"],
    &["error"],
    &["reason", "regular", "stand_in"],
    &["system"],
];

/// Uses that point up for a reason.
const EXCEPTIONS: [(&str, &str, &str); 1] =
    [("error", "source/error.rs", "an image's failure is one of the library's errors")];

/// A module, as in `model::tower`, and its file.
type Modules = BTreeMap<String, PathBuf>;

fn modules(src: &Path) -> Modules {
    let mut modules = Modules::new();
    let mut folders = vec![src.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs")
                && !path.to_string_lossy().ends_with("tests.rs")
            {
                let below = path.strip_prefix(src).unwrap().with_extension("");
                let parts: Vec<&str> = below.iter().map(|part| part.to_str().unwrap()).collect();
                let name = parts.join("::");
                let name = name.strip_suffix("::mod").unwrap_or(&name).to_owned();
                modules.insert(if name == "lib" { String::new() } else { name }, path);
            }
        }
    }
    modules
}

/// The code of a file without comments and test modules.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let text = text.split("#[cfg(test)]\nmod tests").next().unwrap();
    text.lines().map(|line| line.split("//").next().unwrap().to_owned() + "\n").collect()
}

/// `a::{b, c::{d, e}}` as `a::b`, `a::c::d`, `a::c::e`. A name given by `as` is left out.
fn expand(tree: &str) -> Vec<String> {
    let tree = tree.trim();
    let Some(open) = tree.find('{') else {
        return vec![tree.split(" as ").next().unwrap().trim().to_owned()];
    };
    let inner = tree[open + 1..].trim_end().strip_suffix('}').unwrap();
    let (mut parts, mut depth) = (vec![String::new()], 0);
    for c in inner.chars() {
        depth += i32::from(c == '{') - i32::from(c == '}');
        match c {
            ',' if depth == 0 => parts.push(String::new()),
            c => parts.last_mut().unwrap().push(c),
        }
    }
    let parts = parts.iter().filter(|part| !part.trim().is_empty());
    parts.flat_map(|part| expand(part)).map(|rest| tree[..open].trim().to_owned() + &rest).collect()
}

/// The trees of the `use` items of a file that begin with `keyword`.
fn uses<'a>(code: &'a str, keyword: &'a str) -> impl Iterator<Item = String> + 'a {
    let starts =
        code.match_indices(keyword).filter(|(at, _)| code[..*at].trim_end_matches(' ').ends_with('\n') || *at == 0);
    starts.flat_map(|(at, _)| expand(code[at + keyword.len()..].split(';').next().unwrap()))
}

/// A path of a file in `module`, from the crate's root. None if it leads out of the crate.
fn absolute(path: &str, module: &str, modules: &Modules) -> Option<String> {
    let (first, rest) = path.split_once("::").unwrap_or((path, ""));
    let join = |base: &str| if base.is_empty() { rest.to_owned() } else { format!("{base}::{rest}") };
    let parent = |module: &str| module.rsplit_once("::").map_or(String::new(), |(parent, _)| parent.to_owned());
    match first {
        "crate" | "zsic" => Some(rest.to_owned()),
        "self" => Some(join(module)),
        "super" => {
            let (mut base, mut rest) = (parent(module), rest);
            while let Some(further) = rest.strip_prefix("super::") {
                (base, rest) = (parent(&base), further);
            }
            Some(if base.is_empty() { rest.to_owned() } else { format!("{base}::{rest}") })
        }
        _ => {
            let own = if module.is_empty() { first.to_owned() } else { format!("{module}::{first}") };
            modules.contains_key(&own).then(|| format!("{own}::{rest}"))
        }
    }
}

/// The module that defines what a path names, through re-exports.
fn owner(path: &str, modules: &Modules, exports: &BTreeMap<String, String>) -> Option<String> {
    let mut path = path.trim_end_matches("::").to_owned();
    for _ in 0..8 {
        match exports.iter().find(|(name, _)| path == **name || path.starts_with(&format!("{name}::"))) {
            Some((name, to)) => path = to.clone() + &path[name.len()..],
            None => break,
        }
    }
    let mut module = path.as_str();
    while !modules.contains_key(module) {
        module = module.rsplit_once("::")?.0;
    }
    Some(module.to_owned()).filter(|module| !module.is_empty())
}

/// Which module uses which others.
fn edges(src: &Path) -> (Modules, BTreeMap<String, BTreeSet<String>>) {
    let modules = modules(src);
    let mut exports = BTreeMap::new();
    for (module, path) in &modules {
        let code = code(path);
        for keyword in ["pub use ", "pub(crate) use ", "pub(super) use "] {
            for used in uses(&code, keyword) {
                let Some(to) = absolute(&used, module, &modules) else { continue };
                let name = used.rsplit("::").next().unwrap();
                let name = if module.is_empty() { name.to_owned() } else { format!("{module}::{name}") };
                exports.insert(name, to);
            }
        }
    }
    let mut edges: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (module, path) in modules.iter().filter(|(module, _)| !module.is_empty()) {
        let code = code(path);
        let inline = code.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'));
        let inline =
            inline.filter(|word| word.starts_with("crate::") || word.starts_with("super::")).map(str::to_owned);
        let all = uses(&code, "use ").chain(inline.filter(|path| !path.ends_with("::")));
        let owners = all.filter_map(|used| owner(&absolute(&used, module, &modules)?, &modules, &exports));
        edges.entry(module.clone()).or_default().extend(owners.filter(|owner| owner != module));
    }
    (modules, edges)
}

fn room(module: &str) -> &str {
    module.split("::").next().unwrap()
}

fn layer(module: &str) -> usize {
    let of = |rooms: &&[&str]| rooms.contains(&room(module));
    LAYERS.iter().position(of).unwrap_or_else(|| panic!("{module}: give its room a place in LAYERS"))
}

#[test]
fn imports_point_down() {
    let (modules, edges) = edges(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    let mut rooms: BTreeMap<(usize, &str), BTreeSet<&str>> = BTreeMap::new();
    let mut wrong = Vec::new();
    for (from, to) in edges.iter().flat_map(|(from, to)| to.iter().map(move |to| (from, to))) {
        if room(from) == room(to) {
            continue;
        }
        rooms.entry((layer(from), room(from))).or_default().insert(room(to));
        let file = modules[to].to_string_lossy();
        let is_excepted = EXCEPTIONS.iter().any(|(room, allowed, _)| from == room && file.ends_with(allowed));
        if layer(from) >= layer(to) && !is_excepted {
            wrong.push(format!("{from} uses {to}"));
        }
    }
    for ((_, room), used) in &rooms {
        println!("{room} -> {}", used.iter().copied().collect::<Vec<_>>().join(", "));
    }
    assert!(rooms.len() > 6 && edges["model::tower"].contains("model::spec"), "the imports were not read");
    assert!(wrong.is_empty(), "these point up or sideways:\n{}", wrong.join("\n"));
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let (_, mut edges) = edges(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    // A file that uses no other, or that no other uses, is in no circle. Without them only circles are left.
    loop {
        let used: BTreeSet<String> = edges.values().flatten().cloned().collect();
        let before = edges.len();
        let left: BTreeSet<String> = edges.keys().filter(|module| used.contains(*module)).cloned().collect();
        edges.retain(|module, to| left.contains(module) && !to.is_disjoint(&left));
        edges.values_mut().for_each(|to| to.retain(|to| left.contains(to)));
        if edges.len() == before {
            break;
        }
    }
    let circles: Vec<String> = edges.iter().map(|(from, to)| format!("{from} uses {to:?}")).collect();
    assert!(circles.is_empty(), "circles:\n{}", circles.join("\n"));
}
