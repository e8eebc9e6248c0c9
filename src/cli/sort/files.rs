//! What is done to files: each gets its new name all at once and over no other file, and loses its old one only when the new one
//! is safe on the disk.

use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind as Io, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::anyhow;
use zsic::cache::ContentHash;
use zsic::pipeline::Version;
use zsic::reason::os_reason;
use zsic::system::file::{Changes, FileId, link};
use zsic::system::name::canonical;
use zsic::system::place::{rename_new, sync_folder};

use super::super::interrupt;
use super::super::undo::Undo;

/// The reason of what is a folder, a pipe or a device.
pub const NO_FILE: &str = "it is not a regular file";
/// The reason of a file whose content is another one than before.
pub const CHANGED: &str = "its bytes are no longer those that were scored";

/// Why a file has no new name.
#[derive(Debug)]
pub enum Failure {
    /// The name is taken.
    Taken,
    /// This file stays where it is.
    Left(String),
    /// Nothing more can be done.
    Stop(anyhow::Error),
}

impl Failure {
    pub fn left(why: impl Into<String>) -> Self {
        Self::Left(why.into())
    }

    /// Converts an error about another path than that of the file itself.
    pub fn at(path: &Path, what: &str, e: io::Error) -> Self {
        Self::of(path, &format!("{}: {what}", path.display()), what, e)
    }

    /// Converts an error about the file itself, which messages name anyway.
    pub fn own(path: &Path, what: &str, e: io::Error) -> Self {
        Self::of(path, &format!("it {what}"), what, e)
    }

    /// A full or read-only disk fails for the next file too.
    fn of(path: &Path, why: &str, what: &str, e: io::Error) -> Self {
        match e.kind() {
            Io::StorageFull | Io::QuotaExceeded | Io::ReadOnlyFilesystem => {
                Self::Stop(anyhow!(e).context(format!("{}: {what}", path.display())))
            }
            _ => Self::Left(format!("{why}: {}", os_reason(&e))),
        }
    }
}

pub type Done = Result<(), Failure>;

/// Tells the journal which file is about to get its name. It is given the file's present path.
pub type Ready<'a> = &'a mut dyn FnMut(&Path) -> Done;

/// Bytes that get a new name, and how to know them again.
pub struct Wanted<'a> {
    pub content: &'a ContentHash,
    /// What the file was when it was scored, and the second from which on changes may look the same.
    pub version: Option<(Version, i64)>,
}

impl Wanted<'_> {
    /// Checks that a file has these bytes. One that has not changed since is not read.
    pub fn check(&self, path: &Path) -> Done {
        let metadata = fs::metadata(path).map_err(|e| Failure::own(path, "cannot be read", e))?;
        if !metadata.is_file() {
            return Err(Failure::left(NO_FILE));
        }
        if let Some((version, since)) = self.version
            && Version::of_file(&metadata) == version
            && Changes::of(&metadata).any.0 < since
        {
            return Ok(());
        }
        match hash(path).map_err(|e| Failure::own(path, "cannot be read", e))? {
            content if content == *self.content => Ok(()),
            _ => Err(Failure::left(CHANGED)),
        }
    }
}

/// Returns the hash of a file's bytes.
pub fn hash(path: &Path) -> io::Result<ContentHash> {
    ContentHash::of_reader(File::open(path)?)
}

/// Copies a file, with its times and permissions. `new` is the name of the copy until it is whole.
pub fn copy(from: &Path, to: &Path, new: &str, wanted: &Wanted, ready: Ready) -> Done {
    let failed = |e| Failure::own(from, "cannot be read", e);
    let mut source = File::open(from).map_err(failed)?;
    let metadata = source.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(Failure::left(NO_FILE));
    }
    write(to, new, wanted, &mut source, Some(&metadata), ready)
}

/// Saves bytes as a file.
pub fn save(bytes: &[u8], to: &Path, new: &str, wanted: &Wanted, ready: Ready) -> Done {
    write(to, new, wanted, &mut &*bytes, None, ready)
}

fn write(
    to: &Path,
    new: &str,
    wanted: &Wanted,
    source: &mut dyn Read,
    metadata: Option<&Metadata>,
    ready: Ready,
) -> Done {
    let new = beside(to, new);
    let failed = |e| Failure::at(to, "cannot be written", e);
    // A signal removes it. A file of this name is not this run's, and stays.
    let begun = Undo::begin(&new, || {
        private(&mut File::options(), metadata.is_some())
            .write(true)
            .create_new(true)
            .open(&new)
            .map(|file| (file, vec![new.clone()]))
    });
    let (file, mut undo) = begun.map_err(|e| Failure::at(&new, "cannot be made", e))?;
    let mut tee = Tee { source, file: &file, failure: None };
    let content = ContentHash::of_reader(&mut tee);
    let failure = tee.failure.take();
    let written = match content {
        Ok(content) if content == *wanted.content => {
            if let Some(metadata) = metadata {
                keep_metadata(&file, metadata);
            }
            file.sync_all().map_err(failed)
        }
        Ok(_) => Err(Failure::left(CHANGED)),
        Err(_) if let Some(e) = failure => Err(failed(e)),
        Err(e) => Err(Failure::left(format!("it cannot be read: {}", os_reason(&e)))),
    };
    drop(file); // Windows renames no open file
    let _held = interrupt::hold();
    match written.and_then(|()| ready(&new)).and_then(|()| rename_new(&new, to).map_err(|e| taken_or(to, e))) {
        Ok(()) => {
            undo.forget();
            Ok(())
        }
        Err(e) => {
            undo.run();
            Err(e)
        }
    }
}

