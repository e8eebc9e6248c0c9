//! Images by URL and by `data:` URI: what comes, what does not, how long it is waited for, and where redirects may lead.

mod common;
mod image_server;

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use base64::Engine;
use common::command::{err, image, lines, model, run, zsic};
use image_server::{Answer, Server, proxy};
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
        ("http://", "is no URL"),
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
        "/packed" => Answer::Status(200, vec![("Content-Encoding", "gzip".to_owned())], "\x1f\x0b not what it was"),
        _ => Answer::Body(vec![]),
    });
    let e = fetch(&server, "/page").unwrap_err();
    assert!(
        e.kind == ErrorKind::Format && e.message.starts_with("text/html; charset=utf-8 came: not an image"),
        "{e:?}"
    );
    let e = fetch(&server, "/x.tar").unwrap_err();
    assert!(e.kind == ErrorKind::Format && e.message.contains("pipe it: curl"), "{e:?}");
    let e = fetch(&server, "/packed").unwrap_err();
    assert!(e.kind == ErrorKind::Format && e.message.contains("sent it compressed (gzip), though"), "{e:?}");
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
        let said = format!("redirects to a {scheme}: address, and only http and https are followed");
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
