//! `zsic embed`: unit embeddings of images or texts.

use std::sync::Arc;

use anyhow::Result;
use zsic::text::lines;
use zsic::{Checkpoint, Plan, TextEncoder};

use super::args::{Common, Embed};
use super::fatal::usage;
use super::image_version::Version;
use super::inputs::{ListFailure, Walked};
use super::model::ImageTower;
use super::output::journal::Of;
use super::output::made_with::MadeWith;
use super::output::meta::{Counts, Facts, Meta};
use super::output::resume::{Resume, Start, anew};
use super::output::{Form, Log, Place, Sink, Tensor, ending, families, image_embedding, text_embedding};
use super::progress::Progress;
use super::stream::{self, Answer, Stream};
use super::{Outcome, cache, interrupt, labels, memory, messages, model, settings, text};

/// The ending, and the name, of the format that is one tensor.
const TENSOR: &str = "safetensors";

/// Runs the command.
///
/// # Errors
/// What kept it from starting, or made it stop early.
pub fn run(args: &Embed, common: &Common) -> Result<Outcome> {
    let texts = texts(args)?;
    if texts.is_some() && args.long_run.resume {
        return Err(usage("texts are embedded all at once: there is nothing to resume"));
    }
    let threads = settings::threads(&args.machine);
    let compute = settings::compute(&args.machine, threads)?;
    interrupt::install()?;
    let place = Place::new(args.output.as_deref(), common);
    let format = format(&place, args)?;
    let read = || args.inputs.files().chain(args.texts_file.as_deref());
    let sink = place.open(read())?;
    let meta = Meta::open(args.long_run.meta.as_deref(), args.output.as_deref(), read(), common)?;
    let checkpoint = model::open(&args.machine, common)?;
    let (dim, plan) = (checkpoint.family().facts().embedding, compute.plan(&checkpoint));
    let made_with = MadeWith::embed(args, format, &checkpoint, &plan)?;
    let Some(texts) = texts else {
        let run = Images { args, common, format, threads, made_with: &made_with, checkpoint: &checkpoint };
        return run.embed(sink, meta, &plan, place.is_terminal());
    };
    let mut writer = Writer::new(format, anew(sink, &made_with, common)?, dim)?;
    let counts = embed_texts(args, common, &texts, &checkpoint, &plan, &mut writer)?;
    meta.write(Facts { made_with: &made_with, counts }, &args.machine, threads)?;
    writer.finish()?;
    Ok(Outcome::Complete)
}

/// A run over images.
struct Images<'a> {
    args: &'a Embed,
    common: &'a Common,
    format: &'a str,
    threads: usize,
    made_with: &'a MadeWith,
    checkpoint: &'a Checkpoint,
}

impl Images<'_> {
    fn embed(&self, sink: Sink, meta: Meta, plan: &Plan, is_terminal: bool) -> Result<Outcome> {
        let Self { args, common, checkpoint, .. } = *self;
        let own = families(args.output.as_deref().into_iter().chain(args.long_run.meta.as_deref()));
        let limits = memory::limits(&args.inputs, checkpoint, 0);
        let Walked { entries, tally, list_failure, limits } = Walked::new(&args.inputs, limits, own, common)?;
        let (log, entries) = match self.resume(&list_failure).start(sink, entries)? {
            Start::Going(log, entries) => (log, entries),
            Start::Finished(earlier) => {
                let counts = Counts::new((0, 0), &earlier, tally.skipped());
                meta.write_missing(Facts { made_with: self.made_with, counts }, &args.machine, self.threads)?;
                return Ok(stream::outcome(common, counts.records, counts.failed));
            }
        };
        let earlier = entries.earlier();
        let mut writer = Writer::new(self.format, log, checkpoint.family().facts().embedding)?;
        let kept = cache::open(&args.machine.caching, checkpoint, plan, common)?;
        let walked = Walked { entries, tally: Arc::clone(&tally), list_failure, limits };
        let images = Stream::start(&args.inputs, &args.machine, checkpoint, &kept, self.threads, walked, common)?;
        let encoder = ImageTower::new(checkpoint, plan);
        let mut new = (0, 0);
        let write = |answers: &[Answer]| {
            let failed = answers.iter().filter(|answer| answer.row.is_err()).count() as u64;
            new = (new.0 + answers.len() as u64, new.1 + failed);
            answers.iter().try_for_each(|answer| writer.image(answer))?;
            writer.flush()?;
            Ok(failed)
        };
        let outcome = images.run(common, &args.machine, is_terminal, |pixels| encoder.embed(pixels), write)?;
        cache::close(&kept, common);
        let facts = Facts { made_with: self.made_with, counts: Counts::new(new, &earlier, tally.skipped()) };
        meta.write(facts, &args.machine, self.threads)?;
        writer.finish()?;
        Ok(outcome)
    }

    fn resume(&self, list_failure: &ListFailure) -> Resume<'_> {
        Resume {
            form: if self.format == TENSOR { Form::Tensor } else { Form::Lines },
            format: self.format,
            made_with: self.made_with,
            args: &self.args.long_run,
            inputs: &self.args.inputs,
            list_failure: Arc::clone(list_failure),
            notes: cache::notes(&self.args.machine.caching, self.args.long_run.resume, self.common),
            common: self.common,
        }
    }
}

