//! Who is asked and what is sent to whom: tokens, proxies, nobody there; and that no password is shown.

use std::io::Read;
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::fake_hub::world::{WEIGHTS, World, files};
use crate::fake_hub::{FakeHub, Fault, NAME};
use zsic::net::hub::{HubError, HubSettings, Token, fetch};
use zsic::net::{HttpError, Patience, Proxies};

#[test]
fn a_token_stays_with_the_hub() {
    let world = World::new(50_000);
    let cdn = FakeHub::start(files(50_000));
    world.hub.require("hf_secret");
    world.hub.fail(WEIGHTS, 1, Fault::Redirect(format!("{}/cdn/{WEIGHTS}?signature=x", cdn.url())));
    world.hub.fail("tokenizer.json", 1, Fault::Redirect("/cdn/tokenizer.json".to_owned()));
    let token = Token::new("hf_secret\n", "the test").unwrap();
    assert!(!format!("{token:?}").contains("secret"));
    let settings = HubSettings { token: Some(token), ..world.settings() };
    fetch(NAME, "main", &settings).unwrap();
    let bearer = Some("Bearer hf_secret".to_owned());
    assert!(world.hub.seen().iter().all(|seen| seen.authorization == bearer));
    assert!(world.hub.seen().iter().any(|seen| seen.path == "/cdn/tokenizer.json"));
    assert_eq!(cdn.seen().len(), 1);
    assert_eq!(cdn.seen()[0].authorization, None);
    world.assert_nothing_wrong();
}

#[test]
fn a_wrong_token_is_told_and_never_shown() {
    let world = World::new(50_000);
    world.hub.require("hf_secret");
    assert!(world.error().contains("private and needs a token"));
    let token = Token::new("hf_wrong", "HF_TOKEN").unwrap();
    let e = fetch(NAME, "main", &HubSettings { token: Some(token), ..world.settings() }).unwrap_err();
    assert!(e.to_string().contains("the token from HF_TOKEN is not accepted"), "{e}");
    assert!(!format!("{e} {e:?}").contains("hf_wrong"));
    for no_token in ["", "two words", "line\nline", "ü"] {
        let e = Token::new(no_token, "a file").unwrap_err().to_string();
        assert!(e.contains("the token from a file is not a token"), "{e}");
    }
}

#[test]
fn nobody_there_is_told_apart_from_nobody_answering() {
    let world = World::new(6000);
    let at = |endpoint: String| {
        let mut settings = HubSettings { endpoint, ..world.settings() };
        settings.http.patience.answer = Duration::from_millis(500);
        fetch(NAME, "main", &settings).unwrap_err()
    };
    let silent = TcpListener::bind("127.0.0.1:0").unwrap(); // connects, and nobody accepts
    let e = at(format!("http://{}", silent.local_addr().unwrap()));
    assert!(e.to_string().contains("does not answer: nothing came within 0.5 s") && e.is_no_network(), "{e}");
    let gone = silent.local_addr().unwrap();
    drop(silent);
    let e = at(format!("http://{gone}"));
    assert!(e.to_string().contains("cannot connect to 127.0.0.1") && e.is_no_network(), "{e}");
    let e = at("http://no-such-host.invalid".to_owned());
    assert!(e.to_string().contains("no-such-host.invalid cannot be found") && e.is_no_network(), "{e}");
    let e = at(format!("https://{}", world.hub.address)); // speaks no TLS
    assert!(e.to_string().contains("no secure connection to 127.0.0.1"), "{e}");
    assert!(at("nonsense".to_owned()).to_string().contains("is not a URL"));
    // What users get: within ten seconds.
    let Patience { connect, answer, .. } = Patience::default();
    assert!(connect < Duration::from_secs(10) && answer < Duration::from_secs(10));
}

/// A proxy that answers CONNECT with `status` and then passes bytes through.
fn proxy(status: &'static str) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, seen) =
        (format!("http://me:secret@{}", listener.local_addr().unwrap()), Arc::new(Mutex::new(vec![])));
    let lines = Arc::clone(&seen);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let lines = Arc::clone(&lines);
            std::thread::spawn(move || {
                let mut head = Vec::new();
                let mut byte = [0];
                while !head.ends_with(b"\r\n\r\n") && stream.read_exact(&mut byte).is_ok() {
                    head.push(byte[0]);
                }
                let head = String::from_utf8(head).unwrap();
                let target = head.split(' ').nth(1).unwrap().to_owned();
                lines.lock().unwrap().push(head);
                std::io::Write::write_all(&mut stream, format!("HTTP/1.1 {status}\r\n\r\n").as_bytes()).unwrap();
                if !status.starts_with("200") {
                    return;
                }
                let mut server = std::net::TcpStream::connect(target).unwrap();
                let (mut up, mut down) = (server.try_clone().unwrap(), stream.try_clone().unwrap());
                std::thread::spawn(move || std::io::copy(&mut stream, &mut up));
                let _ = std::io::copy(&mut server, &mut down);
                let _ = down.shutdown(std::net::Shutdown::Both);
            });
        }
    });
    (address, seen)
}

