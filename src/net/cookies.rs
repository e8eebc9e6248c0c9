//! Cookies that servers set between one redirect and the next. They live for one image's fetch.
//! ureq's own cookies would bring `time`, `url` and a list of public suffixes.

use std::time::SystemTime;

use httpdate::parse_http_date;
use ureq::http::{HeaderMap, Uri};

/// Cookies, each with the places it may go to.
#[derive(Debug, Default)]
pub(super) struct Cookies(Vec<Cookie>);

#[derive(Debug)]
struct Cookie {
    name: String,
    value: String,
    /// The host it may go to, in lower case.
    domain: String,
    /// Whether it may also go to hosts below that one.
    with_subdomains: bool,
    path: String,
    /// Whether it needs TLS.
    is_secure: bool,
}

impl Cookies {
    /// Keeps the cookies that an answer from `url` sets, and drops those that it expires.
    pub fn keep(&mut self, url: &Uri, headers: &HeaderMap) {
        for line in headers.get_all("set-cookie").iter().filter_map(|line| line.to_str().ok()) {
            let Some((cookie, is_gone)) = read(line, url) else { continue };
            self.0.retain(|old| (&old.name, &old.domain, &old.path) != (&cookie.name, &cookie.domain, &cookie.path));
            if !is_gone {
                self.0.push(cookie);
            }
        }
    }

    /// Returns the `Cookie` header of a request for `url`, if any. Longer paths come first.
    pub fn header(&self, url: &Uri) -> Option<String> {
        let mut some: Vec<&Cookie> = self.0.iter().filter(|cookie| cookie.goes_to(url)).collect();
        some.sort_by_key(|cookie| std::cmp::Reverse(cookie.path.len()));
        let pairs: Vec<String> = some.iter().map(|cookie| format!("{}={}", cookie.name, cookie.value)).collect();
        (!pairs.is_empty()).then(|| pairs.join("; "))
    }
}

impl Cookie {
    fn goes_to(&self, url: &Uri) -> bool {
        let (host, path) = (host(url), url.path());
        let is_below = self.with_subdomains && is_below(&host, &self.domain);
        let rest = path.strip_prefix(&self.path);
        let is_inside = rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || self.path.ends_with('/'));
        (host == self.domain || is_below) && is_inside && (!self.is_secure || url.scheme_str() == Some("https"))
    }
}

/// Reads one `Set-Cookie` line: the cookie, and whether it is expired. Returns None if it has no name, or is meant for
/// other hosts than the one that sets it.
fn read(line: &str, url: &Uri) -> Option<(Cookie, bool)> {
    let mut parts = line.split(';').map(str::trim);
    let (name, value) = parts.next()?.split_once('=')?;
    let folder = url.path().rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut cookie = Cookie {
        name: name.trim().to_owned(),
        value: value.trim().to_owned(),
        domain: host(url),
        with_subdomains: false,
        path: if folder.is_empty() { "/".to_owned() } else { folder.to_owned() },
        is_secure: false,
    };
    let (mut is_over, mut is_past) = (None, false);
    for part in parts {
        let (key, value) = part.split_once('=').map_or((part, ""), |(key, value)| (key.trim(), value.trim()));
        match key.to_ascii_lowercase().as_str() {
            "domain" if !value.is_empty() => {
                let domain = value.trim_start_matches('.').to_ascii_lowercase();
                if domain != cookie.domain && !is_below(&cookie.domain, &domain) {
                    return None;
                }
                (cookie.domain, cookie.with_subdomains) = (domain, true);
            }
            "path" if value.starts_with('/') => cookie.path = value.to_owned(),
            "secure" => cookie.is_secure = true,
            "max-age" => is_over = value.parse().ok().map(|age: i64| age <= 0),
            "expires" => is_past = date(value).is_some_and(|date| date <= SystemTime::now()),
            _ => {}
        }
    }
    (!cookie.name.is_empty()).then_some((cookie, is_over.unwrap_or(is_past)))
}