/// Lets nobody else read a copy before it has the permissions of the original.
fn private(options: &mut fs::OpenOptions, is_copy: bool) -> &mut fs::OpenOptions {
    #[cfg(unix)]
    if is_copy {
        std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    }
    #[cfg(windows)] // a new file has the permissions of its folder
    let _ = is_copy;
    options
}

/// Gives a copy the times, permissions and, where that is allowed, the owner of the original. File systems without them have others.
fn keep_metadata(file: &File, metadata: &Metadata) {
    let mut times = fs::FileTimes::new();
    if let Ok(time) = metadata.modified() {
        times = times.set_modified(time);
    }
    if let Ok(time) = metadata.accessed() {
        times = times.set_accessed(time);
    }
    _ = file.set_times(times);
    let permissions = metadata.permissions();
    #[cfg(unix)] // only root gives files away, and others to their groups
    let permissions = {
        use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
        let (owner, group) = (metadata.uid(), metadata.gid());
        let is_own = fchown(file, Some(owner), Some(group)).is_ok();
        if !is_own {
            _ = fchown(file, None, Some(group));
        }
        // A program that runs as its owner must not run as another one.
        let kept = if is_own { 0o7777 } else { 0o777 };
        fs::Permissions::from_mode(permissions.mode() & kept)
    };
    _ = file.set_permissions(permissions);
}

/// Moves a file; to another file system by a copy that is synced and checked before the file is removed.
pub fn move_file(from: &Path, to: &Path, new: &str, wanted: &Wanted, ready: Ready) -> Done {
    let failed = |e| Failure::own(from, "cannot be moved", e);
    let before = fs::symlink_metadata(from).map_err(failed)?;
    if !before.is_file() {
        return Err(Failure::left(NO_FILE));
    }
    wanted.check(from)?;
    ready(from)?;
    let renamed = {
        let _held = interrupt::hold();
        rename_new(from, to)
    };
    match renamed {
        Err(e) if e.kind() == Io::CrossesDevices => {}
        Err(e) if e.kind() == Io::AlreadyExists => return Err(Failure::Taken),
        // Either folder may be the reason.
        renamed => return renamed.map_err(|e| Failure::own(from, &format!("cannot be moved to {}", to.display()), e)),
    }
    let id = FileId::here(from).map_err(failed)?;
    copy(from, to, new, wanted, ready)?;
    // A copy is removed only while the original is there.
    let is_here = || FileId::here(from).is_ok_and(|now| now == id);
    let take_back = |failure| {
        if is_here() {
            _ = fs::remove_file(to);
        }
        Err(failure)
    };
    let checked = hash(to).and_then(|content| to.parent().map_or(Ok(()), sync_folder).map(|()| content));
    match checked {
        Ok(content) if content == *wanted.content => {}
        Ok(_) => return take_back(Failure::left("the copy is damaged")),
        Err(e) => return take_back(Failure::at(to, "cannot be checked", e)),
    }
    let same = |now: &Metadata| Version::of_file(now) == Version::of_file(&before);
    let removed = match fs::symlink_metadata(from) {
        Ok(now) if same(&now) => fs::remove_file(from),
        Ok(_) => return take_back(Failure::left("it changed while it was copied")),
        Err(e) => Err(e),
    };
    let Err(e) = removed else { return Ok(()) };
    match fs::symlink_metadata(from) {
        Ok(now) if same(&now) => take_back(Failure::own(from, "cannot be removed", e)),
        // Whoever removed or replaced it, the copy has its bytes.
        Ok(_) => Ok(()),
        Err(gone) if matches!(gone.kind(), Io::NotFound | Io::NotADirectory) => Ok(()),
        Err(_) => Err(Failure::own(from, &format!("may be removed already, so the copy {} stays", to.display()), e)),
    }
}

/// Returns whether nothing is at a path, for certain.
pub fn is_gone(path: &Path) -> bool {
    fs::symlink_metadata(path).is_err_and(|e| matches!(e.kind(), Io::NotFound | Io::NotADirectory))
}

/// Gives a file a second name. Of a link, the target gets it.
pub fn hardlink(from: &Path, to: &Path, wanted: &Wanted, ready: Ready) -> Done {
    wanted.check(from)?;
    let target = canonical(from).map_err(|e| Failure::own(from, "cannot be read", e))?;
    ready(&target)?;
    match fs::hard_link(&target, to) {
        Err(e) if e.kind() == Io::CrossesDevices => {
            Err(Failure::left("it is on another file system, where a file has no second name; use --copy or --symlink"))
        }
        linked => linked.map_err(|e| taken_or(to, e)),
    }
}

