//! Images by URL: bodies that are too long, packed, or without an end.

use std::io::Write;
use std::time::{Duration, Instant};

use crate::common::by_url::{fetch, picture, sent, settings};
use crate::image_server::{Answer, Server};
use zsic::net::{HttpSettings, ImageSettings, Images, Patience};
use zsic::source::ErrorKind;

#[test]
fn size_is_capped_said_or_not() {
    let server = Server::start(|path, _| match path {
        "/promise" => Answer::Promise(1 << 40),
        _ => Answer::Endless,
    });
    for path in ["/promise", "/endless"] {
        let e = fetch(&server, path).unwrap_err();
        assert!(
            e.kind == ErrorKind::TooLarge && e.message == "has more than the 1048576 bytes allowed (--max-bytes)",
            "{path}: {e:?}"
        );
    }
}

#[test]
fn what_comes_packed_is_unpacked_within_the_cap() {
    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
    fn finish<W: Write>(mut encoder: W, bytes: &[u8], end: impl Fn(W) -> std::io::Result<Vec<u8>>) -> Vec<u8> {
        encoder.write_all(bytes).unwrap();
        end(encoder).unwrap()
    }
    let gzip = |bytes: &[u8]| finish(GzEncoder::new(vec![], Compression::default()), bytes, GzEncoder::finish);
    let (whole, bomb) = (gzip(&picture()), gzip(&[&picture()[..], &vec![0; 2 << 20]].concat()));
    let zlib = finish(ZlibEncoder::new(vec![], Compression::default()), &picture(), ZlibEncoder::finish);
    let raw = finish(DeflateEncoder::new(vec![], Compression::default()), &picture(), DeflateEncoder::finish);
    let mut damaged = whole.clone();
    let end = damaged.len() - 6;
    damaged[end] ^= 1; // its checksum
    let page = gzip(b"<html>log in</html>");
    let server = Server::start(move |path, _| {
        let packed = |encoding: &str, body: &[u8]| {
            let headers = [("Content-Encoding", encoding), ("Content-Type", "text/html")];
            Answer::With(headers.map(|(name, value)| (name, value.to_owned())).to_vec(), body.to_vec())
        };
        match path {
            "/gzip" => packed("gzip", &whole),
            "/x-gzip" => packed("X-GZip", &whole),
            "/members" => {
                packed("gzip", &[&gzip_of(&picture()[..50]), &gzip_of(&picture()[50..])].map(|b| &b[..]).concat())
            }
            "/zlib" => packed("deflate", &zlib),
            "/raw" => packed("deflate", &raw),
            "/plain" => packed("gzip", &picture()), // as it is, whatever the header says
            "/plain-deflate" => packed("deflate", &picture()),
            "/identity" => packed("identity", &picture()),
            "/bomb" => packed("gzip", &bomb),
            // As Python's urllib3 takes them: without its trailer, and with what is no gzip behind it.
            "/no-trailer" => packed("gzip", &whole[..whole.len() - 8]),
            "/half-trailer" => packed("gzip", &whole[..whole.len() - 3]),
            "/zeros" => packed("gzip", &[&whole[..], &[0; 99]].concat()),
            "/trailing" => packed("gzip", &[&whole[..], b"\x1f\x8bnothing"].concat()),
            "/identity-gzip" => packed("identity, gzip", &whole),
            "/damaged" => packed("gzip", &damaged),
            "/twice" => packed("gzip, gzip", &gzip_of(&whole)),
            _ => packed("gzip", &page),
        }
    });
    fn gzip_of(bytes: &[u8]) -> Vec<u8> {
        finish(GzEncoder::new(vec![], Compression::default()), bytes, GzEncoder::finish)
    }
    let plain = ["/plain", "/plain-deflate", "/identity"];
    let packed = ["/gzip", "/x-gzip", "/members", "/zlib", "/raw", "/identity-gzip"];
    let torn = ["/no-trailer", "/half-trailer", "/zeros", "/trailing"];
    for path in plain.iter().chain(&packed).chain(&torn) {
        assert_eq!(fetch(&server, path), Ok(picture()), "{path}");
    }
    assert_eq!(sent(&server, "accept-encoding"), ["identity"; 13]);
    for (path, kind, said) in [
        ("/bomb", ErrorKind::TooLarge, "has more than the 1048576 bytes allowed (--max-bytes)"),
        ("/damaged", ErrorKind::Decode, "sent it compressed (gzip), and it cannot be unpacked: "),
        ("/twice", ErrorKind::Format, "sent it compressed (gzip, gzip), which is not supported"),
        ("/page", ErrorKind::Format, "the server sent text/html: "),
    ] {
        let e = fetch(&server, path).unwrap_err();
        assert!(e.kind == kind && e.message.contains(said), "{path}: {e:?}");
        assert_eq!(server.asked(path), 1, "{path}: it would be no better");
    }
}

#[test]
fn what_has_no_end_is_cut_off() {
    const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let chunk = || [HEAD, format!("{:x}\r\n", picture().len()).as_bytes(), &picture(), b"\r\n"].concat();
    let server = Server::start(move |path, _| match path {
        "/trailers" => Answer::Raw([&chunk()[..], b"0\r\n"].concat(), b"a: b\r\n".to_vec()),
        "/trailer" => Answer::Raw([&chunk()[..], b"0\r\n"].concat(), b"a".to_vec()),
        "/extension" => Answer::Raw([&chunk()[..], b"1;"].concat(), b"a".to_vec()),
        "/size" => Answer::Raw(chunk(), b"0".to_vec()),
        "/marks" => Answer::Raw(chunk(), b"1;aaaaaaaaaaaaaa\r\nx\r\n".to_vec()),
        "/headers" => Answer::Raw(b"HTTP/1.1 200 OK\r\n".to_vec(), b"a: b\r\n".to_vec()),
        "/header" => Answer::Raw(b"HTTP/1.1 200 OK\r\na: ".to_vec(), b"b".to_vec()),
        "/hints" => Answer::Raw(vec![], b"HTTP/1.1 103 Early Hints\r\n\r\n".to_vec()),
        _ => Answer::Raw([&chunk()[..], b"0\r\na: b\r\nc: d\r\n\r\n"].concat(), vec![]),
    });
    assert_eq!(fetch(&server, "/short-trailer"), Ok(picture()));
    let patient = Patience { answer: Duration::from_secs(60), ..settings().http.patience };
    let settings = ImageSettings {
        http: HttpSettings { patience: patient, ..HttpSettings::default() },
        whole: Duration::from_secs(60),
        max_bytes: 64 << 20,
        ..settings()
    };
    for path in ["/trailers", "/trailer", "/extension", "/size", "/marks", "/headers", "/header", "/hints"] {
        let start = Instant::now();
        let e = Images::new(settings.clone()).fetch(&server.url(path)).unwrap_err();
        assert!(e.kind == ErrorKind::Network && start.elapsed() < Duration::from_secs(20), "{path}: {e:?}");
        let tries = if matches!(path, "/trailer" | "/extension" | "/size") { 3 } else { 1 }; // a cut line looks the same
        assert!(server.asked(path) <= tries, "{path}: {e:?}");
    }
}
