//! `zsic sort`: images into folders by label. The answers become a plan (`plan.rs`), which is printed, or done (`act.rs`) with a
//! journal. `restore.rs` takes back what the journal tells, one act after another (`take_back.rs`).

mod act;
mod files;
mod journal;
mod layout;
mod origin;
mod paths;
mod plan;
mod restore;
mod take_back;

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use act::{Acting, Counts};
use anyhow::{Result, bail};
use layout::{Layout, folders};
use origin::Notes;
use plan::{Image, Names, Placing, Planner, Step, There, look};
use zsic::Scores;
use zsic::net::Images;
use zsic::pipeline::Answer;
use zsic::source::Limits;
use zsic::system::file::FileId;

use super::args::{Asked, Common, How, IfExists, LongRun, Sort};
use super::fatal::usage;
use super::labels::{self, UNKNOWN};
use super::messages::{error, say};
use super::model::ImageTower;
use super::output::{Place, Sink};
use super::progress::Progress;
use super::report::shown;
use super::scorer::{Flags, Wanted, score_answers};
use super::session::Session;
use super::stream::Written;
use super::terminal::printable;
use super::{Outcome, available_memory, cache, urls};

/// Seconds in which two changes of a file may have one time.
const SETTLED: i64 = 2;

/// Images with their answers, and what is needed to go on with them.
struct Answered {
    images: Vec<Image>,
    /// The folder of each answer.
    folders: Vec<String>,
    /// What tars and URLs are read again with.
    limits: Limits,
    urls: Images,
    outcome: Outcome,
}

/// Runs the command.
///
/// # Errors
/// What kept it from starting, or made it stop early.
pub fn run(args: &Sort, common: &Common) -> Result<Outcome> {
    if let Some(journal) = &args.places.undo {
        return restore::run(journal, common);
    }
    let places = &args.places;
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs().cast_signed() - SETTLED;
    let into = places.into.as_deref().unwrap_or(Path::new(""));
    let layout = Layout::parse(&places.pattern)?;
    check(args, into)?;
    let place = Place::new(None, common);
    let (Answered { images, folders, limits, urls, outcome }, sink) = answer(args, into, &place, common)?;
    let (how, sidecars, seen) = (places.how(), places.sidecars, HashSet::new());
    let names = Names::new(places.if_exists, |path: &Path, size| look(path, size, how));
    let mut planner = Planner { into, layout: &layout, folders: &folders, how, sidecars, names, seen, last: None };
    let plan: Vec<Step> = images.into_iter().filter_map(|image| planner.step(image)).collect();
    if places.if_exists == IfExists::Error {
        refuse_taken(&plan, how)?;
    }
    let Some(acted) = how else {
        let counts = print(&plan, sink, place.is_terminal())?;
        tell(common, how, into, &folders, &counts);
        return Ok(if counts.left > 0 { Outcome::SomeFailed } else { outcome });
    };
    sink.finish()?; // only a plan is printed
    let mut acting = Acting::new(&mut planner, acted, since, (limits, urls))?;
    let done = acting.run(plan, &Progress::texts(common, "sorting"));
    let (counts, journal) = acting.end(done.is_ok())?;
    tell(common, how, into, &folders, &counts);
    if let Some(journal) = journal {
        say(common, format!("{} takes it back", journal.undo()));
    }
    done?;
    Ok(if counts.left > 0 { Outcome::SomeFailed } else { outcome })
}

/// Scores the inputs, and returns the output of the plan too. Failures are told.
fn answer(args: &Sort, into: &Path, place: &Place, common: &Common) -> Result<(Answered, Sink)> {
    let Sort { inputs, labels: named, decisions, machine, .. } = args;
    labels::check_stdin(named.files().chain(decisions.files()), inputs)?;
    let flags = Flags { labels: named, decisions, activation: args.activation, inputs, renaming: None, common };
    let wanted = Wanted::gather(flags, |_| Ok(None))?;
    let folders = folders(&wanted.given.all_answers(), wanted.rules.are_shown)?;
    let machine = &wanted.machine(machine)?;
    let long_run = LongRun::default();
    let asked = Asked { inputs, machine, output: None, long_run: &long_run, common };
    let (session, sink) = Session::open(asked, || place.open([]))?;
    let of_labels = available_memory::of_texts(wanted.count(), session.checkpoint.family().facts().embedding);
    available_memory::check(wanted.count(), "labels", of_labels)?;
    let (notes, closed) = (Notes::default(), FileId::at(into).ok());
    let kept = session.kept()?;
    let stream = session.images_of(asked, &kept, Vec::new(), of_labels, |walk| {
        let walk = match closed {
            Some(closed) => walk.without_folder(closed), // a second run does not sort what the first one did
            None => walk,
        };
        notes.of(walk)
    })?;
    session.introduce();
    let encoder = ImageTower::new(&session.checkpoint, &session.plan);
    let rows = wanted.rows(&session, &kept, &encoder)?;
    let scorer = rows.scorer();
    let mut images = Vec::new();
    let outcome = stream.run(false, &encoder, |answers| {
        let answered = score_answers(&scorer, answers, |scores| best(&scores));
        let mut failed = 0;
        for (Answer { name, version, content, .. }, answered) in answers.iter().zip(answered) {
            let found = notes.next();
            match (answered, found, content) {
                (Ok(answer), Some(found), Some(content)) => {
                    images.push(Image { name: name.clone(), found, version: *version, content: *content, answer });
                }
                (Err(e), ..) => {
                    error(&e);
                    failed += 1;
                }
                (Ok(_), ..) => bail!("{name}: internal error, a bug in zsic: its bytes are unknown"),
            }
        }
        Ok(Written { failed, is_enough: false })
    })?;
    cache::close(&kept, common);
    let limits = available_memory::limits(inputs, &session.checkpoint, 0);
    let (urls, outcome) = (urls::images(inputs, &machine.hub), outcome.or(rows.outcome));
    Ok((Answered { images, folders, limits, urls, outcome }, sink))
}

