//! A server that answers as the REST API's document of EMQX 5.8.9 says, on a real socket: users in pages, imports, rights, clients. It
//! can be busy, and cut connections before or after it did what it was asked.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;

/// `vitalwire:geheim`, as HTTP carries it.
const LOGIN: &str = "Basic dml0YWx3aXJlOmdlaGVpbQ==";

/// How a connection is cut.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// Before anything was done.
    Before,
    /// After it was done, in the middle of the answer.
    After,
}

/// What EMQX holds.
#[derive(Default)]
pub struct State {
    /// Hash and salt.
    pub users: BTreeMap<String, (String, String)>,
    pub rules: String,
    /// Client id and user.
    pub clients: Vec<(String, String)>,
    /// Method and path of each request.
    pub asked: Vec<String>,
    /// Statuses with which the next requests are turned away.
    pub busy: VecDeque<u16>,
    /// How the connection of this number, from 1, is cut.
    pub cut: Option<(usize, Cut)>,
    /// Whether it has no authenticator.
    pub is_bare: bool,
    /// The smaller of what is asked for and this is a page's length.
    pub page_len_max: Option<usize>,
    pub connections: usize,
}

/// A running server; it ends with the test's process.
pub struct Emqx {
    pub port: u16,
    state: Arc<Mutex<State>>,
}

impl Emqx {
    /// Plain, or with a certificate and its key in PEM.
    pub fn start(state: State, tls: Option<(Vec<u8>, Vec<u8>)>) -> Self {
        let state = Arc::new(Mutex::new(state));
        let (sender, port) = std::sync::mpsc::channel();
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                sender.send(listener.local_addr().unwrap().port()).unwrap();
                let tls = tls.map(|(certificate, key)| {
                    let identity = native_tls::Identity::from_pkcs8(&certificate, &key).unwrap();
                    tokio_native_tls::TlsAcceptor::from(native_tls::TlsAcceptor::new(identity).unwrap())
                });
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    match &tls {
                        None => serve(stream, &shared).await,
                        // A client that does not trust us ends the handshake.
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(stream, &shared).await;
                            }
                        }
                    }
                }
            });
        });
        Self { port: port.recv().unwrap(), state }
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, state: &Arc<Mutex<State>>) {
    let cut = {
        let mut state = state.lock().unwrap();
        state.connections += 1;
        state.cut.filter(|(number, _)| *number == state.connections).map(|(_, cut)| cut)
    };
    if cut == Some(Cut::Before) {
        let _ = stream.read(&mut [0; 16]).await;
        return;
    }
    let answering = Arc::clone(state);
    let service = service_fn(move |request| answer(Arc::clone(&answering), request));
    let http = hyper::server::conn::http1::Builder::new();
    if cut.is_none() {
        let _ = http.serve_connection(TokioIo::new(stream), service).await;
        return;
    }
    // Through a pipe, of whose answer the client gets a part.
    let (inside, mut outside) = tokio::io::duplex(1 << 20);
    let task = tokio::spawn(async move { http.serve_connection(TokioIo::new(inside), service).await });
    let mut bytes = [0; 64 * 1024];
    loop {
        tokio::select! {
            read = stream.read(&mut bytes) => match read {
                Ok(len) if len > 0 => outside.write_all(&bytes[..len]).await.unwrap(),
                _ => break,
            },
            read = async { outside.readable_len(&mut [0; 20]).await } => {
                let _ = stream.write_all(&read).await;
                break;
            }
        }
    }
    task.abort();
}

/// Reads a part of what is there.
trait Part {
    async fn readable_len(&mut self, part: &mut [u8]) -> Vec<u8>;
}

impl<S: AsyncRead + Unpin> Part for S {
    async fn readable_len(&mut self, part: &mut [u8]) -> Vec<u8> {
        let len = self.read(part).await.unwrap_or(0);
        part[..len].to_vec()
    }
}

type Answer = Response<Full<Bytes>>;

fn status(status: u16, body: &Value) -> Answer {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    Response::builder().status(status).body(Full::new(Bytes::from(body))).unwrap()
}

fn problem(number: u16, code: &str, message: &str) -> Answer {
    status(number, &json!({ "code": code, "message": message }))
}

