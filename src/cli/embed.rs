//! `zsic embed`: unit embeddings of images or texts.

use anyhow::Result;
use zsic::TextEncoder;
use zsic::pipeline::{Answer, Version};
use zsic::text::lines;

use super::args::{Asked, Common, Embed};
use super::fatal::usage;
use super::model::ImageTower;
use super::output::journal::Of;
use super::output::made_with::MadeWith;
use super::output::meta::{Counts, Facts};
use super::output::resume::anew;
use super::output::{Form, Log, Place, Tensor, ending, image_embedding, text_embedding};
use super::progress::Progress;
use super::session::{Begun, Outputs, Records, Session};
use super::{Outcome, available_memory, cache, labels, messages, text};

/// The ending and the name of the format that is one tensor.
const TENSOR: &str = "safetensors";

/// Runs the command.
///
/// # Errors
/// What kept the command from starting, or made it stop early.
pub fn run(args: &Embed, common: &Common) -> Result<Outcome> {
    let texts = texts(args)?;
    if texts.is_some() && args.long_run.resume {
        return Err(usage("texts are embedded all at once: there is nothing to resume"));
    }
    let Embed { inputs, machine, output, long_run, .. } = args;
    let asked = Asked { inputs, machine, output: output.as_deref(), long_run, common };
    let read = args.texts_file.as_deref();
    let open = || Outputs::open(asked, read.as_slice(), |place| format(place, args));
    let (session, (outputs, format)) = Session::open(asked, open)?;
    let dim = session.checkpoint.family().facts().embedding;
    let made_with = MadeWith::embed(args, format, &session.checkpoint, &session.plan)?;
    let Some(texts) = texts else {
        let form = if format == TENSOR { Form::Tensor } else { Form::Lines };
        return match session.start(outputs, &made_with, form, 0)? {
            Begun::Finished(outcome) => Ok(outcome),
            Begun::Going(log, run) => run
                .finish(&ImageTower::new(&session.checkpoint, &session.plan), EmbeddingWriter::new(format, log, dim)?),
        };
    };
    let mut writer = EmbeddingWriter::new(format, anew(outputs.sink, &made_with, common)?, dim)?;
    embed_texts(args, &texts, &session, &mut writer)?;
    let counts = Counts { records: texts.len() as u64, failed: 0, skipped: 0 };
    let facts = Facts { made_with: &made_with, counts };
    outputs.meta.write(&facts, session.batch_size, session.threads)?;
    writer.finish(&facts)?;
    Ok(Outcome::Complete)
}

/// Returns the format that the ending of the file stands for.
fn format(place: &Place, args: &Embed) -> Result<&'static str> {
    match place.ending().as_deref() {
        Some(TENSOR) if !place.is_file() => Err(usage(
            "safetensors are written to regular files only, and this is a pipe or device; write JSON lines to it",
        )),
        Some(TENSOR) if args.long_run.retry_failed => Err(usage(
            "a safetensors file does not record failed images, so there is nothing to retry; use a .jsonl file",
        )),
        Some(TENSOR) => Ok(TENSOR),
        None | Some("jsonl" | "ndjson") => Ok("jsonl"),
        Some(_) if place.promises_nothing() => Ok("jsonl"),
        Some(ending) => Err(ending::refuse(&place.name(), ending, "embeddings", &[".jsonl", ".safetensors"])),
    }
}

/// Returns the texts to embed, if there are texts instead of images.
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

