//! Requests to the hub and the meaning of its answers: a revision's commit and files, one file's hash and size.
//! `transfer` fetches the contents.

use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use super::error::HubError;
use super::layout::{Repo, is_commit, is_etag};
use super::{Event, HubSettings};
use crate::net::address::shown;
use crate::net::http::{Client, Reply, Request};

/// What is escaped in one segment of a URL's path, and in a whole path.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
const PATH: &AsciiSet = &SEGMENT.remove(b'/');
/// The longest list of files that is read.
const MAX_LIST: u64 = 32 << 20;
/// Bytes of progress after which a cut connection counts as a first failure again.
const PROGRESS: u64 = 1 << 20;
/// The most characters of a server's own message that an error repeats.
const MAX_WORDS: usize = 160;

/// A file of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RemoteFile {
    pub path: String,
    /// Its blob's name: the SHA-256 of a large file, git's SHA-1 of a small one.
    pub etag: String,
    pub size: u64,
}

/// A commit and its files.
#[derive(Debug)]
pub(super) struct Listing {
    pub commit: String,
    files: Vec<Sibling>,
}

#[derive(Deserialize)]
struct RevisionInfo {
    sha: Option<String>,
    #[serde(default)]
    siblings: Vec<Sibling>,
}

#[derive(Debug, Deserialize)]
struct Sibling {
    rfilename: String,
    size: Option<u64>,
    #[serde(rename = "blobId")]
    blob_id: Option<String>,
    lfs: Option<Lfs>,
}

#[derive(Debug, Deserialize)]
struct Lfs {
    sha256: Option<String>,
    size: Option<u64>,
}

impl Listing {
    pub fn has(&self, path: &str) -> bool {
        self.files.iter().any(|file| file.rfilename == path)
    }

    /// Returns hash and size of a file, if the list has them; a mirror's list may not.
    fn file(&self, path: &str) -> Option<RemoteFile> {
        let file = self.files.iter().find(|file| file.rfilename == path)?;
        let (etag, size) = match &file.lfs {
            Some(lfs) => (lfs.sha256.as_ref()?, lfs.size.or(file.size)?),
            None => (file.blob_id.as_ref()?, file.size?),
        };
        is_etag(etag).then(|| RemoteFile { path: path.to_owned(), etag: etag.clone(), size })
    }
}

/// Sends requests about one repository.
pub(super) struct HubClient<'a> {
    pub repo: &'a Repo,
    pub settings: &'a HubSettings,
    pub client: Client,
    /// Whether a refusal without the hub's own words may come from something else.
    pub doubts: bool,
}

