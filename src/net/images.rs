//! Fetches images by `http` and `https` URL, by any number of threads over shared connections. A request is a bare GET:
//! it has no token except a user and password in the URL itself, and no cookies except those set during the redirects.

use std::cell::Cell;
use std::io;
use std::sync::OnceLock;
use std::thread::sleep;
use std::time::{Duration, Instant};

use ureq::Body;
use ureq::http::{HeaderMap, Uri};

use super::address::{host, parse, written};
use super::cookies::Cookies;
use super::encoding::{is_damage, is_read, named, unpacked};
use super::http::{Client, Request, no_url};
use super::private_addresses::Reach;
use super::redirects::follow;
use super::space::AwaitedRoom;
use super::{HttpError, HttpSettings, Patience, reason};
use crate::source::{Bytes, ErrorKind, ImageError, MemoryBudget, too_many_bytes};

/// How images are fetched.
#[derive(Debug, Clone)]
pub struct ImageSettings {
    /// Proxies, certificates, and time limits.
    pub http: HttpSettings,
    /// Whether the network is off.
    pub offline: bool,
    /// Whether to follow redirects from public to private addresses.
    pub private_redirects: bool,
    /// The time limit for one image: redirects, retries and its last byte.
    pub whole: Duration,
    /// The most bytes of one image.
    pub max_bytes: u64,
}

impl Default for ImageSettings {
    fn default() -> Self {
        let patience = Patience {
            answer: Duration::from_secs(15),
            attempts: 3,
            pause: Duration::from_millis(300),
            longest_pause: Duration::from_secs(5),
            ..Patience::default()
        };
        Self {
            http: HttpSettings { patience, ..HttpSettings::default() },
            offline: false,
            private_redirects: false,
            whole: Duration::from_secs(120),
            max_bytes: 256 << 20,
        }
    }
}

/// Fetches images. Creating one opens no socket and reads no file.
pub struct Images {
    settings: ImageSettings,
    clients: OnceLock<Result<Clients, String>>,
}

/// The clients connect to different sets of addresses, and keep separate connections.
struct Clients {
    any: Client,
    public: Client,
    private: Client,
}

/// Whether to try again.
enum Again {
    Never,
    Soon,
    /// Not before this time, as the server asked.
    After(Duration),
}

struct FailedAttempt {
    error: ImageError,
    again: Again,
}

/// An answer after redirects.
struct FinalAnswer<'c> {
    client: &'c Client,
    host: String,
    status: u16,
    headers: HeaderMap,
    body: Body,
}

impl Images {
    /// Creates a fetcher with these settings.
    pub fn new(settings: ImageSettings) -> Self {
        Self { settings, clients: OnceLock::new() }
    }

    /// Returns the bytes of the image at `url`. Waits as long as the settings allow, including the pauses that busy
    /// servers ask for.
    ///
    /// # Errors
    /// [`ImageError`] of kind `refused` if the settings forbid it, `timeout`, `not_found`, `permission`, `network`,
    /// `too_large`, or `format` if the bytes do not begin like an image. Messages do not name the URL.
    pub fn fetch(&self, url: &str) -> Result<Vec<u8>, ImageError> {
        self.fetch_within(url, &MemoryBudget::default()).map(Bytes::into_vec)
    }

    /// Does the same once there is room for the bytes. Waiting for room does not count towards the time limit, and no
    /// connection is open meanwhile.
    ///
    /// # Errors
    /// The errors of [`Self::fetch`], and `memory` if the image never fits.
    pub fn fetch_within(&self, url: &str, room: &MemoryBudget) -> Result<Bytes, ImageError> {
        if self.settings.offline {
            return Err(ImageError::new(ErrorKind::Refused, "is a URL, and the network is off (--offline)"));
        }
        let patience = &self.settings.http.patience;
        let mut deadline = Instant::now() + self.settings.whole;
        let mut room = AwaitedRoom::new(room);
        let mut tries = 1;
        loop {
            let FailedAttempt { error, again } = match self.attempt(url, deadline, &mut room) {
                Ok(bytes) => return Ok(bytes),
                Err(failure) => failure,
            };
            if room.waits()? {
                deadline = Instant::now() + self.settings.whole;
                continue;
            }
            let pause = match again {
                Again::Never => return Err(error),
                Again::Soon => patience.pause * 2u32.saturating_pow(tries - 1),
                Again::After(asked) => asked,
            };
            if tries >= patience.attempts || pause > patience.longest_pause || Instant::now() + pause >= deadline {
                return Err(error);
            }
            tries += 1;
            sleep(pause);
        }
    }

    fn attempt(&self, url: &str, deadline: Instant, room: &mut AwaitedRoom) -> Result<Bytes, FailedAttempt> {
        let FinalAnswer { client, host, status, headers, body } =
            self.follow(url, deadline).map_err(|e| self.failure(e, deadline))?;
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        if !(200..=299).contains(&status) {
            let asked = header("retry-after").and_then(|asked| asked.trim().parse().ok()).map(Duration::from_secs);
            return Err(self.refusal(status, &host, asked));
        }
        let length: Option<u64> = header("content-length").and_then(|length| length.parse().ok());
        let cap = self.settings.max_bytes;
        if length.is_some_and(|length| length > cap) {
            return Err(FailedAttempt { error: too_many_bytes(cap), again: Again::Never });
        }
        let again = Cell::new(Again::Never);
        let failed = |e: io::Error| {
            if is_damage(&e) {
                let packed = named(&headers).unwrap_or_default();
                let reason = format!("{host} sent it compressed ({packed}), and it cannot be unpacked: {}", reason(&e));
                return ImageError::new(ErrorKind::Decode, reason);
            }
            let failure = self.failure(client.cut(e, &host), deadline);
            again.set(failure.again);
            failure.error
        };
        let length = length.filter(|_| named(&headers).is_none()); // a packed body grows
        let body = body.into_with_config().limit(cap.saturating_add(1)).reader();
        let bytes = unpacked(&headers, body).map_err(failed);
        let bytes = bytes.and_then(|body| room.read(body, length, cap, failed));
        let explained = |e: ImageError| if e.kind == ErrorKind::Format { no_image(e, url, &host, &headers) } else { e };
        bytes.map_err(|e| FailedAttempt { error: explained(e), again: again.into_inner() })
    }