/// Reads a date as HTTP writes it, or with hyphens as the first cookies did.
fn date(text: &str) -> Option<SystemTime> {
    parse_http_date(text).or_else(|_| parse_http_date(&text.replace('-', " "))).ok()
}

fn host(url: &Uri) -> String {
    url.host().unwrap_or_default().to_ascii_lowercase()
}

/// Returns whether a host is below a domain that has a dot. An address is below none.
fn is_below(host: &str, domain: &str) -> bool {
    let is_address = host.starts_with('[') || host.ends_with(|c: char| c.is_ascii_digit());
    let above = host.strip_suffix(domain);
    domain.contains('.') && !is_address && above.is_some_and(|above| above.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the header for `to` after an answer from `from` that set `lines`.
    fn sent(from: &str, lines: &[&str], to: &str) -> Option<String> {
        let (mut cookies, mut headers) = (Cookies::default(), HeaderMap::new());
        lines.iter().for_each(|line| _ = headers.append("set-cookie", line.parse().unwrap()));
        cookies.keep(&from.parse().unwrap(), &headers);
        cookies.header(&to.parse().unwrap())
    }

    #[test]
    fn cookies_go_where_they_were_set_for() {
        let from = "http://a.example.com/x/y";
        for (line, to, goes) in [
            ("a=1", "http://a.example.com/x/z", true),
            ("a=1", "http://A.example.com/x", true),
            ("a=1", "http://a.example.com/", false), // the path is /x
            ("a=1", "http://a.example.com/xy", false),
            ("a=1; Path=/", "http://a.example.com/", true),
            ("a=1; Path=/", "http://b.example.com/", false),
            ("a=1; Path=/", "http://example.com/", false),
            ("a=1; path=/; domain=.example.com", "http://b.example.com/", true),
            ("a=1; Path=/; Domain=example.com", "http://example.com/", true),
            ("a=1; Path=/; Domain=example.com", "http://badexample.com/", false),
            ("a=1; Path=/; Domain=com", "http://a.example.com/", false),
            ("a=1; Path=/; Domain=other.com", "http://other.com/", false),
            ("a=1; Path=/; Secure", "http://a.example.com/", false),
            ("a=1; Path=/; Secure", "https://a.example.com/", true),
            ("a=1; Path=/; Max-Age=0", "http://a.example.com/", false),
            ("a=1; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "http://a.example.com/", false),
            ("a=1; Path=/; Expires=Wed, 21 Oct 2015 07:28:00 GMT", "http://a.example.com/", false),
            ("a=1; Path=/; Expires=Wed, 21-Oct-2015 07:28:00 GMT", "http://a.example.com/", false),
            ("a=1; Path=/; Expires=Wednesday, 21-Oct-15 07:28:00 GMT", "http://a.example.com/", false),
            ("a=1; Path=/; Expires=Fri, 31 Dec 9999 23:19:70 GMT", "http://a.example.com/", true), // no date
            ("a=1; Path=/; Expires=Fri, 31 Dec 9999 23:59:59 GMT", "http://a.example.com/", true),
            ("a=1; Path=/; Expires=Fri, 31 Dec 9999 23:59:59 GMT; Max-Age=0", "http://a.example.com/", false),
            ("a=1; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=60", "http://a.example.com/", true),
            ("=1; Path=/", "http://a.example.com/", false),
            ("a", "http://a.example.com/x", false),
        ] {
            assert_eq!(sent(from, &[line], to), goes.then(|| "a=1".to_owned()), "{line}: {to}");
        }
        assert_eq!(sent("http://127.0.0.1/", &["a=1; Domain=0.0.1"], "http://127.0.0.1/"), None);
    }

    #[test]
    fn the_last_of_a_name_counts_and_longer_paths_go_first() {
        let lines = ["a=1; Path=/", "b=2; Path=/x", "a=3; Path=/"];
        assert_eq!(sent("http://h/x/", &lines, "http://h/x/y").as_deref(), Some("b=2; a=3"));
        assert_eq!(sent("http://h/", &["a=1", "a=; Max-Age=0"], "http://h/"), None);
    }
}