#[test]
fn proxies_are_used_where_they_are_meant_to_be() {
    let with = |world: &World, address: &str, exempt: &str| {
        let mut settings = world.settings();
        settings.http.proxies =
            Proxies { http: Some(address.to_owned()), exempt: exempt.to_owned(), ..Proxies::default() };
        fetch(NAME, "main", &settings)
    };
    let (address, seen) = proxy("200 OK");
    let world = World::new(6000);
    with(&world, &address, "example.com").unwrap();
    assert!(seen.lock().unwrap().iter().all(|head| head.to_lowercase().contains("proxy-authorization: basic")));
    assert!(!seen.lock().unwrap().is_empty());
    let (address, seen) = proxy("200 OK");
    let world = World::new(6000);
    with(&world, &address, "localhost,127.0.0.1").unwrap();
    assert!(seen.lock().unwrap().is_empty());
    let (address, _) = proxy("407 Proxy Authentication Required");
    let e = with(&World::new(6000), &address, "").unwrap_err().to_string();
    assert!(e.contains("the proxy 127.0.0.1:") && !e.contains("secret"), "{e}");
    let e = with(&World::new(6000), "http://127.0.0.1:9", "").unwrap_err().to_string();
    assert!(e.contains("the proxy 127.0.0.1:9 failed"), "{e}");
}

#[test]
fn proxies_need_no_scheme_and_may_not_be_socks() {
    let with = |world: &World, address: &str| {
        let mut settings = world.settings();
        settings.http.proxies.http = Some(address.to_owned());
        fetch(NAME, "main", &settings)
    };
    let (address, seen) = proxy("200 OK");
    with(&World::new(6000), address.strip_prefix("http://").unwrap()).unwrap();
    assert!(!seen.lock().unwrap().is_empty());
    let world = World::new(6000);
    let e = with(&world, "u:PSECRET@127.0.0.1:2").unwrap_err().to_string();
    assert!(e.contains("the proxy 127.0.0.1:2 failed") && !e.contains("SECRET"), "{e}");
    for scheme in ["socks", "socks4", "socks4a", "socks5", "socks5h", "SOCKS5"] {
        let e = with(&world, &format!("{scheme}://u:PSECRET@127.0.0.1:2")).unwrap_err();
        let said = "the proxy is SOCKS, which is not supported; give an http:// proxy";
        assert!(matches!(&e, HubError::Http(HttpError::Settings(text)) if text == said), "{e:?}");
    }
    for odd in ["ftp://u:PSECRET@h", "http://u:PSECRET@", "u:PSE CRET@h"] {
        let e = with(&world, odd).unwrap_err().to_string();
        assert!(e.contains("the proxy's setting is not a URL") && !e.contains("CRET"), "{e}");
    }
    assert!(world.hub.seen().is_empty());
}

#[test]
fn passwords_in_urls_are_never_shown() {
    let gated = Fault::Status(403, vec![("X-Error-Code", "GatedRepo".to_owned())], "");
    let faults = [
        (Fault::Status(404, vec![], ""), "has no such repository"),
        (gated, "/org/clip"),
        (Fault::Redirect("gopher://me:SECRET@h/x?SECRET".to_owned()), "redirects to a gopher: address"),
        (Fault::Redirect("http://me:SECRET@h:x/x?SECRET".to_owned()), "\"http://h:x/x\""),
        (Fault::Status(503, vec![], ""), "status 503"),
        (Fault::Raw("nonsense\r\n\r\n"), "did not answer properly"),
    ];
    for (fault, said) in faults {
        let world = World::new(6000);
        world.hub.fail("main", 9, fault);
        let endpoint = format!("http://me:SECRET@{}", world.hub.address);
        let e = fetch(NAME, "main", &HubSettings { endpoint, ..world.settings() }).unwrap_err();
        assert!(e.to_string().contains(said) && !format!("{e} {e:?}").contains("SECRET"), "{e:?}");
    }
    let world = World::new(6000);
    for endpoint in ["ftp://me:SECRET@h", "http://me:SE CRET@h", "http://me:SE/CRET@h", "me:SECRET@h"] {
        let settings = HubSettings { endpoint: endpoint.to_owned(), ..world.settings() };
        let e = fetch(NAME, "main", &settings).unwrap_err();
        assert!(e.to_string().contains("is not a URL") && !format!("{e} {e:?}").contains("CRET"), "{e:?}");
    }
}
