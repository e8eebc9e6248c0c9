//! The plan -> files in their places. The journal tells each act before it is done; several are told together, with one wait for
//! the disk.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::fs;
use std::iter::once;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use zsic::cache::ContentHash;
use zsic::net::Images;
use zsic::source::{Input, Limits, Name, Select, Walk, without_passwords};
use zsic::system::file::FileId;
use zsic::system::name::{canonical, from_bytes};

use super::super::args::How;
use super::super::interrupt;
use super::super::messages::error;
use super::super::progress::Progress;
use super::files::{self, Done, Failure, Wanted, is_gone, make_folder, missing};
use super::journal::{Act, Journal, Line, Written};
use super::origin::Origin;
use super::paths::{is_same_file, resolved, rooted};
use super::plan::{Placing, Planner, Step, There, look};
use super::{restore, take_back};

/// The most acts that are told together.
const TOGETHER: usize = 64;
/// How often a name is looked for, if others take it at the same time.
const ATTEMPTS: usize = 100;

/// What became of the images.
#[derive(Debug, Default)]
pub struct Counts {
    /// By the number of their answer.
    pub placed: BTreeMap<Option<usize>, u64>,
    pub there: u64,
    pub left: u64,
    pub sidecars: u64,
}

/// The work on a plan.
pub struct Acting<'p, 'a, L> {
    planner: &'p mut Planner<'a, L>,
    how: How,
    /// The second from which on a file that changed may look unchanged.
    since: i64,
    /// What tars and URLs are read with.
    limits: Limits,
    urls: Images,
    counts: Counts,
    /// The folder to sort into, from the root and without links, as the journal names it.
    root: PathBuf,
    journal: Option<(Journal, String)>,
    /// Whether a file has its place, so that there is something to take back.
    has_acted: bool,
    /// Folders that the journal tells.
    told: BTreeSet<PathBuf>,
}

/// A file of a placing: a sidecar, or at last the image.
struct Part {
    from: Written,
    /// Its path, unless it comes from a tar or a URL.
    path: Option<PathBuf>,
    to: PathBuf,
    line: Line,
    content: ContentHash,
    is_image: bool,
}

impl Counts {
    /// Counts an image that gets no place now, and says why. `acted` is what is done to the images that do; None if that is
    /// only told.
    pub fn add(&mut self, step: &Step, acted: Option<How>) {
        let (name, why) = match step {
            Step::Place(_) => return,
            // Another image with these bytes was to be there.
            Step::There { name, to } if acted.is_some() && fs::symlink_metadata(to).is_err() => {
                (name, format!("{} could not be made", to.display()))
            }
            Step::There { name, to } if acted == Some(How::Move) && !is_same_file(name.bytes(), to) => {
                (name, format!("{} has the same bytes", to.display()))
            }
            Step::There { .. } => {
                self.there += 1;
                return;
            }
            Step::Taken { name, to } => (name, format!("{} is another file", to.display())),
            Step::Left { name, why } => (name, why.clone()),
        };
        error(format_args!("{name}: left where it is: {why}"));
        self.left += 1;
    }
}

impl<'p, 'a, L: FnMut(&Path, Option<u64>) -> There> Acting<'p, 'a, L> {
    /// Creates the work of doing `how` to images. `since` is the second from which on a file that changed may look unchanged;
    /// tars and URLs are read with the last two.
    ///
    /// # Errors
    /// If the folder to sort into has no path from the root.
    pub fn new(
        planner: &'p mut Planner<'a, L>,
        how: How,
        since: i64,
        (limits, urls): (Limits, Images),
    ) -> Result<Self> {
        let root = resolved(planner.into)?;
        let (counts, journal, has_acted, told) = Default::default();
        Ok(Self { planner, how, since, limits, urls, counts, root, journal, has_acted, told })
    }

    /// Ends the journal. It is removed, with the folders that were made, if a run that is whole did nothing.
    ///
    /// # Errors
    /// If it cannot be removed.
    pub fn end(self, is_whole: bool) -> Result<(Counts, Option<Journal>)> {
        let Self { counts, journal, has_acted, told, .. } = self;
        let Some((mut journal, _)) = journal else { return Ok((counts, None)) };
        if has_acted || !is_whole {
            _ = journal.announce(&[]); // the last lines are on the disk too
            return Ok((counts, Some(journal)));
        }
        told.iter().rev().for_each(|folder| _ = fs::remove_dir(folder));
        journal.discard()?;
        Ok((counts, None))
    }

    /// Returns a path in the folder to sort into, from the root.
    fn at(&self, path: &Path) -> PathBuf {
        path.strip_prefix(self.planner.into).map_or_else(|_| path.to_path_buf(), |below| self.root.join(below))
    }