async fn answer(state: Arc<Mutex<State>>, request: Request<Incoming>) -> Result<Answer, hyper::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let mut state = state.lock().unwrap();
    if let Some(busy) = state.busy.pop_front() {
        return Ok(Response::builder()
            .status(busy)
            .header("Retry-After", "0")
            .body(Full::default())
            .unwrap());
    }
    if head.headers.get("authorization").is_none_or(|login| login != LOGIN) {
        return Ok(problem(401, "BAD_API_KEY_OR_SECRET", "Check api_key/api_secret"));
    }
    state.asked.push(format!("{} {}", head.method, head.uri));
    let query = |name: &str| {
        let pairs = head.uri.query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
        pairs.into_iter().find(|(key, _)| *key == name).map(|(_, value)| value.to_owned())
    };
    let path = head.uri.path().strip_prefix("/api/v5").unwrap_or_default();
    let users = "/authentication/password_based%3Abuilt_in_database/users";
    if path.starts_with("/authentication") && state.is_bare {
        return Ok(problem(
            404,
            "NOT_FOUND",
            "Authenticator 'password_based:built_in_database' does not exist",
        ));
    }
    let json = || serde_json::from_slice::<Value>(&body).unwrap();
    Ok(match (&head.method, path) {
        (&Method::GET, path) if path == users => {
            let all =
                state.users.keys().map(|name| json!({"user_id": name, "is_superuser": false})).collect();
            page(all, &query, state.page_len_max)
        }
        (&Method::DELETE, path) if path.starts_with(users) => {
            match state.users.remove(path.rsplit('/').next().unwrap()) {
                Some(_) => status(204, &Value::Null),
                None => problem(404, "NOT_FOUND", "User not found"),
            }
        }
        (&Method::POST, path) if path == users.replace("users", "import_users") => {
            assert_eq!(
                (query("type").as_deref(), &head.headers["content-type"]),
                (Some("hash"), &"application/json".parse().unwrap())
            );
            import(&mut state, &json())
        }
        (&Method::GET, "/authorization/sources/file") => {
            status(200, &json!({"type": "file", "enable": true, "rules": state.rules}))
        }
        (&Method::PUT, "/authorization/sources/file") => {
            let source = json();
            assert_eq!((&source["type"], &source["enable"]), (&json!("file"), &json!(true)));
            state.rules = source["rules"].as_str().unwrap().to_owned();
            status(204, &Value::Null)
        }
        (&Method::GET, "/clients") => {
            let user = query("username");
            let of = state.clients.iter().filter(|(_, owner)| user.as_ref().is_none_or(|user| user == owner));
            let all =
                of.map(|(id, user)| json!({"clientid": id, "username": user, "connected": true})).collect();
            page(all, &query, state.page_len_max)
        }
        (&Method::POST, "/clients/kickout/bulk") => {
            let ids: Vec<String> = serde_json::from_value(json()).unwrap();
            state.clients.retain(|(id, _)| !ids.contains(id));
            status(204, &Value::Null)
        }
        _ => problem(404, "NOT_FOUND", "Request Path Not Found"),
    })
}

fn page(all: Vec<Value>, query: &dyn Fn(&str) -> Option<String>, page_len_max: Option<usize>) -> Answer {
    let number = |name: &str, default: usize| query(name).map_or(default, |text| text.parse().unwrap());
    let (page, limit) = (number("page", 1), number("limit", 100));
    if page == 0 || !(1..=10_000).contains(&limit) {
        return problem(400, "BAD_REQUEST", "page_limit_invalid");
    }
    let len = page_len_max.unwrap_or(limit).min(limit);
    let start = (page - 1) * len;
    let data: Vec<&Value> = all.iter().skip(start).take(len).collect();
    let has_next = start + data.len() < all.len();
    status(
        200,
        &json!({"data": data, "meta": {"page": page, "limit": limit, "count": all.len(), "hasnext": has_next}}),
    )
}

fn import(state: &mut State, users: &Value) -> Answer {
    let mut counts = BTreeMap::from([("success", 0), ("override", 0), ("skipped", 0), ("failed", 0)]);
    for user in users.as_array().unwrap() {
        let text = |key: &str| user[key].as_str().unwrap().to_owned();
        assert_eq!(user["is_superuser"], json!(false));
        let new = (text("password_hash"), text("salt"));
        let before = state.users.insert(text("user_id"), new.clone());
        let what = match before {
            None => "success",
            Some(before) if before == new => "skipped",
            Some(_) => "override",
        };
        *counts.get_mut(what).unwrap() += 1;
    }
    let mut answer = json!(counts);
    answer["total"] = json!(users.as_array().unwrap().len());
    status(200, &answer)
}
