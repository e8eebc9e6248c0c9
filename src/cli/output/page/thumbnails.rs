//! Reads the images of a page once more, by their names, and makes thumbnails of them. An image that cannot be read again, or has
//! changed since it was scored, gets none.

use std::collections::{BTreeMap, HashMap};
use std::iter::once;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use mozjpeg::{ColorSpace, Compress};
use zsic::net::Images;
use zsic::pipeline::Version;
use zsic::preprocess::resize::{Axis, Resizer};
use zsic::preprocess::{Arithmetic, Filter};
use zsic::source::{
    Ahead, Bytes, ErrorKind, Held, ImageError, Input, Limits, Options, Ordered, Recalled, RowSink, Select, Walk, Work,
    decode_rows, is_tar_name, read_within,
};
use zsic::system::name::from_bytes;

use super::super::super::args::{Asked, Inputs};
use super::super::super::settings::NO_THREAD;
use super::super::super::urls;
use super::chosen::Picture;

/// The longer side of a thumbnail.
const SIDE: usize = 192;
/// Of mozjpeg: about 7 kB a photograph.
const QUALITY: f32 = 75.0;
/// The longest side of an image whose weights are computed.
const LONGEST: usize = 1 << 16;
/// Threads that fetch URLs.
const FETCHERS: usize = 8;

/// Where pictures are read again.
pub struct Sources<'a> {
    pub asked: Asked<'a>,
    /// Threads that make thumbnails.
    pub threads: usize,
    /// The limits of one image.
    pub limits: Limits,
}

/// A JPEG and its size.
#[derive(Clone)]
pub struct Jpeg {
    pub bytes: Vec<u8>,
    pub width: usize,
    pub height: usize,
}

/// A thumbnail, or why there is none.
pub type Thumbnail = Result<Jpeg, &'static str>;

/// The places on the page that show one image, with the version that was scored.
type Places = Vec<(usize, Version)>;

/// An image to be read again.
struct Wanted {
    input: Input,
    places: Places,
}

/// Returns the thumbnail of each picture. `tell` hears how many are done.
///
/// # Errors
/// If the system starts no thread.
pub fn make(pictures: &[Picture], sources: &Sources, tell: impl Fn(usize)) -> Result<Vec<Thumbnail>> {
    let Sources { asked, threads, limits } = sources;
    let images = urls::images(asked.inputs, &asked.machine.hub);
    read(pictures, asked.inputs, Maker { limits: limits.clone(), images }, *threads, tell)
}

fn read(
    pictures: &[Picture],
    inputs: &Inputs,
    maker: Maker,
    threads: usize,
    tell: impl Fn(usize),
) -> Result<Vec<Thumbnail>> {
    let ahead = Ahead { workers: threads, fetchers: FETCHERS, window: 2 * threads + FETCHERS, together: 1 };
    let made = Ordered::map(find(pictures, inputs, &maker.limits), ahead, maker).context(NO_THREAD)?;
    let mut thumbnails: Vec<Thumbnail> = pictures.iter().map(|_| Err("cannot be read again")).collect();
    let mut done = 0;
    for (place, thumbnail) in made.flatten() {
        // Two members of a tar may have one name: one of them is another version for each place.
        if thumbnails[place].is_err() {
            thumbnails[place] = thumbnail;
            done += 1;
            tell(done);
        }
    }
    Ok(thumbnails)
}

/// Finds the images by their names: files and URLs directly, members of a tar by walking it, and what was given in full by what
/// was given.
fn find(pictures: &[Picture], inputs: &Inputs, limits: &Limits) -> impl Iterator<Item = Wanted> + Send + use<> {
    let mut places = BTreeMap::<&[u8], Places>::new();
    for (place, picture) in pictures.iter().enumerate() {
        places.entry(picture.name.bytes()).or_default().push((place, picture.version));
    }
    let given = inputs.inputs.iter().map(Input::from_arg).filter(Input::is_held);
    let mut given: HashMap<Vec<u8>, Input> = given.map(|input| (input.name().bytes().to_vec(), input)).collect();
    let (mut direct, mut tars) = (Vec::new(), BTreeMap::<PathBuf, HashMap<Vec<u8>, Places>>::new());
    for (name, places) in places {
        match given.remove(name).unwrap_or_else(|| Input::from_arg(from_bytes(name))) {
            Input::Stdin => {}
            Input::Path(path) if !path.is_file() => {
                if let Some(tar) = tar_around(&path) {
                    tars.entry(tar.to_path_buf()).or_default().insert(name.to_vec(), places);
                }
            }
            input => direct.push(Wanted { input, places }),
        }
    }
    let limits = limits.clone();
    direct.into_iter().chain(tars.into_iter().flat_map(move |(tar, members)| {
        let tar = once(Ok(Input::Path(tar)));
        let walk = Walk::new(tar, false, Select::default(), Default::default()).within(limits.clone());
        walk.filter_map(move |entry| {
            let input = entry.ok()?;
            let places = members.get(input.name().bytes())?.clone();
            Some(Wanted { input, places })
        })
    }))
}