    /// Gives every image of the plan its place.
    ///
    /// # Errors
    /// What makes the run stop early.
    pub fn run(&mut self, plan: Vec<Step>, progress: &Progress) -> Result<()> {
        let total = plan.len();
        let mut waiting: VecDeque<Placing> = VecDeque::new();
        for (done, step) in plan.into_iter().enumerate() {
            progress.set(done, total);
            match step {
                Step::Place(placing) => {
                    let is_alike = |first: &Placing| match (&first.image.found.origin, &placing.image.found.origin) {
                        (Origin::File(_), Origin::File(_)) => waiting.len() < TOGETHER,
                        (first, second) => first == second, // the members of one tar
                    };
                    let places = |placing: &Placing| {
                        placing.sidecars.iter().map(|sidecar| sidecar.to(&placing.to)).collect::<Vec<_>>()
                    };
                    let own = places(&placing);
                    // Images may share a sidecar, and the first one may fail.
                    let shares = !own.is_empty() && waiting.iter().flat_map(places).any(|place| own.contains(&place));
                    if shares || waiting.front().is_some_and(|first| !is_alike(first)) {
                        self.place(std::mem::take(&mut waiting))?;
                    }
                    waiting.push_back(*placing);
                }
                step => {
                    let is_awaited = |to: &Path| waiting.iter().any(|placing| placing.to == to);
                    if matches!(&step, Step::There { to, .. } if is_awaited(to)) {
                        self.place(std::mem::take(&mut waiting))?; // an image with these bytes comes there first
                    }
                    self.tell(&step);
                }
            }
        }
        self.place(waiting)
    }

    fn tell(&mut self, step: &Step) {
        self.counts.add(step, Some(self.how));
    }

    fn leave(&mut self, placing: Placing, why: String) {
        self.planner.names.release(&placing);
        self.tell(&Step::Left { name: placing.image.name, why });
    }

    /// Places images of one kind: files, members of one tar, or what is at one URL.
    fn place(&mut self, group: VecDeque<Placing>) -> Result<()> {
        match group.front().map(|first| first.image.found.origin.clone()) {
            None | Some(Origin::Gone) => Ok(()),
            Some(Origin::File(_)) => {
                let parts: Vec<_> = group.iter().map(|placing| self.parts(placing, None)).collect::<Result<_>>()?;
                self.announce(parts.iter().flatten())?;
                group.into_iter().zip(parts).try_for_each(|(placing, parts)| self.finish(placing, parts, None))
            }
            Some(Origin::Tar(tar)) => self.unpack(&tar, group),
            Some(Origin::Word(word)) => group.into_iter().try_for_each(|placing| self.fetch(&word, placing)),
        }
    }

    /// Saves members of a tar, which is read once more.
    fn unpack(&mut self, tar: &Path, group: VecDeque<Placing>) -> Result<()> {
        let mut wanted = HashMap::<String, Vec<Placing>>::new();
        for placing in group {
            wanted.entry(placing.image.name.as_str().to_owned()).or_default().push(placing);
        }
        let inputs = once(Ok(Input::Path(tar.to_path_buf())));
        for entry in Walk::new(inputs, false, Select::default(), Arc::default()).within(self.limits.clone()) {
            let Ok(input) = entry else { continue };
            let Some(list) = wanted.get_mut(input.name().as_str()) else { continue };
            let Input::Held(held) = &input else { continue };
            let Ok(bytes) = held.bytes() else { continue };
            let content = ContentHash::of(bytes); // a tar may have two members of one name
            if let Some(at) = list.iter().position(|placing| placing.image.content == content) {
                let placing = list.remove(at);
                self.save(placing, bytes)?;
            }
        }
        wanted.into_values().flatten().for_each(|placing| {
            self.leave(placing, "it is no longer in the tar, or not as it was scored".to_owned());
        });
        Ok(())
    }

    /// Saves what is at a URL, or in the program.
    fn fetch(&mut self, word: &str, placing: Placing) -> Result<()> {
        let bytes = match Input::from_arg(word) {
            Input::Url(url) => self.urls.fetch_within(&url, &self.limits.room).map(zsic::source::Bytes::into_vec),
            Input::Held(held) => held.bytes().map(<[u8]>::to_vec).map_err(Clone::clone),
            _ => return Ok(()),
        };
        match bytes {
            Ok(bytes) => self.save(placing, &bytes),
            Err(e) => {
                self.leave(placing, format!("it cannot be fetched again: {}", e.message));
                Ok(())
            }
        }
    }

    fn save(&mut self, placing: Placing, bytes: &[u8]) -> Result<()> {
        if ContentHash::of(bytes) != placing.image.content {
            self.leave(placing, files::CHANGED.to_owned());
            return Ok(());
        }
        let parts = self.parts(&placing, Some(bytes))?;
        self.announce(parts.iter())?;
        self.finish(placing, parts, Some(bytes))
    }

