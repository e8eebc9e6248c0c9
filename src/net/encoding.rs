//! Bodies that come compressed, though they were asked for as they are: gzip and deflate are unpacked while they are read.

use std::io::{self, Cursor, Read};

use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use ureq::http::HeaderMap;

use crate::source::is_image;

/// Bytes that tell how a body is packed, or that it is an image as it is.
const HEAD: u64 = 64;

/// Returns `body`, unpacked where the answer's headers and its first bytes say that it is packed. Some servers name an
/// encoding and send the image as it is, so what does not begin as the encoding does is read as it is.
///
/// # Errors
/// If the first bytes do not come.
pub(super) fn unpacked<'a>(headers: &HeaderMap, body: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
    let mut body = Body(body);
    let Some(encoding) = named(headers).filter(|encoding| is_read(encoding)) else { return Ok(Box::new(body)) };
    let is_gzip = !encoding.eq_ignore_ascii_case("deflate");
    let mut head = Vec::new();
    body.by_ref().take(HEAD).read_to_end(&mut head)?;
    let is_zlib = matches!(head[..], [a, b, ..] if a & 15 == 8 && (u16::from(a) << 8 | u16::from(b)) % 31 == 0);
    let (begins_as_gzip, is_image) = (head.starts_with(&[0x1f, 0x8b]), is_image(&head));
    let whole = Cursor::new(head).chain(body);
    Ok(match is_gzip {
        true if begins_as_gzip => Box::new(MultiGzDecoder::new(whole)),
        false if is_zlib => Box::new(ZlibDecoder::new(whole)),
        false if !is_image => Box::new(DeflateDecoder::new(whole)), // as some servers understand the word
        _ => Box::new(whole),
    })
}

/// Returns the encoding that an answer names, other than `identity`.
pub(super) fn named(headers: &HeaderMap) -> Option<&str> {
    let encoding = headers.get("content-encoding")?.to_str().ok()?.trim();
    (!encoding.is_empty() && !encoding.eq_ignore_ascii_case("identity")).then_some(encoding)
}

/// Returns whether an encoding is unpacked here.
pub(super) fn is_read(encoding: &str) -> bool {
    ["gzip", "x-gzip", "deflate"].iter().any(|name| encoding.eq_ignore_ascii_case(name))
}

/// Returns whether reading failed because the packed bytes are damaged, and not because they did not come.
pub(super) fn is_damage(e: &io::Error) -> bool {
    !e.get_ref().is_some_and(|inner| inner.is::<ureq::Error>())
}

/// A body whose errors are told from those of what unpacks it.
struct Body<R>(R);

impl<R: Read> Read for Body<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).map_err(|e| io::Error::other(ureq::Error::from(e)))
    }
}
