//! `zsic classify --boxes`: the boxes of a file in place of whole images. Every image of the file has a record for each box, or
//! one that says why there is none.

mod file;
mod records;

use std::path::Path;

use anyhow::Result;
use file::{BoxFile, BoxedImage, Detection};
use records::{BoxFormat, BoxRecords};
use zsic::source::{CropShape, Entry, Input, Region};

use super::args::{Asked, Classify, Common, LongRun};
use super::fatal::usage;
use super::model::ImageTower;
use super::output::{Columns, Place, Predictions};
use super::scorer::{Flags, Wanted, score_answers};
use super::session::Session;
use super::stream::Written;
use super::{Outcome, available_memory, cache, labels, stream};

/// A box that is classified.
struct Asking {
    /// The numbers of its image and of the box in it.
    image: usize,
    place: usize,
}

/// Runs the command.
///
/// # Errors
/// What kept it from starting, or made it stop early.
pub fn run(args: &Classify, path: &Path, common: &Common) -> Result<Outcome> {
    let Classify { inputs, labels: named, decisions, machine, output, boxes } = args;
    let long_run = LongRun::default();
    if output.long_run.resume || output.long_run.meta.is_some() {
        return Err(usage("--resume and --meta are for whole images, not for --boxes"));
    }
    let files = || named.files().chain(decisions.files()).chain([path]);
    labels::check_stdin(files(), inputs)?;
    let folder = match (&inputs.inputs[..], &inputs.files_from) {
        ([folder], None) if Path::new(folder).is_dir() => Path::new(folder),
        _ => return Err(usage("with --boxes, name one folder: FILE has the paths of its images below it")),
    };
    let place = Place::new(output.output.as_deref(), common);
    let format = BoxFormat::resolve(output.format, &place)?;
    let flags = Flags { labels: named, decisions, activation: output.activation, inputs, common };
    let wanted = Wanted::gather(flags, |_| Ok(None))?;
    let machine = &wanted.machine(machine)?;
    let file = BoxFile::read(path)?;
    let least = boxes.min_detection.unwrap_or(file.typical as f32);
    let asking = asking(&file.images, least);
    let asked = Asked { inputs, machine, output: output.output.as_deref(), long_run: &long_run, common };
    let (session, sink) = Session::open(asked, || place.open(files()))?;
    let of_labels = available_memory::of_texts(wanted.count(), session.checkpoint.family().facts().embedding);
    available_memory::check(wanted.count(), "labels", of_labels)?;
    let columns = Columns { logits: output.logits, accepted: wanted.rules.are_shown };
    let entries = entries(&file.images, &asking, folder, boxes.box_crop.into());
    let (images, kept) = session.entries(entries.into_iter(), of_labels)?;
    session.introduce();
    let encoder = ImageTower::new(&session.checkpoint, &session.plan);
    let rows = wanted.rows(&session, &kept, &encoder)?;
    let of_examples = rows.outcome;
    let scorer = rows.scorer();
    let names = scorer.all_answers();
    let model = super::model::shown(&session.checkpoint);
    let mut records = BoxRecords::new(format, sink, folder, file, &names, model);
    let mut places = asking.into_iter();
    if places.len() > 0 {
        images.run(place.is_terminal(), &encoder, |answers| {
            let body = |scores| Predictions::of(output, columns, &names, &scores);
            for scored in score_answers(&scorer, answers, body) {
                let Some(Asking { image, place }) = places.next() else { break };
                records.write(image, place, scored.as_ref())?;
            }
            records.flush()?;
            Ok(Written::default()) // failures are told at the end, with those of the detector
        })?;
    }
    cache::close(&kept, common);
    let (count, failed) = records.finish(output.top_k)?;
    Ok(stream::outcome(common, count, failed).or(of_examples))
}

/// Returns the boxes with enough confidence, in the order of the file.
fn asking(images: &[BoxedImage], least: f32) -> Vec<Asking> {
    let of_image = |(image, boxed): (usize, &BoxedImage)| {
        let enough = boxed.boxes.iter().enumerate().filter(|(_, found)| found.confidence as f32 >= least);
        enough.map(|(place, _)| Asking { image, place }).collect::<Vec<_>>()
    };
    images.iter().enumerate().flat_map(of_image).collect()
}

/// Returns what is read for each box.
fn entries(images: &[BoxedImage], asking: &[Asking], folder: &Path, shape: CropShape) -> Vec<Entry> {
    let entry = |Asking { image, place }: &Asking| {
        let boxed = &images[*image];
        let Detection { bounds, .. } = boxed.boxes[*place];
        Ok(Input::Region(boxed.path(folder), Region { bounds, shape }))
    };
    asking.iter().map(entry).collect()
}
