//! Chooses the proxy of a request.

use ureq::http::Uri;

use super::address::{parse, port};
use super::error::HttpError;

/// Proxies by the scheme of the requested URL.
#[derive(Clone, Default)]
pub struct Proxies {
    /// For `https` URLs.
    pub https: Option<String>,
    /// For `http` URLs.
    pub http: Option<String>,
    /// Hosts reached without a proxy, separated by commas: `example.com` includes its subdomains, `*` is all.
    pub exempt: String,
}

impl std::fmt::Debug for Proxies {
    /// Leaves out the URLs, which may hold passwords.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let set = (self.https.is_some(), self.http.is_some());
        f.debug_struct("Proxies").field("set", &set).field("exempt", &self.exempt).finish()
    }
}

impl Proxies {
    /// Returns the proxy for `url`, if any.
    pub(super) fn of(&self, url: &Uri) -> Result<Option<Uri>, HttpError> {
        let proxy = if url.scheme_str() == Some("https") { &self.https } else { &self.http };
        let proxy = proxy.as_deref().filter(|_| !self.exempts(url.host().unwrap_or_default(), port(url)));
        proxy.map(address).transpose()
    }

    /// Returns whether a host is exempt, as curl reads NO_PROXY: names with or without a leading dot include
    /// subdomains, and may have a port.
    fn exempts(&self, host: &str, port: u16) -> bool {
        let host = host.trim_matches(['[', ']']).to_ascii_lowercase();
        self.exempt.split(',').map(str::trim).filter(|entry| !entry.is_empty()).any(|entry| {
            if entry == "*" {
                return true;
            }
            let (name, wanted) = match entry.rsplit_once(':') {
                Some((name, number)) if !name.contains(':') && number.parse::<u16>().is_ok() => {
                    (name, number.parse().ok())
                }
                _ => (entry, None),
            };
            let name =
                name.trim_start_matches('*').trim_start_matches('.').trim_matches(['[', ']']).to_ascii_lowercase();
            let inside = host.strip_suffix(&name).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
            !name.is_empty() && inside && wanted.is_none_or(|wanted: u16| wanted == port)
        })
    }
}

/// Parses a proxy's address. Like curl's settings it needs no scheme, and is then http.
fn address(proxy: &str) -> Result<Uri, HttpError> {
    let proxy = proxy.trim();
    match proxy.split_once("://") {
        Some((scheme, _)) if scheme.to_ascii_lowercase().starts_with("socks") => {
            let reason = "the proxy is SOCKS, which is not supported; give an http:// proxy";
            Err(HttpError::Settings(reason.to_owned()))
        }
        Some(_) => parse(proxy).ok_or_else(unusable),
        None => parse(&format!("http://{proxy}")).ok_or_else(unusable),
    }
}

/// Returns the error for an unusable setting. It may hold a password, so the error does not repeat it.
pub(super) fn unusable() -> HttpError {
    HttpError::Settings("the proxy's setting is not a URL; use a form like http://host:port".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_proxy_is_read_as_curl_reads_it() {
        let exempts =
            |exempt: &str, host: &str| Proxies { exempt: exempt.to_owned(), ..Proxies::default() }.exempts(host, 443);
        for exempt in ["hub.example", ".example", "x, example", "*", "*.example", "example:443", "HUB.example"] {
            assert!(exempts(exempt, "hub.example"), "{exempt}");
        }
        for exempt in ["", "ample", "example:80", "other", "sub.hub.example"] {
            assert!(!exempts(exempt, "hub.example"), "{exempt}");
        }
        assert!(exempts("127.0.0.1,::1", "127.0.0.1") && exempts("127.0.0.1,::1", "[::1]"));
    }

    #[test]
    fn passwords_are_not_shown() {
        let proxies = Proxies { https: Some("http://me:secret@p".to_owned()), ..Proxies::default() };
        assert!(!format!("{proxies:?}").contains("secret"));
    }
}
