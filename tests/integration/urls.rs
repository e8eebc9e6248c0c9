//! Images by URL and by `data:` URI: what comes, what does not, how long it is waited for, and where redirects may lead.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::common::command::{err, image, lines, model, out, run, zsic};
use crate::image_server::{Answer, Server, proxy};
use base64::Engine;
use zsic::ImageError;
use zsic::net::{HttpSettings, ImageSettings, Images, Patience, Proxies};
use zsic::source::ErrorKind;

const LABELS: &str = "cat,the cat's toy,wine glass";

fn picture() -> Vec<u8> {
    fs::read(image("wide.png")).unwrap()
}

fn status(status: u16) -> Answer {
    Answer::Status(status, vec![], "")
}

fn redirect(to: impl Into<String>) -> Answer {
    Answer::Status(302, vec![("Location", to.into())], "")
}

/// Short waits.
fn settings() -> ImageSettings {
    let patience = Patience {
        connect: Duration::from_secs(5),
        answer: Duration::from_millis(600),
        stall: Duration::from_millis(600),
        attempts: 3,
        pause: Duration::from_millis(5),
        longest_pause: Duration::from_secs(2),
    };
    ImageSettings {
        http: HttpSettings { patience, ..HttpSettings::default() },
        whole: Duration::from_secs(20),
        max_bytes: 1 << 20,
        ..ImageSettings::default()
    }
}

fn fetch(server: &Server, path: &str) -> Result<Vec<u8>, ImageError> {
    Images::new(settings()).fetch(&server.url(path))
}

/// `zsic classify` with the quick-gelu checkpoint and no proxy.
fn classify(args: &[&str]) -> Command {
    let mut command = zsic(&["classify", "-m", &model("quick-gelu"), "-l", LABELS]);
    for variable in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"] {
        command.env_remove(variable).env_remove(variable.to_lowercase());
    }
    command.env_remove("HF_HUB_OFFLINE").env_remove("SSL_CERT_FILE").args(args);
    command
}

#[test]
fn urls_score_as_files_do_beside_them() {
    let server = Server::start(|path, _| match path {
        "/wide.png" => Answer::Body(picture()),
        "/moved" => redirect("wide.png?x=1"),
        "/wide.png?x=1" => Answer::Body(picture()),
        _ => status(404),
    });
    let (a, b, c) = (server.url("/wide.png"), server.url("/moved"), server.url("/none"));
    let output = run(&mut classify(&[&a, &image("tall.png"), &b, &c, &image("wide.png")]));
    assert_eq!(output.status.code(), Some(1), "{}", err(&output));
    let records = lines(&output);
    let names: Vec<&str> = records.iter().map(|r| r["image"].as_str().unwrap()).collect();
    assert_eq!(names, [&a, &image("tall.png"), &b, &c, &image("wide.png")]);
    assert_eq!(records[0]["predictions"], records[4]["predictions"]);
    assert_eq!(records[2]["predictions"], records[4]["predictions"]);
    assert_eq!(records[3]["error"]["kind"], "not_found");
    assert!(records[3]["error"]["message"].as_str().unwrap().starts_with(&c), "{}", records[3]);
    // The same by way of a list.
    let mut child = classify(&["--files-from", "-"]);
    let mut child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    writeln!(child.stdin.take().unwrap(), "{a}").unwrap();
    assert_eq!(lines(&child.wait_with_output().unwrap())[0], records[0]);
}

#[test]
fn statuses_have_kinds() {
    let server = Server::start(|path, _| status(path[1..].parse().unwrap()));
    for (code, kind) in [
        (404, ErrorKind::NotFound),
        (410, ErrorKind::NotFound),
        (401, ErrorKind::Permission),
        (403, ErrorKind::Permission),
        (400, ErrorKind::Network),
        (500, ErrorKind::Network),
        (304, ErrorKind::Network),
    ] {
        let e = fetch(&server, &format!("/{code}")).unwrap_err();
        assert!(e.kind == kind && e.message.contains(&format!("answered with status {code}")), "{e:?}");
        assert_eq!(server.asked(&format!("/{code}")), 1, "asked again, it would be no other");
    }
}

