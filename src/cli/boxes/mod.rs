//! `zsic classify --boxes`: the boxes of a file in place of whole images. Every image of the file has a record for each box, or
//! one that says why there is none.

mod fields;
mod file;
mod records;

use std::path::Path;

use anyhow::{Result, bail};
use file::{BoxFile, BoxedImage, Detection};
use records::{BoxFormat, BoxRecords};
use zsic::source::{CropShape, Entry, Input, Region, Shard};

use super::args::{Asked, Classify, Common, DecodeArg, Inputs, LongRun};
use super::fatal::usage;
use super::messages::{say, warn};
use super::model::ImageTower;
use super::output::made_with::{Against, MadeWith};
use super::output::resume;
use super::output::{Columns, Place, Predictions};
use super::scorer::{Flags, Wanted, score_answers};
use super::session::Session;
use super::stream::Written;
use super::{Outcome, available_memory, cache, labels, text};

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
    if let Some(flag) = unused(args) {
        return Err(usage(format!("{flag} is for whole images, not for --boxes")));
    }
    let files = || named.files().chain(decisions.files()).chain([path]);
    labels::check_stdin(files(), inputs)?;
    let folder = folder(inputs)?;
    let place = Place::new(output.output.as_deref(), common);
    let format = BoxFormat::resolve(output.format, &place)?;
    if output.logits && format == BoxFormat::Megadetector {
        return Err(usage("--format megadetector has no place for logits; leave out --logits"));
    }
    let flags = Flags { labels: named, decisions, activation: output.activation, inputs, renaming: None, common };
    let wanted = Wanted::gather(flags, |_| Ok(None))?;
    let machine = &wanted.machine(machine)?;
    let file = BoxFile::read(path)?;
    if file.images.is_empty() {
        bail!("no image in {}", text::name(path));
    }
    let least = boxes.min_detection.unwrap_or(file.typical as f32);
    let asking = asking(&file.images, least);
    let all: usize = file.images.iter().map(|image| image.boxes.len()).sum();
    if asking.len() < all {
        let left_out = all - asking.len();
        let boxes = if left_out == 1 { "box" } else { "boxes" };
        say(common, format!("left out {left_out} {boxes} with a confidence under {least} (--min-detection)"));
    }
    let asked = Asked { inputs, machine, output: output.output.as_deref(), long_run: &long_run, common };
    let (session, sink) = Session::open(asked, || place.open(files()))?;
    let of_labels = available_memory::of_texts(wanted.count(), session.checkpoint.family().facts().embedding);
    available_memory::check(wanted.count(), "labels", of_labels)?;
    let columns = Columns { logits: output.logits, accepted: wanted.rules.are_shown };
    let entries = entries(&file.images, &asking, folder, (boxes.box_crop.into(), inputs.max_pixels));
    let (images, kept) = session.entries(entries.into_iter(), of_labels)?;
    session.introduce();
    let encoder = ImageTower::new(&session.checkpoint, &session.plan);
    let rows = wanted.rows(&session, &kept, &encoder)?;
    let of_examples = rows.outcome;
    let scorer = rows.scorer();
    let names = scorer.all_answers();
    let model = super::model::shown(&session.checkpoint);
    let Wanted { given, rules, templates, .. } = &wanted;
    let (background, built_in, learned) = (&rules.background, &rules.built_in, rows.fingerprint());
    let against = Against { given, background, built_in, templates, compiled: wanted.compiled_rules(), learned };
    let made_with = MadeWith::classify(args, format.name(), against, &session.checkpoint, &session.plan)?;
    let sink = resume::anew(sink, &made_with, common)?.into_sink()?;
    let mut records = BoxRecords::new(format, sink, folder, file, &names, model, output.top_k);
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
    let (count, failed) = records.finish()?;
    if failed == 0 {
        return Ok(of_examples);
    }
    warn(common, format!("{failed} of {count} records failed"));
    Ok(Outcome::SomeFailed.or(of_examples))
}

/// Returns the folder of the images.
fn folder(inputs: &Inputs) -> Result<&Path> {
    match (&inputs.inputs[..], &inputs.files_from) {
        ([folder], None) if Path::new(folder).is_dir() => Ok(Path::new(folder)),
        ([folder], None) if !Path::new(folder).exists() => {
            Err(usage(format!("{}: no such folder", text::name(Path::new(folder)))))
        }
        _ => Err(usage("with --boxes, name one folder: FILE has the paths of its images below it")),
    }
}

/// Returns the first flag that was given and has no meaning for boxes.
fn unused(args: &Classify) -> Option<&'static str> {
    let Classify { inputs, output, .. } = args;
    let long_run = &output.long_run;
    let given = [
        ("--resume", long_run.resume),
        ("--meta", long_run.meta.is_some()),
        ("--shard", inputs.shard != Shard::default()),
        ("--include", !inputs.include.is_empty()),
        ("--exclude", !inputs.exclude.is_empty()),
        ("--follow", inputs.follow),
        ("--decode fast", inputs.decode != DecodeArg::Exact),
    ];
    given.into_iter().find_map(|(flag, is_given)| is_given.then_some(flag))
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
fn entries(
    images: &[BoxedImage],
    asking: &[Asking],
    folder: &Path,
    (shape, max_pixels): (CropShape, u64),
) -> Vec<Entry> {
    let entry = |Asking { image, place }: &Asking| {
        let boxed = &images[*image];
        let Detection { bounds, .. } = boxed.boxes[*place];
        Ok(Input::Region(boxed.path(folder), Region { bounds, shape, max_pixels, of: boxed.size }))
    };
    asking.iter().map(entry).collect()
}