    /// Returns the files of a placing, the image last: a run that was killed before it finds the image, and goes on.
    fn parts(&self, placing: &Placing, bytes: Option<&[u8]>) -> Result<Vec<Part>> {
        let mut parts = Vec::new();
        for sidecar in &placing.sidecars {
            let to = sidecar.to(&placing.to);
            let is_wanted = match look(&to, Some(sidecar.size), Some(self.how)) {
                There::Nothing => true,
                There::Bytes(content) if content == sidecar.content => false,
                There::Bytes(_) | There::Other => !placing.is_there, // the image gets another name then
            };
            if is_wanted {
                parts.push(self.part(&sidecar.from, to, sidecar.size, &sidecar.content, false)?);
            }
        }
        if placing.is_there {
            return Ok(parts);
        }
        let (to, content) = (placing.to.clone(), placing.image.content);
        match (&placing.image.found.origin, bytes) {
            (Origin::File(path), _) => {
                parts.push(self.part(path, to, placing.size.unwrap_or_default(), &content, true)?);
            }
            (_, bytes) => {
                let name = &placing.image.name;
                let from = match &placing.image.found.origin {
                    // The member's path, from the root: the undo looks for the tar.
                    Origin::Tar(_) => Written::of(&rooted(Path::new(&*from_bytes(name.bytes())))?),
                    _ => words(name),
                };
                let size = bytes.map_or(0, <[u8]>::len) as u64;
                let line = Line::Save(Act::new(from.clone(), &self.at(&to), size, &content));
                parts.push(Part { from, path: None, to, line, content, is_image: true });
            }
        }
        Ok(parts)
    }

    fn part(&self, path: &Path, to: PathBuf, size: u64, content: &ContentHash, is_image: bool) -> Result<Part> {
        let from = match self.how {
            How::Copy | How::Move => rooted(path)?,
            How::Hardlink | How::Symlink => canonical(path).or_else(|_| rooted(path))?,
        };
        let from = Written::of(&from);
        let act = Act::new(from.clone(), &self.at(&to), size, content);
        let line = match self.how {
            How::Copy => Line::Copy(act),
            How::Move => Line::Move(act),
            How::Hardlink => Line::Hardlink(act),
            How::Symlink => Line::Symlink(act),
        };
        Ok(Part { from, path: Some(path.to_path_buf()), to, line, content: *content, is_image })
    }

