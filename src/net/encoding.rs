//! Compressed bodies. Images are requested uncompressed, but some servers send gzip or deflate, which is unpacked while
//! it is read.

use std::io::{self, BufRead, BufReader, Cursor, Read};

use flate2::bufread::GzDecoder;
use flate2::read::{DeflateDecoder, ZlibDecoder};
use ureq::http::HeaderMap;

use crate::source::is_image;

/// The bytes that show how a body is packed, or that it is a plain image.
const HEAD: u64 = 64;

/// Returns `body`, unpacked if the headers and its first bytes say that it is packed. Some servers name an encoding and
/// send a plain image, so a body that does not begin like its encoding is read as it is.
///
/// # Errors
/// If the first bytes do not arrive.
pub(super) fn unpacked<'a>(headers: &HeaderMap, body: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
    let mut body = Body(body);
    let Some(encoding) = named(headers).filter(|encoding| is_read(encoding)) else { return Ok(Box::new(body)) };
    let is_gzip = encoding != "deflate";
    let mut head = Vec::new();
    body.by_ref().take(HEAD).read_to_end(&mut head)?;
    let is_zlib = matches!(head[..], [a, b, ..] if a & 15 == 8 && (u16::from(a) << 8 | u16::from(b)) % 31 == 0);
    let (begins_as_gzip, is_image) = (head.starts_with(&[0x1f, 0x8b]), is_image(&head));
    let whole = Cursor::new(head).chain(body);
    Ok(match is_gzip {
        true if begins_as_gzip => {
            Box::new(GzipMembers { member: Some(GzDecoder::new(BufReader::new(whole))), is_later: false })
        }
        false if is_zlib => Box::new(ZlibDecoder::new(whole)),
        false if !is_image => Box::new(DeflateDecoder::new(whole)), // raw deflate, which some servers send
        _ => Box::new(whole),
    })
}

/// Returns the encodings that an answer names, in lower case, without `identity`.
pub(super) fn named(headers: &HeaderMap) -> Option<String> {
    let lines = headers.get_all("content-encoding").iter().filter_map(|line| line.to_str().ok());
    let encodings = lines.flat_map(|line| line.split(',')).map(|encoding| encoding.trim().to_ascii_lowercase());
    let encodings: Vec<_> = encodings.filter(|encoding| !encoding.is_empty() && encoding != "identity").collect();
    (!encodings.is_empty()).then(|| encodings.join(", "))
}

/// Returns whether an encoding is unpacked here.
pub(super) fn is_read(encoding: &str) -> bool {
    ["gzip", "x-gzip", "deflate"].contains(&encoding)
}

/// Returns whether reading failed because the packed bytes are damaged, not because the connection failed.
pub(super) fn is_damage(e: &io::Error) -> bool {
    !e.get_ref().is_some_and(|inner| inner.is::<ureq::Error>())
}

/// The members of a gzip body, read as Python's urllib3 reads them: a member that breaks off ends there, and whatever
/// follows the first member and cannot be unpacked is dropped.
struct GzipMembers<R> {
    member: Option<GzDecoder<BufReader<R>>>,
    is_later: bool,
}

impl<R: Read> Read for GzipMembers<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(mut member) = self.member.take() {
            match member.read(buffer) {
                Ok(0) if !buffer.is_empty() => {
                    let mut rest = member.into_inner();
                    if !rest.fill_buf()?.is_empty() {
                        (self.member, self.is_later) = (Some(GzDecoder::new(rest)), true);
                    }
                }
                Err(e) if is_damage(&e) && (self.is_later || e.kind() == io::ErrorKind::UnexpectedEof) => {}
                read => {
                    self.member = Some(member);
                    return read;
                }
            }
        }
        Ok(0)
    }
}

/// A body that marks its own errors, to tell them from errors of unpacking.
struct Body<R>(R);

impl<R: Read> Read for Body<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).map_err(|e| io::Error::other(ureq::Error::from(e)))
    }
}
