//! URLs: where they lead, what messages may show of them, and which share an origin. The `url` crate is not used: it
//! rewrites paths that servers signed, it cannot show text that is not a URL, and ureq takes another type.

use std::borrow::Cow;

use idna::AsciiDenyList;
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use ureq::http::Uri;

/// Characters that a URL must escape, though people write them.
const ESCAPED: AsciiSet =
    CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>').add(b'\\').add(b'^').add(b'`').add(b'{').add(b'|').add(b'}');

/// Parses an `http` or `https` URL.
pub(super) fn parse(url: &str) -> Option<Uri> {
    split(url).filter(|uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some())
}

/// Converts a URL, or a reference to one, from what people write to what can be requested: the host in ASCII, and other
/// characters escaped.
pub(super) fn written(url: &str) -> String {
    let url = url.split('#').next().unwrap_or_default();
    let start = if url.starts_with("//") { Some(2) } else { scheme_of(url).map(|scheme| scheme.len() + 3) };
    let start = start.filter(|&start| url.get(..start).is_some_and(|begin| begin.ends_with("//")));
    let escaped = |text: &str| utf8_percent_encode(text, &ESCAPED).to_string();
    let Some((before, rest)) = start.map(|start| url.split_at(start)) else { return escaped(url) };
    let (place, path) = rest.split_at(rest.find(['/', '?', '\\']).unwrap_or(rest.len()));
    let (user, place) = place.split_at(place.rfind('@').map_or(0, |at| at + 1));
    let (host, port) = place.split_at(place.rfind(':').unwrap_or(place.len()));
    format!("{before}{}{}{port}{}", escaped(user), ascii(host), escaped(path))
}

/// Returns a host name in any script as its ASCII form.
fn ascii(host: &str) -> Cow<'_, str> {
    let name = percent_decode_str(host).decode_utf8_lossy();
    if name.is_ascii() && !host.contains('%') {
        return Cow::Borrowed(host);
    }
    let name = idna::domain_to_ascii_cow(name.as_bytes(), AsciiDenyList::URL).map(Cow::into_owned);
    name.map_or_else(|_| utf8_percent_encode(host, &ESCAPED).to_string().into(), Cow::Owned)
}

/// Returns the user name and password in a URL as Basic authentication writes them: decoded, with a colon.
pub(super) fn credentials(url: &Uri) -> Option<Vec<u8>> {
    let (user, _) = url.authority()?.as_str().rsplit_once('@').filter(|(user, _)| !user.is_empty())?;
    let (name, password) = user.split_once(':').unwrap_or((user, ""));
    Some(percent_decode_str(name).chain(percent_decode_str(":")).chain(percent_decode_str(password)).collect())
}

/// Returns a URL without user name and password.
pub(super) fn without_credentials(url: &Uri) -> String {
    let scheme = url.scheme_str().unwrap_or_default();
    format!("{scheme}://{}{}", host(url), url.path_and_query().map_or("/", |path| path.as_str()))
}

/// Splits a URL into its parts. Returns None if the port is not a number: it is then half of a password with a slash.
fn split(url: &str) -> Option<Uri> {
    let uri = url.parse::<Uri>().ok()?;
    let place = uri.authority().map_or("", |authority| authority.as_str()).rsplit('@').next()?;
    (place.trim_end_matches(':') == host(&uri)).then_some(uri)
}

/// Returns the port, explicit or by the scheme.
pub(super) fn port(url: &Uri) -> u16 {
    url.port_u16().unwrap_or(if url.scheme_str() == Some("https") { 443 } else { 80 })
}

/// Returns the host and port of a URL, without user name and password.
pub(super) fn host(url: &Uri) -> String {
    let name = url.host().unwrap_or_default();
    url.port_u16().map_or_else(|| name.to_owned(), |port| format!("{name}:{port}"))
}

/// Returns whether two URLs share scheme, host and port, and so may share credentials.
pub(super) fn same_origin(a: &Uri, b: &Uri) -> bool {
    let host = |uri: &Uri| uri.host().map(str::to_ascii_lowercase);
    (a.scheme_str(), host(a), port(a)) == (b.scheme_str(), host(b), port(b))
}

/// Returns the scheme that a reference begins with, if any.
pub(super) fn scheme_of(to: &str) -> Option<&str> {
    let (scheme, _) = to.split_once(':')?;
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    is_scheme.then_some(scheme)
}

/// Returns where a `Location` leads from `base`.
pub(super) fn join(base: &Uri, to: &str) -> Option<Uri> {
    let (scheme, authority) = (base.scheme_str()?, base.authority()?);
    let to = to.split('#').next()?;
    if scheme_of(to).is_some() {
        return parse(to);
    }
    if let Some(rest) = to.strip_prefix("//") {
        return parse(&format!("{scheme}://{rest}"));
    }
    let path = match to.strip_prefix('/') {
        Some(rest) => rest.to_owned(),
        None if to.starts_with('?') => format!("{}{to}", base.path().trim_start_matches('/')),
        None => match base.path().rsplit_once('/')?.0.trim_start_matches('/') {
            "" => to.to_owned(),
            folder => format!("{folder}/{to}"),
        },
    };
    parse(&format!("{scheme}://{authority}/{path}"))
}

/// Returns a URL, or a failed attempt at one, for a message: without user name and password, and without its query,
/// which may be a signature and as secret as a password.
pub(super) fn shown(url: &str) -> String {
    let text = match split(url) {
        Some(uri) => {
            let scheme = uri.scheme_str().map(|scheme| format!("{scheme}://")).unwrap_or_default();
            let path = Some(uri.path()).filter(|path| *path != "/" || url.ends_with('/')).unwrap_or_default();
            format!("{scheme}{}{path}", host(&uri))
        }
        None => bare(url),
    };
    text.chars().take(200).collect()
}

/// Returns text that is not a URL for a message. Everything before the last `@` may be a password, even with slashes
/// and question marks in it.
fn bare(text: &str) -> String {
    let end = scheme_of(text).map(str::len).filter(|&end| text[end..].starts_with("://"));
    let scheme = end.map_or("", |end| &text[..end + 3]);
    let rest = text[scheme.len()..].rsplit('@').next().unwrap_or_default();
    format!("{scheme}{}", rest.split(['?', '#']).next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_are_joined_as_browsers_do() {
        let base: Uri = "https://hub.example:8443/a/b/resolve/x?y".parse().unwrap();
        let joined = |to| join(&base, to).map(|uri| uri.to_string());
        assert_eq!(joined("/c?d=1#e").unwrap(), "https://hub.example:8443/c?d=1");
        assert_eq!(joined("z").unwrap(), "https://hub.example:8443/a/b/resolve/z");
        assert_eq!(joined("?z").unwrap(), "https://hub.example:8443/a/b/resolve/x?z");
        let root = "http://h/moved".parse().unwrap();
        assert_eq!(join(&root, "z?q").unwrap().to_string(), "http://h/z?q");
        assert_eq!(joined("//cdn.example/f").unwrap(), "https://cdn.example/f");
        assert_eq!(joined("http://cdn.example/f").unwrap(), "http://cdn.example/f");
        for other in ["file:///etc/passwd", "data:image/png;base64,AAAA", "mailto:me@h"] {
            assert_eq!(joined(other), None);
        }
        assert_eq!(joined("/i?src=http://x").unwrap(), "https://hub.example:8443/i?src=http://x");
        assert_eq!(joined("i?src=http://x").unwrap(), "https://hub.example:8443/a/b/resolve/i?src=http://x");
        assert_eq!(joined("?u=http://x").unwrap(), "https://hub.example:8443/a/b/resolve/x?u=http://x");
        assert_eq!(joined("z:1/y:2").map(|_| ()), None, "z: is a scheme");
        assert_eq!(joined("./z:1").unwrap(), "https://hub.example:8443/a/b/resolve/./z:1");
        assert_eq!(
            (scheme_of("a/b:c"), scheme_of("?a:b"), scheme_of("1:2"), scheme_of("Data:,x")),
            (None, None, None, Some("Data"))
        );
    }

    #[test]
    fn urls_are_taken_as_people_write_them() {
        for (url, asked) in [
            ("http://h/a b.jpg?x={1}#part", "http://h/a%20b.jpg?x=%7B1%7D"),
            ("http://h/\u{fc}.jpg", "http://h/%C3%BC.jpg"),
            ("http://h/%C3%BC.jpg", "http://h/%C3%BC.jpg"),
            ("http://h/x?u=http://\u{fc}@\u{fc}", "http://h/x?u=http://%C3%BC@%C3%BC"),
            ("http://m\u{fc}nchen.example:8080/\u{fc}", "http://xn--mnchen-3ya.example:8080/%C3%BC"),
            ("http://M\u{dc}NCHEN.example", "http://xn--mnchen-3ya.example"),
            ("http://m%C3%BCnchen.example/", "http://xn--mnchen-3ya.example/"),
            ("https://\u{4f8b}\u{3048}.\u{30c6}\u{30b9}\u{30c8}?q", "https://xn--r8jz45g.xn--zckzah?q"),
            ("http://u\u{fc}:p|w@fa\u{df}.de/x", "http://u%C3%BC:p%7Cw@xn--fa-hia.de/x"),
            ("//\u{fc}.de/x y", "//xn--tda.de/x%20y"),
            ("http://\u{ff11}27.0.0.1/", "http://127.0.0.1/"),
            ("http://[::1]:8/x", "http://[::1]:8/x"),
            ("/\u{fc}//\u{fc}", "/%C3%BC//%C3%BC"),
            ("mailto:\u{fc}", "mailto:%C3%BC"),
        ] {
            assert_eq!(written(url), asked);
        }
        assert_eq!(parse(&written("HTTP://h")).unwrap().to_string(), "http://h/");
        // An escaped slash or @ does not change the host.
        for url in [
            "http://",
            "http:///x",
            "http://a.example\u{ff0f}@b",
            "http://a\u{ff20}b/",
            "http://a%2fb/",
            "http://\u{fffd}/",
        ] {
            let host = parse(&written(url)).map(|uri| host(&uri));
            assert!(host.is_none() || url.ends_with("@b"), "{url}: {host:?}");
        }
    }

    #[test]
    fn credentials_are_decoded() {
        for (url, sent) in [
            ("http://user:p%40ss@h/", Some("user:p@ss")),
            ("http://u%3Aser:p%3a%25@h", Some("u:ser:p:%")),
            ("http://me@h", Some("me:")),
            ("http://:pw@h", Some(":pw")),
            ("http://%C3%BC:p%zz@h", Some("\u{fc}:p%zz")),
            ("http://a:b@c:d@h", Some("a:b@c:d")),
            ("http://@h", None),
            ("http://h/a@b", None),
        ] {
            let url: Uri = url.parse().unwrap();
            assert_eq!(credentials(&url).map(|sent| String::from_utf8(sent).unwrap()).as_deref(), sent, "{url}");
        }
        let url = "http://me:pw@h:8/x?y=1".parse().unwrap();
        assert_eq!(without_credentials(&url), "http://h:8/x?y=1");
    }

    #[test]
    fn another_port_or_scheme_is_another_origin() {
        let uri = |text: &str| text.parse::<Uri>().unwrap();
        assert!(same_origin(&uri("https://a/x"), &uri("https://A:443/y")));
        for other in ["http://a/x", "https://a:444/x", "https://a.b/x"] {
            assert!(!same_origin(&uri("https://a/x"), &uri(other)), "{other}");
        }
    }

    #[test]
    fn messages_hold_no_secrets() {
        let url: Uri = "https://me:secret@hub.example/x?signature=secret".parse().unwrap();
        assert_eq!(host(&url), "hub.example");
        for (url, safe) in [
            ("https://cdn/x?signature=secret", "https://cdn/x"),
            ("http://me:secret@hub:8080", "http://hub:8080"),
            ("http://me:s@cret@hub/a@b", "http://hub/a@b"),
            ("gopher://me:secret@h/x?secret", "gopher://h/x"),
            ("me:secret@127.0.0.1:2", "127.0.0.1:2"),
            ("/x?signature=secret", "/x"),
            ("http://me:se/cret@hub/x", "http://hub/x"),
            ("http://me:se cr?et@hub/x?y", "http://hub/x"),
            ("not a URL", "not a URL"),
            ("a b?signature=secret&to=http://x", "a b"),
        ] {
            assert_eq!(shown(url), safe, "{url}");
        }
    }
}