/// Checks the flags against the disk.
fn check(args: &Sort, into: &Path) -> Result<()> {
    if into.as_os_str().is_empty() {
        return Err(usage("--into is empty; a variable may be unset"));
    }
    let wrong = |why: &str| usage(format!("{}: {why}", into.display()));
    if into.exists() && !into.is_dir() {
        return Err(wrong("is not a folder to sort into"));
    }
    if !into.exists() && into.is_symlink() {
        return Err(wrong("is a link that leads nowhere"));
    }
    if args.inputs.inputs.iter().any(|input| input == "-") {
        let reason = "standard input can be read only once, and sorting reads images again";
        return Err(usage(format!("{reason}; save it to a file and name that")));
    }
    paths::resolved(into)?;
    let id = FileId::at(into).ok();
    if let Some(input) = args.inputs.files().find(|input| id.is_some() && FileId::at(input).ok() == id) {
        let reason = "is the folder to sort into, and the next run would sort its own results";
        return Err(usage(format!("{}: {reason}; sort into a folder in it", input.display())));
    }
    Ok(())
}

/// Returns the number of the answer.
fn best(scores: &Scores) -> Option<usize> {
    match scores.verdict() {
        Some(verdict) => verdict.accepted.first().map(|answer| answer.label),
        None => scores.top(1).first().map(|best| best.label),
    }
}

/// Refuses a plan in which a place has another file.
fn refuse_taken(plan: &[Step], how: Option<How>) -> Result<()> {
    let mut taken = Vec::new();
    for step in plan {
        match step {
            Step::Taken { name, to } => taken.push(format!("{name}: {} is another file", to.display())),
            Step::Place(placing) if placing.is_there => {
                for sidecar in &placing.sidecars {
                    let to = sidecar.to(&placing.to);
                    let there = look(&to, Some(sidecar.size), how);
                    if there != There::Nothing && there != There::Bytes(sidecar.content) {
                        taken.push(format!("{}: {} is another file", sidecar.from.display(), to.display()));
                    }
                }
            }
            _ => {}
        }
    }
    taken.iter().for_each(error);
    if !taken.is_empty() {
        let places = if taken.len() == 1 { "1 place has".to_owned() } else { format!("{} places have", taken.len()) };
        bail!("{places} another file, so nothing was done; --if-exists rename finds free names");
    }
    Ok(())
}

/// Prints the plan, and says what gets no place.
fn print(plan: &[Step], mut sink: Sink, to_terminal: bool) -> Result<Counts> {
    let mut counts = Counts::default();
    for step in plan {
        let Step::Place(placing) = step else {
            counts.add(step, None);
            continue;
        };
        let Placing { image, to, is_there, .. } = &**placing;
        if *is_there {
            counts.there += 1;
            continue;
        }
        *counts.placed.entry(image.answer).or_default() += 1;
        let line =
            [image.name.as_str(), &shown(to)].map(|path| if to_terminal { printable(path) } else { in_line(path) });
        sink.write(format!("{}\n", line.join("\t")).as_bytes(), None)?;
    }
    sink.finish()?;
    Ok(counts)
}

/// Returns a path without characters that would end a column or a line: as `\xNN`, like bytes that are no text.
fn in_line(path: &str) -> String {
    let shown = |c: char| if c.is_ascii_control() { format!("\\x{:02X}", c as u32) } else { c.to_string() };
    path.chars().map(shown).collect()
}

/// Says what was done.
fn tell(common: &Common, how: Option<How>, into: &Path, folders: &[String], counts: &Counts) {
    let images = |count: u64| if count == 1 { "1 image".to_owned() } else { format!("{count} images") };
    let by_folder: BTreeMap<&str, u64> = counts
        .placed
        .iter()
        .map(|(answer, count)| (answer.and_then(|answer| folders.get(answer)).map_or(UNKNOWN, String::as_str), *count))
        .collect();
    let parts: Vec<String> = by_folder.iter().map(|(folder, count)| format!("{count} {folder}")).collect();
    let verb = match how {
        None => "the plan: sort",
        Some(How::Copy) => "copied",
        Some(How::Move) => "moved",
        Some(How::Hardlink | How::Symlink) => "linked",
    };
    let parts = if parts.is_empty() { String::new() } else { format!(": {}", parts.join(", ")) };
    say(common, format!("{verb} {} into {}{parts}", images(counts.placed.values().sum()), into.display()));
    if counts.sidecars > 0 {
        let sidecars = if counts.sidecars == 1 { "sidecar" } else { "sidecars" };
        say(common, format!("{} {sidecars} along with their images", counts.sidecars));
    }
    if counts.there > 0 {
        say(common, format!("{} had the same bytes there already", images(counts.there)));
    }
    if counts.left > 0 {
        let files = if counts.left == 1 { "1 file".to_owned() } else { format!("{} files", counts.left) };
        say(common, format!("{files} left, as told above"));
    }
    if how.is_none() {
        say(common, "nothing was done; add --copy, --move, --hardlink or --symlink");
    }
}