    /// Tells the journal what is done next. It is made for the first act.
    fn announce<'x>(&mut self, parts: impl Iterator<Item = &'x Part>) -> Result<()> {
        let mut parts = parts.peekable();
        if parts.peek().is_none() {
            return Ok(());
        }
        if self.journal.is_none() {
            let (journal, new) = Journal::create(&self.root)?;
            let say = format!("stopped; {} takes back what was done", journal.undo());
            interrupt::say_when_stopped(journal.path(), say);
            restore::clear(&journal.others());
            self.journal = Some((journal, new));
        }
        let mut lines = Vec::new();
        for part in parts {
            for folder in part.to.parent().map(missing).unwrap_or_default() {
                if self.told.insert(folder.clone()) {
                    lines.push(Line::Folder { to: Written::of(&self.at(&folder)) });
                }
            }
            lines.push(part.line.clone());
        }
        let Some((journal, _)) = &mut self.journal else { return Ok(()) };
        journal.announce(&lines)
    }

    fn note(&mut self, line: Line) -> Result<()> {
        self.journal.as_mut().map_or(Ok(()), |(journal, _)| journal.note(&[line]))
    }

    /// Does what was announced; under another name, if others took this one meanwhile.
    fn finish(&mut self, mut placing: Placing, mut parts: Vec<Part>, bytes: Option<&[u8]>) -> Result<()> {
        for _ in 0..ATTEMPTS {
            match self.attempt(&placing, &parts, bytes)? {
                Ok(()) => {
                    self.has_acted |= !parts.is_empty();
                    self.counts.sidecars += parts.iter().filter(|part| !part.is_image).count() as u64;
                    self.tell_sidecars(&placing, &parts);
                    if placing.is_there {
                        self.counts.there += 1;
                    } else {
                        *self.counts.placed.entry(placing.image.answer).or_default() += 1;
                    }
                    return Ok(());
                }
                Err(Failure::Taken) => {
                    self.planner.names.release(&placing);
                    match self.planner.resolve(placing) {
                        Step::Place(other) => placing = *other,
                        step => {
                            self.tell(&step);
                            return Ok(());
                        }
                    }
                    parts = self.parts(&placing, bytes)?;
                    self.announce(parts.iter())?;
                }
                Err(Failure::Left(why)) => {
                    self.leave(placing, why);
                    return Ok(());
                }
                Err(Failure::Stop(e)) => return Err(e),
            }
        }
        self.leave(placing, "other programs keep taking the free names".to_owned());
        Ok(())
    }

    /// Names the sidecars that have no place beside their image, or stay behind since it has the same bytes.
    fn tell_sidecars(&mut self, placing: &Placing, parts: &[Part]) {
        for sidecar in &placing.sidecars {
            let to = sidecar.to(&placing.to);
            if parts.iter().any(|part| part.to == to) {
                continue;
            }
            let why = match look(&to, Some(sidecar.size), Some(self.how)) {
                There::Bytes(content) if content == sidecar.content && self.how != How::Move => continue,
                There::Bytes(content) if content == sidecar.content => "has the same bytes",
                There::Nothing => "could not be made",
                There::Bytes(_) | There::Other => "is another file",
            };
            error(format_args!("{}: left where it is: {} {why}", sidecar.from.display(), to.display()));
            self.counts.left += 1;
        }
    }

    /// Does the acts of one image, or none of them.
    fn attempt(&mut self, placing: &Placing, parts: &[Part], bytes: Option<&[u8]>) -> Result<Done> {
        if placing.is_there && is_gone(&placing.to) {
            return Ok(Err(Failure::Taken)); // the image that was to be there failed
        }
        let new = self.journal.as_ref().map(|(_, new)| new.clone()).unwrap_or_default();
        for (done, part) in parts.iter().enumerate() {
            let failure = match self.act(placing, part, &new, bytes) {
                Ok(()) => continue,
                Err(Failure::Left(why)) if !part.is_image => {
                    Failure::Left(format!("its sidecar {}: {why}", part.path.as_deref().unwrap_or(&part.to).display()))
                }
                Err(failure) => failure,
            };
            let why = match &failure {
                Failure::Taken => "the name is taken".to_owned(),
                Failure::Left(why) => why.clone(),
                Failure::Stop(e) => e.to_string(),
            };
            for (at, part) in parts.iter().enumerate() {
                if at < done && take_back::go_back(&part.line, &new).is_err() {
                    self.has_acted = true;
                    error(format_args!("{}: stays without its image; the journal lists it", part.to.display()));
                    continue;
                }
                let noted = self.note(Line::Left { to: Written::of(&self.at(&part.to)), why: why.clone() });
                if !matches!(failure, Failure::Stop(_)) {
                    noted?; // a full disk takes no note, and the journal's first line was enough
                }
            }
            return Ok(Err(failure));
        }
        Ok(Ok(()))
    }

    fn act(&mut self, placing: &Placing, part: &Part, new: &str, bytes: Option<&[u8]>) -> Done {
        let version = (part.is_image).then_some((placing.image.version, self.since));
        let wanted = Wanted { content: &part.content, version };
        if let Some(path) = &part.path {
            wanted.check(path)?; // before a folder is made for it
        }
        let made = make_folder(&part.to)?;
        let place = Written::of(&self.at(&part.to));
        let journal = &mut self.journal;
        let mut ready = |path: &Path| {
            let file = FileId::here(path).map_err(|e| Failure::at(path, "cannot be read", e))?.numbers().1;
            let line = Line::Made { to: place.clone(), file };
            journal.as_mut().map_or(Ok(()), |(journal, _)| journal.note(&[line])).map_err(Failure::Stop)
        };
        let ready: files::Ready = &mut ready;
        let done = match (&part.path, self.how) {
            (None, _) => files::save(bytes.unwrap_or_default(), &part.to, new, &wanted, ready),
            (Some(path), How::Copy) => files::copy(path, &part.to, new, &wanted, ready),
            (Some(path), How::Move) => files::move_file(path, &part.to, new, &wanted, ready),
            (Some(path), How::Hardlink) => files::hardlink(path, &part.to, &wanted, ready),
            (Some(path), How::Symlink) => {
                let target = part.from.path().unwrap_or_default();
                files::symlink(path, &target, &part.to, &wanted)
            }
        };
        if done.is_err() {
            made.iter().rev().for_each(|folder| _ = fs::remove_dir(folder));
        } else {
            _ = self.note(Line::Done { to: place }); // a full disk stops the next act, and this one was announced
        }
        done
    }
}

/// Returns how the journal names what is at a URL, or in the program.
fn words(name: &Name) -> Written {
    match std::str::from_utf8(name.bytes()) {
        Ok(text) => Written::Text(without_passwords(text).into_owned()),
        Err(_) => Written::of(Path::new(&*from_bytes(name.bytes()))),
    }
}
