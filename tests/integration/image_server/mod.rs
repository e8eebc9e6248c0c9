//! A server of images on loopback, with the faults that servers have; and a proxy that takes it for the whole internet.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// What is said to one request.
#[derive(Clone)]
pub enum Answer {
    /// 200 and a body.
    Body(Vec<u8>),
    /// A status, headers and a body.
    Status(u16, Vec<(&'static str, String)>, &'static str),
    /// 200, headers and a body.
    With(Vec<(&'static str, String)>, Vec<u8>),
    /// Bytes as they are, and then other bytes again and again.
    Raw(Vec<u8>, Vec<u8>),
    /// 200, and the connection ends after so many bytes of the body.
    Cut(Vec<u8>, usize),
    /// 200, so many bytes of the body, and then nothing for so long.
    Stall(Vec<u8>, usize, Duration),
    /// 200 and the body in pieces of so many bytes, a pause before each.
    Slow(Vec<u8>, usize, Duration),
    /// A promise of so many bytes.
    Promise(u64),
    /// A body without a length that goes on for ever.
    Endless,
    /// The connection ends without a word.
    Hangup,
    /// Nothing for so long.
    Silent(Duration),
}

/// The answer to a path, asked for the nth time (from 0).
type Handler = dyn Fn(&str, usize) -> Answer + Send + Sync;

#[derive(Clone)]
pub struct Server {
    pub address: SocketAddr,
    pub connections: Arc<AtomicUsize>,
    /// Heads of requests.
    pub seen: Arc<Mutex<Vec<String>>>,
    handler: Arc<Handler>,
}

impl Server {
    pub fn start(handler: impl Fn(&str, usize) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self {
            address: listener.local_addr().unwrap(),
            connections: Arc::default(),
            seen: Arc::default(),
            handler: Arc::new(handler),
        };
        let shared = server.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let server = shared.clone();
                server.connections.fetch_add(1, Ordering::SeqCst);
                thread::spawn(move || server.serve(stream));
            }
        });
        server
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// How often a path was asked for.
    pub fn asked(&self, path: &str) -> usize {
        let start = format!("GET {path} ");
        self.seen.lock().unwrap().iter().filter(|head| head.starts_with(&start)).count()
    }

    fn serve(&self, mut stream: TcpStream) -> Option<()> {
        let mut reader = BufReader::new(stream.try_clone().ok()?);
        loop {
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                if reader.read_line(&mut head).ok()? == 0 {
                    return None;
                }
            }
            let path = head.split(' ').nth(1)?.to_owned();
            let before = self.asked(&path);
            self.seen.lock().unwrap().push(head);
            answer(&mut stream, (self.handler)(&path, before))?;
        }
    }
}

/// Writes an answer; none if the connection is to end.
fn answer(stream: &mut TcpStream, answer: Answer) -> Option<()> {
    let mut head = |status: u16, headers: &[(&str, String)], length: Option<u64>| {
        let mut text = format!("HTTP/1.1 {status} X\r\n");
        headers.iter().for_each(|(name, value)| text += &format!("{name}: {value}\r\n"));
        length.iter().for_each(|length| text += &format!("Content-Length: {length}\r\n"));
        stream.write_all((text + "\r\n").as_bytes()).ok()
    };
    match answer {
        Answer::Body(body) => {
            head(200, &[], Some(body.len() as u64))?;
            stream.write_all(&body).ok()
        }
        Answer::Status(status, headers, body) => {
            head(status, &headers, Some(body.len() as u64))?;
            stream.write_all(body.as_bytes()).ok()
        }
        Answer::With(headers, body) => {
            head(200, &headers, Some(body.len() as u64))?;
            stream.write_all(&body).ok()
        }
        Answer::Raw(bytes, again) => {
            stream.write_all(&bytes).ok()?;
            while !again.is_empty() {
                stream.write_all(&again.repeat(65536 / again.len())).ok()?;
            }
            None
        }
        Answer::Cut(body, after) => {
            head(200, &[], Some(body.len() as u64))?;
            stream.write_all(&body[..after]).ok()?;
            stream.shutdown(Shutdown::Both).ok()?;
            None
        }
        Answer::Stall(body, after, pause) => {
            head(200, &[], Some(body.len() as u64))?;
            stream.write_all(&body[..after]).ok()?;
            thread::sleep(pause);
            None
        }
        Answer::Slow(body, piece, pause) => {
            head(200, &[], Some(body.len() as u64))?;
            body.chunks(piece).try_for_each(|piece| {
                thread::sleep(pause);
                stream.write_all(piece).ok()
            })
        }
        Answer::Promise(length) => {
            head(200, &[], Some(length))?;
            None
        }
        Answer::Endless => {
            head(200, &[("Connection", "close".to_owned())], None)?;
            stream.write_all(b"\x89PNG\r\n\x1a\n").ok()?;
            loop {
                stream.write_all(&[7; 65536]).ok()?;
            }
        }
        Answer::Hangup => None,
        Answer::Silent(pause) => {
            thread::sleep(pause);
            None
        }
    }
}

/// A proxy that connects to `server` whatever is asked for, and notes what that was.
pub fn proxy(server: SocketAddr) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (url, targets) = (format!("http://{}", listener.local_addr().unwrap()), Arc::<Mutex<Vec<String>>>::default());
    let noted = Arc::clone(&targets);
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let noted = Arc::clone(&noted);
            thread::spawn(move || {
                let (mut head, mut byte) = (Vec::new(), [0]);
                while !head.ends_with(b"\r\n\r\n") && stream.read_exact(&mut byte).is_ok() {
                    head.push(byte[0]);
                }
                let head = String::from_utf8_lossy(&head).into_owned();
                noted.lock().unwrap().push(head.split(' ').nth(1).unwrap_or_default().to_owned());
                stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
                let mut server = TcpStream::connect(server).unwrap();
                let (mut up, mut down) = (server.try_clone().unwrap(), stream.try_clone().unwrap());
                thread::spawn(move || {
                    let _ = std::io::copy(&mut stream, &mut up);
                    let _ = up.shutdown(Shutdown::Both);
                });
                let _ = std::io::copy(&mut server, &mut down);
                let _ = down.shutdown(Shutdown::Both);
            });
        }
    });
    (url, targets)
}
