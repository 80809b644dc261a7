//! A receiver of web hooks on a real socket, which answers as it is told.

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use openssl::pkey::PKey;
use openssl::ssl::{Ssl, SslAcceptor, SslMethod};
use openssl::x509::X509;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use vitalwire_broker::Authority;

/// What it does with a request.
#[derive(Clone)]
pub(super) enum Answer {
    /// Sends this and closes.
    Text(&'static str),
    /// Sends this, nothing more, and keeps the connection.
    Hang(&'static str),
    /// Sends the first, and then for ever the second.
    Endless(&'static str, &'static str),
}

pub(super) const ACCEPTED: Answer = Answer::Text("HTTP/1.1 204 No Content\r\n\r\n");
pub(super) const ERROR: Answer = Answer::Text("HTTP/1.1 500 Oh\r\nContent-Length: 2\r\n\r\nno");

/// What came.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request {
    /// Method, path and version.
    pub(super) line: String,
    head: String,
    pub(super) body: String,
}

impl Request {
    pub(super) fn header(&self, name: &str) -> &str {
        let value = self.head.lines().find_map(|line| line.split_once(": ").filter(|(key, _)| *key == name));
        value.unwrap_or_else(|| panic!("no {name} in {}", self.head)).1
    }
}

pub(super) struct Receiver {
    pub(super) port: u16,
    pub(super) requests: mpsc::UnboundedReceiver<Request>,
    /// Connections that were accepted.
    pub(super) connections: Arc<AtomicUsize>,
}

impl Receiver {
    /// Plain. `answers` are for the first requests, the last of them for all others.
    pub(super) async fn plain(answers: &[Answer]) -> Self {
        Self::start(answers, None).await
    }

    /// Over TLS.
    pub(super) async fn tls(answers: &[Answer], pem: &[u8]) -> Self {
        let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server()).unwrap();
        acceptor.set_private_key(&PKey::private_key_from_pem(pem).unwrap()).unwrap();
        acceptor.set_certificate(&X509::from_pem(pem).unwrap()).unwrap();
        Self::start(answers, Some(acceptor.build())).await
    }

    async fn start(answers: &[Answer], tls: Option<SslAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (told, requests) = mpsc::unbounded_channel();
        let connections = Arc::new(AtomicUsize::new(0));
        let (accepted, answers) = (Arc::clone(&connections), answers.to_vec());
        let answered = Arc::new(AtomicUsize::new(0));
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                accepted.fetch_add(1, Ordering::Relaxed);
                let (told, answers, answered) = (told.clone(), answers.clone(), Arc::clone(&answered));
                let tls = tls.as_ref().map(|tls| Ssl::new(tls.context()).unwrap());
                tokio::spawn(async move {
                    match tls {
                        None => serve(stream, &answers, &answered, told).await,
                        Some(ssl) => {
                            let mut stream = tokio_openssl::SslStream::new(ssl, stream).unwrap();
                            if Pin::new(&mut stream).accept().await.is_ok() {
                                serve(stream, &answers, &answered, told).await;
                            }
                        }
                    }
                });
            }
        });
        Self { port, requests, connections }
    }
}

async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    answers: &[Answer],
    answered: &AtomicUsize,
    told: mpsc::UnboundedSender<Request>,
) {
    let mut bytes = Vec::new();
    let request = loop {
        if let Some(request) = parsed(&bytes) {
            break request;
        }
        match stream.read_buf(&mut bytes).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    };
    let number = answered.fetch_add(1, Ordering::Relaxed);
    let _ = told.send(request);
    match answers.get(number).or(answers.last()).unwrap() {
        Answer::Text(text) => {
            let _ = stream.write_all(text.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
        Answer::Hang(text) => {
            let _ = stream.write_all(text.as_bytes()).await;
            std::future::pending().await
        }
        Answer::Endless(first, then) => {
            let _ = stream.write_all(first.as_bytes()).await;
            while stream.write_all(then.as_bytes()).await.is_ok() {}
        }
    }
}

fn parsed(bytes: &[u8]) -> Option<Request> {
    let text = std::str::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n")?;
    let (line, head) = head.split_once("\r\n").unwrap();
    let request = Request { line: line.to_owned(), head: head.to_owned(), body: body.to_owned() };
    (request.body.len() >= request.header("content-length").parse().unwrap()).then_some(request)
}

/// An authority, and its certificate in a file.
pub(super) struct Vouched {
    authority: Authority,
    folder: TempDir,
}

impl Vouched {
    pub(super) fn new() -> Self {
        let vouched =
            Self { authority: Authority::generate("ward").unwrap(), folder: tempfile::tempdir().unwrap() };
        std::fs::write(vouched.ca(), vouched.authority.certificate_pem().unwrap()).unwrap();
        vouched
    }

    pub(super) fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Key and certificate of a server with this name.
    pub(super) fn server(&self, name: &str) -> Vec<u8> {
        self.authority.issue(&[name.to_owned()]).unwrap().to_vec()
    }
}
