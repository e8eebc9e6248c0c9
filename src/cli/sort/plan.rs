//! Answers -> the plan: which image goes where, under a name that is free. It looks at the disk and changes nothing.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use zsic::cache::ContentHash;
use zsic::pipeline::Version;
use zsic::reason::os_reason;
use zsic::source::Name;
use zsic::system::file::FileId;
use zsic::system::name::canonical;

use super::super::args::{How, IfExists};
use super::super::labels::UNKNOWN;
use super::files;
use super::journal::is_own;
use super::layout::Layout;
use super::origin::{Found, Origin};

/// The last number that a name gets.
const LAST: u32 = 99_999;

/// An image with an answer.
#[derive(Debug, Clone)]
pub struct Image {
    pub name: Name,
    pub found: Found,
    pub version: Version,
    pub content: ContentHash,
    /// The number of its answer; None if it is none of the labels.
    pub answer: Option<usize>,
}

/// What becomes of an image.
#[derive(Debug)]
pub enum Step {
    /// It gets a place.
    Place(Box<Placing>),
    /// Its place already has the same bytes.
    There { name: Name, to: PathBuf },
    /// Its place has other bytes.
    Taken { name: Name, to: PathBuf },
    /// It cannot be sorted.
    Left { name: Name, why: String },
}

/// An image and its place.
#[derive(Debug)]
pub struct Placing {
    pub image: Image,
    /// The place that the layout gives, and the free one.
    pub asked: PathBuf,
    pub to: PathBuf,
    /// The bytes of its file, if there is one.
    pub size: Option<u64>,
    pub sidecars: Vec<Sidecar>,
    /// Whether its place has the same bytes already, and only the sidecars need theirs.
    pub is_there: bool,
}

/// A file that goes along with an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sidecar {
    pub from: PathBuf,
    /// Its name after the image's name, or after that without its ending.
    ending: String,
    is_appended: bool,
    pub content: ContentHash,
    pub size: u64,
}

impl Sidecar {
    /// Returns its place beside an image's.
    pub fn to(&self, image: &Path) -> PathBuf {
        if self.is_appended {
            let mut name = image.as_os_str().to_owned();
            name.push(".");
            name.push(&self.ending);
            return name.into();
        }
        image.with_extension(&self.ending)
    }

    /// Finds the files that go along with an image, or says which one cannot.
    fn all(image: &Path) -> Result<Vec<Self>, String> {
        let mut all = Vec::<Self>::new();
        let named =
            [true, false].into_iter().flat_map(|is_appended| ["xmp", "XMP"].map(|ending| (ending, is_appended)));
        for (ending, is_appended) in named {
            let nothing = Self {
                from: PathBuf::new(),
                ending: ending.to_owned(),
                is_appended,
                content: ContentHash::of(b""),
                size: 0,
            };
            let from = nothing.to(image);
            let Ok(metadata) = fs::symlink_metadata(&from) else { continue };
            let is_same = |other: &Path| FileId::here(other).ok() == FileId::here(&from).ok();
            if is_same(image) || all.iter().any(|other| is_same(&other.from)) {
                continue; // an image may be called x.xmp, and names may differ in case only
            }
            let failed = |why: &str| format!("its sidecar {} {why}", from.display());
            if !metadata.is_file() {
                return Err(failed("is not a regular file"));
            }
            let content = files::hash(&from).map_err(|e| failed(&format!("cannot be read: {}", os_reason(&e))))?;
            all.push(Self { from, content, size: metadata.len(), ..nothing });
        }
        Ok(all)
    }
}

/// What is at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum There {
    Nothing,
    Bytes(ContentHash),
    /// Something else, or bytes of another length than asked for.
    Other,
}

/// Looks at a path. Only a file of `size` is read, if that is given. A link is no copy of its file: it is the same only where
/// links are made.
pub fn look(path: &Path, size: Option<u64>, how: Option<How>) -> There {
    match fs::symlink_metadata(path) {
        Err(_) => There::Nothing, // making the file tells what is wrong
        Ok(there) if there.is_symlink() && how != Some(How::Symlink) => There::Other,
        Ok(_) => match fs::metadata(path) {
            Ok(there) if there.is_file() && size.is_none_or(|size| size == there.len()) => {
                files::hash(path).map_or(There::Other, There::Bytes)
            }
            _ => There::Other,
        },
    }
}

/// The names that are free, as far as disk and plan tell.
pub struct Names<L> {
    look: L,
    if_exists: IfExists,
    /// What the plan puts at a path, or what was found there.
    taken: HashMap<PathBuf, There>,
    series: HashMap<PathBuf, Series>,
}

