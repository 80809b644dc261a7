//! `vitalwire subscribe`: a small MQTT client. A live table on a terminal, plain lines elsewhere. Publishes nothing.

mod table;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use rumqttc::{Publish, QoS};
use table::Table;
use tokio_util::sync::CancellationToken;
use vitalwire_access::Network;

use crate::mqtt::MqttUrl;
use crate::mqtt_feed::{Feed, Notice};
use crate::output::{Output, note};
use crate::signals::asked_to_stop;
use crate::{safety, secrets, terminal};

const EXAMPLES: &str = "\
Examples:
  vitalwire subscribe --url mqtt://nurse@127.0.0.1:1883
  vitalwire subscribe --url mqtt://nurse@127.0.0.1 --filter 'Pico/bed_07/#'
  vitalwire subscribe --url mqtts://nurse@ward.example --ca ca.pem --raw

The password comes from VITALWIRE_MQTT_PASSWORD, a file of mode 0600, or is
asked for. In the table: arrows and page keys scroll, q leaves.";

/// Arguments of `vitalwire subscribe`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct SubscribeArgs {
    /// The broker and the user: mqtt://USER@HOST:PORT, with TLS mqtts://USER@HOST:PORT
    #[arg(long, value_name = "URL", env = "VITALWIRE_MQTT_URL", hide_env_values = true)]
    url: String,
    /// Which topics; may be given several times
    #[arg(long, value_name = "FILTER", default_value = "Pico/#")]
    filter: Vec<String>,
    /// File with the password, mode 0600 [default: VITALWIRE_MQTT_PASSWORD, else you are asked]
    #[arg(long, value_name = "FILE", env = "VITALWIRE_MQTT_PASSWORD_FILE", hide_env_values = true)]
    password_file: Option<PathBuf>,
    /// The CA certificate that vouches for the broker, for self-signed ones their certificate itself
    #[arg(long, value_name = "FILE", env = "VITALWIRE_MQTT_CA", hide_env_values = true)]
    ca: Option<PathBuf>,
    /// A network in which the password may travel readable: mqtt:// to an address in it is allowed; may be
    /// given several times
    #[arg(
        long,
        value_name = "CIDR",
        env = "VITALWIRE_ALLOW_PLAIN_MQTT",
        hide_env_values = true,
        value_delimiter = ','
    )]
    allow_plain_mqtt: Vec<Network>,
    /// Plain lines `topic value` also on a terminal
    #[arg(long)]
    raw: bool,
}

/// Runs `vitalwire subscribe`.
///
/// # Errors
/// When the broker cannot be reached, or refuses the login or a filter.
pub(crate) fn run(args: &SubscribeArgs, out: &mut Output<'_>) -> anyhow::Result<ExitCode> {
    // Not parsed by clap: its messages repeat what was typed, and that may hold a password.
    let url: MqttUrl = args.url.parse().context("--url")?;
    if let Some(refusal) = safety::check_url(&url, &args.allow_plain_mqtt.clone().into()) {
        bail!(refusal);
    }
    let Some(user) = &url.user else {
        bail!("as whom? Name the user in the URL: --url mqtt://USER@{}:{}", url.host, url.port);
    };
    let password = secrets::mqtt_password(args.password_file.as_deref(), user)?;
    let client_id = format!("vitalwire-subscribe-{:08x}", rand::random::<u32>());
    let options = url.options(&client_id, &password, args.ca.as_deref())?;
    let feed = Feed::new(url.clone(), options, args.filter.clone(), QoS::AtMostOnce);
    if args.raw || !terminal::is_interactive() {
        print_lines(&url, feed, out)
    } else {
        show_table(&format!("{url}  {}", args.filter.join(" ")), feed)
    }
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start the event loop")
}

fn print_lines(url: &MqttUrl, feed: Feed, out: &mut Output<'_>) -> anyhow::Result<ExitCode> {
    let feed = feed.run(|notice| {
        match notice {
            Notice::Subscribed => tracing::info!(%url, "subscribed"),
            Notice::Message(message) => writeln!(out, "{} {}", message.topic, text(message))?,
            Notice::Idle => out.flush()?,
            Notice::Lost(reason) => note!("connection to {url} lost: {reason}; trying again"),
        }
        Ok(())
    });
    runtime()?.block_on(async {
        tokio::select! {
            ended = feed => ended.map(|never| match never {}),
            () = asked_to_stop() => Ok(ExitCode::SUCCESS),
        }
    })
}

/// A payload as one line of text: it may hold anything, and a terminal acts on control characters.
fn text(message: &Publish) -> String {
    match std::str::from_utf8(&message.payload) {
        Ok(text) if !text.contains(char::is_control) => text.to_owned(),
        Ok(text) => text.escape_debug().to_string(),
        Err(_) => format!("<{} bytes>", message.payload.len()),
    }
}

fn show_table(title: &str, feed: Feed) -> anyhow::Result<ExitCode> {
    let table = Arc::new(Mutex::new(Table::default()));
    let stop = CancellationToken::new();
    let (seen, halt) = (Arc::clone(&table), stop.clone());
    let reader = std::thread::Builder::new().name("mqtt".into()).spawn(move || {
        let feed = feed.run(|notice| {
            let mut table = seen.lock().unwrap_or_else(PoisonError::into_inner);
            match notice {
                Notice::Subscribed => table.set_connected(None),
                Notice::Message(message) => table.record(&message.topic, text(message)),
                Notice::Idle => {}
                Notice::Lost(reason) => table.set_connected(Some(reason)),
            }
            Ok(())
        });
        let ended = runtime()?.block_on(async {
            tokio::select! {
                ended = feed => ended.map(|never| match never {}),
                () = halt.cancelled() => Ok(()),
                () = asked_to_stop() => Ok(()),
            }
        });
        halt.cancel();
        ended
    })?;
    let shown = table::show(&table, title, &stop);
    stop.cancel();
    let ended = reader.join().unwrap_or_else(|_| bail!("the MQTT client failed; run with --raw to see why"));
    // What ended the connection is the better explanation.
    ended.and(shown).map(|()| ExitCode::SUCCESS)
}

/// How often the table is drawn again.
const FRAME: Duration = Duration::from_millis(100);
