//! A hub on loopback, with the faults that networks and hubs have. It speaks as much of the interface as a client of
//! checkpoints needs, one request a connection.

pub mod shell;
pub mod world;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use serde_json::json;

/// The only repository.
pub const NAME: &str = "org/clip";
/// Files from this size on are stored as large ones.
const LARGE: usize = 5000;

/// What goes wrong with an answer.
#[derive(Clone)]
pub enum Fault {
    /// The connection ends after so many bytes of the body.
    Cut(usize),
    /// Another status, with headers and a page.
    Status(u16, Vec<(&'static str, String)>, &'static str),
    /// `Content-Length`, and the body, differ by so many bytes.
    Length(i64),
    /// One byte of the body is another, at this place.
    Flip(usize),
    /// So many bytes, then a pause of so many milliseconds, and so on.
    Slow(usize, u64),
    /// After so many bytes nothing more, and the connection stays.
    Stall(usize),
    /// Nothing at all for so many milliseconds.
    Silent(u64),
    /// These bytes in place of an answer.
    Raw(&'static str),
    /// Ranges are ignored.
    NoRange,
    /// Ranges are ignored, and the connection ends after so many bytes of the body.
    NoRangeCut(usize),
    /// Ranges are refused with 416.
    RefuseRange,
    /// Ranges are answered with a part that starts elsewhere.
    WrongRange,
    /// A redirect.
    Redirect(String),
    /// The branch has another commit from the next request on.
    Move,
}

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Seen {
    pub method: String,
    pub path: String,
    pub from: Option<usize>,
    pub authorization: Option<String>,
}

type Files = BTreeMap<String, Vec<u8>>;

struct State {
    commits: Vec<(String, Files)>,
    head: usize,
    faults: Vec<(String, usize, Fault)>,
    seen: Vec<Seen>,
    plain_list: bool,
    token: Option<String>,
    any_name: bool,
}

#[derive(Clone)]
pub struct FakeHub {
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl FakeHub {
    /// Serves `files` as commit `aa..`, branch main; and a changed set as commit `bb..`, where main can move.
    pub fn start(files: Files) -> Self {
        let mut later = files.clone();
        later.values_mut().for_each(|bytes| bytes.push(b'\n'));
        let commits = vec![("a".repeat(40), files), ("b".repeat(40), later)];
        let state = State {
            commits,
            head: 0,
            faults: Vec::new(),
            seen: Vec::new(),
            plain_list: false,
            token: None,
            any_name: false,
        };
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let hub = Self { address: listener.local_addr().unwrap(), state: Arc::new(Mutex::new(state)) };
        let server = hub.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let server = server.clone();
                thread::spawn(move || server.serve(stream));
            }
        });
        hub
    }

    /// Serves a checkpoint of the fixtures.
    pub fn of(dir: &Path) -> Self {
        let file = |entry: fs::DirEntry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap());
        let files = fs::read_dir(dir).unwrap().map(|entry| file(entry.unwrap()));
        Self::start(files.filter(|(name, _)| !name.starts_with("expected")).collect())
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn commit(&self) -> String {
        self.with(|state| state.commits[state.head].0.clone())
    }

    /// The next `times` answers about a path that ends in `file` have this fault.
    pub fn fail(&self, file: &str, times: usize, fault: Fault) {
        self.with(|state| state.faults.push((file.to_owned(), times, fault)));
    }

    pub fn heal(&self) {
        self.with(|state| state.faults.clear());
    }

    /// Lists of files have no sizes and hashes, as on some mirrors.
    pub fn list_names_only(&self) {
        self.with(|state| state.plain_list = true);
    }

    /// Every name is a name of the repository.
    pub fn answer_to_any_name(&self) {
        self.with(|state| state.any_name = true);
    }

    /// The path as it is for [`NAME`].
    fn by_name(&self, path: &str) -> String {
        if !self.with(|state| state.any_name) {
            return path.to_owned();
        }
        let (api, rest) = path.strip_prefix("/api/models/").map_or(("/", &path[1..]), |rest| ("/api/models/", rest));
        match rest.splitn(3, '/').collect::<Vec<_>>()[..] {
            [_, _, rest] if api.len() > 1 || rest.starts_with("resolve/") => format!("{api}{NAME}/{rest}"),
            _ => path.to_owned(),
        }
    }