#[test]
fn what_may_pass_is_tried_three_times() {
    let server = Server::start(|path, n| match (path, n) {
        (_, 2) if !path.starts_with("/never") => Answer::Body(picture()),
        ("/hangup", _) => Answer::Hangup,
        ("/cut" | "/never-cut", _) => Answer::Cut(picture(), 50),
        ("/asked", _) => Answer::Status(429, vec![("Retry-After", "1".to_owned())], ""),
        ("/asked-long" | "/never-long", _) => Answer::Status(503, vec![("Retry-After", "60".to_owned())], ""),
        (path, _) => status(path.rsplit('/').next().unwrap().parse().unwrap()),
    });
    for path in ["/502", "/503", "/504", "/429", "/hangup", "/cut", "/asked"] {
        let start = Instant::now();
        assert_eq!(fetch(&server, path), Ok(picture()), "{path}");
        assert_eq!(server.asked(path), 3, "{path}");
        assert_eq!(start.elapsed() > Duration::from_secs(2), path == "/asked", "{path}");
    }
    for (path, tries, said) in
        [("/never/503", 3, "status 503"), ("/never-cut", 3, "was cut"), ("/never-long", 1, "status 503")]
    {
        let e = fetch(&server, path).unwrap_err();
        assert!(e.kind == ErrorKind::Network && e.message.contains(said), "{path}: {e:?}");
        assert_eq!(server.asked(path), tries, "{path}");
    }
}

#[test]
fn waits_are_bounded() {
    let server = Server::start(|path, _| match path {
        "/silent" => Answer::Silent(Duration::from_secs(9)),
        "/stall" => Answer::Stall(picture(), 60, Duration::from_secs(9)),
        _ => Answer::Slow(picture(), 1, Duration::from_millis(100)), // each piece in time, the whole not
    });
    for (path, said) in [
        ("/silent", "does not answer: nothing came within 0.6 s"),
        ("/stall", "stopped sending: nothing came for 0.6 s"),
        ("/slow", "did not come within 1.5 s"),
    ] {
        let start = Instant::now();
        let settings = ImageSettings { whole: Duration::from_millis(1500), ..settings() };
        let e = Images::new(settings).fetch(&server.url(path)).unwrap_err();
        assert!(e.kind == ErrorKind::Timeout && e.message.contains(said), "{path}: {e:?}");
        assert!(start.elapsed() < Duration::from_secs(6), "{path}");
    }
}

#[test]
fn nobody_there_is_a_network_error() {
    let images = Images::new(settings());
    for (url, said) in [
        ("http://127.0.0.1:9/x", "cannot connect to 127.0.0.1:9"),
        ("http://no-such-host.invalid/x", "no-such-host.invalid cannot be found"),
        ("http://", "is not a URL"),
    ] {
        let e = images.fetch(url).unwrap_err();
        assert!(e.kind == ErrorKind::Network && e.message.contains(said), "{e:?}");
    }
}

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
fn what_is_no_image_is_told_by_its_first_bytes() {
    let page = |kind: &str| Answer::Status(200, vec![("Content-Type", kind.to_owned())], "<html>log in</html>");
    let server = Server::start(move |path, _| match path {
        "/page" => page("text/html; charset=utf-8"),
        "/x.tar" => page("application/x-tar"),
        "/packed" => Answer::Status(200, vec![("Content-Encoding", "br".to_owned())], "\x1f\x0b not what it was"),
        _ => Answer::Body(vec![]),
    });
    let e = fetch(&server, "/page").unwrap_err();
    assert!(
        e.kind == ErrorKind::Format
            && e.message.starts_with("the server sent text/html; charset=utf-8: unsupported image format"),
        "{e:?}"
    );
    let e = fetch(&server, "/x.tar").unwrap_err();
    assert!(e.kind == ErrorKind::Format && e.message.contains("use a pipe: curl"), "{e:?}");
    let e = fetch(&server, "/packed").unwrap_err();
    assert!(
        e.kind == ErrorKind::Format && e.message.contains("sent it compressed (br), which is not supported"),
        "{e:?}"
    );
    assert_eq!(fetch(&server, "/empty").unwrap_err().kind, ErrorKind::Format);
}

