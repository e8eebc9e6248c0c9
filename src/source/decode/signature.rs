//! What a file's name and first bytes say about its format.
//!
//! A file that was named outright, or that has an image's name, is judged as Pillow judges it: by a few bytes. Any
//! other file in a walk is judged by more bytes, so that text never counts as an image.

use std::path::Path;

use image::ImageFormat;

use super::{DecodeResult, Format, bmp, ico, ifd, pnm, raw};
use crate::source::{ErrorKind, HEAD, ImageError, Name};

/// Endings of images. A photograph that zsic cannot read is a failure, not a skipped file.
const IMAGES: [&str; 33] = [
    "jpg", "jpeg", "jpe", "jfif", "mpo", "png", "apng", "webp", "gif", "bmp", "dib", "tif", "tiff", "pbm", "pgm",
    "ppm", "pnm", "pam", "ico", "heic", "heics", "heif", "heifs", "hif", "avif", "avifs", "jxl", "jp2", "j2k", "j2c",
    "jpc", "jpf", "jpx",
];

/// Endings of camera raw files, which are images too.
const RAWS: [&str; 32] = [
    "3fr", "arq", "arw", "bay", "cap", "cr2", "cr3", "crw", "dcr", "dcs", "dng", "erf", "fff", "gpr", "iiq", "k25",
    "kdc", "mef", "mos", "mrw", "nef", "nrw", "orf", "ori", "pef", "raf", "rw2", "rwl", "sr2", "srf", "srw", "x3f",
];

/// Endings of videos. `.ts` is missing since it may be TypeScript, and is detected by content.
const VIDEOS: [&str; 39] = [
    "3g2", "3gp", "3gpp", "amv", "asf", "avi", "divx", "dv", "f4v", "flv", "h264", "h265", "hevc", "insv", "lrv",
    "m1v", "m2p", "m2t", "m2ts", "m2v", "m4v", "mjpeg", "mjpg", "mkv", "mov", "mp4", "mpe", "mpeg", "mpg", "mts",
    "mxf", "ogm", "ogv", "qt", "rm", "rmvb", "vob", "webm", "wmv",
];

/// The first bytes of a bare JPEG XL codestream.
const JXL: [u8; 2] = [0xff, 0x0a];

/// The first bytes of a JPEG 2000 codestream.
pub(super) const JPEG_2000: [u8; 4] = [0xff, 0x4f, 0xff, 0x51];

/// The formats for messages.
const SUPPORTED: &str = "jpeg, png, webp, gif, bmp, tiff, pnm, ico, avif, heic, jpeg xl, jpeg 2000, camera raw";

/// A format that zsic recognizes but does not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unread {
    Image(&'static str),
    Raw,
    Video,
}

/// Returns the ending of a name, in lower case.
pub(in crate::source) fn ending(path: &Path) -> Option<String> {
    path.extension().map(|ending| ending.to_string_lossy().to_lowercase())
}

/// Returns whether a name has one of these endings.
fn is_called(path: &Path, endings: &[&str]) -> bool {
    path.extension().is_some_and(|own| endings.iter().any(|ending| own.eq_ignore_ascii_case(ending)))
}

/// Returns whether a file's name says that it is an image.
pub fn is_image_name(path: &Path) -> bool {
    is_raw_name(path) || is_called(path, &IMAGES)
}

/// Returns whether a file's name is that of a camera raw file.
pub fn is_raw_name(path: &Path) -> bool {
    is_called(path, &RAWS)
}

/// Returns whether a file is a video, by its name or its first bytes.
pub(in crate::source) fn is_video(path: &Path, head: &[u8]) -> bool {
    is_called(path, &VIDEOS) || unread(head) == Some(Unread::Video)
}

