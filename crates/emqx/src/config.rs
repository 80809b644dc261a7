//! `emqx.conf`, in HOCON. The modules of EMQX 5.8.9 that say what its keys mean: `emqx_conf_schema` (`node`, `cluster`),
//! `emqx_schema` (`listeners`, `mqtt`, `durable_sessions`), `emqx_authn_mnesia_schema` and `emqx_authn_password_hashing`
//! (`authentication`), `emqx_authz_schema` and `emqx_authz_file_schema` (`authorization`), `emqx_retainer_schema`,
//! `emqx_dashboard_schema`, `emqx_mgmt_api_key_schema`, `emqx_telemetry_schema`.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};

use crate::text::{Problem, Unwritable, hocon};
use crate::user::HASH_ROUNDS;

/// EMQX's root in its image.
pub const ROOT: &str = "/opt/emqx";
/// The rights of all users, below [`ROOT`]. EMQX writes the rules that its REST API is given to this very file, and so they hold
/// after a restart, too.
pub const ACL_FILE: &str = "data/authz/acl.conf";
/// The users of the first start, in [`Settings::folder`]. EMQX goes by the ending.
pub const USERS_FILE: &str = "users.csv";
/// Who may use the REST API, in [`Settings::folder`].
pub const API_KEYS_FILE: &str = "api-keys";
/// The broker's certificate, PEM, in [`Settings::folder`].
pub const CERTIFICATE_FILE: &str = "cert.pem";
/// The certificate's key, PEM, in [`Settings::folder`].
pub const KEY_FILE: &str = "key.pem";
/// Who vouches for the certificate, PEM, in [`Settings::folder`].
pub const CA_FILE: &str = "ca.pem";

/// What differs from one EMQX to another.
#[derive(Clone)]
pub struct Settings {
    /// The node's name, `NAME@HOST`. EMQX keeps its data under it: another name is an empty broker.
    pub node: String,
    /// The secret by which Erlang nodes know one another. Who has it can run anything in the node.
    pub cookie: SecretString,
    /// The dashboard's `admin`; EMQX takes it at the first start only.
    pub dashboard_password: SecretString,
    /// Where EMQX finds the files of ours; an absolute path.
    pub folder: String,
    /// Whether plain MQTT is served on 1883, too, with everything readable on the way.
    pub plain: bool,
    /// Messages that wait for a client whose session is in memory only; the oldest go.
    pub queued_messages_max: u32,
    /// How long a session, and the messages that wait in it, outlive their connection, in seconds.
    pub session_expiry_s: u32,
}

impl Settings {
    /// With the limits of the embedded broker, and without plain MQTT.
    #[must_use]
    pub fn new(node: &str, folder: &str, cookie: SecretString, dashboard_password: SecretString) -> Self {
        Self {
            node: node.to_owned(),
            cookie,
            dashboard_password,
            folder: folder.to_owned(),
            plain: false,
            queued_messages_max: 10_000,
            session_expiry_s: 7 * 24 * 60 * 60,
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("node", &self.node)
            .field("folder", &self.folder)
            .finish_non_exhaustive()
    }
}

/// The text of `etc/emqx.conf`; it holds secrets.
///
/// # Errors
/// When a setting cannot be written.
pub fn config(settings: &Settings) -> Result<SecretString, Unwritable> {
    check_node(&settings.node)?;
    check_folder(&settings.folder)?;
    let tls = tls(settings)?;
    let parts = [
        HEAD.to_owned(),
        node(settings)?,
        listeners(settings, &tls),
        access(settings)?,
        messages(settings),
        administration(settings, &tls)?,
    ];
    Ok(SecretString::from(parts.concat()))
}

const HEAD: &str = "# Made by Vitalwire for EMQX 5.8.9; its next run makes it again. It wins over what the dashboard sets.\n";

/// A file of ours.
fn file(settings: &Settings, name: &str) -> Result<String, Unwritable> {
    hocon("the folder's name", &format!("{}/{name}", settings.folder.trim_end_matches('/')))
}

fn node(settings: &Settings) -> Result<String, Unwritable> {
    Ok(format!(
        r#"
node {{
  name = {node}
  cookie = {cookie}
  data_dir = "{ROOT}/data"
}}

# One node: durable sessions on its own disk want it so.
cluster {{
  name = vitalwire
  discovery_strategy = singleton
}}
"#,
        node = hocon("the node's name", &settings.node)?,
        cookie = hocon("the cookie", settings.cookie.expose_secret())?,
    ))
}

/// The certificate, for MQTT and for the dashboard.
fn tls(settings: &Settings) -> Result<String, Unwritable> {
    Ok(format!(
        "ssl_options {{
      certfile = {certificate}
      keyfile = {key}
      cacertfile = {ca}
      verify = verify_none
      versions = [\"tlsv1.3\", \"tlsv1.2\"]
    }}",
        certificate = file(settings, CERTIFICATE_FILE)?,
        key = file(settings, KEY_FILE)?,
        ca = file(settings, CA_FILE)?,
    ))
}