#[test]
fn redirects_end_somewhere() {
    let server = Server::start(|path, _| match path.trim_matches('/') {
        "loop" => redirect("/loop"),
        "file" => redirect("file:///etc/passwd"),
        "data" => redirect("data:image/png;base64,iVBORw0KGgo="),
        "none" => redirect("http:///x"),
        "0" => Answer::Body(picture()),
        n => redirect(format!("/{}", n.parse::<u32>().unwrap() - 1)),
    });
    assert_eq!(fetch(&server, "/10"), Ok(picture()));
    for path in ["/11", "/loop", "/none"] {
        let e = fetch(&server, path).unwrap_err();
        assert!(e.kind == ErrorKind::Network && e.message.contains("which cannot be followed"), "{path}: {e:?}");
    }
    assert_eq!(server.asked("/loop"), 11);
    for scheme in ["file", "data"] {
        let e = fetch(&server, &format!("/{scheme}")).unwrap_err();
        let said = format!("redirects to a {scheme}: address; only http and https are followed");
        assert!(e.kind == ErrorKind::Refused && e.message.contains(&said), "{e:?}");
    }
}

#[test]
fn a_stranger_cannot_send_us_home() {
    // The proxy makes this server every address there is; 192.0.2.1 is nobody's, and public to all appearance.
    let private =
        ["127.0.0.1", "localhost", "169.254.169.254", "[::1]", "10.0.0.1", "2130706433", "[::ffff:127.0.0.1]"];
    let server = Server::start(move |path, _| match path {
        "/secret.png" => Answer::Body(picture()),
        "/further" => redirect("http://198.51.100.7/secret.png"),
        "/away" => redirect("http://192.0.2.1/2"),
        path => redirect(format!("http://{}/secret.png", private[path[1..].parse::<usize>().unwrap()])),
    });
    let (proxy, targets) = proxy(server.address);
    let fetch = |url: String, private_redirects: bool| {
        let mut settings = ImageSettings { private_redirects, ..settings() };
        settings.http.proxies = Proxies { http: Some(proxy.clone()), ..Proxies::default() };
        Images::new(settings).fetch(&url)
    };
    for (n, place) in private.iter().enumerate() {
        let e = fetch(format!("http://192.0.2.1/{n}"), false).unwrap_err();
        assert!(e.kind == ErrorKind::Refused && e.message.contains("is a private address"), "{place}: {e:?}");
        assert_eq!(server.asked("/secret.png"), 0, "{place}");
    }
    assert!(targets.lock().unwrap().iter().all(|target| target == "192.0.2.1:80"));
    assert_eq!(fetch("http://192.0.2.1/further".to_owned(), false), Ok(picture()));
    assert_eq!(fetch("http://192.0.2.1/0".to_owned(), true), Ok(picture()));
    assert_eq!(fetch("http://10.0.0.2/0".to_owned(), false), Ok(picture()), "private to private");
    let before = server.asked("/secret.png");
    let e = fetch("http://10.0.0.2/away".to_owned(), false).unwrap_err();
    assert!(e.kind == ErrorKind::Refused && e.message.contains("169.254.169.254, which is a private"), "{e:?}");
    assert_eq!((server.asked("/2"), server.asked("/secret.png")), (2, before), "private, public, private");
    // The command: the same, by the flag.
    let command = |flags: &[&str]| {
        let output = run(classify(&["http://192.0.2.1/0"]).args(flags).env("http_proxy", &proxy));
        lines(&output)[0].clone()
    };
    assert_eq!(command(&[])["error"]["kind"], "refused");
    assert!(command(&["--allow-private-redirects"])["predictions"].is_array());
}

#[test]
fn offline_asks_nobody() {
    let server = Server::start(|_, _| Answer::Body(picture()));
    let url = server.url("/x.png");
    for command in [classify(&[&url, "--offline"]), {
        let mut command = classify(&[&url]);
        command.env("HF_HUB_OFFLINE", "1");
        command
    }] {
        let mut command = command;
        let output = run(&mut command);
        assert_eq!((output.status.code(), &lines(&output)[0]["error"]["kind"]), (Some(1), &"refused".into()));
    }
    assert_eq!(server.connections.load(Ordering::SeqCst), 0);
}

