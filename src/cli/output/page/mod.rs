//! HTML: one page without a network, to look through and correct results in a browser. It shows the images whose answers are
//! least certain. During the run only those are kept; at the end they are read once more, for their thumbnails.

mod card;
mod chosen;
mod margin;
mod markup;
mod thumbnails;

use anyhow::{Error, Result};
use serde::Serialize;
use zsic::pipeline::Version;
use zsic::source::{Name, without_passwords};
use zsic::{ImageError, Scores};

use super::super::fatal::usage;
use super::super::progress::Progress;
pub use chosen::{Chosen, Picture};
pub use margin::Margins;
pub use markup::{percent, text};
pub use thumbnails::Sources;

const TEMPLATE: &str = include_str!("review.html");
const STYLE: &str = include_str!("review.css");
const SCRIPT: &str = include_str!("review.js");

/// What the keys do: for readers of the panel, and for screen readers beside the pictures.
const KEYS: &str = "Arrow keys move. Enter accepts and a digit relabels; both go on to the next picture. Enter leaves a decision as it \
                    is, and A accepts in its place. Shift with a digit adds a label.";

/// The endings that a page may have.
pub const ENDINGS: &[&str] = &["html", "htm"];
/// The most templates that are named.
const NAMED: usize = 3;

/// What the page says about the run.
pub struct About {
    /// The checkpoint, as `name@commit` or a directory.
    pub model: String,
    /// None if labels have prompts of their own, and empty if a compiled classifier has fixed them.
    pub templates: Option<Vec<String>>,
    /// What an image may be given.
    pub labels: Vec<String>,
    /// Further facts: a word, and what it stands for.
    pub more: Vec<(&'static str, String)>,
}

/// A page under way.
pub struct Page<'a> {
    about: About,
    sources: Sources<'a>,
    margins: Margins<'a>,
    chosen: Chosen,
}

/// What the page's script knows. Its order is that of the cards.
#[derive(Serialize)]
struct Data<'a> {
    labels: &'a [String],
    /// Whether truths are known.
    judged: bool,
    images: Vec<Shown<'a>>,
}

/// One image for the script.
#[derive(Serialize)]
struct Shown<'a> {
    image: String,
    scores: &'a [(usize, f32)],
    answer: &'a [usize],
    #[serde(skip_serializing_if = "Option::is_none")]
    unknown: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    truth: Option<&'a [usize]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    right: Option<bool>,
}

impl<'a> From<&'a Picture> for Shown<'a> {
    fn from(picture: &'a Picture) -> Self {
        Self {
            image: without_passwords(picture.name.as_str()).into(),
            scores: &picture.best,
            answer: &picture.answer,
            unknown: picture.unknown,
            truth: picture.truth.as_deref(),
            right: picture.is_right(),
        }
    }
}

impl<'a> Page<'a> {
    /// Creates an empty page. Pictures come from `sources`, and `margins` say which of them are the least certain.
    pub fn new(about: About, sources: Sources<'a>, margins: Margins<'a>) -> Self {
        Self { about, sources, margins, chosen: Chosen::default() }
    }

    /// Adds one image, with the scores of all labels.
    pub fn add(&mut self, name: &Name, version: Version, scores: std::result::Result<&Scores, &ImageError>) {
        match scores {
            Ok(scores) => self.chosen.add(Picture::of(name, version, scores, self.margins)),
            Err(e) => self.chosen.add_failure(name, &e.message),
        }
    }

    /// Writes the page by `put`, which gets it in parts.
    ///
    /// # Errors
    /// The errors of `put`, and one if the system starts no thread.
    pub fn write(self, put: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        write(&self.about, self.chosen, "", &self.sources, put)
    }
}

/// Returns the usage error for a page on a terminal.
pub fn no_terminal() -> Error {
    usage("html is for a browser; write it to a file with -o review.html")
}

/// Writes a page of `chosen` images by `put`, which gets it in parts. `report` is the HTML before the pictures.
///
/// # Errors
/// The errors of `put`, and one if the system starts no thread.
pub fn write(
    about: &About,
    chosen: Chosen,
    report: &str,
    sources: &Sources,
    mut put: impl FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    let images = chosen.images();
    let (failures, failed) = chosen.failures();
    let failures = card::failures(failures, failed);
    let pictures = chosen.into_pictures();
    let progress = Progress::texts(sources.asked.common, "pictures for the page");
    let thumbnails = thumbnails::make(&pictures, sources, |done| progress.set(done, pictures.len()))?;
    drop(progress);
    let is_judged = pictures.iter().any(|picture| picture.truth.is_some());
    let data = markup::json(&Data {
        labels: &about.labels,
        judged: is_judged,
        images: pictures.iter().map(Shown::from).collect(),
    })?;
    let mut facts = facts(about);
    let scored = images - failed;
    if (pictures.len() as u64) < scored {
        let which = if is_judged { "those that are wrong, then the least certain" } else { "those least certain" };
        let (shown, scored) = (markup::grouped(pictures.len() as u64), markup::grouped(scored));
        facts += &fact("Shown", &format!("{shown} of {scored}, {which}"));
    }
    let slot_text = |slot: &str| match slot {
        "policy" => markup::policy(STYLE, SCRIPT),
        "title" => title(images),
        "facts" => facts.clone(),
        "style" => STYLE.to_owned(),
        "script" => SCRIPT.to_owned(),
        "report" => report.to_owned(),
        "keys" => KEYS.to_owned(),
        "failures" => failures.clone(),
        "data" => data.clone(),
        _ => String::new(),
    };
    for (before, slot) in markup::parts(TEMPLATE) {
        put(before.as_bytes())?;
        match slot {
            "cards" => {
                for (place, (picture, thumbnail)) in pictures.iter().zip(&thumbnails).enumerate() {
                    put(card::card(place, picture, thumbnail, &about.labels).as_bytes())?;
                }
            }
            slot => put(slot_text(slot).as_bytes())?,
        }
    }
    Ok(())
}

fn title(images: u64) -> String {
    match images {
        1 => "1 image".to_owned(),
        _ => format!("{} images", markup::grouped(images)),
    }
}

/// Says what the page shows: pairs of a term and its description.
fn facts(about: &About) -> String {
    let mut rows = vec![("Model", text(&about.model))];
    let own = ("Prompts", "each label has its own".to_owned());
    rows.extend(about.templates.as_deref().map_or(Some(own), templates));
    rows.extend(about.more.iter().map(|(term, what)| (*term, text(what))));
    rows.push(("Labels", markup::grouped(about.labels.len() as u64)));
    rows.iter().map(|(term, html)| fact(term, html)).collect()
}

/// Names the templates, if there are any.
fn templates(templates: &[String]) -> Option<(&'static str, String)> {
    let named: Vec<String> = templates.iter().take(NAMED).map(|template| text(template)).collect();
    let named = named.join("</span> <span class=\"quote\">");
    let more = if templates.len() > NAMED { format!(" and {} more", templates.len() - NAMED) } else { String::new() };
    match templates.len() {
        0 => None,
        1 => Some(("Template", format!("<span class=\"quote\">{named}</span>"))),
        _ => Some(("Templates", format!("<span class=\"quote\">{named}</span>{more}"))),
    }
}

fn fact(term: &str, html: &str) -> String {
    format!("<div><dt>{term}</dt><dd>{html}</dd></div>")
}