fn listeners(settings: &Settings, tls: &str) -> String {
    format!(
        r#"
listeners {{
  tcp.default {{
    enable = {plain}
    bind = "0.0.0.0:1883"
    enable_authn = quick_deny_anonymous
  }}
  ssl.default {{
    enable = true
    bind = "0.0.0.0:8883"
    enable_authn = quick_deny_anonymous
    {tls}
  }}
  ws.default {{ enable = false, bind = "127.0.0.1:8083" }}
  wss.default {{ enable = false, bind = "127.0.0.1:8084" }}
}}
"#,
        plain = settings.plain,
    )
}

/// Who gets in, and what they may do.
fn access(settings: &Settings) -> Result<String, Unwritable> {
    Ok(format!(
        r#"
authentication = [
  {{
    mechanism = password_based
    backend = built_in_database
    user_id_type = username
    password_hash_algorithm {{ name = pbkdf2, mac_fun = sha256, iterations = {HASH_ROUNDS} }}
    bootstrap_file = {users}
    bootstrap_type = hash
  }}
]

authorization {{
  no_match = deny
  deny_action = disconnect
  sources = [{{ type = file, enable = true, path = "{ROOT}/{ACL_FILE}" }}]
}}
"#,
        users = file(settings, USERS_FILE)?,
    ))
}

/// What is kept, and for whom.
fn messages(settings: &Settings) -> String {
    let (queue, expiry) = (settings.queued_messages_max, settings.session_expiry_s);
    format!(
        r#"
mqtt {{
  max_mqueue_len = {queue}
  session_expiry_interval = "{expiry}s"
  # A session belongs to its user: without this, who has any password could take over anyone's by its client id.
  clientid_override = "concat([username, '.', clientid])"
}}

# Sessions and what waits in them are on the disk.
durable_sessions {{
  enable = true
  message_retention_period = "{expiry}s"
}}

retainer {{
  # By default 1,000 a second are kept and the rest is not; a ward that comes back after an outage has more.
  max_publish_rate = infinity
  backend {{ type = built_in_database, storage_type = disc }}
}}
"#
    )
}

fn administration(settings: &Settings, tls: &str) -> Result<String, Unwritable> {
    Ok(format!(
        r#"
dashboard {{
  default_password = {password}
  listeners {{
    http.bind = 0
    https {{
      bind = "0.0.0.0:18083"
      {tls}
    }}
  }}
}}

api_key.bootstrap_file = {api_keys}

# Tells its makers nothing.
telemetry.enable = false
"#,
        password = hocon("the dashboard's password", settings.dashboard_password.expose_secret())?,
        api_keys = file(settings, API_KEYS_FILE)?,
    ))
}

fn check_node(node: &str) -> Result<(), Unwritable> {
    let is = |text: &str, more: &[char]| {
        !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(&c))
    };
    match node.split_once('@') {
        Some((name, host)) if is(name, &['_', '-']) && is(host, &['.', '-', ':']) => Ok(()),
        _ => Err(Unwritable { what: "the node's name", problem: Problem::Form("NAME@HOST") }),
    }
}

/// EMQX takes a path that begins with `$` for a variable of its environment.
fn check_folder(folder: &str) -> Result<(), Unwritable> {
    if folder.starts_with('/') {
        return Ok(());
    }
    Err(Unwritable { what: "the folder's name", problem: Problem::Form("/ABSOLUTE/PATH") })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings::new("emqx@172.20.0.20", "/vitalwire", "cookie".into(), "password".into())
    }

    #[test]
    fn names_that_emqx_would_misread_are_refused() {
        for node in ["emqx", "@host", "emqx@", "em qx@host", "emqx@ho\"st", "a@b@c"] {
            assert!(config(&Settings { node: node.into(), ..settings() }).is_err(), "{node}");
        }
        for folder in ["", "etc", "$HOME", "/a\nb"] {
            assert!(config(&Settings { folder: folder.into(), ..settings() }).is_err(), "{folder:?}");
        }
        for secret in ["", "two\nlines"] {
            assert!(config(&Settings { cookie: secret.into(), ..settings() }).is_err());
            assert!(config(&Settings { dashboard_password: secret.into(), ..settings() }).is_err());
        }
    }

    #[test]
    fn settings_print_no_secret() {
        let shown = format!("{:?}", settings());
        assert!(!shown.contains("cookie") && !shown.contains("password"), "{shown}");
    }
}
