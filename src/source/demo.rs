//! The example pictures, which are part of the program with the feature `demo`: `demo:owl.png`.

use super::held::Held;
use super::name::Name;
use super::{Bytes, ErrorKind, ImageError};

/// The prefix of a picture's word.
pub(super) const SCHEME: &str = "demo:";

#[cfg(feature = "demo")]
macro_rules! picture {
    ($name:literal) => {
        ($name, include_bytes!(concat!("../../examples/images/", $name)))
    };
}

/// Their names and files. `examples/images/README.md` has their authors.
#[cfg(feature = "demo")]
const PICTURES: &[(&str, &[u8])] =
    &[picture!("owl.png"), picture!("fox.png"), picture!("bear.png"), picture!("owl.jpg")];

/// Their names and files.
#[cfg(not(feature = "demo"))]
const PICTURES: &[(&str, &[u8])] = &[];

/// Returns the picture of a word that begins with [`SCHEME`], named as it was given.
pub(super) fn picture(name: Name) -> Held {
    let wanted = name.as_str().get(SCHEME.len()..).unwrap_or_default();
    let found = PICTURES.iter().find(|(name, _)| *name == wanted);
    let bytes = found.map(|(_, bytes)| Bytes::from(bytes.to_vec())).ok_or_else(|| missing(&name));
    Held { name, bytes }
}

fn missing(name: &Name) -> ImageError {
    let names: Vec<String> = PICTURES.iter().map(|(name, _)| format!("{SCHEME}{name}")).collect();
    let reason = if names.is_empty() {
        "this build has no built-in pictures; build it with --features demo".to_owned()
    } else {
        format!("no such built-in picture; there are {}", names.join(", "))
    };
    ImageError::new(ErrorKind::NotFound, format!("{reason}; write ./{name} for a file of this name"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Input;

    #[test]
    fn pictures_are_found_by_name() {
        assert_eq!(PICTURES.len(), if cfg!(feature = "demo") { 4 } else { 0 });
        for (name, file) in PICTURES {
            for word in [format!("demo:{name}"), format!("DEMO:{name}")] {
                let input = Input::from_arg(&word);
                assert_eq!(input.name().as_str(), word);
                assert_eq!(crate::source::read(input).unwrap(), *file);
            }
        }
    }

    #[test]
    fn an_unknown_name_gets_those_that_there_are() {
        let reason = if cfg!(feature = "demo") {
            "no such built-in picture; there are demo:owl.png, demo:fox.png, demo:bear.png, demo:owl.jpg"
        } else {
            "this build has no built-in pictures; build it with --features demo"
        };
        for word in ["demo:", "demo:cat.png", "demo:OWL.PNG"] {
            let e = crate::source::read(Input::from_arg(word)).unwrap_err();
            assert_eq!(e.kind, ErrorKind::NotFound);
            assert_eq!(e.message, format!("{reason}; write ./{word} for a file of this name"));
        }
    }
}