/// Returns the tar whose member has this path.
fn tar_around(path: &Path) -> Option<&Path> {
    path.ancestors().skip(1).find(|tar| is_tar_name(tar) && tar.is_file())
}

/// Makes thumbnails on several threads.
struct Maker {
    limits: Limits,
    images: Images,
}

impl Work<Wanted, Vec<(usize, Thumbnail)>> for Maker {
    fn recall(&self, wanted: Vec<Wanted>) -> Vec<Recalled<Wanted, Vec<(usize, Thumbnail)>>> {
        wanted.into_iter().map(|wanted| self.alone(wanted)).collect()
    }

    fn is_remote(&self, wanted: &Wanted) -> bool {
        wanted.input.is_remote()
    }

    fn fetch(&self, Wanted { input, places }: Wanted) -> Recalled<Wanted, Vec<(usize, Thumbnail)>> {
        let input = match input {
            Input::Url(url) => {
                let bytes = self.images.fetch_within(&url, &self.limits.room);
                Input::Held(Held::new(Input::Url(url).name(), bytes))
            }
            input => input,
        };
        self.alone(Wanted { input, places })
    }

    fn run(&self, Wanted { input, places }: Wanted) -> Vec<(usize, Thumbnail)> {
        let entry = Ok(input);
        let version = Version::now(&entry).unwrap_or_default();
        let is_same = |(_, scored): &(usize, Version)| *scored == version;
        let (same, changed): (Places, Places) = places.into_iter().partition(is_same);
        let mut made: Vec<(usize, Thumbnail)> =
            changed.into_iter().map(|(place, _)| (place, Err("has changed since it was scored"))).collect();
        let (Ok(input), false) = (entry, same.is_empty()) else { return made };
        let jpeg = catch_unwind(AssertUnwindSafe(|| jpeg(input, &self.limits)));
        let thumbnail: Thumbnail = jpeg.ok().and_then(Result::ok).ok_or("cannot be read again");
        made.extend(same.into_iter().map(|(place, _)| (place, thumbnail.clone())));
        made
    }
}

impl Maker {
    /// Makes the thumbnail of an image that goes alone at once: it must not wait for others.
    fn alone(&self, wanted: Wanted) -> Recalled<Wanted, Vec<(usize, Thumbnail)>> {
        if wanted.input.is_alone() { Recalled::Known(self.run(wanted)) } else { Recalled::Unknown(wanted) }
    }
}

fn jpeg(input: Input, limits: &Limits) -> Result<Jpeg, ImageError> {
    let bytes: Bytes = read_within(input, limits)?;
    let mut small = Small::default();
    decode_rows(&bytes, &Options { limits, spare: bytes.spare(), enough: Some(SIDE) }, &mut small)?;
    let Small { resizer, width, height } = small;
    let failed = |reason: String| ImageError::new(ErrorKind::Internal, reason);
    let rgb = resizer.ok_or_else(|| failed("has no rows".to_owned()))?.finish();
    let bytes = encode(&rgb, width, height).map_err(|e| failed(e.to_string()))?;
    Ok(Jpeg { bytes, width, height })
}

/// Takes an image's rows, and makes a small image of them.
#[derive(Default)]
struct Small {
    resizer: Option<Resizer>,
    width: usize,
    height: usize,
}

impl RowSink for Small {
    fn begin(&mut self, width: usize, height: usize) -> Result<(), ImageError> {
        let longer = width.max(height);
        if longer == 0 || longer > LONGEST {
            return Err(ImageError::new(ErrorKind::TooLarge, "has no size that can be shown"));
        }
        let side = |side: usize| if longer > SIDE { ((side * SIDE + longer / 2) / longer).max(1) } else { side };
        (self.width, self.height) = (side(width), side(height));
        let axis = |from, to| Axis { from, to, start: 0, length: to };
        let (columns, rows) = (axis(width, self.width), axis(height, self.height));
        self.resizer = Some(Resizer::new(columns, rows, Filter::Bicubic, Arithmetic::Pillow));
        Ok(())
    }

