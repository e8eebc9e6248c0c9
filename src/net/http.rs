//! HTTP requests with limits on every wait, redirects that protect credentials, proxies and a custom CA. Callers choose
//! the requests, judge the answers and retry.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ureq::http::{HeaderMap, Response, Uri};
use ureq::tls::{PemItem, RootCerts, TlsConfig};
use ureq::unversioned::resolver::DefaultResolver;
use ureq::{Agent, Body, Proxy, Timeout};

use super::address::{credentials, host, parse, same_origin, shown, without_credentials};
use super::error::HttpError;
use super::meter::{Counting, Endless, Meter};
use super::private_addresses::{OutOfReach, Reach, Within, is_private_host};
use super::proxies::{self, Proxies};
use super::redirects::follow;
use super::settings::{HttpSettings, Patience, USER_AGENT};
use crate::system::network::is_unresolved;

/// Bytes read from a socket at once. Larger than ureq's default, since bodies take gigabytes.
const READ_BUFFER: usize = 256 << 10;
/// Connections kept for the next request: as many as the threads that may ask at once.
const MAX_IDLE: usize = 32;

/// A request: GET or HEAD.
pub(super) struct Request<'a> {
    pub url: &'a str,
    pub head: bool,
    /// The token, sent as `Authorization: Bearer` to the first host only.
    pub bearer: Option<&'a str>,
    /// The first byte to ask for.
    pub from: u64,
    /// If false, a redirect to another host is returned as the answer.
    pub leave: bool,
    /// The time limit for the whole answer, including its body.
    pub within: Option<Duration>,
}

/// An answer with any status.
pub(super) struct Reply {
    /// The earlier answers of the first host; redirects carry what the hub knows about a file.
    pub on_the_way: Vec<HeaderMap>,
    /// The server.
    pub host: String,
    /// Whether that is the first host.
    pub at_home: bool,
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Body,
}

impl Reply {
    /// Returns a header as text, from this answer or an earlier one.
    pub fn header(&self, name: &str) -> Option<&str> {
        let all = self.on_the_way.iter().chain(self.at_home.then_some(&self.headers));
        all.filter_map(|headers| headers.get(name)).find_map(|value| value.to_str().ok())
    }

    /// Returns a header of this answer alone.
    pub fn own_header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// Sends requests. Creating one reads the CA file, but starts no TLS and opens no socket.
pub(super) struct Client {
    agent: Agent,
    proxies: Proxies,
    patience: Patience,
    reached: AtomicBool,
    reach: Reach,
}

impl Client {
    pub fn new(settings: &HttpSettings) -> Result<Self, HttpError> {
        Self::within(Reach::Any, settings)
    }

    /// Creates a client that connects only to addresses within `reach`, and fails with [`HttpError::Private`] for
    /// others. A proxy may be anywhere, and resolves names itself.
    pub fn within(reach: Reach, settings: &HttpSettings) -> Result<Self, HttpError> {
        let patience = settings.patience.clone();
        let roots = match &settings.ca_file {
            None => RootCerts::WebPki,
            Some(path) => RootCerts::new_with_certs(&certificates(path)?),
        };
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None) // chosen per URL
            .user_agent(settings.user_agent.as_deref().unwrap_or(USER_AGENT))
            .accept_encoding("identity") // a compressed body has other lengths and ranges
            .input_buffer_size(READ_BUFFER)
            .max_idle_connections(MAX_IDLE)
            .max_idle_connections_per_host(MAX_IDLE)
            .timeout_resolve(Some(patience.connect))
            .timeout_connect(Some(patience.connect))
            .timeout_send_request(Some(patience.answer))
            .timeout_recv_response(Some(patience.answer))
            .timeout_per_read(Some(patience.stall))
            .tls_config(TlsConfig::builder().root_certs(roots).build())
            .build();
        let agent = Agent::with_parts(config, Counting::default(), Within(reach, DefaultResolver::default()));
        let (proxies, reached) = (settings.proxies.clone(), AtomicBool::new(false));
        Ok(Self { agent, proxies, patience, reached, reach })
    }

