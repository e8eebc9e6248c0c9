//! Checkpoints by name, for every command: what flags and the environment say about the hub, and what a user can do
//! about its errors.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use serde_json::{Map, Value};
use zsic::checkpoint::file_names::{CONFIG, NESTED_PROCESSOR, PROCESSOR, TOKENIZER_SETTINGS};
use zsic::checkpoint::{Layout, identity, parse_json};
use zsic::model::family::Family;
use zsic::net::hub::{self, EarlyFiles, HubError, HubSettings, Snapshot, Token};
use zsic::net::{HttpError, HttpSettings, Patience, Proxies};

use super::args::{Common, DEFAULT_MODEL, Hub};
use super::expand::expand;
use super::fetching::{Fetching, size};
use super::{known, offline};

const PLACE: &str = "--hub-cache DIR or HF_HUB_CACHE names another place";

/// Finds the checkpoint `name` in the cache, or fetches it. `refresh` asks for the newest commit of the revision.
///
/// # Errors
/// Why the checkpoint is not available, and what to do about it.
pub fn fetch(name: &str, args: &Hub, refresh: bool, common: &Common) -> Result<Snapshot> {
    let (token, unreadable) = match token() {
        Ok(token) => (token, None),
        Err(e) if refresh => return Err(e),
        Err(e) => (None, Some(e)), // files in the cache need no token
    };
    let settings = HubSettings {
        endpoint: endpoint(),
        token,
        offline: is_offline(args) || unreadable.is_some(),
        links: !is_true(text("HF_HUB_DISABLE_SYMLINKS")),
        refresh,
        http: http(args),
        layout: args.layout,
        accept,
        progress: Fetching::listener(common),
        ..HubSettings::new(cache(args.hub_cache.as_deref())?)
    };
    let revision = if args.revision.is_empty() { hub::REVISION } else { &args.revision }; // an empty variable
    let result = hub::fetch(name, revision, &settings);
    drop(settings.progress); // takes the bar off the terminal
    result.map_err(|e| unreadable.unwrap_or_else(|| explain(&e, name, revision, &settings.cache)))
}

/// Asks the hub once, for a few seconds at most, and returns how long it took. A refusal in the hub's own words is an
/// answer too.
///
/// # Errors
/// The outer error: if the token cannot be read. The inner one: what the hub or the network said.
pub fn ask(args: &Hub) -> Result<Result<Duration, HubError>> {
    const WAIT: Duration = Duration::from_secs(3);
    let patience = Patience { connect: WAIT, answer: WAIT, stall: WAIT, attempts: 1, ..Patience::default() };
    let http = HttpSettings { patience, ..http(args) };
    let settings = HubSettings { endpoint: endpoint(), token: token()?, http, ..HubSettings::new("") }; // no cache is used
    let start = Instant::now();
    Ok(match hub::ask(DEFAULT_MODEL, hub::REVISION, &settings) {
        Ok(()) | Err(HubError::NoRepo { .. } | HubError::Gated { .. }) => Ok(start.elapsed()),
        Err(e) => Err(e),
    })
}

/// Returns the hub, or the mirror that the environment names.
pub fn endpoint() -> String {
    text("HF_ENDPOINT").map_or_else(|| hub::ENDPOINT.to_owned(), |url| url.trim_end_matches('/').to_owned())
}

/// Checks, before weights are fetched, that a checkpoint's model, tokenizer and image processor can be run. Returns its layout.
fn accept(early: &EarlyFiles) -> Result<Layout, String> {
    let layout = early.layout();
    let json = |name: &str| match early.files.get(name) {
        None => Ok(Value::Object(Map::new())),
        Some(json) => parse_json(json).map_err(|e| format!("its {name} is damaged: {e}")),
    };
    let config = layout.config(|name| early.files.contains_key(name));
    let family = Family::read(&json(config)?, layout, &early.name).map_err(|e| format!("its {config}: {e}"))?;
    let keys = |name: &str| match json(name)? {
        Value::Object(keys) => Ok(keys),
        _ => Err(format!("its {name} is damaged: it is not an object")),
    };
    zsic::text::accept(&keys(TOKENIZER_SETTINGS)?, &keys(CONFIG)?, family.tokenizer_plan())?;
    let nested = keys(NESTED_PROCESSOR)?.remove("image_processor").filter(|settings| !settings.is_null());
    let (file, settings) = match nested {
        Some(settings) => (NESTED_PROCESSOR, Some(settings)),
        None => (PROCESSOR, early.files.contains_key(PROCESSOR).then(|| json(PROCESSOR)).transpose()?),
    };
    settings.map_or(Ok(()), |settings| family.accept_processor(settings)).map_err(|e| format!("its {file}: {e}"))?;
    Ok(layout)
}

/// Returns how requests leave this machine, from flags and the environment.
pub fn http(args: &Hub) -> HttpSettings {
    let user_agent = args.user_agent.clone();
    HttpSettings { proxies: proxies(), ca_file: path("SSL_CERT_FILE"), user_agent, ..HttpSettings::default() }
}

/// Returns the proxies that the environment names.
fn proxies() -> Proxies {
    Proxies {
        https: either("HTTPS_PROXY").or_else(|| either("ALL_PROXY")),
        http: either("HTTP_PROXY").or_else(|| either("ALL_PROXY")),
        exempt: either("NO_PROXY").unwrap_or_default(),
    }
}