    fn push(&mut self, rows: &[u8]) {
        if let Some(resizer) = &mut self.resizer {
            resizer.push(rows);
        }
    }
}

fn encode(rgb: &[u8], width: usize, height: usize) -> std::io::Result<Vec<u8>> {
    let mut jpeg = Compress::new(ColorSpace::JCS_RGB);
    jpeg.set_size(width, height);
    jpeg.set_quality(QUALITY);
    let mut jpeg = jpeg.start_compress(Vec::new())?;
    jpeg.write_scanlines(rgb)?;
    jpeg.finish()
}

#[cfg(test)]
mod tests {
    use zsic::cache::ContentHash;
    use zsic::net::ImageSettings;

    use super::*;
    use crate::cli::args::{Cli, Command};

    fn content(picture: &str) -> Vec<u8> {
        std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/images").join(picture)).unwrap()
    }

    fn picture(name: &Path, version: Version) -> Picture {
        let name = Input::from_arg(name).name();
        Picture { name, version, best: Vec::new(), answer: Vec::new(), unknown: None, truth: None, margin: 0.0 }
    }

    fn made(pictures: &[Picture]) -> Vec<Thumbnail> {
        let cli: Cli = clap::Parser::parse_from(["zsic", "classify", "x", "-l", "a,b"]);
        let Command::Classify(args) = cli.command else { panic!("the command") };
        let maker = Maker { limits: Limits::default(), images: Images::new(ImageSettings::default()) };
        read(pictures, &args.inputs, maker, 2, |_| {}).unwrap()
    }

    /// The colour in the corner.
    fn corner(thumbnail: &Thumbnail) -> [i32; 3] {
        let Ok(jpeg) = thumbnail else { panic!("no thumbnail") };
        zsic::source::decode(&jpeg.bytes, 1 << 20).unwrap().get_pixel(2, 2).0.map(i32::from)
    }

    #[test]
    fn members_of_one_name_keep_their_own_pictures() {
        let dir = tempfile::tempdir().unwrap();
        let tar_path = dir.path().join("set.tar");
        let mut tar = tar::Builder::new(std::fs::File::create(&tar_path).unwrap());
        let both = ["fox.png", "bear.png"].map(content);
        for bytes in &both {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            tar.append_data(&mut header, "x.png", &bytes[..]).unwrap();
        }
        tar.finish().unwrap();
        let version = |bytes: &Vec<u8>| Version::of_content(&ContentHash::of(bytes));
        let member = std::path::PathBuf::from(format!("{}/x.png", tar_path.display()));
        let pictures = [picture(&member, version(&both[1])), picture(&member, version(&both[0]))];
        let thumbnails = made(&pictures);
        for (thumbnail, bytes) in thumbnails.iter().zip(both.iter().rev()) {
            let whole = zsic::source::decode(bytes, 1 << 24).unwrap().get_pixel(4, 4).0.map(i32::from);
            let found = corner(thumbnail);
            assert!(found.iter().zip(whole).all(|(a, b)| (a - b).abs() < 8), "{found:?} instead of {whole:?}");
        }
    }

    #[test]
    fn a_picture_that_has_changed_is_not_shown() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.png");
        std::fs::write(&path, content("fox.png")).unwrap();
        let version = Version::of_file(&std::fs::metadata(&path).unwrap());
        assert!(made(&[picture(&path, version)])[0].is_ok());
        std::fs::write(&path, content("bear.png")).unwrap();
        assert_eq!(made(&[picture(&path, version)])[0].as_ref().err(), Some(&"has changed since it was scored"));
        std::fs::remove_file(&path).unwrap();
        assert_eq!(made(&[picture(&path, version)])[0].as_ref().err(), Some(&"cannot be read again"));
    }

    #[test]
    fn sides_keep_their_proportions() {
        let size = |width, height| {
            let mut small = Small::default();
            small.begin(width, height).map(|()| (small.width, small.height))
        };
        assert_eq!(size(4000, 3000).unwrap(), (192, 144));
        assert_eq!(size(10, 60_000).unwrap(), (1, 192));
        assert_eq!(size(32, 20).unwrap(), (32, 20));
        assert!(size(1 << 17, 1).is_err() && size(0, 0).is_err());
    }
}