    /// Only this token opens the repository.
    pub fn require(&self, token: &str) {
        self.with(|state| state.token = Some(format!("Bearer {token}")));
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.with(|state| state.seen.clone())
    }

    /// GETs of a file's contents.
    pub fn gets(&self, file: &str) -> Vec<Seen> {
        self.seen().into_iter().filter(|seen| seen.method == "GET" && seen.path.ends_with(file)).collect()
    }

    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap())
    }

    fn fault(&self, path: &str) -> Option<Fault> {
        self.with(|state| {
            let (_, times, fault) =
                state.faults.iter_mut().find(|(file, times, _)| path.ends_with(&**file) && *times > 0)?;
            *times -= 1;
            Some(fault.clone())
        })
    }

    fn serve(&self, stream: TcpStream) -> Option<()> {
        let mut lines = BufReader::new(stream.try_clone().ok()?).lines();
        let Ok(request) = lines.next()? else {
            let mut stream = stream; // TLS, which is not spoken here
            return stream.write_all(b"HTTP/1.1 400 X\r\n\r\n").ok();
        };
        let mut words = request.split(' ').map(str::to_owned);
        let (method, target) = (words.next()?, words.next()?);
        let (mut from, mut authorization) = (None, None);
        for line in lines {
            let line = line.ok()?;
            match line.split_once(": ") {
                None => break,
                Some((name, value)) if name.eq_ignore_ascii_case("range") => {
                    from = value.strip_prefix("bytes=").and_then(|range| range.trim_end_matches('-').parse().ok());
                }
                Some((name, value)) if name.eq_ignore_ascii_case("authorization") => {
                    authorization = Some(value.to_owned())
                }
                _ => {}
            }
        }
        let path = self.by_name(target.split('?').next()?);
        let seen = Seen { method: method.clone(), path: path.clone(), from, authorization: authorization.clone() };
        self.with(|state| state.seen.push(seen));
        let fault = self.fault(&path);
        if matches!(fault, Some(Fault::Move)) {
            self.with(|state| state.head = 1);
        }
        let head = method == "HEAD";
        self.answer(stream, head, &path, from, authorization, fault)
    }

    fn answer(
        &self,
        mut stream: TcpStream,
        head: bool,
        path: &str,
        from: Option<usize>,
        authorization: Option<String>,
        fault: Option<Fault>,
    ) -> Option<()> {
        let wanted = self.with(|state| state.token.clone());
        match &fault {
            Some(Fault::Raw(bytes)) => return stream.write_all(bytes.as_bytes()).ok(),
            Some(Fault::Silent(pause)) => thread::sleep(Duration::from_millis(*pause)),
            _ => {}
        }
        if let Some(Fault::Status(status, headers, page)) = &fault {
            return reply(&mut stream, *status, headers, page.as_bytes(), &None, head);
        }
        if let Some(Fault::Redirect(to)) = &fault {
            let mut headers = vec![("Location", to.clone())];
            if let Some((_, bytes)) = self.contents(path) {
                headers.push(("X-Linked-Etag", quoted(&bytes)));
                headers.push(("X-Linked-Size", bytes.len().to_string()));
            }
            return reply(&mut stream, 302, &headers, b"", &None, head);
        }
        if wanted.is_some() && wanted != authorization {
            let said = if authorization.is_some() {
                "Invalid credentials in Authorization header"
            } else {
                "Invalid username or password."
            };
            return reply(&mut stream, 401, &[("X-Error-Message", said.to_owned())], b"{}", &None, head);
        }
        if let Some(rest) = path.strip_prefix("/api/models/") {
            let Some(revision) = rest.strip_prefix(NAME).and_then(|rest| rest.strip_prefix("/revision/")) else {
                let headers = [("X-Error-Code", "RepoNotFound".to_owned())];
                return reply(&mut stream, 404, &headers, b"{}", &fault, head);
            };
            return match self.list(&revision.replace("%2F", "/")) {
                Some(list) => reply(&mut stream, 200, &[], list.as_bytes(), &fault, head),
                None => {
                    reply(&mut stream, 404, &[("X-Error-Code", "RevisionNotFound".to_owned())], b"{}", &fault, head)
                }
            };
        }
        let Some((commit, bytes)) = self.contents(path) else {
            return reply(
                &mut stream,
                404,
                &[("X-Error-Code", "EntryNotFound".to_owned())],
                b"no such entry",
                &fault,
                head,
            );
        };
        let mut headers = vec![("ETag", quoted(&bytes)), ("X-Repo-Commit", commit)];
        match from.filter(|_| !matches!(fault, Some(Fault::NoRange | Fault::NoRangeCut(_)))) {
            None => reply(&mut stream, 200, &headers, &bytes, &fault, head),
            Some(from) if from >= bytes.len() || matches!(fault, Some(Fault::RefuseRange)) => {
                reply(&mut stream, 416, &headers, b"", &None, head)
            }
            Some(from) => {
                let from = if matches!(fault, Some(Fault::WrongRange)) { from - 1 } else { from };
                headers.push(("Content-Range", format!("bytes {from}-{}/{}", bytes.len() - 1, bytes.len())));
                reply(&mut stream, 206, &headers, &bytes[from..], &fault, head)
            }
        }
    }

    fn list(&self, revision: &str) -> Option<String> {
        self.with(|state| {
            let main = &state.commits[state.head];
            let (commit, files) = match revision {
                "main" | "refs/pr/1" | "refs/pr/15" => main,
                other => state.commits.iter().find(|(commit, _)| commit == other)?,
            };
            let sibling = |(name, bytes): (&String, &Vec<u8>)| match (state.plain_list, bytes.len() >= LARGE) {
                (true, _) => json!({ "rfilename": name }),
                (_, false) => json!({ "rfilename": name, "size": bytes.len(), "blobId": etag(bytes) }),
                (_, true) => json!({ "rfilename": name, "size": bytes.len(), "blobId": "0".repeat(40),
                    "lfs": { "sha256": etag(bytes), "size": bytes.len(), "pointerSize": 130 } }),
            };
            let siblings: Vec<_> = files.iter().map(sibling).collect();
            Some(json!({ "id": NAME, "sha": commit, "siblings": siblings }).to_string())
        })
    }

    /// `/org/clip/resolve/<commit>/<file>`, and `/cdn/<file>` for where redirects lead.
    fn contents(&self, path: &str) -> Option<(String, Vec<u8>)> {
        self.with(|state| {
            let (commit, file) = match path.strip_prefix("/cdn/") {
                Some(file) => (state.commits[0].0.as_str(), file),
                None => path.strip_prefix(&format!("/{NAME}/resolve/"))?.split_once('/')?,
            };
            let files = &state.commits.iter().find(|(known, _)| known == commit)?.1;
            Some((commit.to_owned(), files.get(file)?.clone()))
        })
    }
}