    /// Returns whether this client connects to public addresses only.
    pub fn is_public_only(&self) -> bool {
        self.reach == Reach::Public
    }

    /// Returns whether any server has answered yet. After that, a failure to connect may be temporary.
    pub fn has_reached_anyone(&self) -> bool {
        self.reached.load(Ordering::Relaxed)
    }

    /// Sends a request and follows redirects.
    pub fn send(&self, request: &Request<'_>) -> Result<Reply, HttpError> {
        let home = parse(request.url).ok_or_else(|| no_url(request.url))?;
        let mut on_the_way = Vec::new();
        let (url, response) = follow(
            &home,
            |url| self.once(url, request, &home, None),
            |at, next, headers| {
                let goes_on = request.leave || same_origin(&home, next);
                on_the_way.extend((goes_on && same_origin(&home, at)).then(|| headers.clone()));
                goes_on
            },
        )?;
        let (at_home, (head, body)) = (same_origin(&home, &url), response.into_parts());
        let status = head.status.as_u16();
        Ok(Reply { on_the_way, host: host(&url), at_home, status, headers: head.headers, body })
    }

    /// Sends a request to `url` without following redirects. Credentials, including those in the URL `home`, go only to
    /// the first origin.
    pub fn once(
        &self,
        url: &Uri,
        request: &Request<'_>,
        home: &Uri,
        cookie: Option<&str>,
    ) -> Result<Response<Body>, HttpError> {
        if self.is_public_only() && is_private_host(url.host().unwrap_or_default()) {
            return Err(HttpError::Private { host: host(url) });
        }
        let address = without_credentials(url);
        let proxy = self.proxies.of(url)?;
        let mut builder = if request.head { self.agent.head(&address) } else { self.agent.get(&address) };
        if let Some(proxy) = &proxy {
            let parsed = Proxy::new(&proxy.to_string()).map_err(|_| proxies::unusable())?;
            builder = builder.config().proxy(Some(parsed)).build();
        }
        if request.within.is_some() {
            builder = builder.config().timeout_global(request.within).build();
        }
        let basic = || credentials(home).map(|user| format!("Basic {}", STANDARD.encode(user)));
        let bearer = request.bearer.map(|token| format!("Bearer {token}"));
        if let Some(word) = bearer.or_else(basic).filter(|_| same_origin(home, url)) {
            builder = builder.header("authorization", word);
        }
        if let Some(cookie) = cookie {
            builder = builder.header("cookie", cookie);
        }
        if request.from > 0 {
            builder = builder.header("range", format!("bytes={}-", request.from));
        }
        let mut meter = Meter::new();
        let response = meter.run(|| builder.call()).map_err(|e| self.failure(e, url, proxy.as_ref()))?;
        self.reached.store(true, Ordering::Relaxed);
        Ok(response.map(|body| Body::builder().reader(meter.body(body.into_reader()))))
    }

    /// Converts an error in the middle of a body.
    pub fn cut(&self, e: io::Error, host: &str) -> HttpError {
        let (host, e) = (host.to_owned(), ureq::Error::from(e));
        if let Some(reason) = malformed(&e) {
            return HttpError::Malformed { host, reason };
        }
        match e {
            ureq::Error::Timeout(reason) => HttpError::Stalled { host, waited: self.bound(reason) },
            ureq::Error::Io(e) => HttpError::Cut { host, reason: super::reason(&e) },
            other => HttpError::Cut { host, reason: lower(&other.to_string()) },
        }
    }

    fn bound(&self, reason: Timeout) -> Duration {
        match reason {
            Timeout::Resolve | Timeout::Connect => self.patience.connect,
            Timeout::PerRead | Timeout::PerWrite => self.patience.stall,
            _ => self.patience.answer,
        }
    }

