//! What the images show: by folders, by a file, or by files beside them in tars.

mod file;
mod renaming;
mod shards;
mod shown;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
pub use renaming::Renaming;
pub use shards::ClassNames;
use shards::Shards;
pub use shown::{Shown, absolute, from_here, told};
use zsic::source::{Limits, Name, is_tar_name};
use zsic::system::name::from_bytes;

use super::args::Inputs;
use super::fatal::usage;
use super::inputs::{each_name, paths, walk};
use super::labels::{self, Given};
use super::text;

/// What the images show.
pub struct Truth {
    by: By,
    /// Names of classes, in the order of their numbers, where a file beside tars has them.
    pub classes: Option<ClassNames>,
}

enum By {
    /// The first folder below one of these, or else the folder of a file that was named itself.
    Folders(Vec<PathBuf>),
    File(Listed),
    Shards(Shards),
}

/// What a file lists.
struct Listed {
    file: PathBuf,
    /// What each image shows, by its absolute path.
    shown: HashMap<PathBuf, Vec<Shown>>,
}

impl Listed {
    fn read(file: &Path) -> Result<Self> {
        Ok(Self { file: file.to_path_buf(), shown: file::read(file)? })
    }

    /// Returns an image's row.
    fn row(&self, name: &Name) -> Option<(&PathBuf, &Vec<Shown>)> {
        let path = PathBuf::from(from_bytes(name.bytes()).into_owned());
        let find = |path: &Path| self.shown.get_key_value(path);
        // Records, and files made from them, write bytes that are not UTF-8 as `\xNN`.
        let written = || find(&absolute(Path::new(name.as_str())));
        find(&absolute(&path)).or_else(|| find(&path)).or_else(written)
    }
}

impl Truth {
    /// Reads what the flag names, or finds out where the truth is.
    ///
    /// # Errors
    /// If a file or a tar cannot be read, or has no truth.
    pub fn read(asked: Option<&Path>, inputs: &Inputs) -> Result<Self> {
        let by = match asked.and_then(Path::to_str) {
            Some("folders") => By::Folders(roots(inputs)),
            Some("cls") => By::Shards(Shards::read(inputs)?.ok_or_else(|| {
                usage("--truth cls: no tar among the inputs has .cls or .npy files beside its images")
            })?),
            _ => match asked {
                Some(file) => By::File(Listed::read(file)?),
                None => Shards::read(inputs)?.map_or_else(|| By::Folders(roots(inputs)), By::Shards),
            },
        };
        let classes = if matches!(by, By::Shards(_)) { shards::class_names(inputs)? } else { None };
        Ok(Self { by, classes })
    }

    /// Reads a file, whatever it is called.
    ///
    /// # Errors
    /// If it cannot be read, or has no truth.
    pub fn of_file(file: &Path) -> Result<Self> {
        Ok(Self { by: By::File(Listed::read(file)?), classes: None })
    }

