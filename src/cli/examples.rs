//! `--examples`: labelled pictures -> their embeddings and labels, and what was learned from them in words.

use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Result, bail};
use zsic::Embeddings;
use zsic::cache::Scope;
use zsic::head::{self, Clash, Examples, Head, Learned};
use zsic::measure::{Estimate, wilson};
use zsic::source::{Name, Shard, is_tar_name};
use zsic::system::name::from_vec;

use super::args::{Asked, Common, ExampleArgs, Inputs};
use super::fatal::usage;
use super::inputs::paths;
use super::labels::{self, Places, UNKNOWN};
use super::messages::{error, note, say, warn};
use super::model::ImageTower;
use super::session::Session;
use super::stream::Written;
use super::text;
use super::truth::{self, Renaming, Shown, Truth, absolute};
use super::{Outcome, available_memory};

/// Endings of files that hold others, and are not read.
const PACKED: [&str; 8] = ["gz", "tgz", "bz2", "xz", "zst", "zip", "7z", "rar"];

/// Labelled pictures, before they are read.
pub struct ExampleSource {
    pub head: Head,
    inputs: Inputs,
    truth: Truth,
    /// What `--map` makes of the truth's names.
    renaming: Renaming,
    name: String,
}

/// Labelled pictures, embedded.
pub struct Embedded {
    pub found: Vec<Example>,
    pub examples: Examples,
    pub outcome: Outcome,
}

/// Labelled pictures, one by one.
pub struct Collected {
    pub found: Vec<Example>,
    pub outcome: Outcome,
}

/// One picture's name, its label's place, and its embedding.
pub type Example = (String, usize, Arc<[f32]>);

/// What a picture is an example of.
enum Meant {
    /// Of the label with this place.
    Label(usize),
    /// Of none of the labels.
    None,
    /// Of nothing that is known, or that counts.
    Unlabelled,
    /// Of several labels: the picture and these in words.
    Several(String),
}

/// Pictures that are no examples, counted by reason.
#[derive(Default)]
struct LeftOut {
    unlabelled: usize,
    of_none: usize,
    several: usize,
    first_of_several: Option<String>,
}

impl LeftOut {
    /// Returns the place of a label, or counts the picture.
    fn unless_label(&mut self, meant: Meant) -> Option<usize> {
        match meant {
            Meant::Label(label) => return Some(label),
            Meant::None => self.of_none += 1,
            Meant::Unlabelled => self.unlabelled += 1,
            Meant::Several(told) => {
                self.several += 1;
                self.first_of_several.get_or_insert(told);
            }
        }
        None
    }

    /// Says how many there are. `name` is where they come from.
    fn tell(&self, name: &str, common: &Common) {
        if self.unlabelled > 0 {
            say(common, format!("{name}: left out {} without a label", counted(self.unlabelled, "picture")));
        }
        if self.of_none > 0 {
            let pictures = counted(self.of_none, "picture");
            say(common, format!("{name}: left out {pictures} of `{UNKNOWN}`, which means none of the labels"));
        }
        if let Some(first) = &self.first_of_several {
            let reason = "an example shows one label, not several or none";
            let pictures = counted(self.several, "picture");
            warn(common, format!("{name}: left out {pictures}: {reason}; the first is {first}"));
        }
    }
}

/// What examples taught.
pub enum Taught {
    /// In this run.
    Now { learned: Learned, found: Vec<Example>, examples: Examples, head: Head },
    /// When a classifier was compiled, with this hash.
    Before(String),
}

impl Taught {
    /// Returns the entries of the built-in list that the examples of the first `labels` rows show.
    pub fn shown(&self, labels: usize, list: &Embeddings) -> Vec<usize> {
        match self {
            Self::Now { learned, examples, head: Head::Anchored | Head::Prototype, .. } => {
                let mut rows = Embeddings::new(list.dim());
                (0..labels).for_each(|label| rows.push_unit(learned.rows.row(label)));
                head::shown_entries(&rows, examples, list)
            }
            _ => Vec::new(),
        }
    }
}