    fn failure(&self, e: ureq::Error, url: &Uri, proxy: Option<&Uri>) -> HttpError {
        let host = host(url);
        if let Some(reason) = malformed(&e) {
            return HttpError::Malformed { host, reason };
        }
        let via = proxy.map(super::address::host);
        let tls = |reason: String| HttpError::Tls { host: host.clone(), reason };
        match (e, via) {
            (ureq::Error::ConnectProxyFailed(reason), Some(proxy)) => {
                HttpError::Proxy { proxy, reason: lower(&reason) }
            }
            (ureq::Error::Io(e), Some(proxy)) if connecting(&e) => {
                HttpError::Proxy { proxy, reason: super::reason(&e) }
            }
            (ureq::Error::Timeout(reason), _) => HttpError::Silent { host, waited: self.bound(reason) },
            (ureq::Error::Other(e), _) if e.is::<OutOfReach>() => HttpError::Private { host },
            (ureq::Error::HostNotFound, _) => HttpError::Host { host },
            (ureq::Error::Io(e), _) if is_tls(&e) => tls(super::reason(&e)),
            (ureq::Error::Io(e), _) if is_unresolved(&e) => HttpError::Host { host },
            (ureq::Error::Io(source), _) if connecting(&source) => HttpError::Connect { host, source },
            (ureq::Error::Io(e), _) => HttpError::Cut { host, reason: super::reason(&e) },
            (ureq::Error::Rustls(e), _) => tls(lower(&e.to_string())),
            (ureq::Error::Tls(reason), _) => tls(reason.to_owned()),
            (ureq::Error::BadUri(_), _) => no_url(&url.to_string()),
            (other, _) => HttpError::Cut { host, reason: lower(&other.to_string()) },
        }
    }
}

pub(super) fn no_url(text: &str) -> HttpError {
    HttpError::Settings(format!("{:?} is not a URL", shown(text)))
}

/// Returns the fault of an answer that would be the same at the next try.
fn malformed(e: &ureq::Error) -> Option<String> {
    match e {
        ureq::Error::BodyExceedsLimit(limit) => Some(format!("more than {limit} bytes came")),
        ureq::Error::Protocol(e) => Some(lower(&e.to_string())),
        ureq::Error::Other(e) if e.is::<Endless>() => Some(e.to_string()),
        ureq::Error::LargeResponseHeader(..) => Some("its headers are too long".to_owned()),
        _ => None,
    }
}

/// Returns whether the system refused to connect, as opposed to a connection that broke.
fn connecting(e: &io::Error) -> bool {
    use io::ErrorKind::*;
    let network = [ConnectionRefused, HostUnreachable, NetworkUnreachable, NetworkDown, AddrNotAvailable];
    network.contains(&e.kind()) || matches!(e.kind(), PermissionDenied) || is_unresolved(e)
}

/// Returns whether TLS failed. rustls reports through the stream that it wraps.
fn is_tls(e: &io::Error) -> bool {
    e.kind() == io::ErrorKind::InvalidData && e.get_ref().is_some()
}

fn certificates(path: &std::path::Path) -> Result<Vec<ureq::tls::Certificate<'static>>, HttpError> {
    let failed = |reason: String| HttpError::Settings(format!("{}: {reason}", path.display()));
    let pem =
        std::fs::read(path).map_err(|e| failed(format!("the certificates cannot be read: {}", super::reason(&e))))?;
    let items = ureq::tls::parse_pem(&pem).filter_map(Result::ok);
    let certificates: Vec<_> =
        items.filter_map(|i| if let PemItem::Certificate(c) = i { Some(c) } else { None }).collect();
    if certificates.is_empty() { Err(failed("holds no certificate in PEM form".to_owned())) } else { Ok(certificates) }
}

/// Returns a foreign message in this crate's style.
pub(super) fn lower(text: &str) -> String {
    let text = text.strip_prefix("io: ").unwrap_or(text).trim_end_matches('.').replace('\n', " ");
    let mut letters = text.chars();
    let first = letters.next().map(|first| {
        if letters.clone().next().is_some_and(char::is_uppercase) { first } else { first.to_ascii_lowercase() }
    });
    first.into_iter().chain(letters).collect()
}