/// Returns whether the network is off.
pub fn is_offline(args: &Hub) -> bool {
    args.offline || is_true(text("HF_HUB_OFFLINE").or_else(|| text("TRANSFORMERS_OFFLINE")))
}

/// Returns whether a variable switches something on, by Python's words for it.
fn is_true(said: Option<String>) -> bool {
    said.is_some_and(|said| ["1", "ON", "YES", "TRUE"].contains(&said.to_ascii_uppercase().as_str()))
}

/// Returns the cache, where Python's huggingface_hub looks for it.
///
/// # Errors
/// If neither a setting nor a home directory says where it is.
pub fn cache(flag: Option<&Path>) -> Result<PathBuf> {
    let said = flag.map(Path::to_path_buf).or_else(|| path("HF_HUB_CACHE")).or_else(|| path("HUGGINGFACE_HUB_CACHE"));
    match said.or_else(|| home().map(|home| home.join("hub"))) {
        Some(cache) => Ok(cache),
        None => bail!("no place for checkpoints: HOME is not set; give --hub-cache DIR"),
    }
}

/// Returns the folder of everything that Python keeps for the hub: its cache and the login.
fn home() -> Option<PathBuf> {
    let in_cache = || path("XDG_CACHE_HOME").or_else(|| env::home_dir().map(|home| home.join(".cache")));
    path("HF_HOME").or_else(|| in_cache().map(|cache| cache.join("huggingface")))
}

/// Returns the token: HF_TOKEN, else the file that logging in leaves.
fn token() -> Result<Option<Token>> {
    if let Some(token) = text("HF_TOKEN") {
        return Ok(Some(Token::new(&on_one_line(&token), "HF_TOKEN")?));
    }
    let Some(path) = path("HF_TOKEN_PATH").or_else(|| home().map(|home| home.join("token"))) else { return Ok(None) };
    match fs::read_to_string(&path) {
        Ok(token) if token.trim().is_empty() => Ok(None),
        Ok(token) => Ok(Some(Token::new(&on_one_line(&token), path.display().to_string())?)),
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(e) => Err(e).with_context(|| format!("{}: the token cannot be read", path.display())),
    }
}

/// Joins a token on one line as Python does, since an editor may have broken it.
fn on_one_line(token: &str) -> String {
    token.replace(['\r', '\n'], "")
}

/// Returns a variable that is set and not empty.
fn set(name: &str) -> Option<OsString> {
    env::var_os(name).filter(|value| !value.is_empty())
}

fn text(name: &str) -> Option<String> {
    set(name).map(|value| value.to_string_lossy().trim().to_owned()).filter(|value| !value.is_empty())
}

/// Returns a variable that some write in capitals and others in lower case.
fn either(name: &str) -> Option<String> {
    text(&name.to_lowercase()).or_else(|| text(name))
}

/// Returns a variable that is a path, expanded.
fn path(name: &str) -> Option<PathBuf> {
    Some(expand(&set(name)?, |name| env::var_os(name)))
}

/// Converts an error of the hub, and says what the user can do about it.
pub fn explain(e: &HubError, name: &str, revision: &str, cache: &Path) -> anyhow::Error {
    let advice = match e {
        HubError::Http(HttpError::Proxy { .. }) => "check HTTPS_PROXY and NO_PROXY".to_owned(),
        HubError::Http(HttpError::Settings(_)) => match hub::check_endpoint(&endpoint()) {
            Err(e) => return anyhow!("HF_ENDPOINT: {e}; use one such as {}", hub::ENDPOINT),
            Ok(()) => return anyhow!("{e}"),
        },
        HubError::Http(HttpError::Tls { .. }) => "SSL_CERT_FILE names certificates to trust instead".to_owned(),
        HubError::Offline { .. } => elsewhere(name, revision, cache),
        e if e.is_no_network() => elsewhere(name, revision, cache),
        HubError::NoRepo { .. } => {
            let nearest = known::nearest(name);
            if nearest.is_empty() { return anyhow!("{e}") } else { format!("did you mean {}?", nearest.join(" or ")) }
        }
        HubError::Unfit { .. } => match known::nearest(name).first() {
            Some(nearest) => format!("the nearest one that runs is {nearest}"),
            None => format!("one that runs is {DEFAULT_MODEL}"),
        },
        HubError::Gated { .. } => "set HF_TOKEN, or run `hf auth login`".to_owned(),
        HubError::RateLimit { .. } => "set HF_TOKEN for a higher limit".to_owned(),
        HubError::Permission(_) => PLACE.to_owned(),
        HubError::NoSpace { path, need, free } => {
            let (path, need, free) = (path.display(), size(*need), size(*free));
            return anyhow!("{path}: not enough space: {need} are needed and {free} are free; {PLACE}");
        }
        _ => return anyhow!("{e}"),
    };
    anyhow!("{e}; {advice}")
}

/// Returns advice for a machine without a network.
fn elsewhere(name: &str, revision: &str, cache: &Path) -> String {
    let at = if revision == hub::REVISION { String::new() } else { format!(" --revision {revision}") };
    let demo = offline::without_network();
    let demo =
        demo.map(|command| format!("; to try zsic on drawings without a network: {command}")).unwrap_or_default();
    format!(
        "run `zsic models pull {name}{at}` where there is a network and copy {} into {}, or give --model a local \
         directory{demo}",
        identity::folder(name),
        cache.display()
    )
}
