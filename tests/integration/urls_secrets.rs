//! Images by URL: what servers and messages are told, and what not.

use crate::common::by_url::{classify, fetch, picture, redirect, sent, settings, status};
use crate::common::command::{err, lines, out, run, zsic};
use crate::image_server::{Answer, Server};
use base64::Engine;
use zsic::net::Images;

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