impl HubClient<'_> {
    /// Returns the revision's commit and its files.
    pub fn list(&self) -> Result<Listing, HubError> {
        let (endpoint, name) = (&self.settings.endpoint, &self.repo.name);
        let url = format!(
            "{endpoint}/api/models/{name}/revision/{}?blobs=true",
            utf8_percent_encode(&self.repo.revision, SEGMENT)
        );
        let what = format!("the list of {name}'s files");
        let answer = |reason: String| HubError::Answer { what: what.clone(), reason };
        self.patiently(|| {
            let mut reply = self.send(&self.request(&url))?;
            let body = reply.body.with_config().limit(MAX_LIST).read_to_vec();
            let body = body.map_err(|e| HubError::http(&what, self.client.cut(e.into_io(), &reply.host)))?;
            let strange = "answered something that is not the hub's JSON; a proxy or a login page may be in between";
            let info = serde_json::from_slice::<RevisionInfo>(&body);
            let info = info.map_err(|_| answer(format!("{} {strange}", reply.host)))?;
            let commit = info.sha.filter(|sha| is_commit(sha));
            let commit = commit.ok_or_else(|| answer(format!("{} names no commit", reply.host)))?;
            Ok(Listing { commit, files: info.siblings })
        })
    }

    /// Returns hash and size of a file: from the list, or from a request for it.
    pub fn file(&self, listing: &Listing, path: &str) -> Result<RemoteFile, HubError> {
        if let Some(file) = listing.file(path) {
            return Ok(file);
        }
        let url = self.url(&listing.commit, path);
        let answer = |reason: &str| HubError::Answer { what: path.to_owned(), reason: reason.to_owned() };
        self.patiently(|| {
            let reply = self.send(&Request { head: true, leave: false, ..self.request(&url) })?;
            let etag = reply.header("x-linked-etag").or_else(|| reply.header("etag"));
            let etag = etag.map(|etag| etag.trim_start_matches("W/").trim_matches('"').to_owned());
            let etag = etag.filter(|etag| is_etag(etag)).ok_or_else(|| answer("the hub sends no hash of it"))?;
            let size = reply.header("x-linked-size").or_else(|| reply.own_header("content-length"));
            let size = size.and_then(|size| size.parse().ok()).ok_or_else(|| answer("the hub sends no size of it"))?;
            Ok(RemoteFile { path: path.to_owned(), etag, size })
        })
    }

    /// Returns the URL of a file's contents.
    pub fn url(&self, commit: &str, path: &str) -> String {
        format!("{}/{}/resolve/{commit}/{}", self.settings.endpoint, self.repo.name, utf8_percent_encode(path, PATH))
    }

    /// Prepares a short GET of `url`.
    pub fn request<'u>(&'u self, url: &'u str) -> Request<'u> {
        let bearer = self.settings.token.as_ref().map(|token| token.secret.as_str());
        Request { url, head: false, bearer, from: 0, leave: true, within: Some(self.settings.http.patience.answer) }
    }

    /// Sends a request. An unsuccessful answer becomes an error that says what it means.
    pub fn send(&self, request: &Request<'_>) -> Result<Reply, HubError> {
        let reply = self.client.send(request).map_err(|e| HubError::http(&self.subject(request.url), e))?;
        match reply.status {
            200..=299 => Ok(reply),
            300..=399 if !request.leave => Ok(reply),
            416 if request.from > 0 => Ok(reply),
            _ => Err(self.refusal(request.url, reply)),
        }
    }

    /// Repeats an attempt after failures that may pass, with growing pauses. Gives up after
    /// [`Patience::attempts`](crate::net::Patience::attempts) failures in a row.
    pub fn patiently<T>(&self, mut attempt: impl FnMut() -> Result<T, HubError>) -> Result<T, HubError> {
        let patience = &self.settings.http.patience;
        let (mut failures, mut kept) = (0, 0);
        loop {
            let e = match attempt() {
                Err(e) if e.is_passing(self.client.has_reached_anyone()) => e,
                done => return done,
            };
            if let HubError::Interrupted { have, .. } = e
                && have >= kept + PROGRESS
            {
                (failures, kept) = (0, have); // it made progress, so count from one again
            }
            failures += 1;
            let asked = if let HubError::RateLimit { after, .. } = &e { *after } else { None };
            if failures >= patience.attempts || asked.is_some_and(|asked| asked > patience.longest_pause) {
                return Err(e);
            }
            let pause = asked.unwrap_or(patience.pause * 2u32.pow(failures - 1)).min(patience.longest_pause);
            (self.settings.progress)(Event::Retrying { reason: &e, pause });
            std::thread::sleep(pause);
        }
    }

    /// Returns what a URL is about, for messages: a file, or the repository.
    fn subject(&self, url: &str) -> String {
        let file = url.split("/resolve/").nth(1).and_then(|rest| rest.split_once('/'));
        file.map_or_else(|| self.repo.name.clone(), |(_, file)| file.to_owned())
    }

    /// Returns the meaning of an unsuccessful answer, as Python's huggingface_hub reads it.
    fn refusal(&self, url: &str, reply: Reply) -> HubError {
        let Repo { name, revision, .. } = self.repo;
        let token = self.settings.token.as_ref();
        let with_token = token.is_some();
        let (code, said) = (reply.own_header("x-error-code"), reply.own_header("x-error-message"));
        let listing = url.contains("/api/models/");
        let wrong_token = said.is_some_and(|said| said.contains("Invalid credentials") || said.contains("expired"));
        let what = self.subject(url);
        let (status, host, endpoint) = (reply.status, reply.host.clone(), shown(&self.settings.endpoint));
        match (status, code) {
            (401 | 403, _) if wrong_token && with_token => HubError::Token {
                origin: token.map(|token| token.origin.clone()).unwrap_or_default(),
                reason: "is not accepted: it is wrong, revoked or expired".to_owned(),
            },
            (_, Some("GatedRepo")) => {
                HubError::Gated { name: name.clone(), page: format!("{endpoint}/{name}"), with_token }
            }
            (_, Some("RevisionNotFound")) => HubError::NoRevision { name: name.clone(), revision: revision.clone() },
            (401 | 404, Some("RepoNotFound")) | (401, None) | (404, None)
                if reply.at_home
                    && (listing || status == 401)
                    && !(self.doubts && code.is_none() && said.is_none()) =>
            {
                HubError::NoRepo { name: name.clone(), endpoint, with_token }
            }
            (429, _) => HubError::RateLimit { after: wait(&reply), host },
            _ => {
                let said = said.map(|said| said.chars().take(MAX_WORDS).collect::<String>().replace('\n', " "));
                HubError::Status { what, host, status, said }
            }
        }
    }
}

/// Returns how long a busy server asks to wait: `Retry-After`, or the rest of its window (`"api";r=0;t=55`).
fn wait(reply: &Reply) -> Option<Duration> {
    let limit = reply.own_header("ratelimit");
    let rest = limit.and_then(|limit| limit.split(';').find_map(|part| part.trim().strip_prefix("t=")));
    let sources = [reply.own_header("retry-after"), rest]; // the first may be a date, which is less precise
    sources.into_iter().flatten().find_map(|text| text.trim().parse().ok()).map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn revisions_are_one_segment_of_the_url() {
        assert_eq!(utf8_percent_encode("refs/pr/15", SEGMENT).to_string(), "refs%2Fpr%2F15");
        assert_eq!(utf8_percent_encode("a b/ü.bin", PATH).to_string(), "a%20b/%C3%BC.bin");
    }

    #[test]
    fn large_files_go_by_their_own_hash_and_small_ones_by_git_s() {
        let json = r#"{"sha":"x","siblings":[
            {"rfilename":"a","size":3,"blobId":"11"},
            {"rfilename":"b","size":9,"blobId":"22","lfs":{"oid":"33","sha256":"33","size":9,"pointerSize":1}},
            {"rfilename":"c"}, {"rfilename":"d","size":1,"blobId":"../x"}]}"#;
        let info: RevisionInfo = serde_json::from_str(json).unwrap();
        let listing = Listing { commit: String::new(), files: info.siblings };
        let etag = |path: &str| listing.file(path).map(|file| file.etag);
        assert_eq!((etag("a"), etag("b")), (Some("11".to_owned()), Some("33".to_owned())));
        assert_eq!((etag("c"), etag("d"), listing.has("c")), (None, None, true));
    }
}