/// The names that were made from one: `x-2.jpg`, `x-3.jpg`.
#[derive(Default)]
struct Series {
    last: u32,
    contents: HashMap<ContentHash, PathBuf>,
}

/// A name for an image.
#[derive(Debug, PartialEq, Eq)]
pub enum Resolved {
    Free(PathBuf),
    Same(PathBuf),
    Taken(PathBuf),
}

impl<L: FnMut(&Path, Option<u64>) -> There> Names<L> {
    pub fn new(if_exists: IfExists, look: L) -> Self {
        Self { look, if_exists, taken: HashMap::new(), series: HashMap::new() }
    }

    /// Forgets that the plan puts an image at its place: the disk knows better.
    pub fn release(&mut self, Placing { image, asked, to, sidecars, .. }: &Placing) {
        self.taken.remove(to);
        sidecars.iter().for_each(|sidecar| _ = self.taken.remove(&sidecar.to(to)));
        if let Some(series) = self.series.get_mut(asked)
            && series.contents.get(&image.content) == Some(to)
        {
            series.contents.remove(&image.content);
        }
    }

    /// Finds a name for bytes at `asked`, or beside it. The sidecars must fit too.
    pub fn resolve(&mut self, asked: &Path, content: &ContentHash, size: Option<u64>, along: &[Sidecar]) -> Resolved {
        let taken = match self.at(asked, size) {
            There::Nothing => self.misfit(asked, along),
            There::Bytes(there) if there == *content => return Resolved::Same(asked.to_path_buf()),
            There::Bytes(_) | There::Other => Some(asked.to_path_buf()),
        };
        match taken {
            None => return self.take(asked.to_path_buf(), content, along),
            Some(taken) if self.if_exists != IfExists::Rename => return Resolved::Taken(taken),
            Some(_) => {}
        }
        let mut series = self.series.remove(asked).unwrap_or_default();
        let found = self.next_in(&mut series, asked, content, along);
        self.series.insert(asked.to_path_buf(), series);
        found
    }

    fn next_in(&mut self, series: &mut Series, asked: &Path, content: &ContentHash, along: &[Sidecar]) -> Resolved {
        if let Some(same) = series.contents.get(content) {
            return Resolved::Same(same.clone());
        }
        for number in series.last.max(1) + 1..=LAST {
            series.last = number;
            let to = numbered(asked, number);
            match self.at(&to, None) {
                There::Nothing if self.misfit(&to, along).is_none() => {
                    series.contents.insert(*content, to.clone());
                    return self.take(to, content, along);
                }
                There::Bytes(there) => {
                    series.contents.insert(there, to.clone());
                    if there == *content {
                        return Resolved::Same(to);
                    }
                }
                There::Nothing | There::Other => {}
            }
        }
        Resolved::Taken(asked.to_path_buf())
    }

    fn at(&mut self, path: &Path, size: Option<u64>) -> There {
        if let Some(there) = self.taken.get(path) {
            return *there;
        }
        let there = (self.look)(path, size);
        if matches!(there, There::Bytes(_)) {
            self.taken.insert(path.to_path_buf(), there);
        }
        there
    }

    /// Returns the first place of a sidecar that is not free, and has other bytes.
    fn misfit(&mut self, to: &Path, along: &[Sidecar]) -> Option<PathBuf> {
        along.iter().find_map(|sidecar| {
            let place = sidecar.to(to);
            match self.at(&place, Some(sidecar.size)) {
                There::Nothing => None,
                There::Bytes(there) => (there != sidecar.content).then_some(place),
                There::Other => Some(place),
            }
        })
    }

    /// Notes the places of sidecars that are free.
    fn take_along(&mut self, to: &Path, along: &[Sidecar]) {
        for sidecar in along {
            let place = sidecar.to(to);
            if self.at(&place, Some(sidecar.size)) == There::Nothing {
                self.taken.insert(place, There::Bytes(sidecar.content));
            }
        }
    }

    fn take(&mut self, to: PathBuf, content: &ContentHash, along: &[Sidecar]) -> Resolved {
        self.taken.insert(to.clone(), There::Bytes(*content));
        along.iter().for_each(|sidecar| _ = self.taken.insert(sidecar.to(&to), There::Bytes(sidecar.content)));
        Resolved::Free(to)
    }
}

