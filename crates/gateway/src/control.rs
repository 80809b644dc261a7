//! What the command line asks a running server of the same data folder: over a socket in it, which is open to the owner of the
//! server and to root alone. A connection carries one question and its answer, each a line of JSON.

use std::fs::Permissions;
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream as BlockingStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;
use vitalwire_access::DeviceId;
use vitalwire_broker::SessionInfo;
use vitalwire_registry::user_of;

use crate::alarms::{Alarms, Silence, WhichAlarms};
use crate::context::Context;
use crate::data_folder::CONTROL;

/// The longest question, in bytes: a client id has up to 65,535, and each may be written in six.
const QUESTION_BYTES_MAX: u64 = 512 << 10;
/// The longest answer that is read: a hundred thousand sessions.
const ANSWER_BYTES_MAX: u64 = 64 << 20;
/// Connections at once. Who comes later waits.
const CONNECTIONS_MAX: usize = 4;
/// The longest a question and its answer take.
const PATIENCE: Duration = Duration::from_secs(10);
/// After a failed accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What can be asked.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Question {
    /// The sessions of the MQTT broker.
    MqttSessions,
    /// The end of one.
    EndMqttSession { client_id: String },
    /// All open alarms, and the ward's counts.
    Alarms,
    /// That someone knows: of the alarm of this number, or of all of a device.
    AcknowledgeAlarms {
        number: Option<u64>,
        device: Option<String>,
        name: Option<String>,
        reason: Option<String>,
    },
    /// That a device's alarms are told to no one for a while, or again.
    SilenceAlarms { device: String, silence: Silence, name: Option<String> },
}

/// The answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Answer {
    MqttSessions(Vec<SessionInfo>),
    /// Whose session it was; nothing when there is none.
    MqttSessionEnded(Option<Arc<str>>),
    /// This server's broker is elsewhere.
    NoBroker,
    Alarms(Alarms),
    /// For how many alarms it was news.
    AlarmsAcknowledged(usize),
    AlarmsSilenced,
    Failed(String),
}

/// Why a running server gave no answer.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum ControlError {
    /// Whoever asks may look at the files instead.
    #[error("no server answers at {}", .0.display())]
    NoServer(PathBuf),
    #[error("no permission to ask the server at {}: run this as the user who owns the folder", .0.display())]
    Permission(PathBuf),
    #[error("the server publishes to a broker elsewhere, which keeps its own sessions: ask that one")]
    NoBroker,
    #[error("the server says: {0}")]
    Failed(String),
    #[error("cannot ask the server at {}: {cause}", path.display())]
    Broken { path: PathBuf, cause: io::Error },
}

/// The MQTT sessions of the server that runs on this data folder. Blocks.
///
/// # Errors
/// [`ControlError`]; `NoServer` when none runs.
pub fn mqtt_sessions(data: &Path) -> Result<Vec<SessionInfo>, ControlError> {
    match ask(data, &Question::MqttSessions)? {
        Answer::MqttSessions(sessions) => Ok(sessions),
        other => Err(unexpected(data, other)),
    }
}

/// Ends an MQTT session of the server that runs on this data folder; whose it was, nothing when there is none. Blocks.
///
/// # Errors
/// [`ControlError`]; `NoServer` when none runs.
pub fn end_mqtt_session(data: &Path, client_id: &str) -> Result<Option<Arc<str>>, ControlError> {
    match ask(data, &Question::EndMqttSession { client_id: client_id.to_owned() })? {
        Answer::MqttSessionEnded(user) => Ok(user),
        other => Err(unexpected(data, other)),
    }
}

/// The open alarms of the server that runs on this data folder. Blocks.
///
/// # Errors
/// [`ControlError`]; `NoServer` when none runs: what was open is in the registry then.
pub fn alarms(data: &Path) -> Result<Alarms, ControlError> {
    match ask(data, &Question::Alarms)? {
        Answer::Alarms(alarms) => Ok(alarms),
        other => Err(unexpected(data, other)),
    }
}

/// Says that someone knows of alarms; for how many that was news. On record is the user of this process, and the name that is
/// given. Blocks.
///
/// # Errors
/// [`ControlError`]; `NoServer` when none runs, `Failed` when no such alarm is open, or name or reason cannot be kept.
pub fn acknowledge(
    data: &Path,
    which: &WhichAlarms,
    name: Option<&str>,
    reason: Option<&str>,
) -> Result<usize, ControlError> {
    let (number, device) = match which {
        WhichAlarms::Number(number) => (Some(*number), None),
        WhichAlarms::Device(device) => (None, Some(device.to_string())),
    };
    let (name, reason) = (name.map(str::to_owned), reason.map(str::to_owned));
    match ask(data, &Question::AcknowledgeAlarms { number, device, name, reason })? {
        Answer::AlarmsAcknowledged(count) => Ok(count),
        other => Err(unexpected(data, other)),
    }
}

/// Pauses a device's alarms, or ends the pause. Blocks.
///
/// # Errors
/// [`ControlError`]; `NoServer` when none runs, `Failed` when the pause is too long or no one is watched by the device.
pub fn silence(
    data: &Path,
    device: &DeviceId,
    silence: Silence,
    name: Option<&str>,
) -> Result<(), ControlError> {
    let question =
        Question::SilenceAlarms { device: device.to_string(), silence, name: name.map(str::to_owned) };
    match ask(data, &question)? {
        Answer::AlarmsSilenced => Ok(()),
        other => Err(unexpected(data, other)),
    }
}