/// Returns the format that the ending of the file stands for.
fn format(place: &Place, args: &Embed) -> Result<&'static str> {
    match place.ending().as_deref() {
        Some(TENSOR) if !place.is_file() => {
            Err(usage("safetensors are written to a file, and this is a pipe or device; it can have JSON lines"))
        }
        Some(TENSOR) if args.long_run.retry_failed => {
            Err(usage("a safetensors file has no failed images, and so none to retry; a .jsonl file has"))
        }
        Some(TENSOR) => Ok(TENSOR),
        None | Some("jsonl" | "ndjson") => Ok("jsonl"),
        Some(_) if place.promises_nothing() => Ok("jsonl"),
        Some(ending) => Err(ending::refuse(&place.name(), ending, "embeddings", &[".jsonl", ".safetensors"])),
    }
}

/// The texts asked for, if it is texts.
fn texts(args: &Embed) -> Result<Option<Vec<String>>> {
    let texts = match &args.texts_file {
        Some(path) => {
            let text = text::read(path)?;
            lines(&text).map(|(_, line)| line).filter(|line| !line.is_empty()).map(str::to_owned).collect::<Vec<_>>()
        }
        None if args.text.is_empty() => return Ok(None),
        None => args.text.clone(),
    };
    texts.iter().try_for_each(|text| labels::check_length("a text", text, labels::LONGEST_TEXT))?;
    if texts.is_empty() { Err(usage("no text to embed")) } else { Ok(Some(texts)) }
}

fn embed_texts(
    args: &Embed,
    common: &Common,
    texts: &[String],
    checkpoint: &Checkpoint,
    plan: &Plan,
    writer: &mut Writer,
) -> Result<Counts> {
    memory::check(texts.len(), "texts", memory::of_texts(texts.len(), checkpoint.family().facts().embedding))?;
    let kept = cache::open(&args.machine.caching, checkpoint, plan, common)?;
    let embeddings = kept.texts(texts, args.truncate, |texts| {
        let encoder = TextEncoder::load(checkpoint, plan)?.with_truncation(args.truncate);
        let tokens = texts.iter().map(|text| encoder.tokenize(text)).collect::<zsic::Result<Vec<_>>>()?;
        let progress = Progress::texts(common, "encoding texts");
        let embeddings = encoder.embed_tokens(&tokens, |done| progress.set(done, texts.len()))?;
        Ok((embeddings, !encoder.depends_on_others()))
    });
    let embeddings = embeddings.map_err(|e| too_long(texts, e))?;
    for (text, row) in texts.iter().zip(&embeddings) {
        if row.iter().any(|x| !x.is_finite()) {
            return Err(zsic::Error::NotFinite { what: format!("the text `{text}`") }.into());
        }
        let of = Of::new(text, Version::default(), false);
        match writer {
            Writer::Lines(log) => log.write((text_embedding(text, row)? + "\n").as_bytes(), &of)?,
            Writer::Tensor(tensor) => tensor.push(text, &of, Ok(row))?,
        }
    }
    cache::close(&kept, common);
    Ok(Counts { records: texts.len() as u64, failed: 0, skipped: 0 })
}

/// Says which text is too long, and what to do.
fn too_long(texts: &[String], e: zsic::Error) -> anyhow::Error {
    let text = match &e {
        zsic::Error::PromptTooLong { prompt, .. } => texts.iter().find(|text| *text == prompt),
        _ => None,
    };
    labels::too_long("the text", text.map_or("", |text| text), e)
}

/// Lines as they come, or one tensor at the end.
enum Writer {
    Lines(Log),
    Tensor(Tensor),
}

impl Writer {
    /// A writer to `log` of rows of `dim` values.
    fn new(format: &str, log: Log, dim: usize) -> Result<Self> {
        if format != TENSOR {
            return Ok(Self::Lines(log));
        }
        Ok(Self::Tensor(Tensor::new(log, dim)?))
    }

    fn image(&mut self, Answer { name, version, row }: &Answer) -> Result<()> {
        let of = Of::new(name.as_str(), *version, row.is_err());
        match self {
            Self::Lines(log) => log.write((image_embedding(name.as_str(), row.as_deref())? + "\n").as_bytes(), &of),
            Self::Tensor(tensor) => {
                if let Err(e) = row {
                    messages::error(format!("left out: {e}"));
                }
                tensor.push(name.as_str(), &of, row.as_deref())
            }
        }
    }

    fn flush(&mut self) -> Result<()> {
        match self {
            Self::Lines(log) => log.flush(),
            Self::Tensor(tensor) => tensor.flush(),
        }
    }

    fn finish(self) -> Result<()> {
        match self {
            Self::Lines(log) => log.into_sink()?.finish(),
            Self::Tensor(tensor) => tensor.finish(),
        }
    }
}
