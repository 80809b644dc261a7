//! A server that answers as the REST API's document of EMQX 5.8.9 says, on a real socket: users in pages, imports, rights, clients. It
//! can be busy, and cut connections before or after it did what it was asked.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::http::request::Parts;
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
            part = part_of(&mut outside) => {
                let _ = stream.write_all(&part).await;
                break;
            }
        }
    }
    task.abort();
}

/// The first bytes of what is there.
async fn part_of(stream: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
    let mut part = [0; 20];
    let len = stream.read(&mut part).await.unwrap_or(0);
    part[..len].to_vec()
}

type Answer = Response<Full<Bytes>>;

fn status(status: u16, body: &Value) -> Answer {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    Response::builder().status(status).body(Full::new(Bytes::from(body))).unwrap()
}

fn problem(number: u16, code: &str, message: &str) -> Answer {
    status(number, &json!({ "code": code, "message": message }))
}

const USERS: &str = "/authentication/password_based%3Abuilt_in_database/users";

/// A value of the query.
fn query(head: &Parts, name: &str) -> Option<String> {
    let mut pairs = head.uri.query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| value.to_owned())
}

async fn answer(state: Arc<Mutex<State>>, request: Request<Incoming>) -> Result<Answer, hyper::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let mut state = state.lock().unwrap();
    if let Some(busy) = state.busy.pop_front() {
        let answer = Response::builder().status(busy).header("Retry-After", "0").body(Full::default());
        return Ok(answer.unwrap());
    }
    if head.headers.get("authorization").is_none_or(|login| login != LOGIN) {
        return Ok(problem(401, "BAD_API_KEY_OR_SECRET", "Check api_key/api_secret"));
    }
    state.asked.push(format!("{} {}", head.method, head.uri));
    let path = head.uri.path().strip_prefix("/api/v5").unwrap_or_default();
    Ok(if path.starts_with("/authentication") {
        of_users(&mut state, &head, path, &body)
    } else {
        of_rights_and_clients(&mut state, &head, path, &body)
    })
}

fn of_users(state: &mut State, head: &Parts, path: &str, body: &[u8]) -> Answer {
    if state.is_bare {
        let message = "Authenticator 'password_based:built_in_database' does not exist";
        return problem(404, "NOT_FOUND", message);
    }
    match head.method {
        Method::GET if path == USERS => {
            let user = |name: &String| json!({"user_id": name, "is_superuser": false});
            page(&state.users.keys().map(user).collect::<Vec<_>>(), head)
        }
        Method::DELETE if path.starts_with(USERS) => {
            match state.users.remove(path.rsplit('/').next().unwrap()) {
                Some(_) => status(204, &Value::Null),
                None => problem(404, "NOT_FOUND", "User not found"),
            }
        }
        Method::POST if path == USERS.replace("users", "import_users") => {
            assert_eq!(query(head, "type").as_deref(), Some("hash"));
            assert_eq!(head.headers["content-type"], "application/json");
            import(state, &serde_json::from_slice(body).unwrap())
        }
        _ => problem(404, "NOT_FOUND", "Request Path Not Found"),
    }
}

fn of_rights_and_clients(state: &mut State, head: &Parts, path: &str, body: &[u8]) -> Answer {
    match (&head.method, path) {
        (&Method::GET, "/authorization/sources/file") => {
            status(200, &json!({"type": "file", "enable": true, "rules": state.rules}))
        }
        (&Method::PUT, "/authorization/sources/file") => {
            let source: Value = serde_json::from_slice(body).unwrap();
            assert_eq!((&source["type"], &source["enable"]), (&json!("file"), &json!(true)));
            state.rules = source["rules"].as_str().unwrap().to_owned();
            status(204, &Value::Null)
        }
        (&Method::GET, "/clients") => {
            let user = query(head, "username");
            let of = state.clients.iter().filter(|(_, owner)| user.as_ref().is_none_or(|user| user == owner));
            let client = |(id, user): &(String, String)| json!({"clientid": id, "username": user});
            page(&of.map(client).collect::<Vec<_>>(), head)
        }
        (&Method::POST, "/clients/kickout/bulk") => {
            let ids: Vec<String> = serde_json::from_slice(body).unwrap();
            state.clients.retain(|(id, _)| !ids.contains(id));
            status(204, &Value::Null)
        }
        _ => problem(404, "NOT_FOUND", "Request Path Not Found"),
    }
}

fn page(all: &[Value], head: &Parts) -> Answer {
    let number = |name: &str, default: usize| query(head, name).map_or(default, |text| text.parse().unwrap());
    let (page, limit) = (number("page", 1), number("limit", 100));
    if page == 0 || !(1..=10_000).contains(&limit) {
        return problem(400, "BAD_REQUEST", "page_limit_invalid");
    }
    let start = (page - 1) * limit;
    let data: Vec<&Value> = all.iter().skip(start).take(limit).collect();
    let meta = json!({
        "page": page, "limit": limit, "count": all.len(), "hasnext": start + data.len() < all.len(),
    });
    status(200, &json!({ "data": data, "meta": meta }))
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