    /// Sends the request and follows redirects. A URL that the user named may be private, and so may its redirects;
    /// after the first public address, no redirect leads to a private one.
    fn follow(&self, url: &str, deadline: Instant) -> Result<FinalAnswer<'_>, HttpError> {
        let Clients { any, public, private } = self.clients()?;
        let home = parse(&written(url)).ok_or_else(|| no_url(url))?;
        let (mut client, mut cookies, mut was_public) = (public, Cookies::default(), false);
        let ask = |at: &Uri| {
            let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
            let request = Request { url, head: false, bearer: None, from: 0, leave: true, within: Some(left) };
            let cookie = cookies.header(at);
            let ask = |client: &Client| client.once(at, &request, &home, cookie.as_deref());
            client = if self.settings.private_redirects { any } else { public };
            let response = match ask(client) {
                Err(HttpError::Private { .. }) if !was_public => {
                    client = private;
                    ask(client)?
                }
                response => response?,
            };
            was_public |= client.is_public_only();
            cookies.keep(at, response.headers());
            Ok(response)
        };
        let (at, response) = follow(&home, ask, |_, _, _| true)?;
        let (head, body) = response.into_parts();
        Ok(FinalAnswer { client, host: host(&at), status: head.status.as_u16(), headers: head.headers, body })
    }

    fn clients(&self) -> Result<&Clients, HttpError> {
        let make = || {
            let http = &self.settings.http;
            let client = |reach| Client::within(reach, http);
            Ok(Clients { any: client(Reach::Any)?, public: client(Reach::Public)?, private: client(Reach::Private)? })
        };
        let clients = self.clients.get_or_init(|| make().map_err(|e: HttpError| e.to_string()));
        clients.as_ref().map_err(|reason| HttpError::Settings(reason.clone()))
    }

    /// Converts a missing answer to the image's error.
    fn failure(&self, e: HttpError, deadline: Instant) -> FailedAttempt {
        let (kind, again) = match e {
            HttpError::Silent { .. } | HttpError::Stalled { .. } => (ErrorKind::Timeout, Again::Never),
            HttpError::Private { .. } | HttpError::Scheme { .. } => (ErrorKind::Refused, Again::Never),
            HttpError::Cut { .. } => (ErrorKind::Network, Again::Soon),
            _ => (ErrorKind::Network, Again::Never),
        };
        let whole = self.settings.whole.as_secs_f32();
        let message = match kind {
            ErrorKind::Timeout if Instant::now() >= deadline => format!("did not arrive within {whole} s"),
            _ => e.to_string(),
        };
        FailedAttempt { error: ImageError::new(kind, message), again }
    }

    /// Returns the meaning of an unsuccessful status.
    fn refusal(&self, status: u16, host: &str, asked: Option<Duration>) -> FailedAttempt {
        let (kind, said) = match status {
            404 | 410 => (ErrorKind::NotFound, "is not there"),
            401 | 403 => (ErrorKind::Permission, "may not be fetched"),
            _ => (ErrorKind::Network, "cannot be fetched"),
        };
        let again = match status {
            429 | 502..=504 => asked.map_or(Again::Soon, Again::After),
            _ => Again::Never,
        };
        let advice = match status {
            403 | 429 if self.settings.http.user_agent.is_none() => {
                "; some servers require a name: give --user-agent 'NAME (contact address)'"
            }
            _ => "",
        };
        FailedAttempt {
            error: ImageError::new(kind, format!("{said}: {host} answered with status {status}{advice}")),
            again,
        }
    }
}

impl std::fmt::Debug for Images {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Images").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// Describes what came instead of an image, as far as the headers or the URL show.
fn no_image(e: ImageError, url: &str, host: &str, headers: &HeaderMap) -> ImageError {
    let header = |name: &str| {
        let value = headers.get(name).and_then(|value| value.to_str().ok()).filter(|value| !value.is_empty())?;
        Some(value.chars().take(60).collect::<String>())
    };
    let message = match (named(headers), header("content-type")) {
        (Some(encoding), _) if !is_read(&encoding) => {
            format!("{host} sent it compressed ({encoding}), which is not supported")
        }
        _ if url.ends_with(".tar") => {
            "tar files are not read by URL; use a pipe: curl -s URL | zsic classify - ...".to_owned()
        }
        (_, Some(kind)) if !kind.starts_with("image/") => format!("the server sent {kind}: {}", e.message),
        _ => return e,
    };
    ImageError { message, ..e }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offline_asks_nobody() {
        let images = Images::new(ImageSettings { offline: true, ..ImageSettings::default() });
        let e = images.fetch("http://127.0.0.1:1/x.jpg").unwrap_err();
        assert!(e.kind == ErrorKind::Refused && images.clients.get().is_none(), "{e}");
    }
}
