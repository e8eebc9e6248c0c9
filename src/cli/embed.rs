//! `zsic embed`: unit embeddings of images or texts.

use anyhow::Result;
use zsic::text::lines;
use zsic::{Checkpoint, Compute, TextEncoder};

use super::args::{Common, Embed};
use super::fatal::usage;
use super::model::ImageTower;
use super::output::provenance::{self, Counts, Meta};
use super::output::resume;
use super::output::{Form, Log, Partial, Place, Tensor, families, image_embedding, text_embedding};
use super::progress::Progress;
use super::stream::{Answer, Stream, Walked};
use super::{Outcome, cache, interrupt, labels, messages, model, settings, text};

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
    let dim = checkpoint.config().projection_dim;
    let made_with = provenance::embed(args, format, &checkpoint, &compute)?;
    let rows = |partial: &Partial| if format == TENSOR { Tensor::rows_beside(partial, dim) } else { u64::MAX };
    let Some((log, done)) = resume::start(sink, Form::Lines, &made_with, &args.long_run, rows, common)? else {
        meta.leave(common);
        return Ok(Outcome::Complete);
    };
    let mut writer = Writer::new(format, log, dim)?;
    let (outcome, counts) = match texts {
        Some(texts) => embed_texts(args, common, &texts, &checkpoint, &compute, &mut writer)?,
        None => {
            let earlier = done.earlier();
            let kept = cache::open(&args.machine.caching, &checkpoint, &compute, common)?;
            let own = families(args.output.as_deref().into_iter().chain(args.long_run.meta.as_deref()));
            let walked = Walked { inputs: &args.inputs, own, common };
            let images = Stream::start(walked, &args.machine, &checkpoint, &kept, threads, done)?;
            let tally = images.tally();
            let encoder = ImageTower::new(&checkpoint, &compute);
            let mut new = (0, 0);
            let write = |answers: &[Answer]| {
                new.0 += answers.len() as u64;
                new.1 += answers.iter().filter(|answer| answer.row.is_err()).count() as u64;
                answers.iter().try_for_each(|answer| writer.image(answer))
            };
            let outcome =
                images.run(common, &args.machine, place.is_terminal(), |pixels| encoder.embed(pixels), write)?;
            cache::close(&kept, common);
            (outcome, Counts::new(new, &earlier, tally.skipped()))
        }
    };
    meta.write(&made_with, counts, &args.machine, threads)?;
    writer.finish()?;
    Ok(outcome)
}

/// The format that the ending of the file promises.
fn format(place: &Place, args: &Embed) -> Result<&'static str> {
    match place.ending().as_deref() {
        Some(ending @ ("json" | "csv" | "tsv" | "txt" | "parquet" | "npy" | "npz" | "pt")) => {
            let reason = format!("embeddings are not written as {ending}; name a .jsonl or .safetensors file");
            Err(usage(reason))
        }
        Some(TENSOR) if !place.is_file() => {
            Err(usage("safetensors are written to a file, and this is a pipe or device; it can have JSON lines"))
        }
        Some(TENSOR) if args.long_run.retry_failed => {
            Err(usage("a safetensors file has no failed images, and so none to retry; a .jsonl file has"))
        }
        Some(TENSOR) => Ok(TENSOR),
        _ => Ok("jsonl"),
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
    compute: &Compute,
    writer: &mut Writer,
) -> Result<(Outcome, Counts)> {
    let kept = cache::open(&args.machine.caching, checkpoint, compute, common)?;
    let embeddings = kept.texts(texts, args.truncate, |texts| {
        let encoder = TextEncoder::load(checkpoint, compute)?.with_truncation(args.truncate);
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
        match writer {
            Writer::Lines(log) => log.write((text_embedding(text, row)? + "\n").as_bytes())?,
            Writer::Tensor(tensor) => tensor.push(text, Ok(row))?,
        }
    }
    cache::close(&kept, common);
    Ok((Outcome::Complete, Counts { records: texts.len() as u64, failed: 0, skipped: 0 }))
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

    fn image(&mut self, Answer { name, row }: &Answer) -> Result<()> {
        match self {
            Self::Lines(log) => log.write((image_embedding(name.as_str(), row.as_deref())? + "\n").as_bytes()),
            Self::Tensor(tensor) => {
                if let Err(e) = row {
                    messages::error(format!("left out: {e}"));
                }
                tensor.push(name.as_str(), row.as_deref())
            }
        }
    }

    fn finish(self) -> Result<()> {
        match self {
            Self::Lines(log) => log.into_sink()?.finish(),
            Self::Tensor(tensor) => tensor.finish(),
        }
    }
}
