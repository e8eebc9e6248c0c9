//! HTTP requests with bounds on every wait, redirects that keep credentials home, proxies and a custom CA. What is
//! asked of whom, and what an answer means, is the caller's; so are retries.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ureq::http::{HeaderMap, Response, Uri};
use ureq::tls::{PemItem, RootCerts, TlsConfig};
use ureq::unversioned::resolver::DefaultResolver;
use ureq::{Agent, Body, Proxy, Timeout};

use super::address::{credentials, host, join, parse, same_origin, shown, without_credentials};
use super::error::HttpError;
use super::meter::{Counting, Endless, Meter};
use super::proxies::{self, Proxies};
use super::reach::{OutOfReach, Reach, Within, is_private_host};
use super::settings::{HttpSettings, Patience, USER_AGENT};

/// Redirects that are followed before giving up.
pub(super) const MAX_REDIRECTS: usize = 10;
/// Bytes read from a socket at once; larger than ureq's own, since bodies are gigabytes.
const READ_BUFFER: usize = 256 << 10;
/// Connections kept for the next request: as many as threads may ask at once.
const MAX_IDLE: usize = 32;

/// A request: GET or HEAD.
pub(super) struct Request<'a> {
    pub url: &'a str,
    pub head: bool,
    /// Sent as `Authorization: Bearer` to the first host only.
    pub bearer: Option<&'a str>,
    /// Ask for the rest from this byte on.
    pub from: u64,
    /// Where false, a redirect to another host is the answer.
    pub leave: bool,
    /// How long the whole answer may take, its body included.
    pub within: Option<Duration>,
}

/// An answer, whatever its status.
pub(super) struct Reply {
    /// Every answer on the first host before this one; redirects carry what the hub knows about a file.
    pub on_the_way: Vec<HeaderMap>,
    /// Who answered.
    pub host: String,
    /// Whether that is the host that was asked at first.
    pub at_home: bool,
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Body,
}

impl Reply {
    /// A header as text, from this answer or, failing that, one on the way.
    pub fn header(&self, name: &str) -> Option<&str> {
        let all = self.on_the_way.iter().chain(self.at_home.then_some(&self.headers));
        all.filter_map(|headers| headers.get(name)).find_map(|value| value.to_str().ok())
    }

    /// A header of this very answer.
    pub fn own_header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// Sends requests. Making one starts no TLS and opens no socket, but reads the CA file.
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

    /// A client that connects to addresses within `reach` only, and else says [`HttpError::Private`]. A proxy may be
    /// anywhere, and what names mean to it is its own affair.
    pub fn within(reach: Reach, settings: &HttpSettings) -> Result<Self, HttpError> {
        let patience = settings.patience.clone();
        let roots = match &settings.ca_file {
            None => RootCerts::WebPki,
            Some(path) => RootCerts::new_with_certs(&certificates(path)?),
        };
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None) // chosen for each URL
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

    /// Whether all that this client connects to may be asked by anybody.
    pub fn is_public_only(&self) -> bool {
        self.reach == Reach::Public
    }

    /// Whether anyone has ever answered: from then on a failure to connect may be a passing one.
    pub fn has_reached_anyone(&self) -> bool {
        self.reached.load(Ordering::Relaxed)
    }

    /// Sends a request and follows redirects.
    pub fn send(&self, request: &Request<'_>) -> Result<Reply, HttpError> {
        let home = parse(request.url).ok_or_else(|| no_url(request.url))?;
        let (mut url, mut on_the_way) = (home.clone(), Vec::new());
        for _ in 0..=MAX_REDIRECTS {
            let at_home = same_origin(&home, &url);
            let (head, body) = self.once(&url, request, &home, None)?.into_parts();
            let status = head.status.as_u16();
            let moved = matches!(status, 301 | 302 | 303 | 307 | 308);
            let to = head.headers.get("location").filter(|_| moved).and_then(|to| to.to_str().ok());
            if let Some(to) = to {
                let next = join(&url, to).ok_or_else(|| redirect(&url, to))?;
                if request.leave || same_origin(&home, &next) {
                    on_the_way.extend(at_home.then_some(head.headers));
                    url = next;
                    continue;
                }
            }
            return Ok(Reply { on_the_way, host: host(&url), at_home, status, headers: head.headers, body });
        }
        Err(redirect(&url, &url.to_string()))
    }

    /// Sends a request to `url`, and follows nothing. Credentials, those in the URL `home` among them, are for the origin
    /// that was asked first only.
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

    /// What an error in the middle of a body means.
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
            (ureq::Error::Io(e), _) if unresolved(&e) => HttpError::Host { host },
            (ureq::Error::Io(source), _) if connecting(&source) => HttpError::Connect { host, source },
            (ureq::Error::Io(e), _) => HttpError::Cut { host, reason: super::reason(&e) },
            (ureq::Error::Rustls(e), _) => tls(lower(&e.to_string())),
            (ureq::Error::Tls(reason), _) => tls(reason.to_owned()),
            (ureq::Error::BadUri(_), _) => no_url(&url.to_string()),
            (other, _) => HttpError::Cut { host, reason: lower(&other.to_string()) },
        }
    }
}

/// A redirect that is not followed.
pub(super) fn redirect(from: &Uri, to: &str) -> HttpError {
    HttpError::Redirect { host: host(from), to: shown(to) }
}

pub(super) fn no_url(text: &str) -> HttpError {
    HttpError::Settings(format!("{:?} is no URL", shown(text)))
}

/// What is wrong with an answer that would be no better at the next try.
fn malformed(e: &ureq::Error) -> Option<String> {
    match e {
        ureq::Error::BodyExceedsLimit(limit) => Some(format!("more than {limit} bytes came")),
        ureq::Error::Protocol(e) => Some(lower(&e.to_string())),
        ureq::Error::Other(e) if e.is::<Endless>() => Some(e.to_string()),
        ureq::Error::LargeResponseHeader(..) => Some("its headers are too long".to_owned()),
        _ => None,
    }
}

/// Whether the system refused to connect, as opposed to a connection that ended.
fn connecting(e: &io::Error) -> bool {
    use io::ErrorKind::*;
    let network = [ConnectionRefused, HostUnreachable, NetworkUnreachable, NetworkDown, AddrNotAvailable];
    network.contains(&e.kind()) || matches!(e.kind(), PermissionDenied) || unresolved(e)
}

/// The resolver's failures have no kind of their own.
fn unresolved(e: &io::Error) -> bool {
    e.to_string().contains("failed to lookup address")
}

/// rustls reports through the stream it wraps.
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

/// A foreign message in this crate's manner.
pub(super) fn lower(text: &str) -> String {
    let text = text.strip_prefix("io: ").unwrap_or(text).trim_end_matches('.').replace('\n', " ");
    let mut letters = text.chars();
    let first = letters.next().map(|first| {
        if letters.clone().next().is_some_and(char::is_uppercase) { first } else { first.to_ascii_lowercase() }
    });
    first.into_iter().chain(letters).collect()
}
