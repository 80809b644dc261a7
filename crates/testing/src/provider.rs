//! A provider of OpenID Connect for tests: one person, one client, keys of its own; and it lies where a test wants it to. It answers one
//! request a connection.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use openssl::hash::{MessageDigest, hash};
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::sign::Signer;
use serde_json::{Map, Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

/// As what the client is known.
pub const CLIENT: &str = "vitalwire";
/// What it is known by: with signs that must be written otherwise on the way.
pub const SECRET: &str = "a secret: of + 100 % & more";

/// Changes the header and the claims of a token before it is signed.
pub type Twist = fn(header: &mut Value, claims: &mut Value);

/// What a token is signed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signs {
    /// The key that is published.
    Right,
    /// Another one, under the same name.
    Wrong,
    /// Nothing: an empty signature.
    Not,
    /// A hash with the secret that client and provider share.
    WithSecret,
}

/// What the provider is like; a test changes it as it goes on.
pub struct World {
    /// What an ID token says of the person, beside what it must.
    pub claims: Map<String, Value>,
    /// What is told to who has the access token, beside `sub`.
    pub described: Map<String, Value>,
    /// What it says of itself, changed.
    pub says: Map<String, Value>,
    /// A lie.
    pub twist: Option<Twist>,
    /// What it signs with.
    pub signs: Signs,
    /// Whether it answers at all.
    pub is_ill: bool,
    /// The paths that were asked for.
    pub asked: Vec<String>,
    keys: u32,
    key: PKey<Private>,
    grants: BTreeMap<String, BTreeMap<String, String>>,
}

/// A running one; it ends with this.
pub struct Provider {
    address: SocketAddr,
    world: Arc<Mutex<World>>,
    task: AbortHandle,
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn key() -> PKey<Private> {
    PKey::from_rsa(Rsa::generate(2_048).unwrap()).unwrap()
}

fn base64(bytes: &[u8]) -> String {
    openssl::base64::encode_block(bytes).replace('+', "-").replace('/', "_").replace('=', "")
}

/// The pairs of a query, or of a form.
pub fn pairs(text: &str) -> BTreeMap<String, String> {
    let decoded = |text: &str| {
        let mut bytes = Vec::new();
        let mut rest = text.bytes();
        while let Some(byte) = rest.next() {
            bytes.push(match byte {
                b'+' => b' ',
                b'%' => {
                    let digits = [rest.next().unwrap(), rest.next().unwrap()];
                    u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
                }
                byte => byte,
            });
        }
        String::from_utf8(bytes).unwrap()
    };
    let both = text.split('&').filter_map(|pair| pair.split_once('='));
    both.map(|(name, value)| (decoded(name), decoded(value))).collect()
}

impl Provider {
    /// With a person whose `preferred_username` is `ana`, in the ID token.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let world = Arc::new(Mutex::new(World {
            claims: json!({"preferred_username": "ana"}).as_object().unwrap().clone(),
            described: Map::new(),
            says: Map::new(),
            twist: None,
            signs: Signs::Right,
            is_ill: false,
            asked: Vec::new(),
            keys: 1,
            key: key(),
            grants: BTreeMap::new(),
        }));
        let shared = Arc::clone(&world);
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, address, Arc::clone(&shared)));
            }
        });
        Self { address, world, task: task.abort_handle() }
    }

    /// Its name.
    pub fn issuer(&self) -> String {
        issuer(self.address)
    }

    /// Changes it.
    pub fn change<T>(&self, change: impl FnOnce(&mut World) -> T) -> T {
        change(&mut self.world.lock().unwrap())
    }

    /// From now on it signs with another key, and publishes that.
    pub fn change_key(&self) {
        let key = key();
        self.change(|world| (world.key, world.keys) = (key, world.keys + 1));
    }

    /// How often a path was asked for.
    pub fn asked(&self, path: &str) -> usize {
        self.change(|world| world.asked.iter().filter(|asked| *asked == path).count())
    }

    /// What a browser does that is sent there: the pairs of the query with which it comes back.
    pub async fn log_in(&self, address: &str) -> BTreeMap<String, String> {
        let path =
            address.strip_prefix(&format!("http://{}", self.address)).expect("an address of this provider");
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let location = answer.lines().find_map(|line| line.strip_prefix("Location: "));
        let location = location.unwrap_or_else(|| panic!("it sends no one back: {answer}"));
        pairs(location.split_once('?').unwrap().1)
    }
}

fn issuer(address: SocketAddr) -> String {
    format!("http://{address}/realms/ward")
}

async fn serve(mut stream: TcpStream, address: SocketAddr, world: Arc<Mutex<World>>) {
    let mut bytes = Vec::new();
    let (head, body) = loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let len = header(head, "content-length").map_or(0, |len| len.parse().unwrap());
            if body.len() >= len {
                break (head.to_owned(), body.to_owned());
            }
        }
        if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return;
        }
    };
    let (status, more, body) = answer(&mut world.lock().unwrap(), address, &head, &body);
    let len = body.len();
    let answer = format!(
        "HTTP/1.1 {status}\r\n{more}Content-Type: application/json\r\nContent-Length: {len}\r\nConnection: close\r\n\r\n{body}"
    );
    let _ = stream.write_all(answer.as_bytes()).await;
}