#[test]
fn connections_are_shared_and_kept() {
    let server = Server::start(|_, _| Answer::Body(picture()));
    let images = Images::new(settings());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..25).for_each(|_| assert_eq!(images.fetch(&server.url("/x")), Ok(picture()))));
        }
    });
    assert_eq!(server.asked("/x"), 100);
    assert!(server.connections.load(Ordering::SeqCst) <= 4, "{:?}", server.connections);
}

#[test]
fn nothing_but_the_urls_own_password_is_sent() {
    let server = Server::start(|path, _| if path == "/gone" { status(404) } else { Answer::Body(picture()) });
    let with = |user: &str, path: &str| format!("http://{user}{}{path}", server.address);
    let output = run(classify(&[&with("me:pw@", "/a"), &with("", "/b")]).env("HF_TOKEN", "hf_secret"));
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    for head in server.seen.lock().unwrap().iter() {
        let head = head.to_lowercase();
        assert_eq!(head.contains("authorization: basic bwu6chc="), head.starts_with("get /a"), "{head}");
        assert!(!head.contains("secret") && !head.contains("cookie"), "{head}");
    }
    let e = Images::new(settings()).fetch(&with("me:pw@", "/gone")).unwrap_err();
    assert!(!e.message.contains("pw"), "{e}");
}

#[test]
fn data_uris_are_images() {
    let base64 = base64::engine::general_purpose::STANDARD.encode(picture());
    let escaped: String = picture().iter().map(|byte| format!("%{byte:02x}")).collect();
    let hash: String =
        ring::digest::digest(&ring::digest::SHA256, &picture()).as_ref().iter().map(|b| format!("{b:02x}")).collect();
    let mut child = classify(&["--files-from", "-"]);
    let mut child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let blanks = " ".repeat(3 << 20); // a line of megabytes
    let list = format!(
        "data:image/png;base64,{base64}\ndata:image/png;base64,{blanks}{base64}\ndata:,{escaped}\n\
         data:image/png;base64,@@@\n{}\n",
        image("wide.png")
    );
    let writer = std::thread::spawn(move || stdin.write_all(list.as_bytes()).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    let records = lines(&output);
    assert_eq!((output.status.code(), records.len()), (Some(1), 5));
    for (record, media_type) in records.iter().zip(["image/png", "image/png", "text/plain"]) {
        assert_eq!(record["image"], format!("data:{media_type};sha256={hash}"));
        assert_eq!(record["predictions"], records[4]["predictions"]);
    }
    let message = records[3]["error"]["message"].as_str().unwrap();
    assert!(message.starts_with("data:image/png;sha256=") && message.contains("base64"), "{message}");
}

/// The requests' values of a header, in the order of the requests; empty where there is none.
fn sent(server: &Server, header: &str) -> Vec<String> {
    let value = |head: &String| {
        let mut lines = head.lines().filter_map(|line| line.split_once(": "));
        let line = lines.find(|(name, _)| name.eq_ignore_ascii_case(header));
        line.map_or_else(String::new, |(_, value)| value.to_owned())
    };
    server.seen.lock().unwrap().iter().map(value).collect()
}

#[test]
fn credentials_are_decoded_and_stay_with_their_origin() {
    let elsewhere = Server::start(|_, _| Answer::Body(picture()));
    let there = elsewhere.url("/x");
    let server = Server::start(move |path, _| match path {
        "/away" => redirect(&there),
        "/near" => redirect("x"),
        _ => Answer::Body(picture()),
    });
    let own = server.url("/x");
    let back = Server::start(move |_, _| redirect(&own));
    let images = Images::new(settings());
    let get = |address, path: &str| images.fetch(&format!("http://user:p%40s%C3%BC@{address}{path}")).unwrap();
    get(server.address, "/near");
    get(server.address, "/away");
    let basic = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode("user:p@s\u{fc}"));
    assert_eq!(sent(&server, "authorization"), [&basic[..]; 3], "/near, /x, /away");
    assert_eq!(sent(&elsewhere, "authorization"), [""]);
    get(back.address, "/back");
    assert_eq!(sent(&back, "authorization"), [&basic[..]]);
    assert_eq!(sent(&server, "authorization").last().unwrap(), "");
    // A URL that a server makes up carries no credentials of its own.
    let to = server.url("/x").replace("//", "//me:pw@");
    let made_up = Server::start(move |_, _| redirect(&to));
    images.fetch(&made_up.url("/")).unwrap();
    assert_eq!(sent(&server, "authorization").last().unwrap(), "");
}

