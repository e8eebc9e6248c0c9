//! Follows redirects. private_addresses.rs decides which addresses one may lead to.

use ureq::Body;
use ureq::http::{HeaderMap, Response, Uri};

use super::address::{host, join, scheme_of, shown, written};
use super::error::HttpError;

/// The most redirects that are followed.
const MAX_REDIRECTS: usize = 10;

/// Sends a request by `ask` to `home`, and then to where each answer redirects. Returns the last answer and its URL:
/// the first answer that does not redirect, or whose redirect `goes_on` declines. `goes_on` gets the answer's URL, the
/// next URL, and the answer's headers.
pub(super) fn follow(
    home: &Uri,
    mut ask: impl FnMut(&Uri) -> Result<Response<Body>, HttpError>,
    mut goes_on: impl FnMut(&Uri, &Uri, &HeaderMap) -> bool,
) -> Result<(Uri, Response<Body>), HttpError> {
    let mut at = home.clone();
    for _ in 0..=MAX_REDIRECTS {
        let response = ask(&at)?;
        let is_moved = matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308);
        let Some(to) = response.headers().get("location").filter(|_| is_moved) else { return Ok((at, response)) };
        let next = target(&at, &written(&String::from_utf8_lossy(to.as_bytes())))?;
        if !goes_on(&at, &next, response.headers()) {
            return Ok((at, response));
        }
        at = next;
    }
    Err(redirect(&at, &at.to_string()))
}

/// Returns where a `Location` leads.
fn target(from: &Uri, to: &str) -> Result<Uri, HttpError> {
    join(from, to).ok_or_else(|| match scheme_of(to).map(str::to_ascii_lowercase) {
        Some(scheme) if scheme != "http" && scheme != "https" => HttpError::Scheme { host: host(from), scheme },
        _ => redirect(from, to),
    })
}

fn redirect(from: &Uri, to: &str) -> HttpError {
    HttpError::Redirect { host: host(from), to: shown(to) }
}
