//! An input as named on the command line: a path, a URL, a `data:` URI or standard input. Nothing is opened here.

use std::ffi::OsString;
use std::path::PathBuf;

use percent_encoding::percent_encode_byte;

use super::held::Held;
use super::name::Name;
use super::{Region, data_uri, demo};

/// Where an image's bytes are.
#[derive(Debug)]
pub enum Input {
    /// Standard input, named `-`: an image or a tar of them.
    Stdin,
    /// A file, or a folder or tar to be walked.
    Path(PathBuf),
    /// A part of the image in a file.
    Region(PathBuf, Region),
    /// An `http` or `https` URL, as it was given. [`crate::net::Images`] fetches it.
    Url(String),
    /// Bytes that are here already: a `data:` URI, a built-in picture, a member of a tar, or what standard input held.
    Held(Held),
}

impl Input {
    /// Parses the user's word: `-`, a `data:` URI, a built-in picture such as `demo:owl.png`, an `http(s)://` URL, or
    /// else a path. Schemes may be in capitals.
    pub fn from_arg(arg: impl Into<OsString>) -> Self {
        let arg = arg.into();
        let begins = |scheme: &str| {
            arg.as_encoded_bytes()
                .get(..scheme.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(scheme.as_bytes()))
        };
        match () {
            () if arg == "-" => Self::Stdin,
            () if begins("data:") => Self::Held(data_uri::decode(arg.as_encoded_bytes())),
            () if begins(demo::SCHEME) => Self::Held(demo::picture(Name::of(arg.as_ref()))),
            () if begins("http://") || begins("https://") => Self::Url(text(arg)),
            () => Self::Path(arg.into()),
        }
    }

    /// Returns the name in records.
    pub fn name(&self) -> Name {
        match self {
            Self::Stdin => Name::stdin(),
            Self::Path(path) | Self::Region(path, _) => Name::of(path),
            Self::Url(url) => Name::text(url.clone()),
            Self::Held(held) => held.name.clone(),
        }
    }

    /// Returns whether its bytes came with the walk: those of a tar's member, of a `data:` URI, of a built-in picture
    /// or of standard input.
    pub fn is_held(&self) -> bool {
        matches!(self, Self::Held(_))
    }

    /// Returns whether its bytes are in the memory of the one image that goes alone; see [`super::Bytes::is_alone`].
    pub fn is_alone(&self) -> bool {
        matches!(self, Self::Held(Held { bytes: Ok(bytes), .. }) if bytes.is_alone())
    }

    /// Returns whether the bytes come over a network: waiting for them takes no CPU.
    pub fn is_remote(&self) -> bool {
        matches!(self, Self::Url(_))
    }
}

/// Returns a URL as text, with bytes that are not UTF-8 percent-encoded.
fn text(url: OsString) -> String {
    let mut text = String::new();
    for chunk in url.as_encoded_bytes().utf8_chunks() {
        text.push_str(chunk.valid());
        chunk.invalid().iter().for_each(|&byte| text.push_str(percent_encode_byte(byte)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::name::from_bytes;

    #[test]
    fn words_are_told_apart() {
        let is = |word: &str| match Input::from_arg(word) {
            Input::Stdin => "stdin",
            Input::Path(_) | Input::Region(..) => "path",
            Input::Url(_) => "url",
            Input::Held(_) => "held",
        };
        for (word, kind) in [
            ("-", "stdin"),
            ("http://h/x", "url"),
            ("HTTPS://h/x", "url"),
            ("data:,x", "held"),
            ("demo:x", "held"),
            ("Demo:", "held"),
            ("http:/x", "path"),
            ("https:x", "path"),
            ("ftp://h/x", "path"),
            ("c:\\x.jpg", "path"),
            ("./data:x", "path"),
            ("./demo:owl.png", "path"),
            ("demo", "path"),
            ("./-", "path"),
            ("dat", "path"),
        ] {
            assert_eq!(is(word), kind, "{word}");
        }
    }

    #[cfg(unix)] // names are bytes
    #[test]
    fn names_are_what_was_given() {
        let name = |bytes: &[u8]| Input::from_arg(from_bytes(bytes)).name().as_str().to_owned();
        assert_eq!(name(b"http://me:pw@h/x y?z#f"), "http://me:pw@h/x y?z#f");
        assert_eq!(Input::from_arg("http://me:pw@h/x").name().to_string(), "http://me:***@h/x", "in a message");
        assert_eq!(name(b"http://h/caf\xe9"), "http://h/caf%E9");
        assert_eq!(name(b"caf\xe9"), "caf\\xE9");
        assert_eq!(name(b"demo:caf\xe9"), "demo:caf\\xE9");
    }
}
