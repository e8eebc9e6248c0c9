//! Images by URL and by `data:` URI: what comes, what does not, and how long it is waited for.

use std::io::Write;
use std::process::Stdio;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::common::by_url::{classify, fetch, picture, redirect, settings, status};
use crate::common::command::{err, image, lines, run};
use crate::image_server::{Answer, Server, proxy};
use base64::Engine;
use zsic::net::{ImageSettings, Images, Proxies};
use zsic::source::ErrorKind;

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
        ("/slow", "did not arrive within 1.5 s"),
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