/// Makes a link to the file at `target`.
pub fn symlink(from: &Path, target: &Path, to: &Path, wanted: &Wanted) -> Done {
    wanted.check(from)?;
    link(target, to).map_err(|e| taken_or(to, e))
}

/// Returns the path of an unfinished file in the folder of `to`.
pub fn beside(to: &Path, new: &str) -> PathBuf {
    to.parent().unwrap_or(Path::new("")).join(new)
}

fn taken_or(to: &Path, e: io::Error) -> Failure {
    if e.kind() == Io::AlreadyExists { Failure::Taken } else { Failure::at(to, "cannot be made", e) }
}

/// Makes the folder of a file, and those above it. Returns those that were missing, the outermost first.
///
/// # Errors
/// If one cannot be made.
pub fn make_folder(of: &Path) -> Result<Vec<PathBuf>, Failure> {
    let Some(folder) = of.parent() else { return Ok(Vec::new()) };
    let made = missing(folder);
    fs::create_dir_all(folder).map_err(|e| Failure::at(folder, "cannot be made", e))?;
    // A file is safe in them only if their names are on the disk.
    for above in made.iter().filter_map(|made| made.parent()).filter(|above| !above.as_os_str().is_empty()) {
        _ = sync_folder(above);
    }
    Ok(made)
}

/// Returns a folder and those above it that are missing, the outermost first.
pub fn missing(folder: &Path) -> Vec<PathBuf> {
    let is_missing = |path: &&Path| {
        let found = fs::symlink_metadata(path);
        !path.as_os_str().is_empty() && found.is_err_and(|e| e.kind() == Io::NotFound)
    };
    let mut missing: Vec<PathBuf> = folder.ancestors().take_while(is_missing).map(Path::to_path_buf).collect();
    missing.reverse();
    missing
}

/// Copies what is read from it to a file.
struct Tee<'a> {
    source: &'a mut dyn Read,
    file: &'a File,
    /// The error of writing, which is not one of the source.
    failure: Option<io::Error>,
}

impl Read for Tee<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(into)?;
        if let Err(e) = self.file.write_all(&into[..count]) {
            let kind = e.kind();
            self.failure = Some(e);
            return Err(kind.into());
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_bytes_that_were_scored_get_a_name() {
        let dir = tempfile::tempdir().unwrap();
        let [from, to] = ["from", "to"].map(|name| dir.path().join(name));
        fs::write(&from, "one").unwrap();
        let old = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
        File::options().write(true).open(&from).unwrap().set_modified(old).unwrap();
        let of = |text: &str| ContentHash::of(text.as_bytes());
        let version = Version::of_file(&fs::metadata(&from).unwrap());
        let (one, two) = (of("one"), of("two"));
        let wanted = |content| Wanted { content, version: None };
        for done in [
            copy(&from, &to, "new", &wanted(&two), &mut |_| Ok(())),
            move_file(&from, &to, "new", &wanted(&two), &mut |_| Ok(())),
            hardlink(&from, &to, &wanted(&two), &mut |_| Ok(())),
            symlink(&from, &from, &to, &wanted(&two)),
            move_file(&from, &to, "new", &Wanted { content: &two, version: Some((version, 0)) }, &mut |_| Ok(())),
        ] {
            assert!(matches!(done, Err(Failure::Left(why)) if why == CHANGED));
            assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        }
        let unread = Wanted { content: &two, version: Some((version, i64::MAX)) };
        assert!(unread.check(&from).is_ok(), "a file that has not changed is not read");
        copy(&from, &to, "new", &wanted(&one), &mut |_| Ok(())).unwrap();
        assert_eq!((fs::read(&to).unwrap(), fs::metadata(&to).unwrap().modified().unwrap()), (b"one".to_vec(), old));
        for done in [
            copy(&from, &to, "new", &wanted(&one), &mut |_| Ok(())),
            move_file(&from, &to, "new", &wanted(&one), &mut |_| Ok(())),
            hardlink(&from, &to, &wanted(&one), &mut |_| Ok(())),
            symlink(&from, &from, &to, &wanted(&one)),
        ] {
            assert!(matches!(done, Err(Failure::Taken)));
            assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
        }
    }

    #[test]
    fn an_unfinished_file_of_another_run_is_neither_removed_nor_written() {
        let dir = tempfile::tempdir().unwrap();
        let [from, to, new] = ["from", "to", "new"].map(|name| dir.path().join(name));
        fs::write(&from, "one").unwrap();
        fs::write(&new, "of another run").unwrap();
        let wanted = Wanted { content: &ContentHash::of(b"one"), version: None };
        assert!(copy(&from, &to, "new", &wanted, &mut |_| Ok(())).is_err());
        assert!(!to.exists() && fs::read(&new).unwrap() == b"of another run");
    }
}
