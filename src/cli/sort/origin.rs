//! Where each image is, noted during the walk: records name an image, and sorting needs its file.

use std::collections::VecDeque;
use std::iter::once;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use percent_encoding::percent_decode_str;
use zsic::source::{Entry, Input, Name};
use zsic::system::name::{from_bytes, from_vec};

use super::super::inputs::Entries;

/// Where an image's bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    File(PathBuf),
    /// In the tar at this path.
    Tar(PathBuf),
    /// At a URL, or in the program: the word that was given.
    Word(String),
    /// Nowhere that could be read again.
    Gone,
}

/// Where an image was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub origin: Origin,
    /// The path below the folder that was named.
    pub below: PathBuf,
}

/// The images of a walk that have no answer yet, in order.
#[derive(Debug, Clone, Default)]
pub struct Notes(Arc<Mutex<VecDeque<Found>>>);

impl Notes {
    /// Notes each entry of a walk.
    pub fn of(&self, mut walk: Entries) -> impl Iterator<Item = Entry> + Send + use<> {
        let notes = self.clone();
        std::iter::from_fn(move || {
            let entry = walk.next()?;
            let found = found(&walk, &entry);
            notes.0.lock().unwrap_or_else(PoisonError::into_inner).push_back(found);
            Some(entry)
        })
    }

    /// Takes the note of the next image. Answers come in the order of the walk.
    pub fn next(&self) -> Option<Found> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }
}

fn found(walk: &Entries, entry: &Entry) -> Found {
    let Ok(input) = entry else { return Found { origin: Origin::Gone, below: PathBuf::new() } };
    let name = input.name();
    let tar = |tar: &Name| Origin::Tar(PathBuf::from(&*from_bytes(tar.bytes())));
    match input {
        Input::Path(path) => Found { origin: Origin::File(path.clone()), below: walk.below_input(&name) },
        Input::Held(_) if let Some(own) = walk.tar() => Found { origin: tar(own), below: walk.below_input(&name) },
        Input::Url(url) => Found { origin: Origin::Word(url.clone()), below: name_in(url) },
        Input::Held(_) if !name.as_str().starts_with("data:") => {
            Found { origin: Origin::Word(name.as_str().to_owned()), below: name_in(name.as_str()) }
        }
        Input::Region(..) | Input::Held(_) | Input::Stdin => Found { origin: Origin::Gone, below: PathBuf::new() },
    }
}

/// Returns the file name in a URL: its last part.
fn name_in(url: &str) -> PathBuf {
    let path = url.split(['?', '#']).next().unwrap_or(url);
    let last = path.rsplit(['/', ':']).find(|part| !part.is_empty()).unwrap_or("image");
    let bytes = percent_decode_str(last).map(|byte| if matches!(byte, 0 | b'/' | b'\\') { b'_' } else { byte });
    let bytes: Vec<u8> = bytes.collect();
    // A dot in front would hide the file.
    let bytes = if bytes.starts_with(b".") { once(b'_').chain(bytes).collect() } else { bytes };
    from_vec(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_a_file_name() {
        for (url, name) in [
            ("http://h/a/b.jpg?x=1/2#y", "b.jpg"),
            ("https://h/caf%C3%A9.jpg", "caf\u{e9}.jpg"),
            ("http://h/a%2Fb%00.jpg", "a_b_.jpg"),
            ("http://h/..%2f", "_.._"),
            ("http://h/", "h"),
            ("demo:owl.png", "owl.png"),
        ] {
            assert_eq!(name_in(url), PathBuf::from(name), "{url}");
        }
    }
}