fn unexpected(data: &Path, answer: Answer) -> ControlError {
    match answer {
        Answer::NoBroker => ControlError::NoBroker,
        Answer::Failed(cause) => ControlError::Failed(cause),
        _ => broken(data, ErrorKind::InvalidData.into()),
    }
}

fn broken(data: &Path, cause: io::Error) -> ControlError {
    let path = data.join(CONTROL);
    match cause.kind() {
        ErrorKind::NotFound | ErrorKind::ConnectionRefused => ControlError::NoServer(path),
        ErrorKind::PermissionDenied => ControlError::Permission(path),
        _ => ControlError::Broken { path, cause },
    }
}

fn ask(data: &Path, question: &Question) -> Result<Answer, ControlError> {
    let exchange = || -> io::Result<Answer> {
        let mut stream = BlockingStream::connect(data.join(CONTROL))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.write_all(&line(question)?)?;
        let mut answer = Vec::new();
        stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
        Ok(serde_json::from_slice(&answer)?)
    };
    exchange().map_err(|cause| broken(data, cause))
}

fn line(words: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(words)?;
    line.push(b'\n');
    Ok(line)
}

/// The socket, while the server runs.
pub(crate) struct Control {
    listener: UnixListener,
    path: PathBuf,
    owner: u32,
}

impl Control {
    /// Listens in the data folder, which no other server uses. Nothing when that cannot be: devices and readers are served all
    /// the same.
    pub(crate) fn open(data: &Path) -> Option<Self> {
        let path = data.join(CONTROL);
        Self::bind(&path)
            .inspect_err(|error| {
                let path = path.display();
                tracing::warn!(%error, %path, "the command line cannot ask this server for MQTT sessions");
            })
            .ok()
    }

    fn bind(path: &Path) -> io::Result<Self> {
        // A server that was killed left it.
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(path)?;
        std::fs::set_permissions(path, Permissions::from_mode(0o600))?;
        let owner = std::fs::metadata(path)?.uid();
        Ok(Self { listener, path: path.to_owned(), owner })
    }

    /// Answers until the stop.
    pub(crate) async fn run(self, context: Arc<Context>) {
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                Some(_) = connections.join_next() => continue,
                accepted = self.listener.accept(), if connections.len() < CONNECTIONS_MAX => accepted,
                () = context.stop.cancelled() => return,
            };
            match accepted {
                Ok((stream, _)) if let Some(uid) = self.asker(&stream) => {
                    let served = serve(stream, uid, Arc::clone(&context));
                    connections.spawn(tokio::time::timeout(PATIENCE, served));
                }
                Ok(_) => tracing::warn!("another user of this machine asked this server: refused"),
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a question of the command line; trying again");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// The user who asks, if that user may. The socket's mode says the same, but not at the moment at which it was made.
    fn asker(&self, stream: &UnixStream) -> Option<u32> {
        let uid = stream.peer_cred().ok()?.uid();
        (uid == self.owner || uid == 0).then_some(uid)
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        // It may be gone with its folder.
        let _ = std::fs::remove_file(&self.path);
    }
}

async fn serve(mut stream: UnixStream, uid: u32, context: Arc<Context>) -> io::Result<()> {
    let mut question = Vec::new();
    let (read, mut write) = stream.split();
    BufReader::new(read.take(QUESTION_BYTES_MAX)).read_until(b'\n', &mut question).await?;
    let answer = match serde_json::from_slice(&question) {
        Ok(question) => answer(question, uid, &context).await,
        Err(error) => Answer::Failed(format!("this is no question that it knows: {error}")),
    };
    write.write_all(&line(&answer)?).await?;
    write.shutdown().await
}

async fn answer(question: Question, uid: u32, context: &Context) -> Answer {
    match question {
        Question::Alarms => Answer::Alarms(context.surveillance.alarms()),
        Question::AcknowledgeAlarms { number, device, name, reason } => {
            let which = match (number, device.map(|device| device.parse())) {
                (Some(number), None) => WhichAlarms::Number(number),
                (None, Some(Ok(device))) => WhichAlarms::Device(device),
                _ => return Answer::Failed("it needs the number of an alarm or the name of a device".into()),
            };
            let acknowledged = context.surveillance.acknowledge(which, by(name, uid), reason).await;
            acknowledged.map_or_else(|error| Answer::Failed(error.to_string()), Answer::AlarmsAcknowledged)
        }
        Question::SilenceAlarms { device, silence, name } => {
            let Ok(device) = device.parse() else {
                return Answer::Failed(format!("`{device}` is no name of a device"));
            };
            match context.surveillance.silence(device, silence, by(name, uid)).await {
                Ok(()) => Answer::AlarmsSilenced,
                Err(error) => Answer::Failed(error.to_string()),
            }
        }
        Question::MqttSessions => {
            context.publisher.mqtt_sessions().map_or(Answer::NoBroker, Answer::MqttSessions)
        }
        Question::EndMqttSession { client_id } => {
            match context.publisher.end_mqtt_session(&client_id).await {
                Some(Ok(user)) => {
                    if let Some(user) = &user {
                        tracing::info!(client_id, %user, "an MQTT session was ended, as an operator asked");
                    }
                    Answer::MqttSessionEnded(user)
                }
                Some(Err(error)) => Answer::Failed(error.to_string()),
                None => Answer::NoBroker,
            }
        }
    }
}

/// Who acts, as it goes on record: the system's user, whom no one can feign to be, behind the name that was given.
fn by(name: Option<String>, uid: u32) -> String {
    let user = user_of(uid);
    match name {
        Some(name) => format!("{name}, as {user}"),
        None => user,
    }
}
