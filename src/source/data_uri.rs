//! `data:` URIs (RFC 2397) -> the bytes in them. Base64 is read as browsers read it: white space and missing padding pass.

use std::io::{self, Read};

use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::read::DecoderReader;
use data_encoding::HEXLOWER;
use percent_encoding::percent_decode;
use ring::digest::{SHA256, digest};

use super::held::Held;
use super::name::Name;
use super::{Bytes, ErrorKind, ImageError};

const FORGIVING: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);
/// The mark of base64 after the media type.
const MARK: &[u8] = b";base64";
/// The longest media type that a name repeats. A longer one counts as none.
const LONGEST_TYPE: usize = 100;

/// Returns the bytes of a URI that begins with `data:`, named `data:<media type>;sha256=<hash of the bytes>`. If they
/// cannot be decoded, the hash is that of the encoded text.
pub(super) fn decode(uri: &[u8]) -> Held {
    let rest = uri.get("data:".len()..).unwrap_or_default();
    let Some(comma) = rest.iter().position(|&byte| byte == b',') else {
        let reason = "a data: URI has a comma before its data, as in data:image/png;base64,iVBORw0";
        return Held { name: name(b"", rest), bytes: Err(ImageError::new(ErrorKind::Decode, reason)) };
    };
    let (head, data) = (rest[..comma].trim_ascii(), &rest[comma + 1..]);
    let (media_type, base64) = match before_mark(head) {
        Some(media_type) => (media_type, true),
        None => (head, false),
    };
    let bytes = if base64 { from_base64(data) } else { Ok(unescaped(data)) };
    Held { name: name(media_type, bytes.as_deref().unwrap_or(data)), bytes: bytes.map(Bytes::from) }
}

/// Returns the text before the mark of base64, if there is one.
fn before_mark(head: &[u8]) -> Option<&[u8]> {
    let (start, end) = head.split_at_checked(head.len().checked_sub(MARK.len())?)?;
    end.eq_ignore_ascii_case(MARK).then_some(start)
}

/// Returns bytes that need no further decoding.
fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    bytes.extend(percent_decode(text));
    bytes
}

/// The characters of base64, one by one, without a copy.
struct Signs<I>(I);

impl<I: Iterator<Item = u8>> Read for Signs<I> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let signs = out.iter_mut().zip(&mut self.0);
        Ok(signs.map(|(to, sign)| *to = sign).count())
    }
}

fn from_base64(text: &[u8]) -> Result<Vec<u8>, ImageError> {
    let signs = Signs(percent_decode(text).filter(|byte| !byte.is_ascii_whitespace()));
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3 + 3);
    DecoderReader::new(signs, &FORGIVING).read_to_end(&mut bytes).map(|_| bytes).map_err(|e| {
        let reason = e.to_string().to_ascii_lowercase();
        let reason = reason.trim_end_matches('.');
        ImageError::new(ErrorKind::Decode, format!("the base64 of the data: URI is damaged: {reason}"))
    })
}

fn name(media_type: &[u8], bytes: &[u8]) -> Name {
    let said = String::from_utf8_lossy(&media_type[..media_type.len().min(LONGEST_TYPE)]);
    let media_type = match &*said {
        "" => "text/plain".to_owned(),
        parameters if parameters.starts_with(';') => format!("text/plain{parameters}"),
        media_type => media_type.to_owned(),
    };
    let hash = HEXLOWER.encode(digest(&SHA256, bytes).as_ref());
    Name::text(format!("data:{media_type};sha256={hash}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine;

    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn both_ways_of_writing_bytes_are_read() {
        for (uri, media_type) in [
            ("data:image/png;base64,YWJj", "image/png"),
            ("DATA:image/png;BASE64,YW%4Aj", "image/png"),
            ("data:image/png;base64,YW Jj\n", "image/png"),
            ("data:image/png;base64,YWJj%3D%3D", "image/png"),
            ("data:image/png,%61bc", "image/png"),
            ("data:,abc", "text/plain"),
            ("data:;charset=utf-8,abc", "text/plain;charset=utf-8"),
            ("data:;base64,YWJj", "text/plain"),
        ] {
            let held = decode(uri.as_bytes());
            if !uri.contains("%3D") {
                assert_eq!(held.bytes.as_deref(), Ok(&b"abc"[..]), "{uri}");
                assert_eq!(held.name.as_str(), format!("data:{media_type};sha256={ABC}"), "{uri}");
            } else {
                assert!(held.bytes.is_err(), "padding where there is none to give: {uri}");
            }
        }
        assert_eq!(*decode(b"data:;base64,YWI=").bytes.unwrap(), *b"ab");
        assert_eq!(*decode(b"data:;base64,YWI").bytes.unwrap(), *b"ab");
        assert_eq!(*decode(b"data:a,b,c").bytes.unwrap(), *b"b,c");
    }

    #[test]
    fn base64_in_parts_is_what_it_is_at_once() {
        for length in (0..40).chain(1360..1380).chain(4000..4010) {
            let whole = vec![b'a'; length];
            for (at, sign) in [(length, b'='), (length / 2, b'='), (length.saturating_sub(1), b'='), (length / 3, b'!')]
            {
                let text = [&whole[..at], &[sign], &whole[at..]].concat();
                for text in [&whole, &text] {
                    let wanted = FORGIVING.decode(text).ok();
                    assert_eq!(from_base64(text).ok(), wanted, "{}", String::from_utf8_lossy(text));
                }
            }
        }
    }

    #[test]
    fn bad_ones_say_what_is_wrong() {
        for (uri, said) in [
            ("data:image/png;base64", "has a comma before its data"),
            ("data:", "has a comma before its data"),
            ("data:image/png;base64,YW!j", "invalid symbol 33, offset 2"),
            ("data:image/png;base64,YWJjZ", "is damaged: invalid"),
            ("data:image/png;base64,Y_-j", "invalid symbol 95"),
        ] {
            let held = decode(uri.as_bytes());
            let e = held.bytes.unwrap_err();
            assert!(e.message.contains(said) && e.kind == ErrorKind::Decode, "{uri}: {e}");
        }
        assert!(decode(format!("data:{},", "x".repeat(9999)).as_bytes()).name.as_str().len() < 300);
    }
}