/// Returns `x-2.jpg` for `x.jpg`.
fn numbered(path: &Path, number: u32) -> PathBuf {
    let mut name = path.file_stem().unwrap_or_default().to_owned();
    name.push(format!("-{number}"));
    if let Some(ending) = path.extension() {
        name.push(".");
        name.push(ending);
    }
    path.with_file_name(name)
}

/// Plans one image after another.
pub struct Planner<'a, L> {
    pub into: &'a Path,
    pub layout: &'a Layout,
    /// The folder of each answer.
    pub folders: &'a [String],
    pub how: Option<How>,
    pub sidecars: bool,
    pub names: Names<L>,
    /// The places of the files that are in the plan.
    pub seen: HashSet<PathBuf>,
    /// The folder of the last file, as it was named and without links.
    pub last: Option<(PathBuf, PathBuf)>,
}

impl<L: FnMut(&Path, Option<u64>) -> There> Planner<'_, L> {
    /// Returns what becomes of an image, or None if its file is in the plan already.
    pub fn step(&mut self, image: Image) -> Option<Step> {
        let name = image.name.clone();
        let mut here = None;
        if let Origin::File(path) = &image.found.origin {
            let place = self.place(path);
            if !self.seen.insert(place.clone()) {
                return None;
            }
            here = Some(place);
        }
        let placing = match self.placing(image) {
            Ok(placing) => placing,
            Err(why) => return Some(Step::Left { name, why }),
        };
        if here.is_some_and(|here| here == self.place(&placing.asked)) {
            return Some(Step::There { name, to: placing.asked }); // it is there itself
        }
        let step = self.resolve(placing);
        if let Step::Place(placing) = &step {
            for sidecar in &placing.sidecars {
                let own = self.place(&sidecar.from);
                self.seen.insert(own);
            }
        }
        Some(step)
    }

    /// Finds a free name for an image.
    pub fn resolve(&mut self, placing: Placing) -> Step {
        let Placing { image, asked, size, sidecars, .. } = &placing;
        match self.names.resolve(asked, &image.content, *size, sidecars) {
            Resolved::Free(to) => Step::Place(Box::new(Placing { to, is_there: false, ..placing })),
            Resolved::Same(to) if self.how != Some(How::Move) && !sidecars.is_empty() => {
                self.names.take_along(&to, sidecars);
                Step::Place(Box::new(Placing { to, is_there: true, ..placing }))
            }
            Resolved::Same(to) => Step::There { name: placing.image.name, to },
            Resolved::Taken(to) => Step::Taken { name: placing.image.name, to },
        }
    }

    /// Returns the place that an image asks for, or why it has none.
    fn placing(&mut self, image: Image) -> Result<Placing, String> {
        let (mut size, mut sidecars) = (None, Vec::new());
        match &image.found.origin {
            Origin::Gone => return Err("it is no file and no member of a tar; save it as a file first".to_owned()),
            Origin::Tar(_) if self.how.is_some_and(|how| how != How::Copy) => {
                return Err("it is in a tar, so it can only be copied; use --copy".to_owned());
            }
            Origin::Word(_) if self.how.is_some_and(|how| how != How::Copy) => {
                return Err("it is no file, so it can only be copied; use --copy".to_owned());
            }
            Origin::Tar(_) | Origin::Word(_) => {}
            Origin::File(path) => {
                let failed = |e| format!("it cannot be read: {}", os_reason(&e));
                if self.how == Some(How::Move) && fs::symlink_metadata(path).map_err(failed)?.is_symlink() {
                    return Err("it is a symbolic link, which may lead elsewhere from another folder; use --copy, \
                                --hardlink or --symlink"
                        .to_owned());
                }
                let metadata = fs::metadata(path).map_err(failed)?;
                if !metadata.is_file() {
                    return Err(files::NO_FILE.to_owned());
                }
                size = Some(metadata.len());
                if self.sidecars {
                    sidecars = Sidecar::all(path)?;
                    // Of two images that share a file of metadata, the first one that moves takes it along.
                    let is_moved = self.how == Some(How::Move);
                    sidecars.retain(|sidecar| {
                        let own = self.place(&sidecar.from);
                        !is_moved || !self.seen.contains(&own)
                    });
                }
            }
        }
        let folder = image.answer.and_then(|answer| self.folders.get(answer)).map_or(UNKNOWN, String::as_str);
        let below = self.layout.path(folder, &image.found.below).ok_or("its name leads out of the folder")?;
        if is_own(&below) {
            return Err("files of this command have such names; rename it".to_owned());
        }
        let asked = self.into.join(below);
        if self.how == Some(How::Move)
            && let Origin::File(path) = &image.found.origin
            && asked.is_symlink()
            && FileId::at(&asked).is_ok_and(|there| FileId::at(path).is_ok_and(|own| own == there))
        {
            return Err(format!(
                "{} is a link to it, which would lead nowhere; remove the link first",
                asked.display()
            ));
        }
        Ok(Placing { to: asked.clone(), image, asked, size, sidecars, is_there: false })
    }

    /// Returns a file's path in a folder without links.
    fn place(&mut self, path: &Path) -> PathBuf {
        match (self.folder(path), path.file_name()) {
            (Some(folder), Some(name)) => folder.join(name),
            _ => path.to_path_buf(),
        }
    }

    /// Returns the folder of a file, without links.
    fn folder(&mut self, path: &Path) -> Option<PathBuf> {
        let named = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if let Some((last, folder)) = &self.last
            && last == named
        {
            return Some(folder.clone());
        }
        let folder = canonical(named).ok()?;
        self.last = Some((named.to_path_buf(), folder.clone()));
        Some(folder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(text: &str) -> ContentHash {
        ContentHash::of(text.as_bytes())
    }

    fn free(name: &str) -> Resolved {
        Resolved::Free(name.into())
    }

    #[test]
    fn names_that_the_disk_takes_for_one_are_told_apart_there() {
        // A disk that knows no case, and has a file by the time of the second act.
        let disk = |path: &Path, _| match path.to_str() {
            Some("OWL.jpg" | "owl.jpg") => There::Bytes(hash("first")),
            _ => There::Nothing,
        };
        let mut names = Names::new(IfExists::Rename, |_: &Path, _| There::Nothing);
        let resolve =
            |names: &mut Names<_>, asked: &str, text: &str| names.resolve(Path::new(asked), &hash(text), None, &[]);
        assert_eq!(resolve(&mut names, "OWL.jpg", "first"), free("OWL.jpg"));
        assert_eq!(resolve(&mut names, "owl.jpg", "second"), free("owl.jpg"), "as most disks have it");
        for (text, expected) in [("second", free("owl-2.jpg")), ("first", Resolved::Same("owl.jpg".into()))] {
            let mut names = Names::new(IfExists::Rename, disk);
            assert_eq!(names.resolve(Path::new("owl.jpg"), &hash(text), None, &[]), expected, "after a failed act");
        }
    }

    #[test]
    fn names_are_counted_up_and_equal_bytes_found_again() {
        let mut looks = 0;
        let mut names = Names::new(IfExists::Rename, |path: &Path, _| {
            looks += 1;
            if path == Path::new("x.tar-2.jpg") { There::Bytes(hash("old")) } else { There::Nothing }
        });
        let mut resolve = |text: &str| names.resolve(Path::new("x.tar.jpg"), &hash(text), None, &[]);
        assert_eq!(resolve("0"), free("x.tar.jpg"));
        assert_eq!(resolve("old"), Resolved::Same("x.tar-2.jpg".into()));
        for number in 1..1000 {
            assert_eq!(resolve(&number.to_string()), free(&format!("x.tar-{}.jpg", number + 2)));
        }
        assert_eq!(resolve("7"), Resolved::Same("x.tar-9.jpg".into()));
        assert_eq!(resolve("0"), Resolved::Same("x.tar.jpg".into()));
        drop(names);
        assert!(looks < 3000, "{looks} looks for a thousand names");
    }

    #[test]
    fn sidecars_must_fit_too() {
        let sidecar = Sidecar {
            from: "a.jpg.xmp".into(),
            ending: "xmp".to_owned(),
            is_appended: true,
            content: hash("meta"),
            size: 4,
        };
        assert_eq!(sidecar.to(Path::new("b/c-2.jpg")), Path::new("b/c-2.jpg.xmp"));
        let bare = Sidecar { is_appended: false, ..sidecar.clone() };
        assert_eq!(bare.to(Path::new("b/c-2.jpg")), Path::new("b/c-2.xmp"));
        for (there, expected) in [(hash("meta"), free("a.jpg")), (hash("other"), free("a-2.jpg"))] {
            let disk =
                |path: &Path, _| if path == Path::new("a.jpg.xmp") { There::Bytes(there) } else { There::Nothing };
            let mut names = Names::new(IfExists::Rename, disk);
            assert_eq!(names.resolve(Path::new("a.jpg"), &hash("x"), None, std::slice::from_ref(&sidecar)), expected);
        }
    }
}
