//! Selects images of a walk: by globs, and by the share of one of several machines. It looks at names and opens
//! nothing.

use std::ffi::OsStr;
use std::fmt;
use std::path::Path;
use std::str::FromStr;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use ring::digest::{SHA256, digest};

use super::Name;

/// The selection from folders and tars, and from all inputs.
#[derive(Debug, Clone, Default)]
pub struct Select {
    include: Option<Globs>,
    exclude: Globs,
    shard: Shard,
}

impl Select {
    /// Selects everything that the globs and the shard allow.
    ///
    /// A glob without a slash matches a file's own name; one with a slash matches the path below the named folder. `*`
    /// stops at a slash and `**` does not. With `include`, a file must match one of those globs. `exclude` leaves out
    /// matching files, and matching folders or tars with their contents. A glob that ends in a slash matches only
    /// folders and tars.
    ///
    /// # Errors
    /// A glob that cannot be read, with the reason.
    pub fn new(include: &[String], exclude: &[String], shard: Shard) -> Result<Self, BadGlob> {
        let with_slashes = |globs: &[String]| globs.iter().map(|glob| with_slashes(glob)).collect::<Vec<_>>();
        let (include, exclude) = (with_slashes(include), with_slashes(exclude));
        let include = if include.is_empty() {
            None
        } else {
            // A folder that matches includes its contents.
            let inside = |glob: &String| if glob.ends_with('/') { format!("{}**", deep(glob)) } else { glob.clone() };
            Some(Globs::new(&include.iter().map(inside).collect::<Vec<_>>())?)
        };
        Ok(Self { include, exclude: Globs::new(&exclude)?, shard })
    }

    /// Returns whether the globs allow a file, by its path below the input. [`Self::enters`] judges its folders.
    pub(super) fn takes(&self, path: &Path) -> bool {
        self.include.as_ref().is_none_or(|globs| globs.match_file(path)) && !self.exclude.match_file(path)
    }

    /// Returns whether the globs allow a folder or tar, by its path below the input.
    pub(super) fn enters(&self, path: &Path) -> bool {
        !self.exclude.match_folder(path)
    }

    /// Returns whether the globs allow a file and every folder above it below `base`.
    pub(super) fn takes_below(&self, base: &Path, path: &Path) -> bool {
        let folders = path.ancestors().skip(1).take_while(|folder| *folder != base && !folder.as_os_str().is_empty());
        self.takes(path) && folders.into_iter().all(|folder| self.enters(folder))
    }

    /// Returns whether this share has the image of this name.
    pub(super) fn shares(&self, name: &Name) -> bool {
        self.shard.holds(name.as_str())
    }

    /// Returns whether there are other shares.
    pub fn is_share(&self) -> bool {
        self.shard.of > 1
    }
}

/// Returns a glob whose separators are slashes: Windows has `\` besides.
fn with_slashes(glob: &str) -> String {
    if cfg!(windows) { glob.replace('\\', "/") } else { glob.to_owned() }
}

/// Returns a glob that matches at any depth, if it has no slash before its end.
fn deep(glob: &str) -> String {
    if glob.trim_end_matches('/').contains('/') { glob.to_owned() } else { format!("**/{glob}") }
}

/// A glob that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{glob:?} is not a glob: {reason}")]
pub struct BadGlob {
    /// The glob.
    pub glob: String,
    /// The reason.
    pub reason: String,
}

/// Globs for names and for paths.
#[derive(Debug, Clone, Default)]
struct Globs {
    names: GlobSet,
    paths: GlobSet,
    folder_names: GlobSet,
    folder_paths: GlobSet,
}

impl Globs {
    fn new(globs: &[String]) -> Result<Self, BadGlob> {
        let mut sets = [const { Vec::new() }; 4];
        for glob in globs {
            let pattern = glob.trim_end_matches('/');
            let bad = |reason: String| BadGlob { glob: glob.clone(), reason };
            if pattern.is_empty() {
                return Err(bad("it is empty".to_owned()));
            }
            let (of_path, of_folder) = (pattern.contains('/'), glob.ends_with('/'));
            let anchored = pattern.strip_prefix('/').or(pattern.strip_prefix("./")).unwrap_or(pattern);
            let built = GlobBuilder::new(anchored).literal_separator(true).build();
            let built = built.map_err(|e| bad(e.kind().to_string()))?;
            sets[usize::from(of_path) + 2 * usize::from(of_folder)].push(built);
        }
        let set = |globs: Vec<globset::Glob>| {
            let mut builder = GlobSetBuilder::new();
            globs.into_iter().for_each(|glob| _ = builder.add(glob));
            builder
                .build()
                .map_err(|e| BadGlob { glob: e.glob().unwrap_or_default().to_owned(), reason: e.kind().to_string() })
        };
        let [names, paths, folder_names, folder_paths] = sets;
        Ok(Self {
            names: set(names)?,
            paths: set(paths)?,
            folder_names: set(folder_names)?,
            folder_paths: set(folder_paths)?,
        })
    }

    fn match_file(&self, path: &Path) -> bool {
        self.names.is_match(own_name(path)) || self.paths.is_match(path)
    }

    fn match_folder(&self, path: &Path) -> bool {
        let name = own_name(path);
        self.match_file(path) || self.folder_names.is_match(name) || self.folder_paths.is_match(path)
    }
}

fn own_name(path: &Path) -> &OsStr {
    path.file_name().unwrap_or_else(|| OsStr::new(""))
}

/// One of several shares of any list of images. Shares are stable, disjoint, and complete.
///
/// An image belongs to share `(h mod n) + 1`, where h is the first eight bytes of the SHA-256 of its name in records,
/// as a big-endian number. A new image never moves the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    index: u64,
    of: u64,
}