fn reply(
    stream: &mut TcpStream,
    status: u16,
    headers: &[(&str, String)],
    body: &[u8],
    fault: &Option<Fault>,
    head: bool,
) -> Option<()> {
    let mut body = body.to_vec();
    match fault {
        Some(Fault::Length(more)) => body.resize((body.len() as i64 + more) as usize, b'x'),
        Some(Fault::Flip(at)) if *at < body.len() => body[*at] ^= 1,
        _ => {}
    }
    let mut text = format!("HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
    headers.iter().for_each(|(name, value)| text += &format!("{name}: {value}\r\n"));
    stream.write_all((text + "\r\n").as_bytes()).ok()?;
    if head {
        return Some(());
    }
    match fault {
        Some(Fault::Cut(after) | Fault::NoRangeCut(after)) => stream.write_all(&body[..body.len().min(*after)]).ok(),
        Some(Fault::Stall(after)) => {
            stream.write_all(&body[..body.len().min(*after)]).ok()?;
            thread::sleep(Duration::from_secs(30));
            None
        }
        Some(Fault::Slow(bytes, pause)) => body.chunks(*bytes).try_for_each(|piece| {
            thread::sleep(Duration::from_millis(*pause));
            stream.write_all(piece).ok()
        }),
        _ => stream.write_all(&body).ok(),
    }
}

fn quoted(bytes: &[u8]) -> String {
    format!("\"{}\"", etag(bytes))
}

/// The name of a blob: the SHA-256 of a large file, git's SHA-1 of a small one.
pub fn etag(bytes: &[u8]) -> String {
    let hash = match bytes.len() >= LARGE {
        true => digest(&SHA256, bytes),
        false => digest(&SHA1_FOR_LEGACY_USE_ONLY, &[format!("blob {}\0", bytes.len()).as_bytes(), bytes].concat()),
    };
    hash.as_ref().iter().map(|b| format!("{b:02x}")).collect()
}