impl ExampleSource {
    /// Finds the pictures of the flags, if there are any, and what they show. `beside` are the inputs of the command, and names
    /// are those that `renaming` makes of them.
    ///
    /// # Errors
    /// A usage error if they cannot be found or read.
    pub fn read(args: &ExampleArgs, beside: &Inputs, renaming: Option<&Renaming>) -> Result<Option<Self>> {
        let Some(path) = &args.examples else { return Ok(None) };
        let renaming = renaming.cloned().unwrap_or_default();
        Ok(Some(Self { renaming, ..Self::at("--examples", path, args.head(), beside)? }))
    }

    /// Finds the pictures in a folder, a list or a tar that a flag names.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn at(flag: &str, path: &Path, head: Head, beside: &Inputs) -> Result<Self> {
        let own = |inputs| Inputs {
            inputs,
            files_from: None,
            null: false,
            include: Vec::new(),
            exclude: Vec::new(),
            shard: Shard::default(),
            ..beside.clone()
        };
        let name = format!("{flag} {}", text::name(path));
        if !text::is_stdin(path) && !path.exists() {
            return Err(usage(format!("{name}: no such file or folder")));
        }
        let (inputs, truth) = if path.is_dir() || is_tar_name(path) {
            let inputs = own(vec![path.into()]);
            let truth = Truth::read(None, &inputs)?;
            (inputs, truth)
        } else if path.extension().is_some_and(|ending| PACKED.iter().any(|packed| ending.eq_ignore_ascii_case(packed)))
        {
            return Err(usage(format!("{name}: is no folder, list or tar; decompress it first")));
        } else {
            let truth = Truth::of_file(path)?;
            let file = |image: &PathBuf| unescaped(image).filter(|file| !image.exists() && file.exists());
            (own(truth.images().map(|image| file(&image).unwrap_or(image).into()).collect()), truth)
        };
        Ok(Self { head, inputs, truth, renaming: Renaming::default(), name })
    }

    /// Returns the names of what the pictures show, in order. Numbers of classes without names have none.
    ///
    /// # Errors
    /// If the pictures cannot be listed.
    pub fn names(&self) -> Result<Vec<String>> {
        let name = |shown: &Shown| match shown {
            Shown::Name(name) => Some(name.clone()),
            Shown::Index(index) => self.truth.classes.as_ref().and_then(|classes| classes.names.get(*index)).cloned(),
        };
        let names = self.truth.of_single_labels(&self.inputs)?;
        let names = names.iter().filter_map(name);
        if self.renaming.is_empty() {
            return Ok(names.collect());
        }
        Ok(self.renaming.labels(&names.map(Shown::Name).collect::<BTreeSet<_>>()))
    }

    /// Returns the usage error for pictures that name no label where the flags name none either.
    pub fn no_label(&self) -> anyhow::Error {
        let advice = "put pictures into folders named after their labels, or name the labels with -l, in the order of their \
                      numbers where pictures have numbers";
        usage(format!("{}: names no label; {advice}", self.name))
    }

    /// Embeds the pictures. `names` are those of the rows that can be learned, the labels first; see [`Self::collect`].
    ///
    /// # Errors
    /// As [`Self::collect`], and a usage error if two labels have the same picture.
    pub fn embed(
        &self,
        names: &[&str],
        labels: usize,
        session: &Session,
        kept: &Scope,
        tower: &ImageTower,
    ) -> Result<Embedded> {
        let Collected { found, outcome } = self.collect(names, labels, session, kept, tower)?;
        let dim = session.checkpoint.family().facts().embedding;
        available_memory::check(found.len(), "examples", memory(found.len(), names.len(), dim))?;
        let examples = each_once(dim, &found, names, |place| place, session.asked.common)?;
        Ok(Embedded { found, examples, outcome })
    }

    /// Embeds the pictures one by one, each with the place of its label among `names`. The first of these are `labels`, which
    /// numbers of classes count. Failures are told, and what is left out: pictures of [`UNKNOWN`], too, if that is no name.
    ///
    /// # Errors
    /// A usage error if a picture shows what is no label, and another if a label has only pictures that failed.
    pub fn collect(
        &self,
        names: &[&str],
        labels: usize,
        session: &Session,
        kept: &Scope,
        tower: &ImageTower,
    ) -> Result<Collected> {
        let places = Places::new(names.iter().copied().zip(0..));
        let asked = Asked { inputs: &self.inputs, output: None, ..session.asked };
        let (mut found, mut failed) = (Vec::<Example>::new(), vec![0; names.len()]);
        let mut left_out = LeftOut::default();
        let stream = session.images_of(asked, kept, Vec::new(), 0, |walk| walk)?;
        let outcome = stream.named(&self.name).beside(self.truth.ending()).run(false, tower, |answers| {
            let mut written = Written::default();
            for answer in answers {
                let Some(label) = left_out.unless_label(self.meant(&answer.name, &places, labels)?) else { continue };
                match &answer.embedding {
                    Ok(row) => found.push((answer.name.as_str().to_owned(), label, Arc::clone(row))),
                    Err(e) => {
                        error(e);
                        written.failed += 1;
                        failed[label] += 1;
                    }
                }
            }
            Ok(written)
        })?;
        let name = &self.name;
        left_out.tell(name, session.asked.common);
        let has_none = |label: &usize| failed[*label] > 0 && !found.iter().any(|example| example.1 == *label);
        if let Some(label) = (0..names.len()).find(has_none) {
            let label = labels::shown(names[label]);
            let hint = self.truth.base().map(|base| format!("; {base}")).unwrap_or_default();
            bail!("{name}: all pictures of the label `{label}` failed{hint}");
        }
        if found.is_empty() {
            return Err(usage(format!("{name}: there is no labelled picture")));
        }
        Ok(Collected { found, outcome })
    }

    /// Returns what a picture is an example of.
    fn meant(&self, image: &Name, places: &Places, labels: usize) -> Result<Meant> {
        let Some(shown) = self.truth.of(image) else { return Ok(Meant::Unlabelled) };
        let image = image.as_str();
        let [shown] = &shown[..] else {
            return Ok(Meant::Several(truth::told(&truth::from_here(Path::new(image)), &shown)));
        };
        let name = match shown {
            Shown::Name(name) => name,
            Shown::Index(index) => match self.truth.classes.as_ref().and_then(|classes| classes.names.get(*index)) {
                Some(name) => name,
                None if *index < labels => return Ok(Meant::Label(*index)),
                None => return Err(usage(format!("{image}: is class {index}, counted from 0, of {labels} labels"))),
            },
        };
        let name = match self.renaming.of(name) {
            Some("") => return Ok(Meant::Unlabelled),
            Some(UNKNOWN) => return Ok(Meant::None),
            renamed => renamed.unwrap_or(name),
        };
        match places.place(name) {
            Some(place) => Ok(Meant::Label(place)),
            None if name == UNKNOWN => Ok(Meant::None),
            None => Err(usage(format!("{image}: shows `{}`, which is none of the labels", labels::shown(name)))),
        }
    }

    /// Says if examples are among the images that are scored: these look better than others would.
    pub fn tell_overlap(&self, asked: &Asked) {
        let real = |path: &PathBuf| path.canonicalize().unwrap_or_else(|_| absolute(path));
        let of = |inputs: &Inputs| paths(inputs).iter().map(real).collect::<HashSet<_>>();
        let (own, scored) = (of(&self.inputs), of(asked.inputs));
        let are_within = |some: &HashSet<PathBuf>, others: &HashSet<PathBuf>| {
            some.iter().any(|path| path.ancestors().any(|folder| others.contains(folder)))
        };
        if are_within(&own, &scored) || are_within(&scored, &own) {
            say(asked.common, "some examples are among the inputs; scores of these are better than those of others");
        }
    }
}

