//! `zsic embed`: unit embeddings of images or texts.

use std::collections::HashMap;

use anyhow::Result;
use safetensors::tensor::{Dtype, TensorView};
use zsic::{Checkpoint, Compute, TextEncoder};

use super::args::{Common, Embed};
use super::fatal::usage;
use super::model::ImageTower;
use super::output::{Place, Sink, image_embedding, text_embedding};
use super::progress::Progress;
use super::stream::{Answer, Stream};
use super::{Outcome, cache, interrupt, labels, messages, model, settings};

/// Runs the command.
///
/// # Errors
/// What kept it from starting, or made it stop early.
pub fn run(args: &Embed, common: &Common) -> Result<Outcome> {
    let texts = texts(args)?;
    let threads = settings::threads(&args.machine);
    let compute = settings::compute(&args.machine, threads)?;
    interrupt::install()?;
    let place = Place::new(args.output.as_deref(), common);
    let mut writer = Writer::open(&place, args, common)?;
    let checkpoint = model::open(&args.machine, common)?;
    match texts {
        Some(texts) => embed_texts(args, common, &texts, &checkpoint, &compute, writer),
        None => {
            let kept = cache::open(&args.machine.caching, &checkpoint, &compute, common)?;
            let images = Stream::start(&args.inputs, &args.machine, checkpoint.preprocessor().clone(), &kept, threads)?;
            writer.set_dim(checkpoint.config().projection_dim);
            let encoder = ImageTower::new(&checkpoint, &compute);
            let write = |answers: &[Answer]| answers.iter().try_for_each(|answer| writer.image(answer));
            let outcome =
                images.run(common, &args.machine, place.is_terminal(), |pixels| encoder.embed(pixels), write)?;
            writer.finish()?;
            cache::close(&kept, common);
            Ok(outcome)
        }
    }
}

/// The texts asked for, if it is texts.
fn texts(args: &Embed) -> Result<Option<Vec<String>>> {
    let texts = match &args.texts_file {
        Some(path) => {
            let text = labels::read_text(path)?;
            text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
        }
        None if args.text.is_empty() => return Ok(None),
        None => args.text.clone(),
    };
    if texts.is_empty() { Err(usage("no text to embed")) } else { Ok(Some(texts)) }
}

fn embed_texts(
    args: &Embed,
    common: &Common,
    texts: &[String],
    checkpoint: &Checkpoint,
    compute: &Compute,
    mut writer: Writer,
) -> Result<Outcome> {
    let kept = cache::open(&args.machine.caching, checkpoint, compute, common)?;
    let embeddings = kept.texts(texts, args.truncate, |texts| {
        let encoder = TextEncoder::load(checkpoint, compute)?.with_truncation(args.truncate);
        let tokens = texts.iter().map(|text| encoder.tokenize(text)).collect::<zsic::Result<Vec<_>>>()?;
        let progress = Progress::texts(common, "encoding texts");
        encoder.embed_tokens(&tokens, |done| progress.set(done, texts.len()))
    });
    let embeddings = embeddings.map_err(|e| too_long(texts, e))?;
    writer.set_dim(checkpoint.config().projection_dim);
    for (text, row) in texts.iter().zip(&embeddings) {
        if row.iter().any(|x| !x.is_finite()) {
            return Err(zsic::Error::NotFinite { what: format!("the text `{text}`") }.into());
        }
        match &mut writer {
            Writer::Lines(sink) => sink.write((text_embedding(text, row)? + "\n").as_bytes())?,
            Writer::Tensor(tensor) => tensor.push(text, row),
        }
    }
    writer.finish()?;
    cache::close(&kept, common);
    Ok(Outcome::Complete)
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
    Lines(Sink),
    Tensor(Box<Tensor>),
}

impl Writer {
    /// Opens the place that the flags name, for the format that its ending promises.
    fn open(place: &Place, args: &Embed, common: &Common) -> Result<Self> {
        if let Some(ending @ ("json" | "csv" | "txt" | "parquet" | "npy")) = place.ending() {
            let reason = format!("embeddings are not written as {ending}; name a .jsonl or .safetensors file");
            return Err(usage(reason));
        }
        let sink = place.open(args.inputs.files().chain(args.texts_file.as_deref()), common)?;
        Ok(match place.ending() {
            Some("safetensors") => Self::Tensor(Box::new(Tensor { sink, rows: Vec::new(), names: Vec::new(), dim: 0 })),
            _ => Self::Lines(sink),
        })
    }

    /// Says how many values a row will have, if no row may ever tell.
    fn set_dim(&mut self, dim: usize) {
        if let Self::Tensor(tensor) = self {
            tensor.dim = dim;
        }
    }

    fn image(&mut self, Answer { name, row }: &Answer) -> Result<()> {
        match (self, row) {
            (Self::Lines(sink), row) => {
                sink.write((image_embedding(name.as_str(), row.as_deref())? + "\n").as_bytes())?
            }
            (Self::Tensor(tensor), Ok(row)) => tensor.push(name.as_str(), row),
            (Self::Tensor(_), Err(e)) => messages::error(format!("left out: {e}")),
        }
        Ok(())
    }

    fn finish(self) -> Result<()> {
        match self {
            Self::Lines(sink) => sink.finish(),
            Self::Tensor(tensor) => tensor.finish(),
        }
    }
}

/// A safetensors file in the making: `embeddings` [N, D], and the names as JSON in the metadata.
struct Tensor {
    sink: Sink,
    rows: Vec<u8>,
    names: Vec<String>,
    dim: usize,
}

impl Tensor {
    fn push(&mut self, name: &str, row: &[f32]) {
        self.names.push(name.to_owned());
        self.rows.extend(row.iter().flat_map(|x| x.to_le_bytes()));
    }

    fn finish(mut self) -> Result<()> {
        let names = serde_json::to_string(&self.names)?;
        let view = TensorView::new(Dtype::F32, vec![self.names.len(), self.dim], &self.rows)?;
        let metadata = HashMap::from([("names".to_owned(), names)]);
        self.sink.write(&safetensors::serialize([("embeddings", view)], Some(metadata))?)?;
        self.sink.finish()
    }
}