impl Default for Shard {
    /// Returns the whole.
    fn default() -> Self {
        Self { index: 1, of: 1 }
    }
}

impl Shard {
    fn holds(self, name: &str) -> bool {
        if self.of == 1 {
            return true;
        }
        let hash = digest(&SHA256, name.as_bytes());
        let first = hash.as_ref()[..8].iter().fold(0, |h, &byte| h << 8 | u64::from(byte));
        first % self.of + 1 == self.index
    }
}

impl FromStr for Shard {
    type Err = &'static str;

    /// Parses `I/N`, counted from one.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = |text: &str| text.parse::<u32>().ok().map(u64::from);
        let numbers = text.split_once('/').and_then(|(index, of)| Some((number(index)?, number(of)?)));
        match numbers {
            Some((index, of)) if (1..=of).contains(&index) => Ok(Self { index, of }),
            Some((0, _)) => Err("shares count from 1: the first of four is 1/4"),
            Some(_) => Err("I must not be larger than N, as in 4/4"),
            None => Err("use I/N, such as 1/4"),
        }
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn select(include: &[&str], exclude: &[&str]) -> Select {
        let owned = |globs: &[&str]| globs.iter().map(|glob| (*glob).to_owned()).collect::<Vec<_>>();
        Select::new(&owned(include), &owned(exclude), Shard::default()).unwrap()
    }

    #[test]
    fn globs_match_names_or_paths() {
        for (glob, yes, no) in [
            ("*.jpg", &["x.jpg", "a/b/x.jpg"][..], &["x.png", "x.jpg/y"][..]),
            ("a/*.jpg", &["a/x.jpg"], &["x.jpg", "b/a/x.jpg", "a/b/x.jpg"]),
            ("**/a/*.jpg", &["a/x.jpg", "b/a/x.jpg"], &["a/b/x.jpg"]),
            ("a/**", &["a/x.jpg", "a/b/x"], &["b/a/x"]),
            ("/x.jpg", &["x.jpg"], &["a/x.jpg"]),
            ("./x.jpg", &["x.jpg"], &["a/x.jpg"]),
            ("cats/", &["cats/x.jpg", "a/cats/b/x.jpg"], &["cats", "dogs/x.jpg"]),
            ("*.{jpg,png}", &["x.jpg", "a/x.png"], &["x.gif"]),
            ("[ab].jpg", &["a.jpg"], &["c.jpg", "A.jpg"]),
        ] {
            let spelled = [glob.to_owned(), glob.replace('/', r"\")];
            for glob in &spelled[..if cfg!(windows) { 2 } else { 1 }] {
                let select = select(&[glob], &[]);
                yes.iter().for_each(|path| assert!(select.takes(Path::new(path)), "{glob} takes {path}"));
                no.iter().for_each(|path| assert!(!select.takes(Path::new(path)), "{glob} leaves {path}"));
            }
        }
    }

    #[test]
    fn what_is_excluded_is_gone_with_all_in_it() {
        let select = select(&["*.jpg"], &["thumbs", "old/", "a/b", "x-*.jpg"]);
        let takes = |path: &str| select.takes_below(Path::new(""), Path::new(path));
        for path in ["1.jpg", "a/1.jpg", "b/1.jpg", "a/old.jpg"] {
            assert!(takes(path), "{path}");
        }
        for path in ["thumbs/1.jpg", "c/thumbs/1.jpg", "old/1.jpg", "a/b/c/1.jpg", "x-1.jpg", "1.png"] {
            assert!(!takes(path), "{path}");
        }
        assert!(select.takes_below(Path::new("thumbs"), Path::new("thumbs/1.jpg")), "what is above is not judged");
    }

    #[test]
    fn bad_globs_say_so() {
        for glob in ["[a", "{a", "", "/"] {
            let e = Select::new(&[], &[glob.to_owned()], Shard::default()).unwrap_err().to_string();
            assert!(e.starts_with(&format!("{glob:?} is not a glob: ")), "{e}");
        }
    }

    #[test]
    fn shares_are_disjoint_stable_and_the_whole() {
        let names: Vec<String> = (0..2000).map(|n| format!("photos/{n}.jpg")).collect();
        let share = |text: &str| {
            let shard: Shard = text.parse().unwrap();
            names.iter().filter(|name| shard.holds(name)).count()
        };
        for of in [1, 2, 3, 7] {
            let shards: Vec<Shard> = (1..=of).map(|index| format!("{index}/{of}").parse().unwrap()).collect();
            assert!(names.iter().all(|name| shards.iter().filter(|shard| shard.holds(name)).count() == 1));
        }
        assert!((440..=560).contains(&share("2/4")), "{}", share("2/4"));
        // The start of sha256("owl.jpg"): any language can compute an image's share.
        let first = u64::from_str_radix(OWL, 16).unwrap();
        let shard: Shard = format!("{}/{}", first % 1000 + 1, 1000).parse().unwrap();
        assert!(shard.holds("owl.jpg"));
    }

    /// The first sixteen digits of `printf owl.jpg | sha256sum`.
    const OWL: &str = "43a0ec449e32dc4f";

    #[test]
    fn shares_are_counted_from_one() {
        for bad in ["0/4", "5/4", "1/0", "4", "1/", "/4", "-1/4", "a/b", "1/4/2", ""] {
            assert!(bad.parse::<Shard>().is_err(), "{bad}");
        }
        assert_eq!("4/4".parse::<Shard>().unwrap().to_string(), "4/4");
    }
}