/// Returns the path that a record shows with `\xNN` for bytes that are not UTF-8, if there are any.
fn unescaped(path: &Path) -> Option<PathBuf> {
    let mut parts = path.to_str()?.split("\\x");
    let mut bytes = parts.next()?.as_bytes().to_vec();
    let mut is_written = false;
    for part in parts {
        let byte = part.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok()).filter(|byte| !byte.is_ascii());
        match byte {
            Some(byte) => {
                is_written = true;
                bytes.push(byte);
                bytes.extend(&part.as_bytes()[2..]);
            }
            None => bytes.extend([b"\\x", part.as_bytes()].concat()),
        }
    }
    is_written.then(|| from_vec(bytes).into())
}

/// Returns pictures each once. `place` maps the place of a label among `names` to the place that counts.
///
/// # Errors
/// A usage error that names two that are the same picture with different labels.
pub fn each_once(
    dim: usize,
    found: &[Example],
    names: &[&str],
    place: impl Fn(usize) -> usize,
    common: &Common,
) -> Result<Examples> {
    let given: Vec<(usize, &[f32])> = found.iter().map(|(_, label, row)| (place(*label), &**row)).collect();
    let examples = Examples::new(dim, &given).map_err(|Clash(a, b)| {
        let [a, b] = [a, b].map(|at| (found[at].0.as_str(), names[found[at].1]));
        same_picture(a, b)
    })?;
    if examples.repeated() > 0 {
        let repeated = counted(examples.repeated(), "labelled picture");
        note(common, 1, format!("left out {repeated} that others of the same label repeat"));
    }
    Ok(examples)
}