/// Writes the embedding of each text.
fn embed_texts(args: &Embed, texts: &[String], session: &Session, writer: &mut EmbeddingWriter) -> Result<()> {
    let Session { checkpoint, plan, asked: Asked { common, .. }, .. } = session;
    available_memory::check(
        texts.len(),
        "texts",
        available_memory::of_texts(texts.len(), checkpoint.family().facts().embedding),
    )?;
    let kept = cache::open(&args.machine.caching, checkpoint, plan, common)?;
    let embeddings = kept.texts(texts, args.truncate, |texts| {
        let encoder = TextEncoder::load(checkpoint, plan)?.with_truncation(args.truncate);
        let tokens = texts.iter().map(|text| encoder.tokenize(text)).collect::<zsic::Result<Vec<_>>>()?;
        let progress = Progress::texts(common, "encoding texts");
        let embeddings = encoder.embed_tokens(&tokens, |done| progress.set(done, texts.len()))?;
        Ok((embeddings, !encoder.depends_on_others()))
    });
    let embeddings = embeddings.map_err(|e| too_long(texts, e))?;
    if !args.truncate
        && let Some(cut) = checkpoint.first_cut(texts.iter().map(String::as_str))?
    {
        let (text, limit) = (labels::shown(cut), checkpoint.family().facts().max_tokens);
        messages::warn(common, format!("the text `{text}` is cut after {limit} tokens, the most that the model reads"));
    }
    for (text, row) in texts.iter().zip(&embeddings) {
        if row.iter().any(|x| !x.is_finite()) {
            return Err(zsic::Error::NotFinite { what: format!("the text `{text}`") }.into());
        }
        let of = Of::new(text, Version::default(), false);
        match &mut writer.rows {
            EmbeddingOutput::Lines(log) => log.write((text_embedding(text, row)? + "\n").as_bytes(), &of)?,
            EmbeddingOutput::Tensor(tensor) => tensor.push(text, &of, Ok(row))?,
        }
    }
    cache::close(&kept, common);
    Ok(())
}

/// Converts the error of a text that is too long: says which text, and what to do.
fn too_long(texts: &[String], e: zsic::Error) -> anyhow::Error {
    let text = match &e {
        zsic::Error::PromptTooLong { prompt, .. } => texts.iter().find(|text| *text == prompt),
        _ => None,
    };
    labels::too_long("the text", text.map_or("", |text| text), e)
}

/// Lines as they come, or one tensor at the end.
enum EmbeddingOutput {
    Lines(Log),
    Tensor(Tensor),
}

/// Embeddings on their way to the output.
struct EmbeddingWriter {
    rows: EmbeddingOutput,
    /// The images written, and those that failed.
    counts: (u64, u64),
}

impl EmbeddingWriter {
    /// Creates a writer of rows of `dim` values to `log`.
    fn new(format: &str, log: Log, dim: usize) -> Result<Self> {
        let rows = if format == TENSOR {
            EmbeddingOutput::Tensor(Tensor::new(log, dim)?)
        } else {
            EmbeddingOutput::Lines(log)
        };
        Ok(Self { rows, counts: (0, 0) })
    }

    fn image(&mut self, Answer { name, version, embedding, .. }: &Answer) -> Result<()> {
        self.counts = (self.counts.0 + 1, self.counts.1 + u64::from(embedding.is_err()));
        let of = Of::new(name.as_str(), *version, embedding.is_err());
        match &mut self.rows {
            EmbeddingOutput::Lines(log) => {
                log.write((image_embedding(name.as_str(), embedding.as_deref())? + "\n").as_bytes(), &of)
            }
            EmbeddingOutput::Tensor(tensor) => {
                if let Err(e) = embedding {
                    messages::error(format!("left out: {e}"));
                }
                tensor.push(name.as_str(), &of, embedding.as_deref())
            }
        }
    }
}

impl Records for EmbeddingWriter {
    fn write(&mut self, answers: &[Answer]) -> Result<()> {
        answers.iter().try_for_each(|answer| self.image(answer))?;
        match &mut self.rows {
            EmbeddingOutput::Lines(log) => log.flush(),
            EmbeddingOutput::Tensor(tensor) => tensor.flush(),
        }
    }

    fn counts(&self) -> (u64, u64) {
        self.counts
    }

    fn finish(self, _: &Facts) -> Result<()> {
        match self.rows {
            EmbeddingOutput::Lines(log) => log.into_sink()?.finish(),
            EmbeddingOutput::Tensor(tensor) => tensor.finish(),
        }
    }
}