    /// Returns the name of where it is, for the report.
    pub fn kind(&self) -> &'static str {
        match self.by {
            By::Folders(_) => "folders",
            By::File(_) => "file",
            By::Shards(_) => "cls",
        }
    }

    /// Returns the ending of the files in tars that it was read from, if it was.
    pub fn ending(&self) -> Option<&'static str> {
        if let By::Shards(shards) = &self.by { Some(shards.ending()) } else { None }
    }

    /// Returns what an image shows, if that is known.
    pub fn of(&self, name: &Name) -> Option<Vec<Shown>> {
        match &self.by {
            By::Folders(roots) => Some(vec![Shown::Name(folder(roots, Path::new(&from_bytes(name.bytes())))?)]),
            By::File(listed) => listed.row(name).map(|(_, shown)| shown.clone()),
            By::Shards(shards) => shards.of(name.as_str()).map(<[Shown]>::to_vec),
        }
    }

    /// Returns what images show that show one label. The names of images in tars are read.
    ///
    /// # Errors
    /// As [`Self::all`].
    pub fn of_single_labels(&self, inputs: &Inputs) -> Result<BTreeSet<Shown>> {
        if let By::File(listed) = &self.by {
            return Ok(listed.shown.values().filter(|shown| shown.len() == 1).flatten().cloned().collect());
        }
        if let Some(all) = self.all(inputs)? {
            return Ok(all);
        }
        let mut all = BTreeSet::new();
        for entry in walk(inputs, &Limits::default(), &Arc::default(), &Arc::default())? {
            let name = entry.map_or_else(|(name, _)| name, |input| input.name());
            all.extend(self.of(&name).filter(|shown| shown.len() == 1).into_iter().flatten());
        }
        Ok(all)
    }

    /// Returns the path by which a file names an image.
    pub fn row(&self, name: &Name) -> Option<&Path> {
        if let By::File(listed) = &self.by { listed.row(name).map(|(path, _)| path.as_path()) } else { None }
    }

    /// Returns the images that a file names, in order.
    pub fn images(&self) -> impl Iterator<Item = PathBuf> {
        let mut images: Vec<PathBuf> = self.listed().map(|(path, _)| path.clone()).collect();
        images.sort_unstable();
        images.into_iter()
    }

    /// Returns what a file says of each image.
    fn listed(&self) -> impl Iterator<Item = (&PathBuf, &Vec<Shown>)> {
        let listed = if let By::File(listed) = &self.by { Some(&listed.shown) } else { None };
        listed.into_iter().flatten()
    }

    /// Says where the paths of a file begin.
    pub fn base(&self) -> Option<String> {
        let By::File(Listed { file, .. }) = &self.by else { return None };
        let folder = match file.parent() {
            _ if text::is_stdin(file) => "the current folder".to_owned(),
            Some(folder) if *folder != *"" => format!("its folder, {}", folder.display()),
            _ => "its folder".to_owned(),
        };
        Some(format!("paths in {} are relative to {folder}", text::name(file)))
    }

    /// Returns the number of images of a file that show several labels, and the first of them with these. Without any, it
    /// is about images that show no label. Arrays in tars are made for both.
    pub fn several(&self) -> Option<(usize, &'static str, String)> {
        let count = |what, is_meant: fn(usize) -> bool| {
            let meant: BTreeMap<_, _> = self.listed().filter(|(_, shown)| is_meant(shown.len())).collect();
            let (path, shown) = meant.first_key_value()?;
            Some((meant.len(), what, told(&from_here(path), shown)))
        };
        count("several labels", |labels| labels > 1).or_else(|| count("no label", |labels| labels == 0))
    }

    /// Returns whether an image may show any number of labels.
    pub fn is_multi(&self) -> bool {
        match &self.by {
            By::Folders(_) => false,
            By::File(listed) => listed.shown.values().any(|shown| shown.len() != 1),
            By::Shards(shards) => shards.is_multi(),
        }
    }

    /// Checks that numbers of classes are those of the named classes, or else of the labels.
    ///
    /// # Errors
    /// A usage error that names the first that is not, or a name that says nothing as several classes have it.
    pub fn check(&self, given: &Given) -> Result<()> {
        let By::Shards(shards) = &self.by else { return Ok(()) };
        let labels = given.labels.len();
        let Some(classes) = &self.classes else { return shards.check(labels) };
        if let Some(name) = classes.repeated().into_iter().min().filter(|_| classes.names.len() != labels) {
            return Err(usage(format!(
                "{}: several classes are called `{}`; name all {} classes with -l, --labels-file or --label-set",
                text::name(&classes.file),
                labels::shown(name),
                classes.names.len()
            )));
        }
        shards.check(classes.names.len())
    }

    /// Returns all that images show, unless that needs their names, and these are not known before the images are read: in
    /// tars and pipes.
    ///
    /// # Errors
    /// If the inputs are wrong.
    pub fn all(&self, inputs: &Inputs) -> Result<Option<BTreeSet<Shown>>> {
        match &self.by {
            By::File(listed) => Ok(Some(listed.shown.values().flatten().cloned().collect())),
            By::Shards(shards) => Ok(Some(shards.all().cloned().collect())),
            By::Folders(_) => {
                let mut all = BTreeSet::new();
                let are_known = each_name(inputs, |name| all.extend(self.of(name).into_iter().flatten()))?;
                Ok(are_known.map(|()| all))
            }
        }
    }
}

/// Returns the inputs below which folders are labels.
fn roots(inputs: &Inputs) -> Vec<PathBuf> {
    paths(inputs).into_iter().filter(|path| path.is_dir() || is_tar_name(path)).collect()
}

/// Returns the name of the first folder below the root that holds an image, or of the folder of an image without a root.
fn folder(roots: &[PathBuf], path: &Path) -> Option<String> {
    let text = |part: Component| Some(part.as_os_str().to_string_lossy().into_owned());
    // The longest root is the one that was walked.
    let below =
        roots.iter().filter_map(|root| path.strip_prefix(root).ok()).min_by_key(|below| below.components().count());
    match below {
        Some(below) => {
            let folders: Vec<Component> = below.parent()?.components().collect();
            // A tar in a folder is walked like a folder, and its own folders are the labels.
            let is_tar = |part: &Component| is_tar_name(Path::new(part.as_os_str()));
            let inside = folders.iter().position(is_tar).map_or(0, |tar| tar + 1);
            text(*folders.get(inside)?)
        }
        None => match path.parent()?.components().next_back()? {
            part @ Component::Normal(_) => text(part),
            _ => None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_folder_below_the_root_is_the_label() {
        let roots = ["a/set", "a/set/val", "b.tar"].map(PathBuf::from);
        let label = |path: &str| folder(&roots, Path::new(path));
        assert_eq!(label("a/set/cat/deep/1.jpg").as_deref(), Some("cat"));
        assert_eq!(label("a/set/val/dog/1.jpg").as_deref(), Some("dog"));
        assert_eq!(label("b.tar/owl/1.jpg").as_deref(), Some("owl"));
        assert_eq!(label("a/set/x.tar/fox/1.jpg").as_deref(), Some("fox"));
        assert_eq!((label("a/set/1.jpg"), label("a/set/x.tar/1.jpg")), (None, None));
        assert_eq!(label("c/fox/1.jpg").as_deref(), Some("fox"));
        assert_eq!((label("1.jpg"), label("../1.jpg"), label("/1.jpg")), (None, None, None));
    }
}