#[test]
fn passwords_stay_out_of_messages() {
    let server = Server::start(|_, _| status(404));
    let url = |user: &str| format!("http://{user}@{}/x", server.address);
    for (user, shown) in
        [("me:sec%40ret", "me:***"), ("secret", "***"), ("me:sec/ret", "me:***"), ("a:b@secret", "a:***")]
    {
        let output = run(classify(&[&url(user), "-v"]).env_remove("ZSIC_CACHE_DIR").arg("--no-cache"));
        let record = &lines(&output)[0];
        assert_eq!((output.status.code(), record["image"].as_str().unwrap()), (Some(1), &url(user)[..]));
        let message = record["error"]["message"].as_str().unwrap();
        assert!(message.starts_with(&format!("http://{shown}@{}/x: ", server.address)), "{message}");
        assert!(!err(&output).contains("ret"), "{}", err(&output));
        let table = run(classify(&[&url(user), "--no-cache", "--format", "table"]).env("NO_COLOR", "1"));
        assert!(!out(&table).contains("ret"), "{}", out(&table));
    }
    // In what the parser says, too.
    let output = run(zsic(&["cache", "info"]).arg(url("me:secret")));
    assert!(output.status.code() == Some(2) && err(&output).contains("me:***@"), "{}", err(&output));
}

#[test]
fn hosts_in_any_script_are_found() {
    let server =
        Server::start(|_, n| if n == 0 { redirect("//b\u{fc}cher.example/y") } else { Answer::Body(picture()) });
    let (proxy, targets) = proxy(server.address);
    let mut settings = settings();
    settings.http.proxies = Proxies { http: Some(proxy), ..Proxies::default() };
    Images::new(settings).fetch("http://M\u{dc}NCHEN.example/x").unwrap();
    let targets = targets.lock().unwrap();
    assert_eq!(targets[..2], ["xn--mnchen-3ya.example:80", "xn--bcher-kva.example:80"]);
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
fn cookies_live_as_long_as_one_fetch() {
    let server = Server::start(|path, n| match (path, n % 2) {
        ("/cookie", 0) => Answer::Status(
            302,
            vec![
                ("Location", "/cookie".to_owned()),
                ("Set-Cookie", format!("seen={n}; Path=/")),
                ("Set-Cookie", "b=2".to_owned()),
            ],
            "",
        ),
        _ => Answer::Body(picture()),
    });
    let images = Images::new(settings());
    for _ in 0..2 {
        assert_eq!(images.fetch(&server.url("/cookie")), Ok(picture()));
    }
    images.fetch(&server.url("/other")).unwrap();
    assert_eq!(sent(&server, "cookie"), ["", "seen=0; b=2", "", "seen=2; b=2", ""]);
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

#[test]
fn servers_are_told_who_asks() {
    let server = Server::start(|path, _| if path == "/no" { status(403) } else { Answer::Body(picture()) });
    fetch(&server, "/a").unwrap();
    let agent = "shop-photos/1.0 (me@example.com)";
    let output = run(&mut classify(&[&server.url("/b"), "--user-agent", agent]));
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    assert_eq!(sent(&server, "user-agent"), [concat!("zsic/", env!("CARGO_PKG_VERSION")), agent]);
    // Who was refused is told about it, once.
    let message = |args: &[&str]| {
        let output = run(classify(&[&server.url("/no")]).args(args));
        lines(&output)[0]["error"]["message"].as_str().unwrap().to_owned()
    };
    assert!(message(&[]).contains("status 403; ") && message(&[]).contains("--user-agent"), "{}", message(&[]));
    assert!(message(&["--user-agent", agent]).ends_with("status 403"), "{}", message(&["--user-agent", agent]));
    for wrong in ["", " ", "a\nb", "caf\u{e9}"] {
        let output = run(&mut classify(&[&server.url("/b"), "--user-agent", wrong]));
        assert!(output.status.code() == Some(2) && err(&output).contains("printable ASCII"), "{}", err(&output));
    }
}