fn header<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    let mut lines = head.lines().filter_map(|line| line.split_once(": "));
    lines.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

fn answer(world: &mut World, address: SocketAddr, head: &str, body: &str) -> (&'static str, String, String) {
    let target = head.split(' ').nth(1).unwrap();
    let path = target.split('?').next().unwrap().strip_prefix("/realms/ward").unwrap_or_default();
    world.asked.push(path.to_owned());
    let said = |value: Value| ("200 OK", String::new(), value.to_string());
    let refused = |error: &str| ("400 Bad Request", String::new(), json!({ "error": error }).to_string());
    if world.is_ill {
        return ("500 Internal Server Error", String::new(), "<html>".to_owned());
    }
    match path {
        "/.well-known/openid-configuration" => said(description(world, address)),
        "/keys" => said(keys(world)),
        "/authorize" => {
            let asked = pairs(target.split_once('?').unwrap().1);
            let code = format!("code-{}", world.grants.len());
            let (home, state) = (&asked["redirect_uri"], &asked["state"]);
            let location = format!("Location: {home}?code={code}&state={state}&iss={}\r\n", issuer(address));
            world.grants.insert(code, asked);
            ("302 Found", location, String::new())
        }
        "/token" => token(world, address, head, body).map_or_else(refused, said),
        "/person" if header(head, "authorization") == Some("Bearer access-token") => {
            let mut described = world.described.clone();
            described.entry("sub").or_insert_with(|| "0815".into());
            said(described.into())
        }
        _ => ("404 Not Found", String::new(), "{}".to_owned()),
    }
}

fn description(world: &World, address: SocketAddr) -> Value {
    let issuer = issuer(address);
    let mut all = json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("{issuer}/token"),
        "userinfo_endpoint": format!("{issuer}/person"),
        "jwks_uri": format!("{issuer}/keys"),
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256", "HS256", "none"],
    });
    all.as_object_mut().unwrap().extend(world.says.clone());
    all
}

fn keys(world: &World) -> Value {
    let rsa = world.key.rsa().unwrap();
    let number = |number: &openssl::bn::BigNumRef| base64(&number.to_vec());
    json!({"keys": [
        {"kty": "new", "kid": "of a kind that no one knows"},
        {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": format!("key-{}", world.keys), "n": number(rsa.n()), "e": number(rsa.e())},
    ]})
}

fn token(world: &mut World, address: SocketAddr, head: &str, body: &str) -> Result<Value, &'static str> {
    let form = pairs(body);
    let basic = header(head, "authorization").and_then(|value| value.strip_prefix("Basic "));
    let (client, secret) = match basic {
        Some(basic) => {
            let basic = String::from_utf8(openssl::base64::decode_block(basic).unwrap()).unwrap();
            let (client, secret) = basic.split_once(':').unwrap();
            // RFC 6749 §2.3.1: each is encoded as in a form before.
            (client.to_owned(), pairs(&format!("secret={secret}")).remove("secret"))
        }
        None => (form["client_id"].clone(), form.get("client_secret").cloned()),
    };
    if client != CLIENT || secret.is_some_and(|secret| secret != SECRET) {
        return Err("invalid_client");
    }
    let asked = world.grants.remove(&form["code"]).ok_or("invalid_grant")?;
    let verifier = hash(MessageDigest::sha256(), form["code_verifier"].as_bytes()).unwrap();
    let is_right = asked["code_challenge_method"] == "S256"
        && asked["code_challenge"] == base64(&verifier)
        && asked["redirect_uri"] == form["redirect_uri"]
        && form["grant_type"] == "authorization_code";
    if !is_right {
        return Err("invalid_grant");
    }
    let token = id_token(world, address, &asked["nonce"]);
    Ok(json!({"access_token": "access-token", "token_type": "Bearer", "expires_in": 60, "id_token": token}))
}

fn id_token(world: &World, address: SocketAddr, nonce: &str) -> String {
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let mut header = json!({"alg": "RS256", "typ": "JWT", "kid": format!("key-{}", world.keys)});
    let mut claims = json!({
        "iss": issuer(address), "aud": CLIENT, "sub": "0815", "nonce": nonce, "iat": now_s, "exp": now_s + 300,
    });
    claims.as_object_mut().unwrap().extend(world.claims.clone());
    match world.signs {
        Signs::Not => header["alg"] = "none".into(),
        Signs::WithSecret => header["alg"] = "HS256".into(),
        Signs::Right | Signs::Wrong => {}
    }
    if let Some(twist) = world.twist {
        twist(&mut header, &mut claims);
    }
    let text = format!("{}.{}", base64(header.to_string().as_bytes()), base64(claims.to_string().as_bytes()));
    let signed = |key: &PKey<Private>| {
        let mut signer = Signer::new(MessageDigest::sha256(), key).unwrap();
        base64(&signer.sign_oneshot_to_vec(text.as_bytes()).unwrap())
    };
    let signature = match world.signs {
        Signs::Right => signed(&world.key),
        Signs::Wrong => signed(&key()),
        Signs::Not => String::new(),
        Signs::WithSecret => signed(&PKey::hmac(SECRET.as_bytes()).unwrap()),
    };
    format!("{text}.{signature}")
}