/// Returns whether a file begins like an image, supported or not, and like nothing else. `head` holds its first
/// [`HEAD`](crate::source::HEAD) bytes, or the whole file.
pub fn is_image(head: &[u8]) -> bool {
    match recognized(head) {
        Ok(Format::Pnm) => pnm::begins(head), // which may be text
        _ if is_text(head) => false,
        Ok(Format::Bmp) => bmp::begins(head),
        Ok(Format::Ico) => ico::begins(head),
        Ok(Format::WebP) => matches!(head.get(12..16), Some(b"VP8 " | b"VP8L" | b"VP8X")),
        Ok(Format::JpegXl) if head.starts_with(&JXL) => false, // two bytes that other files begin with too
        Ok(_) => true,
        Err(_) => matches!(unread(head), Some(Unread::Image(_) | Unread::Raw)),
    }
}

/// Returns whether bytes may be text in any encoding that keeps ASCII. Binary files soon have bytes that text never
/// has.
pub(super) fn is_text(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| matches!(byte, b'\t' | b'\n' | 0x0b | 0x0c | b'\r' | 0x1b | b' '..=0x7e | 0x80..))
}

/// Checks that the first bytes of a file are those of a supported image.
pub(in crate::source) fn check_format(head: &[u8]) -> DecodeResult<()> {
    format(head).map(drop)
}

/// Returns the format by the first bytes, if this build reads it.
pub(super) fn format(head: &[u8]) -> DecodeResult<Format> {
    recognized(head)?.readable()
}

/// Returns the format by the first bytes, if zsic can be built to read it.
fn recognized(head: &[u8]) -> DecodeResult<Format> {
    Ok(match image::guess_format(head) {
        _ if ifd::is_header(head) => Format::Tiff, // BigTIFF too, and many camera raw files
        _ if raw::begins(head) => Format::Raw,
        _ if head.starts_with(b"Pf") => Format::Pnm,
        _ if head.starts_with(&JXL) || head.starts_with(b"\0\0\0\x0cJXL \r\n\x87\n") => Format::JpegXl,
        _ if head.starts_with(&JPEG_2000) || head.starts_with(b"\0\0\0\x0cjP  \r\n\x87\n") => Format::Jpeg2000,
        Ok(ImageFormat::Bmp) => Format::Bmp,
        Ok(ImageFormat::Gif) => Format::Gif,
        Ok(ImageFormat::Ico) => Format::Ico,
        Ok(ImageFormat::Jpeg) => Format::Jpeg,
        Ok(ImageFormat::Png) => Format::Png,
        Ok(ImageFormat::WebP) => Format::WebP,
        Ok(ImageFormat::Pnm) if !head.starts_with(b"P7") => Format::Pnm,
        _ if bmp::is_bare(head) => Format::Bmp,
        _ if ico::is_cursor(head) => Format::Ico,
        _ => match heif(head) {
            Some(format) => format,
            None => return Err(ImageError::new(ErrorKind::Format, unread_reason(head))),
        },
    })
}

/// Returns which kind of HEIF a file begins like, by its brands.
fn heif(head: &[u8]) -> Option<Format> {
    let [0, 0, high, low, b'f', b't', b'y', b'p', brands @ ..] = head else { return None };
    let length = usize::from(u16::from_be_bytes([*high, *low])).saturating_sub(8);
    let brands = brands[..brands.len().min(length)].as_chunks::<4>().0;
    let is_one_of = |own: &[&[u8; 4]]| brands.iter().any(|brand| own.contains(&brand));
    match brands.first()? {
        b"heic" | b"heix" | b"heim" | b"heis" | b"hevc" | b"hevx" => Some(Format::Heic),
        _ if is_one_of(&[b"avif", b"avis"]) => Some(Format::Avif),
        _ if is_one_of(&[b"mif1", b"mif2", b"msf1", b"heic", b"heix"]) => Some(Format::Heic),
        _ => None,
    }
}

fn unread_reason(head: &[u8]) -> String {
    match unread(head) {
        Some(Unread::Image(format)) => format!("{format} is not supported; convert it to jpeg or png"),
        Some(Unread::Raw) => raw::NO_PREVIEW.to_owned(),
        Some(Unread::Video) => "video is not supported; extract pictures from it and name those".to_owned(),
        None if head.is_empty() => "the file is empty".to_owned(),
        None => format!("unsupported image format (supported: {SUPPORTED})"),
    }
}

