//! Images by URL: where redirects may lead, and the cookies on the way.

use crate::common::by_url::{classify, fetch, picture, redirect, sent, settings};
use crate::common::command::{lines, run};
use crate::image_server::{Answer, Server, proxy};
use zsic::net::{ImageSettings, Images, Proxies};
use zsic::source::ErrorKind;

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