/// Returns the bits of an embedding, by which identical pictures are found.
pub fn bits(row: &Arc<[f32]>) -> Vec<u32> {
    row.iter().map(|x| x.to_bits()).collect()
}

/// Returns the bytes that learning takes.
fn memory(examples: usize, labels: usize, dim: usize) -> u64 {
    const COPIES: u64 = 3;
    const CHANGES: u64 = 24;
    let (examples, labels, dim) = (examples as u64, labels as u64, dim as u64);
    8 * COPIES * examples * (labels + dim) + 8 * CHANGES * labels * dim
}

/// Says which two pictures are one: their names, and their labels.
pub fn same_picture(a: (&str, &str), b: (&str, &str)) -> anyhow::Error {
    let named = |(name, label): (&str, &str)| format!("{name} (`{}`)", labels::shown(label));
    usage(format!("the same picture has two labels: {} and {}; remove one of them", named(a), named(b)))
}

/// Says how good the learned rows are, and warns if they are no better than the texts.
pub fn tell(learned: &Learned, examples: &Examples, head: Head, common: &Common) {
    let check = learned.check;
    let labels = examples.of().chunk_by(|a, b| a == b).count();
    let share = |right: usize| wilson(right, check.examples).map(shown).unwrap_or_default();
    let (count, text) = (examples.len(), share(check.right_by_text));
    let (count, labels) = (counted(count, "example"), counted(labels, "label"));
    if head == Head::Text {
        return say(common, format!("{count} of {labels}: accuracy of the text alone {text}"));
    }
    let own = share(check.right);
    say(common, format!("{count} of {labels}: cross-validated accuracy {own}, text alone {text}"));
    let strength = learned.strength.map(|strength| format!(", strength {strength}")).unwrap_or_default();
    note(common, 1, format!("head {}{strength}; {}", head.name(), counted(check.folds, "fold")));
    if check.right <= check.right_by_text {
        warn(common, "the examples do no better than the labels' texts alone; add examples, or leave them out");
    }
}

/// Returns a number of things, such as `2 labels`.
pub fn counted(count: usize, word: &str) -> String {
    format!("{count} {word}{}", if count == 1 { "" } else { "s" })
}

/// Returns a share with its interval.
fn shown(Estimate { value, low, high }: Estimate) -> String {
    let percent = |x: f64| format!("{:.1} %", 100.0 * x);
    format!("{} ({} to {})", percent(value), percent(low), percent(high))
}