/// Returns the format, if it is recognized but not supported.
fn unread(head: &[u8]) -> Option<Unread> {
    use Unread::{Image, Raw, Video};
    Some(match head {
        [0, 0, _, _, b'f', b't', b'y', b'p', rest @ ..] => match rest.first_chunk()? {
            b"M4A " | b"M4B " => return None, // sound
            b"crx " => return None,           // camera raw, which is read
            _ => Video,
        },
        [b'P', b'7', b'\n', ..] => Image("pam"),
        [0, b'M', b'R', b'M', ..] | [b'F', b'O', b'V', b'b', ..] => Raw,
        _ if head.get(6..14) == Some(b"HEAPCCDR") => Raw,
        [b'R', b'I', b'F', b'F', _, _, _, _, b'A', b'V', b'I', b' ', ..] => Video,
        [0x1a, 0x45, 0xdf, 0xa3, ..] | [0, 0, 1, 0xb3 | 0xba, ..] | [b'F', b'L', b'V', 1, ..] => Video,
        [b'.', b'R', b'M', b'F', 0, ..] => Video,
        [0x30, 0x26, 0xb2, 0x75, 0x8e, 0x66, 0xcf, 0x11, ..] => Video,
        _ if is_transport_stream(head) => Video,
        _ => return None,
    })
}

/// Returns whether a file begins with packets of an MPEG transport stream: each begins with a sync byte, in M2TS after
/// four bytes of time.
fn is_transport_stream(head: &[u8]) -> bool {
    let syncs = |first: usize, length| (0..2usize).all(|n| head.get(first + n * length) == Some(&0x47));
    (syncs(0, 188) || syncs(4, 192)) && !is_text(head)
}

/// Replaces the error of bytes that could not be decoded if they are text: text is not an image, whatever letters it
/// begins with.
pub(super) fn explained_text(bytes: &[u8], e: ImageError) -> ImageError {
    let head = &bytes[..bytes.len().min(HEAD as usize)];
    if is_text(head) && !pnm::may_begin(head) { ImageError::new(ErrorKind::Format, "text, not an image") } else { e }
}

/// Replaces the error of a camera raw file in an unknown format: says that it has no preview to read, instead of what is
/// wrong with it as another format.
pub fn explained(name: &Name, e: ImageError) -> ImageError {
    let is_unread = e.kind == ErrorKind::Format && is_raw_name(Path::new(name.as_str()));
    if is_unread { ImageError::new(ErrorKind::Format, raw::NO_PREVIEW) } else { e }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_told_by_content() {
        assert_eq!(format(b"\xff\xd8\xff\xe0 rest").unwrap(), Format::Jpeg);
        assert_eq!(recognized(b"\xff\x0a\xfa\x7f\x01").unwrap(), Format::JpegXl);
        assert_eq!(recognized(b"\xff\x4f\xff\x51\0").unwrap(), Format::Jpeg2000);
        assert_eq!(recognized(b"\0\0\0\x18ftypheic").unwrap(), Format::Heic);
        assert_eq!(recognized(b"\0\0\0\x18ftypmif1\0\0\0\0mif1").unwrap(), Format::Heic);
        assert_eq!(recognized(b"\0\0\0\x1cftypmif1\0\0\0\0avifmif1").unwrap(), Format::Avif);
        for head in [&b"\0\0\0\x18ftypcrx \0\0\0\x01"[..], b"FUJIFILMCCD-RAW 0201", b"IIRO\x08\0\0\0", b"IIU\0\x18\0"] {
            assert_eq!(format(head).unwrap(), Format::Raw);
            assert!(!is_video(Path::new("x"), head));
        }
        for (head, said) in [
            (&b""[..], "the file is empty"),
            (b"FOVb\0\0\x02\0", "camera raw"),
            (b"\0\0\0\x18ftypmp42", "video is not supported"),
            (b"RIFF\x10\0\0\0AVI LIST", "video is not supported"),
            (b"\x1a\x45\xdf\xa3\x01\0", "video is not supported"),
            (b"\0\0\0\x18ftypM4A ", "unsupported image format"),
            (b"P7\nWIDTH 3", "pam is not supported"),
            (b"<!doctype html>", "unsupported image format"),
        ] {
            let e = format(head).unwrap_err();
            assert!(e.kind == ErrorKind::Format && e.message.contains(said), "{}", e.message);
        }
    }

    #[test]
    fn photographs_of_every_kind_are_candidates() {
        for name in ["a/b.JPG", "x.heic", "x.HIF", "x.heics", "x.avifs", "x.dib", "x.cap", "x.IIQ", "x.Dng"] {
            assert!(is_image_name(Path::new(name)), "{name}");
        }
        for name in ["notes.txt", "jpg", "x.mp4", ".jpg"] {
            assert!(!is_image_name(Path::new(name)), "{name}");
        }
        assert!(is_raw_name(Path::new("x.NEF")) && !is_raw_name(Path::new("x.tif")));
    }

    #[test]
    fn text_never_passes_for_an_image() {
        for text in [
            &b"BMW parked on a street at night"[..],
            b"BM",
            b"P1,52.10,4.31\nP2,52.11,4.30\n",
            b"P1",
            b"P1 was late",
            b"P3 100 mg of it",
            b"P5 12 people",
            b"P5 12 20 people",
            b"P6 3 4 255 of them",
            b"P6 1 1 255 of them came by train, and one by boat",
            b"P4 3 2 of them came by train, and one by boat",
            b"P1 0 1 0 1\n",
            b"P2 10 20 30 40 50\n",
            b"P3\t1\t2\t3\t4\t5\t6\t7\t8\t9\n",
            b"P1 2 2\n0 1 1 0\nP1 2 2\n",
            b"Pf 3 4 -1.0 and so on, and so on, and so on, and so on, and so on",
            b"P7\nwas late",
            b"GIF89a is a format of pictures",
            b"GIF87a",
            b"RIFF and WEBPVP8 and so on",
            b"II*",
            b"FOVb is no word",
            b"FUJIFILMCCD-RAW is how those files begin",
            b"caf\xe9 in Latin-1",
            b"",
        ] {
            assert!(!is_image(text), "{}", String::from_utf8_lossy(text));
        }
        for (start, rest) in [
            ("P6 12 40 64 ", "0123456789abcdef"),
            ("P5 10 10 255 ", "QUJDREVG"),
            ("P4 12 13 ", "0,1,2,3,"),
            ("P3 120 340 560\n", "12 34 56\n"),
            ("P2 12 13 14 ", "7 8 9 "),
            ("Pf 1 2 3 ", "xxxx"),
        ] {
            let text = start.to_owned() + &rest.repeat(200);
            for length in [40, 200, 500] {
                assert!(!is_image(&text.as_bytes()[..length]), "{start}, {length} bytes");
            }
        }
    }

    #[test]
    fn what_pillow_reads_is_told_without_a_name() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/decode");
        let index = std::fs::read(dir.join("index.json")).unwrap();
        let index: serde_json::Value = serde_json::from_slice(&index).unwrap();
        let readable = index.as_array().unwrap().iter().filter(|case| !case["expected"].is_null());
        let files: Vec<&str> = readable.map(|case| case["file"].as_str().unwrap()).collect();
        let told = |file: &&&str| {
            let bytes = std::fs::read(dir.join(file)).unwrap();
            is_image(&bytes[..bytes.len().min(crate::source::HEAD as usize)])
        };
        // A bare bitmap and a bare JPEG XL codestream begin with just a number, and long PNM in digits is text: only
        // the name identifies them.
        let is_weak = |file: &str| {
            let bytes = std::fs::read(dir.join(file)).unwrap();
            bytes.starts_with(&JXL) || [b"P1", b"P2", b"P3"].iter().any(|kind| bytes.starts_with(*kind))
        };
        let not_told = files.iter().filter(|file| !told(file)).filter(|file| !file.ends_with(".dib") && !is_weak(file));
        let not_told: Vec<_> = not_told.collect();
        assert!(files.len() > 300 && not_told.is_empty(), "{not_told:?}");
    }
}
